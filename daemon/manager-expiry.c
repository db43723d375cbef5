/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases with an end (vf.assign with for_seconds), and those whose holder has not shown: when their time is over the
 * daemon takes the VF back through the gate.  The end is a time of the boot clock, so setting the date moves nothing.
 * Asked by the pump. */
#include "manager-state.h"

#define RETRY_FIRST (5 * USEC_PER_SEC) /* after a guest did not let go, doubled each time up to 64 times that */
#define RETRY_DOUBLED_MAX 6

/* ---- the row ---- */

json_t *expiry_row(uint64_t boot)
{
	char boot_id[37] = "";
	json_t *row;

	if (!boot)
		return json_null();
	(void)boot_id_read(boot_id);
	row = json_pack("{s:s}", "boot_id", boot_id);
	json_put_uint(row, "boot", boot);
	json_put_uint(row, "at", expiry_wall(boot));
	return row;
}

bool expiry_is_of_this_boot(const json_t *row)
{
	char boot_id[37];

	return boot_id_read(boot_id) == 0 && streq_ptr(json_get_string(row, "boot_id"), boot_id);
}

/* A time of another boot's clock means nothing now: the rest counts from the wall clock. */
uint64_t expiry_from_row(const json_t *row)
{
	uint64_t boot = json_get_uint(row, "boot", 0), at = json_get_uint(row, "at", 0), now = now_realtime();

	if (boot == 0 || expiry_is_of_this_boot(row))
		return boot;
	return now_boottime() + (at > now ? at - now : 0);
}

uint64_t expiry_wall(uint64_t boot)
{
	/* To the second: two looks at one lease say the same. */
	int64_t left = (int64_t)(boot - now_boottime());
	uint64_t at = now_realtime() + (uint64_t)left + USEC_PER_SEC / 2;

	return boot ? at - at % USEC_PER_SEC : 0;
}

void lease_set_end(struct lease *lease, uint64_t for_usec)
{
	lease->expires = for_usec ? now_boottime() + for_usec : 0;
	lease->expires_said = expiry_wall(lease->expires);
}

json_t *lease_end_row(const struct lease *lease)
{
	json_t *row = expiry_row(lease->expires);

	json_put_uint(row, "said", lease->expires_said);
	return row;
}

void lease_end_from_row(struct lease *lease, const json_t *row)
{
	lease->expires = expiry_from_row(row);
	/* Earlier versions did not keep it. */
	lease->expires_said = json_get_uint(row, "said", json_get_uint(row, "at", 0));
}

bool lease_was_never_confirmed(const struct vf *vf)
{
	return vf->lease.owner != LEASE_NONE && vf->lease.confirm_by && vf->lease.confirm_by <= now_boottime();
}

/* ---- moving it ---- */

struct moved {
	char *vf;
	uint64_t epoch, before, said_before;
};

static void moved_free(struct moved *moved)
{
	free(moved->vf);
	free(moved);
}

static void move_committed(struct manager *m, void *userdata)
{
	moved_free(userdata);
	manager_pump(m);
}

static void move_not_committed(struct manager *m, void *userdata)
{
	struct moved *moved = userdata;
	struct vf *vf = vf_find(m, moved->vf);

	if (vf && vf->lease.epoch == moved->epoch) {
		vf->lease.expires = moved->before;
		vf->lease.expires_said = moved->said_before;
	}
	moved_free(moved);
}

int expiry_move(struct manager *m, struct vf *vf, uint64_t for_usec, struct rpc_error *error)
{
	struct moved *moved;

	if (vf->lease.owner != LEASE_VM) {
		rpc_error_set(error, RPC_CONFLICT, "%s is held under a lease of the owner %s, which has no end", vf->name,
			      lease_owner_to_string(vf->lease.owner));
		return rpc_error_detail(error, "no_end", "for_seconds", "leave it out, or name a VF that is free");
	}
	moved = calloc(1, sizeof(*moved));
	if (!moved)
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "out of memory");
	*moved = (struct moved){ strdup(vf->name), vf->lease.epoch, vf->lease.expires, vf->lease.expires_said };
	lease_set_end(&vf->lease, for_usec);
	vf->lease.expiry_failures = 0;
	vf->lease.expiry_retry_at = 0;
	(void)free_and_strdup(&vf->kept, NULL); /* it is to stay there */
	vf_store(m, vf);
	manager_emit(m, "lease.changed", vf->name,
		     json_pack("{s:s,s:I,s:s?}", "owner", lease_owner_to_string(vf->lease.owner), "epoch",
			       (json_int_t)vf->lease.epoch, "vm", vf->lease.vm_name));
	outbox_add(m, move_committed, move_not_committed, moved);
	return 0;
}

/* ---- when it is over ---- */

static void done(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	if (!error || m->ending || !vf->gpu || vf->lease.owner != LEASE_VM || !vf->lease.expires)
		return;
	vf->lease.expiry_retry_at = now_boottime() +
				    (RETRY_FIRST << MIN_OF(vf->lease.expiry_failures, (unsigned)RETRY_DOUBLED_MAX));
	if (vf->lease.expiry_failures++ == 0) /* the tries that follow are no news */
		audit_write(m, &(struct audit_change){
				       .subject = vf->name,
				       .outcome = AUDIT_FAILED,
				       .before = json_pack("{s:s}", "state", vf_state_to_string(vf->state)),
				       .after = json_pack("{s:s}", "state", vf_state_to_string(vf->state)),
				       .error = error->message,
				       .word = "daemon:expiry",
			       });
	log_vf(vf->name, LOG_WARNING, 0, "The time of its lease is over, but it could not be taken back: %s",
	       strempty(error->message));
}

static void unconfirmed_done(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	job_vf_back(m, vf->name);
	manager_pump(m);
}

/* A lease that nobody acts on, as no step of a handover leaves one: no VF is lost for it. */
static uint64_t look_unconfirmed(struct manager *m, struct vf *vf)
{
	if (!lease_was_never_confirmed(vf))
		return vf->lease.confirm_by;
	log_vf(vf->name, LOG_WARNING, 0, "VM %s has not had it in time: its lease is over",
	       strempty(vf->lease.vm_name));
	handover_reset(m, vf, unconfirmed_done, NULL);
	return 0;
}

/* When the VF is to be looked at again, by the boot clock; 0 = an event tells. */
static uint64_t look(struct manager *m, struct vf *vf)
{
	uint64_t at = MAX_OF(vf->lease.expires, vf->lease.expiry_retry_at);

	if (barrier_holds(m, vf->lease.vm_uuid))
		return 0;
	if (vf->state == VF_LEASED && !vf->handover && !vf->inherited)
		return look_unconfirmed(m, vf);
	if (vf->lease.owner != LEASE_VM || !vf->lease.expires || vf->handover)
		return 0;
	if (at > now_boottime())
		return at;
	/* A job that runs on it is not torn out of it: its end asks the pump again. */
	if ((vf->state == VF_ATTACHED || vf->state == VF_RESERVED) && !vf_job(m, vf)) {
		log_vf(vf->name, LOG_NOTICE, 0, "The time of its lease is over: it is taken back from VM %s",
		       strempty(vf->lease.vm_name));
		handover_detach(m, vf, done, NULL);
	}
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	m->expiry_timer = sd_event_source_unref(m->expiry_timer);
	manager_pump(m);
	return 0;
}

void expiry_pump(struct manager *m)
{
	const char *scope;
	uint64_t next, now;
	struct gpu *gpu, *tmp;

	if (m->degraded || !m->hypervisor_connected || m->sleeping)
		return;
	next = lost_next_end(m);
	scope = audit_scope(m, "daemon:expiry");
	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs; i++) {
			uint64_t at = gpu->vfs[i]->lease.owner == LEASE_NONE ? 0 : look(m, gpu->vfs[i]);

			next = at ? MIN_OF(next, at) : next;
			at = displaced_end(gpu->vfs[i]);
			next = at ? MIN_OF(next, at) : next;
		}
	(void)audit_scope(m, scope);
	m->expiry_timer = sd_event_source_disable_unref(m->expiry_timer);
	now = now_boottime();
	if (next != UINT64_MAX)
		(void)sd_event_add_time_relative(m->event, &m->expiry_timer, CLOCK_BOOTTIME, next > now ? next - now : 0,
						 USEC_PER_MSEC, on_timer, m);
}
