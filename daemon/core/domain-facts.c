/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about a libvirt domain as values: release, copy, and the JSON of machine and daemon.
 * Knows nothing of libvirt. */
#include "core/facts.h"

#include "lib/json-field.h"

#define HOSTDEVS_MAX 4096

static int put_int(json_t *object, const char *name, int value)
{
	return json_put(object, name, json_integer(value));
}

struct domain_facts *domain_facts_free(struct domain_facts *f)
{
	size_t i;

	if (!f)
		return NULL;

	for (i = 0; i < f->n_hostdevs; i++)
		free(f->hostdevs[i].alias);
	free(f->hostdevs);
	free(f->guest_root);
	free(f->name);
	free(f);
	return NULL;
}

struct domain_facts *domain_facts_copy(const struct domain_facts *f)
{
	_cleanup_(domain_facts_freep) struct domain_facts *copy = malloc(sizeof(*copy));
	size_t i;

	if (!copy)
		return NULL;

	*copy = *f;
	copy->name = copy->guest_root = NULL;
	copy->hostdevs = NULL;
	copy->n_hostdevs = 0;
	if (free_and_strdup(&copy->name, f->name) < 0 ||
	    free_and_strdup(&copy->guest_root, f->guest_root) < 0)
		return NULL;

	copy->hostdevs = calloc(MAX_OF(f->n_hostdevs, 1u), sizeof(*copy->hostdevs));
	if (!copy->hostdevs)
		return NULL;
	for (i = 0; i < f->n_hostdevs; i++) {
		copy->hostdevs[i] = f->hostdevs[i];
		copy->hostdevs[i].alias = NULL;
		copy->n_hostdevs = i + 1;
		if (free_and_strdup(&copy->hostdevs[i].alias, f->hostdevs[i].alias) < 0)
			return NULL;
	}
	return TAKE_PTR(copy);
}

static json_t *hostdevs_to_json(const struct domain_facts *f)
{
	_cleanup_json_ json_t *array = json_array();
	size_t i;

	if (!array)
		return NULL;

	for (i = 0; i < f->n_hostdevs; i++) {
		const struct domain_hostdev *h = &f->hostdevs[i];
		_cleanup_json_ json_t *o = json_object();

		if (!o || json_put_string(o, "address", PCI_ADDRESS_STR(&h->address)) < 0 ||
		    json_put_string(o, "alias", h->alias) < 0 ||
		    json_put_bool(o, "live", h->live) < 0 ||
		    json_put_bool(o, "config", h->config) < 0 ||
		    json_array_append(array, o) < 0)
			return NULL;
	}
	return TAKE_PTR(array);
}

json_t *domain_facts_to_json(const struct domain_facts *f)
{
	_cleanup_json_ json_t *o = json_object();

	if (!o || json_put_string(o, "uuid", f->uuid) < 0 ||
	    json_put_string(o, "name", f->name) < 0 ||
	    json_put_string(o, "state", vm_state_to_string(f->state)) < 0 ||
	    json_put_bool(o, "persistent", f->persistent) < 0 || put_int(o, "id", f->id) < 0 ||
	    json_put_string(o, "agent", vm_agent_to_string(f->agent)) < 0 ||
	    json_put_uint(o, "memory_bytes", f->memory_bytes) < 0 ||
	    put_int(o, "free_ports", f->free_ports) < 0 ||
	    (f->saved && json_put_bool(o, "saved", true) < 0) ||
	    (f->hostdevs_unknown && json_put_bool(o, "hostdevs_unknown", true) < 0) ||
	    json_put_string(o, "guest_root", f->guest_root) < 0 ||
	    json_put(o, "hostdevs", hostdevs_to_json(f)) < 0)
		return NULL;

	return TAKE_PTR(o);
}

struct hostdev_wire {
	char *address;
	char *alias;
	bool live;
	bool config;
};

#define HOSTDEV_FIELD(member, type, ...) \
	{ #member, type, offsetof(struct hostdev_wire, member), ##__VA_ARGS__ }
static const struct json_field hostdev_fields[] = {
	HOSTDEV_FIELD(address, JSON_FIELD_STRING, .required = true),
	HOSTDEV_FIELD(alias, JSON_FIELD_STRING),
	HOSTDEV_FIELD(live, JSON_FIELD_BOOL),
	HOSTDEV_FIELD(config, JSON_FIELD_BOOL),
	{ NULL },
};
#undef HOSTDEV_FIELD

static void hostdev_wire_done(struct hostdev_wire *w)
{
	json_fields_done(hostdev_fields, w);
}

static int hostdev_from_json(const json_t *json, struct domain_hostdev *ret)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_(hostdev_wire_done) struct hostdev_wire w = { 0 };
	struct pci_address address;

	if (json_fields_decode(json, "", hostdev_fields, &w, &fault) < 0 ||
	    pci_address_parse(w.address, &address) < 0)
		return -EINVAL;

	*ret = (struct domain_hostdev){
		.address = address,
		.alias = TAKE_PTR(w.alias),
		.live = w.live,
		.config = w.config,
	};
	return 0;
}

struct domain_wire {
	char *uuid;
	char *name;
	int state;
	bool persistent;
	bool saved;
	bool hostdevs_unknown;
	int64_t id;
	int agent;
	uint64_t memory_bytes;
	int64_t free_ports;
	char *guest_root;
	json_t *hostdevs;
};

#define DOMAIN_FIELD(member, type, ...) \
	{ #member, type, offsetof(struct domain_wire, member), ##__VA_ARGS__ }
static const struct json_field domain_fields[] = {
	DOMAIN_FIELD(uuid, JSON_FIELD_STRING, .required = true, .max_length = 36),
	DOMAIN_FIELD(name, JSON_FIELD_STRING, .required = true, .nonempty = true),
	DOMAIN_FIELD(state, JSON_FIELD_ENUM, .required = true, .names = vm_state_names,
		     .names_max = VM_STATE_MAX),
	DOMAIN_FIELD(persistent, JSON_FIELD_BOOL),
	DOMAIN_FIELD(saved, JSON_FIELD_BOOL),
	DOMAIN_FIELD(hostdevs_unknown, JSON_FIELD_BOOL),
	DOMAIN_FIELD(id, JSON_FIELD_INT, .min = -1, .max = INT32_MAX),
	DOMAIN_FIELD(agent, JSON_FIELD_ENUM, .names = vm_agent_names, .names_max = VM_AGENT_MAX),
	DOMAIN_FIELD(memory_bytes, JSON_FIELD_UINT),
	DOMAIN_FIELD(free_ports, JSON_FIELD_INT, .min = -1, .max = INT32_MAX),
	DOMAIN_FIELD(guest_root, JSON_FIELD_STRING),
	DOMAIN_FIELD(hostdevs, JSON_FIELD_ARRAY, .max_length = HOSTDEVS_MAX),
	{ NULL },
};
#undef DOMAIN_FIELD

static void domain_wire_done(struct domain_wire *w)
{
	json_fields_done(domain_fields, w);
}

static int hostdevs_from_json(const json_t *array, struct domain_facts *f)
{
	size_t n = json_array_size(array);
	size_t i;
	int r;

	f->hostdevs = calloc(MAX_OF(n, 1u), sizeof(*f->hostdevs));
	if (!f->hostdevs)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		r = hostdev_from_json(json_array_get(array, i), &f->hostdevs[i]);
		if (r < 0)
			return r;

		f->n_hostdevs = i + 1;
	}
	return 0;
}

int domain_facts_from_json(const json_t *json, struct domain_facts **ret)
{
	_cleanup_(json_fault_done) struct json_fault fault = { 0 };
	_cleanup_(domain_wire_done) struct domain_wire w = { .id = -1, .free_ports = -1 };
	_cleanup_(domain_facts_freep) struct domain_facts *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	if (json_fields_decode(json, "", domain_fields, &w, &fault) < 0 ||
	    strlen(w.uuid) != sizeof(f->uuid) - 1)
		return -EINVAL;

	memcpy(f->uuid, w.uuid, sizeof(f->uuid));
	f->name = TAKE_PTR(w.name);
	f->state = (enum vm_state)w.state;
	f->persistent = w.persistent;
	f->saved = w.saved;
	f->hostdevs_unknown = w.hostdevs_unknown;
	f->id = (int)w.id;
	f->agent = (enum vm_agent)w.agent;
	f->memory_bytes = w.memory_bytes;
	f->free_ports = (int)w.free_ports;
	f->guest_root = w.guest_root ? TAKE_PTR(w.guest_root) : strdup("");
	if (!f->guest_root)
		return -ENOMEM;
	r = hostdevs_from_json(w.hostdevs, f);
	if (r < 0)
		return r;

	*ret = TAKE_PTR(f);
	return 0;
}
