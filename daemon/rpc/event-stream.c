/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sends events as fast as the client reads.  One that reads slowly is behind: it gets the missing
 * ones from the manager's kept events, and only for those that are gone a "lagged".  So a
 * subscription holds a number, never a queue. */
#include "rpc/event-stream.h"

#include "lib/clock.h"
#include "lib/edit-distance.h"
#include "log/log.h"

const char *const event_type_names[EVENT_TYPE_MAX] = {
	[EVENT_GPU_CHANGED] = "gpu.changed",
	[EVENT_VF_CHANGED] = "vf.changed",
	[EVENT_VM_CHANGED] = "vm.changed",
	[EVENT_JOB_STATE] = "job.state",
	[EVENT_JOB_PROGRESS] = "job.progress",
	[EVENT_JOB_OUTPUT] = "job.output",
	[EVENT_OPERATION_CHANGED] = "operation.changed",
	[EVENT_POLICY_LOADED] = "policy.loaded",
	[EVENT_DRIFT_FOUND] = "drift.found",
	[EVENT_DRIFT_HEALED] = "drift.healed",
	[EVENT_LEASE_CHANGED] = "lease.changed",
	[EVENT_AUDIT] = "audit",
	[EVENT_LAGGED] = "lagged",
};
DEFINE_ENUM_TABLE(event_type, enum event_type, EVENT_TYPE_MAX);

struct event_stream {
	struct rpc_session *session; /* borrowed: it owns us */
	int subscription;	     /* the manager's */
	uint64_t next;		     /* seq of the next event to send */
	bool behind;		     /* events before the newest were held back */
	bool replaying;
	bool types[EVENT_TYPE_MAX];
};

struct event_stream *event_stream_free(struct event_stream *s)
{
	if (!s)
		return NULL;
	manager_unsubscribe(s->session->manager, s->subscription);
	free(s);
	return NULL;
}

static void send_event(struct event_stream *s, const json_t *event)
{
	connection_send(s->session->connection,
			rpc_notification("event", json_incref((json_t *)event)));
}

static void send_lagged(struct event_stream *s, uint64_t from, uint64_t to)
{
	_cleanup_json_ json_t *event = json_object();

	if (event && json_put_uint(event, "seq", to) == 0 &&
	    json_put_time(event, "at", now_realtime()) == 0 &&
	    json_put_string(event, "type", "lagged") == 0 &&
	    json_put_string(event, "subject", NULL) == 0 &&
	    json_put_uint(event, "from", from) == 0 && json_put_uint(event, "to", to) == 0)
		send_event(s, event);
	else
		connection_send(s->session->connection, NULL);
}

/* What this caller may see of it, or NULL. */
static const json_t *visible(const struct event_stream *s, const struct manager_event *event)
{
	const struct caller *caller = connection_caller(s->session->connection);
	int type = event_type_from_string(event->type);

	if (caller->role < ROLE_VIEWER || (type >= 0 && !s->types[type]))
		return NULL;
	if (type == EVENT_AUDIT && caller->role < ROLE_OPERATOR)
		return NULL;
	if (!event->owned || caller->role >= ROLE_OPERATOR || caller->uid == event->owner)
		return event->json;
	return event->public_json;
}

static void deliver(struct event_stream *s, const struct manager_event *event)
{
	const json_t *json;

	s->next = event->seq + 1;

	/* Roles come from the policy. */
	if (streq(event->type, "policy.loaded"))
		manager_caller_update(s->session->manager,
				      connection_caller(s->session->connection));
	json = visible(s, event);
	if (json)
		send_event(s, json);
}

static bool on_event(void *userdata, const struct manager_event *event)
{
	struct event_stream *s = userdata;

	if (event->seq < s->next)
		return true;
	if (connection_is_congested(s->session->connection) || (s->behind && !s->replaying)) {
		s->behind = true;
		return false;
	}
	deliver(s, event);
	return true;
}

/* A gap between numbers is no loss: a number whose commit failed was seen by nobody.  Only what is
 * older than the oldest kept event is lost. */
static void tell_lost(struct event_stream *s)
{
	uint64_t oldest = manager_events_replay(s->session->manager, UINT64_MAX, on_event, s);

	if (oldest > s->next) {
		send_lagged(s, s->next, oldest - 1);
		s->next = oldest;
	}
}

/* When the connection is full again on the way, the rest comes another time. */
static void catch_up(struct event_stream *s)
{
	s->behind = false;
	s->replaying = true;
	tell_lost(s);
	(void)manager_events_replay(s->session->manager, s->next, on_event, s);
	s->replaying = false;
}

void event_stream_resume(struct event_stream *s)
{
	if (s && s->behind)
		catch_up(s);
}

static int set_types(struct event_stream *s, const json_t *types, struct rpc_error *error)
{
	_cleanup_free_ char *hint = NULL, *list = NULL;
	json_t *item;
	const char *near;
	size_t i;
	int type;

	for (i = 0; i < EVENT_TYPE_MAX; i++)
		s->types[i] = !types || json_array_size(types) == 0;
	json_array_foreach((json_t *)types, i, item) {
		type = event_type_from_string(json_string_value(item));
		if (type >= 0) {
			s->types[type] = true;
			continue;
		}
		near = edit_distance_nearest(json_string_value(item), event_type_names,
					     EVENT_TYPE_MAX);
		list = enum_list(event_type_names, EVENT_TYPE_MAX);
		hint = near ? xasprintf("did you mean \"%s\"?", near) :
			      xasprintf("one of: %s", strempty(list));
		(void)rpc_error_set(error, RPC_INVALID_PARAMS,
				    "types: there is no event type \"%.64s\"",
				    json_string_value(item));
		return rpc_error_detail(error, NULL, "types", hint);
	}
	return 0;
}

static int stream_new(struct rpc_session *session, const struct event_subscribe_params *p,
		      struct event_stream **ret, struct rpc_error *error)
{
	struct event_stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	s->session = session;
	r = set_types(s, p->types, error);
	if (r >= 0) {
		/* A number from the future would keep the stream silent: a state that was reset. */
		s->next = MIN_OF(MAX_OF(p->since, UINT64_C(1)), manager_event_next(session->manager)); /* 1 is the first */
		s->behind = true; /* until the answer is out */
		r = s->subscription = manager_subscribe(session->manager, on_event, s);
		if (r < 0)
			(void)rpc_error_set(error, RPC_INTERNAL_ERROR, "cannot subscribe: %s",
					    strerror(-r));
	}
	if (r < 0) {
		free(s);
		return -ECANCELED;
	}
	*ret = s;
	return 0;
}

void event_subscribe(struct rpc_session *session, const void *params, struct reply *reply)
{
	struct rpc_error error = { 0 };
	struct event_stream *s = NULL;
	json_t *result;

	if (stream_new(session, params, &s, &error) < 0) {
		reply_error(reply, &error);
		rpc_error_done(&error);
		return;
	}
	session->events = event_stream_free(session->events);
	session->events = s;

	result = json_object();
	if (result && json_put_uint(result, "next", s->next) < 0) {
		json_decref(result);
		result = NULL;
	}
	reply_result(reply, result);
	catch_up(s);
}

void event_unsubscribe(struct rpc_session *session, const void *params, struct reply *reply)
{
	bool subscribed = session->events != NULL;
	json_t *result = json_object();

	session->events = event_stream_free(session->events);
	if (result && json_put_bool(result, "changed", subscribed) < 0) {
		json_decref(result);
		result = NULL;
	}
	reply_result(reply, result);
}
