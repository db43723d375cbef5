/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to the host and their answers as JSON: what daemon, helper process and made-up machine
 * send each other.  Strict in both directions: a helper acts on nothing that this file did not
 * accept. */
#include "host/host-ops.h"

#include "lib/json-field.h"
#include "lib/units.h"

const char *const host_op_names[HOST_OP_MAX] = {
	[HOST_SCAN] = "scan",
	[HOST_LINKS] = "links",
	[HOST_READ] = "read",
	[HOST_HOLDERS] = "holders",
	[HOST_SET_AUTOPROBE] = "set-autoprobe",
	[HOST_SET_NUMVFS] = "set-numvfs",
	[HOST_SET_VF_ATTR] = "set-vf-attr",
	[HOST_SET_BULK_ATTR] = "set-bulk-attr",
	[HOST_SET_PF_ATTR] = "set-pf-attr",
	[HOST_RESTORE_AUTO] = "restore-auto",
	[HOST_BIND_VFIO] = "bind-vfio",
	[HOST_UNBIND] = "unbind",
	[HOST_WAIT_CLOSED] = "wait-closed",
	[HOST_RESET_VF] = "reset-vf",
	[HOST_PROBE_VF] = "probe-vf",
};
DEFINE_ENUM_TABLE(host_op, enum host_op, HOST_OP_MAX);

#define VF_MAX 65535
#define MESSAGE_ITEMS_MAX 65536

#define TAKES_VF (1u << 0)
#define TAKES_VALUE (1u << 1)
#define TAKES_ATTRIBUTE (1u << 2)
#define TAKES_NO_GPU (1u << 3)
#define MAY_TAKE_TILE (1u << 4)
#define MAY_TAKE_VF (1u << 5)
#define TILE_MAX 64

/* The deadlines: reads take microseconds unless the device lock is held elsewhere; the core
 * sleeps 100 ms to enable and 1 s to disable, and drivers add a reset per VF; a function-level
 * reset may take a few seconds. */
static struct {
	unsigned takes;
	uint64_t deadline_usec;
} ops[HOST_OP_MAX] = {
	[HOST_SCAN] = { TAKES_NO_GPU, 4 * USEC_PER_SEC },
	[HOST_LINKS] = { 0, 4 * USEC_PER_SEC },
	[HOST_READ] = { 0, 5 * USEC_PER_SEC },
	[HOST_HOLDERS] = { MAY_TAKE_VF, 5 * USEC_PER_SEC },
	[HOST_SET_AUTOPROBE] = { TAKES_VALUE, 5 * USEC_PER_SEC },
	[HOST_SET_NUMVFS] = { TAKES_VALUE, 60 * USEC_PER_SEC },
	[HOST_SET_VF_ATTR] = { TAKES_VF | TAKES_VALUE | TAKES_ATTRIBUTE | MAY_TAKE_TILE, 10 * USEC_PER_SEC },
	[HOST_SET_BULK_ATTR] = { TAKES_VALUE | TAKES_ATTRIBUTE, 10 * USEC_PER_SEC },
	[HOST_SET_PF_ATTR] = { TAKES_VALUE | TAKES_ATTRIBUTE, 10 * USEC_PER_SEC },
	[HOST_RESTORE_AUTO] = { 0, 10 * USEC_PER_SEC },
	[HOST_BIND_VFIO] = { TAKES_VF, 15 * USEC_PER_SEC },
	[HOST_UNBIND] = { TAKES_VF, 15 * USEC_PER_SEC },
	[HOST_WAIT_CLOSED] = { TAKES_VF, 30 * USEC_PER_SEC },
	[HOST_RESET_VF] = { TAKES_VF, 15 * USEC_PER_SEC },
	[HOST_PROBE_VF] = { TAKES_VF, 5 * USEC_PER_SEC },
};

uint64_t host_op_deadline(enum host_op op)
{
	return (unsigned)op < HOST_OP_MAX ? ops[op].deadline_usec : 0;
}

void host_op_set_deadline(enum host_op op, uint64_t usec)
{
	ops[op].deadline_usec = usec;
}

bool host_op_takes_attribute(enum host_op op)
{
	return (unsigned)op < HOST_OP_MAX && ops[op].takes & TAKES_ATTRIBUTE;
}

/* ---- request --------------------------------------------------------------------------------- */

json_t *host_request_to_json(const struct host_request *request)
{
	_cleanup_json_ json_t *o = json_object();
	unsigned takes;

	if (!o || (unsigned)request->op >= HOST_OP_MAX)
		return NULL;

	takes = ops[request->op].takes;
	if (json_put_string(o, "op", host_op_to_string(request->op)) < 0)
		return NULL;
	if (!(takes & TAKES_NO_GPU) &&
	    json_put_string(o, "gpu", PCI_ADDRESS_STR(&request->gpu)) < 0)
		return NULL;
	if ((takes & TAKES_VF || (takes & MAY_TAKE_VF && request->vf > 0)) &&
	    json_put_uint(o, "vf", request->vf) < 0)
		return NULL;
	if (takes & TAKES_ATTRIBUTE &&
	    json_put_string(o, "attribute", vf_attribute_to_string(request->attribute)) < 0)
		return NULL;
	if (takes & TAKES_VALUE && json_put_uint(o, "value", request->value) < 0)
		return NULL;
	if (takes & MAY_TAKE_TILE && request->tile > 0 && json_put_uint(o, "tile", request->tile) < 0)
		return NULL;
	if (request->deadline_usec > 0 &&
	    json_put_uint(o, "deadline_usec", request->deadline_usec) < 0)
		return NULL;

	return TAKE_PTR(o);
}

#define ABSENT UINT64_MAX

struct request_wire {
	int op;
	char *gpu;
	uint64_t vf;
	int attribute; /* -1 = absent */
	uint64_t value;
	uint64_t tile;
	uint64_t deadline_usec;
};

#define REQUEST_FIELD(member, type, ...) \
	{ #member, type, offsetof(struct request_wire, member), ##__VA_ARGS__ }
static const struct json_field request_fields[] = {
	REQUEST_FIELD(op, JSON_FIELD_ENUM, .required = true, .names = host_op_names,
		      .names_max = HOST_OP_MAX),
	REQUEST_FIELD(gpu, JSON_FIELD_STRING, .max_length = PCI_ADDRESS_STRLEN),
	REQUEST_FIELD(vf, JSON_FIELD_UINT, .min = 1, .max = VF_MAX),
	REQUEST_FIELD(attribute, JSON_FIELD_ENUM, .names = vf_attribute_names,
		      .names_max = VF_ATTRIBUTE_MAX),
	REQUEST_FIELD(value, JSON_FIELD_UINT),
	REQUEST_FIELD(tile, JSON_FIELD_UINT, .min = 1, .max = TILE_MAX),
	REQUEST_FIELD(deadline_usec, JSON_FIELD_UINT, .min = 1),
	{ NULL },
};
#undef REQUEST_FIELD

static void request_wire_done(struct request_wire *w)
{
	json_fields_done(request_fields, w);
}

/* Each op takes exactly its members: a superfluous one means that the two sides disagree. */
static bool members_fit(const struct request_wire *w)
{
	unsigned takes = ops[w->op].takes;

	if (!w->gpu != !!(takes & TAKES_NO_GPU) ||
	    (w->vf == ABSENT ? takes & TAKES_VF : !(takes & (TAKES_VF | MAY_TAKE_VF))) ||
	    (w->attribute >= 0) != !!(takes & TAKES_ATTRIBUTE) ||
	    (w->value != ABSENT) != !!(takes & TAKES_VALUE) ||
	    (w->tile > 0 && (!(takes & MAY_TAKE_TILE) || w->attribute >= VF_RESOURCE_MAX)) ||
	    (w->attribute == VF_ATTR_PRIORITY && w->value >= VF_PRIORITY_MAX))
		return false;

	switch (w->op) {
	case HOST_SET_AUTOPROBE:
		return w->value <= 1;
	case HOST_SET_NUMVFS:
		return w->value <= VF_MAX;
	case HOST_SET_PF_ATTR:
		return w->attribute >= VF_RESOURCE_MAX; /* a PF has what VFs leave */
	default:
		return true;
	}
}

int host_request_from_json(const json_t *json, struct host_request *ret)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_(request_wire_done) struct request_wire w = {
		.vf = ABSENT,
		.attribute = -1,
		.value = ABSENT,
	};
	struct pci_address gpu = { 0 };

	if (json_fields_decode(json, "", request_fields, &w, &fault) < 0 || !members_fit(&w))
		return -EINVAL;
	if (w.gpu && pci_address_parse(w.gpu, &gpu) < 0)
		return -EINVAL;

	*ret = (struct host_request){
		.op = (enum host_op)w.op,
		.gpu = gpu,
		.vf = w.vf == ABSENT ? 0 : (unsigned)w.vf,
		.attribute = w.attribute < 0 ? 0 : (enum vf_attribute)w.attribute,
		.value = w.value == ABSENT ? 0 : w.value,
		.tile = (unsigned)w.tile,
		.deadline_usec = w.deadline_usec,
	};
	return 0;
}

/* ---- reply ----------------------------------------------------------------------------------- */

void host_reply_done(struct host_reply *reply)
{
	size_t i;

	for (i = 0; i < reply->n_facts; i++)
		gpu_facts_free(reply->facts[i]);
	free(reply->facts);
	for (i = 0; i < reply->n_holders; i++) {
		free(reply->holders[i].command);
		free(reply->holders[i].path);
	}
	free(reply->holders);
	free(reply->attribute);
	free(reply->message);
	free(reply->driver);
	*reply = (struct host_reply){ 0 };
}

static json_t *facts_to_json(const struct host_reply *reply)
{
	_cleanup_json_ json_t *array = json_array();
	size_t i;

	if (!array)
		return NULL;

	for (i = 0; i < reply->n_facts; i++) {
		json_t *facts = gpu_facts_to_json(reply->facts[i]);

		if (!facts || json_array_append_new(array, facts) < 0)
			return NULL;
	}
	return TAKE_PTR(array);
}

static json_t *holders_to_json(const struct host_reply *reply)
{
	_cleanup_json_ json_t *array = json_array();
	size_t i;

	if (!array)
		return NULL;

	for (i = 0; i < reply->n_holders; i++) {
		const struct vf_holder *h = &reply->holders[i];
		_cleanup_json_ json_t *o = json_object();

		if (!o || json_put_uint(o, "vf", h->vf) < 0 ||
		    json_put(o, "pid", json_integer(h->pid)) < 0 ||
		    json_put_uint_known(o, "started", h->started.known, h->started.value) < 0 ||
		    json_put_uint_known(o, "uid", h->uid.known, h->uid.value) < 0 ||
		    json_put_string(o, "command", h->command) < 0 ||
		    json_put_string(o, "path", h->path) < 0 || json_array_append(array, o) < 0)
			return NULL;
	}
	return TAKE_PTR(array);
}

json_t *host_reply_to_json(const struct host_reply *reply)
{
	_cleanup_json_ json_t *o = json_object();

	if (!o || json_put(o, "r", json_integer(reply->r)) < 0 ||
	    json_put_string(o, "attribute", reply->attribute) < 0 ||
	    json_put_string(o, "message", reply->message) < 0 ||
	    json_put_uint_known(o, "value", reply->value.known, reply->value.value) < 0 ||
	    json_put_string(o, "driver", reply->driver) < 0 ||
	    json_put(o, "facts", facts_to_json(reply)) < 0 ||
	    json_put(o, "holders", holders_to_json(reply)) < 0)
		return NULL;

	return TAKE_PTR(o);
}

struct holder_wire {
	uint64_t vf;
	int64_t pid;
	uint64_t started;
	uint64_t uid;
	char *command;
	char *path;
};

#define HOLDER_FIELD(member, type, ...) \
	{ #member, type, offsetof(struct holder_wire, member), ##__VA_ARGS__ }
static const struct json_field holder_fields[] = {
	HOLDER_FIELD(vf, JSON_FIELD_UINT, .required = true, .min = 1, .max = VF_MAX),
	HOLDER_FIELD(pid, JSON_FIELD_INT, .required = true, .min = 1, .max = INT32_MAX),
	HOLDER_FIELD(started, JSON_FIELD_UINT, .max = INT64_MAX),
	HOLDER_FIELD(uid, JSON_FIELD_UINT, .max = UINT32_MAX),
	HOLDER_FIELD(command, JSON_FIELD_STRING),
	HOLDER_FIELD(path, JSON_FIELD_STRING),
	{ NULL },
};
#undef HOLDER_FIELD

static struct known known_from_wire(uint64_t value)
{
	return (struct known){ value != ABSENT, value == ABSENT ? 0 : value };
}

static int holders_from_json(const json_t *array, struct host_reply *reply)
{
	size_t n = json_array_size(array);
	size_t i;

	reply->holders = calloc(MAX_OF(n, 1u), sizeof(*reply->holders));
	if (!reply->holders)
		return -ENOMEM;

	for (i = 0; i < n; i++) {
		_cleanup_(json_fault_done) struct json_fault fault = { 0 };
		struct holder_wire w = { .started = ABSENT, .uid = ABSENT };

		if (json_fields_decode(json_array_get(array, i), "", holder_fields, &w, &fault) < 0)
			return -EINVAL;

		reply->holders[i] = (struct vf_holder){
			.vf = (unsigned)w.vf,
			.pid = (int)w.pid,
			.started = known_from_wire(w.started),
			.uid = known_from_wire(w.uid),
			.command = w.command,
			.path = w.path,
		};
		reply->n_holders = i + 1;
	}
	return 0;
}

static int facts_from_json(const json_t *array, struct host_reply *reply)
{
	size_t n = json_array_size(array);
	size_t i;
	int r;

	reply->facts = calloc(MAX_OF(n, 1u), sizeof(*reply->facts));
	if (!reply->facts)
		return -ENOMEM;

	for (i = 0; i < n; i++) {
		r = gpu_facts_from_json(json_array_get(array, i), &reply->facts[i]);
		if (r < 0)
			return r;

		reply->n_facts = i + 1;
	}
	return 0;
}

struct reply_wire {
	int64_t r;
	char *attribute;
	char *message;
	uint64_t value;
	char *driver;
	json_t *facts;
	json_t *holders;
};

#define REPLY_FIELD(member, type, ...) \
	{ #member, type, offsetof(struct reply_wire, member), ##__VA_ARGS__ }
static const struct json_field reply_fields[] = {
	REPLY_FIELD(r, JSON_FIELD_INT, .required = true, .min = -4095, .max = 0),
	REPLY_FIELD(attribute, JSON_FIELD_STRING),
	REPLY_FIELD(message, JSON_FIELD_STRING),
	REPLY_FIELD(value, JSON_FIELD_UINT),
	REPLY_FIELD(driver, JSON_FIELD_STRING),
	REPLY_FIELD(facts, JSON_FIELD_ARRAY, .max_length = MESSAGE_ITEMS_MAX),
	REPLY_FIELD(holders, JSON_FIELD_ARRAY, .max_length = MESSAGE_ITEMS_MAX),
	{ NULL },
};
#undef REPLY_FIELD

static void reply_wire_done(struct reply_wire *w)
{
	json_fields_done(reply_fields, w);
}

int host_reply_from_json(const json_t *json, struct host_reply *ret)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_(reply_wire_done) struct reply_wire w = { .value = ABSENT };
	_cleanup_(host_reply_done) struct host_reply reply = { 0 };
	int r;

	if (json_fields_decode(json, "", reply_fields, &w, &fault) < 0)
		return -EINVAL;

	reply.r = (int)w.r;
	reply.attribute = TAKE_PTR(w.attribute);
	reply.message = TAKE_PTR(w.message);
	reply.driver = TAKE_PTR(w.driver);
	if (w.value != ABSENT)
		reply.value = (struct known){ true, w.value };
	r = facts_from_json(w.facts, &reply);
	if (r < 0)
		return r;
	r = holders_from_json(w.holders, &reply);
	if (r < 0)
		return r;

	*ret = reply;
	reply = (struct host_reply){ 0 };
	return 0;
}
