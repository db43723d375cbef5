# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libcore.a
libcore_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libcore_a_SOURCES = \
	daemon/core/domain-facts.c \
	daemon/core/facts.c daemon/core/facts.h daemon/core/facts-json.c \
	daemon/core/model-table.c daemon/core/model-table.h \
	daemon/core/states.c daemon/core/states.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test-facts
TESTS += tests/unit/test-facts
tests_unit_test_facts_SOURCES = tests/unit/test-facts.c
tests_unit_test_facts_LDADD = libcore.a libgpuvf.a $(TEST_LIBS) $(JANSSON_LIBS)

check_PROGRAMS += tests/unit/test-states
TESTS += tests/unit/test-states
tests_unit_test_states_SOURCES = tests/unit/test-states.c
tests_unit_test_states_LDADD = libcore.a libgpuvf.a $(TEST_LIBS) $(JANSSON_LIBS)
endif
