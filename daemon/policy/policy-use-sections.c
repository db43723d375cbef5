/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sections that say who may use what: vms, queues, access. */
#include "policy/policy-build.h"

#include <stdio.h>

#define FIELD(type, member, kind, ...)                                                             \
	{ #member, kind, offsetof(struct type, member), __VA_ARGS__ }

/* More jobs side by side in one guest than anybody has VFs for. */
#define SLOTS_MAX 1024
#define LIMIT_MAX 1000000
#define READY_ARGUMENTS_MAX 64
/* As long as a job may ask for (job document, checkpoint). */
#define PREEMPT_GRACE_MAX (3600 * USEC_PER_SEC)

struct vm_rule_fields {
	char *match;
	json_t *allow, *ready;
	uint64_t slots, stop_idle;
	int vf, start, managed;
	char *run_as;
};

static const struct json_field vm_rule_fields[] = {
	FIELD(vm_rule_fields, match, JSON_FIELD_STRING, .required = true, .max_length = 255,
	      .summary = "a pattern of VM names, such as \"trainer-*\""),
	FIELD(vm_rule_fields, allow, JSON_FIELD_STRINGS, .max_length = 256,
	      .summary = "\"user:NAME\", \"group:NAME\" or \"everyone\""),
	FIELD(vm_rule_fields, slots, JSON_FIELD_UINT, .min = 1, .max = SLOTS_MAX,
	      .summary = "jobs at the same time"),
	FIELD(vm_rule_fields, vf, JSON_FIELD_ENUM, .names = vm_vf_mode_names,
	      .names_max = VM_VF_MODE_MAX),
	FIELD(vm_rule_fields, start, JSON_FIELD_ENUM, .names = vm_start_names,
	      .names_max = VM_START_MAX),
	FIELD(vm_rule_fields, managed, JSON_FIELD_ENUM, .names = vm_managed_names,
	      .names_max = VM_MANAGED_MAX,
	      .summary = "\"yes\": libvirt binds its VFs to VFIO and gives them back to the host"),
	FIELD(vm_rule_fields, stop_idle, JSON_FIELD_DURATION, .min = USEC_PER_SEC,
	      .summary = "without a job for so long, a VM that was started on demand is shut down"),
	FIELD(vm_rule_fields, ready, JSON_FIELD_STRINGS, .max_length = READY_ARGUMENTS_MAX,
	      .nonempty = true, .summary = "a program of the guest and its arguments"),
	FIELD(vm_rule_fields, run_as, JSON_FIELD_STRING, .nonempty = true, .max_length = 32,
	      .summary = "a user of the guest"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct unsupported vm_rule_unsupported[] = {
	{ "shared_dir", NULL, NULL },
	{ NULL },
};

/* The name goes into a command line in the guest. */
static bool guest_user_is_valid(const char *s)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	size_t length = strlen(s);

	return length > 0 && strchr(first, s[0]) &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
		       length;
}

static int check_vm_rule(const struct policy_vm_rule *rule, const char *pointer,
			 struct json_fault *fault)
{
	_cleanup_free_ char *inner = xasprintf("%s/ready", pointer);
	int r;

	if (!inner)
		return -ENOMEM;
	r = policy_check_glob(rule->match, pointer, "match", fault);
	if (r < 0)
		return r;
	if (rule->run_as && !guest_user_is_valid(rule->run_as))
		return json_fault_set(fault, pointer, "run_as",
				      "a user of the guest, such as \"trainer\"",
				      "\"%s\" is not a user name", rule->run_as);
	if (rule->stop_idle_usec > 0 && rule->start != VM_START_ON_DEMAND)
		return json_fault_set(fault, pointer, "stop_idle",
				      "add \"start\": \"on-demand\", or leave it out",
				      "only VMs that were started on demand are shut down again");
	if (rule->ready && json_string_value(json_array_get(rule->ready, 0))[0] != '/')
		return json_fault_set(fault, inner, "0", "such as \"/usr/local/bin/gpu-ok\"",
				      "must be an absolute path");
	return 0;
}

int policy_read_vm_rule(struct policy_builder *b, const json_t *item, const char *pointer,
			void *out, struct json_fault *fault)
{
	_cleanup_json_ json_t *rest = NULL, *allow = NULL;
	struct vm_rule_fields f = { .slots = 1, .vf = VM_VF_PER_JOB };
	struct policy_vm_rule *rule = out;
	int r;

	r = unsupported_check(item, pointer, vm_rule_unsupported, &rest, fault);
	if (r < 0)
		return r;
	r = json_fields_decode(rest, pointer, vm_rule_fields, &f, fault);
	if (r < 0)
		return r;

	allow = f.allow;
	rule->match = f.match;
	rule->ready = f.ready;
	rule->run_as = f.run_as;
	rule->slots = (unsigned)f.slots;
	rule->vf = f.vf;
	rule->start = f.start;
	rule->managed = f.managed;
	rule->stop_idle_usec = f.stop_idle;
	rule->label = policy_label(b, pointer);
	if (!rule->label)
		return -ENOMEM;

	r = check_vm_rule(rule, pointer, fault);
	if (r < 0)
		return r;
	r = principals_read(b, allow, pointer, "allow", &rule->allow, &rule->n_allow, fault);
	if (r == 0 && rule->n_allow > 0 && !rule->run_as) {
		struct policy_place place = { b->source, (char *)pointer };

		return policy_warn(b, &place,
				   "no job can run in \"%s\": the rule names no user (run_as)",
				   rule->match);
	}
	return r;
}

struct queue_fields {
	char *name;
	bool is_default;
	json_t *allow, *vms, *limits, *preempts;
	uint64_t priority, weight;
	int64_t max_priority;
	uint64_t default_time, max_time, preempt_grace, min_runtime;
};

static const struct json_field queue_fields[] = {
	FIELD(queue_fields, name, JSON_FIELD_STRING, .required = true,
	      .max_length = POLICY_NAME_MAX, .summary = POLICY_NAME_HINT),
	{ "default", JSON_FIELD_BOOL, offsetof(struct queue_fields, is_default) },
	FIELD(queue_fields, allow, JSON_FIELD_STRINGS, .nonempty = true, .max_length = 256,
	      .summary = "leave it out to let in everyone who may submit"),
	FIELD(queue_fields, priority, JSON_FIELD_UINT, .max = 100),
	FIELD(queue_fields, weight, JSON_FIELD_UINT, .min = 1, .max = POLICY_WEIGHT_MAX,
	      .summary = "time slices of its jobs' VFs, against other queues"),
	FIELD(queue_fields, max_priority, JSON_FIELD_INT, .min = -100, .max = 100,
	      .summary = "the highest that a user may ask for a job"),
	FIELD(queue_fields, default_time, JSON_FIELD_DURATION, .min = USEC_PER_SEC,
	      .summary = "time limit of a job that names none"),
	FIELD(queue_fields, max_time, JSON_FIELD_DURATION, .min = USEC_PER_SEC,
	      .summary = "the longest time limit"),
	FIELD(queue_fields, vms, JSON_FIELD_STRINGS, .nonempty = true, .max_length = 256,
	      .summary = "patterns of VM names; leave it out for any VM"),
	FIELD(queue_fields, preempts, JSON_FIELD_STRINGS, .nonempty = true, .max_length = POLICY_PREEMPTS_MAX,
	      .summary = "queues of lower priority, whose jobs make way for its own"),
	FIELD(queue_fields, preempt_grace, JSON_FIELD_DURATION, .min = USEC_PER_SEC, .max = PREEMPT_GRACE_MAX,
	      .summary = "how long its own jobs have between signal and SIGKILL, when they make way"),
	FIELD(queue_fields, min_runtime, JSON_FIELD_DURATION,
	      .summary = "its own jobs make way after so long only"),
	FIELD(queue_fields, limits, JSON_FIELD_OBJECT,
	      .summary = "members: running, queued, per_user"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct unsupported queue_unsupported[] = {
	{ "placement", "\"best-fit\"", NULL },
	{ "templates", NULL, "use vms" },
	{ "host", "false", "jobs run in VMs only" },
	{ "kinds", NULL, NULL },
	{ "windows", NULL, NULL },
	{ NULL },
};

struct limit_fields {
	uint64_t running, queued;
	json_t *per_user;
};

#define LIMIT_NUMBERS                                                                              \
	FIELD(limit_fields, running, JSON_FIELD_UINT, .min = 1, .max = LIMIT_MAX,                  \
	      .summary = "leave it out for no limit"),                                             \
		FIELD(limit_fields, queued, JSON_FIELD_UINT, .min = 1, .max = LIMIT_MAX,           \
		      .summary = "leave it out for no limit")

static const struct json_field limit_fields[] = {
	LIMIT_NUMBERS,
	FIELD(limit_fields, per_user, JSON_FIELD_OBJECT, .summary = "members: running, queued"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct json_field user_limit_fields[] = {
	LIMIT_NUMBERS,
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct unsupported limit_unsupported[] = {
	{ "vram", NULL, "limit running" },
	{ "per_group", NULL, "use a queue for each group" },
	{ NULL },
};

static const struct unsupported user_limit_unsupported[] = {
	{ "vram", NULL, "limit running" },
	{ NULL },
};

static int read_user_limits(const json_t *limits, const char *base, struct policy_queue *queue,
			    struct json_fault *fault)
{
	_cleanup_free_ char *inner = xasprintf("%s/per_user", base);
	_cleanup_json_ json_t *rest = NULL;
	struct limit_fields f = { 0 };
	int r;

	if (!inner)
		return -ENOMEM;
	r = unsupported_check(limits, inner, user_limit_unsupported, &rest, fault);
	if (r < 0)
		return r;
	r = json_fields_decode(rest, inner, user_limit_fields, &f, fault);
	if (r < 0)
		return r;

	queue->limit_running_per_user = (unsigned)f.running;
	queue->limit_queued_per_user = (unsigned)f.queued;
	return 0;
}

static int read_limits(const json_t *limits, const char *pointer, struct policy_queue *queue,
		       struct json_fault *fault)
{
	_cleanup_free_ char *base = xasprintf("%s/limits", pointer);
	_cleanup_json_ json_t *rest = NULL, *per_user = NULL;
	struct limit_fields f = { 0 };
	int r;

	if (!base)
		return -ENOMEM;
	r = unsupported_check(limits, base, limit_unsupported, &rest, fault);
	if (r < 0)
		return r;
	r = json_fields_decode(rest, base, limit_fields, &f, fault);
	if (r < 0)
		return r;

	per_user = f.per_user;
	queue->limit_running = (unsigned)f.running;
	queue->limit_queued = (unsigned)f.queued;
	return per_user ? read_user_limits(per_user, base, queue, fault) : 0;
}

/* Takes everything that `f` holds but allow and limits. */
static void queue_take(struct policy_queue *queue, struct queue_fields *f)
{
	queue->name = f->name;
	queue->is_default = f->is_default;
	queue->priority = (unsigned)f->priority;
	queue->weight = (unsigned)f->weight;
	queue->max_priority = (int)f->max_priority;
	queue->default_time_usec = f->default_time;
	queue->max_time_usec = f->max_time;
	queue->vms = f->vms;
	queue->preempts = f->preempts;
	queue->preempt_grace_usec = f->preempt_grace;
	queue->min_runtime_usec = f->min_runtime;
}

int policy_read_queue(struct policy_builder *b, const json_t *item, const char *pointer, void *out,
		      struct json_fault *fault)
{
	_cleanup_json_ json_t *rest = NULL, *allow = NULL, *limits = NULL;
	struct queue_fields f = { .priority = POLICY_QUEUE_PRIORITY,
				  .weight = POLICY_QUEUE_WEIGHT };
	struct policy_queue *queue = out;
	int r;

	r = unsupported_check(item, pointer, queue_unsupported, &rest, fault);
	if (r < 0)
		return r;
	r = json_fields_decode(rest, pointer, queue_fields, &f, fault);
	if (r < 0)
		return r;
	allow = f.allow;
	limits = f.limits;
	queue_take(queue, &f);

	r = policy_check_name(queue->name, pointer, "name", fault);
	if (r == 0)
		r = policy_check_globs(queue->vms, pointer, "vms", fault);
	if (r == 0 && limits)
		r = read_limits(limits, pointer, queue, fault);
	if (r < 0)
		return r;
	if (queue->max_time_usec > 0 && queue->default_time_usec > queue->max_time_usec)
		return json_fault_set(fault, pointer, "default_time", NULL,
				      "is longer than max_time");
	return principals_read(b, allow, pointer, "allow", &queue->allow, &queue->n_allow, fault);
}

struct access_fields {
	char *group, *user;
	int role;
};

static const struct json_field access_fields[] = {
	FIELD(access_fields, group, JSON_FIELD_STRING, .summary = "name of a group, or its number"),
	FIELD(access_fields, user, JSON_FIELD_STRING, .summary = "name of a user, or its number"),
	FIELD(access_fields, role, JSON_FIELD_ENUM, .required = true,
	      .names = &role_names[ROLE_VIEWER], .names_max = ROLE_MAX - ROLE_VIEWER,
	      .summary = "viewer, user, operator or admin"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static int access_who(struct policy_builder *b, const struct access_fields *f, const char *pointer,
		      struct principal *ret, struct json_fault *fault)
{
	const char *member = f->user ? "user" : "group";
	_cleanup_free_ char *text = xasprintf("%s:%s", member, f->user ? f->user : f->group);
	struct policy_place place = { b->source, (char *)pointer };
	int r;

	if (!text)
		return -ENOMEM;
	r = principal_parse(text, ret);
	if (r == -EINVAL)
		return json_fault_set(fault, pointer, member, "a name without colon or space",
				      "\"%.64s\" is not the name of a %s", strchr(text, ':') + 1,
				      member);
	if (r == 0 && b->resolve)
		r = principal_resolve(ret);
	if (r == -ENOENT)
		return policy_warn(b, &place, "\"%s\" is not known on this host and matches nobody",
				   text);
	return r;
}

int policy_read_access(struct policy_builder *b, const json_t *item, const char *pointer, void *out,
		       struct json_fault *fault)
{
	struct access_fields f = { NULL };
	struct policy_access *access = out;
	int r;

	r = json_fields_decode(item, pointer, access_fields, &f, fault);
	if (r < 0)
		return r;

	access->role = ROLE_VIEWER + f.role;
	if (!f.group == !f.user)
		r = json_fault_set(fault, pointer, NULL, "one rule for each group and each user",
				   "must have either \"group\" or \"user\"");
	else
		r = access_who(b, &f, pointer, &access->who, fault);
	json_fields_done(access_fields, &f);
	return r;
}
