/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts gpuvf-machine so that it outlives us: no parent, session or descriptor of ours.  Its standard error is a
 * pipe until it listens; the end of that pipe says that it does, text in it says why it does not. */
#include "machine/machine-client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/io.h"
#include "lib/units.h"

#define LISTEN_DEADLINE (5 * USEC_PER_SEC)
#define MESSAGE_MAX 4096

static _Noreturn void run_program(const char *program, const char *socket_path,
				  const char *state_dir, const char *document, int error_fd)
{
	const char *argv[] = { program,		"--detached", "--socket", socket_path,
			       "--state-dir", state_dir,    "--",	      document, NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	(void)dup2(null, 0);
	(void)dup2(null, 1);
	(void)dup2(error_fd, 2);
	(void)close_range(3, ~0U, 0);
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(program, (char **)argv);
	dprintf(2, "cannot run %s: %s\n", program, strerror(errno));
	_exit(127);
}

/* Reads until the other side has closed.  Returns 0, -ETIMEDOUT, or another negative errno. */
static int read_to_end(int fd, char text[static MESSAGE_MAX])
{
	uint64_t end = now_boottime() + LISTEN_DEADLINE;
	size_t size = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = now_boottime();
		char dropped[256];
		ssize_t n;

		if (now >= end)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((end - now) / USEC_PER_MSEC) + 1);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		if (size < MESSAGE_MAX - 1)
			n = read(fd, text + size, MESSAGE_MAX - 1 - size);
		else
			n = read(fd, dropped, sizeof(dropped));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		if (n > 0 && size < MESSAGE_MAX - 1)
			size += (size_t)n;
	}
	text[size] = '\0';
	return 0;
}

/* The child in between ends at once, so that the program's parent is init. */
static int fork_twice(const char *program, const char *socket_path, const char *state_dir,
		      const char *document, int error_fd)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		(void)setsid();
		pid = fork();
		if (pid == 0)
			run_program(program, socket_path, state_dir, document, error_fd);
		_exit(pid < 0 ? 1 : 0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* "/a/b/machine.sock" → "/a/b". */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return xasprintf("%.*s", (int)MAX_OF(slash - path, 1), path);
}

int machine_spawn(const char *program, const char *socket_path, const char *document,
		  char **ret_message)
{
	_cleanup_free_ char *state_dir = directory_of(socket_path);
	_cleanup_close_ int read_end = -1, write_end = -1;
	char text[MESSAGE_MAX] = "";
	int fds[2], r;

	if (!state_dir)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	read_end = fds[0];
	write_end = fds[1];
	r = fork_twice(program, socket_path, state_dir, document, write_end);
	write_end = safe_close(write_end);
	if (r >= 0)
		r = read_to_end(read_end, text);
	if (r == -ETIMEDOUT)
		*ret_message = xasprintf("%s does not listen on %s after 5 s", program, socket_path);
	if (r < 0)
		return r;
	if (text[0] != '\0') {
		*ret_message = strdup(trim_end(text));
		return -EINVAL;
	}
	return 0;
}
