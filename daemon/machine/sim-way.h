/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways in which a made-up GPU lets itself be cut, as the real helper finds them (host/vf-control*.c), and what a
 * write does in each.  Called by sim-host.c for the daemon and by sim-control.c for somebody else. */
#pragma once

#include "machine/sim-kernel.h"

/* One write of an attribute. */
struct sim_write {
	bool debugfs; /* whoever writes may use debugfs */
	unsigned vf;  /* 0 = the PF's own scheduling values, or what it keeps of a hard resource */
	enum vf_attribute attribute;
	uint64_t value;
	unsigned tile; /* 0 = as the way spreads it, k = all from tile k-1 */
};

/* The way that is taken.  ret_note (may be NULL): why no richer one, constant text, NULL = this is the richest. */
enum vf_control sim_way_find(const struct sim_gpu *g, bool debugfs, const char **ret_note);
/* Why it cannot be cut, constant text; NULL = it can, as far as one sees: a driver without SR-IOV says so only when it
 * is asked for VFs. */
const char *sim_way_obstacle(const struct sim_gpu *g);

/* What can be done with it; ret_why is constant text, NULL where nothing is missing. */
enum vf_access sim_way_access(const struct sim_gpu *g, bool debugfs, enum vf_attribute attribute,
			      const char **ret_why);
/* As it reads there; unknown where the way does not show it, or tiles disagree. */
struct known sim_way_read(const struct sim_gpu *g, bool debugfs, unsigned vf, enum vf_attribute attribute);

/* Each returns 0 and what reads back, or the negative errno of helper or driver. */
int sim_way_write(struct sim_gpu *g, const struct sim_write *w, uint64_t *ret);
int sim_way_write_all(struct sim_gpu *g, bool debugfs, enum vf_attribute attribute, uint64_t value, uint64_t *ret);
int sim_way_restore_auto(struct sim_gpu *g, bool debugfs);
