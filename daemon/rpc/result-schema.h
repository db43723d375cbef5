/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON Schema of what methods answer with: the members that a client may count on.  Others may
 * come, clients ignore what they do not know. */
#pragma once

#include "lib/json.h"

/* Schema of a row's result: "gpu" = the object, "gpu[]" = a page of them.  Returns new, NULL when
 * the name is not known or memory is out. */
json_t *result_schema(const char *name);

/* All objects by name, for components.schemas.  Returns new. */
json_t *result_schema_components(void);
