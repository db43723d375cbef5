/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A store in a temporary folder, for the tests of the store. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "store/store-internal.h"

extern char directory[64];

int make_directory(void **state);
int remove_directory(void **state);
void clear_directory(void);
const char *path_of(const char *name); /* until the next call but three */

struct store *open_store(void);
void refuse_store(int r, const char *word); /* with this word in the message */
struct store_batch *batch_put(enum store_kind kind, const char *id, json_t *doc);
/* All rows of a kind as an object, in the order in which they came.  Returns new. */
json_t *load(struct store *s, enum store_kind kind);
/* How many files of the folder begin so. */
unsigned count_files(const char *prefix);
void run_sql(const char *name, const char *sql);
int64_t ask_sql(const char *name, const char *sql);

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)
