/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon.doctor.  The examination is a child, `gpuvfd --doctor`: it reads files that may hang, so
 * it never runs here.  Who asks while one is under way gets its answer.  What only the daemon knows
 * is added to it (manager-doctor-checks.c).  A made-up machine has no files: its facts are judged
 * right here. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "doctor/doctor.h"
#include "doctor/known-bad.h"
#include "host/helper-spawn.h"
#include "host/sleep-lock.h"
#include "manager-state.h"

#define ANSWER_MAX ((size_t)16 * MIB)
#define ARGUMENTS_MAX (16 + 2 * 64) /* 64 GPUs to spare: more do not hang at once */

extern char **environ;

/* ---- the answer ---- */

/* Whoever waits for the examination. */
struct doctor_waiter {
	struct doctor_waiter *next;
	struct reply *reply;
	enum subject_kind kind; /* SUBJECT_HOST: everything */
	char *name;             /* a GPU's address, a VM's name */
};

struct doctor_run {
	struct manager *m;
	struct doctor_waiter *waiters;
	pid_t pid;
	int fd;
	char *text;
	size_t size;
	bool closed, ended;
	sd_event_source *io, *child, *timer;
};

/* A re-cut is no illness: the kernel just lets nobody look meanwhile. */
static void excuse_recutting(struct manager *m, struct finding *f)
{
	struct pci_address address;
	struct gpu *gpu;

	if (f->kind != SUBJECT_GPU || !streq(f->id, "gpu-answers") ||
	    pci_address_parse(f->subject, &address) < 0)
		return;
	gpu = gpu_find_address(m, &address);
	if (!gpu || gpu->stuck || gpu->state != GPU_RECUTTING || f->severity == SEVERITY_OK)
		return;
	f->severity = SEVERITY_INFO;
	finding_what(f, "it is being cut just now, and was not looked at");
	finding_cure(f, "ask again when that is done");
}

/* The daemon keeps the host awake: then it cannot suspend. */
static void excuse_suspend(struct manager *m, struct finding *f)
{
	if (!streq(f->id, "suspend") || f->severity == SEVERITY_OK || !m->sleep ||
	    !sleep_lock_held(m->sleep))
		return;
	f->severity = SEVERITY_OK;
	finding_what(f, "the daemon keeps the host awake");
	free(f->cure);
	f->cure = NULL;
}

/* Addresses become the names that the daemon gave. */
static void name_gpus(struct manager *m, struct findings *findings)
{
	size_t i;

	for (i = 0; i < findings->n; i++) {
		struct finding *f = &findings->list[i];
		struct pci_address address;
		struct gpu *gpu;
		char *name;

		if (f->kind != SUBJECT_GPU || pci_address_parse(f->subject, &address) < 0)
			continue;
		gpu = gpu_find_address(m, &address);
		name = gpu ? strdup(gpu->name) : NULL;
		if (!name)
			continue;
		free(f->address);
		f->address = f->subject;
		f->subject = name;
	}
}

/* Adds what the daemon knows, keeps what was asked for, answers.  Takes the waiter. */
static void answer(struct manager *m, struct doctor_waiter *waiter, struct findings *findings)
{
	json_t *result;
	size_t i;

	for (i = 0; daemon_checks[i].id; i++)
		daemon_checks[i].judge(m, daemon_checks[i].id, findings);
	for (i = 0; i < findings->n; i++)
		excuse_recutting(m, &findings->list[i]);
	for (i = 0; i < findings->n; i++)
		excuse_suspend(m, &findings->list[i]);
	if (waiter->kind != SUBJECT_HOST)
		findings_keep(findings, waiter->kind, waiter->name);
	findings_sort(findings);
	name_gpus(m, findings);
	result = findings_to_json(findings);
	if (result)
		json_put_bool(result, "simulated", m->simulated);
	view_reply(m, waiter->reply, result);
	free(waiter->name);
	free(waiter);
}

/* ---- a made-up machine ---- */

static void examine_simulated(struct manager *m, struct examination *e)
{
	struct gpu *gpu, *tmp;
	struct vm *vm, *tmp_vm;
	struct subject *subject;

	HASH_ITER(hh, m->gpus, gpu, tmp)
	{
		if (gpu->state == GPU_ABSENT)
			continue;
		subject = examination_add(e, SUBJECT_GPU, PCI_ADDRESS_STR(&gpu->address));
		if (!subject)
			return;
		if (gpu->stuck || !gpu->facts) {
			subject->silent = strdup(gpu->stuck ? gpu->stuck : "facts");
			subject->spared = true;
		} else {
			doctor_note_gpu(&subject->book, "gpuvf-machine", gpu->facts);
		}
	}
	HASH_ITER(hh, m->vms, vm, tmp_vm)
	{
		subject = examination_add(e, SUBJECT_VM, vm->facts->name);
		if (subject)
			doctor_note_vm(&subject->book, "gpuvf-machine", vm->facts);
	}
}

static void doctor_simulated(struct manager *m, struct doctor_waiter *waiter)
{
	struct findings findings = {0};
	struct examination e = {0};

	examine_simulated(m, &e);
	examination_judge(&e, NULL, &findings);
	answer(m, waiter, &findings);
	findings_done(&findings);
	examination_done(&e);
}

/* ---- the child ---- */

static void run_free(struct doctor_run *run)
{
	sd_event_source_unref(run->io);
	sd_event_source_unref(run->child);
	sd_event_source_unref(run->timer);
	safe_close(run->fd);
	free(run->text);
	free(run);
}

/* What the child said; a finding of its own when it said nothing that can be used. */
static void child_findings(struct doctor_run *run, const char *trouble, struct findings *ret)
{
	_cleanup_json_ json_t *json = NULL;
	struct finding *f;

	if (!trouble && run->text && json_parse(run->text, run->size, &json, NULL) == 0 &&
	    findings_from_json(json, ret) == 0)
		return;
	f = findings_add(ret, "examination", SEVERITY_WARNING, SUBJECT_HOST, "host");
	f->unlooked = true;
	finding_what(
		f,
		"host, GPUs and VMs could not be looked at: what follows is what the daemon knows");
	finding_evidence_text(f, "gpuvfd --doctor",
			      trouble ? trouble : "no answer that can be read");
	finding_cure(f, "run gpuvfd --doctor by hand");
}

static void run_finish(struct doctor_run *run, const char *trouble)
{
	struct manager *m = run->m;
	struct doctor_waiter *waiter, *next;

	m->doctor = NULL;
	for (waiter = run->waiters; waiter; waiter = next) {
		struct findings findings = {0};

		next = waiter->next;
		child_findings(run, trouble, &findings);
		answer(m, waiter, &findings);
		findings_done(&findings);
	}
	run_free(run);
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct doctor_run *run = userdata;
	char buf[65536];
	ssize_t n = read(fd, buf, sizeof(buf));
	char *grown;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	grown = n > 0 && run->size + (size_t)n <= ANSWER_MAX
			? realloc(run->text, run->size + (size_t)n + 1)
			: NULL;
	if (grown) {
		run->text = grown;
		memcpy(grown + run->size, buf, (size_t)n);
		run->size += (size_t)n;
		grown[run->size] = '\0';
		return 0;
	}
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	run->closed = true;
	if (run->ended)
		run_finish(run, NULL);
	return 0;
}

static int on_ended(sd_event_source *source, const siginfo_t *info, void *userdata)
{
	struct doctor_run *run = userdata;

	run->ended = true;
	if (run->closed)
		run_finish(run, NULL);
	return 0;
}

/* The child bounds itself; this is for a child that is broken. */
static int on_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct doctor_run *run = userdata;

	if (!run->ended)
		(void)kill(run->pid, SIGKILL);
	run_finish(run, "it did not end in time");
	return 0;
}

/* Those that are known not to answer, and those that somebody changes just now. */
static bool is_spared(const struct gpu *gpu)
{
	return gpu->stuck || gpu->state == GPU_RECUTTING;
}

#define SPARE_SIZE (PCI_ADDRESS_STRLEN + 128)

/* Fills argv; who is spared is written into the buffers. */
static void make_arguments(struct manager *m, char **argv, char (*spares)[SPARE_SIZE], size_t max)
{
	const char *const options[][2] = {
		{"--policy-dir", m->policy_dir},
		{"--socket", m->socket},
		{"--sysfs-root", m->sysfs_root},
		{"--libvirt-uri", m->libvirt_uri},
	};
	struct gpu *gpu, *tmp;
	size_t n = 0, spared = 0;

	argv[n++] = (char *)"gpuvfd";
	argv[n++] = (char *)"--doctor";
	argv[n++] = (char *)"--output";
	argv[n++] = (char *)"json";
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i][1]) {
			argv[n++] = (char *)options[i][0];
			argv[n++] = (char *)options[i][1];
		}
	HASH_ITER(hh, m->gpus, gpu, tmp)
	if (is_spared(gpu) && spared < max) {
		argv[n++] = (char *)"--spare";
		snprintf(spares[spared], SPARE_SIZE, "%s%s%s", PCI_ADDRESS_STR(&gpu->address), gpu->stuck ? "=" : "",
			 strempty(gpu->stuck));
		argv[n++] = spares[spared++];
	}
	argv[n] = NULL;
}

static int spawn(char **argv, int out, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	char path[4096];
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnattr_setsigmask(&attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(&attr, &all);
	if (r == 0)
		r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawn(ret, helper_own_program(path, sizeof(path)), &actions, &attr, argv,
				environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -r;
}

static int run_start(struct manager *m, struct doctor_run *run)
{
	char *argv[ARGUMENTS_MAX];
	char spares[64][SPARE_SIZE];
	_cleanup_close_ int theirs = -1;
	int pair[2], r;

	run->m = m;
	run->fd = -1;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	run->fd = pair[0];
	theirs = pair[1];
	if (fcntl(run->fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	make_arguments(m, argv, spares, ARRAY_SIZE(spares));
	r = spawn(argv, theirs, &run->pid);
	if (r < 0)
		return r;
	r = sd_event_add_child(m->event, &run->child, run->pid, WEXITED, on_ended, run);
	if (r >= 0)
		r = sd_event_add_io(m->event, &run->io, run->fd, EPOLLIN, on_output, run);
	if (r >= 0)
		r = sd_event_add_time_relative(m->event, &run->timer, CLOCK_BOOTTIME,
					       DOCTOR_DEADLINE_USEC, 0, on_late, run);
	if (r < 0)
		(void)kill(run->pid, SIGKILL);
	return MIN_OF(r, 0);
}

void doctor_end(struct manager *m)
{
	struct doctor_run *run = TAKE_PTR(m->doctor);
	struct doctor_waiter *waiter, *next;

	for (waiter = run ? run->waiters : NULL; waiter; waiter = next) {
		next = waiter->next;
		reply_refuse(waiter->reply, RPC_INTERNAL_ERROR, "the daemon is ending");
		free(waiter->name);
		free(waiter);
	}
	if (!run)
		return;
	if (!run->ended)
		(void)kill(run->pid, SIGKILL);
	run_free(run);
}

/* ---- the method ---- */

/* Takes the waiter. */
static void examine(struct manager *m, struct doctor_waiter *waiter)
{
	int r;

	if (!m->doctor) {
		struct doctor_run *run = calloc(1, sizeof(*run));

		r = run ? run_start(m, run) : -ENOMEM;
		if (r < 0) {
			reply_refuse(waiter->reply, RPC_HOST_ERROR,
				     "gpuvfd --doctor cannot be started: %s", strerror(-r));
			free(waiter->name);
			free(waiter);
			if (run)
				run_free(run);
			return;
		}
		m->doctor = run;
	}
	waiter->next = m->doctor->waiters;
	m->doctor->waiters = waiter;
}

/* Whom it is about.  Returns false after a refusal. */
static bool take_subject(struct manager *m, const struct doctor_params *p,
			 struct doctor_waiter *waiter)
{
	struct gpu *gpu = p->gpu ? gpu_find(m, p->gpu) : NULL;
	struct vm *vm = p->vm ? vm_find(m, p->vm) : NULL;

	if (p->gpu && p->vm) {
		reply_refuse(waiter->reply, RPC_INVALID_PARAMS, "vm: give a GPU or a VM, not both");
		return false;
	}
	if (p->gpu && !gpu) {
		reply_refuse(waiter->reply, RPC_NOT_FOUND, "no GPU \"%s\" (see gpu.list)", p->gpu);
		return false;
	}
	if (p->vm && !vm) {
		reply_refuse(waiter->reply, RPC_NOT_FOUND, "no VM \"%s\" (see `gpuvf list vms`)", p->vm);
		return false;
	}
	waiter->kind = gpu ? SUBJECT_GPU : vm ? SUBJECT_VM : SUBJECT_HOST;
	waiter->name = strdup(gpu ? PCI_ADDRESS_STR(&gpu->address) : vm ? vm->facts->name : "");
	if (!waiter->name)
		reply_refuse(waiter->reply, RPC_INTERNAL_ERROR, "out of memory");
	return waiter->name != NULL;
}

void manager_daemon_doctor(struct manager *m, const struct caller *caller,
			   const struct doctor_params *p, struct reply *reply)
{
	struct doctor_waiter *waiter = calloc(1, sizeof(*waiter));

	if (!waiter) {
		reply_refuse(reply, RPC_INTERNAL_ERROR, "out of memory");
		return;
	}
	waiter->reply = reply;
	survey_asked(m); /* of a real host the examination takes longer, and tells what it finds */
	if (!take_subject(m, p, waiter))
		free(waiter);
	else if (m->simulated)
		doctor_simulated(m, waiter);
	else
		examine(m, waiter);
}
