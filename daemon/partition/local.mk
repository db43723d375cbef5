# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libpartition.a
libpartition_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libpartition_a_SOURCES = \
	daemon/partition/device-defaults.c daemon/partition/device-defaults.h \
	daemon/partition/partition.c daemon/partition/partition.h \
	daemon/partition/partition-check.c \
	daemon/partition/partition-fits.c \
	daemon/partition/partition-inner.h \
	daemon/partition/partition-plan.c \
	daemon/partition/partition-present.c \
	daemon/partition/partition-step.c \
	daemon/partition/partition-undo.c \
	daemon/partition/partition-want.c

if HAVE_CMOCKA
PARTITION_TESTS = \
	tests/unit/test-device-defaults \
	tests/unit/test-partition \
	tests/unit/test-partition-property \
	tests/unit/test-partition-undo \
	tests/unit/test-partition-ways
check_PROGRAMS += $(PARTITION_TESTS)
TESTS += $(PARTITION_TESTS)
endif
PARTITION_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(CMOCKA_CFLAGS)
PARTITION_TEST_LDADD = libpartition.a libpolicy.a libcore.a libgpuvf.a $(JANSSON_LIBS) $(TEST_LIBS)

tests_unit_test_device_defaults_SOURCES = tests/unit/test-device-defaults.c
tests_unit_test_device_defaults_CPPFLAGS = $(PARTITION_TEST_CPPFLAGS)
tests_unit_test_device_defaults_LDADD = $(PARTITION_TEST_LDADD)

PLAN_STAGE = tests/support/plan-stage.c tests/support/plan-stage.h

tests_unit_test_partition_SOURCES = tests/unit/test-partition.c $(PLAN_STAGE)
tests_unit_test_partition_CPPFLAGS = $(PARTITION_TEST_CPPFLAGS)
tests_unit_test_partition_LDADD = $(PARTITION_TEST_LDADD)

tests_unit_test_partition_property_SOURCES = tests/unit/test-partition-property.c \
	tests/support/model-card.c tests/support/model-card.h tests/support/random.h
tests_unit_test_partition_property_CPPFLAGS = $(PARTITION_TEST_CPPFLAGS)
tests_unit_test_partition_property_LDADD = $(PARTITION_TEST_LDADD)

tests_unit_test_partition_undo_SOURCES = tests/unit/test-partition-undo.c $(PLAN_STAGE)
tests_unit_test_partition_undo_CPPFLAGS = $(PARTITION_TEST_CPPFLAGS)
tests_unit_test_partition_undo_LDADD = $(PARTITION_TEST_LDADD)

tests_unit_test_partition_ways_SOURCES = tests/unit/test-partition-ways.c $(PLAN_STAGE)
tests_unit_test_partition_ways_CPPFLAGS = $(PARTITION_TEST_CPPFLAGS)
tests_unit_test_partition_ways_LDADD = $(PARTITION_TEST_LDADD)
