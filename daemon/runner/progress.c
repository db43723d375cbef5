/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds progress in a job's output. */
#include "runner/progress.h"

#include <math.h>

static bool take_number(const json_t *line, const char *name, struct known *known)
{
	const json_t *value = json_object_get(line, name);
	uint64_t number;

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		number = (uint64_t)json_integer_value(value);
	else if (json_is_real(value) && json_real_value(value) >= 0 &&
		 json_real_value(value) < 9e15)
		number = (uint64_t)json_real_value(value);
	else
		return false;
	if (known->known && known->value == number)
		return false;
	known->known = true;
	known->value = number;
	return true;
}

static bool take_loss(const json_t *line, struct runner_progress *progress)
{
	const json_t *value = json_object_get(line, "loss");
	double loss = json_number_value(value);

	if (!json_is_number(value) || !isfinite(loss) ||
	    (progress->has_loss && progress->loss == loss))
		return false;
	progress->has_loss = true;
	progress->loss = loss;
	return true;
}

static bool take_line(const char *text, size_t size, struct runner_progress *progress)
{
	_cleanup_json_ json_t *line = NULL;
	bool changed;

	while (size > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		size--;
	}
	/* most lines are none: do not parse them */
	if (size < 2 || *text != '{' || json_parse(text, size, &line, NULL) < 0)
		return false;
	changed = take_number(line, "step", &progress->step);
	changed |= take_number(line, json_object_get(line, "total") ? "total" : "max_steps",
			       &progress->total);
	changed |= take_number(line, "vram_peak_bytes", &progress->vram_peak_bytes);
	changed |= take_loss(line, progress);
	return changed;
}

bool progress_feed(struct progress_reader *reader, const char *data, size_t size,
		   struct runner_progress *progress)
{
	bool changed = false;

	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\n') {
			if (!reader->too_long)
				changed |= take_line(reader->line, reader->size, progress);
			reader->size = 0;
			reader->too_long = false;
		} else if (reader->size == sizeof(reader->line)) {
			reader->too_long = true;
		} else {
			reader->line[reader->size++] = data[i];
		}
	}
	return changed;
}
