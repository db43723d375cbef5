/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one caller, and all of them, may make the daemon hold.  Counted before a message is parsed;
 * the configuration's "limits" overrides the defaults. */
#pragma once

#include "lib/jsonrpc.h"
#include "lib/units.h"

/* A client is one connection; scripts run some dozens at a time. */
#define RPC_CONNECTIONS_MAX 1024
#define RPC_CONNECTIONS_PER_UID_MAX 256

/* Bytes that were received and not answered, and answers that were not fetched. */
#define RPC_BYTES_MAX (128 * MIB)
#define RPC_BYTES_PER_UID_MAX (32 * MIB)

/* Beyond this the connection is not read until some are answered. */
#define RPC_REQUESTS_PER_CONNECTION_MAX 64

/* What a call costs besides its text: id, parameters, bookkeeping. */
#define RPC_CALL_BYTES 1024

/* Above the first mark a connection is not read and gets no events; a reader that lets answers pile
 * up to the second one is cut off. */
#define RPC_OUTPUT_PAUSE (256 * KIB)
#define RPC_OUTPUT_MAX (16 * MIB)

/* How long a refused client may take to stop sending before it is cut off. */
#define RPC_REFUSED_USEC (5 * USEC_PER_SEC)

struct rpc_limits {
	size_t connections;
	size_t connections_per_uid;
	size_t bytes;
	size_t bytes_per_uid;
	size_t requests_per_connection;
	size_t output_pause;
	size_t output_max;
};

#define RPC_LIMITS_DEFAULT                                                                         \
	{                                                                                          \
		.connections = RPC_CONNECTIONS_MAX,                                                \
		.connections_per_uid = RPC_CONNECTIONS_PER_UID_MAX, .bytes = RPC_BYTES_MAX,        \
		.bytes_per_uid = RPC_BYTES_PER_UID_MAX,                                            \
		.requests_per_connection = RPC_REQUESTS_PER_CONNECTION_MAX,                        \
		.output_pause = RPC_OUTPUT_PAUSE, .output_max = RPC_OUTPUT_MAX,                    \
	}
