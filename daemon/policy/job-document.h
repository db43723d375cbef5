/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job document (interface §5): strict, every refusal with a JSON pointer.  The parts that this
 * version does not run (templates, host jobs, arrays, dependencies, finetune estimates, several
 * VFs) are refused by name with what to use instead. */
#pragma once

#include "policy/policy.h"

#define JOB_FILES_MAX (64 * MIB) /* of all staged files of one job */
#define JOB_FILES_COUNT_MAX 256
#define JOB_NAME_MAX 128
#define JOB_ENV_VALUE_MAX 32768
/* The longest that a job's time limit may be, however often it is extended. */
#define JOB_TIME_MAX (366 * 86400 * USEC_PER_SEC)
/* Between signal and SIGKILL, when the job names no grace: enough to write an adapter
 * of some MiB. */
#define JOB_GRACE_USEC (30 * USEC_PER_SEC)

struct job_file {
	char *to;	   /* path in the guest: absolute, or below the workdir; no ".." */
	unsigned mode;	   /* permission bits, 0644 when not said */
	uint64_t size;	   /* of the content */
	json_t *content;   /* string, base64; NULL when uploaded, or once it was snapshotted */
	char *upload;	   /* what job.upload named; NULL = content */
};

struct job_document {
	json_t *json; /* as submitted, without file contents: what is stored and shown */
	char *name;   /* NULL = none given */
	char *queue;
	int64_t priority; /* −100…100; checked against role and queue by the manager */
	json_t *command;  /* array of strings, or NULL */
	char *shell;	  /* or NULL; exactly one of the two, or neither in a session */
	json_t *setup;
	json_t *env; /* object of strings */
	char *workdir;
	struct job_file *files;
	size_t n_files;
	json_t *outputs; /* array of globs, relative, no ".." */
	char *vm;	 /* run_in.vm */
	char *vms;	 /* run_in.vms: glob */
	struct amount vram; /* AMOUNT_BYTES or unset */
	char *profile;
	unsigned vfs; /* 0 or 1 */
	uint64_t time_limit_usec; /* 0 = the queue's default */
	unsigned retries;
	char *checkpoint_signal; /* "SIGTERM" */
	uint64_t checkpoint_grace_usec;
	bool checkpoint; /* the member was given; signal and grace have their defaults if not */
	enum { JOB_PROGRESS_AUTO, JOB_PROGRESS_JSONL, JOB_PROGRESS_NONE } progress;
	bool hold;
	bool session; /* a VF for interactive work: neither a command nor what belongs to one */
};

/* In submitted documents files are [{"to", "content" (base64), "mode"? (octal text, "0755"),
 * "from"? (kept for show)}]: the client reads them at submit.  Takes nothing; returns 0 with new
 * *ret, or -EINVAL with fault. */
int job_document_parse(const json_t *json, struct job_document **ret, struct json_fault *ret_fault);

/* From the stored form (no contents). */
int job_document_load(const json_t *json, struct job_document **ret);

struct job_document *job_document_free(struct job_document *d);
DEFINE_CLEANUP(struct job_document *, job_document_free);
