/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has a VF open: by group, by VFIO device, by DRM node, in whatever process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/holders.h"
#include "lib/clock.h"
#include "tests/support/fake-gpu.h"

#define PF "0000:03:00.0"
#define VF2 "0000:03:00.2"

struct stage {
	struct fake_gpu fake;
	struct sysfs s;
	struct pci_address pf;
	struct vf_holder *holders;
	size_t n;
};

static int setup(void **state)
{
	static struct stage stage;

	stage = (struct stage){ 0 };
	fake_gpu_init(&stage.fake);
	fake_gpu_add_pf(&stage.fake, PF, 7);
	fake_gpu_enable_vfs(&stage.fake, PF, 3, 10);
	assert_int_equal(sysfs_open(stage.fake.root, &stage.s), 0);
	assert_int_equal(pci_address_parse(PF, &stage.pf), 0);
	*state = &stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	holders_free(stage->holders, stage->n);
	sysfs_done(&stage->s);
	fake_gpu_done(&stage->fake);
	return 0;
}

static void look(struct stage *stage, unsigned vf)
{
	holders_free(stage->holders, stage->n);
	stage->holders = NULL;
	stage->n = 0;
	assert_int_equal(holders_find(&stage->s, &stage->pf, vf, &stage->holders, &stage->n), 0);
}

static void test_nobody(void **state)
{
	struct stage *stage = *state;
	struct vf_holder *holders = NULL;
	size_t n;
	int fd;

	look(stage, 0);
	assert_int_equal(stage->n, 0);
	fd = fake_gpu_open(&stage->fake, "dev/vfio/vfio"); /* the container is nobody's VF */
	look(stage, 0);
	assert_int_equal(stage->n, 0);
	safe_close(fd);
	assert_int_equal(holders_find(&stage->s, &stage->pf, 4, &holders, &n), -ENOENT);
}

static void test_group(void **state)
{
	struct stage *stage = *state;
	int fd = fake_gpu_open(&stage->fake, "dev/vfio/11");
	uint64_t started;

	look(stage, 0);
	assert_int_equal(stage->n, 1);
	assert_int_equal(stage->holders[0].vf, 2);
	assert_int_equal(stage->holders[0].pid, getpid());
	assert_int_equal(process_start_time(getpid(), &started), 0);
	assert_true(stage->holders[0].started.known && stage->holders[0].started.value == started);
	assert_true(stage->holders[0].uid.known && stage->holders[0].uid.value == getuid());
	assert_non_null(stage->holders[0].command);
	assert_non_null(strstr(stage->holders[0].path, "/dev/vfio/11"));
	look(stage, 2);
	assert_int_equal(stage->n, 1);
	look(stage, 1);
	assert_int_equal(stage->n, 0);
	safe_close(fd);
	look(stage, 0);
	assert_int_equal(stage->n, 0);
}

/* One group, two VFs: whoever holds the group holds both. */
static void test_shared_group(void **state)
{
	struct stage *stage = *state;
	int fd = fake_gpu_open(&stage->fake, "dev/vfio/11");

	fake_gpu_remove(&stage->fake, SYSFS_PCI "/iommu_group", "0000:03:00.3");
	fake_gpu_link(&stage->fake, "../../../../kernel/iommu_groups/11",
		      SYSFS_PCI "/iommu_group", "0000:03:00.3");
	look(stage, 0);
	assert_int_equal(stage->n, 2);
	look(stage, 3);
	assert_int_equal(stage->n, 1);
	safe_close(fd);
}

static void test_other_nodes(void **state)
{
	static const struct {
		const char *folder;
		const char *node;
	} nodes[] = {
		{ "vfio-dev/vfio4", "dev/vfio/devices/vfio4" },
		{ "drm/card1", "dev/dri/card1" },
		{ "drm/renderD129", "dev/dri/renderD129" },
	};
	struct stage *stage = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nodes); i++) {
		int fd;

		fake_gpu_write(&stage->fake, "", SYSFS_PCI "/%s/dev", VF2, nodes[i].folder);
		fake_gpu_write(&stage->fake, "", "%s", nodes[i].node);
		fd = fake_gpu_open(&stage->fake, "%s", nodes[i].node);
		look(stage, 0);
		assert_int_equal(stage->n, 1);
		assert_int_equal(stage->holders[0].vf, 2);
		safe_close(fd);
	}
	/* the PF's own node does not hold a VF */
	fake_gpu_write(&stage->fake, "", SYSFS_PCI "/drm/card0/dev", PF);
	fake_gpu_write(&stage->fake, "", "dev/dri/card0");
	i = (size_t)fake_gpu_open(&stage->fake, "dev/dri/card0");
	look(stage, 0);
	assert_int_equal(stage->n, 0);
	safe_close((int)i);
}

static void test_other_process(void **state)
{
	struct stage *stage = *state;
	int pipe_fds[2], pid, status;
	char byte;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)fake_gpu_open(&stage->fake, "dev/vfio/10");
		(void)fake_gpu_open(&stage->fake, "dev/vfio/10"); /* twice is one holder */
		if (write(pipe_fds[1], "1", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	look(stage, 0);
	assert_int_equal(stage->n, 1);
	assert_int_equal(stage->holders[0].vf, 1);
	assert_int_equal(stage->holders[0].pid, pid);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	look(stage, 0);
	assert_int_equal(stage->n, 0);
	safe_close(pipe_fds[0]);
	safe_close(pipe_fds[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_process, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
