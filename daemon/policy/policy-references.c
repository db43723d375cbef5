/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be judged only when all files of a set are read: names that point to other things. */
#include "policy/policy-build.h"

#include <stdio.h>

#include "lib/edit-distance.h"

/* "did you mean …?", or how to write such a thing. */
static char *reference_hint(const struct policy_builder *b, enum policy_section_id id,
			    const char *name)
{
	const struct policy_section *section = &policy_sections[id];
	size_t n = policy_section_count(b->policy, id), i;
	const char *near = NULL;
	const char **names;

	names = calloc(n + 1, sizeof(*names));
	if (!names)
		return NULL;
	for (i = 0; i < n; i++)
		names[i] = *(char **)((char *)policy_section_item(b->policy, id, i) +
				      section->name_at);
	near = n > 0 ? edit_distance_nearest(name, names, n) : NULL;
	free(names);

	if (near)
		return xasprintf("did you mean \"%s\"?", near);
	return xasprintf("write one in \"%s\"", section->name);
}

int policy_complain_missing(struct policy_builder *b, const struct policy_place *place, const char *member,
			    enum policy_section_id id, const char *name)
{
	_cleanup_free_ char *hint = reference_hint(b, id, name);

	return policy_complain_text(b, place, member, hint,
				    "no %s \"%s\" in any file of the policy",
				    policy_sections[id].thing, name);
}

static int check_slices(struct policy_builder *b, const struct policy_place *place,
			const struct policy_layout *layout, const char *member)
{
	size_t i;
	int r;

	for (i = 0; i < layout->n_slices; i++) {
		const char *profile = layout->slices[i].profile;
		_cleanup_free_ char *inner = xasprintf("%s/%zu/profile", member, i);

		if (!inner)
			return -ENOMEM;
		if (!profile || policy_find_profile(b->policy, profile))
			continue;
		r = policy_complain_missing(b, place, inner, POLICY_PROFILES, profile);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_slices(struct policy_layout *to, const struct policy_layout *from)
{
	to->defaults = from->defaults;
	to->scheduler = from->scheduler;
	to->slices = calloc(MAX_OF(from->n_slices, (size_t)1), sizeof(*to->slices));
	if (!to->slices)
		return -ENOMEM;
	for (; to->n_slices < from->n_slices; to->n_slices++) {
		struct policy_slice *slice = &to->slices[to->n_slices];

		slice->count = from->slices[to->n_slices].count;
		if (free_and_strdup(&slice->profile, from->slices[to->n_slices].profile) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* A rule that names a layout gets a copy of it, so that a rule is complete in itself. */
static int check_gpu_rule(struct policy_builder *b, size_t i)
{
	const struct policy_place *place = &b->places[POLICY_GPUS][i];
	struct policy_layout *layout = b->policy->gpus[i].layout;
	const struct policy_layout *named;

	if (!layout->name)
		return check_slices(b, place, layout, "layout");

	named = policy_find_layout(b->policy, layout->name);
	if (!named)
		return policy_complain_missing(b, place, "layout", POLICY_LAYOUTS, layout->name);
	return copy_slices(layout, named);
}

static int check_default_queue(struct policy_builder *b)
{
	size_t first = SIZE_MAX, i;
	int r;

	for (i = 0; i < b->policy->n_queues; i++) {
		_cleanup_free_ char *at = NULL;

		if (!b->policy->queues[i].is_default)
			continue;
		if (first == SIZE_MAX) {
			first = i;
			continue;
		}
		at = policy_place_text(b, &b->places[POLICY_QUEUES][first], "default");
		if (!at)
			return -ENOMEM;
		r = policy_complain_text(b, &b->places[POLICY_QUEUES][i], "default",
					 "one queue can be the default",
					 "queue \"%s\" is the default already, at %s",
					 b->policy->queues[first].name, at);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A queue whose jobs made way must not be the next to get what they had: its priority is a lower one. */
static int check_preempted(struct policy_builder *b, size_t at, size_t i)
{
	const struct policy_place *place = &b->places[POLICY_QUEUES][at];
	const struct policy_queue *queue = &b->policy->queues[at], *other;
	const char *name = json_string_value(json_array_get(queue->preempts, i));
	_cleanup_free_ char *inner = xasprintf("preempts/%zu", i);

	if (!inner)
		return -ENOMEM;
	for (size_t k = 0; k < i; k++)
		if (streq(json_string_value(json_array_get(queue->preempts, k)), name))
			return policy_complain_text(b, place, inner, "name it once", "queue \"%s\" is named twice", name);
	if (streq(name, queue->name))
		return policy_complain_text(b, place, inner, "leave it out: priorities order the jobs of one queue",
					    "queue \"%s\" cannot preempt itself", name);
	other = policy_find_queue(b->policy, name);
	if (!other)
		return policy_complain_missing(b, place, inner, POLICY_QUEUES, name);
	if (other->priority >= queue->priority)
		return policy_complain_text(b, place, inner, "give the queue that preempts a higher priority",
					    "queue \"%s\" has priority %u, which is not lower than that of \"%s\" (%u)", name,
					    other->priority, queue->name, queue->priority);
	return 0;
}

/* What is said of jobs that make way, where none do. */
static int warn_unpreempted(struct policy_builder *b, size_t at)
{
	const struct policy_queue *queue = &b->policy->queues[at];

	if (queue->preempt_grace_usec == 0 && queue->min_runtime_usec == 0)
		return 0;
	for (size_t i = 0; i < b->policy->n_queues; i++)
		for (size_t k = 0; k < json_array_size(b->policy->queues[i].preempts); k++)
			if (streq(json_string_value(json_array_get(b->policy->queues[i].preempts, k)), queue->name))
				return 0;
	return policy_warn(b, &b->places[POLICY_QUEUES][at], "%s means nothing: no queue names \"%s\" in \"preempts\"",
			   queue->preempt_grace_usec > 0 ? "preempt_grace" : "min_runtime", queue->name);
}

static int check_preempts(struct policy_builder *b)
{
	int r = 0;

	for (size_t at = 0; at < b->policy->n_queues && r == 0; at++)
		for (size_t i = 0; i < json_array_size(b->policy->queues[at].preempts) && r == 0; i++)
			r = check_preempted(b, at, i);
	for (size_t at = 0; at < b->policy->n_queues && r == 0; at++)
		r = warn_unpreempted(b, at);
	return r;
}

/* Weights are read by quantum_by_weight only. */
static int check_weights(struct policy_builder *b)
{
	size_t i;
	int r = 0;

	for (i = 0; i < b->policy->n_queues && r == 0; i++)
		if (b->policy->queues[i].weight != POLICY_QUEUE_WEIGHT &&
		    !b->policy->scheduling.quantum_by_weight)
			r = policy_warn(b, &b->places[POLICY_QUEUES][i],
					"weight means nothing without \"scheduling\": "
					"{\"quantum_by_weight\": true}");
	return r;
}

int policy_check_references(struct policy_builder *b)
{
	size_t i;
	int r = 0;

	for (i = 0; i < b->policy->n_layouts && r == 0; i++)
		r = check_slices(b, &b->places[POLICY_LAYOUTS][i], &b->policy->layouts[i],
				 "slices");
	for (i = 0; i < b->policy->n_gpus && r == 0; i++)
		r = check_gpu_rule(b, i);
	if (r == 0)
		r = policy_check_assignments(b);
	if (r == 0)
		r = check_weights(b);
	if (r == 0)
		r = check_preempts(b);
	return r < 0 ? r : check_default_queue(b);
}
