# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libstore.a
libstore_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libstore_a_SOURCES = daemon/store/store.h
