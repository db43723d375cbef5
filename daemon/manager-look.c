/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A look before a decision.  The kernel tells of VFs that come and go, but of no quota and no quantum that somebody
 * else wrote, and an event can be lost: so whoever decides by what a card shows has it read first. */
#include "manager-state.h"

struct look {
	struct manager *m;
	struct gpu *gpu;
	struct caller caller; /* uid, pid and role only */
	struct gpu_apply_params params;
	struct reply *reply;
	struct look *next;
};

static void look_free(struct look *l)
{
	free(l->params.gpu);
	free(l->params.plan);
	json_decref(l->params.layout);
	free(l);
}

static void unlink_look(struct look *l)
{
	struct look **at = &l->m->looks;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
}

static void on_looked(void *userdata, const struct host_reply *reply)
{
	struct look *l = userdata;
	struct manager *m = l->m;
	struct gpu_facts *facts = reply->n_facts ? gpu_facts_copy(reply->facts[0]) : NULL;
	struct rpc_error error = { 0 };

	unlink_look(l);
	if (facts)
		gpu_update(m, facts);
	if (reply->r == -ENODEV && !l->gpu->apply)
		gpu_absent(m, l->gpu);
	if (reply->r < 0 && reply->r != -ENODEV && !l->gpu->stuck) {
		rpc_error_from_host(&error, reply, "the GPU could not be read");
		reply_error(l->reply, &error);
		rpc_error_done(&error);
	} else {
		manager_call_begin(m, &l->caller, OPERATION_APPLY);
		apply_decide(m, &l->caller, &l->params, l->reply);
		manager_call_end(m);
	}
	look_free(l);
	manager_pump(m);
}

/* False: it could not even be asked. */
static bool look(struct manager *m, struct gpu *gpu, const struct caller *caller,
		 const struct gpu_apply_params *p, struct reply *reply)
{
	struct host_request request = { .op = HOST_READ, .gpu = gpu->address };
	struct look *l = calloc(1, sizeof(*l));

	if (!l)
		return false;
	*l = (struct look){ .m = m, .gpu = gpu, .reply = reply, .params = *p, .next = m->looks };
	l->caller.uid = caller->uid;
	l->caller.role = caller->role;
	l->caller.pid = caller->pid;
	l->params.gpu = strdup(p->gpu);
	l->params.plan = p->plan ? strdup(p->plan) : NULL;
	l->params.layout = json_incref(p->layout);
	if (!l->params.gpu || (p->plan && !l->params.plan) ||
	    m->host->ops->request(m->host, &request, on_looked, l) < 0) {
		look_free(l);
		return false;
	}
	m->looks = l;
	return true;
}

void looks_end(struct manager *m)
{
	while (m->looks) {
		struct look *l = m->looks;

		m->looks = l->next;
		reply_refuse(l->reply, RPC_INTERNAL_ERROR, "the daemon is ending; nothing was changed");
		look_free(l);
	}
}

void manager_gpu_apply(struct manager *m, const struct caller *caller,
		       const struct gpu_apply_params *p, struct reply *reply)
{
	struct gpu *gpu = gpu_find(m, p->gpu);

	/* What is refused anyway needs no look. */
	if (!gpu || !gpu->facts || gpu->stuck || gpu->given_up || gpu->apply || gpu->apply_accepted ||
	    !look(m, gpu, caller, p, reply))
		apply_decide(m, caller, p, reply);
}
