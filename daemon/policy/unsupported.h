/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of the format that this version does not act on: refused by name, so that nobody believes
 * in a rule that is not kept. */
#pragma once

#include "lib/json-field.h"

struct unsupported {
	const char *name;
	const char
		*accepted; /* JSON text of the one value that says what we do anyway; NULL = none */
	const char *instead;  /* the way out, may be NULL */
};

/* Checks the object against a list that ends with {NULL}.  Returns 0 with a new shallow copy that
 * lacks the listed members (null or the accepted value), or -EINVAL with the fault set, or -ENOMEM.
 * An `object` that is no object is handed through, the decoder refuses it. */
int unsupported_check(const json_t *object, const char *base, const struct unsupported *list,
		      json_t **ret_rest, struct json_fault *fault);
