/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <syslog.h>

#include "log/log.h"

static const char help_text[] =
	"Usage: gpuvfd [OPTION…]\n"
	"       gpuvfd --check-policy FILE…\n"
	"       gpuvfd --doctor [--output FORMAT | --bundle FILE [--force]] [ADDRESS | VM]\n"
	"       gpuvfd --simulate FILE [OPTION…]\n"
	"       gpuvfd [--state-dir DIR] --restore-backup FILE\n"
	"\n"
	"The daemon that cuts SR-IOV GPUs, gives their VFs to VMs and runs jobs on them.\n"
	"\n"
	"  --config FILE        configuration (default " SYSCONFDIR "/gpuvf/gpuvfd.json)\n"
	"  --socket PATH        socket (default /run/gpuvf/gpuvf.sock, or systemd's)\n"
	"  --state-dir DIR      state (default " LOCALSTATEDIR "/lib/gpuvf)\n"
	"  --policy-dir DIR     policies (default " SYSCONFDIR "/gpuvf/policies.d)\n"
	"  --sysfs-root DIR     look at DIR instead of /sys\n"
	"  --libvirt-uri URI    hypervisor (default qemu:///system)\n"
	"  --simulate FILE      run over a made-up machine (gpuvf-machine(1))\n"
	"  --machine SOCKET     run over a made-up machine that listens there\n"
	"  --foreground         log to stderr\n"
	"  --log-level LEVEL    debug, info, notice, warning, err (default info)\n"
	"  --check-config       check the configuration, say what is wrong, and exit\n"
	"  --check-policy       check the named policy files as one set, and exit\n"
	"  --restore-backup FILE  put a copy of state.db in its place, and exit\n"
	"  --doctor             say what is wrong with this host, its GPUs and VMs, and exit\n"
	"    --output FORMAT    … as table, wide (with what is fine) or json\n"
	"    --bundle FILE      … and pack what a maintainer needs; --force: over a file\n"
	"  --version, --help\n";

enum { OPT_CONFIG = 256, OPT_SOCKET, OPT_STATE, OPT_POLICY, OPT_SYSFS, OPT_URI, OPT_SIMULATE, OPT_MACHINE,
       OPT_FOREGROUND, OPT_LEVEL, OPT_CHECK_CONFIG, OPT_CHECK_POLICY, OPT_RESTORE, OPT_HELPER, OPT_DOCTOR,
       OPT_OUTPUT, OPT_BUNDLE, OPT_FORCE, OPT_SPARE, OPT_ALLOW_DEBUGFS,
       OPT_VERSION, OPT_HELP };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "state-dir", required_argument, NULL, OPT_STATE },
	{ "policy-dir", required_argument, NULL, OPT_POLICY },
	{ "sysfs-root", required_argument, NULL, OPT_SYSFS },
	{ "libvirt-uri", required_argument, NULL, OPT_URI },
	{ "simulate", required_argument, NULL, OPT_SIMULATE },
	{ "machine", required_argument, NULL, OPT_MACHINE },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "log-level", required_argument, NULL, OPT_LEVEL },
	{ "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
	{ "check-policy", no_argument, NULL, OPT_CHECK_POLICY },
	{ "restore-backup", required_argument, NULL, OPT_RESTORE },
	{ "doctor", no_argument, NULL, OPT_DOCTOR },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "bundle", required_argument, NULL, OPT_BUNDLE },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "spare", required_argument, NULL, OPT_SPARE }, /* the daemon's, for its own child */
	{ "helper", no_argument, NULL, OPT_HELPER },
	{ "allow-debugfs", no_argument, NULL, OPT_ALLOW_DEBUGFS },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static int take(int option, struct daemon_options *o)
{
	const struct {
		int option;
		const char **target;
	} texts[] = {
		{ OPT_CONFIG, &o->config },	{ OPT_SOCKET, &o->socket },
		{ OPT_STATE, &o->state_dir },	{ OPT_POLICY, &o->policy_dir },
		{ OPT_SYSFS, &o->sysfs_root },	{ OPT_URI, &o->libvirt_uri },
		{ OPT_SIMULATE, &o->simulate }, { OPT_MACHINE, &o->machine },
		{ OPT_BUNDLE, &o->bundle },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].option == option) {
			*texts[i].target = optarg;
			return 0;
		}
	switch (option) {
	case OPT_FOREGROUND:
		o->foreground = true;
		return 0;
	case OPT_LEVEL:
		o->log_level = log_level_from_string(optarg);
		if (o->log_level >= 0)
			return 0;
		fprintf(stderr, "gpuvfd: --log-level: \"%s\" is no level (debug, info, notice, warning, err)\n",
			optarg);
		return -EINVAL;
	case OPT_CHECK_CONFIG:
		o->action = ACTION_CHECK_CONFIG;
		return 0;
	case OPT_CHECK_POLICY:
		o->action = ACTION_CHECK_POLICY;
		return 0;
	case OPT_RESTORE:
		o->action = ACTION_RESTORE;
		o->backup = optarg;
		return 0;
	case OPT_DOCTOR:
		o->action = ACTION_DOCTOR;
		return 0;
	case OPT_FORCE:
		o->force = true;
		return 0;
	case OPT_OUTPUT:
		o->json = streq(optarg, "json");
		o->wide = streq(optarg, "wide");
		if (o->json || o->wide || streq(optarg, "table"))
			return 0;
		fprintf(stderr, "gpuvfd: --output: \"%s\" is no format (table, wide, json)\n",
			optarg);
		return -EINVAL;
	case OPT_SPARE:
		if (o->n_spare < SPARE_MAX)
			o->spare[o->n_spare++] = optarg;
		return 0;
	case OPT_HELPER:
		o->action = ACTION_HELPER;
		return 0;
	case OPT_ALLOW_DEBUGFS:
		o->allow_debugfs = true;
		return 0;
	case OPT_VERSION:
		puts("gpuvfd " PACKAGE_VERSION);
		o->action = ACTION_EXIT;
		return 0;
	case OPT_HELP:
		fputs(help_text, stdout);
		o->action = ACTION_EXIT;
		return 0;
	default: /* getopt has said it */
		fputs("gpuvfd: see gpuvfd --help\n", stderr);
		return -EINVAL;
	}
}

int daemon_options_parse(int argc, char **argv, struct daemon_options *ret)
{
	struct daemon_options o = {
		.config = SYSCONFDIR "/gpuvf/gpuvfd.json",
		.state_dir = LOCALSTATEDIR "/lib/gpuvf",
		.policy_dir = SYSCONFDIR "/gpuvf/policies.d",
		.log_level = LOG_INFO,
	};
	int option, r;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		r = take(option, &o);
		if (r < 0)
			return r;
		if (o.action == ACTION_EXIT)
			break;
	}
	o.files = argv + optind;
	o.n_files = argc - optind;
	if ((o.action == ACTION_RUN || o.action == ACTION_RESTORE) && o.n_files > 0) {
		fprintf(stderr, "gpuvfd: \"%s\": no arguments are taken (gpuvfd --help)\n", o.files[0]);
		return -EINVAL;
	}
	if (o.action == ACTION_CHECK_POLICY && o.n_files == 0) {
		fputs("gpuvfd: --check-policy: name the files that make the set\n", stderr);
		return -EINVAL;
	}
	if (o.action == ACTION_DOCTOR && o.n_files > 1) {
		fprintf(stderr, "gpuvfd: --doctor: \"%s\" is too much: one GPU or VM\n", o.files[1]);
		return -EINVAL;
	}
	if (o.action == ACTION_DOCTOR && o.bundle && o.n_files > 0) {
		fputs("gpuvfd: --bundle: a bundle is of the whole host\n", stderr);
		return -EINVAL;
	}
	*ret = o;
	return 0;
}
