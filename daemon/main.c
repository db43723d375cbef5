/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvfd: options, set-up, loop, tear-down. */
#include <grp.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "check-policy.h"
#include "configuration.h"
#include "host/host-ops.h"
#include "host/sleep-lock.h"
#include "hypervisor/hypervisor-ops.h"
#include "log/log.h"
#include "machine/machine-ops.h"
#include "manager.h"
#include "options.h"
#include "rpc/methods.h"
#include "rpc/rpc-server.h"
#include "rpc/rpc-socket.h"
#include "run-doctor.h"
#include "store/store.h"

#define SOCKET_DEFAULT "/run/gpuvf/gpuvf.sock"
#define SOCKET_GROUP "gpuvf"
#define HELPER_FD 3
#define START_MARGIN_USEC (10 * USEC_PER_SEC) /* what systemd allows beyond our own deadline */

/* In the order of making; taken down in reverse. */
struct daemon {
	const struct daemon_options *options;
	json_t *config;
	sd_event *event;
	struct store *store;
	struct machine *machine; /* of a simulation: owns host and hypervisor then */
	struct host *host;
	struct hypervisor *hypervisor;
	struct sleep_lock *sleep; /* NULL in a simulation: this host may sleep */
	struct manager *manager;
	struct rpc_server *server;
	char *own_socket; /* made by us, not by systemd */
};

static void daemon_done(struct daemon *d)
{
	rpc_server_free(d->server);
	manager_free(d->manager);
	sleep_lock_free(d->sleep);
	if (d->machine) {
		machine_free(d->machine);
	} else {
		hypervisor_free(d->hypervisor);
		host_free(d->host);
	}
	store_free(d->store);
	if (d->own_socket)
		rpc_socket_remove(d->own_socket);
	sd_event_unref(d->event);
	json_decref(d->config);
	free(d->own_socket);
}

static int complain(int r, char *message)
{
	log_error(message ? 0 : r, "%s", message ? message : "cannot start");
	free(message);
	return r;
}

/* A program that is installed with us, or lies beside us in the build directory.  Returns new. */
static char *sibling(const char *name, const char *installed_dir)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *path;

	self[MAX_OF(n, (ssize_t)0)] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		path = xasprintf("%s/%s", self, name);
		if (path && access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return xasprintf("%s/%s", installed_dir, name);
}

static const char *libvirt_uri(const struct daemon_options *options, const json_t *config)
{
	return options->libvirt_uri ? options->libvirt_uri : json_get_string(config, "libvirt_uri");
}

/* A session's libvirt runs as its user: root's has nobody's VMs, and none of them could have a VF by itself. */
static int check_uri(const struct daemon_options *options, const json_t *config, char **ret_message)
{
	const char *uri = libvirt_uri(options, config), *session = uri ? strstr(uri, "/session") : NULL;

	if (getuid() != 0 || !session || (session[8] != '\0' && session[8] != '?'))
		return 0;
	*ret_message = xasprintf("libvirt_uri: \"%s\" is for a daemon of a plain user; as root use \"qemu:///system\"", uri);
	return -EINVAL;
}

static int make_actors(struct daemon *d)
{
	const struct daemon_options *o = d->options;
	const char *uri = libvirt_uri(o, d->config);
	_cleanup_free_ char *program = NULL, *path = NULL;
	char *message = NULL;
	int r;

	if (!o->simulate && !o->machine) {
		r = host_helper_new(d->event, NULL, o->sysfs_root,
				    json_get_bool(d->config, "allow_debugfs", false), &d->host);
		if (r == 0)
			r = hypervisor_libvirt_new(d->event, uri, &d->hypervisor, &message);
		if (r == 0 && !o->sysfs_root)
			r = sleep_lock_new(d->event, NULL, &d->sleep);
		return r < 0 ? complain(r, message) : 0;
	}
	program = sibling("gpuvf-machine", BINDIR);
	path = o->machine ? strdup(o->machine) : xasprintf("%s/machine.sock", o->state_dir);
	r = machine_connect(d->event, program, path, o->simulate,
			    json_get_bool(d->config, "allow_debugfs", false), &d->machine, &message);
	if (r < 0)
		return complain(r, message);
	d->host = machine_host(d->machine);
	d->hypervisor = machine_hypervisor(d->machine);
	return 0;
}

static gid_t socket_group(void)
{
	struct group *group = getgrnam(SOCKET_GROUP); /* before the loop: may ask a name service */

	return group ? group->gr_gid : (gid_t)-1;
}

static int make_manager(struct daemon *d)
{
	const char *data = secure_getenv("GPUVF_DATADIR"); /* to run from the build directory */
	_cleanup_free_ char *fallback =
		xasprintf("%s/policies/default.json", data ? data : PKGDATADIR);
	struct manager_options options = {
		.event = d->event,
		.host = d->host,
		.hypervisor = d->hypervisor,
		.store = d->store,
		.sleep = d->sleep,
		.state_dir = d->options->state_dir,
		.policy_dir = d->options->policy_dir,
		.policy_fallback = fallback,
		.config = d->config,
		.simulated = d->machine != NULL,
		.own_uid = getuid(),
		.socket_gid = socket_group(),
		.sysfs_root = d->options->sysfs_root,
		.libvirt_uri = libvirt_uri(d->options, d->config),
		.socket = d->options->socket ? d->options->socket : SOCKET_DEFAULT,
		.data_dir = data,
	};
	int r = manager_new(&options, &d->manager);

	return r < 0 ? complain(r, NULL) : 0;
}

static int listen_socket(struct daemon *d, int *ret)
{
	const char *path = d->options->socket ? d->options->socket : SOCKET_DEFAULT;
	char *message = NULL;
	int r = sd_listen_fds(1);

	if (r > 1)
		return complain(-EINVAL, strdup("systemd passed more than one socket"));
	if (r == 1) {
		*ret = SD_LISTEN_FDS_START;
		return 0;
	}
	r = rpc_socket_open(path, getuid() == 0 ? socket_group() : (gid_t)-1, ret, &message);
	if (r < 0)
		return complain(r, message);
	d->own_socket = strdup(path);
	return 0;
}

static int make_server(struct daemon *d)
{
	json_t *limits = json_object_get(d->config, "limits");
	struct rpc_server_options options = {
		.event = d->event,
		.manager = d->manager,
		.methods = rpc_methods,
		.limits = RPC_LIMITS_DEFAULT,
	};
	const struct {
		const char *name;
		size_t *target;
	} members[] = {
		{ "connections", &options.limits.connections },
		{ "connections_per_uid", &options.limits.connections_per_uid },
		{ "bytes", &options.limits.bytes },
		{ "bytes_per_uid", &options.limits.bytes_per_uid },
		{ "requests_per_connection", &options.limits.requests_per_connection },
		{ "output_per_connection", &options.limits.output_max },
	};
	int r = listen_socket(d, &options.listen_fd);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		*members[i].target = json_get_uint(limits, members[i].name, *members[i].target);
	r = rpc_server_new(&options, &d->server);
	return r < 0 ? complain(r, NULL) : 0;
}

static void on_serving(void *userdata)
{
	struct daemon *d = userdata;
	uint64_t wait = json_get_uint(json_object_get(d->config, "deadlines"), "boot_layouts_usec", 0);
	int r = make_server(d);

	if (r < 0)
		(void)sd_event_exit(d->event, r);
	(void)sd_notifyf(0, "STATUS=Making the wanted layouts\nEXTEND_TIMEOUT_USEC=%llu",
			 (unsigned long long)(wait + START_MARGIN_USEC));
}

/* The VFs that can be there are there: tell systemd, which lets libvirt start, and only then ask for
 * libvirt, whose socket activation may wait for us. */
static void on_ready(void *userdata)
{
	struct daemon *d = userdata;
	int r;

	log_notice("gpuvfd " PACKAGE_VERSION " is ready%s", d->machine ? " (simulation)" : "");
	(void)sd_notify(0, "READY=1\nSTATUS=");
	r = d->hypervisor->ops->start(d->hypervisor);
	if (r < 0)
		log_error(r, "The connection to the hypervisor cannot be started");
}

/* As gpuvf policy reload, by whoever sent it.  To one that runs in a terminal it says that the terminal is gone. */
static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	const struct daemon *d = userdata;
	const struct caller who = { .uid = info->ssi_uid, .pid = (pid_t)info->ssi_pid };

	if (isatty(STDIN_FILENO))
		return sd_event_exit(d->event, 0);
	manager_policy_signal(d->manager, &who);
	return 0;
}

static int make_loop(struct daemon *d)
{
	sigset_t signals;
	int r = sd_event_default(&d->event);

	if (r < 0)
		return complain(r, NULL);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	r = sd_event_add_signal(d->event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGHUP, on_reload, d);
	if (r >= 0)
		r = sd_event_set_watchdog(d->event, true);
	return r < 0 ? complain(r, NULL) : 0;
}

static int run(const struct daemon_options *options)
{
	_cleanup_(daemon_done) struct daemon d = { .options = options };
	const struct manager_start start = { on_serving, on_ready, &d };
	char *message = NULL;
	int r;

	umask(0077);
	r = config_load(options->config, &d.config, &message);
	if (r < 0)
		return complain(r, message);
	config_set_deadlines(d.config);
	r = make_loop(&d);
	if (r < 0)
		return r;
	r = store_open(options->state_dir, &d.store, &message);
	if (r < 0)
		return complain(r, message);
	r = check_uri(options, d.config, &message);
	if (r < 0)
		return complain(r, message);
	r = make_actors(&d);
	if (r == 0)
		r = make_manager(&d);
	if (r == 0)
		r = manager_start(d.manager, &start);
	if (r < 0)
		return complain(r, NULL);
	r = sd_event_loop(d.event);
	(void)sd_notify(0, "STOPPING=1");
	return r;
}

static int check_config(const struct daemon_options *options)
{
	_cleanup_json_ json_t *config = NULL;
	_cleanup_free_ char *message = NULL;
	int r = config_load(options->config, &config, &message);

	if (r == 0)
		r = check_uri(options, config, &message);
	if (r < 0)
		fprintf(stderr, "gpuvfd: %s\n", strempty(message));
	return r;
}

static int restore_backup(const struct daemon_options *options)
{
	_cleanup_free_ char *kept = NULL, *message = NULL;
	int r;

	umask(0077);
	r = store_restore(options->state_dir, options->backup, &kept, &message);
	if (r < 0) {
		fprintf(stderr, "gpuvfd: %s\n", message ? message : strerror(-r));
		return r;
	}
	printf("%s/state.db is now what %s holds.\n", options->state_dir, options->backup);
	if (kept)
		printf("What was there before is kept as %s.\n", kept);
	puts("The next start holds the jobs that had not ended then: they may have run since.\n"
	     "See gpuvf jobs --all-users; let them run with gpuvf unhold, or cancel them.");
	return 0;
}

int main(int argc, char **argv)
{
	struct daemon_options options;
	bool to_journal;
	int r;

	setlocale(LC_CTYPE, "");
	if (daemon_options_parse(argc, argv, &options) < 0)
		return 2;
	switch (options.action) {
	case ACTION_EXIT:
		return 0;
	case ACTION_HELPER:
		return host_helper_main(HELPER_FD, options.sysfs_root, options.allow_debugfs) < 0 ? 1 : 0;
	case ACTION_CHECK_CONFIG:
		return check_config(&options) < 0 ? 8 : 0;
	case ACTION_CHECK_POLICY:
		return policy_check_files(options.files, options.n_files);
	case ACTION_RESTORE:
		return restore_backup(&options) < 0 ? 1 : 0;
	case ACTION_DOCTOR:
		return run_doctor(&options, SOCKET_DEFAULT);
	case ACTION_RUN:
		break;
	}
	to_journal = !options.foreground && getenv("JOURNAL_STREAM") != NULL;
	log_setup(options.log_level, to_journal);
	r = run(&options);
	return r < 0 ? 1 : 0;
}
