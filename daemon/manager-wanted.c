/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wanted of a GPU: the last layout by hand, else the policy's.  When it is made without being asked:
 * once each time that a driver was bound to the card, if the card has no VFs then; and what differs is drift, which
 * is shown, and healed where configuration or policy say so.  Looked at from the pump: every event ends there. */
#include "manager-state.h"

/* From one number of VFs to another leads over 0, so somebody who cuts by hand shows drift in between. */
#define HEAL_SETTLE_USEC (2 * USEC_PER_SEC)
/* After the first attempt of ours that failed; each further one doubles it. */
#define RETRY_FIRST_USEC (5 * USEC_PER_SEC)
#define RETRY_MAX_USEC (10 * 60 * USEC_PER_SEC)

enum healing {
	HEALING_OFF,	 /* neither configuration nor rule says so */
	HEALING_DISPLAY, /* never by itself */
	HEALING_CANNOT,	 /* no card, no driver, or it does not work */
	HEALING_WAITING, /* for something of ours that is under way, or for libvirt's word */
	HEALING_HELD,	 /* until the last holder has let go */
	HEALING_LATER,	 /* at retry_at */
	HEALING_RUNNING,
	HEALING_NOW,
	HEALING_MAX,
};

static const char *const healing_names[HEALING_MAX] = {
	[HEALING_OFF] = "off",	 [HEALING_DISPLAY] = "display", [HEALING_CANNOT] = "cannot",
	[HEALING_WAITING] = "waiting", [HEALING_HELD] = "held",	[HEALING_LATER] = "later",
	[HEALING_RUNNING] = "running", [HEALING_NOW] = "now",
};

/* ---- what is wanted ---- */

struct layout *gpu_wanted(struct manager *m, const struct gpu *gpu)
{
	const struct policy_gpu_rule *rule;
	struct layout *layout = NULL;

	if (gpu->manual) {
		_cleanup_json_ json_t *copy = layout_to_json(gpu->manual);

		return layout_load(copy, &layout) < 0 ? NULL : layout;
	}
	rule = gpu->facts ? policy_match_gpu(m->policy, gpu->facts) : NULL;
	if (!rule || !rule->layout || layout_from_policy(m->policy, rule->layout, &layout) < 0)
		return NULL;
	return layout;
}

const char *gpu_layout_source(struct manager *m, const struct gpu *gpu)
{
	const struct policy_gpu_rule *rule;

	if (gpu->manual)
		return "manual";
	rule = gpu->facts ? policy_match_gpu(m->policy, gpu->facts) : NULL;
	return rule && rule->layout ? "policy" : NULL;
}

enum gpu_state gpu_calm_state(struct manager *m, const struct gpu *gpu)
{
	if (gpu->given_up || gpu->half_cut)
		return GPU_WEDGED;
	if (gpu_is_draining(gpu))
		return GPU_DRAINING;
	return gpu_layout_source(m, gpu) ? GPU_READY : GPU_UNMANAGED;
}

void gpu_name_profiles(struct manager *m, struct gpu *gpu, const struct layout *layout)
{
	for (size_t i = 0; i < gpu->n_vfs && i < layout->n_vfs; i++) {
		if (streq_ptr(gpu->vfs[i]->profile, layout->vfs[i].profile))
			continue;
		(void)free_and_strdup(&gpu->vfs[i]->profile, layout->vfs[i].profile);
		vf_store(m, gpu->vfs[i]);
	}
}

/* ---- attempts of our own, and when the next may be ---- */

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct gpu *gpu = userdata;

	gpu->own.timer = sd_event_source_unref(gpu->own.timer);
	manager_pump(gpu->m);
	return 0;
}

/* Looks again after that time; an earlier appointment gives way, a later one stays. */
static void wake_after(struct gpu *gpu, uint64_t delay)
{
	uint64_t at = now_boottime() + delay;

	at = MAX_OF(at, MAX_OF(gpu->own.retry_at, gpu->own.settled_at));
	gpu->own.timer = sd_event_source_disable_unref(gpu->own.timer);
	/* Not relative: that counts from when the loop woke up, and would be over before the appointment. */
	(void)sd_event_add_time(gpu->m->event, &gpu->own.timer, CLOCK_BOOTTIME, at, 0, on_retry, gpu);
}

static bool too_early(const struct gpu *gpu)
{
	return gpu->own.retry_at > now_boottime();
}

void wanted_forget(struct gpu *gpu)
{
	gpu->own.timer = sd_event_source_disable_unref(gpu->own.timer);
	gpu->own.retry_at = gpu->own.settled_at = 0;
	gpu->own.failures = 0;
	free(gpu->own.failure);
	gpu->own.failure = NULL;
}

void wanted_ended(struct manager *m, struct gpu *gpu, const struct rpc_error *error)
{
	uint64_t delay = RETRY_FIRST_USEC;

	if (!gpu->own.running)
		return;
	gpu->own.running = false;
	if (error) {
		for (unsigned i = 0; i < gpu->own.failures && delay < RETRY_MAX_USEC; i++)
			delay *= 2;
		delay = MIN_OF(delay, RETRY_MAX_USEC);
		gpu->own.failures++;
		(void)free_and_strdup(&gpu->own.failure, strempty(error->message));
		log_gpu(gpu->name, LOG_ERR, 0,
			"the wanted layout could not be made (attempt %u): %s; not again within %llu s",
			gpu->own.failures, gpu->own.failure, (unsigned long long)(delay / USEC_PER_SEC));
		gpu->own.retry_at = now_boottime() + delay;
		wake_after(gpu, delay);
	}
	manager_pump(m);
}

void wanted_not_stored(struct manager *m, struct gpu *gpu)
{
	struct rpc_error error = { 0 };

	if (!gpu->own.running)
		return;
	gpu->due = true; /* nothing was tried */
	rpc_error_set(&error, RPC_DEGRADED, "nothing can be stored: %s", strempty(m->degraded));
	wanted_ended(m, gpu, &error);
	rpc_error_done(&error);
}

/* ---- due ---- */

/* The apply of an earlier daemon that nobody has taken up yet. */
static struct operation *inherited_apply(struct manager *m, const struct gpu *gpu)
{
	struct operation *op, *tmp;

	HASH_ITER(hh_open, m->open_operations, op, tmp)
		if (op->inherited && operation_is_apply(op) &&
		    streq_ptr(op->subject, gpu->name))
			return op;
	return NULL;
}

bool gpu_has_inherited_apply(struct manager *m, const struct gpu *gpu)
{
	return inherited_apply(m, gpu) != NULL;
}

bool gpu_has_inherited(struct manager *m, const struct gpu *gpu)
{
	struct operation *op, *tmp;

	HASH_ITER(hh_open, m->open_operations, op, tmp)
		if (op->inherited && streq(op->method, "vf.tune") &&
		    streq_ptr(json_get_string(op->input, "gpu"), gpu->name))
			return true;
	return gpu_has_inherited_apply(m, gpu);
}

/* Its layout is due, and nothing but our own work keeps it from being looked at. */
static bool is_due(struct manager *m, const struct gpu *gpu)
{
	return gpu->due && gpu->facts && gpu->facts->driver && !gpu->stuck && !gpu->given_up &&
	       !inherited_apply(m, gpu);
}

/* ---- drift ---- */

static bool heals(struct manager *m, const struct gpu *gpu)
{
	const struct policy_gpu_rule *rule = gpu->facts ? policy_match_gpu(m->policy, gpu->facts) : NULL;

	return rule && rule->heal_said ? rule->heal : json_get_bool(m->config, "heal_drift", false);
}

static void drift_found(struct manager *m, struct gpu *gpu, const char *what)
{
	if (streq_ptr(gpu->drift, what))
		return;
	if (!gpu->drift) {
		gpu->drift_since = now_realtime();
		gpu->own.settled_at = now_boottime() + HEAL_SETTLE_USEC;
		if (heals(m, gpu))
			wake_after(gpu, HEAL_SETTLE_USEC);
	}
	(void)free_and_strdup(&gpu->drift, what);
	log_gpu(gpu->name, LOG_NOTICE, 0, "drift: %s", gpu->drift);
	manager_emit(m, "drift.found", gpu->name, json_pack("{s:s}", "what", gpu->drift));
}

static void drift_gone(struct manager *m, struct gpu *gpu)
{
	wanted_forget(gpu);
	if (!gpu->drift)
		return;
	log_gpu(gpu->name, LOG_NOTICE, 0, "no drift any more: it is as wanted");
	manager_emit(m, "drift.healed", gpu->name, json_pack("{s:s}", "what", gpu->drift));
	free(gpu->drift);
	gpu->drift = NULL;
}

/* What is taken from a VF to be cleared is given back. */
static bool any_is_being_scrubbed(const struct gpu *gpu)
{
	for (size_t i = 0; i < gpu->n_vfs; i++)
		if (vf_is_being_scrubbed(gpu->vfs[i]))
			return true;
	return false;
}

void gpu_check_drift(struct manager *m, struct gpu *gpu)
{
	_cleanup_(layout_freep) struct layout *wanted = gpu_expected(m, gpu);
	_cleanup_free_ char *why = NULL;

	if (gpu->apply || gpu->apply_accepted || gpu->drain.operations[DRAIN_FOR_APPLY] || any_is_being_scrubbed(gpu))
		return;
	/* What is about to be made is not missed yet. */
	if (!gpu->facts || (is_due(m, gpu) && !too_early(gpu)))
		return;
	if (!wanted || partition_matches(gpu->facts, wanted, &why))
		drift_gone(m, gpu);
	else if (gpu->facts->reason) /* no driver, for one: the cause says more than a number of VFs */
		drift_found(m, gpu, gpu->facts->reason);
	else
		drift_found(m, gpu, why ? why : "the kernel shows another layout");
}

void gpu_drift_absent(struct manager *m, struct gpu *gpu)
{
	if (gpu_layout_source(m, gpu))
		drift_found(m, gpu, "the card is gone");
}

/* ---- healing ---- */

/* Something of ours is under way, or what is known may be old: it will pump. */
static bool busy(struct manager *m, const struct gpu *gpu)
{
	return gpu->apply || gpu->apply_accepted || gpu->own.running || gpu->binding > 0 || gpu->reading ||
	       gpu->tunes || m->sleeping;
}

/* Whether drift is healed, and if not now, why not (constant, or of the GPU). */
static enum healing healing_of(struct manager *m, const struct gpu *gpu, const char **ret_why)
{
	*ret_why = NULL;
	if (gpu->own.running)
		return HEALING_RUNNING;
	if (!gpu->facts || gpu->facts->reason || gpu->stuck || gpu->given_up) {
		*ret_why = gpu->facts && gpu->facts->reason ? gpu->facts->reason : gpu->reason;
		return HEALING_CANNOT;
	}
	if (gpu->unreadable) {
		*ret_why = "what was wanted by hand cannot be read: gpuvf apply says it anew";
		return HEALING_CANNOT;
	}
	if (pf_is_given(m, gpu)) {
		*ret_why = "a VM's definition names the GPU itself: see gpuvf doctor";
		return HEALING_CANNOT;
	}
	*ret_why = gpu->own.failure;
	if (!heals(m, gpu))
		return HEALING_OFF;
	if (gpu->facts->display) {
		*ret_why = "it drives the console or a screen: gpuvf apply --yes-display";
		return HEALING_DISPLAY;
	}
	if (gpu_is_draining(gpu)) {
		*ret_why = "it is drained, for somebody's work on it";
		return HEALING_WAITING;
	}
	if (busy(m, gpu) || m->recovering || m->degraded)
		return HEALING_WAITING;
	if (gpu->facts->num_vfs > 0 && !m->hypervisor_connected) {
		*ret_why = "libvirt has not said who holds VFs";
		return HEALING_WAITING;
	}
	for (size_t i = 0; i < gpu->n_vfs; i++)
		if (gpu->vfs[i]->lease.owner != LEASE_NONE || gpu->vfs[i]->handover) {
			*ret_why = "VFs of it are held";
			return HEALING_HELD;
		}
	return too_early(gpu) || gpu->own.settled_at > now_boottime() ? HEALING_LATER : HEALING_NOW;
}

bool gpu_will_be_healed(struct manager *m, const struct gpu *gpu)
{
	const char *why;
	enum healing healing = gpu->drift ? healing_of(m, gpu, &why) : HEALING_OFF;

	return healing >= HEALING_WAITING && healing != HEALING_HELD;
}

bool gpu_is_calm(const struct gpu *gpu)
{
	bool state = gpu->state == GPU_READY || gpu->state == GPU_UNMANAGED || gpu->state == GPU_DRAINING;

	return state && gpu->facts && !gpu->stuck && !gpu->due && !gpu->apply && !gpu->apply_accepted && !gpu->own.running &&
	       !gpu->reading;
}

json_t *drift_view(struct manager *m, const struct gpu *gpu)
{
	const char *why = NULL;
	enum healing healing;
	json_t *json;

	if (!gpu->drift)
		return json_null();
	healing = healing_of(m, gpu, &why);
	json = json_pack("{s:s,s:s,s:s?,s:I}", "what", gpu->drift, "healing", healing_names[healing],
			 "healing_reason", why, "attempts", (json_int_t)gpu->own.failures);
	json_put_time(json, "since", gpu->drift_since);
	if (healing == HEALING_LATER)
		json_put_time(json, "retry_at",
			      now_realtime() + MAX_OF(gpu->own.retry_at, gpu->own.settled_at) - now_boottime());
	else
		json_put(json, "retry_at", json_null());
	return json;
}

static void heal(struct manager *m, struct gpu *gpu)
{
	_cleanup_(layout_freep) struct layout *wanted = gpu_wanted(m, gpu);

	if (!wanted)
		return;
	log_gpu(gpu->name, LOG_NOTICE, 0, "its drift is healed: %s", gpu->drift);
	apply_wanted(m, gpu, wanted, OPERATION_HEAL);
}

/* ---- when a driver was bound ---- */

static void make_due(struct manager *m, struct gpu *gpu)
{
	_cleanup_(layout_freep) struct layout *wanted = gpu_wanted(m, gpu);

	gpu->due = false;
	if (!wanted || gpu->unreadable) {
		gpu_check_drift(m, gpu);
		return;
	}
	/* Only an uncut card: what somebody else cut meanwhile is drift. */
	if (wanted->n_vfs == 0 || gpu->facts->num_vfs > 0) {
		gpu_name_profiles(m, gpu, wanted);
		gpu_check_drift(m, gpu);
		apply_bind_vfs(m, gpu);
		return;
	}
	if (gpu->facts->display && !gpu->manual) {
		log_gpu(gpu->name, LOG_WARNING, 0,
			"drives the console: its rule's layout is left to gpuvf apply --yes-display");
		gpu_check_drift(m, gpu);
		return;
	}
	if (pf_is_given(m, gpu)) {
		_cleanup_free_ char *text = pf_text(m, gpu);

		log_gpu(gpu->name, LOG_WARNING, 0, "the wanted layout is not applied: %s", strempty(text));
		gpu_check_drift(m, gpu);
		return;
	}
	log_gpu(gpu->name, LOG_NOTICE, 0, "the wanted layout (%zu VFs) is applied", wanted->n_vfs);
	apply_wanted(m, gpu, wanted, OPERATION_APPLY);
}

/* An apply of an earlier daemon goes on at once where there is no VF that somebody could hold, or where it hangs
 * still; else libvirt's word is waited for (recover_operations). */
static void take_up_inherited(struct manager *m, struct gpu *gpu)
{
	bool possible = gpu->stuck || (gpu->facts && gpu->facts->num_vfs == 0 && !gpu->reading);
	struct operation *inherited =
		possible && !gpu->apply && !gpu->apply_accepted ? inherited_apply(m, gpu) : NULL;

	if (inherited)
		apply_resume(m, inherited);
}

void wanted_pump(struct manager *m)
{
	struct gpu *gpu, *tmp;
	const char *why;

	HASH_ITER(hh, m->gpus, gpu, tmp) {
		if (!m->hypervisor_connected)
			take_up_inherited(m, gpu);
		if (gpu->read_again && !gpu->reading && !gpu->apply && !gpu->stuck)
			gpu_refresh(m, gpu);
		if (is_due(m, gpu) && !busy(m, gpu) && !too_early(gpu))
			make_due(m, gpu);
		else if (gpu->drift && !gpu->due && healing_of(m, gpu, &why) == HEALING_NOW)
			heal(m, gpu);
	}
}

/* While the host boots, its driver may be about to come. */
static bool driver_may_come(struct manager *m, const struct gpu *gpu)
{
	return gpu->facts && !gpu->facts->driver && gpu_layout_source(m, gpu) && m->host->ops->settling &&
	       m->host->ops->settling(m->host);
}

bool wanted_settled(struct manager *m)
{
	struct gpu *gpu, *tmp;

	if (!m->scanned)
		return false; /* nobody knows yet which cards there are */
	HASH_ITER(hh, m->gpus, gpu, tmp) {
		/* An apply that waits for holders waits for libvirt's word. */
		bool cut = gpu->apply || gpu->own.running || gpu->binding > 0 ||
			   (gpu->apply_accepted && !gpu->drain.operations[DRAIN_FOR_APPLY]);

		if (!gpu->stuck && (cut || (is_due(m, gpu) && !too_early(gpu)) || driver_may_come(m, gpu)))
			return false;
	}
	return true;
}
