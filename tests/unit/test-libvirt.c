/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The libvirt layer against libvirt's own test driver: threads, events, refusals, with real libvirt
 * calls.  What only QEMU can do (attach, agents) is shown in the testbed. */
#include <libvirt/libvirt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include <cmocka.h>

#include "hypervisor/hypervisor-ops.h"
#include "hypervisor/libvirt-events.h"
#include "lib/clock.h"
#include "lib/units.h"
#include "log/log.h"

/* GLib's own allocator and locks are futexes that the thread sanitizer does not see, and with them
 * what libvirt does with its objects.  Our own threads without libvirt: test-libvirt-calls,
 * test-outbox. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libglib-2.0.so\nrace:libvirt.so.0\n";
}

#define URI "test:///default"
#define NO_SUCH_UUID "11111111-2222-3333-4444-555555555555"
#define GUEST_UUID "aaaaaaaa-0000-4000-8000-000000000001"

static const char guest_xml[] =
	"<domain type='test'><name>guest</name><uuid>" GUEST_UUID "</uuid><memory>65536</memory>"
	"<os><type>hvm</type></os><devices><hostdev mode='subsystem' type='pci' managed='no'>"
	"<source><address domain='0x0000' bus='0x03' slot='0x00' function='0x1'/></source>"
	"<alias name='ua-gpuvf-1'/></hostdev></devices></domain>";

struct fixture {
	sd_event *event;
	struct hypervisor *hv;
	virConnectPtr other; /* somebody else who uses libvirt too */
	bool timed_out;

	/* what came */
	unsigned connected, lost, gone, replies;
	char gone_uuid[37];
	struct domain_facts *changed; /* the last HV_EVENT_DOMAIN */
	struct hv_reply reply;        /* the last one, copied */
};

static void on_event(void *userdata, const struct hv_event *event)
{
	struct fixture *f = userdata;

	switch (event->type) {
	case HV_EVENT_CONNECTED:
		f->connected++;
		break;
	case HV_EVENT_LOST_CONNECTION:
		assert_non_null(event->reason);
		f->lost++;
		break;
	case HV_EVENT_DOMAIN:
		assert_string_equal(event->uuid, event->domain->uuid);
		domain_facts_free(f->changed);
		f->changed = domain_facts_copy(event->domain);
		break;
	case HV_EVENT_DOMAIN_GONE:
		strncpy(f->gone_uuid, event->uuid, sizeof(f->gone_uuid) - 1);
		f->gone++;
		break;
	default:
		break;
	}
}

static void on_reply(void *userdata, const struct hv_reply *reply)
{
	struct fixture *f = userdata;
	_cleanup_json_ json_t *copy = hv_reply_to_json(reply);

	hv_reply_done(&f->reply);
	assert_int_equal(hv_reply_from_json(copy, &f->reply), 0);
	f->replies++;
}

static int on_test_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	((struct fixture *)userdata)->timed_out = true;
	return 0;
}

/* Runs the loop until the condition holds; fails after ten seconds. */
#define run_until(f, condition)                                                                    \
	do {                                                                                       \
		sd_event_source *_timer = NULL;                                                    \
		assert_true(sd_event_add_time_relative((f)->event, &_timer, CLOCK_MONOTONIC,       \
						       10 * USEC_PER_SEC, 0, on_test_deadline,     \
						       (f)) >= 0);                                 \
		while (!(condition) && !(f)->timed_out)                                            \
			assert_true(sd_event_run((f)->event, UINT64_MAX) >= 0);                    \
		sd_event_source_disable_unref(_timer);                                             \
		assert_true(condition);                                                            \
	} while (0)

static enum hv_failure ask(struct fixture *f, const struct hv_request *request)
{
	unsigned before = f->replies;

	assert_int_equal(f->hv->ops->request(f->hv, request, on_reply, f), 0);
	assert_int_equal(f->replies, before); /* never from within */
	run_until(f, f->replies > before);
	assert_int_equal(f->replies, before + 1);
	return f->reply.failure;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(sd_event_new(&f->event), 0);
	assert_int_equal(hypervisor_libvirt_new(f->event, URI, &f->hv, NULL), 0);
	f->hv->on_event = on_event;
	f->hv->userdata = f;
	f->other = virConnectOpen(URI);
	assert_non_null(f->other);
	*state = f;
	return 0;
}

static int set_up_connected(void **state)
{
	struct fixture *f;

	set_up(state);
	f = *state;
	assert_int_equal(f->hv->ops->start(f->hv), 0);
	run_until(f, f->connected == 1);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	virConnectClose(f->other);
	hypervisor_free(f->hv);
	domain_facts_free(f->changed);
	hv_reply_done(&f->reply);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

static struct domain_facts *find(const struct hv_reply *reply, const char *name)
{
	for (size_t i = 0; i < reply->n_domains; i++)
		if (streq(reply->domains[i]->name, name))
			return reply->domains[i];
	return NULL;
}

static void test_refused_before_connecting(void **state)
{
	struct fixture *f = *state;
	struct hv_request request = { .op = HV_LIST };

	assert_int_equal(ask(f, &request), HV_DISCONNECTED);
	assert_non_null(f->reply.message);

	request.op = HV_GET;
	assert_int_equal(f->hv->ops->request(f->hv, &request, on_reply, f), -EINVAL);
	request.op = HV_AGENT;
	request.uuid = NO_SUCH_UUID;
	assert_int_equal(f->hv->ops->request(f->hv, &request, on_reply, f), -EINVAL);
	request.op = HV_ATTACH;
	assert_int_equal(f->hv->ops->request(f->hv, &request, on_reply, f), -EINVAL);
}

static void test_list(void **state)
{
	struct fixture *f = *state;
	const struct hv_request request = { .op = HV_LIST };
	struct domain_facts *facts;

	assert_int_equal(ask(f, &request), HV_OK);
	facts = find(&f->reply, "test");
	assert_non_null(facts);
	assert_int_equal(facts->state, VM_RUNNING);
	assert_true(facts->persistent);
	assert_true(facts->id > 0);
	assert_int_equal(facts->agent, VM_AGENT_ABSENT);
	assert_string_equal(facts->guest_root, "");
}

static void test_get(void **state)
{
	struct fixture *f = *state;
	virDomainPtr guest = virDomainCreateXML(f->other, guest_xml, 0);
	struct hv_request request = { .op = HV_GET, .uuid = GUEST_UUID, .barrier = true };

	assert_non_null(guest);
	assert_int_equal(ask(f, &request), HV_OK);
	assert_int_equal(f->reply.n_domains, 1);
	assert_string_equal(f->reply.domains[0]->name, "guest");
	assert_false(f->reply.domains[0]->persistent);
	assert_int_equal(f->reply.domains[0]->n_hostdevs, 1);
	assert_string_equal(f->reply.domains[0]->hostdevs[0].alias, "ua-gpuvf-1");
	assert_true(f->reply.domains[0]->hostdevs[0].live);
	assert_false(f->reply.domains[0]->hostdevs[0].config);

	request.uuid = NO_SUCH_UUID;
	assert_int_equal(ask(f, &request), HV_NO_DOMAIN);
	request.barrier = false;
	assert_int_equal(ask(f, &request), HV_NO_DOMAIN);
	assert_int_equal(f->reply.n_domains, 0);

	assert_int_equal(virDomainDestroy(guest), 0);
	virDomainFree(guest);
}

static void test_device_refusals(void **state)
{
	struct fixture *f = *state;
	virDomainPtr guest = virDomainCreateXML(f->other, guest_xml, 0);
	struct hv_request request = {
		.op = HV_ATTACH,
		.uuid = GUEST_UUID,
		.live = true,
		.alias = "ua-gpuvf-2",
		.address = { .bus = 3, .function = 1 },
	};

	assert_non_null(guest);
	assert_int_equal(ask(f, &request), HV_ALREADY);
	/* the test driver cannot attach: libvirt's own words come through */
	request.address.function = 2;
	assert_int_equal(ask(f, &request), HV_FAILED);
	assert_non_null(strstr(f->reply.message, "not supported"));
	assert_true(f->reply.tried);
	request.config = true;
	request.live = false; /* which no guest sees */
	assert_int_not_equal(ask(f, &request), HV_OK);
	assert_false(f->reply.tried);
	request.config = false;
	request.live = true;

	request.op = HV_DETACH;
	assert_int_equal(ask(f, &request), HV_ALREADY);
	request.address.function = 1; /* but under another alias: another lease */
	assert_int_equal(ask(f, &request), HV_ALREADY);
	request.uuid = NO_SUCH_UUID;
	assert_int_equal(ask(f, &request), HV_NO_DOMAIN);

	assert_int_equal(virDomainDestroy(guest), 0);
	virDomainFree(guest);
}

/* More memory than any host has: an attach would pin it, unless it was taken when the guest was started. */
static void test_memory_refusal(void **state)
{
	static const struct {
		const char *backing;
		enum hv_failure failure;
	} rows[] = {
		{ "", HV_NO_MEMORY },
		{ "<memoryBacking><locked/></memoryBacking>", HV_FAILED }, /* the test driver cannot attach */
		{ "<memoryBacking><hugepages/></memoryBacking>", HV_FAILED },
	};
	struct fixture *f = *state;
	struct hv_request request = { .op = HV_ATTACH, .uuid = GUEST_UUID, .live = true, .address = { .bus = 3 } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *xml =
			xasprintf("<domain type='test'><name>guest</name><uuid>" GUEST_UUID "</uuid><memory unit='PiB'>1</memory>"
				  "%s<os><type>hvm</type></os><devices><memballoon model='virtio'/></devices></domain>",
				  rows[i].backing);
		virDomainPtr guest = virDomainCreateXML(f->other, xml, 0);

		assert_non_null(guest);
		for (int again = 0; again < 2; again++) { /* nothing stays promised */
			assert_int_equal(ask(f, &request), rows[i].failure);
			assert_non_null(strstr(f->reply.message, rows[i].failure == HV_NO_MEMORY ? "pins all" : "not supported"));
		}
		assert_int_equal(virDomainDestroy(guest), 0);
		virDomainFree(guest);
	}
}

/* A start pins it when the definition has a device; what is locked is taken then too, huge pages are set aside. */
static void test_start_memory_refusal(void **state)
{
#define DEVICE                                                                                     \
	"<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='3' slot='0' function='1'/></source>" \
	"</hostdev>"
	static const struct {
		const char *backing, *devices;
		enum hv_failure failure;
	} rows[] = {
		{ "", DEVICE, HV_NO_MEMORY },
		{ "<memoryBacking><locked/></memoryBacking>", DEVICE, HV_NO_MEMORY },
		{ "<memoryBacking><hugepages/></memoryBacking>", DEVICE, HV_OK },
		{ "", "", HV_OK },
	};
	struct fixture *f = *state;
	struct hv_request request = { .op = HV_START, .uuid = GUEST_UUID };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *xml =
			xasprintf("<domain type='test'><name>guest</name><uuid>" GUEST_UUID "</uuid><memory unit='PiB'>1</memory>"
				  "%s<os><type>hvm</type></os><devices>%s<memballoon model='virtio'/></devices></domain>",
				  rows[i].backing, rows[i].devices);
		virDomainPtr guest = virDomainDefineXML(f->other, xml);

		assert_non_null(guest);
		assert_int_equal(ask(f, &request), rows[i].failure);
		assert_int_equal(virDomainIsActive(guest), rows[i].failure == HV_OK);
		if (rows[i].failure == HV_OK)
			assert_int_equal(virDomainDestroy(guest), 0);
		else
			assert_non_null(strstr(f->reply.message, "pins all"));
		assert_int_equal(virDomainUndefine(guest), 0);
		virDomainFree(guest);
	}
#undef DEVICE
}

static void test_saved(void **state)
{
	struct fixture *f = *state;
	virDomainPtr guest = virDomainDefineXML(f->other, guest_xml);
	struct hv_request get = { .op = HV_GET, .uuid = GUEST_UUID };
	struct hv_request attach = { .op = HV_ATTACH, .uuid = GUEST_UUID, .config = true, .address = { .bus = 4 } };

	assert_non_null(guest);
	assert_int_equal(virDomainCreate(guest), 0);
	assert_int_equal(ask(f, &get), HV_OK);
	assert_false(f->reply.domains[0]->saved);
	assert_int_equal(virDomainManagedSave(guest, 0), 0);
	run_until(f, f->changed && f->changed->saved); /* by itself */
	assert_int_equal(f->changed->state, VM_OFF);
	assert_int_equal(ask(f, &attach), HV_SAVED);
	assert_string_equal(f->reply.message, HV_SAVED_TEXT);
	attach.address = (struct pci_address){ .bus = 3, .function = 1 };
	assert_int_equal(ask(f, &attach), HV_ALREADY); /* it is there, whatever the next start does */
	assert_int_equal(virDomainManagedSaveRemove(guest, 0), 0);
	assert_int_equal(ask(f, &get), HV_OK);
	assert_false(f->reply.domains[0]->saved);
	attach.address = (struct pci_address){ .bus = 4 };
	assert_int_equal(ask(f, &attach), HV_FAILED); /* the test driver cannot attach */
	assert_int_equal(virDomainUndefine(guest), 0);
	virDomainFree(guest);
}

static void test_off(void **state)
{
	struct fixture *f = *state;
	virDomainPtr guest = virDomainDefineXML(f->other, guest_xml);
	struct hv_request request = {
		.op = HV_ATTACH,
		.uuid = GUEST_UUID,
		.live = true,
		.address = { .bus = 4 },
	};

	assert_non_null(guest);
	assert_int_equal(ask(f, &request), HV_NOT_RUNNING);
	request.op = HV_DETACH;
	assert_int_equal(ask(f, &request), HV_NOT_RUNNING);
	request.op = HV_GET;
	request.barrier = true;
	assert_int_equal(ask(f, &request), HV_OK);
	assert_int_equal(f->reply.domains[0]->state, VM_OFF);
	assert_int_equal(f->reply.domains[0]->id, -1);
	assert_true(f->reply.domains[0]->hostdevs[0].config);
	assert_false(f->reply.domains[0]->hostdevs[0].live);

	assert_int_equal(virDomainUndefine(guest), 0);
	virDomainFree(guest);
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	virDomainPtr guest = virDomainCreateXML(f->other, guest_xml, 0);

	assert_non_null(guest);
	run_until(f, f->changed && streq(f->changed->uuid, GUEST_UUID) &&
			     f->changed->state == VM_RUNNING);
	assert_int_equal(f->changed->n_hostdevs, 1);
	assert_int_equal(virDomainSuspend(guest), 0);
	run_until(f, f->changed->state == VM_PAUSED);
	assert_int_equal(virDomainResume(guest), 0);
	run_until(f, f->changed->state == VM_RUNNING);
	assert_int_equal(f->gone, 0);
	assert_int_equal(virDomainDestroy(guest), 0);
	run_until(f, f->gone > 0);
	assert_string_equal(f->gone_uuid, GUEST_UUID);
	virDomainFree(guest);
}

static void test_agent_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *command = json_pack("{s:s}", "execute", "guest-ping");
	struct hv_request request = { .op = HV_AGENT, .uuid = NO_SUCH_UUID, .command = command };

	assert_int_equal(ask(f, &request), HV_NO_DOMAIN);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	/* sooner than any thread can answer; the late result must be dropped, not given twice */
	const struct hv_request request = { .op = HV_LIST, .deadline_usec = 1 };
	const struct hv_request list = { .op = HV_LIST };

	assert_int_equal(ask(f, &request), HV_TIMEOUT);
	assert_int_equal(ask(f, &list), HV_OK);
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	const struct hv_request requests[] = {
		{ .op = HV_LIST },
		{ .op = HV_GET, .uuid = NO_SUCH_UUID },
		{ .op = HV_GET, .uuid = NO_SUCH_UUID, .barrier = true },
	};

	for (size_t i = 0; i < 300; i++)
		assert_int_equal(f->hv->ops->request(f->hv, &requests[i % 3], on_reply, f), 0);
	run_until(f, f->replies == 300);
}

static void test_freed_while_busy(void **state)
{
	struct fixture *f = *state;
	const struct hv_request request = { .op = HV_LIST };

	for (size_t i = 0; i < 50; i++)
		assert_int_equal(f->hv->ops->request(f->hv, &request, on_reply, f), 0);
	f->hv = hypervisor_free(f->hv);
	assert_int_equal(f->replies, 0);
}

static void test_freed_while_connecting(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->hv->ops->start(f->hv), 0);
	f->hv = hypervisor_free(f->hv);
	assert_int_equal(f->connected, 0);
}

static void test_nobody_there(void **state)
{
	struct fixture *f = *state;
	struct hypervisor *nobody;
	const struct hv_request request = { .op = HV_LIST };

	assert_int_equal(hypervisor_libvirt_new(
				 f->event, "test+unix:///default?socket=/nonexistent", &nobody, NULL),
			 0);
	hypervisor_free(f->hv);
	f->hv = nobody;
	f->hv->on_event = on_event;
	f->hv->userdata = f;
	assert_int_equal(f->hv->ops->start(f->hv), 0);
	assert_int_equal(ask(f, &request), HV_DISCONNECTED);
	assert_int_equal(f->connected, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused_before_connecting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_list, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_get, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_device_refusals, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_memory_refusal, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_start_memory_refusal, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_saved, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_off, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_events, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_agent_refused, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_deadline, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_freed_while_busy, set_up_connected, tear_down),
		cmocka_unit_test_setup_teardown(test_freed_while_connecting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_there, set_up, tear_down),
	};

	log_setup(LOG_ERR, false);
	/* before the first libvirt call of this process, ours included */
	assert_int_equal(libvirt_events_start(NULL), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
