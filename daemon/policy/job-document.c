/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Job documents: what a user may ask for, checked member by member before anything is queued.  The
 * files are in job-files.c. */
#include "policy/job-document.h"

#include <stdio.h>

#include "lib/escape.h"
#include "policy/job-files.h"
#include "policy/policy-build.h"

#define FIELD(type, member, kind, ...)                                                             \
	{ #member, kind, offsetof(struct type, member), __VA_ARGS__ }

/* A script fits into one request (1 MiB) with room to spare. */
#define SHELL_MAX (256 * 1024)
#define ARGUMENTS_MAX 4096
#define GRACE_MAX (3600 * USEC_PER_SEC)

struct job_fields {
	uint64_t version;
	char *name, *queue, *shell, *workdir, *profile;
	int64_t priority;
	json_t *command, *setup, *env, *files, *outputs, *run_in, *checkpoint;
	uint64_t vram, vfs, time_limit, retries;
	int progress;
	bool hold, session;
};

static const char *const progress_names[] = {
	[JOB_PROGRESS_AUTO] = "auto",
	[JOB_PROGRESS_JSONL] = "jsonl",
	[JOB_PROGRESS_NONE] = "none",
};

static const struct json_field job_fields[] = {
	FIELD(job_fields, version, JSON_FIELD_UINT, .min = 1, .max = 1),
	FIELD(job_fields, name, JSON_FIELD_STRING, .nonempty = true, .max_length = JOB_NAME_MAX),
	FIELD(job_fields, queue, JSON_FIELD_STRING, .max_length = POLICY_NAME_MAX),
	FIELD(job_fields, priority, JSON_FIELD_INT, .min = -100, .max = 100),
	FIELD(job_fields, command, JSON_FIELD_STRINGS, .nonempty = true,
	      .max_length = ARGUMENTS_MAX, .summary = "a program and its arguments"),
	FIELD(job_fields, shell, JSON_FIELD_STRING, .nonempty = true, .max_length = SHELL_MAX,
	      .summary = "a script for /bin/sh"),
	FIELD(job_fields, setup, JSON_FIELD_STRINGS, .max_length = 64,
	      .summary = "shell lines that run before the command"),
	FIELD(job_fields, env, JSON_FIELD_OBJECT, .summary = "{\"NAME\": \"value\"}"),
	FIELD(job_fields, workdir, JSON_FIELD_STRING, .nonempty = true,
	      .summary = "an absolute path in the guest"),
	FIELD(job_fields, files, JSON_FIELD_ARRAY, .max_length = JOB_FILES_COUNT_MAX),
	FIELD(job_fields, outputs, JSON_FIELD_STRINGS, .max_length = 64,
	      .summary = "patterns below the workdir, such as \"adapter/**\""),
	FIELD(job_fields, run_in, JSON_FIELD_OBJECT,
	      .summary = "{\"vm\": NAME} or {\"vms\": PATTERN}"),
	FIELD(job_fields, vram, JSON_FIELD_SIZE, .min = 1,
	      .summary = "the least VRAM that the VF must have"),
	FIELD(job_fields, profile, JSON_FIELD_STRING, .max_length = POLICY_NAME_MAX,
	      .summary = "the VF must have been made with this profile"),
	FIELD(job_fields, vfs, JSON_FIELD_UINT, .max = POLICY_VFS_MAX),
	FIELD(job_fields, time_limit, JSON_FIELD_DURATION, .min = USEC_PER_SEC,
	      .max = JOB_TIME_MAX, .summary = "of each attempt"),
	FIELD(job_fields, retries, JSON_FIELD_UINT, .max = 100),
	FIELD(job_fields, checkpoint, JSON_FIELD_OBJECT, .summary = "members: signal, grace"),
	FIELD(job_fields, progress, JSON_FIELD_ENUM, .names = progress_names,
	      .names_max = ARRAY_SIZE(progress_names)),
	FIELD(job_fields, hold, JSON_FIELD_BOOL),
	FIELD(job_fields, session, JSON_FIELD_BOOL,
	      .summary = "holds a VF for interactive work, in place of a command"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct unsupported job_unsupported[] = {
	{ "secret_env", NULL, "stage a file with the secret, mode \"0600\"" },
	{ "finetune", NULL, "ask for vram" },
	{ "gpu", NULL, "use profile" },
	{ "retry_on", "[\"lost\"]", NULL },
	{ "deadline", NULL, "use time_limit" },
	{ "after", NULL, "submit it when the other job has ended: `gpuvf wait`" },
	{ "array", NULL, "submit one job for each" },
	{ "begin_at", NULL, "use hold" },
	{ NULL },
};

static int check_workdir(const char *workdir, struct json_fault *fault)
{
	if (!workdir || (workdir[0] == '/' && job_path_is_clean(workdir)))
		return 0;
	return json_fault_set(fault, "", "workdir", "such as \"/home/trainer/run\"",
			      "must be an absolute path without \"..\" or control characters");
}

static int check_outputs(const json_t *outputs, struct json_fault *fault)
{
	char index[24];
	size_t i;

	for (i = 0; i < json_array_size(outputs); i++) {
		const char *glob = json_string_value(json_array_get(outputs, i));

		snprintf(index, sizeof(index), "%zu", i);
		if (glob[0] == '/' || !job_path_is_clean(glob))
			return json_fault_set(fault, "/outputs", index,
					      "a pattern below the workdir, such as \"adapter/**\"",
					      "must be relative, without \"..\" or control "
					      "characters");
	}
	return 0;
}

static bool env_name_is_valid(const char *name)
{
	static const char words[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	size_t length = strlen(name);

	return length > 0 && length <= 255 && strspn(name, words) == length &&
	       !(name[0] >= '0' && name[0] <= '9');
}

static int check_env(const json_t *env, struct json_fault *fault)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)env, name, value) {
		if (!env_name_is_valid(name))
			return json_fault_set(fault, "/env", name, "letters, digits and _",
					      "\"%.64s\" is not the name of a variable", name);
		if (strncmp(name, "GPUVF_", 6) == 0)
			return json_fault_set(fault, "/env", name, "choose another name",
					      "names with GPUVF_ are set by gpuvf");
		if (!json_is_string(value))
			return json_fault_set(fault, "/env", name, "\"NAME\": \"value\"",
					      "must be a string");
		if (json_string_length(value) > JOB_ENV_VALUE_MAX)
			return json_fault_set(fault, "/env", name, "stage a file instead",
					      "has %zu bytes, at most %d are allowed",
					      json_string_length(value), JOB_ENV_VALUE_MAX);
	}
	return 0;
}

struct run_in_fields {
	char *vm, *vms;
};

static const struct json_field run_in_fields[] = {
	FIELD(run_in_fields, vm, JSON_FIELD_STRING, .summary = "the name of a VM"),
	FIELD(run_in_fields, vms, JSON_FIELD_STRING, .summary = "a pattern such as \"trainer-*\""),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct unsupported run_in_unsupported[] = {
	{ "template", NULL, "use vm or vms" },
	{ "host", "false", "jobs run in VMs only" },
	{ NULL },
};

static int read_run_in(const json_t *json, struct job_document *d, struct json_fault *fault)
{
	_cleanup_json_ json_t *rest = NULL;
	struct run_in_fields f = { NULL };
	int r;

	r = unsupported_check(json, "/run_in", run_in_unsupported, &rest, fault);
	if (r < 0)
		return r;
	r = json_fields_decode(rest, "/run_in", run_in_fields, &f, fault);
	if (r < 0)
		return r;

	d->vm = f.vm;
	d->vms = f.vms;
	if (!d->vm == !d->vms)
		return json_fault_set(fault, "/run_in", NULL, "leave run_in out for any VM",
				      "must have either \"vm\" or \"vms\"");
	return policy_check_glob(d->vm ? d->vm : d->vms, "/run_in", d->vm ? "vm" : "vms", fault);
}

/* Signals that a program can catch to save its work. */
static const char *const signal_names[] = { "SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2" };

struct checkpoint_fields {
	int signal;
	uint64_t grace;
};

static const struct json_field checkpoint_fields[] = {
	FIELD(checkpoint_fields, signal, JSON_FIELD_ENUM, .names = signal_names,
	      .names_max = ARRAY_SIZE(signal_names)),
	FIELD(checkpoint_fields, grace, JSON_FIELD_DURATION, .min = USEC_PER_SEC, .max = GRACE_MAX,
	      .summary = "time between the signal and SIGKILL"),
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct unsupported checkpoint_unsupported[] = {
	{ "scope", "\"vm\"", NULL },
	{ NULL },
};

static int read_checkpoint(const json_t *json, struct job_document *d, struct json_fault *fault)
{
	struct checkpoint_fields f = { .grace = JOB_GRACE_USEC };
	_cleanup_json_ json_t *rest = NULL;
	int r;

	if (json) {
		d->checkpoint = true;
		r = unsupported_check(json, "/checkpoint", checkpoint_unsupported, &rest, fault);
		if (r < 0)
			return r;
		r = json_fields_decode(rest, "/checkpoint", checkpoint_fields, &f, fault);
		if (r < 0)
			return r;
	}
	d->checkpoint_grace_usec = f.grace;
	return free_and_strdup(&d->checkpoint_signal, signal_names[f.signal]);
}

/* What belongs to a command; borrowed from the document as it came. */
static int check_session(const json_t *json, uint64_t vfs, struct json_fault *fault)
{
	static const char *const of_commands[] = { "command",	 "shell",   "setup",   "env",	  "workdir", "files",
						   "outputs",	 "retries", "retry_on", "checkpoint", "progress" };

	for (size_t i = 0; i < ARRAY_SIZE(of_commands); i++) {
		const json_t *value = json_object_get(json, of_commands[i]);

		if (value && !json_is_null(value))
			return json_fault_set(fault, "", of_commands[i], "leave one of the two out",
					      "cannot stand beside \"session\", which runs no command");
	}
	if (vfs == 0)
		return json_fault_set(fault, "", "vfs", "leave it out", "is 0, but a session holds a VF");
	return 0;
}

static int check_command(const struct job_document *d, struct json_fault *fault)
{
	if (d->session)
		return 0;
	if (!d->command == !d->shell)
		return json_fault_set(fault, "", d->command ? "shell" : NULL,
				      "\"command\": [\"python3\", \"train.py\"]; or \"session\": true, "
				      "for interactive work",
				      "must have either \"command\" or \"shell\"");
	if (d->command && json_string_length(json_array_get(d->command, 0)) == 0)
		return json_fault_set(fault, "/command", "0", NULL, "must not be empty");
	return 0;
}

static int check_vf(const struct job_document *d, uint64_t vfs, struct json_fault *fault)
{
	if (vfs > 1)
		return json_fault_set(fault, "", "vfs", "use 1, or 0 for a job without a VF",
				      "more than one VF is not supported by this version");
	if (d->profile && d->vram.kind != AMOUNT_UNSET)
		return json_fault_set(fault, "", "profile", "leave one of the two out",
				      "cannot stand beside vram");
	if (vfs == 0 && (d->profile || d->vram.kind != AMOUNT_UNSET))
		return json_fault_set(fault, "", "vfs", "leave out vram and profile",
				      "is 0: there is no VF that could have vram or a profile");
	return 0;
}

static int check_names(const struct job_document *d, struct json_fault *fault)
{
	int r = 0;

	if (d->name && !name_is_valid(d->name, JOB_NAME_MAX))
		return json_fault_set(fault, "", "name",
				      "1 to 128 bytes of printable text without /",
				      "is not a name");
	if (d->queue)
		r = policy_check_name(d->queue, "", "queue", fault);
	if (r == 0 && d->profile)
		r = policy_check_name(d->profile, "", "profile", fault);
	return r;
}

/* Takes all strings and references out of `f`. */
static void job_take(struct job_document *d, struct job_fields *f)
{
	d->name = TAKE_PTR(f->name);
	d->queue = TAKE_PTR(f->queue);
	d->shell = TAKE_PTR(f->shell);
	d->workdir = TAKE_PTR(f->workdir);
	d->profile = TAKE_PTR(f->profile);
	d->command = TAKE_PTR(f->command);
	d->setup = TAKE_PTR(f->setup);
	d->env = TAKE_PTR(f->env);
	d->outputs = TAKE_PTR(f->outputs);
	d->priority = f->priority;
	d->vfs = (unsigned)f->vfs;
	d->time_limit_usec = f->time_limit;
	d->retries = (unsigned)f->retries;
	d->progress = f->progress;
	d->hold = f->hold;
	d->session = f->session;
	if (f->vram > 0)
		d->vram = (struct amount){ AMOUNT_BYTES, f->vram };
}

static int job_check(const struct job_document *d, uint64_t vfs, struct json_fault *fault)
{
	int r;

	r = check_command(d, fault);
	if (r == 0)
		r = check_names(d, fault);
	if (r == 0)
		r = check_env(d->env, fault);
	if (r == 0)
		r = check_workdir(d->workdir, fault);
	if (r == 0)
		r = check_outputs(d->outputs, fault);
	return r < 0 ? r : check_vf(d, vfs, fault);
}

static int job_read(const json_t *json, bool stored, struct job_document *d,
		    struct json_fault *fault)
{
	struct job_fields f = { .vfs = 1 };
	_cleanup_json_ json_t *rest = NULL;
	int r;

	r = unsupported_check(json, "", job_unsupported, &rest, fault);
	if (r < 0)
		return r;
	r = json_fields_decode(rest, "", job_fields, &f, fault);
	if (r < 0)
		return r;

	job_take(d, &f);
	r = d->session ? check_session(json, f.vfs, fault) : 0;
	if (r == 0)
		r = job_check(d, f.vfs, fault);
	if (r == 0 && f.run_in)
		r = read_run_in(f.run_in, d, fault);
	if (r == 0)
		r = read_checkpoint(f.checkpoint, d, fault);
	if (r == 0)
		r = job_files_read(f.files, stored, &d->files, &d->n_files, fault);
	json_fields_done(job_fields, &f);
	return r;
}

static int job_new(const json_t *json, bool stored, struct job_document **ret,
		   struct json_fault *fault)
{
	_cleanup_(job_document_freep) struct job_document *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	r = job_read(json, stored, d, fault);
	if (r < 0)
		return r;

	d->json = stored ? json_incref((json_t *)json) :
			   job_files_strip(json, d->files, d->n_files);
	if (!d->json)
		return -ENOMEM;
	*ret = TAKE_PTR(d);
	return 0;
}

int job_document_parse(const json_t *json, struct job_document **ret, struct json_fault *ret_fault)
{
	return job_new(json, false, ret, ret_fault);
}

int job_document_load(const json_t *json, struct job_document **ret)
{
	return job_new(json, true, ret, NULL);
}

struct job_document *job_document_free(struct job_document *d)
{
	if (!d)
		return NULL;

	json_decref(d->json);
	free(d->name);
	free(d->queue);
	json_decref(d->command);
	free(d->shell);
	json_decref(d->setup);
	json_decref(d->env);
	free(d->workdir);
	job_files_free(d->files, d->n_files);
	json_decref(d->outputs);
	free(d->vm);
	free(d->vms);
	free(d->profile);
	free(d->checkpoint_signal);
	free(d);
	return NULL;
}
