/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the daemon's lines go: the journal with fields, or stderr.  Any thread may call; one line
 * is one write, so that lines of several threads do not mix.  Knows nothing of what it names. */
#include "log/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "lib/clock.h"
#include "lib/enum-table.h"
#include "lib/escape.h"
#include "lib/units.h"

/* More than a person reads at once, few enough that a storm cannot fill a disk. */
#define RATELIMIT_INTERVAL_USEC (30 * USEC_PER_SEC)
#define RATELIMIT_BURST 10

enum log_target {
	LOG_TARGET_TEXT,     /* plain lines on stderr */
	LOG_TARGET_PREFIXED, /* stderr is read by the journal: "<6>line" */
	LOG_TARGET_JOURNAL,
};

/* Written by log_setup(), before there are threads. */
static struct {
	int max_level;
	enum log_target target;
} setup = { .max_level = LOG_INFO, .target = LOG_TARGET_TEXT };

static const char *const level_names[LOG_DEBUG + 1] = {
	[LOG_EMERG] = "emerg",	   [LOG_ALERT] = "alert",   [LOG_CRIT] = "crit", [LOG_ERR] = "err",
	[LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

int log_level_from_string(const char *name)
{
	return enum_from_string(level_names, ARRAY_SIZE(level_names), name);
}

/* systemd tells in JOURNAL_STREAM which stream goes to the journal. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
		return false;
	if (fstat(STDERR_FILENO, &st) < 0)
		return false;

	return st.st_dev == device && st.st_ino == inode;
}

void log_setup(int max_level, bool to_journal)
{
	setup.max_level = max_level;
	if (to_journal)
		setup.target = LOG_TARGET_JOURNAL;
	else
		setup.target = stderr_is_journal() ? LOG_TARGET_PREFIXED : LOG_TARGET_TEXT;
}

/* What stands before a subject that does not explain itself. */
static const char *subject_word(const char *field)
{
	static const struct {
		const char *field;
		const char *word;
	} words[] = {
		{ "GPUVF_VM", "VM " },
		{ "GPUVF_JOB", "job " },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (streq(words[i].field, field))
			return words[i].word;
	return "";
}

/* "gpu0/vf1: ", "job 12: ", or nothing when there is no subject or the message begins with it. */
static char *subject_prefix(const char *field, const char *value, const char *message)
{
	if (!field || !value || strncmp(message, value, strlen(value)) == 0)
		return strdup("");
	return xasprintf("%s%s: ", subject_word(field), value);
}

static void write_stderr(int level, const char *text)
{
	char prefix[8] = "";
	struct iovec iov[3];
	ssize_t n;

	if (setup.target == LOG_TARGET_PREFIXED)
		snprintf(prefix, sizeof(prefix), "<%d>", level);

	iov[0] = (struct iovec){ prefix, strlen(prefix) };
	iov[1] = (struct iovec){ (char *)text, strlen(text) };
	iov[2] = (struct iovec){ (char *)"\n", 1 };
	n = writev(STDERR_FILENO, iov, ARRAY_SIZE(iov));
	(void)n; /* there is nowhere left to complain */
}

struct journal_entry {
	struct iovec iov[8 + LOG_FIELDS_MAX];
	size_t n;
};

static void journal_entry_done(struct journal_entry *e)
{
	while (e->n > 0)
		free(e->iov[--e->n].iov_base);
}

static void journal_add(struct journal_entry *e, const char *name, const char *value)
{
	char *text = xasprintf("%s=%s", name, value);

	if (text)
		e->iov[e->n++] = (struct iovec){ text, strlen(text) };
}

static void journal_add_int(struct journal_entry *e, const char *name, int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	journal_add(e, name, text);
}

static int write_journal(int level, int r, const struct log_field *fields, size_t n, const char *file,
			 int line, const char *text)
{
	_cleanup_(journal_entry_done) struct journal_entry entry = { .n = 0 };
	size_t i;

	journal_add(&entry, "MESSAGE", text);
	journal_add_int(&entry, "PRIORITY", level);
	journal_add(&entry, "SYSLOG_IDENTIFIER", "gpuvfd");
	journal_add(&entry, "CODE_FILE", file);
	journal_add_int(&entry, "CODE_LINE", line);
	if (r < 0)
		journal_add_int(&entry, "ERRNO", -r);
	for (i = 0; i < n && i < LOG_FIELDS_MAX; i++)
		if (fields[i].name && fields[i].value)
			journal_add(&entry, fields[i].name, fields[i].value);

	return sd_journal_sendv(entry.iov, (int)entry.n);
}

/* Escapes the whole line and brings it to where lines go. */
static void write_line(int level, int r, const struct log_field *fields, size_t n, const char *file, int line,
		       const char *full)
{
	_cleanup_free_ char *text = escape_terminal(full, strlen(full), false);

	if (!text)
		return;
	if (setup.target != LOG_TARGET_JOURNAL || write_journal(level, r, fields, n, file, line, text) < 0)
		write_stderr(level, text);
}

void log_fields(int level, const struct log_field *fields, size_t n, const char *file, int line,
		const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	int saved = errno;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&message, format, ap) < 0)
		message = NULL;
	va_end(ap);
	if (message)
		write_line(level, 0, fields, n, file, line, message);
	errno = saved;
}

void log_line(int level, int r, const char *field, const char *value, const char *file, int line,
	      const char *format, ...)
{
	_cleanup_free_ char *message = NULL, *prefix = NULL, *full = NULL;
	const struct log_field subject = { field, value };
	char error[128];
	int saved = errno;
	va_list ap;

	if (level > setup.max_level)
		return;

	va_start(ap, format);
	if (vasprintf(&message, format, ap) < 0)
		message = NULL;
	va_end(ap);
	if (message) {
		prefix = subject_prefix(field, value, message);
		full = xasprintf("%s%s%s%s", strempty(prefix), message, r < 0 ? ": " : "",
				 r < 0 ? strerror_r(-r, error, sizeof(error)) : "");
	}
	if (full)
		write_line(level, r, &subject, 1, file, line, full);
	errno = saved;
}

bool log_fields_go_somewhere(void)
{
	return setup.target == LOG_TARGET_JOURNAL;
}

bool log_ratelimit_pass(struct log_ratelimit *limit, const char *file, int line)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	uint64_t now = now_boottime();
	unsigned dropped = 0;
	bool pass = true;

	pthread_mutex_lock(&lock);
	if (limit->begin == 0 || now - limit->begin >= RATELIMIT_INTERVAL_USEC) {
		dropped = limit->dropped;
		*limit = (struct log_ratelimit){ .begin = now };
	}
	if (limit->printed < RATELIMIT_BURST)
		limit->printed++;
	else {
		limit->dropped++;
		pass = false;
	}
	pthread_mutex_unlock(&lock);

	if (dropped > 0)
		log_line(LOG_WARNING, 0, NULL, NULL, file, line, "%u lines like the next were left out",
			 dropped);
	return pass;
}
