/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about a GPU as the JSON that helper, machine and daemon exchange: strict, because both sides are
 * ours and a difference means that they are not of one version. */
#include "core/facts.h"

#include "lib/json-field.h"

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

/* Only what is known has a member. */
static json_t *values_to_json(const struct vf_facts *vf)
{
	_cleanup_json_ json_t *o = json_object();
	size_t i;

	for (i = 0; o && i < VF_ATTRIBUTE_MAX; i++)
		if (vf->values[i].known &&
		    json_put_uint(o, vf_attribute_names[i], vf->values[i].value) < 0)
			return NULL;
	return TAKE_PTR(o);
}

static json_t *vf_facts_to_json(const struct vf_facts *vf)
{
	_cleanup_json_ json_t *o = json_object();

	if (!o || json_put_uint(o, "index", vf->index) < 0 || put_address(o, &vf->address) < 0 ||
	    json_put_string(o, "driver", vf->driver) < 0 || json_put_bool(o, "vfio", vf->vfio) < 0 ||
	    put_int(o, "iommu_group", vf->iommu_group) < 0 ||
	    json_put(o, "values", values_to_json(vf)) < 0)
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

static json_t *abilities_to_json(const struct gpu_facts *f)
{
	_cleanup_json_ json_t *o = json_object();
	size_t i;

	for (i = 0; o && i < VF_ATTRIBUTE_MAX; i++) {
		_cleanup_json_ json_t *one = json_object();

		if (f->can[i].access == VF_ACCESS_NONE && !f->can[i].why)
			continue;
		if (!one ||
		    json_put_string(one, "access", vf_access_to_string(f->can[i].access)) < 0 ||
		    json_put_string(one, "why", f->can[i].why) < 0 ||
		    json_put(o, vf_attribute_names[i], json_incref(one)) < 0)
			return NULL;
	}
	return TAKE_PTR(o);
}

static json_t *resources_to_json(const struct gpu_facts *f)
{
	_cleanup_json_ json_t *o = json_object();
	size_t i;

	for (i = 0; o && i < VF_RESOURCE_MAX; i++) {
		const struct resource_facts *r = &f->resources[i];
		_cleanup_json_ json_t *one = json_object();

		if (!r->free.known && !r->max_quota.known && !r->spare.known && r->standing == 0 &&
		    r->grain == 0)
			continue;
		if (!one || put_known(one, "free", &r->free) < 0 ||
		    put_known(one, "max_quota", &r->max_quota) < 0 ||
		    put_known(one, "spare", &r->spare) < 0 ||
		    json_put_uint(one, "standing", r->standing) < 0 ||
		    json_put_uint(one, "grain", r->grain) < 0 ||
		    json_put(o, vf_attribute_names[i], json_incref(one)) < 0)
			return NULL;
	}
	return TAKE_PTR(o);
}

json_t *gpu_facts_to_json(const struct gpu_facts *f)
{
	_cleanup_json_ json_t *o = json_object();

	if (!o || put_address(o, &f->address) < 0 ||
	    json_put_uint(o, "device_id", f->device_id) < 0 ||
	    json_put_uint(o, "class_code", f->class_code) < 0 ||
	    json_put_string(o, "model", f->model) < 0 ||
	    json_put_string(o, "serial", f->serial) < 0 ||
	    json_put_string(o, "driver", f->driver) < 0 || json_put_bool(o, "vfio", f->vfio) < 0 ||
	    json_put_string(o, "vf_control", vf_control_to_string(f->vf_control)) < 0 ||
	    json_put_bool(o, "sriov_capable", f->sriov_capable) < 0 ||
	    json_put_uint(o, "total_vfs", f->total_vfs) < 0 ||
	    json_put_uint(o, "num_vfs", f->num_vfs) < 0 ||
	    json_put_uint(o, "vf_offset", f->vf_offset) < 0 || json_put_uint(o, "vf_stride", f->vf_stride) < 0 ||
	    json_put_bool(o, "autoprobe", f->autoprobe) < 0 ||
	    put_int(o, "numa_node", f->numa_node) < 0 ||
	    json_put_bool(o, "display", f->display) < 0 ||
	    put_known(o, "vram_bytes", &f->vram_bytes) < 0 ||
	    json_put_uint(o, "tiles", f->tiles) < 0 || json_put(o, "can", abilities_to_json(f)) < 0 ||
	    json_put_string(o, "control_note", f->control_note) < 0 ||
	    json_put_bool(o, "custom_provisioning", f->custom_provisioning) < 0 ||
	    json_put(o, "resources", resources_to_json(f)) < 0 ||
	    json_put_bool(o, "iommu", f->iommu) < 0 ||
	    json_put_string(o, "power", f->power) < 0 ||
	    json_put_string(o, "survivability", f->survivability) < 0 ||
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
	bool vfio;
	int64_t iommu_group;
	json_t *values;
};

#define VF_FIELD(member, type, ...) \
	{ #member, type, offsetof(struct vf_wire, member), ##__VA_ARGS__ }
static const struct json_field vf_fields[] = {
	VF_FIELD(index, JSON_FIELD_UINT, .required = true, .min = 1, .max = VFS_MAX),
	VF_FIELD(address, JSON_FIELD_STRING, .required = true),
	VF_FIELD(driver, JSON_FIELD_STRING),
	VF_FIELD(vfio, JSON_FIELD_BOOL),
	VF_FIELD(iommu_group, JSON_FIELD_INT, .min = -1, .max = INT32_MAX),
	VF_FIELD(values, JSON_FIELD_OBJECT, .required = true),
	{ NULL },
};
#undef VF_FIELD

static void vf_wire_done(struct vf_wire *w)
{
	json_fields_done(vf_fields, w);
}

static int values_from_json(json_t *object, struct known values[static VF_ATTRIBUTE_MAX])
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value) {
		int attribute = vf_attribute_from_string(name);

		if (attribute < 0 || !json_is_integer(value) || json_integer_value(value) < 0)
			return -EINVAL;
		values[attribute] = (struct known){ true, (uint64_t)json_integer_value(value) };
	}
	return 0;
}

static int vf_facts_from_json(const json_t *json, struct vf_facts *ret)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_(vf_wire_done) struct vf_wire w = {
		.iommu_group = -1,
	};
	struct known values[VF_ATTRIBUTE_MAX] = { 0 };
	struct pci_address address;

	if (json_fields_decode(json, "", vf_fields, &w, &fault) < 0 ||
	    pci_address_parse(w.address, &address) < 0 || values_from_json(w.values, values) < 0)
		return -EINVAL;

	*ret = (struct vf_facts){
		.index = (unsigned)w.index,
		.address = address,
		.driver = TAKE_PTR(w.driver),
		.vfio = w.vfio,
		.iommu_group = (int)w.iommu_group,
	};
	memcpy(ret->values, values, sizeof(values));
	return 0;
}

struct gpu_wire {
	char *address;
	uint64_t device_id;
	uint64_t class_code;
	char *model;
	char *serial;
	char *driver;
	bool vfio;
	int vf_control;
	bool sriov_capable;
	uint64_t total_vfs;
	uint64_t num_vfs;
	uint64_t vf_offset, vf_stride;
	bool autoprobe;
	int64_t numa_node;
	bool display;
	uint64_t vram_bytes;
	uint64_t tiles;
	json_t *can;
	char *control_note;
	bool custom_provisioning;
	json_t *resources;
	bool iommu;
	char *power;
	char *survivability;
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
	GPU_FIELD(vfio, JSON_FIELD_BOOL),
	GPU_FIELD(vf_control, JSON_FIELD_ENUM, .required = true, .names = vf_control_names,
		  .names_max = VF_CONTROL_MAX),
	GPU_FIELD(sriov_capable, JSON_FIELD_BOOL, .required = true),
	GPU_FIELD(total_vfs, JSON_FIELD_UINT, .required = true, .max = VFS_MAX),
	GPU_FIELD(num_vfs, JSON_FIELD_UINT, .required = true, .max = VFS_MAX),
	GPU_FIELD(vf_offset, JSON_FIELD_UINT, .max = UINT16_MAX),
	GPU_FIELD(vf_stride, JSON_FIELD_UINT, .max = UINT16_MAX),
	GPU_FIELD(autoprobe, JSON_FIELD_BOOL),
	GPU_FIELD(numa_node, JSON_FIELD_INT, .min = -1, .max = INT32_MAX),
	GPU_FIELD(display, JSON_FIELD_BOOL),
	GPU_FIELD(vram_bytes, JSON_FIELD_UINT),
	GPU_FIELD(tiles, JSON_FIELD_UINT, .required = true, .min = 1, .max = 64),
	GPU_FIELD(can, JSON_FIELD_OBJECT, .required = true),
	GPU_FIELD(control_note, JSON_FIELD_STRING),
	GPU_FIELD(custom_provisioning, JSON_FIELD_BOOL, .required = true),
	GPU_FIELD(resources, JSON_FIELD_OBJECT, .required = true),
	GPU_FIELD(iommu, JSON_FIELD_BOOL),
	GPU_FIELD(power, JSON_FIELD_STRING),
	GPU_FIELD(survivability, JSON_FIELD_STRING),
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

struct ability_wire {
	int access;
	char *why;
};

static const struct json_field ability_fields[] = {
	{ "access", JSON_FIELD_ENUM, offsetof(struct ability_wire, access), .required = true,
	  .names = vf_access_names, .names_max = VF_ACCESS_MAX },
	{ "why", JSON_FIELD_STRING, offsetof(struct ability_wire, why) },
	{ NULL },
};

static int abilities_from_json(json_t *object, struct gpu_facts *f)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value) {
		int attribute = vf_attribute_from_string(name);
		struct ability_wire w = { 0 };

		if (attribute < 0 || json_fields_decode(value, "", ability_fields, &w, &fault) < 0)
			return -EINVAL;
		f->can[attribute] = (struct vf_ability){ (enum vf_access)w.access, w.why };
	}
	return 0;
}

struct resource_wire {
	uint64_t free, max_quota, spare, standing, grain;
};

#define RESOURCE_FIELD(member, ...) \
	{ #member, JSON_FIELD_UINT, offsetof(struct resource_wire, member), ##__VA_ARGS__ }
static const struct json_field resource_fields[] = {
	RESOURCE_FIELD(free),
	RESOURCE_FIELD(max_quota),
	RESOURCE_FIELD(spare),
	RESOURCE_FIELD(standing, .required = true),
	RESOURCE_FIELD(grain, .required = true),
	{ NULL },
};
#undef RESOURCE_FIELD

static int resources_from_json(json_t *object, struct gpu_facts *f)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value) {
		int resource = vf_attribute_from_string(name);
		struct resource_wire w = { WIRE_UNKNOWN, WIRE_UNKNOWN, WIRE_UNKNOWN, 0, 0 };

		if (resource < 0 || resource >= VF_RESOURCE_MAX ||
		    json_fields_decode(value, "", resource_fields, &w, &fault) < 0)
			return -EINVAL;
		f->resources[resource] = (struct resource_facts){
			.free = known_from_wire(w.free),
			.max_quota = known_from_wire(w.max_quota),
			.spare = known_from_wire(w.spare),
			.standing = w.standing,
			.grain = w.grain,
		};
	}
	return 0;
}

int gpu_facts_from_json(const json_t *json, struct gpu_facts **ret)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_(gpu_wire_done) struct gpu_wire w = {
		.numa_node = -1,
		.vram_bytes = WIRE_UNKNOWN,
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
	f->vfio = w.vfio;
	f->vf_control = (enum vf_control)w.vf_control;
	f->sriov_capable = w.sriov_capable;
	f->total_vfs = (unsigned)w.total_vfs;
	f->num_vfs = (unsigned)w.num_vfs;
	f->vf_offset = (unsigned)w.vf_offset;
	f->vf_stride = (unsigned)w.vf_stride;
	f->autoprobe = w.autoprobe;
	f->numa_node = (int)w.numa_node;
	f->display = w.display;
	f->vram_bytes = known_from_wire(w.vram_bytes);
	f->tiles = (unsigned)w.tiles;
	f->control_note = TAKE_PTR(w.control_note);
	f->custom_provisioning = w.custom_provisioning;
	f->iommu = w.iommu;
	f->power = TAKE_PTR(w.power);
	f->survivability = TAKE_PTR(w.survivability);
	f->reason = TAKE_PTR(w.reason);
	r = abilities_from_json(w.can, f);
	if (r == 0)
		r = resources_from_json(w.resources, f);
	if (r == 0)
		r = vfs_from_json(w.vfs, f);
	if (r < 0)
		return r;

	*ret = TAKE_PTR(f);
	return 0;
}
