# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += librpc.a
librpc_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
librpc_a_SOURCES = \
	daemon/rpc/call-params.c daemon/rpc/call-params.h \
	daemon/rpc/connection.c daemon/rpc/connection.h \
	daemon/rpc/discover.c daemon/rpc/discover.h \
	daemon/rpc/dispatch.c daemon/rpc/dispatch.h \
	daemon/rpc/event-stream.c daemon/rpc/event-stream.h \
	daemon/rpc/message.c daemon/rpc/message.h \
	daemon/rpc/methods-daemon.c \
	daemon/rpc/methods-gpu.c \
	daemon/rpc/methods-job.c \
	daemon/rpc/methods-policy.c \
	daemon/rpc/methods-vf.c \
	daemon/rpc/methods-vm.c \
	daemon/rpc/methods.h \
	daemon/rpc/peer.c daemon/rpc/peer.h \
	daemon/rpc/quota.c daemon/rpc/quota.h \
	daemon/rpc/result-schema.c daemon/rpc/result-schema.h \
	daemon/rpc/rpc-limits.h \
	daemon/rpc/rpc-server.c daemon/rpc/rpc-server.h \
	daemon/rpc/rpc-socket.c daemon/rpc/rpc-socket.h

if HAVE_CMOCKA
RPC_TESTS = \
	tests/unit/test-rpc-connection \
	tests/unit/test-rpc-dispatch \
	tests/unit/test-rpc-events \
	tests/unit/test-rpc-methods \
	tests/unit/test-rpc-socket
check_PROGRAMS += $(RPC_TESTS)
TESTS += $(RPC_TESTS)
RPC_TEST_SUPPORT = \
	tests/support/fake-manager.c tests/support/fake-manager.h \
	tests/support/rpc-bench.c tests/support/rpc-bench.h
RPC_TEST_LIBS = librpc.a libpolicy.a libcore.a liblog.a libgpuvf.a $(TEST_LIBS) \
	$(SYSTEMD_LIBS) $(JANSSON_LIBS)
tests_unit_test_rpc_connection_SOURCES = tests/unit/test-rpc-connection.c $(RPC_TEST_SUPPORT)
tests_unit_test_rpc_connection_LDADD = $(RPC_TEST_LIBS)
tests_unit_test_rpc_dispatch_SOURCES = tests/unit/test-rpc-dispatch.c $(RPC_TEST_SUPPORT)
tests_unit_test_rpc_dispatch_LDADD = $(RPC_TEST_LIBS)
tests_unit_test_rpc_events_SOURCES = tests/unit/test-rpc-events.c $(RPC_TEST_SUPPORT)
tests_unit_test_rpc_events_LDADD = $(RPC_TEST_LIBS)
tests_unit_test_rpc_methods_SOURCES = tests/unit/test-rpc-methods.c $(RPC_TEST_SUPPORT)
tests_unit_test_rpc_methods_LDADD = $(RPC_TEST_LIBS)
tests_unit_test_rpc_socket_SOURCES = tests/unit/test-rpc-socket.c $(RPC_TEST_SUPPORT)
tests_unit_test_rpc_socket_LDADD = $(RPC_TEST_LIBS)
endif
