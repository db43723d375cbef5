/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases of VFs that are not there while the stored definition of their VM names them still: somebody else cut the card,
 * or the host booted with another layout.  Each is a row in m->lease_rows.  When the VF comes back, it is its VM's as
 * before (manager-gpu.c); else another like it takes its place, where nobody had asked for that very VF; else it is told,
 * and waits.  What an address names that is another function's by now is taken out: the VM must not start with it. */
#include "manager-state.h"

/* ---- rows ---- */

json_t *lost_row(const struct vf *vf)
{
	const struct lease *lease = &vf->lease;
	bool settled = vf->state == VF_RESERVED || vf->state == VF_ATTACHED;
	json_t *row;

	/* One that was put back by others has no alias that would tell its hostdev from anybody's. */
	if (lease->owner != LEASE_VM || lease->adopted || !settled || !(lease->config || lease->instead) ||
	    (vf->handover && !lease->instead))
		return NULL;
	row = vf_row(vf);
	vf_row_off(row);
	json_put_bool(row, "gone", true);
	return row;
}

/* One such row, and what it is about. */
struct lost {
	const char *id;
	json_t *row;
	struct gpu *gpu;
	unsigned index;
	struct vm *vm;
	char *alias;
	const struct domain_hostdev *dev; /* of its VM's stored definition; NULL = it has none */
};

static char *alias_of(const struct gpu *gpu, unsigned index, const json_t *row)
{
	struct vf vf = { .gpu = (struct gpu *)gpu, .index = index, .lease.epoch = json_get_uint(row, "epoch", 0) };
	const char *instead = json_get_string(row, "instead");

	return instead ? strdup(instead) : vf_alias(&vf);
}

static bool is_stored_by_hand(const json_t *row)
{
	return streq(strempty(json_get_string(row, "owner")), lease_owner_to_string(LEASE_VM)) &&
	       !json_get_bool(row, "adopted", false) &&
	       (json_get_bool(row, "config", false) || json_get_string(row, "instead"));
}

/* False: it is no such row.  ret->alias is new. */
static bool lost_read(struct manager *m, const char *id, json_t *row, struct lost *ret)
{
	const char *slash = strrchr(id, '/');
	_cleanup_free_ char *card = slash ? strndup(id, (size_t)(slash - id)) : NULL;
	struct pci_address address;

	*ret = (struct lost){ .id = id, .row = row };
	if (!card || !is_stored_by_hand(row) || pci_address_parse(card, &address) < 0)
		return false;
	ret->gpu = gpu_find_address(m, &address);
	ret->index = (unsigned)strtoul(slash + 1, NULL, 10);
	ret->vm = vm_find_uuid(m, json_get_string(row, "vm_uuid"));
	ret->alias = ret->gpu ? alias_of(ret->gpu, ret->index, row) : NULL;
	ret->dev = ret->vm && ret->alias ? vm_stored_alias(ret->vm, ret->alias) : NULL;
	return ret->alias != NULL;
}

bool lost_waits(struct manager *m, const struct gpu *gpu, unsigned index, const json_t *row)
{
	_cleanup_free_ char *alias = is_stored_by_hand(row) ? alias_of(gpu, index, row) : NULL;
	const struct vm *vm = vm_find_uuid(m, json_get_string(row, "vm_uuid"));

	if (alias && (!m->hypervisor_connected || (vm && vm->facts->hostdevs_unknown)))
		return true; /* what definitions name is not known yet */
	return alias && vm && (vm_stored_alias(vm, alias) || json_get_string(row, "instead"));
}

void lost_move(struct manager *m, const struct gpu *gpu, const struct pci_address *to, bool all)
{
	_cleanup_free_ char *prefix = xasprintf("%s/", PCI_ADDRESS_STR(&gpu->address));
	_cleanup_json_ json_t *moved = json_object();
	const char *id;
	json_t *row;
	void *tmp;

	json_object_foreach_safe(m->lease_rows, tmp, id, row) {
		const char *serial = json_get_string(row, "serial");
		_cleanup_free_ char *new_id = NULL;

		if (!prefix || strncmp(id, prefix, strlen(prefix)) != 0 || (serial && !streq_ptr(serial, gpu->serial)) ||
		    !(all || is_stored_by_hand(row)))
			continue;
		new_id = xasprintf("%s/%s", PCI_ADDRESS_STR(to), id + strlen(prefix));
		if (!new_id)
			continue;
		json_object_set(moved, new_id, row);
		outbox_delete(m, STORE_LEASE, id);
		json_object_del(m->lease_rows, id);
	}
	json_object_foreach(moved, id, row)
		outbox_put(m, STORE_LEASE, id, json_incref(row));
	json_object_update(m->lease_rows, moved);
}

static void row_store(struct manager *m, const struct lost *l)
{
	outbox_put(m, STORE_LEASE, l->id, json_incref(l->row));
}

void lost_store(struct manager *m)
{
	const char *id;
	json_t *row;

	json_object_foreach(m->lease_rows, id, row)
		outbox_put(m, STORE_LEASE, id, json_incref(row));
}

bool lost_has(struct manager *m, const struct vm *vm, const char *alias)
{
	const char *id;
	json_t *row;

	json_object_foreach(m->lease_rows, id, row) {
		_cleanup_free_ char *its = NULL;
		struct lost l;

		if (!lost_read(m, id, row, &l))
			continue;
		its = l.alias;
		if (l.vm == vm && streq_ptr(its, alias))
			return true;
	}
	return false;
}

/* ---- it is not to have it any more ---- */

static void forget_not_committed(struct manager *m, void *userdata)
{
	_cleanup_free_ char *id = userdata;

	json_t *row = json_object_get(m->lease_rows, id);

	json_object_del(row, "over");
	if (json_object_del(row, "told") == 0)
		json_object_del(row, "gone");
}

static void forget_committed(struct manager *m, void *userdata)
{
	free(userdata);
	manager_pump(m);
}

/* One that nobody let go yet; as lost_leases() has it.  Returns new. */
static json_t *lost_view(const struct lost *l, const char *name)
{
	return json_pack("{s:s,s:s?,s:s?,s:I}", "vf", name, "vm", json_get_string(l->row, "vm_name"), "vm_uuid",
			 json_get_string(l->row, "vm_uuid"), "epoch", (json_int_t)json_get_uint(l->row, "epoch", 0));
}

json_t *lost_leases(struct manager *m, const struct vm *vm, const char *only)
{
	json_t *leases = NULL, *row;
	const char *id;

	json_object_foreach(m->lease_rows, id, row) {
		_cleanup_free_ char *alias = NULL, *name = NULL;
		struct lost l;

		if (!lost_read(m, id, row, &l))
			continue;
		alias = l.alias;
		name = xasprintf("%s/vf%u", l.gpu->name, l.index);
		if (!name || (vm && l.vm != vm) || (only && !streq(only, name)) || json_get_bool(row, "over", false))
			continue;
		if (!leases)
			leases = json_array();
		json_array_append_new(leases, lost_view(&l, name));
	}
	return leases;
}

void lost_forget(struct manager *m, const char *name)
{
	const char *slash = strrchr(name, '/');
	_cleanup_free_ char *card = slash ? strndup(name, (size_t)(slash - name)) : NULL, *id = NULL;
	const struct gpu *gpu = gpu_find(m, card);
	json_t *row;

	if (gpu)
		id = vf_row_id(gpu, (unsigned)strtoul(slash + strlen("/vf"), NULL, 10));
	row = id ? json_object_get(m->lease_rows, id) : NULL;
	if (!row)
		return;
	json_put_bool(row, "over", true);
	if (audit_lost_over(m, name, row)) {
		json_put_bool(row, "gone", true); /* the trail has its end */
		json_put_bool(row, "told", true);
	}
	outbox_put(m, STORE_LEASE, id, json_incref(row));
	outbox_add(m, forget_committed, forget_not_committed, TAKE_PTR(id));
}

static bool is_over(const json_t *row)
{
	uint64_t expires = expiry_from_row(json_object_get(row, "expires"));

	return json_get_bool(row, "over", false) || (expires > 0 && expires <= now_boottime());
}

uint64_t lost_next_end(struct manager *m)
{
	uint64_t next = UINT64_MAX, now = now_boottime();
	const char *id;
	json_t *row;

	json_object_foreach(m->lease_rows, id, row) {
		uint64_t expires = is_stored_by_hand(row) ? expiry_from_row(json_object_get(row, "expires")) : 0;

		if (expires > now)
			next = MIN_OF(next, expires);
	}
	return next;
}

/* ---- another in its place ---- */

static struct vf *another_like_it(struct manager *m, const struct lost *l)
{
	const struct known *vram = &l->gpu->facts->vram_bytes;
	const char *profile = json_get_string(l->row, "profile");
	uint64_t had = json_get_uint(l->row, "vram", 0);
	uid_t uid = (uid_t)json_get_uint(l->row, "uid", 0);
	struct vf *vf = NULL;

	if (!json_get_bool(l->row, "chosen", false) || gpu_will_be_healed(m, l->gpu))
		return NULL;
	if (profile)
		vf = assign_pick_free(m, l->gpu, profile, 0, uid, l->vm);
	if (!vf && (had > 0 || (vram->known && vram->value == 0))) /* a card without memory of its own: all are alike */
		vf = assign_pick_free(m, l->gpu, NULL, had, uid, l->vm);
	return vf;
}

struct replaced {
	char *vf_name;
	char *id;
	json_t *row;
};

static void replaced_free(struct replaced *r)
{
	free(r->vf_name);
	free(r->id);
	json_decref(r->row);
	free(r);
}

static void replace_committed(struct manager *m, void *userdata)
{
	replaced_free(userdata);
	manager_pump(m);
}

static void replace_not_committed(struct manager *m, void *userdata)
{
	struct replaced *r = userdata;
	struct vf *vf = vf_find(m, r->vf_name);

	if (vf && vf->state == VF_RESERVED && vf->lease.instead) {
		vf->state = VF_FREE;
		vf_lease_end(m, vf);
	}
	json_object_set(m->lease_rows, r->id, r->row);
	replaced_free(r);
}

/* From here on the other one is the VM's; manager-follow.c writes it into its definition. */
static void replace(struct manager *m, struct lost *l, struct vf *vf)
{
	struct replaced *r = calloc(1, sizeof(*r));
	_cleanup_free_ char *reason = xasprintf("in place of %s/vf%u, which is gone", l->gpu->name, l->index);
	_cleanup_json_ json_t *row = json_incref(l->row);

	if (!r)
		return;
	*r = (struct replaced){ strdup(vf->name), strdup(l->id), json_incref(row) };
	log_vf(vf->name, LOG_NOTICE, 0, "%s/vf%u is gone: VM %s gets this one in its place", l->gpu->name, l->index,
	       l->vm->facts->name);
	gpu_end_lease_of_absent(m, l->gpu, l->index);
	vf_lease(m, vf, LEASE_VM, l->vm, 0, (uid_t)json_get_uint(row, "uid", 0), false, true);
	vf->lease.chosen = true;
	vf->lease.vram = json_get_uint(row, "vram", 0);
	lease_end_from_row(&vf->lease, json_object_get(row, "expires"));
	vf->lease.instead = TAKE_PTR(l->alias);
	vf_set_state(m, vf, VF_RESERVED, reason);
	outbox_add(m, replace_committed, replace_not_committed, r);
}

/* ---- out of the definition ---- */

/* The address may be any other function's by now. */
static bool names_another(struct manager *m, const struct lost *l)
{
	const struct pci_address *address = &l->dev->address;

	if (vf_find_address(m, address) || gpu_find_address(m, address))
		return true;
	return l->gpu->facts && l->gpu->facts->vf_offset > 0 && !gpu_may_have_vf(l->gpu->facts, address);
}

struct taking {
	char *uuid, *alias;
};

static void taking_over(struct manager *m, void *userdata, bool committed)
{
	struct taking *t = userdata;
	struct vm *vm = vm_find_uuid(m, t->uuid);
	const struct domain_hostdev *dev = vm && committed ? vm_stored_alias(vm, t->alias) : NULL;

	if (vm)
		vm->follow.busy = false;
	if (dev)
		vm_take_out(m, vm, dev, &vm->follow);
	free(t->uuid);
	free(t->alias);
	free(t);
}

static void take_out_committed(struct manager *m, void *userdata)
{
	taking_over(m, userdata, true);
}

static void take_out_not_committed(struct manager *m, void *userdata)
{
	taking_over(m, userdata, false);
}

/* The row says so first: a definition that names nothing any more is not taken for somebody else's doing. */
static void take_out(struct manager *m, const struct lost *l)
{
	struct taking *t = calloc(1, sizeof(*t));

	if (!t)
		return;
	*t = (struct taking){ strdup(l->vm->uuid), strdup(l->alias) };
	json_put_string(l->row, "instead", l->alias);
	row_store(m, l);
	l->vm->follow.busy = true;
	outbox_add(m, take_out_committed, take_out_not_committed, t);
}

/* ---- looking ---- */

static void look(struct manager *m, struct lost *l)
{
	bool calm = gpu_is_calm(l->gpu), over = is_over(l->row), written_off = json_get_string(l->row, "instead") != NULL;
	struct vf *vf;

	if (l->vm && l->vm->facts->hostdevs_unknown)
		return;
	if (!l->vm || (!l->dev && (over || (calm && !written_off)))) {
		if (over && !json_get_bool(l->row, "over", false))
			(void)audit_scope(m, "daemon:expiry");
		gpu_end_lease_of_absent(m, l->gpu, l->index); /* nobody waits for it any more */
		(void)audit_scope(m, "daemon:follow");
		return;
	}
	if (!follow_may(l->vm) || (l->dev && l->dev->live))
		return;
	vf = calm && !over ? another_like_it(m, l) : NULL;
	if (vf)
		replace(m, l, vf);
	else if (l->dev && (over || names_another(m, l)))
		take_out(m, l);
}

void lost_pump(struct manager *m)
{
	const char *scope, *id;
	json_t *row;
	void *tmp;

	if (m->degraded || !m->hypervisor_connected || m->recovering || m->sleeping || !m->ready)
		return;
	scope = audit_scope(m, "daemon:follow");
	json_object_foreach_safe(m->lease_rows, tmp, id, row) {
		struct lost l;

		if (!lost_read(m, id, row, &l))
			continue;
		look(m, &l);
		free(l.alias);
	}
	(void)audit_scope(m, scope);
}

/* ---- telling ---- */

static char *why_not(struct manager *m, const struct lost *l)
{
	if (l->vm->follow.failure)
		return strdup(l->vm->follow.failure);
	if (l->gpu->state == GPU_ABSENT)
		return xasprintf("the card %s is not there", l->gpu->name);
	if (l->gpu->half_cut)
		return xasprintf("%s is half cut (gpuvf apply %s, with a layout that works)", l->gpu->name, l->gpu->name);
	if (!gpu_is_calm(l->gpu) || gpu_will_be_healed(m, l->gpu))
		return xasprintf("%s is about to be cut as wanted", l->gpu->name);
	if (!json_get_bool(l->row, "chosen", false))
		return strdup("it was asked for by name, so no other is given in its place");
	return xasprintf("no free VF of %s serves as much", l->gpu->name);
}

char *lost_text(struct manager *m, const struct vm *vm)
{
	const char *id;
	json_t *row;

	json_object_foreach(m->lease_rows, id, row) {
		_cleanup_free_ char *alias = NULL, *why = NULL, *where = NULL;
		struct lost l;

		if (!lost_read(m, id, row, &l))
			continue;
		alias = l.alias;
		if (l.vm != vm || (l.dev && l.dev->live) || (!l.dev && !json_get_string(row, "instead")))
			continue;
		why = why_not(m, &l);
		where = l.dev ? xasprintf("its stored definition names %s (%s/vf%u), a VF that is not there: it will not start",
					  PCI_ADDRESS_STR(&l.dev->address), l.gpu->name, l.index)
			      : xasprintf("%s/vf%u, which it is to have, is not there, and its address is another function's "
					  "now: it starts without", l.gpu->name, l.index);
		return xasprintf("%s; %s (gpuvf apply %s brings it back, gpuvf assign %s%s gives another, gpuvf release "
				 "%s/vf%u takes it out)", strempty(where), strempty(why), l.gpu->name, vm->facts->name,
				 vm_holds_vf(m, vm) ? " --add" : "", l.gpu->name, l.index);
	}
	return NULL;
}
