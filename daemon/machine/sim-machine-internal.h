/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the machine share: sim-machine.c (life of a request), sim-host.c (kernel), sim-domain.c (libvirt
 * and guests), sim-control.c (questions about itself). */
#pragma once

#include <systemd/sd-event.h>
#include "machine/sim-guest.h"
#include "machine/sim-machine.h"

enum sim_wait {
	SIM_WAIT_NONE,
	SIM_WAIT_DELAY,	  /* latency, or a hang with an end */
	SIM_WAIT_RELEASE, /* a hang without one */
	SIM_WAIT_LOCK,	  /* somebody else holds the GPU's device lock */
	SIM_WAIT_DISABLE, /* its 0 in sriov_numvfs waits until no VF is held */
	SIM_WAIT_CLOSE,	  /* wait-closed */
	SIM_WAIT_AGENT,	  /* the guest works on it */
	SIM_WAIT_TURN,	  /* another call has the domain's job lock */
};

/* One request from its arrival to its answer. */
struct sim_task {
	struct sim_machine *m;
	struct sim_task *prev, *next;
	enum sim_part part;
	enum sim_wait wait;
	json_t *json; /* keeps the strings of the requests alive */
	struct host_request host;
	struct hv_request hv;
	struct sim_gpu *gpu; /* NULL = none */
	struct sim_vm *vm;   /* NULL = none */
	bool debugfs;	     /* whoever asked may use it */
	bool locks;	     /* it holds the GPU's device lock */
	bool hung;	     /* it met a fault's hang: its own deadline is the daemon's business */
	bool orphan;	     /* the libvirtd that it was asked of is gone, and its locks with it */
	bool stuck;	     /* libvirt's call did not return in time, which was told */
	struct {
		int error;
		uint64_t fewer;
		int kill; /* enum sim_kill */
		char *message;
		json_t *answer;
	} fault;
	sd_event_source *timer;	   /* end of the delay */
	sd_event_source *deadline; /* where the answer must come even so */
	sim_reply_fn fn;	   /* NULL = answered; only its effect is still to come */
	void *userdata;
};

struct sim_machine {
	sd_event *event;
	struct sim_document *document;
	struct sim_kernel kernel;
	struct sim_hypervisor hypervisor;
	struct sim_opener *openers; /* processes of the host (sim-opener.c) */
	struct sim_guest **guests; /* one per VM, NULL = it has not been needed yet */
	struct sim_task *tasks;	   /* in the order of arrival */
	struct sim_task *last;
	sim_event_fn on_event;
	sim_kill_fn on_kill;
	void *userdata;
	bool stopping;
};

/* ---- sim-machine.c */
/* Asks the faults, then runs the task now or later.  point: what is accessed. */
void sim_task_go(struct sim_task *t, enum sim_point point);
/* Answers (takes reply, which may be NULL when memory is out) and ends the task. */
void sim_task_answer(struct sim_task *t, json_t *reply);
/* Answers now, while the effect is still to come. */
void sim_task_answer_early(struct sim_task *t, json_t *reply);
void sim_task_end(struct sim_task *t);
int sim_task_deadline(struct sim_task *t, uint64_t usec, sd_event_time_handler_t fn);
/* After anything that let go of a VF or of a device lock. */
void sim_machine_settle(struct sim_machine *m);
void sim_machine_host_event(struct sim_machine *m, enum host_event_type type,
			    const struct sim_gpu *g);
void sim_machine_tell(struct sim_machine *m, const struct host_event *event);
bool sim_machine_gpu_locked(const struct sim_machine *m, const struct sim_gpu *g);

/* ---- sim-host.c */
void sim_host_begin(struct sim_task *t); /* decodes and goes */
void sim_host_run(struct sim_task *t);	 /* after delay and lock */
void sim_host_settled(struct sim_task *t); /* a wait for a VF may be over */

/* ---- sim-domain.c */
void sim_domain_begin(struct sim_task *t);
void sim_domain_run(struct sim_task *t);
void sim_domain_turn(struct sim_task *t); /* it has come: sim-turn.c */
void sim_domain_fail(struct sim_task *t, enum hv_failure failure, char *message); /* takes message */
enum hv_failure sim_domain_start(struct sim_machine *m, struct sim_vm *vm, char **ret_message);
void sim_domain_stop(struct sim_machine *m, struct sim_vm *vm);
void sim_domain_crash(struct sim_machine *m, struct sim_vm *vm); /* and its QEMU is kept */
/* Attaches without asking faults: somebody else's virsh. */
enum hv_failure sim_domain_attach(struct sim_machine *m, struct sim_vm *vm,
				  const struct hv_request *request, char **ret_message);
void sim_domain_detach(struct sim_machine *m, struct sim_vm *vm, const struct hv_request *request);
void sim_domain_event(struct sim_machine *m, enum hv_event_type type, const struct sim_vm *vm,
		      const char *alias, const char *reason);
bool sim_domain_is_stuck(const struct sim_machine *m, const struct sim_vm *vm); /* NULL: calls about no VM */
int sim_domain_boot(struct sim_machine *m, struct sim_vm *vm); /* the guest's files at its start */

/* ---- sim-turn.c: libvirt's job lock of a domain */
bool sim_turn_waits(const struct sim_task *t); /* it is another call's */
void sim_turn_wait(struct sim_task *t);	       /* … no longer than libvirt waits for it */
void sim_turn_orphan(struct sim_machine *m);   /* libvirtd is gone, and its locks: what waited never happens */

/* ---- sim-control.c */
void sim_control_run(struct sim_task *t);
