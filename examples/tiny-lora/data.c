/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See data.h. */
#include "data.h"

#include "blob.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIXEL_LEVELS "0123456789abcdefg"	/* a pixel counts 0 to 16 inked dots */
#define ROW_LEN (IMAGE_PIXELS + 2)		/* pixels, a space, the digit */

/* One line "PIXELS LABEL", without its newline. */
static int parse_row(const char *line, size_t len, float *image, unsigned char *label)
{
	if (len != ROW_LEN || line[IMAGE_PIXELS] != ' ')
		return -EINVAL;
	for (int i = 0; i < IMAGE_PIXELS; i++) {
		const char *level = line[i] ? strchr(PIXEL_LEVELS, line[i]) : NULL;

		if (!level)
			return -EINVAL;
		image[i] = (float)(level - PIXEL_LEVELS) / 16.0f;
	}
	if (line[ROW_LEN - 1] < '0' || line[ROW_LEN - 1] > '9')
		return -EINVAL;
	*label = (unsigned char)(line[ROW_LEN - 1] - '0');
	return 0;
}

/* The lines after the header; '#' begins a comment. */
static int parse_rows(struct data *data, const char *text, uint32_t line_number, const char *path)
{
	uint32_t row = 0;

	for (; *text; line_number++) {
		size_t len = strcspn(text, "\n");

		if (*text != '#' && len > 0) {
			if (row == data->rows)
				return refuse("%s:%u: more rows than the %u of the header", path,
					      line_number, data->rows);
			if (parse_row(text, len, data->images[row], &data->labels[row]) < 0)
				return refuse("%s:%u: a row is 64 pixels of 0-9a-g, a space and "
					      "the digit", path, line_number);
			row++;
		}
		text += len + (text[len] == '\n');
	}
	if (row < data->rows)
		return refuse("%s: %u rows instead of the %u of the header", path, row, data->rows);
	return 0;
}

static int parse_header(struct data *data, const char *text, const char *path)
{
	char end;

	if (sscanf(text, "digits rows %5u train %5u%c", &data->rows, &data->train, &end) != 3 ||
	    end != '\n' || data->rows > ROWS_MAX || data->train == 0 || data->train >= data->rows)
		return refuse("%s:1: the first line must be \"digits rows N train T\" with "
			      "0 < T < N <= %u", path, ROWS_MAX);
	return 0;
}

void data_done(struct data *data)
{
	free(data->images);
	free(data->labels);
	*data = (struct data){ 0 };
}

int data_load(struct data *ret_data, const char *path)
{
	struct data data = { 0 };
	unsigned char *bytes;
	size_t size;
	int r;

	r = file_read(path, "data file", &bytes, &size);
	if (r < 0)
		return r;
	data.sum = checksum(bytes, size);
	r = strlen((char *)bytes) == size ? parse_header(&data, (char *)bytes, path) :
		refuse("%s: a NUL byte in a text file", path);
	if (r == 0) {
		data.images = calloc(data.rows, sizeof(*data.images));
		data.labels = calloc(data.rows, sizeof(*data.labels));
		r = data.images && data.labels ?
			parse_rows(&data, strchr((char *)bytes, '\n') + 1, 2, path) : -ENOMEM;
	}
	free(bytes);
	if (r < 0) {
		data_done(&data);
		return r;
	}
	*ret_data = data;
	return 0;
}
