/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects as the API shows them (interface §3).  Unknown is null, never 0. */
#include "manager-state.h"
#include "partition/device-defaults.h"

#define PAGE_DEFAULT 500
#define PAGE_MAX 1000

char *user_text(uid_t uid)
{
	return uid == 0 ? strdup("root") : xasprintf("uid %u", (unsigned)uid);
}

char *user_name(uid_t uid)
{
	return xasprintf("%u", (unsigned)uid);
}

void page_reply(struct manager *m, struct reply *reply, json_t *items, const struct page_params *page)
{
	_cleanup_json_ json_t *all = items;
	uint64_t limit = page->limit ? MIN_OF(page->limit, (uint64_t)PAGE_MAX) : PAGE_DEFAULT;
	const char *cursor_in = strempty(page->after);
	uint64_t after = strtoull(cursor_in, NULL, 10);
	json_t *slice = json_array(), *next = json_null();

	if (cursor_in[strspn(cursor_in, "0123456789")] != '\0' || strlen(cursor_in) > 18) {
		struct rpc_error error = { 0 };

		rpc_error_set(&error, RPC_INVALID_PARAMS, "after: \"%s\" is no `next` of an answer", cursor_in);
		rpc_error_detail(&error, NULL, "after", "leave it out to begin at the first");
		reply_error_done(reply, &error);
		json_decref(slice);
		json_decref(next);
		return;
	}
	for (uint64_t i = after; i < json_array_size(all) && i - after < limit; i++)
		json_array_append(slice, json_array_get(all, i));
	if (after + limit < json_array_size(all)) {
		char cursor[24];

		snprintf(cursor, sizeof(cursor), "%llu", (unsigned long long)(after + limit));
		next = json_string(cursor);
	}
	view_reply(m, reply, json_pack("{s:o,s:o}", "items", slice, "next", next));
}

static void put_known(json_t *json, const char *name, const struct known *value)
{
	json_put_uint_known(json, name, value->known, value->value);
}

/* The members' names are the API's; null where the way in use does not tell. */
static void values_view(const struct vf_facts *facts, json_t *json)
{
	static const struct {
		enum vf_attribute attribute;
		const char *name;
	} members[] = {
		{ VF_ATTR_VRAM, "vram_bytes" },
		{ VF_ATTR_GGTT, "ggtt_bytes" },
		{ VF_ATTR_CONTEXTS, "contexts" },
		{ VF_ATTR_DOORBELLS, "doorbells" },
		{ VF_ATTR_EXEC_QUANTUM, "exec_quantum_ms" },
		{ VF_ATTR_PREEMPT_TIMEOUT, "preempt_timeout_us" },
	};
	const struct known unknown = { 0 };
	const struct known *priority = facts ? &facts->values[VF_ATTR_PRIORITY] : &unknown;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		put_known(json, members[i].name,
			  facts ? &facts->values[members[i].attribute] : &unknown);
	json_put_string(json, "priority",
			priority->known ? vf_priority_to_string((enum vf_priority)priority->value) : NULL);
}

/* Whose the VF is: who asked for it, or whose process has it.  A policy asks by itself, and who put a foreign hostdev
 * there libvirt does not tell. */
static char *lease_user(const struct vf *vf)
{
	switch (vf->lease.owner) {
	case LEASE_VM:
	case LEASE_JOB:
	case LEASE_KEPT:
		return user_name(vf->lease.uid);
	case LEASE_FOREIGN:
		return vf_is_in_process(vf) && vf->lease.process.uid.known ? user_name(vf->lease.uid) : NULL;
	case LEASE_NONE:
	case LEASE_POLICY:
	case LEASE_OWNER_MAX:
		break;
	}
	return NULL;
}

json_t *vf_view(struct manager *m, const struct vf *vf)
{
	const struct vf_facts *facts = vf_facts_of(vf);
	_cleanup_free_ char *user = NULL, *unbound = bind_text(vf);
	struct job *job;
	json_t *json = json_pack("{s:s,s:s,s:s,s:I,s:s,s:s?,s:s?}", "name", vf->name, "gpu",
				 vf->gpu ? vf->gpu->name : "", "address", PCI_ADDRESS_STR(&vf->address), "index",
				 (json_int_t)vf->index, "state", vf_state_to_string(vf->state), "profile",
				 vf->profile, "reason", unbound ? unbound : vf->reason);

	values_view(facts, json);
	json_put_uint_known(json, "iommu_group", facts && facts->iommu_group >= 0,
			    facts ? (uint64_t)facts->iommu_group : 0);
	json_put_string(json, "driver", facts ? facts->driver : NULL);
	json_put_string(json, "vm", vf->lease.vm_name);
	if (vf->lease.owner == LEASE_NONE) {
		json_put(json, "lease", json_null());
	} else {
		json_t *lease = json_pack("{s:s,s:I,s:I,s:b,s:b}", "owner",
					  lease_owner_to_string(vf->lease.owner), "epoch",
					  (json_int_t)vf->lease.epoch, "uid", (json_int_t)vf->lease.uid,
					  "live", (int)vf->lease.live, "config", (int)vf->lease.config);

		json_put_time(lease, "since", vf->lease.since);
		json_put_time(lease, "confirm_by", expiry_wall(vf->lease.confirm_by));
		json_put_time(lease, "expires", expiry_wall(vf->lease.expires));
		json_put_uint_known(lease, "domain_id", vf->lease.domain_id >= 0, (uint64_t)vf->lease.domain_id);
		json_put(lease, "process", process_view(vf));
		json_put(json, "lease", lease);
	}
	job = lease_job(m, &vf->lease);
	json_put_string(json, "job", job ? job->name : NULL);
	json_put_bool(json, "session", job && job->document->session);
	user = lease_user(vf);
	json_put_string(json, "user", job ? job->user : user);
	json_put(json, "memory_between_users", memory_view(m, vf));
	json_put(json, "busy_percent", json_null());
	json_put_string(json, "busy_reason", "not measured by this version");
	return json;
}

/* Every attribute, whether the way in use can set it, and if not, why. */
static json_t *can_view(const struct gpu_facts *f)
{
	json_t *can = json_object();

	for (size_t i = 0; i < VF_ATTRIBUTE_MAX; i++)
		json_put(can, vf_attribute_to_string((enum vf_attribute)i),
			 json_pack("{s:s,s:s?}", "access", vf_access_to_string(f->can[i].access), "why",
				   f->can[i].why));
	return can;
}

static void facts_view(struct manager *m, const struct gpu *gpu, json_t *json)
{
	const struct gpu_facts *f = gpu->facts;
	char id[8];

	snprintf(id, sizeof(id), "%04x", f->device_id);
	json_put_string(json, "model", f->model);
	json_put_string(json, "device_id", id);
	json_put_string(json, "driver", f->driver);
	json_put_string(json, "vf_control", vf_control_to_string(f->vf_control));
	json_put_uint_known(json, "numa_node", f->numa_node >= 0, (uint64_t)f->numa_node);
	json_put_bool(json, "display", f->display);
	json_put_uint_known(json, "total_vfs", f->sriov_capable, f->total_vfs);
	json_put_uint_known(json, "num_vfs", f->sriov_capable, f->num_vfs);
	put_known(json, "vram_bytes", &f->vram_bytes);
	put_known(json, "vram_free_bytes", &f->resources[VF_ATTR_VRAM].free);
	json_put(json, "can", can_view(f));
	json_put_string(json, "control_note", f->control_note);
	json_put_bool(json, "custom_provisioning", f->custom_provisioning);
	json_put_string(json, "power", f->power);
	json_put_string(json, "survivability", f->survivability);
	json_put_uint(json, "tiles", f->tiles);
	json_put_string(json, "cannot_be_cut", f->reason);
	json_put(json, "defaults", device_defaults_view(f->device_id));
	json_put(json, "fits", gpu_fits_view(m, gpu));
}

static void layout_view(struct manager *m, const struct gpu *gpu, json_t *json)
{
	_cleanup_(layout_freep) struct layout *wanted = gpu_wanted(m, gpu);
	const struct policy_gpu_rule *rule = gpu->facts ? policy_match_gpu(m->policy, gpu->facts) : NULL;

	json_put(json, "layout", wanted ? layout_to_json(wanted) : json_null());
	json_put_string(json, "layout_source", gpu_layout_source(m, gpu));
	json_put_bool(json, "pinned", gpu->manual && rule && rule->layout);
	json_put_string(json, "rule", rule ? rule->label : NULL);
	json_put(json, "drift", drift_view(m, gpu));
}

json_t *gpu_view(struct manager *m, const struct gpu *gpu)
{
	_cleanup_free_ char *drain = gpu->state == GPU_DRAINING && !gpu->reason ? drain_reason(gpu) : NULL;
	_cleanup_free_ char *given = pf_text(m, gpu);
	json_t *json = json_pack("{s:s,s:s,s:s?,s:s,s:s?}", "name", gpu->name, "address",
				 PCI_ADDRESS_STR(&gpu->address), "serial", gpu->serial, "state",
				 gpu_state_to_string(gpu->state), "reason",
				 gpu->reason ? gpu->reason
				 : drain     ? drain
				 : given     ? given
				 : gpu->facts ? gpu->facts->reason
					      : NULL);
	json_t *vfs = json_array();
	static const char *const unknown[] = { "model",	      "device_id", "driver",	"vf_control",
					       "numa_node",   "display",   "total_vfs", "num_vfs",
					       "vram_bytes", "vram_free_bytes", "defaults", "fits" };

	if (gpu->facts)
		facts_view(m, gpu, json);
	for (size_t i = 0; !gpu->facts && i < ARRAY_SIZE(unknown); i++)
		json_put(json, unknown[i], json_null());
	layout_view(m, gpu, json);
	json_put(json, "drain", drain_view(m, gpu));
	json_put(json, "passed_through", pf_view(m, gpu));
	for (size_t i = 0; i < gpu->n_vfs; i++)
		json_array_append_new(vfs, vf_view(m, gpu->vfs[i]));
	json_put(json, "vfs", vfs);
	return json;
}

json_t *vm_view(struct manager *m, const struct vm *vm)
{
	const struct domain_facts *f = vm->facts;
	const struct policy_vm_rule *rule = policy_match_vm(m->policy, f->name);
	_cleanup_free_ char *missing = vm_missing_text(m, vm), *taken = missing ? NULL : vm_taken_text(m, vm);
	const char *cannot = missing ? missing : taken;
	json_t *vfs = json_array(), *json;
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (gpu->vfs[i]->lease.owner != LEASE_NONE &&
			    streq(gpu->vfs[i]->lease.vm_uuid, vm->uuid))
				json_array_append_new(vfs, json_string(gpu->vfs[i]->name));
	json = json_pack("{s:s,s:s,s:s,s:s,s:b,s:o,s:s?,s:s?}", "name", f->name, "uuid", vm->uuid, "state",
			 vm_state_to_string(f->state), "agent", vm_agent_to_string(f->agent), "persistent",
			 (int)f->persistent, "vfs", vfs, "rule", rule ? rule->label : NULL, "reason",
			 vm->quarantine ? vm->quarantine : vm->wedged.reason ? vm->wedged.reason : cannot);
	if (f->saved)
		json_put_bool(json, "saved", true);
	json_put(json, "wedged", wedged_view(&vm->wedged));
	json_put_string(json, "start", rule ? vm_start_to_string(rule->start) : NULL);
	json_put_bool(json, "started_by_us", vm->pool.ours && f->state != VM_OFF);
	json_put_string(json, "pool_state", pool_state(vm));
	json_put_string(json, "pool_reason", vm->pool.failure);
	json_put_string(json, "assignment_reason", vm->fixed.failure);
	json_put_string(json, "cannot_start", cannot);
	json_put_uint_known(json, "slots", rule != NULL, rule ? rule->slots : 0);
	json_put_uint_known(json, "free_ports", f->free_ports >= 0, (uint64_t)f->free_ports);
	return json;
}
