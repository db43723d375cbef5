# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += librpc.a
librpc_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
librpc_a_SOURCES = \
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
