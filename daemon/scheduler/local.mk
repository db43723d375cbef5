# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libscheduler.a
libscheduler_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libscheduler_a_SOURCES = daemon/scheduler/scheduler.h
