/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things done in a guest through its agent: run a short program and wait for it, write a
 * file, open and read one.  Each is several agent commands; one thing at a time per struct guest.
 * Knows nothing of jobs. */
#pragma once

#include "hypervisor/hypervisor-ops.h"

struct sd_event;
struct guest;

/* Raw bytes of one read while following output: their base64 stays well below what libvirt carries
 * (4 MiB), and a busy agent is not held for long. */
#define GUEST_READ_CHUNK ((size_t)64 << 10)
/* For whole files: fewer round trips; a line of the made-up machine holds 1 MiB. */
#define GUEST_COPY_CHUNK ((size_t)512 << 10)

/* Borrowed by the callback.  Messages are escaped for a terminal. */
struct guest_answer {
	enum hv_failure failure;
	const char *message; /* never NULL unless failure is HV_OK */
	int exit_code;       /* guest_exec(): -1 = ended by the signal */
	int signal;
	const char *out, *err; /* NUL-terminated; may hold NULs besides */
	size_t out_size, err_size;
	uint64_t handle;  /* guest_open() */
	const void *data; /* guest_read() */
	size_t size;
	bool eof;
};

typedef void (*guest_fn)(void *userdata, const struct guest_answer *answer);

int guest_new(struct sd_event *event, struct hypervisor *hypervisor, const char *uuid,
	      struct guest **ret);
/* What is under way goes on in the guest; nobody is told. */
struct guest *guest_free(struct guest *g);
DEFINE_CLEANUP(struct guest *, guest_free);

bool guest_busy(const struct guest *g);

/* fn runs exactly once, later, unless guest_free() comes first. */
void guest_ping(struct guest *g, guest_fn fn, void *userdata);
/* HV_AGENT_DISABLED when a command that we need is not allowed. */
void guest_info(struct guest *g, guest_fn fn, void *userdata);
/* argv ends with NULL; argv[0] is a path. */
void guest_exec(struct guest *g, const char *const *argv, uint64_t timeout_usec, guest_fn fn,
		void *userdata);
/* Writes what fd holds to a new or emptied file of the guest.  Takes fd. */
void guest_put(struct guest *g, const char *path, int fd, guest_fn fn, void *userdata);
/* Opens for reading at an offset. */
void guest_open(struct guest *g, const char *path, uint64_t offset, guest_fn fn, void *userdata);
void guest_read(struct guest *g, uint64_t handle, size_t max, guest_fn fn, void *userdata);
/* Best effort, in the background, also beside something else. */
void guest_close(struct guest *g, uint64_t handle);

/* Runs a program in the background and forgets it; goes on after guest_free(). */
void guest_exec_forget(struct guest *g, const char *const *argv);
