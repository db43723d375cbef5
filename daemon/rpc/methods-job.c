/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Methods about jobs. */
#include "rpc/methods.h"

METHOD_HANDLER(job_upload);
METHOD_HANDLER(job_submit);
METHOD_HANDLER(job_list);
METHOD_HANDLER(job_get);
METHOD_HANDLER(job_logs);
METHOD_HANDLER(job_file);
METHOD_HANDLER(job_cancel);
METHOD_HANDLER(job_extend);
METHOD_HANDLER(job_hold);
METHOD_HANDLER(job_unhold);

/* What one answer carries of a log or file. */
#define CHUNK_MAX ((int64_t)(256 * KIB))
#define EXTEND_MAX (366 * 86400 * USEC_PER_SEC) /* the longest that a job may take at all */
#define JOB_SUMMARY "a job's id"

static const char *const stream_names[] = { "stdout", "stderr" };

static const struct json_field upload_fields[] = {
	{ "upload", JSON_FIELD_STRING, offsetof(struct job_upload_params, upload), .max_length = 64,
	  .summary = "what the first chunk's answer named; without it a new upload begins" },
	{ "offset", JSON_FIELD_UINT, offsetof(struct job_upload_params, offset),
	  .summary = "where this chunk goes: the size so far" },
	{ "data", JSON_FIELD_STRING, offsetof(struct job_upload_params, data), .required = true,
	  .max_length = RPC_MESSAGE_MAX, .summary = "base64, at most 512 KiB of content" },
	{ NULL },
};

static const struct json_field submit_fields[] = {
	{ "job", JSON_FIELD_OBJECT, offsetof(struct job_submit_params, job), .required = true,
	  .summary = "the job document" },
	{ "dry_run", JSON_FIELD_BOOL, offsetof(struct job_submit_params, dry_run),
	  .summary = "check it, but do not queue it" },
	{ NULL },
};

static const struct job_list_params list_defaults = { .state = -1 };
static const struct json_field list_fields[] = {
	{ "user", JSON_FIELD_STRING, offsetof(struct job_list_params, user), .max_length = 256,
	  .summary = "\"*\" = everybody's; your own when not said" },
	{ "queue", JSON_FIELD_STRING, offsetof(struct job_list_params, queue), .max_length = 256,
	  .summary = "only those of this queue" },
	STATE_FIELD(struct job_list_params, job_state_names, JOB_STATE_MAX),
	{ "ended", JSON_FIELD_BOOL, offsetof(struct job_list_params, ended),
	  .summary = "with those that have ended" },
	{ "since", JSON_FIELD_TIME, offsetof(struct job_list_params, since_usec),
	  .summary = "submitted at or after this time" },
	PAGE_FIELDS(struct job_list_params),
	{ NULL },
};

static const struct json_field get_fields[] = {
	{ "id", JSON_FIELD_ID, offsetof(struct name_params, name), .required = true,
	  .nonempty = true, .max_length = 64, .summary = JOB_SUMMARY },
	{ NULL },
};

static const struct json_field logs_fields[] = {
	{ "id", JSON_FIELD_ID, offsetof(struct job_logs_params, id), .required = true,
	  .nonempty = true, .max_length = 64, .summary = JOB_SUMMARY },
	{ "stream", JSON_FIELD_ENUM, offsetof(struct job_logs_params, stream),
	  .names = stream_names, .names_max = ARRAY_SIZE(stream_names),
	  .summary = "stdout when not said" },
	{ "attempt", JSON_FIELD_UINT, offsetof(struct job_logs_params, attempt),
	  .summary = "from 1; the last one when not said" },
	{ "offset", JSON_FIELD_UINT, offsetof(struct job_logs_params, offset),
	  .summary = "the \"next\" of the answer before" },
	{ "limit", JSON_FIELD_UINT, offsetof(struct job_logs_params, limit), .min = 1,
	  .max = CHUNK_MAX, .summary = "bytes; 65536 when not said" },
	{ NULL },
};

static const struct json_field file_fields[] = {
	{ "id", JSON_FIELD_ID, offsetof(struct job_file_params, id), .required = true,
	  .nonempty = true, .max_length = 64, .summary = JOB_SUMMARY },
	{ "path", JSON_FIELD_STRING, offsetof(struct job_file_params, path),
	  .summary = "one of the collected files; without it they are listed" },
	{ "attempt", JSON_FIELD_UINT, offsetof(struct job_file_params, attempt),
	  .summary = "from 1; the last one when not said" },
	{ "offset", JSON_FIELD_UINT, offsetof(struct job_file_params, offset),
	  .summary = "the \"next\" of the answer before" },
	{ "limit", JSON_FIELD_UINT, offsetof(struct job_file_params, limit), .min = 1,
	  .max = CHUNK_MAX, .summary = "bytes; 65536 when not said" },
	{ NULL },
};

static const struct json_field cancel_fields[] = {
	{ "id", JSON_FIELD_ID, offsetof(struct job_cancel_params, id), .required = true,
	  .nonempty = true, .max_length = 64, .summary = JOB_SUMMARY },
	{ NULL },
};

static const struct json_field extend_fields[] = {
	{ "id", JSON_FIELD_ID, offsetof(struct job_extend_params, id), .required = true,
	  .nonempty = true, .max_length = 64, .summary = "a session's id" },
	{ "time_seconds", JSON_FIELD_DURATION, offsetof(struct job_extend_params, time_usec),
	  .required = true, .min = (int64_t)USEC_PER_SEC, .max = (int64_t)EXTEND_MAX,
	  .summary = "how much later than its present end" },
	{ NULL },
};

const struct rpc_method rpc_methods_job[] = { /* keep sorted */
	{ "job.cancel", ROLE_USER, .mutates = true, .fields = cancel_fields,
	  .params_size = sizeof(struct job_cancel_params), .handler = handle_job_cancel,
	  .summary = "takes a job out of the queue, or stops it", .result = "job_changed" },
	{ "job.extend", ROLE_USER, .mutates = true, .fields = extend_fields,
	  .params_size = sizeof(struct job_extend_params), .handler = handle_job_extend,
	  .summary = "gives a session more time, from its present end on", .result = "job_extended" },
	{ "job.file", ROLE_USER, .fields = file_fields,
	  .params_size = sizeof(struct job_file_params), .handler = handle_job_file,
	  .summary = "a piece of a collected file, or the list of them", .result = "chunk" },
	{ "job.get", ROLE_USER, METHOD_NAME(get_fields), .handler = handle_job_get,
	  .summary = "one job", .result = "job" },
	{ "job.hold", ROLE_USER, .mutates = true, METHOD_NAME(get_fields),
	  .handler = handle_job_hold, .summary = "keeps a waiting job from starting",
	  .result = "job_changed" },
	{ "job.list", ROLE_USER, .fields = list_fields,
	  .params_size = sizeof(struct job_list_params), .defaults = &list_defaults,
	  .handler = handle_job_list, .summary = "jobs", .result = "job[]" },
	{ "job.logs", ROLE_USER, .fields = logs_fields,
	  .params_size = sizeof(struct job_logs_params), .handler = handle_job_logs,
	  .summary = "a piece of a job's output", .result = "chunk" },
	{ "job.submit", ROLE_USER, .mutates = true, .fields = submit_fields,
	  .params_size = sizeof(struct job_submit_params), .handler = handle_job_submit,
	  .summary = "queues a job", .result = "submitted" },
	{ "job.unhold", ROLE_USER, .mutates = true, METHOD_NAME(get_fields),
	  .handler = handle_job_unhold, .summary = "lets a held job wait for its turn again",
	  .result = "job_changed" },
	{ "job.upload", ROLE_USER, .fields = upload_fields,
	  .params_size = sizeof(struct job_upload_params), .handler = handle_job_upload,
	  .summary = "one chunk of a file that job.submit will name", .result = "uploaded" },
	{ NULL },
};
