# SPDX-License-Identifier: GPL-2.0-or-later
# cli/: the client gpuvf.  All but main() is an archive, so that tests can run verbs.
noinst_LIBRARIES += libgpuvfcli.a
libgpuvfcli_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) -DCOMPLETIONDIR='"$(bashcompletiondir)"'
libgpuvfcli_a_SOURCES = \
	cli/arguments.c cli/arguments.h \
	cli/call.c \
	cli/cli.c cli/cli.h \
	cli/daemon-program.c \
	cli/follow.c \
	cli/interrupt.c \
	cli/job-files.c cli/job-files.h \
	cli/job-options.c cli/job-options.h \
	cli/job-submit.c \
	cli/job-upload.c \
	cli/layout-options.c cli/layout-options.h \
	cli/objects.c \
	cli/print.c \
	cli/progress.c cli/progress.h \
	cli/table.c cli/table.h \
	cli/text.c cli/text.h \
	cli/verb-apply.c \
	cli/verb-assert.c \
	cli/verb-assign.c \
	cli/verb-audit.c \
	cli/verb-call.c \
	cli/verb-doctor.c \
	cli/verb-drain.c \
	cli/verb-fetch.c \
	cli/verb-help.c \
	cli/verb-jobs.c \
	cli/verb-list.c \
	cli/verb-policy.c \
	cli/verb-session.c \
	cli/verb-show.c \
	cli/verb-submit.c \
	cli/verb-tune.c \
	cli/verb-watch.c \
	cli/verbs.h \
	cli/wait.c

bin_PROGRAMS += gpuvf
gpuvf_SOURCES = cli/main.c
gpuvf_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
gpuvf_LDADD = libgpuvfcli.a libgpuvf.a $(JANSSON_LIBS)

# Its program is built before it runs: `make check` builds all.
TESTS += cli/test-gpuvf.sh
EXTRA_DIST += cli/test-gpuvf.sh

# Unit tests run verbs against a daemon with canned answers, in one process.
CLI_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(CMOCKA_CFLAGS)
CLI_TEST_LDADD = libgpuvfcli.a libgpuvf.a $(JANSSON_LIBS) $(TEST_LIBS)
CLI_TEST_DAEMON = tests/unit/fake-daemon.c tests/unit/fake-daemon.h
CLI_TESTS = \
	tests/unit/test-cli \
	tests/unit/test-cli-arguments \
	tests/unit/test-cli-maintenance \
	tests/unit/test-cli-submit \
	tests/unit/test-cli-table
if HAVE_CMOCKA
check_PROGRAMS += $(CLI_TESTS)
TESTS += $(CLI_TESTS)
endif

tests_unit_test_cli_arguments_SOURCES = tests/unit/test-cli-arguments.c $(CLI_TEST_DAEMON)
tests_unit_test_cli_arguments_CPPFLAGS = $(CLI_TEST_CPPFLAGS)
tests_unit_test_cli_arguments_LDADD = $(CLI_TEST_LDADD)

tests_unit_test_cli_maintenance_SOURCES = tests/unit/test-cli-maintenance.c $(CLI_TEST_DAEMON)
tests_unit_test_cli_maintenance_CPPFLAGS = $(CLI_TEST_CPPFLAGS)
tests_unit_test_cli_maintenance_LDADD = $(CLI_TEST_LDADD)

tests_unit_test_cli_SOURCES = tests/unit/test-cli.c $(CLI_TEST_DAEMON)
tests_unit_test_cli_CPPFLAGS = $(CLI_TEST_CPPFLAGS)
tests_unit_test_cli_LDADD = $(CLI_TEST_LDADD)

tests_unit_test_cli_submit_SOURCES = tests/unit/test-cli-submit.c $(CLI_TEST_DAEMON)
tests_unit_test_cli_submit_CPPFLAGS = $(CLI_TEST_CPPFLAGS)
tests_unit_test_cli_submit_LDADD = $(CLI_TEST_LDADD)

tests_unit_test_cli_table_SOURCES = tests/unit/test-cli-table.c
tests_unit_test_cli_table_CPPFLAGS = $(CLI_TEST_CPPFLAGS)
tests_unit_test_cli_table_LDADD = $(CLI_TEST_LDADD)
