/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One job document out of a base (document, script, command) and options on top of it. */
#include "cli/job-options.h"

#include <ctype.h>
#include <libgen.h>

#include "cli/job-files.h"
#include "lib/escape.h"

#define DOCUMENT_MAX (64 * MIB + MIB)
#define SCRIPT_MARK "#GPUVF"

static const struct option script_options[] = { JOB_OPTIONS, { NULL } };

/* ---- words of a line ---- */

/* Copies one word, without its quotes, to out. */
static int copy_word(const char **line, char **out)
{
	const char *s = *line;
	char quote = 0;

	for (; *s && (quote || !isspace((unsigned char)*s)); s++) {
		if (quote ? *s == quote : *s == '\'' || *s == '"') {
			quote = quote ? 0 : *s;
			continue;
		}
		if (*s == '\\' && quote != '\'' && s[1])
			s++;
		*(*out)++ = *s;
	}
	*(*out)++ = '\0';
	*line = s;
	return quote ? -EINVAL : 0;
}

char **split_words(const char *line, size_t *ret_n)
{
	size_t length = strlen(line), most = length / 2 + 2, n = 0;
	char **words = malloc(most * sizeof(*words) + length + most), *out;

	if (!words)
		return NULL;
	out = (char *)(words + most);
	for (;;) {
		while (isspace((unsigned char)*line))
			line++;
		if (!*line || *line == '#')
			break;
		words[n++] = out;
		if (copy_word(&line, &out) < 0) {
			free(words);
			errno = EINVAL;
			return NULL;
		}
	}
	words[n] = NULL;
	*ret_n = n;
	return words;
}

/* ---- options into the document ---- */

static const struct {
	const char *option, *member;
} text_members[] = {
	{ "--name", "name" }, { "--queue", "queue" },	   { "--profile", "profile" },
	{ "--vram", "vram" }, { "--time", "time_limit" },
};

/* The object or array below name; a new one when there is none, NULL when it is something else. */
static json_t *member_of_type(json_t *document, const char *name, json_type type)
{
	json_t *value = json_object_get(document, name);

	if (!value || json_is_null(value)) {
		value = type == JSON_OBJECT ? json_object() : json_array();
		json_object_set_new(document, name, value);
	}
	return json_typeof(value) == type ? value : NULL;
}

static int put_variable(struct cli *cli, json_t *document, const char *where, const char *text)
{
	const char *equals = strchr(text, '=');
	_cleanup_free_ char *name = equals ? strndup(text, (size_t)(equals - text)) : NULL;
	json_t *env = member_of_type(document, "env", JSON_OBJECT);

	if (!name || !*name)
		return cli_usage(cli, "%s \"%s\": write NAME=VALUE", where, text);
	if (!env)
		return cli_refuse(cli, RPC_INVALID_DOCUMENT, "\"env\": {\"NAME\": \"value\"}",
				  "/env is not an object");
	if (json_object_set_new(env, name, json_string(equals + 1)) < 0)
		return cli_usage(cli, "%s \"%s\": not valid UTF-8", where, text);
	return 0;
}

static int put_variable_file(struct cli *cli, json_t *document, const char *path)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;
	size_t size;
	int r;

	r = cli_read_file(cli, path, MIB, &text, &size);
	if (r)
		return r;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		while (isspace((unsigned char)*line))
			line++;
		if (!*line || *line == '#')
			continue;
		r = put_variable(cli, document, path, line);
		if (r)
			return r;
	}
	return 0;
}

static int put_environment(struct cli *cli, json_t *document, const struct arguments *args)
{
	json_t *item;
	size_t i;
	int r;

	json_array_foreach((json_t *)arguments_list(args, "--env-file"), i, item) {
		r = put_variable_file(cli, document, json_string_value(item));
		if (r)
			return r;
	}
	json_array_foreach((json_t *)arguments_list(args, "--env"), i, item) {
		r = put_variable(cli, document, "--env", json_string_value(item));
		if (r)
			return r;
	}
	return 0;
}

static int put_lists(struct cli *cli, json_t *document, const struct arguments *args)
{
	const json_t *files = arguments_list(args, "--file"),
		     *outputs = arguments_list(args, "--output");
	json_t *list, *item;
	size_t i;
	int r;

	list = outputs ? member_of_type(document, "outputs", JSON_ARRAY) : NULL;
	if (outputs && (!list || json_array_extend(list, (json_t *)outputs) < 0))
		return cli_refuse(cli, RPC_INVALID_DOCUMENT, "\"outputs\": [\"adapter/**\"]",
				  "/outputs is not an array");
	list = files ? member_of_type(document, "files", JSON_ARRAY) : NULL;
	if (files && !list)
		return cli_refuse(cli, RPC_INVALID_DOCUMENT,
				  "\"files\": [{\"from\": …, \"to\": …}]",
				  "/files is not an array");
	json_array_foreach((json_t *)files, i, item) {
		r = job_file_from_option(cli, list, json_string_value(item));
		if (r)
			return r;
	}
	return 0;
}

static int put_place(struct cli *cli, json_t *document, const struct arguments *args)
{
	const char *vm = arguments_text(args, "--vm"), *vms = arguments_text(args, "--vms");

	if (vm && vms)
		return cli_usage(cli, "either --vm or --vms, not both");
	if (vm || vms)
		json_object_set_new(document, "run_in",
				    json_pack("{s:s}", vm ? "vm" : "vms", vm ? vm : vms));
	return 0;
}

static int put_text(struct cli *cli, json_t *document, const struct arguments *args, const char *option,
		    const char *member)
{
	const char *text = arguments_text(args, option);

	if (text && json_put_string(document, member, text) < 0)
		return cli_usage(cli, "%s: not valid UTF-8", option);
	return 0;
}

static void put_number(json_t *document, const struct arguments *args, const char *option, const char *member)
{
	uint64_t number;

	if (arguments_number(args, option, &number))
		json_object_set_new(document, member, json_integer((json_int_t)number));
}

/* What a session has as well. */
static int put_session_options(struct cli *cli, json_t *document, const struct arguments *args)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_SIZE(text_members); i++)
		r = put_text(cli, document, args, text_members[i].option, text_members[i].member);
	put_number(document, args, "--priority", "priority");
	if (arguments_flag(args, "--hold"))
		json_put_bool(document, "hold", true);
	return r ? r : put_place(cli, document, args);
}

static int put_options(struct cli *cli, json_t *document, const struct arguments *args)
{
	int r;

	r = put_session_options(cli, document, args);
	if (r == 0)
		r = put_text(cli, document, args, "--workdir", "workdir");
	put_number(document, args, "--retries", "retries");
	if (r == 0)
		r = put_environment(cli, document, args);
	return r ? r : put_lists(cli, document, args);
}

/* ---- scripts ---- */

static int read_mark(struct cli *cli, const char *name, unsigned number, const char *line,
		     json_t *document)
{
	struct arguments args = { .words = NULL };
	_cleanup_free_ char *error = NULL;
	size_t n = 0;
	_cleanup_free_ char **words = split_words(line, &n);
	int r;

	if (!words)
		return errno == EINVAL
			       ? cli_usage(cli, "%s:%u: a quote is not closed", name, number)
			       : cli_out_of_memory(cli);
	r = arguments_parse(&args, script_options, false, (int)n, words, NULL, NULL, &error);
	if (r < 0)
		r = cli_usage(cli, "%s:%u: %s", name, number, strempty(error));
	else if (args.n_words > 0)
		r = cli_usage(cli, "%s:%u: \"%s\" is not an option", name, number, args.words[0]);
	else
		r = put_options(cli, document, &args);
	arguments_done(&args);
	return r;
}

/* The lines #GPUVF --time 4h of the script. */
static int read_marks(struct cli *cli, const char *name, const char *text, json_t *document)
{
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy, *line;
	unsigned number = 0;
	int r;

	while ((line = strsep(&rest, "\n"))) {
		size_t n = strlen(SCRIPT_MARK);

		number++;
		if (strncmp(line, SCRIPT_MARK, n) != 0 || !isspace((unsigned char)line[n]))
			continue;
		r = read_mark(cli, name, number, line + n, document);
		if (r)
			return r;
	}
	return 0;
}

/* A script with an interpreter is a file of its own, so that its first line counts; else it is for
 * /bin/sh. */
static int job_from_script(struct cli *cli, const char *path, const char *text, size_t size,
			   json_t **ret)
{
	_cleanup_free_ char *copy = strdup(path), *program = NULL;
	_cleanup_json_ json_t *document = NULL;
	const char *name = streq(path, "-") ? "stdin" : basename(copy);
	int r;

	if (!utf8_is_valid(text, size))
		return cli_refuse(cli, RPC_INVALID_DOCUMENT,
				  "a program is started by: gpuvf submit -- ./PROGRAM",
				  "%s is neither a job document nor a script", path);
	document = json_pack("{s:i,s:s}", "version", 1, "name", name);
	if (!document)
		return cli_out_of_memory(cli);
	r = read_marks(cli, name, text, document);
	if (r)
		return r;
	if (strncmp(text, "#!", 2) != 0) {
		json_put_string(document, "shell", text);
	} else {
		program = xasprintf("./%s", name);
		json_object_set_new(document, "command", json_pack("[s]", program));
		r = job_file_from_text(cli, member_of_type(document, "files", JSON_ARRAY), path,
				       name, text, size);
	}
	if (r)
		return r;
	*ret = TAKE_PTR(document);
	return 0;
}

/* ---- whole jobs ---- */

static bool looks_like_json(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return *text == '{';
}

/* Options on top, then the contents of the files. */
static int finish(struct cli *cli, json_t *document, const struct arguments *args, json_t **ret)
{
	int r;

	r = put_options(cli, document, args);
	if (r == 0)
		r = job_files_read(cli, document);
	if (r) {
		json_decref(document);
		return r;
	}
	*ret = document;
	return 0;
}

int job_from_file(struct cli *cli, const char *path, const struct arguments *args, json_t **ret)
{
	_cleanup_free_ char *text = NULL;
	json_t *document = NULL;
	size_t size;
	int r;

	r = cli_read_file(cli, path, DOCUMENT_MAX, &text, &size);
	if (r)
		return r;
	if (size == 0)
		return cli_refuse(cli, RPC_INVALID_DOCUMENT, NULL, "%s is empty", path);
	if (looks_like_json(text)) {
		r = cli_parse_json(cli, path, text, size, &document);
		if (r == 0)
			r = job_files_anchor(cli, document, path);
		if (r) {
			json_decref(document);
			return r;
		}
	} else {
		r = job_from_script(cli, path, text, size, &document);
		if (r)
			return r;
	}
	return finish(cli, document, args, ret);
}

int job_from_command(struct cli *cli, const struct arguments *args, json_t **ret)
{
	_cleanup_json_ json_t *command = json_array();
	_cleanup_free_ char *copy = NULL;
	size_t i;

	if (args->n_command == 0)
		return cli_usage(cli, "no command behind --");
	for (i = 0; i < args->n_command; i++)
		if (json_array_append_new(command, json_string(args->command[i])) < 0)
			return cli_usage(cli, "the command is not valid UTF-8");
	copy = strdup(args->command[0]);
	return finish(cli,
		      json_pack("{s:i,s:s,s:O}", "version", 1, "name", basename(copy), "command",
				command),
		      args, ret);
}

int job_from_session(struct cli *cli, const struct arguments *args, json_t **ret)
{
	_cleanup_json_ json_t *document = json_pack("{s:i,s:b}", "version", 1, "session", 1);
	int r = document ? put_session_options(cli, document, args) : cli_out_of_memory(cli);

	if (r)
		return r;
	*ret = TAKE_PTR(document);
	return 0;
}
