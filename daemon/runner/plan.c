/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes shell text for the launcher.  Every foreign string goes through plan_quote(). */
#include "runner/plan.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>

#include "lib/escape.h"

#define KEY_BYTES_MAX 80
#define PATH_BYTES_MAX 4000
#define FILES_MAX 1000

/* ---- Checks -------------------------------------------------------------------------------- */

static bool only(const char *s, const char *more)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(more, *s))
			return false;
	return true;
}

static bool key_is_valid(const char *key)
{
	return key && *key && *key != '.' && *key != '-' && strlen(key) <= KEY_BYTES_MAX &&
	       only(key, "._-");
}

static bool user_is_valid(const char *user)
{
	return user && *user && *user != '-' && strlen(user) <= 64 && only(user, "._-@\\+");
}

/* No control bytes, no blank at either end (the list of files is read by `read`). */
static bool path_is_valid(const char *path)
{
	size_t length = path ? strlen(path) : 0;

	if (length == 0 || length > PATH_BYTES_MAX || !utf8_is_valid(path, length))
		return false;
	for (const char *c = path; *c; c++)
		if (iscntrl((unsigned char)*c))
			return false;
	return path[0] != ' ' && path[length - 1] != ' ' && path[0] != '-' && !strchr(path, '\\');
}

static bool name_is_variable(const char *name)
{
	return *name && !isdigit((unsigned char)*name) && only(name, "_");
}

static bool all_strings(const json_t *array, bool nonempty)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(array) || (nonempty && json_array_size(array) == 0))
		return false;
	json_array_foreach(array, i, item) if (!json_is_string(item)) return false;
	return true;
}

static bool env_is_valid(const json_t *env)
{
	const json_t *value;
	const char *name;

	if (!env)
		return true;
	if (!json_is_object(env))
		return false;
	json_object_foreach((json_t *)env, name, value) if (!name_is_variable(name) ||
							    !json_is_string(value)) return false;
	return true;
}

static const char *find_fault(const struct runner_options *o)
{
	if (!o->event || !o->hypervisor || !o->vm_uuid)
		return "event, hypervisor and vm are needed";
	if (!key_is_valid(o->attempt_key) || !key_is_valid(o->job_key) || !o->job_id)
		return "job and attempt need keys of letters, digits, '.', '_' and '-'";
	/* to follow a command nobody needs to know whose it is */
	if (!o->run_as && (o->session || (!o->was_started && !o->inherited)))
		return "no user of the guest is named (run_as)";
	if (o->run_as && !user_is_valid(o->run_as))
		return "run_as is no name of a user";
	if (o->session && (o->command || o->shell || o->setup || o->outputs || o->n_files > 0 ||
			   o->was_started))
		return "a session has no command, nor what belongs to one";
	if (!o->session && !o->command == !o->shell)
		return "either command or shell is needed";
	if (o->command && !all_strings(o->command, true))
		return "command is not an array of strings";
	if (o->setup && !all_strings(o->setup, false))
		return "setup is not an array of strings";
	if (o->outputs && !all_strings(o->outputs, false))
		return "outputs is not an array of strings";
	if (o->ready && !all_strings(o->ready, true))
		return "ready is not an array of strings";
	if (!env_is_valid(o->env) || !env_is_valid(o->gpuvf_env))
		return "env is not an object of strings with names of shell variables";
	if (o->workdir && !path_is_valid(o->workdir))
		return "workdir is no path that can be used";
	if (o->checkpoint_dir && (!path_is_valid(o->checkpoint_dir) || *o->checkpoint_dir != '/'))
		return "the checkpoint directory is no absolute path";
	if (o->guest_root && *o->guest_root && !path_is_valid(o->guest_root))
		return "guest_root is no path that can be used";
	if (o->checkpoint_signal && !sigabbrev_np(o->checkpoint_signal))
		return "checkpoint.signal is no signal";
	if (o->n_files > FILES_MAX)
		return "too many files";
	for (size_t i = 0; i < o->n_files; i++)
		if (!o->files[i].source || !path_is_valid(o->files[i].target) ||
		    o->files[i].mode > 07777)
			return "a file has no source, no usable target or no usable mode";
	return NULL;
}

int plan_check(const struct runner_options *options, char **ret_message)
{
	const char *fault = find_fault(options);

	if (!fault)
		return 0;
	*ret_message = strdup(fault);
	return -EINVAL;
}

/* ---- Texts --------------------------------------------------------------------------------- */

char *plan_quote(const char *text)
{
	char *quoted = malloc(strlen(text) * 4 + 3), *to = quoted;

	if (!quoted)
		return NULL;
	*to++ = '\'';
	for (; *text; text++) {
		if (*text == '\'')
			to = stpcpy(to, "'\\''");
		else
			*to++ = *text;
	}
	*to++ = '\'';
	*to = '\0';
	return quoted;
}

/* Text being put together; failed = memory was out. */
struct text {
	FILE *file;
	char *data;
	size_t size;
	bool failed;
};

static void text_init(struct text *t)
{
	*t = (struct text){ 0 };
	t->file = open_memstream(&t->data, &t->size);
	t->failed = !t->file;
}

static void put(struct text *t, const char *s)
{
	if (!t->failed && fputs(s, t->file) < 0)
		t->failed = true;
}

static void put_quoted(struct text *t, const char *before, const char *s, const char *after)
{
	_cleanup_free_ char *quoted = plan_quote(s);

	if (!quoted)
		t->failed = true;
	else
		put(t, before), put(t, quoted), put(t, after);
}

static char *text_take(struct text *t)
{
	if (t->file && fclose(t->file) != 0)
		t->failed = true;
	if (t->failed) {
		free(t->data);
		return NULL;
	}
	return t->data;
}

char *plan_variables(const struct runner_options *o, const char *checkpoint)
{
	struct text t;

	text_init(&t);
	put_quoted(&t, "root=", strempty(o->guest_root), "\n");
	put_quoted(&t, "run_as=", strempty(o->run_as), "\n");
	put_quoted(&t, "workdir=", strempty(o->workdir), "\n");
	put_quoted(&t, "checkpoint=", checkpoint, "\n");
	return text_take(&t);
}

static void put_env(struct text *t, const json_t *env, bool ours)
{
	const json_t *value;
	const char *name;

	json_object_foreach((json_t *)env, name, value)
	{
		/* what we tell the job is not for the job to say */
		if (!ours && strncmp(name, "GPUVF_", 6) == 0)
			continue;
		put(t, "export ");
		put(t, name);
		put_quoted(t, "=", json_string_value(value), "\n");
	}
}

static void put_own_env(struct text *t, const struct runner_options *o, const char *device)
{
	char attempt[16];

	snprintf(attempt, sizeof(attempt), "%u", o->attempt);
	put_quoted(t, "export GPUVF_JOB_ID=", o->job_id, "\n");
	put_quoted(t, "export GPUVF_ATTEMPT=", attempt, "\n");
	if (device)
		put_quoted(t, "export GPUVF_DEVICE=", device, "\n");
	put_env(t, o->gpuvf_env, true);
}

char *plan_command(const struct runner_options *o, const char *device)
{
	const json_t *item;
	struct text t;
	size_t i;

	text_init(&t);
	/* the staged copies, this text and its secrets; whoever runs it has it open */
	put(&t, "rm -rf -- \"$GPUVF_STAGE\" 2>/dev/null\nunset GPUVF_STAGE\n");
	/* a shell without it gets what bash calls it */
	put(&t, "command -v source >/dev/null || eval 'source() { . \"$@\"; }'\n");
	put_env(&t, o->env, false);
	put_own_env(&t, o, device);
	json_array_foreach(o->setup, i, item)
	{
		put(&t, json_string_value(item));
		put(&t, "\n");
	}
	if (o->shell) {
		put(&t, o->shell);
		put(&t, "\n");
	} else {
		put(&t, "exec");
		json_array_foreach(o->command, i, item)
			put_quoted(&t, " ", json_string_value(item), "");
		put(&t, "\n");
	}
	return text_take(&t);
}

char *plan_files(const struct runner_options *o)
{
	struct text t;

	text_init(&t);
	for (size_t i = 0; i < o->n_files && !t.failed; i++)
		fprintf(t.file, "%zu %04o %s\n", i, o->files[i].mode ? o->files[i].mode : 0644,
			o->files[i].target);
	return text_take(&t);
}
