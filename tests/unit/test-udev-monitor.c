/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel events in the order in which the kernel sends them, through a mocked /sys and udev. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <libudev.h>
#include <systemd/sd-event.h>
#include <umockdev.h>

#include "host/udev-monitor.h"
#include "lib/clock.h"
#include "lib/units.h"

#define PF "0000:03:00.0"
#define VF "0000:03:00.1"
#define OTHER "0000:05:00.0"
#define EVENTS_DEADLINE_USEC (10 * USEC_PER_SEC)

struct stage {
	UMockdevTestbed *testbed;
	sd_event *event;
	struct udev_monitor_watch *watch;
	unsigned n[HOST_EVENT_MAX];
	unsigned events, order[HOST_EVENT_MAX]; /* when the last of each came */
	char ways[64]; /* of the last HOST_EVENT_WEDGED */
	struct pci_address last;
	char *pf; /* paths */
};

/* What the socket does when more came than it holds. */
static bool overflows;
struct udev_device *__real_udev_monitor_receive_device(struct udev_monitor *monitor);
struct udev_device *__wrap_udev_monitor_receive_device(struct udev_monitor *monitor);
struct udev_device *__wrap_udev_monitor_receive_device(struct udev_monitor *monitor)
{
	if (!overflows)
		return __real_udev_monitor_receive_device(monitor);
	overflows = false;
	errno = ENOBUFS;
	return NULL;
}

static void on_event(void *userdata, const struct host_event *event)
{
	struct stage *s = userdata;

	s->n[event->type]++;
	s->order[event->type] = ++s->events;
	s->last = event->gpu;
	if (event->type == HOST_EVENT_WEDGED)
		snprintf(s->ways, sizeof(s->ways), "%s", event->attribute);
}

static char *add_function(struct stage *s, const char *name, const char *id, const char *class_code)
{
	char *path = umockdev_testbed_add_device(s->testbed, "pci", name, NULL, "vendor", "0x8086",
						 NULL, "PCI_ID", id, "PCI_CLASS", class_code,
						 "PCI_SLOT_NAME", name, NULL);

	assert_non_null(path);
	return path;
}

static void learn(struct stage *s, unsigned n_vfs)
{
	struct vf_facts vf = { .index = 1 };
	struct gpu_facts facts = { .vfs = &vf, .n_vfs = n_vfs };

	assert_int_equal(pci_address_parse(PF, &facts.address), 0);
	assert_int_equal(pci_address_parse(VF, &vf.address), 0);
	assert_int_equal(udev_monitor_watch_learn(s->watch, &facts), 0);
}

static int setup(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->testbed = umockdev_testbed_new();
	s->pf = add_function(s, PF, "8086:56C0", "38000");
	assert_true(sd_event_new(&s->event) >= 0);
	assert_int_equal(udev_monitor_watch_new(s->event, on_event, s, &s->watch), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stage *s = *state;

	udev_monitor_watch_free(s->watch);
	sd_event_unref(s->event);
	g_free(s->pf);
	g_object_unref(s->testbed);
	free(s);
	return 0;
}

static void uevent(struct stage *s, const char *path, const char *action)
{
	umockdev_testbed_uevent(s->testbed, path, action);
}

static void wait_event(struct stage *s, enum host_event_type type, unsigned n)
{
	uint64_t begin = now_boottime();

	while (s->n[type] < n) {
		assert_true(now_boottime() - begin < EVENTS_DEADLINE_USEC);
		assert_true(sd_event_run(s->event, 100 * USEC_PER_MSEC) >= 0);
	}
}

/* Nothing else may come: another card's event is sent last and waited for. */
static void assert_quiet(struct stage *s)
{
	unsigned rescans = s->n[HOST_EVENT_RESCAN];
	unsigned changes = s->n[HOST_EVENT_CHANGED];
	char *path = add_function(s, "0000:7f:00.0", "8086:56C1", "38000");

	uevent(s, path, "add");
	wait_event(s, HOST_EVENT_RESCAN, rescans + 1);
	assert_int_equal(s->n[HOST_EVENT_CHANGED], changes);
	assert_int_equal(s->n[HOST_EVENT_RESCAN], rescans + 1);
	g_free(path);
}

static void assert_last(struct stage *s, const char *want)
{
	assert_string_equal(PCI_ADDRESS_STR(&s->last), want);
}

static void test_card_changes(void **state)
{
	struct stage *s = *state;

	learn(s, 0);
	uevent(s, s->pf, "change");
	uevent(s, s->pf, "change");
	wait_event(s, HOST_EVENT_CHANGED, 1);
	assert_last(s, PF);
	assert_quiet(s); /* two events, one word */
}

/* Taken away and given back so quickly that a look sees nothing: the word tells. */
static void test_driver_bound(void **state)
{
	struct stage *s = *state;

	learn(s, 0);
	uevent(s, s->pf, "unbind");
	uevent(s, s->pf, "bind");
	uevent(s, s->pf, "change");
	wait_event(s, HOST_EVENT_BOUND, 1);
	assert_last(s, PF);
	assert_int_equal(s->n[HOST_EVENT_CHANGED], 0);
	uevent(s, s->pf, "unbind");
	wait_event(s, HOST_EVENT_CHANGED, 1);
	assert_int_equal(s->n[HOST_EVENT_BOUND], 1);
	assert_quiet(s);
}

/* "add" of a VF comes before its link; then the link, then "change". */
static void test_vf_appears(void **state)
{
	struct stage *s = *state;
	char *vf;

	learn(s, 0);
	vf = add_function(s, VF, "8086:56C0", "38000");
	uevent(s, vf, "add");
	umockdev_testbed_set_attribute_link(s->testbed, vf, "physfn", "../" PF);
	uevent(s, vf, "change");
	wait_event(s, HOST_EVENT_CHANGED, 1);
	assert_last(s, PF);
	assert_int_equal(s->n[HOST_EVENT_RESCAN], 0);

	/* Its "remove" names no PF; only what was learnt from the link does. */
	uevent(s, vf, "remove");
	wait_event(s, HOST_EVENT_CHANGED, 2);
	assert_last(s, PF);
	assert_int_equal(s->n[HOST_EVENT_RESCAN], 0);
	g_free(vf);
}

static void test_vf_vanishes(void **state)
{
	struct stage *s = *state;
	char *vf = add_function(s, VF, "8086:56C0", "38000");

	learn(s, 1);
	uevent(s, vf, "unbind");
	uevent(s, vf, "remove");
	wait_event(s, HOST_EVENT_CHANGED, 1);
	assert_last(s, PF);
	assert_int_equal(s->n[HOST_EVENT_REMOVED], 0);
	g_free(vf);
}

static void test_card_vanishes_and_returns(void **state)
{
	struct stage *s = *state;

	learn(s, 0);
	uevent(s, s->pf, "remove");
	wait_event(s, HOST_EVENT_REMOVED, 1);
	assert_last(s, PF);
	uevent(s, s->pf, "add");
	wait_event(s, HOST_EVENT_RESCAN, 1);

	/* so quickly that both come together */
	learn(s, 0);
	uevent(s, s->pf, "remove");
	uevent(s, s->pf, "add");
	wait_event(s, HOST_EVENT_RESCAN, 2);
	assert_int_equal(s->n[HOST_EVENT_REMOVED], 1);
}

/* A DRM device below a function speaks for it. */
static void test_drm(void **state)
{
	struct stage *s = *state;
	char *card;

	learn(s, 0);
	card = umockdev_testbed_add_device(s->testbed, "drm", "card0", s->pf, NULL, NULL);
	assert_non_null(card);
	uevent(s, card, "change");
	wait_event(s, HOST_EVENT_CHANGED, 1);
	assert_last(s, PF);
	g_free(card);
}

static char *add_card(struct stage *s)
{
	char *card = umockdev_testbed_add_device(s->testbed, "drm", "card0", s->pf, NULL, NULL);

	assert_non_null(card);
	return card;
}

static void test_wedged(void **state)
{
	struct stage *s = *state;
	char *card = add_card(s);

	learn(s, 0);
	umockdev_testbed_set_property(s->testbed, card, "WEDGED", "none"); /* statistics: it works */
	uevent(s, card, "change");
	wait_event(s, HOST_EVENT_CHANGED, 1);
	assert_int_equal(s->n[HOST_EVENT_WEDGED], 0);
	umockdev_testbed_set_property(s->testbed, card, "WEDGED", "rebind,bus-reset");
	uevent(s, card, "change");
	wait_event(s, HOST_EVENT_WEDGED, 1);
	assert_last(s, PF);
	assert_string_equal(s->ways, "rebind,bus-reset");

	/* What was said before the driver was bound again counts for nothing, what is said after it does. */
	uevent(s, card, "change");
	uevent(s, s->pf, "bind");
	wait_event(s, HOST_EVENT_BOUND, 1);
	assert_int_equal(s->n[HOST_EVENT_WEDGED], 1);
	uevent(s, s->pf, "bind");
	uevent(s, card, "change");
	wait_event(s, HOST_EVENT_WEDGED, 2);
	assert_true(s->order[HOST_EVENT_WEDGED] > s->order[HOST_EVENT_BOUND]);
	g_free(card);
}

/* A daemon that starts later asks udev's own memory. */
static void test_wedged_before(void **state)
{
	struct stage *s = *state;
	char *card = add_card(s);

	umockdev_testbed_set_property(s->testbed, card, "GPUVF_WEDGED", "bus-reset");
	learn(s, 0);
	udev_monitor_watch_recall(s->watch);
	wait_event(s, HOST_EVENT_WEDGED, 1);
	assert_last(s, PF);
	assert_string_equal(s->ways, "bus-reset");
	g_free(card);
}

static void test_overflow(void **state)
{
	struct stage *s = *state;

	learn(s, 0);
	overflows = true;
	uevent(s, s->pf, "change"); /* wakes the watch; nobody knows what was lost with it */
	wait_event(s, HOST_EVENT_RESCAN, 1);
	assert_false(overflows);
}

static void test_foreign(void **state)
{
	struct stage *s = *state;
	char *path = add_function(s, OTHER, "10DE:2204", "30000");
	char *net = add_function(s, "0000:06:00.0", "8086:1572", "20000");

	learn(s, 0);
	uevent(s, path, "add");
	uevent(s, net, "change");
	assert_quiet(s);
	g_free(path);
	g_free(net);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_card_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_driver_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vf_appears, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vf_vanishes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_card_vanishes_and_returns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wedged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wedged_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
	};

	/* The mock lives in a library that must be loaded first. */
	if (!strstr(strempty(getenv("LD_PRELOAD")), "umockdev")) {
		setenv("LD_PRELOAD", "libumockdev-preload.so.0", 1);
		setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 0);
		execv("/proc/self/exe", argv);
		return EXIT_FAILURE;
	}

	return cmocka_run_group_tests(tests, NULL, NULL);
}
