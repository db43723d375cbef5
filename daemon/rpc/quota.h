/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts connections and bytes per uid and in all.  Both objects are counted references, because a
 * call may be answered after its connection and even after the server went away. */
#pragma once

#include <sys/types.h>
#include "rpc/rpc-limits.h"

struct rpc_quota;
struct rpc_user;

struct rpc_quota *rpc_quota_new(const struct rpc_limits *limits);
struct rpc_quota *rpc_quota_unref(struct rpc_quota *q);
DEFINE_CLEANUP(struct rpc_quota *, rpc_quota_unref);
const struct rpc_limits *rpc_quota_limits(const struct rpc_quota *q);

/* Counts one more connection of this uid.  Returns a new reference, or NULL with the error set.
 * rpc_user_disconnect() takes the connection off again; the reference stays. */
struct rpc_user *rpc_quota_connect(struct rpc_quota *q, uid_t uid, struct rpc_error *ret_error);
void rpc_user_disconnect(struct rpc_user *u);
struct rpc_user *rpc_user_unref(struct rpc_user *u);
DEFINE_CLEANUP(struct rpc_user *, rpc_user_unref);

const struct rpc_limits *rpc_user_limits(const struct rpc_user *u);

/* Returns 0, or -ECANCELED with the error set, and then nothing was counted. */
int rpc_user_charge(struct rpc_user *u, size_t bytes, struct rpc_error *ret_error);
void rpc_user_release(struct rpc_user *u, size_t bytes);
