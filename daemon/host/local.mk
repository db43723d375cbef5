# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libhost.a
libhost_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libhost_a_SOURCES = \
	daemon/host/host-message.c daemon/host/host-ops.h

if HAVE_CMOCKA
HOST_TEST_LIBS = libhost.a libcore.a liblog.a libgpuvf.a $(TEST_LIBS) $(LIBPCI_LIBS) $(UDEV_LIBS) \
	$(SYSTEMD_LIBS) $(JANSSON_LIBS)
HOST_TESTS = tests/unit/test-host-message
check_PROGRAMS += $(HOST_TESTS)
TESTS += $(HOST_TESTS)
tests_unit_test_host_message_SOURCES = tests/unit/test-host-message.c
tests_unit_test_host_message_LDADD = $(HOST_TEST_LIBS)
endif
