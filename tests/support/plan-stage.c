/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stage of the tests of plans: cards that stand still, and what is asserted of their plans. */
#include "tests/support/plan-stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

void card_init(struct card *c)
{
	memset(c, 0, sizeof(*c));
	c->facts = (struct gpu_facts){
		.address = { 0, 3, 0, 0 },
		.device_id = 0x56c0,
		.model = (char *)"Flex 170",
		.driver = (char *)"xe",
		.vf_control = VF_CONTROL_XE,
		.sriov_capable = true,
		.total_vfs = 31,
		.autoprobe = true,
		.numa_node = -1,
		.vram_bytes = { true, 16 * GIB },
		.resources[VF_ATTR_VRAM].free = { true, 15 * GIB + 512 * MIB },
		.tiles = 1,
		.can = { [VF_ATTR_VRAM] = { VF_ACCESS_WRITE, NULL },
			 [VF_ATTR_EXEC_QUANTUM] = { VF_ACCESS_WRITE, NULL },
			 [VF_ATTR_PREEMPT_TIMEOUT] = { VF_ACCESS_WRITE, NULL } },
		.vfs = c->vfs,
	};
}

void card_cut(struct card *c, unsigned n, uint64_t vram)
{
	unsigned i;

	for (i = 0; i < n; i++)
		c->vfs[i] = (struct vf_facts){ .index = i + 1,
					       .iommu_group = -1,
					       .values[VF_ATTR_VRAM] = { vram > 0, vram },
					       .values[VF_ATTR_EXEC_QUANTUM] = { true, 0 },
					       .values[VF_ATTR_PREEMPT_TIMEOUT] = { true, 0 } };
	c->facts.num_vfs = n;
	c->facts.n_vfs = n;
	c->facts.autoprobe = false;
	c->facts.resources[VF_ATTR_VRAM].free.value -= n * vram;
}

void card_generic(struct card *c)
{
	card_init(c);
	c->facts.vf_control = VF_CONTROL_GENERIC;
	c->facts.driver = (char *)"i915";
	c->facts.can[VF_ATTR_VRAM].access = VF_ACCESS_NONE;
	c->facts.can[VF_ATTR_EXEC_QUANTUM].access = VF_ACCESS_NONE;
	c->facts.can[VF_ATTR_PREEMPT_TIMEOUT].access = VF_ACCESS_NONE;
	c->facts.resources[VF_ATTR_VRAM].free.known = false;
}

struct layout *layout_of(size_t n, struct amount vram, int64_t quantum, int64_t timeout)
{
	struct layout *l = layout_new(NULL, n);
	size_t i;

	assert_non_null(l);
	for (i = 0; i < n; i++) {
		struct amount *wanted = l->vfs[i].shape.wanted;

		wanted[VF_ATTR_VRAM] = vram;
		if (quantum >= 0)
			wanted[VF_ATTR_EXEC_QUANTUM] = amount_of((uint64_t)quantum);
		if (timeout >= 0)
			wanted[VF_ATTR_PREEMPT_TIMEOUT] = amount_of((uint64_t)timeout);
	}
	return l;
}

const struct amount none = { AMOUNT_UNSET, 0 };
const struct amount fair = { AMOUNT_FAIR, 0 };

struct amount bytes(uint64_t n)
{
	return (struct amount){ AMOUNT_BYTES, n };
}

struct amount percent(uint64_t n)
{
	return (struct amount){ AMOUNT_PERCENT, n * 100 };
}

struct partition_plan *plan_of(const struct card *c, struct layout *l)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	struct partition_plan *p = NULL;

	if (partition_plan_make(&c->facts, l, &p, &error) < 0)
		fail_msg("%s", strempty(error.message));
	layout_free(l);
	return p;
}

void assert_steps(const struct partition_plan *p, const char *wanted)
{
	char *all = strdup("");
	size_t i;

	for (i = 0; i < p->n_steps; i++) {
		char *longer = xasprintf("%s%s\n", all, p->steps[i].text);

		free(all);
		all = longer;
	}
	assert_string_equal(all, wanted);
	free(all);
}

void assert_refused(const struct card *c, struct layout *l, enum rpc_code code,
			   const char *reason, const char *message, const char *hint)
{
	_cleanup_(rpc_error_done) struct rpc_error error = { 0 };
	struct partition_plan *p = NULL;

	assert_int_equal(partition_plan_make(&c->facts, l, &p, &error), -ECANCELED);
	assert_null(p);
	assert_int_equal(error.code, code);
	assert_string_equal(error.reason, reason);
	if (!strstr(error.message, message))
		fail_msg("wanted \"%s\", got \"%s\"", message, error.message);
	if (hint && !strstr(strempty(error.hint), hint))
		fail_msg("wanted hint \"%s\", got \"%s\"", hint, strempty(error.hint));
	layout_free(l);
}

void card_i915(struct card *c)
{
	size_t a;

	card_init(c);
	c->facts.driver = (char *)"i915";
	c->facts.vf_control = VF_CONTROL_I915;
	c->facts.autoprobe = false;
	for (a = 0; a < VF_ATTR_PRIORITY; a++)
		c->facts.can[a].access = VF_ACCESS_WRITE;
	c->facts.can[VF_ATTR_PRIORITY].access = VF_ACCESS_BULK;
	c->facts.resources[VF_ATTR_VRAM].grain = 2 * MIB;
	c->facts.resources[VF_ATTR_GGTT] =
		(struct resource_facts){ .free = { true, 4000 * MIB }, .grain = 64 * KIB };
	c->facts.resources[VF_ATTR_CONTEXTS] =
		(struct resource_facts){ .free = { true, 65279 }, .grain = 128 };
	c->facts.resources[VF_ATTR_DOORBELLS] =
		(struct resource_facts){ .free = { true, 256 }, .grain = 1 };
}

struct layout *wants(size_t n, enum vf_attribute attribute, struct amount amount)
{
	struct layout *l = layout_of(n, none, -1, -1);
	size_t i;

	for (i = 0; i < n; i++)
		l->vfs[i].shape.wanted[attribute] = amount;
	return l;
}

void assert_note(const struct partition_plan *p, const char *wanted)
{
	size_t i;

	for (i = 0; i < p->n_notes; i++)
		if (strstr(p->notes[i], wanted))
			return;
	fail_msg("no note says \"%s\"", wanted);
}

/* ENOKEY is what a driver says to VFs that have only part of it (reference 2.6). */
