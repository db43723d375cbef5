/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Refuses what the format has and this version has not. */
#include "policy/unsupported.h"

static bool is_accepted(const json_t *value, const char *accepted)
{
	_cleanup_json_ json_t *wanted = NULL;

	if (json_is_null(value))
		return true;
	if (!accepted)
		return false;

	wanted = json_loads(accepted, JSON_DECODE_ANY, NULL);
	return wanted && json_equal(value, wanted);
}

static int refuse(const struct unsupported *u, const char *base, struct json_fault *fault)
{
	_cleanup_free_ char *hint = NULL;

	if (u->accepted && u->instead)
		hint = xasprintf("leave it out or write %s; %s", u->accepted, u->instead);
	else if (u->accepted)
		hint = xasprintf("leave it out or write %s", u->accepted);
	else
		hint = xasprintf("%s", u->instead ? u->instead : "leave it out");

	if (u->accepted)
		return json_fault_set(fault, base, u->name, hint,
				      "this value of \"%s\" is not supported by this version",
				      u->name);
	return json_fault_set(fault, base, u->name, hint,
			      "\"%s\" is not supported by this version", u->name);
}

int unsupported_check(const json_t *object, const char *base, const struct unsupported *list,
		      json_t **ret_rest, struct json_fault *fault)
{
	_cleanup_json_ json_t *rest = NULL;
	const json_t *value;

	if (!json_is_object(object)) {
		*ret_rest = json_incref((json_t *)object);
		return 0;
	}

	rest = json_copy((json_t *)object);
	if (!rest)
		return -ENOMEM;

	for (; list->name; list++) {
		value = json_object_get(object, list->name);
		if (!value)
			continue;
		if (!is_accepted(value, list->accepted))
			return refuse(list, base, fault);
		(void)json_object_del(rest, list->name);
	}
	*ret_rest = TAKE_PTR(rest);
	return 0;
}
