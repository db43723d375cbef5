/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event thread and the callbacks that run on it. */
#include "hypervisor/libvirt-events.h"

#include <libxml/parser.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "hypervisor/libvirt-library.h"
#include "log/log.h"

/* What callbacks need; each registered domain callback holds a reference until libvirt says that it
 * is done with it. */
struct target {
	atomic_uint refs;
	struct outbox *outbox;
	mailbox_fn fn;
	void *owner;
	unsigned generation;
};

struct libvirt_subscription {
	virConnectPtr connection; /* a reference */
	struct target *target;
	int ids[8];
	size_t n_ids;
};

/* ---- The thread ---------------------------------------------------------------------------- */

static void quiet(void *userdata, virErrorPtr error)
{
	/* each caller looks at the error itself; the default would write to stderr */
}

static void *event_thread(void *userdata)
{
	for (;;)
		if (vir.EventRunDefaultImpl() < 0)
			log_ratelimited(LOG_ERR, -EIO, NULL, NULL, "libvirt's event loop failed");
	return NULL;
}

static int start_result;
static char *start_message;

static void start_once(void)
{
	sigset_t all, saved;
	pthread_t thread;

	start_result = libvirt_library_load(&start_message);
	if (start_result < 0)
		return;
	xmlInitParser();
	if (vir.Initialize() < 0 || vir.EventRegisterDefaultImpl() < 0) {
		start_result = -EIO;
		return;
	}
	vir.SetErrorFunc(NULL, quiet);

	/* signals are the loop's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	start_result = -pthread_create(&thread, NULL, event_thread, NULL);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (start_result == 0)
		pthread_detach(thread);
}

int libvirt_events_start(char **ret_message)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start_once);
	if (start_message)
		*ret_message = strdup(start_message);
	return start_result;
}

/* ---- Posting ------------------------------------------------------------------------------- */

void libvirt_event_free(struct libvirt_event *event)
{
	if (!event)
		return;
	free(event->alias);
	free(event);
}

static void event_drop(void *payload)
{
	libvirt_event_free(payload);
}

static void target_unref(void *userdata)
{
	struct target *t = userdata;

	if (atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	outbox_unref(t->outbox);
	free(t);
}

static struct target *target_ref(struct target *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

/* A lost event (no memory) is made good by the next list. */
static void post(struct target *t, enum libvirt_event_type type, virDomainPtr domain,
		 const char *alias, const char *reason)
{
	struct libvirt_event *event = calloc(1, sizeof(*event));

	if (!event)
		return;
	event->type = type;
	event->generation = t->generation;
	event->reason = reason;
	event->owner = t->owner;
	if (domain && vir.DomainGetUUIDString(domain, event->uuid) < 0)
		return libvirt_event_free(event);
	if (alias) {
		event->alias = strndup(alias, 255);
		if (!event->alias)
			return libvirt_event_free(event);
	}
	(void)outbox_post(t->outbox, t->fn, event, event_drop);
}

/* ---- Callbacks, on the event thread -------------------------------------------------------- */

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail,
			void *userdata)
{
	post(userdata, LIBVIRT_EVENT_DOMAIN, domain, NULL, NULL);
	return 0;
}

static void on_reboot(virConnectPtr connection, virDomainPtr domain, void *userdata)
{
	post(userdata, LIBVIRT_EVENT_DOMAIN, domain, NULL, NULL);
}

static void on_agent(virConnectPtr connection, virDomainPtr domain, int state, int reason,
		     void *userdata)
{
	post(userdata, LIBVIRT_EVENT_DOMAIN, domain, NULL, NULL);
}

static void on_device_added(virConnectPtr connection, virDomainPtr domain, const char *alias,
			    void *userdata)
{
	post(userdata, LIBVIRT_EVENT_DEVICE_ADDED, domain, alias, NULL);
}

static void on_device_removed(virConnectPtr connection, virDomainPtr domain, const char *alias,
			      void *userdata)
{
	post(userdata, LIBVIRT_EVENT_DEVICE_REMOVED, domain, alias, NULL);
}

static void on_removal_failed(virConnectPtr connection, virDomainPtr domain, const char *alias,
			      void *userdata)
{
	post(userdata, LIBVIRT_EVENT_REMOVAL_FAILED, domain, alias, NULL);
}

static void on_close(virConnectPtr connection, int reason, void *userdata)
{
	static const char *const reasons[] = {
		[VIR_CONNECT_CLOSE_REASON_ERROR] = "the connection broke",
		[VIR_CONNECT_CLOSE_REASON_EOF] = "libvirtd closed the connection",
		[VIR_CONNECT_CLOSE_REASON_KEEPALIVE] = "libvirtd does not answer any more",
		[VIR_CONNECT_CLOSE_REASON_CLIENT] = "the connection was closed",
	};
	bool known = reason >= 0 && (size_t)reason < ARRAY_SIZE(reasons);

	post(userdata, LIBVIRT_EVENT_CLOSED, NULL, NULL, known ? reasons[reason] : reasons[0]);
}

static const struct {
	int id;
	virConnectDomainEventGenericCallback callback;
	bool required; /* the test driver knows lifecycle only */
} callbacks[] = {
	{ VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), true },
	{ VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot), false },
	{ VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_agent), false },
	{ VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device_added), false },
	{ VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device_removed), false },
	{ VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_removal_failed),
	  false },
};

/* ---- Subscriptions ------------------------------------------------------------------------- */

struct libvirt_subscription *libvirt_events_unsubscribe(struct libvirt_subscription *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_ids; i++)
		(void)vir.ConnectDomainEventDeregisterAny(s->connection, s->ids[i]);
	(void)vir.ConnectUnregisterCloseCallback(s->connection, on_close);
	vir.ConnectClose(s->connection);
	target_unref(s->target);
	free(s);
	return NULL;
}

/* A driver inside this process has no connection that could break: it takes a callback and forgets
 * it, free function included.  Others keep it, also after an unregistering that failed because the
 * connection was dead already, and call the free function in the end.  They can be told apart:
 * those refuse a second one. */
static void register_close(virConnectPtr connection, struct target *t)
{
	bool kept;

	kept = vir.ConnectRegisterCloseCallback(connection, on_close, target_ref(t), target_unref) >=
		       0 &&
	       vir.ConnectRegisterCloseCallback(connection, on_close, t, NULL) < 0;
	if (!kept)
		target_unref(t);
	vir.ResetLastError();
}

int libvirt_events_watch_close(virConnectPtr connection, struct outbox *outbox, mailbox_fn fn,
			       void *owner, unsigned generation, struct libvirt_subscription **ret)
{
	struct libvirt_subscription *s = calloc(1, sizeof(*s));
	struct target *t = calloc(1, sizeof(*t));

	if (!s || !t) {
		free(s);
		free(t);
		return -ENOMEM;
	}
	atomic_init(&t->refs, 1);
	t->outbox = outbox_ref(outbox);
	t->fn = fn;
	t->owner = owner;
	t->generation = generation;
	s->target = t;
	s->connection = connection;
	vir.ConnectRef(connection);

	register_close(connection, t);
	*ret = s;
	return 0;
}

int libvirt_events_subscribe(virConnectPtr connection, struct outbox *outbox, mailbox_fn fn,
			     void *owner, unsigned generation, struct libvirt_subscription **ret,
			     char **ret_message)
{
	struct libvirt_subscription *s;
	int r;

	r = libvirt_events_watch_close(connection, outbox, fn, owner, generation, &s);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(callbacks); i++) {
		int id = vir.ConnectDomainEventRegisterAny(connection, NULL, callbacks[i].id,
							  callbacks[i].callback,
							  target_ref(s->target), target_unref);

		if (id >= 0) {
			s->ids[s->n_ids++] = id;
			continue;
		}
		target_unref(s->target);
		if (callbacks[i].required) {
			*ret_message = xasprintf("%s", vir.GetLastErrorMessage());
			libvirt_events_unsubscribe(s);
			return -EIO;
		}
	}
	*ret = s;
	return 0;
}
