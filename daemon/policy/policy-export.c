/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts → policy document. */
#include "policy/policy-export.h"

#include <stdio.h>

#include "policy/policy-build.h"

struct exporter {
	json_t *profiles, *layouts, *gpus; /* borrowed from the document */
};

/* NULL when nothing in the array is called so. */
static json_t *find_named(const json_t *array, const char *name)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)array, i, item)
		if (streq_ptr(json_get_string(item, "name"), name))
			return item;
	return NULL;
}

/* Equal but for the name. */
static json_t *find_content(const json_t *array, const json_t *content)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)array, i, item) {
		_cleanup_json_ json_t *nameless = json_copy(item);

		if (nameless && json_object_del(nameless, "name") == 0 &&
		    json_equal(nameless, (json_t *)content))
			return item;
	}
	return NULL;
}

/* The name itself, or with "-2", "-3" … behind it; what is no name of a policy is cut to one.  Returns
 * new. */
static char *free_name(const json_t *array, const char *wanted)
{
	const char *base = policy_name_is_valid(wanted) ? wanted : "exported";
	char *name = strdup(base);
	unsigned i;

	for (i = 2; name && find_named(array, name); i++) {
		free(name);
		name = xasprintf("%.*s-%u", POLICY_NAME_MAX - 12, base, i);
	}
	return name;
}

/* Appends content under a name, unless it is there: an item of the same name first, then any when the
 * name was not said by anybody.  *ret_name is borrowed from the array. */
static int put_named(json_t *array, const json_t *content, const char *wanted, bool keep_name,
		     const char **ret_name)
{
	json_t *existing = find_content(array, content), *named = find_named(array, wanted), *item;
	_cleanup_free_ char *name = NULL;

	if (named) {
		_cleanup_json_ json_t *nameless = json_copy(named);

		if (nameless && json_object_del(nameless, "name") == 0 &&
		    json_equal(nameless, (json_t *)content)) {
			*ret_name = json_get_string(named, "name");
			return 0;
		}
	}
	if (existing && !keep_name) {
		*ret_name = json_get_string(existing, "name");
		return 0;
	}
	name = free_name(array, wanted);
	item = name ? json_pack("{s:s}", "name", name) : NULL;
	if (!item || json_object_update(item, (json_t *)content) < 0 ||
	    json_array_append_new(array, item) < 0)
		return -ENOMEM;
	*ret_name = json_get_string(item, "name");
	return 0;
}

static int export_profile(struct exporter *e, const struct layout_vf *vf, const char *layout_name,
			  const char **ret_name)
{
	_cleanup_json_ json_t *content = json_object();

	if (!content || vf_shape_put_document(content, &vf->shape) < 0)
		return -ENOMEM;
	return put_named(e->profiles, content, vf->profile ? vf->profile : layout_name,
			 vf->profile != NULL, ret_name);
}

/* One more VF of that profile: the last slice grows, or a new one begins, so that the order stays. */
static int add_to_slices(json_t *slices, const char *profile)
{
	json_t *last = json_array_get(slices, json_array_size(slices) - 1);

	if (last && streq_ptr(json_get_string(last, "profile"), profile))
		return json_put_uint(last, "count", json_get_uint(last, "count", 0) + 1);
	return json_array_append_new(slices, json_pack("{s:s,s:i}", "profile", profile, "count", 1)) < 0 ?
		       -ENOMEM :
		       0;
}

static bool says_nothing(const struct layout *l)
{
	size_t i;

	for (i = 0; i < l->n_vfs; i++)
		if (l->vfs[i].profile || !vf_shape_is_empty(&l->vfs[i].shape))
			return false;
	return true;
}

static int export_slices(struct exporter *e, const struct layout *l, const char *name, json_t *content)
{
	json_t *slices = json_array();
	const char *profile = NULL;
	size_t i;
	int r = json_put(content, "slices", slices);

	for (i = 0; i < l->n_vfs && r == 0; i++) {
		r = export_profile(e, &l->vfs[i], name, &profile);
		if (r == 0)
			r = add_to_slices(slices, profile);
	}
	return r;
}

static int export_layout(struct exporter *e, const struct layout *l, const char *name,
			 const char **ret_name)
{
	_cleanup_json_ json_t *content = json_object();
	int r;

	if (!content)
		return -ENOMEM;
	if (says_nothing(l))
		r = json_put_uint(content, "vfs", l->n_vfs);
	else
		r = export_slices(e, l, name, content);
	if (r == 0 && l->defaults)
		r = json_put_bool(content, "defaults", true);
	if (r == 0 && l->scheduler != SCHEDULER_NONE)
		r = json_put_string(content, "scheduler", scheduler_preset_to_string(l->scheduler));
	return r < 0 ? r : put_named(e->layouts, content, name, l->name != NULL, ret_name);
}

/* "0000:03:00.0" → "card-0000-03-00.0": a colon is no part of a name. */
static char *name_of_card(const struct pci_address *address)
{
	char *name = xasprintf("card-%s", PCI_ADDRESS_STR(address)), *c;

	for (c = name; c && *c; c++)
		if (*c == ':')
			*c = '-';
	return name;
}

static int put_rest_of_rule(json_t *rule, const struct policy_gpu_rule *from)
{
	int r = 0;

	if (from && from->heal_said)
		r = json_put_bool(rule, "heal", from->heal);
	if (r == 0 && from && from->reuse != VF_REUSE_ANY)
		r = json_put_string(rule, "reuse", vf_reuse_to_string(from->reuse));
	return r;
}

static int export_card(struct exporter *e, const struct policy_export_card *card)
{
	_cleanup_free_ char *fallback = name_of_card(&card->address);
	const char *name = NULL;
	json_t *rule;
	int r;

	if (!fallback)
		return -ENOMEM;
	r = export_layout(e, card->layout, card->layout->name ? card->layout->name : fallback, &name);
	if (r < 0)
		return r;
	rule = json_pack("{s:{s:s},s:s}", "match", "address", PCI_ADDRESS_STR(&card->address), "layout", name);
	if (!rule || json_array_append_new(e->gpus, rule) < 0)
		return -ENOMEM;
	return put_rest_of_rule(rule, card->rule);
}

int policy_export(const struct policy_export_card *cards, size_t n, json_t **ret)
{
	struct exporter e = { json_array(), json_array(), json_array() };
	_cleanup_json_ json_t *document = json_pack("{s:i,s:o,s:o,s:o}", "version", 1, "profiles", e.profiles,
						    "layouts", e.layouts, "gpus", e.gpus);
	size_t i;
	int r = document ? 0 : -ENOMEM;

	for (i = 0; i < n && r == 0; i++)
		r = export_card(&e, &cards[i]);
	if (r == 0)
		*ret = TAKE_PTR(document);
	return r;
}
