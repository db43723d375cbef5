/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON becomes a struct through a table: strict, with the field's name in every refusal.
 *
 *	static const struct json_field assign_fields[] = {
 *		{ "vm",   JSON_FIELD_STRING, offsetof(struct assign, vm), .required = true,
 *		  .summary = "name or uuid of a libvirt domain" },
 *		{ "mode", JSON_FIELD_ENUM, offsetof(struct assign, mode), .names = mode_names,
 *		  .names_max = MODE_MAX },
 *		{ NULL }
 *	};
 *
 * Unknown members are refused ("did you mean …"); repeated ones never get past json_parse().
 * Every member is optional unless .required; null counts as absent unless .required.  A field that
 * was absent leaves the struct as the caller initialised it. */
#pragma once

#include "lib/json.h"
#include "lib/units.h"

enum json_field_kind {
	JSON_FIELD_STRING,   /* char *: new copy, freed by json_fields_done() */
	JSON_FIELD_ID,	     /* char *: as STRING; a whole number is taken as its digits */
	JSON_FIELD_BOOL,     /* bool */
	JSON_FIELD_UINT,     /* uint64_t, within min…max (max 0 = no limit) */
	JSON_FIELD_INT,	     /* int64_t, within min…max when min < max */
	JSON_FIELD_ENUM,     /* int: index in names */
	JSON_FIELD_SIZE,     /* uint64_t bytes: "4GiB"; a bare number only when the name ends in _bytes */
	JSON_FIELD_AMOUNT,   /* struct amount: as above, "25%", "fair" */
	JSON_FIELD_DURATION, /* uint64_t µs: "20ms"; bare number only when the name ends in _ms _us _seconds */
	JSON_FIELD_TIME,     /* uint64_t µs since 1970: RFC 3339 */
	JSON_FIELD_STRINGS,  /* json_t *: array of strings, new reference */
	JSON_FIELD_OBJECT,   /* json_t *: new reference */
	JSON_FIELD_ARRAY,    /* json_t *: new reference */
	JSON_FIELD_ANY,	     /* json_t *: new reference */
	JSON_FIELD_IGNORED,  /* accepted, not stored ("$schema", "description") */
};

struct json_field {
	const char *name;
	enum json_field_kind kind;
	size_t offset;
	bool required;
	int64_t min, max;
	size_t max_length;	  /* bytes of a string, items of an array; 0 = JSON_STRING_MAX */
	bool nonempty;		  /* an empty string or array is refused */
	const char *const *names; /* of JSON_FIELD_ENUM */
	size_t names_max;
	const char *summary; /* one line, for rpc.discover and messages */
};

#define JSON_STRING_MAX 4096

/* Where and what is wrong.  Texts are new strings. */
struct json_fault {
	char *pointer; /* JSON pointer of the offending value, "" = the document itself */
	char *what;    /* "unknown member \"vmm\"" */
	char *hint;    /* "did you mean \"vm\"?", may be NULL */
};

void json_fault_done(struct json_fault *fault);

/* "/name" added to a pointer, with ~0 ~1 escaping; name may be NULL.  Returns new, or NULL. */
char *json_pointer_join(const char *base, const char *name);

/* Fills a fault once (a second call is ignored, so the first cause stays).  Returns -EINVAL, so that
 * a checker can end with `return json_fault_set(…)`. base is the pointer of the enclosing value, name
 * (may be NULL) is added to it with ~0 ~1 escaping. */
int json_fault_set(struct json_fault *fault, const char *base, const char *name, const char *hint,
		   const char *format, ...) _printf_(5, 6);

/* Decodes object into out.  base is the object's own JSON pointer ("" at the top).  On -EINVAL the
 * fault tells why and everything that was stored in out has been released again. */
int json_fields_decode(const json_t *object, const char *base, const struct json_field *fields,
		       void *out, struct json_fault *ret_fault);

/* Releases the strings and references that json_fields_decode() stored. */
void json_fields_done(const struct json_field *fields, void *out);

/* JSON Schema of an object with these fields (for rpc.discover).  Returns new. */
json_t *json_fields_schema(const struct json_field *fields);
