/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one VF shall get, as people and policies write it: the members that a profile and a layout by
 * hand share, and their stored form.  Knows no card: shares become numbers in partition/. */
#pragma once

#include "core/facts.h"
#include "lib/json-field.h"

/* By enum vf_attribute; AMOUNT_UNSET = left to the driver.  AMOUNT_BYTES holds a plain number in the
 * attribute's own unit: bytes, a count, ms, µs, an enum vf_priority. Only hard resources can be shares
 * or fair. */
struct vf_shape {
	struct amount wanted[VF_ATTRIBUTE_MAX];
};

/* Members of documents and names in messages: "vram", "exec_quantum". */
DECLARE_ENUM_TABLE(vf_shape_member, enum vf_attribute);

static inline struct amount amount_of(uint64_t n)
{
	return (struct amount){ AMOUNT_BYTES, n };
}

/* A plain number; not known when it is a share, fair or unset. */
static inline struct known vf_shape_number(const struct vf_shape *shape, enum vf_attribute attribute)
{
	const struct amount *a = &shape->wanted[attribute];

	return (struct known){ a->kind == AMOUNT_BYTES, a->kind == AMOUNT_BYTES ? a->value : 0 };
}

static inline bool vf_shape_is_empty(const struct vf_shape *shape)
{
	size_t i;

	for (i = 0; i < VF_ATTRIBUTE_MAX; i++)
		if (shape->wanted[i].kind != AMOUNT_UNSET)
			return false;
	return true;
}

bool vf_shape_equal(const struct vf_shape *a, const struct vf_shape *b);
/* What `from` wants goes before what is there. */
void vf_shape_merge(struct vf_shape *to, const struct vf_shape *from);

/* GuC has 65535 contexts and 256 doorbells for each GT; no card has more than four tiles. */
#define VF_SHAPE_TILES_MAX 4
#define VF_SHAPE_CONTEXTS_MAX (65535 * VF_SHAPE_TILES_MAX)
#define VF_SHAPE_DOORBELLS_MAX (256 * VF_SHAPE_TILES_MAX)
#define VF_SHAPE_TIMESLICE_MAX (100 * USEC_PER_SEC) /* GuC clamps above it (reference 2.4) */

/* Target of the rows below. */
struct vf_shape_fields {
	struct amount vram, ggtt;
	uint64_t contexts, doorbells;
	uint64_t exec_quantum, preempt_timeout;
	int priority;
};

#define VF_SHAPE_FIELDS_INIT                                                                       \
	{ .exec_quantum = USEC_INFINITY, .preempt_timeout = USEC_INFINITY, .priority = -1 }

/* Rows of a table of struct json_field, for a struct that has a struct vf_shape_fields as `member`. */
#define VF_SHAPE_FIELDS(type, member)                                                              \
	{ "vram", JSON_FIELD_AMOUNT, offsetof(struct type, member.vram), .min = 1,                 \
	  .summary = "a size, a share of what is free to VFs, or \"fair\"" },                      \
		{ "ggtt", JSON_FIELD_AMOUNT, offsetof(struct type, member.ggtt), .min = 1,         \
		  .summary = "of the graphics address table: a size, a share, or \"fair\"" },      \
		{ "contexts", JSON_FIELD_UINT, offsetof(struct type, member.contexts), .min = 1,   \
		  .max = VF_SHAPE_CONTEXTS_MAX, .summary = "GuC contexts" },                       \
		{ "doorbells", JSON_FIELD_UINT, offsetof(struct type, member.doorbells), .min = 1, \
		  .max = VF_SHAPE_DOORBELLS_MAX, .summary = "GuC doorbells" },                     \
		{ "exec_quantum", JSON_FIELD_DURATION, offsetof(struct type, member.exec_quantum), \
		  .max = VF_SHAPE_TIMESLICE_MAX,                                                   \
		  .summary = "whole milliseconds, 0ms = no limit" },                               \
		{ "preempt_timeout", JSON_FIELD_DURATION,                                          \
		  offsetof(struct type, member.preempt_timeout), .max = VF_SHAPE_TIMESLICE_MAX,    \
		  .summary = "0us = no limit" },                                                   \
	{                                                                                          \
		"priority", JSON_FIELD_ENUM, offsetof(struct type, member.priority),               \
			.names = vf_priority_names, .names_max = VF_PRIORITY_HIGH,                 \
			.summary = "normal: scheduled even when idle; xe takes it for all VFs of " \
				   "a card together only"                                          \
	}

/* Checks what the rows cannot (whole milliseconds), and fills ret with what was given.  Returns 0 or
 * -EINVAL with the fault set. */
int vf_shape_from_fields(const struct vf_shape_fields *f, const char *base, struct vf_shape *ret,
			 struct json_fault *fault);

/* As a profile of a policy has it: only what is wanted, {"vram": "4GiB", "exec_quantum": "20ms"}.  Returns 0
 * or -ENOMEM. */
int vf_shape_put_document(json_t *object, const struct vf_shape *shape);

/* The stored and shown form: every attribute, null where nothing is wanted, units in the names. */
int vf_shape_put_stored(json_t *object, const struct vf_shape *shape);

/* Rows for the same, in a struct that has a struct vf_shape_stored as `member`. */
struct vf_shape_stored {
	struct amount vram, ggtt;
	int64_t contexts, doorbells, exec_quantum_ms, preempt_timeout_us;
	int priority;
};

#define VF_SHAPE_STORED_INIT                                                                       \
	{                                                                                          \
		.contexts = -1, .doorbells = -1, .exec_quantum_ms = -1, .preempt_timeout_us = -1,  \
		.priority = -1                                                                     \
	}

#define VF_SHAPE_STORED_FIELDS(type, member)                                                       \
	{ "vram", JSON_FIELD_AMOUNT, offsetof(struct type, member.vram) },                         \
		{ "ggtt", JSON_FIELD_AMOUNT, offsetof(struct type, member.ggtt) },                 \
		{ "contexts", JSON_FIELD_INT, offsetof(struct type, member.contexts), .min = 0,    \
		  .max = INT64_MAX },                                                              \
		{ "doorbells", JSON_FIELD_INT, offsetof(struct type, member.doorbells), .min = 0,  \
		  .max = INT64_MAX },                                                              \
		{ "exec_quantum_ms", JSON_FIELD_INT, offsetof(struct type, member.exec_quantum_ms), \
		  .min = 0, .max = INT64_MAX },                                                    \
		{ "preempt_timeout_us", JSON_FIELD_INT,                                            \
		  offsetof(struct type, member.preempt_timeout_us), .min = 0, .max = INT64_MAX },  \
	{                                                                                          \
		"priority", JSON_FIELD_ENUM, offsetof(struct type, member.priority),               \
			.names = vf_priority_names, .names_max = VF_PRIORITY_MAX                   \
	}

void vf_shape_from_stored(const struct vf_shape_stored *f, struct vf_shape *ret);
