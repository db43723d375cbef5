/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about a GPU and its VFs as values: release, copy, and the JSON that helper, machine and
 * daemon exchange.  Called by whoever reads the kernel and by whoever remembers it; reads nothing
 * itself. */
#include "core/facts.h"

#include "lib/json-field.h"

const char *const vf_control_names[VF_CONTROL_MAX] = {
	[VF_CONTROL_NONE] = "none",
	[VF_CONTROL_XE] = "xe",
	[VF_CONTROL_GENERIC] = "generic",
};
DEFINE_ENUM_TABLE(vf_control, enum vf_control, VF_CONTROL_MAX);

#define VFS_MAX 65535 /* a PCI routing id has 16 bits */
/* json_put_uint() writes null for what is above INT64_MAX: the wire's word for "unknown". */
#define WIRE_UNKNOWN UINT64_MAX

static struct known known_from_wire(uint64_t value)
{
	return value == WIRE_UNKNOWN ? (struct known){ 0 } : (struct known){ true, value };
}

static int put_known(json_t *object, const char *name, const struct known *k)
{
	return json_put_uint_known(object, name, k->known, k->value);
}

static int put_address(json_t *object, const struct pci_address *a)
{
	return json_put_string(object, "address", PCI_ADDRESS_STR(a));
}

static int put_int(json_t *object, const char *name, int value)
{
	return json_put(object, name, json_integer(value));
}

struct gpu_facts *gpu_facts_free(struct gpu_facts *f)
{
	size_t i;

	if (!f)
		return NULL;

	for (i = 0; i < f->n_vfs; i++) {
		free(f->vfs[i].driver);
		free(f->vfs[i].priority);
	}
	free(f->vfs);
	free(f->reason);
	free(f->driver);
	free(f->serial);
	free(f->model);
	free(f);
	return NULL;
}

struct gpu_facts *gpu_facts_copy(const struct gpu_facts *f)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *copy = malloc(sizeof(*copy));
	size_t i;

	if (!copy)
		return NULL;

	*copy = *f;
	copy->model = copy->serial = copy->driver = copy->reason = NULL;
	copy->vfs = NULL;
	copy->n_vfs = 0;
	if (free_and_strdup(&copy->model, f->model) < 0 ||
	    free_and_strdup(&copy->serial, f->serial) < 0 ||
	    free_and_strdup(&copy->driver, f->driver) < 0 ||
	    free_and_strdup(&copy->reason, f->reason) < 0)
		return NULL;

	copy->vfs = calloc(MAX_OF(f->n_vfs, 1u), sizeof(*copy->vfs));
	if (!copy->vfs)
		return NULL;
	for (i = 0; i < f->n_vfs; i++) {
		struct vf_facts *vf = &copy->vfs[i];

		*vf = f->vfs[i];
		vf->driver = vf->priority = NULL;
		copy->n_vfs = i + 1;
		if (free_and_strdup(&vf->driver, f->vfs[i].driver) < 0 ||
		    free_and_strdup(&vf->priority, f->vfs[i].priority) < 0)
			return NULL;
	}
	return TAKE_PTR(copy);
}

static json_t *vf_facts_to_json(const struct vf_facts *vf)
{
	_cleanup_json_ json_t *o = json_object();

	if (!o || json_put_uint(o, "index", vf->index) < 0 || put_address(o, &vf->address) < 0 ||
	    json_put_string(o, "driver", vf->driver) < 0 ||
	    put_int(o, "iommu_group", vf->iommu_group) < 0 ||
	    put_known(o, "vram_bytes", &vf->vram_bytes) < 0 ||
	    put_known(o, "exec_quantum_ms", &vf->exec_quantum_ms) < 0 ||
	    put_known(o, "preempt_timeout_us", &vf->preempt_timeout_us) < 0 ||
	    json_put_string(o, "priority", vf->priority) < 0)
		return NULL;

	return TAKE_PTR(o);
}

static json_t *vfs_to_json(const struct gpu_facts *f)
{
	_cleanup_json_ json_t *array = json_array();
	size_t i;

	if (!array)
		return NULL;

	for (i = 0; i < f->n_vfs; i++) {
		json_t *vf = vf_facts_to_json(&f->vfs[i]);

		if (!vf || json_array_append_new(array, vf) < 0)
			return NULL;
	}
	return TAKE_PTR(array);
}

json_t *gpu_facts_to_json(const struct gpu_facts *f)
{
	_cleanup_json_ json_t *o = json_object();

	if (!o || put_address(o, &f->address) < 0 ||
	    json_put_uint(o, "device_id", f->device_id) < 0 ||
	    json_put_uint(o, "class_code", f->class_code) < 0 ||
	    json_put_string(o, "model", f->model) < 0 ||
	    json_put_string(o, "serial", f->serial) < 0 ||
	    json_put_string(o, "driver", f->driver) < 0 ||
	    json_put_string(o, "vf_control", vf_control_to_string(f->vf_control)) < 0 ||
	    json_put_bool(o, "sriov_capable", f->sriov_capable) < 0 ||
	    json_put_uint(o, "total_vfs", f->total_vfs) < 0 ||
	    json_put_uint(o, "num_vfs", f->num_vfs) < 0 ||
	    json_put_bool(o, "autoprobe", f->autoprobe) < 0 ||
	    put_int(o, "numa_node", f->numa_node) < 0 ||
	    json_put_bool(o, "display", f->display) < 0 ||
	    put_known(o, "vram_bytes", &f->vram_bytes) < 0 ||
	    put_known(o, "vram_free_bytes", &f->vram_free_bytes) < 0 ||
	    json_put_bool(o, "can_vram", f->can_vram) < 0 ||
	    json_put_bool(o, "can_schedule", f->can_schedule) < 0 ||
	    json_put_bool(o, "iommu", f->iommu) < 0 ||
	    json_put_string(o, "reason", f->reason) < 0 ||
	    json_put(o, "vfs", vfs_to_json(f)) < 0)
		return NULL;

	return TAKE_PTR(o);
}

/* What a field table can decode; the rest is converted by hand. */
struct vf_wire {
	uint64_t index;
	char *address;
	char *driver;
	int64_t iommu_group;
	uint64_t vram_bytes;
	uint64_t exec_quantum_ms;
	uint64_t preempt_timeout_us;
	char *priority;
};

#define VF_FIELD(member, type, ...) \
	{ #member, type, offsetof(struct vf_wire, member), ##__VA_ARGS__ }
static const struct json_field vf_fields[] = {
	VF_FIELD(index, JSON_FIELD_UINT, .required = true, .min = 1, .max = VFS_MAX),
	VF_FIELD(address, JSON_FIELD_STRING, .required = true),
	VF_FIELD(driver, JSON_FIELD_STRING),
	VF_FIELD(iommu_group, JSON_FIELD_INT, .min = -1, .max = INT32_MAX),
	VF_FIELD(vram_bytes, JSON_FIELD_UINT),
	VF_FIELD(exec_quantum_ms, JSON_FIELD_UINT),
	VF_FIELD(preempt_timeout_us, JSON_FIELD_UINT),
	VF_FIELD(priority, JSON_FIELD_STRING),
	{ NULL },
};
#undef VF_FIELD

static void vf_wire_done(struct vf_wire *w)
{
	json_fields_done(vf_fields, w);
}

static int vf_facts_from_json(const json_t *json, struct vf_facts *ret)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_(vf_wire_done) struct vf_wire w = {
		.iommu_group = -1,
		.vram_bytes = WIRE_UNKNOWN,
		.exec_quantum_ms = WIRE_UNKNOWN,
		.preempt_timeout_us = WIRE_UNKNOWN,
	};
	struct pci_address address;

	if (json_fields_decode(json, "", vf_fields, &w, &fault) < 0 ||
	    pci_address_parse(w.address, &address) < 0)
		return -EINVAL;

	*ret = (struct vf_facts){
		.index = (unsigned)w.index,
		.address = address,
		.driver = TAKE_PTR(w.driver),
		.iommu_group = (int)w.iommu_group,
		.vram_bytes = known_from_wire(w.vram_bytes),
		.exec_quantum_ms = known_from_wire(w.exec_quantum_ms),
		.preempt_timeout_us = known_from_wire(w.preempt_timeout_us),
		.priority = TAKE_PTR(w.priority),
	};
	return 0;
}

struct gpu_wire {
	char *address;
	uint64_t device_id;
	uint64_t class_code;
	char *model;
	char *serial;
	char *driver;
	int vf_control;
	bool sriov_capable;
	uint64_t total_vfs;
	uint64_t num_vfs;
	bool autoprobe;
	int64_t numa_node;
	bool display;
	uint64_t vram_bytes;
	uint64_t vram_free_bytes;
	bool can_vram;
	bool can_schedule;
	bool iommu;
	char *reason;
	json_t *vfs;
};

#define GPU_FIELD(member, type, ...) \
	{ #member, type, offsetof(struct gpu_wire, member), ##__VA_ARGS__ }
static const struct json_field gpu_fields[] = {
	GPU_FIELD(address, JSON_FIELD_STRING, .required = true),
	GPU_FIELD(device_id, JSON_FIELD_UINT, .required = true, .max = 0xffff),
	GPU_FIELD(class_code, JSON_FIELD_UINT, .required = true, .max = 0xffffff),
	GPU_FIELD(model, JSON_FIELD_STRING),
	GPU_FIELD(serial, JSON_FIELD_STRING),
	GPU_FIELD(driver, JSON_FIELD_STRING),
	GPU_FIELD(vf_control, JSON_FIELD_ENUM, .required = true, .names = vf_control_names,
		  .names_max = VF_CONTROL_MAX),
	GPU_FIELD(sriov_capable, JSON_FIELD_BOOL, .required = true),
	GPU_FIELD(total_vfs, JSON_FIELD_UINT, .required = true, .max = VFS_MAX),
	GPU_FIELD(num_vfs, JSON_FIELD_UINT, .required = true, .max = VFS_MAX),
	GPU_FIELD(autoprobe, JSON_FIELD_BOOL),
	GPU_FIELD(numa_node, JSON_FIELD_INT, .min = -1, .max = INT32_MAX),
	GPU_FIELD(display, JSON_FIELD_BOOL),
	GPU_FIELD(vram_bytes, JSON_FIELD_UINT),
	GPU_FIELD(vram_free_bytes, JSON_FIELD_UINT),
	GPU_FIELD(can_vram, JSON_FIELD_BOOL),
	GPU_FIELD(can_schedule, JSON_FIELD_BOOL),
	GPU_FIELD(iommu, JSON_FIELD_BOOL),
	GPU_FIELD(reason, JSON_FIELD_STRING),
	GPU_FIELD(vfs, JSON_FIELD_ARRAY, .required = true, .max_length = VFS_MAX),
	{ NULL },
};
#undef GPU_FIELD

static void gpu_wire_done(struct gpu_wire *w)
{
	json_fields_done(gpu_fields, w);
}

/* The VFs must be the whole list, in order: everybody indexes by VF number. */
static int vfs_from_json(const json_t *array, struct gpu_facts *f)
{
	size_t n = json_array_size(array);
	size_t i;
	int r;

	if (n != f->num_vfs)
		return -EINVAL;

	f->vfs = calloc(MAX_OF(n, 1u), sizeof(*f->vfs));
	if (!f->vfs)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		r = vf_facts_from_json(json_array_get(array, i), &f->vfs[i]);
		if (r < 0)
			return r;

		f->n_vfs = i + 1;
		if (f->vfs[i].index != i + 1)
			return -EINVAL;
	}
	return 0;
}

int gpu_facts_from_json(const json_t *json, struct gpu_facts **ret)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_(gpu_wire_done) struct gpu_wire w = {
		.numa_node = -1,
		.vram_bytes = WIRE_UNKNOWN,
		.vram_free_bytes = WIRE_UNKNOWN,
	};
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	if (json_fields_decode(json, "", gpu_fields, &w, &fault) < 0 ||
	    pci_address_parse(w.address, &f->address) < 0)
		return -EINVAL;

	f->device_id = (unsigned)w.device_id;
	f->class_code = (unsigned)w.class_code;
	f->model = TAKE_PTR(w.model);
	f->serial = TAKE_PTR(w.serial);
	f->driver = TAKE_PTR(w.driver);
	f->vf_control = (enum vf_control)w.vf_control;
	f->sriov_capable = w.sriov_capable;
	f->total_vfs = (unsigned)w.total_vfs;
	f->num_vfs = (unsigned)w.num_vfs;
	f->autoprobe = w.autoprobe;
	f->numa_node = (int)w.numa_node;
	f->display = w.display;
	f->vram_bytes = known_from_wire(w.vram_bytes);
	f->vram_free_bytes = known_from_wire(w.vram_free_bytes);
	f->can_vram = w.can_vram;
	f->can_schedule = w.can_schedule;
	f->iommu = w.iommu;
	f->reason = TAKE_PTR(w.reason);
	r = vfs_from_json(w.vfs, f);
	if (r < 0)
		return r;

	*ret = TAKE_PTR(f);
	return 0;
}
