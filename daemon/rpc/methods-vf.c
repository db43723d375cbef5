/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods about VFs and who holds them. */
#include "rpc/methods.h"

METHOD_HANDLER(vf_list);
METHOD_HANDLER(vf_get);
METHOD_HANDLER(vf_assign);
METHOD_HANDLER(vf_heal);
METHOD_HANDLER(vf_reset);
METHOD_HANDLER(vf_tune);

#define GPU_SUMMARY "a GPU's name (\"gpu0\") or PCI address"
#define VF_SUMMARY "a VF's name (\"gpu0/vf1\") or PCI address"
#define VM_SUMMARY "name or uuid of a libvirt domain"

#define MODE_FIELD(type)                                                                           \
	{                                                                                          \
		"mode", JSON_FIELD_ENUM, offsetof(type, mode), .names = assign_mode_names,         \
			.names_max = ASSIGN_MODE_MAX,                                              \
			.summary = "the running VM, its stored configuration, or both"             \
	}

/* GuC clamps above it. */
#define TIMESLICE_MAX ((int64_t)(100 * USEC_PER_SEC))

/* if_epoch was absent. */
#define EPOCH_NONE UINT64_MAX

static void handle_vf_release(struct manager *m, const struct caller *caller, const void *params,
			      struct reply *reply)
{
	/* The table can only fill the number: here it becomes one that may be unknown. */
	struct vf_release_params *p = (struct vf_release_params *)params;

	p->if_epoch.known = p->if_epoch.value != EPOCH_NONE;
	manager_vf_release(m, caller, p, reply);
}

static const struct vf_list_params list_defaults = { .state = -1 };
static const struct json_field list_fields[] = {
	{ "gpu", JSON_FIELD_STRING, offsetof(struct vf_list_params, gpu), .max_length = 256,
	  .summary = GPU_SUMMARY },
	STATE_FIELD(struct vf_list_params, vf_state_names, VF_STATE_MAX),
	{ "profile", JSON_FIELD_STRING, offsetof(struct vf_list_params, profile),
	  .max_length = 256, .summary = "only those of this profile" },
	{ "vm", JSON_FIELD_STRING, offsetof(struct vf_list_params, vm), .max_length = 256,
	  .summary = "only those that this VM holds" },
	PAGE_FIELDS(struct vf_list_params),
	{ NULL },
};

static const struct json_field name_fields[] = {
	NAME_FIELD("vf", VF_SUMMARY),
	{ NULL },
};

#define FOR_MAX ((int64_t)(10 * 366 * 86400 * USEC_PER_SEC))

static const struct vf_assign_params assign_defaults = { .for_usec = FOR_ABSENT };
static const struct json_field assign_fields[] = {
	{ "vm", JSON_FIELD_STRING, offsetof(struct vf_assign_params, vm), .required = true,
	  .nonempty = true, .max_length = 256, .summary = VM_SUMMARY },
	{ "vf", JSON_FIELD_STRING, offsetof(struct vf_assign_params, vf), .max_length = 256,
	  .summary = VF_SUMMARY },
	{ "gpu", JSON_FIELD_STRING, offsetof(struct vf_assign_params, gpu), .max_length = 256,
	  .summary = GPU_SUMMARY },
	{ "profile", JSON_FIELD_STRING, offsetof(struct vf_assign_params, profile),
	  .max_length = 256, .summary = "a VF of this profile" },
	{ "vram_bytes", JSON_FIELD_SIZE, offsetof(struct vf_assign_params, vram_bytes),
	  .summary = "at least so much VRAM" },
	{ "add", JSON_FIELD_BOOL, offsetof(struct vf_assign_params, add),
	  .summary = "one more, even when the VM holds such a VF" },
	MODE_FIELD(struct vf_assign_params),
	{ "for_seconds", JSON_FIELD_DURATION, offsetof(struct vf_assign_params, for_usec), .max = FOR_MAX,
	  .summary = "taken back after so long, from now on; 0 = never" },
	WAIT_FIELD(struct vf_assign_params),
	{ NULL },
};

static const struct vf_release_params release_defaults = { .if_epoch = { .value = EPOCH_NONE } };
static const struct json_field release_fields[] = {
	{ "vf", JSON_FIELD_STRING, offsetof(struct vf_release_params, vf), .max_length = 256,
	  .summary = VF_SUMMARY },
	{ "vm", JSON_FIELD_STRING, offsetof(struct vf_release_params, vm), .max_length = 256,
	  .summary = VM_SUMMARY },
	{ "all", JSON_FIELD_BOOL, offsetof(struct vf_release_params, all),
	  .summary = "all VFs that the VM holds" },
	MODE_FIELD(struct vf_release_params),
	{ "force", JSON_FIELD_BOOL, offsetof(struct vf_release_params, force),
	  .summary = "power the VM off hard, although a job uses the VF or the guest does not let go" },
	{ "yes_power_off", JSON_FIELD_BOOL, offsetof(struct vf_release_params, yes_power_off),
	  .summary = "go on with force, although the guest loses what it has not written and its jobs end" },
	{ "if_epoch", JSON_FIELD_UINT, offsetof(struct vf_release_params, if_epoch.value),
	  .summary = "only when the lease still has this epoch" },
	WAIT_FIELD(struct vf_release_params),
	{ NULL },
};

/* Who does not say how long waits for the end. */
static const struct vf_reset_params heal_defaults = { .wait_usec = USEC_INFINITY };
static const struct json_field reset_fields[] = {
	{ "vf", JSON_FIELD_STRING, offsetof(struct vf_reset_params, vf), .required = true,
	  .nonempty = true, .max_length = 256, .summary = VF_SUMMARY },
	WAIT_FIELD(struct vf_reset_params),
	{ NULL },
};

#define FIXED_SUMMARY "refused: fixed while the VF is there"

static const struct vf_tune_params tune_defaults = {
	.vram_bytes = TUNE_ABSENT, .ggtt_bytes = TUNE_ABSENT, .contexts = TUNE_ABSENT,
	.doorbells = TUNE_ABSENT, .exec_quantum = TUNE_ABSENT, .preempt_timeout = TUNE_ABSENT,
	.priority = -1,
};
static const struct json_field tune_fields[] = {
	{ "vf", JSON_FIELD_STRING, offsetof(struct vf_tune_params, vf), .max_length = 256,
	  .summary = VF_SUMMARY },
	{ "gpu", JSON_FIELD_STRING, offsetof(struct vf_tune_params, gpu), .max_length = 256,
	  .summary = "all VFs of this GPU, instead of one" },
	{ "exec_quantum_ms", JSON_FIELD_DURATION, offsetof(struct vf_tune_params, exec_quantum),
	  .max = TIMESLICE_MAX, .summary = "time slice in whole milliseconds, 0 = no limit" },
	{ "preempt_timeout_us", JSON_FIELD_DURATION, offsetof(struct vf_tune_params, preempt_timeout),
	  .max = TIMESLICE_MAX, .summary = "how long it may refuse to be preempted, 0 = no limit" },
	{ "priority", JSON_FIELD_ENUM, offsetof(struct vf_tune_params, priority),
	  .names = vf_priority_names, .names_max = VF_PRIORITY_HIGH,
	  .summary = "normal: scheduled even when idle" },
	{ "vram_bytes", JSON_FIELD_SIZE, offsetof(struct vf_tune_params, vram_bytes),
	  .summary = FIXED_SUMMARY },
	{ "ggtt_bytes", JSON_FIELD_SIZE, offsetof(struct vf_tune_params, ggtt_bytes),
	  .summary = FIXED_SUMMARY },
	{ "contexts", JSON_FIELD_UINT, offsetof(struct vf_tune_params, contexts),
	  .summary = FIXED_SUMMARY },
	{ "doorbells", JSON_FIELD_UINT, offsetof(struct vf_tune_params, doorbells),
	  .summary = FIXED_SUMMARY },
	{ NULL },
};

const struct rpc_method rpc_methods_vf[] = { /* keep sorted */
	{ "vf.assign", ROLE_OPERATOR, .mutates = true, .fields = assign_fields,
	  .params_size = sizeof(struct vf_assign_params), .defaults = &assign_defaults, .handler = handle_vf_assign, .waits = rpc_waits_for_hypervisor,
	  .summary = "makes sure that a VM holds such a VF", .result = "assigned" },
	{ "vf.get", ROLE_VIEWER, METHOD_NAME(name_fields), .handler = handle_vf_get,
	  .summary = "one VF", .result = "vf" },
	{ "vf.heal", ROLE_OPERATOR, .mutates = true, .fields = reset_fields,
	  .params_size = sizeof(struct vf_reset_params), .defaults = &heal_defaults,
	  .handler = handle_vf_heal, .waits = rpc_waits_for_hypervisor, .summary = "takes a VF out of quarantine after a reset",
	  .result = "healed" },
	{ "vf.list", ROLE_VIEWER, .fields = list_fields,
	  .params_size = sizeof(struct vf_list_params), .defaults = &list_defaults,
	  .handler = handle_vf_list, .summary = "VFs", .result = "vf[]" },
	{ "vf.release", ROLE_OPERATOR, .mutates = true, .fields = release_fields,
	  .params_size = sizeof(struct vf_release_params), .defaults = &release_defaults,
	  .handler = handle_vf_release, .waits = rpc_waits_for_hypervisor, .summary = "takes a VF back from a VM",
	  .result = "released" },
	{ "vf.reset", ROLE_OPERATOR, .mutates = true, .fields = reset_fields,
	  .params_size = sizeof(struct vf_reset_params), .handler = handle_vf_reset, .waits = rpc_waits_for_hypervisor,
	  .summary = "resets a free VF and looks whether it answers", .result = "reset" },
	{ "vf.tune", ROLE_OPERATOR, .mutates = true, .fields = tune_fields,
	  .params_size = sizeof(struct vf_tune_params), .defaults = &tune_defaults,
	  .handler = handle_vf_tune, .summary = "changes scheduling values of VFs in use",
	  .result = "tuned" },
	{ NULL },
};
