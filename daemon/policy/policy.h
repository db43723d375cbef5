/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy: what may be cut, who may use which VM, which queues there are.  All files are one
 * immutable set with a revision; a bad set is refused whole.  Loading resolves the names of users
 * and groups (may ask a name service, so never on the loop); everything after that is pure. */
#pragma once

#include <sys/types.h>
#include "policy/vf-shape.h"

enum role { ROLE_NONE, ROLE_VIEWER, ROLE_USER, ROLE_OPERATOR, ROLE_ADMIN, ROLE_MAX };
DECLARE_ENUM_TABLE(role, enum role);

enum vm_vf_mode { VM_VF_PER_JOB, VM_VF_KEEP, VM_VF_ASSIGNED, VM_VF_MODE_MAX };
DECLARE_ENUM_TABLE(vm_vf_mode, enum vm_vf_mode);

enum vm_start { VM_START_NEVER, VM_START_ON_DEMAND, VM_START_MAX };
DECLARE_ENUM_TABLE(vm_start, enum vm_start);

/* Who binds the VFs of a VM and gives them back: the hostdev's managed='no' or 'yes'. */
enum vm_managed { VM_MANAGED_NO, VM_MANAGED_YES, VM_MANAGED_MAX };
DECLARE_ENUM_TABLE(vm_managed, enum vm_managed);

/* Who gets a VF after its last user, until the next re-cut. */
enum vf_reuse { VF_REUSE_ANY, VF_REUSE_SAME_USER, VF_REUSE_SCRUBBED, VF_REUSE_MAX };
DECLARE_ENUM_TABLE(vf_reuse, enum vf_reuse);

/* Time slices by the number of VFs (reference 5.3); partition/ has the formulas. */
enum scheduler_preset {
	SCHEDULER_NONE, /* null in JSON */
	SCHEDULER_FLEXIBLE_30FPS,
	SCHEDULER_FIXED_30FPS,
	SCHEDULER_BURSTABLE,
	SCHEDULER_PRESET_MAX,
};
DECLARE_ENUM_TABLE(scheduler_preset, enum scheduler_preset);

/* "user:eve", "group:ml", "everyone". */
struct principal {
	enum { PRINCIPAL_USER, PRINCIPAL_GROUP, PRINCIPAL_EVERYONE } kind;
	char *name;	/* as written */
	bool resolved;	/* false: no such user or group here; matches nobody, load warns */
	uint32_t id;	/* uid or gid */
};

/* Who asks. */
struct caller {
	uid_t uid;
	pid_t pid; /* when it connected; 0 = not known */
	gid_t *gids;
	size_t n_gids;
	enum role role;
	char *name; /* user name when known, else the uid in digits */
};

struct policy_profile {
	char *name;
	struct vf_shape shape;
	char *description;
};

struct policy_slice {
	char *profile; /* NULL: nothing is said of these VFs but their number */
	unsigned count;
};

struct policy_layout {
	char *name; /* NULL: written inline in a gpus rule */
	struct policy_slice *slices;
	size_t n_slices; /* 0 = no VFs wanted */
	bool defaults;	 /* what the slices leave open comes from the table of the device */
	enum scheduler_preset scheduler;
};

struct policy_gpu_rule {
	char *label; /* "gpus[0] of 10-lab.json", for messages */
	char *model; /* glob, NULL = any; likewise the others */
	unsigned device_id; /* 0 = any */
	bool has_address;
	struct pci_address address;
	char *driver;
	bool has_numa_node;
	int numa_node;
	struct policy_layout *layout; /* owned */
	bool heal; /* drift of its cards is mended without being asked */
	enum vf_reuse reuse;
	bool heal_said; /* the rule has the member: else the configuration decides */
};

struct policy_vm_rule {
	char *label;
	char *match; /* glob */
	struct principal *allow;
	size_t n_allow;
	unsigned slots;
	enum vm_vf_mode vf;
	enum vm_start start;
	enum vm_managed managed;
	uint64_t stop_idle_usec; /* 0 = one that we started runs on */
	json_t *ready; /* array of strings, or NULL */
	char *run_as;  /* NULL: no jobs can run there */
};

enum assignment_mode { ASSIGNMENT_LIVE, ASSIGNMENT_CONFIG, ASSIGNMENT_BOTH, ASSIGNMENT_MODE_MAX };
DECLARE_ENUM_TABLE(assignment_mode, enum assignment_mode);

/* A VF that VMs shall have: by one of profile, vf and vram_bytes. */
struct policy_assignment {
	char *label;
	char *vm; /* glob */
	char *profile;
	char *vf;
	uint64_t vram_bytes; /* at least; 0 = not by size */
	enum assignment_mode mode; /* live: held while the VM runs only */
};

struct policy_queue {
	char *name;
	bool is_default;
	struct principal *allow; /* n_allow 0 = everyone with role user */
	size_t n_allow;
	unsigned priority;	 /* 0…100 */
	unsigned weight;	 /* 1…POLICY_WEIGHT_MAX: time slices of its VFs, see quantum_by_weight */
	int max_priority;	 /* highest a user may ask for */
	uint64_t default_time_usec; /* 0 = none */
	uint64_t max_time_usec;	    /* 0 = none */
	json_t *vms;		    /* array of globs, NULL = any */
	json_t *preempts;	    /* names of queues of lower priority, whose jobs make way; NULL = none */
	uint64_t preempt_grace_usec; /* its own jobs, when they make way: to SIGKILL; 0 = as the job says */
	uint64_t min_runtime_usec;  /* … are left alone for so long */
	unsigned limit_running;	    /* 0 = none */
	unsigned limit_queued;
	unsigned limit_running_per_user;
	unsigned limit_queued_per_user;
};

/* Scalars of the whole set; each may be set in one file only. */
struct policy_scheduling {
	bool quantum_by_weight; /* a VF's time slice follows the weight of its job's queue */
};

struct policy_access {
	struct principal who;
	enum role role;
};

struct policy {
	unsigned ref;
	char *revision; /* hash of all texts, 16 hex digits */
	json_t *sources; /* array of file names, in order */
	json_t *document; /* the merged set, for policy.show */
	json_t *warnings; /* array of strings: unresolved names and the like */
	struct policy_profile *profiles;
	size_t n_profiles;
	struct policy_layout *layouts;
	size_t n_layouts;
	struct policy_gpu_rule *gpus;
	size_t n_gpus;
	struct policy_vm_rule *vms;
	size_t n_vms;
	struct policy_assignment *assignments;
	size_t n_assignments;
	struct policy_queue
		*queues; /* never empty: a queue "default" is made when none is written */
	size_t n_queues;
	struct policy_scheduling scheduling;
	struct policy_access *access;
	size_t n_access;
};

/* One text of the set. */
struct policy_source {
	const char *name; /* for messages: the file's name */
	const char *text;
	size_t size;
};

/* Builds the set.  On refusal -EINVAL and *ret_errors is a new array of strings
 * "FILE:LINE:COL: /pointer: what is wrong (what would be right)"; all errors that can be told are
 * told. */
int policy_build(const struct policy_source *sources, size_t n, struct policy **ret,
		 json_t **ret_errors);

/* The same without asking for users and groups, so it may run on the loop: for looking at a set,
 * not for putting it in force, because its user and group rules match nobody. */
int policy_check(const struct policy_source *sources, size_t n, struct policy **ret,
		 json_t **ret_errors);

/* Reads *.json of a directory in byte order (a directory that does not exist or holds none: the
 * fallback file) and builds the set.  Unreadable files are refusals too. */
int policy_load(const char *directory, const char *fallback_file, struct policy **ret,
		json_t **ret_errors);

struct policy *policy_ref(struct policy *p);
struct policy *policy_unref(struct policy *p);
DEFINE_CLEANUP(struct policy *, policy_unref);

const struct policy_profile *policy_find_profile(const struct policy *p, const char *name);
const struct policy_layout *policy_find_layout(const struct policy *p, const char *name);
const struct policy_queue *policy_find_queue(const struct policy *p, const char *name);
const struct policy_queue *policy_default_queue(const struct policy *p);
/* First rule whose members all match, or NULL. */
const struct policy_gpu_rule *policy_match_gpu(const struct policy *p, const struct gpu_facts *gpu);
const struct policy_vm_rule *policy_match_vm(const struct policy *p, const char *vm_name);

bool principals_allow(const struct principal *list, size_t n, uid_t uid, const gid_t *gids,
		      size_t n_gids);

/* Highest matching access rule; without rules: root is admin, members of socket_gid are users, all
 * others have none.  own_uid != 0 (an unprivileged daemon): that uid is admin, all others none. */
enum role policy_role(const struct policy *p, uid_t uid, const gid_t *gids, size_t n_gids,
		      gid_t socket_gid, uid_t own_uid);

bool glob_match(const char *pattern, const char *name); /* * ? [..], whole name */
