/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/sleep-lock.h"

#include <fcntl.h>
#include <stdlib.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "lib/units.h"
#include "log/log.h"

#define LOGIND "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define LOGIND_MANAGER LOGIND ".Manager"
#define BUS "org.freedesktop.DBus"
#define SYSTEM_BUS_ADDRESS "unix:path=/run/dbus/system_bus_socket"
/* After the bus hung up; the socket itself is watched. */
#define RECONNECT_USEC (2 * USEC_PER_SEC)

struct sleep_lock {
	sd_event *event;
	char *address;
	sleep_lock_fn fn;
	void *userdata;

	sd_bus *bus; /* NULL = hung up */
	sd_event_source *reconnect;
	sd_bus_slot *asked; /* Inhibit, not yet answered */
	int fd;		    /* the lock is held for as long as this is open; -1 = not held */
	char *why;	    /* NULL = not wanted */
	bool asleep;
	char *trouble;
};

static void set_trouble(struct sleep_lock *l, const char *text)
{
	if (streq_ptr(l->trouble, text))
		return;
	(void)free_and_strdup(&l->trouble, text);
	if (text && l->why)
		log_warning(0, "The host can suspend while VFs are held: %s", text);
}

/* ---- the lock ---- */

static void ask(struct sleep_lock *l);

static int on_inhibited(sd_bus_message *m, void *userdata, sd_bus_error *unused)
{
	struct sleep_lock *l = userdata;
	const sd_bus_error *error = sd_bus_message_get_error(m);
	int fd, r;

	l->asked = sd_bus_slot_unref(l->asked);
	if (error) {
		_cleanup_free_ char *text = xasprintf("logind: %s", error->message ? error->message :
										     strempty(error->name));

		set_trouble(l, text);
		return 0;
	}
	r = sd_bus_message_read(m, "h", &fd);
	if (r >= 0)
		r = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* the message closes its own */
	if (r < 0) {
		set_trouble(l, "logind's answer has no lock");
		return 0;
	}
	safe_close(l->fd);
	l->fd = l->why ? r : safe_close(r);
	set_trouble(l, NULL);
	if (l->fd >= 0)
		log_notice("The host does not suspend: %s", l->why);
	return 0;
}

static void ask(struct sleep_lock *l)
{
	int r;

	if (!l->bus || l->asked)
		return;
	r = sd_bus_call_method_async(l->bus, &l->asked, LOGIND, LOGIND_PATH, LOGIND_MANAGER, "Inhibit",
				     on_inhibited, l, "ssss", "sleep", "gpuvf", l->why, "block");
	if (r < 0)
		set_trouble(l, strerror(-r));
}

void sleep_lock_want(struct sleep_lock *l, const char *why)
{
	bool wanted = l->why;

	if (streq_ptr(l->why, why))
		return;
	(void)free_and_strdup(&l->why, why);
	if (l->why && !wanted) {
		if (l->trouble)
			log_warning(0, "The host can suspend while VFs are held: %s", l->trouble);
		ask(l);
	} else if (!l->why) {
		if (l->fd >= 0)
			log_notice("The host may suspend again");
		l->fd = safe_close(l->fd);
	}
}

bool sleep_lock_held(const struct sleep_lock *l)
{
	return l->fd >= 0;
}

const char *sleep_lock_trouble(const struct sleep_lock *l)
{
	if (l->trouble)
		return l->trouble;
	return l->bus && sd_bus_is_ready(l->bus) > 0 ? NULL : "D-Bus does not answer (yet)";
}

/* ---- what logind and the bus say ---- */

static void set_asleep(struct sleep_lock *l, bool asleep)
{
	if (l->asleep == asleep)
		return;
	l->asleep = asleep;
	if (l->fn)
		l->fn(l->userdata, asleep);
}

static int on_prepare_for_sleep(sd_bus_message *m, void *userdata, sd_bus_error *unused)
{
	struct sleep_lock *l = userdata;
	int about_to;

	if (sd_bus_message_read(m, "b", &about_to) < 0)
		return 0;
	set_asleep(l, about_to);
	if (!about_to && l->why && l->fd < 0)
		ask(l); /* on its way into sleep logind refuses locks */
	return 0;
}

/* A logind that is new may not know of locks that the one before gave. */
static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *unused)
{
	struct sleep_lock *l = userdata;
	const char *name, *old, *new;

	if (sd_bus_message_read(m, "sss", &name, &old, &new) < 0)
		return 0;
	if (*new == '\0')
		set_trouble(l, "logind is away");
	else if (l->why)
		ask(l);
	else
		set_trouble(l, NULL);
	return 0;
}

static int hung_up(struct sleep_lock *l);

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *unused)
{
	return hung_up(userdata);
}

/* ---- the connection ---- */

static void disconnect(struct sleep_lock *l)
{
	l->asked = sd_bus_slot_unref(l->asked);
	l->bus = sd_bus_close_unref(l->bus);
}

static int follow(struct sleep_lock *l, sd_bus *bus)
{
	int r;

	r = sd_bus_add_match_async(bus, NULL,
				   "type='signal',sender='" LOGIND "',path='" LOGIND_PATH "',interface='"
				   LOGIND_MANAGER "',member='PrepareForSleep'",
				   on_prepare_for_sleep, NULL, l);
	if (r >= 0)
		r = sd_bus_add_match_async(bus, NULL,
					   "type='signal',sender='" BUS "',interface='" BUS
					   "',member='NameOwnerChanged',arg0='" LOGIND "'",
					   on_owner_changed, NULL, l);
	if (r >= 0)
		r = sd_bus_add_match_async(bus, NULL,
					   "type='signal',sender='" BUS ".Local',interface='" BUS
					   ".Local',member='Disconnected'",
					   on_disconnected, NULL, l);
	return r;
}

static int connect_bus(struct sleep_lock *l)
{
	sd_bus *bus = NULL;
	int r;

	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, l->address);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_set_watch_bind(bus, true); /* the bus may start after us */
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_attach_event(bus, l->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = follow(l, bus);
	if (r < 0) {
		sd_bus_close_unref(bus);
		return r;
	}
	l->bus = bus;
	if (l->why)
		ask(l);
	return 0;
}

static int on_reconnect(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sleep_lock *l = userdata;

	l->reconnect = sd_event_source_disable_unref(l->reconnect);
	disconnect(l);
	if (connect_bus(l) < 0)
		return hung_up(l);
	set_asleep(l, false); /* the word that it woke up would have been lost */
	return 0;
}

static int hung_up(struct sleep_lock *l)
{
	set_trouble(l, "D-Bus hung up");
	if (l->reconnect)
		return 0;
	return sd_event_add_time_relative(l->event, &l->reconnect, CLOCK_MONOTONIC, RECONNECT_USEC, 0,
					  on_reconnect, l);
}

void sleep_lock_follow(struct sleep_lock *l, sleep_lock_fn fn, void *userdata)
{
	l->fn = fn;
	l->userdata = userdata;
}

struct sleep_lock *sleep_lock_free(struct sleep_lock *l)
{
	if (!l)
		return NULL;
	disconnect(l);
	sd_event_source_disable_unref(l->reconnect);
	safe_close(l->fd);
	sd_event_unref(l->event);
	free(l->address);
	free(l->why);
	free(l->trouble);
	free(l);
	return NULL;
}

int sleep_lock_new(struct sd_event *event, const char *address, struct sleep_lock **ret)
{
	_cleanup_(sleep_lock_freep) struct sleep_lock *l = calloc(1, sizeof(*l));
	const char *said = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
	int r;

	if (!l)
		return -ENOMEM;
	l->fd = -1;
	l->event = sd_event_ref(event);
	l->address = strdup(address ? address : said ? said : SYSTEM_BUS_ADDRESS);
	if (!l->address)
		return -ENOMEM;
	r = connect_bus(l);
	if (r < 0)
		r = hung_up(l);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(l);
	return 0;
}
