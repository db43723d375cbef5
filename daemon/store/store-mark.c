/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.mark beside state.db: that there was state here, and how many transactions it had.  It is written
 * after each COMMIT and never synced: the disk may have an older one than the database, never a newer one.
 * So a database that has fewer than the mark says has lost some, or is an old copy. */
#include "store/store-internal.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/io.h"
#include "log/log.h"

#define MARK_NAME "state.mark"
#define MARK_FORMAT "gpuvf state, transactions: %020llu\n"
#define MARK_SIZE 48 /* of the line, always the same: one write in place */

static void mark_text(uint64_t n, char buf[static MARK_SIZE + 1])
{
	snprintf(buf, MARK_SIZE + 1, MARK_FORMAT, (unsigned long long)n);
}

int store_mark_read(int dirfd, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long n = 0;
	size_t size = 0;
	int r;

	r = read_file_at(dirfd, MARK_NAME, 4096, &text, &size);
	if (r < 0)
		return r;
	/* One that makes no sense still says that there was state. */
	if (sscanf(text, "gpuvf state, transactions: %llu", &n) != 1)
		log_warning(0, "%s cannot be read: whether transactions are missing is not known", MARK_NAME);
	*ret = n;
	return 0;
}

int store_mark_make(int dirfd, uint64_t n)
{
	char text[MARK_SIZE + 1];

	mark_text(n, text);
	return write_file_atomic_at(dirfd, MARK_NAME, text, strlen(text), 0600);
}

int store_mark_open(int dirfd)
{
	int fd = openat(dirfd, MARK_NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

void store_mark_set(int fd, uint64_t n)
{
	char text[MARK_SIZE + 1];
	ssize_t written;

	mark_text(n, text);
	written = pwrite(fd, text, strlen(text), 0);
	(void)written; /* an older mark knows less, and says nothing that is wrong */
}
