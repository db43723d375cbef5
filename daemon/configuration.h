/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /etc/gpuvf/gpuvfd.json: every key optional.  main.c reads it once; the rest of the daemon sees the
 * normalised form. */
#pragma once

#include "lib/json-field.h"

/* Reads the file (missing = defaults).  *ret is new and has every key:
 * {"deadlines": {"guest_ready_usec", "agent_silence_usec", "host": {"read"?, …}, "libvirt": {"list"?, …}},
 *  "retention": {"output_per_attempt"},
 *  "limits": {"connections", "connections_per_uid", "bytes", "bytes_per_uid", "requests_per_connection",
 *  "output_per_connection"}, "allow_debugfs", "libvirt_uri"}.
 * On refusal -EINVAL and *ret_message (new) "FILE:LINE:COL: /pointer: what (what would be right)". */
int config_load(const char *path, json_t **ret, char **ret_message);

/* Puts the kernel's and libvirt's deadlines of a loaded configuration in force, before the first request. */
void config_set_deadlines(const json_t *config);
