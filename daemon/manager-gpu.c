/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GPUs as the kernel shows them now, under names that we gave once. */
#include "manager-state.h"

struct gpu *gpu_find_address(struct manager *m, const struct pci_address *address)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		if (pci_address_equal(&gpu->address, address))
			return gpu;
	return NULL;
}

struct gpu *gpu_find(struct manager *m, const char *name)
{
	struct pci_address address;
	struct gpu *gpu = NULL;

	if (!name)
		return NULL;
	HASH_FIND_STR(m->gpus, name, gpu);
	if (!gpu && pci_address_parse(name, &address) == 0)
		gpu = gpu_find_address(m, &address);
	return gpu;
}

struct gpu *gpu_present(struct manager *m, const char *name, struct reply *reply)
{
	struct gpu *gpu = gpu_find(m, name);
	struct rpc_error error = { 0 };

	if (gpu && gpu->state != GPU_ABSENT)
		return gpu;
	if (gpu)
		rpc_error_set(&error, RPC_NOT_FOUND, "%s: %s", gpu->name,
			      gpu->reason ? gpu->reason : "the card is gone");
	else
		rpc_error_set(&error, RPC_NOT_FOUND, "no GPU \"%s\"", name);
	rpc_error_detail(&error, gpu ? "absent" : "no_gpu", "gpu", "see `gpuvf list gpus`");
	reply_error_done(reply, &error);
	return NULL;
}

void gpu_store(struct manager *m, struct gpu *gpu)
{
	json_t *doc;

	audit_gpu(m, gpu, "daemon:apply");
	doc = json_pack("{s:I,s:s,s:s?}", "number", (json_int_t)gpu->number, "address",
				PCI_ADDRESS_STR(&gpu->address), "serial", gpu->serial);

	json_put(doc, "manual", gpu->manual ? layout_to_json(gpu->manual) : json_null());
	json_put_uint(doc, "manual_uid", gpu->manual_uid);
	json_put_uint(doc, "manual_usec", gpu->manual_at);
	json_put(doc, "drain", drain_row(gpu));
	json_put(doc, "half_cut", half_cut_row(gpu));
	outbox_put(m, STORE_GPU, gpu->name, doc);
}

struct gpu *gpu_new(struct manager *m, unsigned number, const struct pci_address *address)
{
	struct gpu *gpu = calloc(1, sizeof(*gpu));

	if (!gpu)
		return NULL;
	gpu->m = m;
	gpu->number = number;
	gpu->name = xasprintf("gpu%u", number);
	gpu->address = *address;
	gpu->state = GPU_ABSENT;
	HASH_ADD_KEYPTR(hh, m->gpus, gpu->name, strlen(gpu->name), gpu);
	return gpu;
}

int gpu_load(void *manager, const char *id, const json_t *doc)
{
	struct manager *m = manager;
	struct pci_address address;
	struct gpu *gpu;
	json_t *manual = json_object_get(doc, "manual");
	bool unreadable = false;

	if (pci_address_parse(strempty(json_get_string(doc, "address")), &address) < 0 ||
	    !json_is_integer(json_object_get(doc, "number")))
		return -EBADMSG;
	gpu = gpu_new(m, (unsigned)json_get_uint(doc, "number", 0), &address);
	if (!gpu)
		return -ENOMEM;
	(void)free_and_strdup(&gpu->serial, json_get_string(doc, "serial"));
	if (json_is_object(manual) && layout_load(manual, &gpu->manual) < 0) {
		/* Nobody knows what was wanted, so nothing is cut by itself. */
		gpu->unreadable = unreadable = true;
		log_gpu(gpu->name, LOG_ERR, 0, "the stored manual layout cannot be read: gpuvf apply says anew what is wanted");
	}
	gpu->manual_uid = (uid_t)json_get_uint(doc, "manual_uid", 0);
	gpu->manual_at = json_get_uint(doc, "manual_usec", 0);
	drain_from_row(gpu, json_object_get(doc, "drain"));
	half_cut_from_row(gpu, json_object_get(doc, "half_cut"));
	if (gpu->number >= m->next_gpu)
		m->next_gpu = gpu->number + 1;
	if (unreadable)
		gpu_store(m, gpu);
	return unreadable ? -EUCLEAN : 0;
}

void gpu_free(struct manager *m, struct gpu *gpu)
{
	HASH_DEL(m->gpus, gpu);
	for (size_t i = 0; i < gpu->n_vfs; i++)
		vf_free(gpu->vfs[i]);
	free(gpu->vfs);
	free(gpu->name);
	free(gpu->serial);
	free(gpu->reason);
	free(gpu->stuck);
	free(gpu->scrub_refused);
	free(gpu->given_up);
	free(gpu->drift);
	wanted_forget(gpu);
	gpu_facts_free(gpu->facts);
	layout_free(gpu->manual);
	json_decref(gpu->audited);
	drain_done(gpu);
	half_cut_done(gpu);
	free(gpu);
}

void gpu_set_state(struct manager *m, struct gpu *gpu, enum gpu_state state, const char *reason)
{
	bool cut;

	if (gpu->state == state) {
		(void)free_and_strdup(&gpu->reason, reason);
		return;
	}
	if (!state_edge_cause(gpu_edges, (int)gpu->state, (int)state))
		log_gpu(gpu->name, LOG_WARNING, 0, "No edge %s → %s in the table of states",
			gpu_state_to_string(gpu->state), gpu_state_to_string(state));
	log_gpu(gpu->name, LOG_INFO, 0, "%s → %s%s%s", gpu_state_to_string(gpu->state),
		gpu_state_to_string(state), reason ? ": " : "", strempty(reason));
	cut = gpu->state == GPU_RECUTTING;
	gpu->state = state;
	(void)free_and_strdup(&gpu->reason, reason);
	audit_gpu(m, gpu, cut ? "daemon:apply" : "daemon:host");
	manager_emit(m, "gpu.changed", gpu->name,
		     json_pack("{s:s,s:s?}", "state", gpu_state_to_string(state), "reason", reason));
}

/* What the driver's ways out mean for whoever has to take them; the mildest is named first. */
static const struct {
	const char *way;
	const char *hint;
} ways_out[] = {
	{ "rebind", "release its VFs, then unbind and bind its driver" },
	{ "bus-reset", "release its VFs, unbind its driver, reset its bus, bind again" },
	{ "vendor-specific", "its firmware needs the vendor's tool (see survivability_mode of the device)" },
};

char *gpu_given_up_reason(const struct gpu *gpu)
{
	const char *hint = "see the kernel log";
	size_t first = SIZE_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(ways_out); i++) {
		const char *at = strstr(gpu->given_up, ways_out[i].way);

		if (at && (size_t)(at - gpu->given_up) < first) {
			first = (size_t)(at - gpu->given_up);
			hint = ways_out[i].hint;
		}
	}
	return xasprintf("the driver says that the device is broken (WEDGED=%s): %s", gpu->given_up, hint);
}

void gpu_calm(struct manager *m, struct gpu *gpu)
{
	_cleanup_free_ char *reason = gpu->given_up ? gpu_given_up_reason(gpu) : NULL;

	gpu_set_state(m, gpu, gpu_calm_state(m, gpu), reason ? reason : gpu->half_cut);
}

/* ---- facts in ---- */

static struct vf *vf_new(struct gpu *gpu, unsigned index, const struct pci_address *address)
{
	struct vf *vf = calloc(1, sizeof(*vf));

	if (!vf)
		return NULL;
	vf->gpu = gpu;
	vf->index = index;
	vf->address = *address;
	vf->name = xasprintf("%s/vf%u", gpu->name, index);
	vf->state = VF_FREE;
	return vf;
}

/* Rows are found by slot: whose the VFs of the card were that was there before says nothing of this one's. */
static bool is_of_another_card(const struct vf *vf, const json_t *row)
{
	const char *serial = json_get_string(row, "serial");

	return serial && vf->gpu->serial && !streq(serial, vf->gpu->serial);
}

/* It ends with the slot; the trail has it of the card whose it was. */
static void drop_row(struct manager *m, const struct vf *vf, const char *id, const json_t *row)
{
	const char *serial = json_get_string(row, "serial");
	_cleanup_free_ char *name = NULL;
	struct gpu *gpu, *tmp;

	log_vf(vf->name, LOG_NOTICE, 0, "The stored lease (%s) is of the card with the serial %s: dropped",
	       strempty(json_get_string(row, "state")), serial);
	HASH_ITER(hh, m->gpus, gpu, tmp)
		if (!name && streq_ptr(gpu->serial, serial))
			name = xasprintf("%s/vf%u", gpu->name, vf->index);
	audit_lease_row(m, name ? name : id, row, NULL);
	outbox_delete(m, STORE_LEASE, id);
	json_object_del(m->lease_rows, id);
}

/* A lease row of the daemon before us, for the VF that the kernel shows now. */
static void adopt_row(struct manager *m, struct vf *vf)
{
	_cleanup_free_ char *id = vf_row_id(vf->gpu, vf->index);
	_cleanup_json_ json_t *row = m->lease_rows && id ? json_incref(json_object_get(m->lease_rows, id)) : NULL;

	if (!row)
		return;
	if (is_of_another_card(vf, row)) {
		drop_row(m, vf, id, row);
		return;
	}
	if (vf_lease_from_row(m, vf, row) < 0)
		log_vf(vf->name, LOG_WARNING, 0, "The stored lease cannot be read: dropped");
	vf->inherited = true;
	json_object_del(m->lease_rows, id);
	if (json_get_bool(row, "over", false))
		lease_set_end(&vf->lease, 1); /* it was let go while it was not there: taken back at once */
	if (!json_get_bool(row, "gone", false))
		return;
	/* The trail has its end; and it may be made another way than the one that vanished. */
	(void)free_and_strdup(&vf->profile, NULL);
	json_decref(vf->audited);
	vf->audited = NULL;
}

static void add_vfs(struct manager *m, struct gpu *gpu, const struct gpu_facts *facts)
{
	struct vf **vfs = realloc(gpu->vfs, MAX_OF(facts->n_vfs, (size_t)1) * sizeof(*vfs));

	if (!vfs)
		return;
	gpu->vfs = vfs;
	while (gpu->n_vfs < facts->n_vfs) {
		const struct vf_facts *f = &facts->vfs[gpu->n_vfs];
		struct vf *vf = vf_new(gpu, f->index, &f->address);

		if (!vf)
			return;
		gpu->vfs[gpu->n_vfs++] = vf;
		adopt_row(m, vf);
		if (vf->lease.owner != LEASE_NONE && !vf->audited)
			vf_store(m, vf); /* it is its holder's again */
		if (m->hypervisor_connected)
			recover_late_vf(m, vf);
		manager_emit(m, "vf.changed", vf->name,
			     json_pack("{s:s}", "state", vf_state_to_string(vf->state)));
	}
}

/* Takes it, out of the GPU's list already.  waits: its lease stays, where a stored definition names it. */
static void vf_vanishes(struct manager *m, struct vf *vf, bool waits)
{
	_cleanup_free_ char *id = vf_row_id(vf->gpu, vf->index);
	_cleanup_json_ json_t *row = NULL;

	if (vf->lease.owner != LEASE_NONE)
		log_vf(vf->name, LOG_WARNING, 0, "%s vanished while it was held by %s", vf->name,
		       strempty(vf->lease.vm_name));
	vf_forget_user(vf); /* its memory went with it, and all else it was given */
	vf->vram_taken = (struct known){ 0 };
	vf->scrubbed_at = 0;
	vf->weighted.on = false;
	row = displaced_take(vf);
	if (!row)
		row = lost_row(vf);
	(void)free_and_strdup(&vf->profile, NULL);
	vf_let_go(m, vf, VF_GONE, "the kernel no longer shows it");
	if (row && waits && id) {
		json_object_set(m->lease_rows, id, row);
		outbox_put(m, STORE_LEASE, id, json_incref(row));
	}
	if (vf->handover)
		vf->gpu = NULL; /* its step in flight still points here: the gate frees it at its end */
	else
		vf_free(vf);
}

static void remove_vfs(struct manager *m, struct gpu *gpu, size_t keep)
{
	while (gpu->n_vfs > keep)
		vf_vanishes(m, gpu->vfs[--gpu->n_vfs], true);
}

void gpu_driver_bound(struct gpu *gpu)
{
	gpu->due = true;
	free(TAKE_PTR(gpu->scrub_refused));
	if (!gpu->given_up)
		return;
	log_gpu(gpu->name, LOG_NOTICE, 0, "its driver was bound again: no longer given up");
	free(gpu->given_up);
	gpu->given_up = NULL;
}

void gpu_readdress(struct manager *m, struct gpu *gpu, const struct pci_address *to, bool all)
{
	remove_vfs(m, gpu, 0); /* their rows have the address */
	lost_move(m, gpu, to, all);
	gpu->address = *to;
	half_cut_over(m, gpu, "the card is in another slot"); /* and was without power */
	audit_gpu(m, gpu, "daemon:host");
	gpu_store(m, gpu);
}

/* No card has such an address, and no other GPU that is nowhere. */
#define NOWHERE_DOMAIN 0x0fffffff

void gpu_displaced(struct manager *m, struct gpu *gpu, bool all)
{
	const struct pci_address nowhere = { .domain = NOWHERE_DOMAIN, .bus = (uint8_t)(gpu->number >> 8),
					     .device = gpu->number >> 3 & 31, .function = gpu->number & 7 };

	gpu_readdress(m, gpu, &nowhere, all);
	if (gpu->facts || gpu->state != GPU_ABSENT)
		gpu_absent(m, gpu);
}

void gpu_update(struct manager *m, struct gpu_facts *facts)
{
	struct gpu *gpu = gpu_find_address(m, &facts->address);
	bool fresh;

	while (gpu && gpu->serial && facts->serial && !streq(gpu->serial, facts->serial)) {
		gpu_displaced(m, gpu, false);
		gpu = gpu_find_address(m, &facts->address);
	}
	fresh = !gpu;
	if (fresh)
		gpu = gpu_new(m, (unsigned)m->next_gpu++, &facts->address);
	if (!gpu) {
		gpu_facts_free(facts);
		return;
	}

	if (facts->driver && (!gpu->facts || !gpu->facts->driver))
		gpu_driver_bound(gpu); /* also when its event was lost */
	gpu_facts_free(gpu->facts);
	gpu->facts = facts;
	if (fresh || (facts->serial && !gpu->serial)) {
		(void)free_and_strdup(&gpu->serial, facts->serial);
		gpu_store(m, gpu);
	}

	/* Addresses may move when the count changes (offset and stride): a VF is its index. */
	remove_vfs(m, gpu, facts->n_vfs);
	for (size_t i = 0; i < gpu->n_vfs; i++)
		gpu->vfs[i]->address = facts->vfs[i].address;
	add_vfs(m, gpu, facts);
	for (size_t i = 0; i < gpu->n_vfs; i++)
		gpu->vfs[i]->bound = facts->vfs[i].vfio;

	gpu_check_drift(m, gpu);
	half_cut_check(m, gpu);
	if (gpu->state == GPU_ABSENT || gpu->state == GPU_READY || gpu->state == GPU_UNMANAGED ||
	    (gpu->state == GPU_WEDGED && !gpu->apply))
		if (!gpu->stuck)
			gpu_calm(m, gpu);
	audit_gpu(m, gpu, "daemon:host");
}

void gpu_vfs_are_gone(struct manager *m, struct gpu *gpu)
{
	struct gpu_facts *f = gpu->facts;

	remove_vfs(m, gpu, 0);
	while (f && f->n_vfs > 0)
		vf_facts_done(&f->vfs[--f->n_vfs]);
	if (f)
		f->num_vfs = 0;
}

void gpu_end_lease_of_absent(struct manager *m, struct gpu *gpu, unsigned index)
{
	struct vf *vf = vf_new(gpu, index, &gpu->address);

	if (!vf)
		return;
	adopt_row(m, vf);
	vf_vanishes(m, vf, vf->displaced && lost_waits(m, gpu, index, vf->displaced));
}

void gpu_end_leases_of_absent(struct manager *m, struct gpu *gpu)
{
	_cleanup_free_ char *prefix = xasprintf("%s/", PCI_ADDRESS_STR(&gpu->address));
	const char *id;
	json_t *row;
	void *tmp;

	json_object_foreach_safe(m->lease_rows, tmp, id, row) {
		unsigned index;

		if (!prefix || strncmp(id, prefix, strlen(prefix)) != 0)
			continue;
		index = (unsigned)strtoul(id + strlen(prefix), NULL, 10);
		if (!lost_waits(m, gpu, index, row))
			gpu_end_lease_of_absent(m, gpu, index);
	}
}

void gpu_absent(struct manager *m, struct gpu *gpu)
{
	remove_vfs(m, gpu, 0);
	gpu_drift_absent(m, gpu);
	half_cut_over(m, gpu, "the card is gone");
	gpu->facts = gpu_facts_free(gpu->facts);
	gpu_set_state(m, gpu, GPU_ABSENT, "the card is gone");
}

/* ---- methods ---- */

void manager_gpu_list(struct manager *m, const struct caller *caller,
		      const struct gpu_list_params *p, struct reply *reply)
{
	json_t *items = json_array();
	struct gpu *gpu, *tmp;

	if (p->gpu && !gpu_find(m, p->gpu)) {
		json_decref(items);
		reply_refuse(reply, RPC_NOT_FOUND, "no GPU \"%s\" (see gpu.list)", p->gpu);
		return;
	}
	survey_asked(m);
	processes_asked(m, p->gpu ? gpu_find(m, p->gpu) : NULL);
	HASH_ITER(hh, m->gpus, gpu, tmp) {
		if (p->gpu && gpu != gpu_find(m, p->gpu))
			continue;
		if (p->state < 0 ? gpu->state == GPU_ABSENT : p->state != (int)gpu->state)
			continue;
		json_array_append_new(items, gpu_view(m, gpu));
	}
	page_reply(m, reply, items, &p->page);
}

void manager_gpu_get(struct manager *m, const struct caller *caller, const struct name_params *p,
		     struct reply *reply)
{
	struct gpu *gpu = gpu_find(m, p->name);

	if (!gpu)
		reply_refuse(reply, RPC_NOT_FOUND, "no GPU \"%s\" (see gpu.list)", p->name);
	else
		view_reply(m, reply, gpu_view(m, gpu));
	survey_asked(m);
	if (gpu)
		processes_asked(m, gpu);
}
