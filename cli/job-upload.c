/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job whose files do not fit one message: they go ahead, chunk by chunk, and the job names them.
 */
#include "cli/job-files.h"

/* Base64 of one chunk: a multiple of four, so that each piece is base64 of its own, and below what
 * the daemon takes at once (512 KiB of content). */
#define CHUNK_TEXT ((size_t)680 * 1024)
/* Room for what surrounds the document in its message. */
#define ENVELOPE 1024
/* Smaller files stay in the document: a call for each would not pay. */
#define SMALL_TEXT ((size_t)4096)

static bool fits(const json_t *document)
{
	return json_dumpb(document, NULL, 0, JSON_COMPACT) + ENVELOPE <= RPC_MESSAGE_MAX;
}

static int send_chunk(struct cli *cli, json_t *file, const char *text, size_t length,
		      uint64_t *offset)
{
	const char *upload = json_get_string(file, "upload");
	_cleanup_json_ json_t *answer = NULL;
	json_t *params =
		json_pack("{s:I,s:s%}", "offset", (json_int_t)*offset, "data", text, length);
	int r;

	if (!params)
		return cli_out_of_memory(cli);
	if (upload)
		json_put_string(params, "upload", upload);
	r = cli_call(cli, "job.upload", params, &answer);
	if (r)
		return r;
	*offset = json_get_uint(answer, "size", *offset);
	if (!upload && json_put_string(file, "upload", json_get_string(answer, "upload")) < 0)
		return cli_out_of_memory(cli);
	return 0;
}

static int upload_one(struct cli *cli, json_t *file)
{
	_cleanup_json_ json_t *content = json_incref(json_object_get(file, "content"));
	const char *text = json_string_value(content);
	size_t length = json_string_length(content), at = 0;
	uint64_t offset = 0;
	int r;

	do {
		size_t n = MIN_OF(length - at, CHUNK_TEXT);

		r = send_chunk(cli, file, text + at, n, &offset);
		if (r)
			return r;
		at += n;
	} while (at < length);
	json_object_del(file, "content");
	return 0;
}

int job_files_upload(struct cli *cli, json_t *document)
{
	json_t *file;
	size_t i;
	int r;

	if (fits(document))
		return 0;
	json_array_foreach(json_object_get(document, "files"), i, file) {
		const json_t *content = json_object_get(file, "content");

		if (!json_is_string(content) || json_string_length(content) < SMALL_TEXT)
			continue;
		r = upload_one(cli, file);
		if (r)
			return r;
	}
	if (fits(document))
		return 0;
	return cli_refuse(cli, RPC_LIMIT, "move what is long into a file (--file)",
			  "the job is larger than one request may be (%zu KiB)",
			  RPC_MESSAGE_MAX >> 10);
}
