# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libdoctor.a
libdoctor_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libdoctor_a_SOURCES = \
	daemon/doctor/bundle.c \
	daemon/doctor/check-gpu.c \
	daemon/doctor/check-host.c \
	daemon/doctor/check-libvirt.c \
	daemon/doctor/check-security.c \
	daemon/doctor/check-table.c \
	daemon/doctor/check-vf.c \
	daemon/doctor/check-vfs-off.c \
	daemon/doctor/check-vm.c \
	daemon/doctor/checks.h \
	daemon/doctor/doctor-main.c \
	daemon/doctor/doctor.h \
	daemon/doctor/examination.c daemon/doctor/examination.h \
	daemon/doctor/examine.c \
	daemon/doctor/finding.c daemon/doctor/finding.h \
	daemon/doctor/gather-gpu.c \
	daemon/doctor/gather-host.c \
	daemon/doctor/gather-log.c \
	daemon/doctor/gather-vms.c \
	daemon/doctor/gather.h \
	daemon/doctor/judge.c \
	daemon/doctor/known-bad.c daemon/doctor/known-bad.h \
	daemon/doctor/look.c daemon/doctor/look.h \
	daemon/doctor/note-facts.c \
	daemon/doctor/note.c daemon/doctor/note.h \
	daemon/doctor/redact.c daemon/doctor/redact.h \
	daemon/doctor/ustar.c daemon/doctor/ustar.h

# Combinations that users have trouble with, each with its public source.
knownbaddir = $(pkgdatadir)/data
dist_knownbad_DATA = data/known-bad.json

if HAVE_CMOCKA
DOCTOR_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
DOCTOR_TEST_LIBS = libdoctor.a libhypervisor.a libhost.a libpolicy.a libcore.a liblog.a libgpuvf.a \
	$(TEST_LIBS) $(LIBXML_LIBS) $(LIBPCI_LIBS) $(UDEV_LIBS) $(SYSTEMD_LIBS) \
	$(JANSSON_LIBS)
DOCTOR_TESTS = tests/unit/test-bundle tests/unit/test-known-bad
check_PROGRAMS += $(DOCTOR_TESTS) tests/unit/test-doctor
TESTS += $(DOCTOR_TESTS)
tests_unit_test_doctor_SOURCES = tests/unit/test-doctor.c $(FAKE_GPU)
tests_unit_test_doctor_CPPFLAGS = $(DOCTOR_TEST_CPPFLAGS)
tests_unit_test_doctor_LDADD = $(DOCTOR_TEST_LIBS)
tests_unit_test_bundle_SOURCES = tests/unit/test-bundle.c
tests_unit_test_bundle_CPPFLAGS = $(DOCTOR_TEST_CPPFLAGS)
tests_unit_test_bundle_LDADD = $(DOCTOR_TEST_LIBS)
tests_unit_test_known_bad_SOURCES = tests/unit/test-known-bad.c
tests_unit_test_known_bad_CPPFLAGS = $(DOCTOR_TEST_CPPFLAGS)
tests_unit_test_known_bad_LDADD = $(DOCTOR_TEST_LIBS)
endif
