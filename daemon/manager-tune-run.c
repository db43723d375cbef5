/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An accepted vf.tune under way.  The GPU is read first; only what differs is written, each value is read back and
 * compared, what was written is undone when a later one fails, and in the end the wanted layout has the new values:
 * they are written again after each enable and are no drift.  Its row is stored before: a new daemon does it again.
 * Of a GPU one goes at a time, in the order of their acceptance: one that is undone would undo the other. */
#include "manager-tune.h"

struct tune_step {
	struct host_request request;
	struct known before;
};

struct tune {
	struct manager *m;
	struct gpu *gpu;
	struct operation *op;
	struct known values[VF_ATTRIBUTE_MAX];
	unsigned vf; /* 0 = all */
	struct tune_step *steps;
	size_t n_steps, step;
	struct rpc_error error; /* the first cause, while it is undone */
	struct tune *next;	/* in gpu->tunes, whose first is the one that goes */
};

static void begin(struct tune *t);

static void tune_free(struct tune *t)
{
	struct tune **at = &t->gpu->tunes;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	rpc_error_done(&t->error);
	free(t->steps);
	free(t);
}

void tunes_drop(struct gpu *gpu)
{
	while (gpu->tunes)
		tune_free(gpu->tunes);
}

static void values_from_json(const json_t *json, struct known *values)
{
	for (size_t i = 0; i < (size_t)TUNABLES; i++) {
		const json_t *value = json_object_get(json, tunables[i].member);
		int priority = json_is_string(value) ? vf_priority_from_string(json_string_value(value)) : -1;

		if (json_is_integer(value))
			values[tunables[i].attribute] = (struct known){ true, (uint64_t)json_integer_value(value) };
		else if (priority >= 0)
			values[tunables[i].attribute] = (struct known){ true, (uint64_t)priority };
	}
}

static json_t *answer(struct manager *m, const struct gpu *gpu, const char *subject,
		      const struct known *values, bool changed, bool kept)
{
	const struct policy_gpu_rule *rule = gpu->facts ? policy_match_gpu(m->policy, gpu->facts) : NULL;
	json_t *json = json_pack("{s:b,s:s,s:o,s:b,s:n}", "changed", (int)changed, "subject", subject, "values",
				 tune_values_json(values), "kept", (int)kept, "operation");

	json_put_string(json, "layout_source", gpu_layout_source(m, gpu));
	json_put_bool(json, "pinned", gpu->manual && rule && rule->layout);
	return json;
}

/* ---- the layout takes it over ---- */

/* The wanted layout with the new values; NULL = nobody wants a layout of it, or one without such a VF.
 * Returns new. */
static struct layout *tuned_layout(struct manager *m, const struct gpu *gpu, unsigned vf,
				   const struct known *values)
{
	struct layout *layout = gpu_wanted(m, gpu);

	if (!layout || layout->n_vfs != gpu->n_vfs)
		return layout_free(layout);
	for (size_t i = 0; i < layout->n_vfs; i++)
		for (size_t a = 0; a < VF_ATTRIBUTE_MAX && (vf == 0 || i == vf - 1); a++)
			if (values[a].known)
				layout->vfs[i].shape.wanted[a] = amount_of(values[a].value);
	return layout;
}

/* kept: the layout has the values from now on, or had them.  Returns true when it is another one now. */
static bool keep(const struct tune *t, bool *ret_kept)
{
	struct manager *m = t->m;
	struct gpu *gpu = t->gpu;
	_cleanup_acting_ struct audit_acting acting = audit_acts(m, t->op);
	_cleanup_(layout_freep) struct layout *before = gpu_wanted(m, gpu);
	struct layout *layout = tuned_layout(m, gpu, t->vf, t->values);

	*ret_kept = layout != NULL;
	if (!layout || layout_equal(before, layout)) {
		layout_free(layout);
		return false;
	}
	(void)free_and_strdup(&layout->name, NULL); /* no longer the policy's */
	layout_free(gpu->manual);
	gpu->manual = layout;
	gpu->manual_uid = t->op->uid;
	gpu->manual_at = now_realtime();
	gpu_store(m, gpu);
	return true;
}

/* ---- the end ---- */

/* Then the next one goes. */
static void tune_over(struct tune *t)
{
	struct gpu *gpu = t->gpu;

	tune_free(t);
	if (gpu->tunes)
		begin(gpu->tunes);
}

static void tune_failed(struct tune *t)
{
	struct manager *m = t->m;
	struct operation *op = t->op;
	struct rpc_error error = { 0 };

	rpc_error_move(&error, &t->error);
	operation_failed(m, op, &error);
	tune_over(t);
	rpc_error_done(&error);
	manager_pump(m);
}

/* NULL when the kernel shows what was asked for.  Returns new. */
static char *difference(const struct tune *t, const struct gpu_facts *facts)
{
	for (size_t i = 0; i < facts->n_vfs; i++)
		for (size_t a = 0; a < VF_ATTRIBUTE_MAX && (t->vf == 0 || i == t->vf - 1); a++) {
			const struct known *is = &facts->vfs[i].values[a];

			if (t->values[a].known && (!is->known || is->value != t->values[a].value))
				return is->known ? xasprintf("%s of vf%zu is %llu", vf_attribute_to_string(a), i + 1,
							     (unsigned long long)is->value)
						 : xasprintf("%s of vf%zu cannot be read", vf_attribute_to_string(a),
							     i + 1);
		}
	return NULL;
}

static void undo(struct tune *t);

static void on_read_back(void *userdata, const struct host_reply *reply)
{
	struct tune *t = userdata;
	struct manager *m = t->m;
	struct gpu *gpu = t->gpu;
	struct gpu_facts *copy = reply->r == 0 && reply->n_facts ? gpu_facts_copy(reply->facts[0]) : NULL;
	_cleanup_free_ char *why = copy ? difference(t, copy) : NULL;
	struct operation *op = t->op;
	json_t *result;
	bool kept, changed;

	if (!copy || why) {
		if (copy)
			rpc_error_set(&t->error, RPC_HOST_ERROR, "the kernel took every value, but shows another result: %s",
				      strempty(why));
		else
			rpc_error_from_host(&t->error, reply, "the values could not be read back");
		gpu_facts_free(copy);
		undo(t);
		return;
	}
	changed = keep(t, &kept); /* first, so that the facts are no drift */
	gpu_update(m, copy);
	result = answer(m, gpu, op->subject, t->values, changed || t->n_steps > 0, kept);
	operation_done(m, op, result);
	tune_over(t);
	manager_pump(m);
}

/* ---- steps ---- */

static void ask(struct tune *t, const struct host_request *request, host_reply_fn fn)
{
	struct host_reply reply = { .r = t->m->host->ops->request(t->m->host, request, fn, t) };

	if (reply.r < 0)
		fn(t, &reply);
}

static void on_undone(void *userdata, const struct host_reply *reply)
{
	struct tune *t = userdata;

	if (reply->r < 0)
		log_gpu(t->gpu->name, LOG_WARNING, reply->r, "a value that was tuned could not be put back");
	undo(t);
}

/* What was written goes back to what was there, the last first. */
static void undo(struct tune *t)
{
	while (t->step > 0) {
		const struct tune_step *step = &t->steps[--t->step];
		struct host_request request = step->request;

		if (!step->before.known)
			continue;
		request.value = step->before.value;
		ask(t, &request, on_undone);
		return;
	}
	if (!t->gpu->stuck && t->gpu->facts)
		gpu_refresh(t->m, t->gpu);
	tune_failed(t);
}

static char *step_text(const struct tune_step *step)
{
	const char *attribute = vf_attribute_to_string(step->request.attribute);

	if (step->request.op == HOST_SET_BULK_ATTR)
		return xasprintf("write %llu to %s of all VFs", (unsigned long long)step->request.value, attribute);
	return xasprintf("write %llu to %s of vf%u", (unsigned long long)step->request.value, attribute,
			 step->request.vf);
}

static void next(struct tune *t);

static void on_step(void *userdata, const struct host_reply *reply)
{
	struct tune *t = userdata;
	const struct tune_step *step = &t->steps[t->step];
	_cleanup_free_ char *text = step_text(step);

	if (reply->r < 0) {
		rpc_error_from_host(&t->error, reply, strempty(text));
		if (reply->r == -ETIMEDOUT)
			tune_failed(t); /* it hangs in the kernel: nothing more can be sent */
		else
			undo(t);
		return;
	}
	t->step++;
	if (reply->value.known && reply->value.value != step->request.value) {
		rpc_error_set(&t->error, RPC_HOST_ERROR, "%s: the kernel shows %llu instead", strempty(text),
			      (unsigned long long)reply->value.value);
		undo(t);
		return;
	}
	next(t);
}

static void next(struct tune *t)
{
	struct host_request read = { .op = HOST_READ, .gpu = t->gpu->address };
	_cleanup_free_ char *text = NULL;

	if (t->step == t->n_steps) {
		ask(t, &read, on_read_back);
		return;
	}
	text = step_text(&t->steps[t->step]);
	log_gpu(t->gpu->name, LOG_INFO, 0, "%s", strempty(text));
	ask(t, &t->steps[t->step].request, on_step);
}

/* ---- the beginning ---- */

static bool shows(const struct gpu_facts *facts, size_t i, enum vf_attribute attribute, uint64_t value)
{
	return facts->vfs[i].values[attribute].known && facts->vfs[i].values[attribute].value == value;
}

static void add_step(struct tune *t, enum host_op op, size_t i, enum vf_attribute attribute)
{
	t->steps[t->n_steps++] = (struct tune_step){
		.request = { .op = op, .gpu = t->gpu->address, .vf = op == HOST_SET_VF_ATTR ? (unsigned)i + 1 : 0,
			     .attribute = attribute, .value = t->values[attribute].value },
		.before = t->gpu->facts->vfs[i].values[attribute],
	};
}

/* Only what the kernel does not show already. */
static int make_steps(struct tune *t)
{
	const struct gpu_facts *facts = t->gpu->facts;

	t->steps = calloc(facts->n_vfs * (size_t)TUNABLES + 1, sizeof(*t->steps));
	if (!t->steps)
		return -ENOMEM;
	for (size_t k = 0; k < (size_t)TUNABLES; k++) {
		enum vf_attribute a = tunables[k].attribute;
		bool single = gpu_can_set(facts, a);

		for (size_t i = 0; i < facts->n_vfs && t->values[a].known; i++) {
			if ((t->vf > 0 && i != t->vf - 1) || shows(facts, i, a, t->values[a].value))
				continue;
			add_step(t, single ? HOST_SET_VF_ATTR : HOST_SET_BULK_ATTR, i, a);
			if (!single)
				break; /* that one is for all of them */
		}
	}
	return 0;
}

/* The kernel's present word: somebody may have written into sysfs, which tells nobody. */
static void on_first_read(void *userdata, const struct host_reply *reply)
{
	struct tune *t = userdata;
	struct gpu_facts *copy = reply->r == 0 && reply->n_facts ? gpu_facts_copy(reply->facts[0]) : NULL;

	if (copy)
		gpu_update(t->m, copy);
	else
		rpc_error_from_host(&t->error, reply, "the GPU could not be read");
	if (!t->error.code && tune_check_gpu(t->gpu, t->vf, &t->error) == 0 && make_steps(t) < 0)
		rpc_error_set(&t->error, RPC_INTERNAL_ERROR, "out of memory");
	if (t->error.code)
		tune_failed(t);
	else
		next(t);
}

static void begin(struct tune *t)
{
	struct host_request read = { .op = HOST_READ, .gpu = t->gpu->address };

	ask(t, &read, on_first_read);
}

void tune_go(struct manager *m, struct operation *op)
{
	struct gpu *gpu = gpu_find(m, json_get_string(op->input, "gpu"));
	struct rpc_error error = { 0 };
	struct tune *t = NULL, **last;
	unsigned vf = (unsigned)json_get_uint(op->input, "vf", 0);

	operation_begin(m, op);
	if (!gpu)
		rpc_error_set(&error, RPC_NOT_FOUND, "%s is gone", strempty(op->subject));
	else if (tune_check_gpu(gpu, vf, &error) == 0)
		t = calloc(1, sizeof(*t));
	if (!t) {
		operation_failed(m, op, &error);
		rpc_error_done(&error);
		return;
	}
	*t = (struct tune){ .m = m, .gpu = gpu, .op = op, .vf = vf };
	values_from_json(json_object_get(op->input, "values"), t->values);
	for (last = &gpu->tunes; *last; last = &(*last)->next)
		continue;
	*last = t;
	if (gpu->tunes == t)
		begin(t);
}
