/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/finding-text.h"

#include <stdio.h>

#include "lib/escape.h"

#define VALUE_SHOWN 160 /* a command line or a log line; the JSON has all of it */

static const struct {
	const char *severity, *color;
} colors[] = {
	{"error", "\033[31m"},
	{"warning", "\033[33m"},
	{"info", "\033[36m"},
	{"ok", "\033[32m"},
};

static void put_escaped(FILE *out, const char *text)
{
	_cleanup_free_ char *safe = escape_terminal(text, strlen(text), false);

	fputs(strempty(safe), out);
}

static void put_severity(FILE *out, const json_t *finding, bool color)
{
	const char *severity = strempty(json_get_string(finding, "severity"));
	const char *shown = json_get_bool(finding, "looked", true) ? severity : "unknown";
	const char *begin = "";
	size_t i;

	for (i = 0; color && i < ARRAY_SIZE(colors); i++)
		if (streq(colors[i].severity, severity))
			begin = colors[i].color;
	fprintf(out, "%s%-8s%s", begin, shown, *begin ? "\033[0m" : "");
}

/* The first lines of a value that has many are enough to recognise it. */
static void put_value(FILE *out, const char *value)
{
	size_t n = MIN_OF(strcspn(value, "\n"), (size_t)VALUE_SHOWN);
	_cleanup_free_ char *first = strndup(value, n);

	while (n > 0 && value[n] && ((unsigned char)value[n] & 0xc0) == 0x80)
		first[--n] = '\0'; /* never half a character */
	put_escaped(out, strempty(first));
	if (value[n])
		fputs(" …", out);
}

static void put_evidence(FILE *out, const json_t *evidence)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)evidence, i, one)
	{
		const char *value = json_get_string(one, "value");
		const char *problem = json_get_string(one, "problem");

		fputs("    seen  ", out);
		put_escaped(out, strempty(json_get_string(one, "source")));
		fputs(value ? " = " : ": ", out);
		put_value(out, value ? (*value ? value : "(empty)") : strempty(problem));
		fputc('\n', out);
	}
}

static void put_finding(FILE *out, const json_t *finding, bool color)
{
	const char *cure = json_get_string(finding, "cure");

	put_severity(out, finding, color);
	fputc(' ', out);
	put_escaped(out, strempty(json_get_string(finding, "subject")));
	fputs(": ", out);
	put_escaped(out, strempty(json_get_string(finding, "what")));
	fprintf(out, "  [%s]\n", strempty(json_get_string(finding, "id")));
	put_evidence(out, json_object_get(finding, "evidence"));
	if (cure) {
		fputs("    do    ", out);
		put_escaped(out, cure);
		fputc('\n', out);
	}
}

uint64_t finding_count(const json_t *result, const char *severity)
{
	return json_get_uint(json_object_get(result, "counts"), severity, 0);
}

static void put_summary(FILE *out, const json_t *result, bool all)
{
	uint64_t fine = finding_count(result, "ok");

	fprintf(out, "%llu errors, %llu warnings, %llu notes, %llu checks are fine%s\n",
		(unsigned long long)finding_count(result, "error"),
		(unsigned long long)finding_count(result, "warning"),
		(unsigned long long)finding_count(result, "info"), (unsigned long long)fine,
		all || fine == 0 ? "" : " (wide output shows them)");
}

char *finding_text(const json_t *result, const struct finding_text_options *options)
{
	json_t *finding;
	char *text = NULL;
	size_t i, size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	json_array_foreach(json_object_get(result, "findings"), i,
			   finding) if (options->all ||
					!streq(strempty(json_get_string(finding, "severity")),
					       "ok")) put_finding(out, finding, options->color);
	put_summary(out, result, options->all);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

char *finding_ids(const json_t *result)
{
	_cleanup_json_ json_t *seen = json_object();
	json_t *finding;
	char *text = NULL;
	size_t i, size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	json_array_foreach(json_object_get(result, "findings"), i, finding)
	{
		const char *id = strempty(json_get_string(finding, "id"));

		if (streq(strempty(json_get_string(finding, "severity")), "ok") ||
		    json_object_get(seen, id))
			continue;
		(void)json_object_set_new(seen, id, json_true());
		put_escaped(out, id);
		fputc('\n', out);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
