/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's log: the journal with fields, or stderr.  Every line names its subject.  Control bytes
 * of foreign text (VM names, agents' answers) are escaped before they get here or by log_*() itself. */
#pragma once

#include <syslog.h>
#include "lib/macros.h"

/* Lines above max_level are dropped.  to_journal: sd_journal with fields, else stderr with <N> prefixes
 * when stderr is the journal, plain text otherwise. */
void log_setup(int max_level, bool to_journal);
int log_level_from_string(const char *name); /* "debug" … "err", or -EINVAL */

/* One line.  r (negative errno or 0) is appended in words.  field/value name the subject: a journal field such
 * as "GPUVF_VF" = "gpu0/vf1"; both may be NULL.  Use the macros. */
void log_line(int level, int r, const char *field, const char *value, const char *file, int line,
	      const char *format, ...) _printf_(7, 8);

#define log_full(level, r, field, value, ...)                                                      \
	log_line((level), (r), (field), (value), __FILE__, __LINE__, __VA_ARGS__)

#define log_debug(...) log_full(LOG_DEBUG, 0, NULL, NULL, __VA_ARGS__)
#define log_info(...) log_full(LOG_INFO, 0, NULL, NULL, __VA_ARGS__)
#define log_notice(...) log_full(LOG_NOTICE, 0, NULL, NULL, __VA_ARGS__)
#define log_warning(r, ...) log_full(LOG_WARNING, (r), NULL, NULL, __VA_ARGS__)
#define log_error(r, ...) log_full(LOG_ERR, (r), NULL, NULL, __VA_ARGS__)

/* name: "gpu0", "gpu0/vf1", a domain's name, a job id as text. */
#define log_gpu(name, level, r, ...) log_full((level), (r), "GPUVF_GPU", (name), __VA_ARGS__)
#define log_vf(name, level, r, ...) log_full((level), (r), "GPUVF_VF", (name), __VA_ARGS__)
#define log_vm(name, level, r, ...) log_full((level), (r), "GPUVF_VM", (name), __VA_ARGS__)
#define log_job(id, level, r, ...) log_full((level), (r), "GPUVF_JOB", (id), __VA_ARGS__)

/* A record, with fields of its own for the journal, such as { "GPUVF_UID", "1000" }; a NULL value is left out.
 * max_level drops none: who wants less to read still wants to know who did what.  On stderr only the text is seen. */
struct log_field {
	const char *name;
	const char *value;
};
#define LOG_FIELDS_MAX 16
void log_fields(int level, const struct log_field *fields, size_t n, const char *file, int line,
		const char *format, ...) _printf_(6, 7);

bool log_fields_go_somewhere(void); /* false: on stderr; making their texts is in vain */

/* For what a peer or a storm of events can trigger: at most 10 lines in 30 s per place in the code; the
 * next line that passes says how many were dropped. */
struct log_ratelimit {
	uint64_t begin;
	unsigned printed;
	unsigned dropped;
};
bool log_ratelimit_pass(struct log_ratelimit *limit, const char *file, int line);
#define log_ratelimited(level, r, field, value, ...)                                               \
	do {                                                                                       \
		static struct log_ratelimit _limit;                                                \
		if (log_ratelimit_pass(&_limit, __FILE__, __LINE__))                               \
			log_full((level), (r), (field), (value), __VA_ARGS__);                     \
	} while (0)
