/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One client's subscription to the daemon's events. */
#pragma once

#include "lib/enum-table.h"
#include "rpc/dispatch.h"

/* The closed list of types (interface, "Socket API"). */
enum event_type {
	EVENT_GPU_CHANGED,
	EVENT_VF_CHANGED,
	EVENT_VM_CHANGED,
	EVENT_JOB_STATE,
	EVENT_JOB_PROGRESS,
	EVENT_JOB_OUTPUT,
	EVENT_OPERATION_CHANGED,
	EVENT_POLICY_LOADED,
	EVENT_DRIFT_FOUND,
	EVENT_DRIFT_HEALED,
	EVENT_LEASE_CHANGED,
	EVENT_AUDIT,
	EVENT_LAGGED,
	EVENT_TYPE_MAX,
};
DECLARE_ENUM_TABLE(event_type, enum event_type);

struct event_subscribe_params {
	uint64_t since; /* UINT64_MAX = from now on */
	json_t *types;	/* array of names; NULL = all */
};

/* rpc handlers.  A second subscription replaces the first one. */
void event_subscribe(struct rpc_session *session, const void *params, struct reply *reply);
void event_unsubscribe(struct rpc_session *session, const void *params, struct reply *reply);

/* The client reads again: what was held back is sent. */
void event_stream_resume(struct event_stream *s);
struct event_stream *event_stream_free(struct event_stream *s);
