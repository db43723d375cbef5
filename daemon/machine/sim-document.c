/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the simulation document.  Every refusal says where it is and what would be right. */
#include "machine/sim-document.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/escape.h"
#include "lib/io.h"
#include "lib/json-position.h"
#include "core/model-table.h"

#define DOCUMENT_MAX ((size_t)1 << 20)
#define GPUS_MAX 64  /* more than any board has slots for; the load tests use 32 */
#define VMS_MAX 4096 /* an eighth of the pids that a default kernel has */
#define PORTS_DEFAULT 4
#define PORTS_MAX 32
#define VFS_MAX 63  /* the largest number that an Intel GPU shows */
#define FIRST_BUS 3 /* where the first GPU of a document without addresses sits */
#define LINGER_DEFAULT (60 * USEC_PER_SEC)
#define NAME_MAX_BYTES 64

const char *const sim_agent_kind_names[SIM_AGENT_KIND_MAX] = {
	[SIM_AGENT_CONNECTED] = "connected",
	[SIM_AGENT_NO_EXEC] = "no-exec",
	[SIM_AGENT_DISCONNECTED] = "disconnected",
	[SIM_AGENT_NONE] = "none",
};
DEFINE_ENUM_TABLE(sim_agent_kind, enum sim_agent_kind, SIM_AGENT_KIND_MAX);

struct document_json {
	json_t *gpus, *vms, *faults, *latency;
	uint64_t linger_usec;
};

static const struct json_field document_fields[] = {
	{"$schema", JSON_FIELD_IGNORED, 0},
	{"description", JSON_FIELD_IGNORED, 0},
	{"gpus", JSON_FIELD_ARRAY, offsetof(struct document_json, gpus), .max_length = GPUS_MAX,
	 .summary = "the GPUs of the machine"},
	{"vms", JSON_FIELD_ARRAY, offsetof(struct document_json, vms), .max_length = VMS_MAX,
	 .summary = "its virtual machines"},
	{"faults", JSON_FIELD_ARRAY, offsetof(struct document_json, faults), .max_length = 256,
	 .summary = "what goes wrong"},
	{"latency", JSON_FIELD_OBJECT, offsetof(struct document_json, latency),
	 .summary = "how long accesses take, such as {\"attach\": \"50ms\"}"},
	{"linger_seconds", JSON_FIELD_DURATION, offsetof(struct document_json, linger_usec),
	 .max = INT64_C(86400000000),
	 .summary = "how long the machine stays without anybody connected"},
	{NULL},
};

struct gpu_json {
	char *model, *driver, *address, *device_id, *serial;
	uint64_t count, total_vfs, vram;
	int64_t numa_node;
	bool sriov, sriov_admin, vram_quota, display, iommu;
};

static const struct json_field gpu_fields[] = {
	{"description", JSON_FIELD_IGNORED, 0},
	{"model", JSON_FIELD_STRING, offsetof(struct gpu_json, model), .required = true,
	 .nonempty = true, .max_length = NAME_MAX_BYTES, .summary = "such as \"Flex 170\""},
	{"count", JSON_FIELD_UINT, offsetof(struct gpu_json, count), .min = 1, .max = GPUS_MAX,
	 .summary = "so many of them"},
	{"driver", JSON_FIELD_STRING, offsetof(struct gpu_json, driver), .nonempty = true,
	 .max_length = 32, .summary = "host driver: \"xe\", \"i915\", or null for none"},
	{"address", JSON_FIELD_STRING, offsetof(struct gpu_json, address),
	 .summary = "PCI address such as \"0000:03:00.0\"; only without count"},
	{"device_id", JSON_FIELD_STRING, offsetof(struct gpu_json, device_id),
	 .summary = "PCI device id in hex, such as \"56c0\""},
	{"serial", JSON_FIELD_STRING, offsetof(struct gpu_json, serial), .nonempty = true,
	 .max_length = NAME_MAX_BYTES, .summary = "serial number; only without count"},
	{"total_vfs", JSON_FIELD_UINT, offsetof(struct gpu_json, total_vfs), .max = VFS_MAX,
	 .summary = "the most VFs that the driver allows"},
	{"vram", JSON_FIELD_SIZE, offsetof(struct gpu_json, vram), .max = INT64_C(1) << 42,
	 .summary = "memory of the card, such as \"16GiB\""},
	{"numa_node", JSON_FIELD_INT, offsetof(struct gpu_json, numa_node), .min = -1, .max = 1023,
	 .summary = "-1 = unknown"},
	{"sriov", JSON_FIELD_BOOL, offsetof(struct gpu_json, sriov),
	 .summary = "false: the card has no SR-IOV capability"},
	{"sriov_admin", JSON_FIELD_BOOL, offsetof(struct gpu_json, sriov_admin),
	 .summary = "true: xe with its sriov_admin directory; false: sriov_numvfs only"},
	{"vram_quota", JSON_FIELD_BOOL, offsetof(struct gpu_json, vram_quota),
	 .summary = "false: a kernel whose sriov_admin has no vram_quota yet"},
	{"display", JSON_FIELD_BOOL, offsetof(struct gpu_json, display),
	 .summary = "true: it drives the console"},
	{"iommu", JSON_FIELD_BOOL, offsetof(struct gpu_json, iommu),
	 .summary = "false: the host has no active IOMMU"},
	{NULL},
};

struct vm_json {
	char *name;
	uint64_t count, ports;
	int state;
	json_t *agent;
	bool persistent, guest_driver;
};

static const struct json_field vm_fields[] = {
	{"description", JSON_FIELD_IGNORED, 0},
	{"name", JSON_FIELD_STRING, offsetof(struct vm_json, name), .required = true,
	 .nonempty = true, .max_length = NAME_MAX_BYTES,
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
	{NULL},
};

static int parse_device_id(const char *text, unsigned *ret)
{
	unsigned long id;
	char *end;

	if (strncmp(text, "0x", 2) == 0)
		text += 2;
	if (strlen(text) != 4 || strspn(text, "0123456789abcdefABCDEF") != 4)
		return -EINVAL;
	id = strtoul(text, &end, 16);
	*ret = (unsigned)id;
	return 0;
}

/* Class of the function: VGA compatible, or another display controller where the card has no outputs. */
static unsigned class_of(const struct gpu_model *known)
{
	bool outputs = known && (known->integrated || strncmp(known->name, "Arc", 3) == 0);

	return outputs ? 0x030000 : 0x038000;
}

/* What the model knows, before the document is read over it. */
static int gpu_defaults(const json_t *json, const char *base, struct gpu_json *g,
			struct json_fault *fault)
{
	const char *model = json_get_string(json, "model"),
		   *driver = json_get_string(json, "driver");
	const struct gpu_model *known = model ? gpu_model_find_name(model) : NULL;
	bool has_driver = !json_is_null(json_object_get(json, "driver"));

	if (model && !known && !json_object_get(json, "device_id"))
		return json_fault_set(fault, base, "model", "such as \"Flex 170\" or \"Arc Pro B60\"; or give \"device_id\"",
				      "\"%.64s\" is no model that is known here", model);
	g->count = 1;
	g->numa_node = -1;
	g->iommu = true;
	g->total_vfs = known ? known->max_vfs : 0;
	g->vram = known ? known->vram_bytes : 0;
	g->sriov = !known || known->max_vfs > 0;
	g->sriov_admin = has_driver && (!driver || streq(driver, "xe"));
	g->vram_quota = true;
	return 0;
}

static int check_gpu(const struct gpu_json *g, const char *base, struct gpu_facts *parsed,
		     struct json_fault *fault)
{
	if (g->device_id && parse_device_id(g->device_id, &parsed->device_id) < 0)
		return json_fault_set(fault, base, "device_id", "four hex digits, such as \"56c0\"",
				      "\"%.32s\" is no PCI device id", g->device_id);
	if (g->address && pci_address_parse(g->address, &parsed->address) < 0)
		return json_fault_set(fault, base, "address", "such as \"0000:03:00.0\"",
				      "\"%.32s\" is no PCI address", g->address);
	if (g->address && g->count > 1)
		return json_fault_set(fault, base, "address", "write one entry for each GPU",
				      "goes with one GPU, not with %llu",
				      (unsigned long long)g->count);
	if (g->serial && g->count > 1)
		return json_fault_set(fault, base, "serial", "write one entry for each GPU",
				      "goes with one GPU, not with %llu",
				      (unsigned long long)g->count);
	if (g->sriov_admin && (!g->driver || !streq(g->driver, "xe")))
		return json_fault_set(fault, base, "sriov_admin", "leave it out, or driver \"xe\"",
				      "only the driver xe has it");
	return 0;
}

static int push_gpu(struct sim_document *d, const struct gpu_json *g,
		    const struct gpu_facts *parsed)
{
	const struct gpu_model *known = gpu_model_find_name(g->model);
	struct sim_gpu_spec *specs, *s;

	specs = realloc(d->gpus, (d->n_gpus + 1) * sizeof(*specs));
	if (!specs)
		return -ENOMEM;
	d->gpus = specs;
	s = &specs[d->n_gpus];
	*s = (struct sim_gpu_spec){
		.address = parsed->address,
		.device_id = g->device_id ? parsed->device_id : known->first_id,
		.class_code = class_of(known),
		.total_vfs = g->sriov ? (unsigned)g->total_vfs : 0,
		.vram_bytes = g->vram,
		.numa_node = (int)g->numa_node,
		.sriov = g->sriov,
		.sriov_admin = g->sriov && g->sriov_admin,
		.vram_quota = g->sriov && g->sriov_admin && g->vram_quota && g->vram > 0,
		.display = g->display,
		.iommu = g->iommu,
	};
	d->n_gpus++;
	if (free_and_strdup(&s->model, g->model) < 0 || free_and_strdup(&s->driver, g->driver) < 0)
		return -ENOMEM;
	if (g->serial)
		return free_and_strdup(&s->serial, g->serial);
	s->serial = xasprintf("SIM%04x-%03zu", s->device_id, d->n_gpus);
	return s->serial ? 0 : -ENOMEM;
}

static int read_gpu(struct sim_document *d, const json_t *json, const char *base,
		    struct json_fault *fault)
{
	struct gpu_json g = {0};
	struct gpu_facts parsed = {0}; /* only address and device_id are used */
	int r;

	r = gpu_defaults(json, base, &g, fault);
	if (r >= 0)
		r = json_fields_decode(json, base, gpu_fields, &g, fault);
	if (r < 0)
		return r;
	if (!g.driver && !json_is_null(json_object_get(json, "driver")))
		r = free_and_strdup(&g.driver, "xe");
	if (r >= 0)
		r = check_gpu(&g, base, &parsed, fault);
	for (uint64_t i = 0; r >= 0 && i < g.count; i++) {
		if (d->n_gpus >= GPUS_MAX)
			r = json_fault_set(fault, base, "count", NULL, "at most %d GPUs", GPUS_MAX);
		else
			r = push_gpu(d, &g, &parsed);
	}
	json_fields_done(gpu_fields, &g);
	return r;
}

/* The routing ids that a GPU and all its VFs can take. */
static bool overlaps(const struct sim_gpu_spec *a, const struct sim_gpu_spec *b)
{
	unsigned ra, rb;

	if (a->address.domain != b->address.domain)
		return false;
	ra = (unsigned)a->address.bus << 8 | (unsigned)a->address.device << 3 | a->address.function;
	rb = (unsigned)b->address.bus << 8 | (unsigned)b->address.device << 3 | b->address.function;
	return ra <= rb + b->total_vfs && rb <= ra + a->total_vfs;
}

static bool has_address(const struct sim_gpu_spec *s)
{
	return s->address.bus || s->address.device || s->address.domain;
}

/* GPUs without an address get a bus each, in the order of the document. */
static int place_gpus(struct sim_document *d, struct json_fault *fault)
{
	for (size_t i = 0; i < d->n_gpus; i++) {
		struct sim_gpu_spec *s = &d->gpus[i];
		bool free_place = has_address(s);

		if (!free_place)
			s->address.bus = FIRST_BUS;
		for (bool again = true; again;) {
			again = false;
			for (size_t j = 0; j < d->n_gpus; j++) {
				if (j == i || !has_address(&d->gpus[j]) ||
				    !overlaps(s, &d->gpus[j]))
					continue;
				if (free_place)
					return json_fault_set(
						fault, "/gpus", NULL,
						"leave room for the VFs behind each GPU",
						"%s is among the addresses of another GPU",
						PCI_ADDRESS_STR(&s->address));
				s->address.bus++;
				again = true;
			}
		}
	}
	return 0;
}

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

	if (!name_is_valid(v->name, NAME_MAX_BYTES) || v->name[0] == '.')
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
	struct document_json in = {.linger_usec = LINGER_DEFAULT};
	int r;

	r = json_fields_decode(json, "", document_fields, &in, fault);
	if (r < 0)
		return r;
	r = read_list(d, in.gpus, "gpus", read_gpu, fault);
	if (r >= 0)
		r = place_gpus(d, fault);
	if (r >= 0)
		r = read_list(d, in.vms, "vms", read_vm, fault);
	if (r >= 0)
		r = read_list(d, in.faults, "faults", read_fault, fault);
	if (r >= 0)
		r = sim_faults_latency(&d->faults, in.latency, "/latency", fault);
	d->linger_usec = in.linger_usec;
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
	}
	free(d->gpus);
	for (size_t i = 0; i < d->n_vms; i++)
		free(d->vms[i].name);
	free(d->vms);
	sim_faults_done(&d->faults);
	free(d);
	return NULL;
}
