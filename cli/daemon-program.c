/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvfd run by the client, for what needs no running daemon: only it has the loaders and the
 * doctor. */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <sys/wait.h>

#include "cli/cli.h"

#define OUTPUT_MAX ((size_t)16 << 20)

extern char **environ;

/* Beside this program, as in a build folder; returns new, or NULL. */
static char *beside_ourselves(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *found;

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	found = xasprintf("%s/gpuvfd", dirname(path));
	if (found && access(found, X_OK) == 0)
		return found;
	free(found);
	return NULL;
}

/* GPUVFD, beside ourselves, where it was installed, else by PATH.  Returns new. */
static char *find_daemon(void)
{
	const char *named = getenv("GPUVFD");
	char *found;

	if (named && *named)
		return strdup(named);
	found = beside_ourselves();
	if (found)
		return found;
	return strdup(access(SBINDIR "/gpuvfd", X_OK) == 0 ? SBINDIR "/gpuvfd" : "gpuvfd");
}

/* Everything until its end.  Returns 0 with new *ret or a negative errno. */
static int read_all(int fd, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0, allocated = 0;

	for (;;) {
		ssize_t n;

		if (size + 1 >= allocated) {
			char *grown = realloc(text, allocated = allocated ? allocated * 2 : 65536);

			if (!grown)
				return -ENOMEM;
			text = grown;
		}
		n = read(fd, text + size, allocated - size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		size += (size_t)n;
		if (size > OUTPUT_MAX)
			return -EFBIG;
		if (n == 0)
			break;
	}
	text[size] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}

static int spawn_daemon(const char *program, char **argv, int out, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r == 0 && out >= 0)
		r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnp(ret, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static int wait_daemon(struct cli *cli, const char *program, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return cli_refuse(cli, RPC_HOST_ERROR, NULL, "%s: %s", program,
					  strerror(errno));
	if (!WIFEXITED(status))
		return cli_refuse(cli, RPC_HOST_ERROR, NULL, "%s was ended by signal %d", program,
				  WTERMSIG(status));
	return WEXITSTATUS(status);
}

int cli_run_daemon(struct cli *cli, char **argv, char **ret_output)
{
	_cleanup_free_ char *program = find_daemon();
	_cleanup_close_ int ours = -1, theirs = -1;
	int pair[2], r;
	pid_t pid;

	if (!program)
		return cli_out_of_memory(cli);
	if (ret_output) {
		if (pipe2(pair, O_CLOEXEC) < 0)
			return cli_out_of_memory(cli);
		ours = pair[0];
		theirs = pair[1];
	}
	argv[0] = program;
	fflush(cli->out);
	fflush(cli->err);
	r = spawn_daemon(program, argv, theirs, &pid);
	if (r != 0)
		return cli_refuse(cli, RPC_HOST_ERROR,
				  "is it installed?  GPUVFD=PATH says where it is",
				  "%s cannot be run: %s", program, strerror(r));
	theirs = safe_close(theirs);
	r = ret_output ? read_all(ours, ret_output) : 0;
	ours = safe_close(ours);
	if (r < 0) {
		(void)wait_daemon(cli, program, pid);
		return cli_refuse(cli, RPC_HOST_ERROR, NULL, "%s: its output cannot be read: %s",
				  program, strerror(-r));
	}
	return wait_daemon(cli, program, pid);
}
