/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trees of quota files with a folder per VF, tile and GT: i915's sysfs and both layouts of xe's
 * debugfs differ in the order of folders and in some names only.  Knows nothing of which way is
 * chosen. */
#pragma once

#include "core/facts.h"
#include "host/sysfs.h"

#define VF_TREE_GTS_MAX 8 /* two tiles with a media GT each make four */
#define VF_TREE_BASE_MAX 96
#define VF_TREE_PATH_MAX 192
#define VF_TREE_WHO_MAX 16

struct vf_tree_gt {
	char name[8]; /* "gt", "gt0" */
	unsigned tile;
	bool main; /* has the tile's GGTT and VRAM; a media GT has not */
};

struct vf_tree {
	const struct vf_tree_layout *layout; /* NULL = no tree */
	char base[VF_TREE_BASE_MAX];
	struct vf_tree_gt gts[VF_TREE_GTS_MAX];
	size_t n_gts;
	unsigned n_tiles;
};

struct vf_tree_layout {
	const char *files[VF_ATTRIBUTE_MAX]; /* NULL = it has none */
	const char *spares[VF_RESOURCE_MAX]; /* in the PF's folder */
	const char *if_idle;                 /* the PF's sched_if_idle policy, below a GT */
	/* The path of the file `name` of `who` on one GT, or, when of_tile, on its tile. */
	int (*path)(const struct vf_tree *t, const char *who, const struct vf_tree_gt *gt,
		    bool of_tile, const char *name, char buf[static VF_TREE_PATH_MAX]);
};

/* "vf3" */
const char *vf_tree_who(unsigned vf, char buf[static VF_TREE_WHO_MAX]);

/* Adds a GT; a main one begins a new tile. */
void vf_tree_add_gt(struct vf_tree *t, const char *name, bool is_main);

/* By existence and mode of vf1's file on the first GT. */
enum vf_access vf_tree_access(struct sysfs *s, const struct vf_tree *t,
			      enum vf_attribute attribute);

/* VRAM and GGTT are summed over the tiles.  Contexts and doorbells must be the same on all GTs, but
 * for tiles where the VF has none; all else must be the same everywhere.  Unknown where a file
 * cannot be read, and on disagreement.  who is "pf" or a VF. */
struct known vf_tree_read(struct sysfs *s, const struct vf_tree *t, const char *who,
			  enum vf_attribute attribute);

/* Writes and reads back: VRAM and GGTT in equal parts to the tiles, or all to tile k-1 and 0 to the
 * others; contexts and doorbells to each GT (of that tile); all else to each GT.  -EUCLEAN when
 * what is read back disagrees. */
int vf_tree_write(struct sysfs *s, const struct vf_tree *t, const char *who,
		  enum vf_attribute attribute, uint64_t value, unsigned tile, uint64_t *ret);

/* What a VF takes away from the stock: the sum over its tiles, of contexts and doorbells too. */
struct known vf_tree_read_taken(struct sysfs *s, const struct vf_tree *t, unsigned vf,
				enum vf_attribute resource);

/* Adds up what VFs have that are not enabled (f's n_vfs and can[] are filled in). */
void vf_tree_read_standing(struct sysfs *s, const struct vf_tree *t, struct gpu_facts *f);

/* A number in the PF's folders, by name, summed over the tiles; of a tile's GTs the least counts.
 * NULL name = unknown. */
struct known vf_tree_read_stock(struct sysfs *s, const struct vf_tree *t,
				enum vf_attribute resource, const char *name);
struct known vf_tree_read_spare(struct sysfs *s, const struct vf_tree *t,
				enum vf_attribute resource);

/* The largest quota that one VF can get, where the file says it of one tile: the same from each
 * tile, or all from the best one. */
struct known vf_tree_read_largest(struct sysfs *s, const struct vf_tree *t,
				  enum vf_attribute resource, const char *name);

/* The priority of all VFs together, as the kernel's own sriov_admin maps it: normal is "schedule
 * even an idle VF", low is not.  -EINVAL for another priority. */
bool vf_tree_has_policy(struct sysfs *s, const struct vf_tree *t);
struct known vf_tree_read_policy(struct sysfs *s, const struct vf_tree *t);
int vf_tree_write_policy(struct sysfs *s, const struct vf_tree *t, uint64_t priority,
			 uint64_t *ret);

/* Sets each quota that is not 0 to 0. */
int vf_tree_clear_quotas(struct sysfs *s, const struct vf_tree *t, unsigned total);
