/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state directory and its files: made with tight modes, locked against a second daemon, checked
 * before anything is believed.  Runs once, before the loop; every refusal says the way out. */
#include "store/store-internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "log/log.h"

/* Only a person with an SQLite shell can hold the database longer than a moment. */
#define BUSY_TIMEOUT_MS 5000

int store_refuse(char **ret_message, int r, const char *format, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);

	*ret_message = text;
	return r;
}

int store_errno(sqlite3 *db, int code)
{
	static const struct {
		int code;
		int r;
	} table[] = {
		{ SQLITE_OK, 0 },	       { SQLITE_FULL, -ENOSPC },
		{ SQLITE_NOMEM, -ENOMEM },     { SQLITE_READONLY, -EROFS },
		{ SQLITE_PERM, -EACCES },      { SQLITE_CANTOPEN, -EACCES },
		{ SQLITE_CORRUPT, -EBADMSG },  { SQLITE_NOTADB, -EBADMSG },
		{ SQLITE_BUSY, -EBUSY },       { SQLITE_LOCKED, -EBUSY },
		{ SQLITE_CONSTRAINT, -EINVAL }, { SQLITE_TOOBIG, -EFBIG },
	};
	int primary = code & 0xff;
	size_t i;

	if (primary == SQLITE_IOERR && db) {
		int errnum = sqlite3_system_errno(db);

		return errnum == ENOSPC || errnum == EDQUOT ? -ENOSPC : -EIO;
	}
	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].code == primary)
			return table[i].r;
	return -EIO;
}

static bool directory_is_empty(int fd)
{
	bool empty = true;
	struct dirent *entry;
	DIR *dir;
	int copy;

	copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		safe_close(copy);
		return false;
	}
	while (empty && (entry = readdir(dir)))
		empty = streq(entry->d_name, ".") || streq(entry->d_name, "..");
	closedir(dir);
	return empty;
}

/* Whoever can write to the directory could swap our files.  A fresh one is ours to tighten; one with
 * other things in it is not. */
static int directory_check(int fd, const char *path, char **ret_message)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return store_refuse(ret_message, -errno, "cannot look at the state directory %s: %m",
				    path);
	if (st.st_uid != geteuid())
		return store_refuse(ret_message, -EPERM,
				    "the state directory %s belongs to uid %u, not to us (uid %u): "
				    "give it to us with chown, or choose another with --state-dir",
				    path, st.st_uid, geteuid());
	if ((st.st_mode & 077) && directory_is_empty(fd)) {
		if (fchmod(fd, 0700) < 0)
			return store_refuse(ret_message, -errno, "cannot chmod 0700 %s: %m", path);
		return 0;
	}
	if (st.st_mode & 022)
		return store_refuse(ret_message, -EPERM,
				    "others can write to the state directory %s (mode %04o): "
				    "chmod 0700 it, or choose another with --state-dir",
				    path, st.st_mode & 07777);
	if (st.st_mode & 055)
		log_warning(0, "others can look into the state directory %s (mode %04o): chmod it",
			    path, st.st_mode & 07777);
	return 0;
}

static int directory_open(const char *path, int *ret_fd, char **ret_message)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return store_refuse(ret_message, -errno, "cannot make the state directory %s: %m",
				    path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return store_refuse(ret_message, -errno, "cannot open the state directory %s: %m",
				    path);
	r = directory_check(fd, path, ret_message);
	if (r < 0)
		return r;

	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* The holder leaves its pid in the lock file: for this message only, nobody trusts it. */
static int refuse_second(int fd, const char *path, char **ret_message)
{
	char pid[16] = "";

	if (pread(fd, pid, sizeof(pid) - 1, 0) <= 0)
		pid[0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	return store_refuse(ret_message, -EBUSY,
			    "another gpuvfd%s%s uses the state directory %s: stop it first, or choose "
			    "another directory with --state-dir",
			    *pid ? ", pid " : "", pid, path);
}

int store_lock(const char *state_dir, int *ret_fd, char **ret_message)
{
	_cleanup_close_ int dir = -1, fd = -1;
	int r;

	r = directory_open(state_dir, &dir, ret_message);
	if (r < 0)
		return r;

	fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return store_refuse(ret_message, -errno, "cannot open %s/lock: %m", state_dir);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return refuse_second(fd, state_dir, ret_message);
		return store_refuse(ret_message, -errno, "cannot lock %s/lock: %m", state_dir);
	}
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		log_warning(-errno, "cannot leave our pid in %s/lock", state_dir);

	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int refuse_damaged(const char *path, const char *what, char **ret_message)
{
	return store_refuse(ret_message, -EBADMSG,
			    "%s is damaged (%s): put a backup in its place, or move it away together "
			    "with %s-wal and %s-shm and start again: jobs and leases are then "
			    "forgotten, VFs and VMs stay as they are; \"sqlite3 %s .recover\" may save "
			    "what it holds",
			    path, what, path, path, path);
}

static int refuse_open(sqlite3 *db, const char *path, int code, char **ret_message)
{
	int r = db ? store_errno(db, code) : -ENOMEM;

	if (r == -EBADMSG)
		return refuse_damaged(path, sqlite3_errmsg(db), ret_message);
	return store_refuse(ret_message, r, "cannot open %s: %s", path,
			    db ? sqlite3_errmsg(db) : "out of memory");
}

/* FULL: COMMIT returns when the disk has it.  secure_delete: what a job kept secret does not linger
 * in free pages. */
static int database_settings(sqlite3 *db)
{
	static const char *const settings[] = {
		"PRAGMA journal_mode = WAL",	"PRAGMA synchronous = FULL",
		"PRAGMA secure_delete = ON",	"PRAGMA cell_size_check = ON",
		"PRAGMA journal_size_limit = 16777216",
	};
	int code = SQLITE_OK;
	size_t i;

	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	for (i = 0; i < ARRAY_SIZE(settings) && code == SQLITE_OK; i++)
		code = sqlite3_exec(db, settings[i], NULL, NULL, NULL);
	return code;
}

static int integrity_check(sqlite3 *db, const char *path, char **ret_message)
{
	sqlite3_stmt *statement = NULL;
	int code, r = 0;

	code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		const char *answer = (const char *)sqlite3_column_text(statement, 0);

		if (!streq(strempty(answer), "ok"))
			r = refuse_damaged(path, strempty(answer), ret_message);
	} else {
		r = refuse_open(db, path, code, ret_message);
	}
	sqlite3_finalize(statement);
	return r;
}

/* SQLite gives its -wal and -shm files the mode of the database. */
static int make_private_file(const char *path, char **ret_message)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return store_refuse(ret_message, -errno, "cannot open %s: %m", path);
	if (!S_ISREG(st.st_mode))
		return store_refuse(ret_message, -EINVAL, "%s is not a regular file: move it away",
				    path);
	if ((st.st_mode & 077) && fchmod(fd, 0600) < 0)
		return store_refuse(ret_message, -errno, "cannot chmod 0600 %s: %m", path);
	return 0;
}

int store_database_open(const char *state_dir, sqlite3 **ret, char **ret_message)
{
	_cleanup_free_ char *path = xasprintf("%s/state.db", state_dir);
	sqlite3 *db = NULL;
	int code, r;

	if (!path)
		return -ENOMEM;
	r = make_private_file(path, ret_message);
	if (r < 0)
		return r;

	code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL);
	if (code == SQLITE_OK)
		code = database_settings(db);
	r = code == SQLITE_OK ? 0 : refuse_open(db, path, code, ret_message);
	if (r == 0)
		r = integrity_check(db, path, ret_message);
	if (r == 0)
		r = store_schema_upgrade(db, path, store_migrations, store_n_migrations,
					 ret_message);
	if (r < 0) {
		sqlite3_close(db);
		return r;
	}

	*ret = db;
	return 0;
}
