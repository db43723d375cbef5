/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events of the machine protocol as JSON, for both of its ends. */
#pragma once

#include "host/host-ops.h"
#include "hypervisor/hypervisor-ops.h"

/* The file that a request is about, as the helper names it: for messages and stuck GPUs.  Constant text. */
const char *machine_host_attribute(const struct host_request *request);

/* {"event":"host","type":"changed","gpu":"0000:03:00.0","attribute":null}.  Returns new. */
json_t *machine_host_event_to_json(const struct host_event *event);
/* Borrows the attribute from json.  -EINVAL when it is no such event. */
int machine_host_event_from_json(const json_t *json, struct host_event *ret);

/* {"event":"hypervisor","type":"domain","uuid","alias","reason","domain":{…}}.  Returns new. */
json_t *machine_hv_event_to_json(const struct hv_event *event);
/* Strings are borrowed from json; ret_domain is new or NULL, and ret->domain points to it. */
int machine_hv_event_from_json(const json_t *json, struct hv_event *ret,
			       struct domain_facts **ret_domain);
