/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short words over jansson.  Ownership words as in jansson's own manual: "takes" = steals the
 * reference, "borrows" = leaves it with the caller, "returns new" = the caller must decref. */
#pragma once

#include <jansson.h>
#include "lib/macros.h"

static inline void json_decrefpp(json_t **p)
{
	json_decref(*p);
}
#define _cleanup_json_ _cleanup_(json_decrefpp)

/* Deepest nesting that any of our readers accepts. */
#define JSON_DEPTH_MAX 64

/* Parses one document strictly: no duplicate members, valid UTF-8, no NUL in strings, nothing after
 * it, nesting at most JSON_DEPTH_MAX.  Returns new in ret; on failure -EINVAL, *ret_error (may be
 * NULL) is filled. */
int json_parse(const char *text, size_t size, json_t **ret, json_error_t *ret_error);

/* Compact text, members in the order they were put in.  Returns new, NULL when memory is out. */
char *json_text(const json_t *value);

/* Puts into an object; a NULL string or an unknown number becomes null.  Return 0 or -ENOMEM. */
int json_put_string(json_t *object, const char *name, const char *value);
int json_put_uint(json_t *object, const char *name, uint64_t value);
int json_put_uint_known(json_t *object, const char *name, bool known, uint64_t value);
int json_put_bool(json_t *object, const char *name, bool value);
int json_put_time(json_t *object, const char *name, uint64_t usec); /* 0 = null, else RFC 3339 */
int json_put(json_t *object, const char *name, json_t *value);	    /* takes value; NULL = -ENOMEM */

/* Looks up; NULL or the fallback when missing or of another type.  Borrows. */
const char *json_get_string(const json_t *object, const char *name);
uint64_t json_get_uint(const json_t *object, const char *name, uint64_t fallback);
int64_t json_get_int(const json_t *object, const char *name, int64_t fallback);
bool json_get_bool(const json_t *object, const char *name, bool fallback);
