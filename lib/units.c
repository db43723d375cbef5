/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parses and prints sizes, shares and durations.  All numbers stay below INT64_MAX, because that is
 * where JSON's and SQLite's integers end. */
#include "lib/units.h"

#include <stdio.h>

#define FRACTION_DIGITS_MAX 6 /* 10^6 · 2^40 still fits into 64 bits */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "B", 1 },
	{ "KiB", KIB },
	{ "MiB", MIB },
	{ "GiB", GIB },
	{ "TiB", (uint64_t)1 << 40 },
	{ "kB", 1000 },
	{ "MB", 1000000 },
	{ "GB", 1000000000 },
	{ "TB", 1000000000000 },
};

/* What people write when they leave it open which of the two they mean. */
static const struct {
	const char *name, *hint;
} half_units[] = {
	{ "K", "write KiB (2^10 bytes) or kB (10^3 bytes)" },
	{ "k", "write KiB (2^10 bytes) or kB (10^3 bytes)" },
	{ "M", "write MiB (2^20 bytes) or MB (10^6 bytes)" },
	{ "m", "write MiB (2^20 bytes) or MB (10^6 bytes)" },
	{ "G", "write GiB (2^30 bytes) or GB (10^9 bytes)" },
	{ "g", "write GiB (2^30 bytes) or GB (10^9 bytes)" },
	{ "T", "write TiB (2^40 bytes) or TB (10^12 bytes)" },
	{ "t", "write TiB (2^40 bytes) or TB (10^12 bytes)" },
	{ "", "add a unit: MiB (2^20 bytes) or MB (10^6 bytes), GiB (2^30) or GB (10^9), B" },
};

/* Ordered: the larger unit must come first in a duration. */
static const struct unit duration_units[] = {
	{ "y", 365 * 86400 * USEC_PER_SEC },
	{ "w", 7 * 86400 * USEC_PER_SEC },
	{ "d", 86400 * USEC_PER_SEC },
	{ "h", 3600 * USEC_PER_SEC },
	{ "m", 60 * USEC_PER_SEC },
	{ "s", USEC_PER_SEC },
	{ "ms", USEC_PER_MSEC },
	{ "us", 1 },
};

static int refuse(const char **ret_hint, int r, const char *hint)
{
	if (ret_hint)
		*ret_hint = hint;
	return r;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes digits from *p.  Returns their number, or -ERANGE past INT64_MAX. */
static int take_number(const char **p, uint64_t *ret)
{
	uint64_t n = 0;
	int count = 0;

	for (; is_digit(**p); (*p)++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(**p - '0'), &n) || n > INT64_MAX)
			return -ERANGE;
		if (count < 1000)
			count++;
	}
	*ret = n;
	return count;
}

/* A decimal as whole + fraction / scale. */
struct decimal {
	uint64_t whole, fraction, scale;
};

static int take_decimal(const char **p, struct decimal *ret)
{
	const char *start;
	int digits;

	*ret = (struct decimal){ .scale = 1 };
	digits = take_number(p, &ret->whole);
	if (digits <= 0)
		return digits < 0 ? digits : -EINVAL;
	if (**p != '.')
		return 0;

	start = ++*p;
	digits = take_number(p, &ret->fraction);
	if (digits <= 0 || *p - start > FRACTION_DIGITS_MAX)
		return -EINVAL;
	while (digits-- > 0)
		ret->scale *= 10;
	return 0;
}

static const struct unit *unit_find(const struct unit *units, size_t count, const char *name,
				    size_t length)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strlen(units[i].name) == length && memcmp(units[i].name, name, length) == 0)
			return &units[i];
	return NULL;
}

static int size_refuse_unit(const char *unit, const char **ret_hint)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(half_units); i++)
		if (streq(unit, half_units[i].name))
			return refuse(ret_hint, -EINVAL, half_units[i].hint);
	return refuse(ret_hint, -EINVAL, "units of size are B KiB MiB GiB TiB kB MB GB TB");
}

int size_parse(const char *s, uint64_t *ret_bytes, const char **ret_hint)
{
	const struct unit *unit;
	struct decimal d;
	uint64_t bytes;
	int r;

	if (*s == '-')
		return refuse(ret_hint, -EINVAL, "a size cannot be negative");
	r = take_decimal(&s, &d);
	if (r == -ERANGE)
		return refuse(ret_hint, r, "the largest size is 8 EiB - 1 byte");
	if (r < 0)
		return refuse(ret_hint, r, "write a size as \"4GiB\", \"512MiB\" or \"1.5GB\"");

	unit = unit_find(size_units, ARRAY_SIZE(size_units), s, strlen(s));
	if (!unit)
		return size_refuse_unit(s, ret_hint);
	if (unit->factor == 1 && d.scale > 1)
		return refuse(ret_hint, -EINVAL, "a byte has no parts");

	if (__builtin_mul_overflow(d.whole, unit->factor, &bytes) ||
	    __builtin_add_overflow(bytes, d.fraction * unit->factor / d.scale, &bytes) ||
	    bytes > INT64_MAX)
		return refuse(ret_hint, -ERANGE, "the largest size is 8 EiB - 1 byte");

	*ret_bytes = bytes;
	return 0;
}

/* "25%", "12.5%": hundredths of a percent. */
static int percent_parse(const char *s, uint64_t *ret, const char **ret_hint)
{
	struct decimal d;
	uint64_t value;

	if (take_decimal(&s, &d) < 0 || !streq(s, "%") || d.scale > 100)
		return refuse(ret_hint, -EINVAL, "write a share as \"25%\" or \"12.5%\"");

	value = d.whole > 100 ? 10001 : d.whole * 100 + d.fraction * (100 / d.scale);
	if (value == 0 || value > 10000)
		return refuse(ret_hint, -ERANGE, "a share is between 0.01% and 100%");

	*ret = value;
	return 0;
}

int amount_parse(const char *s, struct amount *ret, const char **ret_hint)
{
	struct amount amount = { .kind = AMOUNT_BYTES };
	int r;

	if (streq(s, "fair")) {
		amount.kind = AMOUNT_FAIR;
		r = 0;
	} else if (strchr(s, '%')) {
		amount.kind = AMOUNT_PERCENT;
		r = percent_parse(s, &amount.value, ret_hint);
	} else {
		r = size_parse(s, &amount.value, ret_hint);
	}
	if (r < 0)
		return r;

	*ret = amount;
	return 0;
}

#define DURATION_HINT "write a time as \"20ms\", \"90s\", \"1h30m\" or \"2d\": y w d h m s ms us"

int duration_parse(const char *s, uint64_t *ret_usec, const char **ret_hint)
{
	const struct unit *previous = NULL, *unit;
	uint64_t total = 0, n;
	size_t length;
	int digits;

	if (*s == '-')
		return refuse(ret_hint, -EINVAL, "a time cannot be negative");
	if (*s == '\0')
		return refuse(ret_hint, -EINVAL, DURATION_HINT);

	while (*s != '\0') {
		digits = take_number(&s, &n);
		if (digits < 0)
			return refuse(ret_hint, -ERANGE, "the longest time is 292471 years");
		if (digits == 0)
			return refuse(ret_hint, -EINVAL, DURATION_HINT);

		length = strspn(s, "abcdefghijklmnopqrstuvwxyz");
		if (length == 0 && *s == '\0')
			return refuse(ret_hint, -EINVAL, "add a unit: y w d h m s ms us");
		unit = unit_find(duration_units, ARRAY_SIZE(duration_units), s, length);
		if (!unit)
			return refuse(ret_hint, -EINVAL, DURATION_HINT);
		if (previous && unit <= previous)
			return refuse(ret_hint, -EINVAL,
				      "each unit once, larger before smaller: \"1h30m\"");
		if (__builtin_mul_overflow(n, unit->factor, &n) ||
		    __builtin_add_overflow(total, n, &total) || total > INT64_MAX)
			return refuse(ret_hint, -ERANGE, "the longest time is 292471 years");

		previous = unit;
		s += length;
	}

	*ret_usec = total;
	return 0;
}

/* Indexes of size_units. */
enum { UNIT_B, UNIT_KIB, UNIT_MIB, UNIT_GIB, UNIT_TIB };

const char *size_format(uint64_t bytes, char *buf, size_t size)
{
	unsigned __int128 scaled = (unsigned __int128)bytes * 10;
	uint64_t tenths = 0;
	int i;

	if (bytes < KIB) {
		snprintf(buf, size, "%lluB", (unsigned long long)bytes);
		return buf;
	}

	/* Rounding may fill the unit: 1023.96 MiB is 1.0GiB. */
	for (i = UNIT_KIB; i <= UNIT_TIB; i++) {
		uint64_t factor = size_units[i].factor;

		tenths = (uint64_t)((scaled + factor / 2) / factor);
		if (tenths < 10240 || i == UNIT_TIB)
			break;
	}

	/* Whole numbers where a tenth is nothing: small units, unless the number is small as well. */
	if (i < UNIT_GIB && (tenths >= 100 || tenths % 10 == 0))
		snprintf(buf, size, "%llu%s", (unsigned long long)(tenths + 5) / 10,
			 size_units[i].name);
	else
		snprintf(buf, size, "%llu.%llu%s", (unsigned long long)tenths / 10,
			 (unsigned long long)tenths % 10, size_units[i].name);
	return buf;
}

const char *size_format_exact(uint64_t bytes, char *buf, size_t size)
{
	int i = UNIT_TIB;

	while (bytes % size_units[i].factor != 0)
		i--;
	if (bytes == 0)
		i = UNIT_B;

	snprintf(buf, size, "%llu%s", (unsigned long long)(bytes / size_units[i].factor),
		 size_units[i].name);
	return buf;
}

/* Writes at most max_units, largest first.  Returns the length as snprintf() would. */
static int duration_write(uint64_t usec, unsigned max_units, char *buf, size_t size)
{
	int length = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(duration_units) && max_units > 0; i++) {
		uint64_t n = usec / duration_units[i].factor;
		size_t used = MIN_OF((size_t)length, size);

		if (n == 0)
			continue;
		length += snprintf(buf + used, size - used, "%llu%s", (unsigned long long)n,
				   duration_units[i].name);
		usec %= duration_units[i].factor;
		max_units--;
	}
	return length;
}

const char *duration_format(uint64_t usec, char *buf, size_t size)
{
	if (usec == 0)
		snprintf(buf, size, "0s");
	else if (usec == USEC_INFINITY)
		snprintf(buf, size, "infinity");
	else if (duration_write(usec, ARRAY_SIZE(duration_units), buf, size) >= (int)size)
		(void)duration_write(usec, 2, buf, size);
	return buf;
}
