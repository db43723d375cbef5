/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random cards, random layouts: a plan ends in the layout, a second one writes nothing, a refusal says what
 * is then accepted, and after a failure at any step the way back ends in the layout before, with nothing
 * left over.  The seed is printed. */
#include "partition/partition.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/support/model-card.h"
#include "tests/support/random.h"

#define CARDS 2000
#define LAYOUTS 4 /* one after the other on each card */
#define REPAIRS 40

static struct random rnd;

static void allow(struct model_card *c, enum vf_attribute a, enum vf_access access)
{
	c->facts.can[a].access = access;
}

static void make_way(struct model_card *c)
{
	bool has_vram = !random_one_in(&rnd, 4);
	size_t a;

	switch (random_below(&rnd, 4)) {
	case 0:
		c->facts.vf_control = VF_CONTROL_XE;
		if (has_vram)
			allow(c, VF_ATTR_VRAM, random_one_in(&rnd, 3) ? VF_ACCESS_READ : VF_ACCESS_WRITE);
		allow(c, VF_ATTR_PRIORITY, random_one_in(&rnd, 3) ? VF_ACCESS_READ : VF_ACCESS_BULK);
		break;
	case 1:
	case 2:
		c->facts.vf_control =
			random_one_in(&rnd, 2) ? VF_CONTROL_XE_DEBUGFS : VF_CONTROL_I915;
		for (a = has_vram ? 0 : 1; a < VF_RESOURCE_MAX; a++)
			allow(c, (enum vf_attribute)a, VF_ACCESS_WRITE);
		allow(c, VF_ATTR_PRIORITY, VF_ACCESS_BULK);
		break;
	default:
		c->facts.vf_control = VF_CONTROL_GENERIC;
		return;
	}
	allow(c, VF_ATTR_EXEC_QUANTUM, VF_ACCESS_WRITE);
	allow(c, VF_ATTR_PREEMPT_TIMEOUT, VF_ACCESS_WRITE);
}

static void make_card(struct model_card *c)
{
	static const uint64_t plenty[VF_RESOURCE_MAX] = { UINT64_C(1) << 60, UINT64_C(1) << 60, 65279, 256 };
	static const unsigned ids[] = { 0x56c0, 0x56c1, 0x0bd4, 0x0bda, 0xe211, 0xe222, 0x46a6 };

	memset(c, 0, sizeof(*c));
	c->facts = (struct gpu_facts){
		.address = { 0, 3, 0, 0 },
		.device_id = ids[random_below(&rnd, ARRAY_SIZE(ids))],
		.model = (char *)"model",
		.driver = (char *)"some",
		.sriov_capable = true,
		.total_vfs = (unsigned)random_below(&rnd, MODEL_VFS_MAX) + 1,
		.autoprobe = random_one_in(&rnd, 2),
		.numa_node = -1,
		.tiles = random_one_in(&rnd, 3) ? 2 : 1,
	};
	make_way(c);
	c->stock[VF_ATTR_VRAM] = (random_below(&rnd, 16384) + 1) * 2 * MIB;
	c->stock[VF_ATTR_GGTT] = (random_below(&rnd, 65536) + 1) * 64 * KIB;
	c->stock[VF_ATTR_CONTEXTS] = random_below(&rnd, 65152) + 128;
	c->stock[VF_ATTR_DOORBELLS] = random_below(&rnd, 256) + 1;
	for (size_t a = 0; a < VF_RESOURCE_MAX; a++) {
		c->tells[a] = c->facts.can[a].access != VF_ACCESS_NONE && !random_one_in(&rnd, 6);
		if (!c->tells[a]) /* then only the kernel could refuse: here it has no reason to */
			c->stock[a] = plenty[a];
		c->stock[a] *= c->facts.tiles;
	}
	c->facts.resources[VF_ATTR_VRAM].grain = 2 * MIB * c->facts.tiles;
	c->facts.resources[VF_ATTR_GGTT].grain = (random_one_in(&rnd, 2) ? 4 : 64) * KIB;
	c->facts.resources[VF_ATTR_CONTEXTS].grain = random_one_in(&rnd, 2) ? 128 : 1;
	c->facts.resources[VF_ATTR_DOORBELLS].grain = 1;
}

static struct amount random_amount(const struct model_card *c, enum vf_attribute a)
{
	bool bytes = a == VF_ATTR_VRAM || a == VF_ATTR_GGTT;

	if (a == VF_ATTR_PRIORITY)
		return amount_of(random_below(&rnd, 2));
	if (a == VF_ATTR_EXEC_QUANTUM)
		return amount_of(random_below(&rnd, 100));
	if (a == VF_ATTR_PREEMPT_TIMEOUT)
		return amount_of(random_below(&rnd, 100000));
	if (bytes && random_one_in(&rnd, 3))
		return (struct amount){ AMOUNT_PERCENT, random_below(&rnd, 10000) + 1 };
	if (bytes && random_one_in(&rnd, 4))
		return (struct amount){ AMOUNT_FAIR, 0 };
	return amount_of(random_below(&rnd, MIN_OF(c->stock[a], 64 * GIB)) / (random_below(&rnd, 40) + 1) + 1);
}

static struct layout *make_layout(const struct model_card *c)
{
	size_t n = random_below(&rnd, c->facts.total_vfs + 3), i, a;
	struct layout *l = layout_new(NULL, n);

	assert_non_null(l);
	for (a = 0; a < VF_ATTRIBUTE_MAX && n > 0; a++) {
		struct amount one = random_amount(c, (enum vf_attribute)a);
		uint64_t how = random_below(&rnd, 5);

		for (i = 0; i < n && how < 3; i++) /* the same, each its own, or some only */
			if (how < 2 || random_one_in(&rnd, 2))
				l->vfs[i].shape.wanted[a] =
					how == 0 ? one : random_amount(c, (enum vf_attribute)a);
	}
	l->defaults = n > 0 && random_one_in(&rnd, 6);
	l->scheduler = n > 0 && random_one_in(&rnd, 6) ?
			       (enum scheduler_preset)(random_below(&rnd, SCHEDULER_PRESET_MAX - 1) + 1) :
			       SCHEDULER_NONE;
	return l;
}

/* ---- following a hint ---- */

static int attribute_of(const struct rpc_error *e)
{
	return e->field ? vf_shape_member_from_string(e->field) : -EINVAL;
}

static void set_all(struct layout *l, int attribute, struct amount amount)
{
	size_t i;

	for (i = 0; i < l->n_vfs; i++)
		l->vfs[i].shape.wanted[attribute] = amount;
}

static void clear_quotas(struct layout *l)
{
	int a;

	for (a = 0; a < VF_RESOURCE_MAX; a++)
		set_all(l, a, (struct amount){ 0 });
	l->defaults = false;
}

static void fewer(struct layout *l, size_t n)
{
	assert_true(n > 0 && n < l->n_vfs);
	l->n_vfs = n;
}

/* "at most 3968MiB for each of 4 VFs". */
static bool take_amount(struct layout *l, const struct rpc_error *e)
{
	char word[32];
	uint64_t n;

	if (sscanf(e->hint, "at most %31s for each of", word) != 1)
		return false;
	if (strspn(word, "0123456789") == strlen(word))
		n = strtoull(word, NULL, 10);
	else
		assert_int_equal(size_parse(word, &n, NULL), 0);
	set_all(l, attribute_of(e), amount_of(n));
	return true;
}

/* Does what the refusal says. */
static void follow(struct layout *l, const struct rpc_error *e)
{
	unsigned whole, part;
	size_t n;

	assert_non_null(e->reason);
	assert_non_null(e->field);
	assert_non_null(e->hint);
	if (take_amount(l, e))
		return;
	if (sscanf(e->hint, "ask for at most %zu", &n) == 1 || sscanf(e->hint, "ask for one of %zu", &n) == 1 ||
	    sscanf(e->hint, "ask for %zu", &n) == 1) {
		if (n < l->n_vfs)
			fewer(l, n);
		else
			l->defaults = false; /* more VFs than the layout has: the other way out */
	} else if (sscanf(e->hint, "it comes in pieces of %*[^:]: at least %u.%u%%", &whole, &part) == 2) {
		set_all(l, attribute_of(e), (struct amount){ AMOUNT_PERCENT, whole * 100 + part });
	} else if (strstr(e->hint, "leave all quotas to the driver")) {
		clear_quotas(l);
	} else if (streq(e->field, "defaults") || strstr(e->hint, "leave defaults out")) {
		l->defaults = false;
	} else if (streq(e->field, "scheduler")) {
		l->scheduler = SCHEDULER_BURSTABLE;
	} else {
		if (!strstr(e->hint, "leave") && !strstr(e->hint, "to none") && !strstr(e->hint, "write a size"))
			fail_msg("nothing to follow in \"%s\" (%s)", e->hint, e->message);
		set_all(l, attribute_of(e), (struct amount){ 0 });
		if (attribute_of(e) >= VF_RESOURCE_MAX)
			l->scheduler = SCHEDULER_NONE;
		if (attribute_of(e) < VF_RESOURCE_MAX)
			l->defaults = false;
	}
}

/* Until it is accepted; a number that was given is right for its field. */
static struct partition_plan *plan_following_hints(struct model_card *c, struct layout *l)
{
	_cleanup_free_ char *field = NULL;
	struct partition_plan *p = NULL;
	unsigned i;

	for (i = 0; i < REPAIRS; i++) {
		_cleanup_(rpc_error_done) struct rpc_error e = { 0 };
		size_t n = l->n_vfs;

		if (partition_plan_make(model_card_show(c), l, &p, &e) == 0)
			return p;
		if (field && streq(field, e.field))
			fail_msg("the number of the hint was refused: %s (%s)", e.message, e.hint);
		follow(l, &e);
		free(field);
		field = n == l->n_vfs && strncmp(e.hint, "at most", 7) == 0 ? strdup(e.field) : NULL;
	}
	fail_msg("%d hints followed, and still no plan", REPAIRS);
	return NULL;
}

/* ---- carrying plans out ---- */

static void run_step(struct model_card *c, const struct partition_step *s)
{
	struct known value = { 0 };
	int r = model_card_do(c, &s->request, &value);

	if (r < 0 && !s->optional)
		fail_msg("%s: %s", s->text, strerror(-r));
	if (r < 0 || !s->expect)
		return;
	assert_true(s->at_least ? value.value >= s->at_least : value.value == s->exactly);
}

static void run_plan(struct model_card *c, const struct partition_plan *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		run_step(c, &p->steps[i]);
}

static void assert_matches(struct model_card *c, const struct layout *l)
{
	_cleanup_free_ char *why = NULL;

	if (!partition_matches(model_card_show(c), l, &why))
		fail_msg("does not match: %s", strempty(why));
}

static void assert_nothing_to_do(struct model_card *c, const struct layout *l)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
	_cleanup_(rpc_error_done) struct rpc_error e = { 0 };

	if (partition_plan_make(model_card_show(c), l, &p, &e) < 0)
		fail_msg("refused where it is so already: %s", e.message);
	if (p->n_steps > 0)
		fail_msg("a second apply would %s", p->steps[0].text);
}

/* Fails at a random step, before or after it took; then the way back. */
static void fail_and_undo(struct model_card *c, const struct partition_plan *p)
{
	_cleanup_(layout_freep) struct layout *before = partition_present(model_card_show(c));
	_cleanup_(partition_plan_freep) struct partition_plan *undo = NULL;
	_cleanup_(rpc_error_done) struct rpc_error e = { 0 };
	size_t at = random_below(&rnd, p->n_steps);
	bool custom = c->custom, autoprobe = c->facts.autoprobe;
	bool took = random_one_in(&rnd, 2), foreign = model_card_has_leftovers(c);

	run_plan(c, p, took ? at + 1 : at);
	if (partition_undo_make(model_card_show(c), before, p, random_one_in(&rnd, 4) ? p->n_steps : at, &undo,
				&e) < 0)
		fail_msg("no way back: %s", e.message);
	run_plan(c, undo, undo->n_steps);
	assert_matches(c, before);
	assert_true(foreign || !model_card_has_leftovers(c));
	if (!custom && c->facts.vf_control == VF_CONTROL_I915)
		assert_false(c->custom);
	if (before->n_vfs == 0)
		assert_int_equal(c->facts.autoprobe, autoprobe);
}

static void cut_once(struct model_card *c, struct layout *l, unsigned *applied)
{
	_cleanup_(partition_plan_freep) struct partition_plan *p = plan_following_hints(c, l), *again = NULL;
	_cleanup_(rpc_error_done) struct rpc_error e = { 0 };

	if (p->n_steps > 0 && random_one_in(&rnd, 3)) {
		fail_and_undo(c, p);
		assert_int_equal(partition_plan_make(model_card_show(c), l, &again, &e), 0);
		run_plan(c, again, again->n_steps);
	} else {
		run_plan(c, p, p->n_steps);
	}
	assert_matches(c, l);
	assert_nothing_to_do(c, l);
	*applied += p->n_steps > 0;
}

/* Somebody else sets a quota on a VF that is off, and goes away. */
static void leave_something(struct model_card *c)
{
	struct host_request q = { .op = HOST_SET_VF_ATTR,
				  .vf = (unsigned)random_below(&rnd, c->facts.total_vfs) + 1,
				  .attribute = (enum vf_attribute)random_below(&rnd, VF_RESOURCE_MAX),
				  .value = 1 };
	struct known value;

	(void)model_card_do(c, &q, &value); /* refused where VFs are on, or the way has no such quota */
}

static void test_plans(void **state)
{
	struct model_card *c = malloc(sizeof(*c));
	unsigned applied = 0, i, k;

	assert_non_null(c);
	for (i = 0; i < CARDS; i++) {
		make_card(c);
		for (k = 0; k < LAYOUTS; k++) {
			struct layout *l = make_layout(c);
			size_t n = l->n_vfs;

			if (random_one_in(&rnd, 4))
				leave_something(c);

			cut_once(c, l, &applied);
			l->n_vfs = n;
			layout_free(l);
		}
	}
	assert_true(applied > CARDS); /* hints did not lead everything away */
	free(c);
}

/* What fits is what a plan takes: so many, and not one step of the tiles more. */
static void test_fits(void **state)
{
	static const bool is_free[MODEL_VFS_MAX] = { false };
	struct model_card *c = malloc(sizeof(*c));
	unsigned i;

	assert_non_null(c);
	for (i = 0; i < CARDS; i++) {
		_cleanup_(layout_freep) struct layout *l = NULL;
		struct partition_fits fits;
		struct vf_shape shape = { 0 };
		size_t a, n, most = 0;

		make_card(c);
		for (a = 0; a < VF_RESOURCE_MAX; a++)
			if (random_one_in(&rnd, 2))
				shape.wanted[a] = random_amount(c, (enum vf_attribute)a);
		fits = partition_fits(model_card_show(c), &shape, is_free);
		if (!fits.after_recut.known)
			continue;
		l = layout_new(NULL, c->facts.total_vfs);
		assert_non_null(l);
		for (n = 0; n < l->n_vfs; n++)
			l->vfs[n].shape = shape;
		for (n = 1; n <= c->facts.total_vfs; n++) {
			_cleanup_(partition_plan_freep) struct partition_plan *p = NULL;
			_cleanup_(rpc_error_done) struct rpc_error e = { 0 };

			l->n_vfs = n;
			if (partition_plan_make(&c->facts, l, &p, &e) == 0)
				most = n;
		}
		assert_int_equal(fits.after_recut.value, most);
	}
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_fits),
	};

	rnd = random_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
