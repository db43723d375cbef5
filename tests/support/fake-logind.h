/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A D-Bus of our own with something on it that answers as logind does.  No system service is touched. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

struct fake_logind {
	char directory[64];
	char address[128];
	pid_t daemon; /* 0 = no bus */
	sd_bus *bus;
	sd_event *event;
	int lock; /* our end of the lock that was given last; -1 = none */
	sd_event_source *watch;
	bool let_go; /* whoever had it has closed it, and the bus its copy */
	unsigned asked;
	char what[32], who[32], why[128], mode[16];
	const char *refuse; /* error message; NULL = grant */
};

bool fake_logind_possible(void); /* dbus-daemon is installed */
void fake_logind_init(struct fake_logind *f, sd_event *event);
void fake_logind_done(struct fake_logind *f);
void fake_bus_start(struct fake_logind *f); /* a dbus-daemon at f->address */
void fake_bus_stop(struct fake_logind *f);
void fake_logind_start(struct fake_logind *f); /* takes the name on the bus */
void fake_logind_stop(struct fake_logind *f);
void fake_logind_sleep(struct fake_logind *f, bool about_to); /* PrepareForSleep */
