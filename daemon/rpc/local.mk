# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += librpc.a
librpc_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
librpc_a_SOURCES =
