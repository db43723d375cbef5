/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of faults: reading one from JSON, and finding the one that an access meets. */
#include "machine/sim-fault.h"

#include <string.h>

#include "hypervisor/hypervisor-ops.h"

const char *const sim_point_names[SIM_POINT_MAX] = {
	[SIM_SCAN] = "scan",
	[SIM_READ] = "read",
	[SIM_HOLDERS] = "holders",
	[SIM_NUMVFS] = "sriov_numvfs",
	[SIM_AUTOPROBE] = "sriov_drivers_autoprobe",
	[SIM_VRAM_QUOTA] = "vram_quota",
	[SIM_EXEC_QUANTUM] = "exec_quantum_ms",
	[SIM_PREEMPT_TIMEOUT] = "preempt_timeout_us",
	[SIM_GGTT_QUOTA] = "ggtt_quota",
	[SIM_CONTEXTS_QUOTA] = "contexts_quota",
	[SIM_DOORBELLS_QUOTA] = "doorbells_quota",
	[SIM_SCHED_PRIORITY] = "sched_priority",
	[SIM_RESTORE_AUTO] = "restore_auto_provisioning",
	[SIM_BIND] = "bind",
	[SIM_UNBIND] = "unbind",
	[SIM_WAIT_CLOSED] = "wait-closed",
	[SIM_RESET] = "reset",
	[SIM_PROBE] = "probe",
	[SIM_WRITE] = "write",
	[SIM_LIST] = "list",
	[SIM_GET] = "get",
	[SIM_ATTACH] = "attach",
	[SIM_DETACH] = "detach",
	[SIM_START] = "start",
	[SIM_SHUTDOWN] = "shutdown",
	[SIM_DESTROY] = "destroy",
	[SIM_GUEST_DEVICE] = "guest-device",
	[SIM_GUEST_BARS] = "guest-bars",
	[SIM_GUEST_DRIVER] = "guest-driver",
	[SIM_AGENT] = "agent",
	[SIM_GUEST_PING] = "guest-ping",
	[SIM_GUEST_SYNC] = "guest-sync",
	[SIM_GUEST_SYNC_DELIMITED] = "guest-sync-delimited",
	[SIM_GUEST_INFO] = "guest-info",
	[SIM_GUEST_EXEC] = "guest-exec",
	[SIM_GUEST_EXEC_STATUS] = "guest-exec-status",
	[SIM_GUEST_FILE_OPEN] = "guest-file-open",
	[SIM_GUEST_FILE_CLOSE] = "guest-file-close",
	[SIM_GUEST_FILE_READ] = "guest-file-read",
	[SIM_GUEST_FILE_WRITE] = "guest-file-write",
	[SIM_GUEST_FILE_SEEK] = "guest-file-seek",
	[SIM_GUEST_FILE_FLUSH] = "guest-file-flush",
};
DEFINE_ENUM_TABLE(sim_point, enum sim_point, SIM_POINT_MAX);

const char *const sim_kill_names[SIM_KILL_MAX] = {
	[SIM_KILL_NONE] = "none",
	[SIM_KILL_BEFORE] = "before",
	[SIM_KILL_AFTER] = "after",
};
DEFINE_ENUM_TABLE(sim_kill, enum sim_kill, SIM_KILL_MAX);

/* A fault as it stands in the document. */
struct fault_json {
	int on, kill;
	char *gpu, *vm, *argument, *error, *message;
	uint64_t nth, times, fewer;
	json_t *hang, *answer;
};

static const struct json_field fault_fields[] = {
	{"on", JSON_FIELD_ENUM, offsetof(struct fault_json, on), .required = true,
	 .names = sim_point_names, .names_max = SIM_POINT_MAX,
	 .summary = "the access that goes wrong, such as \"sriov_numvfs\", \"attach\", "
		    "\"guest-exec\""},
	{"gpu", JSON_FIELD_STRING, offsetof(struct fault_json, gpu), .nonempty = true,
	 .summary = "\"gpu0\" in the order of the document, or a PCI address"},
	{"vm", JSON_FIELD_STRING, offsetof(struct fault_json, vm), .nonempty = true,
	 .summary = "name of a VM"},
	{"argument", JSON_FIELD_STRING, offsetof(struct fault_json, argument), .nonempty = true,
	 .summary = "only the guest-exec that has this among its arguments"},
	{"nth", JSON_FIELD_UINT, offsetof(struct fault_json, nth), .min = 1,
	 .summary = "the first access that it meets, counted from 1"},
	{"times", JSON_FIELD_UINT, offsetof(struct fault_json, times), .min = 1,
	 .summary = "how many accesses it meets"},
	{"error", JSON_FIELD_STRING, offsetof(struct fault_json, error), .nonempty = true,
	 .summary = "an errno name such as \"EBUSY\", or a failure such as \"no-port\""},
	{"message", JSON_FIELD_STRING, offsetof(struct fault_json, message),
	 .summary = "the words that come with the error"},
	{"hang", JSON_FIELD_ANY, offsetof(struct fault_json, hang),
	 .summary = "a time such as \"30s\", or true: until it is released"},
	{"fewer", JSON_FIELD_UINT, offsetof(struct fault_json, fewer), .min = 1,
	 .summary = "so many VFs (sriov_numvfs) or holders less than there are"},
	{"answer", JSON_FIELD_ANY, offsetof(struct fault_json, answer),
	 .summary = "what the guest agent says instead"},
	{"kill", JSON_FIELD_ENUM, offsetof(struct fault_json, kill), .names = sim_kill_names,
	 .names_max = SIM_KILL_MAX,
	 .summary = "\"before\" or \"after\" the access the daemon that asks for it is killed"},
	{"description", JSON_FIELD_IGNORED, 0},
	{NULL},
};

static int errno_from_name(const char *name)
{
	for (int e = 1; e < 134; e++) { /* EHWPOISON, the last that Linux has, is 133 */
		const char *known = strerrorname_np(e);

		if (known && streq(known, name))
			return e;
	}
	return -EINVAL;
}

static bool is_libvirt_point(int on)
{
	return !sim_point_is_host(on) && !sim_point_is_guest_device(on);
}

static int read_error(const struct fault_json *in, const char *base, struct sim_fault *out,
		      struct json_fault *fault)
{
	if (!in->error)
		return 0;
	if (!is_libvirt_point(in->on)) {
		out->error = errno_from_name(in->error);
		return out->error > 0 ? 0
				      : json_fault_set(fault, base, "error",
						       "the name of an errno, such as \"EBUSY\"",
						       "\"%.64s\" is no errno", in->error);
	}
	out->error = hv_failure_from_string(in->error);
	if (out->error > HV_OK)
		return 0;
	return json_fault_set(fault, base, "error",
			      "one of: no-domain, not-running, no-port, no-memory, saved, already, agent-absent, "
			      "agent-unresponsive, agent-disabled, agent-refused, agent-garbage, "
			      "guest-refused, timeout, failed, disconnected",
			      "\"%.64s\" is no failure of libvirt or an agent", in->error);
}

static int read_hang(const struct fault_json *in, const char *base, struct sim_fault *out,
		     struct json_fault *fault)
{
	const char *hint = "write a time such as \"30s\", or true";

	if (!in->hang)
		return 0;
	if (json_is_true(in->hang)) {
		out->hang_usec = USEC_INFINITY;
		return 0;
	}
	if (!json_is_string(in->hang) ||
	    duration_parse(json_string_value(in->hang), &out->hang_usec, &hint) < 0)
		return json_fault_set(fault, base, "hang", hint, "is neither a time nor true");
	return 0;
}

static int check_combination(const struct fault_json *in, const char *base,
			     struct json_fault *fault)
{
	const char *on = sim_point_to_string(in->on);

	if (in->gpu && !sim_point_is_host(in->on))
		return json_fault_set(fault, base, "gpu", "use \"vm\"", "\"%s\" happens in no GPU",
				      on);
	if (in->vm && sim_point_is_host(in->on))
		return json_fault_set(fault, base, "vm", "use \"gpu\"", "\"%s\" happens in no VM",
				      on);
	if (in->argument && in->on != SIM_GUEST_EXEC)
		return json_fault_set(fault, base, "argument", "only for guest-exec",
				      "\"%s\" runs no program", on);
	if (in->fewer && in->on != SIM_NUMVFS && in->on != SIM_HOLDERS)
		return json_fault_set(fault, base, "fewer", "only for sriov_numvfs and holders",
				      "\"%s\" counts nothing", on);
	if (in->answer && !sim_point_is_agent(in->on))
		return json_fault_set(fault, base, "answer", "only for commands of the guest agent",
				      "\"%s\" is not answered by an agent", on);
	if (in->kill && (in->error || in->hang || in->fewer || in->answer))
		return json_fault_set(fault, base, "kill", "write a fault of its own",
				      "goes with nothing else");
	if (in->kill && (in->on == SIM_HOLDERS || sim_point_is_guest_device(in->on)))
		return json_fault_set(fault, base, "kill", "an access such as \"sriov_numvfs\"",
				      "no daemon asks for \"%s\" alone", on);
	if (in->message && !in->error)
		return json_fault_set(fault, base, "message", "add \"error\"", "needs an error");
	if (!in->error && !in->hang && !in->fewer && !in->answer && !in->kill)
		return json_fault_set(fault, base, NULL,
				      "add \"error\", \"hang\", \"fewer\", \"answer\" or \"kill\"",
				      "does not say what goes wrong");
	return 0;
}

static void fault_done(struct sim_fault *f)
{
	free(f->gpu);
	free(f->vm);
	free(f->argument);
	free(f->message);
	json_decref(f->answer);
}

int sim_faults_add(struct sim_faults *f, const json_t *json, const char *base,
		   struct json_fault *ret_fault)
{
	struct fault_json in = {0};
	struct sim_fault out = {0}, *items;
	int r;

	r = json_fields_decode(json, base, fault_fields, &in, ret_fault);
	if (r < 0)
		return r;
	out.on = in.on;
	out.nth = in.nth;
	out.times = in.times;
	out.fewer = in.fewer;
	out.kill = in.kill;
	r = check_combination(&in, base, ret_fault);
	if (r >= 0)
		r = read_error(&in, base, &out, ret_fault);
	if (r >= 0)
		r = read_hang(&in, base, &out, ret_fault);
	if (r >= 0) {
		items = realloc(f->items, (f->n + 1) * sizeof(*items));
		r = items ? 0 : -ENOMEM;
	}
	if (r >= 0) {
		out.gpu = TAKE_PTR(in.gpu);
		out.vm = TAKE_PTR(in.vm);
		out.argument = TAKE_PTR(in.argument);
		out.message = TAKE_PTR(in.message);
		out.answer = TAKE_PTR(in.answer);
		f->items = items;
		f->items[f->n++] = out;
	}
	json_fields_done(fault_fields, &in);
	return r;
}

int sim_faults_latency(struct sim_faults *f, const json_t *json, const char *base,
		       struct json_fault *ret_fault)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)json, name, value)
	{
		const char *hint = "write a time such as \"50ms\"";
		int point = sim_point_from_string(name);

		if (point < 0)
			return json_fault_set(ret_fault, base, name,
					      "an access such as \"attach\" or \"sriov_numvfs\"",
					      "there is no such access");
		if (!json_is_string(value) ||
		    duration_parse(json_string_value(value), &f->latency_usec[point], &hint) < 0)
			return json_fault_set(ret_fault, base, name, hint, "is not a time");
	}
	return 0;
}

static bool has_argument(const json_t *command, const char *wanted)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(command, "arguments"), "arg"), i, item)
		if (streq_ptr(json_string_value(item), wanted))
			return true;
	return false;
}

static bool matches(const struct sim_fault *f, enum sim_point point, const char *gpu,
		    const char *address, const char *vm, const json_t *command)
{
	if (f->on != (int)point && !(f->on == SIM_AGENT && sim_point_is_agent(point)) &&
	    !(f->on == SIM_WRITE && sim_point_is_write(point)))
		return false;
	if (f->gpu && !streq_ptr(f->gpu, gpu) && !streq_ptr(f->gpu, address))
		return false;
	if (f->argument && !has_argument(command, f->argument))
		return false;
	return !f->vm || streq_ptr(f->vm, vm);
}

/* Number of the last access that the fault meets. */
static uint64_t last_access(const struct sim_fault *f)
{
	uint64_t first = MAX_OF(f->nth, 1);

	if (f->times == 0)
		return f->nth > 0 ? first : UINT64_MAX;
	return first + f->times - 1;
}

static const struct sim_fault *take(struct sim_faults *f, enum sim_point point, const char *gpu,
				    const char *address, const char *vm, const json_t *command)
{
	const struct sim_fault *found = NULL;

	for (size_t i = 0; i < f->n; i++) {
		struct sim_fault *item = &f->items[i];

		if (!matches(item, point, gpu, address, vm, command))
			continue;
		item->seen++;
		if (!found && item->seen >= MAX_OF(item->nth, 1) && item->seen <= last_access(item))
			found = item;
	}
	return found;
}

const struct sim_fault *sim_faults_take(struct sim_faults *f, enum sim_point point, const char *gpu,
					const char *address, const char *vm)
{
	return take(f, point, gpu, address, vm, NULL);
}

const struct sim_fault *sim_faults_take_command(struct sim_faults *f, enum sim_point point, const char *vm,
						const json_t *command)
{
	return take(f, point, NULL, NULL, vm, command);
}

void sim_faults_clear(struct sim_faults *f)
{
	for (size_t i = 0; i < f->n; i++)
		fault_done(&f->items[i]);
	free(f->items);
	f->items = NULL;
	f->n = 0;
}

void sim_faults_done(struct sim_faults *f)
{
	sim_faults_clear(f);
	memset(f, 0, sizeof(*f));
}

json_t *sim_faults_to_json(const struct sim_faults *f)
{
	_cleanup_json_ json_t *list = json_array();

	for (size_t i = 0; i < f->n; i++) {
		const struct sim_fault *item = &f->items[i];
		json_t *one = json_object();

		(void)json_put_string(one, "on", sim_point_to_string(item->on));
		(void)json_put_string(one, "gpu", item->gpu);
		(void)json_put_string(one, "vm", item->vm);
		(void)json_put_uint(one, "seen", item->seen);
		(void)json_put_bool(one, "over", item->seen >= last_access(item));
		if (json_array_append_new(list, one) < 0)
			return NULL;
	}
	return TAKE_PTR(list);
}
