/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf assign, release, heal, reset: VFs and the VMs that hold them. */
#include "cli/verbs.h"

#define MODE_OPTIONS                                                                               \
	{ "--live", OPTION_FLAG, NULL, "the running VM only" },                                    \
	{ "--config", OPTION_FLAG, NULL, "the stored definition of the VM only" },                 \
	{ "--both", OPTION_FLAG, NULL, "both (by default: whatever the VM's state allows)" }

static const struct option assign_options[] = {
	{ "--vf", OPTION_TEXT, "VF", "this VF" },
	{ "--gpu", OPTION_TEXT, "GPU", "some VF of this GPU" },
	{ "--profile", OPTION_TEXT, "P", "some VF of this profile" },
	{ "--vram", OPTION_SIZE, "SIZE", "some VF with at least so much VRAM" },
	{ "--add", OPTION_FLAG, NULL, "one more, although the VM holds such a VF" },
	MODE_OPTIONS,
	{ "--wait", OPTION_DURATION, "T",
	  "wait so long for a free VF, or for the one that --vf names, and for the end; 0s = return at once" },
	{ "--for", OPTION_DURATION, "T", "taken back by itself after so long; again: from now on; 0s = never" },
	{ NULL },
};

static const struct option release_options[] = {
	{ "--all", OPTION_FLAG, NULL, "all VFs of the VM" },
	MODE_OPTIONS,
	{ "--force", OPTION_FLAG, NULL, "power the VM off, although a job runs or the guest does not let go" },
	{ "--yes-power-off", OPTION_FLAG, NULL, "with --force: although it breaks what it says that it breaks" },
	{ "--if-epoch", OPTION_UINT, "N", "only while its lease has this epoch (gpuvf show VF)" },
	{ "--wait", OPTION_DURATION, "T",
	  "at most so long; 0s = return at once (else until it is done)" },
	{ NULL },
};

/* Adds "mode" when one was asked for. */
static int add_mode(struct cli *cli, json_t *params)
{
	static const struct {
		const char *option, *mode;
	} modes[] = { { "--live", "live" }, { "--config", "config" }, { "--both", "both" } };
	const char *mode = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!arguments_flag(&cli->args, modes[i].option))
			continue;
		if (mode)
			return cli_usage(cli, "only one of --live, --config, --both");
		mode = modes[i].mode;
	}
	if (mode)
		json_put_string(params, "mode", mode);
	return 0;
}

static void add_text(struct cli *cli, json_t *params, const char *option, const char *member)
{
	const char *text = arguments_text(&cli->args, option);

	if (text)
		json_put_string(params, member, text);
}

static int assign_params(struct cli *cli, json_t **ret)
{
	_cleanup_json_ json_t *params = json_pack("{s:s}", "vm", arguments_word(&cli->args, 0));
	uint64_t vram;
	int r;

	if (!params)
		return cli_usage(cli, "the VM's name is not valid UTF-8");
	add_text(cli, params, "--vf", "vf");
	add_text(cli, params, "--gpu", "gpu");
	add_text(cli, params, "--profile", "profile");
	if (arguments_number(&cli->args, "--vram", &vram))
		json_put_uint(params, "vram_bytes", vram);
	add_text(cli, params, "--for", "for_seconds");
	if (arguments_flag(&cli->args, "--add"))
		json_put_bool(params, "add", true);
	if (arguments_text(&cli->args, "--vf") &&
	    (arguments_text(&cli->args, "--profile") || arguments_text(&cli->args, "--vram")))
		return cli_usage(cli, "--vf names the VF: leave --profile and --vram out");
	r = add_mode(cli, params);
	if (r)
		return r;
	*ret = TAKE_PTR(params);
	return 0;
}

/* Says whether the refusal can go away by itself: all VFs are taken just now, or the one that was named is. */
static bool may_come_free(const struct rpc_error *error)
{
	return (error->code == RPC_NO_FIT && streq_ptr(error->reason, "none_free")) ||
	       (error->code == RPC_CONFLICT && streq_ptr(error->field, "vf") &&
		(streq_ptr(error->reason, "not_free") || streq_ptr(error->reason, "held")));
}

static void on_vf_event(void *userdata, const char *method, const json_t *event)
{
	bool *changed = userdata;

	*changed = true;
}

/* Tries again whenever a VF has changed, until one is free.  The subscription is older than the
 * try, so no change is missed. */
static int assign_when_free(struct cli *cli, json_t *params, uint64_t deadline, json_t **ret)
{
	bool changed = false, missed = false;
	int r;

	r = cli_subscribe(cli, json_pack("[s,s,s]", "vf.changed", "gpu.changed", "lease.changed"),
			  UINT64_MAX, on_vf_event, &changed);
	while (r == 0) {
		_cleanup_(rpc_error_done) struct rpc_error error = { 0 };

		r = cli_try(cli, "vf.assign", json_copy(params), ret, &error);
		if (r >= 0)
			break;
		if (!may_come_free(&error))
			return cli_fail(cli, &error);
		r = 0;
		for (changed = false; r == 0 && !changed; changed = changed || missed)
			r = cli_next_event(cli, deadline, &missed);
		if (r == EXIT_TIMEOUT) {
			error.code = RPC_TIMEOUT;
			return cli_fail(cli, &error);
		}
	}
	return r;
}

static int assign(struct cli *cli, uint64_t deadline, json_t **ret)
{
	_cleanup_json_ json_t *params = NULL, *first = NULL;
	int r = assign_params(cli, &params);

	if (r)
		return r;
	if (deadline == UINT64_MAX)
		return cli_call_and_wait(cli, "vf.assign", TAKE_PTR(params), deadline, ret);

	r = assign_when_free(cli, params, deadline, &first);
	if (r)
		return r;
	return cli_wait_for_operation(cli, first, deadline, ret);
}

static int assign_run(struct cli *cli)
{
	_cleanup_json_ json_t *answer = NULL;
	const char *operation, *vf, *instead;
	int r = assign(cli, deadline_of(&cli->args, "--wait"), &answer);

	if (r)
		return r;
	vf = json_get_string(answer, "vf");
	operation = json_get_string(answer, "operation");
	instead = json_get_string(answer, "instead");
	if (cli->quiet)
		cli_say(cli, "%s", vf ? vf : strempty(operation));
	else if (cli_wants_json(cli))
		return cli_print_json(cli, answer);
	else if (!vf)
		cli_say(cli, "%s was accepted; gpuvf wait %s", strempty(operation),
			strempty(operation));
	else if (instead)
		cli_say(cli, "%s holds %s, in place of %s, which is not there", arguments_word(&cli->args, 0), vf, instead);
	else
		cli_say(cli, "%s holds %s%s", arguments_word(&cli->args, 0), vf,
			json_get_bool(answer, "changed", true)
				? ""
				: ", as before: nothing was changed");
	return 0;
}

/* ---- release ---- */

static int release_params(struct cli *cli, json_t **ret)
{
	const char *word = arguments_word(&cli->args, 0);
	_cleanup_json_ json_t *params =
		json_pack("{s:s}", is_vf_name(word) ? "vf" : "vm", word);
	uint64_t epoch;
	int r;

	if (!params)
		return cli_usage(cli, "the name is not valid UTF-8");
	if (arguments_flag(&cli->args, "--all")) {
		if (is_vf_name(word))
			return cli_usage(cli, "--all is of a VM, and %s is a VF", word);
		json_put_bool(params, "all", true);
	}
	if (arguments_flag(&cli->args, "--force"))
		json_put_bool(params, "force", true);
	if (arguments_flag(&cli->args, "--yes-power-off"))
		json_put_bool(params, "yes_power_off", true);
	if (arguments_number(&cli->args, "--if-epoch", &epoch))
		json_put_uint(params, "if_epoch", epoch);
	r = add_mode(cli, params);
	if (r)
		return r;
	*ret = TAKE_PTR(params);
	return 0;
}

/* What the answer tells of a VF that is not free; NULL = nothing. */
static const json_t *left_of(const json_t *answer, const char *vf)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "left"), i, one)
		if (streq_ptr(json_get_string(one, "vf"), vf))
			return one;
	return NULL;
}

static void print_one_released(struct cli *cli, const json_t *answer, const char *vf)
{
	const json_t *left = left_of(answer, vf);
	const char *state = json_get_string(left, "state"), *vm = json_get_string(left, "vm");
	bool live = json_get_bool(left, "live", false), config = json_get_bool(left, "config", false);

	if (!left)
		cli_say(cli, "%s is free again", vf);
	else if (json_get_bool(left, "anew", false))
		cli_say(cli, "%s was released, and by now %s has it", vf, vm ? vm : "somebody else");
	else if (streq_ptr(state, "gone"))
		cli_say(cli, "%s is not there, and %s is not to have it any more", vf, vm ? vm : "its VM");
	else if (live && !config)
		cli_say(cli, "%s is out of the stored definition of %s; the guest keeps it until it is off", vf, strempty(vm));
	else if (config && !live)
		cli_say(cli, "%s is out of the guest of %s; its stored definition keeps it, and nobody else gets it", vf,
			strempty(vm));
	else
		cli_say(cli, "%s is %s%s%s", vf, strempty(state), vm ? ", with " : "", strempty(vm));
}

/* Nothing was released: what is there, is not on the side that was asked for. */
static void print_nothing_released(struct cli *cli, const json_t *answer)
{
	const char *word = arguments_word(&cli->args, 0);
	const json_t *left = json_object_get(answer, "left");
	json_t *one;
	size_t i;

	if (json_array_size(left) == 0)
		cli_say(cli, is_vf_name(word) ? "nobody holds %s: nothing was changed" : "%s holds nothing: nothing was changed",
			word);
	json_array_foreach((json_t *)left, i, one)
		cli_say(cli, "%s has %s in its %s only: nothing was changed", strempty(json_get_string(one, "vm")),
			strempty(json_get_string(one, "vf")),
			json_get_bool(one, "live", false) ? "running guest" : "stored definition");
}

static int print_released(struct cli *cli, const json_t *answer)
{
	const json_t *released = json_object_get(answer, "released");
	const char *operation = json_get_string(answer, "operation");
	json_t *name;
	size_t i;

	if (cli_wants_json(cli) && !cli->quiet)
		return cli_print_json(cli, answer);
	if (!released)
		cli_say(cli, cli->quiet ? "%s" : "%s was accepted; gpuvf wait shows its end",
			strempty(operation));
	json_array_foreach((json_t *)released, i, name)
		if (cli->quiet)
			cli_say(cli, "%s", strempty(json_string_value(name)));
		else
			print_one_released(cli, answer, strempty(json_string_value(name)));
	if (json_get_string(answer, "note") && !cli->quiet)
		cli_say(cli, "%s", json_get_string(answer, "note"));
	if (released && json_array_size(released) == 0 && !cli->quiet)
		print_nothing_released(cli, answer);
	return 0;
}

static int release_run(struct cli *cli)
{
	_cleanup_json_ json_t *answer = NULL;
	json_t *params = NULL;
	int r = release_params(cli, &params);

	if (r == 0)
		r = cli_call_and_wait(cli, "vf.release", params, deadline_of(&cli->args, "--wait"),
				      &answer);
	return r ? r : print_released(cli, answer);
}

/* ---- heal ---- */

static int heal_run(struct cli *cli)
{
	const char *word = arguments_word(&cli->args, 0);
	bool vf = is_vf_name(word);
	_cleanup_json_ json_t *answer = NULL;
	int r;

	r = cli_call_and_wait(cli, vf ? "vf.heal" : "vm.heal",
			      json_pack("{s:s}", vf ? "vf" : "vm", word), UINT64_MAX, &answer);
	if (r)
		return r;
	if (cli_wants_json(cli) && !cli->quiet)
		return cli_print_json(cli, answer);
	cli_say(cli, "%s%s", word,
		cli->quiet ? ""
		: json_get_bool(answer, "changed", true)
			? " is out of quarantine"
			: " was not in quarantine: nothing was changed");
	return 0;
}

/* ---- reset ---- */

static const struct option reset_options[] = {
	{ "--wait", OPTION_DURATION, "T",
	  "at most so long; 0s = return at once (else until it is done)" },
	{ NULL },
};

static int reset_run(struct cli *cli)
{
	const char *word = arguments_word(&cli->args, 0);
	_cleanup_json_ json_t *answer = NULL;
	json_t *params = json_pack("{s:s}", "vf", word);
	int r;

	if (!params)
		return cli_usage(cli, "the VF's name is not valid UTF-8");
	r = cli_call_and_wait(cli, "vf.reset", params, deadline_of(&cli->args, "--wait"), &answer);
	if (r)
		return r;
	if (cli_wants_json(cli) && !cli->quiet)
		return cli_print_json(cli, answer);
	if (json_get_string(answer, "vf"))
		cli_say(cli, cli->quiet ? "%s" : "%s was reset and answers", word);
	else
		cli_say(cli, cli->quiet ? "%s" : "%s was accepted; gpuvf wait shows its end",
			strempty(json_get_string(answer, "operation")));
	return 0;
}

const struct verb verb_assign = {
	.name = "assign",
	.usage = "VM [options]",
	.summary = "make sure that a VM holds a VF",
	.details = "Without options, any free VF.  A VM that holds such a VF already keeps it.",
	.min_words = 1,
	.max_words = 1,
	.options = assign_options,
	.run = assign_run,
};

const struct verb verb_release = {
	.name = "release",
	.usage = "VM | VF [options]",
	.summary = "take a VF back from a VM, cleanly",
	.details = "With --force the VM is powered off hard first; what that breaks is said, and done with "
		   "--yes-power-off.",
	.min_words = 1,
	.max_words = 1,
	.options = release_options,
	.run = release_run,
};

const struct verb verb_heal = {
	.name = "heal",
	.usage = "VF | VM",
	.summary = "take a VF or a VM out of quarantine",
	.min_words = 1,
	.max_words = 1,
	.run = heal_run,
};

const struct verb verb_reset = {
	.name = "reset",
	.usage = "VF [--wait T]",
	.summary = "reset a free VF and look whether it answers",
	.min_words = 1,
	.max_words = 1,
	.options = reset_options,
	.run = reset_run,
};
