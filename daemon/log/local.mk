# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += liblog.a
liblog_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
liblog_a_SOURCES = daemon/log/log.c daemon/log/log.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test-log
TESTS += tests/unit/test-log
tests_unit_test_log_SOURCES = tests/unit/test-log.c
tests_unit_test_log_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
tests_unit_test_log_LDFLAGS = -Wl,--wrap=sd_journal_sendv
tests_unit_test_log_LDADD = liblog.a libgpuvf.a $(TEST_LIBS) $(SYSTEMD_LIBS) $(JANSSON_LIBS)
endif
