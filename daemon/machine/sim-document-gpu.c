/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The GPUs of the simulation document: what each member means, and where cards without an address sit. */
#include "machine/sim-document-internal.h"

#include <stdio.h>

#include "core/model-table.h"

#define VFS_MAX 63  /* the largest number that an Intel GPU shows */
#define GGTT_STOCK 0xfee00000 /* §2.6: of 4 GiB the firmware has the rest */
#define FIRST_BUS 3 /* where the first GPU of a document without addresses sits */

const char *const sim_quota_file_names[SIM_QUOTA_FILE_MAX] = {
	[SIM_QUOTA_ABSENT] = "absent",
	[SIM_QUOTA_READ_ONLY] = "read-only",
	[SIM_QUOTA_WRITABLE] = "writable",
};
DEFINE_ENUM_TABLE(sim_quota_file, enum sim_quota_file, SIM_QUOTA_FILE_MAX);

const char *const sim_debugfs_names[SIM_DEBUGFS_MAX] = {
	[SIM_DEBUGFS_NONE] = "none",
	[SIM_DEBUGFS_OLD] = "old",
	[SIM_DEBUGFS_NEW] = "new",
};
DEFINE_ENUM_TABLE(sim_debugfs, enum sim_debugfs, SIM_DEBUGFS_MAX);

const char *const sim_tree_names[SIM_TREE_MAX] = {
	[SIM_TREE_NONE] = "none",
	[SIM_TREE_PRELIM_IOV] = "prelim_iov",
	[SIM_TREE_IOV] = "iov",
	[SIM_TREE_BOTH] = "both",
};
DEFINE_ENUM_TABLE(sim_tree, enum sim_tree, SIM_TREE_MAX);

struct gpu_json {
	char *model, *driver, *vfio_driver, *address, *device_id, *serial;
	uint64_t count, total_vfs, max_vfs, vram, tiles, ggtt, contexts, doorbells;
	int64_t numa_node;
	json_t *vram_quota;
	int quota_file, debugfs, tree;
	bool bound, hook, sriov, sriov_admin, euclean, live_quotas, lockdown, display, iommu;
};

static const struct json_field gpu_fields[] = {
	{"description", JSON_FIELD_IGNORED, 0},
	{"model", JSON_FIELD_STRING, offsetof(struct gpu_json, model), .required = true,
	 .nonempty = true, .max_length = SIM_NAME_MAX, .summary = "such as \"Flex 170\""},
	{"count", JSON_FIELD_UINT, offsetof(struct gpu_json, count), .min = 1, .max = SIM_GPUS_MAX,
	 .summary = "so many of them"},
	{"driver", JSON_FIELD_STRING, offsetof(struct gpu_json, driver), .nonempty = true,
	 .max_length = SIM_DRIVER_MAX, .summary = "host driver: \"xe\", \"i915\", or null for none"},
	{"vfio_driver", JSON_FIELD_STRING, offsetof(struct gpu_json, vfio_driver), .nonempty = true,
	 .max_length = SIM_DRIVER_MAX, .summary = "what gives its VFs to VFIO, such as \"xe-vfio-pci\""},
	{"address", JSON_FIELD_STRING, offsetof(struct gpu_json, address),
	 .summary = "PCI address such as \"0000:03:00.0\"; only without count"},
	{"device_id", JSON_FIELD_STRING, offsetof(struct gpu_json, device_id),
	 .summary = "PCI device id in hex, such as \"56c0\""},
	{"serial", JSON_FIELD_STRING, offsetof(struct gpu_json, serial), .nonempty = true,
	 .max_length = SIM_NAME_MAX, .summary = "serial number; only without count"},
	{"total_vfs", JSON_FIELD_UINT, offsetof(struct gpu_json, total_vfs), .max = VFS_MAX,
	 .summary = "the VFs that the card offers"},
	{"max_vfs", JSON_FIELD_UINT, offsetof(struct gpu_json, max_vfs),
	 .summary = "the most VFs that the driver allows; 0: it came up without"},
	{"bound", JSON_FIELD_BOOL, offsetof(struct gpu_json, bound),
	 .summary = "false: the driver is not bound at first"},
	{"hook", JSON_FIELD_BOOL, offsetof(struct gpu_json, hook),
	 .summary = "false: the driver can do no SR-IOV"},
	{"vram", JSON_FIELD_SIZE, offsetof(struct gpu_json, vram), .max = INT64_C(1) << 42,
	 .summary = "memory of the card, such as \"16GiB\""},
	{"tiles", JSON_FIELD_UINT, offsetof(struct gpu_json, tiles), .min = 1, .max = SIM_TILES_MAX,
	 .summary = "tiles, each with its part of the memory"},
	{"ggtt", JSON_FIELD_SIZE, offsetof(struct gpu_json, ggtt), .min = 1, .max = INT64_C(1) << 32,
	 .summary = "address space for VFs of each tile, such as \"4078MiB\""},
	{"contexts", JSON_FIELD_UINT, offsetof(struct gpu_json, contexts), .min = 1, .max = UINT16_MAX,
	 .summary = "GuC contexts of each tile"},
	{"doorbells", JSON_FIELD_UINT, offsetof(struct gpu_json, doorbells), .min = 1, .max = 256,
	 .summary = "doorbells of each tile"},
	{"numa_node", JSON_FIELD_INT, offsetof(struct gpu_json, numa_node), .min = -1, .max = 1023,
	 .summary = "-1 = unknown"},
	{"sriov", JSON_FIELD_BOOL, offsetof(struct gpu_json, sriov),
	 .summary = "false: the card has no SR-IOV capability"},
	{"sriov_admin", JSON_FIELD_BOOL, offsetof(struct gpu_json, sriov_admin),
	 .summary = "true: xe with its sriov_admin directory; false: sriov_numvfs only"},
	{"vram_quota", JSON_FIELD_ANY, offsetof(struct gpu_json, vram_quota),
	 .summary = "of sriov_admin: \"writable\" or true, \"read-only\", \"absent\" or false"},
	{"debugfs", JSON_FIELD_ENUM, offsetof(struct gpu_json, debugfs), .names = sim_debugfs_names,
	 .names_max = SIM_DEBUGFS_MAX, .summary = "quotas in xe's debugfs: \"none\", \"old\" or \"new\" layout"},
	{"tree", JSON_FIELD_ENUM, offsetof(struct gpu_json, tree), .names = sim_tree_names,
	 .names_max = SIM_TREE_MAX,
	 .summary = "name of i915's tree: \"prelim_iov\", \"iov\", \"both\"; \"none\": sriov_numvfs only"},
	{"euclean", JSON_FIELD_BOOL, offsetof(struct gpu_json, euclean),
	 .summary = "true: xe enables nothing in automatic mode where a VF has something already"},
	{"live_quotas", JSON_FIELD_BOOL, offsetof(struct gpu_json, live_quotas),
	 .summary = "true: i915 changes quotas of VFs that are on"},
	{"lockdown", JSON_FIELD_BOOL, offsetof(struct gpu_json, lockdown),
	 .summary = "true: the kernel is locked down, so debugfs is closed"},
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
	g->bound = g->hook = true;
	g->max_vfs = VFS_MAX;
	g->tiles = known && streq(known->name, "Max 1550") ? 2 : 1; /* §4.1 */
	g->ggtt = GGTT_STOCK;
	g->contexts = UINT16_MAX;
	g->doorbells = 256;
	g->tree = SIM_TREE_PRELIM_IOV;
	g->total_vfs = known ? known->max_vfs : 0;
	g->vram = known ? known->vram_bytes : 0;
	g->sriov = !known || known->max_vfs > 0;
	g->sriov_admin = has_driver && (!driver || streq(driver, "xe"));
	return 0;
}

/* true, "writable"; false, "absent"; "read-only". */
static int read_quota_file(struct gpu_json *g, const char *base, struct json_fault *fault)
{
	int file = SIM_QUOTA_WRITABLE;

	if (json_is_boolean(g->vram_quota))
		file = json_is_true(g->vram_quota) ? SIM_QUOTA_WRITABLE : SIM_QUOTA_ABSENT;
	else if (g->vram_quota)
		file = sim_quota_file_from_string(strempty(json_string_value(g->vram_quota)));
	if (file < 0)
		return json_fault_set(fault, base, "vram_quota", "\"writable\", \"read-only\" or \"absent\"",
				      "is no way for that file to be");
	g->quota_file = file;
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
	if (g->debugfs != SIM_DEBUGFS_NONE && (!g->driver || !streq(g->driver, "xe")))
		return json_fault_set(fault, base, "debugfs", "leave it out, or driver \"xe\"",
				      "only the driver xe has quotas there");
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
		.hardware_vfs = g->sriov ? (unsigned)g->total_vfs : 0,
		.total_vfs = g->sriov ? (unsigned)MIN_OF(g->total_vfs, g->max_vfs) : 0,
		.tiles = (unsigned)g->tiles,
		.vram_bytes = g->vram,
		.stock = {[VF_ATTR_GGTT] = g->ggtt,
			  [VF_ATTR_CONTEXTS] = g->contexts,
			  [VF_ATTR_DOORBELLS] = g->doorbells},
		.numa_node = (int)g->numa_node,
		.sriov = g->sriov,
		.sriov_admin = g->sriov && g->sriov_admin,
		.vram_quota = g->sriov && g->sriov_admin && g->vram > 0 ? g->quota_file : SIM_QUOTA_ABSENT,
		.debugfs = g->debugfs,
		.tree = g->tree,
		.bound = g->bound,
		.hook = g->hook && g->driver && (streq(g->driver, "xe") || streq(g->driver, "i915")),
		.euclean = g->euclean,
		.live_quotas = g->live_quotas,
		.lockdown = g->lockdown,
		.display = g->display,
		.iommu = g->iommu,
	};
	d->n_gpus++;
	if (free_and_strdup(&s->model, g->model) < 0 || free_and_strdup(&s->driver, g->driver) < 0 ||
	    free_and_strdup(&s->vfio_driver, g->vfio_driver ? g->vfio_driver : "vfio-pci") < 0)
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
		r = read_quota_file(&g, base, fault);
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
	return ra <= rb + b->hardware_vfs && rb <= ra + a->hardware_vfs;
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
