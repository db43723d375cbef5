/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs, one per file or two that belong together. */
#pragma once

#include "cli/cli.h"

extern const struct verb verb_list;
extern const struct verb verb_show;
extern const struct verb verb_status;
extern const struct verb verb_doctor;
extern const struct verb verb_plan;
extern const struct verb verb_apply;
extern const struct verb verb_assign;
extern const struct verb verb_release;
extern const struct verb verb_heal;
extern const struct verb verb_assert;
extern const struct verb verb_export;
extern const struct verb verb_tune;
extern const struct verb verb_drain;
extern const struct verb verb_undrain;
extern const struct verb verb_reset;
extern const struct verb verb_submit;
extern const struct verb verb_jobs;
extern const struct verb verb_wait;
extern const struct verb verb_logs;
extern const struct verb verb_fetch;
extern const struct verb verb_cancel;
extern const struct verb verb_hold;
extern const struct verb verb_unhold;
extern const struct verb verb_session;
extern const struct verb verb_extend;
extern const struct verb verb_policy;
extern const struct verb verb_watch;
extern const struct verb verb_audit;
extern const struct verb verb_call;
extern const struct verb verb_completion;
extern const struct verb verb_help;
extern const struct verb verb_version;
