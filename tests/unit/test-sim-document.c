/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulation document: what it means, and each refusal with its place. */
#include "hypervisor/hypervisor-ops.h"
#include "machine/sim-document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct sim_document *accept(const char *text)
{
	_cleanup_free_ char *message = NULL;
	struct sim_document *d = NULL;

	if (sim_document_parse("d", text, strlen(text), &d, &message) < 0)
		fail_msg("%s", message);
	return d;
}

static void refuse(const char *text, const char *expected)
{
	_cleanup_free_ char *message = NULL;
	struct sim_document *d = NULL;

	assert_int_equal(sim_document_parse("d", text, strlen(text), &d, &message), -EINVAL);
	assert_null(d);
	assert_non_null(message);
	if (!strstr(message, expected))
		fail_msg("\"%s\" does not contain \"%s\"", message, expected);
}

static void test_defaults(void **state)
{
	_cleanup_(sim_document_freep) struct sim_document *d = accept(
		"{\"gpus\": [{\"model\": \"Flex 170\"}], \"vms\": [{\"name\": \"trainer\"}]}");
	const struct sim_gpu_spec *g = &d->gpus[0];
	const struct sim_vm_spec *v = &d->vms[0];

	assert_int_equal(d->n_gpus, 1);
	assert_int_equal(g->device_id, 0x56c0);
	assert_int_equal(g->class_code, 0x038000);
	assert_int_equal(g->total_vfs, 31);
	assert_int_equal(g->vram_bytes, 16 * GIB);
	assert_string_equal(g->driver, "xe");
	assert_true(g->sriov && g->sriov_admin && g->vram_quota == SIM_QUOTA_WRITABLE && g->iommu && !g->display);
	assert_int_equal(g->numa_node, -1);
	assert_string_equal(PCI_ADDRESS_STR(&g->address), "0000:03:00.0");
	assert_int_equal(d->n_vms, 1);
	assert_int_equal(v->state, VM_RUNNING);
	assert_int_equal(v->agent, SIM_AGENT_CONNECTED);
	assert_int_equal(v->ports, 4);
	assert_true(v->persistent && v->guest_driver);
	assert_int_equal(d->linger_usec, 60 * USEC_PER_SEC);
	assert_int_equal(d->job_lock_usec, 30 * USEC_PER_SEC); /* as libvirt */
}

static void test_empty(void **state)
{
	_cleanup_(sim_document_freep) struct sim_document *d = accept("{}");

	assert_int_equal(d->n_gpus + d->n_vms + d->faults.n, 0);
}

static void test_counts(void **state)
{
	_cleanup_(sim_document_freep) struct sim_document *d = accept(
		"{\"gpus\": [{\"model\": \"Flex 170\", \"count\": 2},"
		"            {\"model\": \"Arc Pro B60\", \"address\": \"0000:04:00.0\"}],"
		" \"vms\": [{\"name\": \"t%d-x\", \"count\": 3, \"agent\": false},"
		"           {\"name\": \"u\", \"agent\": \"no-exec\", \"state\": \"off\"}]}");

	assert_int_equal(d->n_gpus, 3);
	/* the second one makes way for the address that was asked for */
	assert_string_equal(PCI_ADDRESS_STR(&d->gpus[0].address), "0000:03:00.0");
	assert_string_equal(PCI_ADDRESS_STR(&d->gpus[1].address), "0000:05:00.0");
	assert_string_equal(PCI_ADDRESS_STR(&d->gpus[2].address), "0000:04:00.0");
	assert_string_not_equal(d->gpus[0].serial, d->gpus[1].serial);
	assert_int_equal(d->n_vms, 4);
	assert_string_equal(d->vms[0].name, "t1-x");
	assert_string_equal(d->vms[2].name, "t3-x");
	assert_int_equal(d->vms[1].agent, SIM_AGENT_NONE);
	assert_int_equal(d->vms[3].agent, SIM_AGENT_NO_EXEC);
	assert_int_equal(d->vms[3].state, VM_OFF);
}

static void test_drivers(void **state)
{
	_cleanup_(sim_document_freep) struct sim_document *d = accept(
		"{\"gpus\": [{\"model\": \"Flex 170\", \"driver\": null},"
		"            {\"model\": \"Flex 170\", \"driver\": \"i915\"},"
		"            {\"model\": \"Tiger Lake\"},"
		"            {\"model\": \"Arc B580\"},"
		"            {\"model\": \"New one\", \"device_id\": \"0xE999\", \"total_vfs\": 3}]}");

	assert_null(d->gpus[0].driver);
	assert_false(d->gpus[0].sriov_admin);
	assert_false(d->gpus[1].sriov_admin || d->gpus[1].vram_quota);
	assert_true(d->gpus[2].sriov_admin);
	assert_false(d->gpus[2].vram_quota); /* it has no memory of its own */
	assert_false(d->gpus[3].sriov);
	assert_int_equal(d->gpus[4].device_id, 0xe999);
	assert_int_equal(d->gpus[4].total_vfs, 3);
}

static void test_faults(void **state)
{
	_cleanup_(sim_document_freep) struct sim_document *d = accept(
		"{\"gpus\": [{\"model\": \"Flex 170\"}], \"vms\": [{\"name\": \"t\"}], \"faults\": ["
		"{\"on\": \"sriov_numvfs\", \"gpu\": \"gpu0\", \"nth\": 2, \"error\": \"EBUSY\"},"
		"{\"on\": \"read\", \"hang\": \"30s\"}, {\"on\": \"reset\", \"hang\": true},"
		"{\"on\": \"attach\", \"vm\": \"t\", \"times\": 2, \"error\": \"no-port\"}],"
		"\"latency\": {\"attach\": \"50ms\"}}");
	const struct sim_fault *f;

	assert_null(sim_faults_take(&d->faults, SIM_NUMVFS, "gpu0", NULL, NULL));
	f = sim_faults_take(&d->faults, SIM_NUMVFS, "gpu0", NULL, NULL);
	assert_non_null(f);
	assert_int_equal(f->error, EBUSY);
	assert_null(sim_faults_take(&d->faults, SIM_NUMVFS, "gpu0", NULL, NULL));
	assert_null(sim_faults_take(&d->faults, SIM_NUMVFS, "gpu1", NULL, NULL));
	assert_int_equal(sim_faults_take(&d->faults, SIM_READ, "gpu0", NULL, NULL)->hang_usec,
			 30 * USEC_PER_SEC);
	assert_true(sim_faults_take(&d->faults, SIM_RESET, "gpu0", NULL, NULL)->hang_usec ==
		    USEC_INFINITY);
	assert_int_equal(sim_faults_take(&d->faults, SIM_ATTACH, NULL, NULL, "t")->error, HV_NO_PORT);
	assert_null(sim_faults_take(&d->faults, SIM_ATTACH, NULL, NULL, "u"));
	assert_non_null(sim_faults_take(&d->faults, SIM_ATTACH, NULL, NULL, "t"));
	assert_null(sim_faults_take(&d->faults, SIM_ATTACH, NULL, NULL, "t"));
	assert_int_equal(d->faults.latency_usec[SIM_ATTACH], 50 * USEC_PER_MSEC);
}

static void test_any_agent_command(void **state)
{
	_cleanup_(sim_document_freep) struct sim_document *d =
		accept("{\"faults\": [{\"on\": \"agent\", \"answer\": {\"a\": 1}}]}");

	assert_non_null(sim_faults_take(&d->faults, SIM_GUEST_EXEC, NULL, NULL, "t"));
	assert_null(sim_faults_take(&d->faults, SIM_DETACH, NULL, NULL, "t"));
}

static void test_ways(void **state)
{
	_cleanup_(sim_document_freep) struct sim_document *d = accept(
		"{\"gpus\": [{\"model\": \"Flex 170\", \"vram_quota\": \"read-only\", \"debugfs\": \"new\", \"euclean\": true,"
		"             \"lockdown\": true, \"ggtt\": \"2GiB\", \"contexts\": 4096, \"doorbells\": 16},"
		"            {\"model\": \"Flex 170\", \"vram_quota\": false, \"max_vfs\": 4, \"bound\": false},"
		"            {\"model\": \"Max 1550\", \"driver\": \"i915\", \"tree\": \"iov\", \"hook\": false, \"live_quotas\": true},"
		"            {\"model\": \"Flex 170\", \"driver\": \"vfio-pci\", \"vram_quota\": true}]}");
	const struct sim_gpu_spec *g = d->gpus;

	assert_int_equal(g[0].vram_quota, SIM_QUOTA_READ_ONLY);
	assert_int_equal(g[0].debugfs, SIM_DEBUGFS_NEW);
	assert_true(g[0].euclean && g[0].lockdown && g[0].bound && g[0].hook);
	assert_int_equal(g[0].stock[VF_ATTR_GGTT], 2 * GIB);
	assert_int_equal(g[0].stock[VF_ATTR_CONTEXTS], 4096);
	assert_int_equal(g[0].stock[VF_ATTR_DOORBELLS], 16);
	assert_int_equal(g[1].vram_quota, SIM_QUOTA_ABSENT);
	assert_int_equal(g[1].hardware_vfs, 31);
	assert_int_equal(g[1].total_vfs, 4);
	assert_false(g[1].bound);
	assert_int_equal(g[1].stock[VF_ATTR_GGTT], 0xfee00000);
	assert_int_equal(g[2].tiles, 2);
	assert_int_equal(g[2].tree, SIM_TREE_IOV);
	assert_false(g[2].hook);
	assert_true(g[2].live_quotas && !g[0].live_quotas);
	assert_int_equal(g[2].vram_quota, SIM_QUOTA_ABSENT); /* of xe's sriov_admin */
	assert_false(g[3].hook); /* a driver that is no driver of GPUs */
}

static void test_any_write(void **state)
{
	_cleanup_(sim_document_freep) struct sim_document *d =
		accept("{\"faults\": [{\"on\": \"write\", \"nth\": 3, \"kill\": \"after\"},"
		       "{\"on\": \"bind\", \"kill\": \"before\"}]}");
	const struct sim_fault *f;

	assert_null(sim_faults_take(&d->faults, SIM_NUMVFS, "gpu0", NULL, NULL));
	assert_null(sim_faults_take(&d->faults, SIM_READ, "gpu0", NULL, NULL)); /* is none */
	assert_null(sim_faults_take(&d->faults, SIM_SCHED_PRIORITY, "gpu1", NULL, NULL));
	f = sim_faults_take(&d->faults, SIM_RESET, "gpu0", NULL, NULL);
	assert_non_null(f);
	assert_int_equal(f->kill, SIM_KILL_AFTER);
	f = sim_faults_take(&d->faults, SIM_BIND, "gpu0", NULL, NULL);
	assert_int_equal(f->kill, SIM_KILL_BEFORE);
}

/* Which program of the guest is meant: its arguments tell. */
static void test_by_argument(void **state)
{
	_cleanup_(sim_document_freep) struct sim_document *d = accept(
		"{\"faults\": [{\"on\": \"guest-exec\", \"argument\": \"status\", \"nth\": 2, \"kill\": \"after\"}]}");
	_cleanup_json_ json_t *status = json_pack("{s:{s:s,s:[s,s]}}", "arguments", "path", "sh", "arg", "launcher", "status");
	_cleanup_json_ json_t *start = json_pack("{s:{s:s,s:[s,s]}}", "arguments", "path", "status", "arg", "launcher", "start");

	assert_null(sim_faults_take_command(&d->faults, SIM_GUEST_EXEC, "t", status));
	assert_null(sim_faults_take_command(&d->faults, SIM_GUEST_EXEC, "t", start));
	assert_null(sim_faults_take_command(&d->faults, SIM_GUEST_EXEC_STATUS, "t", status));
	assert_null(sim_faults_take_command(&d->faults, SIM_GUEST_EXEC, "t", NULL));
	assert_int_equal(sim_faults_take_command(&d->faults, SIM_GUEST_EXEC, "t", status)->kill, SIM_KILL_AFTER);
	assert_null(sim_faults_take_command(&d->faults, SIM_GUEST_EXEC, "t", status));
	refuse("{\"faults\": [{\"on\": \"attach\", \"argument\": \"x\", \"kill\": \"after\"}]}", "runs no program");
}

static void test_refused_kills(void **state)
{
	refuse("{\"faults\": [{\"on\": \"write\", \"kill\": \"now\"}]}", "/faults/0/kill");
	refuse("{\"faults\": [{\"on\": \"write\", \"kill\": \"after\", \"error\": \"EIO\"}]}",
	       "write a fault of its own");
	refuse("{\"faults\": [{\"on\": \"holders\", \"kill\": \"after\"}]}",
	       "no daemon asks for \"holders\" alone");
	refuse("{\"faults\": [{\"on\": \"guest-bars\", \"kill\": \"after\"}]}", "/faults/0/kill");
}

static void test_refused_gpus(void **state)
{
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"vram_quota\": \"maybe\"}]}",
	       "/gpus/0/vram_quota: is no way for that file to be (\"writable\", \"read-only\" or \"absent\")");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"vram_quota\": 3}]}", "/gpus/0/vram_quota");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"debugfs\": \"newest\"}]}", "/gpus/0/debugfs");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"driver\": \"i915\", \"debugfs\": \"old\"}]}",
	       "only the driver xe has quotas there");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"tree\": \"tree\"}]}", "/gpus/0/tree");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"tiles\": 3}]}", "between 1 and 2");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"ggtt\": \"8GiB\"}]}", "/gpus/0/ggtt");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"contexts\": 0}]}", "/gpus/0/contexts");
	refuse("{\"gpus\": [\n {\"model\": \"Flax 170\"}]}", "d:2:12: /gpus/0/model: ");
	refuse("{\"gpus\": [{}]}", "/gpus/0/model: required");
	refuse("{\"gpus\": [7]}", "/gpus/0: must be an object");
	refuse("{\"gpus\": {}}", "/gpus: must be an array");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"vfs\": 3}]}", "/gpus/0/vfs");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"total_vfs\": 64}]}", "between 0 and 63");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"vram\": \"16G\"}]}", "/gpus/0/vram");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"count\": 0}]}", "/gpus/0/count");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"count\": 40}, {\"model\": \"Flex 170\","
	       "\"count\": 40}]}",
	       "at most 64 GPUs");
	refuse("{\"gpus\": [{\"model\": \"X\", \"device_id\": \"56c\"}]}", "four hex digits");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"address\": \"3\"}]}", "no PCI address");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"address\": \"03:00.0\", \"count\": 2}]}",
	       "goes with one GPU");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"serial\": \"a\", \"count\": 2}]}",
	       "goes with one GPU");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"driver\": \"i915\", \"sriov_admin\": true}]}",
	       "only the driver xe");
	refuse("{\"gpus\": [{\"model\": \"Flex 170\", \"address\": \"03:00.0\"},"
	       "{\"model\": \"Flex 170\", \"address\": \"03:00.4\"}]}",
	       "among the addresses of another GPU");
}

static void test_refused_vms(void **state)
{
	refuse("{\"vms\": [{\"name\": \"a/b\"}]}", "no name for a VM");
	refuse("{\"vms\": [{\"name\": \"..\"}]}", "no name for a VM");
	refuse("{\"vms\": [{\"name\": \"\"}]}", "/vms/0/name");
	refuse("{\"vms\": [{\"name\": \"a\", \"count\": 2}]}", "needs \"%d\"");
	refuse("{\"vms\": [{\"name\": \"a%d%s\", \"count\": 2}]}", "one \"%d\" only");
	refuse("{\"vms\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}", "/vms/1/name: \"a\" is there already");
	refuse("{\"vms\": [{\"name\": \"a\", \"state\": \"on\"}]}", "/vms/0/state");
	refuse("{\"vms\": [{\"name\": \"a\", \"state\": \"gone\"}]}", "/vms/0/state");
	refuse("{\"vms\": [{\"name\": \"a\", \"agent\": \"yes\"}]}", "/vms/0/agent");
	refuse("{\"vms\": [{\"name\": \"a\", \"agent\": 1}]}", "/vms/0/agent");
	refuse("{\"vms\": [{\"name\": \"a\", \"ports\": 99}]}", "/vms/0/ports");
	refuse("{\"vms\": [{\"name\": \"a\", \"state\": \"off\", \"persistent\": false}]}",
	       "does not exist while it is off");
	refuse("{\"vms\": [{\"name\": \"a\", \"saved\": true}]}", "only a VM that is off");
	refuse("{\"vms\": [{\"name\": \"a\", \"memory\": 1024}]}", "/vms/0/memory");
	refuse("{\"vms\": [{\"name\": \"a\", \"memory\": \"1GiB\", \"resident\": \"2GiB\"}]}",
	       "more memory than the guest has");
}

static void test_refused_faults(void **state)
{
	refuse("{\"faults\": [{\"on\": \"atach\", \"error\": \"failed\"}]}", "/faults/0/on");
	refuse("{\"faults\": [{\"on\": \"attach\"}]}", "does not say what goes wrong");
	refuse("{\"faults\": [{\"on\": \"attach\", \"error\": \"EBUSY\"}]}", "no failure of libvirt");
	refuse("{\"faults\": [{\"on\": \"attach\", \"error\": \"ok\"}]}", "no failure of libvirt");
	refuse("{\"faults\": [{\"on\": \"read\", \"error\": \"failed\"}]}", "is no errno");
	refuse("{\"faults\": [{\"on\": \"read\", \"error\": \"EIO\", \"vm\": \"a\"}]}", "use \"gpu\"");
	refuse("{\"faults\": [{\"on\": \"attach\", \"error\": \"failed\", \"gpu\": \"gpu0\"}]}",
	       "use \"vm\"");
	refuse("{\"faults\": [{\"on\": \"read\", \"fewer\": 1}]}", "counts nothing");
	refuse("{\"faults\": [{\"on\": \"attach\", \"answer\": 1}]}", "not answered by an agent");
	refuse("{\"faults\": [{\"on\": \"read\", \"hang\": 30}]}", "neither a time nor true");
	refuse("{\"faults\": [{\"on\": \"read\", \"hang\": false}]}", "neither a time nor true");
	refuse("{\"faults\": [{\"on\": \"read\", \"hang\": true, \"message\": \"x\"}]}", "needs an error");
	refuse("{\"faults\": [{\"on\": \"read\", \"hang\": true, \"nth\": 0}]}", "/faults/0/nth");
	refuse("{\"faults\": [{\"on\": \"read\", \"hang\": true, \"gpu\": \"gpu0\"}]}",
	       "/faults/0/gpu: there is no \"gpu0\"");
	refuse("{\"faults\": [{\"on\": \"attach\", \"error\": \"failed\", \"vm\": \"x\"}]}",
	       "/faults/0/vm: there is no \"x\"");
}

static void test_refused_rest(void **state)
{
	refuse("", "not JSON");
	refuse("[]", "must be an object");
	refuse("{\"gpus\": [], \"gpus\": []}", "not JSON");
	refuse("{\"gpu\": []}", "/gpu: ");
	refuse("{\"latency\": {\"fly\": \"1s\"}}", "/latency/fly: there is no such access");
	refuse("{\"latency\": {\"attach\": 50}}", "/latency/attach: is not a time");
	refuse("{\"linger_seconds\": \"soon\"}", "/linger_seconds");
	refuse("{\"linger_seconds\": \"48h\"}", "/linger_seconds");
	refuse("{\"job_lock\": 0}", "/job_lock");
}

static void test_samples(void **state)
{
	static const char *const names[] = { "tests/data/simulations/flex.json",
					     "tests/data/simulations/two-models.json",
					     "tests/data/simulations/faults.json",
					     "tests/data/simulations/ways.json",
					     "examples/simulation.json" };
	const char *top = getenv("abs_top_srcdir");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", top ? top : ".", names[i]);
		_cleanup_free_ char *message = NULL;
		_cleanup_(sim_document_freep) struct sim_document *d = NULL;

		if (sim_document_load(path, &d, &message) < 0)
			fail_msg("%s", message);
		assert_true(d->n_gpus > 0 && d->n_vms > 1);
	}
}

static void test_no_file(void **state)
{
	_cleanup_free_ char *message = NULL;
	struct sim_document *d = NULL;

	assert_int_equal(sim_document_load("/nonexistent/x.json", &d, &message), -ENOENT);
	assert_string_equal(message, "/nonexistent/x.json: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),      cmocka_unit_test(test_empty),
		cmocka_unit_test(test_counts),	      cmocka_unit_test(test_drivers),
		cmocka_unit_test(test_faults),	      cmocka_unit_test(test_any_agent_command),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_any_write),
		cmocka_unit_test(test_by_argument),
		cmocka_unit_test(test_refused_kills),
		cmocka_unit_test(test_refused_gpus),  cmocka_unit_test(test_refused_vms),
		cmocka_unit_test(test_refused_faults), cmocka_unit_test(test_refused_rest),
		cmocka_unit_test(test_samples),	      cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
