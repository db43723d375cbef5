/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event log: numbered, durable, seen after the commit.  The last EVENTS_KEPT are kept in a ring for
 * subscribers that come back, and in the store for the next daemon. */
#include "manager-state.h"

struct kept_event {
	json_t *json;
	bool owned;
	uid_t owner;
};

struct observer {
	int id;
	manager_event_fn fn;
	void *userdata;
	struct observer *next;
};

struct event_log {
	uint64_t next;	/* seq of the next event */
	uint64_t seen;	/* everything below was shown to observers */
	struct kept_event ring[EVENTS_KEPT];
	struct observer *observers;
	int next_observer;
};

int events_new(struct manager *m)
{
	m->events = calloc(1, sizeof(*m->events));
	if (!m->events)
		return -ENOMEM;
	m->events->next = m->events->seen = 1;
	m->events->next_observer = 1;
	return 0;
}

void events_free(struct manager *m)
{
	if (!m->events)
		return;
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		json_decref(m->events->ring[i].json);
	while (m->events->observers) {
		struct observer *next = m->events->observers->next;

		free(m->events->observers);
		m->events->observers = next;
	}
	free(m->events);
	m->events = NULL;
}

static void event_id(uint64_t seq, char *buf, size_t size)
{
	snprintf(buf, size, "%020llu", (unsigned long long)seq); /* sorts as a number */
}

static void keep(struct event_log *log, uint64_t seq, json_t *json, bool owned, uid_t owner)
{
	struct kept_event *slot = &log->ring[seq % EVENTS_KEPT];

	json_decref(slot->json);
	*slot = (struct kept_event){ .json = json, .owned = owned, .owner = owner };
}

static int load_row(void *userdata, const char *id, const json_t *doc)
{
	struct event_log *log = userdata;
	json_t *event = json_object_get(doc, "event");
	uint64_t seq = json_get_uint(event, "seq", 0);

	if (seq == 0 || !json_get_string(event, "type"))
		return -EBADMSG;
	keep(log, seq, json_incref(event), json_get_bool(doc, "owned", false),
	     (uid_t)json_get_uint(doc, "owner", 0));
	if (seq >= log->next)
		log->next = log->seen = seq + 1;
	return 0;
}

int events_load(struct manager *m)
{
	return store_load(m->store, STORE_EVENT, load_row, m->events);
}

void events_skip_to(struct manager *m, uint64_t seq)
{
	if (m->events->next < seq)
		m->events->next = m->events->seen = seq;
}

static void fill(const struct kept_event *kept, struct manager_event *ret)
{
	*ret = (struct manager_event){
		.seq = json_get_uint(kept->json, "seq", 0),
		.type = json_get_string(kept->json, "type"),
		.json = kept->json,
		.owned = kept->owned,
		.owner = kept->owner,
	};
}

static void event_seen(struct manager *m, void *userdata)
{
	struct event_log *log = m->events;
	struct kept_event *kept = userdata;
	struct manager_event event;
	struct observer *next;

	fill(kept, &event);
	keep(log, event.seq, json_incref(kept->json), kept->owned, kept->owner);
	log->seen = event.seq + 1;
	for (struct observer *o = log->observers; o; o = next) {
		next = o->next;
		o->fn(o->userdata, &event);
	}
	json_decref(kept->json);
	free(kept);
}

static void event_lost(struct manager *m, void *userdata)
{
	struct kept_event *kept = userdata;

	json_decref(kept->json);
	free(kept);
}

static void emit(struct manager *m, const char *type, const char *subject, bool owned, uid_t owner,
		 json_t *more)
{
	struct event_log *log = m->events;
	struct kept_event *kept = calloc(1, sizeof(*kept));
	uint64_t seq = log->next++;
	char id[24];

	if (!kept) {
		json_decref(more);
		return;
	}
	kept->owned = owned;
	kept->owner = owner;
	kept->json = json_pack("{s:I,s:s,s:s?}", "seq", (json_int_t)seq, "type", type, "subject", subject);
	json_put_time(kept->json, "at", now_realtime());
	if (more)
		json_object_update_missing(kept->json, more);
	json_decref(more);

	event_id(seq, id, sizeof(id));
	outbox_put(m, STORE_EVENT, id,
		   json_pack("{s:O,s:b,s:I}", "event", kept->json, "owned", (int)owned, "owner",
			     (json_int_t)owner));
	if (seq > EVENTS_KEPT && seq % 256 == 0) {
		event_id(seq - EVENTS_KEPT, id, sizeof(id));
		outbox_delete_before(m, STORE_EVENT, id);
	}
	outbox_add(m, event_seen, event_lost, kept);
}

void manager_emit(struct manager *m, const char *type, const char *subject, json_t *more)
{
	emit(m, type, subject, false, 0, more);
}

void manager_emit_owned(struct manager *m, const char *type, const char *subject, uid_t owner,
			json_t *more)
{
	emit(m, type, subject, true, owner, more);
}

int manager_subscribe(struct manager *m, manager_event_fn fn, void *userdata)
{
	struct observer *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	*o = (struct observer){ .id = m->events->next_observer++, .fn = fn, .userdata = userdata,
				.next = m->events->observers };
	m->events->observers = o;
	return o->id;
}

void manager_unsubscribe(struct manager *m, int id)
{
	for (struct observer **o = &m->events->observers; *o; o = &(*o)->next)
		if ((*o)->id == id) {
			struct observer *gone = *o;

			*o = gone->next;
			free(gone);
			return;
		}
}

uint64_t manager_event_next(const struct manager *m)
{
	return m->events->seen;
}

uint64_t manager_events_replay(struct manager *m, uint64_t since, manager_event_fn fn, void *userdata)
{
	struct event_log *log = m->events;
	uint64_t oldest = log->seen > EVENTS_KEPT ? log->seen - EVENTS_KEPT : 1;

	for (uint64_t seq = MAX_OF(since, oldest); seq < log->seen; seq++) {
		struct kept_event *kept = &log->ring[seq % EVENTS_KEPT];
		struct manager_event event;

		/* A number whose batch failed was never seen by anybody. */
		if (!kept->json || json_get_uint(kept->json, "seq", 0) != seq)
			continue;
		fill(kept, &event);
		fn(userdata, &event);
	}
	return oldest;
}
