/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes and removes the socket's file.  Runs at start and end, never on the loop. */
#include "rpc/rpc-socket.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 128

static int refuse(char **ret_message, int r, const char *format, ...) _printf_(3, 4);
static int refuse(char **ret_message, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_message, format, ap) < 0)
		*ret_message = NULL;
	va_end(ap);
	return r;
}

/* Returns 0 when somebody listens, -ECONNREFUSED when nobody does, or another negative errno. */
static int try_connect(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return 0;
	return errno == EAGAIN ? 0 : -errno; /* EAGAIN: its backlog is full */
}

static int clear_path(const struct sockaddr_un *address, char **ret_message)
{
	const char *path = address->sun_path;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 :
					 refuse(ret_message, -errno, "cannot look at %s: %m", path);
	if (!S_ISSOCK(st.st_mode))
		return refuse(ret_message, -EEXIST,
			      "%s is not a socket: move it away, or choose another path with "
			      "--socket",
			      path);

	r = try_connect(address);
	if (r == 0)
		return refuse(ret_message, -EADDRINUSE,
			      "another daemon listens on %s: stop it, or choose another path with "
			      "--socket",
			      path);
	if (r != -ECONNREFUSED)
		return refuse(ret_message, r, "cannot tell whether %s is in use: %s", path,
			      strerror(-r));
	if (unlink(path) < 0)
		return refuse(ret_message, -errno, "cannot remove the stale socket %s: %m", path);
	return 0;
}

/* Only the last folder: a mistyped path shall not grow a tree. */
static void make_parent(const char *path)
{
	_cleanup_free_ char *parent = strdup(path);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (slash && slash != parent) {
		*slash = '\0';
		(void)mkdir(parent, 0755); /* bind() tells what is wrong */
	}
}

int rpc_socket_open(const char *path, gid_t gid, int *ret_fd, char **ret_message)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	mode_t before;
	int r;

	*ret_message = NULL;
	if (strlen(path) >= sizeof(address.sun_path))
		return refuse(ret_message, -ENAMETOOLONG,
			      "the socket's path is longer than %zu bytes: %s",
			      sizeof(address.sun_path) - 1, path);
	strcpy(address.sun_path, path);
	make_parent(path);
	r = clear_path(&address, ret_message);
	if (r < 0)
		return r;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse(ret_message, -errno, "cannot make a socket: %m");

	/* Nobody else may connect between bind() and a chmod(). */
	before = umask(0117);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(before);
	if (r < 0)
		return refuse(ret_message, r, "cannot bind %s: %s", path, strerror(-r));
	if (gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) < 0) {
		r = refuse(ret_message, -errno, "cannot give %s to group %u: %m",
			   address.sun_path, gid);
		(void)unlink(path);
		return r;
	}
	if (listen(fd, BACKLOG) < 0) {
		r = refuse(ret_message, -errno, "cannot listen on %s: %m", path);
		(void)unlink(path);
		return r;
	}

	*ret_fd = TAKE_FD(fd);
	return 0;
}

void rpc_socket_remove(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;

	if (strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && try_connect(&address) == -ECONNREFUSED)
		(void)unlink(path); /* a stale one does no harm */
}
