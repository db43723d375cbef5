/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of a guest, piece by piece, as its agent takes and gives them. */
#include "lib/base64.h"
#include "lib/units.h"
#include "runner/guest-answer.h"
#include "runner/guest-internal.h"

/* ---- Writing a file ------------------------------------------------------------------------ */

static json_t *open_arguments(const char *path, const char *mode)
{
	return json_pack("{s:s, s:s}", "path", path, "mode", mode);
}

static json_t *handle_arguments(const struct guest *g)
{
	return json_pack("{s:I}", "handle", (json_int_t)g->handle);
}

static void put_next(struct guest *g);

static void on_put_closed(struct guest *g, const struct hv_reply *reply)
{
	guest_end_done(g);
}

static void on_put_written(struct guest *g, const struct hv_reply *reply)
{
	if (guest_answer_number(reply->result, "count", g->written) < 0) {
		guest_close(g, g->handle);
		return guest_end_garbage(g, "guest-file-write");
	}
	put_next(g);
}

static void put_next(struct guest *g)
{
	_cleanup_free_ char *buffer = malloc(GUEST_COPY_CHUNK), *text = NULL;
	ssize_t n;

	do {
		n = buffer ? read(g->fd, buffer, GUEST_COPY_CHUNK) : -1;
	} while (n < 0 && buffer && errno == EINTR);
	text = n > 0 ? base64_encode(buffer, (size_t)n) : NULL;
	if (n < 0 || (n > 0 && !text)) {
		guest_close(g, g->handle);
		return guest_end_failed(g, HV_FAILED, "a file cannot be read on the host");
	}
	if (n == 0) {
		g->handle_open = false;
		guest_command(g, "guest-file-close", handle_arguments(g), on_put_closed);
		return;
	}
	g->written = (size_t)n;
	guest_command(g, "guest-file-write",
		json_pack("{s:I, s:s, s:I}", "handle", (json_int_t)g->handle, "buf-b64", text,
			  "count", (json_int_t)n),
		on_put_written);
}

static void on_put_opened(struct guest *g, const struct hv_reply *reply)
{
	if (guest_answer_handle(reply->result, &g->handle) < 0)
		return guest_end_garbage(g, "guest-file-open");
	g->handle_open = true;
	put_next(g);
}

void guest_put(struct guest *g, const char *path, int fd, guest_fn fn, void *userdata)
{
	guest_begin(g, fn, userdata);
	g->fd = fd;
	guest_command(g, "guest-file-open", open_arguments(path, "w"), on_put_opened);
}

/* ---- Reading a file ------------------------------------------------------------------------ */

static void answer_opened(struct guest *g)
{
	const struct guest_answer a = { .failure = HV_OK, .handle = g->handle };

	guest_end(g, &a);
}

static void on_sought(struct guest *g, const struct hv_reply *reply)
{
	if (guest_answer_number(reply->result, "position", g->offset) < 0) {
		guest_close(g, g->handle);
		return guest_end_garbage(g, "guest-file-seek");
	}
	answer_opened(g);
}

static void on_opened(struct guest *g, const struct hv_reply *reply)
{
	if (guest_answer_handle(reply->result, &g->handle) < 0)
		return guest_end_garbage(g, "guest-file-open");
	if (g->offset == 0)
		return answer_opened(g);
	g->handle_open = true;
	guest_command(g, "guest-file-seek",
		json_pack("{s:I, s:I, s:i}", "handle", (json_int_t)g->handle, "offset",
			  (json_int_t)g->offset, "whence", 0),
		on_sought);
}

void guest_open(struct guest *g, const char *path, uint64_t offset, guest_fn fn, void *userdata)
{
	guest_begin(g, fn, userdata);
	g->offset = offset;
	guest_command(g, "guest-file-open", open_arguments(path, "r"), on_opened);
}

static void on_read(struct guest *g, const struct hv_reply *reply)
{
	struct guest_answer a = { .failure = HV_OK };
	_cleanup_free_ void *data = NULL;

	if (guest_answer_read(reply->result, g->max, &data, &a.size, &a.eof) < 0)
		return guest_end_garbage(g, "guest-file-read");
	a.data = data;
	guest_end(g, &a);
}

void guest_read(struct guest *g, uint64_t handle, size_t max, guest_fn fn, void *userdata)
{
	guest_begin(g, fn, userdata);
	g->handle = handle;
	g->max = max;
	guest_command(g, "guest-file-read",
		json_pack("{s:I, s:I}", "handle", (json_int_t)handle, "count", (json_int_t)max),
		on_read);
}
