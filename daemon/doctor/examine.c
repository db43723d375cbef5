/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workers: each part is looked at by a forked process that writes its notes into a pipe.  One that
 * hangs in the kernel is left behind after its deadline, with what it was looking at as evidence.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "doctor/doctor.h"
#include "host/helper-spawn.h"
#include "lib/clock.h"
#include "lib/io.h"
#include "lib/units.h"

/* A healthy host answers all of them within 100 ms; a slow disk's journal and a libvirt that is
 * just being started take longest. */
#define HOST_DEADLINE (15 * USEC_PER_SEC)
#define LOG_DEADLINE (15 * USEC_PER_SEC)
#define LIBVIRT_DEADLINE (25 * USEC_PER_SEC)
#define DAEMON_DEADLINE (10 * USEC_PER_SEC)
/* As HOST_READ's own (host-message.c): what takes longer there makes a GPU wedged. */
#define GPU_DEADLINE (5 * USEC_PER_SEC)
#define ANSWER_MAX ((size_t)16 * MIB)

struct worker {
	const char *what; /* "the host", or a GPU's address */
	void (*work)(struct worker *w, struct looker *l, json_t *answer);
	const struct gather_options *o;
	uint64_t deadline;
	enum subject_kind kind; /* whose notes it makes */
	pid_t pid;
	int fd;
	char *text;
	size_t size;
};

/* ---- in the worker ---- */

static void work_host(struct worker *w, struct looker *l, json_t *answer)
{
	gather_host(l, w->o);
}

static void work_log(struct worker *w, struct looker *l, json_t *answer)
{
	gather_kernel_log(l);
	if (w->o->bundle)
		gather_journal(l);
}

static void work_libvirt(struct worker *w, struct looker *l, json_t *answer)
{
	json_t *vms = json_array();

	sysfs_announce(l->sysfs, "libvirt");
	gather_vms(l->book, w->o, vms);
	(void)json_put(answer, "vms", vms);
}

static void work_daemon(struct worker *w, struct looker *l, json_t *answer)
{
	json_t *daemon = json_object();

	gather_daemon(w->o, daemon);
	(void)json_put(answer, "daemon", daemon);
}

static void work_gpu(struct worker *w, struct looker *l, json_t *answer)
{
	gather_gpu(l, w->what, w->o->bundle);
}

/* Nothing of ours may stay open in a process that hangs: whoever reads our output would wait. */
static void close_streams(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), i;

	for (i = 0; i <= 2 && null >= 0; i++)
		(void)dup2(null, i);
}

static void __attribute__((noreturn)) be_worker(struct worker *w, int fd, pid_t parent)
{
	struct notebook book = {0};
	struct sysfs sysfs;
	struct looker l = {.sysfs = &sysfs, .book = &book};
	json_t *answer = json_object();
	char *text;

	close_streams();
	/* Whoever ends the doctor ends its workers, as far as the kernel lets them. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	if (!answer || sysfs_open(w->o->sysfs_root, &sysfs) < 0)
		_exit(1);
	w->work(w, &l, answer);
	(void)json_put(answer, "notes", notebook_to_json(&book));
	text = json_text(answer);
	_exit(text && write_all(fd, text, strlen(text)) == 0 ? 0 : 1);
}

/* ---- outside ---- */

static int worker_start(struct worker *w)
{
	pid_t parent = getpid();
	int pair[2];

	w->fd = -1;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	w->pid = fork();
	if (w->pid < 0) {
		safe_close(pair[0]);
		safe_close(pair[1]);
		return -errno;
	}
	if (w->pid == 0) {
		safe_close(pair[0]);
		be_worker(w, pair[1], parent);
	}
	safe_close(pair[1]);
	w->fd = pair[0];
	w->deadline += now_boottime();
	return 0;
}

/* Reads what is there.  Returns false when nothing more comes. */
static bool worker_read(struct worker *w)
{
	char buf[65536];
	ssize_t n = read(w->fd, buf, sizeof(buf));
	char *grown;

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0 || w->size + (size_t)n > ANSWER_MAX)
		return false;
	grown = realloc(w->text, w->size + (size_t)n + 1);
	if (!grown)
		return false;
	w->text = grown;
	memcpy(grown + w->size, buf, (size_t)n);
	w->size += (size_t)n;
	grown[w->size] = '\0';
	return true;
}

static void worker_end(struct worker *w)
{
	w->fd = safe_close(w->fd);
	(void)waitpid(w->pid, NULL, 0); /* it has closed its pipe, which it does by ending */
}

/* Its name still says what it was looking at. */
static void worker_give_up(struct worker *w, struct examination *e)
{
	_cleanup_free_ char *at = helper_attribute(w->pid);
	_cleanup_free_ char *key = xasprintf("silent.%s", w->what);
	size_t i;

	(void)kill(w->pid, SIGKILL);
	w->fd = safe_close(w->fd);
	(void)waitpid(w->pid, NULL, WNOHANG); /* one that sleeps in the kernel is left behind */
	for (i = 0; i < e->n; i++)
		if (e->subjects[i].kind == w->kind &&
		    (w->kind == SUBJECT_HOST || streq(e->subjects[i].name, w->what))) {
			if (w->kind == SUBJECT_GPU)
				e->subjects[i].silent = TAKE_PTR(at);
			else if (key)
				notebook_add(&e->subjects[i].book, key, strempty(at), NOTE_FAILED,
					     "no answer in time");
		}
}

static void append_notes(struct notebook *book, const json_t *json)
{
	struct notebook more = {0};
	size_t i;

	if (notebook_from_json(json, &more) < 0) {
		book->incomplete = true;
		return;
	}
	for (i = 0; i < more.n; i++)
		notebook_add(book, more.notes[i].key, more.notes[i].source, more.notes[i].outcome,
			     more.notes[i].value);
	notebook_done(&more);
}

static void take_answer(struct worker *w, struct examination *e)
{
	_cleanup_json_ json_t *answer = NULL;
	struct subject *subject = NULL;
	json_t *vm;
	size_t i;

	for (i = 0; i < e->n; i++)
		if (e->subjects[i].kind == w->kind &&
		    (w->kind == SUBJECT_HOST || streq(e->subjects[i].name, w->what)))
			subject = &e->subjects[i];
	if (!subject)
		return;
	if (!w->text || json_parse(w->text, w->size, &answer, NULL) < 0) {
		_cleanup_free_ char *key = xasprintf("silent.%s", w->what);

		if (w->kind == SUBJECT_GPU)
			subject->silent = strdup("the process that looked ended early");
		else if (key)
			notebook_add(&subject->book, key, "gpuvfd --doctor", NOTE_FAILED,
				     "the process that looked ended early");
		return;
	}
	append_notes(&subject->book, json_object_get(answer, "notes"));
	if (!e->daemon)
		e->daemon = json_incref(json_object_get(answer, "daemon"));
	json_array_foreach(json_object_get(answer, "vms"), i, vm)
	{
		subject = examination_add(e, SUBJECT_VM, strempty(json_get_string(vm, "name")));
		if (subject)
			append_notes(&subject->book, json_object_get(vm, "notes"));
	}
}

/* The wait of poll() until the first deadline, in ms. */
static int first_deadline(const struct worker *w, size_t n)
{
	uint64_t first = UINT64_MAX, now = now_boottime();
	size_t i;

	for (i = 0; i < n; i++)
		if (w[i].fd >= 0)
			first = MIN_OF(first, w[i].deadline);
	return first <= now ? 0 : (int)MIN_OF((first - now) / 1000 + 1, (uint64_t)60000);
}

/* Until each has answered or its time is over. */
static void workers_wait(struct worker *w, size_t n, struct examination *e)
{
	_cleanup_free_ struct pollfd *polled = calloc(n, sizeof(*polled));
	size_t i, open = n;

	while (polled && open > 0) {
		open = 0;
		for (i = 0; i < n; i++) {
			polled[i] = (struct pollfd){.fd = w[i].fd, .events = POLLIN};
			open += w[i].fd >= 0;
		}
		if (open > 0 && poll(polled, n, first_deadline(w, n)) < 0 && errno != EINTR)
			break;
		for (i = 0; i < n; i++) {
			if (w[i].fd < 0)
				continue;
			if (polled[i].revents && !worker_read(&w[i])) {
				worker_end(&w[i]);
				take_answer(&w[i], e);
			} else if (w[i].deadline <= now_boottime()) {
				worker_give_up(&w[i], e);
			}
		}
	}
	for (i = 0; i < n; i++)
		free(w[i].text);
}

static void workers_run(struct worker *w, size_t n, struct examination *e)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (worker_start(&w[i]) < 0)
			e->incomplete = true;
	if (n > 0)
		workers_wait(w, n, e);
}

/* ---- GPUs ---- */

/* Helpers that a daemon left behind: they hang there, so nobody else goes there. */
static void spare_leftovers(const struct gather_options *o, struct examination *e)
{
	struct helper_leftover *found = NULL;
	size_t n = 0, i, k;

	if (helper_find_leftovers(NULL, o->sysfs_root, &found, &n) < 0)
		return;
	for (i = 0; i < n; i++) {
		for (k = 0; k < e->n; k++) {
			struct subject *s = &e->subjects[k];

			if (s->kind != SUBJECT_GPU || s->silent ||
			    !streq(s->name, PCI_ADDRESS_STR(&found[i].gpu)))
				continue;
			s->silent = helper_attribute(found[i].pid);
			s->spared = true;
		}
		safe_close(found[i].pidfd);
	}
	free(found);
}

/* What is in the way there, by "ADDRESS" or "ADDRESS=ATTRIBUTE".  NULL: this one is not named. */
static const char *spared_for(const char *const *spare, const char *address)
{
	size_t i, length = strlen(address);

	for (i = 0; spare && spare[i]; i++) {
		if (strncmp(spare[i], address, length) != 0)
			continue;
		if (spare[i][length] == '=')
			return spare[i] + length + 1;
		if (spare[i][length] == '\0')
			return "the daemon's request";
	}
	return NULL;
}

static void add_gpus(const char *const *spare, struct examination *e)
{
	_cleanup_json_ json_t *names = json_array();
	const struct note *note;
	json_t *name;
	size_t i = 0;

	while ((note = note_next(examination_host(e), "gpu.", &i)))
		(void)json_array_append_new(names, json_string(note->key + strlen("gpu.")));
	json_array_foreach(names, i, name)
	{
		const char *address = strempty(json_string_value(name));
		struct subject *subject = examination_add(e, SUBJECT_GPU, address);
		const char *at = spared_for(spare, address);

		if (subject && at) {
			subject->silent = strdup(at);
			subject->spared = true;
		}
	}
}

static void examine_gpus(const struct gather_options *o, struct examination *e)
{
	_cleanup_free_ struct worker *workers = calloc(e->n + 1, sizeof(*workers));
	size_t i, n = 0;

	for (i = 0; workers && i < e->n; i++)
		if (e->subjects[i].kind == SUBJECT_GPU && !e->subjects[i].silent)
			workers[n++] = (struct worker){
				.what = e->subjects[i].name,
				.work = work_gpu,
				.o = o,
				.deadline = GPU_DEADLINE,
				.kind = SUBJECT_GPU,
			};
	if (workers)
		workers_run(workers, n, e);
}

void doctor_examine(const struct gather_options *o, const char *const *spare,
		    struct examination *ret)
{
	struct worker first[] = {
		{.what = "host", .work = work_host, .o = o, .deadline = HOST_DEADLINE},
		{.what = "kernel log", .work = work_log, .o = o, .deadline = LOG_DEADLINE},
		{.what = "libvirt", .work = work_libvirt, .o = o, .deadline = LIBVIRT_DEADLINE},
		{.what = "daemon", .work = work_daemon, .o = o, .deadline = DAEMON_DEADLINE},
	};

	*ret = (struct examination){0};
	if (!examination_add(ret, SUBJECT_HOST, "host"))
		return;
	workers_run(first, ARRAY_SIZE(first) - !o->bundle,
		    ret); /* the daemon's: for a bundle only */
	add_gpus(spare, ret);
	spare_leftovers(o, ret);
	examine_gpus(o, ret);
}
