/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything the daemon ever asks of the hypervisor.  Answered by libvirt (hypervisor/) or by the
 * made-up machine (machine/).  No call blocks; answers and events come on the loop. */
#pragma once

#include "core/facts.h"

enum hv_op {
	HV_LIST, /* all domains → domains[] */
	HV_GET, /* one domain → domains[0]; a cheap modifying job on it first when barrier is set */
	HV_ATTACH, /* uuid, address, alias, live/config: adds the hostdev, managed or not */
	HV_DETACH, /* the same: asks for its removal.  Live: answers once the guest let go
		    * (libvirt's removal event) or refused, at the latest at the deadline */
	HV_AGENT,  /* uuid, command: one guest agent command → result (the "return" member) */
	HV_START,  /* a domain that is off is started; HV_ALREADY when it runs */
	HV_SHUTDOWN, /* asks the guest to shut down, by its agent, else by ACPI; its going off is an
		      * event, if it does */
	HV_DESTROY, /* powers it off hard, also while other calls about it hang */
	HV_OP_MAX,
};
DECLARE_ENUM_TABLE(hv_op, enum hv_op);

/* Why a request failed: what callers must tell apart. */
enum hv_failure {
	HV_OK,
	HV_DISCONNECTED, /* no libvirtd; it is being reconnected */
	HV_NO_DOMAIN,
	HV_NOT_RUNNING,
	HV_NO_PORT,            /* no free PCIe port to plug into */
	HV_NO_MEMORY, /* attach, live; start with a VF: the host has not what that pins; message has the numbers */
	HV_SAVED, /* attach, config: its next start restores a managed-save image and would not have the device */
	HV_ALREADY,            /* the device is already there / already gone */
	HV_AGENT_ABSENT,       /* the domain has no agent channel */
	HV_AGENT_UNRESPONSIVE, /* channel, but no answer */
	HV_AGENT_DISABLED,     /* the agent refuses this command by its configuration */
	HV_AGENT_REFUSED,      /* the agent answered with an error; message holds it */
	HV_AGENT_GARBAGE,      /* the agent's answer is no such answer: hostile or broken */
	HV_GUEST_REFUSED,      /* detach: the guest did not let go */
	HV_TIMEOUT,
	HV_FAILED, /* anything else; message is libvirt's */
	HV_FAILURE_MAX,
};
DECLARE_ENUM_TABLE(hv_failure, enum hv_failure);

struct hv_request {
	enum hv_op op;
	const char *uuid;
	struct pci_address address; /* of the VF on the host */
	const char *alias;          /* "ua-gpuvf-…" */
	bool live, config;
	bool managed; /* of ATTACH: libvirt binds the device and gives it back, not we */
	bool barrier;
	json_t *command;        /* borrowed by request(), which keeps its own reference */
	uint64_t deadline_usec; /* 0 = the op's default */
};

/* Borrowed by the callback. */
struct hv_reply {
	enum hv_failure failure;
	char *message; /* libvirt's or the agent's words, escaped by whoever prints them */
	struct domain_facts **domains;
	size_t n_domains;
	json_t *result;
	bool tried; /* of a live attach that failed: the guest may have had the device, if only for a moment */
};

/* Of an attach that libvirt was asked for and that failed so, in libvirt's words (borrowed, may be NULL): whether QEMU, and
 * so the guest, may have got the device.  False is what libvirt refuses before it tells QEMU. */
bool hv_attach_may_have_begun(enum hv_failure failure, const char *message);

void hv_reply_done(struct hv_reply *reply);

typedef void (*hv_reply_fn)(void *userdata, const struct hv_reply *reply);

enum hv_event_type {
	HV_EVENT_CONNECTED,
	HV_EVENT_LOST_CONNECTION,
	HV_EVENT_DOMAIN,         /* a domain appeared or changed; facts are attached */
	HV_EVENT_DOMAIN_GONE,    /* undefined, or a transient one ended */
	HV_EVENT_DEVICE_REMOVED, /* alias has left the guest */
	HV_EVENT_DEVICE_ADDED,
	HV_EVENT_STUCK,	  /* a call got its HV_TIMEOUT and has not returned: reason; uuid NULL = about no VM of its own */
	HV_EVENT_UNSTUCK, /* … all such calls of that VM (or about none) have returned; what the connection takes with
			   * it when it is lost is not told */
	HV_EVENT_MAX,
};
DECLARE_ENUM_TABLE(hv_event_type, enum hv_event_type);

struct hv_event {
	enum hv_event_type type;
	const char *uuid;
	const char *alias;
	const char *reason;                /* LOST_CONNECTION, STUCK */
	const struct domain_facts *domain; /* DOMAIN */
};

typedef void (*hv_event_fn)(void *userdata, const struct hv_event *event);

struct hypervisor {
	const struct hypervisor_ops *ops;
	hv_event_fn on_event; /* set by the manager before start() */
	void *userdata;
};

struct hypervisor_ops {
	const char *name;
	/* Connects, after READY; retries by itself with a growing pause.  CONNECTED comes when
	 * events are registered; the caller then lists. */
	int (*start)(struct hypervisor *hv);
	/* Copies the request; fn runs exactly once, later, on the loop.  0 or negative errno. */
	int (*request)(struct hypervisor *hv, const struct hv_request *request, hv_reply_fn fn,
		       void *userdata);
	void (*free)(struct hypervisor *hv);
};

/* libvirt itself changes the stored definition without a word. */
#define HV_SAVED_TEXT "the VM has a managed-save image: its next start restores that, with the devices that it had then"

uint64_t hv_op_deadline(enum hv_op op); /* µs */
void hv_op_set_deadline(enum hv_op op, uint64_t usec); /* before the first request */
const char *hv_op_late_text(enum hv_op op); /* what did not happen in time */

/* Of an attach to, or the start of, a guest with so much memory, in bytes: the op's own, and 1 s for each GiB.  VFIO
 * pins all of the guest's memory for its first VF, page by page, and zeroes what was not touched yet: about 1 s per
 * 4 GiB where nothing else hinders; four times that for a host that is busy or has to make room.  0 = not known. */
uint64_t hv_pinning_deadline(enum hv_op op, uint64_t memory_bytes);

/* 0 when the request has what its op needs: a uuid, live or config, a command; else -EINVAL. */
int hv_request_check(const struct hv_request *request);

/* Wire form for the made-up machine. */
json_t *hv_request_to_json(const struct hv_request *request);
int hv_request_from_json(const json_t *json,
			 struct hv_request *ret); /* strings borrowed from json */
json_t *hv_reply_to_json(const struct hv_reply *reply);
int hv_reply_from_json(const json_t *json, struct hv_reply *ret);

struct sd_event;
/* uri NULL = "qemu:///system".  Returns 0 or a negative errno; *ret_message (new) is set where there is more to say. */
int hypervisor_libvirt_new(struct sd_event *event, const char *uri, struct hypervisor **ret, char **ret_message);

static inline struct hypervisor *hypervisor_free(struct hypervisor *hv)
{
	if (hv)
		hv->ops->free(hv);
	return NULL;
}
