# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libstore.a
libstore_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS) $(SQLITE_CFLAGS)
libstore_a_SOURCES = \
	daemon/store/store-file.c \
	daemon/store/store-internal.h \
	daemon/store/store-rows.c \
	daemon/store/store-schema.c \
	daemon/store/store.c daemon/store/store.h

if HAVE_CMOCKA
STORE_TESTS = tests/unit/test-store tests/unit/test-store-schema
check_PROGRAMS += $(STORE_TESTS)
TESTS += $(STORE_TESTS)
STORE_TEST_LIBS = libstore.a liblog.a libgpuvf.a $(TEST_LIBS) \
	$(SQLITE_LIBS) $(SYSTEMD_LIBS) $(JANSSON_LIBS)
tests_unit_test_store_SOURCES = tests/unit/test-store.c
tests_unit_test_store_LDADD = $(STORE_TEST_LIBS)
tests_unit_test_store_schema_SOURCES = tests/unit/test-store-schema.c
tests_unit_test_store_schema_LDADD = $(STORE_TEST_LIBS)
endif
