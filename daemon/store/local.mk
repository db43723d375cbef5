# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libstore.a
libstore_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS) $(SQLITE_CFLAGS)
libstore_a_SOURCES = \
	daemon/store/store-backup.c \
	daemon/store/store-directory.c \
	daemon/store/store-file.c \
	daemon/store/store-internal.h \
	daemon/store/store-load.c \
	daemon/store/store-mark.c \
	daemon/store/store-migrations.c \
	daemon/store/store-query.c \
	daemon/store/store-rows.c \
	daemon/store/store-schema.c \
	daemon/store/store.c daemon/store/store.h

if HAVE_CMOCKA
STORE_TESTS = tests/unit/test-store tests/unit/test-store-find \
	tests/unit/test-store-schema
check_PROGRAMS += $(STORE_TESTS) tests/unit/test-store-file
TESTS += $(STORE_TESTS)
STORE_TEST_SUPPORT = tests/support/store-bench.c tests/support/store-bench.h tests/support/test-folder.h
STORE_TEST_LIBS = libstore.a liblog.a libgpuvf.a $(TEST_LIBS) \
	$(SQLITE_LIBS) $(SYSTEMD_LIBS) $(JANSSON_LIBS)
tests_unit_test_store_SOURCES = tests/unit/test-store.c $(STORE_TEST_SUPPORT)
tests_unit_test_store_LDADD = $(STORE_TEST_LIBS)
tests_unit_test_store_file_SOURCES = tests/unit/test-store-file.c $(STORE_TEST_SUPPORT)
tests_unit_test_store_file_LDADD = $(STORE_TEST_LIBS)
tests_unit_test_store_find_SOURCES = tests/unit/test-store-find.c $(STORE_TEST_SUPPORT)
tests_unit_test_store_find_LDADD = $(STORE_TEST_LIBS)
tests_unit_test_store_schema_SOURCES = tests/unit/test-store-schema.c $(STORE_TEST_SUPPORT)
tests_unit_test_store_schema_LDADD = $(STORE_TEST_LIBS)
endif
