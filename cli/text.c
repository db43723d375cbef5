/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turns values of the API into words. */
#include "cli/text.h"

#include <ctype.h>
#include <math.h>
#include <pwd.h>
#include <time.h>

#include "lib/clock.h"

#define UNKNOWN "-"

static bool ends_with(const char *s, const char *ending)
{
	size_t n = strlen(s), m = strlen(ending);

	return n >= m && streq(s + n - m, ending);
}

char *text_time(struct cli *cli, const char *rfc3339)
{
	char buf[40];
	struct tm tm;
	uint64_t usec;
	time_t seconds;

	if (!rfc3339)
		return strdup(UNKNOWN);
	if (rfc3339_parse(rfc3339, &usec) < 0)
		return strdup(rfc3339);
	seconds = (time_t)(usec / USEC_PER_SEC);
	if (!(cli->utc ? gmtime_r(&seconds, &tm) : localtime_r(&seconds, &tm)) ||
	    strftime(buf, sizeof(buf), cli->utc ? "%Y-%m-%d %H:%M:%SZ" : "%Y-%m-%d %H:%M:%S",
		     &tm) == 0)
		return strdup(rfc3339);
	return strdup(buf);
}

char *text_user(const char *user)
{
	const struct passwd *entry;
	unsigned long uid;
	char *end;

	if (!user)
		return strdup(UNKNOWN);
	uid = strtoul(user, &end, 10);
	if (end == user || *end || uid >= UINT32_MAX)
		return strdup(user);
	entry = getpwuid((uid_t)uid);
	return strdup(entry ? entry->pw_name : user);
}

char *text_span(const char *from, const char *to)
{
	uint64_t start, end = now_realtime();
	char buf[48];

	if (!from || rfc3339_parse(from, &start) < 0 || (to && rfc3339_parse(to, &end) < 0))
		return strdup(UNKNOWN);
	end = MAX_OF(end, start);
	return strdup(
		duration_format((end - start) / USEC_PER_SEC * USEC_PER_SEC, buf, sizeof(buf)));
}

/* Of a member whose name ends with _seconds; whole ones and others. */
static char *text_seconds(double seconds)
{
	char buf[48];

	return strdup(duration_format((uint64_t)(seconds * (double)USEC_PER_SEC + 0.5), buf, sizeof(buf)));
}

static char *text_number(const char *name, json_int_t number)
{
	char buf[48];

	if (number >= 0 && ends_with(name, "_bytes"))
		return strdup(size_format((uint64_t)number, buf, sizeof(buf)));
	if (number >= 0 && number < INT64_MAX / 1000 && ends_with(name, "_ms"))
		return strdup(duration_format((uint64_t)number * USEC_PER_MSEC, buf, sizeof(buf)));
	if (number >= 0 && ends_with(name, "_us"))
		return strdup(duration_format((uint64_t)number, buf, sizeof(buf)));
	return xasprintf("%lld", (long long)number);
}

char *text_of(struct cli *cli, const char *name, const json_t *value)
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		if (ends_with(name, "_at") || streq(name, "since") || streq(name, "expires") ||
		    streq(name, "at"))
			return text_time(cli, json_string_value(value));
		if (streq(name, "user"))
			return text_user(json_string_value(value));
		return strdup(json_string_value(value));
	case JSON_INTEGER:
	case JSON_REAL:
		if (ends_with(name, "_seconds") && json_number_value(value) >= 0 && json_number_value(value) < 1e12)
			return text_seconds(json_number_value(value));
		if (json_is_integer(value))
			return text_number(name, json_integer_value(value));
		return xasprintf("%.4g", json_real_value(value));
	case JSON_TRUE:
		return strdup("yes");
	case JSON_FALSE:
		return strdup("no");
	case JSON_OBJECT:
	case JSON_ARRAY:
		return json_text(value);
	case JSON_NULL:
		break;
	}
	return strdup(UNKNOWN);
}

char *text_member(struct cli *cli, const json_t *object, const char *name)
{
	return text_of(cli, name, json_object_get(object, name));
}

char *text_of_object(struct cli *cli, const json_t *object)
{
	const char *name;
	json_t *value;
	char *text = NULL;

	if (!json_is_object(object))
		return text_of(cli, "", object);
	json_object_foreach((json_t *)object, name, value) {
		_cleanup_free_ char *one = NULL, *before = text;

		if (json_is_null(value)) {
			before = NULL;
			continue;
		}
		one = text_of(cli, name, value);
		text = xasprintf("%s%s%s=%s", strempty(before), before ? " " : "", name,
				 strempty(one));
	}
	return text ? text : strdup("");
}

/* "config yes -> -": what it has no longer, in the same state: one that is free has nothing, as its state says. */
static char *text_of_gone(struct cli *cli, const json_t *before, const json_t *after, char *text)
{
	const char *name;
	json_t *from;

	if (!json_object_get(after, "state") || !json_equal(json_object_get(before, "state"), json_object_get(after, "state")))
		return text;
	json_object_foreach((json_t *)before, name, from) {
		_cleanup_free_ char *old = NULL, *so_far = text;

		if (json_is_null(from) || json_object_get(after, name)) {
			so_far = NULL;
			continue;
		}
		old = text_of(cli, name, from);
		text = xasprintf("%s%s%s %s -> " UNKNOWN, strempty(so_far), so_far ? ", " : "", name, strempty(old));
	}
	return text;
}

/* "state free -> leased, vm trainer-1": the members that are not what they were. */
char *text_of_change(struct cli *cli, const json_t *before, const json_t *after)
{
	const json_t *from;
	const char *name;
	json_t *to;
	char *text = NULL;

	json_object_foreach((json_t *)after, name, to) {
		_cleanup_free_ char *old = NULL, *new = NULL, *so_far = text;

		from = json_object_get(before, name);
		if (json_is_null(to) || json_equal((json_t *)from, to)) {
			so_far = NULL;
			continue;
		}
		old = from ? text_of(cli, name, from) : NULL;
		new = text_of(cli, name, to);
		text = xasprintf("%s%s%s %s%s%s", strempty(so_far), so_far ? ", " : "", name, strempty(old),
				 old ? " -> " : "", strempty(new));
	}
	text = text_of_gone(cli, before, after, text);
	return text ? text : strdup("");
}

char *text_progress(const json_t *progress)
{
	const json_t *step = json_object_get(progress, "step"),
		     *total = json_object_get(progress, "total");
	const json_t *loss = json_object_get(progress, "loss");
	_cleanup_free_ char *steps = NULL, *of = NULL, *losses = NULL;

	if (json_is_integer(total))
		of = xasprintf("/%lld", (long long)json_integer_value(total));
	if (json_is_integer(step))
		steps = xasprintf("step %lld%s", (long long)json_integer_value(step), strempty(of));
	if (json_is_number(loss))
		losses = xasprintf("loss %.4g", json_number_value(loss));
	if (!steps && !losses)
		return strdup(UNKNOWN);
	return xasprintf("%s%s%s", strempty(steps), steps && losses ? ", " : "", strempty(losses));
}

/* "20:00": today's, or yesterday's when that is still to come. */
static int clock_argument(const char *text, uint64_t *ret_usec)
{
	time_t now = time(NULL), then;
	struct tm tm;

	if (strlen(text) != 5 || !isdigit((unsigned char)text[0]) ||
	    !isdigit((unsigned char)text[1]) || text[2] != ':' ||
	    !isdigit((unsigned char)text[3]) || !isdigit((unsigned char)text[4]) ||
	    !localtime_r(&now, &tm))
		return -EINVAL;
	tm.tm_hour = atoi(text);
	tm.tm_min = atoi(text + 3);
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	if (tm.tm_hour > 23 || tm.tm_min > 59)
		return -EINVAL;
	then = mktime(&tm);
	if (then > now) {
		tm.tm_mday--;
		tm.tm_isdst = -1;
		then = mktime(&tm);
	}
	if (then < 0)
		return -EINVAL;
	*ret_usec = (uint64_t)then * USEC_PER_SEC;
	return 0;
}

int time_argument(const char *text, uint64_t *ret_usec)
{
	uint64_t ago, now = now_realtime();
	const char *hint;

	if (rfc3339_parse(text, ret_usec) == 0 || clock_argument(text, ret_usec) == 0)
		return 0;
	if (duration_parse(text, &ago, &hint) < 0)
		return -EINVAL;
	*ret_usec = ago < now ? now - ago : 0;
	return 0;
}
