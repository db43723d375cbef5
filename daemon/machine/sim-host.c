/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to the made-up kernel, with the checks that the real helper makes before it writes. */
#include "machine/sim-machine-internal.h"

#include "lib/clock.h"
#include "lib/units.h"
#include "machine/machine-message.h"
#include "machine/sim-opener.h"
#include "machine/sim-reserved.h"
#include "machine/sim-way.h"

static const enum sim_point points[HOST_OP_MAX] = {
	[HOST_SCAN] = SIM_SCAN,
	[HOST_LINKS] = SIM_SCAN,
	[HOST_READ] = SIM_READ,
	[HOST_HOLDERS] = SIM_HOLDERS,
	[HOST_SET_AUTOPROBE] = SIM_AUTOPROBE,
	[HOST_SET_NUMVFS] = SIM_NUMVFS,
	[HOST_SET_VF_ATTR] = SIM_POINT_MAX, /* the attribute's own */
	[HOST_SET_BULK_ATTR] = SIM_POINT_MAX,
	[HOST_SET_PF_ATTR] = SIM_POINT_MAX,
	[HOST_RESTORE_AUTO] = SIM_RESTORE_AUTO,
	[HOST_BIND_VFIO] = SIM_BIND,
	[HOST_UNBIND] = SIM_UNBIND,
	[HOST_WAIT_CLOSED] = SIM_WAIT_CLOSED,
	[HOST_RESET_VF] = SIM_RESET,
	[HOST_PROBE_VF] = SIM_PROBE,
};

static enum sim_point point_of(const struct host_request *request)
{
	if (points[request->op] != SIM_POINT_MAX)
		return points[request->op];
	return (enum sim_point)sim_point_from_string(vf_attribute_to_string(request->attribute));
}

static void send_reply(struct sim_task *t, struct host_reply *reply)
{
	json_t *json;

	if (!reply->attribute && reply->r < 0)
		reply->attribute = strdup(machine_host_attribute(&t->host));
	json = host_reply_to_json(reply);
	host_reply_done(reply);
	sim_task_answer(t, json);
}

static void send_result(struct sim_task *t, int r, const char *message)
{
	struct host_reply reply = {.r = r, .message = message ? strdup(message) : NULL};

	send_reply(t, &reply);
}

/* Who has VFs of the GPU (vf 0) or one of them open.  A fault "holders" with "fewer" makes the look
 * miss some. */
static int find_holders(struct sim_task *t, unsigned vf, struct host_reply *reply)
{
	uint64_t missed = t->fault.fewer;

	if (t->host.op != HOST_HOLDERS) { /* there the task itself has asked the faults */
		const struct sim_fault *f;

		f = sim_faults_take(&t->m->document->faults, SIM_HOLDERS, t->gpu->name,
				    PCI_ADDRESS_STR(&t->gpu->spec.address), NULL);
		missed = f ? f->fewer : 0;
	}
	reply->holders = calloc(t->gpu->num_vfs + 1, sizeof(*reply->holders));
	if (!reply->holders)
		return -ENOMEM;
	for (unsigned v = 1; v <= t->gpu->num_vfs; v++) {
		const struct sim_vf *one = &t->gpu->vfs[v - 1];
		struct vf_holder *h = &reply->holders[reply->n_holders];

		if (!one->held || (vf > 0 && vf != v))
			continue;
		if (missed > 0) {
			missed--;
			continue;
		}
		h->vf = v;
		h->pid = one->holder.pid;
		h->started.known = process_start_time(h->pid, &h->started.value) == 0;
		h->uid = (struct known){true, getuid()};
		h->command = strdup(one->holder.vm ? "qemu-system-x86" : SIM_OPENER_COMMAND);
		h->path = one->holder.vm ? xasprintf("/dev/vfio/%d", one->iommu_group)
					 : xasprintf("/dev/dri/renderD%u", 128 + v);
		reply->n_holders++;
	}
	return 0;
}

/* -EBUSY with the holders in the reply when there are any. */
static int refuse_held(struct sim_task *t, unsigned vf, struct host_reply *reply)
{
	int r;

	r = find_holders(t, vf, reply);
	if (r < 0)
		return r;
	return reply->n_holders > 0 ? -EBUSY : 0;
}

static int add_facts(const struct sim_gpu *g, bool debugfs, struct host_reply *reply)
{
	reply->facts[reply->n_facts] = sim_gpu_facts(g, debugfs);
	if (!reply->facts[reply->n_facts])
		return -ENOMEM;
	reply->n_facts++;
	return 0;
}

/* A scan waits for nobody: what the VFs of a card have whose lock is held stays unknown. */
static int run_scan(struct sim_task *t, struct host_reply *reply)
{
	struct sim_kernel *k = &t->m->kernel;

	reply->facts = calloc(k->n_gpus + 1, sizeof(*reply->facts));
	if (!reply->facts)
		return -ENOMEM;
	for (size_t i = 0; i < k->n_gpus; i++) {
		struct gpu_facts *f;
		int r;

		if (!k->gpus[i].present)
			continue;
		r = add_facts(&k->gpus[i], t->debugfs, reply);
		if (r < 0)
			return r;
		f = reply->facts[reply->n_facts - 1];
		for (size_t v = 0; v < f->n_vfs && sim_machine_gpu_locked(t->m, &k->gpus[i]); v++)
			memset(f->vfs[v].values, 0, sizeof(f->vfs[v].values));
	}
	return 0;
}

static int run_read(struct sim_task *t, struct host_reply *reply)
{
	reply->facts = calloc(2, sizeof(*reply->facts));
	return reply->facts ? add_facts(t->gpu, t->debugfs, reply) : -ENOMEM;
}

static int run_holders(struct sim_task *t, struct host_reply *reply)
{
	return find_holders(t, t->host.vf, reply);
}

static int run_autoprobe(struct sim_task *t, struct host_reply *reply)
{
	int r;

	r = sim_gpu_set_autoprobe(t->gpu, t->host.value);
	if (r >= 0)
		reply->value = (struct known){true, t->gpu->autoprobe};
	return r;
}

static int run_numvfs(struct sim_task *t, struct host_reply *reply)
{
	struct sim_gpu *g = t->gpu;
	unsigned before = g->num_vfs;
	int r;

	if (t->host.value == 0 && before > 0) { /* the helper's last look before the write */
		r = refuse_held(t, 0, reply);
		if (r < 0)
			return r;
		g->writes.numvfs_while_reserved += sim_reserved_has(&t->m->hypervisor, g);
	}
	r = sim_gpu_set_numvfs(&t->m->kernel, g, t->host.value, (unsigned)t->fault.fewer);
	if (r == -EINPROGRESS) {
		t->wait = SIM_WAIT_DISABLE;
		return r;
	}
	if (r < 0)
		return r;
	if (g->num_vfs > 0)
		sim_reserved_lapse(&t->m->hypervisor, g, g->num_vfs);
	if (g->num_vfs != before)
		sim_machine_host_event(t->m, HOST_EVENT_CHANGED, g);
	reply->value = (struct known){true, g->num_vfs};
	return 0;
}

static int run_attribute(struct sim_task *t, struct host_reply *reply)
{
	const struct sim_write w = {
		.debugfs = t->debugfs,
		.vf = t->host.op == HOST_SET_VF_ATTR ? t->host.vf : 0,
		.attribute = t->host.attribute,
		.value = t->host.value,
		.tile = t->host.tile,
	};
	uint64_t value;
	int r;

	r = t->host.op == HOST_SET_BULK_ATTR ?
		    sim_way_write_all(t->gpu, t->debugfs, w.attribute, w.value, &value) :
		    sim_way_write(t->gpu, &w, &value);
	if (r >= 0)
		reply->value = (struct known){true, value};
	return r;
}

static int run_restore_auto(struct sim_task *t, struct host_reply *reply)
{
	return sim_way_restore_auto(t->gpu, t->debugfs);
}

static int run_bind(struct sim_task *t, struct host_reply *reply)
{
	struct sim_vf *vf = sim_gpu_vf(t->gpu, t->host.vf);
	int r;

	if (vf && !vf->vfio) {
		r = refuse_held(t, t->host.vf, reply);
		if (r < 0)
			return r;
	}
	r = sim_gpu_bind_vfio(t->gpu, t->host.vf);
	if (r >= 0)
		r = free_and_strdup(&reply->driver, vf->driver);
	if (r >= 0)
		sim_machine_host_event(t->m, HOST_EVENT_CHANGED, t->gpu);
	return r;
}

static int run_unbind(struct sim_task *t, struct host_reply *reply)
{
	int r;

	r = refuse_held(t, t->host.vf, reply);
	if (r >= 0)
		r = sim_gpu_unbind(t->gpu, t->host.vf);
	if (r >= 0)
		sim_machine_host_event(t->m, HOST_EVENT_CHANGED, t->gpu);
	return r;
}

static int on_not_closed(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct sim_task *t = userdata;
	struct host_reply reply = {.r = -ETIMEDOUT};

	(void)find_holders(t, t->host.vf, &reply);
	send_reply(t, &reply);
	return 0;
}

static int run_wait_closed(struct sim_task *t, struct host_reply *reply)
{
	const struct sim_vf *vf = sim_gpu_vf(t->gpu, t->host.vf);
	uint64_t limit =
		t->host.deadline_usec ? t->host.deadline_usec : host_op_deadline(HOST_WAIT_CLOSED);
	int r;

	if (!vf)
		return -ENOENT;
	if (!vf->held)
		return 0;
	r = sim_task_deadline(t, limit, on_not_closed);
	if (r < 0)
		return r;
	t->wait = SIM_WAIT_CLOSE;
	return -EINPROGRESS;
}

static int run_reset(struct sim_task *t, struct host_reply *reply)
{
	int r;

	r = refuse_held(t, t->host.vf, reply);
	return r < 0 ? r : sim_gpu_reset_vf(t->gpu, t->host.vf);
}

static int run_probe(struct sim_task *t, struct host_reply *reply)
{
	const struct sim_vf *vf = sim_gpu_vf(t->gpu, t->host.vf);

	if (!vf)
		return -ENOENT;
	reply->value = (struct known){true, vf->vfio};
	return vf->driver[0] ? free_and_strdup(&reply->driver, vf->driver) : 0;
}

/* -EINPROGRESS: the answer comes later. */
static int (*const runners[HOST_OP_MAX])(struct sim_task *t, struct host_reply *reply) = {
	[HOST_SCAN] = run_scan,
	[HOST_LINKS] = run_read,
	[HOST_READ] = run_read,
	[HOST_HOLDERS] = run_holders,
	[HOST_SET_AUTOPROBE] = run_autoprobe,
	[HOST_SET_NUMVFS] = run_numvfs,
	[HOST_SET_VF_ATTR] = run_attribute,
	[HOST_SET_BULK_ATTR] = run_attribute,
	[HOST_SET_PF_ATTR] = run_attribute,
	[HOST_RESTORE_AUTO] = run_restore_auto,
	[HOST_BIND_VFIO] = run_bind,
	[HOST_UNBIND] = run_unbind,
	[HOST_WAIT_CLOSED] = run_wait_closed,
	[HOST_RESET_VF] = run_reset,
	[HOST_PROBE_VF] = run_probe,
};

void sim_host_run(struct sim_task *t)
{
	struct host_reply reply = {0};

	if (t->gpu && !t->gpu->present) {
		send_result(t, -ENODEV, NULL);
		return;
	}
	if (t->fault.error > 0) {
		if (t->gpu && sim_point_is_write(point_of(&t->host)))
			sim_gpu_count_write(t->gpu, point_of(&t->host));
		send_result(t, -t->fault.error, t->fault.message);
		return;
	}
	reply.r = runners[t->host.op](t, &reply);
	if (reply.r == -EINPROGRESS)
		host_reply_done(&reply);
	else
		send_reply(t, &reply);
}

void sim_host_begin(struct sim_task *t)
{
	if (t->host.op != HOST_SCAN) {
		t->gpu = sim_kernel_find(&t->m->kernel, &t->host.gpu);
		if (!t->gpu) {
			send_result(t, -ENODEV, NULL);
			return;
		}
	}
	sim_task_go(t, point_of(&t->host));
}

void sim_host_settled(struct sim_task *t)
{
	struct host_reply reply = {0};

	switch (t->wait) {
	case SIM_WAIT_DISABLE:
		reply.value = (struct known){true, t->gpu->num_vfs};
		break;
	case SIM_WAIT_LOCK:
		t->wait = SIM_WAIT_NONE;
		sim_task_go(t, point_of(&t->host));
		return;
	default:
		break;
	}
	send_reply(t, &reply);
}
