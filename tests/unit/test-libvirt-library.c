/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt is loaded when it is needed; what is not there, or is something else, is named. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "hypervisor/libvirt-library.h"
#include "lib/macros.h"

#define LIBVIRT "libvirt.so.0"

static void refuse(const char *name, const char *qemu_name, const char *words)
{
	_cleanup_free_ char *message = NULL;
	struct libvirt_library library = { 0 }, empty = { 0 };

	assert_int_equal(libvirt_library_load_from(name, qemu_name, &library, &message), -ELIBACC);
	assert_non_null(strstr(message, words));
	assert_non_null(strstr(message, "install"));
	assert_memory_equal(&library, &empty, sizeof(library));
}

static void what_is_missing_is_named(void **state)
{
	refuse("libvirt-that-is-not-there.so.0", "libvirt-qemu.so.0", "libvirt-that-is-not-there.so.0");
	refuse(LIBVIRT, "libvirt-qemu-that-is-not-there.so.0", "libvirt-qemu-that-is-not-there.so.0");
}

static void another_library_is_refused(void **state)
{
	refuse("libm.so.6", "libvirt-qemu.so.0", "virConnect");
	refuse(LIBVIRT, "libm.so.6", "virDomainQemuAgentCommand");
}

static void it_is_loaded_once_and_works(void **state)
{
	_cleanup_(libvirt_connection_closep) virConnectPtr connection = NULL;
	struct libvirt_library first;
	char *message = NULL;

	assert_null(dlopen(LIBVIRT, RTLD_NOW | RTLD_NOLOAD)); /* nobody has asked yet */
	assert_int_equal(libvirt_library_load(&message), 0);
	first = vir;
	assert_int_equal(libvirt_library_load(&message), 0);
	assert_memory_equal(&first, &vir, sizeof(vir));
	assert_null(message);
	connection = vir.ConnectOpen("test:///default");
	assert_non_null(connection);
	assert_int_equal(vir.ConnectIsAlive(connection), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_loaded_once_and_works),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(another_library_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
