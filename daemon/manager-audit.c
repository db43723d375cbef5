/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit trail: who changed what, when, from what to what.  A row is part of the batch of the change that it
 * tells of, so there is neither without the other; after the commit it goes to the journal and to subscribers.
 * What an object is compared by is manager-audit-view.c, reading and pruning is manager-audit-list.c. */
#include "manager-state.h"

#include <stdio.h>

#define REFUSALS_KEPT 10 /* of one uid in a minute: a loop of refused calls must not fill the disk */
#define REFUSAL_SPAN_USEC (60 * USEC_PER_SEC)
#define REFUSAL_UIDS 64 /* remembered at once */

/* Who does it: a caller, an operation that one asked for (or cancelled), or the daemon itself. */
struct actor {
	const char *method;
	uid_t uid;
	pid_t pid;
	const char *operation; /* NULL = none */
	char own[48];	       /* "daemon:apply": what method points to, of an operation of the daemon's own */
};

struct refusals {
	uid_t uid;
	uint64_t begin; /* boot clock; 0 = unused */
	unsigned n, left_out;
};

struct audit {
	uint64_t next;
	struct actor call; /* method: NULL = no call is being handled */
	unsigned call_rows; /* written by it */
	struct operation *call_op; /* begun by it */
	struct operation *acting; /* whose doing what changes now is; NULL = nobody's that is known */
	bool acting_undone;	  /* … or of who cancels it */
	const char *scope; /* "daemon:recover" … while that goes on */
	struct pending_row *pending;
	json_t *untold; /* subject → the last row of it that could not be stored; NULL = none */
	struct refusals refusals[REFUSAL_UIDS];
};

int audit_new(struct manager *m)
{
	_cleanup_free_ char *last = NULL;
	int r;

	m->audit = calloc(1, sizeof(*m->audit));
	if (!m->audit)
		return -ENOMEM;
	r = store_last_id(m->store, STORE_AUDIT, &last);
	if (r < 0)
		return r;
	m->audit->next = last ? strtoull(last, NULL, 10) + 1 : 1;
	return 0;
}

uint64_t audit_next(const struct manager *m)
{
	return m->audit->next;
}

void audit_skip_to(struct manager *m, uint64_t number)
{
	m->audit->next = MAX_OF(m->audit->next, number);
}

void audit_free(struct manager *m)
{
	if (m->audit)
		json_decref(m->audit->untold);
	free(m->audit);
	m->audit = NULL;
}

/* ---- who ---- */

void manager_call_begin(struct manager *m, const struct caller *caller, const char *method)
{
	m->audit->call = (struct actor){ .method = method, .uid = caller->uid, .pid = caller->pid };
	m->audit->call_rows = 0;
	m->audit->call_op = NULL;
}

void manager_call_end(struct manager *m)
{
	struct audit *audit = m->audit;
	struct operation *op = audit->call_op;

	/* What it will change shows when it does; that it was asked for shows now. */
	if (op && audit->call_rows == 0)
		audit_write(m, &(struct audit_change){
				       .subject = op->subject,
				       .operation = op->name,
				       .outcome = AUDIT_ACCEPTED,
				       .after = audit_operation_view(op),
			       });
	audit->call = (struct actor){ 0 };
	audit->call_op = NULL;
}

void audit_operation_begun(struct manager *m, struct operation *op)
{
	op->own = !m->audit->call.method;
	op->pid = op->own ? 0 : m->audit->call.pid;
	m->audit->call_op = op->own ? NULL : op;
}

const char *audit_scope(struct manager *m, const char *word)
{
	const char *before = m->audit->scope;

	m->audit->scope = word;
	return before;
}

const char *audit_scope_now(const struct manager *m)
{
	return m->audit->scope;
}

static struct audit_acting act(struct manager *m, struct operation *op, bool undone)
{
	struct audit *audit = m->audit;
	struct audit_acting before = { m, audit->acting, audit->acting_undone };

	audit->acting = op;
	audit->acting_undone = undone;
	return before;
}

struct audit_acting audit_acts(struct manager *m, struct operation *op)
{
	return act(m, op, false);
}

struct audit_acting audit_cancels(struct manager *m, struct operation *op)
{
	return act(m, op, true);
}

void audit_acting_over(struct audit_acting *acting)
{
	(void)act(acting->m, acting->before, acting->before_undone);
}

struct audit_acting audit_acts_on(struct manager *m)
{
	return act(m, m->audit->acting, m->audit->acting_undone);
}

struct operation *audit_acts_now(const struct manager *m)
{
	return m->audit->acting;
}

/* Whether the VF is one of those that the operation is about, and its lease one that it can mean. */
static bool means_lease(const struct operation *op, const struct vf *vf)
{
	const json_t *lease = json_object_get(json_object_get(op->input, "leases"), vf->name);
	json_t *name;
	size_t i;

	if (streq(op->method, "vf.assign"))
		return streq_ptr(op->subject, vf->name) && json_get_uint(op->input, "epoch", 0) == vf->lease.epoch;
	if (vf->lease.owner == LEASE_NONE || vf->lease.since > op->created_at)
		return false; /* somebody has it since */
	if (lease)
		return json_get_uint(lease, "epoch", 0) == vf->lease.epoch;
	json_array_foreach(op->input_vfs, i, name)
		if (streq_ptr(json_string_value(name), vf->name))
			return true;
	return false;
}

struct operation *audit_inherited(struct manager *m, const struct vf *vf, const char *method)
{
	struct operation *op, *tmp;

	HASH_ITER(hh_open, m->open_operations, op, tmp)
		if (op->inherited && (!method || streq(op->method, method)) && means_lease(op, vf))
			return op;
	return NULL;
}

/* NULL: no operation that is known. */
static struct operation *operation_behind(struct manager *m, const struct audit_change *change)
{
	if (change->operation)
		return operation_find(m, change->operation);
	return m->audit->acting ? m->audit->acting : change->by;
}

/* What is undone: its caller did not want that.  False: nobody is known to have cancelled it (an earlier version did not
 * keep who). */
static bool is_cancellers(struct manager *m, const struct audit_change *change, const struct operation *op)
{
	return !change->operation && op == m->audit->acting && m->audit->acting_undone && op->cancel && op->cancelled_by.known;
}

/* What could not be stored when it was done is stored again later, by nobody: it is still the doing of who did it then. */
static bool find_earlier(struct manager *m, const struct audit_change *change, struct actor *ret)
{
	const json_t *row = json_object_get(m->audit->untold, strempty(change->subject));

	if (!row || !json_equal(json_object_get(row, "after"), change->after))
		return false;
	*ret = (struct actor){ .method = json_get_string(row, "method"), .uid = (uid_t)json_get_uint(row, "uid", 0),
			       .pid = (pid_t)json_get_uint(row, "pid", 0), .operation = json_get_string(row, "operation") };
	return true;
}

static void find_actor(struct manager *m, const struct audit_change *change, struct actor *ret)
{
	struct operation *op = operation_behind(m, change);
	const char *dot;

	*ret = m->audit->call;
	ret->operation = change->operation;
	if (ret->method)
		return;
	if (!op && find_earlier(m, change, ret))
		return;
	*ret = (struct actor){ .uid = m->own_uid, .pid = getpid() };
	if (op)
		op->shows = true;
	if (op && is_cancellers(m, change, op)) {
		*ret = (struct actor){ .method = "operation.cancel", .uid = op->cancelled_by.uid,
				       .pid = op->cancelled_by.pid, .operation = op->name };
	} else if (op && !op->own) {
		*ret = (struct actor){ .method = op->method, .uid = op->uid, .pid = op->pid, .operation = op->name };
	} else if (op) {
		ret->method = ret->own;
		ret->operation = op->name;
		dot = strchr(op->method, '.');
		snprintf(ret->own, sizeof(ret->own), "daemon:%s", dot ? dot + 1 : op->method);
	} else if (m->audit->scope) {
		ret->method = m->audit->scope;
	} else {
		ret->method = change->word ? change->word : "daemon:event";
	}
}

/* ---- writing ---- */

const char *const audit_outcome_names[AUDIT_OUTCOME_MAX] = {
	[AUDIT_CHANGED] = "changed",
	[AUDIT_ACCEPTED] = "accepted",
	[AUDIT_FAILED] = "failed",
	[AUDIT_CANCELLED] = "cancelled",
	[AUDIT_REFUSED] = "refused",
};
DEFINE_ENUM_TABLE(audit_outcome, enum audit_outcome, AUDIT_OUTCOME_MAX);

/* Not yet committed; the latest first. */
struct pending_row {
	json_t *doc;
	void (*undo)(struct manager *m, const char *subject, const json_t *before);
	struct pending_row *next, **at;
};

static void pending_add(struct manager *m, struct pending_row *row)
{
	row->next = m->audit->pending;
	row->at = &m->audit->pending;
	if (row->next)
		row->next->at = &row->next;
	m->audit->pending = row;
}

static void pending_free(struct pending_row *row)
{
	if (row->at)
		*row->at = row->next;
	if (row->next)
		row->next->at = row->at;
	json_decref(row->doc);
	free(row);
}

void audit_not_committed(struct manager *m)
{
	_cleanup_json_ json_t *untold = json_object();

	for (struct pending_row *row = m->audit ? m->audit->pending : NULL; row; row = row->next) {
		const char *subject = strempty(json_get_string(row->doc, "subject"));

		if (!row->undo)
			continue;
		row->undo(m, subject, json_object_get(row->doc, "before"));
		if (!json_object_get(untold, subject)) /* the latest comes first */
			json_object_set(untold, subject, row->doc);
	}
	if (!m->audit || json_object_size(untold) == 0)
		return;
	if (!m->audit->untold)
		m->audit->untold = json_object();
	json_object_update(m->audit->untold, untold);
}

/* "free", a policy's revision, or "-" when there was nothing. */
static const char *state_word(const json_t *doc, const char *member)
{
	const json_t *view = json_object_get(doc, member);
	const char *state = json_get_string(view, "state"), *revision = json_get_string(view, "revision");

	return state ? state : revision ? revision : "-";
}

/* For a field of the journal; NULL where there was nothing, or will be nothing.  Returns new. */
static char *view_text(const json_t *doc, const char *member)
{
	json_t *view = json_object_get(doc, member);

	return json_is_object(view) ? json_text(view) : NULL;
}

/* It is durable: now the journal hears of it. */
static void row_committed(struct manager *m, void *userdata)
{
	struct pending_row *row = userdata;
	bool fields_go = log_fields_go_somewhere();
	_cleanup_free_ char *before = fields_go ? view_text(row->doc, "before") : NULL;
	_cleanup_free_ char *after = fields_go ? view_text(row->doc, "after") : NULL;
	const char *method = json_get_string(row->doc, "method"), *subject = json_get_string(row->doc, "subject");
	const char *outcome = json_get_string(row->doc, "outcome"), *error = json_get_string(row->doc, "error");
	uint64_t pid_number = json_get_uint(row->doc, "pid", 0);
	char number[24], uid[16], pid[16];
	const struct log_field fields[] = {
		{ "GPUVF_AUDIT", number },	 { "GPUVF_UID", uid },
		{ "GPUVF_PID", pid_number ? pid : NULL }, { "GPUVF_METHOD", method },
		{ "GPUVF_SUBJECT", subject },	 { "GPUVF_OUTCOME", outcome },
		{ "GPUVF_OPERATION", json_get_string(row->doc, "operation") },
		{ "GPUVF_BEFORE", before },	 { "GPUVF_AFTER", after },
		{ "GPUVF_POLICY", json_get_string(row->doc, "policy_revision") },
	};

	json_object_del(m->audit->untold, strempty(subject));
	snprintf(number, sizeof(number), "%llu", (unsigned long long)json_get_uint(row->doc, "audit", 0));
	snprintf(uid, sizeof(uid), "%llu", (unsigned long long)json_get_uint(row->doc, "uid", 0));
	snprintf(pid, sizeof(pid), "%llu", (unsigned long long)pid_number);
	log_fields(LOG_NOTICE, fields, ARRAY_SIZE(fields), __FILE__, __LINE__,
		   "audit %s: uid %s%s%s: %s %s: %s, %s -> %s%s%s", number, uid, pid_number ? " pid " : "",
		   pid_number ? pid : "", method, strempty(subject), outcome, state_word(row->doc, "before"),
		   state_word(row->doc, "after"), error ? ": " : "", strempty(error));
	pending_free(row);
}

static void row_not_committed(struct manager *m, void *userdata)
{
	pending_free(userdata);
}

static json_t *row_of(struct manager *m, const struct audit_change *change, uint64_t number)
{
	struct actor actor;
	json_t *doc;

	find_actor(m, change, &actor);
	doc = json_pack("{s:I,s:I,s:s,s:s?,s:s?,s:s,s:O?,s:O?,s:s?,s:s}", "audit", (json_int_t)number, "uid",
			(json_int_t)actor.uid, "method", actor.method, "subject", change->subject, "operation",
			actor.operation, "outcome", audit_outcome_to_string(change->outcome), "before",
			change->before, "after", change->after, "error", change->error, "policy_revision",
			m->policy->revision);

	if (!doc)
		return NULL;
	json_put_time(doc, "at", now_realtime());
	json_put_uint_known(doc, "pid", actor.pid > 0, (uint64_t)actor.pid);
	json_put_uint_known(doc, "left_out", change->left_out > 0, change->left_out);
	return doc;
}

void audit_write(struct manager *m, const struct audit_change *change)
{
	_cleanup_json_ _unused_ json_t *before = change->before, *after = change->after;
	struct pending_row *row = m->outbox ? calloc(1, sizeof(*row)) : NULL;
	char id[24], *text;

	if (!row)
		return; /* the daemon is ending, and takes no changes any more */
	snprintf(id, sizeof(id), "%020llu", (unsigned long long)m->audit->next); /* sorts as a number */
	row->doc = row_of(m, change, m->audit->next);
	row->undo = change->undo;
	if (!row->doc) {
		pending_free(row);
		log_error(-ENOMEM, "A row of the audit trail could not be made");
		return;
	}
	m->audit->next++;
	m->audit->call_rows++;
	pending_add(m, row);
	text = json_text(row->doc);
	if (text)
		manager_emit_audit(m, text);
	outbox_put_text(m, STORE_AUDIT, id, text);
	outbox_add(m, row_committed, row_not_committed, row);
	audit_prune_sometimes(m, m->audit->next);
}

/* ---- calls that were refused ---- */

static struct refusals *refusals_of(struct audit *audit, uid_t uid)
{
	struct refusals *oldest = &audit->refusals[0];

	for (size_t i = 0; i < REFUSAL_UIDS; i++) {
		struct refusals *one = &audit->refusals[i];

		if (one->begin && one->uid == uid)
			return one;
		if (one->begin < oldest->begin)
			oldest = one;
	}
	*oldest = (struct refusals){ .uid = uid };
	return oldest;
}

void manager_audit_refused(struct manager *m, uid_t uid, pid_t pid, const char *method, const char *subject,
			   const char *why)
{
	struct refusals *of = refusals_of(m->audit, uid);
	struct actor before = m->audit->call;
	uint64_t now = now_boottime();
	unsigned left_out = of->left_out;

	if (m->degraded)
		return; /* nothing can be stored; the caller hears of the refusal all the same */
	if (of->begin == 0 || now - of->begin >= REFUSAL_SPAN_USEC)
		*of = (struct refusals){ .uid = uid, .begin = now };
	else
		left_out = 0;
	if (of->n >= REFUSALS_KEPT) {
		of->left_out++;
		return;
	}
	of->n++;
	m->audit->call = (struct actor){ .method = method, .uid = uid, .pid = pid };
	audit_write(m, &(struct audit_change){ .subject = subject, .outcome = AUDIT_REFUSED, .error = why,
					       .left_out = left_out });
	m->audit->call = before;
}
