# SPDX-License-Identifier: GPL-2.0-or-later
# examples/: jobs that a user can submit as they are.
include examples/tiny-lora/local.mk

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test-shipped-documents
TESTS += tests/unit/test-shipped-documents
endif
tests_unit_test_shipped_documents_SOURCES = tests/unit/test-shipped-documents.c
tests_unit_test_shipped_documents_CPPFLAGS = $(POLICY_TEST_CPPFLAGS)
tests_unit_test_shipped_documents_LDADD = $(POLICY_TEST_LDADD)
