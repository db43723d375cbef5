/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads clocks and writes time stamps; the identity of this boot and of processes, which belong to
 * the same question ("is this still the one that I knew?"). */
#include "lib/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "lib/io.h"
#include "lib/units.h"

static uint64_t now(clockid_t id)
{
	struct timespec ts;

	/* Cannot fail: both clocks exist on every Linux that we can be built for. */
	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t now_realtime(void)
{
	return now(CLOCK_REALTIME);
}

uint64_t now_boottime(void)
{
	return now(CLOCK_BOOTTIME);
}

const char *rfc3339_format(uint64_t usec, char buf[static RFC3339_STRLEN])
{
	time_t seconds = (time_t)(usec / USEC_PER_SEC);
	unsigned ms = (unsigned)(usec % USEC_PER_SEC / USEC_PER_MSEC);
	struct tm tm = { 0 };
	size_t n;

	(void)gmtime_r(&seconds, &tm);
	n = strftime(buf, RFC3339_STRLEN, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, RFC3339_STRLEN - n, ".%03uZ", ms);
	return buf;
}

/* Takes exactly count digits from *p. */
static bool take_digits(const char **p, unsigned count, int *ret)
{
	int n = 0;

	for (; count > 0; count--, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		n = n * 10 + (**p - '0');
	}
	*ret = n;
	return true;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

static int days_of_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static bool take_date(const char **p, struct tm *tm)
{
	int year, month, day;

	if (!take_digits(p, 4, &year) || !take_char(p, '-') || !take_digits(p, 2, &month) ||
	    !take_char(p, '-') || !take_digits(p, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
		return false;

	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return true;
}

static bool take_clock(const char **p, struct tm *tm, uint64_t *ret_usec)
{
	uint64_t usec = 0, scale = USEC_PER_SEC / 10;

	if (!take_digits(p, 2, &tm->tm_hour) || !take_char(p, ':') ||
	    !take_digits(p, 2, &tm->tm_min) || !take_char(p, ':') ||
	    !take_digits(p, 2, &tm->tm_sec))
		return false;
	if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60) /* 60: a leap second */
		return false;

	if (take_char(p, '.')) {
		if (**p < '0' || **p > '9')
			return false;
		for (; **p >= '0' && **p <= '9'; (*p)++, scale /= 10)
			usec += (uint64_t)(**p - '0') * scale;
	}
	*ret_usec = usec;
	return true;
}

/* Seconds that local time is ahead of UTC. */
static bool take_offset(const char **p, int *ret)
{
	int hours, minutes, sign;

	if (take_char(p, 'Z') || take_char(p, 'z')) {
		*ret = 0;
		return true;
	}

	sign = **p == '-' ? -1 : 1;
	if (!take_char(p, '+') && !take_char(p, '-'))
		return false;
	if (!take_digits(p, 2, &hours) || !take_char(p, ':') || !take_digits(p, 2, &minutes) ||
	    hours > 23 || minutes > 59)
		return false;

	*ret = sign * (hours * 3600 + minutes * 60);
	return true;
}

int rfc3339_parse(const char *s, uint64_t *ret_usec)
{
	struct tm tm = { 0 };
	uint64_t fraction;
	int64_t seconds;
	int offset;

	if (!take_date(&s, &tm) || (*s != 'T' && *s != 't' && *s != ' '))
		return -EINVAL;
	s++;
	if (!take_clock(&s, &tm, &fraction) || !take_offset(&s, &offset) || *s != '\0')
		return -EINVAL;

	seconds = (int64_t)timegm(&tm) - offset;
	if (seconds < 0)
		return -EINVAL;

	*ret_usec = (uint64_t)seconds * USEC_PER_SEC + fraction;
	return 0;
}

int boot_id_read(char ret[static 37])
{
	static _Thread_local char known[37]; /* a process does not live longer than its boot */
	_cleanup_free_ char *text = NULL;
	int r;

	if (known[0]) {
		memcpy(ret, known, sizeof(known));
		return 0;
	}
	r = read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, NULL);
	if (r < 0)
		return r;
	if (strlen(trim_end(text)) != 36)
		return -EBADMSG;

	memcpy(known, text, sizeof(known));
	memcpy(ret, text, sizeof(known));
	return 0;
}

int process_start_time(int pid, uint64_t *ret_ticks)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long ticks;
	char path[32], *p, *end;
	int r, field;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = read_file_at(AT_FDCWD, path, 4096, &text, NULL);
	if (r == -ENOENT)
		return -ESRCH;
	if (r < 0)
		return r;

	/* The name in field 2 may hold blanks and brackets; after its last bracket comes field 3. */
	p = strrchr(text, ')');
	if (!p)
		return -EBADMSG;
	for (field = 2; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p)
			return -EBADMSG;
		p++;
	}

	errno = 0;
	ticks = strtoull(p, &end, 10);
	if (errno != 0 || end == p)
		return -EBADMSG;

	*ret_ticks = ticks;
	return 0;
}
