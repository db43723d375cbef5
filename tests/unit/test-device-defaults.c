/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of shares: that its rows add up, its counts, its presets. */
#include "partition/device-defaults.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "core/model-table.h"

static const unsigned ids[] = { 0x56c0, 0x56c1, 0x56c2, 0x0bd4, 0x0bd5, 0x0bd6, 0x0bda, 0x0bdb,
				0x0b6e, 0xe211, 0xe216, 0xe222, 0xe223, 0xe212 };

/* Shares of one card are parts of the same whole (62 and 63 VFs get a 64th): a typing mistake in one
 * number would show. */
static void test_rows_are_parts_of_a_whole(void **state)
{
	size_t i;
	unsigned n;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		const struct device_defaults *d = device_defaults_find(ids[i]);
		struct device_share one, share;

		assert_non_null(d);
		assert_true(device_defaults_share(d, 1, &one));
		assert_true(one.vram_ecc_bytes <= one.vram_bytes);
		for (n = 2; n <= 63; n++) {
			if (!device_defaults_share(d, n, &share))
				continue;
			assert_true(share.vram_bytes * n <= one.vram_bytes);
			assert_true(share.vram_bytes * (n + 2) >= one.vram_bytes);
			assert_true(share.vram_ecc_bytes * n <= one.vram_ecc_bytes);
			assert_true(share.vram_ecc_bytes * (n + 2) >= one.vram_ecc_bytes);
			assert_true(share.ggtt_bytes * n <= one.ggtt_bytes);
			assert_true(share.ggtt_bytes * (n + 2) >= one.ggtt_bytes);
			assert_int_equal(share.doorbells, one.doorbells / n);
			assert_int_equal(share.contexts, 1024);
			assert_true(share.contexts * n <= 65535 - 256);
		}
	}
}

static void test_whole_is_what_models_share_out(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		const struct gpu_model *model = gpu_model_find(ids[i]);
		struct device_share one;

		if (!model) /* e216 has no name of its own */
			continue;
		assert_true(device_defaults_share(device_defaults_find(ids[i]), 1, &one));
		assert_int_equal(one.vram_bytes, model->vf_vram_bytes);
	}
}

static void test_counts(void **state)
{
	static const struct {
		unsigned id;
		const char *counts;
	} wanted[] = {
		{ 0x56c2, "1, 2, 4, 5, 8, 16" },
		{ 0x56c1, "1, 3, 6, 12" },
		{ 0x0bd5, "1, 2, 4, 6, 8, 16, 32, 62" },
		{ 0x0b6e, "1, 2, 3, 4, 8, 16, 32, 63" },
		{ 0xe211, "any number" },
	};
	struct device_share share;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		_cleanup_free_ char *counts = device_defaults_counts(device_defaults_find(wanted[i].id));

		assert_string_equal(counts, wanted[i].counts);
	}
	assert_null(device_defaults_find(0x46a6));
	assert_null(device_defaults_find(0));
	assert_false(device_defaults_share(device_defaults_find(0x56c0), 3, &share));
	assert_false(device_defaults_share(device_defaults_find(0xe211), 0, &share));
	assert_true(device_defaults_share(device_defaults_find(0xe223), 12, &share));
	assert_int_equal(share.vram_bytes, 2480930816);
	assert_int_equal(share.doorbells, 21);
	assert_int_equal(share.contexts, 1024);
}

static void assert_preset(enum scheduler_preset preset, unsigned n, uint64_t quantum, uint64_t timeout,
			  enum vf_priority priority)
{
	struct vf_shape shape = { 0 };

	scheduler_preset_fill(preset, n, &shape);
	assert_int_equal(shape.wanted[VF_ATTR_EXEC_QUANTUM].value, quantum);
	assert_int_equal(shape.wanted[VF_ATTR_PREEMPT_TIMEOUT].value, timeout);
	assert_int_equal(shape.wanted[VF_ATTR_PRIORITY].value, priority);
	assert_int_equal(shape.wanted[VF_ATTR_VRAM].kind, AMOUNT_UNSET);
}

static void test_presets(void **state)
{
	struct vf_shape shape = { .wanted[VF_ATTR_EXEC_QUANTUM] = { AMOUNT_BYTES, 7 } };

	assert_preset(SCHEDULER_FLEXIBLE_30FPS, 1, 32, 128000, VF_PRIORITY_LOW);
	assert_preset(SCHEDULER_FLEXIBLE_30FPS, 2, 16, 32000, VF_PRIORITY_LOW);
	assert_preset(SCHEDULER_FIXED_30FPS, 4, 8, 16000, VF_PRIORITY_NORMAL);
	assert_preset(SCHEDULER_FIXED_30FPS, 63, 1, 16000, VF_PRIORITY_NORMAL);
	assert_preset(SCHEDULER_BURSTABLE, 1, 50, 1950000, VF_PRIORITY_LOW);
	assert_preset(SCHEDULER_BURSTABLE, 2, 50, 1950000, VF_PRIORITY_LOW);
	assert_preset(SCHEDULER_BURSTABLE, 11, 50, 150000, VF_PRIORITY_LOW);
	assert_preset(SCHEDULER_BURSTABLE, 63, 16, 16000, VF_PRIORITY_LOW);

	scheduler_preset_fill(SCHEDULER_BURSTABLE, 2, &shape);
	assert_int_equal(shape.wanted[VF_ATTR_EXEC_QUANTUM].value, 7); /* what was said stays */

	assert_true(device_has_preset(0x56c0, SCHEDULER_FIXED_30FPS));
	assert_false(device_has_preset(0x0bd4, SCHEDULER_FIXED_30FPS));
	assert_true(device_has_preset(0x0bd4, SCHEDULER_BURSTABLE));
	assert_true(device_has_preset(0x46a6, SCHEDULER_BURSTABLE));
	assert_false(device_has_preset(0x46a6, SCHEDULER_FLEXIBLE_30FPS));
}

static void test_view(void **state)
{
	_cleanup_json_ json_t *flex = device_defaults_view(0x56c1), *arc = device_defaults_view(0xe222),
			      *other = device_defaults_view(0x46a6);
	_cleanup_free_ char *a = json_dumps(flex, JSON_COMPACT), *b = json_dumps(arc, JSON_COMPACT),
			    *c = json_dumps(other, JSON_COMPACT);

	assert_string_equal(a, "{\"known\":true,\"counts\":[1,3,6,12],\"schedulers\":[\"flexible-30fps\","
			       "\"fixed-30fps\",\"burstable\"]}");
	assert_string_equal(b, "{\"known\":true,\"counts\":null,\"schedulers\":[\"burstable\"]}");
	assert_string_equal(c, "{\"known\":false,\"counts\":null,\"schedulers\":[\"burstable\"]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_parts_of_a_whole),
		cmocka_unit_test(test_whole_is_what_models_share_out),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_presets),
		cmocka_unit_test(test_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
