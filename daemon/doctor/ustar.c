/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "doctor/ustar.h"

#include <stdio.h>

#include "lib/io.h"

#define RECORD 512

/* POSIX.1-2017, pax, "ustar Interchange Format": texts, numbers in octal. */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type,
		linkname[100];
	char magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == RECORD, "a header fills a record");

static void put_octal(char *field, size_t size, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%0*llo", (int)size - 1, (unsigned long long)value);
	memcpy(field, text, size - 1);
}

/* The sum of all bytes, with its own field as blanks. */
static void put_checksum(struct header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	unsigned sum = 0;
	size_t i;

	memset(h->checksum, ' ', sizeof(h->checksum));
	for (i = 0; i < sizeof(*h); i++)
		sum += p[i];
	snprintf(h->checksum, sizeof(h->checksum), "%06o", sum & 0777777);
}

int ustar_add(int fd, const char *name, const void *data, size_t size, uint64_t mtime)
{
	static const char zeros[RECORD];
	struct header h = {.type = '0', .magic = "ustar", .version = {'0', '0'}};
	size_t length = strlen(name);
	int r;

	if (length == 0 || length >= sizeof(h.name) || size > 077777777777)
		return -EINVAL;
	memcpy(h.name, name, length);
	put_octal(h.mode, sizeof(h.mode), 0600);
	put_octal(h.uid, sizeof(h.uid), 0);
	put_octal(h.gid, sizeof(h.gid), 0);
	put_octal(h.size, sizeof(h.size), size);
	put_octal(h.mtime, sizeof(h.mtime), mtime);
	put_checksum(&h);

	r = write_all(fd, &h, sizeof(h));
	if (r == 0)
		r = write_all(fd, data, size);
	if (r == 0 && size % RECORD)
		r = write_all(fd, zeros, RECORD - size % RECORD);
	return r;
}

int ustar_end(int fd)
{
	static const char zeros[2 * RECORD];

	return write_all(fd, zeros, sizeof(zeros));
}
