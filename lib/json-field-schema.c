/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A field table as JSON Schema, so that what is announced is what is decoded. */
#include "lib/json-field.h"

#define SIZE_PATTERN "[0-9]+(\\.[0-9]{1,6})?(KiB|MiB|GiB|TiB|kB|MB|GB|TB)|[0-9]+B"
#define DURATION_PATTERN                                                                           \
	"^(?=.)([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?$"

struct kind_schema {
	const char *types[2]; /* none = anything */
	const char *pattern;
	const char *format;
};

static const struct kind_schema kind_schemas[] = {
	[JSON_FIELD_STRING] = { { "string" } },
	[JSON_FIELD_ID] = { { "string", "integer" } },
	[JSON_FIELD_BOOL] = { { "boolean" } },
	[JSON_FIELD_UINT] = { { "integer" } },
	[JSON_FIELD_INT] = { { "integer" } },
	[JSON_FIELD_ENUM] = { { "string" } },
	[JSON_FIELD_SIZE] = { { "string", "integer" }, "^(" SIZE_PATTERN ")$" },
	[JSON_FIELD_AMOUNT] = { { "string", "integer" },
				"^(" SIZE_PATTERN "|fair|[0-9]{1,3}(\\.[0-9]{1,2})?%)$" },
	[JSON_FIELD_DURATION] = { { "string", "integer" }, DURATION_PATTERN },
	[JSON_FIELD_TIME] = { { "string" }, NULL, "date-time" },
	[JSON_FIELD_STRINGS] = { { "array" } },
	[JSON_FIELD_OBJECT] = { { "object" } },
	[JSON_FIELD_ARRAY] = { { "array" } },
	[JSON_FIELD_ANY] = { { NULL } },
	[JSON_FIELD_IGNORED] = { { NULL } },
};

static bool ends_with(const char *s, const char *suffix)
{
	size_t a = strlen(s), b = strlen(suffix);

	return a > b && streq(s + a - b, suffix);
}

/* The same rule as in json-field.c: a bare number only where the name has the unit. */
static bool takes_bare_number(const struct json_field *field)
{
	static const char *const suffixes[] = { "_seconds", "_ms", "_us" };
	size_t i;

	if (field->kind == JSON_FIELD_ID)
		return true;
	if (field->kind != JSON_FIELD_DURATION)
		return ends_with(field->name, "_bytes");
	for (i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (ends_with(field->name, suffixes[i]))
			return true;
	return false;
}

static int put_types(json_t *schema, const struct json_field *field)
{
	const struct kind_schema *kind = &kind_schemas[field->kind];
	_cleanup_json_ json_t *types = json_array();

	if (!kind->types[0])
		return 0;
	if (!types || json_array_append_new(types, json_string(kind->types[0])) < 0)
		return -ENOMEM;
	if (kind->types[1] && takes_bare_number(field) &&
	    json_array_append_new(types, json_string(kind->types[1])) < 0)
		return -ENOMEM;
	if (!field->required && json_array_append_new(types, json_string("null")) < 0)
		return -ENOMEM;

	if (json_array_size(types) == 1)
		return json_put_string(schema, "type", kind->types[0]);
	return json_put(schema, "type", TAKE_PTR(types));
}

static int put_names(json_t *schema, const struct json_field *field)
{
	_cleanup_json_ json_t *names = json_array();
	size_t i;

	if (!names)
		return -ENOMEM;
	for (i = 0; i < field->names_max; i++)
		if (field->names[i] &&
		    json_array_append_new(names, json_string(field->names[i])) < 0)
			return -ENOMEM;
	if (!field->required && json_array_append_new(names, json_null()) < 0)
		return -ENOMEM;
	return json_put(schema, "enum", TAKE_PTR(names));
}

static int put_length(json_t *schema, const struct json_field *field, const char *least,
		      const char *most)
{
	size_t max = field->max_length > 0 ? field->max_length : JSON_STRING_MAX;
	int r;

	if (field->nonempty) {
		r = json_put_uint(schema, least, 1);
		if (r < 0)
			return r;
	}
	return json_put_uint(schema, most, max);
}

static int put_range(json_t *schema, const struct json_field *field)
{
	bool is_signed = field->kind == JSON_FIELD_INT;
	int r = 0;

	if (!is_signed || field->min < field->max)
		r = json_put(schema, "minimum", json_integer(field->min));
	if (r == 0 && (is_signed ? field->min < field->max : field->max > 0))
		r = json_put(schema, "maximum", json_integer(field->max));
	return r;
}

static int put_limits(json_t *schema, const struct json_field *field)
{
	json_t *items;
	int r;

	switch (field->kind) {
	case JSON_FIELD_STRING:
	case JSON_FIELD_ID:
		return put_length(schema, field, "minLength", "maxLength");
	case JSON_FIELD_UINT:
	case JSON_FIELD_INT:
		return put_range(schema, field);
	case JSON_FIELD_ENUM:
		return put_names(schema, field);
	case JSON_FIELD_STRINGS:
		items = json_pack("{s:s, s:i}", "type", "string", "maxLength", JSON_STRING_MAX);
		r = json_put(schema, "items", items);
		return r < 0 ? r : put_length(schema, field, "minItems", "maxItems");
	case JSON_FIELD_ARRAY:
		return put_length(schema, field, "minItems", "maxItems");
	case JSON_FIELD_BOOL:
	case JSON_FIELD_SIZE:
	case JSON_FIELD_AMOUNT:
	case JSON_FIELD_DURATION:
	case JSON_FIELD_TIME:
	case JSON_FIELD_OBJECT:
	case JSON_FIELD_ANY:
	case JSON_FIELD_IGNORED:
		break;
	}
	return 0;
}

static json_t *field_schema(const struct json_field *field)
{
	const struct kind_schema *kind = &kind_schemas[field->kind];
	_cleanup_json_ json_t *schema = json_object();

	if (!schema || put_types(schema, field) < 0 || put_limits(schema, field) < 0)
		return NULL;
	if (kind->pattern && json_put_string(schema, "pattern", kind->pattern) < 0)
		return NULL;
	if (kind->format && json_put_string(schema, "format", kind->format) < 0)
		return NULL;
	if (field->summary && json_put_string(schema, "description", field->summary) < 0)
		return NULL;
	return TAKE_PTR(schema);
}

json_t *json_fields_schema(const struct json_field *fields)
{
	_cleanup_json_ json_t *schema = json_object(), *properties = json_object(),
			      *required = json_array();
	size_t i;

	if (!schema || !properties || !required)
		return NULL;

	for (i = 0; fields[i].name; i++) {
		if (json_put(properties, fields[i].name, field_schema(&fields[i])) < 0)
			return NULL;
		if (fields[i].required &&
		    json_array_append_new(required, json_string(fields[i].name)) < 0)
			return NULL;
	}

	if (json_put_string(schema, "type", "object") < 0 ||
	    json_put_bool(schema, "additionalProperties", false) < 0 ||
	    json_put(schema, "properties", TAKE_PTR(properties)) < 0)
		return NULL;
	if (json_array_size(required) > 0 && json_put(schema, "required", TAKE_PTR(required)) < 0)
		return NULL;
	return TAKE_PTR(schema);
}
