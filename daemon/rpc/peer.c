/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks the kernel who is at the other end of a socket.  The names of users are not its business. */
#include "rpc/peer.h"

#include <sys/socket.h>

void caller_done(struct caller *caller)
{
	free(caller->gids);
	free(caller->name);
	memset(caller, 0, sizeof(*caller));
}

/* Supplementary groups may lack the primary one, so both are put together. */
static int read_groups(int fd, gid_t primary, struct caller *caller)
{
	gid_t *gids = NULL;
	socklen_t size = 0;
	size_t n, i;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE)
		return -errno;
	gids = malloc(size + sizeof(gid_t));
	if (!gids)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &size) < 0) {
		free(gids);
		return -errno;
	}

	n = size / sizeof(gid_t);
	for (i = 0; i < n && gids[i] != primary; i++)
		;
	if (i == n)
		gids[n++] = primary;
	caller->gids = gids;
	caller->n_gids = n;
	return 0;
}

int peer_read(int fd, struct caller *ret)
{
	struct caller caller = { .role = ROLE_NONE };
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	caller.uid = peer.uid;
	caller.pid = peer.pid;
	r = read_groups(fd, peer.gid, &caller);
	if (r < 0)
		return r;

	*ret = caller;
	return 0;
}
