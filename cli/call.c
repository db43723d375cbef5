/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls to the daemon, their refusals as people and programs read them, lists page by page, events.
 */
#include <stdarg.h>

#include "cli/cli.h"
#include "lib/clock.h"
#include "lib/escape.h"

/* A daemon that dies again and again must not keep us in a circle. */
#define RECONNECTS_MAX 5
/* What the daemon gives at most in one answer. */
#define PAGE_MAX 1000

static char *vtext(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));

static char *vtext(const char *format, va_list ap)
{
	char *text = NULL;

	return vasprintf(&text, format, ap) < 0 ? NULL : text;
}

/* "a, b" of the holders.  Returns new, or NULL when there are none. */
static char *holders_text(const struct rpc_error *error)
{
	char *text = NULL;
	json_t *holder;
	size_t i;

	json_array_foreach(error->holders, i, holder) {
		char *longer = xasprintf("%s%s%s", strempty(text), text ? ", " : "",
					 strempty(json_string_value(holder)));

		free(text);
		text = longer;
	}
	return text;
}

static void print_error(struct cli *cli, const struct rpc_error *error)
{
	_cleanup_free_ char *holders = holders_text(error), *whole = NULL, *safe = NULL;
	const char *message = error->message ? error->message : rpc_code_to_string(error->code);

	whole = xasprintf("%s%s%s%s%s%s%s", message, holders ? ": held by " : "", strempty(holders),
			  error->hint ? " (" : "", strempty(error->hint), error->hint ? ")" : "",
			  "");
	safe = whole ? escape_terminal(whole, strlen(whole), false) : NULL;
	if (cli->verb)
		fprintf(cli->err, "gpuvf: %s: %s\n", cli->verb->name, strempty(safe));
	else
		fprintf(cli->err, "gpuvf: %s\n", strempty(safe));
}

int cli_fail(struct cli *cli, const struct rpc_error *error)
{
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = NULL;

	fflush(cli->out);
	if (!cli_wants_json(cli)) {
		print_error(cli, error);
		return rpc_code_to_exit(error->code);
	}
	json = rpc_error_to_json(error);
	text = json ? json_text(json) : NULL;
	fprintf(cli->err, "%s\n", strempty(text));
	return rpc_code_to_exit(error->code);
}

static int refuse(struct cli *cli, enum rpc_code code, const char *reason, const char *hint,
		  const char *message)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };

	rpc_error_set(&error, code, "%s", strempty(message));
	rpc_error_detail(&error, reason, NULL, hint);
	return cli_fail(cli, &error);
}

int cli_refuse(struct cli *cli, enum rpc_code code, const char *hint, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, format);
	text = vtext(format, ap);
	va_end(ap);
	return refuse(cli, code, NULL, hint, text);
}

int cli_usage(struct cli *cli, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, format);
	text = vtext(format, ap);
	va_end(ap);
	(void)refuse(cli, RPC_INVALID_PARAMS, "usage", NULL, text);
	return EXIT_USAGE;
}

int cli_out_of_memory(struct cli *cli)
{
	return refuse(cli, RPC_INTERNAL_ERROR, NULL, NULL, "out of memory");
}

/* ---- connection ---- */

static int not_reachable(struct cli *cli, int r)
{
	_cleanup_free_ char *text = xasprintf("%s: %s", cli->socket, strerror(-r));

	if (r == -EACCES || r == -EPERM)
		return refuse(cli, RPC_NOT_PERMITTED, "socket_closed",
			      "who may call is the socket's group; is this user in it?", text);
	(void)refuse(cli, RPC_HOST_ERROR, "not_reachable",
		     "does gpuvfd run? systemctl start gpuvfd.socket", text);
	return EXIT_UNREACHABLE;
}

static int broken(struct cli *cli, int r)
{
	_cleanup_free_ char *text = NULL;

	text = r == -EPIPE ? strdup("the daemon closed the connection before it answered")
	       : r == -EBADMSG ? xasprintf("%s does not speak this protocol", cli->socket)
			       : xasprintf("the connection broke: %s", strerror(-r));
	(void)refuse(cli, RPC_HOST_ERROR, "not_reachable", "journalctl -u gpuvfd tells more", text);
	return EXIT_UNREACHABLE;
}

static void on_notification(void *userdata, const char *method, const json_t *params)
{
	struct cli *cli = userdata;

	if (cli->on_event && streq(method, "event"))
		cli->on_event(cli->on_event_userdata, method, params);
}

static int connect_once(struct cli *cli)
{
	int r;

	if (cli->client)
		return 0;
	r = rpc_client_connect(cli->socket, &cli->client);
	if (r < 0)
		return r;
	rpc_client_on_notification(cli->client, on_notification, cli);
	return 0;
}

int cli_reach(struct cli *cli)
{
	return connect_once(cli);
}

void cli_disconnect(struct cli *cli)
{
	cli->client = rpc_client_free(cli->client);
	json_decref(cli->subscription);
	cli->subscription = NULL;
}

/* ---- calls ---- */

int cli_try(struct cli *cli, const char *method, json_t *params, json_t **ret_result,
	    struct rpc_error *ret_error)
{
	int r = connect_once(cli);

	if (r < 0) {
		json_decref(params);
		return not_reachable(cli, r);
	}
	r = rpc_client_call(cli->client, method, params, ret_result, ret_error);
	if (r == -ECANCELED)
		return -1;
	if (r < 0) {
		cli->client = rpc_client_free(cli->client);
		return broken(cli, r);
	}
	return 0;
}

int cli_call(struct cli *cli, const char *method, json_t *params, json_t **ret_result)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	int r = cli_try(cli, method, params, ret_result, &error);

	return r == -1 ? cli_fail(cli, &error) : r;
}

/* One page into items. */
static int add_page(struct cli *cli, const char *method, json_t *params, uint64_t limit,
		    json_t *items, json_t **ret_next)
{
	_cleanup_json_ json_t *page = NULL, *call = json_copy(params);
	const json_t *next;
	uint64_t left = limit ? limit - json_array_size(items) : PAGE_MAX;
	int r;

	if (limit && json_put_uint(call, "limit", MIN_OF(left, (uint64_t)PAGE_MAX)) < 0)
		return cli_out_of_memory(cli);
	if (*ret_next && json_object_set_new(call, "after", *ret_next) < 0)
		return cli_out_of_memory(cli);
	*ret_next = NULL;

	r = cli_call(cli, method, TAKE_PTR(call), &page);
	if (r)
		return r;
	if (!json_is_array(json_object_get(page, "items")) ||
	    json_array_extend(items, json_object_get(page, "items")) < 0)
		return broken(cli, -EBADMSG);
	next = json_object_get(page, "next");
	if (json_is_string(next) && json_array_size(json_object_get(page, "items")) > 0)
		*ret_next = json_incref((json_t *)next);
	return 0;
}

int cli_list(struct cli *cli, const char *method, json_t *params, uint64_t limit,
	     json_t **ret_result)
{
	_cleanup_json_ json_t *filters = params ? params : json_object(), *items = json_array();
	json_t *next = NULL;
	int r;

	do {
		r = add_page(cli, method, filters, limit, items, &next);
		if (r)
			return r;
	} while (next && !(limit && json_array_size(items) >= limit));

	*ret_result = json_pack("{s:O,s:o}", "items", items, "next", next ? next : json_null());
	return *ret_result ? 0 : cli_out_of_memory(cli);
}

/* ---- events ---- */

static int subscribe(struct cli *cli, json_t *params)
{
	_cleanup_json_ json_t *result = NULL;

	return cli_call(cli, "event.subscribe", params, &result);
}

int cli_subscribe(struct cli *cli, json_t *types, uint64_t since, rpc_notification_fn fn,
		  void *userdata)
{
	json_t *params = json_object();

	cli->on_event = fn;
	cli->on_event_userdata = userdata;
	json_decref(cli->subscription);
	cli->subscription = types ? types : json_null();
	if (types)
		json_object_set(params, "types", types);
	if (since != UINT64_MAX)
		json_put_uint(params, "since", since);
	return subscribe(cli, params);
}

static int resubscribe(struct cli *cli)
{
	json_t *params = json_object();

	if (json_is_array(cli->subscription))
		json_object_set(params, "types", cli->subscription);
	return subscribe(cli, params);
}

int cli_next_event(struct cli *cli, uint64_t deadline, bool *ret_missed)
{
	uint64_t now = now_boottime();
	int timeout = -1, r;

	if (deadline != UINT64_MAX)
		timeout = deadline <= now ? 0 : (int)MIN_OF((deadline - now) / 1000 + 1, 86400000U);
	r = rpc_client_receive(cli->client, timeout);
	if (r > 0) {
		cli->reconnects = 0;
		return 0;
	}
	if (r == 0)
		return deadline <= now_boottime() ? EXIT_TIMEOUT : 0;
	if (r == -EINTR)
		return 0;
	if (r != -EPIPE || cli->reconnects++ >= RECONNECTS_MAX)
		return broken(cli, r);

	cli->client = rpc_client_free(cli->client);
	*ret_missed = true;
	return resubscribe(cli);
}
