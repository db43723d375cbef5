# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libinventory.a
libinventory_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libinventory_a_SOURCES =
