/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit trail: every change has its row, with who and from what to what, in the batch of the change. */
#include <sys/uio.h>

#include "lib/clock.h"
#include "log/log.h"
#include "tests/support/manager-bench.h"

#define VF "gpu0/vf1"

static const struct caller eve = { .uid = 1000, .pid = 4711, .role = ROLE_OPERATOR, .name = (char *)"eve" };

/* The rows from this number on, oldest first.  Returns new. */
static json_t *rows_since(struct bench *b, uint64_t number)
{
	struct audit_list_params p = { .uid = UINT64_MAX };
	struct answer *a = answer_new();
	json_t *rows = json_array(), *row;
	size_t i;

	bench_settle(b);
	manager_audit_list(b->m, &root_caller, &p, &a->reply);
	bench_wait(b, a);
	json_array_foreach(json_object_get(a->result, "items"), i, row)
		if (json_get_uint(row, "audit", 0) >= number)
			json_array_insert(rows, 0, row);
	answer_free(a);
	return rows;
}

struct expected {
	const char *method, *subject, *outcome, *before, *after; /* states; NULL = not there */
	const char *operation; /* NULL = whatever */
	uint64_t uid, pid;
};

static void expect_text(const char *what, const char *got, const char *wanted, size_t i)
{
	if (!streq_ptr(got, wanted))
		fail_msg("row %zu: %s is \"%s\" instead of \"%s\"", i, what, got ? got : "nothing",
			 wanted ? wanted : "nothing");
}

static void expect_rows(struct bench *b, uint64_t number, const struct expected *expected, size_t n)
{
	json_t *rows = rows_since(b, number), *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		const struct expected *e = &expected[i];

		if (i >= n)
			break;
		expect_text("method", json_get_string(row, "method"), e->method, i);
		expect_text("subject", json_get_string(row, "subject"), e->subject, i);
		expect_text("outcome", json_get_string(row, "outcome"), e->outcome, i);
		expect_text("before", json_get_string(json_object_get(row, "before"), "state"), e->before, i);
		expect_text("after", json_get_string(json_object_get(row, "after"), "state"), e->after, i);
		if (e->operation)
			expect_text("operation", json_get_string(row, "operation"), e->operation, i);
		if (strncmp(e->method, "daemon:", 7) == 0)
			assert_int_equal(json_get_uint(row, "pid", 0), getpid());
		else
			assert_int_equal(json_get_uint(row, "pid", 0), e->pid);
		assert_int_equal(json_get_uint(row, "uid", 99), e->uid);
		assert_string_equal(json_get_string(row, "policy_revision"), b->m->policy->revision);
		assert_non_null(json_get_string(row, "at"));
	}
	if (json_array_size(rows) != n) {
		char *text = json_dumps(rows, JSON_INDENT(1));

		fail_msg("%zu rows instead of %zu: %s", json_array_size(rows), n, text);
	}
	json_decref(rows);
}
#define EXPECT(b, since, ...)                                                                      \
	do {                                                                                       \
		const struct expected _e[] = { __VA_ARGS__ };                                      \
		expect_rows((b), (since), _e, ARRAY_SIZE(_e));                                     \
	} while (0)

static struct answer *assign_to(struct bench *b, int mode, uint64_t wait_usec)
{
	struct vf_assign_params p = { .for_usec = FOR_ABSENT, .vm = (char *)"train-a", .vf = (char *)VF, .mode = mode,
				      .wait_usec = wait_usec };
	struct answer *a = answer_new();

	manager_call_begin(b->m, &eve, "vf.assign");
	manager_vf_assign(b->m, &eve, &p, &a->reply);
	manager_call_end(b->m);
	return a;
}

static struct answer *assign_as_eve(struct bench *b, uint64_t wait_usec)
{
	return assign_to(b, ASSIGN_AUTO, wait_usec);
}

static struct answer *release_from(struct bench *b, int mode, uint64_t wait_usec)
{
	struct vf_release_params p = { .vm = (char *)"train-a", .mode = mode, .wait_usec = wait_usec };
	struct answer *a = answer_new();

	manager_call_begin(b->m, &eve, "vf.release");
	manager_vf_release(b->m, &eve, &p, &a->reply);
	manager_call_end(b->m);
	return a;
}

static struct answer *release_as_eve(struct bench *b)
{
	return release_from(b, ASSIGN_AUTO, FOREVER);
}

/* Accepted and under way: libvirt does not answer. */
static void release_without_answer(struct bench *b, int mode)
{
	struct answer *a;

	b->actors.hv_held = 1U << HV_DETACH;
	a = release_from(b, mode, 0);
	bench_wait(b, a);
	answer_free(a);
	bench_settle(b);
}

/* ---- what callers do ---- */

static void a_vf_from_free_to_free(void **state)
{
	struct bench *b = *state;
	uint64_t first = audit_next(b->m);

	expect_changed(b, assign_as_eve(b, FOREVER), true);
	expect_changed(b, assign_as_eve(b, FOREVER), false); /* no change, no row */
	expect_changed(b, release_as_eve(b), true);
	EXPECT(b, first, { "vf.assign", VF, "changed", "free", "leased", NULL, 1000, 4711 },
	       { "vf.assign", VF, "changed", "leased", "attached", "op/2", 1000, 4711 },
	       { "vf.release", "train-a", "accepted", NULL, "accepted", "op/3", 1000, 4711 },
	       { "vf.release", VF, "changed", "attached", "free", "op/3", 1000, 4711 });
}

/* Who asked is known to the daemon that ends it, too. */
static void over_a_restart(void **state)
{
	struct bench *b = *state;
	uint64_t first = audit_next(b->m);

	b->actors.hv_held = 1U << HV_ATTACH;
	answer_free(({
		struct answer *a = assign_as_eve(b, 0);

		bench_wait(b, a);
		a;
	}));
	bench_settle(b);
	bench_restart(b);
	bench_until(b, bench_vf(b, VF)->state == VF_ATTACHED);
	EXPECT(b, first, { "vf.assign", VF, "changed", "free", "leased", NULL, 1000, 4711 },
	       { "vf.assign", VF, "changed", "leased", "attached", "op/2", 1000, 4711 });
}

/* Whether libvirt had done what the dead daemon asked, or not: what becomes of it is the doing of who asked. */
static void a_release_over_a_restart(void **state)
{
	static const int modes[] = { ASSIGN_LIVE, ASSIGN_LIVE, ASSIGN_CONFIG, ASSIGN_CONFIG };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		bool live = modes[i] == ASSIGN_LIVE, done = i % 2 == 1;
		_cleanup_free_ char *op = NULL;
		uint64_t first;

		expect_changed(b, assign_to(b, modes[i], FOREVER), true);
		bench_settle(b);
		first = audit_next(b->m);
		op = xasprintf("op/%llu", (unsigned long long)b->m->next_operation);
		release_without_answer(b, ASSIGN_AUTO);
		bench_stop(b);
		if (done)
			fake_set_hostdev(&b->actors, 0, 1, false, false);
		bench_start(b);
		bench_until(b, bench_vf(b, VF)->state == VF_FREE && !b->m->open_operations);
		bench_settle(b);
		EXPECT(b, first, { "vf.release", "train-a", "accepted", NULL, "accepted", op, 1000, 4711 },
		       { "vf.release", VF, "changed", live ? "attached" : "reserved", "free", op, 1000, 4711 });
	}
}

/* Its running guest has let go of it, and its stored definition has it still. */
static void a_release_of_one_side_over_a_restart(void **state)
{
	struct bench *b = *state;
	_cleanup_free_ char *op = NULL;
	uint64_t first;

	expect_changed(b, assign_to(b, ASSIGN_BOTH, FOREVER), true);
	bench_settle(b);
	first = audit_next(b->m);
	op = xasprintf("op/%llu", (unsigned long long)b->m->next_operation);
	release_without_answer(b, ASSIGN_LIVE);
	bench_stop(b);
	fake_set_hostdev(&b->actors, 0, 1, false, true);
	bench_start(b);
	bench_until(b, bench_vf(b, VF)->state == VF_RESERVED && !b->m->open_operations);
	bench_settle(b);
	EXPECT(b, first, { "vf.release", "train-a", "accepted", NULL, "accepted", op, 1000, 4711 },
	       { "vf.release", VF, "changed", "attached", "reserved", op, 1000, 4711 });
}

/* An operation that waits names the VF, but not the lease that somebody was given since. */
static void an_operation_means_the_lease_of_its_time(void **state)
{
	struct bench *b = *state;
	struct operation *op;
	struct vf *vf = bench_vf(b, VF);

	expect_changed(b, assign_as_eve(b, FOREVER), true);
	release_without_answer(b, ASSIGN_AUTO);
	op = b->m->open_operations;
	assert_null(audit_inherited(b->m, vf, NULL)); /* this daemon's own */
	op->inherited = true;
	assert_ptr_equal(audit_inherited(b->m, vf, NULL), op);
	assert_ptr_equal(audit_inherited(b->m, vf, "vf.release"), op);
	assert_null(audit_inherited(b->m, vf, "vf.assign"));
	assert_null(audit_inherited(b->m, b->m->gpus->vfs[1], NULL));
	vf->lease.since = op->created_at + 1;
	assert_null(audit_inherited(b->m, vf, NULL));
	op->inherited = false;
}

/* Who acts is told for as long as he does, and no longer. */
static void who_acts_is_who_began_last(void **state)
{
	struct bench *b = *state;
	struct operation *op;

	expect_changed(b, assign_as_eve(b, FOREVER), true);
	release_without_answer(b, ASSIGN_AUTO);
	op = b->m->open_operations;
	assert_null(audit_acts_now(b->m));
	{
		_cleanup_acting_ struct audit_acting eves = audit_acts(b->m, op);

		assert_ptr_equal(audit_acts_now(b->m), op);
		{
			_cleanup_acting_ struct audit_acting nobodys = audit_acts(b->m, NULL);

			assert_null(audit_acts_now(b->m));
		}
		assert_ptr_equal(audit_acts_now(b->m), op);
	}
	assert_null(audit_acts_now(b->m));
}

static void what_fails_is_told(void **state)
{
	struct bench *b = *state;
	uint64_t first = audit_next(b->m);

	b->actors.hv_fault[HV_ATTACH] = HV_GUEST_REFUSED;
	expect_error(b, assign_as_eve(b, FOREVER), RPC_CONFLICT, NULL);
	EXPECT(b, first, { "vf.assign", VF, "changed", "free", "leased", NULL, 1000, 4711 },
	       { "vf.assign", VF, "changed", "leased", "free", "op/2", 1000, 4711 },
	       { "vf.assign", VF, "failed", "running", "failed", "op/2", 1000, 4711 });
}

static void a_gpu_shows_layout_and_number(void **state)
{
	struct bench *b = *state;
	uint64_t first = audit_next(b->m);
	json_t *rows, *row;

	manager_call_begin(b->m, &eve, "gpu.apply");
	expect_changed(b, ({
			       struct answer *a = bench_apply(b, 3, FOREVER);

			       manager_call_end(b->m);
			       a;
		       }),
		       true);
	rows = rows_since(b, first);
	assert_int_equal(json_array_size(rows), 2);
	row = json_array_get(rows, 0); /* what is wanted from now on */
	assert_string_equal(json_get_string(row, "method"), "gpu.apply");
	row = json_array_get(json_object_get(json_object_get(row, "after"), "manual_layout"), 0);
	assert_int_equal(json_get_uint(row, "count", 0), 3);
	row = json_array_get(rows, 1); /* what is there */
	assert_string_equal(json_get_string(row, "method"), "gpu.apply");
	assert_int_equal(json_get_uint(json_object_get(row, "before"), "num_vfs", 9), 2);
	assert_int_equal(json_get_uint(json_object_get(row, "after"), "num_vfs", 9), 3);
	json_decref(rows);
}

/* ---- what the daemon does, and what others did ---- */

static void what_nobody_asked_for(void **state)
{
	struct bench *b = *state;
	uint64_t first = audit_next(b->m);

	fake_set_hostdev(&b->actors, 0, 1, true, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(b, bench_vf(b, VF)->state == VF_ATTACHED);
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	b->actors.host_fault[HOST_RESET_VF] = -EIO;
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(b, bench_vf(b, VF)->state == VF_QUARANTINED);
	bench_settle(b);
	fake_set_vfs(&b->actors, 1);
	fake_host_event(&b->actors, HOST_EVENT_CHANGED, NULL);
	bench_until(b, b->m->gpus->n_vfs == 1);
	EXPECT(b, first, { "daemon:adopt", VF, "changed", "free", "attached" },
	       { "daemon:gate", VF, "changed", "attached", "quarantined" },
	       { "daemon:host", "gpu0", "changed", "ready", "ready" });
}

static void what_a_restart_finds(void **state)
{
	struct bench *b = *state;
	uint64_t first;

	expect_changed(b, assign_as_eve(b, FOREVER), true);
	bench_settle(b);
	first = audit_next(b->m);
	bench_stop(b);
	fake_set_hostdev(&b->actors, 0, 1, false, true);
	bench_start(b);
	assert_int_equal(bench_vf(b, VF)->state, VF_RESERVED);
	EXPECT(b, first, { "daemon:recover", VF, "changed", "attached", "reserved" });
	/* Nothing has changed: a restart alone is no change. */
	first = audit_next(b->m);
	bench_restart(b);
	expect_rows(b, first, NULL, 0);
}

/* A layout that is applied at the start. */
static void what_a_boot_makes(void **state)
{
	struct bench *b = *state;
	uint64_t first = audit_next(b->m);

	bench_stop(b);
	fake_set_vfs(&b->actors, 0);
	bench_start(b);
	bench_until(b, b->m->gpus->n_vfs == 2);
	EXPECT(b, first, { "daemon:apply", "gpu0", "changed", "ready", "ready" });
}

static void numbers_go_on(void **state)
{
	struct bench *b = *state;
	uint64_t next = audit_next(b->m);

	assert_true(next > 1);
	bench_restart(b);
	assert_int_equal(audit_next(b->m), next);
}

/* ---- one batch ---- */

/* A change that was not stored has no row; when it is stored after all, it has one. */
static void no_change_no_row(void **state)
{
	struct bench *b = *state;
	uint64_t first = audit_next(b->m);

	bench_break_store(b, true);
	expect_error(b, assign_as_eve(b, FOREVER), RPC_DEGRADED, NULL);
	bench_break_store(b, false); /* at once, so that what undoes the change can be written */
	bench_until(b, !b->m->degraded);
	expect_rows(b, first, NULL, 0);
	expect_changed(b, assign_as_eve(b, FOREVER), true);
	EXPECT(b, first, { "vf.assign", VF, "changed", "free", "leased", NULL, 1000, 4711 },
	       { "vf.assign", VF, "changed", "leased", "attached", NULL, 1000, 4711 });
	/* Every row is of a committed change, and every change is in it: nothing of the lease is missing. */
	assert_int_equal(bench_number(b, "SELECT count(*) FROM audit, lease WHERE"
					 " json_extract(audit.doc, '$.after.epoch') = json_extract(lease.doc, '$.epoch')"
					 " AND json_extract(audit.doc, '$.after.state') = 'attached'"),
			 1);
}

/* What was seen while nothing could be stored is stored later: it is still the doing of who had asked for it. */
static void what_is_stored_later_is_whose_it_was(void **state)
{
	struct bench *b = *state;
	_cleanup_free_ char *op = NULL;
	uint64_t first;

	expect_changed(b, assign_as_eve(b, FOREVER), true);
	bench_settle(b);
	first = audit_next(b->m);
	op = xasprintf("op/%llu", (unsigned long long)b->m->next_operation);
	release_without_answer(b, ASSIGN_AUTO);
	bench_break_store(b, true);
	b->actors.hv_held = 0;
	fake_release(&b->actors, 0, 1U << HV_DETACH);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE && b->m->degraded);
	bench_break_store(b, false);
	bench_until(b, !b->m->degraded);
	bench_settle(b);
	EXPECT(b, first, { "vf.release", "train-a", "accepted", NULL, "accepted", op, 1000, 4711 },
	       { "vf.release", VF, "changed", "attached", "free", op, 1000, 4711 });
	/* And that was all of it: the same once more, by others, is theirs. */
	fake_set_hostdev(&b->actors, 0, 1, true, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(b, bench_vf(b, VF)->state == VF_ATTACHED);
	first = audit_next(b->m);
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	EXPECT(b, first, { "daemon:vm", VF, "changed", "attached", "free" });
}

struct seen {
	unsigned n;
	uint64_t number;
};

static bool on_event(void *userdata, const struct manager_event *event)
{
	struct seen *seen = userdata;

	if (!streq(event->type, "audit"))
		return true;
	seen->n++;
	seen->number = json_get_uint(event->json, "audit", 0);
	assert_non_null(json_object_get(event->json, "before"));
	return true;
}

static void subscribers_hear_of_it(void **state)
{
	struct bench *b = *state;
	struct seen seen = { 0 };
	int id = manager_subscribe(b->m, on_event, &seen);

	expect_changed(b, assign_as_eve(b, FOREVER), true);
	bench_settle(b);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.number, audit_next(b->m) - 1);
	manager_unsubscribe(b->m, id);
}

/* ---- the journal ---- */

/* Entries that have a field GPUVF_AUDIT, by its value: field → value. */
static json_t *journal;
int __wrap_sd_journal_sendv(const struct iovec *iov, int n);

int __wrap_sd_journal_sendv(const struct iovec *iov, int n)
{
	json_t *entry = json_object();
	const char *number;

	for (int i = 0; i < n; i++) {
		const char *text = iov[i].iov_base, *sign = memchr(text, '=', iov[i].iov_len);
		size_t name = sign ? (size_t)(sign - text) : 0;

		assert_non_null(sign);
		assert_int_equal(json_object_setn_new(entry, text, name,
						      json_stringn(sign + 1, iov[i].iov_len - name - 1)),
				 0);
	}
	number = json_get_string(entry, "GPUVF_AUDIT");
	if (number && journal)
		json_object_set(journal, number, entry);
	json_decref(entry);
	return 0;
}

static void expect_field(const json_t *entry, const char *field, const json_t *row, const char *member)
{
	const json_t *wanted = json_object_get(row, member);
	const char *text = json_get_string(entry, field);
	_cleanup_free_ char *as_text = json_is_null(wanted) || !wanted ? NULL
				       : json_is_string(wanted)	       ? strdup(json_string_value(wanted))
								       : json_dumps(wanted, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!streq_ptr(text, as_text))
		fail_msg("%s is %s in the journal and %s in the trail", field, text ? text : "nothing",
			 as_text ? as_text : "nothing");
}

/* A journald that keeps errors only still has every row, with all that it says. */
static void the_journal_has_every_row_with_its_fields(void **state)
{
	static const char *const fields[][2] = {
		{ "GPUVF_AUDIT", "audit" },	  { "GPUVF_UID", "uid" },	  { "GPUVF_PID", "pid" },
		{ "GPUVF_METHOD", "method" },	  { "GPUVF_SUBJECT", "subject" }, { "GPUVF_OPERATION", "operation" },
		{ "GPUVF_OUTCOME", "outcome" },	  { "GPUVF_BEFORE", "before" },	  { "GPUVF_AFTER", "after" },
		{ "GPUVF_POLICY", "policy_revision" },
	};
	struct bench *b = *state;
	uint64_t first = audit_next(b->m);
	json_t *rows, *row;
	size_t i;

	journal = json_object();
	log_setup(LOG_ERR, true);
	expect_changed(b, assign_as_eve(b, FOREVER), true);
	b->actors.hv_fault[HV_DETACH] = HV_GUEST_REFUSED;
	expect_error(b, release_as_eve(b), RPC_CONFLICT, NULL);
	manager_audit_refused(b->m, 2000, 77, "vf.assign", VF, "vf.assign needs role operator");
	b->actors.hv_fault[HV_DETACH] = HV_OK;
	fake_set_hostdev(&b->actors, 0, 1, false, false);
	fake_hv_event(&b->actors, HV_EVENT_DOMAIN, 0);
	bench_until(b, bench_vf(b, VF)->state == VF_FREE);
	bench_settle(b);
	log_setup(LOG_INFO, false);
	rows = rows_since(b, first);
	assert_int_equal(json_array_size(rows), 6);
	assert_int_equal(json_object_size(journal), 6);
	json_array_foreach(rows, i, row) {
		char number[24];
		const json_t *entry;

		snprintf(number, sizeof(number), "%llu", (unsigned long long)json_get_uint(row, "audit", 0));
		entry = json_object_get(journal, number);
		assert_non_null(entry);
		for (size_t f = 0; f < ARRAY_SIZE(fields); f++)
			expect_field(entry, fields[f][0], row, fields[f][1]);
		assert_string_equal(json_get_string(entry, "PRIORITY"), "5");
		assert_non_null(json_get_string(entry, "MESSAGE"));
	}
	json_decref(rows);
	json_decref(TAKE_PTR(journal));
}

/* ---- refusals, retention ---- */

static void refusals_are_told_but_do_not_flood(void **state)
{
	struct audit_list_params p = { .uid = UINT64_MAX };
	struct answer *a = answer_new();
	struct bench *b = *state;
	uint64_t first = audit_next(b->m);
	json_t *rows, *row;

	for (unsigned i = 0; i < 100; i++)
		manager_audit_refused(b->m, 2000, 77, "vf.assign", VF, "vf.assign needs role operator");
	/* Whoever asks sees what was there when he asked, committed or not yet. */
	manager_audit_list(b->m, &root_caller, &p, &a->reply);
	bench_wait(b, a);
	assert_int_equal(json_get_uint(json_array_get(json_object_get(a->result, "items"), 0), "uid", 0), 2000);
	answer_free(a);
	manager_audit_refused(b->m, 2001, 78, "gpu.apply", NULL, "not for you"); /* others are not silenced by it */
	rows = rows_since(b, first);
	assert_int_equal(json_array_size(rows), 11);
	row = json_array_get(rows, 0);
	assert_string_equal(json_get_string(row, "outcome"), "refused");
	assert_int_equal(json_get_uint(row, "uid", 0), 2000);
	assert_int_equal(json_get_uint(row, "pid", 0), 77);
	assert_string_equal(json_get_string(row, "error"), "vf.assign needs role operator");
	row = json_array_get(rows, 10);
	assert_int_equal(json_get_uint(row, "uid", 0), 2001);
	json_decref(rows);
}

static void old_rows_leave(void **state)
{
	struct bench *b = *state;
	char sql[400], old[RFC3339_STRLEN];

	bench_stop(b);
	json_object_set_new(b->config, "retention", json_pack("{s:I}", "audit_usec", (json_int_t)(3600 * USEC_PER_SEC)));
	rfc3339_format(now_realtime() - 7200 * USEC_PER_SEC, old);
	snprintf(sql, sizeof(sql),
		 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)"
		 " INSERT OR IGNORE INTO audit (id, doc) SELECT printf('%%018d00', i), json_object('at', '%s', 'method', 'old')"
		 " FROM n", old);
	bench_sql(b, sql);
	bench_start(b);
	bench_until(b, bench_number(b, "SELECT count(*) FROM audit WHERE method = 'old'") == 0);
	assert_true(bench_number(b, "SELECT count(*) FROM audit") > 0); /* the young ones stay */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_set_up_cut, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_vf_from_free_to_free),
		TEST(over_a_restart),
		TEST(a_release_over_a_restart),
		TEST(a_release_of_one_side_over_a_restart),
		TEST(an_operation_means_the_lease_of_its_time),
		TEST(who_acts_is_who_began_last),
		TEST(what_fails_is_told),
		TEST(a_gpu_shows_layout_and_number),
		TEST(what_nobody_asked_for),
		TEST(what_a_restart_finds),
		TEST(what_a_boot_makes),
		TEST(numbers_go_on),
		TEST(no_change_no_row),
		TEST(what_is_stored_later_is_whose_it_was),
		TEST(subscribers_hear_of_it),
		TEST(refusals_are_told_but_do_not_flood),
		TEST(old_rows_leave),
		TEST(the_journal_has_every_row_with_its_fields),
	};

	return cmocka_run_group_tests_name("manager-audit", tests, NULL, NULL);
}
