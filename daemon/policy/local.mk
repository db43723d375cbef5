# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libpolicy.a
libpolicy_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libpolicy_a_SOURCES = \
	daemon/policy/glob.c \
	daemon/policy/job-document.c daemon/policy/job-document.h \
	daemon/policy/job-files.c daemon/policy/job-files.h \
	daemon/policy/layout.c daemon/policy/layout.h \
	daemon/policy/layout-document.c \
	daemon/policy/policy.c daemon/policy/policy.h \
	daemon/policy/policy-assignments.c daemon/policy/policy-build.c daemon/policy/policy-build.h \
	daemon/policy/policy-complaint.c \
	daemon/policy/policy-export.c daemon/policy/policy-export.h \
	daemon/policy/policy-gpu-sections.c \
	daemon/policy/policy-load.c \
	daemon/policy/policy-match.c \
	daemon/policy/policy-references.c \
	daemon/policy/policy-scheduling.c \
	daemon/policy/policy-use-sections.c \
	daemon/policy/principal.c \
	daemon/policy/unsupported.c daemon/policy/unsupported.h \
	daemon/policy/vf-shape.c daemon/policy/vf-shape.h

if HAVE_CMOCKA
POLICY_TESTS = \
	tests/unit/test-job-document \
	tests/unit/test-layout \
	tests/unit/test-policy-build \
	tests/unit/test-policy-export \
	tests/unit/test-policy-match
check_PROGRAMS += $(POLICY_TESTS)
TESTS += $(POLICY_TESTS)
endif
POLICY_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(CMOCKA_CFLAGS)
POLICY_TEST_LDADD = libpolicy.a libcore.a libgpuvf.a $(JANSSON_LIBS) $(TEST_LIBS)

tests_unit_test_job_document_SOURCES = tests/unit/test-job-document.c
tests_unit_test_job_document_CPPFLAGS = $(POLICY_TEST_CPPFLAGS)
tests_unit_test_job_document_LDADD = $(POLICY_TEST_LDADD)

tests_unit_test_layout_SOURCES = tests/unit/test-layout.c
tests_unit_test_layout_CPPFLAGS = $(POLICY_TEST_CPPFLAGS)
tests_unit_test_layout_LDADD = $(POLICY_TEST_LDADD)

tests_unit_test_policy_build_SOURCES = tests/unit/test-policy-build.c
tests_unit_test_policy_build_CPPFLAGS = $(POLICY_TEST_CPPFLAGS)
tests_unit_test_policy_build_LDADD = $(POLICY_TEST_LDADD)

tests_unit_test_policy_export_SOURCES = tests/unit/test-policy-export.c tests/support/random.h
tests_unit_test_policy_export_CPPFLAGS = $(POLICY_TEST_CPPFLAGS)
tests_unit_test_policy_export_LDADD = $(POLICY_TEST_LDADD)

tests_unit_test_policy_match_SOURCES = tests/unit/test-policy-match.c
tests_unit_test_policy_match_CPPFLAGS = $(POLICY_TEST_CPPFLAGS)
tests_unit_test_policy_match_LDADD = $(POLICY_TEST_LDADD)
