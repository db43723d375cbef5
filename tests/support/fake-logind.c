/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/fake-logind.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "lib/macros.h"

#define DBUS_DAEMON "/usr/bin/dbus-daemon"
#define NAME "org.freedesktop.login1"
#define OBJECT "/org/freedesktop/login1"
#define INTERFACE NAME ".Manager"

bool fake_logind_possible(void)
{
	return access(DBUS_DAEMON, X_OK) == 0;
}

static int on_closed(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct fake_logind *f = userdata;

	f->let_go = true;
	f->watch = sd_event_source_disable_unref(f->watch);
	return 0;
}

static void forget_lock(struct fake_logind *f)
{
	f->watch = sd_event_source_disable_unref(f->watch);
	f->lock = safe_close(f->lock);
	f->let_go = false;
}

static int on_inhibit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_logind *f = userdata;
	const char *what, *who, *why, *mode;
	int ends[2], r;

	assert_true(sd_bus_message_read(m, "ssss", &what, &who, &why, &mode) >= 0);
	f->asked++;
	snprintf(f->what, sizeof(f->what), "%s", what);
	snprintf(f->who, sizeof(f->who), "%s", who);
	snprintf(f->why, sizeof(f->why), "%s", why);
	snprintf(f->mode, sizeof(f->mode), "%s", mode);
	if (f->refuse)
		return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, f->refuse);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	forget_lock(f);
	f->lock = ends[0];
	assert_true(sd_event_add_io(f->event, &f->watch, f->lock, 0, on_closed, f) >= 0);
	r = sd_bus_reply_method_return(m, "h", ends[1]);
	safe_close(ends[1]);
	return r;
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Inhibit", "ssss", "h", on_inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL("PrepareForSleep", "b", 0),
	SD_BUS_VTABLE_END,
};

void fake_logind_init(struct fake_logind *f, sd_event *event)
{
	*f = (struct fake_logind){ .event = event, .lock = -1 };
	strcpy(f->directory, "/tmp/gpuvf-test-bus-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->address, sizeof(f->address), "unix:path=%s/bus", f->directory);
}

void fake_bus_start(struct fake_logind *f)
{
	char argument[160], byte;
	int ready[2];

	snprintf(argument, sizeof(argument), "--address=%s", f->address);
	assert_int_equal(pipe(ready), 0);
	f->daemon = fork();
	assert_true(f->daemon >= 0);
	if (f->daemon == 0) {
		dup2(ready[1], STDOUT_FILENO); /* the address is printed when it listens */
		close(ready[0]);
		close(ready[1]);
		execl(DBUS_DAEMON, DBUS_DAEMON, "--session", "--nofork", "--nopidfile", "--nosyslog",
		      "--print-address=1", argument, NULL);
		_exit(127);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

void fake_bus_stop(struct fake_logind *f)
{
	char path[128];

	if (f->daemon == 0)
		return;
	kill(f->daemon, SIGKILL);
	waitpid(f->daemon, NULL, 0);
	f->daemon = 0;
	snprintf(path, sizeof(path), "%s/bus", f->directory);
	unlink(path);
}

void fake_logind_start(struct fake_logind *f)
{
	assert_true(sd_bus_new(&f->bus) >= 0);
	assert_true(sd_bus_set_address(f->bus, f->address) >= 0);
	assert_true(sd_bus_set_bus_client(f->bus, true) >= 0);
	assert_true(sd_bus_start(f->bus) >= 0);
	assert_true(sd_bus_add_object_vtable(f->bus, NULL, OBJECT, INTERFACE, vtable, f) >= 0);
	assert_true(sd_bus_request_name(f->bus, NAME, 0) >= 0);
	assert_true(sd_bus_attach_event(f->bus, f->event, 0) >= 0);
}

void fake_logind_stop(struct fake_logind *f)
{
	f->bus = sd_bus_flush_close_unref(f->bus);
}

void fake_logind_sleep(struct fake_logind *f, bool about_to)
{
	assert_true(sd_bus_emit_signal(f->bus, OBJECT, INTERFACE, "PrepareForSleep", "b", (int)about_to) >= 0);
}

void fake_logind_done(struct fake_logind *f)
{
	fake_logind_stop(f);
	fake_bus_stop(f);
	forget_lock(f);
	rmdir(f->directory);
}
