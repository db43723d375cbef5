# SPDX-License-Identifier: GPL-2.0-or-later
# daemon/: one archive per layer; gpuvfd is main.c and these.
include daemon/log/local.mk
include daemon/core/local.mk
include daemon/policy/local.mk
include daemon/scheduler/local.mk
include daemon/partition/local.mk
include daemon/host/local.mk
include daemon/hypervisor/local.mk
include daemon/machine/local.mk
include daemon/store/local.mk
include daemon/runner/local.mk
include daemon/doctor/local.mk
include daemon/rpc/local.mk

noinst_LIBRARIES += libmanager.a
libmanager_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libmanager_a_SOURCES = \
	daemon/manager-actor-errors.c daemon/manager-apply.c daemon/manager-apply.h \
	daemon/manager-assert.c daemon/manager-assign.c daemon/manager-attach.c daemon/manager-attempt.c \
	daemon/manager-audit-list.c daemon/manager-audit-view.c daemon/manager-audit.c \
	daemon/manager-barrier.c daemon/manager-bind.c daemon/manager-detach.c daemon/manager-displaced.c daemon/manager-doctor-checks.c daemon/manager-doctor.c \
	daemon/manager-drain.c daemon/manager-event.c daemon/manager-expiry.c daemon/manager-export.c \
	daemon/manager-fits.c daemon/manager-fixed.c daemon/manager-follow.c daemon/manager-gate.c \
	daemon/manager-gpu.c \
	daemon/manager-gpu.h daemon/manager-half-cut.c daemon/manager-handover.c daemon/manager-handover.h \
	daemon/manager-holders.c daemon/manager-host.c daemon/manager-hypervisor.c \
	daemon/manager-job-files.c daemon/manager-job-hold.c daemon/manager-job-submit.c \
	daemon/manager-job.c daemon/manager-job.h daemon/manager-kept.c daemon/manager-load.c daemon/manager-look.c \
	daemon/manager-lost.c daemon/manager-missing.c daemon/manager-moved.c daemon/manager-objects.h daemon/manager-operation.c \
	daemon/manager-outbox.c daemon/manager-output.c daemon/manager-pf.c daemon/manager-place.c \
	daemon/manager-plan.c daemon/manager-policy.c daemon/manager-pool.c \
	daemon/manager-power-off.c daemon/manager-preempt.c daemon/manager-process.c daemon/manager-question.c \
	daemon/manager-recover.c daemon/manager-rejoin.c daemon/manager-releasable.c daemon/manager-release.c \
	daemon/manager-release.h daemon/manager-reset.c \
	daemon/manager-reuse.c daemon/manager-run.c daemon/manager-runner.c daemon/manager-runner-events.c daemon/manager-scrub.c \
	daemon/manager-session.c \
	daemon/manager-side.c daemon/manager-sleep.c daemon/manager-state.h daemon/manager-status.c daemon/manager-survey.c \
	daemon/manager-tune-run.c daemon/manager-tune.c daemon/manager-tune.h daemon/manager-undo.c \
	daemon/manager-upload.c daemon/manager-vf.c daemon/manager-vf.h daemon/manager-view.c \
	daemon/manager-vm.c daemon/manager-vm.h daemon/manager-wanted.c daemon/manager-wedged.c \
	daemon/manager-weight.c daemon/manager.c daemon/manager.h

sbin_PROGRAMS += gpuvfd
gpuvfd_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
gpuvfd_SOURCES = daemon/main.c daemon/check-policy.c daemon/check-policy.h \
	daemon/configuration.c daemon/configuration.h daemon/options.c daemon/options.h \
	daemon/run-doctor.c daemon/run-doctor.h
gpuvfd_LDADD = $(DAEMON_LIBS) $(DAEMON_SYSTEM_LIBS) $(JEMALLOC_LIBS)

# What the tests upgrade to: the same daemon with one schema more.
check_PROGRAMS += gpuvfd-next
gpuvfd_next_CPPFLAGS = $(gpuvfd_CPPFLAGS) $(SQLITE_CFLAGS)
gpuvfd_next_SOURCES = $(gpuvfd_SOURCES) tests/support/migrations-next.c
gpuvfd_next_LDADD = $(gpuvfd_LDADD)

if HAVE_CMOCKA
MANAGER_TESTS = tests/unit/test-manager tests/unit/test-manager-assign \
	tests/unit/test-manager-audit tests/unit/test-manager-barrier tests/unit/test-manager-bind tests/unit/test-manager-displaced tests/unit/test-manager-drain tests/unit/test-manager-follow tests/unit/test-manager-load \
	tests/unit/test-manager-tune tests/unit/test-manager-expiry tests/unit/test-manager-power-off \
	tests/unit/test-manager-preempt tests/unit/test-manager-process tests/unit/test-manager-rejoin tests/unit/test-manager-reuse tests/unit/test-manager-scrub \
	tests/unit/test-manager-session \
	tests/unit/test-manager-wanted tests/unit/test-sleep
check_PROGRAMS += $(MANAGER_TESTS)
TESTS += $(MANAGER_TESTS)
MANAGER_TEST_SUPPORT = \
	tests/support/fake-actors.c tests/support/fake-actors.h \
	tests/support/manager-bench.c tests/support/manager-bench.h tests/support/test-folder.h
MANAGER_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS) $(SQLITE_CFLAGS)
MANAGER_TEST_LIBS = $(DAEMON_LIBS) $(TEST_LIBS) $(DAEMON_SYSTEM_LIBS)
tests_unit_test_manager_SOURCES = tests/unit/test-manager.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_assign_SOURCES = tests/unit/test-manager-assign.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_assign_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_assign_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_audit_SOURCES = tests/unit/test-manager-audit.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_audit_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_audit_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=sd_journal_sendv
tests_unit_test_manager_audit_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_barrier_SOURCES = tests/unit/test-manager-barrier.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_barrier_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_barrier_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_bind_SOURCES = tests/unit/test-manager-bind.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_bind_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_bind_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_drain_SOURCES = tests/unit/test-manager-drain.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_drain_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_drain_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_displaced_SOURCES = tests/unit/test-manager-displaced.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_displaced_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_displaced_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_follow_SOURCES = tests/unit/test-manager-follow.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_follow_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_follow_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_load_SOURCES = tests/unit/test-manager-load.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_load_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_load_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_power_off_SOURCES = tests/unit/test-manager-power-off.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_power_off_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_power_off_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_expiry_SOURCES = tests/unit/test-manager-expiry.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_expiry_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_expiry_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_preempt_SOURCES = tests/unit/test-manager-preempt.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_preempt_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_preempt_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_process_SOURCES = tests/unit/test-manager-process.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_process_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_process_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_rejoin_SOURCES = tests/unit/test-manager-rejoin.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_rejoin_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_rejoin_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_reuse_SOURCES = tests/unit/test-manager-reuse.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_reuse_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_reuse_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_scrub_SOURCES = tests/unit/test-manager-scrub.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_scrub_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_scrub_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_tune_SOURCES = tests/unit/test-manager-tune.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_tune_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_tune_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_session_SOURCES = tests/unit/test-manager-session.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_session_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_session_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_manager_wanted_SOURCES = tests/unit/test-manager-wanted.c $(MANAGER_TEST_SUPPORT)
tests_unit_test_manager_wanted_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_manager_wanted_LDADD = $(MANAGER_TEST_LIBS)
tests_unit_test_sleep_SOURCES = tests/unit/test-sleep.c tests/support/fake-logind.c \
	tests/support/fake-logind.h $(MANAGER_TEST_SUPPORT)
tests_unit_test_sleep_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_unit_test_sleep_LDADD = $(MANAGER_TEST_LIBS)
endif
