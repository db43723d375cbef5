# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libpartition.a
libpartition_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libpartition_a_SOURCES = daemon/partition/partition.h
