/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ways to clear a VF's memory: which one a card offers, by what its driver shows there (docs/VF-CONTROL.md, "Memory
 * between users"), and the one of them that needs no re-cut, as a step of the gate: the VF's VRAM quota is taken and
 * given back, because the driver clears pages when it hands them out.  Whose memory it was and who may have it next is
 * manager-reuse.c's.
 *
 * What was taken is in the store before the first write, so that a daemon that dies between the two does not leave the
 * VF without memory: the next one finds it `resetting`, the gate begins again, and it is given back. */
#include "core/model-table.h"
#include "lib/clock.h"
#include "manager-handover.h"

/* ---- what there is ---- */

/* Why the quota is not taken from a VF that is on; NULL = it can be. */
static const char *why_not_taken(const struct gpu *gpu, const struct gpu_facts *f)
{
	if (f->can[VF_ATTR_VRAM].access != VF_ACCESS_WRITE)
		return "lmem_quota of its VFs is for reading only";
	if (f->tiles > 1)
		return "lmem_quota is one file for each tile, and which of them a VF has its memory of is not kept";
	if (!f->custom_provisioning)
		return "the driver shares VRAM out by itself, which a quota by hand would end";
	return gpu->scrub_refused;
}

static struct scrub scrub_of_i915(const struct gpu *gpu, const struct gpu_facts *f)
{
	const char *why = why_not_taken(gpu, f);

	if (f->can[VF_ATTR_VRAM].access == VF_ACCESS_NONE)
		return (struct scrub){ .what = "not known: the driver has no lmem_quota for this card" };
	return (struct scrub){
		.mechanism = why ? "recut" : "vram-quota",
		.at_gate = !why,
		.why_not = why,
		.probed = f->can[VF_ATTR_VRAM].access == VF_ACCESS_WRITE ? "lmem_quota of its VFs is there and writable" :
									   "lmem_quota of its VFs is there, for reading only",
		.what = why ? "i915 clears the pages when a VF is given VRAM, so with each re-cut; that a reset clears them is "
			      "not known" :
			      "i915 clears the pages when a VF is given VRAM: with each re-cut, and where \"reuse\" is "
			      "\"scrubbed\" also after each user, by taking its quota and giving it back; that a reset "
			      "clears them is not known",
	};
}

struct scrub scrub_of(const struct gpu *gpu, const struct gpu_facts *f)
{
	const struct gpu_model *model = f ? gpu_model_find(f->device_id) : NULL;

	if (model && model->integrated && f->can[VF_ATTR_VRAM].access == VF_ACCESS_NONE)
		return (struct scrub){ .mechanism = SCRUB_GUEST_MEMORY, .probed = "the driver has no VRAM to give to its VFs",
				       .what = "the card has no memory of its own: a VF uses the memory of its VM" };
	switch (f ? f->vf_control : VF_CONTROL_NONE) {
	case VF_CONTROL_I915:
		return scrub_of_i915(gpu, f);
	case VF_CONTROL_XE:
	case VF_CONTROL_XE_DEBUGFS:
		return (struct scrub){ .what = "not known: by its source xe clears a VF's VRAM some time after a reset, but the "
					       "reset does not wait for it, and no file tells that it was done; when a VF is "
					       "given VRAM it is not known to clear it" };
	case VF_CONTROL_GENERIC:
	case VF_CONTROL_NONE:
	case VF_CONTROL_MAX:
		break;
	}
	return (struct scrub){ .what = "not known" };
}

/* ---- at the gate ---- */

bool vf_is_being_scrubbed(const struct vf *vf)
{
	return vf->vram_taken.known && vf->state == VF_RESETTING;
}

static void ask_quota(struct handover *h, uint64_t value, host_reply_fn fn)
{
	struct host_request request = { .op = HOST_SET_VF_ATTR, .gpu = h->vf->gpu->address, .vf = h->vf->index,
					.attribute = VF_ATTR_VRAM, .value = value };
	struct host_reply reply = { 0 };

	reply.r = h->m->host->ops->request(h->m->host, &request, fn, h);
	if (reply.r < 0)
		fn(h, &reply);
}

/* What was read between the two writes, or after one that failed, is so no more: it moved out of what is left. */
static void note_vram(struct vf *vf, uint64_t value)
{
	struct gpu_facts *facts = vf->gpu->facts;
	struct known *left = facts ? &facts->resources[VF_ATTR_VRAM].free : NULL, *shown;

	if (!facts || vf->index > facts->n_vfs)
		return;
	shown = &facts->vfs[vf->index - 1].values[VF_ATTR_VRAM];
	if (shown->known && shown->value == value)
		return;
	if (left->known && shown->known && shown->value < value)
		left->value -= MIN_OF(left->value, value - shown->value);
	*shown = (struct known){ true, value };
	gpu_refresh(vf->gpu->m, vf->gpu);
}

static void note_scrubbed(struct vf *vf)
{
	vf_forget_user(vf);
	vf->scrubbed_at = now_realtime();
	log_vf(vf->name, LOG_INFO, 0, "its memory was cleared: its VRAM was taken and given back");
}

static void on_given_back(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;
	struct vf *vf = h->vf;
	struct manager *m = h->m;
	struct gpu *gpu = vf->gpu;
	struct host_reply less = { .r = -EIO, .attribute = (char *)"vram_quota", .message = (char *)"it is less than before" };
	bool whole = reply->value.known && reply->value.value >= vf->vram_taken.value;

	if (handover_vanished(h))
		return;
	if (reply->r < 0 || !whole) {
		handover_quarantine(h, reply->r < 0 ? reply : &less,
				    "its VRAM was taken to be cleared, and could not be given back");
		gpu_refresh(m, gpu); /* what it has now is drift */
		return;
	}
	vf->vram_taken = (struct known){ 0 };
	note_vram(vf, reply->value.value);
	if (h->scrubbed)
		note_scrubbed(vf);
	gpu_check_drift(m, gpu);
	h->cleared(h); /* its row follows with its state */
}

/* A driver that takes no quota from a VF that is on says so each time: it is not asked again before it is bound anew.
 * A card that hangs says nothing of that. */
static void note_refused(struct gpu *gpu, const struct host_reply *reply)
{
	if (reply->r == -ETIMEDOUT || gpu->stuck)
		return;
	free(gpu->scrub_refused);
	gpu->scrub_refused = xasprintf("the driver did not take it from a VF that is on (%s)",
				       reply->r < 0 ? strerror(-reply->r) : "it was not 0 after that");
	log_gpu(gpu->name, LOG_NOTICE, 0, "VFs cannot be cleared without a re-cut: %s", strempty(gpu->scrub_refused));
}

/* Given back in any case: a write that fails may have left it with nothing. */
static void on_taken(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;

	if (handover_vanished(h))
		return;
	h->scrubbed = reply->r == 0 && reply->value.known && reply->value.value == 0;
	if (!h->scrubbed)
		note_refused(h->vf->gpu, reply);
	ask_quota(h, h->vf->vram_taken.value, on_given_back);
}

static void take(struct handover *h)
{
	ask_quota(h, 0, on_taken);
}

/* A daemon that died between the two writes would leave it with nothing, and the next one would not know of it: it is
 * not cleared, and stays its last user's. */
static void take_nothing(struct handover *h)
{
	h->vf->vram_taken = (struct known){ 0 };
	log_vf(h->vf->name, LOG_NOTICE, 0, "its memory is not cleared: that it begins cannot be stored");
	h->cleared(h);
}

/* What is taken is what the kernel shows now, and not what anybody remembers. */
static void on_read(void *userdata, const struct host_reply *reply)
{
	struct handover *h = userdata;
	struct vf *vf = h->vf;
	const struct gpu_facts *f = reply->r == 0 && reply->n_facts > 0 ? reply->facts[0] : NULL;
	struct known has = { 0 };

	if (handover_vanished(h))
		return;
	if (f && vf->index <= f->n_vfs && scrub_of(vf->gpu, f).at_gate)
		has = f->vfs[vf->index - 1].values[VF_ATTR_VRAM];
	if (!has.known || has.value == 0) {
		h->cleared(h);
		return;
	}
	vf->vram_taken = has;
	vf_store(h->m, vf);
	handover_when_stored(h, take, take_nothing);
}

void handover_scrub(struct handover *h, void (*then)(struct handover *h))
{
	h->cleared = then;
	if (h->vf->vram_taken.known) /* since an earlier attempt */
		take(h);
	else if (vf_wants_scrub(h->m, h->vf))
		handover_ask_host(h, HOST_READ, 0, on_read);
	else
		then(h);
}
