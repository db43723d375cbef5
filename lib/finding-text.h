/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doctor's findings as people read them: the worst first, evidence and cure below each.  Used
 * by gpuvf doctor, gpuvfd --doctor and bundles alike. */
#pragma once

#include "lib/json.h"

struct finding_text_options {
	bool all;   /* also what is fine */
	bool color; /* for a terminal */
};

/* result: what daemon.doctor answers.  Foreign text is escaped.  Returns new, NULL = no memory. */
char *finding_text(const json_t *result, const struct finding_text_options *options);

/* "a\nb\n": the ids of what is not fine, each once.  Returns new. */
char *finding_ids(const json_t *result);

/* How many there are of this severity. */
uint64_t finding_count(const json_t *result, const char *severity);
