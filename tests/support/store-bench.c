/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/store-bench.h"
#include "tests/support/test-folder.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

char directory[64];

int make_directory(void **state)
{
	return make_test_folder(directory) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

int remove_directory(void **state)
{
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void clear_directory(void)
{
	assert_int_equal(remove_directory(NULL), 0);
	assert_int_equal(mkdir(directory, 0700), 0);
}

const char *path_of(const char *name)
{
	static char paths[4][128];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

struct store *open_store(void)
{
	_cleanup_free_ char *message = NULL;
	struct store *s = NULL;
	int r = store_open(directory, &s, &message);

	if (r < 0)
		fail_msg("%d: %s", r, strempty(message));
	assert_null(message);
	return s;
}

void refuse_store(int r, const char *word)
{
	_cleanup_free_ char *message = NULL;
	struct store *s = NULL;

	assert_int_equal(store_open(directory, &s, &message), r);
	assert_null(s);
	assert_non_null(message);
	if (!strstr(message, word))
		fail_msg("\"%s\" is not in: %s", word, message);
}

struct store_batch *batch_put(enum store_kind kind, const char *id, json_t *doc)
{
	struct store_batch *b = store_batch_new();

	assert_non_null(b);
	assert_int_equal(store_batch_put(b, kind, id, doc), 0);
	return b;
}

static int collect(void *userdata, const char *id, const json_t *doc)
{
	return json_object_set((json_t *)userdata, id, (json_t *)doc) < 0 ? -ENOMEM : 0;
}

json_t *load(struct store *s, enum store_kind kind)
{
	json_t *rows = json_object();

	assert_int_equal(store_load(s, kind, collect, rows), 0);
	return rows;
}

unsigned count_files(const char *prefix)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	closedir(dir);
	return n;
}

void run_sql(const char *name, const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path_of(name), &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

int64_t ask_sql(const char *name, const char *sql)
{
	sqlite3 *db = NULL;
	int64_t n = -1;

	assert_int_equal(sqlite3_open(path_of(name), &db), SQLITE_OK);
	if (store_read_number(db, sql, &n) < 0)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
	return n;
}
