/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor/known-bad.h"

#include <ctype.h>
#include <stdio.h>

#include "doctor/checks.h"
#include "lib/escape.h"

#define ENTRIES_MAX 1000

static const char *const module_names[MODULE_MAX] = {
	[MODULE_ANY] = "any",
	[MODULE_IN_TREE] = "in-tree",
	[MODULE_OUT_OF_TREE] = "out-of-tree",
};

static const struct json_field when_fields[] = {
	{"driver", JSON_FIELD_STRING, offsetof(struct known_bad_when, driver), .nonempty = true},
	{"devices", JSON_FIELD_STRINGS, offsetof(struct known_bad_when, devices), .nonempty = true,
	 .max_length = 256},
	{"module", JSON_FIELD_ENUM, offsetof(struct known_bad_when, module), .names = module_names,
	 .names_max = MODULE_MAX},
	{"vfs", JSON_FIELD_BOOL, offsetof(struct known_bad_when, vfs)},
	{"kernel_from", JSON_FIELD_STRING, offsetof(struct known_bad_when, kernel_from),
	 .nonempty = true},
	{"kernel_below", JSON_FIELD_STRING, offsetof(struct known_bad_when, kernel_below),
	 .nonempty = true},
	{"kernel_contains", JSON_FIELD_STRING, offsetof(struct known_bad_when, kernel_contains),
	 .nonempty = true},
	{"log", JSON_FIELD_STRINGS, offsetof(struct known_bad_when, log), .nonempty = true,
	 .max_length = 8},
	{NULL},
};

static const struct json_field entry_fields[] = {
	{"id", JSON_FIELD_STRING, offsetof(struct known_bad_entry, id), .required = true,
	 .nonempty = true, .max_length = 64},
	{"severity", JSON_FIELD_ENUM, offsetof(struct known_bad_entry, severity), .required = true,
	 .names = severity_names, .names_max = SEVERITY_OK},
	{"what", JSON_FIELD_STRING, offsetof(struct known_bad_entry, what), .required = true,
	 .nonempty = true},
	{"cure", JSON_FIELD_STRING, offsetof(struct known_bad_entry, cure), .required = true,
	 .nonempty = true},
	{"source", JSON_FIELD_STRING, offsetof(struct known_bad_entry, source), .required = true,
	 .nonempty = true},
	{"when", JSON_FIELD_OBJECT, offsetof(struct known_bad_entry, when_json), .required = true},
	{NULL},
};

struct document {
	uint64_t version;
	json_t *entries;
};

static const struct json_field document_fields[] = {
	{"version", JSON_FIELD_UINT, offsetof(struct document, version), .required = true, .min = 1,
	 .max = 1},
	{"description", JSON_FIELD_IGNORED},
	{"entries", JSON_FIELD_ARRAY, offsetof(struct document, entries), .required = true,
	 .max_length = ENTRIES_MAX},
	{NULL},
};

struct known_bad *known_bad_free(struct known_bad *k)
{
	size_t i;

	if (!k)
		return NULL;
	for (i = 0; i < k->n; i++) {
		free(k->entries[i].when.ranges);
		json_fields_done(when_fields, &k->entries[i].when);
		json_fields_done(entry_fields, &k->entries[i]);
	}
	free(k->entries);
	free(k);
	return NULL;
}

/* ---- reading ---- */

/* Four hex digits; moves on. */
static bool read_id(const char **p, unsigned *ret)
{
	unsigned value = 0;
	int i;

	for (i = 0; i < 4; i++, (*p)++) {
		if (!isxdigit((unsigned char)**p))
			return false;
		value = value * 16 + (unsigned)(isdigit((unsigned char)**p)
							? **p - '0'
							: tolower((unsigned char)**p) - 'a' + 10);
	}
	*ret = value;
	return true;
}

static bool read_range(const char *text, struct id_range *ret)
{
	if (!read_id(&text, &ret->first))
		return false;
	ret->last = ret->first;
	if (*text == '-' && (text++, !read_id(&text, &ret->last)))
		return false;
	return !*text && ret->first <= ret->last;
}

static int read_ranges(struct known_bad_when *when, const char *base, struct json_fault *fault)
{
	size_t i, n = json_array_size(when->devices);
	json_t *device;

	when->ranges = calloc(MAX_OF(n, (size_t)1), sizeof(*when->ranges));
	if (!when->ranges)
		return -ENOMEM;
	json_array_foreach(when->devices, i, device) if (
		!read_range(json_string_value(device),
			    &when->ranges[i])) return json_fault_set(fault, base, "devices",
								     "\"7d67\" or \"4680-4693\"",
								     "\"%s\" is no device id",
								     json_string_value(device));
	when->n_ranges = n;
	return 0;
}

static int read_entry(const json_t *json, const char *base, struct known_bad_entry *entry,
		      struct json_fault *fault)
{
	_cleanup_free_ char *when_base = json_pointer_join(base, "when");
	int r;

	if (!when_base)
		return -ENOMEM;
	r = json_fields_decode(json, base, entry_fields, entry, fault);
	if (r < 0)
		return r;
	if (strncmp(entry->source, "https://", 8) != 0)
		return json_fault_set(fault, base, "source", "https://…",
				      "where everybody can read of it must be told");
	if (!name_is_valid(entry->id, 64))
		return json_fault_set(fault, base, "id", NULL, "no such name");
	r = json_fields_decode(entry->when_json, when_base, when_fields, &entry->when, fault);
	if (r < 0)
		return r;
	if (!entry->when.driver && !entry->when.devices && !entry->when.log)
		return json_fault_set(fault, when_base, NULL, "give driver, devices or log",
				      "this holds for every host");
	return read_ranges(&entry->when, when_base, fault);
}

static int read_entries(const json_t *array, struct known_bad *k, struct json_fault *fault)
{
	json_t *entry;
	size_t i;

	k->entries = calloc(MAX_OF(json_array_size(array), (size_t)1), sizeof(*k->entries));
	if (!k->entries)
		return -ENOMEM;
	json_array_foreach((json_t *)array, i, entry)
	{
		char base[32];
		int r;

		snprintf(base, sizeof(base), "/entries/%zu", i);
		if (!json_is_object(entry))
			return json_fault_set(fault, base, NULL, NULL, "an entry is an object");
		k->n = i + 1;
		r = read_entry(entry, base, &k->entries[i], fault);
		if (r < 0)
			return r;
	}
	return 0;
}

int known_bad_parse(const char *text, size_t size, struct known_bad **ret,
		    struct json_fault *ret_fault)
{
	_cleanup_(known_bad_freep) struct known_bad *k = calloc(1, sizeof(*k));
	struct document document = {0};
	_cleanup_json_ json_t *json = NULL;
	json_error_t error;
	int r;

	if (!k)
		return -ENOMEM;
	r = json_parse(text, size, &json, &error);
	if (r < 0)
		return json_fault_set(ret_fault, "", NULL, NULL, "line %d: %s", error.line,
				      error.text);
	if (!json_is_object(json))
		return json_fault_set(ret_fault, "", NULL, NULL, "it is an object");
	r = json_fields_decode(json, "", document_fields, &document, ret_fault);
	if (r == 0)
		r = read_entries(document.entries, k, ret_fault);
	json_fields_done(document_fields, &document);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(k);
	return 0;
}

/* ---- matching ---- */

/* The next number; false when there is none. */
static bool next_number(const char **p, unsigned long *ret)
{
	char *end;

	*p += strcspn(*p, "0123456789");
	if (!**p)
		return false;
	*ret = strtoul(*p, &end, 10);
	*p = end;
	return true;
}

int release_compare(const char *release, const char *wanted)
{
	unsigned long a, b;

	while (next_number(&wanted, &b)) {
		if (!next_number(&release, &a))
			a = 0;
		if (a != b)
			return a < b ? -1 : 1;
	}
	return 0;
}

static bool kernel_matches(struct consultation *c, const struct known_bad_when *when)
{
	const char *release = note_value(asked_host(c, "version.kernel"));

	if (!when->kernel_from && !when->kernel_below && !when->kernel_contains)
		return true;
	if (!release)
		return false;
	return (!when->kernel_from || release_compare(release, when->kernel_from) >= 0) &&
	       (!when->kernel_below || release_compare(release, when->kernel_below) < 0) &&
	       (!when->kernel_contains || strstr(release, when->kernel_contains));
}

static bool device_matches(struct consultation *c, const struct known_bad_when *when)
{
	uint64_t id;
	size_t i;

	if (when->n_ranges == 0)
		return true;
	if (!note_number(asked(c, "device"), &id))
		return false;
	for (i = 0; i < when->n_ranges; i++)
		if (id >= when->ranges[i].first && id <= when->ranges[i].last)
			return true;
	return false;
}

static bool driver_matches(struct consultation *c, const struct known_bad_when *when)
{
	const struct note *taint = asked(c, "taint");
	bool foreign = note_value(taint) && strchr(taint->value, 'O');

	if (when->driver && !streq_ptr(gpu_driver(c), when->driver))
		return false;
	return when->module == MODULE_ANY ||
	       (!note_unknown(taint) && foreign == (when->module == MODULE_OUT_OF_TREE));
}

/* True also when nothing of the log is asked for; the line is the evidence then found. */
static bool log_matches(struct consultation *c, const struct known_bad_when *when,
			const struct note **ret_line)
{
	const char *words[9] = {NULL};
	json_t *word;
	size_t i;

	*ret_line = NULL;
	if (!when->log)
		return true;
	json_array_foreach(when->log, i, word) words[i] = json_string_value(word);
	*ret_line = kernel_log_next(c, words, &(size_t){0});
	return *ret_line != NULL;
}

static void say_entry(struct consultation *c, const struct known_bad_entry *entry,
		      const struct note *line)
{
	struct finding *f =
		say(c, (enum severity)entry->severity, "%s (%s)", entry->what, entry->id);

	finding_evidence(f, line);
	finding_evidence(f, entry->when.driver ? asked(c, "driver") : NULL);
	finding_evidence(f, entry->when.devices ? asked(c, "device") : NULL);
	finding_evidence(f, entry->when.module != MODULE_ANY ? asked(c, "taint") : NULL);
	if (entry->when.kernel_from || entry->when.kernel_below || entry->when.kernel_contains)
		finding_evidence(f, asked_host(c, "version.kernel"));
	finding_evidence_text(f, "reported at", entry->source);
	finding_cure(f, "%s", entry->cure);
}

void check_known_bad(struct consultation *c)
{
	bool any = false;
	size_t i;

	for (i = 0; c->known_bad && i < c->known_bad->n; i++) {
		const struct known_bad_entry *entry = &c->known_bad->entries[i];
		const struct note *line;

		if (!driver_matches(c, &entry->when) || !device_matches(c, &entry->when) ||
		    !kernel_matches(c, &entry->when) ||
		    (entry->when.vfs && gpu_vfs(c->subject) == 0) ||
		    !log_matches(c, &entry->when, &line))
			continue;
		say_entry(c, entry, line);
		any = true;
	}
	if (c->known_bad && !any)
		say(c, SEVERITY_OK,
		    "it is none of the %zu combinations that users have trouble with",
		    c->known_bad->n);
}
