/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each is a child that only waits to be killed, by us or by a test; a descriptor tells of its end, whoever made it. */
#include "machine/sim-opener.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct sim_opener {
	struct sim_opener *next;
	struct sim_machine *m;
	struct sim_vf *vf; /* NULL = it has closed it and lives on */
	pid_t pid;
	sd_event_source *source;
};

static _Noreturn void child_main(pid_t parent)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_NAME, SIM_OPENER_COMMAND);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)syscall(SYS_close_range, 3U, ~0U, 0U); /* the machine's connections end with the machine */
	while (getppid() == parent)
		pause();
	_exit(0);
}

static void opener_free(struct sim_opener *o)
{
	struct sim_opener **at = &o->m->openers;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	(void)kill(o->pid, SIGKILL); /* our child and not reaped yet: the pid is nobody else's */
	while (waitpid(o->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (o->vf && o->vf->held && o->vf->holder.pid == o->pid) /* it may be another VF by now */
		sim_vf_release(o->vf);
	sd_event_source_disable_unref(o->source);
	free(o);
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct sim_opener *o = userdata;
	struct sim_machine *m = o->m;

	opener_free(o);
	sim_machine_settle(m);
	return 0;
}

static int watch(struct sim_opener *o)
{
	int fd = (int)syscall(SYS_pidfd_open, o->pid, 0), r;

	if (fd < 0)
		return -errno;
	r = sd_event_add_io(o->m->event, &o->source, fd, EPOLLIN, on_end, o);
	if (r < 0) {
		close(fd);
		return r;
	}
	return sd_event_source_set_io_fd_own(o->source, true);
}

int sim_opener_start(struct sim_machine *m, struct sim_vf *vf)
{
	struct sim_opener *o = calloc(1, sizeof(*o));
	pid_t self = getpid();
	int r;

	if (!o)
		return -ENOMEM;
	*o = (struct sim_opener){.next = m->openers, .m = m, .pid = fork()};
	if (o->pid < 0) {
		r = -errno;
		free(o);
		return r;
	}
	if (o->pid == 0)
		child_main(self);
	m->openers = o;
	r = watch(o);
	if (r < 0) {
		opener_free(o);
		return r;
	}
	o->vf = vf;
	sim_vf_hold(vf, NULL, o->pid);
	return o->pid;
}

bool sim_opener_close(struct sim_machine *m, struct sim_vf *vf, bool ends)
{
	struct sim_opener *o = m->openers;

	while (o && o->vf != vf)
		o = o->next;
	if (!o)
		return false;
	sim_vf_release(vf);
	o->vf = NULL;
	if (ends)
		opener_free(o);
	return true;
}

void sim_openers_free(struct sim_machine *m)
{
	while (m->openers)
		opener_free(m->openers);
}
