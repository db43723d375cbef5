/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text files of 8x8 digits under data/; README.md has source and licence. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define IMAGE_PIXELS 64
#define CLASSES 10
#define ROWS_MAX 10000	/* five times the data set that the files are cut from */

struct data {
	float (*images)[IMAGE_PIXELS];	/* 0 … 1 */
	unsigned char *labels;
	uint32_t rows;
	uint32_t train;		/* the first so many rows are for training, the rest is held out */
	uint64_t sum;		/* checksum of the file's bytes */
};

int data_load(struct data *ret_data, const char *path);
void data_done(struct data *data);
