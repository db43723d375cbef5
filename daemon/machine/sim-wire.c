/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Outgoing buffer and socket address of the machine protocol. */
#include "machine/sim-wire.h"

#include <sys/socket.h>
#include <sys/un.h>

#define OUT_MAX ((size_t)64 << 20)

int sim_out_message(struct sim_out *out, const json_t *message)
{
	_cleanup_free_ char *text = json_text(message);
	size_t length, waiting = out->size - out->sent;
	char *data;

	if (!text)
		return -ENOMEM;
	length = strlen(text);
	if (waiting + length + 1 > OUT_MAX)
		return -ENOBUFS;
	if (out->sent > 0) {
		memmove(out->data, out->data + out->sent, waiting);
		out->size = waiting;
		out->sent = 0;
	}
	data = realloc(out->data, out->size + length + 1);
	if (!data)
		return -ENOMEM;
	out->data = data;
	memcpy(out->data + out->size, text, length);
	out->data[out->size + length] = '\n';
	out->size += length + 1;
	return 0;
}

int sim_out_flush(struct sim_out *out, int fd)
{
	while (!sim_out_empty(out)) {
		ssize_t n = send(fd, out->data + out->sent, out->size - out->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		out->sent += (size_t)n;
	}
	sim_out_done(out);
	return 0;
}

void sim_out_done(struct sim_out *out)
{
	free(out->data);
	*out = (struct sim_out){0};
}

int sim_socket_address(const char *path, struct sockaddr_un *ret)
{
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(ret->sun_path, path);
	return 0;
}
