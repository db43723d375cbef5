/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `gpuvfd --doctor`: from the command line and the configuration to the doctor. */
#pragma once

#include "options.h"

/* Returns the exit status. */
int run_doctor(const struct daemon_options *options, const char *default_socket);
