/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf-machine: the made-up machine behind `gpuvfd --simulate`, and its two one-shot questions
 * --stop and --ask. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "lib/io.h"
#include "lib/line-buffer.h"
#include "machine/sim-server.h"
#include "machine/sim-wire.h"

#define ANSWER_MS 30000 /* --ask and --stop give up after this */

static const char usage[] =
	"usage: gpuvf-machine [--socket PATH] --state-dir DIR [--detached] DOCUMENT\n"
	"       gpuvf-machine --check DOCUMENT\n"
	"       gpuvf-machine --stop DIR\n"
	"       gpuvf-machine --ask DIR OP [JSON]\n"
	"\n"
	"The made-up machine behind `gpuvfd --simulate`.  It listens on DIR/machine.sock,\n"
	"outlives the daemon, and ends when nobody has been connected for a minute\n"
	"(\"linger_seconds\" of the document) or by --stop.\n"
	"\n"
	"  --socket PATH     listen there (default DIR/machine.sock)\n"
	"  --state-dir DIR   where the guests' files are\n"
	"  --detached        let go of standard input, output and error once it listens\n"
	"  --check           only read the document\n"
	"  --stop DIR        end the machine of that directory and everything it runs\n"
	"  --ask DIR OP      ask it: state, writes, fault, domain-stop, …; JSON adds members\n"
	"  --version, --help\n";

struct options {
	const char *socket;
	const char *state_dir;
	bool detached;
	bool check;
	bool stop;
	bool ask;
};

static int fail(const char *subject, int r)
{
	fprintf(stderr, "gpuvf-machine: %s: %s\n", subject, strerror(-r));
	return EXIT_FAILURE;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static int connect_to(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = ANSWER_MS / 1000};
	struct sockaddr_un address;
	int r;

	if (fd < 0)
		return -errno;
	r = sim_socket_address(path, &address);
	if (r < 0)
		return r;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* One line there and one back.  Returns 0 with new *ret, the member "reply". */
static int exchange(int fd, const json_t *request, json_t **ret)
{
	_cleanup_json_ json_t *message = json_pack("{s:i, s:O}", "id", 1, "machine", request);
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_free_ char *text = message ? json_text(message) : NULL;
	struct line_buffer buffer;
	size_t size;
	char *line;
	ssize_t n;
	int r;

	if (!text)
		return -ENOMEM;
	r = write_all(fd, text, strlen(text));
	if (r >= 0)
		r = write_all(fd, "\n", 1);
	if (r < 0)
		return r;
	line_buffer_init(&buffer, SIM_LINE_MAX);
	while ((r = line_buffer_next(&buffer, &line, &size)) == 0) {
		n = line_buffer_read(&buffer, fd);
		if (n <= 0) {
			r = n == 0 ? -EPIPE : n == -EAGAIN ? -ETIMEDOUT : (int)n;
			break;
		}
	}
	if (r > 0)
		r = json_parse(line, size, &answer, NULL);
	line_buffer_done(&buffer);
	if (r < 0)
		return r;
	*ret = json_incref(json_object_get(answer, "reply"));
	return *ret ? 0 : -EBADMSG;
}

static int ask(const char *state_dir, const char *op, const char *members)
{
	_cleanup_free_ char *path = xasprintf("%s/machine.sock", state_dir), *text = NULL;
	_cleanup_json_ json_t *request = NULL, *reply = NULL;
	_cleanup_close_ int fd = -1;
	json_error_t error;
	int r;

	if (members && (json_parse(members, strlen(members), &request, &error) < 0 ||
			!json_is_object(request))) {
		fprintf(stderr,
			"gpuvf-machine: %s: not a JSON object (such as '{\"gpu\": \"gpu0\"}')\n",
			members);
		return 2;
	}
	if (!request)
		request = json_object();
	if (!path || json_put_string(request, "op", op) < 0)
		return fail("memory", -ENOMEM);
	fd = connect_to(path);
	if (fd < 0)
		return fail(path, fd);
	r = exchange(fd, request, &reply);
	if (r < 0)
		return fail(path, r);
	text = json_text(reply);
	printf("%s\n", strempty(text));
	return json_object_get(reply, "error") ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Waits until the machine has closed the connection, which it does last: its processes are gone
 * then. */
static int stop(const char *state_dir)
{
	_cleanup_free_ char *path = xasprintf("%s/machine.sock", state_dir);
	_cleanup_json_ json_t *request = json_pack("{s:s}", "op", "stop"), *reply = NULL;
	_cleanup_close_ int fd = -1;
	char rest[256];
	ssize_t n;
	int r;

	if (!path || !request)
		return fail("memory", -ENOMEM);
	fd = connect_to(path);
	if (fd == -ENOENT || fd == -ECONNREFUSED) {
		fprintf(stderr, "gpuvf-machine: %s: no machine runs there\n", state_dir);
		return EXIT_SUCCESS;
	}
	if (fd < 0)
		return fail(path, fd);
	r = exchange(fd, request, &reply);
	if (r < 0 && r != -EPIPE)
		return fail(path, r);
	do {
		n = read(fd, rest, sizeof(rest));
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 && errno != ECONNRESET ? fail(path, -errno) : EXIT_SUCCESS;
}

/* ---- being the machine --------------------------------------------------------------------------
 */

/* One machine for a state directory.  The lock ends with the process. */
static int lock_state(const char *state_dir)
{
	_cleanup_free_ char *path = xasprintf("%s/machine.lock", state_dir);
	_cleanup_close_ int fd = -1;

	if (!path)
		return -ENOMEM;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
	return TAKE_FD(fd);
}

static void let_go_of_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null >= 0 && fd < 3; fd++)
		(void)dup2(null, fd);
	safe_close(null);
}

static int run(const struct options *o, struct sim_document *document)
{
	_cleanup_free_ char *guests = NULL, *path = NULL, *state_dir = realpath(o->state_dir, NULL);
	_cleanup_(sim_server_freep) struct sim_server *server = NULL;
	_cleanup_(sd_event_unrefp) sd_event *event = NULL;
	_cleanup_close_ int lock = -1;
	int r;

	if (state_dir) {
		guests = xasprintf("%s/guests", state_dir);
		path = o->socket ? strdup(o->socket) : xasprintf("%s/machine.sock", state_dir);
	}
	if (!guests || !path) {
		sim_document_free(document);
		return fail(o->state_dir, -errno);
	}
	lock = lock_state(state_dir);
	if (lock < 0) {
		sim_document_free(document);
		return fail(state_dir, lock);
	}
	r = sd_event_new(&event);
	if (r < 0) {
		sim_document_free(document);
		return fail("event loop", r);
	}
	(void)sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	(void)sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
	r = sim_server_new(event, path, guests, document, &server);
	if (r < 0)
		return fail(path, r);
	if (o->detached)
		let_go_of_stdio();
	r = sd_event_loop(event);
	return r < 0 ? fail("event loop", r) : EXIT_SUCCESS;
}

static int load_and_run(const struct options *o, const char *file)
{
	struct sim_document *document = NULL;
	_cleanup_free_ char *message = NULL;
	int r;

	r = sim_document_load(file, &document, &message);
	if (r < 0) {
		fprintf(stderr, "gpuvf-machine: %s\n", message ? message : strerror(-r));
		return EXIT_FAILURE;
	}
	if (o->check) {
		sim_document_free(document);
		return EXIT_SUCCESS;
	}
	if (mkdir(o->state_dir, 0700) < 0 && errno != EEXIST) {
		sim_document_free(document);
		return fail(o->state_dir, -errno);
	}
	return run(o, document);
}

static int bad_usage(const char *what)
{
	fprintf(stderr, "gpuvf-machine: %s\n%s", what, usage);
	return 2;
}

static int run_verb(const struct options *o, int argc, char **argv)
{
	if (o->stop)
		return argc == 1 ? stop(argv[0]) : bad_usage("--stop takes one directory");
	if (o->ask)
		return argc == 2 || argc == 3
			       ? ask(argv[0], argv[1], argc == 3 ? argv[2] : NULL)
			       : bad_usage(
					 "--ask takes a directory, an operation and perhaps JSON");
	if (argc != 1)
		return bad_usage("give one simulation document");
	if (!o->check && !o->state_dir)
		return bad_usage("--state-dir is missing");
	return load_and_run(o, argv[0]);
}

int main(int argc, char **argv)
{
	static const struct option table[] = {
		{"socket", required_argument, NULL, 's'},
		{"state-dir", required_argument, NULL, 'd'},
		{"detached", no_argument, NULL, 'D'},
		{"check", no_argument, NULL, 'c'},
		{"stop", no_argument, NULL, 'S'},
		{"ask", no_argument, NULL, 'a'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {0};
	sigset_t blocked;
	int c;

	while ((c = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
		switch (c) {
		case 's':
			o.socket = optarg;
			break;
		case 'd':
			o.state_dir = optarg;
			break;
		case 'D':
			o.detached = true;
			break;
		case 'c':
			o.check = true;
			break;
		case 'S':
			o.stop = true;
			break;
		case 'a':
			o.ask = true;
			break;
		case 'V':
			printf("gpuvf-machine %s\n", PACKAGE_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			return bad_usage("unknown option");
		}
	}
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &blocked, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return run_verb(&o, argc - optind, argv + optind);
}
