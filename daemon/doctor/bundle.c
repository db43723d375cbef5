/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf doctor --bundle: what a maintainer needs to understand a host from afar, in one tar file.
 * Jobs, their environment, files and output are never in it; passwords and keys are starred out
 * where they are read (redact.c, domain-survey.c). */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "doctor/doctor.h"
#include "doctor/redact.h"
#include "doctor/ustar.h"
#include "lib/clock.h"
#include "lib/finding-text.h"
#include "lib/rpc-client.h"
#include "lib/units.h"

/* ---- the daemon's own answers, in a worker ---- */

static const struct {
	const char *method, *file;
	bool list;
} asked_of_daemon[] = {
	{"daemon.status", "daemon/status.json", false},
	{"gpu.list", "daemon/gpus.json", true},
	{"vm.list", "daemon/vms.json", true},
	{"policy.show", "daemon/policy.json", false},
	{"operation.list", "daemon/operations.json", true},
};

static json_t *ask(struct rpc_client *client, const char *method, bool list)
{
	_cleanup_(rpc_error_done) struct rpc_error error = {0};
	_cleanup_json_ json_t *result = NULL;
	int r = rpc_client_call(client, method, list ? json_pack("{s:i}", "limit", 1000) : NULL,
				&result, &error);

	if (r == -ECANCELED)
		return json_pack("{s:s?}", "refused", error.message);
	if (r < 0)
		return json_pack("{s:s}", "failed", strerror(-r));
	return redact_json(result);
}

void gather_daemon(const struct gather_options *o, json_t *ret)
{
	_cleanup_(rpc_client_freep) struct rpc_client *client = NULL;
	int r = rpc_client_connect(o->socket, &client);
	size_t i;

	if (r < 0) {
		(void)json_put(ret, "daemon/not-reachable.json",
			       json_pack("{s:s,s:s}", "socket", o->socket, "why", strerror(-r)));
		return;
	}
	for (i = 0; i < ARRAY_SIZE(asked_of_daemon); i++)
		(void)json_put(ret, asked_of_daemon[i].file,
			       ask(client, asked_of_daemon[i].method, asked_of_daemon[i].list));
}

/* ---- members ---- */

static const char about[] =
	"What gpuvf doctor --bundle has gathered on one host.\n"
	"\n"
	"findings.txt, findings.json   what it says, the worst first\n"
	"host.txt                      what was read of the host: name, file, value\n"
	"gpu-ADDRESS.txt               the same of each GPU, with its configuration space in hex\n"
	"vm-N.txt, vm-N.xml            each VM as libvirt shows it\n"
	"kernel-log.txt, journal.txt   lines about GPUs, VFIO and IOMMU; the daemon's last lines\n"
	"daemon/                       what the running daemon answered\n"
	"\n"
	"Nothing of jobs is in it. Words that name a secret have *** as their value: look through "
	"it\n"
	"all the same before it leaves the house.\n";

struct bundle {
	int fd;
	uint64_t now; /* seconds */
	int r;        /* the first failure; later members are left out */
};

static void add(struct bundle *b, const char *name, const char *text)
{
	if (b->r == 0)
		b->r = text ? ustar_add(b->fd, name, text, strlen(text), b->now) : -ENOMEM;
}

static void add_json(struct bundle *b, const char *name, const json_t *json)
{
	_cleanup_free_ char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;

	add(b, name, text);
}

/* What has a member of its own. */
static bool is_apart(const char *key)
{
	return strncmp(key, "klog.", 5) == 0 || strncmp(key, "journal.", 8) == 0 ||
	       streq(key, "xml");
}

/* All notes but those, or only those whose key begins with prefix, as bare lines. */
static char *notes_text(const struct notebook *book, const char *prefix)
{
	char *text = NULL;
	size_t size = 0, i;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (i = 0; i < book->n; i++) {
		const struct note *note = &book->notes[i];
		const char *value = note_value(note);

		if (prefix && strncmp(note->key, prefix, strlen(prefix)) == 0)
			fprintf(out, "%s\n", strempty(value));
		else if (!prefix && !is_apart(note->key))
			fprintf(out, "%s\t%s\t%s\n", note->key, note->source,
				value ? value : note_problem(note));
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static void add_notes(struct bundle *b, const char *name, const struct notebook *book,
		      const char *prefix)
{
	_cleanup_free_ char *text = notes_text(book, prefix);

	add(b, name, text);
}

static void add_subject(struct bundle *b, const struct subject *s, size_t *vms)
{
	char name[64];

	switch (s->kind) {
	case SUBJECT_HOST:
		add_notes(b, "host.txt", &s->book, NULL);
		add_notes(b, "kernel-log.txt", &s->book, "klog.");
		add_notes(b, "journal.txt", &s->book, "journal.");
		return;
	case SUBJECT_GPU:
		snprintf(name, sizeof(name), "gpu-%.16s.txt", s->name);
		add_notes(b, name, &s->book, NULL);
		return;
	case SUBJECT_VM:
		snprintf(name, sizeof(name), "vm-%zu.txt", ++*vms);
		add_notes(b, name, &s->book, NULL);
		snprintf(name, sizeof(name), "vm-%zu.xml", *vms);
		if (note_find(&s->book, "xml"))
			add_notes(b, name, &s->book, "xml");
		return;
	case SUBJECT_DAEMON:
	case SUBJECT_KIND_MAX:
		return;
	}
}

static int write_members(int fd, const struct examination *e, const struct findings *f)
{
	struct bundle b = {.fd = fd, .now = now_realtime() / USEC_PER_SEC};
	const struct finding_text_options options = {.all = true};
	_cleanup_json_ json_t *result = findings_to_json(f);
	_cleanup_free_ char *text = result ? finding_text(result, &options) : NULL;
	const char *name;
	json_t *answer;
	size_t i, vms = 0;

	add(&b, "README.txt", about);
	add(&b, "findings.txt", text);
	add_json(&b, "findings.json", result);
	for (i = 0; i < e->n; i++)
		add_subject(&b, &e->subjects[i], &vms);
	json_object_foreach(e->daemon, name, answer) add_json(&b, name, answer);
	return b.r == 0 ? ustar_end(fd) : b.r;
}

/* ---- the file ---- */

/* Never over a file that is there: O_EXCL also refuses a symbolic link that somebody laid there. */
static int create(const char *path, bool force)
{
	int fd;

	if (force && unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

int doctor_bundle_create(const char *path, bool force, int *ret)
{
	int fd = create(path, force);

	if (fd == -EEXIST)
		fprintf(stderr, "gpuvfd: %s is there already (--force writes over it)\n", path);
	else if (fd < 0)
		fprintf(stderr, "gpuvfd: %s: %s\n", path, strerror(-fd));
	else
		*ret = fd;
	return MIN_OF(fd, 0);
}

int doctor_bundle_write(const char *path, int fd, const struct examination *e,
			const struct findings *f)
{
	int r = write_members(fd, e, f);

	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(path); /* half a bundle is none */
		fprintf(stderr, "gpuvfd: %s: %s\n", path, strerror(-r));
		return r;
	}
	printf("%s\n", path);
	return 0;
}
