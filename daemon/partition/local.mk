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
	daemon/partition/partition-step.c \
	daemon/partition/partition-undo.c \
	daemon/partition/partition-want.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test-partition
TESTS += tests/unit/test-partition
tests_unit_test_partition_SOURCES = tests/unit/test-partition.c
tests_unit_test_partition_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_partition_LDADD = \
	libpartition.a libpolicy.a libcore.a libgpuvf.a $(JANSSON_LIBS) $(TEST_LIBS)
endif
