/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes of the host that have a VF open and are no VM: a VFIO group that another program took, a DRM node of a VF
 * with a host driver.  Such a VF is `held` under a lease of the owner `foreign`, which is tied to the process: its pid
 * with its start time.
 *
 * They are seen (by the helper, in /proc) when libvirt was compared after a start or after it was away, directly before
 * a VF is handed to a VM or job, when a re-cut is refused for one, and when somebody asks for GPUs or VFs: a look begins
 * then, whose outcome is an event and in the next answer.  A descriptor of the process tells of its end; one that closes
 * the VF and lives on is noticed within LOOK_USEC.  No timer looks while no VF is held so: what hands VFs out looks for
 * itself, and a host where nobody asks is left in peace.  What comes between a look and the attach meets the kernel: a
 * VFIO group opens once. */
#include "manager-state.h"

#include <sys/epoll.h>
#include <sys/syscall.h>

/* Between looks: one costs some milliseconds, as it reads every process's descriptors. */
#define LOOK_USEC (10 * USEC_PER_SEC)

/* ---- in words ---- */

static char *describe(const struct vf_holder *p)
{
	_cleanup_free_ char *uid = p->uid.known ? xasprintf(", uid %llu", (unsigned long long)p->uid.value) : strdup("");

	return xasprintf("%s (pid %d%s) has %s open", p->command ? p->command : "a process", p->pid, strempty(uid),
			 p->path ? p->path : "it");
}

bool vf_is_in_process(const struct vf *vf)
{
	return vf->state == VF_HELD;
}

char *process_text(const struct vf *vf)
{
	return describe(&vf->lease.process);
}

char *processes_text(struct manager *m, const struct gpu *only)
{
	_cleanup_free_ char *text = NULL, *first = NULL;
	struct gpu *gpu, *tmp;
	size_t more = 0;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		for (size_t i = 0; i < gpu->n_vfs && (!only || only == gpu); i++) {
			more += first && vf_is_in_process(gpu->vfs[i]);
			if (first || !vf_is_in_process(gpu->vfs[i]))
				continue;
			text = process_text(gpu->vfs[i]);
			first = xasprintf("%s: %s", gpu->vfs[i]->name, strempty(text));
		}
	if (!first || more == 0)
		return TAKE_PTR(first);
	return xasprintf("%s; %zu more are held so", first, more);
}

int refuse_process(const struct vf *vf, struct rpc_error *error)
{
	_cleanup_free_ char *text = process_text(vf);

	rpc_error_set(error, RPC_CONFLICT, "%s is held by a process of the host: %s", vf->name, strempty(text));
	error->errnum = EBUSY;
	error->holders = json_pack("[s]", strempty(text));
	return rpc_error_detail(error, "held", "vf", "end that process, or name another VF");
}

json_t *process_view(const struct vf *vf)
{
	const struct vf_holder *p = &vf->lease.process;
	json_t *view;

	if (!vf_is_in_process(vf))
		return json_null();
	view = json_pack("{s:i,s:s?,s:s?}", "pid", p->pid, "command", p->command, "path", p->path);
	json_put_uint_known(view, "started", p->started.known, p->started.value);
	json_put_uint_known(view, "uid", p->uid.known, p->uid.value);
	return view;
}

void process_from_row(struct vf *vf, const json_t *row)
{
	struct vf_holder *p = &vf->lease.process;

	process_forget(vf);
	p->pid = (int)json_get_uint(row, "pid", 0);
	p->started = (struct known){ json_is_integer(json_object_get(row, "started")), json_get_uint(row, "started", 0) };
	p->uid = (struct known){ json_is_integer(json_object_get(row, "uid")), json_get_uint(row, "uid", 0) };
	(void)free_and_strdup(&p->command, json_get_string(row, "command"));
	(void)free_and_strdup(&p->path, json_get_string(row, "path"));
}

void process_forget(struct vf *vf)
{
	vf->lease.watch = sd_event_source_disable_unref(vf->lease.watch);
	free(vf->lease.process.command);
	free(vf->lease.process.path);
	vf->lease.process = (struct vf_holder){ 0 };
}

/* ---- when it is over ---- */

static void after_gate(struct manager *m, struct vf *vf, void *userdata, const struct rpc_error *error)
{
	vm_adopt_vf(m, vf); /* a VM may have it by now */
	manager_pump(m);
}

static void process_over(struct manager *m, struct vf *vf)
{
	_cleanup_free_ char *text = process_text(vf);

	log_vf(vf->name, LOG_NOTICE, 0, "no longer held by a process of the host (%s)", strempty(text));
	handover_reset(m, vf, after_gate, NULL);
}

static int on_process_end(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct vf *vf = userdata;
	struct gpu *gpu = vf->gpu;

	vf->lease.watch = sd_event_source_disable_unref(vf->lease.watch);
	processes_look(gpu->m, gpu); /* another that it started may have it still */
	return 0;
}

/* Without a descriptor (no such call, none left) the looks alone tell. */
static void watch(struct manager *m, struct vf *vf)
{
	int fd = (int)syscall(SYS_pidfd_open, vf->lease.process.pid, 0);

	if (fd < 0)
		return;
	if (sd_event_add_io(m->event, &vf->lease.watch, fd, EPOLLIN, on_process_end, vf) < 0)
		close(fd);
	else
		(void)sd_event_source_set_io_fd_own(vf->lease.watch, true);
}

static int on_look_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	struct gpu *gpu, *tmp;
	bool any = false;

	m->process_timer = sd_event_source_disable_unref(m->process_timer);
	HASH_ITER(hh, m->gpus, gpu, tmp) {
		bool held = false;

		for (size_t i = 0; i < gpu->n_vfs && !held; i++)
			held = vf_is_in_process(gpu->vfs[i]);
		if (held)
			processes_look(m, gpu);
		any |= held;
	}
	if (any)
		process_arm(m);
	return 0;
}

void process_arm(struct manager *m)
{
	if (!m->process_timer)
		(void)sd_event_add_time_relative(m->event, &m->process_timer, CLOCK_BOOTTIME, LOOK_USEC, USEC_PER_SEC,
						 on_look_due, m);
}

/* ---- what a look says ---- */

static bool same_process(const struct vf_holder *a, const struct vf_holder *b)
{
	return a->pid == b->pid && a->started.known == b->started.known && a->started.value == b->started.value;
}

/* A VM has a VF of the same IOMMU group: libvirt will refuse any other VM, and give it to this one. */
static bool is_vm(const struct gpu *gpu, const struct host_reply *reply, int pid)
{
	for (size_t i = 0; i < reply->n_holders; i++) {
		unsigned vf = reply->holders[i].vf;

		if (reply->holders[i].pid == pid && vf >= 1 && vf <= gpu->n_vfs &&
		    gpu->vfs[vf - 1]->lease.vm_uuid[0] && gpu->vfs[vf - 1]->state != VF_LEASED)
			return true;
	}
	return false;
}

static const struct vf_holder *find_process(const struct vf *vf, const struct host_reply *reply)
{
	for (size_t i = 0; i < reply->n_holders; i++)
		if (reply->holders[i].vf == vf->index && !is_vm(vf->gpu, reply, reply->holders[i].pid))
			return &reply->holders[i];
	return NULL;
}

static int copy_holder(struct vf_holder *to, const struct vf_holder *from)
{
	*to = *from;
	to->command = from->command ? strdup(from->command) : NULL;
	to->path = from->path ? strdup(from->path) : NULL;
	return to->path || !from->path ? 0 : -ENOMEM;
}

/* The VF is the process's from now on; a lease that it has is a process's already. */
static void hold(struct manager *m, struct vf *vf, const struct vf_holder *p)
{
	_cleanup_free_ char *text = describe(p);

	process_forget(vf);
	if (copy_holder(&vf->lease.process, p) < 0)
		return;
	vf->lease.owner = LEASE_FOREIGN;
	vf->lease.epoch = m->next_epoch++;
	vf->lease.uid = p->uid.known ? (uid_t)p->uid.value : 0;
	vf->lease.since = now_realtime();
	if (vf_is_in_process(vf)) {
		(void)free_and_strdup(&vf->reason, text);
		vf_note_user(vf);
		vf_store(m, vf);
	}
	vf_set_state(m, vf, VF_HELD, text);
	manager_emit(m, "lease.changed", vf->name,
		     json_pack("{s:s,s:I,s:s?}", "owner", lease_owner_to_string(LEASE_FOREIGN), "epoch",
			       (json_int_t)vf->lease.epoch, "reason", text));
	watch(m, vf);
	process_arm(m);
}

bool process_takes(struct manager *m, struct vf *vf, const struct host_reply *reply)
{
	const struct vf_holder *p = find_process(vf, reply);

	if (!p)
		return false;
	vf_lease_end(m, vf);
	hold(m, vf, p);
	return vf_is_in_process(vf);
}

void processes_note(struct manager *m, struct gpu *gpu, const struct host_reply *reply)
{
	for (size_t i = 0; i < gpu->n_vfs; i++) {
		struct vf *vf = gpu->vfs[i];
		const struct vf_holder *p = find_process(vf, reply);

		if (vf->handover)
			continue;
		if (vf_is_in_process(vf) && !p)
			process_over(m, vf);
		else if (p && (vf->state == VF_FREE ||
			       (vf_is_in_process(vf) && !same_process(p, &vf->lease.process))))
			hold(m, vf, p);
		else if (p && vf_is_in_process(vf) && !vf->lease.watch)
			watch(m, vf); /* an earlier daemon saw it */
	}
	manager_pump(m);
}

static bool is_gone(const struct vf_holder *p)
{
	struct known now = { 0 };

	now.known = process_start_time(p->pid, &now.value) == 0;
	return !now.known || (p->started.known && p->started.value != now.value);
}

/* Nobody may look into all processes: what is known of the one that was seen still counts. */
static void note_gone(struct manager *m, struct gpu *gpu)
{
	for (size_t i = 0; i < gpu->n_vfs; i++)
		if (vf_is_in_process(gpu->vfs[i]) && !gpu->vfs[i]->handover && is_gone(&gpu->vfs[i]->lease.process))
			process_over(m, gpu->vfs[i]);
}

static void on_looked(void *userdata, const struct host_reply *reply)
{
	struct gpu *gpu = userdata;
	struct manager *m = gpu->m;
	bool again = gpu->look_again;

	gpu->looking = gpu->look_again = false;
	if (m->ending)
		return;
	if (again)
		processes_look(m, gpu);
	else if (reply->r >= 0)
		processes_note(m, gpu, reply);
	else
		note_gone(m, gpu);
}

void processes_look(struct manager *m, struct gpu *gpu)
{
	struct host_request request = { .op = HOST_HOLDERS, .gpu = gpu->address };

	gpu->look_again = gpu->looking; /* the one on its way may be older than the news */
	if (gpu->looking || gpu->stuck || gpu->apply || gpu->n_vfs == 0)
		return;
	gpu->looking = m->host->ops->request(m->host, &request, on_looked, gpu) == 0;
	gpu->looked_at = now_boottime();
}

static bool has_free_vf(const struct gpu *gpu)
{
	for (size_t i = 0; i < gpu->n_vfs; i++)
		if (gpu->vfs[i]->state == VF_FREE)
			return true;
	return false;
}

/* Without libvirt's word a VM that has a VF would pass for a process. */
void processes_asked(struct manager *m, const struct gpu *only)
{
	uint64_t now = now_boottime();
	struct gpu *gpu, *tmp;

	if (!m->hypervisor_connected || m->recovering)
		return;
	HASH_ITER(hh, m->gpus, gpu, tmp)
		if ((!only || only == gpu) && !gpu->looking && now >= gpu->looked_at + LOOK_USEC && has_free_vf(gpu))
			processes_look(m, gpu);
}
