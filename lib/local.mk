# SPDX-License-Identifier: GPL-2.0-or-later
# lib/: silent code that daemon, command line and tests share.
noinst_LIBRARIES += libgpuvf.a
libgpuvf_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
libgpuvf_a_SOURCES = \
	lib/base64.c lib/base64.h \
	lib/clock.c lib/clock.h \
	lib/edit-distance.c lib/edit-distance.h \
	lib/enum-table.c lib/enum-table.h \
	lib/escape.c lib/escape.h \
	lib/finding-text.c lib/finding-text.h \
	lib/hash.c lib/hash.h \
	lib/io.c lib/io.h \
	lib/json.c lib/json.h \
	lib/json-fault.c lib/json-field.c lib/json-field-schema.c lib/json-field.h \
	lib/json-position.c lib/json-position.h \
	lib/jsonrpc.c lib/jsonrpc.h \
	lib/line-buffer.c lib/line-buffer.h \
	lib/macros.h lib/macros.c \
	lib/mailbox.c lib/mailbox.h \
	lib/pci-address.c lib/pci-address.h \
	lib/rpc-client.c lib/rpc-client.h \
	lib/units.c lib/units.h

# Unit tests, one per module.  LIB_TESTS share flags and libraries.
LIB_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(CMOCKA_CFLAGS)
LIB_TEST_LDADD = libgpuvf.a $(JANSSON_LIBS) $(TEST_LIBS)
LIB_TESTS = \
	tests/unit/test-base64 \
	tests/unit/test-clock \
	tests/unit/test-enum-table \
	tests/unit/test-escape \
	tests/unit/test-finding-text \
	tests/unit/test-hash \
	tests/unit/test-io \
	tests/unit/test-json \
	tests/unit/test-json-field \
	tests/unit/test-json-position \
	tests/unit/test-jsonrpc \
	tests/unit/test-line-buffer \
	tests/unit/test-macros \
	tests/unit/test-mailbox \
	tests/unit/test-pci-address \
	tests/unit/test-rpc-client \
	tests/unit/test-units
if HAVE_CMOCKA
check_PROGRAMS += $(LIB_TESTS)
TESTS += $(LIB_TESTS)
endif

tests_unit_test_base64_SOURCES = tests/unit/test-base64.c
tests_unit_test_base64_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_base64_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_clock_SOURCES = tests/unit/test-clock.c
tests_unit_test_clock_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_clock_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_finding_text_SOURCES = tests/unit/test-finding-text.c
tests_unit_test_finding_text_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_finding_text_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_enum_table_SOURCES = tests/unit/test-enum-table.c
tests_unit_test_enum_table_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_enum_table_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_escape_SOURCES = tests/unit/test-escape.c
tests_unit_test_escape_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_escape_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_hash_SOURCES = tests/unit/test-hash.c
tests_unit_test_hash_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_hash_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_io_SOURCES = tests/unit/test-io.c
tests_unit_test_io_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_io_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_json_SOURCES = tests/unit/test-json.c
tests_unit_test_json_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_json_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_json_field_SOURCES = tests/unit/test-json-field.c
tests_unit_test_json_field_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_json_field_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_json_position_SOURCES = tests/unit/test-json-position.c
tests_unit_test_json_position_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_json_position_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_jsonrpc_SOURCES = tests/unit/test-jsonrpc.c
tests_unit_test_jsonrpc_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_jsonrpc_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_line_buffer_SOURCES = tests/unit/test-line-buffer.c
tests_unit_test_line_buffer_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_line_buffer_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_macros_SOURCES = tests/unit/test-macros.c
tests_unit_test_macros_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_macros_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_mailbox_SOURCES = tests/unit/test-mailbox.c
tests_unit_test_mailbox_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_mailbox_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_pci_address_SOURCES = tests/unit/test-pci-address.c
tests_unit_test_pci_address_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_pci_address_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_rpc_client_SOURCES = tests/unit/test-rpc-client.c
tests_unit_test_rpc_client_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_rpc_client_LDADD = $(LIB_TEST_LDADD)

tests_unit_test_units_SOURCES = tests/unit/test-units.c
tests_unit_test_units_CPPFLAGS = $(LIB_TEST_CPPFLAGS)
tests_unit_test_units_LDADD = $(LIB_TEST_LDADD)
