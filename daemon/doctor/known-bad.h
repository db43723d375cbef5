/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Combinations of kernel, driver and device that users have trouble with: data/known-bad.json, each
 * with its public source.  The file is read strictly, whether shipped or replaced by an
 * administrator. */
#pragma once

#include "doctor/finding.h"
#include "lib/json-field.h"

#define KNOWN_BAD_MAX ((size_t)1 << 20)

struct id_range {
	unsigned first, last;
};

/* Whose module the driver is. */
enum known_bad_module { MODULE_ANY, MODULE_IN_TREE, MODULE_OUT_OF_TREE, MODULE_MAX };

/* All members that are set must hold. */
struct known_bad_when {
	char *driver;            /* bound to the GPU */
	json_t *devices;         /* strings "7d67", "4680-4693" */
	struct id_range *ranges; /* the same, read */
	size_t n_ranges;
	int module;        /* enum known_bad_module */
	bool vfs;          /* there are VFs */
	char *kernel_from; /* releases, compared number by number; from is included */
	char *kernel_below;
	char *kernel_contains; /* "-pve" */
	json_t *log;           /* one line of the kernel log holds all these */
};

struct known_bad_entry {
	char *id;
	int severity; /* enum severity */
	char *what, *cure, *source;
	json_t *when_json;
	struct known_bad_when when;
};

struct known_bad {
	struct known_bad_entry *entries;
	size_t n;
};

/* Returns 0, -EINVAL with ret_fault filled, or -ENOMEM. */
int known_bad_parse(const char *text, size_t size, struct known_bad **ret,
		    struct json_fault *ret_fault);
struct known_bad *known_bad_free(struct known_bad *k);
DEFINE_CLEANUP(struct known_bad *, known_bad_free);

/* "6.8.12-20-pve" against "6.8.12-12": negative, 0 or positive, by the numbers of the shorter one.
 */
int release_compare(const char *release, const char *wanted);
