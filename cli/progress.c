/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draws one line for each job; events say what has changed, job.get says how it is after a gap. */
#include "cli/progress.h"

#include "cli/text.h"
#include "lib/escape.h"
#include "lib/io.h"

#define BAR_WIDTH 24

struct line {
	char *id;
	json_t *job;   /* as job.get gave it, brought up to date by events */
	char *printed; /* what was printed for it last */
	bool dirty;
};

struct display {
	struct cli *cli;
	struct line *lines;
	size_t n;
	size_t drawn; /* lines on the terminal */
};

static bool has_ended(const struct line *line)
{
	return streq_ptr(json_get_string(line->job, "state"), "ended");
}

/* "[#########---------------]", or nothing when it is not known how far. */
static char *bar_text(const json_t *progress)
{
	uint64_t step = json_get_uint(progress, "step", 0),
		 total = json_get_uint(progress, "total", 0);
	char bar[BAR_WIDTH + 1];
	size_t full;

	if (total == 0)
		return strdup("");
	full = (size_t)((double)MIN_OF(step, total) / (double)total * BAR_WIDTH);
	memset(bar, '#', full);
	memset(bar + full, '-', BAR_WIDTH - full);
	bar[BAR_WIDTH] = '\0';
	return xasprintf("[%s] ", bar);
}

static char *line_text(const struct line *line)
{
	const json_t *progress = json_object_get(line->job, "progress");
	const char *state = strempty(json_get_string(line->job, "state"));
	const char *result = json_get_string(line->job, "result");
	_cleanup_free_ char *bar = bar_text(progress), *text = text_progress(progress),
			    *whole = NULL;

	whole = xasprintf("%4s  %-16s %-13s %s%s", line->id,
			  strempty(json_get_string(line->job, "name")),
			  has_ended(line) && result ? result : state, strempty(bar),
			  streq(strempty(text), "-") ? "" : strempty(text));
	if (!whole)
		return NULL;
	trim_end(whole);
	return escape_terminal(whole, strlen(whole), false);
}

/* Moves up over what was drawn and draws it again; a line is cut by the terminal, not wrapped. */
static void redraw(struct display *d)
{
	FILE *out = d->cli->out;
	size_t i;

	if (d->drawn > 0)
		fprintf(out, "\033[%zuA", d->drawn);
	fputs("\033[?7l", out);
	for (i = 0; i < d->n; i++)
		fprintf(out, "\r\033[K%s\n", strempty(d->lines[i].printed));
	fputs("\033[?7h", out);
	d->drawn = d->n;
	fflush(out);
}

static void print_changes(struct display *d)
{
	bool changed = false;
	size_t i;

	for (i = 0; i < d->n; i++) {
		struct line *line = &d->lines[i];
		char *text = line_text(line);

		if (!text || streq_ptr(text, line->printed)) {
			free(text);
			continue;
		}
		free(line->printed);
		line->printed = text;
		changed = true;
		if (!d->cli->terminal && !cli_wants_json(d->cli))
			fprintf(d->cli->out, "%s\n", text);
	}
	if (changed && d->cli->terminal && !cli_wants_json(d->cli))
		redraw(d);
	fflush(d->cli->out);
}

static void take_progress(struct line *line, const json_t *event)
{
	static const char *const members[] = { "step", "total", "loss", "vram_peak_bytes" };
	json_t *progress = json_object();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(members); i++)
		json_object_set(progress, members[i],
				json_object_get(event, members[i]) ?: json_null());
	json_object_set_new(line->job, "progress", progress);
}

static void on_event(void *userdata, const char *method, const json_t *event)
{
	struct display *d = userdata;
	const char *type = strempty(json_get_string(event, "type"));
	const char *subject = json_get_string(event, "subject");
	size_t i;

	for (i = 0; i < d->n; i++) {
		struct line *line = &d->lines[i];

		if (streq(type, "lagged")) {
			line->dirty = true;
			continue;
		}
		if (!streq_ptr(subject, line->id))
			continue;
		if (streq(type, "job.progress") && line->job)
			take_progress(line, event);
		else
			line->dirty = true;
		if (cli_wants_json(d->cli))
			(void)json_dumpf(event, d->cli->out, JSON_COMPACT),
				(void)fputc('\n', d->cli->out);
	}
	print_changes(d);
}

static int refresh(struct display *d, bool *ret_over)
{
	size_t i;
	int r;

	*ret_over = true;
	for (i = 0; i < d->n; i++) {
		struct line *line = &d->lines[i];

		while (line->dirty) {
			json_t *job = NULL;

			line->dirty = false;
			r = cli_call(d->cli, "job.get", json_pack("{s:s}", "id", line->id), &job);
			if (r)
				return r;
			json_decref(line->job);
			line->job = job;
		}
		*ret_over = *ret_over && has_ended(line);
	}
	print_changes(d);
	return 0;
}

static int add_lines(struct display *d, const char *const *ids, size_t n)
{
	size_t i;

	d->lines = calloc(n + 1, sizeof(*d->lines));
	if (!d->lines)
		return cli_out_of_memory(d->cli);
	for (i = 0; i < n; i++) {
		d->lines[i].id = strdup(ids[i]);
		d->lines[i].dirty = true;
	}
	d->n = n;
	return 0;
}

/* The caller's jobs that have not ended; the oldest first. */
static int add_all(struct display *d)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *items;
	size_t n, i;
	int r = cli_list(d->cli, "job.list", NULL, 0, &list);

	if (r)
		return r;
	items = json_object_get(list, "items");
	n = json_array_size(items);
	d->lines = calloc(n + 1, sizeof(*d->lines));
	if (!d->lines)
		return cli_out_of_memory(d->cli);
	for (i = 0; i < n; i++) {
		d->lines[i].id = id_text(json_array_get(items, n - 1 - i));
		d->lines[i].dirty = true;
	}
	d->n = n;
	return 0;
}

static int show(struct display *d)
{
	bool over = false, missed = false;
	size_t i;
	int r;

	r = cli_subscribe(d->cli, json_pack("[s,s]", "job.state", "job.progress"), UINT64_MAX,
			  on_event, d);
	while (r == 0) {
		r = refresh(d, &over);
		if (r || over)
			break;
		r = cli_next_event(d->cli, UINT64_MAX, &missed);
		for (i = 0; missed && i < d->n; i++)
			d->lines[i].dirty = true;
		missed = false;
	}
	d->cli->on_event = NULL;
	return r;
}

static int exit_of(const struct display *d)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		if (!streq_ptr(json_get_string(d->lines[i].job, "result"), "succeeded"))
			return EXIT_ENDED_OTHERWISE;
	return EXIT_DONE;
}

int progress_run(struct cli *cli, const char *const *ids, size_t n_ids)
{
	struct display d = { .cli = cli };
	size_t i;
	int r = n_ids ? add_lines(&d, ids, n_ids) : add_all(&d);

	if (r == 0 && d.n == 0)
		cli_warn(cli, "gpuvf: watch: no job is under way");
	else if (r == 0) {
		interrupt_say("the jobs continue; gpuvf jobs; gpuvf watch --progress");
		r = show(&d);
		interrupt_say(NULL);
		r = r ? r : exit_of(&d);
	}
	for (i = 0; i < d.n; i++) {
		free(d.lines[i].id);
		free(d.lines[i].printed);
		json_decref(d.lines[i].job);
	}
	free(d.lines);
	return r;
}
