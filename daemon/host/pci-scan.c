/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libpci below the injected root.  Its error handler must not return; ours jumps out of the
 * call, because a function that vanishes during a scan is no reason to end. */
#include "host/pci-scan.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <pci/pci.h>

#include "core/model-table.h"

#define VENDOR_INTEL 0x8086
#define CLASS_DISPLAY 0x03 /* upper byte: VGA, 3D and other display controllers */
#define NAME_MAX_LENGTH 256

static jmp_buf on_pci_error;

__attribute__((noreturn, format(printf, 1, 2))) static void pci_error(char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	longjmp(on_pci_error, 1);
}

__attribute__((format(printf, 1, 2))) static void pci_quiet(char *format, ...)
{
	/* Warnings are about single functions that came or went: nothing to do about them. */
}

static void access_cleanup(struct pci_access **acc)
{
	if (*acc)
		pci_cleanup(*acc);
}

/* Between setjmp() and the return only libpci runs, and `acc` is all it can leave behind. */
static struct pci_access *open_access(struct sysfs *s)
{
	struct pci_access *acc = pci_alloc();
	char path[PATH_MAX];

	if (!acc)
		return NULL;

	acc->method = PCI_ACCESS_SYS_BUS_PCI;
	acc->error = pci_error;
	acc->warning = pci_quiet;
	snprintf(path, sizeof(path), "%s/bus/pci", s->root);
	if (pci_set_param(acc, (char *)"sysfs.path", path) < 0) {
		pci_cleanup(acc);
		return NULL;
	}
	return acc;
}

void pci_found_free(struct pci_found *found, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(found[i].name);
	free(found);
}

static bool is_gpu(unsigned vendor, unsigned class_code)
{
	return vendor == VENDOR_INTEL && class_code >> 16 == CLASS_DISPLAY;
}

/* Fills in what sysfs knows of a function that libpci showed.  Returns 1, or 0 when it is no
 * GPU's PF. */
static int take_function(struct sysfs *s, struct pci_access *acc, struct pci_dev *dev,
			 struct pci_found *ret)
{
	struct pci_address address = {
		.domain = (uint32_t)dev->domain,
		.bus = dev->bus,
		.device = dev->dev,
		.function = dev->func,
	};
	const char *name = PCI_ADDRESS_STR(&address);
	char buf[NAME_MAX_LENGTH];
	uint64_t class_code;
	char *label = NULL, *copy = NULL;

	/* First, as most functions of a host full of VFs end here; and one look costs less than
	 * three files. */
	if (sysfs_exists(s, SYSFS_PCI "/physfn", name))
		return 0;
	pci_fill_info(dev, PCI_FILL_IDENT | PCI_FILL_CLASS);
	if (!is_gpu(dev->vendor_id, (unsigned)dev->device_class << 8))
		return 0;
	if (sysfs_read_uint(s, &class_code, SYSFS_PCI "/class", name) < 0)
		class_code = (uint64_t)dev->device_class << 8;

	/* pci.ids is large: it is read only for a card that our own table does not name. */
	if (!gpu_model_find(dev->device_id))
		label = pci_lookup_name(acc, buf, sizeof(buf),
					PCI_LOOKUP_DEVICE | PCI_LOOKUP_NO_NUMBERS, dev->vendor_id,
					dev->device_id);
	if (label && !(copy = strdup(label)))
		return -ENOMEM;

	*ret = (struct pci_found){
		.address = address,
		.device_id = dev->device_id,
		.class_code = (unsigned)class_code & 0xffffff,
		.name = copy,
	};
	return 1;
}

struct scan {
	struct pci_access *acc;
	struct pci_found *found;
	size_t n;
};

static int scan_functions(struct sysfs *s, struct scan *scan)
{
	struct pci_dev *dev;
	int r;

	pci_init(scan->acc);
	pci_scan_bus(scan->acc);
	for (dev = scan->acc->devices; dev; dev = dev->next) {
		struct pci_found *grown;

		grown = reallocarray(scan->found, scan->n + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		scan->found = grown;
		r = take_function(s, scan->acc, dev, &grown[scan->n]);
		if (r < 0)
			return r;
		scan->n += (size_t)r;
	}
	return 0;
}

/* Static: what a longjmp() may have changed must not live in registers. */
static int run_scan(struct sysfs *s, struct pci_found **ret, size_t *ret_n)
{
	static struct scan scan;
	int r;

	scan = (struct scan){0};
	scan.acc = open_access(s);
	if (!scan.acc)
		return -ENOMEM;

	r = setjmp(on_pci_error) == 0 ? scan_functions(s, &scan) : -EAGAIN;
	if (r != -EAGAIN) /* after a jump libpci's state is unknown: better leaked than freed twice */
		access_cleanup(&scan.acc);
	if (r < 0) {
		pci_found_free(scan.found, scan.n);
		return r;
	}

	*ret = scan.found;
	*ret_n = scan.n;
	return 0;
}

static int compare_found(const void *a, const void *b)
{
	const struct pci_found *x = a, *y = b;

	return pci_address_compare(&x->address, &y->address);
}

int pci_scan_gpus(struct sysfs *s, struct pci_found **ret, size_t *ret_n)
{
	int r;

	sysfs_announce(s, "devices");
	r = run_scan(s, ret, ret_n);
	if (r == -EAGAIN) /* something was plugged or unplugged meanwhile */
		r = run_scan(s, ret, ret_n);
	if (r < 0)
		return r;

	if (*ret_n > 1)
		qsort(*ret, *ret_n, sizeof(**ret), compare_found);
	return 0;
}

/* The name of a card that our own table does not have.  Returns new, NULL = pci.ids has none
 * either. */
static char *name_from_ids(struct sysfs *s, unsigned device_id)
{
	static struct pci_access *acc;
	static char *copy;
	char buf[NAME_MAX_LENGTH];
	char *label;

	copy = NULL;
	acc = open_access(s);
	if (!acc)
		return NULL;
	if (setjmp(on_pci_error) != 0)
		return NULL;
	pci_init(acc);
	label = pci_lookup_name(acc, buf, sizeof(buf), PCI_LOOKUP_DEVICE | PCI_LOOKUP_NO_NUMBERS,
				VENDOR_INTEL, (int)device_id);
	copy = label ? strdup(label) : NULL;
	pci_cleanup(acc);
	return copy;
}

/* Looks at this function only: what an event about one card costs does not grow with the machine.
 */
int pci_scan_gpu(struct sysfs *s, const struct pci_address *address, struct pci_found *ret)
{
	const char *name = PCI_ADDRESS_STR(address);
	uint64_t vendor, device, class_code;

	if (sysfs_read_uint(s, &vendor, SYSFS_PCI "/vendor", name) < 0 ||
	    sysfs_read_uint(s, &device, SYSFS_PCI "/device", name) < 0 ||
	    sysfs_read_uint(s, &class_code, SYSFS_PCI "/class", name) < 0)
		return -ENODEV;
	if (!is_gpu((unsigned)vendor, (unsigned)class_code) ||
	    sysfs_exists(s, SYSFS_PCI "/physfn", name))
		return -ENODEV;

	*ret = (struct pci_found){
		.address = *address,
		.device_id = (unsigned)device & 0xffff,
		.class_code = (unsigned)class_code & 0xffffff,
		.name = gpu_model_find((unsigned)device) ? NULL
							 : name_from_ids(s, (unsigned)device),
	};
	return 0;
}

/* "38-d5-47-ff-ff-01-02-03" as lspci shows it; NULL for the all-zero and all-one words of a card
 * without. */
static char *format_serial(uint32_t low, uint32_t high)
{
	uint64_t word = (uint64_t)high << 32 | low;
	char buf[24];
	int i;

	if (word == 0 || word == UINT64_MAX)
		return NULL;

	for (i = 0; i < 8; i++)
		snprintf(buf + i * 3, sizeof(buf) - (size_t)i * 3, "%02x%s",
			 (unsigned)(word >> (56 - i * 8)) & 0xff, i < 7 ? "-" : "");
	return strdup(buf);
}

static void read_capabilities(struct pci_access *acc, const struct pci_address *address,
			      int *ret_sriov, char **ret_serial)
{
	struct pci_dev *dev;
	struct pci_cap *cap;

	pci_init(acc);
	dev = pci_get_dev(acc, (int)address->domain, address->bus, address->device,
			  address->function);
	pci_fill_info(dev, PCI_FILL_CAPS | PCI_FILL_EXT_CAPS);
	for (cap = dev->first_cap; cap; cap = cap->next)
		if (cap->type == PCI_CAP_EXTENDED)
			*ret_sriov = 0; /* the extended space is readable, so absence means something */
	if (pci_find_cap(dev, PCI_EXT_CAP_ID_SRIOV, PCI_CAP_EXTENDED))
		*ret_sriov = 1;
	cap = pci_find_cap(dev, PCI_EXT_CAP_ID_DSN, PCI_CAP_EXTENDED);
	if (cap)
		*ret_serial = format_serial(pci_read_long(dev, (int)cap->addr + 4),
					    pci_read_long(dev, (int)cap->addr + 8));
	pci_free_dev(dev);
}

int pci_read_capabilities(struct sysfs *s, const struct pci_address *address, int *ret_sriov,
			  char **ret_serial)
{
	static struct pci_access *acc;
	static int sriov;
	static char *serial;

	sysfs_announce(s, "config");
	sriov = -1;
	serial = NULL;
	acc = open_access(s);
	if (!acc)
		return -ENOMEM;

	if (setjmp(on_pci_error) != 0)
		return -EIO;
	read_capabilities(acc, address, &sriov, &serial);
	pci_cleanup(acc);

	*ret_sriov = sriov;
	*ret_serial = serial;
	return 0;
}

int pci_check_answers(struct sysfs *s, const struct pci_address *address)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	uint8_t header[12];
	ssize_t n;

	sysfs_announce(s, "config");
	snprintf(path, sizeof(path), SYSFS_PCI "/config", PCI_ADDRESS_STR(address));
	fd = openat(s->root_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = pread(fd, header, sizeof(header), 0);
	if (n < 0)
		return -errno;
	if (n < (ssize_t)sizeof(header))
		return -EIO;

	/* Command (4, 5) and class (9 to 11): all ones is what a read gives that nobody answers. */
	if (header[4] == 0xff && header[5] == 0xff && header[9] == 0xff && header[10] == 0xff &&
	    header[11] == 0xff)
		return -EIO;

	return 0;
}
