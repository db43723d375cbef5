/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VFs of GPUs that somebody manages keep off the host's drivers, also those that others made while these probe VFs, and
 * those that a process has closed.  Asked by the pump; a free VF that is off VFIO is bound as after a re-cut
 * (manager-apply.c), but what fails leaves it free: it is told, and tried again after a pause.  A GPU that nobody
 * manages stays as it is. */
#include "manager-state.h"

#define RETRY_USEC (5 * USEC_PER_SEC) /* from one attempt to the next, doubled each time up to 128 times that */
#define RETRY_DOUBLED_MAX 7

/* ---- telling ---- */

char *bind_text(const struct vf *vf)
{
	if (!vf->unbound.failure || vf->state != VF_FREE)
		return NULL;
	return xasprintf("it is %s%s and could not be put on VFIO: %s; tried again by itself",
			 vf->unbound.driver ? "with the host's driver " : "without a driver", strempty(vf->unbound.driver),
			 vf->unbound.failure);
}

static void tell(struct manager *m, struct vf *vf, const char *failure)
{
	_cleanup_free_ char *text = NULL;

	if (streq_ptr(vf->unbound.failure, failure))
		return;
	(void)free_and_strdup(&vf->unbound.failure, failure);
	text = bind_text(vf);
	if (text)
		log_vf(vf->name, LOG_WARNING, 0, "%s", text);
	manager_emit(m, "vf.changed", vf->name,
		     json_pack("{s:s,s:s?,s:s?}", "state", vf_state_to_string(vf->state), "vm", vf->lease.vm_name, "reason",
			       text));
}

void bind_forget(struct vf *vf)
{
	free(vf->unbound.driver);
	free(vf->unbound.failure);
	vf->unbound = (struct vf_unbound){ 0 };
}

/* ---- binding ---- */

static json_t *driver_view(const char *driver)
{
	return json_pack("{s:s,s:s?}", "state", vf_state_to_string(VF_FREE), "driver", driver);
}

static void bound(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	const struct vf_facts *facts = vf->gpu ? vf_facts_of(vf) : NULL;

	if (!facts || m->ending)
		return;
	if (vf->state != VF_FREE) { /* a process has it open, and is its holder */
		bind_forget(vf);
	} else if (error) {
		tell(m, vf, error->message);
	} else {
		log_vf(vf->name, LOG_NOTICE, 0, "nobody has it: on VFIO (%s), taken from %s", strempty(facts->driver),
		       vf->unbound.driver ? vf->unbound.driver : "no driver");
		audit_write(m, &(struct audit_change){ .subject = vf->name, .before = driver_view(vf->unbound.driver),
						       .after = driver_view(facts->driver), .word = "daemon:bind" });
		tell(m, vf, NULL);
	}
}

static void begin(struct manager *m, struct vf *vf)
{
	const struct vf_facts *facts = vf_facts_of(vf);

	(void)free_and_strdup(&vf->unbound.driver, facts ? facts->driver : NULL);
	vf->unbound.retry_at = now_boottime() + (RETRY_USEC << MIN_OF(vf->unbound.tries, RETRY_DOUBLED_MAX));
	vf->unbound.tries++;
	(void)handover_bind_idle(m, vf, bound, NULL);
}

/* ---- which ---- */

/* Somebody's operation about it or its GPU is accepted, or goes on: what that does comes first. */
static bool is_operated(struct manager *m, const struct vf *vf)
{
	struct operation *op, *tmp;

	HASH_ITER(hh_open, m->open_operations, op, tmp)
		if (streq_ptr(op->subject, vf->name) || streq_ptr(op->subject, vf->gpu->name) ||
		    streq_ptr(op->input_gpu, vf->gpu->name))
			return true;
	return false;
}

static bool may_bind(struct manager *m, const struct gpu *gpu)
{
	return gpu->state == GPU_READY && gpu_layout_source(m, gpu) && gpu_is_calm(gpu) && !gpu->unreadable &&
	       gpu->binding == 0 && !gpu->tunes && !gpu_has_inherited(m, gpu) && !gpu_will_be_healed(m, gpu) &&
	       !pf_is_given(m, gpu);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	m->bind_timer = sd_event_source_disable_unref(m->bind_timer);
	manager_pump(m);
	return 0;
}

/* Nearly all VFs are on VFIO, and the pump comes often. */
static bool is_to_look_at(const struct vf *vf)
{
	return !vf->bound || vf->unbound.tries > 0;
}

static void look(struct manager *m, struct vf *vf, uint64_t now, uint64_t *next)
{
	/* One that was taken from VFIO again at once, by a rule of udev for one, is no new matter. */
	if (vf->bound && vf->unbound.tries > 0 && vf->unbound.retry_at <= now)
		bind_forget(vf);
	if (vf->bound || vf->state != VF_FREE || vf->handover)
		return;
	if (vf->unbound.retry_at > now)
		*next = MIN_OF(*next, vf->unbound.retry_at);
	else if (!is_operated(m, vf))
		begin(m, vf);
}

void bind_pump(struct manager *m)
{
	uint64_t now = now_boottime(), next = UINT64_MAX;
	struct gpu *gpu, *tmp;

	/* Without libvirt's word a VF that a VM has, or is to have, may pass for a free one. */
	if (m->degraded || !m->hypervisor_connected || m->recovering || m->sleeping || !m->ready)
		return;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			if (!is_to_look_at(gpu->vfs[i]))
				continue;
			if (!may_bind(m, gpu))
				break;
			look(m, gpu->vfs[i], now, &next);
		}
	m->bind_timer = sd_event_source_disable_unref(m->bind_timer);
	if (next != UINT64_MAX)
		(void)sd_event_add_time(m->event, &m->bind_timer, CLOCK_BOOTTIME, next, USEC_PER_MSEC, on_retry, m);
}
