/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a job leaves as its outputs: the launcher packs them in the guest, this unpacks them below a
 * directory of the host.  Nothing in the pack is believed: names, sizes and counts are checked, no
 * link is followed. */
#pragma once

#include "lib/json.h"

struct outputs;

/* directory is duplicated; files go below its entry "files".  globs: those the job names; a name
 * that matches none is left out.  max: bytes of all files. */
int outputs_new(int directory, const json_t *globs, uint64_t max, struct outputs **ret);
struct outputs *outputs_free(struct outputs *o);
DEFINE_CLEANUP(struct outputs *, outputs_free);

/* The next bytes of the pack.  Returns 0; -EBADMSG when it is no pack, a negative errno when the
 * host cannot store. */
int outputs_feed(struct outputs *o, const void *data, size_t size);

size_t outputs_count(const struct outputs *o);
/* Nothing was left out and the end was seen. */
bool outputs_complete(const struct outputs *o);

/* "**" stands for any folders, '*' and '?' for no '/'. */
bool outputs_glob_match(const char *glob, const char *name);
/* What the launcher matches with, whose '*' does not stop at '/': matches all that glob does.
 * Returns new. */
char *outputs_glob_loosen(const char *glob);
/* Relative, no empty part, no "." or "..", no control bytes, UTF-8, at most 32 folders deep. */
bool outputs_name_is_valid(const char *name);
