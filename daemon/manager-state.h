/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that the manager's own files share: the objects, and who may change them.  Nobody outside manager*.c includes
 * this. */
#pragma once

#include "manager-gpu.h"
#include "manager-job.h"
#include "manager-objects.h"
#include "manager-vf.h"
#include "manager-vm.h"

/* ---- manager.c ---- */
int request_load(void *manager, const char *id, const json_t *doc);
void manager_serve(struct manager *m); /* the host was scanned: callers may come */
void manager_remember_request(struct manager *m, const char *key, json_t *row); /* takes row */
void manager_pump(struct manager *m); /* asks for a look at what can be done now */

/* ---- manager-outbox.c: durable first, then seen, then done ---- */
int outbox_begin(struct manager *m);
void outbox_end(struct manager *m);
/* Rows of the open batch. */
void outbox_put(struct manager *m, enum store_kind kind, const char *id, json_t *doc); /* takes */
void outbox_put_text(struct manager *m, enum store_kind kind, const char *id, char *text); /* takes; JSON */
void outbox_delete(struct manager *m, enum store_kind kind, const char *id);
void outbox_delete_before(struct manager *m, enum store_kind kind, const char *id);
void outbox_prune_audit(struct manager *m, const char *before);
/* After COMMIT: on_commit; when nothing was written: on_fail.  Each may be NULL; exactly one runs. */
void outbox_add(struct manager *m, void (*on_commit)(struct manager *m, void *userdata),
		void (*on_fail)(struct manager *m, void *userdata), void *userdata);
bool outbox_is_empty(const struct manager *m); /* nothing waits for its COMMIT */
/* Answers after COMMIT; when it fails, with `degraded`.  Takes result. */
void outbox_reply(struct manager *m, struct reply *reply, json_t *result);
void outbox_reply_error(struct manager *m, struct reply *reply, const struct rpc_error *error);
void outbox_flush(struct manager *m); /* at the end of the daemon */
void store_everything(struct manager *m); /* writes every object once more: rows of failed batches are lost */
/* True, and the reply was given, when no change can be taken now. */
bool manager_refuses_changes(struct manager *m, struct reply *reply);

/* ---- manager-event.c ---- */
int events_new(struct manager *m);
void events_free(struct manager *m);
int events_load(struct manager *m);
void events_write(struct manager *m); /* those of the open batch go into it, which is about to close */
void events_not_committed(struct manager *m); /* the open batch is given up */
void events_skip_to(struct manager *m, uint64_t seq); /* the next event has this number, or a higher one */
/* Emits after COMMIT.  more (may be NULL) is taken: its members are added. */
void manager_emit(struct manager *m, const char *type, const char *subject, json_t *more);
void manager_emit_owned(struct manager *m, const char *type, const char *subject, uid_t owner,
			json_t *more);
void manager_emit_audit(struct manager *m, const char *row); /* the event of a row of the trail, as text */

/* ---- manager-audit.c: who changed what ---- */
enum audit_outcome { AUDIT_CHANGED, AUDIT_ACCEPTED, AUDIT_FAILED, AUDIT_CANCELLED, AUDIT_REFUSED, AUDIT_OUTCOME_MAX };
DECLARE_ENUM_TABLE(audit_outcome, enum audit_outcome);

struct audit_change {
	const char *subject;
	const char *operation; /* that the row is about; NULL = it is about the subject */
	struct operation *by; /* that brings the change about, borrowed; NULL = the one that acts now, if any */
	enum audit_outcome outcome;
	json_t *before, *after; /* compact views, taken; NULL = there was nothing */
	const char *error;
	const char *word; /* "daemon:job" …: the method when nobody asked for it */
	uint64_t left_out;
	/* Nothing was written: the subject is in the trail as it was before. */
	void (*undo)(struct manager *m, const char *subject, const json_t *before);
};

int audit_new(struct manager *m);
uint64_t audit_next(const struct manager *m);
void audit_skip_to(struct manager *m, uint64_t number); /* the next row has this number, or a higher one */
void audit_free(struct manager *m);
void audit_write(struct manager *m, const struct audit_change *change); /* into the open batch */
/* Nothing of the open batches was written.  Before the changes themselves are undone: a change back to what is in
 * the trail is none, one to something else is told as it is stored. */
void audit_not_committed(struct manager *m);
void audit_operation_begun(struct manager *m, struct operation *op);

/* Whatever changes from here to the end of the scope is this operation's doing, so its caller's: "who" is handed on with
 * the work and never guessed from the subject, about which other operations may be under way.  Lives on the stack of who
 * does the work, until its next callback; a handover takes it along (manager-handover.c). */
struct audit_acting {
	struct manager *m;
	struct operation *before; /* that acted until then, borrowed; NULL = none */
	bool before_undone;
};
#define _cleanup_acting_ _cleanup_(audit_acting_over) _unused_
struct audit_acting audit_acts(struct manager *m, struct operation *op); /* borrows; NULL: nobody's, as far as this tells */
/* The same with what is undone as somebody cancels it: the doing of who cancels. */
struct audit_acting audit_cancels(struct manager *m, struct operation *op);
struct audit_acting audit_acts_on(struct manager *m); /* whoever it is now */
void audit_acting_over(struct audit_acting *acting);
struct operation *audit_acts_now(const struct manager *m); /* borrowed; NULL = none */
/* The assign or release (method; NULL = either) of an earlier daemon that is not taken up yet and is about this lease of the
 * VF: as far as anybody can tell, what shows before that is what it had come to.  Borrowed; NULL = none. */
struct operation *audit_inherited(struct manager *m, const struct vf *vf, const char *method);

/* What the daemon changes from now on is told as its doing under this word ("daemon:recover"); NULL = by each
 * change's own.  Returns the word before. */
const char *audit_scope(struct manager *m, const char *word);
const char *audit_scope_now(const struct manager *m); /* NULL = none */

/* ---- manager-audit-view.c: called by each object's store function; a difference is a row ---- */
void audit_vf(struct manager *m, struct vf *vf);
void audit_gpu(struct manager *m, struct gpu *gpu, const char *word);
void audit_job(struct manager *m, struct job *job);
void audit_vf_known(struct vf *vf); /* as it is now it is in the trail already */
/* Somebody ends the lease of a VF that is not there, of which this is the row; true: the trail had the lease still, and has
 * its end now.  Borrows. */
bool audit_lost_over(struct manager *m, const char *name, const json_t *row);
/* Somebody ends the lease that waits for this VF, which another VM has (manager-displaced.c). */
void audit_displaced_over(struct manager *m, const struct vf *vf);
/* A stored lease whose VF is not there yet has changed; row NULL: it is dropped.  Borrows. */
void audit_lease_row(struct manager *m, const char *name, const json_t *was, const json_t *row);
void audit_job_known(struct job *job);
void audit_vm(struct manager *m, const struct vm *vm, const char *quarantine_before, const char *word);
void audit_policy(struct manager *m, const char *before); /* its revision */
void audit_operation(struct manager *m, const struct operation *op); /* it has ended */
json_t *audit_operation_view(const struct operation *op); /* returns new */
void audit_operation_cancel(struct manager *m, const struct operation *op);

/* ---- manager-audit-list.c ---- */
void audit_prune_begin(struct manager *m);
void audit_prune_sometimes(struct manager *m, uint64_t number);

/* ---- manager-load.c ---- */
int manager_load(struct manager *m);
bool row_is_aside(struct manager *m, const char *kind, const char *id);
void aside_view(struct manager *m, json_t *troubles); /* adds to the troubles of daemon.status */
void job_hold_restored(struct manager *m, struct job *job); /* one from a copy does not go on by itself */

/* ---- manager-recover.c ---- */
/* libvirt has listed its domains: compares store, kernel and libvirt, and goes on with what was
 * accepted. */
void manager_recover(struct manager *m);
void barrier_down(struct manager *m); /* one of its questions was answered */
/* Its barrier was answered at last, and it was read behind it; NULL: it is gone. */
void recover_vm(struct manager *m, struct vm *vm);
void recover_late_vf(struct manager *m, struct vf *vf); /* shown by the kernel after that */

/* ---- manager-doctor.c ---- */
struct findings;
/* What only the daemon can know; the examination tells the rest. */
struct daemon_check {
	const char *id;
	const char *what;
	void (*judge)(struct manager *m, const char *id, struct findings *findings);
};
extern const struct daemon_check daemon_checks[]; /* ended by a row without an id */
void doctor_end(struct manager *m);

/* ---- manager-policy.c ---- */
int manager_load_policy(struct manager *m);
void policy_reload_end(struct manager *m);

/* ---- manager-fits.c ---- */
/* {PROFILE: {free_now, after_recut}}; returns new. */
json_t *gpu_fits_view(struct manager *m, const struct gpu *gpu);

/* ---- manager-view.c: JSON of objects as the API shows them; all return new ---- */
json_t *gpu_view(struct manager *m, const struct gpu *gpu);
json_t *vf_view(struct manager *m, const struct vf *vf);
json_t *vm_view(struct manager *m, const struct vm *vm);
/* Answers with one page of an array that holds everything: takes items.  Refuses a bad cursor. */
void page_reply(struct manager *m, struct reply *reply, json_t *items,
		const struct page_params *page);
void view_reply(struct manager *m, struct reply *reply, json_t *result); /* takes result */
char *user_name(uid_t uid); /* digits: names are resolved off the loop; returns new */
char *user_text(uid_t uid); /* for sentences: "root", "uid 1000"; returns new */
