/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults and latencies of the made-up machine: where an access can be made slow, hang, fail or lie.
 * The document and the control operation "fault" fill the list; whoever carries out an access asks it first.
 * Knows no GPU and no domain, only their names. */
#pragma once

#include "lib/enum-table.h"
#include "lib/json-field.h"

/* Every place that can be told to fail.  Names are the words of "on" and of "latency". */
enum sim_point {
	/* the kernel */
	SIM_SCAN,
	SIM_READ,
	SIM_HOLDERS,
	SIM_NUMVFS,
	SIM_AUTOPROBE,
	SIM_VRAM_QUOTA,
	SIM_EXEC_QUANTUM,
	SIM_PREEMPT_TIMEOUT,
	SIM_GGTT_QUOTA,
	SIM_CONTEXTS_QUOTA,
	SIM_DOORBELLS_QUOTA,
	SIM_SCHED_PRIORITY,
	SIM_RESTORE_AUTO,
	SIM_BIND,
	SIM_UNBIND,
	SIM_WAIT_CLOSED,
	SIM_RESET,
	SIM_PROBE,
	SIM_WRITE, /* any of those that change something in the kernel */
	/* libvirt */
	SIM_LIST,
	SIM_GET,
	SIM_ATTACH,
	SIM_DETACH,
	SIM_START,
	SIM_SHUTDOWN,
	SIM_DESTROY,
	/* what a guest makes of a device that was plugged in */
	SIM_GUEST_DEVICE, /* it never appears there */
	SIM_GUEST_BARS,	  /* it appears without addresses: no space in the root port's window */
	SIM_GUEST_DRIVER, /* no driver takes it */
	/* the guest agent: any command, then each one */
	SIM_AGENT,
	SIM_GUEST_PING,
	SIM_GUEST_SYNC,
	SIM_GUEST_SYNC_DELIMITED,
	SIM_GUEST_INFO,
	SIM_GUEST_EXEC,
	SIM_GUEST_EXEC_STATUS,
	SIM_GUEST_FILE_OPEN,
	SIM_GUEST_FILE_CLOSE,
	SIM_GUEST_FILE_READ,
	SIM_GUEST_FILE_WRITE,
	SIM_GUEST_FILE_SEEK,
	SIM_GUEST_FILE_FLUSH,
	SIM_POINT_MAX,
};
DECLARE_ENUM_TABLE(sim_point, enum sim_point);

static inline bool sim_point_is_host(enum sim_point p)
{
	return p <= SIM_WRITE;
}
static inline bool sim_point_is_write(enum sim_point p)
{
	return (p >= SIM_NUMVFS && p <= SIM_UNBIND) || p == SIM_RESET || p == SIM_WRITE;
}
static inline bool sim_point_is_guest_device(enum sim_point p)
{
	return p >= SIM_GUEST_DEVICE && p <= SIM_GUEST_DRIVER;
}
static inline bool sim_point_is_agent(enum sim_point p)
{
	return p >= SIM_AGENT && p < SIM_POINT_MAX;
}

/* What becomes of the daemon that asked for the access. */
enum sim_kill {
	SIM_KILL_NONE,
	SIM_KILL_BEFORE, /* it dies, nothing is done */
	SIM_KILL_AFTER,	 /* all is done, it dies without an answer */
	SIM_KILL_MAX,
};
DECLARE_ENUM_TABLE(sim_kill, enum sim_kill);

struct sim_fault {
	int on; /* enum sim_point */
	char *gpu; /* "gpu0" in the order of the document, or a PCI address; NULL = any */
	char *vm;  /* NULL = any */
	char *argument; /* only the guest-exec that has this among its arguments; NULL = any */
	uint64_t nth;	/* from the nth access on, 0 = the first */
	uint64_t times; /* so often; 0 = once when nth was given, else for ever */
	int error;	     /* positive errno at a point of the kernel or a guest's device, else enum hv_failure;
			      * 0 = none */
	char *message;	     /* the words that go with error */
	uint64_t hang_usec;  /* USEC_INFINITY = until "release-hang" */
	uint64_t fewer;	     /* so many VFs or holders less than there are */
	json_t *answer;	     /* what the agent says instead of its own answer */
	int kill;	     /* enum sim_kill */
	uint64_t seen;
};

struct sim_faults {
	struct sim_fault *items;
	size_t n;
	uint64_t latency_usec[SIM_POINT_MAX];
};

/* Adds one from JSON.  base is its own pointer.  Returns 0, -EINVAL with ret_fault, or -ENOMEM. */
int sim_faults_add(struct sim_faults *f, const json_t *json, const char *base,
		   struct json_fault *ret_fault);
/* Fills latencies from {"attach": "50ms"}. */
int sim_faults_latency(struct sim_faults *f, const json_t *json, const char *base,
		       struct json_fault *ret_fault);

/* Counts one access and says which fault it meets: borrowed until the list changes, or NULL.  gpu and address are
 * the two names of a GPU, vm that of a domain; NULL where there is none. */
const struct sim_fault *sim_faults_take(struct sim_faults *f, enum sim_point point, const char *gpu,
					const char *address, const char *vm);
/* The same for a command of the guest agent, which a fault may tell by its arguments. */
const struct sim_fault *sim_faults_take_command(struct sim_faults *f, enum sim_point point, const char *vm,
						const json_t *command);

void sim_faults_clear(struct sim_faults *f); /* faults only, latencies stay */
void sim_faults_done(struct sim_faults *f);
json_t *sim_faults_to_json(const struct sim_faults *f); /* returns new: what is left, for "state" */
