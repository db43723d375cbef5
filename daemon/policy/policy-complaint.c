/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the loader says, with file, line and column; and the checks of single words that every
 * section shares. */
#include "policy/policy-build.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/escape.h"
#include "lib/json-position.h"

static char *place_text(const struct policy_builder *b, size_t source, const char *pointer)
{
	const struct policy_source *s = &b->sources[source];
	unsigned line = 1, column = 1;

	(void)json_position_find(s->text, s->size, pointer, &line, &column);
	return xasprintf("%s:%u:%u", s->name, line, column);
}

static char *place_pointer(const struct policy_place *place, const char *name)
{
	return name ? xasprintf("%s/%s", place->pointer, name) : strdup(place->pointer);
}

char *policy_place_text(const struct policy_builder *b, const struct policy_place *place,
			const char *name)
{
	_cleanup_free_ char *pointer = place_pointer(place, name);

	return pointer ? place_text(b, place->source, pointer) : NULL;
}

int policy_append_text(json_t *array, const char *text)
{
	_cleanup_free_ char *escaped = escape_terminal(text, strlen(text), false);

	if (!escaped || json_array_append_new(array, json_string(escaped)) < 0)
		return -ENOMEM;
	return 0;
}

static int complain_at(struct policy_builder *b, size_t source, const char *pointer,
		       const char *what, const char *hint)
{
	_cleanup_free_ char *at = NULL, *text = NULL;

	/* Before the place is looked up: that reads the text up to there. */
	if (json_array_size(b->errors) >= POLICY_ERRORS_MAX) {
		b->n_untold++;
		return 0;
	}
	at = place_text(b, source, pointer);
	if (hint)
		text = xasprintf("%s: %s: %s (%s)", strempty(at), *pointer ? pointer : "/", what,
				 hint);
	else
		text = xasprintf("%s: %s: %s", strempty(at), *pointer ? pointer : "/", what);
	if (!at || !text)
		return -ENOMEM;
	return policy_append_text(b->errors, text);
}

int policy_complain(struct policy_builder *b, const struct policy_place *place,
		    const struct json_fault *fault)
{
	return complain_at(b, place->source, fault->pointer ? fault->pointer : place->pointer,
			   fault->what ? fault->what : "out of memory", fault->hint);
}

int policy_complain_text(struct policy_builder *b, const struct policy_place *place,
			 const char *name, const char *hint, const char *format, ...)
{
	_cleanup_free_ char *pointer = place_pointer(place, name), *what = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&what, format, ap);
	va_end(ap);
	if (r < 0)
		what = NULL;
	if (!pointer || !what)
		return -ENOMEM;
	return complain_at(b, place->source, pointer, what, hint);
}

int policy_warn(struct policy_builder *b, const struct policy_place *place, const char *format, ...)
{
	_cleanup_free_ char *at = NULL, *what = NULL, *text = NULL;
	va_list ap;
	int r;

	if (json_array_size(b->policy->warnings) >= POLICY_ERRORS_MAX)
		return 0;
	at = place_text(b, place->source, place->pointer);
	va_start(ap, format);
	r = vasprintf(&what, format, ap);
	va_end(ap);
	if (r < 0)
		what = NULL;
	if (!at || !what)
		return -ENOMEM;
	text = xasprintf("%s: %s: %s", at, place->pointer, what);
	if (!text)
		return -ENOMEM;
	return policy_append_text(b->policy->warnings, text);
}

/* The pointer's last part is the index within its own file. */
char *policy_label(const struct policy_builder *b, const char *pointer)
{
	const char *index = strrchr(pointer, '/');

	return xasprintf("%.*s[%s] of %s", (int)(index - pointer - 1), pointer + 1, index + 1,
			 b->sources[b->source].name);
}

bool policy_name_is_valid(const char *name)
{
	static const char words[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(name);

	return length > 0 && length <= POLICY_NAME_MAX && strspn(name, words) == length &&
	       !strchr("._-", name[0]);
}

int policy_check_name(const char *name, const char *base, const char *member,
		      struct json_fault *fault)
{
	if (policy_name_is_valid(name))
		return 0;
	return json_fault_set(fault, base, member, POLICY_NAME_HINT, "\"%.64s\" is not a name",
			      name);
}

int policy_check_glob(const char *glob, const char *base, const char *member,
		      struct json_fault *fault)
{
	if (name_is_valid(glob, 255))
		return 0;
	return json_fault_set(
		fault, base, member,
		"1 to 255 printable characters without /, where * and ? stand for others",
		"is not a pattern");
}

int policy_check_globs(const json_t *globs, const char *base, const char *member,
		       struct json_fault *fault)
{
	_cleanup_free_ char *inner = xasprintf("%s/%s", base, member);
	char index[24];
	size_t i;
	int r = 0;

	if (!inner)
		return -ENOMEM;
	for (i = 0; i < json_array_size(globs) && r == 0; i++) {
		snprintf(index, sizeof(index), "%zu", i);
		r = policy_check_glob(json_string_value(json_array_get(globs, i)), inner, index,
				      fault);
	}
	return r;
}
