# SPDX-License-Identifier: GPL-2.0-or-later
# policies/: the shipped policies, the schemas of both documents, and the description of the format.
policiesdir = $(pkgdatadir)/policies
dist_policies_DATA = policies/README.md policies/default.json
policyexamplesdir = $(pkgdatadir)/policies/examples
dist_policyexamples_DATA = policies/examples/by-hand.json policies/examples/quarters.json \
	policies/examples/two-teams.json
policyschemadir = $(pkgdatadir)/policies/schema
dist_policyschema_DATA = policies/schema/job.schema.json policies/schema/policy.schema.json

# Schema and loader are held against each other (tests/integration/test-schema.py).
check_PROGRAMS += tests/support/check-document
tests_support_check_document_SOURCES = tests/support/check-document.c
tests_support_check_document_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_support_check_document_LDADD = libpolicy.a libcore.a libgpuvf.a $(JANSSON_LIBS)
EXTRA_DIST += tests/data/jobs tests/data/policies
