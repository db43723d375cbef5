/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options become the layout document of the API (interface: gpu.plan, gpu.apply). */
#include "cli/layout-options.h"

#include "lib/units.h"

#define LAYOUT_FILE_MAX (256 * KIB)

/* "P:2,Q:1": a profile's name may hold colons, the count is behind the last one. */
static int add_slice(json_t *slices, char *text)
{
	char *colon = strrchr(text, ':'), *end;
	unsigned long count;

	if (!colon || colon == text || colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	count = strtoul(colon + 1, &end, 10);
	if (*end || count > 4096)
		return -EINVAL;
	*colon = '\0';
	return json_array_append_new(slices, json_pack("{s:s,s:I}", "profile", text, "count",
						       (json_int_t)count)) < 0
		       ? -EINVAL
		       : 0;
}

static int layout_from_slices(struct cli *cli, const char *text, json_t **ret)
{
	_cleanup_free_ char *copy = strdup(text);
	_cleanup_json_ json_t *slices = json_array();
	char *rest = copy, *slice;

	while ((slice = strsep(&rest, ",")))
		if (add_slice(slices, slice) < 0)
			return cli_usage(cli, "--slices %s: wrong value (such as small:2,large:1)",
					 text);
	*ret = json_pack("{s:O}", "slices", slices);
	return *ret ? 0 : cli_out_of_memory(cli);
}

static int layout_from_file(struct cli *cli, const char *path, json_t **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = cli_read_file(cli, path, LAYOUT_FILE_MAX, &text, &size);
	return r ? r : cli_parse_json(cli, path, text, size, ret);
}

static int layout_from_count(struct cli *cli, json_t **ret)
{
	static const struct {
		const char *option, *member;
		bool number;
	} members[] = {
		{ "--vram", "vram", false },
		{ "--profile", "profile", false },
		{ "--ggtt", "ggtt", false },
		{ "--contexts", "contexts", true },
		{ "--doorbells", "doorbells", true },
		{ "--priority", "priority", false },
		{ "--quantum", "exec_quantum", false },
		{ "--preempt-timeout", "preempt_timeout", false },
	};
	uint64_t vfs = 0, n = 0;
	bool given = arguments_number(&cli->args, "--vfs", &vfs);
	json_t *layout;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(members) && !given; i++)
		if (arguments_text(&cli->args, members[i].option))
			return cli_usage(cli, "%s goes with --vfs N", members[i].option);
	if (!given)
		return 0;
	layout = json_pack("{s:I}", "vfs", (json_int_t)vfs);
	for (i = 0; i < ARRAY_SIZE(members); i++) {
		if (members[i].number && arguments_number(&cli->args, members[i].option, &n))
			json_put_uint(layout, members[i].member, n);
		else if (arguments_text(&cli->args, members[i].option))
			json_put_string(layout, members[i].member,
					arguments_text(&cli->args, members[i].option));
	}
	*ret = layout;
	return 0;
}

/* What goes with a number of VFs and with slices. */
static int add_defaults(struct cli *cli, json_t *layout)
{
	const char *preset = arguments_text(&cli->args, "--scheduler");
	bool defaults = arguments_flag(&cli->args, "--defaults");

	if (!defaults && !preset)
		return 0;
	if (!json_is_object(layout) || arguments_text(&cli->args, "--file"))
		return cli_usage(cli, "%s goes with --vfs N or --slices",
				 defaults ? "--defaults" : "--scheduler");
	if (defaults)
		json_put_bool(layout, "defaults", true);
	if (preset)
		json_put_string(layout, "scheduler", preset);
	return 0;
}

static int layout_of_way(struct cli *cli, json_t **ret)
{
	static const char *const ways[] = { "--vfs", "--slices", "--layout", "--file" };
	const char *slices = arguments_text(&cli->args, "--slices");
	const char *name = arguments_text(&cli->args, "--layout");
	const char *file = arguments_text(&cli->args, "--file");
	unsigned given = 0;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(ways); i++)
		given += arguments_text(&cli->args, ways[i]) != NULL;
	if (given > 1)
		return cli_usage(cli, "only one of --vfs, --slices, --layout, --file");

	r = layout_from_count(cli, ret);
	if (r || *ret)
		return r;
	if (slices)
		return layout_from_slices(cli, slices, ret);
	if (file)
		return layout_from_file(cli, file, ret);
	if (name)
		*ret = json_string(name);
	return 0;
}

int layout_from_options(struct cli *cli, json_t **ret)
{
	_cleanup_json_ json_t *layout = NULL;
	int r;

	r = layout_of_way(cli, &layout);
	if (r == 0)
		r = add_defaults(cli, layout);
	if (r == 0)
		*ret = TAKE_PTR(layout);
	return r;
}
