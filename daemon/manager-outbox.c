/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Durable first, then seen, then done: rows of the loop's changes gather in one open batch; replies, events
 * and actions wait until its COMMIT returned.  One batch is at the store at a time, so a batch that fails
 * takes with it only what was built on it: the batch in flight and the open one. */
#include "manager-state.h"

/* Closes a batch early, after whoever adds the last: a flood does not starve its first caller, and the store writes while
 * the loop goes on reading; what comes meanwhile is in the next.  With 512 a pair of assign and release takes a tenth less
 * of a processor, and there are fewer of them a second: loop, store and libvirt then wait for each other. */
#define BATCH_ITEMS_MAX 32
#define RETRY_USEC (5 * USEC_PER_SEC) /* a full disk is looked at again this often */

struct outbox_item {
	void (*on_commit)(struct manager *m, void *userdata);
	void (*on_fail)(struct manager *m, void *userdata);
	void *userdata;
	struct outbox_item *next;
};

struct item_list {
	struct outbox_item *first, **end;
	size_t n;
};

struct outbox {
	struct store_batch *batch; /* the open one; NULL = nothing to write yet */
	struct item_list open;
	struct item_list flight;
	bool in_flight;
	sd_event_source *close_source;
	sd_event_source *retry_source;
};

static void list_init(struct item_list *list)
{
	list->first = NULL;
	list->end = &list->first;
	list->n = 0;
}

static void list_append(struct item_list *list, struct outbox_item *item)
{
	*list->end = item;
	list->end = &item->next;
	list->n++;
}

/* Runs and frees the items; an item may add new ones to the open list. */
static void list_run(struct manager *m, struct item_list *list, bool committed)
{
	struct outbox_item *item = list->first;

	list_init(list);
	while (item) {
		struct outbox_item *next = item->next;
		void (*fn)(struct manager *, void *) = committed ? item->on_commit : item->on_fail;

		if (fn)
			fn(m, item->userdata);
		free(item);
		item = next;
	}
}

static void list_reverse(struct item_list *list)
{
	struct outbox_item *item = list->first;

	list->first = NULL;
	while (item) {
		struct outbox_item *next = item->next;

		item->next = list->first;
		list->first = item;
		item = next;
	}
}

static void batch_written(void *userdata, int r, const char *message);
static int on_close(sd_event_source *source, void *userdata);

static void close_later(struct manager *m)
{
	(void)sd_event_source_set_enabled(m->outbox->close_source, SD_EVENT_ONESHOT);
}

/* Never at once: what one call or event stores is in one batch, or it could be half there after a crash. */
static void close_soon(struct manager *m, int priority)
{
	(void)sd_event_source_set_priority(m->outbox->close_source, priority);
}

static void batch_close(struct manager *m)
{
	struct outbox *box = m->outbox;
	int r;

	if (box->in_flight)
		return; /* batch_written() comes here again */

	close_soon(m, SD_EVENT_PRIORITY_IDLE);
	events_write(m);
	if (!box->batch) {
		list_run(m, &box->open, true);
		return;
	}

	box->flight = box->open;
	if (!box->open.first)
		list_init(&box->flight);
	list_init(&box->open);
	box->in_flight = true;
	r = store_submit(m->store, TAKE_PTR(box->batch), batch_written, m);
	if (r < 0)
		batch_written(m, r, "the store takes nothing");
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	struct outbox *box = m->outbox;

	box->retry_source = sd_event_source_unref(box->retry_source);
	/* Something must be written to learn whether the store takes rows again. */
	outbox_put(m, STORE_META, "probe", json_pack("{s:I}", "at", (json_int_t)now_realtime()));
	return 0;
}

static void degrade(struct manager *m, int r, const char *message)
{
	struct outbox *box = m->outbox;
	uint64_t at = now_boottime() + RETRY_USEC;

	if (!m->degraded) {
		m->degraded = xasprintf("the state cannot be written: %s", message ? message : strerror(-r));
		log_error(r, "State cannot be written (%s): no changes are taken until it can",
			  strempty(message));
	}
	if (!box->retry_source)
		(void)sd_event_add_time(m->event, &box->retry_source, CLOCK_BOOTTIME, at, 0, on_retry, m);
}

static void batch_written(void *userdata, int r, const char *message)
{
	struct manager *m = userdata;
	struct outbox *box = m->outbox;
	struct item_list done = box->flight;

	if (!done.first)
		list_init(&done);
	list_init(&box->flight);
	box->in_flight = false;

	if (r < 0) {
		struct item_list open = box->open;

		degrade(m, r, message);
		if (!open.first)
			list_init(&open);
		list_init(&box->open);
		box->batch = store_batch_free(box->batch);
		audit_not_committed(m);
		events_not_committed(m);
		/* Undone in reverse: the latest change first. */
		list_reverse(&open);
		list_reverse(&done);
		list_run(m, &open, false);
		list_run(m, &done, false);
		close_later(m);
		return;
	}

	if (m->degraded) {
		log_notice("State can be written again");
		free(m->degraded);
		m->degraded = NULL;
		store_everything(m); /* what we saw meanwhile is in no row */
	}
	list_run(m, &done, true);
	if (box->open.first || box->batch)
		close_later(m);
	manager_pump(m);
}

static int on_close(sd_event_source *source, void *userdata)
{
	batch_close(userdata);
	return 0;
}

int outbox_begin(struct manager *m)
{
	struct outbox *box = calloc(1, sizeof(*box));
	int r;

	if (!box)
		return -ENOMEM;
	list_init(&box->open);
	list_init(&box->flight);
	m->outbox = box;

	r = sd_event_add_defer(m->event, &box->close_source, on_close, m);
	if (r < 0)
		return r;
	/* Idle: the batch closes when the loop has nothing more to read. */
	close_soon(m, SD_EVENT_PRIORITY_IDLE);
	return sd_event_source_set_enabled(box->close_source, SD_EVENT_OFF);
}

void outbox_end(struct manager *m)
{
	struct outbox *box = m->outbox;

	if (!box)
		return;
	m->outbox = NULL; /* from here on nothing is written, and what is asked is refused */
	list_run(m, &box->open, false);
	list_run(m, &box->flight, false);
	sd_event_source_unref(box->close_source);
	sd_event_source_unref(box->retry_source);
	store_batch_free(box->batch);
	free(box);
}

static struct store_batch *open_batch(struct manager *m)
{
	struct outbox *box = m->outbox;

	if (!box)
		return NULL;
	if (!box->batch) {
		box->batch = store_batch_new();
		close_later(m);
	}
	return box->batch;
}

void outbox_put_text(struct manager *m, enum store_kind kind, const char *id, char *text)
{
	struct store_batch *batch = open_batch(m);

	if (!batch)
		free(text);
	else if (store_batch_put_text(batch, kind, id, text) == 0)
		return;
	if (m->outbox) /* else the daemon is ending */
		log_error(-ENOMEM, "A row could not be put into the batch");
}

void outbox_put(struct manager *m, enum store_kind kind, const char *id, json_t *doc)
{
	outbox_put_text(m, kind, id, doc ? json_text(doc) : NULL);
	json_decref(doc);
}

void outbox_delete(struct manager *m, enum store_kind kind, const char *id)
{
	struct store_batch *batch = open_batch(m);

	if (batch)
		(void)store_batch_delete(batch, kind, id);
}

void outbox_delete_before(struct manager *m, enum store_kind kind, const char *id)
{
	struct store_batch *batch = open_batch(m);

	if (batch)
		(void)store_batch_delete_before(batch, kind, id);
}

void outbox_prune_audit(struct manager *m, const char *before)
{
	struct store_batch *batch = open_batch(m);

	if (batch)
		(void)store_batch_prune(batch, before);
}

void outbox_add(struct manager *m, void (*on_commit)(struct manager *m, void *userdata),
		void (*on_fail)(struct manager *m, void *userdata), void *userdata)
{
	struct outbox *box = m->outbox;
	struct outbox_item *item = box ? calloc(1, sizeof(*item)) : NULL;

	if (!item) {
		if (on_fail)
			on_fail(m, userdata);
		return;
	}
	item->on_commit = on_commit;
	item->on_fail = on_fail;
	item->userdata = userdata;
	list_append(&box->open, item);
	if (box->open.n == BATCH_ITEMS_MAX)
		close_soon(m, SD_EVENT_PRIORITY_IMPORTANT);
	close_later(m);
}

/* ---- replies ---- */

struct pending_reply {
	struct reply *reply;
	json_t *result;
	struct rpc_error error;
	bool failed;
};

static void reply_now(struct manager *m, void *userdata)
{
	struct pending_reply *pending = userdata;

	if (pending->failed)
		reply_error(pending->reply, &pending->error);
	else
		reply_result(pending->reply, TAKE_PTR(pending->result));
	rpc_error_done(&pending->error);
	json_decref(pending->result);
	free(pending);
}

static void refuse_degraded(struct manager *m, struct pending_reply *pending, const char *what)
{
	reply_refuse(pending->reply, RPC_DEGRADED, "%s: %s", what, m->degraded ? m->degraded : "the daemon is ending");
	rpc_error_done(&pending->error);
	json_decref(pending->result);
	free(pending);
}

static void reply_degraded(struct manager *m, void *userdata)
{
	refuse_degraded(m, userdata, "nothing was changed");
}

/* It would show what is undone by now. */
static void view_degraded(struct manager *m, void *userdata)
{
	refuse_degraded(m, userdata, "what was to be shown could not be stored, and is undone; ask again");
}

static void reply_later(struct manager *m, struct reply *reply, json_t *result,
			void (*on_fail)(struct manager *m, void *userdata))
{
	struct pending_reply *pending = calloc(1, sizeof(*pending));

	if (!pending) {
		json_decref(result);
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	pending->reply = reply;
	pending->result = result;
	if (reply->request_key && result)
		manager_remember_request(m, reply->request_key,
			   json_pack("{s:s,s:O,s:I}", "body", reply->request_body, "result", result, "at",
				     (json_int_t)now_realtime()));
	outbox_add(m, reply_now, on_fail, pending);
}

void outbox_reply(struct manager *m, struct reply *reply, json_t *result)
{
	reply_later(m, reply, result, reply_degraded);
}

void outbox_reply_error(struct manager *m, struct reply *reply, const struct rpc_error *error)
{
	struct pending_reply *pending = calloc(1, sizeof(*pending));

	if (!pending) {
		reply_error(reply, error);
		return;
	}
	pending->reply = reply;
	pending->failed = true;
	rpc_error_set(&pending->error, error->code, "%s", strempty(error->message));
	rpc_error_detail(&pending->error, error->reason, error->field, error->hint);
	pending->error.errnum = error->errnum;
	pending->error.holders = json_incref(error->holders);
	outbox_add(m, reply_now, reply_now, pending);
}

bool outbox_is_empty(const struct manager *m)
{
	const struct outbox *box = m->outbox;

	return !box || (!box->in_flight && !box->batch && !box->open.first);
}

void view_reply(struct manager *m, struct reply *reply, json_t *result)
{
	/* What is not yet durable must not be seen: a read waits for the batch that it may have seen. */
	if (!outbox_is_empty(m))
		reply_later(m, reply, result, view_degraded);
	else
		reply_result(reply, result);
}

void store_everything(struct manager *m)
{
	struct operation *op, *tmp_op;
	struct gpu *gpu, *tmp_gpu;
	struct job *job, *tmp_job;
	struct vm *vm, *tmp_vm;

	HASH_ITER(hh, m->vms, vm, tmp_vm) {
		vm->pool.stored = true; /* what was to be deleted may be there still */
		pool_store(m, vm);
	}
	HASH_ITER(hh, m->gpus, gpu, tmp_gpu) {
		gpu_store(m, gpu);
		for (size_t i = 0; i < gpu->n_vfs; i++)
			vf_store(m, gpu->vfs[i]);
	}
	lost_store(m);
	HASH_ITER(hh, m->operations, op, tmp_op)
		operation_store(m, op);
	HASH_ITER(hh, m->jobs, job, tmp_job)
		job_store(m, job);
}

void outbox_flush(struct manager *m)
{
	/* Twice: what the first commit's items add is written as well. */
	for (int i = 0; i < 2; i++) {
		batch_close(m);
		store_flush(m->store);
	}
}

bool manager_refuses_changes(struct manager *m, struct reply *reply)
{
	if (!m->degraded)
		return false;
	reply_refuse(reply, RPC_DEGRADED, "%s", m->degraded);
	return true;
}
