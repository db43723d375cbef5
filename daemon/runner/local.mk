# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += librunner.a
librunner_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
librunner_a_SOURCES =
