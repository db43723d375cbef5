/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Suspend: a host that sleeps with VFs in use may not come back, so logind is asked to refuse it meanwhile.  When
 * the host slept all the same, everything is read again before anything is done. */
#include "host/sleep-lock.h"
#include "manager-state.h"

const char *const inhibit_sleep_names[INHIBIT_SLEEP_MAX] = {
	[INHIBIT_SLEEP_HELD] = "held",
	[INHIBIT_SLEEP_ENABLED] = "enabled",
	[INHIBIT_SLEEP_NEVER] = "never",
};
DEFINE_ENUM_TABLE(inhibit_sleep, enum inhibit_sleep, INHIBIT_SLEEP_MAX);

static const char *const reasons[INHIBIT_SLEEP_MAX] = {
	[INHIBIT_SLEEP_HELD] = "VFs of a GPU are in use",
	[INHIBIT_SLEEP_ENABLED] = "a GPU is cut into VFs",
};

static enum inhibit_sleep mode(const struct manager *m)
{
	int mode = inhibit_sleep_from_string(strempty(json_get_string(m->config, "inhibit_sleep")));

	return mode < 0 ? INHIBIT_SLEEP_HELD : (enum inhibit_sleep)mode;
}

/* A VM that is off holds nothing of the hardware, whatever its definition names. */
static bool in_use(const struct vf *vf)
{
	return vf->handover || (vf->lease.owner != LEASE_NONE && vf->state != VF_RESERVED);
}

static bool must_stay_awake(struct manager *m)
{
	struct gpu *gpu, *tmp;

	if (mode(m) == INHIBIT_SLEEP_NEVER)
		return false;
	HASH_ITER(hh, m->gpus, gpu, tmp) {
		if (gpu->apply || (mode(m) == INHIBIT_SLEEP_ENABLED && gpu->n_vfs > 0))
			return true;
		for (size_t i = 0; i < gpu->n_vfs; i++)
			if (in_use(gpu->vfs[i]))
				return true;
	}
	return false;
}

void sleep_pump(struct manager *m)
{
	if (m->sleep)
		sleep_lock_want(m->sleep, must_stay_awake(m) ? reasons[mode(m)] : NULL);
}

static void on_sleep(void *userdata, bool about_to)
{
	struct manager *m = userdata;

	if (about_to) {
		if (must_stay_awake(m))
			log_warning(0, "The host goes to sleep while %s", reasons[mode(m)]);
		else
			log_notice("The host goes to sleep");
		m->sleeping = true;
		m->woken = false;
		return;
	}
	log_notice("The host is awake again: everything is read");
	m->woken = true; /* asleep for us until that has come */
	manager_scan(m);
}

void sleep_follow(struct manager *m)
{
	if (m->sleep)
		sleep_lock_follow(m->sleep, on_sleep, m);
}

json_t *sleep_view(struct manager *m)
{
	bool wanted = must_stay_awake(m);
	const char *trouble = m->sleep ? sleep_lock_trouble(m->sleep) : "nobody is asked";

	return json_pack("{s:b,s:b,s:s?}", "wanted", (int)wanted, "held",
			 m->sleep ? (int)sleep_lock_held(m->sleep) : 0, "reason",
			 trouble ? trouble : wanted ? reasons[mode(m)] : NULL);
}
