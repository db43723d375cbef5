/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy loader: what it accepts, and that each refusal names file, place and way out. */
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#define SOURCE(file, document) { (file), (document), strlen(document) }

static struct policy *build_one(const char *text)
{
	struct policy_source source = SOURCE("a.json", text);
	struct policy *p = NULL;
	json_t *errors = NULL;
	int r = policy_build(&source, 1, &p, &errors);

	if (r < 0)
		print_error("%s\n", json_string_value(json_array_get(errors, 0)));
	assert_int_equal(r, 0);
	assert_null(errors);
	return p;
}

/* Every error that the set gives, one a line; must be refused. */
static char *refuse(const struct policy_source *sources, size_t n)
{
	struct policy *p = NULL;
	json_t *errors = NULL;
	char *all = strdup("");
	size_t i;

	assert_int_equal(policy_build(sources, n, &p, &errors), -EINVAL);
	assert_null(p);
	assert_true(json_array_size(errors) > 0);
	for (i = 0; i < json_array_size(errors); i++) {
		char *longer = xasprintf("%s%s\n", all,
					 json_string_value(json_array_get(errors, i)));

		free(all);
		all = longer;
	}
	json_decref(errors);
	return all;
}

static void assert_refused(const char *text, const char *wanted)
{
	struct policy_source source = SOURCE("a.json", text);
	_cleanup_free_ char *all = refuse(&source, 1);

	if (!strstr(all, wanted))
		fail_msg("wanted \"%s\" in:\n%s", wanted, all);
}

static void test_empty_set_has_default_queue(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p = build_one("{\"version\": 1}");

	assert_int_equal(p->n_queues, 1);
	assert_string_equal(policy_default_queue(p)->name, "default");
	assert_int_equal(p->n_gpus, 0);
	assert_int_equal(strlen(p->revision), 16);
	assert_int_equal(json_array_size(p->warnings), 0);
}

static const char full[] =
	"{\"version\": 1, \"$schema\": \"x\", \"description\": \"d\",\n"
	" \"profiles\": [{\"name\": \"quarter\", \"vram\": \"25%\", \"exec_quantum\": \"20ms\",\n"
	"   \"preempt_timeout\": \"40ms\", \"priority\": \"low\"}, {\"name\": \"any\"}],\n"
	" \"layouts\": [{\"name\": \"quarters\", \"slices\": [{\"profile\": \"quarter\", "
	"\"count\": 4}]}],\n"
	" \"gpus\": [{\"match\": {\"model\": \"*170*\", \"device_id\": \"0x56c0\"}, \"layout\": "
	"\"quarters\"},\n"
	"   {\"match\": {\"address\": \"03:00.0\", \"numa_node\": 0, \"driver\": \"xe\"},\n"
	"    \"layout\": [{\"profile\": \"any\", \"count\": 2}], \"heal\": true, \"reuse\": \"same-user\"}],\n"
	" \"vms\": [{\"match\": \"trainer-*\", \"allow\": [\"user:root\", \"everyone\"], "
	"\"slots\": 2,\n"
	"   \"vf\": \"assigned\", \"start\": \"never\", \"ready\": [\"/bin/true\"], \"run_as\": "
	"\"trainer\"}],\n"
	" \"queues\": [{\"name\": \"slow\", \"priority\": 10, \"preempt_grace\": \"2m\", \"min_runtime\": \"10m\"},\n"
	"   {\"name\": \"fast\", \"default\": true, \"preempts\": [\"slow\"],\n"
	"   \"priority\": 90, \"weight\": 300, \"max_priority\": 20, \"default_time\": \"1h\", \"max_time\": "
	"\"2h\",\n"
	"   \"allow\": [\"user:0\"], \"vms\": [\"trainer-*\"], \"host\": false, \"placement\": "
	"\"best-fit\",\n"
	"   \"limits\": {\"running\": 3, \"queued\": 9, \"per_user\": {\"running\": 1, \"queued\": "
	"2}}}],\n"
	" \"scheduling\": {\"quantum_by_weight\": true},\n"
	" \"access\": [{\"user\": \"root\", \"role\": \"admin\"}, {\"group\": \"0\", \"role\": "
	"\"viewer\"}]}";

static void test_full_document_gpus(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p = build_one(full);

	const struct amount *first = p->profiles[0].shape.wanted;

	assert_int_equal(first[VF_ATTR_VRAM].kind, AMOUNT_PERCENT);
	assert_int_equal(first[VF_ATTR_VRAM].value, 2500);
	assert_int_equal(first[VF_ATTR_EXEC_QUANTUM].value, 20);
	assert_int_equal(first[VF_ATTR_PREEMPT_TIMEOUT].value, 40000);
	assert_int_equal(first[VF_ATTR_PRIORITY].value, VF_PRIORITY_LOW);
	assert_true(vf_shape_is_empty(&p->profiles[1].shape));

	/* A rule that names a layout has its slices, too. */
	assert_string_equal(p->gpus[0].label, "gpus[0] of a.json");
	assert_string_equal(p->gpus[0].layout->name, "quarters");
	assert_int_equal(p->gpus[0].layout->slices[0].count, 4);
	assert_int_equal(p->gpus[0].device_id, 0x56c0);
	assert_false(p->gpus[0].has_address);
	assert_true(p->gpus[1].has_address);
	assert_true(p->gpus[1].has_numa_node);
	assert_null(p->gpus[1].layout->name);
	assert_false(p->gpus[0].heal);
	assert_true(p->gpus[1].heal);
	assert_int_equal(p->gpus[0].reuse, VF_REUSE_ANY);
	assert_int_equal(p->gpus[1].reuse, VF_REUSE_SAME_USER);
}

static void test_full_document_use(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p = build_one(full);

	assert_int_equal(p->vms[0].slots, 2);
	assert_int_equal(p->vms[0].vf, VM_VF_ASSIGNED);
	assert_string_equal(p->vms[0].run_as, "trainer");
	assert_string_equal(policy_default_queue(p)->name, "fast");
	assert_int_equal(p->queues[0].priority, 10);
	assert_int_equal(p->queues[1].max_priority, 20);
	assert_int_equal(p->queues[1].default_time_usec, 3600 * USEC_PER_SEC);
	assert_int_equal(p->queues[1].limit_running, 3);
	assert_string_equal(json_string_value(json_array_get(p->queues[1].preempts, 0)), "slow");
	assert_null(p->queues[0].preempts);
	assert_int_equal(p->queues[0].preempt_grace_usec, 120 * USEC_PER_SEC);
	assert_int_equal(p->queues[0].min_runtime_usec, 600 * USEC_PER_SEC);
	assert_int_equal(p->queues[0].weight, 100);
	assert_int_equal(p->queues[1].weight, 300);
	assert_true(p->scheduling.quantum_by_weight);
	assert_int_equal(p->queues[1].limit_queued_per_user, 2);
	assert_int_equal(p->access[0].role, ROLE_ADMIN);
	assert_int_equal(p->access[0].who.id, 0);
	assert_int_equal(json_array_size(json_object_get(p->document, "queues")), 2);
}

static void test_layouts_by_number(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p =
		build_one("{\"version\": 1, \"layouts\": [{\"name\": \"none\", \"vfs\": 0}, {\"name\": "
			  "\"intel\", \"vfs\": 4, \"defaults\": true, \"scheduler\": \"burstable\"}], "
			  "\"gpus\": [{\"match\": {}, \"layout\": \"intel\"}, {\"match\": {}, \"layout\": "
			  "\"none\"}]}");

	assert_int_equal(p->layouts[0].n_slices, 0);
	assert_int_equal(p->layouts[1].slices[0].count, 4);
	assert_null(p->layouts[1].slices[0].profile);
	assert_int_equal(p->gpus[0].layout->slices[0].count, 4);
	assert_true(p->gpus[0].layout->defaults);
	assert_int_equal(p->gpus[0].layout->scheduler, SCHEDULER_BURSTABLE);
	assert_int_equal(p->gpus[1].layout->n_slices, 0);
}

static void test_files_concatenate(void **state)
{
	struct policy_source sources[] = {
		SOURCE("a.json", "{\"version\": 1, \"profiles\": [{\"name\": \"p\"}]}"),
		SOURCE("b.json", "{\"version\": 1, \"gpus\": [{\"match\": {}, \"layout\": "
				 "[{\"profile\": \"p\", \"count\": 1}]}]}"),
	};
	_cleanup_(policy_unrefp) struct policy *p = NULL, *same = NULL, *other = NULL;
	json_t *errors = NULL;

	assert_int_equal(policy_build(sources, 2, &p, &errors), 0);
	assert_int_equal(p->n_profiles, 1);
	assert_int_equal(p->n_gpus, 1);
	assert_string_equal(p->gpus[0].label, "gpus[0] of b.json");
	assert_int_equal(json_array_size(p->sources), 2);

	assert_int_equal(policy_build(sources, 2, &same, &errors), 0);
	assert_string_equal(p->revision, same->revision);
	assert_int_equal(policy_build(sources, 1, &other, &errors), 0);
	assert_string_not_equal(p->revision, other->revision);
}

static void test_duplicate_names_both_places(void **state)
{
	struct policy_source sources[] = {
		SOURCE("a.json", "{\"version\": 1,\n \"queues\": [{\"name\": \"night\"}]}"),
		SOURCE("b.json", "{\"version\": 1,\n\n \"queues\": [{\"name\": \"night\"}]}"),
	};
	_cleanup_free_ char *all = refuse(sources, 2);

	assert_string_equal(all, "b.json:3:22: /queues/0/name: queue \"night\" is written at "
				 "a.json:2:22 already (rename one of the two)\n");
}

static void test_two_defaults(void **state)
{
	assert_refused("{\"version\": 1, \"queues\": [{\"name\": \"a\", \"default\": true},"
		       "{\"name\": \"b\", \"default\": true}]}",
		       "/queues/1/default: queue \"a\" is the default already, at a.json:1:");
}

static void test_scheduling_is_set_once(void **state)
{
	struct policy_source sources[] = {
		SOURCE("a.json", "{\"version\": 1, \"scheduling\": {\"quantum_by_weight\": null}}"),
		SOURCE("b.json", "{\"version\": 1, \"scheduling\": {\"quantum_by_weight\": false}}"),
		SOURCE("c.json", "{\"version\": 1, \"scheduling\": {\"quantum_by_weight\": true}}"),
	};
	_cleanup_free_ char *all = refuse(sources, 3);
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	json_t *errors = NULL;

	assert_string_equal(all, "c.json:1:52: /scheduling/quantum_by_weight: is written at b.json:1:52 "
				 "already (one file can set it)\n");
	sources[1] = sources[2];
	assert_int_equal(policy_build(sources, 2, &p, &errors), 0);
	assert_true(p->scheduling.quantum_by_weight);
}

static void test_weight_without_its_switch(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p =
		build_one("{\"version\": 1, \"queues\": [{\"name\": \"q\", \"weight\": 200}]}");

	assert_int_equal(json_array_size(p->warnings), 1);
	assert_non_null(strstr(json_string_value(json_array_get(p->warnings, 0)),
			       "/queues/0: weight means nothing without"));
}

static void test_what_nobody_preempts(void **state)
{
	static const char *const members[] = { "preempt_grace", "min_runtime" };

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		_cleanup_free_ char *text = xasprintf("{\"version\": 1, \"queues\": [{\"name\": \"q\", \"%s\": \"1m\"}]}",
						      members[i]);
		_cleanup_free_ char *words = xasprintf("/queues/0: %s means nothing: no queue names \"q\"", members[i]);
		_cleanup_(policy_unrefp) struct policy *p = build_one(text);

		assert_int_equal(json_array_size(p->warnings), 1);
		assert_non_null(strstr(json_string_value(json_array_get(p->warnings, 0)), words));
	}
}

static void test_all_errors_are_told(void **state)
{
	struct policy_source source =
		SOURCE("a.json",
		       "{\"version\": 1,\n\"profiles\": [{\"name\": \"a b\"},\n{\"nam\": \"x\"}],\n"
		       "\"layouts\": [{\"name\": \"l\", \"slices\": [{\"profile\": \"no\", "
		       "\"count\": 1}]}]}");
	_cleanup_free_ char *all = refuse(&source, 1);

	assert_non_null(strstr(all, "a.json:2:23: /profiles/0/name: \"a b\" is not a name"));
	assert_non_null(strstr(all, "a.json:3:9: /profiles/1/nam: unknown member \"nam\" (did you "
				    "mean \"name\"?)"));
	assert_non_null(strstr(all, "/layouts/0/slices/0/profile: no profile \"no\""));
}

static void test_refusals_of_documents(void **state)
{
	assert_refused("{", "a.json:1:");
	assert_refused("[]", "a.json:1:1: /: must be an object, not an array");
	assert_refused("{}", "required member \"version\" is missing");
	assert_refused("{\"version\": 2}", "/version: is 2, must be between 1 and 1");
	assert_refused("{\"version\": 1, \"version\": 1}", "duplicate");
	assert_refused("{\"version\": 1, \"gpu\": []}", "did you mean \"gpus\"?");
	assert_refused("{\"version\": 1, \"gpus\": {}}", "/gpus: must be an array");
	assert_refused("{\"version\": 1, \"templates\": []}",
		       "a.json:1:29: /templates: \"templates\" is not supported by this version "
		       "(use vms)");
	assert_refused("{\"version\": 1, \"scheduling\": {\"backfill\": \"easy\"}}",
		       "/scheduling/backfill: \"backfill\" is not supported");
}

#define IN(section, item) "{\"version\": 1, \"" section "\": [" item "]}"

static void test_refusals_of_gpu_sections(void **state)
{
	assert_refused(IN("profiles", "{\"name\": \"p\", \"vram\": 4}"),
		       "a bare number has no unit");
	assert_refused(IN("profiles", "{\"name\": \"p\", \"vram\": \"4G\"}"), "GiB");
	assert_refused(IN("profiles", "{\"name\": \"p\", \"vram\": \"0B\"}"), "at least 1B");
	assert_refused(IN("profiles", "{\"name\": \"p\", \"exec_quantum\": \"500us\"}"),
		       "must be whole milliseconds");
	assert_refused(IN("profiles", "{\"name\": \"p\", \"preempt_timeout\": \"2m\"}"),
		       "must be at most 1m40s");
	assert_refused(IN("profiles", "{\"name\": \"p\", \"priority\": \"high\"}"),
		       "/profiles/0/priority");
	assert_refused(IN("layouts", "{\"name\": \"l\", \"slices\": []}"), "at least one slice");
	assert_refused(IN("layouts",
			  "{\"name\": \"l\", \"slices\": [{\"profile\": \"p\", \"count\": 0}]}"),
		       "/layouts/0/slices/0/count: is 0");
	assert_refused(IN("layouts", "{\"name\": \"l\"}"), "must have either \"slices\" or \"vfs\"");
	assert_refused(IN("layouts", "{\"name\": \"l\", \"vfs\": 1, \"slices\": []}"),
		       "must have either \"slices\" or \"vfs\"");
	assert_refused(IN("layouts", "{\"name\": \"l\", \"vfs\": 0, \"defaults\": true}"),
		       "/layouts/0/vfs: is 0");
	assert_refused(IN("layouts", "{\"name\": \"l\", \"vfs\": 1, \"scheduler\": \"fast\"}"),
		       "/layouts/0/scheduler");
	assert_refused(IN("profiles", "{\"name\": \"p\", \"contexts\": 262141}"),
		       "/profiles/0/contexts: is 262141");
	assert_refused(IN("profiles", "{\"name\": \"p\", \"doorbells\": 0}"), "/profiles/0/doorbells");
	assert_refused(IN("profiles", "{\"name\": \"p\", \"ggtt\": \"4G\"}"), "GiB");
	assert_refused(IN("gpus", "{\"layout\": \"l\"}"), "\"match\" is missing");
	assert_refused(IN("gpus", "{\"match\": {}, \"layout\": \"l\"}"), "no layout \"l\"");
	assert_refused(IN("gpus", "{\"match\": {}, \"layout\": 4}"),
		       "/gpus/0/layout: must be the name");
	assert_refused(IN("gpus", "{\"match\": {\"device_id\": \"56c\"}, \"layout\": \"l\"}"),
		       "is not a PCI device id (four hex digits");
	assert_refused(IN("gpus", "{\"match\": {\"address\": \"3\"}, \"layout\": \"l\"}"),
		       "is not a PCI address");
	assert_refused(
		IN("gpus", "{\"match\": {}, \"layout\": \"l\", \"recut\": {\"allow\": true}}"),
		"/gpus/0/recut: \"recut\" is not supported by this version");
	assert_refused(IN("gpus", "{\"match\": {}, \"layout\": \"l\", \"heal\": \"yes\"}"),
		       "/gpus/0/heal: must be true or false");
	assert_refused(IN("gpus", "{\"match\": {}, \"layout\": \"l\", \"reuse\": \"never\"}"), "/gpus/0/reuse: ");
}

static void test_refusals_of_assignments(void **state)
{
	assert_refused(IN("assignments", "{\"vm\": \"a\"}"),
		       "/assignments/0: must have one of \"profile\", \"vf\" and \"vram\" (an assignment for");
	assert_refused(IN("assignments", "{\"vm\": \"a\", \"vram\": \"1GiB\", \"vf\": \"gpu0/vf1\"}"),
		       "must have one of");
	assert_refused(IN("assignments", "{\"vm\": \"a\", \"vf\": \"gpu0/vf0\"}"),
		       "/assignments/0/vf: \"gpu0/vf0\" names no VF (such as");
	assert_refused(IN("assignments", "{\"vm\": \"a*\", \"vf\": \"gpu0/vf1\"}"),
		       "/assignments/0/vf: several VMs (\"a*\") cannot have one VF (name one VM");
	assert_refused(IN("assignments", "{\"vm\": \"a\", \"vf\": \"gpu0/vf1\", \"mode\": \"config\", "
					 "\"shared\": true}"),
		       "/assignments/0/shared: a VF in a stored definition is nobody else's");
	assert_refused(IN("assignments", "{\"vm\": \"a\", \"vf\": \"gpu0/vf1\"}, "
					 "{\"vm\": \"b\", \"vf\": \"gpu0/vf1\"}"),
		       "/assignments/1/vf: gpu0/vf1 is VM a's already, at ");
	assert_refused(IN("assignments", "{\"vm\": \"a\", \"profile\": \"p\"}"),
		       "/assignments/0/profile: no profile \"p\" in any file of the policy");
}

static void test_refusals_of_use_sections(void **state)
{
	assert_refused(IN("vms", "{\"match\": \"\"}"), "/vms/0/match: is not a pattern");
	assert_refused(IN("vms", "{\"match\": \"*\", \"allow\": [\"eve\"]}"),
		       "/vms/0/allow/0: \"eve\" names nobody (write \"user:NAME\"");
	assert_refused(IN("vms", "{\"match\": \"*\", \"slots\": 0}"), "/vms/0/slots: is 0");
	assert_refused(IN("vms", "{\"match\": \"*\", \"run_as\": \"a b\"}"), "is not a user name");
	assert_refused(IN("vms", "{\"match\": \"*\", \"ready\": [\"gpu-ok\"]}"),
		       "/vms/0/ready/0: must be an absolute path");
	assert_refused(IN("vms", "{\"match\": \"*\", \"start\": \"always\"}"), "/vms/0/start");
	assert_refused(IN("vms", "{\"match\": \"*\", \"stop_idle\": \"15m\"}"),
		       "/vms/0/stop_idle: only VMs that were started on demand are shut down again "
		       "(add \"start\": \"on-demand\"");
	assert_refused(IN("vms", "{\"match\": \"*\", \"start\": \"on-demand\", \"stop_idle\": "
				 "\"10ms\"}"),
		       "/vms/0/stop_idle");
	assert_refused(IN("queues", "{\"name\": \"q\", \"host\": true}"), "jobs run in VMs only");
	assert_refused(IN("queues", "{\"name\": \"q\", \"windows\": []}"), "not supported");
	assert_refused(IN("queues", "{\"name\": \"q\", \"limits\": {\"vram\": \"4GiB\"}}"),
		       "/queues/0/limits/vram");
	assert_refused(
		IN("queues", "{\"name\": \"q\", \"limits\": {\"per_user\": {\"running\": 0}}}"),
		"/queues/0/limits/per_user/running: is 0");
	assert_refused(
		IN("queues", "{\"name\": \"q\", \"default_time\": \"2h\", \"max_time\": \"1h\"}"),
		"is longer than max_time");
	assert_refused(IN("queues", "{\"name\": \"q\", \"priority\": 101}"), "between 0 and 100");
	assert_refused(IN("queues", "{\"name\": \"q\", \"allow\": []}"), "must not be empty");
	assert_refused(IN("queues", "{\"name\": \"q\", \"preempts\": []}"), "/queues/0/preempts: must not be empty");
	assert_refused(IN("queues", "{\"name\": \"q\", \"preempts\": [\"batc\"]}, {\"name\": \"batch\", \"priority\": 10}"),
		       "/queues/0/preempts/0: no queue \"batc\" in any file of the policy (did you mean \"batch\"?)");
	assert_refused(IN("queues", "{\"name\": \"q\", \"preempts\": [\"q\"]}"),
		       "/queues/0/preempts/0: queue \"q\" cannot preempt itself (leave it out");
	assert_refused(IN("queues", "{\"name\": \"q\", \"preempts\": [\"b\", \"b\"]}, {\"name\": \"b\", \"priority\": 10}"),
		       "/queues/0/preempts/1: queue \"b\" is named twice (name it once)");
	assert_refused(IN("queues", "{\"name\": \"q\", \"preempts\": [\"b\"]}, {\"name\": \"b\"}"),
		       "/queues/0/preempts/0: queue \"b\" has priority 50, which is not lower than that of \"q\" (50) "
		       "(give the queue that preempts a higher priority)");
	assert_refused(IN("queues", "{\"name\": \"q\", \"preempt_grace\": \"2h\"}"), "/queues/0/preempt_grace");
	assert_refused(IN("queues", "{\"name\": \"q\", \"preempt_grace\": \"10ms\"}"), "/queues/0/preempt_grace");
	assert_refused(IN("queues", "{\"name\": \"q\", \"min_runtime\": 5}"), "/queues/0/min_runtime");
	assert_refused(IN("access", "{\"role\": \"user\"}"), "either \"group\" or \"user\"");
	assert_refused(IN("access", "{\"user\": \"a\", \"group\": \"b\", \"role\": \"user\"}"),
		       "either \"group\" or \"user\"");
	assert_refused(IN("access", "{\"user\": \"root\", \"role\": \"none\"}"), "/access/0/role");
}

static void test_unknown_people_are_warned_of(void **state)
{
	_cleanup_(policy_unrefp) struct policy *p =
		build_one(IN("vms", "{\"match\": \"*\", \"allow\": [\"user:no-such-user-here\"], "
				    "\"run_as\": \"trainer\"}"));
	const char *warning = json_string_value(json_array_get(p->warnings, 0));

	assert_string_equal(warning,
			    "a.json:1:49: /vms/0/allow/0: \"user:no-such-user-here\" is not "
			    "known on this host and matches nobody");
	assert_false(principals_allow(p->vms[0].allow, p->vms[0].n_allow, 0, NULL, 0));
}

/* For looking at a set on the loop: no name is asked for, so nobody is warned of and nobody
 * matches. */
static void test_check_asks_for_no_names(void **state)
{
	struct policy_source source =
		SOURCE("a.json",
		       IN("vms", "{\"match\": \"*\", \"allow\": [\"user:root\", \"user:no-such\"], "
				 "\"run_as\": \"trainer\"}"));
	_cleanup_(policy_unrefp) struct policy *p = NULL;
	json_t *errors = NULL;

	assert_int_equal(policy_check(&source, 1, &p, &errors), 0);
	assert_int_equal(json_array_size(p->warnings), 0);
	assert_false(p->vms[0].allow[0].resolved);
}

/* Bytes that are no UTF-8 come in by names of files, by pieces of bad JSON that jansson quotes, and
 * by words that are cut in the middle of a character. */
static void test_foreign_bytes_in_messages(void **state)
{
	static const char *const texts[] = {
		"{\"\\\\\\\xde\xa3\xa3\xa3\": 8vf",
		"{\"version\": 1, \"\xff\": 1}",
		"{\"version\": 1, "
		"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4\": 1}",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		struct policy_source source = SOURCE("\xff.json", texts[i]);
		_cleanup_free_ char *all = refuse(&source, 1);

		assert_non_null(strstr(all, "\\xff.json:1:"));
	}
}

static void test_many_errors_are_counted(void **state)
{
	char *text = strdup("{\"version\": 1, \"queues\": [{\"name\": 0}");
	struct policy_source source = { .name = "a.json" };
	_cleanup_free_ char *all = NULL;
	int i;

	for (i = 0; i < 149; i++) {
		char *longer = xasprintf("%s, {\"name\": 0}", text);

		free(text);
		text = longer;
	}
	source.text = xasprintf("%s]}", text);
	source.size = strlen(source.text);
	all = refuse(&source, 1);
	assert_non_null(strstr(all, "and 50 more errors"));
	free(text);
	free((char *)source.text);
}

static void write_file(const char *directory, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void remove_file(const char *directory, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	assert_int_equal(unlink(path), 0);
}

static void test_load_directory(void **state)
{
	char directory[] = "/tmp/gpuvf-policy-XXXXXX";
	_cleanup_free_ char *fallback = NULL, *link = NULL;
	_cleanup_(policy_unrefp) struct policy *p = NULL, *q = NULL, *s = NULL;
	_cleanup_json_ json_t *errors = NULL;

	assert_non_null(mkdtemp(directory));
	fallback = xasprintf("%s/fallback", directory);
	link = xasprintf("%s/z.json", directory);
	write_file(directory, "fallback", IN("queues", "{\"name\": \"fallback\"}"));

	assert_int_equal(policy_load(directory, fallback, &p, &errors), 0);
	assert_string_equal(p->queues[0].name, "fallback");
	assert_int_equal(policy_load("/nonexistent/gpuvf", fallback, &q, &errors), 0);
	assert_string_equal(q->queues[0].name, "fallback");

	/* Byte order: capitals first; other endings and hidden files are no policy. */
	write_file(directory, "b.json", IN("queues", "{\"name\": \"b\"}"));
	write_file(directory, "A.json", IN("queues", "{\"name\": \"a\"}"));
	write_file(directory, ".c.json", "no JSON");
	write_file(directory, "b.json.bak", "no JSON");
	assert_int_equal(policy_load(directory, fallback, &s, &errors), 0);
	assert_int_equal(s->n_queues, 2);
	assert_string_equal(s->queues[0].name, "a");

	/* An unreadable file is a refusal of the whole set. */
	assert_int_equal(symlink("nowhere", link), 0);
	p = policy_unref(p);
	assert_int_equal(policy_load(directory, fallback, &p, &errors), -EINVAL);
	assert_non_null(strstr(json_string_value(json_array_get(errors, 0)),
			       "z.json:1:1: /: cannot be read"));

	remove_file(directory, "z.json");
	remove_file(directory, "b.json");
	remove_file(directory, "A.json");
	remove_file(directory, ".c.json");
	remove_file(directory, "b.json.bak");
	remove_file(directory, "fallback");
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_set_has_default_queue),
		cmocka_unit_test(test_full_document_gpus),
		cmocka_unit_test(test_full_document_use),
		cmocka_unit_test(test_layouts_by_number),
		cmocka_unit_test(test_files_concatenate),
		cmocka_unit_test(test_duplicate_names_both_places),
		cmocka_unit_test(test_two_defaults),
		cmocka_unit_test(test_scheduling_is_set_once),
		cmocka_unit_test(test_weight_without_its_switch),
		cmocka_unit_test(test_what_nobody_preempts),
		cmocka_unit_test(test_all_errors_are_told),
		cmocka_unit_test(test_refusals_of_documents),
		cmocka_unit_test(test_refusals_of_gpu_sections),
		cmocka_unit_test(test_refusals_of_assignments),
		cmocka_unit_test(test_refusals_of_use_sections),
		cmocka_unit_test(test_unknown_people_are_warned_of),
		cmocka_unit_test(test_check_asks_for_no_names),
		cmocka_unit_test(test_foreign_bytes_in_messages),
		cmocka_unit_test(test_many_errors_are_counted),
		cmocka_unit_test(test_load_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
