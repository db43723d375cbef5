/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of migrations that a later gpuvfd might have: linked before libstore.a it takes the place of ours, and
 * makes gpuvfd-next, the daemon that the tests upgrade to. */
#define STORE_MIGRATION_NEXT                                                                       \
	{ 5, "CREATE TABLE next (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL);"                \
	     "ALTER TABLE job ADD COLUMN next INTEGER NOT NULL DEFAULT 7;"                         \
	     "UPDATE job SET doc = json_set(doc, '$.next', 7)" },

#include "store/store-migrations.c"
