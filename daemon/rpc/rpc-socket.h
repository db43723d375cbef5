/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's own listening socket, when systemd did not pass one. */
#pragma once

#include <sys/types.h>
#include "lib/macros.h"

/* Makes the socket at path, mode 0660 from its first moment, group gid ((gid_t)-1 = as it comes).
 * One that a dead daemon left is replaced; a live one is -EADDRINUSE, another file -EEXIST.
 * ret_message (new, on failure) says what and the way out. */
int rpc_socket_open(const char *path, gid_t gid, int *ret_fd, char **ret_message);

/* Removes the path if it is still a socket of ours (nobody listens on it any more). */
void rpc_socket_remove(const char *path);
