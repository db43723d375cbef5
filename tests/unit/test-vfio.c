/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moving a VF to vfio-pci and back.  The driver core is played by a thread: a write to drivers_probe
 * blocks in a full FIFO until the thread has done what the kernel would do and drains it. */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cmocka.h>

#include "host/vfio.h"
#include "tests/support/fake-gpu.h"

#define PF "0000:03:00.0"
#define VF "0000:03:00.1"

struct stage {
	struct fake_gpu fake;
	struct sysfs s;
	struct pci_address vf;
	/* the driver core */
	pthread_t thread;
	int watch; /* inotify of driver_override */
	int probe; /* both ends of drivers_probe */
	unsigned obeys;
	const char *takes; /* this driver takes it, whatever the override says */
};

static int setup(void **state)
{
	static struct stage stage;

	stage = (struct stage){ .watch = -1, .probe = -1 };
	fake_gpu_init(&stage.fake);
	fake_gpu_add_pf(&stage.fake, PF, 7);
	fake_gpu_enable_vfs(&stage.fake, PF, 1, 10);
	assert_int_equal(sysfs_open(stage.fake.root, &stage.s), 0);
	assert_int_equal(pci_address_parse(VF, &stage.vf), 0);
	*state = &stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	safe_close(stage->watch);
	safe_close(stage->probe);
	sysfs_done(&stage->s);
	fake_gpu_done(&stage->fake);
	return 0;
}

static void assert_file(struct stage *stage, const char *want, const char *path)
{
	_cleanup_free_ char *text = fake_gpu_read(&stage->fake, "%s", path);

	assert_string_equal(text, want);
}

#define OVERRIDE "bus/pci/devices/" VF "/driver_override"

static void fill(int fd)
{
	char page[4096];

	memset(page, '.', sizeof(page));
	while (write(fd, page, sizeof(page)) > 0)
		;
	while (write(fd, page, 1) > 0)
		;
	assert_int_equal(errno, EAGAIN);
}

static void drain(int fd)
{
	char page[4096];

	while (read(fd, page, sizeof(page)) > 0)
		;
}

/* Each time an override is written: bind as it says, then let the probe return. */
static void *driver_core(void *userdata)
{
	struct stage *stage = userdata;
	unsigned i;

	for (i = 0; i < stage->obeys; i++) {
		_cleanup_free_ char *driver = NULL;
		struct inotify_event event;

		if (read(stage->watch, &event, sizeof(event)) != sizeof(event))
			return NULL;
		driver = fake_gpu_read(&stage->fake, OVERRIDE);
		fake_gpu_set_driver(&stage->fake, VF, stage->takes ? stage->takes : driver);
		drain(stage->probe);
	}
	return NULL;
}

static void start_driver_core(struct stage *stage, unsigned obeys)
{
	char path[PATH_MAX];

	fake_gpu_hang(&stage->fake, "bus/pci/drivers_probe");
	snprintf(path, sizeof(path), "%s/bus/pci/drivers_probe", stage->fake.root);
	stage->probe = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(stage->probe >= 0);
	fill(stage->probe);
	stage->watch = inotify_init1(IN_CLOEXEC);
	assert_true(stage->watch >= 0);
	snprintf(path, sizeof(path), "%s/" OVERRIDE, stage->fake.root);
	assert_true(inotify_add_watch(stage->watch, path, IN_CLOSE_WRITE) >= 0);
	stage->obeys = obeys;
	assert_int_equal(pthread_create(&stage->thread, NULL, driver_core, stage), 0);
}

/* drivers_probe is a plain file again. */
static void stop_driver_core(struct stage *stage)
{
	stage->watch = safe_close(stage->watch);
	stage->probe = safe_close(stage->probe);
	fake_gpu_remove(&stage->fake, "bus/pci/drivers_probe");
	fake_gpu_write(&stage->fake, "", "bus/pci/drivers_probe");
}

/* want: who has it then, NULL = it must fail. */
static int bind_vf(struct stage *stage, const char *want, char **ret_message)
{
	_cleanup_free_ char *driver = NULL;
	int r = vfio_bind(&stage->s, &stage->vf, &driver, ret_message);

	assert_true(r == 0 ? streq_ptr(driver, want) : !driver && !want);
	return r;
}

static void test_bind(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *message = NULL;

	fake_gpu_set_driver(&stage->fake, VF, "xe");
	start_driver_core(stage, 1);
	assert_int_equal(bind_vf(stage, "vfio-pci", &message), 0);
	assert_int_equal(pthread_join(stage->thread, NULL), 0);
	assert_null(message);
	assert_file(stage, VF, "bus/pci/drivers/xe/unbind");
	/* the override stays: it keeps the host's driver away */
	assert_file(stage, "vfio-pci", OVERRIDE);

	/* again is no change */
	assert_int_equal(bind_vf(stage, "vfio-pci", &message), 0);
	assert_file(stage, "", "bus/pci/drivers/vfio-pci/unbind");
}

/* vfio-pci does not take it: the VF goes back to its driver and the override is cleared. */
static void test_bind_fails(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *message = NULL;

	fake_gpu_set_driver(&stage->fake, VF, "xe"); /* and nothing ever changes that */
	assert_int_equal(bind_vf(stage, NULL, &message), -EIO);
	assert_string_equal(stage->s.at, "driver");
	assert_non_null(strstr(message, "given back to xe"));
	assert_file(stage, "", OVERRIDE);
	assert_file(stage, VF, "bus/pci/drivers_probe");
}

/* ---- variants of vfio-pci ---- */

#define ALIAS "alias vfio_pci:v00008086d000056C0sv*sd*bc03sc*i* xe_vfio_pci\n"

static void set_aliases(struct stage *stage, const char *text)
{
	struct utsname kernel;

	assert_int_equal(uname(&kernel), 0);
	fake_gpu_write(&stage->fake, "pci:v00008086d000056C0sv00008086sd00004905bc03sc80i00",
		       "bus/pci/devices/" VF "/modalias");
	fake_gpu_write(&stage->fake, text, "lib/modules/%s/modules.alias", kernel.release);
}

static void load_variant(struct stage *stage)
{
	fake_gpu_write(&stage->fake, "", "bus/pci/drivers/xe-vfio-pci/unbind");
	fake_gpu_write(&stage->fake, "", "module/xe_vfio_pci/drivers/pci:xe-vfio-pci");
}

static void test_bind_variant(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *message = NULL;

	set_aliases(stage, "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n" ALIAS);
	load_variant(stage);
	fake_gpu_set_driver(&stage->fake, VF, "xe");
	start_driver_core(stage, 1);
	assert_int_equal(bind_vf(stage, "xe-vfio-pci", &message), 0);
	assert_int_equal(pthread_join(stage->thread, NULL), 0);
	assert_file(stage, "xe-vfio-pci", OVERRIDE);

	/* it stays there, whatever is loaded meanwhile */
	fake_gpu_write(&stage->fake, "", "bus/pci/devices/" VF "/vfio-dev/vfio0/dev");
	set_aliases(stage, "");
	assert_int_equal(bind_vf(stage, "xe-vfio-pci", &message), 0);
	assert_file(stage, "xe-vfio-pci", OVERRIDE);
	assert_file(stage, "", "bus/pci/drivers/xe-vfio-pci/unbind");
}

/* Named for another device, not loaded, or the list cannot be read: vfio-pci as ever. */
static void test_bind_no_variant(void **state)
{
	static const struct {
		const char *aliases;
		bool loaded;
	} rows[] = {
		{ "alias vfio_pci:v00008086d0000E211sv*sd*bc03sc*i* xe_vfio_pci\n", true },
		{ ALIAS, false },
		{ "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n", true },
		{ "garbage", true },
	};
	struct stage *stage = *state;
	_cleanup_free_ char *message = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		set_aliases(stage, rows[i].aliases);
		if (rows[i].loaded)
			load_variant(stage);
		else
			fake_gpu_remove(&stage->fake, "bus/pci/drivers/xe-vfio-pci");
		fake_gpu_set_driver(&stage->fake, VF, "xe");
		start_driver_core(stage, 1);
		assert_int_equal(bind_vf(stage, "vfio-pci", &message), 0);
		assert_int_equal(pthread_join(stage->thread, NULL), 0);
		assert_file(stage, "vfio-pci", OVERRIDE);
		stop_driver_core(stage);
	}
}

/* The variant's probe says no: vfio-pci takes what it left. */
static void test_variant_does_not_take_it(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *message = NULL;

	set_aliases(stage, ALIAS);
	load_variant(stage);
	stage->takes = "vfio-pci"; /* too early by one probe, which lets this stage end after the first */
	fake_gpu_set_driver(&stage->fake, VF, "xe");
	start_driver_core(stage, 1);
	assert_int_equal(bind_vf(stage, "vfio-pci", &message), 0);
	assert_int_equal(pthread_join(stage->thread, NULL), 0);
	assert_file(stage, "vfio-pci", OVERRIDE);
	assert_file(stage, VF, "bus/pci/drivers/xe/unbind");
}

static void test_has(void **state)
{
	struct stage *stage = *state;

	assert_true(vfio_has(&stage->s, VF, "vfio-pci")); /* before 6.1 there is no vfio-dev */
	assert_false(vfio_has(&stage->s, VF, NULL));
	assert_false(vfio_has(&stage->s, VF, "xe"));
	fake_gpu_write(&stage->fake, "", "bus/pci/devices/" VF "/vfio-dev/vfio0/dev");
	assert_true(vfio_has(&stage->s, VF, "anything"));
	assert_true(vfio_has(&stage->s, PF "/virtfn0", "anything"));
	assert_false(vfio_has(&stage->s, VF, NULL));
	assert_false(vfio_has(&stage->s, PF, "xe"));
}

static void test_bind_refusals(void **state)
{
	struct stage *stage = *state;
	_cleanup_free_ char *message = NULL;
	struct pci_address pf;
	char *driver = NULL;

	assert_int_equal(pci_address_parse(PF, &pf), 0);
	assert_int_equal(vfio_bind(&stage->s, &pf, &driver, &message), -ENODEV);
	assert_int_equal(vfio_unbind(&stage->s, &pf), -ENODEV);
	assert_file(stage, "", "bus/pci/drivers/xe/unbind");

	fake_gpu_remove(&stage->fake, "bus/pci/drivers/vfio-pci");
	assert_int_equal(bind_vf(stage, NULL, &message), -ENOENT);
	assert_non_null(strstr(message, "modprobe vfio-pci"));
	assert_file(stage, "", OVERRIDE);
}

static void test_unbind(void **state)
{
	struct stage *stage = *state;

	/* none bound: only the override goes */
	fake_gpu_write(&stage->fake, "vfio-pci", OVERRIDE);
	assert_int_equal(vfio_unbind(&stage->s, &stage->vf), 0);
	assert_file(stage, "", OVERRIDE);

	/* the driver does not let go: told, not hidden */
	fake_gpu_set_driver(&stage->fake, VF, "vfio-pci");
	assert_int_equal(vfio_unbind(&stage->s, &stage->vf), -EIO);
	assert_file(stage, VF, "bus/pci/drivers/vfio-pci/unbind");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_variant, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_no_variant, setup, teardown),
		cmocka_unit_test_setup_teardown(test_variant_does_not_take_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_has, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unbind, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
