/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What everybody on the machine's sockets needs: the limit of a line, and an outgoing buffer that never blocks.
 * Used by gpuvf-machine and by the daemon's client to it. */
#pragma once

#include "lib/json.h"

/* One message.  The agent's largest answer is 48 MiB in base64, which libvirt itself never passes on (4 MiB). */
#define SIM_LINE_MAX ((size_t)24 << 20)

/* Bytes that wait for a slow reader. */
struct sim_out {
	char *data;
	size_t size;
	size_t sent;
};

/* Adds one message and its newline.  Returns 0, -ENOMEM, or -ENOBUFS when more than 64 MiB wait. */
int sim_out_message(struct sim_out *out, const json_t *message);
/* Sends what the socket takes now.  Returns 0 or a negative errno (the connection is broken). */
int sim_out_flush(struct sim_out *out, int fd);
static inline bool sim_out_empty(const struct sim_out *out)
{
	return out->sent == out->size;
}
void sim_out_done(struct sim_out *out);

/* Address of a Unix socket; -ENAMETOOLONG when the path does not fit. */
struct sockaddr_un;
int sim_socket_address(const char *path, struct sockaddr_un *ret);
