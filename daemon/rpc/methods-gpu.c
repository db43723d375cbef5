/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods about GPUs and how they are cut. */
#include "rpc/methods.h"

METHOD_HANDLER(gpu_list);
METHOD_HANDLER(gpu_get);
METHOD_HANDLER(gpu_plan);
METHOD_HANDLER(gpu_apply);
METHOD_HANDLER(gpu_assert);
METHOD_HANDLER(gpu_drain);
METHOD_HANDLER(gpu_export);
METHOD_HANDLER(gpu_undrain);

#define GPU_SUMMARY "a GPU's name (\"gpu0\") or PCI address"
#define LAYOUT_SUMMARY                                                                             \
	"a layout's name, or {\"vfs\": N, \"vram\"?, \"profile\"?, …}, or {\"slices\": […]}"

static const struct gpu_list_params list_defaults = { .state = -1 };
static const struct json_field list_fields[] = {
	{ "gpu", JSON_FIELD_STRING, offsetof(struct gpu_list_params, gpu), .max_length = 256,
	  .summary = GPU_SUMMARY },
	STATE_FIELD(struct gpu_list_params, gpu_state_names, GPU_STATE_MAX),
	PAGE_FIELDS(struct gpu_list_params),
	{ NULL },
};

static const struct json_field get_fields[] = {
	NAME_FIELD("gpu", GPU_SUMMARY),
	{ NULL },
};

static const struct json_field plan_fields[] = {
	{ "gpu", JSON_FIELD_STRING, offsetof(struct gpu_plan_params, gpu), .required = true,
	  .nonempty = true, .max_length = 256, .summary = GPU_SUMMARY },
	{ "layout", JSON_FIELD_ANY, offsetof(struct gpu_plan_params, layout),
	  .summary = LAYOUT_SUMMARY },
	{ NULL },
};

static const struct json_field apply_fields[] = {
	{ "gpu", JSON_FIELD_STRING, offsetof(struct gpu_apply_params, gpu), .required = true,
	  .nonempty = true, .max_length = 256, .summary = GPU_SUMMARY },
	{ "layout", JSON_FIELD_ANY, offsetof(struct gpu_apply_params, layout),
	  .summary = LAYOUT_SUMMARY },
	{ "plan", JSON_FIELD_STRING, offsetof(struct gpu_apply_params, plan), .max_length = 128,
	  .summary = "hash of the plan that was looked at: refused when it would differ now" },
	{ "policy", JSON_FIELD_BOOL, offsetof(struct gpu_apply_params, policy),
	  .summary = "drop a manual layout, take the policy's" },
	{ "drain", JSON_FIELD_BOOL, offsetof(struct gpu_apply_params, drain),
	  .summary = "let nobody new in, and wait until the holders of VFs have left" },
	{ "yes_display", JSON_FIELD_BOOL, offsetof(struct gpu_apply_params, yes_display),
	  .summary = "go on although the GPU drives a display" },
	WAIT_FIELD(struct gpu_apply_params),
	{ NULL },
};

static const struct json_field drain_fields[] = {
	{ "gpu", JSON_FIELD_STRING, offsetof(struct gpu_drain_params, gpu), .required = true,
	  .nonempty = true, .max_length = 256, .summary = GPU_SUMMARY },
	WAIT_FIELD(struct gpu_drain_params),
	{ NULL },
};

static const struct json_field some_fields[] = {
	{ "gpu", JSON_FIELD_STRING, offsetof(struct gpu_some_params, gpu), .max_length = 256,
	  .summary = "one GPU's name or PCI address; all when not said" },
	{ NULL },
};

static bool apply_waits(struct manager *m, const void *params)
{
	return manager_gpu_awaits_hypervisor(m, ((const struct gpu_apply_params *)params)->gpu);
}

static bool plan_waits(struct manager *m, const void *params)
{
	return manager_gpu_awaits_hypervisor(m, ((const struct gpu_plan_params *)params)->gpu);
}

const struct rpc_method rpc_methods_gpu[] = { /* keep sorted */
	{ "gpu.apply", ROLE_OPERATOR, .mutates = true, .fields = apply_fields,
	  .params_size = sizeof(struct gpu_apply_params), .handler = handle_gpu_apply, .waits = apply_waits,
	  .summary = "cuts a GPU into VFs", .result = "applied" },
	{ "gpu.assert", ROLE_VIEWER, .fields = some_fields, .params_size = sizeof(struct gpu_some_params),
	  .handler = handle_gpu_assert,
	  .summary = "compares what is wanted of GPUs with what their kernel shows now",
	  .result = "asserted" },
	{ "gpu.drain", ROLE_OPERATOR, .mutates = true, .fields = drain_fields,
	  .params_size = sizeof(struct gpu_drain_params), .handler = handle_gpu_drain,
	  .summary = "lets nobody new have a VF of a GPU, and waits until its holders have left",
	  .result = "drained" },
	{ "gpu.export", ROLE_VIEWER, .fields = some_fields, .params_size = sizeof(struct gpu_some_params),
	  .handler = handle_gpu_export,
	  .summary = "the layouts of GPUs as a policy document that makes them again",
	  .result = "policy_document" },
	{ "gpu.get", ROLE_VIEWER, METHOD_NAME(get_fields), .handler = handle_gpu_get,
	  .summary = "one GPU with its VFs", .result = "gpu" },
	{ "gpu.list", ROLE_VIEWER, .fields = list_fields,
	  .params_size = sizeof(struct gpu_list_params), .defaults = &list_defaults,
	  .handler = handle_gpu_list, .summary = "GPUs with their VFs", .result = "gpu[]" },
	{ "gpu.plan", ROLE_OPERATOR, .fields = plan_fields,
	  .params_size = sizeof(struct gpu_plan_params), .handler = handle_gpu_plan, .waits = plan_waits,
	  .summary = "what gpu.apply would do, without doing it", .result = "plan" },
	{ "gpu.undrain", ROLE_OPERATOR, .mutates = true, METHOD_NAME(get_fields),
	  .handler = handle_gpu_undrain, .summary = "lets holders in again", .result = "undrained" },
	{ NULL },
};
