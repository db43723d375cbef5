/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Progress as JSON lines: on stdout and, where GPUVF_PROGRESS_FILE names one,
 * in that file too. */
#pragma once

#include <stdio.h>

struct report {
	FILE *file;	/* NULL without GPUVF_PROGRESS_FILE */
};

int report_open(struct report *ret_report);
int report_line(struct report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void report_close(struct report *report);
