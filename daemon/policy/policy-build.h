/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the loader share: the set under construction, where each thing was written, and
 * one row per section.  Inner header of daemon/policy. */
#pragma once

#include "policy/policy.h"
#include "policy/unsupported.h"

/* Beyond this many the rest of the errors is counted, that of the warnings dropped. */
#define POLICY_ERRORS_MAX 100

/* Names of profiles, layouts and queues stand in command lines ("P:2,Q:1"), so they are plain
 * words. */
#define POLICY_NAME_MAX 64
#define POLICY_NAME_HINT "1 to 64 of A-Z a-z 0-9 . _ -, the first one a letter or digit"

/* sriov_numvfs is a 16-bit number in the kernel. */
#define POLICY_VFS_MAX 65535

/* Of a queue that names none: in the middle of 0…100. */
#define POLICY_QUEUE_PRIORITY 50

/* Of a queue that names none; and the largest: ratios beyond it mean nothing within the 100 s that GuC keeps
 * (one millisecond is the shortest slice). */
#define POLICY_QUEUE_WEIGHT 100
#define POLICY_WEIGHT_MAX 10000

/* Queues that one queue preempts. */
#define POLICY_PREEMPTS_MAX 256

/* Allowed in every object of a document. */
#define POLICY_COMMENT_FIELDS                                                                      \
	{ "$schema", JSON_FIELD_IGNORED }, { "description", JSON_FIELD_IGNORED }

/* Of layouts, in a policy and by hand. */
#define POLICY_DEFAULTS_FIELDS(type)                                                               \
	{ "defaults", JSON_FIELD_BOOL, offsetof(struct type, defaults),                            \
	  .summary = "true: what is left open comes from the table of the device" },               \
	{                                                                                          \
		"scheduler", JSON_FIELD_ENUM, offsetof(struct type, scheduler),                    \
			.names = scheduler_preset_names, .names_max = SCHEDULER_PRESET_MAX,        \
			.summary = "time slices by the number of VFs: flexible-30fps, "            \
				   "fixed-30fps or burstable"                                      \
	}

enum policy_section_id {
	POLICY_PROFILES,
	POLICY_LAYOUTS,
	POLICY_GPUS,
	POLICY_VMS,
	POLICY_ASSIGNMENTS,
	POLICY_QUEUES,
	POLICY_ACCESS,
	POLICY_SECTION_MAX,
};

/* Where a thing was written. */
struct policy_place {
	size_t source;
	char *pointer;
};

struct policy_builder {
	const struct policy_source *sources;
	size_t n_sources;
	size_t source; /* the one being read */
	struct policy *policy;
	struct policy_place *places[POLICY_SECTION_MAX]; /* beside each array of the policy */
	json_t *errors;
	size_t n_untold;
	struct policy_place quantum_by_weight; /* pointer NULL = not set so far */
	bool resolve; /* ask the name service for users and groups */
};

/* Reads one item into zeroed memory; on failure what was stored there is released by done(). */
typedef int (*policy_read_fn)(struct policy_builder *b, const json_t *item, const char *pointer,
			      void *out, struct json_fault *fault);

struct policy_section {
	const char *name;  /* "profiles" */
	const char *thing; /* "profile": for messages; NULL = things without a name of their own */
	size_t array;	   /* offset in struct policy */
	size_t count;
	size_t size;	/* of an item */
	size_t name_at; /* offset of its char *name, when thing is set */
	policy_read_fn read;
	void (*done)(void *item);
};

extern const struct policy_section policy_sections[POLICY_SECTION_MAX];

void *policy_section_item(const struct policy *p, enum policy_section_id id, size_t i);
size_t policy_section_count(const struct policy *p, enum policy_section_id id);

/* policy-gpu-sections.c and policy-use-sections.c */
int policy_read_profile(struct policy_builder *b, const json_t *item, const char *pointer,
			void *out, struct json_fault *fault);
int policy_read_layout(struct policy_builder *b, const json_t *item, const char *pointer, void *out,
		       struct json_fault *fault);
int policy_read_gpu_rule(struct policy_builder *b, const json_t *item, const char *pointer,
			 void *out, struct json_fault *fault);
int policy_read_vm_rule(struct policy_builder *b, const json_t *item, const char *pointer,
			void *out, struct json_fault *fault);
int policy_read_queue(struct policy_builder *b, const json_t *item, const char *pointer, void *out,
		      struct json_fault *fault);
int policy_read_access(struct policy_builder *b, const json_t *item, const char *pointer, void *out,
		       struct json_fault *fault);

/* policy-assignments.c */
int policy_read_assignment(struct policy_builder *b, const json_t *item, const char *pointer, void *out,
			   struct json_fault *fault);
void policy_assignment_done(void *item);
int policy_check_assignments(struct policy_builder *b); /* against each other and the profiles */

/* policy-scheduling.c: the object "scheduling" of one file. */
int policy_read_scheduling(struct policy_builder *b, const json_t *scheduling, struct json_fault *fault);

/* One slice list, as in layouts[].slices and in a manual layout. */
int policy_read_slices(const json_t *array, const char *pointer, struct policy_layout *out,
		       struct json_fault *fault);

/* policy-references.c: what can be judged only when all files are read. */
int policy_check_references(struct policy_builder *b);
int policy_complain_missing(struct policy_builder *b, const struct policy_place *place, const char *member,
			    enum policy_section_id id, const char *name);

/* Appends text that may hold foreign bytes (a file's name, a piece of bad JSON, half a character
 * where a word was cut): what is not printable UTF-8 is escaped. */
int policy_append_text(json_t *array, const char *text);

/* Tells an error of the place; takes nothing, the fault stays the caller's. */
int policy_complain(struct policy_builder *b, const struct policy_place *place,
		    const struct json_fault *fault);
/* The same for the value `name` inside the place (NULL = the place itself). */
int policy_complain_text(struct policy_builder *b, const struct policy_place *place,
			 const char *name, const char *hint, const char *format, ...)
	_printf_(5, 6);
/* "a.json:3:14", new. */
char *policy_place_text(const struct policy_builder *b, const struct policy_place *place,
			const char *name);
/* Adds to the warnings of the set. */
int policy_warn(struct policy_builder *b, const struct policy_place *place, const char *format, ...)
	_printf_(3, 4);

/* "gpus[0] of 10-lab.json", new. */
char *policy_label(const struct policy_builder *b, const char *pointer);

/* Plain words: see POLICY_NAME_HINT. */
bool policy_name_is_valid(const char *name);
int policy_check_name(const char *name, const char *base, const char *member,
		      struct json_fault *fault);
/* Not empty, no control bytes. */
int policy_check_glob(const char *glob, const char *base, const char *member,
		      struct json_fault *fault);
int policy_check_globs(const json_t *globs, const char *base, const char *member,
		       struct json_fault *fault);

/* principal.c: "user:eve", "group:ml", "everyone"; resolves the name. */
int principal_parse(const char *text, struct principal *ret);
int principal_resolve(struct principal *who);
void principal_done(struct principal *who);
int principals_read(struct policy_builder *b, const json_t *array, const char *base,
		    const char *member, struct principal **ret, size_t *ret_n,
		    struct json_fault *fault);
void principals_free(struct principal *list, size_t n);

void policy_layout_done(struct policy_layout *l);
