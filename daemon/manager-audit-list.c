/* SPDX-License-Identifier: GPL-2.0-or-later */
/* audit.list, and the end of old rows.  The trail is in the store only: questions go there and come back on the
 * loop, rows that are older than the configuration keeps leave in small steps. */
#include "manager-state.h"

#define PAGE_DEFAULT 500
#define PAGE_MAX 1000

#define PRUNE_LOOK_USEC (3600 * USEC_PER_SEC) /* nothing is old: looked at again then */
#define PRUNE_STEP_USEC (USEC_PER_SEC / 10) /* more is old: the next step */
#define PRUNE_FIRST_USEC USEC_PER_SEC /* after the start */
#define PRUNE_EVERY 256 /* rows: when many are written many may become old */

/* ---- audit.list ---- */

struct listing {
	struct manager *m;
	const struct audit_list_params *params; /* live until the reply was given */
	struct reply *reply;
};

static void on_found(void *userdata, int r, const char *message, json_t *rows, const char *next)
{
	struct listing *listing = userdata;

	if (r < 0)
		reply_refuse(listing->reply, RPC_HOST_ERROR, "%s", strempty(message));
	else
		reply_result(listing->reply, json_pack("{s:O,s:s?}", "items", rows, "next", next));
	free(listing);
}

/* What was to be written before is written, or never will be. */
static void ask_store(struct manager *m, void *userdata)
{
	struct listing *listing = userdata;
	const struct audit_list_params *p = listing->params;
	char since[RFC3339_STRLEN], until[RFC3339_STRLEN], uid[16];
	struct store_find find = {
		.after = p->page.after, .method = p->method, .subject = p->subject,
		.since = p->since_usec ? rfc3339_format(p->since_usec, since) : NULL,
		.until = p->until_usec ? rfc3339_format(p->until_usec, until) : NULL,
		.uid = p->uid != UINT64_MAX ? uid : NULL,
		.limit = p->page.limit ? MIN_OF(p->page.limit, (uint64_t)PAGE_MAX) : PAGE_DEFAULT,
	};

	snprintf(uid, sizeof(uid), "%llu", (unsigned long long)p->uid);
	if (m->outbox && store_find(m->store, &find, on_found, listing) == 0)
		return;
	reply_refuse(listing->reply, RPC_INTERNAL_ERROR, m->outbox ? "out of memory" : "the daemon is ending");
	free(listing);
}

static bool is_cursor(const char *after)
{
	return !after || (strlen(after) == 20 && after[strspn(after, "0123456789")] == '\0');
}

void manager_audit_list(struct manager *m, const struct caller *caller, const struct audit_list_params *p,
			struct reply *reply)
{
	struct listing *listing;

	if (!is_cursor(p->page.after)) {
		struct rpc_error error = { 0 };

		rpc_error_set(&error, RPC_INVALID_PARAMS, "after: \"%s\" is no `next` of an answer", p->page.after);
		rpc_error_detail(&error, NULL, "after", "leave it out to begin at the newest");
		reply_error_done(reply, &error);
		return;
	}
	listing = calloc(1, sizeof(*listing));
	if (!listing) {
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	*listing = (struct listing){ m, p, reply };
	if (outbox_is_empty(m))
		ask_store(m, listing);
	else
		outbox_add(m, ask_store, ask_store, listing);
}

/* ---- retention ---- */

static uint64_t kept_usec(struct manager *m)
{
	return json_get_uint(json_object_get(m->config, "retention"), "audit_usec", 0);
}

static void prune_later(struct manager *m, uint64_t usec);

/* before: every row is younger than that, or it is pruned. */
static void on_oldest(void *userdata, int r, const char *message, json_t *rows, const char *next)
{
	struct manager *m = userdata;
	const char *at = json_get_string(json_array_get(rows, 0), "at");
	uint64_t now = now_realtime(), kept = kept_usec(m), written;
	char before[RFC3339_STRLEN];

	if (!m->outbox)
		return;
	if (r < 0 || !at || rfc3339_parse(at, &written) < 0 || written + kept >= now) {
		prune_later(m, PRUNE_LOOK_USEC);
		return;
	}
	outbox_prune_audit(m, rfc3339_format(now - kept, before));
	prune_later(m, PRUNE_STEP_USEC);
}

static int on_prune(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	const struct store_find oldest = { .oldest_first = true, .limit = 1 };

	if (m->degraded || store_find(m->store, &oldest, on_oldest, m) < 0)
		prune_later(m, PRUNE_LOOK_USEC);
	return 0;
}

static void prune_later(struct manager *m, uint64_t usec)
{
	m->prune_source = sd_event_source_unref(m->prune_source);
	if (kept_usec(m) > 0)
		(void)sd_event_add_time_relative(m->event, &m->prune_source, CLOCK_BOOTTIME, usec, 0, on_prune, m);
}

void audit_prune_sometimes(struct manager *m, uint64_t number)
{
	if (number % PRUNE_EVERY == 0)
		prune_later(m, PRUNE_STEP_USEC);
}

void audit_prune_begin(struct manager *m)
{
	prune_later(m, PRUNE_FIRST_USEC);
}
