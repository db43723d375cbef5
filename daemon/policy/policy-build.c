/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many texts become one set, or a list of everything that is wrong with them.  Called by
 * policy-load.c and by tests; resolves the names of users and groups, so it may sleep. */
#include "policy/policy-build.h"

#include <stdio.h>

#include "lib/hash.h"

struct document_fields {
	uint64_t version;
	json_t *sections[POLICY_SECTION_MAX];
	json_t *scheduling;
};

#define SECTION_FIELD(word, id)                                                                    \
	{ word, JSON_FIELD_ARRAY, offsetof(struct document_fields, sections[id]),                  \
	  .max_length = SECTION_ITEMS_MAX }

/* Larger sets are mistakes of a generator. */
#define SECTION_ITEMS_MAX 10000

static const struct json_field document_fields[] = {
	{ "version", JSON_FIELD_UINT, offsetof(struct document_fields, version), .required = true,
	  .min = 1, .max = 1, .summary = "\"version\": 1" },
	SECTION_FIELD("profiles", POLICY_PROFILES),
	SECTION_FIELD("layouts", POLICY_LAYOUTS),
	SECTION_FIELD("gpus", POLICY_GPUS),
	SECTION_FIELD("vms", POLICY_VMS),
	SECTION_FIELD("assignments", POLICY_ASSIGNMENTS),
	SECTION_FIELD("queues", POLICY_QUEUES),
	SECTION_FIELD("access", POLICY_ACCESS),
	{ "scheduling", JSON_FIELD_OBJECT, offsetof(struct document_fields, scheduling),
	  .summary = "members: quantum_by_weight" },
	POLICY_COMMENT_FIELDS,
	{ NULL },
};

static const struct unsupported document_unsupported[] = {
	{ "templates", NULL, "use vms" },
	{ NULL },
};

/* Makes room for one more item, zeroed, and for its place.  NULL = no memory. */
static void *section_grow(struct policy_builder *b, enum policy_section_id id)
{
	const struct policy_section *section = &policy_sections[id];
	void **array = (void **)((char *)b->policy + section->array);
	size_t n = policy_section_count(b->policy, id);
	struct policy_place *places;
	void *grown;

	places = reallocarray(b->places[id], n + 1, sizeof(*places));
	if (!places)
		return NULL;
	b->places[id] = places;

	grown = reallocarray(*array, n + 1, section->size);
	if (!grown)
		return NULL;
	*array = grown;
	places[n] = (struct policy_place){ b->source, NULL };
	return memset((char *)grown + n * section->size, 0, section->size);
}

/* 1 = the name is taken (and told), 0 = new. */
static int check_duplicate(struct policy_builder *b, enum policy_section_id id, const void *item,
			   const struct policy_place *place)
{
	const struct policy_section *section = &policy_sections[id];
	const char *name, *other;
	size_t i;
	int r;

	if (!section->thing)
		return 0;

	name = *(char *const *)((const char *)item + section->name_at);
	for (i = 0; i < policy_section_count(b->policy, id); i++) {
		_cleanup_free_ char *at = NULL;
		char *existing = policy_section_item(b->policy, id, i);

		other = *(char **)(existing + section->name_at);
		if (!streq(name, other))
			continue;
		at = policy_place_text(b, &b->places[id][i], "name");
		if (!at)
			return -ENOMEM;
		r = policy_complain_text(b, place, "name", "rename one of the two",
					 "%s \"%s\" is written at %s already", section->thing, name,
					 at);
		return r < 0 ? r : 1;
	}
	return 0;
}

/* Puts the item, as written, into the merged document. */
static int document_append(struct policy_builder *b, const char *section, const json_t *item)
{
	json_t *array = json_object_get(b->policy->document, section);

	if (!array) {
		array = json_array();
		if (json_put(b->policy->document, section, array) < 0)
			return -ENOMEM;
	}
	return json_array_append(array, (json_t *)item) < 0 ? -ENOMEM : 0;
}

static int read_item(struct policy_builder *b, enum policy_section_id id, const json_t *item,
		     size_t index)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	const struct policy_section *section = &policy_sections[id];
	size_t *count = (size_t *)((char *)b->policy + section->count);
	char *pointer = xasprintf("/%s/%zu", section->name, index);
	struct policy_place place = { b->source, pointer };
	void *out;
	int r;

	out = pointer ? section_grow(b, id) : NULL;
	if (!out) {
		free(pointer);
		return -ENOMEM;
	}

	r = section->read(b, item, pointer, out, &fault);
	if (r == 0)
		r = check_duplicate(b, id, out, &place);
	if (r == 0)
		r = document_append(b, section->name, item);
	if (r == 0) {
		b->places[id][*count].pointer = pointer;
		(*count)++;
		return 0;
	}

	section->done(out);
	if (r == -EINVAL)
		r = policy_complain(b, &place, &fault);
	free(pointer);
	return r > 0 ? 0 : r;
}

static int read_scheduling(struct policy_builder *b, const json_t *scheduling)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	struct policy_place place = { b->source, (char *)"/scheduling" };
	int r;

	r = policy_read_scheduling(b, scheduling, &fault);
	return r == -EINVAL ? policy_complain(b, &place, &fault) : r;
}

static int read_document(struct policy_builder *b, const json_t *document)
{
	_cleanup_(json_fault_done) struct json_fault fault = { NULL };
	struct policy_place place = { b->source, (char *)"" };
	_cleanup_json_ json_t *rest = NULL;
	struct document_fields f = { 0 };
	size_t id, i;
	int r;

	r = unsupported_check(document, "", document_unsupported, &rest, &fault);
	if (r == 0)
		r = json_fields_decode(rest, "", document_fields, &f, &fault);
	if (r == -EINVAL)
		return policy_complain(b, &place, &fault);
	if (r < 0)
		return r;

	for (id = 0; id < POLICY_SECTION_MAX && r == 0; id++)
		for (i = 0; i < json_array_size(f.sections[id]) && r == 0; i++)
			r = read_item(b, id, json_array_get(f.sections[id], i), i);
	if (r == 0 && f.scheduling)
		r = read_scheduling(b, f.scheduling);
	json_fields_done(document_fields, &f);
	return r;
}

/* A text that is no JSON has no pointers: the parser's own position is told. */
static int complain_syntax(struct policy_builder *b, const json_error_t *error)
{
	_cleanup_free_ char *text = NULL;

	text = xasprintf("%s:%d:%d: /: is not JSON: %s", b->sources[b->source].name,
			 MAX_OF(error->line, 1), MAX_OF(error->column, 1), error->text);
	return text ? policy_append_text(b->errors, text) : -ENOMEM;
}

static int read_source(struct policy_builder *b)
{
	const struct policy_source *source = &b->sources[b->source];
	_cleanup_json_ json_t *document = NULL;
	json_error_t error = { .line = 1 };
	int r;

	r = policy_append_text(b->policy->sources, source->name);
	if (r < 0)
		return r;
	r = json_parse(source->text, source->size, &document, &error);
	if (r == -EINVAL)
		return complain_syntax(b, &error);
	return r < 0 ? r : read_document(b, document);
}

static int set_revision(struct policy_builder *b)
{
	char hex[HASH_HEX_SIZE];
	struct hash hash;
	size_t i;

	hash_init(&hash);
	for (i = 0; i < b->n_sources; i++) {
		hash_add_string(&hash, b->sources[i].name);
		hash_add(&hash, &b->sources[i].size, sizeof(b->sources[i].size));
		hash_add(&hash, b->sources[i].text, b->sources[i].size);
	}
	b->policy->revision = strndup(hash_hex(&hash, hex), 16);
	return b->policy->revision ? 0 : -ENOMEM;
}

static int builder_start(struct policy_builder *b)
{
	struct policy *p = calloc(1, sizeof(*p));

	b->errors = json_array();
	b->policy = p;
	if (!b->errors || !p)
		return -ENOMEM;

	p->ref = 1;
	p->sources = json_array();
	p->warnings = json_array();
	p->document = json_object();
	if (!p->sources || !p->warnings || !p->document)
		return -ENOMEM;
	return json_put_uint(p->document, "version", 1);
}

static void places_free(struct policy_builder *b)
{
	size_t id, i, n;

	for (id = 0; id < POLICY_SECTION_MAX; id++) {
		n = b->policy ? policy_section_count(b->policy, id) : 0;
		for (i = 0; i < n && b->places[id]; i++)
			free(b->places[id][i].pointer);
		free(b->places[id]);
	}
	free(b->quantum_by_weight.pointer);
}

/* A set without queues gets one that everybody who may submit can use. */
static int add_default_queue(struct policy_builder *b)
{
	struct policy_queue *queue;

	if (b->policy->n_queues > 0)
		return 0;
	queue = section_grow(b, POLICY_QUEUES);
	if (!queue)
		return -ENOMEM;

	b->policy->n_queues = 1;
	queue->name = strdup("default");
	queue->is_default = true;
	queue->priority = POLICY_QUEUE_PRIORITY;
	queue->weight = POLICY_QUEUE_WEIGHT;
	return queue->name ? 0 : -ENOMEM;
}

static int build(struct policy_builder *b)
{
	_cleanup_free_ char *more = NULL;
	int r;

	r = builder_start(b);
	for (b->source = 0; b->source < b->n_sources && r == 0; b->source++)
		r = read_source(b);
	if (r == 0)
		r = policy_check_references(b);
	if (r < 0)
		return r;

	if (b->n_untold > 0) {
		more = xasprintf("… and %zu more errors", b->n_untold);
		if (!more || json_array_append_new(b->errors, json_string(more)) < 0)
			return -ENOMEM;
	}
	if (json_array_size(b->errors) > 0)
		return -EINVAL;

	r = add_default_queue(b);
	return r < 0 ? r : set_revision(b);
}

static int build_set(const struct policy_source *sources, size_t n, bool resolve,
		     struct policy **ret, json_t **ret_errors)
{
	struct policy_builder b = { .sources = sources, .n_sources = n, .resolve = resolve };
	int r = build(&b);

	places_free(&b); /* counts them by the policy, so while it is still here */
	if (r == 0)
		*ret = TAKE_PTR(b.policy);
	else if (r == -EINVAL)
		*ret_errors = TAKE_PTR(b.errors);
	json_decref(b.errors);
	policy_unref(b.policy);
	return r;
}

int policy_build(const struct policy_source *sources, size_t n, struct policy **ret,
		 json_t **ret_errors)
{
	return build_set(sources, n, true, ret, ret_errors);
}

int policy_check(const struct policy_source *sources, size_t n, struct policy **ret,
		 json_t **ret_errors)
{
	return build_set(sources, n, false, ret, ret_errors);
}
