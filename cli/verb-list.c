/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpuvf list: GPUs with their VFs, or one kind of thing. */
#include "cli/table.h"
#include "cli/text.h"
#include "cli/verbs.h"

/* One kind of thing that can be listed. */
struct kind {
	const char *word;
	const char *method;
	const struct table_column *columns;	 /* of -o table */
	const struct table_column *wide_columns; /* NULL = the same */
	/* Members in the order of the wide columns; the first ones are those of the narrow table.
	 * "mode" and "expires" are read from the lease. */
	const char *const *members;
};

static const struct table_column gpu_columns[] = {
	{ "NAME" },    { "ADDRESS" }, { "MODEL" }, { "DRIVER" }, { "STATE", .state = true },
	{ "VFS", .right = true }, { "MAX", .right = true }, { "VRAM", .right = true },
	{ "LAYOUT" },  { NULL },
};
static const struct table_column gpu_wide_columns[] = {
	{ "NAME" },    { "ADDRESS" }, { "MODEL" }, { "DRIVER" }, { "STATE", .state = true },
	{ "VFS", .right = true }, { "MAX", .right = true }, { "VRAM", .right = true },
	{ "LAYOUT" },  { "FREE", .right = true }, { "CONTROL" }, { "NUMA", .right = true },
	{ "DISPLAY" }, { "RULE" }, { "REASON" }, { NULL },
};
static const char *const gpu_members[] = {
	"name", "address", "model", "driver", "state", "num_vfs", "total_vfs", "vram_bytes",
	"layout_source", "vram_free_bytes", "vf_control", "numa_node", "display", "rule", "reason",
};

static const struct table_column vf_columns[] = {
	{ "NAME" }, { "ADDRESS" }, { "STATE", .state = true }, { "VRAM", .right = true },
	{ "QUANTUM", .right = true }, { "PROFILE" }, { "VM" }, { "JOB", .right = true },
	{ "USER" }, { NULL },
};
static const struct table_column vf_wide_columns[] = {
	{ "NAME" }, { "ADDRESS" }, { "STATE", .state = true }, { "VRAM", .right = true },
	{ "QUANTUM", .right = true }, { "PROFILE" }, { "VM" }, { "JOB", .right = true },
	{ "USER" }, { "PREEMPT", .right = true }, { "PRIORITY" }, { "GROUP", .right = true },
	{ "DRIVER" }, { "MODE" }, { "EXPIRES" }, { "REASON" }, { NULL },
};
static const char *const vf_members[] = {
	"name", "address", "state", "vram_bytes", "exec_quantum_ms", "profile", "vm", "job", "user",
	"preempt_timeout_us", "priority", "iommu_group", "driver", "mode", "expires", "reason",
};

static const struct table_column vm_columns[] = {
	{ "NAME" }, { "STATE", .state = true }, { "AGENT" }, { "SLOTS", .right = true },
	{ "VFS" }, { "RULE" }, { NULL },
};
static const struct table_column vm_wide_columns[] = {
	{ "NAME" }, { "STATE", .state = true }, { "AGENT" }, { "SLOTS", .right = true },
	{ "VFS" }, { "RULE" }, { "PORTS", .right = true }, { "PERSISTENT" }, { "UUID" },
	{ "REASON" }, { NULL },
};
static const char *const vm_members[] = {
	"name", "state",      "agent",      "slots", "vfs",
	"rule", "free_ports", "persistent", "uuid",  "reason",
};

static const struct table_column queue_columns[] = {
	{ "NAME" }, { "DEFAULT" }, { "OPEN" }, { "PRIORITY", .right = true },
	{ "QUEUED", .right = true }, { "RUNNING", .right = true }, { "LIMIT", .right = true },
	{ "PREEMPTS" }, { "GRACE", .right = true }, { "MIN-RUN", .right = true }, { NULL },
};
static const char *const queue_members[] = {
	"name", "default", "open", "priority", "queued", "running", "limit_running", "preempts",
	"preempt_grace_seconds", "min_runtime_seconds",
};

static const struct table_column profile_columns[] = {
	{ "NAME" }, { "VRAM", .right = true }, { "QUANTUM", .right = true },
	{ "PREEMPT", .right = true }, { "PRIORITY" }, { "FREE/POSSIBLE" }, { "DESCRIPTION" }, { NULL },
};
static const struct table_column profile_wide_columns[] = {
	{ "NAME" }, { "VRAM", .right = true }, { "QUANTUM", .right = true },
	{ "PREEMPT", .right = true }, { "PRIORITY" }, { "FREE/POSSIBLE" }, { "DESCRIPTION" },
	{ "GGTT", .right = true }, { "CONTEXTS", .right = true }, { "DOORBELLS", .right = true }, { NULL },
};
static const char *const profile_members[] = {
	"name", "vram", "exec_quantum_ms", "preempt_timeout_us", "priority", "fits", "description",
	"ggtt", "contexts", "doorbells",
};

static const struct kind kinds[] = {
	{ "gpus", "gpu.list", gpu_columns, gpu_wide_columns, gpu_members },
	{ "vfs", "vf.list", vf_columns, vf_wide_columns, vf_members },
	{ "vms", "vm.list", vm_columns, vm_wide_columns, vm_members },
	{ "queues", "queue.list", queue_columns, NULL, queue_members },
	{ "profiles", "profile.list", profile_columns, profile_wide_columns, profile_members },
};

#define COLUMNS_MAX 16

static char *count_text(const json_t *count)
{
	return json_is_integer(count) ? xasprintf("%lld", (long long)json_integer_value(count)) : strdup("?");
}

/* "gpu0 2/4, gpu1 0/7": free now, and if the card were cut for this profile alone. */
static char *fits_text(json_t *fits)
{
	char *text = NULL;
	const char *gpu;
	json_t *fit;

	json_object_foreach(fits, gpu, fit) {
		_cleanup_free_ char *before = text, *now = count_text(json_object_get(fit, "free_now"));
		_cleanup_free_ char *after = count_text(json_object_get(fit, "after_recut"));

		text = xasprintf("%s%s%s %s/%s", strempty(before), before ? ", " : "", gpu, strempty(now),
				 strempty(after));
	}
	return text ? text : strdup("-");
}

/* Where the VM has it: in the running guest, in its stored definition, in both. */
static char *mode_text(const json_t *lease)
{
	bool live = json_get_bool(lease, "live", false), config = json_get_bool(lease, "config", false);

	return strdup(live && config ? "both" : live ? "live" : config ? "config" : "-");
}

/* "12", and that it is a session where there is room for it. */
static char *job_text(struct cli *cli, const json_t *vf)
{
	char *id = text_member(cli, vf, "job");
	_cleanup_free_ char *plain = NULL;

	if (cli->format != FORMAT_WIDE || !json_get_bool(vf, "session", false))
		return id;
	plain = id;
	return xasprintf("%s (session)", strempty(plain));
}

/* "a, b" of an array of names; a share of a resource that is a number is a size. */
static char *cell_text(struct cli *cli, const char *member, const json_t *item)
{
	const json_t *value = json_object_get(item, member), *lease = json_object_get(item, "lease");
	json_t *name;
	char *text = NULL;
	size_t i;

	if ((streq(member, "vram") || streq(member, "ggtt")) && json_is_integer(value))
		return text_of(cli, "vram_bytes", value);
	if (streq(member, "mode"))
		return mode_text(lease);
	if (streq(member, "expires"))
		return text_member(cli, lease, member);
	if (streq(member, "job"))
		return job_text(cli, item);
	if (streq(member, "fits"))
		return fits_text((json_t *)value);
	if (!json_is_array(value))
		return text_of(cli, member, value);
	json_array_foreach((json_t *)value, i, name) {
		_cleanup_free_ char *before = text;

		text = xasprintf("%s%s%s", strempty(before), before ? "," : "",
				 strempty(json_string_value(name)));
	}
	return text ? text : strdup("-");
}

static void add_item(struct cli *cli, struct table *t, const struct table_column *columns,
		     const char *const *members, const json_t *item)
{
	char *cells[COLUMNS_MAX] = { NULL };
	size_t i;

	for (i = 0; columns[i].title; i++)
		cells[i] = cell_text(cli, members[i], item);
	table_add(t, cells);
}

static int print_kind(struct cli *cli, const struct kind *kind, const json_t *list)
{
	bool wide = cli->format == FORMAT_WIDE && kind->wide_columns;
	const struct table_column *columns = wide ? kind->wide_columns : kind->columns;
	_cleanup_(table_freep) struct table *t = table_new(columns);
	json_t *item;
	size_t i;

	if (!t)
		return cli_out_of_memory(cli);
	json_array_foreach(json_object_get(list, "items"), i, item)
		add_item(cli, t, columns, kind->members, item);
	table_print(t, cli->out, cli->color);
	return 0;
}

/* ---- without a word: each GPU, and its VFs below it ---- */

static const struct table_column tree_columns[] = {
	{ "NAME" }, { "ADDRESS" }, { "MODEL" }, { "DRIVER" }, { "STATE", .state = true },
	{ "VRAM", .right = true }, { "QUANTUM", .right = true }, { "VM" }, { "JOB", .right = true },
	{ "USER" }, { NULL },
};
static const struct table_column tree_wide_columns[] = {
	{ "NAME" }, { "ADDRESS" }, { "MODEL" }, { "DRIVER" }, { "STATE", .state = true },
	{ "VRAM", .right = true }, { "QUANTUM", .right = true }, { "VM" }, { "JOB", .right = true },
	{ "USER" }, { "PROFILE" }, { "GROUP", .right = true }, { "REASON" }, { NULL },
};
static const char *const tree_members[] = {
	"name", "address", "model", "driver", "state", "vram_bytes", "exec_quantum_ms", "vm", "job",
	"user", "profile", "iommu_group", "reason",
};
/* Which of them a GPU has; the cells of the others stay empty. */
static const bool gpu_has[] = { true, true, true, true, true, true, false, false, false, false,
				false, false, true };

static void add_gpu(struct cli *cli, struct table *t, const struct table_column *columns,
		    const json_t *gpu)
{
	char *cells[COLUMNS_MAX] = { NULL };
	json_t *vf;
	size_t i;

	for (i = 0; columns[i].title; i++)
		if (gpu_has[i])
			cells[i] = text_member(cli, gpu, tree_members[i]);
	table_add(t, cells);

	json_array_foreach(json_object_get(gpu, "vfs"), i, vf) {
		char *vf_cells[COLUMNS_MAX] = { NULL };
		size_t k;

		for (k = 0; columns[k].title; k++)
			vf_cells[k] = streq(tree_members[k], "model") ? strdup("")
				      : streq(tree_members[k], "job") ? job_text(cli, vf)
								      : text_member(cli, vf, tree_members[k]);
		table_add(t, vf_cells);
	}
}

static int print_tree(struct cli *cli, const json_t *list)
{
	const struct table_column *columns =
		cli->format == FORMAT_WIDE ? tree_wide_columns : tree_columns;
	_cleanup_(table_freep) struct table *t = table_new(columns);
	json_t *gpu;
	size_t i;

	if (!t)
		return cli_out_of_memory(cli);
	json_array_foreach(json_object_get(list, "items"), i, gpu)
		add_gpu(cli, t, columns, gpu);
	table_print(t, cli->out, cli->color);
	return 0;
}

static void print_names(struct cli *cli, const json_t *list, bool with_vfs)
{
	json_t *item, *vf;
	size_t i, k;

	json_array_foreach(json_object_get(list, "items"), i, item) {
		cli_say(cli, "%s", strempty(json_get_string(item, "name")));
		if (with_vfs)
			json_array_foreach(json_object_get(item, "vfs"), k, vf)
				cli_say(cli, "%s", strempty(json_get_string(vf, "name")));
	}
}

static const struct kind *find_kind(const char *word)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (streq(kinds[i].word, word))
			return &kinds[i];
	return NULL;
}

static int list_run(struct cli *cli)
{
	const char *word = arguments_word(&cli->args, 0), *names[ARRAY_SIZE(kinds)];
	const struct kind *kind = word ? find_kind(word) : NULL;
	_cleanup_json_ json_t *list = NULL;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		names[i] = kinds[i].word;
	if (word && !kind)
		return cli_unknown(cli, "list", word, names, ARRAY_SIZE(kinds));

	/* Queues and profiles are few and come without pages. */
	if (kind && (kind->columns == queue_columns || kind->columns == profile_columns))
		r = cli_call(cli, kind->method, NULL, &list);
	else
		r = cli_list(cli, kind ? kind->method : "gpu.list", NULL, 0, &list);
	if (r)
		return r;
	if (cli->quiet) {
		print_names(cli, list, !kind);
		return 0;
	}
	if (cli_wants_json(cli))
		return cli_print_json(cli, list);
	return kind ? print_kind(cli, kind, list) : print_tree(cli, list);
}

const struct verb verb_list = {
	.name = "list",
	.usage = "[gpus | vfs | vms | queues | profiles]",
	.summary = "GPUs with their VFs and who uses them, or one kind of thing",
	.max_words = 1,
	.run = list_run,
};
