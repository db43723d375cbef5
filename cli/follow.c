/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Output of a job while it is written: piece by piece by offset; events say when there is more. */
#include "cli/cli.h"
#include "lib/base64.h"
#include "lib/escape.h"
#include "lib/io.h"

#define CHUNK_BYTES 262144

struct stream {
	const char *name;
	FILE *to;
	uint64_t offset;
	bool eof;
};

struct follow {
	const char *id;
	uint64_t attempt;
	bool more; /* something happened to the job */
};

static int write_bytes(struct cli *cli, FILE *to, const char *data, size_t size, bool raw)
{
	_cleanup_free_ char *safe = NULL;

	/* Whatever a job writes must not reach a terminal as commands to it. */
	if (!raw && fileno(to) >= 0 && isatty(fileno(to))) {
		safe = escape_terminal(data, size, true);
		if (!safe)
			return cli_out_of_memory(cli);
		data = safe;
		size = strlen(safe);
	}
	fwrite(data, 1, size, to);
	return fflush(to) == 0 ? 0
			       : cli_refuse(cli, RPC_HOST_ERROR, "is the disk full?",
					    "the output could not be written");
}

int cli_write_chunk(struct cli *cli, FILE *to, const json_t *chunk, bool raw)
{
	const json_t *data = json_object_get(chunk, "data");
	_cleanup_free_ void *bytes = NULL;
	size_t size = 0;

	if (!streq_ptr(json_get_string(chunk, "encoding"), "base64"))
		return write_bytes(cli, to, strempty(json_string_value(data)),
				   json_string_length(data), raw);
	if (base64_decode(strempty(json_string_value(data)), json_string_length(data), &bytes,
			  &size) < 0)
		return cli_refuse(cli, RPC_INTERNAL_ERROR, NULL, "the daemon sent broken base64");
	return write_bytes(cli, to, bytes, size, raw);
}

/* All that is there now. */
static int drain(struct cli *cli, const struct follow *f, struct stream *s, bool raw)
{
	uint64_t next = s->offset;
	int r;

	do {
		_cleanup_json_ json_t *chunk = NULL;

		s->offset = next;
		r = cli_call(cli, "job.logs",
			     json_pack("{s:s,s:s,s:I,s:I,s:I}", "id", f->id, "stream", s->name,
				       "attempt", (json_int_t)f->attempt, "offset",
				       (json_int_t)s->offset, "limit", (json_int_t)CHUNK_BYTES),
			     &chunk);
		if (r)
			return r;
		r = cli_write_chunk(cli, s->to, chunk, raw);
		if (r)
			return r;
		next = json_get_uint(chunk, "next", s->offset);
		s->eof = json_get_bool(chunk, "eof", false);
		if (s->eof && json_get_bool(chunk, "truncated", false))
			cli_warn(cli, "gpuvf: %s of job %s was longer; only the beginning was kept",
				 s->name, f->id);
	} while (next != s->offset && !s->eof);
	s->offset = next;
	return 0;
}

static void on_event(void *userdata, const char *method, const json_t *event)
{
	struct follow *f = userdata;

	if (streq_ptr(json_get_string(event, "subject"), f->id) ||
	    streq_ptr(json_get_string(event, "type"), "lagged"))
		f->more = true;
}

/* After the end of one attempt: goes on with the next, or tells that the job has ended. */
static int next_attempt(struct cli *cli, struct follow *f, struct stream *streams, size_t n,
			bool *ret_ended)
{
	_cleanup_json_ json_t *job = NULL;
	uint64_t attempt;
	size_t i;
	int r;

	r = cli_call(cli, "job.get", json_pack("{s:s}", "id", f->id), &job);
	if (r)
		return r;
	attempt = json_get_uint(job, "attempt", 1);
	if (attempt > f->attempt) {
		f->attempt = attempt;
		for (i = 0; i < n; i++) {
			streams[i].offset = 0;
			streams[i].eof = false;
		}
		f->more = true;
		return 0;
	}
	*ret_ended = streq_ptr(json_get_string(job, "state"), "ended");
	return 0;
}

static int follow_streams(struct cli *cli, struct follow *f, struct stream *streams, size_t n,
			  bool raw)
{
	bool ended = false, eof, missed = false;
	size_t i;
	int r;

	for (;;) {
		f->more = false;
		eof = true;
		for (i = 0; i < n; i++) {
			r = streams[i].eof ? 0 : drain(cli, f, &streams[i], raw);
			if (r)
				return r;
			eof = eof && streams[i].eof;
		}
		if (eof) {
			r = next_attempt(cli, f, streams, n, &ended);
			if (r || ended)
				return r;
		}
		while (!f->more) {
			r = cli_next_event(cli, UINT64_MAX, &missed);
			if (r)
				return r;
			f->more = f->more || missed;
			missed = false;
		}
	}
}

int follow_job(struct cli *cli, const char *id, bool both, bool only_stderr, bool raw)
{
	_cleanup_free_ char *hint =
		xasprintf("job %s continues; gpuvf wait %s; gpuvf cancel %s", id, id, id);
	_cleanup_json_ json_t *job = NULL;
	struct follow f = { .id = id };
	struct stream streams[2] = { { .name = only_stderr ? "stderr" : "stdout", .to = cli->out },
				     { .name = "stderr", .to = cli->err } };
	int r;

	interrupt_say(strempty(hint));
	r = cli_subscribe(cli, json_pack("[s,s]", "job.state", "job.output"), UINT64_MAX, on_event,
			  &f);
	if (r == 0)
		r = cli_call(cli, "job.get", json_pack("{s:s}", "id", id), &job);
	if (r == 0) {
		f.attempt = MAX_OF(json_get_uint(job, "attempt", 1), (uint64_t)1);
		r = follow_streams(cli, &f, streams, both ? 2 : 1, raw);
	}
	cli->on_event = NULL;
	interrupt_say(NULL);
	return r;
}
