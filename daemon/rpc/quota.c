/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bookkeeping behind the limits of the socket. */
#include "rpc/quota.h"

#include <uthash.h>

struct rpc_user {
	uid_t uid; /* key */
	unsigned ref;
	struct rpc_quota *quota; /* a reference */
	size_t connections;
	size_t bytes;
	UT_hash_handle hh;
};

struct rpc_quota {
	unsigned ref;
	struct rpc_limits limits;
	size_t connections;
	size_t bytes;
	struct rpc_user *users; /* uid → user, as long as anybody refers to it */
};

struct rpc_quota *rpc_quota_new(const struct rpc_limits *limits)
{
	struct rpc_quota *q = calloc(1, sizeof(*q));

	if (q) {
		q->ref = 1;
		q->limits = *limits;
	}
	return q;
}

struct rpc_quota *rpc_quota_unref(struct rpc_quota *q)
{
	if (q && --q->ref == 0)
		free(q);
	return NULL;
}

const struct rpc_limits *rpc_quota_limits(const struct rpc_quota *q)
{
	return &q->limits;
}

static struct rpc_user *user_get(struct rpc_quota *q, uid_t uid)
{
	struct rpc_user *u;

	HASH_FIND(hh, q->users, &uid, sizeof(uid), u);
	if (u) {
		u->ref++;
		return u;
	}

	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->ref = 1;
	u->uid = uid;
	u->quota = q;
	q->ref++;
	HASH_ADD(hh, q->users, uid, sizeof(u->uid), u);
	return u;
}

struct rpc_user *rpc_user_unref(struct rpc_user *u)
{
	if (!u || --u->ref > 0)
		return NULL;

	HASH_DEL(u->quota->users, u);
	rpc_quota_unref(u->quota);
	free(u);
	return NULL;
}

static int refuse(struct rpc_error *error, const char *hint, const char *what, size_t limit)
{
	(void)rpc_error_set(error, RPC_LIMIT, "%s (limit %zu)", what, limit);
	return rpc_error_detail(error, NULL, NULL, hint);
}

struct rpc_user *rpc_quota_connect(struct rpc_quota *q, uid_t uid, struct rpc_error *ret_error)
{
	_cleanup_(rpc_user_unrefp) struct rpc_user *u = NULL;

	if (q->connections >= q->limits.connections) {
		(void)refuse(ret_error, "try again later", "too many connections to the daemon",
			     q->limits.connections);
		return NULL;
	}
	u = user_get(q, uid);
	if (!u) {
		(void)rpc_error_set(ret_error, RPC_INTERNAL_ERROR, "out of memory");
		return NULL;
	}
	if (u->connections >= q->limits.connections_per_uid) {
		(void)refuse(ret_error, "close some of your connections first",
			     "you have too many connections", q->limits.connections_per_uid);
		return NULL;
	}
	u->connections++;
	q->connections++;
	return TAKE_PTR(u);
}

void rpc_user_disconnect(struct rpc_user *u)
{
	u->connections--;
	u->quota->connections--;
}

const struct rpc_limits *rpc_user_limits(const struct rpc_user *u)
{
	return &u->quota->limits;
}

int rpc_user_charge(struct rpc_user *u, size_t bytes, struct rpc_error *ret_error)
{
	const struct rpc_limits *limits = &u->quota->limits;

	if (bytes > limits->bytes_per_uid || u->bytes > limits->bytes_per_uid - bytes)
		return refuse(ret_error, "wait for answers, and read them, before asking for more",
			      "your requests and answers take too many bytes",
			      limits->bytes_per_uid);
	if (bytes > limits->bytes || u->quota->bytes > limits->bytes - bytes)
		return refuse(ret_error, "try again later",
			      "the requests and answers of all clients take too many bytes",
			      limits->bytes);

	u->bytes += bytes;
	u->quota->bytes += bytes;
	return 0;
}

void rpc_user_release(struct rpc_user *u, size_t bytes)
{
	u->bytes -= bytes;
	u->quota->bytes -= bytes;
}
