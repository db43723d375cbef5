/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the parameters of a call to the struct of its method, with refusals that name the field. */
#pragma once

#include "rpc/dispatch.h"

/* Takes request_id out of the parameters of a method that knows it.  ret_rest: returns new, the other parameters;
 * ret_id borrows from params, and is left alone where there is none.  Returns 0, or -ECANCELED with the error set. */
int call_split_request_id(const struct rpc_method *method, const json_t *params, json_t **ret_rest,
			  const char **ret_id, struct rpc_error *error);

/* Fills out, the method's struct with its defaults in it; the caller frees what is in it, also after a refusal. */
int call_decode_params(const struct rpc_method *method, const json_t *params, void *out, struct rpc_error *error);
