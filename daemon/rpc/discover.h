/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rpc.discover: the method table as an OpenRPC document: what is announced is what is decoded. */
#pragma once

#include "rpc/dispatch.h"

void rpc_discover(struct rpc_session *session, const void *params, struct reply *reply);

/* The document itself.  Returns new, NULL = no memory. */
json_t *discover_document(const struct dispatch *d);
