# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libhost.a
libhost_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libhost_a_SOURCES = \
	daemon/host/host-message.c daemon/host/host-ops.h
