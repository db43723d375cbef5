/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decodes JSON objects by tables: request parameters, policies, jobs, configuration.  Knows the
 * kinds of values, not what they are for. */
#include "lib/json-field.h"

#include <stdio.h>

#include "lib/clock.h"
#include "lib/edit-distance.h"
#include "lib/enum-table.h"

/* One value on its way from JSON into the struct. */
struct slot {
	const struct json_field *field;
	const char *base;
	const json_t *value;
	void *target;
	struct json_fault *fault;
};

#define REFUSE(slot, hint, ...)                                                                    \
	json_fault_set((slot)->fault, (slot)->base, (slot)->field->name, hint, __VA_ARGS__)

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "something else";
}

static int refuse_type(const struct slot *s, const char *wanted)
{
	return REFUSE(s, s->field->summary, "must be %s, not %s", wanted, type_name(s->value));
}

static size_t max_length(const struct json_field *field)
{
	return field->max_length > 0 ? field->max_length : JSON_STRING_MAX;
}

static int check_length(const struct slot *s, size_t length, const char *unit)
{
	if (length == 0 && s->field->nonempty)
		return REFUSE(s, s->field->summary, "must not be empty");
	if (length > max_length(s->field))
		return REFUSE(s, NULL, "has %zu %s, at most %zu are allowed", length, unit,
			      max_length(s->field));
	return 0;
}

static int decode_string(const struct slot *s)
{
	int r;

	if (!json_is_string(s->value))
		return refuse_type(s, "a string");

	r = check_length(s, json_string_length(s->value), "bytes");
	if (r < 0)
		return r;

	return free_and_strdup(s->target, json_string_value(s->value));
}

/* What we show as a number may be written as one, "12_3" may not. */
static int decode_id(const struct slot *s)
{
	char digits[24];

	if (!json_is_integer(s->value))
		return json_is_string(s->value) ? decode_string(s) :
						  refuse_type(s, "a string or a whole number");
	if (json_integer_value(s->value) < 0)
		return REFUSE(s, s->field->summary, "must not be negative");

	snprintf(digits, sizeof(digits), "%lld", (long long)json_integer_value(s->value));
	return free_and_strdup(s->target, digits);
}

static int decode_bool(const struct slot *s)
{
	if (!json_is_boolean(s->value))
		return refuse_type(s, "true or false");

	*(bool *)s->target = json_is_true(s->value);
	return 0;
}

/* Both integer kinds. JSON's integers end at INT64_MAX, so unsigned ones fit. */
static int decode_integer(const struct slot *s)
{
	const struct json_field *f = s->field;
	bool is_signed = f->kind == JSON_FIELD_INT;
	int64_t min = is_signed ? INT64_MIN : 0, max = INT64_MAX, n;

	if (is_signed && f->min < f->max) {
		min = f->min;
		max = f->max;
	} else if (!is_signed) {
		min = MAX_OF(f->min, 0);
		max = f->max > 0 ? f->max : INT64_MAX;
	}

	if (!json_is_integer(s->value))
		return refuse_type(s, "a whole number");

	n = json_integer_value(s->value);
	if (n < min && max == INT64_MAX)
		return REFUSE(s, f->summary, "is %lld, must be at least %lld", (long long)n,
			      (long long)min);
	if (n < min || n > max)
		return REFUSE(s, f->summary, "is %lld, must be between %lld and %lld", (long long)n,
			      (long long)min, (long long)max);

	if (is_signed)
		*(int64_t *)s->target = n;
	else
		*(uint64_t *)s->target = (uint64_t)n;
	return 0;
}

/* "did you mean …?" when something is near, else all that would be right. */
static char *suggest(const char *word, const char *const *names, size_t max)
{
	_cleanup_free_ char *list = NULL;
	const char *near = edit_distance_nearest(word, names, max);

	if (near)
		return xasprintf("did you mean \"%s\"?", near);

	list = enum_list(names, max);
	return list ? xasprintf("one of: %s", list) : NULL;
}

static int decode_enum(const struct slot *s)
{
	_cleanup_free_ char *hint = NULL;
	int n;

	if (!json_is_string(s->value))
		return refuse_type(s, "a string");

	n = enum_from_string(s->field->names, s->field->names_max, json_string_value(s->value));
	if (n < 0) {
		hint = suggest(json_string_value(s->value), s->field->names, s->field->names_max);
		return REFUSE(s, hint, "\"%.64s\" is not known here", json_string_value(s->value));
	}

	*(int *)s->target = n;
	return 0;
}

struct unit_suffix {
	const char *suffix;
	uint64_t factor;
};

static const struct unit_suffix size_suffixes[] = { { "_bytes", 1 }, { NULL, 0 } };
static const struct unit_suffix duration_suffixes[] = {
	{ "_seconds", USEC_PER_SEC },
	{ "_ms", USEC_PER_MSEC },
	{ "_us", 1 },
	{ NULL, 0 },
};

/* A bare number has the unit that the field's name ends with; 0 = the name has none. */
static uint64_t bare_factor(const struct json_field *field, const struct unit_suffix *suffixes)
{
	size_t name = strlen(field->name);

	for (; suffixes->suffix; suffixes++) {
		size_t length = strlen(suffixes->suffix);

		if (name > length && streq(field->name + name - length, suffixes->suffix))
			return suffixes->factor;
	}
	return 0;
}

static int decode_bare(const struct slot *s, const struct unit_suffix *suffixes, const char *hint,
		       uint64_t *ret)
{
	uint64_t factor = bare_factor(s->field, suffixes), n;

	if (factor == 0)
		return REFUSE(s, hint, "a bare number has no unit");
	if (!json_is_integer(s->value))
		return REFUSE(s, hint, "must be a whole number");
	if (json_integer_value(s->value) < 0)
		return REFUSE(s, hint, "must not be negative");
	if (__builtin_mul_overflow((uint64_t)json_integer_value(s->value), factor, &n) ||
	    n > INT64_MAX)
		return REFUSE(s, NULL, "is too large");

	*ret = n;
	return 0;
}

typedef const char *(*quantity_format_fn)(uint64_t value, char *buf, size_t size);

static int check_quantity(const struct slot *s, uint64_t n, quantity_format_fn format)
{
	char is[32], limit[32];

	if (s->field->min > 0 && n < (uint64_t)s->field->min)
		return REFUSE(s, s->field->summary, "is %s, must be at least %s",
			      format(n, is, sizeof(is)),
			      format((uint64_t)s->field->min, limit, sizeof(limit)));
	if (s->field->max > 0 && n > (uint64_t)s->field->max)
		return REFUSE(s, s->field->summary, "is %s, must be at most %s",
			      format(n, is, sizeof(is)),
			      format((uint64_t)s->field->max, limit, sizeof(limit)));
	return 0;
}

#define SIZE_HINT "write a size such as \"4GiB\" (2^30) or \"4GB\" (10^9)"
#define AMOUNT_HINT "write a size such as \"4GiB\", a share such as \"25%\", or \"fair\""
#define DURATION_HINT "write a time such as \"20ms\", \"90s\" or \"1h30m\""

static int decode_size(const struct slot *s)
{
	const char *hint = NULL;
	uint64_t n;
	int r;

	if (json_is_number(s->value)) {
		r = decode_bare(s, size_suffixes, SIZE_HINT, &n);
		if (r < 0)
			return r;
	} else if (!json_is_string(s->value)) {
		return refuse_type(s, "a size");
	} else if (size_parse(json_string_value(s->value), &n, &hint) < 0) {
		return REFUSE(s, hint, "\"%.64s\" is not a size", json_string_value(s->value));
	}

	r = check_quantity(s, n, size_format_exact);
	if (r == 0)
		*(uint64_t *)s->target = n;
	return r;
}

static int decode_amount(const struct slot *s)
{
	struct amount amount = { AMOUNT_BYTES, 0 };
	const char *hint = NULL;
	int r;

	if (json_is_number(s->value)) {
		r = decode_bare(s, size_suffixes, AMOUNT_HINT, &amount.value);
		if (r < 0)
			return r;
	} else if (!json_is_string(s->value)) {
		return refuse_type(s, "an amount");
	} else if (amount_parse(json_string_value(s->value), &amount, &hint) < 0) {
		return REFUSE(s, hint, "\"%.64s\" is not an amount", json_string_value(s->value));
	}

	if (amount.kind == AMOUNT_BYTES) {
		r = check_quantity(s, amount.value, size_format_exact);
		if (r < 0)
			return r;
	}
	*(struct amount *)s->target = amount;
	return 0;
}

static int decode_duration(const struct slot *s)
{
	const char *hint = NULL;
	uint64_t n;
	int r;

	if (json_is_number(s->value)) {
		r = decode_bare(s, duration_suffixes, DURATION_HINT, &n);
		if (r < 0)
			return r;
	} else if (!json_is_string(s->value)) {
		return refuse_type(s, "a time");
	} else if (duration_parse(json_string_value(s->value), &n, &hint) < 0) {
		return REFUSE(s, hint, "\"%.64s\" is not a time", json_string_value(s->value));
	}

	r = check_quantity(s, n, duration_format);
	if (r == 0)
		*(uint64_t *)s->target = n;
	return r;
}

static int decode_time(const struct slot *s)
{
	if (!json_is_string(s->value))
		return refuse_type(s, "a date and time");
	if (rfc3339_parse(json_string_value(s->value), s->target) < 0)
		return REFUSE(s, "write RFC 3339, such as \"2026-01-31T20:00:00Z\"",
			      "\"%.64s\" is not a date and time", json_string_value(s->value));
	return 0;
}

static int store_reference(const struct slot *s)
{
	json_t **target = s->target;

	json_decref(*target);
	*target = json_incref((json_t *)s->value);
	return 0;
}

static int decode_strings(const struct slot *s)
{
	_cleanup_free_ char *base = NULL;
	char index[24];
	json_t *item;
	size_t i;
	int r;

	if (!json_is_array(s->value))
		return refuse_type(s, "an array of strings");

	r = check_length(s, json_array_size(s->value), "items");
	if (r < 0)
		return r;

	base = json_pointer_join(s->base, s->field->name);
	if (!base)
		return -ENOMEM;

	json_array_foreach((json_t *)s->value, i, item) {
		snprintf(index, sizeof(index), "%zu", i);
		if (!json_is_string(item))
			return json_fault_set(s->fault, base, index, s->field->summary,
					      "must be a string, not %s", type_name(item));
		if (json_string_length(item) > JSON_STRING_MAX)
			return json_fault_set(s->fault, base, index, NULL,
					      "has %zu bytes, at most %d are allowed",
					      json_string_length(item), JSON_STRING_MAX);
	}
	return store_reference(s);
}

static int decode_object(const struct slot *s)
{
	return json_is_object(s->value) ? store_reference(s) : refuse_type(s, "an object");
}

static int decode_array(const struct slot *s)
{
	int r;

	if (!json_is_array(s->value))
		return refuse_type(s, "an array");

	r = check_length(s, json_array_size(s->value), "items");
	return r < 0 ? r : store_reference(s);
}

static int decode_ignored(const struct slot *s)
{
	return 0;
}

static int (*const decoders[])(const struct slot *) = {
	[JSON_FIELD_STRING] = decode_string,
	[JSON_FIELD_ID] = decode_id,
	[JSON_FIELD_BOOL] = decode_bool,
	[JSON_FIELD_UINT] = decode_integer,
	[JSON_FIELD_INT] = decode_integer,
	[JSON_FIELD_ENUM] = decode_enum,
	[JSON_FIELD_SIZE] = decode_size,
	[JSON_FIELD_AMOUNT] = decode_amount,
	[JSON_FIELD_DURATION] = decode_duration,
	[JSON_FIELD_TIME] = decode_time,
	[JSON_FIELD_STRINGS] = decode_strings,
	[JSON_FIELD_OBJECT] = decode_object,
	[JSON_FIELD_ARRAY] = decode_array,
	[JSON_FIELD_ANY] = store_reference,
	[JSON_FIELD_IGNORED] = decode_ignored,
};

/* The members that a struct can take, as a list of names: for "did you mean". */
static const char **field_names(const struct json_field *fields, size_t *ret_count)
{
	const char **names;
	size_t n = 0;

	while (fields[n].name)
		n++;
	names = calloc(n + 1, sizeof(*names));
	if (!names)
		return NULL;

	*ret_count = n;
	while (n-- > 0)
		names[n] = fields[n].name;
	return names;
}

static int check_unknown(const json_t *object, const char *base, const struct json_field *fields,
			 struct json_fault *fault)
{
	_cleanup_free_ const char **names = NULL;
	_cleanup_free_ char *hint = NULL;
	size_t count = 0;
	const char *name;
	json_t *value;

	names = field_names(fields, &count);
	if (!names)
		return -ENOMEM;

	json_object_foreach((json_t *)object, name, value) {
		if (enum_from_string(names, count, name) >= 0)
			continue;
		hint = count > 0 ? suggest(name, names, count) : strdup("no members are taken here");
		return json_fault_set(fault, base, name, hint, "unknown member \"%.64s\"", name);
	}
	return 0;
}

/* Releases what the first `count` fields hold. */
static void fields_release(const struct json_field *fields, size_t count, void *out)
{
	size_t i;

	for (i = 0; i < count && fields[i].name; i++) {
		void *target = (char *)out + fields[i].offset;

		switch (fields[i].kind) {
		case JSON_FIELD_STRING:
		case JSON_FIELD_ID:
			(void)free_and_strdup(target, NULL);
			break;
		case JSON_FIELD_STRINGS:
		case JSON_FIELD_OBJECT:
		case JSON_FIELD_ARRAY:
		case JSON_FIELD_ANY:
			json_decref(*(json_t **)target);
			*(json_t **)target = NULL;
			break;
		case JSON_FIELD_BOOL:
		case JSON_FIELD_UINT:
		case JSON_FIELD_INT:
		case JSON_FIELD_ENUM:
		case JSON_FIELD_SIZE:
		case JSON_FIELD_AMOUNT:
		case JSON_FIELD_DURATION:
		case JSON_FIELD_TIME:
		case JSON_FIELD_IGNORED:
			break;
		}
	}
}

void json_fields_done(const struct json_field *fields, void *out)
{
	fields_release(fields, SIZE_MAX, out);
}

static int decode_one(const struct slot *s)
{
	if (!s->value || (json_is_null(s->value) && !s->field->required)) {
		if (s->field->required)
			return json_fault_set(s->fault, s->base, s->field->name, s->field->summary,
					      "required member \"%s\" is missing", s->field->name);
		return 0;
	}
	return decoders[s->field->kind](s);
}

int json_fields_decode(const json_t *object, const char *base, const struct json_field *fields,
		       void *out, struct json_fault *ret_fault)
{
	size_t i;
	int r;

	if (!json_is_object(object))
		return json_fault_set(ret_fault, base, NULL, NULL, "must be an object, not %s",
				      object ? type_name(object) : "nothing");

	/* First, because a mistyped name of a required member is best told by its own name. */
	r = check_unknown(object, base, fields, ret_fault);
	if (r < 0)
		return r;

	for (i = 0; fields[i].name; i++) {
		struct slot slot = {
			.field = &fields[i],
			.base = base,
			.value = json_object_get(object, fields[i].name),
			.target = (char *)out + fields[i].offset,
			.fault = ret_fault,
		};

		r = decode_one(&slot);
		if (r < 0) {
			fields_release(fields, i, out);
			return r;
		}
	}
	return 0;
}
