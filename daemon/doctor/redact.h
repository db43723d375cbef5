/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes secrets out of text that leaves the host: the kernel command line, log lines.  A bundle is
 * made to be sent to strangers. */
#pragma once

#include "lib/json.h"

/* The value behind every word that names a secret (…pass…, …secret…, …token…, …key…, …auth…,
 * …cred…), written name=value, name: value or as a member of JSON, becomes "***"; so does the
 * user's part of an address user:password@host.  Returns new, NULL when memory is out. */
char *redact_text(const char *text);

/* The same for every string of a JSON value, and for whole members whose name is a secret's, or
 * "env", "secret_env" or "content" (of a file).  Returns new. */
json_t *redact_json(const json_t *json);
