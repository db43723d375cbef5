/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of commands and those about the agent itself and processes; files are in
 * sim-agent-file.c. */
#include "machine/sim-agent.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/base64.h"
#include "machine/sim-agent-internal.h"

#define VERSION_TEXT "7.2.0"
#define ARGUMENTS_MAX 1024

json_t *sim_agent_fail(char **ret_error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_error, format, ap) < 0)
		*ret_error = NULL;
	va_end(ap);
	return NULL;
}

const char *sim_agent_string(const json_t *arguments, const char *name, char **ret_error)
{
	const json_t *value = json_object_get(arguments, name);

	if (!value)
		sim_agent_fail(ret_error, "Parameter '%s' is missing", name);
	else if (!json_is_string(value))
		sim_agent_fail(ret_error, "Invalid parameter type for '%s', expected: string",
			       name);
	return json_string_value(value);
}

int sim_agent_integer(const json_t *arguments, const char *name, bool required, int64_t *ret,
		      char **ret_error)
{
	const json_t *value = json_object_get(arguments, name);

	if (!value && !required)
		return 0;
	if (json_is_integer(value)) {
		*ret = json_integer_value(value);
		return 0;
	}
	if (value)
		sim_agent_fail(ret_error, "Invalid parameter type for '%s', expected: integer",
			       name);
	else
		sim_agent_fail(ret_error, "Parameter '%s' is missing", name);
	return -EINVAL;
}

/* ---- processes ---------------------------------------------------------------------------------
 */

static void output_done(struct agent_output *o)
{
	o->fd = safe_close(o->fd);
	free(o->data);
	o->data = NULL;
}

static void process_remove(struct sim_agent *a, size_t i)
{
	output_done(&a->processes[i].out);
	output_done(&a->processes[i].err);
	a->processes[i] = a->processes[--a->n_processes];
}

static int output_append(struct agent_output *o, const char *bytes, size_t n)
{
	if (o->size + n > o->allocated) {
		size_t allocated = MAX_OF(2 * o->allocated, o->size + n);
		char *data = realloc(o->data, allocated);

		if (!data)
			return -ENOMEM;
		o->data = data;
		o->allocated = allocated;
	}
	memcpy(o->data + o->size, bytes, n);
	o->size += n;
	return 0;
}

/* qemu-ga stops storing at 16 MiB and goes on reading, so that the process does not block. */
static void output_read(struct agent_output *o)
{
	char chunk[16384];
	ssize_t n;

	while (o->fd >= 0) {
		n = read(o->fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			o->fd = safe_close(o->fd);
			return;
		}
		if (o->size + (size_t)n > AGENT_OUTPUT_MAX) {
			o->truncated = true;
			n = (ssize_t)(AGENT_OUTPUT_MAX - o->size);
		}
		if (n > 0 && output_append(o, chunk, (size_t)n) < 0)
			o->truncated = true;
	}
}

/* Also takes in orphans: whoever runs the agent is the subreaper of what it started. */
static void reap(struct sim_agent *a)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < a->n_processes; i++) {
			if (a->processes[i].pid != pid || a->processes[i].ended)
				continue;
			a->processes[i].ended = true;
			a->processes[i].status = status;
		}
	}
}

void sim_agent_pump(struct sim_agent *a)
{
	reap(a);
	for (size_t i = 0; i < a->n_processes; i++) {
		output_read(&a->processes[i].out);
		output_read(&a->processes[i].err);
	}
}

size_t sim_agent_poll(const struct sim_agent *a, struct pollfd *fds, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n_processes && n + 2 <= max; i++) {
		if (a->processes[i].out.fd >= 0)
			fds[n++] = (struct pollfd){.fd = a->processes[i].out.fd, .events = POLLIN};
		if (a->processes[i].err.fd >= 0)
			fds[n++] = (struct pollfd){.fd = a->processes[i].err.fd, .events = POLLIN};
	}
	return n;
}

/* Strings of an array argument behind `first`, NULL-terminated; the strings are borrowed. */
static int string_array(const json_t *arguments, const char *name, const char *first, char ***ret,
			char **ret_error)
{
	const json_t *array = json_object_get(arguments, name);
	size_t n = json_array_size(array), used = 0;
	char **list;

	if ((array && !json_is_array(array)) || n > ARGUMENTS_MAX) {
		sim_agent_fail(ret_error, "Invalid parameter type for '%s', expected: array", name);
		return -EINVAL;
	}
	list = calloc(n + 2, sizeof(*list));
	if (!list)
		return -ENOMEM;
	if (first)
		list[used++] = (char *)first;
	for (size_t i = 0; i < n; i++) {
		list[used] = (char *)json_string_value(json_array_get(array, i));
		if (!list[used++]) {
			free(list);
			sim_agent_fail(ret_error,
				       "Invalid parameter type for '%s[%zu]', expected: string",
				       name, i);
			return -EINVAL;
		}
	}
	*ret = list;
	return 0;
}

/* Descriptors of a child on their way. */
struct launch {
	const char *root;
	char **argv;
	char **env;       /* NULL = the agent's own */
	int in, out, err; /* the child's ends, -1 = /dev/null */
	int failure;      /* written with errno when exec fails */
};

static void child_run(const struct launch *l)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;
	int e;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The guest's process ignores these, and a shell cannot trap what was ignored when it began. */
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setsid();
	if (null < 0 || chdir(l->root) < 0 || dup2(l->in >= 0 ? l->in : null, 0) < 0 ||
	    dup2(l->out >= 0 ? l->out : null, 1) < 0 || dup2(l->err >= 0 ? l->err : null, 2) < 0)
		goto fail;
	if (l->env)
		execvpe(l->argv[0], l->argv, l->env);
	else
		execvp(l->argv[0], l->argv);
fail:
	e = errno;
	(void)!write(l->failure, &e, sizeof(e));
	_exit(127);
}

/* Returns the pid, or a negative errno when the program could not be run. */
static pid_t spawn(struct launch *l)
{
	int pipe_fds[2], error = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	l->failure = pipe_fds[1];
	pid = fork();
	if (pid == 0)
		child_run(l);
	if (pid < 0)
		error = errno;
	close(pipe_fds[1]);
	do {
		n = pid > 0 ? read(pipe_fds[0], &error, sizeof(error)) : 0;
	} while (n < 0 && errno == EINTR);
	close(pipe_fds[0]);
	if (pid > 0 && n > 0)
		(void)waitpid(pid, NULL, 0);
	return error ? -error : pid;
}

/* The bytes of "input-data" as a file to read from; -1 with *ret_error NULL = there are none. */
static int input_file(const json_t *arguments, char **ret_error)
{
	const char *text = json_string_value(json_object_get(arguments, "input-data"));
	_cleanup_free_ void *data = NULL;
	size_t size;
	int fd;

	if (!text)
		return -1;
	if (base64_decode(text, strlen(text), &data, &size) < 0) {
		sim_agent_fail(ret_error, "Base64 data is not valid");
		return -1;
	}
	fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0 || (size > 0 && write(fd, data, size) != (ssize_t)size) ||
	    lseek(fd, 0, SEEK_SET) < 0) {
		sim_agent_fail(ret_error, "Guest agent command failed, error was '%s'",
			       strerror(errno));
		return safe_close(fd);
	}
	return fd;
}

static int capture_pipe(struct agent_output *o, int *ret_child)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	o->fd = fds[0];
	*ret_child = fds[1];
	return 0;
}

static json_t *add_process(struct sim_agent *a, struct launch *l, bool capture, char **ret_error)
{
	struct agent_process *list, *p;
	pid_t pid;
	int r = 0;

	list = realloc(a->processes, (a->n_processes + 1) * sizeof(*list));
	if (!list)
		return sim_agent_fail(ret_error, "Out of memory");
	a->processes = list;
	p = &list[a->n_processes];
	*p = (struct agent_process){.out.fd = -1, .err.fd = -1};
	if (capture)
		r = capture_pipe(&p->out, &l->out);
	if (capture && r >= 0)
		r = capture_pipe(&p->err, &l->err);
	pid = r < 0 ? r : spawn(l);
	if (pid < 0) {
		output_done(&p->out);
		output_done(&p->err);
		return sim_agent_fail(
			ret_error,
			"Guest agent command failed, error was 'Failed to execute child "
			"process \"%s\" (%s)'",
			l->argv[0], strerror(-pid));
	}
	p->pid = pid;
	a->n_processes++;
	return json_pack("{s:i}", "pid", (int)pid);
}

static json_t *guest_exec(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	const char *path = sim_agent_string(arguments, "path", ret_error);
	const json_t *capture = json_object_get(arguments, "capture-output");
	struct launch l = {.root = a->root, .in = -1, .out = -1, .err = -1};
	_cleanup_free_ char **argv = NULL, **env = NULL;
	json_t *result = NULL;

	if (!path || string_array(arguments, "arg", path, &argv, ret_error) < 0)
		return NULL;
	if (json_object_get(arguments, "env") &&
	    string_array(arguments, "env", NULL, &env, ret_error) < 0)
		return NULL;
	if (capture && !json_is_boolean(capture))
		return sim_agent_fail(
			ret_error,
			"Invalid parameter type for 'capture-output', expected: boolean");
	l.argv = argv;
	l.env = env;
	l.in = input_file(arguments, ret_error);
	if (!*ret_error)
		result = add_process(a, &l, json_is_true(capture), ret_error);
	safe_close(l.in);
	safe_close(l.out);
	safe_close(l.err);
	return result;
}

static void put_output(json_t *result, const struct agent_output *o, const char *data_name,
		       const char *truncated_name)
{
	_cleanup_free_ char *text = o->size > 0 ? base64_encode(o->data, o->size) : NULL;

	if (text)
		(void)json_put_string(result, data_name, text);
	if (o->truncated)
		(void)json_put_bool(result, truncated_name, true);
}

/* As in qemu-ga, "exited" waits until the output pipes are closed too, and the answer is given
 * once. */
static json_t *guest_exec_status(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	const struct agent_process *p = NULL;
	json_t *result;
	int64_t pid;
	size_t i;

	if (sim_agent_integer(arguments, "pid", true, &pid, ret_error) < 0)
		return NULL;
	sim_agent_pump(a);
	for (i = 0; i < a->n_processes && !p; i++)
		if (a->processes[i].pid == pid)
			p = &a->processes[i];
	if (!p)
		return sim_agent_fail(ret_error, "Invalid parameter 'pid'");
	if (!p->ended || p->out.fd >= 0 || p->err.fd >= 0)
		return json_pack("{s:b}", "exited", 0);
	result = json_pack("{s:b}", "exited", 1);
	if (WIFEXITED(p->status))
		(void)json_put_uint(result, "exitcode", (uint64_t)WEXITSTATUS(p->status));
	else
		(void)json_put_uint(result, "signal", (uint64_t)WTERMSIG(p->status));
	put_output(result, &p->out, "out-data", "out-truncated");
	put_output(result, &p->err, "err-data", "err-truncated");
	process_remove(a, (size_t)(p - a->processes));
	return result;
}

/* ---- the agent itself -------------------------------------------------------------------------
 */

static json_t *guest_ping(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	return json_object();
}

static json_t *guest_sync(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	int64_t id;

	if (sim_agent_integer(arguments, "id", true, &id, ret_error) < 0)
		return NULL;
	return json_integer(id);
}

static json_t *guest_info(struct sim_agent *a, const json_t *arguments, char **ret_error);

struct agent_command {
	const char *name;
	json_t *(*run)(struct sim_agent *a, const json_t *arguments, char **ret_error);
	bool exec;               /* can be switched off */
	const char *accepted[6]; /* names of arguments */
};

static const struct agent_command commands[] = {
	{"guest-exec", guest_exec, true, {"path", "arg", "env", "input-data", "capture-output"}},
	{"guest-exec-status", guest_exec_status, true, {"pid"}},
	{"guest-file-close", sim_agent_file_close, false, {"handle"}},
	{"guest-file-flush", sim_agent_file_flush, false, {"handle"}},
	{"guest-file-open", sim_agent_file_open, false, {"path", "mode"}},
	{"guest-file-read", sim_agent_file_read, false, {"handle", "count"}},
	{"guest-file-seek", sim_agent_file_seek, false, {"handle", "offset", "whence"}},
	{"guest-file-write", sim_agent_file_write, false, {"handle", "buf-b64", "count"}},
	{"guest-info", guest_info, false, {NULL}},
	{"guest-ping", guest_ping, false, {NULL}},
	{"guest-sync", guest_sync, false, {"id"}},
	{"guest-sync-delimited", guest_sync, false, {"id"}},
};

static json_t *guest_info(struct sim_agent *a, const json_t *arguments, char **ret_error)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		(void)json_array_append_new(
			list, json_pack("{s:s, s:b, s:b}", "name", commands[i].name, "enabled",
					!(a->no_exec && commands[i].exec), "success-response", 1));
	return json_pack("{s:s, s:o}", "version", VERSION_TEXT, "supported_commands", list);
}

static const struct agent_command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (streq(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static const char *unexpected_argument(const struct agent_command *c, const json_t *arguments)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)arguments, name, value)
	{
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(c->accepted) && c->accepted[i]; i++)
			known = known || streq(c->accepted[i], name);
		if (!known)
			return name;
	}
	return NULL;
}

json_t *sim_agent_command(struct sim_agent *a, const json_t *command, bool no_exec,
			  char **ret_error)
{
	const char *name = json_get_string(command, "execute"), *unexpected;
	const json_t *arguments = json_object_get(command, "arguments");
	const struct agent_command *c;

	*ret_error = NULL;
	if (!name)
		return sim_agent_fail(ret_error, "QMP input lacks member 'execute'");
	c = find_command(name);
	if (!c)
		return sim_agent_fail(ret_error, "The command %.64s has not been found", name);
	if (no_exec && c->exec)
		return sim_agent_fail(ret_error,
				      "Command %s has been disabled: the command is not allowed",
				      name);
	if (arguments && !json_is_object(arguments))
		return sim_agent_fail(ret_error, "QMP input member 'arguments' must be an object");
	unexpected = unexpected_argument(c, arguments);
	if (unexpected)
		return sim_agent_fail(ret_error, "Parameter '%.64s' is unexpected", unexpected);
	a->no_exec = no_exec;
	return c->run(a, arguments, ret_error);
}

int sim_agent_new(const char *root, struct sim_agent **ret)
{
	_cleanup_(sim_agent_freep) struct sim_agent *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->next_handle = 1000; /* qemu-ga's first, in its default state */
	a->root = strdup(root);
	if (!a->root)
		return -ENOMEM;
	*ret = TAKE_PTR(a);
	return 0;
}

struct sim_agent *sim_agent_free(struct sim_agent *a)
{
	if (!a)
		return NULL;
	while (a->n_processes > 0)
		process_remove(a, 0);
	free(a->processes);
	for (size_t i = 0; i < a->n_files; i++)
		safe_close(a->files[i].fd);
	free(a->files);
	free(a->root);
	free(a);
	return NULL;
}
