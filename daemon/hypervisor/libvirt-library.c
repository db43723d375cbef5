/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/libvirt-library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/macros.h"

struct libvirt_library vir;

struct symbol {
	const char *name;
	size_t offset; /* in struct libvirt_library */
};

#define SYMBOL(function) { "vir" #function, offsetof(struct libvirt_library, function) },
static const struct symbol symbols[] = { LIBVIRT_FUNCTIONS(SYMBOL) };
static const struct symbol qemu_symbols[] = { LIBVIRT_QEMU_FUNCTIONS(SYMBOL) };

/* The loader's words name the file. */
static int cannot(char **ret_error)
{
	*ret_error = xasprintf("libvirt cannot be used: %s (install libvirt's client library, 7.0 or newer: libvirt0, or "
			       "libvirt-libs)", dlerror());
	return -ELIBACC;
}

/* It stays for as long as the process: libvirt cannot be unloaded. */
static int load(const char *name, const struct symbol *list, size_t n, struct libvirt_library *library, char **ret_error)
{
	void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!handle)
		return cannot(ret_error);
	for (size_t i = 0; i < n; i++) {
		void *function = dlsym(handle, list[i].name);

		if (!function)
			return cannot(ret_error);
		memcpy((char *)library + list[i].offset, &function, sizeof(function));
	}
	return 0;
}

int libvirt_library_load_from(const char *name, const char *qemu_name, struct libvirt_library *ret, char **ret_error)
{
	struct libvirt_library library;
	int r;

	r = load(name, symbols, ARRAY_SIZE(symbols), &library, ret_error);
	if (r == 0)
		r = load(qemu_name, qemu_symbols, ARRAY_SIZE(qemu_symbols), &library, ret_error);
	if (r == 0)
		*ret = library;
	return r;
}

int libvirt_library_load(char **ret_error)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool loaded;
	int r = 0;

	pthread_mutex_lock(&lock);
	if (!loaded)
		r = libvirt_library_load_from("libvirt.so.0", "libvirt-qemu.so.0", &vir, ret_error);
	loaded = r == 0;
	pthread_mutex_unlock(&lock);
	return r;
}
