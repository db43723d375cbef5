/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The GPUs of the simulation document: what each member means, and where cards without an address sit. */
#include "machine/sim-document-internal.h"

#include <stdio.h>

#include "core/model-table.h"

#define VFS_MAX 63  /* the largest number that an Intel GPU shows */
#define FIRST_BUS 3 /* where the first GPU of a document without addresses sits */

struct gpu_json {
	char *model, *driver, *address, *device_id, *serial;
	uint64_t count, total_vfs, vram;
	int64_t numa_node;
	bool sriov, sriov_admin, vram_quota, display, iommu;
};

static const struct json_field gpu_fields[] = {
	{"description", JSON_FIELD_IGNORED, 0},
	{"model", JSON_FIELD_STRING, offsetof(struct gpu_json, model), .required = true,
	 .nonempty = true, .max_length = SIM_NAME_MAX, .summary = "such as \"Flex 170\""},
	{"count", JSON_FIELD_UINT, offsetof(struct gpu_json, count), .min = 1, .max = SIM_GPUS_MAX,
	 .summary = "so many of them"},
	{"driver", JSON_FIELD_STRING, offsetof(struct gpu_json, driver), .nonempty = true,
	 .max_length = 32, .summary = "host driver: \"xe\", \"i915\", or null for none"},
	{"address", JSON_FIELD_STRING, offsetof(struct gpu_json, address),
	 .summary = "PCI address such as \"0000:03:00.0\"; only without count"},
	{"device_id", JSON_FIELD_STRING, offsetof(struct gpu_json, device_id),
	 .summary = "PCI device id in hex, such as \"56c0\""},
	{"serial", JSON_FIELD_STRING, offsetof(struct gpu_json, serial), .nonempty = true,
	 .max_length = SIM_NAME_MAX, .summary = "serial number; only without count"},
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

int sim_document_add_gpu(struct sim_document *d, const json_t *json, const char *base,
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
		if (d->n_gpus >= SIM_GPUS_MAX)
			r = json_fault_set(fault, base, "count", NULL, "at most %d GPUs", SIM_GPUS_MAX);
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
int sim_document_place_gpus(struct sim_document *d, struct json_fault *fault)
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
