/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every verb of `gpuvf` works with: where to print, what was said on the command line, and the
 * connection to the daemon.  Functions that return "an exit code" return 0 when all is well; else
 * the error was printed already and the code is what the program shall exit with (interface: "Exit
 * codes"). */
#pragma once

#include <stdio.h>

#include "cli/arguments.h"
#include "lib/json.h"
#include "lib/jsonrpc.h"
#include "lib/rpc-client.h"

#define SOCKET_DEFAULT "/run/gpuvf/gpuvf.sock"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 3,
	EXIT_NOT_PERMITTED = 4,
	EXIT_NOT_FOUND = 5,
	EXIT_CONFLICT = 6,
	EXIT_TIMEOUT = 7,
	EXIT_INVALID_DOCUMENT = 8,
	EXIT_LIMIT = 9,
	EXIT_UNSUPPORTED = 10,
	EXIT_ENDED_OTHERWISE = 11,
	EXIT_INTERRUPTED = 130,
};

enum format {
	FORMAT_TABLE,
	FORMAT_WIDE,
	FORMAT_JSON,
	FORMAT_NDJSON,
	FORMAT_MAX,
};

struct cli {
	FILE *in;
	FILE *out;
	FILE *err;
	const char *socket;
	enum format format;
	bool quiet;    /* names and ids only */
	bool utc;
	bool terminal; /* out is one */
	bool color;
	const struct verb *verb;
	struct arguments args;
	struct rpc_client *client; /* connected by the first call */
	rpc_notification_fn on_event;
	void *on_event_userdata;
	unsigned reconnects;  /* since the last event */
	json_t *subscription; /* types of the present subscription, to take it up again */
};

struct verb {
	const char *name;
	const char *usage;   /* what follows the name */
	const char *summary; /* one line */
	const char *details; /* more lines for `help VERB`, may be NULL */
	unsigned min_words;
	unsigned max_words;
	bool takes_command; /* words behind "--" are a command of their own */
	const struct option *options; /* ended by a row without a name; NULL = none */
	int (*run)(struct cli *cli);  /* returns an exit code */
};

extern const struct verb *const verbs[]; /* in the order of `help`, ended by NULL */
extern const struct option global_options[];

/* The whole program but the real streams.  Returns an exit code. */
int cli_run(int argc, char **argv, FILE *in, FILE *out, FILE *err);
const struct verb *verb_find(const char *name);
/* Prints "unknown WHAT "word"" with the nearest name.  Returns EXIT_USAGE. */
int cli_unknown(struct cli *cli, const char *what, const char *word, const char *const *names,
		size_t count);

/* ---- errors (call.c) ---- */

/* Prints the error and gives its exit code. */
int cli_fail(struct cli *cli, const struct rpc_error *error);
/* A refusal of the client's own. */
int cli_refuse(struct cli *cli, enum rpc_code code, const char *hint, const char *format, ...)
	_printf_(4, 5);
/* Wrong usage: EXIT_USAGE. */
int cli_usage(struct cli *cli, const char *format, ...) _printf_(2, 3);
int cli_out_of_memory(struct cli *cli);

/* ---- calls (call.c) ---- */

/* Asks the daemon.  Takes params.  Returns an exit code; the result is new. */
int cli_call(struct cli *cli, const char *method, json_t *params, json_t **ret_result);
/* The same, but a refusal is given to the caller as ret_error, unprinted, with exit code -1. */
int cli_try(struct cli *cli, const char *method, json_t *params, json_t **ret_result,
	    struct rpc_error *ret_error);
/* Whether a daemon can be reached: 0 or a negative errno; prints nothing. */
int cli_reach(struct cli *cli);
/* All pages of a list, at most limit items (0 = all), as one {items, next}.  Takes params. */
int cli_list(struct cli *cli, const char *method, json_t *params, uint64_t limit,
	     json_t **ret_result);
/* Events of these types (NULL = all) are given to fn from now on. Takes types. */
int cli_subscribe(struct cli *cli, json_t *types, uint64_t since, rpc_notification_fn fn,
		  void *userdata);
/* Waits for an event; deadline on the boot clock in µs, UINT64_MAX = none.  Takes the subscription
 * up again when the daemon was restarted (then *ret_missed: events may have been missed).  Returns
 * an exit code; EXIT_TIMEOUT is not printed. */
int cli_next_event(struct cli *cli, uint64_t deadline, bool *ret_missed);
void cli_disconnect(struct cli *cli);

/* ---- gpuvfd itself (daemon-program.c) ---- */

/* Runs gpuvfd with these arguments (argv[0] is set here) and our own streams, or gives what it
 * printed as new *ret_output.  Returns its exit status, or an exit code after a refusal. */
int cli_run_daemon(struct cli *cli, char **argv, char **ret_output);

/* ---- what Ctrl-C says (interrupt.c) ---- */

/* From now on Ctrl-C prints this line to stderr and ends with 130; NULL = Ctrl-C as usual. */
void interrupt_say(const char *line);

/* ---- waiting (wait.c) ---- */

/* Deadline of an option such as --wait, on the boot clock; UINT64_MAX when it was not given, 0 = wait for nothing. */
uint64_t deadline_of(const struct arguments *args, const char *option);
/* Calls a method that may answer with an operation, and waits for its end.  Takes params.  The
 * result is the method's answer as it is at the end.  On EXIT_TIMEOUT the way on was printed. */
int cli_call_and_wait(struct cli *cli, const char *method, json_t *params, uint64_t deadline,
		      json_t **ret_result);

/* The same for an answer that is here already: waits for the operation that it names, if any. */
int cli_wait_for_operation(struct cli *cli, const json_t *answer, uint64_t deadline,
			   json_t **ret_result);

enum wait_kind { WAIT_JOB, WAIT_OPERATION };

struct wait_target {
	char *id;
	enum wait_kind kind;
	json_t *object; /* as seen last, new */
	bool patient; /* an operation that hangs in the kernel is waited for all the same */
	bool reached;
	bool dirty;	/* something happened: ask again */
};

void wait_targets_done(struct wait_target *targets, size_t n);
/* Until all have reached the state, or have ended.  Subscribes.  Returns an exit code. */
int wait_for_all(struct cli *cli, struct wait_target *targets, size_t n, const char *state,
		 uint64_t deadline);
/* 0, EXIT_ENDED_OTHERWISE, or the code of the operation's error. */
int wait_target_exit(struct cli *cli, const struct wait_target *target);

/* ---- output of jobs (follow.c) ---- */

/* Writes what the job wrote, escaped when out is a terminal and raw is not set. */
int cli_write_chunk(struct cli *cli, FILE *to, const json_t *chunk, bool raw);
/* Follows stdout, and stderr when both, until the job has ended. */
int follow_job(struct cli *cli, const char *id, bool both, bool only_stderr, bool raw);

/* ---- printing (print.c) ---- */

bool cli_wants_json(const struct cli *cli); /* json or ndjson */
/* Prints the value as json, or its items as ndjson.  Returns an exit code. */
int cli_print_json(struct cli *cli, const json_t *value);
/* One line with foreign text made harmless. */
void cli_say(struct cli *cli, const char *format, ...) _printf_(2, 3);
void cli_warn(struct cli *cli, const char *format, ...) _printf_(2, 3);
/* Everything about one object, as indented "name  value" lines. */
void cli_print_object(struct cli *cli, const json_t *object);

/* "eve pid 77 vf.assign changed: state free -> leased": a row of the audit trail (verb-audit.c).  Returns new. */
char *audit_text(struct cli *cli, const json_t *row);

/* ---- words of the command line that mean something (objects.c) ---- */

bool is_operation_name(const char *s); /* op/7 */
bool is_job_id(const char *s);	       /* 12, 12_3 */
bool is_vf_name(const char *s);	       /* gpu0/vf1 or an address */
bool is_gpu_name(const char *s);       /* gpu0 or an address */
/* "12" for an id that is a number or a string.  Returns new. */
char *id_text(const json_t *object);
/* Reads a whole file, or standard input when path is "-".  Returns an exit code. */
int cli_read_file(struct cli *cli, const char *path, size_t max, char **ret, size_t *ret_size);
/* Parses JSON that came from `name`; says where it is wrong.  Returns an exit code. */
int cli_parse_json(struct cli *cli, const char *name, const char *text, size_t size, json_t **ret);
