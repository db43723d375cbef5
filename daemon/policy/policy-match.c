/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to a loaded policy.  Pure: no I/O, no name service. */
#include "policy/policy-build.h"

static const void *find(const struct policy *p, enum policy_section_id id, const char *name)
{
	const struct policy_section *section = &policy_sections[id];
	size_t i;

	for (i = 0; i < policy_section_count(p, id); i++) {
		char *item = policy_section_item(p, id, i);

		if (streq(*(char **)(item + section->name_at), name))
			return item;
	}
	return NULL;
}

const struct policy_profile *policy_find_profile(const struct policy *p, const char *name)
{
	return find(p, POLICY_PROFILES, name);
}

const struct policy_layout *policy_find_layout(const struct policy *p, const char *name)
{
	return find(p, POLICY_LAYOUTS, name);
}

const struct policy_queue *policy_find_queue(const struct policy *p, const char *name)
{
	return find(p, POLICY_QUEUES, name);
}

/* The one that says so, else the one called "default", else the first. */
const struct policy_queue *policy_default_queue(const struct policy *p)
{
	const struct policy_queue *named = policy_find_queue(p, "default");
	size_t i;

	for (i = 0; i < p->n_queues; i++)
		if (p->queues[i].is_default)
			return &p->queues[i];
	return named ? named : &p->queues[0];
}

static bool gpu_rule_matches(const struct policy_gpu_rule *rule, const struct gpu_facts *gpu)
{
	if (rule->model && !glob_match(rule->model, strempty(gpu->model)))
		return false;
	if (rule->driver && !glob_match(rule->driver, strempty(gpu->driver)))
		return false;
	if (rule->device_id != 0 && rule->device_id != gpu->device_id)
		return false;
	if (rule->has_address && !pci_address_equal(&rule->address, &gpu->address))
		return false;
	return !rule->has_numa_node || rule->numa_node == gpu->numa_node;
}

const struct policy_gpu_rule *policy_match_gpu(const struct policy *p, const struct gpu_facts *gpu)
{
	size_t i;

	for (i = 0; i < p->n_gpus; i++)
		if (gpu_rule_matches(&p->gpus[i], gpu))
			return &p->gpus[i];
	return NULL;
}

const struct policy_vm_rule *policy_match_vm(const struct policy *p, const char *vm_name)
{
	size_t i;

	for (i = 0; i < p->n_vms; i++)
		if (glob_match(p->vms[i].match, vm_name))
			return &p->vms[i];
	return NULL;
}

/* What holds when no access rule is written. */
static enum role role_without_rules(uid_t uid, const gid_t *gids, size_t n_gids, gid_t socket_gid)
{
	size_t i;

	if (uid == 0)
		return ROLE_ADMIN;
	for (i = 0; i < n_gids; i++)
		if (gids[i] == socket_gid)
			return ROLE_USER;
	return ROLE_NONE;
}

enum role policy_role(const struct policy *p, uid_t uid, const gid_t *gids, size_t n_gids,
		      gid_t socket_gid, uid_t own_uid)
{
	enum role best = ROLE_NONE;
	size_t i;

	if (own_uid != 0)
		return uid == own_uid ? ROLE_ADMIN : ROLE_NONE;
	if (p->n_access == 0)
		return role_without_rules(uid, gids, n_gids, socket_gid);

	for (i = 0; i < p->n_access; i++)
		if (principals_allow(&p->access[i].who, 1, uid, gids, n_gids))
			best = MAX_OF(best, p->access[i].role);
	return best;
}
