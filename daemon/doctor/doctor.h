/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doctor: looks at host, GPUs and VMs, and says what is wrong, where that is seen, and what to
 * do. Gathering (gather-*.c) runs in worker processes with deadlines; judging (check-*.c) is pure.
 * main.c runs doctor_main(); the manager runs the same program as a child and adds what only it
 * knows. */
#pragma once

#include "core/facts.h"
#include "doctor/examination.h"
#include "doctor/gather.h"

/* How long one run may take as a whole: two rounds of workers, see examine.c, and room. */
#define DOCTOR_DEADLINE_USEC ((uint64_t)40 * 1000000)

/* Looks at everything.  spare: addresses (NULL-ended, or NULL) of GPUs that are known not to answer
 * and are not touched, each with "=ATTRIBUTE" behind it when it is known what hangs. */
void doctor_examine(const struct gather_options *o, const char *const *spare,
		    struct examination *ret);

/* Notes of what is known already, for machines that are made up: as if it had been read there. */
void doctor_note_control(struct notebook *book, const char *source, const struct gpu_facts *f);
void doctor_note_gpu(struct notebook *book, const char *source, const struct gpu_facts *f);
void doctor_note_vm(struct notebook *book, const char *source, const struct domain_facts *f);

/* Of the shipped known-bad.json below this folder; NULL, and a finding that says so, when it cannot
 * be loaded. */
struct known_bad *doctor_load_known_bad(const char *data_dir, struct findings *findings);

struct doctor_options {
	struct gather_options gather;
	const char *data_dir;
	const char *const *spare;
	const char *object; /* GPU's address or VM's name; NULL = everything */
	bool json, wide;
	const char *bundle; /* file to make; NULL = none */
	bool force;
};

/* `gpuvfd --doctor`: prints, or makes the bundle.  Returns the exit status: 0, 1 when something is
 * an error, 5 when there is no such object, 6 when the bundle's file is there already. */
int doctor_main(const struct doctor_options *o);

/* The bundle (bundle.c).  The file is made before anything is looked at: 0600, and never over one
 * that is there unless force is set (-EEXIST).  Both return 0, or a negative errno after saying
 * why. */
int doctor_bundle_create(const char *path, bool force, int *ret);
int doctor_bundle_write(const char *path, int fd, const struct examination *e,
			const struct findings *f);
