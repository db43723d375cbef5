# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += librunner.a
librunner_a_CPPFLAGS = $(AM_CPPFLAGS) -I$(builddir)/daemon $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
librunner_a_SOURCES = \
	daemon/runner/guest.c daemon/runner/guest.h \
	daemon/runner/guest-answer.c daemon/runner/guest-answer.h \
	daemon/runner/guest-file.c daemon/runner/guest-internal.h \
	daemon/runner/launcher-text.c daemon/runner/launcher-text.h \
	daemon/runner/outputs.c daemon/runner/outputs.h \
	daemon/runner/plan.c daemon/runner/plan.h \
	daemon/runner/progress.c daemon/runner/progress.h \
	daemon/runner/runner.c daemon/runner/runner.h \
	daemon/runner/runner-collect.c \
	daemon/runner/runner-follow.c \
	daemon/runner/runner-internal.h \
	daemon/runner/runner-ready.c

# The launcher becomes part of the daemon: one string per line of it.
BUILT_SOURCES += daemon/runner/launcher-text.inc
CLEANFILES += daemon/runner/launcher-text.inc
EXTRA_DIST += daemon/runner/launcher.sh
daemon/runner/launcher-text.inc: daemon/runner/launcher.sh
	$(AM_V_GEN)$(MKDIR_P) daemon/runner && \
	$(SED) -e 's/[\\"]/\\&/g' -e 's/^/"/' -e 's/$$/\\n"/' $(srcdir)/daemon/runner/launcher.sh >$@.tmp && \
	mv $@.tmp $@
daemon/runner/librunner_a-launcher-text.$(OBJEXT): daemon/runner/launcher-text.inc

if HAVE_CMOCKA
RUNNER_TEST_LIBS = librunner.a libsim.a libhypervisor.a libcore.a liblog.a libgpuvf.a $(TEST_LIBS) \
	$(LIBXML_LIBS) $(SYSTEMD_LIBS) $(JANSSON_LIBS)
RUNNER_TESTS = tests/unit/test-guest-answer tests/unit/test-outputs
RUNNER_STAGE = tests/support/runner-stage.c tests/support/runner-stage.h
check_PROGRAMS += $(RUNNER_TESTS) tests/unit/test-runner tests/unit/test-runner-restart
TESTS += $(RUNNER_TESTS)
tests_unit_test_guest_answer_SOURCES = tests/unit/test-guest-answer.c
tests_unit_test_guest_answer_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
tests_unit_test_guest_answer_LDADD = $(RUNNER_TEST_LIBS)
tests_unit_test_outputs_SOURCES = tests/unit/test-outputs.c
tests_unit_test_outputs_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
tests_unit_test_outputs_LDADD = $(RUNNER_TEST_LIBS)
tests_unit_test_runner_SOURCES = tests/unit/test-runner.c $(RUNNER_STAGE)
tests_unit_test_runner_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
tests_unit_test_runner_LDADD = $(RUNNER_TEST_LIBS)
tests_unit_test_runner_restart_SOURCES = tests/unit/test-runner-restart.c $(RUNNER_STAGE)
tests_unit_test_runner_restart_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
tests_unit_test_runner_restart_LDADD = $(RUNNER_TEST_LIBS)
endif
