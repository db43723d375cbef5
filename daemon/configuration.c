/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "configuration.h"

#include <fcntl.h>

#include "host/host-ops.h"
#include "hypervisor/hypervisor-ops.h"
#include "lib/io.h"
#include "lib/json-position.h"
#include "manager.h"

#define CONFIG_SIZE_MAX (1 * MIB)

/* Deadlines of the kernel's attributes, by what they are set for. */
#define CONFIG_HOST_DEADLINES 6
static const struct {
	const char *name;
	enum host_op ops[3];
	size_t n_ops;
} host_deadlines[CONFIG_HOST_DEADLINES] = {
	{ "read", { HOST_READ, HOST_HOLDERS, HOST_PROBE_VF }, 3 },
	{ "sriov_numvfs", { HOST_SET_NUMVFS }, 1 },
	{ "attribute", { HOST_SET_VF_ATTR, HOST_SET_BULK_ATTR, HOST_SET_PF_ATTR }, 3 },
	{ "bind", { HOST_BIND_VFIO, HOST_UNBIND }, 2 },
	{ "closed", { HOST_WAIT_CLOSED }, 1 },
	{ "reset", { HOST_RESET_VF }, 1 },
};

/* Likewise libvirt's. */
#define CONFIG_LIBVIRT_DEADLINES 4
static const struct {
	const char *name;
	enum hv_op op;
} libvirt_deadlines[CONFIG_LIBVIRT_DEADLINES] = {
	{ "list", HV_LIST },
	{ "attach", HV_ATTACH },
	{ "detach", HV_DETACH },
	{ "start", HV_START },
};

struct config {
	json_t *deadlines, *limits, *retention;
	char *libvirt_uri;
	bool allow_debugfs;
	bool heal_drift;
	int inhibit_sleep;
	uint64_t guest_ready, agent_silence, boot_layouts;
	uint64_t host[CONFIG_HOST_DEADLINES]; /* 0 = as built in */
	uint64_t libvirt[CONFIG_LIBVIRT_DEADLINES]; /* the same */
	uint64_t output_per_attempt, audit;
	uint64_t connections, connections_per_uid;
	uint64_t bytes, bytes_per_uid;
	uint64_t requests_per_connection;
	uint64_t output_per_connection;
};

#define AT(member) offsetof(struct config, member)

static const struct json_field top_fields[] = {
	{ "$schema", JSON_FIELD_IGNORED },
	{ "description", JSON_FIELD_IGNORED },
	{ "deadlines", JSON_FIELD_OBJECT, AT(deadlines), .summary = "how long things may take" },
	{ "limits", JSON_FIELD_OBJECT, AT(limits), .summary = "what callers may make the daemon hold" },
	{ "retention", JSON_FIELD_OBJECT, AT(retention), .summary = "what is kept, and how much of it" },
	{ "allow_debugfs", JSON_FIELD_BOOL, AT(allow_debugfs),
	  .summary = "whether xe may be steered through debugfs where sysfs sets no quotas; default "
		     "false" },
	{ "heal_drift", JSON_FIELD_BOOL, AT(heal_drift),
	  .summary = "a layout that somebody else changed is put right without being asked; default false" },
	{ "inhibit_sleep", JSON_FIELD_ENUM, AT(inhibit_sleep), .names = inhibit_sleep_names,
	  .names_max = INHIBIT_SLEEP_MAX, .summary = "when the host may not suspend; default held" },
	{ "libvirt_uri", JSON_FIELD_STRING, AT(libvirt_uri), .nonempty = true,
	  .summary = "the hypervisor; default qemu:///system" },
	{ NULL },
};

/* Less than a tenth of a second would call a healthy kernel stuck. */
#define HOST_DEADLINE(i, name, text)                                                               \
	{ name, JSON_FIELD_DURATION, AT(host[i]), .min = 100000, .summary = text }
#define LIBVIRT_DEADLINE(i, name, text)                                                            \
	{ name, JSON_FIELD_DURATION, AT(libvirt[i]), .min = 100000, .summary = text }
static const struct json_field deadline_fields[] = {
	{ "description", JSON_FIELD_IGNORED },
	{ "guest_ready", JSON_FIELD_DURATION, AT(guest_ready), .min = 1000000,
	  .summary = "until a guest shows its VF and is ready; default 5m" },
	{ "agent_silence", JSON_FIELD_DURATION, AT(agent_silence), .min = 1000000,
	  .summary = "until a job whose guest agent is silent is unreachable; default 60s" },
	HOST_DEADLINE(0, "read", "looking at a GPU; default 5s"),
	HOST_DEADLINE(1, "sriov_numvfs", "making and removing VFs; default 60s"),
	HOST_DEADLINE(2, "attribute", "a quota or scheduling value; default 10s"),
	HOST_DEADLINE(3, "bind", "a VF to vfio-pci and back; default 15s"),
	HOST_DEADLINE(4, "closed", "until nobody has a VF open after its detach; default 30s"),
	HOST_DEADLINE(5, "reset", "a function-level reset; default 15s"),
	LIBVIRT_DEADLINE(0, "list", "describing all VMs; default 30s"),
	LIBVIRT_DEADLINE(1, "attach", "a VF into a VM, and 1s for each GiB that the VM has; default 2m"),
	LIBVIRT_DEADLINE(2, "detach", "until a guest lets go of a VF; default 60s"),
	LIBVIRT_DEADLINE(3, "start", "of a VM, and 1s for each GiB that it has; default 3m"),
	{ "boot_layouts", JSON_FIELD_DURATION, AT(boot_layouts),
	  .summary = "how long the start of libvirt may wait for layouts at boot; default 30s" },
	{ NULL },
};

static const struct json_field limit_fields[] = {
	{ "description", JSON_FIELD_IGNORED },
	{ "connections", JSON_FIELD_UINT, AT(connections), .min = 1, .max = 65536 },
	{ "connections_per_uid", JSON_FIELD_UINT, AT(connections_per_uid), .min = 1, .max = 65536 },
	{ "bytes", JSON_FIELD_SIZE, AT(bytes), .min = 1 << 20,
	  .summary = "received and not answered, of everybody; default 128MiB" },
	{ "bytes_per_uid", JSON_FIELD_SIZE, AT(bytes_per_uid), .min = 1 << 20,
	  .summary = "the same of one user; default 32MiB" },
	{ "requests_per_connection", JSON_FIELD_UINT, AT(requests_per_connection), .min = 1,
	  .max = 4096, .summary = "taken before some are answered; default 64" },
	{ "output_per_connection", JSON_FIELD_SIZE, AT(output_per_connection), .min = 1 << 20,
	  .summary = "answers that a client may leave unread; default 16MiB" },
	{ NULL },
};

static const struct json_field retention_fields[] = {
	{ "description", JSON_FIELD_IGNORED },
	{ "output_per_attempt", JSON_FIELD_SIZE, AT(output_per_attempt), .min = 4096,
	  .summary = "kept of stdout and of stderr; default 64MiB" },
	{ "audit", JSON_FIELD_DURATION, AT(audit), .min = 1000000,
	  .summary = "how long the audit trail goes back; default 1y" },
	{ NULL },
};

static char *complaint(const char *path, const char *text, size_t size, const struct json_fault *fault)
{
	unsigned line = 1, column = 1;

	(void)json_position_find(text, size, strempty(fault->pointer), &line, &column);
	return xasprintf("%s:%u:%u: %s: %s%s%s%s", path, line, column,
			 fault->pointer && *fault->pointer ? fault->pointer : "/", strempty(fault->what),
			 fault->hint ? " (" : "", strempty(fault->hint), fault->hint ? ")" : "");
}

static int decode(const json_t *document, struct config *c, struct json_fault *fault)
{
	const struct {
		const char *base;
		json_t **section;
		const struct json_field *fields;
	} sections[] = {
		{ "/deadlines", &c->deadlines, deadline_fields },
		{ "/limits", &c->limits, limit_fields },
		{ "/retention", &c->retention, retention_fields },
	};
	int r = json_fields_decode(document, "", top_fields, c, fault);

	for (size_t i = 0; i < ARRAY_SIZE(sections) && r == 0; i++)
		if (*sections[i].section)
			r = json_fields_decode(*sections[i].section, sections[i].base, sections[i].fields, c,
					       fault);
	return r;
}

static json_t *normalised(const struct config *c)
{
	json_t *limits = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "connections", (json_int_t)c->connections,
				   "connections_per_uid", (json_int_t)c->connections_per_uid, "bytes",
				   (json_int_t)c->bytes, "bytes_per_uid", (json_int_t)c->bytes_per_uid,
				   "requests_per_connection", (json_int_t)c->requests_per_connection,
				   "output_per_connection", (json_int_t)c->output_per_connection);

	json_t *host = json_object(), *libvirt = json_object();

	for (size_t i = 0; i < CONFIG_HOST_DEADLINES; i++)
		if (c->host[i])
			json_put_uint(host, host_deadlines[i].name, c->host[i]);
	for (size_t i = 0; i < CONFIG_LIBVIRT_DEADLINES; i++)
		if (c->libvirt[i])
			json_put_uint(libvirt, libvirt_deadlines[i].name, c->libvirt[i]);
	return json_pack("{s:{s:I,s:I,s:I,s:o,s:o},s:{s:I,s:I},s:o,s:b,s:s?,s:b,s:s}", "deadlines",
			 "guest_ready_usec", (json_int_t)c->guest_ready, "agent_silence_usec",
			 (json_int_t)c->agent_silence, "boot_layouts_usec", (json_int_t)c->boot_layouts,
			 "host", host, "libvirt", libvirt, "retention", "output_per_attempt", (json_int_t)c->output_per_attempt,
			 "audit_usec", (json_int_t)c->audit, "limits", limits, "allow_debugfs",
			 (int)c->allow_debugfs, "libvirt_uri", c->libvirt_uri, "heal_drift",
			 (int)c->heal_drift, "inhibit_sleep",
			 inhibit_sleep_to_string((enum inhibit_sleep)c->inhibit_sleep));
}

int config_load(const char *path, json_t **ret, char **ret_message)
{
	struct config c = { .guest_ready = 300 * USEC_PER_SEC, .agent_silence = 60 * USEC_PER_SEC,
			    .boot_layouts = 30 * USEC_PER_SEC, .inhibit_sleep = INHIBIT_SLEEP_HELD,
			    .output_per_attempt = 64 * MIB, .audit = 365 * 86400 * USEC_PER_SEC, .connections = 1024,
			    .connections_per_uid = 256, .bytes = 128 * MIB, .bytes_per_uid = 32 * MIB,
			    .requests_per_connection = 64, .output_per_connection = 16 * MIB };
	_cleanup_json_ json_t *document = NULL;
	_cleanup_free_ char *text = NULL;
	struct json_fault fault = { 0 };
	json_error_t error;
	size_t size = 0;
	int r;

	r = read_file_at(AT_FDCWD, path, CONFIG_SIZE_MAX, &text, &size);
	if (r < 0 && r != -ENOENT) {
		*ret_message = xasprintf("%s: %s", path, strerror(-r));
		return r;
	}
	if (r == 0 && json_parse(text, size, &document, &error) < 0) {
		*ret_message = xasprintf("%s:%d:%d: %s", path, error.line, error.column, error.text);
		return -EINVAL;
	}
	if (document && !json_is_object(document))
		r = json_fault_set(&fault, "", NULL, NULL, "must be an object");
	else if (document)
		r = decode(document, &c, &fault);
	else
		r = 0;
	if (r < 0)
		*ret_message = complaint(path, text, size, &fault);
	else
		*ret = normalised(&c);
	json_fault_done(&fault);
	json_fields_done(top_fields, &c);
	return r < 0 ? r : *ret ? 0 : -ENOMEM;
}

static void set_libvirt_deadlines(const json_t *config)
{
	const json_t *libvirt = json_object_get(json_object_get(config, "deadlines"), "libvirt");

	for (size_t i = 0; i < CONFIG_LIBVIRT_DEADLINES; i++) {
		uint64_t usec = json_get_uint(libvirt, libvirt_deadlines[i].name, 0);

		if (usec > 0)
			hv_op_set_deadline(libvirt_deadlines[i].op, usec);
	}
}

void config_set_deadlines(const json_t *config)
{
	const json_t *host = json_object_get(json_object_get(config, "deadlines"), "host");

	for (size_t i = 0; i < CONFIG_HOST_DEADLINES; i++) {
		uint64_t usec = json_get_uint(host, host_deadlines[i].name, 0);

		for (size_t k = 0; usec > 0 && k < host_deadlines[i].n_ops; k++)
			host_op_set_deadline(host_deadlines[i].ops[k], usec);
	}
	set_libvirt_deadlines(config);
}
