/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The objects of the API as tables.  A type is a JSON type or the name of another object; "[]"
 * behind it means an array of it, "?" that it may be null. */
#include "rpc/result-schema.h"

#include <stdio.h>

struct member {
	const char *name;
	const char *type;
};

struct object {
	const char *name;
	const struct member *members; /* ended by a row without a name */
};

#define MEMBERS(...) ((const struct member[]){ __VA_ARGS__, { NULL, NULL } })

static const struct object objects[] = {
	{ "applied", MEMBERS({ "changed", "boolean" }, { "operation", "string?" },
			     { "holders", "any" }, { "gpu", "gpu" }) },
	{ "asserted", MEMBERS({ "same", "boolean" }, { "gpus", "gpu_assertion[]" }) },
	{ "assigned", MEMBERS({ "vf", "string" }, { "lease", "object" }, { "changed", "boolean" },
			      { "instead", "string?" }, { "operation", "string?" }) },
	{ "audit", MEMBERS({ "audit", "integer" }, { "at", "string" }, { "uid", "integer" },
			   { "pid", "integer?" }, { "method", "string" }, { "subject", "string?" },
			   { "operation", "string?" }, { "outcome", "string" },
			   { "before", "object?" }, { "after", "object?" }, { "error", "string?" },
			   { "left_out", "integer?" }, { "policy_revision", "string" }) },
	{ "changed", MEMBERS({ "changed", "boolean" }) },
	{ "chunk", MEMBERS({ "data", "string" }, { "encoding", "string" }, { "offset", "integer" },
			   { "next", "integer" }, { "eof", "boolean" },
			   { "truncated", "boolean" }) },
	{ "doctor", MEMBERS({ "findings", "finding[]" }, { "counts", "object" },
			    { "incomplete", "boolean" }, { "examined_at", "string" },
			    { "simulated", "boolean" }) },
	{ "drained", MEMBERS({ "changed", "boolean" }, { "operation", "string?" },
			     { "holders", "any" }, { "gpu", "gpu" }) },
	{ "finding", MEMBERS({ "id", "string" }, { "severity", "string" }, { "kind", "string" },
			     { "subject", "string" }, { "address", "string?" },
			     { "looked", "boolean" }, { "what", "string" },
			     { "evidence", "object[]" }, { "cure", "string?" }) },
	{ "gpu", MEMBERS({ "name", "string" }, { "address", "string" }, { "model", "string?" },
			 { "device_id", "string?" }, { "driver", "string?" }, { "state", "string" },
			 { "vf_control", "string?" }, { "numa_node", "integer?" },
			 { "display", "boolean?" }, { "total_vfs", "integer?" },
			 { "num_vfs", "integer?" }, { "vram_bytes", "integer?" },
			 { "vram_free_bytes", "integer?" }, { "can", "object?" },
			 { "control_note", "string?" }, { "custom_provisioning", "boolean?" },
			 { "power", "string?" }, { "survivability", "string?" },
			 { "tiles", "integer?" }, { "layout", "any" },
			 { "layout_source", "string?" }, { "pinned", "boolean" },
			 { "rule", "string?" }, { "drift", "any" }, { "drain", "any" },
			 { "passed_through", "object?" },
			 { "reason", "string?" }, { "defaults", "object?" }, { "fits", "object?" },
			 { "vfs", "vf[]" }) },
	{ "gpu_assertion", MEMBERS({ "gpu", "string" }, { "address", "string" }, { "same", "boolean" },
				   { "state", "string" }, { "layout", "any" },
				   { "layout_source", "string?" }, { "pinned", "boolean" },
				   { "differences", "string[]" }) },
	{ "healed", MEMBERS({ "changed", "boolean" }) },
	{ "job", MEMBERS({ "id", "string" }, { "name", "string?" }, { "user", "string" },
			 { "queue", "string" }, { "state", "string" }, { "result", "string?" },
			 { "reason", "string?" }, { "attempt", "integer" },
			 { "attempts", "object[]" }, { "priority", "integer" },
			 { "submitted_at", "string" }, { "started_at", "string?" },
			 { "ended_at", "string?" }, { "vfs", "string[]" }, { "vm", "string?" },
			 { "exit_code", "integer?" }, { "signal", "string?" },
			 { "progress", "progress?" }, { "request_bytes", "integer?" },
			 { "time_limit_seconds", "integer?" }, { "session", "session?" },
			 { "spec", "object?" }) },
	{ "job_changed", MEMBERS({ "changed", "boolean" }, { "state", "string" }) },
	{ "job_extended", MEMBERS({ "changed", "boolean" }, { "state", "string" },
				  { "time_limit_seconds", "integer" }, { "ends_at", "string?" }) },
	{ "lease", MEMBERS({ "owner", "string" }, { "epoch", "integer" }, { "uid", "integer" },
			   { "live", "boolean" }, { "config", "boolean" }, { "since", "string" },
			   { "confirm_by", "string?" }, { "expires", "string?" },
			   { "domain_id", "integer?" }, { "process", "object?" }) },
	{ "openrpc", MEMBERS({ "openrpc", "string" }, { "info", "object" }, { "methods", "any" },
			     { "components", "object" }) },
	{ "operation", MEMBERS({ "operation", "string" }, { "method", "string" },
			       { "state", "string" }, { "subject", "string?" }, { "uid", "integer" },
			       { "result", "object?" }, { "error", "object?" },
			       { "created_at", "string" }, { "ended_at", "string?" }) },
	{ "operation_changed", MEMBERS({ "changed", "boolean" }, { "operation", "string" },
				       { "state", "string" }) },
	{ "plan", MEMBERS({ "gpu", "string" }, { "hash", "string" }, { "layout", "any" },
			  { "layout_source", "string" }, { "pinned", "boolean" },
			  { "steps", "step[]" }, { "notes", "string[]" },
			  { "disturbs", "string[]" }) },
	{ "policy", MEMBERS({ "revision", "string" }, { "sources", "string[]" },
			    { "document", "object" }, { "warnings", "string[]" }) },
	{ "policy_check", MEMBERS({ "valid", "boolean" }, { "errors", "string[]" },
				  { "warnings", "string[]" }) },
	{ "policy_document", MEMBERS({ "version", "integer" }, { "description", "string" },
				     { "profiles", "object[]" }, { "layouts", "object[]" },
				     { "gpus", "object[]" }) },
	{ "policy_reload", MEMBERS({ "changed", "boolean" }, { "revision", "string" }) },
	{ "profile", MEMBERS({ "name", "string" }, { "vram", "any" },
			     { "ggtt", "any" }, { "contexts", "integer?" },
			     { "doorbells", "integer?" }, { "exec_quantum_ms", "integer?" },
			     { "preempt_timeout_us", "integer?" }, { "priority", "string?" },
			     { "description", "string?" }, { "fits", "object" }) },
	{ "progress", MEMBERS({ "step", "integer?" }, { "total", "integer?" }, { "loss", "number?" },
			      { "vram_peak_bytes", "integer?" }) },
	{ "queue", MEMBERS({ "name", "string" }, { "default", "boolean" }, { "priority", "integer" },
			   { "queued", "integer" }, { "running", "integer" },
			   { "open", "boolean" }, { "limit_running", "integer?" },
			   { "preempts", "string[]" }, { "preempt_grace_seconds", "number?" },
			   { "min_runtime_seconds", "number" }) },
	{ "released", MEMBERS({ "changed", "boolean" }, { "released", "string[]" },
			      { "left", "vf_left[]" }, { "note", "string?" }, { "operation", "string?" }) },
	{ "reset", MEMBERS({ "changed", "boolean" }, { "vf", "string" }, { "operation", "string?" }) },
	{ "session", MEMBERS({ "ends_at", "string?" }, { "guest_address", "string?" },
			     { "guest_driver", "string?" }, { "guest_render", "string?" }) },
	{ "status", MEMBERS({ "version", "string" }, { "api_version", "string" },
			    { "started_at", "string" }, { "simulated", "boolean" },
			    { "policy_revision", "string" }, { "policy_refused", "boolean" },
			    { "sleep_lock", "object" },
			    { "degraded", "string?" }, { "hypervisor_connected", "boolean" },
			    { "hypervisor_reason", "string?" }, { "troubles", "object[]" },
			    { "counts", "object" }, { "role", "string" }) },
	{ "step", MEMBERS({ "text", "string" }, { "attribute", "string" }, { "vf", "integer?" },
			  { "tile", "integer?" }, { "before", "any" }, { "after", "any" }) },
	{ "submitted", MEMBERS({ "id", "string?" }, { "queue", "string" }, { "warnings", "string[]" }) },
	{ "tuned", MEMBERS({ "changed", "boolean" }, { "subject", "string" }, { "values", "object" },
			   { "kept", "boolean" }, { "layout_source", "string?" },
			   { "pinned", "boolean" }, { "operation", "string?" }) },
	{ "undrained", MEMBERS({ "changed", "boolean" }, { "gpu", "gpu" }) },
	{ "uploaded", MEMBERS({ "upload", "string" }, { "size", "integer" }) },
	{ "subscription", MEMBERS({ "next", "integer" }) },
	{ "vf", MEMBERS({ "name", "string" }, { "gpu", "string" }, { "address", "string?" },
			{ "index", "integer" }, { "state", "string" }, { "vram_bytes", "integer?" },
			{ "ggtt_bytes", "integer?" }, { "contexts", "integer?" },
			{ "doorbells", "integer?" }, { "exec_quantum_ms", "integer?" },
			{ "preempt_timeout_us", "integer?" },
			{ "priority", "string?" }, { "profile", "string?" },
			{ "iommu_group", "integer?" }, { "driver", "string?" }, { "vm", "string?" },
			{ "lease", "lease?" }, { "job", "string?" }, { "session", "boolean" },
			{ "user", "string?" },
			{ "memory_between_users", "object" },
			{ "busy_percent", "number?" }, { "busy_reason", "string?" },
			{ "reason", "string?" }) },
	{ "vf_left", MEMBERS({ "vf", "string" }, { "state", "string" }, { "vm", "string?" },
			     { "live", "boolean" }, { "config", "boolean" }, { "anew", "boolean" }) },
	{ "vm", MEMBERS({ "name", "string" }, { "uuid", "string" }, { "state", "string" },
			{ "agent", "string" }, { "saved", "boolean" }, { "slots", "integer?" }, { "vfs", "string[]" },
			{ "start", "string?" }, { "started_by_us", "boolean" }, { "pool_state", "string?" },
			{ "pool_reason", "string?" }, { "assignment_reason", "string?" },
			{ "cannot_start", "string?" }, { "wedged", "object?" }) },
};

static bool is_json_type(const char *type)
{
	static const char *const types[] = { "string", "integer", "number", "boolean", "object" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (streq(types[i], type))
			return true;
	return false;
}

static json_t *base_schema(const char *type, bool nullable)
{
	char reference[96];

	if (streq(type, "any"))
		return json_object();
	if (is_json_type(type))
		return nullable ? json_pack("{s:[s,s]}", "type", type, "null") :
				  json_pack("{s:s}", "type", type);

	snprintf(reference, sizeof(reference), "#/components/schemas/%s", type);
	return nullable ? json_pack("{s:[{s:s},{s:s}]}", "anyOf", "$ref", reference, "type",
				    "null") :
			  json_pack("{s:s}", "$ref", reference);
}

/* Takes the ending off, if it is there. */
static bool take_ending(char *type, const char *ending)
{
	size_t size = strlen(type), n = strlen(ending);

	if (size < n || !streq(type + size - n, ending))
		return false;
	type[size - n] = '\0';
	return true;
}

static json_t *type_schema(const char *text)
{
	char type[64];
	bool nullable, array;

	snprintf(type, sizeof(type), "%s", text);
	nullable = take_ending(type, "?");
	array = take_ending(type, "[]");
	if (array)
		return json_pack("{s:s,s:o}", "type", "array", "items", base_schema(type, false));
	return base_schema(type, nullable);
}

static json_t *object_schema(const struct object *object)
{
	_cleanup_json_ json_t *properties = json_object();
	const struct member *m;

	if (!properties)
		return NULL;
	for (m = object->members; m->name; m++)
		if (json_put(properties, m->name, type_schema(m->type)) < 0)
			return NULL;
	return json_pack("{s:s,s:O}", "type", "object", "properties", properties);
}

json_t *result_schema_components(void)
{
	_cleanup_json_ json_t *components = json_object();
	size_t i;

	if (!components)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		if (json_put(components, objects[i].name, object_schema(&objects[i])) < 0)
			return NULL;
	return TAKE_PTR(components);
}

static bool object_exists(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(objects); i++)
		if (streq(objects[i].name, name))
			return true;
	return false;
}

json_t *result_schema(const char *name)
{
	char type[64];
	bool page;

	snprintf(type, sizeof(type), "%s", name);
	page = take_ending(type, "[]");
	if (!object_exists(type))
		return NULL;
	if (!page)
		return base_schema(type, false);
	return json_pack("{s:s,s:[s,s],s:{s:{s:s,s:o},s:{s:[s,s]}}}", "type", "object", "required",
			 "items", "next", "properties", "items", "type", "array", "items",
			 base_schema(type, false), "next", "type", "string", "null");
}
