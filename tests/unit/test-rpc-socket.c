/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's own socket: modes, stale and live ones, and a real client over it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "rpc/peer.h"
#include "rpc/rpc-socket.h"
#include "tests/support/rpc-bench.h"

static char directory[64], path[128];

static int make_directory(void **state)
{
	strcpy(directory, "/tmp/gpuvf-test-socket-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/gpuvf.sock", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)unlink(path);
	return rmdir(directory);
}

static int open_socket(void)
{
	_cleanup_free_ char *message = NULL;
	int fd = -1, r;

	r = rpc_socket_open(path, (gid_t)-1, &fd, &message);
	if (r < 0)
		fail_msg("%s: %s", strerror(-r), strempty(message));
	return fd;
}

static void refuse_socket(const char *at, int r, const char *word)
{
	_cleanup_free_ char *message = NULL;
	int fd = -1;

	assert_int_equal(rpc_socket_open(at, (gid_t)-1, &fd, &message), r);
	assert_int_equal(fd, -1);
	assert_non_null(message);
	if (!strstr(message, word))
		fail_msg("\"%s\" is not in: %s", word, message);
}

static void test_mode(void **state)
{
	struct stat st;
	mode_t before = umask(0);
	int fd = open_socket();

	umask(before);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	close(fd);
	rpc_socket_remove(path);
	assert_int_equal(stat(path, &st), -1);
}

static void test_stale_socket_is_replaced(void **state)
{
	close(open_socket());
	close(open_socket());
}

static void test_live_socket(void **state)
{
	int fd = open_socket();
	struct stat st;

	refuse_socket(path, -EADDRINUSE, "another daemon listens");
	rpc_socket_remove(path); /* in use: stays */
	assert_int_equal(stat(path, &st), 0);
	close(fd);
}

static void test_other_file(void **state)
{
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	refuse_socket(path, -EEXIST, "is not a socket");
}

static void test_paths(void **state)
{
	char longer[200], nested[160];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	refuse_socket(longer, -ENAMETOOLONG, "107 bytes");
	snprintf(nested, sizeof(nested), "%s/no/such/socket", directory);
	refuse_socket(nested, -ENOENT, "cannot bind");
}

static void test_accepts(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct rpc_server_options options = { .limits = RPC_LIMITS_DEFAULT };
	static const struct rpc_method *const tables[] = { bench_methods, NULL };
	struct bench_client c = { 0 };
	struct bench bench;

	bench_start(&bench, NULL, NULL);
	bench.server = rpc_server_free(bench.server);
	options.event = bench.event;
	options.manager = &bench.manager;
	options.methods = tables;
	options.listen_fd = open_socket();
	assert_int_equal(rpc_server_new(&options, &bench.server), 0);

	c.bench = &bench;
	c.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	strcpy(address.sun_path, path);
	line_buffer_init(&c.in, MIB);
	assert_int_equal(connect(c.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	bench_send(&c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.admin\"}");
	bench_expect_result(&c, "1", "true");
	bench_disconnect(&c);
	bench_stop(&bench);
}

static void test_peer(void **state)
{
	struct caller caller = { 0 };
	bool found = false;
	int fds[2];
	size_t i;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(peer_read(fds[0], &caller), 0);
	assert_int_equal(caller.uid, geteuid());
	assert_int_equal(caller.role, ROLE_NONE);
	for (i = 0; i < caller.n_gids; i++)
		found = found || caller.gids[i] == getegid();
	assert_true(found);
	caller_done(&caller);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(peer_read(fds[0], &caller), -ENOTSOCK);
	close(fds[0]);
	close(fds[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mode),
		TEST(test_stale_socket_is_replaced),
		TEST(test_live_socket),
		TEST(test_other_file),
		TEST(test_paths),
		TEST(test_accepts),
		TEST(test_peer),
	};

	return cmocka_run_group_tests_name("rpc-socket", tests, NULL, NULL);
}
