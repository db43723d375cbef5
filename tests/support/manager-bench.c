/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/manager-bench.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/io.h"
#include "store/store-internal.h"
#include "tests/support/test-folder.h"

const struct caller root_caller = { .uid = 0, .role = ROLE_ADMIN, .name = (char *)"root" };

static const char policy_text[] =
	"{\"version\": 1, \"vms\": [{\"match\": \"*\", \"allow\": [\"everyone\"], \"run_as\": \"root\"}]}";

void bench_policy(struct bench *b, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/default.json", b->directory);

	assert_int_equal(write_file_atomic_at(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	assert_non_null(make_test_folder(b->directory));
	bench_policy(b, policy_text);
	b->config = json_object();
	assert_true(sd_event_new(&b->event) >= 0);
	fake_actors_init(&b->actors, b->event);
	fake_add_vm(&b->actors, 0, "train-a", VM_RUNNING);
	fake_add_vm(&b->actors, 1, "train-b", VM_OFF);
	b->assign_for = FOR_ABSENT;
	pthread_mutex_init(&b->commit_gate, NULL);
	return b;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

void bench_free(struct bench *b)
{
	bench_stop(b);
	fake_actors_done(&b->actors);
	sd_event_unref(b->event);
	json_decref(b->config);
	(void)nftw(b->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(b);
}

static void on_serving(void *userdata)
{
	struct bench *b = userdata;

	b->serving = true;
}

static void on_ready(void *userdata)
{
	struct bench *b = userdata;

	b->ready = true;
	if (!b->no_hypervisor)
		assert_int_equal(b->actors.hv.ops->start(&b->actors.hv), 0);
}

int bench_try_start(struct bench *b)
{
	_cleanup_free_ char *fallback = xasprintf("%s/default.json", b->directory);
	_cleanup_free_ char *policies = xasprintf("%s/policy.d", b->directory);
	_cleanup_free_ char *message = NULL;
	int r;
	struct manager_options options = {
		.event = b->event, .host = b->host ? b->host : &b->actors.host,
		.hypervisor = &b->actors.hv,
		.state_dir = b->directory, .policy_dir = policies, .policy_fallback = fallback,
		.config = b->config, .socket_gid = (gid_t)-1, .sleep = b->sleep,
	};

	r = store_open(b->directory, &b->store, &message);
	if (r < 0)
		fail_msg("%s", strempty(message));
	options.store = b->store;
	b->ready = b->serving = false;
	r = manager_new(&options, &b->m);
	if (r < 0) {
		b->m = NULL;
		b->store = store_free(b->store);
		return r;
	}
	assert_int_equal(manager_start(b->m, &(struct manager_start){ on_serving, on_ready, b }), 0);
	if (b->no_wait)
		return 0;
	bench_until(b, b->ready);
	if (!b->no_hypervisor)
		bench_until(b, b->m->hypervisor_connected);
	bench_settle(b);
	return 0;
}

void bench_start(struct bench *b)
{
	assert_int_equal(bench_try_start(b), 0);
}

void bench_sql(struct bench *b, const char *sql)
{
	_cleanup_free_ char *path = xasprintf("%s/state.db", b->directory);
	sqlite3 *db = NULL;

	assert_null(b->store);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

int64_t bench_number(struct bench *b, const char *sql)
{
	int64_t n = -1;

	if (store_read_number(store_database(b->store), sql, &n) < 0)
		fail_msg("%s: %s", sql, sqlite3_errmsg(store_database(b->store)));
	return n;
}

void bench_stop(struct bench *b)
{
	b->m = manager_free(b->m);
	b->store = store_free(b->store);
	fake_forget(&b->actors);
	memset(b->actors.n_host, 0, sizeof(b->actors.n_host));
	memset(b->actors.n_hv, 0, sizeof(b->actors.n_hv));
	b->actors.host_held = b->actors.hv_held = 0;
	b->actors.log[0] = '\0';
}

void bench_restart(struct bench *b)
{
	bench_stop(b);
	bench_start(b);
}

static void nothing(struct manager *m, void *userdata)
{
	*(bool *)userdata = true;
}

void bench_settle(struct bench *b)
{
	for (int i = 0; i < 4; i++) {
		bool through = false;

		/* Whatever was asked before this is committed or refused when it is. */
		outbox_add(b->m, nothing, nothing, &through);
		bench_until(b, through);
		while (sd_event_run(b->event, 0) > 0)
			;
	}
}

void bench_break_store(struct bench *b, bool broken)
{
	static const char *const tables[] = { "meta", "gpu", "lease", "job", "operation", "request", "event",
					      "audit" };

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		_cleanup_free_ char *sql = broken
			? xasprintf("CREATE TEMP TRIGGER broken_%s BEFORE INSERT ON main.%s BEGIN "
				    "SELECT RAISE(ABORT, 'the disk is full'); END", tables[i], tables[i])
			: xasprintf("DROP TRIGGER broken_%s", tables[i]);

		assert_int_equal(sqlite3_exec(store_database(b->store), sql, NULL, NULL, NULL), SQLITE_OK);
	}
}

/* In the store's thread. */
static int at_commit(void *userdata)
{
	struct bench *b = userdata;

	pthread_mutex_lock(&b->commit_gate);
	pthread_mutex_unlock(&b->commit_gate);
	return 0;
}

void bench_hold_store(struct bench *b, bool held)
{
	if (held) {
		sqlite3_commit_hook(store_database(b->store), at_commit, b);
		pthread_mutex_lock(&b->commit_gate);
	} else {
		pthread_mutex_unlock(&b->commit_gate);
	}
}

void bench_submit(struct bench *b)
{
	while (sd_event_run(b->event, 0) > 0)
		;
}

/* ---- answers ---- */

static void on_answer(struct reply *reply, json_t *result, const struct rpc_error *error)
{
	struct answer *a = (struct answer *)reply;

	a->n++;
	a->result = result;
	if (!error)
		return;
	a->code = error->code;
	a->reason = error->reason ? strdup(error->reason) : NULL;
	a->message = error->message ? strdup(error->message) : NULL;
}

struct answer *answer_new(void)
{
	struct answer *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	a->reply.done = on_answer;
	return a;
}

void answer_free(struct answer *a)
{
	assert_int_equal(a->n, 1);
	json_decref(a->result);
	free(a->reason);
	free(a->message);
	free(a->reply.request_key);
	free(a->reply.request_body);
	free(a);
}

void bench_wait(struct bench *b, struct answer *a)
{
	bench_until(b, a->n > 0);
}

void expect_error(struct bench *b, struct answer *a, enum rpc_code code, const char *reason)
{
	bench_wait(b, a);
	if (a->code != code || (reason && !streq_ptr(a->reason, reason)))
		fail_msg("%d %s (%s) instead of %d %s", a->code, strempty(a->reason), strempty(a->message), code,
			 strempty(reason));
	answer_free(a);
}

void expect_changed(struct bench *b, struct answer *a, bool changed)
{
	bench_wait(b, a);
	if (a->code)
		fail_msg("refused: %s", strempty(a->message));
	assert_int_equal(json_get_bool(a->result, "changed", !changed), changed);
	answer_free(a);
}

/* ---- methods ---- */

struct answer *bench_apply(struct bench *b, unsigned vfs, uint64_t wait_usec)
{
	_cleanup_json_ json_t *layout = json_pack("{s:i,s:s}", "vfs", (int)vfs, "vram", "2GiB");
	struct gpu_apply_params p = { .gpu = (char *)"gpu0", .layout = layout, .wait_usec = wait_usec };
	struct answer *a = answer_new();

	if (vfs == 0)
		json_object_del(layout, "vram");
	manager_gpu_apply(b->m, &root_caller, &p, &a->reply);
	return a;
}

struct answer *bench_assign(struct bench *b, const char *vm, const char *vf, uint64_t wait_usec)
{
	struct vf_assign_params p = { .vm = (char *)vm, .vf = (char *)vf, .mode = ASSIGN_AUTO,
				      .for_usec = b->assign_for,
				      .wait_usec = wait_usec };
	struct answer *a = answer_new();

	manager_vf_assign(b->m, &root_caller, &p, &a->reply);
	return a;
}

struct answer *bench_release_as(struct bench *b, const struct vf_release_params *p)
{
	struct answer *a = answer_new();

	manager_vf_release(b->m, &root_caller, p, &a->reply);
	return a;
}

struct answer *bench_release(struct bench *b, const char *vf, uint64_t wait_usec)
{
	return bench_release_as(b, &(struct vf_release_params){ .vf = (char *)vf, .wait_usec = wait_usec });
}

struct answer *bench_heal(struct bench *b, const char *vf)
{
	struct vf_reset_params p = { .vf = (char *)vf, .wait_usec = USEC_INFINITY };
	struct answer *a = answer_new();

	manager_vf_heal(b->m, &root_caller, &p, &a->reply);
	return a;
}

void bench_cut(struct bench *b, unsigned vfs)
{
	expect_changed(b, bench_apply(b, vfs, USEC_INFINITY), true);
	bench_settle(b);
	assert_int_equal(b->m->gpus->n_vfs, vfs);
}

struct vf *bench_vf(struct bench *b, const char *name)
{
	struct vf *vf = vf_find(b->m, name);

	assert_non_null(vf);
	return vf;
}

struct gpu *bench_gpu(struct bench *b)
{
	struct gpu *gpu = gpu_find(b->m, "gpu0");

	assert_non_null(gpu);
	return gpu;
}

void expect_vf(struct bench *b, const char *name, enum vf_state state, enum lease_owner owner)
{
	struct vf *vf = bench_vf(b, name);

	if (vf->state != state || vf->lease.owner != owner || vf->handover)
		fail_msg("%s is %s (%s), lease %s%s", name, vf_state_to_string(vf->state), strempty(vf->reason),
			 lease_owner_to_string(vf->lease.owner), vf->handover ? ", and busy" : "");
}

int bench_set_up_stopped(void **state)
{
	*state = bench_new();
	return 0;
}

int bench_set_up(void **state)
{
	bench_set_up_stopped(state);
	bench_start(*state);
	return 0;
}

int bench_set_up_cut(void **state)
{
	bench_set_up(state);
	bench_cut(*state, 2);
	return 0;
}

int bench_tear_down(void **state)
{
	bench_free(*state);
	return 0;
}
