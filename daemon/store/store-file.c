/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.db: what is found of it, and whether it can be believed.  Runs once, before the loop.  Nothing is begun
 * anew where there was state, nothing that is refused is changed, and every refusal says the way back. */
#include "store/store-internal.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "log/log.h"

/* Only a person with an SQLite shell can hold the database longer than a moment. */
#define BUSY_TIMEOUT_MS 5000

void (*store_step_hook)(const char *name);

void store_step(const char *name)
{
	if (store_step_hook)
		store_step_hook(name);
}

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

/* ---- refusals ---- */

/* What every refusal of a damaged or missing file ends with.  Returns new. */
static char *way_back(const char *state_dir)
{
	_cleanup_free_ char *newest = store_backup_newest(state_dir);

	return xasprintf("To go back to a copy: gpuvfd --state-dir %s --restore-backup FILE%s%s%s.  To begin "
			 "with nothing, move the whole folder away: mv %s %s.old; jobs and leases are then "
			 "forgotten, VFs and VMs stay as they are",
			 state_dir, newest ? " (the newest that was kept is " : "", strempty(newest),
			 newest ? ")" : "", state_dir, state_dir);
}

static int refuse_damaged(const char *state_dir, const char *what, char **ret_message)
{
	_cleanup_free_ char *way = way_back(state_dir), *kept = store_keep_damaged(state_dir);

	return store_refuse(ret_message, -EBADMSG,
			    "%s/state.db is damaged (%s) and was left as it is; %s%s.  %s.  \"sqlite3 "
			    "%s/state.db .recover\" may save what it holds",
			    state_dir, what, kept ? "a copy of it is " : "no copy of it could be made",
			    strempty(kept), strempty(way), state_dir);
}

static int refuse_missing(const char *state_dir, const char *what, const char *evidence, char **ret_message)
{
	_cleanup_free_ char *way = way_back(state_dir);

	return store_refuse(ret_message, -ENODATA,
			    "%s/state.db %s, but there was state here (%s): nothing is begun over it.  %s",
			    state_dir, what, evidence, strempty(way));
}

static int refuse_lost(const char *state_dir, int64_t has, uint64_t had, char **ret_message)
{
	_cleanup_free_ char *way = way_back(state_dir), *kept = store_keep_damaged(state_dir);

	return store_refuse(ret_message, -ESTALE,
			    "%s/state.db has lost its last changes: it ends at transaction %lld, state.mark "
			    "says %llu.  state.db-wal was cut or taken away, or an older copy was put in its "
			    "place.  It was left as it is; %s%s.  Put the newest files back together; or take "
			    "it as it is: gpuvfd --state-dir %s --restore-backup %s/state.db.  %s",
			    state_dir, (long long)has, (unsigned long long)had,
			    kept ? "a copy of it is " : "no copy of it could be made", strempty(kept),
			    state_dir, state_dir, strempty(way));
}

static int refuse_open(sqlite3 *db, const char *state_dir, int code, char **ret_message)
{
	int r = db ? store_errno(db, code) : -ENOMEM;

	if (r == -EBADMSG) {
		_cleanup_free_ char *what = strdup(sqlite3_errmsg(db));

		return refuse_damaged(state_dir, strempty(what), ret_message);
	}
	return store_refuse(ret_message, r, "cannot open %s/state.db: %s", state_dir,
			    db ? sqlite3_errmsg(db) : "out of memory");
}

/* ---- what lies there ---- */

struct found {
	off_t size;     /* of state.db; -1: there is none */
	off_t wal_size; /* of state.db-wal */
	off_t journal_size; /* of state.db-journal: who made the file died before it was whole */
	bool mark;
	uint64_t mark_n;
	const char *evidence; /* that there was state; NULL = none */
};

static int check_owner_and_mode(int dirfd, const char *dir, const char *name, const struct stat *st,
				char **ret_message)
{
	if (S_ISLNK(st->st_mode))
		return store_refuse(ret_message, -ELOOP, "%s/%s is a link: put the file itself there", dir, name);
	if (!S_ISREG(st->st_mode))
		return store_refuse(ret_message, -EINVAL, "%s/%s is not a regular file: move it away", dir, name);
	if (st->st_uid != geteuid())
		return store_refuse(ret_message, -EPERM,
				    "%s/%s belongs to uid %u, not to us: chown %u %s/%s, if it is ours", dir, name,
				    st->st_uid, geteuid(), dir, name);
	if (st->st_mode & 022)
		return store_refuse(ret_message, -EPERM,
				    "others can write to %s/%s (mode %04o): see whether it is as it should be, "
				    "then chmod 0600 it",
				    dir, name, st->st_mode & 07777);
	if ((st->st_mode & 055) && fchmodat(dirfd, name, 0600, 0) < 0)
		return store_refuse(ret_message, -errno, "cannot chmod 0600 %s/%s: %m", dir, name);
	return 0;
}

/* Its size, or -1 when there is none. */
static int look_at(int dirfd, const char *dir, const char *name, off_t *ret_size, char **ret_message)
{
	struct stat st;
	int r;

	*ret_size = -1;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : store_refuse(ret_message, -errno, "cannot look at %s/%s: %m", dir, name);
	r = check_owner_and_mode(dirfd, dir, name, &st, ret_message);
	if (r == 0)
		*ret_size = st.st_size;
	return r;
}

static int look(int dirfd, const char *dir, struct found *f, char **ret_message)
{
	off_t shm;
	int r;

	r = look_at(dirfd, dir, "state.db", &f->size, ret_message);
	if (r == 0)
		r = look_at(dirfd, dir, "state.db-wal", &f->wal_size, ret_message);
	if (r == 0)
		r = look_at(dirfd, dir, "state.db-journal", &f->journal_size, ret_message);
	if (r == 0)
		r = look_at(dirfd, dir, "state.db-shm", &shm, ret_message);
	if (r < 0)
		return r;
	r = store_mark_read(dirfd, &f->mark_n);
	if (r < 0 && r != -ENOENT)
		return store_refuse(ret_message, r, "cannot read %s/state.mark: %s", dir, strerror(-r));
	f->mark = r == 0;
	if (f->mark)
		f->evidence = "state.mark";
	else if (f->wal_size > 0 && f->size <= 0)
		f->evidence = "state.db-wal";
	else if (faccessat(dirfd, "jobs", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		f->evidence = "jobs/";
	return 0;
}

/* SQLite reads a last page that is not whole as if its end were zeros.  Pages that are in the -wal may be
 * half-written here, and a -journal takes back what was. */
static bool is_cut_within_page(int dirfd, const struct found *f)
{
	_cleanup_close_ int fd = openat(dirfd, "state.db", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint8_t size[2];
	unsigned page;

	if (fd < 0 || f->wal_size > 0 || f->journal_size > 0 || pread(fd, size, 2, 16) != 2)
		return false;
	page = (unsigned)size[0] << 8 | size[1];
	if (page == 1)
		page = 65536;
	return page >= 512 && f->size % page != 0;
}

/* Made by us, so that SQLite gives its other files the same mode. */
static int make_empty(int dirfd, const char *dir, char **ret_message)
{
	_cleanup_close_ int fd = openat(dirfd, "state.db", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return store_refuse(ret_message, -errno, "cannot make %s/state.db: %m", dir);
	return 0;
}

/* ---- opening ---- */

/* FULL: COMMIT returns when the disk has it.  secure_delete: what a job kept secret does not linger
 * in free pages. */
static int database_settings(sqlite3 *db)
{
	static const char *const settings[] = {
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA secure_delete = ON",
		"PRAGMA journal_size_limit = 16777216",
	};
	int code = SQLITE_OK;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings) && code == SQLITE_OK; i++)
		code = sqlite3_exec(db, settings[i], NULL, NULL, NULL);
	return code;
}

/* A check takes about 3.5 µs a row.  Every table but the audit trail is bounded; that one is left out when the
 * file is so large that the check would keep VMs waiting at boot. */
off_t store_check_whole_max = 256 * 1024 * 1024;

/* check: integrity_check or quick_check.  -EBADMSG and why (new) when it is damaged.  table: NULL = the whole
 * file. */
static int run_check(sqlite3 *db, const char *check, const char *table, char **ret_why)
{
	sqlite3_stmt *statement = NULL;
	char *sql = table ? sqlite3_mprintf("PRAGMA %s(%Q)", check, table) : sqlite3_mprintf("PRAGMA %s(1)", check);
	int code, r = 0;

	code = sql ? sqlite3_prepare_v2(db, sql, -1, &statement, NULL) : SQLITE_NOMEM;
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		const char *answer = (const char *)sqlite3_column_text(statement, 0);

		if (!streq(strempty(answer), "ok")) {
			*ret_why = strdup(strempty(answer));
			r = -EBADMSG;
		}
	} else {
		*ret_why = strdup(sqlite3_errmsg(db));
		r = store_errno(db, code);
	}
	sqlite3_finalize(statement);
	sqlite3_free(sql);
	return r;
}

static int check_all(sqlite3 *db, const char *check, char **ret_why)
{
	static const char sizes[] = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
	int64_t size = 0;
	size_t kind;
	int r;

	(void)sqlite3_exec(db, "PRAGMA cell_size_check = ON", NULL, NULL, NULL);
	r = store_read_number(db, sizes, &size);
	if (r < 0) {
		*ret_why = strdup(sqlite3_errmsg(db));
		return r;
	}
	if (size <= store_check_whole_max)
		return run_check(db, check, NULL, ret_why);
	for (kind = 0; kind < STORE_KIND_MAX && r == 0; kind++)
		if (kind != STORE_AUDIT)
			r = run_check(db, check, store_kind_table((enum store_kind)kind), ret_why);
	return r;
}

int store_integrity(sqlite3 *db, bool *ret_indexes, char **ret_why)
{
	_cleanup_free_ char *other = NULL;
	int r = check_all(db, "integrity_check", ret_why);

	*ret_indexes = r == -EBADMSG && check_all(db, "quick_check", &other) == 0;
	return r;
}

/* Tables are sound, indexes do not agree with them: those are made of the tables. */
static int repair_indexes(sqlite3 *db, const char *state_dir, const char *found, char **ret_message)
{
	_cleanup_free_ char *kept = store_keep_damaged(state_dir), *why = NULL;
	bool indexes;

	if (sqlite3_exec(db, "REINDEX", NULL, NULL, NULL) != SQLITE_OK || store_integrity(db, &indexes, &why) < 0)
		return refuse_damaged(state_dir, found, ret_message);
	log_error(0, "%s/state.db was damaged (%s): its indexes were made again, rows that cannot be read are put "
		     "aside; what was found is kept as %s.  See whether the disk is sound",
		  state_dir, found, kept ? kept : "nothing: no copy could be made");
	return 0;
}

/* Nothing of this writes.  ret_indexes (new): how the indexes are damaged, and nothing else is. */
static int believe(sqlite3 *db, const char *state_dir, const struct found *f, char **ret_indexes,
		   char **ret_message)
{
	_cleanup_free_ char *why = NULL, *path = xasprintf("%s/state.db", state_dir);
	bool indexes = false;
	int64_t commits = 0;
	int version = 0, r;

	r = store_integrity(db, &indexes, &why);
	if (r == -EBADMSG && !indexes)
		return refuse_damaged(state_dir, strempty(why), ret_message);
	if (r == -EBADMSG) {
		*ret_indexes = TAKE_PTR(why);
		r = 0;
	}
	if (r < 0)
		return store_refuse(ret_message, r, "cannot read %s: %s", path, strempty(why));
	if (sqlite3_db_readonly(db, "main") == 1)
		return store_refuse(ret_message, -EACCES,
				    "%s cannot be written: chmod 0600 it, and see that its disk is not read-only",
				    path);
	r = store_schema_of(db, path, &version, ret_message);
	if (r < 0)
		return r;
	if (version == 0 && f->evidence)
		return refuse_missing(state_dir, "is an empty database", f->evidence, ret_message);
	if (version <= store_schema_version()) {
		_cleanup_free_ char *differs = NULL;

		r = store_schema_check(db, version, &differs);
		if (r == -EBADMSG)
			return refuse_damaged(state_dir, strempty(differs), ret_message);
		if (r < 0)
			return store_refuse(ret_message, r, "cannot read the schema of %s: %s", path, strempty(differs));
	}
	if (version >= STORE_SCHEMA_COMMITS && version <= store_schema_version() &&
	    store_read_number(db, "SELECT n FROM commits", &commits) < 0)
		return refuse_damaged(state_dir, sqlite3_errmsg(db), ret_message);
	if (f->mark && version <= store_schema_version() && (uint64_t)commits < f->mark_n)
		return refuse_lost(state_dir, commits, f->mark_n, ret_message);
	return 0;
}

static int prepare(sqlite3 *db, const char *state_dir, const struct found *f, char **ret_message)
{
	_cleanup_free_ char *indexes = NULL;
	int code, r;

	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	/* A file that is refused stays as it is: closing would move the -wal into it. */
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	r = believe(db, state_dir, f, &indexes, ret_message);
	if (r == 0 && indexes)
		r = repair_indexes(db, state_dir, indexes, ret_message);
	if (r < 0)
		return r;
	r = store_schema_upgrade(db, state_dir, store_migrations, store_n_migrations, ret_message);
	if (r < 0)
		return r;
	code = database_settings(db);
	if (code != SQLITE_OK)
		return refuse_open(db, state_dir, code, ret_message);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	return 0;
}

static int open_mark(int dirfd, const char *state_dir, struct store_file *file, char **ret_message)
{
	int64_t n = 0;
	int r;

	r = store_read_number(file->db, "SELECT n FROM commits", &n);
	if (r == 0)
		r = store_mark_make(dirfd, (uint64_t)n);
	if (r == 0)
		r = store_mark_open(dirfd);
	if (r < 0)
		return store_refuse(ret_message, r, "cannot write %s/state.mark: %s", state_dir, strerror(-r));
	file->commits = (uint64_t)n;
	file->mark_fd = r;
	return 0;
}

int store_file_open(const char *state_dir, struct store_file *ret, char **ret_message)
{
	_cleanup_close_ int dirfd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *path = xasprintf("%s/state.db", state_dir);
	struct store_file file = { .mark_fd = -1 };
	struct found f = { 0 };
	int code, r;

	if (!path)
		return -ENOMEM;
	if (dirfd < 0)
		return store_refuse(ret_message, -errno, "cannot open the state directory %s: %m", state_dir);
	r = look(dirfd, state_dir, &f, ret_message);
	if (r < 0)
		return r;
	if (f.size <= 0) {
		if (f.evidence)
			return refuse_missing(state_dir, f.size < 0 ? "is missing" : "is empty", f.evidence,
					      ret_message);
		r = make_empty(dirfd, state_dir, ret_message);
		if (r < 0)
			return r;
	}
	if (is_cut_within_page(dirfd, &f))
		return refuse_damaged(state_dir, "its end is missing", ret_message);
	code = sqlite3_open_v2(path, &file.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL);
	r = code == SQLITE_OK ? prepare(file.db, state_dir, &f, ret_message)
			      : refuse_open(file.db, state_dir, code, ret_message);
	if (r == 0)
		r = open_mark(dirfd, state_dir, &file, ret_message);
	if (r < 0) {
		sqlite3_close(file.db);
		return r;
	}
	*ret = file;
	return 0;
}
