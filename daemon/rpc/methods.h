/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The methods of the socket, one table per subject.  A new method is a row here, a parameter struct
 * and a function in manager.h, and nothing else. */
#pragma once

#include "rpc/dispatch.h"

extern const struct rpc_method rpc_methods_daemon[]; /* methods-daemon.c */
extern const struct rpc_method rpc_methods_gpu[];    /* methods-gpu.c */
extern const struct rpc_method rpc_methods_vf[];     /* methods-vf.c */
extern const struct rpc_method rpc_methods_vm[];     /* methods-vm.c */
extern const struct rpc_method rpc_methods_policy[]; /* methods-policy.c */
extern const struct rpc_method rpc_methods_job[];    /* methods-job.c */

/* All of them, ended by NULL: for rpc_server_new(). */
extern const struct rpc_method *const rpc_methods[];

/* handle_NAME(), which gives a row's parameters to manager_NAME(). */
#define METHOD_HANDLER(name)                                                                       \
	static void handle_##name(struct manager *m, const struct caller *caller,                  \
				  const void *params, struct reply *reply)                         \
	{                                                                                          \
		manager_##name(m, caller, params, reply);                                          \
	}                                                                                          \
	struct method_swallow_semicolon

/* For a row's waits: needs libvirt, whatever it is asked. */
bool rpc_waits_for_hypervisor(struct manager *m, const void *params);

/* A method without parameters. */
extern const struct json_field rpc_no_fields[];
#define METHOD_NONE .fields = rpc_no_fields, .params_size = sizeof(struct none_params)

/* A method whose only parameter names one thing. */
#define NAME_FIELD(member, text)                                                                   \
	{                                                                                          \
		member, JSON_FIELD_STRING, offsetof(struct name_params, name), .required = true,   \
			.nonempty = true, .max_length = 256, .summary = text                       \
	}
#define METHOD_NAME(table) .fields = table, .params_size = sizeof(struct name_params)

/* The two members of every list. */
#define PAGE_FIELDS(type)                                                                          \
	{ "limit",	     JSON_FIELD_UINT,                                                      \
	  offsetof(type, page.limit), .min = 1,                                                    \
	  .max = 1000,	     .summary = "items of one page; 500 when not said" },                  \
	{                                                                                          \
		"after", JSON_FIELD_STRING, offsetof(type, page.after), .max_length = 256,         \
			.summary = "the \"next\" of the page before"                               \
	}

/* How long slow methods may hold back their answer: an hour, so that no call is for ever. */
#define WAIT_FIELD(type)                                                                           \
	{                                                                                          \
		"wait_seconds", JSON_FIELD_DURATION, offsetof(type, wait_usec),                    \
			.max = (int64_t)(3600 * USEC_PER_SEC),                                     \
			.summary = "how long to wait for the end; 0 = answer at once"              \
	}

#define STATE_FIELD(type, state_names, state_max)                                                  \
	{                                                                                          \
		"state", JSON_FIELD_ENUM, offsetof(type, state), .names = state_names,             \
			.names_max = state_max, .summary = "only those in this state"              \
	}
