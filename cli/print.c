/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON, lines and whole objects on the output.  Names and messages come from VMs, users and cards:
 * all of them are made harmless first. */
#include <stdarg.h>

#include "cli/cli.h"
#include "cli/table.h"
#include "cli/text.h"
#include "lib/escape.h"

bool cli_wants_json(const struct cli *cli)
{
	return cli->format == FORMAT_JSON || cli->format == FORMAT_NDJSON;
}

/* Control characters are escaped by JSON itself, but C1 and direction marks are not: on a terminal
 * all that is not ASCII is written as \u. */
static int dump(struct cli *cli, const json_t *value, size_t flags)
{
	if (cli->terminal)
		flags |= JSON_ENSURE_ASCII;
	if (json_dumpf(value, cli->out, flags | JSON_ENCODE_ANY) < 0)
		return cli_out_of_memory(cli);
	fputc('\n', cli->out);
	return 0;
}

int cli_print_json(struct cli *cli, const json_t *value)
{
	const json_t *items = json_object_get(value, "items");
	json_t *item;
	size_t i;

	if (cli->format != FORMAT_NDJSON)
		return dump(cli, value, JSON_INDENT(2));
	if (!json_is_array(items))
		return dump(cli, value, JSON_COMPACT);
	json_array_foreach((json_t *)items, i, item)
		if (dump(cli, item, JSON_COMPACT) != 0)
			return EXIT_FAILED;
	return 0;
}

static void say(FILE *to, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));

static void say(FILE *to, const char *format, va_list ap)
{
	_cleanup_free_ char *text = NULL, *safe = NULL;

	if (vasprintf(&text, format, ap) < 0)
		return;
	safe = escape_terminal(text, strlen(text), false);
	fprintf(to, "%s\n", strempty(safe));
}

void cli_say(struct cli *cli, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(cli->out, format, ap);
	va_end(ap);
}

void cli_warn(struct cli *cli, const char *format, ...)
{
	va_list ap;

	fflush(cli->out);
	va_start(ap, format);
	say(cli->err, format, ap);
	va_end(ap);
}

/* ---- everything about an object ---- */

static bool is_flat(const json_t *value)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)value, i, item)
		if (json_is_object(item) || json_is_array(item))
			return false;
	return true;
}

static char *flat_text(struct cli *cli, const char *name, const json_t *value)
{
	char *text = NULL;
	json_t *item;
	size_t i;

	if (!json_is_array(value))
		return text_of(cli, name, value);
	json_array_foreach((json_t *)value, i, item) {
		_cleanup_free_ char *one = text_of(cli, name, item), *before = text;

		text = xasprintf("%s%s%s", strempty(before), before ? ", " : "", strempty(one));
	}
	return text ? text : strdup("-");
}

static void print_members(struct cli *cli, const json_t *object, unsigned depth);

static void print_line(struct cli *cli, unsigned depth, int width, const char *name,
		       const char *text)
{
	_cleanup_free_ char *safe = text ? escape_terminal(text, strlen(text), false) : NULL;
	_cleanup_free_ char *safe_name = escape_terminal(name, strlen(name), false);

	fprintf(cli->out, "%*s%-*s%s%s\n", (int)depth * 2, "", safe ? width : 0,
		strempty(safe_name), safe ? "  " : "", strempty(safe));
}

static void print_value(struct cli *cli, const char *name, const json_t *value, unsigned depth,
			int width)
{
	_cleanup_free_ char *text = NULL;
	json_t *item;
	size_t i;

	if (json_is_object(value) && json_object_size(value) > 0 && depth < 8) {
		print_line(cli, depth, width, name, NULL);
		print_members(cli, value, depth + 1);
		return;
	}
	if (json_is_array(value) && !is_flat(value)) {
		print_line(cli, depth, width, name, NULL);
		json_array_foreach((json_t *)value, i, item) {
			_cleanup_free_ char *line = text_of_object(cli, item);

			print_line(cli, depth + 1, 0, strempty(line), NULL);
		}
		return;
	}
	text = json_is_object(value) && depth < 8 ? strdup("-") : flat_text(cli, name, value);
	print_line(cli, depth, width, name, strempty(text));
}

static void print_members(struct cli *cli, const json_t *object, unsigned depth)
{
	const char *name;
	json_t *value;
	int width = 0;

	json_object_foreach((json_t *)object, name, value)
		width = MAX_OF(width, (int)strlen(name));
	json_object_foreach((json_t *)object, name, value)
		print_value(cli, name, value, depth, MIN_OF(width, 24));
}

void cli_print_object(struct cli *cli, const json_t *object)
{
	print_members(cli, object, 0);
}
