/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies of state.db: one before each upgrade of its schema, one of a file that is damaged, and the way back
 * from a copy.  A copy appears under its name only when it is whole and on the disk. */
#include "store/store-internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/clock.h"
#include "log/log.h"

#define BACKUPS_KEPT 3 /* of upgrades: nobody goes back further */
#define DAMAGED_KEPT 3 /* a daemon that is started again and again must not fill the disk */

static int sync_directory(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* ---- names ---- */

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* N of "state.db.schema-N.bak", else -1. */
static long backup_number(const char *name)
{
	static const char prefix[] = "state.db.schema-";
	char *end;
	long n;

	if (!has_prefix(name, prefix) || name[sizeof(prefix) - 1] < '0' || name[sizeof(prefix) - 1] > '9')
		return -1;
	n = strtol(name + sizeof(prefix) - 1, &end, 10);
	return streq(end, ".bak") ? n : -1;
}

/* How many backups there are, the highest and the lowest number. */
static size_t backup_numbers(const char *state_dir, long *ret_low, long *ret_high)
{
	DIR *dir = opendir(state_dir);
	struct dirent *entry;
	size_t count = 0;

	*ret_low = *ret_high = -1;
	while (dir && (entry = readdir(dir))) {
		long n = backup_number(entry->d_name);

		if (n < 0)
			continue;
		if (*ret_low < 0 || n < *ret_low)
			*ret_low = n;
		*ret_high = MAX_OF(*ret_high, n);
		count++;
	}
	if (dir)
		closedir(dir);
	return count;
}

char *store_backup_newest(const char *state_dir)
{
	long low, high;

	return backup_numbers(state_dir, &low, &high) ? xasprintf("%s/state.db.schema-%ld.bak", state_dir, high)
						      : NULL;
}

void store_backup_prune(const char *state_dir)
{
	long low, high;

	while (backup_numbers(state_dir, &low, &high) > BACKUPS_KEPT) {
		_cleanup_free_ char *path = xasprintf("%s/state.db.schema-%ld.bak", state_dir, low);

		if (!path || unlink(path) < 0)
			return;
	}
}

/* ---- a whole copy of a database ---- */

/* Reads every page through SQLite, with what is in the -wal, and leaves a file that needs none. */
static int vacuum_into(sqlite3 *db, const char *path, char **ret_why)
{
	sqlite3_stmt *statement = NULL;
	int fd, code, r;

	(void)unlink(path); /* of somebody who died over it */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		*ret_why = xasprintf("cannot make %s: %s", path, strerror(errno));
		return -errno;
	}
	close(fd);
	code = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	r = code == SQLITE_DONE ? 0 : store_errno(db, code);
	if (r < 0)
		*ret_why = strdup(sqlite3_errmsg(db));
	sqlite3_finalize(statement);
	return r;
}

/* A copy that cannot be read is none. */
static int verify(const char *path, char **ret_why)
{
	sqlite3 *db = NULL;
	bool indexes;
	int r = 0;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
		*ret_why = strdup(db ? sqlite3_errmsg(db) : "out of memory");
		r = -EIO;
	} else {
		r = store_integrity(db, &indexes, ret_why);
	}
	sqlite3_close(db);
	if (r == 0) {
		r = sync_file(path);
		if (r < 0)
			*ret_why = strdup(strerror(-r));
	}
	return r;
}

static int publish(const char *state_dir, const char *fresh, const char *path, char **ret_why)
{
	int r = rename(fresh, path) < 0 ? -errno : sync_directory(state_dir);

	if (r < 0)
		*ret_why = strdup(strerror(-r));
	return r;
}

int store_backup_before(sqlite3 *db, const char *state_dir, int version, char **ret_message)
{
	_cleanup_free_ char *path = xasprintf("%s/state.db.schema-%d.bak", state_dir, version);
	_cleanup_free_ char *fresh = path ? xasprintf("%s.new", path) : NULL, *why = NULL;
	int r;

	if (!fresh)
		return -ENOMEM;
	store_step("backup-begun");
	r = vacuum_into(db, fresh, &why);
	store_step("backup-written");
	if (r == 0)
		r = verify(fresh, &why);
	if (r == 0)
		r = publish(state_dir, fresh, path, &why);
	if (r < 0) {
		(void)unlink(fresh);
		return store_refuse(ret_message, r,
				    "%s/state.db has the older schema %d, and no copy of it could be made before "
				    "the upgrade: %s; nothing was changed.  Make room for %s and start again",
				    state_dir, version, strempty(why), path);
	}
	store_step("backup-kept");
	return 0;
}

/* ---- a copy of what is damaged ---- */

static int copy_bytes(int from, int to)
{
	char buf[65536];
	ssize_t n, written, done;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		for (done = 0; done < n; done += written) {
			written = write(to, buf + done, (size_t)(n - done));
			if (written < 0)
				return -errno;
		}
	return n < 0 ? -errno : fsync(to) < 0 ? -errno : 0;
}

static int copy_file(const char *state_dir, const char *from, const char *to)
{
	_cleanup_free_ char *fresh = xasprintf("%s.new", to);
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), out = -1;
	int r;

	if (!fresh)
		return -ENOMEM;
	if (in < 0)
		return -errno;
	(void)unlink(fresh);
	out = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = out < 0 ? -errno : copy_bytes(in, out);
	if (r == 0)
		r = rename(fresh, to) < 0 ? -errno : sync_directory(state_dir);
	if (r < 0)
		(void)unlink(fresh);
	return r;
}

static size_t count_damaged(const char *state_dir)
{
	DIR *dir = opendir(state_dir);
	struct dirent *entry;
	size_t n = 0;

	while (dir && (entry = readdir(dir)))
		n += has_prefix(entry->d_name, "state.db.damaged-") && !strstr(entry->d_name, "-wal");
	if (dir)
		closedir(dir);
	return n;
}

/* "state.db.WORD-20261123T010203Z": when it was changed last, so that the same file has the same name. */
static char *dated_name(const char *state_dir, const char *word)
{
	_cleanup_free_ char *path = xasprintf("%s/state.db", state_dir);
	char when[32];
	struct stat st;
	struct tm tm;

	if (!path || lstat(path, &st) < 0 || !gmtime_r(&st.st_mtime, &tm) ||
	    strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm) == 0)
		return NULL;
	return xasprintf("%s.%s-%s", path, word, when);
}

char *store_keep_damaged(const char *state_dir)
{
	_cleanup_free_ char *path = xasprintf("%s/state.db", state_dir), *wal = xasprintf("%s/state.db-wal", state_dir);
	_cleanup_free_ char *copy = dated_name(state_dir, "damaged"), *wal_copy = copy ? xasprintf("%s-wal", copy) : NULL;
	struct stat st;
	int r;

	if (!path || !wal || !wal_copy)
		return NULL;
	if (access(copy, F_OK) == 0)
		return TAKE_PTR(copy);
	if (count_damaged(state_dir) >= DAMAGED_KEPT) {
		log_warning(0, "%s holds %d copies of damaged files already: no further one is made", state_dir,
			    DAMAGED_KEPT);
		return NULL;
	}
	/* The -wal first: a copy without it would be another file. */
	r = lstat(wal, &st) == 0 && st.st_size > 0 ? copy_file(state_dir, wal, wal_copy) : 0;
	if (r == 0)
		r = copy_file(state_dir, path, copy);
	if (r < 0) {
		log_error(r, "%s cannot be copied to %s", path, copy);
		return NULL;
	}
	return TAKE_PTR(copy);
}

/* ---- the way back ---- */

/* Says in the copy that it is one: whoever loads it must not do again what was done since. */
static int note_restored(const char *path, const char *from, char **ret_why)
{
	_cleanup_free_ char *doc = xasprintf("{\"at\":%llu}", (unsigned long long)now_realtime());
	sqlite3 *db = NULL;
	char *sql;
	int code;

	code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
	sql = sqlite3_mprintf("INSERT OR REPLACE INTO meta (id, doc) VALUES ('restored', %Q)", strempty(doc));
	if (code == SQLITE_OK)
		code = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
	if (code != SQLITE_OK)
		*ret_why = xasprintf("%s: %s", from, db ? sqlite3_errmsg(db) : "out of memory");
	sqlite3_free(sql);
	code = code == SQLITE_OK ? 0 : store_errno(db, code);
	sqlite3_close(db);
	return code;
}

static int check_copy(sqlite3 *db, const char *file, char **ret_message)
{
	_cleanup_free_ char *why = NULL;
	bool indexes;
	int version = 0, r = store_integrity(db, &indexes, &why);

	if (r < 0)
		return store_refuse(ret_message, r, "%s cannot be read: %s; name another copy", file, strempty(why));
	r = store_schema_of(db, file, &version, ret_message);
	if (r < 0)
		return r;
	if (version == 0)
		return store_refuse(ret_message, -ENODATA, "%s holds no state; name another copy", file);
	if (version > store_schema_version())
		return store_refuse(ret_message, -EPROTONOSUPPORT,
				    "%s was written by a newer gpuvfd (schema %d, this one knows %d): name an older "
				    "copy, or use the newer gpuvfd",
				    file, version, store_schema_version());
	return 0;
}

/* A name that nothing has yet.  Returns new. */
static char *unused_name(const char *state_dir)
{
	_cleanup_free_ char *base = dated_name(state_dir, "replaced");
	unsigned i;

	for (i = 0; i < 1000; i++) {
		_cleanup_free_ char *name = i == 0 ? strdup(base ? base : "") : xasprintf("%s/state.db.replaced-%u", state_dir, i);

		if (name && *name && access(name, F_OK) < 0)
			return TAKE_PTR(name);
	}
	return NULL;
}

/* Out of the way, never away.  The -wal goes before another state.db comes: it would be read into that. */
static int move_aside(const char *state_dir, char **ret_kept, char **ret_why)
{
	static const char *const endings[] = { "", "-wal" };
	_cleanup_free_ char *kept = unused_name(state_dir), *shm = xasprintf("%s/state.db-shm", state_dir);
	size_t i;

	if (!kept)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(endings); i++) {
		_cleanup_free_ char *from = xasprintf("%s/state.db%s", state_dir, endings[i]);
		_cleanup_free_ char *to = xasprintf("%s%s", kept, endings[i]);

		if (from && to && rename(from, to) < 0 && errno != ENOENT) {
			*ret_why = xasprintf("cannot move %s away: %s", from, strerror(errno));
			return -errno;
		}
		store_step("restore-moved");
	}
	if (shm)
		(void)unlink(shm); /* an index of the -wal, made again */
	if (access(kept, F_OK) == 0)
		*ret_kept = TAKE_PTR(kept);
	return sync_directory(state_dir);
}

static int replace(const char *state_dir, const char *fresh, char **ret_kept, char **ret_why)
{
	_cleanup_free_ char *path = xasprintf("%s/state.db", state_dir);
	_cleanup_close_ int dirfd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dirfd < 0 ? -errno : 0;

	/* The copy has fewer transactions than there were: that is meant. */
	if (r == 0)
		r = store_mark_make(dirfd, 0);
	store_step("restore-marked");
	if (r == 0)
		r = move_aside(state_dir, ret_kept, ret_why);
	if (r == 0)
		r = path ? publish(state_dir, fresh, path, ret_why) : -ENOMEM;
	return r;
}

int store_restore(const char *state_dir, const char *file, char **ret_kept, char **ret_message)
{
	_cleanup_free_ char *fresh = xasprintf("%s/state.db.restored.new", state_dir), *why = NULL;
	_cleanup_close_ int lock = -1;
	sqlite3 *db = NULL;
	int r;

	*ret_kept = *ret_message = NULL;
	r = store_lock(state_dir, &lock, ret_message);
	if (r < 0)
		return r;
	if (access(file, R_OK) < 0)
		return store_refuse(ret_message, -errno, "cannot read %s: %m", file);
	r = fresh ? 0 : -ENOMEM;
	if (r == 0 && sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		r = store_refuse(ret_message, -EIO, "cannot open %s: %s", file,
				 db ? sqlite3_errmsg(db) : "out of memory");
	if (r == 0) {
		(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		r = check_copy(db, file, ret_message);
	}
	if (r == 0) {
		r = vacuum_into(db, fresh, &why);
		if (r == 0)
			r = note_restored(fresh, file, &why);
		if (r == 0)
			r = verify(fresh, &why);
	}
	sqlite3_close(db);
	store_step("restore-written");
	if (r == 0)
		r = replace(state_dir, fresh, ret_kept, &why);
	if (r < 0 && !*ret_message)
		return store_refuse(ret_message, r, "%s was not put in place: %s", file,
				    why ? why : strerror(-r));
	return r;
}
