/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files that read the simulation document. */
#pragma once

#include "machine/sim-document.h"

#define SIM_GPUS_MAX 64 /* more than any board has slots for; the load tests use 32 */
#define SIM_NAME_MAX 64

/* One entry of "gpus", which may stand for several.  base is its pointer. */
int sim_document_add_gpu(struct sim_document *d, const json_t *json, const char *base,
			 struct json_fault *fault);
/* GPUs without an address get one. */
int sim_document_place_gpus(struct sim_document *d, struct json_fault *fault);
