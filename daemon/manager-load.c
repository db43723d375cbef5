/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was stored becomes objects again, before the loop runs.  A row that makes no sense is put aside by the store,
 * never dropped, and no number that it may have used is given again.  State that was put back from a copy is of the
 * past: what was to be done then may have been done since, so none of it begins by itself. */
#include "manager-state.h"

#include <dirent.h>
#include <fcntl.h>

#define ASIDE_SHOWN 20 /* in daemon.status; the log has all */

/* After going back to a copy, numbers go on so far ahead that none is given twice. */
#define RESTORED_GAP 1000000

static const char restored_reason[] =
	"the state was put back from a copy: it may have run since then; let it run with gpuvf unhold, or cancel it";

/* ---- rows ---- */

/* A lease that cannot be read: its VF may be held by anybody, so it is given to nobody. */
static json_t *unreadable_lease(void)
{
	return json_pack("{s:s,s:s,s:I,s:s,s:s}", "state", vf_state_to_string(VF_QUARANTINED), "owner",
			 lease_owner_to_string(LEASE_NONE), "epoch", (json_int_t)0, "vm_uuid", "", "reason",
			 "its stored lease cannot be read (daemon.status tells more); see who has it, then gpuvf heal");
}

static int lease_row(void *manager, const char *id, const json_t *doc)
{
	struct manager *m = manager;
	uint64_t epoch = json_get_uint(doc, "epoch", 0);

	if (epoch >= m->next_epoch)
		m->next_epoch = epoch + 1;
	if (vf_state_from_string(strempty(json_get_string(doc, "state"))) >= 0 &&
	    lease_owner_from_string(strempty(json_get_string(doc, "owner"))) >= 0)
		return json_object_set(m->lease_rows, id, (json_t *)doc);
	return -EBADMSG;
}

static int meta_row(void *manager, const char *id, const json_t *doc)
{
	struct manager *m = manager;

	if (streq(id, "instance") && json_get_string(doc, "value"))
		return free_and_strdup(&m->instance, json_get_string(doc, "value"));
	if (streq(id, "boot")) {
		if (json_get_string(doc, "value"))
			return free_and_strdup(&m->stored_boot_id, json_get_string(doc, "value"));
		return -EBADMSG;
	}
	if (streq(id, "floors")) {
		m->next_epoch = MAX_OF(m->next_epoch, json_get_uint(doc, "epoch", 0));
		m->next_operation = MAX_OF(m->next_operation, json_get_uint(doc, "operation", 0));
		m->event_floor = json_get_uint(doc, "event", 0);
		m->audit_floor = json_get_uint(doc, "audit", 0);
	}
	if (streq(id, "restored"))
		m->restored = true;
	if (strncmp(id, "vm/", 3) == 0)
		return json_object_set(m->vm_rows, id + 3, (json_t *)doc);
	return streq(id, "instance") ? -EBADMSG : 0;
}

/* ---- what was put aside ---- */

static void note_aside(void *userdata, const char *kind, const char *id, const char *at, const char *why)
{
	struct manager *m = userdata;

	json_array_append_new(m->aside, json_pack("{s:s,s:s,s:s,s:s}", "kind", kind, "id", id, "at", at, "why", why));
}

bool row_is_aside(struct manager *m, const char *kind, const char *id)
{
	size_t i;
	json_t *row;

	json_array_foreach(m->aside, i, row)
		if (streq_ptr(json_get_string(row, "kind"), kind) && streq_ptr(json_get_string(row, "id"), id))
			return true;
	return false;
}

void aside_view(struct manager *m, json_t *troubles)
{
	size_t i, n = json_array_size(m->aside);
	json_t *row;

	json_array_foreach(m->aside, i, row) {
		_cleanup_free_ char *subject = NULL, *reason = NULL;

		if (i == ASIDE_SHOWN)
			break;
		subject = xasprintf("%s row \"%s\"", json_get_string(row, "kind"), json_get_string(row, "id"));
		reason = xasprintf("%s (since %s, in the table \"aside\" of state.db)%s", json_get_string(row, "why"),
				   json_get_string(row, "at"), n > ASIDE_SHOWN ? "; there are more" : "");
		json_array_append_new(troubles, json_pack("{s:s?,s:s,s:s?}", "subject", subject, "what", "unreadable",
							  "reason", reason));
	}
}

static uint64_t number_in(const char *id)
{
	const char *digits = id + strcspn(id, "0123456789");

	return strtoull(digits, NULL, 10);
}

/* What was put aside had a number too. */
static void pass_numbers(struct manager *m)
{
	const struct {
		const char *kind;
		uint64_t *next;
	} counters[] = {
		{ "gpu", &m->next_gpu },	 { "job", &m->next_job },     { "operation", &m->next_operation },
		{ "event", &m->event_floor },
	};
	size_t i, k;
	json_t *row;

	json_array_foreach(m->aside, i, row)
		for (k = 0; k < ARRAY_SIZE(counters); k++)
			if (streq_ptr(json_get_string(row, "kind"), counters[k].kind))
				*counters[k].next = MAX_OF(*counters[k].next,
							   number_in(strempty(json_get_string(row, "id"))) + 1);
}

/* A VF whose lease row was put aside now gets one that says so.  Returns whether there was one. */
static bool replace_leases(struct manager *m)
{
	char began[RFC3339_STRLEN];
	bool any = false;
	size_t i;
	json_t *row;

	rfc3339_format(m->started_at, began);
	json_array_foreach(m->aside, i, row) {
		const char *id = json_get_string(row, "id");

		if (!streq_ptr(json_get_string(row, "kind"), "lease") ||
		    strcmp(strempty(json_get_string(row, "at")), began) < 0)
			continue;
		json_object_set_new(m->lease_rows, id, unreadable_lease());
		outbox_put(m, STORE_LEASE, id, unreadable_lease());
		any = true;
	}
	return any;
}

static int load_aside(struct manager *m)
{
	int r;

	m->aside = json_array();
	r = m->aside ? store_aside(m->store, note_aside, m) : -ENOMEM;
	if (r < 0)
		return r;
	pass_numbers(m);
	m->skip_numbers = replace_leases(m); /* nobody knows which epoch they had */
	return 0;
}

/* ---- state that was put back ---- */

/* Jobs that the copy does not know have left their folders. */
static void pass_job_folders(struct manager *m)
{
	int fd = openat(m->jobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		safe_close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[strspn(entry->d_name, "0123456789")] == '\0')
			m->next_job = MAX_OF(m->next_job, (uint64_t)strtoull(entry->d_name, NULL, 10) + 1);
	closedir(dir);
}

/* What begins from here on has numbers that nothing had before. */
static void skip_numbers(struct manager *m)
{
	m->next_epoch += RESTORED_GAP;
	m->next_operation += RESTORED_GAP;
	m->event_floor = MAX_OF(m->event_floor, manager_event_next(m)) + RESTORED_GAP;
	m->audit_floor = MAX_OF(m->audit_floor, audit_next(m)) + RESTORED_GAP;
	outbox_put(m, STORE_META, "floors",
		   json_pack("{s:I,s:I,s:I,s:I}", "epoch", (json_int_t)m->next_epoch, "operation",
			     (json_int_t)m->next_operation, "event", (json_int_t)m->event_floor, "audit",
			     (json_int_t)m->audit_floor));
}

static void end_restored_operation(struct manager *m, struct operation *op)
{
	struct rpc_error error = { 0 };

	rpc_error_set(&error, RPC_CONFLICT, "the state was put back from a copy; look what is there, and ask again");
	operation_failed(m, op, &error);
	rpc_error_done(&error);
}

/* One that had begun is followed when its traces are found, and is not begun again. */
static void hold_restored_job(struct manager *m, struct job *job)
{
	json_t *attempt = job_attempt(job);
	bool began = job_attempt_may_have_begun(job);

	if (job->state == JOB_ENDED || job->state == JOB_HELD)
		return;
	job->restored = true;
	if (began && job->state >= JOB_WAITING_GUEST) {
		job_store(m, job);
		return;
	}
	if (job->state != JOB_QUEUED && attempt) {
		json_put_string(attempt, "result", job_result_to_string(JOB_LOST));
		json_put_string(attempt, "reason", restored_reason);
		job->vm_uuid[0] = '\0';
	}
	if (job->state != JOB_QUEUED)
		job_set_state(m, job, JOB_QUEUED, restored_reason);
	job_hold_restored(m, job);
}

void job_hold_restored(struct manager *m, struct job *job)
{
	if (job->restored && job->state == JOB_QUEUED)
		job_set_state(m, job, JOB_HELD, restored_reason);
}

static void settle_restored(struct manager *m)
{
	struct operation *op, *tmp_op;
	struct job *job, *tmp;

	log_warning(0, "The state was put back from a copy: jobs that had not ended are held, operations are ended");
	m->next_job += 1000;
	HASH_ITER(hh_open, m->open_operations, op, tmp_op)
		end_restored_operation(m, op);
	HASH_ITER(hh, m->jobs, job, tmp)
		hold_restored_job(m, job);
	outbox_delete(m, STORE_META, "restored");
}

/* ---- all of it ---- */

static int name_instance(struct manager *m)
{
	sd_id128_t id;
	int r;

	if (m->jobs) {
		/* Attempts in guests bear it: with another name none would be found, and all begun again. */
		log_error(0, "%s/state.db has jobs, but the name that their attempts have in guests cannot be read: "
			     "gpuvfd --state-dir %s --restore-backup FILE goes back to a copy", m->state_dir,
			  m->state_dir);
		return -EBADMSG;
	}
	r = sd_id128_randomize(&id);
	if (r < 0)
		return r;
	m->instance = xasprintf("%016llx", (unsigned long long)id.qwords[0]);
	outbox_put(m, STORE_META, "instance", json_pack("{s:s}", "value", m->instance));
	return m->instance ? 0 : -ENOMEM;
}

/* A VM's stored definition has it by our hand, or may have: libvirt's word is compared with it. */
static bool outlives_boot(const json_t *row)
{
	int state = vf_state_from_string(strempty(json_get_string(row, "state")));
	int owner = lease_owner_from_string(strempty(json_get_string(row, "owner")));

	return (json_get_bool(row, "config", false) || json_get_string(row, "instead")) &&
	       (owner == LEASE_VM || owner == LEASE_POLICY) &&
	       (state == VF_LEASED || state == VF_ATTACHING || state == VF_ATTACHED || state == VF_DETACHING ||
		state == VF_RESERVED);
}

/* row: NULL = it is dropped. */
static void tell_booted(struct manager *m, const char *id, const json_t *was, const json_t *row)
{
	_cleanup_free_ char *card = strdup(id), *name = NULL;
	char *slash = card ? strchr(card, '/') : NULL;
	struct pci_address address;
	struct gpu *gpu = NULL;

	if (slash)
		*slash = '\0';
	if (slash && pci_address_parse(card, &address) == 0)
		gpu = gpu_find_address(m, &address);
	name = gpu ? xasprintf("%s/vf%s", gpu->name, slash + 1) : strdup(id);
	if (name)
		audit_lease_row(m, name, was, row);
}

/* Its VM is off, and its memory was without power. */
static void settle_booted(struct manager *m, const char *id, json_t *row)
{
	_cleanup_json_ json_t *was = json_copy(row);

	vf_row_off(row);
	tell_booted(m, id, was, row);
	outbox_put(m, STORE_LEASE, id, json_incref(row));
}

static void settle_displaced(struct manager *m, const char *id, json_t *row, json_t *displaced)
{
	_cleanup_json_ json_t *was = json_incref(row);

	json_object_del(displaced, "gone"); /* its VF did not vanish: the trail has it once */
	tell_booted(m, id, was, displaced);
	json_object_set(m->lease_rows, id, displaced);
	outbox_put(m, STORE_LEASE, id, json_incref(displaced));
}

/* Rule "reboot": no live hostdev survives a boot of the host; what the persistent XML of a VM says does, and so does a
 * lease that we wrote there, with its end.  When the boot before is not known, the leases are compared with what
 * libvirt shows, as after a crash. */
static void check_boot(struct manager *m)
{
	char boot_id[37];
	const char *id;
	size_t dropped = 0;
	struct gpu *gpu, *tmp_gpu;
	json_t *row;
	void *tmp;

	if (boot_id_read(boot_id) < 0 || streq_ptr(m->stored_boot_id, boot_id))
		return;
	json_object_foreach_safe(m->lease_rows, tmp, id, row) {
		json_t *displaced = json_object_get(row, "displaced");

		if (!m->stored_boot_id)
			break;
		if (displaced && outlives_boot(displaced)) { /* who took the VF has lost it */
			settle_displaced(m, id, row, displaced);
			continue;
		}
		if (outlives_boot(row)) {
			settle_booted(m, id, row);
			continue;
		}
		tell_booted(m, id, row, NULL);
		outbox_delete(m, STORE_LEASE, id);
		json_object_del(m->lease_rows, id);
		dropped++;
	}
	if (dropped > 0)
		log_notice("The host was booted since: %zu leases are dropped", dropped);
	m->booted = m->stored_boot_id != NULL;
	if (m->booted)
		pool_forget_rows(m);
	HASH_ITER(hh, m->gpus, gpu, tmp_gpu)
		if (m->booted)
			half_cut_over(m, gpu, "the host was booted");
	outbox_put(m, STORE_META, "boot", json_pack("{s:s}", "value", boot_id));
}

/* Rule "cancel": what was cancelled before it began ends now. */
static void cancel_inherited(struct manager *m)
{
	struct job *job, *tmp;

	HASH_ITER(hh, m->jobs, job, tmp)
		if (job->cancel && job->state < JOB_STARTING)
			job_stop(m, job);
}

static int earlier_operation(const struct operation *a, const struct operation *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

static int lower_gpu(const struct gpu *a, const struct gpu *b)
{
	return (a->number > b->number) - (a->number < b->number);
}

/* The store gives rows by their names, where "op/10" comes before "op/9". */
static void sort_by_number(struct manager *m)
{
	HASH_SRT(hh, m->operations, earlier_operation);
	HASH_SRT(hh_open, m->open_operations, earlier_operation);
	HASH_SRT(hh, m->gpus, lower_gpu);
}

static int load_rows(struct manager *m)
{
	static const struct {
		enum store_kind kind;
		store_row_fn fn;
	} loads[] = {
		{ STORE_META, meta_row },	    { STORE_GPU, gpu_load },
		{ STORE_LEASE, lease_row },	    { STORE_OPERATION, operation_load },
		{ STORE_JOB, job_load },	    { STORE_REQUEST, request_load },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(loads) && r == 0; i++)
		r = store_load(m->store, loads[i].kind, loads[i].fn, m);
	sort_by_number(m);
	if (r == 0)
		r = events_load(m);
	return r;
}

int manager_load(struct manager *m)
{
	int r;

	m->lease_rows = json_object();
	m->vm_rows = json_object();
	m->next_epoch = m->next_job = m->next_operation = 1;
	r = load_rows(m);
	if (r == 0)
		r = load_aside(m);
	if (r < 0)
		return r;
	pass_job_folders(m);
	if (!m->instance) {
		r = name_instance(m);
		if (r < 0)
			return r;
	}
	if (m->restored || m->skip_numbers)
		skip_numbers(m);
	events_skip_to(m, m->event_floor);
	audit_skip_to(m, m->audit_floor);
	check_boot(m); /* which has rows in the audit trail */
	if (m->restored)
		settle_restored(m);
	drains_load(m);
	cancel_inherited(m);
	return 0;
}
