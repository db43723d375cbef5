/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations and jobs. */
#pragma once

#include "manager-objects.h"

/* ---- manager-operation.c ---- */
struct operation *operation_new(struct manager *m, const char *method, const char *subject,
				uid_t uid, json_t *input);
struct operation *operation_find(struct manager *m, const char *name);
bool operation_is_apply(const struct operation *op); /* cuts a GPU, whoever asked */
void operation_store(struct manager *m, struct operation *op);
/* Of a release: those that are left; borrows names.  Not stored. */
void operation_set_input_vfs(struct operation *op, json_t *names);
int operation_load(void *manager, const char *id, const json_t *doc);
void operation_begin(struct manager *m, struct operation *op);
void operation_done(struct manager *m, struct operation *op, json_t *result); /* takes result */
void operation_failed(struct manager *m, struct operation *op, const struct rpc_error *error);
/* It hangs in the kernel: who waits is told why, but it is not over; operation_goes_on() when it returns. */
void operation_hangs(struct manager *m, struct operation *op, const struct rpc_error *error);
void operation_goes_on(struct manager *m, struct operation *op);
void operation_drop(struct manager *m, struct operation *op); /* undo of one that was not committed */
void operation_free(struct manager *m, struct operation *op);
void operations_forget_old(struct manager *m);
/* Answers when the operation ends, at the latest after wait_usec (0 = as soon as it is committed). */
void operation_reply(struct manager *m, struct operation *op, uint64_t wait_usec,
		     struct reply *reply);
json_t *operation_to_json(const struct operation *op);

/* ---- manager-job*.c, manager-run.c, manager-place.c ---- */
struct job *job_new(struct manager *m, uint64_t id); /* NULL = no memory */
struct job *job_find(struct manager *m, const char *id);
void job_set_state(struct manager *m, struct job *job, enum job_state state, const char *reason);
void job_store(struct manager *m, struct job *job);
int job_load(void *manager, const char *id, const json_t *doc);
void job_free(struct manager *m, struct job *job);
void jobs_forget_old(struct manager *m);
json_t *job_to_json(const struct job *job, bool all);
/* The job that a caller may act on; refuses by itself (NULL). */
struct job *job_for(struct manager *m, const struct caller *caller, const char *id, struct reply *reply);
json_t *job_attempt(const struct job *job); /* the present one, borrowed, or NULL */
int job_attempt_dir(struct manager *m, const struct job *job, unsigned attempt, bool create);
/* The files as they were at submit: in/0, in/1, … */
int job_snapshot_files(struct manager *m, struct job *job);
struct runner_callbacks;
/* Makes job->runner for its attempt, which was started before (was_started: it is found in its guest) or may have been,
 * by an earlier daemon (inherited).  Below 0 a negative errno, and *ret_message (new) may say why. */
int job_runner_new(struct manager *m, struct job *job, bool was_started, bool inherited, char **ret_message);
extern const struct runner_callbacks job_runner_callbacks; /* manager-runner-events.c: what it tells */
bool job_is_over_limit(const struct job *job); /* the present attempt's time was over: it is stopped, or was */
uint64_t job_ran(const struct job *job); /* how long its command has run, by the boot clock; 0 = it has not, or who knows */
bool rule_is_open_to(const struct policy_vm_rule *rule, const struct job *job); /* of the VM; NULL: it is not */
/* Its present attempt, which has not begun, may do so where it was placed, and as whom: by the policy in force. */
bool job_may_begin(struct manager *m, const struct job *job);
void job_run(struct manager *m, struct job *job); /* its VF is leased and committed: attach and go on */
void job_resume(struct manager *m, struct job *job); /* after a restart, once its VM is known */
void job_stop(struct manager *m, struct job *job);   /* cancel: wherever it is now */
void job_vm_off(struct manager *m, struct job *job); /* its VM is confirmed off */
bool job_place(struct manager *m); /* one round of the scheduler; true = something was placed */
void job_unplace(struct job *job); /* its attempt was none */
bool job_attempt_began(const struct job *job); /* the present one's command was started, or its session was ready */
bool job_attempt_may_have_begun(const struct job *job); /* … or its start was about to be sent when a daemon ended */

/* ---- manager-session.c: jobs without a command ---- */
uint64_t job_time_limit(const struct job_document *d, const struct policy_queue *queue); /* at submit; 0 = none */
const char *job_word(const struct job *job); /* "session" or "job"; NULL: "job" */
uint64_t session_ends_at(const struct job *job); /* wall clock; 0 = it is not ready, or is over */
char *session_way_in(const struct job *job); /* where its VF is in its guest, as its runner saw it; returns new */
char *session_reason(const struct job *job); /* the job's reason, and the way into a session that is ready; new, or NULL */
json_t *session_view(const struct job *job); /* null for a job with a command; returns new */
void session_begin(struct manager *m, struct job *job, unsigned functions); /* its guest is ready, and shows so many */
void sessions_pump(struct manager *m); /* ends those that are over */

/* ---- manager-attempt.c: the end of an attempt ---- */
void job_end(struct manager *m, struct job *job, enum job_result result, const char *reason);
json_t *attempt_put_time(struct job *job, const char *name); /* now; returns the present attempt, borrowed, or NULL */
/* How it ended, in the present attempt; retry: that was no attempt that counts, the job is tried again. */
void attempt_note(struct job *job, enum job_result result, const char *reason, bool retry);
/* Gives the VF back, then attempt_over(). */
void attempt_give_back(struct manager *m, struct job *job);
/* The outcome is noted, the VF is back: the job ends, or is tried again. */
void attempt_over(struct manager *m, struct job *job);
/* The policy was changed since it was placed: back into the queue, and placed by the one in force. */
void attempt_not_begun(struct manager *m, struct job *job);
void attempt_failed_start(struct manager *m, struct job *job, const char *reason); /* counted against its VM */
void job_vf_back(struct manager *m, const char *vf_name); /* one that the runner is done with ends now */

/* ---- manager-rejoin.c: one whose runner cannot be made now ---- */
void rejoin_later(struct manager *m, struct job *job, const char *reason); /* it stays as it is, and is told */
bool rejoin_is_due(const struct job *job); /* nobody follows it: what becomes of it is not known */
void rejoin_soon(struct job *job);	   /* with the next pump, where it is due */
void rejoin_all_soon(struct manager *m);
void rejoin_done(struct manager *m, struct job *job); /* it has its runner, which follows it */
void rejoin_forget(struct job *job);		      /* its attempt is over */
void rejoin_pump(struct manager *m);

/* ---- manager-preempt.c: a job that runs makes way for one that waits ---- */
bool job_is_preempted(const struct job *job); /* its present attempt, or its last one, is or was to make way */
uint64_t job_preempted_for(const struct job *job); /* id of the job for which that is under way; 0 = it is not */
void job_preempt(struct manager *m, struct job *job, const struct job *by); /* its command is signalled after COMMIT */
void job_preempt_signal(struct manager *m, struct job *job); /* … or once more, by the next daemon */
/* Why it stops, in the words of the runner's step, or with the job for which it is preempted.  Returns new; NULL for NULL. */
char *job_stop_text(const struct job *job, const char *reason);
/* What the end of an attempt counts as: of one that was to make way a lost one is a preempted one.  *reason is replaced. */
enum job_result job_preempted_result(const struct job *job, enum job_result result, char **reason);
unsigned job_attempts_counted(const struct job *job); /* without those that were preempted: retries are compared with it */
/* The scheduler is asked again after so long, when a job may be preempted then; 0 = there is none. */
void preempt_again(struct manager *m, uint64_t usec);

/* ---- manager-upload.c: files of jobs that are too large for one message ---- */
int uploads_new(struct manager *m); /* forgets those of an earlier daemon */
void uploads_free(struct manager *m);
int upload_size(struct manager *m, const char *id, uid_t uid, uint64_t *ret); /* -ENOENT: not this user's */
/* Moves the content to dirfd/name; the upload is over.  Returns 0 or a negative errno. */
int upload_move(struct manager *m, const char *id, uid_t uid, int dirfd, const char *name);
