/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of the API as people read them: sizes, times, names of users.  Unknown is "-".  Nothing
 * here is escaped: tables and lines do that. */
#pragma once

#include "cli/cli.h"

/* The value of a member; its unit comes from the member's name (_bytes, _ms, _us, _at).  Returns
 * new. */
char *text_of(struct cli *cli, const char *name, const json_t *value);
/* The member of an object; "-" when it is missing.  Returns new. */
char *text_member(struct cli *cli, const json_t *object, const char *name);
/* "name=value name=value" of all members that are known.  Returns new. */
char *text_of_object(struct cli *cli, const json_t *object);
/* "2026-11-23 04:05:06", local or UTC; "-" for NULL.  Returns new. */
char *text_time(struct cli *cli, const char *rfc3339);
/* The name of a user whom the API gives by number.  Returns new. */
char *text_user(const char *user);
/* How long from the first time to the second (NULL = now); "-" when it has not begun.  Returns new.
 */
char *text_span(const char *from, const char *to);
/* "state free -> leased, vm trainer-1": what is different after a change; either may be NULL.  Returns new. */
char *text_of_change(struct cli *cli, const json_t *before, const json_t *after);
/* "step 12/40, loss 1.234" or "-".  Returns new. */
char *text_progress(const json_t *progress);
/* µs since 1970 of "2h" (ago), "20:00" (the last one) or RFC 3339.  Returns 0 or -EINVAL. */
int time_argument(const char *text, uint64_t *ret_usec);
