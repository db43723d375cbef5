# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libmachine.a
libmachine_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libmachine_a_SOURCES = daemon/machine/machine-ops.h
