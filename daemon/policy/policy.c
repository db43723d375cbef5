/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The set as an object: its sections as a table, names, reference count. */
#include "policy/policy-build.h"

const char *const role_names[ROLE_MAX] = {
	[ROLE_NONE] = "none",	      [ROLE_VIEWER] = "viewer", [ROLE_USER] = "user",
	[ROLE_OPERATOR] = "operator", [ROLE_ADMIN] = "admin",
};
DEFINE_ENUM_TABLE(role, enum role, ROLE_MAX);

const char *const vm_vf_mode_names[VM_VF_MODE_MAX] = {
	[VM_VF_PER_JOB] = "per-job",
	[VM_VF_KEEP] = "keep",
	[VM_VF_ASSIGNED] = "assigned",
};
DEFINE_ENUM_TABLE(vm_vf_mode, enum vm_vf_mode, VM_VF_MODE_MAX);

const char *const vm_start_names[VM_START_MAX] = {
	[VM_START_NEVER] = "never",
	[VM_START_ON_DEMAND] = "on-demand",
};
DEFINE_ENUM_TABLE(vm_start, enum vm_start, VM_START_MAX);

const char *const vm_managed_names[VM_MANAGED_MAX] = {
	[VM_MANAGED_NO] = "no",
	[VM_MANAGED_YES] = "yes",
};
DEFINE_ENUM_TABLE(vm_managed, enum vm_managed, VM_MANAGED_MAX);

const char *const scheduler_preset_names[SCHEDULER_PRESET_MAX] = {
	[SCHEDULER_NONE] = "none",
	[SCHEDULER_FLEXIBLE_30FPS] = "flexible-30fps",
	[SCHEDULER_FIXED_30FPS] = "fixed-30fps",
	[SCHEDULER_BURSTABLE] = "burstable",
};
DEFINE_ENUM_TABLE(scheduler_preset, enum scheduler_preset, SCHEDULER_PRESET_MAX);

static void profile_done(void *item)
{
	struct policy_profile *profile = item;

	free(profile->name);
	free(profile->description);
}

void policy_layout_done(struct policy_layout *l)
{
	size_t i;

	for (i = 0; i < l->n_slices; i++)
		free(l->slices[i].profile);
	free(l->slices);
	free(l->name);
}

static void layout_done(void *item)
{
	policy_layout_done(item);
}

static void gpu_rule_done(void *item)
{
	struct policy_gpu_rule *rule = item;

	free(rule->label);
	free(rule->model);
	free(rule->driver);
	if (rule->layout)
		policy_layout_done(rule->layout);
	free(rule->layout);
}

static void vm_rule_done(void *item)
{
	struct policy_vm_rule *rule = item;

	free(rule->label);
	free(rule->match);
	principals_free(rule->allow, rule->n_allow);
	json_decref(rule->ready);
	free(rule->run_as);
}

static void queue_done(void *item)
{
	struct policy_queue *queue = item;

	free(queue->name);
	principals_free(queue->allow, queue->n_allow);
	json_decref(queue->vms);
	json_decref(queue->preempts);
}

static void access_done(void *item)
{
	principal_done(&((struct policy_access *)item)->who);
}

#define SECTION(member, type)                                                                      \
	.name = #member, .array = offsetof(struct policy, member),                                 \
	.count = offsetof(struct policy, n_##member), .size = sizeof(struct type)
#define NAMED(word, type) .thing = word, .name_at = offsetof(struct type, name)

const struct policy_section policy_sections[POLICY_SECTION_MAX] = {
	[POLICY_PROFILES] = { SECTION(profiles, policy_profile), NAMED("profile", policy_profile),
			      .read = policy_read_profile, .done = profile_done },
	[POLICY_LAYOUTS] = { SECTION(layouts, policy_layout), NAMED("layout", policy_layout),
			     .read = policy_read_layout, .done = layout_done },
	[POLICY_GPUS] = { SECTION(gpus, policy_gpu_rule), .read = policy_read_gpu_rule,
			  .done = gpu_rule_done },
	[POLICY_VMS] = { SECTION(vms, policy_vm_rule), .read = policy_read_vm_rule,
			 .done = vm_rule_done },
	[POLICY_ASSIGNMENTS] = { SECTION(assignments, policy_assignment), .read = policy_read_assignment,
				 .done = policy_assignment_done },
	[POLICY_QUEUES] = { SECTION(queues, policy_queue), NAMED("queue", policy_queue),
			    .read = policy_read_queue, .done = queue_done },
	[POLICY_ACCESS] = { SECTION(access, policy_access), .read = policy_read_access,
			    .done = access_done },
};

void *policy_section_item(const struct policy *p, enum policy_section_id id, size_t i)
{
	const struct policy_section *section = &policy_sections[id];
	char *array = *(char *const *)((const char *)p + section->array);

	return array + i * section->size;
}

size_t policy_section_count(const struct policy *p, enum policy_section_id id)
{
	return *(const size_t *)((const char *)p + policy_sections[id].count);
}

struct policy *policy_ref(struct policy *p)
{
	p->ref++;
	return p;
}

struct policy *policy_unref(struct policy *p)
{
	size_t id, i;

	if (!p || --p->ref > 0)
		return NULL;

	for (id = 0; id < POLICY_SECTION_MAX; id++) {
		for (i = 0; i < policy_section_count(p, id); i++)
			policy_sections[id].done(policy_section_item(p, id, i));
		free(*(void **)((char *)p + policy_sections[id].array));
	}
	free(p->revision);
	json_decref(p->sources);
	json_decref(p->document);
	json_decref(p->warnings);
	free(p);
	return NULL;
}
