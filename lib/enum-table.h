/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of enums.  The same words are used by the log, JSON, SQLite and the command line.
 *
 *	static const char *const vf_state_names[VF_STATE_MAX] = { [VF_FREE] = "free", … };
 *	DEFINE_ENUM_TABLE(vf_state, enum vf_state, VF_STATE_MAX);
 *
 * gives const char *vf_state_to_string(enum vf_state) (NULL when out of range) and
 * int vf_state_from_string(const char *) (the value, or -EINVAL). */
#pragma once

#include "lib/macros.h"

const char *enum_to_string(const char *const *names, size_t max, long value);
int enum_from_string(const char *const *names, size_t max, const char *name);

/* "free, leased, attached": for messages that say what would be right.  Returns new, or NULL. */
char *enum_list(const char *const *names, size_t max);

#define DECLARE_ENUM_TABLE(prefix, type)                                                           \
	const char *prefix##_to_string(type value);                                                \
	int prefix##_from_string(const char *name);                                                \
	extern const char *const prefix##_names[]

#define DEFINE_ENUM_TABLE(prefix, type, max)                                                       \
	const char *prefix##_to_string(type value)                                                 \
	{                                                                                          \
		return enum_to_string(prefix##_names, max, (long)value);                           \
	}                                                                                          \
	int prefix##_from_string(const char *name)                                                 \
	{                                                                                          \
		return enum_from_string(prefix##_names, max, name);                                \
	}                                                                                          \
	struct prefix##_swallow_semicolon
