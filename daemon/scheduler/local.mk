# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libscheduler.a
libscheduler_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libscheduler_a_SOURCES = \
	daemon/scheduler/scheduler.c daemon/scheduler/scheduler.h \
	daemon/scheduler/scheduler-inner.h \
	daemon/scheduler/preempt.c daemon/scheduler/start-vms.c daemon/scheduler/wait-reason.c

if HAVE_CMOCKA
SCHEDULER_TESTS = tests/unit/test-scheduler tests/unit/test-scheduler-property tests/unit/test-preempt
check_PROGRAMS += $(SCHEDULER_TESTS)
TESTS += $(SCHEDULER_TESTS)
endif
SCHEDULER_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(CMOCKA_CFLAGS)
SCHEDULER_TEST_LDADD = \
	libscheduler.a libpolicy.a libcore.a libgpuvf.a $(JANSSON_LIBS) $(TEST_LIBS)

tests_unit_test_scheduler_SOURCES = tests/unit/test-scheduler.c
tests_unit_test_scheduler_CPPFLAGS = $(SCHEDULER_TEST_CPPFLAGS)
tests_unit_test_scheduler_LDADD = $(SCHEDULER_TEST_LDADD)

tests_unit_test_preempt_SOURCES = tests/unit/test-preempt.c
tests_unit_test_preempt_CPPFLAGS = $(SCHEDULER_TEST_CPPFLAGS)
tests_unit_test_preempt_LDADD = $(SCHEDULER_TEST_LDADD)

tests_unit_test_scheduler_property_SOURCES = tests/unit/test-scheduler-property.c tests/support/random.h
tests_unit_test_scheduler_property_CPPFLAGS = $(SCHEDULER_TEST_CPPFLAGS)
tests_unit_test_scheduler_property_LDADD = $(SCHEDULER_TEST_LDADD)
