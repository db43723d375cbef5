# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libcore.a
libcore_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libcore_a_SOURCES = \
	daemon/core/facts.c daemon/core/facts.h \
	daemon/core/states.c daemon/core/states.h
