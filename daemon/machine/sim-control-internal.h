/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between sim-control.c (questions, faults, domains, dispatch) and sim-control-host.c (somebody else at the GPUs). */
#pragma once

#include "machine/sim-machine-internal.h"

struct sim_control_members {
	char *gpu, *vm, *alias, *address;
	uint64_t vf, value, tile;
	int attribute; /* enum vf_attribute */
	bool live, config, debugfs, silent;
	json_t *fault, *agent;
};

struct sim_control {
	struct sim_machine *m;
	struct sim_control_members c;
	struct sim_gpu *gpu;
	struct sim_vm *vm;
};

json_t *sim_control_done(void); /* {"ok": true} */
json_t *sim_control_refuse(char *message); /* takes message */
/* The VF that "vf" names, or NULL with a refusal. */
struct sim_vf *sim_control_vf(struct sim_control *x, json_t **ret_refusal);

/* Operations; each has what the table in sim-control.c says that it needs. */
json_t *sim_control_set_numvfs(struct sim_control *x);
json_t *sim_control_unplug_gpu(struct sim_control *x);
json_t *sim_control_plug_gpu(struct sim_control *x);
json_t *sim_control_move_gpu(struct sim_control *x);
json_t *sim_control_unbind_driver(struct sim_control *x);
json_t *sim_control_bind_driver(struct sim_control *x);
json_t *sim_control_set_attribute(struct sim_control *x);
json_t *sim_control_wedge(struct sim_control *x);
json_t *sim_control_guard(struct sim_control *x);
json_t *sim_control_overflow(struct sim_control *x);
json_t *sim_control_reboot(struct sim_control *x);
json_t *sim_control_hold(struct sim_control *x);
json_t *sim_control_unhold(struct sim_control *x);
json_t *sim_control_close(struct sim_control *x);
