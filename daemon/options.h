/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's command line. */
#pragma once

#include "lib/macros.h"

/* More GPUs that hang at once than any host has. */
#define SPARE_MAX 64

enum daemon_action {
	ACTION_RUN,
	ACTION_HELPER,	     /* --helper: the child that touches sysfs */
	ACTION_CHECK_CONFIG,
	ACTION_CHECK_POLICY, /* files are the rest of the arguments */
	ACTION_RESTORE,	     /* backup takes the place of the state */
	ACTION_DOCTOR,	     /* the word behind it, if any, is a GPU's address or a VM */
	ACTION_EXIT,	     /* --help, --version: printed already */
};

struct daemon_options {
	enum daemon_action action;
	const char *config;
	const char *socket; /* NULL: the default path */
	const char *state_dir;
	const char *backup; /* of ACTION_RESTORE */
	const char *policy_dir;
	const char *sysfs_root; /* NULL: /sys */
	bool allow_debugfs;	/* of a helper; the daemon's own is in its configuration */
	const char *libvirt_uri;
	const char *simulate; /* the simulation document */
	const char *machine;  /* the socket of a made-up machine that runs already */
	bool foreground;
	int log_level;
	bool json, wide;    /* of --doctor, as the next four */
	const char *bundle;
	bool force;
	const char *spare[SPARE_MAX + 1]; /* GPUs that are not touched: ADDRESS[=ATTRIBUTE], NULL-ended */
	size_t n_spare;
	char **files;
	int n_files;
};

/* Returns 0, or -EINVAL after saying on stderr what is wrong. */
int daemon_options_parse(int argc, char **argv, struct daemon_options *ret);
