/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See report.h. */
#include "report.h"

#include "blob.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int report_open(struct report *ret_report)
{
	const char *path = getenv("GPUVF_PROGRESS_FILE");
	struct report report = { 0 };

	if (path && *path) {
		report.file = fopen(path, "ae");	/* a resumed attempt goes on in it */
		if (!report.file)
			return refuse("GPUVF_PROGRESS_FILE: cannot open %s: %s", path,
				      strerror(errno));
	}
	*ret_report = report;
	return 0;
}

/* A line that cannot be written ends the run: nobody would see how it goes. */
int report_line(struct report *report, const char *format, ...)
{
	FILE *files[] = { stdout, report->file };

	for (int i = 0; i < 2 && files[i]; i++) {
		va_list args;

		va_start(args, format);
		vfprintf(files[i], format, args);
		va_end(args);
		fputc('\n', files[i]);
		if (fflush(files[i]) != 0 || ferror(files[i])) {
			int error = errno;

			fprintf(stderr, "tiny-lora: cannot write progress: %s\n", strerror(error));
			return -EIO;
		}
	}
	return 0;
}

void report_close(struct report *report)
{
	if (report->file)
		fclose(report->file);	/* every line was flushed and checked */
	report->file = NULL;
}
