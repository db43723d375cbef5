/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything the daemon ever asks of the kernel, as one list of operations.  Answered by helper
 * processes (host/) or by the made-up machine (machine/); the caller cannot tell which.
 *
 * A request never blocks: its answer comes later on the loop.  Every request has a deadline; past it the
 * answer is -ETIMEDOUT with the attribute's name, the GPU counts as stuck, further requests to it
 * are answered -EBUSY at once, and HOST_EVENT_UNSTUCK tells when the late answer came or its
 * helper ended. */
#pragma once

#include "core/facts.h"

enum host_op {
	HOST_SCAN,	    /* all Intel GPUs → facts[] */
	HOST_LINKS,	    /* one GPU, without asking it → facts[0]: for one that is silent */
	HOST_READ,	    /* one GPU → facts[0]; -ENODEV when it is gone */
	HOST_HOLDERS,	    /* who has VFs of the GPU, or that vf, open → holders[] */
	HOST_SET_AUTOPROBE, /* value 0 or 1 */
	HOST_SET_NUMVFS,    /* value; refuses with -EBUSY and holders[] when a VF is held, checked directly
			     * before the write; answers with the number read back in value */
	HOST_SET_VF_ATTR,   /* vf, attribute, value, and for hard resources tile; answers with the value
			     * read back (over all tiles) */
	HOST_SET_BULK_ATTR, /* attribute, value: for all VFs at once, where that is all a way offers */
	HOST_SET_PF_ATTR,   /* attribute, value: the PF's own scheduling values */
	HOST_RESTORE_AUTO,  /* back to automatic provisioning; all VFs must be off */
	HOST_BIND_VFIO,	    /* vf: driver_override = vfio-pci or a variant of it, unbind what is there, probe, check;
			     * answers with the driver that has it now */
	HOST_UNBIND,	    /* vf: clears the override, unbinds */
	HOST_WAIT_CLOSED,   /* vf: answers once no process has it open, at the latest at the deadline */
	HOST_RESET_VF,	    /* vf: function-level reset; -EBUSY with holders[] when it is held */
	HOST_PROBE_VF,	    /* vf: answers with its driver, and in value whether that gives it to VFIO (1, 0); -EIO
			     * when the function does not answer configuration reads */
	HOST_OP_MAX,
};
DECLARE_ENUM_TABLE(host_op, enum host_op);

struct host_request {
	enum host_op op;
	struct pci_address gpu; /* always the PF; ignored by HOST_SCAN */
	unsigned vf;		/* from 1; 0 where the op takes none */
	enum vf_attribute attribute; /* of the three that set one */
	uint64_t value;
	unsigned tile;		/* of a hard resource: 0 = spread over all tiles, k = all of it from tile k−1 */
	uint64_t deadline_usec; /* from now; 0 = the op's default (host_op_deadline()) */
};

/* Borrowed by the callback. */
struct host_reply {
	int r; /* 0 or negative errno */
	char *attribute; /* the file that answered so, for messages: "sriov_numvfs" */
	char *message;	 /* more than the errno says, or NULL */
	struct known value;
	char *driver; /* of HOST_BIND_VFIO and HOST_PROBE_VF; NULL = none */
	struct gpu_facts **facts;
	size_t n_facts;
	struct vf_holder *holders;
	size_t n_holders;
};

void host_reply_done(struct host_reply *reply);

typedef void (*host_reply_fn)(void *userdata, const struct host_reply *reply);

enum host_event_type {
	HOST_EVENT_CHANGED, /* something about this GPU or one of its VFs changed: read it again */
	HOST_EVENT_BOUND,   /* a driver was bound to the PF: changed, and whatever it knew is forgotten */
	HOST_EVENT_WEDGED,  /* the driver gave the device up; attribute: its ways out, "rebind,bus-reset" */
	HOST_EVENT_REMOVED, /* the PF is gone */
	HOST_EVENT_RESCAN,  /* events were lost, or a new GPU: scan everything */
	HOST_EVENT_SETTLED, /* what was being set up when we started has been: see settling() */
	HOST_EVENT_STUCK,   /* a request passed its deadline; attribute says where */
	HOST_EVENT_UNSTUCK,
	HOST_EVENT_MAX,
};

struct host_event {
	enum host_event_type type;
	struct pci_address gpu;
	const char *attribute; /* of STUCK and WEDGED; borrowed by the callback */
};

typedef void (*host_event_fn)(void *userdata, const struct host_event *event);

/* First member of each implementation. */
struct host {
	const struct host_ops *ops;
	host_event_fn on_event; /* set by the manager before the first request */
	void *userdata;
};

struct host_ops {
	const char *name;
	/* Starts what watches for changes.  Returns 0 or a negative errno. */
	int (*start)(struct host *host);
	/* Queues a request: copies it; fn runs exactly once, later, on the loop.  Returns 0 or a negative
	 * errno, and then fn never runs. */
	int (*request)(struct host *host, const struct host_request *request, host_reply_fn fn,
		       void *userdata);
	/* Whether drivers may still be about to come for devices that are there, as while the host boots.  NULL
	 * = never. */
	bool (*settling)(struct host *host);
	void (*free)(struct host *host);
};

uint64_t host_op_deadline(enum host_op op); /* µs */
/* From the configuration, before the first request; of this process. */
void host_op_set_deadline(enum host_op op, uint64_t usec);
bool host_op_takes_attribute(enum host_op op);

/* The wire form, shared by helper and machine: {"op":"set-numvfs","gpu":"0000:03:00.0","value":4} and
 * {"r":-16,"attribute":"sriov_numvfs","message":…,"value":…,"driver":…,"facts":[…],"holders":[…]}. */
json_t *host_request_to_json(const struct host_request *request); /* returns new */
/* Strict: unknown op or attribute, a member too many or too few = -EINVAL. */
int host_request_from_json(const json_t *json, struct host_request *ret);
json_t *host_reply_to_json(const struct host_reply *reply);
int host_reply_from_json(const json_t *json, struct host_reply *ret);

/* The real one: helper processes.  sysfs_root NULL = "/sys"; helper is the path of our own binary
 * (NULL = /proc/self/exe); allow_debugfs is the configuration's.  event is an sd_event, borrowed. */
struct sd_event;
int host_helper_new(struct sd_event *event, const char *helper, const char *sysfs_root,
		    bool allow_debugfs, struct host **ret);

/* The helper's own main: `gpuvfd --helper [--allow-debugfs] [--sysfs-root DIR] ADDRESS|scan` (the
 * last word only tells which GPU it is for); speaks the wire form on descriptor 3, one line each
 * way.  Returns 0 when the daemon went away, or a negative errno. */
int host_helper_main(int fd, const char *sysfs_root, bool allow_debugfs);

static inline struct host *host_free(struct host *host)
{
	if (host)
		host->ops->free(host);
	return NULL;
}
