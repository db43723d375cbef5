# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libpolicy.a
libpolicy_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libpolicy_a_SOURCES = daemon/policy/policy.h daemon/policy/layout.h daemon/policy/job-document.h
