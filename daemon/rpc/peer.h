/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is at the other end of a Unix socket: as the kernel noted it when the client connected. */
#pragma once

#include "policy/policy.h"

/* uid and groups, the primary one with them; role none, no name.  Returns 0 or a negative errno. */
int peer_read(int fd, struct caller *ret);
void caller_done(struct caller *caller);
