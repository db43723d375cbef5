# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += liblog.a
liblog_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
liblog_a_SOURCES = daemon/log/log.c daemon/log/log.h
