/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Binary files of tiny-lora: eight bytes of magic, little-endian fields, and a
 * checksum over all of it at the end.  Used for base weights, adapters and
 * checkpoints; knows none of them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BLOB_MAGIC_LEN 8

struct blob {
	unsigned char *bytes;
	size_t size;		/* while reading: without the checksum */
	size_t room;
	size_t at;		/* next byte to read */
	int error;		/* sticky: the first -ENOMEM or -EINVAL */
};

/* Says on stderr what is wrong; returns -EINVAL for the caller to pass on. */
int refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* FNV-1a, 64 bits. */
uint64_t checksum(const void *bytes, size_t size);

void blob_init(struct blob *blob, const char *magic);
void blob_done(struct blob *blob);

void blob_put_u32(struct blob *blob, uint32_t value);
void blob_put_u64(struct blob *blob, uint64_t value);
void blob_put_f64(struct blob *blob, double value);
void blob_put_floats(struct blob *blob, const float *values, size_t count);

/* Reading past the end gives 0 and sets blob->error. */
uint32_t blob_get_u32(struct blob *blob);
uint64_t blob_get_u64(struct blob *blob);
double blob_get_f64(struct blob *blob);
void blob_get_floats(struct blob *blob, float *ret_values, size_t count);

/* 0 when everything was read and nothing is left over, else a refusal that
 * names the file. */
int blob_finish(const struct blob *blob, const char *path);

/* Writes beside the file, flushes, renames: the name shows a whole file or
 * none.  Says on stderr what failed.  Takes nothing; returns negative errno. */
int blob_save(struct blob *blob, const char *path);

/* Reads a file whose magic and checksum hold; what names it in messages. */
int blob_load(struct blob *ret_blob, const char *path, const char *magic, const char *what);

/* Reads a whole file of at most FILE_MAX_BYTES, with a NUL byte behind it. */
#define FILE_MAX_BYTES (4 * 1024 * 1024)	/* forty times the largest file shipped */
int file_read(const char *path, const char *what, unsigned char **ret_bytes, size_t *ret_size);
int file_write(const char *path, const void *bytes, size_t size);
