/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks at one file and notes what is there, or why it could not be seen.  Paths are written as on
 * a real host and lie below an injected root: /sys/x at ROOT/x, all others, such as /proc/cmdline,
 * at ROOT/proc/cmdline.  Any look may sleep in the kernel: only the doctor's workers do it; the
 * name of what is looked at is the process's comm meanwhile. */
#pragma once

#include "doctor/note.h"
#include "host/sysfs.h"

struct looker {
	struct sysfs *sysfs;
	struct notebook *book;
};

/* The file's text without white space at its end. */
void look_file(struct looker *l, const char *key, const char *format, ...) _printf_(3, 4);
/* The last part of a symbolic link's target. */
void look_link(struct looker *l, const char *key, const char *format, ...) _printf_(3, 4);
/* The names in a folder, sorted, parted by blanks; "" for an empty one. */
void look_names(struct looker *l, const char *key, const char *format, ...) _printf_(3, 4);
/* How many names there are. */
void look_count(struct looker *l, const char *key, const char *format, ...) _printf_(3, 4);
/* "0660 0 123": mode bits, owner and group. */
void look_mode(struct looker *l, const char *key, const char *format, ...) _printf_(3, 4);

/* The text of a path, noting nothing.  Returns 0 with new *ret or a negative errno. */
int look_read(struct looker *l, const char *path, size_t max, char **ret);
/* Names as above.  Returns 0 with new *ret or a negative errno. */
int look_list(struct looker *l, const char *path, char **ret);
/* For what comes with an errno. */
void look_failed(struct looker *l, const char *key, const char *source, int r);

/* An open descriptor of path's folder and the name below it: for what needs open() itself. */
int look_at(struct looker *l, const char *path, const char **ret_name);
