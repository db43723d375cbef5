/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run-doctor.h"

#include "configuration.h"
#include "doctor/doctor.h"

int run_doctor(const struct daemon_options *options, const char *default_socket)
{
	const char *data = secure_getenv("GPUVF_DATADIR"); /* to run from the build directory */
	_cleanup_free_ char *fallback =
		xasprintf("%s/policies/default.json", data ? data : PKGDATADIR);
	_cleanup_free_ char *message = NULL;
	_cleanup_json_ json_t *config = NULL;
	struct doctor_options o = {
		.gather =
			{
				.sysfs_root = options->sysfs_root,
				.libvirt_uri = options->libvirt_uri,
				.socket = options->socket ? options->socket : default_socket,
				.policy_dir = options->policy_dir,
				.policy_fallback = fallback,
				.bundle = options->bundle != NULL,
			},
		.data_dir = data ? data : PKGDATADIR,
		.spare = options->spare,
		.object = options->n_files > 0 ? options->files[0] : NULL,
		.json = options->json,
		.wide = options->wide,
		.bundle = options->bundle,
		.force = options->force,
	};

	/* A bad configuration is the daemon's trouble; --check-config tells. */
	if (config_load(options->config, &config, &message) == 0 && !o.gather.libvirt_uri)
		o.gather.libvirt_uri = json_get_string(config, "libvirt_uri");
	return doctor_main(&o);
}
