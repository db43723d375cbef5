/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the simulation document.  Every refusal says where it is and what would be right. */
#include "machine/sim-document-internal.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/escape.h"
#include "lib/io.h"
#include "lib/json-position.h"

#define DOCUMENT_MAX ((size_t)1 << 20)
#define VMS_MAX 4096 /* an eighth of the pids that a default kernel has */
#define PORTS_DEFAULT 4
#define PORTS_MAX 32
#define LINGER_DEFAULT (60 * USEC_PER_SEC)
#define JOB_LOCK_DEFAULT (30 * USEC_PER_SEC) /* libvirt's own */

const char *const sim_agent_kind_names[SIM_AGENT_KIND_MAX] = {
	[SIM_AGENT_CONNECTED] = "connected",
	[SIM_AGENT_NO_EXEC] = "no-exec",
	[SIM_AGENT_DISCONNECTED] = "disconnected",
	[SIM_AGENT_NONE] = "none",
};
DEFINE_ENUM_TABLE(sim_agent_kind, enum sim_agent_kind, SIM_AGENT_KIND_MAX);

struct document_json {
	json_t *gpus, *vms, *faults, *latency;
	uint64_t linger_usec, job_lock_usec, memory_available;
};

static const struct json_field document_fields[] = {
	{"$schema", JSON_FIELD_IGNORED, 0},
	{"description", JSON_FIELD_IGNORED, 0},
	{"gpus", JSON_FIELD_ARRAY, offsetof(struct document_json, gpus), .max_length = SIM_GPUS_MAX,
	 .summary = "the GPUs of the machine"},
	{"vms", JSON_FIELD_ARRAY, offsetof(struct document_json, vms), .max_length = VMS_MAX,
	 .summary = "its virtual machines"},
	{"faults", JSON_FIELD_ARRAY, offsetof(struct document_json, faults), .max_length = 256,
	 .summary = "what goes wrong"},
	{"latency", JSON_FIELD_OBJECT, offsetof(struct document_json, latency),
	 .summary = "how long accesses take, such as {\"attach\": \"50ms\"}"},
	{"memory_available", JSON_FIELD_SIZE, offsetof(struct document_json, memory_available), .min = 1,
	 .summary = "what the host has left of its memory"},
	{"job_lock", JSON_FIELD_DURATION, offsetof(struct document_json, job_lock_usec), .min = 1000,
	 .max = INT64_C(86400000000), .summary = "how long a call about a VM waits for the one before it"},
	{"linger_seconds", JSON_FIELD_DURATION, offsetof(struct document_json, linger_usec),
	 .max = INT64_C(86400000000),
	 .summary = "how long the machine stays without anybody connected"},
	{NULL},
};

struct vm_json {
	char *name;
	uint64_t count, ports;
	int state;
	json_t *agent;
	bool persistent, guest_driver, saved;
	uint64_t memory, resident;
};

static const struct json_field vm_fields[] = {
	{"description", JSON_FIELD_IGNORED, 0},
	{"name", JSON_FIELD_STRING, offsetof(struct vm_json, name), .required = true,
	 .nonempty = true, .max_length = SIM_NAME_MAX,
	 .summary = "name; with count a pattern such as \"trainer-%d\""},
	{"count", JSON_FIELD_UINT, offsetof(struct vm_json, count), .min = 1, .max = VMS_MAX,
	 .summary = "so many of them, numbered from 1"},
	{"state", JSON_FIELD_ENUM, offsetof(struct vm_json, state), .names = vm_state_names,
	 .names_max = VM_OTHER, .summary = "\"running\", \"off\" or \"paused\""},
	{"agent", JSON_FIELD_ANY, offsetof(struct vm_json, agent),
	 .summary = "true, false, \"no-exec\" or \"disconnected\""},
	{"ports", JSON_FIELD_UINT, offsetof(struct vm_json, ports), .max = PORTS_MAX,
	 .summary = "PCIe ports that take a hot-plug"},
	{"persistent", JSON_FIELD_BOOL, offsetof(struct vm_json, persistent),
	 .summary = "false: it vanishes when it is shut off"},
	{"guest_driver", JSON_FIELD_BOOL, offsetof(struct vm_json, guest_driver),
	 .summary = "false: the guest has no driver for the GPU"},
	{"saved", JSON_FIELD_BOOL, offsetof(struct vm_json, saved),
	 .summary = "true: it is off and has a managed-save image"},
	{"memory", JSON_FIELD_SIZE, offsetof(struct vm_json, memory), .min = 1,
	 .summary = "of the guest, which its first VF pins"},
	{"resident", JSON_FIELD_SIZE, offsetof(struct vm_json, resident),
	 .summary = "what QEMU has of it before"},
	{NULL},
};

int sim_agent_kind_from_json(const json_t *json)
{
	int kind;

	if (!json || json_is_true(json))
		return SIM_AGENT_CONNECTED;
	if (json_is_false(json))
		return SIM_AGENT_NONE;
	kind = json_is_string(json) ? sim_agent_kind_from_string(json_string_value(json)) : -EINVAL;
	return kind;
}

static bool vm_exists(const struct sim_document *d, const char *name)
{
	for (size_t i = 0; i < d->n_vms; i++)
		if (streq(d->vms[i].name, name))
			return true;
	return false;
}

/* "trainer-%d", 3 → "trainer-3". */
static char *vm_name(const char *pattern, uint64_t number)
{
	const char *mark = strstr(pattern, "%d");

	if (!mark)
		return strdup(pattern);
	return xasprintf("%.*s%llu%s", (int)(mark - pattern), pattern, (unsigned long long)number,
			 mark + 2);
}

static int check_vm(const struct vm_json *v, const char *base, struct json_fault *fault)
{
	const char *mark = strstr(v->name, "%d");

	if (!name_is_valid(v->name, SIM_NAME_MAX) || v->name[0] == '.')
		return json_fault_set(fault, base, "name",
				      "printable characters, no \"/\", no \".\" in front",
				      "is no name for a VM");
	if (v->count > 1 && !mark)
		return json_fault_set(fault, base, "name", "such as \"trainer-%d\"",
				      "needs \"%%d\" where the number goes, because there are %llu",
				      (unsigned long long)v->count);
	if (mark && strchr(mark + 1, '%'))
		return json_fault_set(fault, base, "name", NULL, "takes one \"%%d\" only");
	if (sim_agent_kind_from_json(v->agent) < 0)
		return json_fault_set(fault, base, "agent",
				      "true, false, \"no-exec\" or \"disconnected\"",
				      "is none of the agent's ways");
	if (v->saved && v->state != VM_OFF)
		return json_fault_set(fault, base, "saved", "\"state\": \"off\"",
				      "only a VM that is off has a managed-save image");
	if (v->resident > v->memory)
		return json_fault_set(fault, base, "resident", "at most \"memory\"",
				      "is more memory than the guest has");
	if (v->state == VM_OFF && !v->persistent)
		return json_fault_set(fault, base, "persistent", "\"state\": \"running\"",
				      "a VM that is not persistent does not exist while it is off");
	return 0;
}

static int push_vm(struct sim_document *d, const struct vm_json *v, uint64_t number,
		   const char *base, struct json_fault *fault)
{
	_cleanup_free_ char *name = vm_name(v->name, number);
	struct sim_vm_spec *specs;

	if (!name)
		return -ENOMEM;
	if (vm_exists(d, name))
		return json_fault_set(fault, base, "name", "another name",
				      "\"%s\" is there already", name);
	if (d->n_vms >= VMS_MAX)
		return json_fault_set(fault, base, "count", NULL, "at most %d VMs", VMS_MAX);
	specs = realloc(d->vms, (d->n_vms + 1) * sizeof(*specs));
	if (!specs)
		return -ENOMEM;
	d->vms = specs;
	specs[d->n_vms++] = (struct sim_vm_spec){
		.name = TAKE_PTR(name),
		.state = v->state,
		.agent = sim_agent_kind_from_json(v->agent),
		.ports = (unsigned)v->ports,
		.persistent = v->persistent,
		.guest_driver = v->guest_driver,
		.saved = v->saved,
		.memory_bytes = v->memory,
		.resident_bytes = v->resident,
	};
	return 0;
}

static int read_vm(struct sim_document *d, const json_t *json, const char *base,
		   struct json_fault *fault)
{
	struct vm_json v = {.count = 1,
			    .ports = PORTS_DEFAULT,
			    .state = VM_RUNNING,
			    .persistent = true,
			    .guest_driver = true};
	int r;

	r = json_fields_decode(json, base, vm_fields, &v, fault);
	if (r < 0)
		return r;
	r = check_vm(&v, base, fault);
	for (uint64_t i = 1; r >= 0 && i <= v.count; i++)
		r = push_vm(d, &v, i, base, fault);
	json_fields_done(vm_fields, &v);
	return r;
}

/* A fault for a GPU or VM that is not there would never come true: most likely a typing mistake. */
static int check_fault_target(const struct sim_document *d, const struct sim_fault *f,
			      const char *base, struct json_fault *fault)
{
	bool found = !f->gpu;

	for (size_t i = 0; !found && i < d->n_gpus; i++) {
		char name[24];

		snprintf(name, sizeof(name), "gpu%zu", i);
		found = streq(f->gpu, name) || streq(f->gpu, PCI_ADDRESS_STR(&d->gpus[i].address));
	}
	if (!found)
		return json_fault_set(fault, base, "gpu", "\"gpu0\" is the first of the document",
				      "there is no \"%.64s\"", f->gpu);
	if (f->vm && !vm_exists(d, f->vm))
		return json_fault_set(fault, base, "vm", "a name from \"vms\"",
				      "there is no \"%.64s\"", f->vm);
	return 0;
}

static int read_fault(struct sim_document *d, const json_t *json, const char *base,
		      struct json_fault *fault)
{
	int r;

	r = sim_faults_add(&d->faults, json, base, fault);
	if (r < 0)
		return r;
	return check_fault_target(d, &d->faults.items[d->faults.n - 1], base, fault);
}

typedef int (*read_fn)(struct sim_document *d, const json_t *json, const char *base,
		       struct json_fault *fault);

static int read_list(struct sim_document *d, const json_t *list, const char *name, read_fn fn,
		     struct json_fault *fault)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item)
	{
		char base[48];
		int r;

		snprintf(base, sizeof(base), "/%s/%zu", name, i);
		r = fn(d, item, base, fault);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_document(const json_t *json, struct sim_document *d, struct json_fault *fault)
{
	struct document_json in = {.linger_usec = LINGER_DEFAULT, .job_lock_usec = JOB_LOCK_DEFAULT};
	int r;

	r = json_fields_decode(json, "", document_fields, &in, fault);
	if (r < 0)
		return r;
	r = read_list(d, in.gpus, "gpus", sim_document_add_gpu, fault);
	if (r >= 0)
		r = sim_document_place_gpus(d, fault);
	if (r >= 0)
		r = read_list(d, in.vms, "vms", read_vm, fault);
	if (r >= 0)
		r = read_list(d, in.faults, "faults", read_fault, fault);
	if (r >= 0)
		r = sim_faults_latency(&d->faults, in.latency, "/latency", fault);
	d->linger_usec = in.linger_usec;
	d->job_lock_usec = in.job_lock_usec;
	d->memory_available = (struct known){in.memory_available > 0, in.memory_available};
	json_fields_done(document_fields, &in);
	return r;
}

static char *fault_message(const char *file, const char *text, size_t size,
			   const struct json_fault *fault)
{
	unsigned line = 1, column = 1;

	(void)json_position_find(text, size, strempty(fault->pointer), &line, &column);
	return xasprintf("%s:%u:%u: %s: %s%s%s%s", file, line, column,
			 fault->pointer && *fault->pointer ? fault->pointer : "/",
			 fault->what ? fault->what : "is wrong", fault->hint ? " (" : "",
			 strempty(fault->hint), fault->hint ? ")" : "");
}

int sim_document_parse(const char *file, const char *text, size_t size, struct sim_document **ret,
		       char **ret_message)
{
	_cleanup_(sim_document_freep) struct sim_document *d = NULL;
	_cleanup_(json_fault_done) struct json_fault fault = {0};
	_cleanup_json_ json_t *json = NULL;
	json_error_t error;
	int r;

	r = json_parse(text, size, &json, &error);
	if (r < 0) {
		*ret_message = xasprintf("%s:%d:%d: not JSON: %s", file, MAX_OF(error.line, 1),
					 MAX_OF(error.column, 1), error.text);
		return r;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	r = read_document(json, d, &fault);
	if (r == -EINVAL)
		*ret_message = fault_message(file, text, size, &fault);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(d);
	return 0;
}

int sim_document_load(const char *path, struct sim_document **ret, char **ret_message)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = read_file_at(AT_FDCWD, path, DOCUMENT_MAX, &text, &size);
	if (r < 0) {
		*ret_message = xasprintf("%s: %s", path, strerror(-r));
		return r;
	}
	return sim_document_parse(path, text, size, ret, ret_message);
}

struct sim_document *sim_document_free(struct sim_document *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < d->n_gpus; i++) {
		free(d->gpus[i].model);
		free(d->gpus[i].serial);
		free(d->gpus[i].driver);
		free(d->gpus[i].vfio_driver);
	}
	free(d->gpus);
	for (size_t i = 0; i < d->n_vms; i++)
		free(d->vms[i].name);
	free(d->vms);
	sim_faults_done(&d->faults);
	free(d);
	return NULL;
}
