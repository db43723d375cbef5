/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of the agent share: sim-agent.c (processes) and sim-agent-file.c. */
#pragma once

#include <sys/types.h>
#include "machine/sim-agent.h"

#define AGENT_OUTPUT_MAX ((size_t)16 << 20) /* as in qemu-ga */

struct agent_output {
	int fd; /* -1 = closed, or nothing is captured */
	char *data;
	size_t size;
	size_t allocated;
	bool truncated;
};

struct agent_process {
	pid_t pid;
	bool ended;
	int status; /* of waitpid() */
	struct agent_output out, err;
};

struct agent_file {
	int64_t handle;
	int fd;
};

struct sim_agent {
	char *root;
	bool no_exec; /* of the command that runs */
	struct agent_process *processes;
	size_t n_processes;
	struct agent_file *files;
	size_t n_files;
	int64_t next_handle;
};

/* Sets the error text; returns NULL, so that a command can end with it. */
json_t *sim_agent_fail(char **ret_error, const char *format, ...) _printf_(2, 3);
const char *sim_agent_string(const json_t *arguments, const char *name, char **ret_error);
int sim_agent_integer(const json_t *arguments, const char *name, bool required, int64_t *ret,
		      char **ret_error);

json_t *sim_agent_file_open(struct sim_agent *a, const json_t *arguments, char **ret_error);
json_t *sim_agent_file_close(struct sim_agent *a, const json_t *arguments, char **ret_error);
json_t *sim_agent_file_read(struct sim_agent *a, const json_t *arguments, char **ret_error);
json_t *sim_agent_file_write(struct sim_agent *a, const json_t *arguments, char **ret_error);
json_t *sim_agent_file_seek(struct sim_agent *a, const json_t *arguments, char **ret_error);
json_t *sim_agent_file_flush(struct sim_agent *a, const json_t *arguments, char **ret_error);
