/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds descendants through /proc; a pid is killed only together with the start time that was read
 * with its parent, through a descriptor, so that a reused pid is never hit. */
#include "machine/sim-process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/clock.h"
#include "lib/io.h"

struct process {
	pid_t pid;
	pid_t parent;
	bool below; /* a descendant of ours */
};

struct process_list {
	struct process *items;
	size_t n;
};

static int parent_of(pid_t pid, pid_t *ret)
{
	_cleanup_free_ char *text = NULL;
	char path[32], *p;
	int r, parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = read_file_at(AT_FDCWD, path, 4096, &text, NULL);
	if (r < 0)
		return r;
	p = strrchr(text, ')'); /* the name before it may hold anything */
	if (!p || sscanf(p + 1, " %*c %d", &parent) != 1)
		return -EBADMSG;
	*ret = parent;
	return 0;
}

static void list_processes(struct process_list *list)
{
	DIR *d = opendir("/proc");
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		struct process one = {.pid = atoi(e->d_name)};
		struct process *items;

		if (one.pid <= 0 || parent_of(one.pid, &one.parent) < 0)
			continue;
		items = realloc(list->items, (list->n + 1) * sizeof(*items));
		if (!items)
			break;
		list->items = items;
		items[list->n++] = one;
	}
	if (d)
		closedir(d);
}

/* Marks children of what is marked until nothing is added.  Returns how many there are. */
static size_t mark_below(struct process_list *list, pid_t root)
{
	size_t marked = 0;

	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < list->n; i++) {
			struct process *p = &list->items[i];
			bool below = p->parent == root;

			for (size_t j = 0; !below && j < list->n; j++)
				below = list->items[j].below && list->items[j].pid == p->parent;
			if (p->below || !below)
				continue;
			p->below = again = true;
			marked++;
		}
	}
	return marked;
}

static void kill_one(const struct process *p)
{
	uint64_t before, after;
	pid_t parent;
	int fd;

	if (process_start_time(p->pid, &before) < 0 || parent_of(p->pid, &parent) < 0 ||
	    (parent != p->parent && parent != getpid())) /* an orphan has come to us */
		return;
	fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (fd < 0 && errno == ENOSYS) /* before Linux 5.3, and under valgrind */
		(void)kill(p->pid, SIGKILL);
	if (fd < 0)
		return;
	if (process_start_time(p->pid, &after) == 0 && before == after)
		(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	close(fd);
}

void sim_process_kill_descendants(void)
{
	for (;;) {
		struct process_list list = {0};
		size_t n;

		list_processes(&list);
		n = mark_below(&list, getpid());
		for (size_t i = 0; i < list.n; i++)
			if (list.items[i].below)
				kill_one(&list.items[i]);
		free(list.items);
		if (n == 0)
			return;
		/* One of them is a child of ours and was just killed: this returns. */
		(void)waitpid(-1, NULL, 0);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}
