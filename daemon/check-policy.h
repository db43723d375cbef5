/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Checks the files as one set, says on stderr what is wrong and on stdout when all is well.  Returns the exit
 * code of interface §2: 0, 5 (a file is missing), 8 (refused), 1. */
int policy_check_files(char **files, int n);
