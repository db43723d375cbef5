/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See blob.h. */
#include "blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECKSUM_LEN 8
#define PATH_ROOM 4096

int refuse(const char *format, ...)
{
	va_list args;

	fputs("tiny-lora: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return -EINVAL;
}

uint64_t checksum(const void *bytes, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	const unsigned char *p = bytes;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* ---- Writing --------------------------------------------------------------- */

static void blob_put(struct blob *blob, const void *bytes, size_t size)
{
	if (blob->error < 0)
		return;
	if (blob->room - blob->size < size) {
		size_t room = 2 * (blob->room + size);
		unsigned char *grown = realloc(blob->bytes, room);

		if (!grown) {
			blob->error = -ENOMEM;
			return;
		}
		blob->bytes = grown;
		blob->room = room;
	}
	memcpy(blob->bytes + blob->size, bytes, size);
	blob->size += size;
}

void blob_init(struct blob *blob, const char *magic)
{
	*blob = (struct blob){ 0 };
	blob_put(blob, magic, BLOB_MAGIC_LEN);
}

void blob_done(struct blob *blob)
{
	free(blob->bytes);
	*blob = (struct blob){ 0 };
}

void blob_put_u32(struct blob *blob, uint32_t value)
{
	unsigned char bytes[4];

	for (int i = 0; i < 4; i++)
		bytes[i] = (unsigned char)(value >> (8 * i));
	blob_put(blob, bytes, sizeof(bytes));
}

void blob_put_u64(struct blob *blob, uint64_t value)
{
	blob_put_u32(blob, (uint32_t)value);
	blob_put_u32(blob, (uint32_t)(value >> 32));
}

void blob_put_f64(struct blob *blob, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	blob_put_u64(blob, bits);
}

void blob_put_floats(struct blob *blob, const float *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t bits;

		memcpy(&bits, &values[i], sizeof(bits));
		blob_put_u32(blob, bits);
	}
}

/* ---- Reading --------------------------------------------------------------- */

uint32_t blob_get_u32(struct blob *blob)
{
	uint32_t value = 0;

	if (blob->size - blob->at < 4) {
		blob->error = -EINVAL;
		return 0;
	}
	for (int i = 0; i < 4; i++)
		value |= (uint32_t)blob->bytes[blob->at++] << (8 * i);
	return value;
}

uint64_t blob_get_u64(struct blob *blob)
{
	uint64_t low = blob_get_u32(blob);

	return low | (uint64_t)blob_get_u32(blob) << 32;
}

double blob_get_f64(struct blob *blob)
{
	uint64_t bits = blob_get_u64(blob);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

void blob_get_floats(struct blob *blob, float *ret_values, size_t count)
{
	for (size_t i = 0; i < count && blob->error == 0; i++) {
		uint32_t bits = blob_get_u32(blob);

		memcpy(&ret_values[i], &bits, sizeof(bits));
	}
}

int blob_finish(const struct blob *blob, const char *path)
{
	if (blob->error < 0)
		return refuse("%s: the file is shorter than its own header says", path);
	if (blob->at != blob->size)
		return refuse("%s: %zu bytes are left over behind the last value", path,
			      blob->size - blob->at);
	return 0;
}

/* ---- Files ----------------------------------------------------------------- */

static int write_all(int fd, const unsigned char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Makes a rename in the file's folder durable. */
static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_ROOM] = ".";
	int fd, r = 0;

	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1, path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0 && errno != EINVAL)	/* some file systems cannot: the rename stays */
		r = -errno;
	close(fd);
	return r;
}

int file_write(const char *path, const void *bytes, size_t size)
{
	char beside[PATH_ROOM];
	int fd, r;

	if (snprintf(beside, sizeof(beside), "%s.tmp", path) >= (int)sizeof(beside))
		return refuse("%s: the path is too long", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0) {
		r = -errno;
		goto failed;
	}
	r = write_all(fd, bytes, size);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(beside, path) < 0)
		r = -errno;
	if (r == 0)
		r = sync_folder(path);
	if (r == 0)
		return 0;
	(void)unlink(beside);	/* the half-written file is of no use to anybody */
failed:
	fprintf(stderr, "tiny-lora: %s: cannot write: %s\n", path, strerror(-r));
	return r == -EINVAL ? -EIO : r;
}

int file_read(const char *path, const char *what, unsigned char **ret_bytes, size_t *ret_size)
{
	unsigned char *bytes;
	size_t size;
	FILE *file;
	int failed;

	file = fopen(path, "rbe");
	if (!file)
		return refuse("%s: cannot read the %s: %s", path, what, strerror(errno));
	bytes = malloc(FILE_MAX_BYTES + 1);
	if (!bytes) {
		fclose(file);
		return -ENOMEM;
	}
	size = fread(bytes, 1, FILE_MAX_BYTES + 1, file);
	failed = ferror(file) ? errno : 0;
	fclose(file);
	if (failed || size > FILE_MAX_BYTES) {
		free(bytes);
		return refuse("%s: cannot read the %s: %s", path, what,
			      failed ? strerror(failed) : "it is larger than 4 MiB");
	}
	bytes[size] = '\0';
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;
}

int blob_save(struct blob *blob, const char *path)
{
	blob_put_u64(blob, checksum(blob->bytes, blob->size));
	if (blob->error < 0)
		return blob->error;
	return file_write(path, blob->bytes, blob->size);
}

int blob_load(struct blob *ret_blob, const char *path, const char *magic, const char *what)
{
	struct blob blob = { 0 };
	uint64_t wanted;
	int r;

	r = file_read(path, what, &blob.bytes, &blob.size);
	if (r < 0)
		return r;
	if (blob.size < BLOB_MAGIC_LEN + CHECKSUM_LEN ||
	    memcmp(blob.bytes, magic, BLOB_MAGIC_LEN) != 0) {
		blob_done(&blob);
		return refuse("%s: this is no %s of tiny-lora (it does not begin with %s)", path,
			      what, magic);
	}
	blob.at = blob.size - CHECKSUM_LEN;
	wanted = blob_get_u64(&blob);
	blob.size -= CHECKSUM_LEN;
	if (checksum(blob.bytes, blob.size) != wanted) {
		blob_done(&blob);
		return refuse("%s: the %s is damaged: its checksum does not match its bytes", path,
			      what);
	}
	blob.at = BLOB_MAGIC_LEN;
	*ret_blob = blob;
	return 0;
}
