/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for jobs and operations: events say when to look again, the object itself says how it is.
 * The subscription begins before the first look, so nothing falls between. */
#include "cli/cli.h"
#include "cli/text.h"
#include "lib/clock.h"

uint64_t deadline_of(const struct arguments *args, const char *option)
{
	uint64_t usec;

	if (!arguments_number(args, option, &usec) || usec >= USEC_INFINITY / 2)
		return UINT64_MAX;
	return usec == 0 ? 0 : now_boottime() + usec;
}

void wait_targets_done(struct wait_target *targets, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(targets[i].id);
		json_decref(targets[i].object);
	}
}

/* ---- one round ---- */

static bool has_ended(const struct wait_target *t)
{
	static const char *const over[] = { "ended", "done", "failed", "cancelled" };
	const char *state = strempty(json_get_string(t->object, "state"));
	size_t i;

	/* "failed" and "cancelled" are states of operations, results of jobs. */
	for (i = 0; i < ARRAY_SIZE(over); i++)
		if (streq(over[i], state))
			return true;
	/* An operation that hangs in the kernel says so; only `gpuvf wait` waits for it all the same. */
	return t->kind == WAIT_OPERATION && !t->patient &&
	       json_is_object(json_object_get(t->object, "error"));
}

static bool has_reached(const struct wait_target *t, const char *state)
{
	if (streq_ptr(json_get_string(t->object, "state"), state) || has_ended(t))
		return true;
	/* It was started, and is in a later state by now. */
	return streq(state, "running") && json_get_string(t->object, "started_at") &&
	       !streq_ptr(json_get_string(t->object, "state"), "queued");
}

static int look(struct cli *cli, struct wait_target *t)
{
	json_t *object = NULL;
	int r;

	t->dirty = false;
	if (t->kind == WAIT_JOB)
		r = cli_call(cli, "job.get", json_pack("{s:s}", "id", t->id), &object);
	else
		r = cli_call(cli, "operation.get", json_pack("{s:s}", "operation", t->id), &object);
	if (r)
		return r;
	json_decref(t->object);
	t->object = object;
	return 0;
}

struct round {
	struct wait_target *targets;
	size_t n;
	const char *state;
};

/* A state that is over quickly is seen in its event, if not in the object. */
static void on_event(void *userdata, const char *method, const json_t *event)
{
	struct round *round = userdata;
	const char *type = strempty(json_get_string(event, "type"));
	const char *subject = json_get_string(event, "subject");
	size_t i;

	for (i = 0; i < round->n; i++) {
		struct wait_target *t = &round->targets[i];

		if (!streq(type, "lagged") && !streq_ptr(subject, t->id))
			continue;
		t->dirty = true;
		if (!streq(type, "lagged") &&
		    streq_ptr(json_get_string(event, "state"), round->state))
			t->reached = true;
	}
}

static int look_at_dirty(struct cli *cli, struct round *round, bool *ret_all)
{
	size_t i;
	int r;

	*ret_all = true;
	for (i = 0; i < round->n; i++) {
		struct wait_target *t = &round->targets[i];

		while (t->dirty) {
			r = look(cli, t);
			if (r)
				return r;
		}
		if (!t->reached)
			t->reached = has_reached(t, round->state);
		*ret_all = *ret_all && t->reached;
	}
	return 0;
}

int wait_for_all(struct cli *cli, struct wait_target *targets, size_t n, const char *state,
		 uint64_t deadline)
{
	struct round round = { targets, n, state };
	bool all = false, missed = false;
	size_t i;
	int r;

	for (i = 0; i < n; i++)
		targets[i].dirty = true;
	r = cli_subscribe(cli, json_pack("[s,s]", "job.state", "operation.changed"), UINT64_MAX,
			  on_event, &round);
	while (r == 0) {
		r = look_at_dirty(cli, &round, &all);
		if (r || all)
			break;
		r = cli_next_event(cli, deadline, &missed);
		for (i = 0; missed && i < n; i++)
			targets[i].dirty = true;
		missed = false;
	}
	cli->on_event = NULL;
	return r;
}

int wait_target_exit(struct cli *cli, const struct wait_target *t)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	const json_t *failure = json_object_get(t->object, "error");

	if (t->kind == WAIT_JOB)
		return streq_ptr(json_get_string(t->object, "result"), "succeeded")
			       ? EXIT_DONE
			       : EXIT_ENDED_OTHERWISE;
	if (json_is_object(failure) && rpc_error_from_json(failure, &error) == 0)
		return cli_fail(cli, &error);
	return streq_ptr(json_get_string(t->object, "state"), "done") ? EXIT_DONE : EXIT_FAILED;
}

/* ---- a call that becomes an operation ---- */

/* Whom an operation waits for, one a line; nothing when it waits for nobody. */
static void say_holders(struct cli *cli, const char *operation, const json_t *result)
{
	json_t *holder;
	size_t i;

	json_array_foreach(json_object_get(result, "holders"), i, holder)
		if (!cli->quiet)
			cli_warn(cli, "%s waits for %s", operation, strempty(json_string_value(holder)));
}

static int still_running(struct cli *cli, const char *operation, const json_t *object)
{
	_cleanup_free_ char *hint =
		xasprintf("it continues; gpuvf wait %s; gpuvf cancel %s", operation, operation);

	say_holders(cli, operation, json_object_get(object, "result"));
	return cli_refuse(cli, RPC_TIMEOUT, hint, "%s is not done yet", operation);
}

/* The answer that the method gives at the end: the operation's result and its name. */
static json_t *final_answer(const json_t *operation)
{
	const json_t *result = json_object_get(operation, "result");
	json_t *answer = json_is_object(result) ? json_copy((json_t *)result) : json_object();

	if (answer) {
		json_object_set(answer, "operation", json_object_get(operation, "operation"));
		json_object_set(answer, "operation_state", json_object_get(operation, "state"));
	}
	return answer;
}

static int wait_for_operation(struct cli *cli, const char *name, uint64_t deadline,
			      json_t **ret_result)
{
	_cleanup_free_ char *hint =
		xasprintf("%s continues; gpuvf wait %s; gpuvf cancel %s", name, name, name);
	struct wait_target target = { .id = strdup(name), .kind = WAIT_OPERATION };
	int r;

	interrupt_say(strempty(hint));
	r = wait_for_all(cli, &target, 1, "done", deadline);
	interrupt_say(NULL);
	if (r == EXIT_TIMEOUT)
		r = still_running(cli, name, target.object);
	if (r == 0)
		r = wait_target_exit(cli, &target);
	if (r == 0)
		*ret_result = final_answer(target.object);
	wait_targets_done(&target, 1);
	return r;
}

int cli_wait_for_operation(struct cli *cli, const json_t *answer, uint64_t deadline,
			   json_t **ret_result)
{
	const char *name = json_get_string(answer, "operation");

	if (name && !streq_ptr(json_get_string(answer, "operation_state"), "done"))
		say_holders(cli, name, answer);
	/* --wait 0s: the name of the operation is what was asked for.  A deadline that is over by now is another thing. */
	if (!name || deadline == 0) {
		*ret_result = json_incref((json_t *)answer);
		return 0;
	}
	return wait_for_operation(cli, name, deadline, ret_result);
}

int cli_call_and_wait(struct cli *cli, const char *method, json_t *params, uint64_t deadline,
		      json_t **ret_result)
{
	_cleanup_json_ json_t *answer = NULL;
	int r = cli_call(cli, method, params, &answer);

	return r ? r : cli_wait_for_operation(cli, answer, deadline, ret_result);
}
