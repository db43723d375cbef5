/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says in errnos and in texts for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/debugfs-text.h"
#include "host/kernel-words.h"
#include "lib/units.h"

/* Cause, colon, cure; and each errno that the drivers are known for has a row. */
static void test_errnos(void **state)
{
	static const int known[KERNEL_ASKED_MAX][16] = {
		[KERNEL_ASKED_NUMVFS] = {EBUSY, ECANCELED, EIO, ENODEV, ENOENT, ENOKEY, ENOMEM,
					 ENOSPC, ERANGE, EUCLEAN},
		[KERNEL_ASKED_QUOTA] = {E2BIG, EDQUOT, ENOSPC, EBUSY, EIO, ENOKEY, EUCLEAN,
					ECANCELED, ENODEV, EPERM, ESTALE, EINVAL, ENOENT},
		[KERNEL_ASKED_SCHED] = {EUCLEAN, EIO, EBUSY, ECANCELED, ENODEV, EPERM, ESTALE,
					EINVAL},
		[KERNEL_ASKED_RESTORE] = {EBUSY, EOPNOTSUPP, EPERM, ECANCELED, ENODEV},
	};
	unsigned asked, i, way;

	for (asked = 0; asked < KERNEL_ASKED_MAX; asked++) {
		for (i = 0; known[asked][i]; i++) {
			for (way = 0; way < VF_CONTROL_MAX; way++) {
				const char *words =
					kernel_words((enum kernel_asked)asked, (enum vf_control)way,
						     -known[asked][i]);

				assert_non_null(words);
				assert_non_null(strchr(words, ':'));
			}
		}
		assert_null(kernel_words((enum kernel_asked)asked, VF_CONTROL_XE, 0));
		assert_null(kernel_words((enum kernel_asked)asked, VF_CONTROL_XE, -EXFULL));
	}
}

/* One errno, other drivers. */
static void test_ways(void **state)
{
	assert_non_null(strstr(kernel_words(KERNEL_ASKED_QUOTA, VF_CONTROL_XE_DEBUGFS, -EPERM),
			       "lockdown"));
	assert_null(strstr(kernel_words(KERNEL_ASKED_QUOTA, VF_CONTROL_I915, -EPERM), "lockdown"));
	assert_non_null(strstr(kernel_words(KERNEL_ASKED_RESTORE, VF_CONTROL_I915, -ESTALE),
			       "given to a VF"));
	assert_null(kernel_words(KERNEL_ASKED_RESTORE, VF_CONTROL_XE, -ESTALE));
	assert_non_null(strstr(kernel_words(KERNEL_ASKED_NUMVFS, VF_CONTROL_XE, -EUCLEAN),
			       "restore_auto_provisioning"));
}

static void test_ggtt(void **state)
{
	struct known k =
		debugfs_ggtt_available("range:\t0x1-0x2\t(1 GiB)\ntotal:\t10\t(x)\nspare:\t3\t(x)\n"
				       "avail:\t7\t(7 B)\n");

	assert_true(k.known);
	assert_int_equal(k.value, 7);
	assert_false(debugfs_ggtt_available("").known);
	assert_false(debugfs_ggtt_available("avail:\t-7\n").known);
	assert_false(debugfs_ggtt_available("unavail: 7\n").known);
	assert_false(debugfs_ggtt_available("avail:\t99999999999999999999\n").known);
	assert_false(debugfs_ggtt_available("avail: 7cows\n").known);
	assert_int_equal(debugfs_ggtt_available("avail: 7 GiB\n").value, 7 * GIB);
	assert_false(debugfs_ggtt_available("avail: 9999999999999 GiB\n").known);
}

static void test_vram(void **state)
{
	struct debugfs_vram v = debugfs_vram_mm(
		"  use_type: 1\n  size: 8589934592\n  usage: 4096\nvisible_avail: "
		"1MiB\nvisible_size: 2MiB\n"
		"chunk_size: 4KiB, total: 8192MiB, free: 8000MiB, clear_free: 1MiB\n"
		"order- 9 free:        2 MiB, blocks: 1\nman size:8589934592\n");

	assert_true(v.size.known && v.free.known);
	assert_int_equal(v.size.value, 8 * GIB);
	assert_int_equal(v.free.value, 8000 * MIB);
	v = debugfs_vram_mm("chunk_size: 4KiB, total: 8MiB, free: 1MiB");
	assert_false(v.size.known);
	assert_true(v.free.known);
	v = debugfs_vram_mm("size: 4096\nusage: 1024\nvisible_avail: 1MiB\n");
	assert_int_equal(v.free.value, 3072);
	assert_false(debugfs_vram_mm("size: 4096\nusage: 8192\n").free.known);
	v = debugfs_vram_mm("order- 9 free: 2 MiB, blocks: 1\nman size:7\n");
	assert_false(v.size.known || v.free.known);
	v = debugfs_vram_mm("size: 4096\nfree: 1MiB\n");
	assert_false(v.size.known || v.free.known);
}

static void test_lockdown(void **state)
{
	assert_false(debugfs_is_locked("[none] integrity confidentiality\n"));
	assert_true(debugfs_is_locked("none [integrity] confidentiality\n"));
	assert_true(debugfs_is_locked("none integrity [confidentiality]\n"));
	assert_false(debugfs_is_locked(""));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errnos),   cmocka_unit_test(test_ways),
		cmocka_unit_test(test_ggtt),     cmocka_unit_test(test_vram),
		cmocka_unit_test(test_lockdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
