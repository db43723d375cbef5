# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libhypervisor.a
libhypervisor_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libhypervisor_a_SOURCES = \
	daemon/hypervisor/hypervisor-message.c daemon/hypervisor/hypervisor-ops.h
