/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event log: numbered, durable, seen after the commit.  The last EVENTS_KEPT are kept in a ring for
 * subscribers that come back, and in the store for the next daemon, where those of one batch are few rows. */
#include "manager-state.h"

#define EVENTS_PER_ROW 32 /* at most */

/* As text: that is what the store takes, an event is rarely looked at again, and ten thousand are kept. */
struct kept_event {
	uint64_t seq; /* 0 = none */
	char *text;
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
	char *unwritten[EVENTS_PER_ROW]; /* of the open batch, as they will stand in its row */
	size_t n_unwritten;
	uint64_t forgotten; /* rows that end below it were removed */
	struct kept_event ring[EVENTS_KEPT];
	struct observer *observers;
	int next_observer;
};

static void drop_unwritten(struct event_log *log)
{
	while (log->n_unwritten > 0)
		free(log->unwritten[--log->n_unwritten]);
}

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
		free(m->events->ring[i].text);
	drop_unwritten(m->events);
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

/* Takes its text. */
static void keep(struct event_log *log, const struct kept_event *event)
{
	struct kept_event *slot = &log->ring[event->seq % EVENTS_KEPT];

	free(slot->text);
	*slot = *event;
}

static int load_event(struct event_log *log, const json_t *doc)
{
	json_t *json = json_object_get(doc, "event");
	struct kept_event event = { .seq = json_get_uint(json, "seq", 0),
				    .owned = json_get_bool(doc, "owned", false),
				    .owner = (uid_t)json_get_uint(doc, "owner", 0) };

	if (event.seq == 0 || !json_get_string(json, "type"))
		return -EBADMSG;
	event.text = json_text(json);
	if (!event.text)
		return -ENOMEM;
	keep(log, &event);
	if (event.seq >= log->next)
		log->next = log->seen = event.seq + 1;
	return 0;
}

static int load_row(void *userdata, const char *id, const json_t *doc)
{
	const json_t *events = json_object_get(doc, "events"), *one;
	size_t i;
	int r = json_array_size(events) > 0 ? 0 : -EBADMSG;

	json_array_foreach(events, i, one) {
		int bad = load_event(userdata, one);

		r = bad < 0 ? bad : r;
	}
	return r;
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

static bool tell(const struct kept_event *kept, const json_t *json, manager_event_fn fn, void *userdata)
{
	const struct manager_event event = {
		.seq = kept->seq,
		.type = json_get_string(json, "type"),
		.json = json,
		.owned = kept->owned,
		.owner = kept->owner,
	};

	return fn(userdata, &event);
}

/* Returns new, or NULL when memory is out: then nobody is told. */
static json_t *parse(const struct kept_event *kept)
{
	return kept->text ? json_loads(kept->text, 0, NULL) : NULL;
}

static void event_seen(struct manager *m, void *userdata)
{
	struct event_log *log = m->events;
	struct kept_event *kept = userdata;
	_cleanup_json_ json_t *json = log->observers ? parse(kept) : NULL;
	struct observer *next;

	log->seen = kept->seq + 1;
	for (struct observer *o = json ? log->observers : NULL; o; o = next) {
		next = o->next;
		(void)tell(kept, json, o->fn, o->userdata);
	}
	keep(log, kept);
	free(kept);
}

static void event_lost(struct manager *m, void *userdata)
{
	struct kept_event *kept = userdata;

	free(kept->text);
	free(kept);
}

/* Into the row of the open batch, and to the observers once it is committed.  Takes text. */
static void add(struct manager *m, uint64_t seq, char *text, bool owned, uid_t owner)
{
	struct event_log *log = m->events;
	struct kept_event *kept = calloc(1, sizeof(*kept));

	if (!kept || !text) {
		free(kept);
		free(text);
		return;
	}
	*kept = (struct kept_event){ seq, text, owned, owner };
	log->unwritten[log->n_unwritten] = xasprintf("{\"event\":%s,\"owned\":%s,\"owner\":%u}", text,
						     owned ? "true" : "false", owner);
	if (log->unwritten[log->n_unwritten])
		log->n_unwritten++;
	if (log->n_unwritten == EVENTS_PER_ROW)
		events_write(m);
	outbox_add(m, event_seen, event_lost, kept);
}

static void emit(struct manager *m, const char *type, const char *subject, bool owned, uid_t owner,
		 json_t *more)
{
	uint64_t seq = m->events->next++;
	_cleanup_json_ json_t *json = json_pack("{s:I,s:s,s:s?}", "seq", (json_int_t)seq, "type", type, "subject",
						subject);

	json_put_time(json, "at", now_realtime());
	if (more)
		json_object_update_missing(json, more);
	json_decref(more);
	add(m, seq, json_text(json), owned, owner);
}

void manager_emit_audit(struct manager *m, const char *row)
{
	uint64_t seq = m->events->next++;

	add(m, seq, xasprintf("{\"seq\":%llu,\"type\":\"audit\",%s", (unsigned long long)seq, row + 1), false, 0);
}

/* {"events":[…]}.  Returns new. */
static char *row_text(const struct event_log *log)
{
	static const char head[] = "{\"events\":[", tail[] = "]}";
	size_t size = sizeof(head) + sizeof(tail);
	char *text, *end;

	for (size_t i = 0; i < log->n_unwritten; i++)
		size += strlen(log->unwritten[i]) + 1;
	text = malloc(size);
	if (!text)
		return NULL;
	end = stpcpy(text, head);
	for (size_t i = 0; i < log->n_unwritten; i++) {
		if (i > 0)
			*end++ = ',';
		end = stpcpy(end, log->unwritten[i]);
	}
	stpcpy(end, tail);
	return text;
}

/* The row is called by its last event: it is removed when that is old enough. */
void events_write(struct manager *m)
{
	struct event_log *log = m->events;
	char id[24];

	if (!log || log->n_unwritten == 0)
		return;
	event_id(log->next - 1, id, sizeof(id));
	outbox_put_text(m, STORE_EVENT, id, row_text(log));
	drop_unwritten(log);
	if (log->next > log->forgotten + EVENTS_KEPT + EVENTS_KEPT / 8) {
		log->forgotten = log->next - EVENTS_KEPT;
		event_id(log->forgotten, id, sizeof(id));
		outbox_delete_before(m, STORE_EVENT, id);
	}
}

void events_not_committed(struct manager *m)
{
	if (m->events)
		drop_unwritten(m->events);
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
		const struct kept_event *kept = &log->ring[seq % EVENTS_KEPT];
		_cleanup_json_ json_t *json = kept->seq == seq ? parse(kept) : NULL;

		/* A number whose batch failed was never seen by anybody. */
		if (json && !tell(kept, json, fn, userdata))
			break;
	}
	return oldest;
}
