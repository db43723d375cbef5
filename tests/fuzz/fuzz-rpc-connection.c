/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything one client can send, through the real server and method tables to a made-up manager.
 * The first byte says in which pieces the rest arrives.  Every line of the answer must be a message,
 * and after the client's half-close the connection must end. */
#include <sys/socket.h>

#include "fuzz.h"
#include "lib/line-buffer.h"
#include "log/log.h"
#include "rpc/methods.h"
#include "rpc/rpc-server.h"
#include "tests/support/fake-manager.h"

unsigned fuzz_cost = 10; /* a socket pair, an event loop and a server for each input */

struct peer {
	sd_event *event;
	int fd;
	struct line_buffer in;
	bool eof;
};

static void run_loop(struct peer *p)
{
	int r;

	do {
		r = sd_event_run(p->event, 0);
		FUZZ_CHECK(r >= 0);
	} while (r > 0);
}

static void check_message(const char *line, size_t size)
{
	_cleanup_json_ json_t *json = NULL;

	FUZZ_CHECK(json_parse(line, size, &json, NULL) == 0);
	FUZZ_CHECK(json_is_array(json) || json_is_object(json));
	if (json_is_object(json))
		FUZZ_CHECK(streq_ptr(json_get_string(json, "jsonrpc"), "2.0"));
}

static void read_answers(struct peer *p)
{
	char *line;
	size_t size;
	ssize_t n;

	do {
		n = line_buffer_read(&p->in, p->fd);
		p->eof = p->eof || n == 0;
	} while (n > 0);
	while (line_buffer_next(&p->in, &line, &size) == 1)
		check_message(line, size);
}

/* A refused client's input goes on being read: it never blocks for long. */
static void send_pieces(struct peer *p, const uint8_t *data, size_t size, size_t piece)
{
	while (size > 0) {
		ssize_t n = send(p->fd, data, MIN_OF(size, piece), MSG_NOSIGNAL | MSG_DONTWAIT);

		FUZZ_CHECK(n > 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
		run_loop(p);
		read_answers(p);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manager manager = { .role = ROLE_ADMIN, .next_seq = 1 };
	struct rpc_server_options options = {
		.manager = &manager,
		.methods = rpc_methods,
		.listen_fd = -1,
		.limits = RPC_LIMITS_DEFAULT,
	};
	struct rpc_server *server = NULL;
	struct peer p = { 0 };
	int fds[2], rounds;

	if (size == 0)
		return 0;
	log_setup(LOG_EMERG, false);
	FUZZ_CHECK(sd_event_new(&p.event) >= 0);
	options.event = p.event;
	FUZZ_CHECK(rpc_server_new(&options, &server) == 0);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	FUZZ_CHECK(rpc_server_add(server, fds[1]) == 0);
	p.fd = fds[0];
	line_buffer_init(&p.in, RPC_OUTPUT_MAX);

	send_pieces(&p, data + 1, size - 1, data[0] == 0 ? size : data[0]);
	fake_manager_emit(&manager, "gpu.changed", "gpu0");
	(void)shutdown(p.fd, SHUT_WR); /* it may have been refused and gone */
	for (rounds = 0; rounds < 1000 && !p.eof; rounds++) {
		run_loop(&p);
		read_answers(&p);
	}
	FUZZ_CHECK(p.eof);
	run_loop(&p);
	FUZZ_CHECK(rpc_server_connections(server) == 0);
	FUZZ_CHECK(manager.n_subscribers == 0);

	rpc_server_free(server);
	fake_manager_done(&manager);
	safe_close(p.fd);
	line_buffer_done(&p.in);
	sd_event_unref(p.event);
	return 0;
}
