/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts together what the kernel says of a GPU and its VFs.  Capability is what the kernel offers
 * now, never the device id; the reason why a card cannot be cut is told with its cure. */
#include "host/gpu-read.h"

#include <stdio.h>
#include <sys/stat.h>

#include "core/model-table.h"
#include "host/pci-scan.h"
#include "host/vf-control.h"
#include "host/vfio.h"
#include "lib/units.h"

/* What xe keeps of the VRAM for the PF when it shares the rest out. */
#define PF_VRAM_RESERVE (128 * MIB)
/* VFs may come or go between two reads; after that many tries the links decide. */
#define COUNT_TRIES 3
/* no card has more than four */
#define TILES_MAX 8
/* What the kernel says of a card that it has put to sleep. */
#define POWER_SUSPENDED "suspended"

int gpu_vf_address(struct sysfs *s, const struct pci_address *gpu, unsigned vf,
		   struct pci_address *ret)
{
	_cleanup_free_ char *name = NULL;
	int r;

	if (vf == 0)
		return -EINVAL;
	r = sysfs_link_name(s, &name, SYSFS_PCI "/virtfn%u", PCI_ADDRESS_STR(gpu), vf - 1);
	if (r < 0)
		return r;

	return pci_address_parse(name, ret);
}

/* function is "" for the PF, "virtfn3/" for its VF 4: the shorter way to where the VF's own address
 * leads. */
static char *driver_of(struct sysfs *s, const char *gpu, const char *function)
{
	char *driver = NULL;

	return sysfs_link_name(s, &driver, SYSFS_PCI "/%sdriver", gpu, function) < 0 ? NULL
										     : driver;
}

static int iommu_group_of(struct sysfs *s, const char *gpu, const char *function)
{
	_cleanup_free_ char *group = NULL;
	char *end;
	long n;

	if (sysfs_link_name(s, &group, SYSFS_PCI "/%siommu_group", gpu, function) < 0)
		return -1;
	n = strtol(group, &end, 10);

	return *group && !*end && n >= 0 && n <= INT32_MAX ? (int)n : -1;
}

/* Adds one VF, with its values when c is not NULL.  Returns -ENOENT when it is not there. */
static int add_vf(struct sysfs *s, struct gpu_facts *f, const struct vf_surface *c)
{
	struct vf_facts vf = { .index = (unsigned)f->n_vfs + 1 };
	char gpu[PCI_ADDRESS_STRLEN], function[24], link[PCI_ADDRESS_STRLEN + 24];
	struct vf_facts *grown;
	int r;

	r = gpu_vf_address(s, &f->address, vf.index, &vf.address);
	if (r < 0)
		return r;
	grown = reallocarray(f->vfs, f->n_vfs + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;

	f->vfs = grown;
	pci_address_format(&f->address, gpu);
	snprintf(function, sizeof(function), "virtfn%u/", vf.index - 1);
	vf.driver = driver_of(s, gpu, function);
	snprintf(link, sizeof(link), "%s/virtfn%u", gpu, vf.index - 1);
	vf.vfio = vfio_has(s, link, vf.driver);
	vf.iommu_group = iommu_group_of(s, gpu, function);
	if (c && c->ops)
		c->ops->read_vf(s, c, &vf);
	f->vfs[f->n_vfs++] = vf;
	return 0;
}

static int add_vfs(struct sysfs *s, struct gpu_facts *f, const struct vf_surface *c)
{
	int r;

	do {
		r = add_vf(s, f, c);
	} while (r == 0);
	f->num_vfs = (unsigned)f->n_vfs;

	return r == -ENOENT ? 0 : r;
}

/* A connected screen, or the card the firmware used for the console. */
static bool has_display(struct sysfs *s, const char *gpu)
{
	_cleanup_(sysfs_closedirp) DIR *cards = NULL;
	struct dirent *card, *connector;
	uint64_t boot_vga;

	if (sysfs_read_uint(s, &boot_vga, SYSFS_PCI "/boot_vga", gpu) == 0 && boot_vga == 1)
		return true;

	cards = sysfs_opendir(s, SYSFS_PCI "/drm", gpu);
	while (cards && (card = readdir(cards))) {
		_cleanup_(sysfs_closedirp) DIR *connectors = NULL;

		if (strncmp(card->d_name, "card", 4) != 0)
			continue;
		connectors = sysfs_opendir(s, SYSFS_PCI "/drm/%s", gpu, card->d_name);
		while (connectors && (connector = readdir(connectors))) {
			_cleanup_free_ char *status = NULL;

			if (strncmp(connector->d_name, "card", 4) == 0 &&
			    sysfs_read(s, &status, SYSFS_PCI "/drm/%s/%s/status", gpu, card->d_name,
				       connector->d_name) == 0 &&
			    streq(status, "connected"))
				return true;
		}
	}
	return false;
}

static int set_model(struct gpu_facts *f, const struct gpu_model *model, const char *pci_ids_name)
{
	if (model)
		f->model = strdup(model->name);
	else if (pci_ids_name)
		f->model = strdup(pci_ids_name);
	else
		f->model = xasprintf("8086:%04x", f->device_id);

	return f->model ? 0 : -ENOMEM;
}

/* A folder per tile is what xe shows; i915 shows GTs, which its own way counts. */
static unsigned count_tiles(struct sysfs *s, const char *gpu, const struct gpu_model *model)
{
	unsigned n = 0;

	while (n < TILES_MAX && sysfs_exists(s, SYSFS_PCI "/tile%u", gpu, n))
		n++;
	if (n > 0)
		return n;

	return model && model->tiles > 0 ? model->tiles : 1;
}

/* The driver's report has lines; ours is one. */
static void read_survivability(struct sysfs *s, struct gpu_facts *f, const char *gpu)
{
	if (sysfs_read(s, &f->survivability, SYSFS_PCI "/survivability_mode", gpu) < 0)
		return;
	for (char *c = f->survivability; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
}

/* Everything that waits for no lock. */
static int read_constants(struct sysfs *s, const struct pci_found *found, struct vf_surface *c,
			  struct gpu_facts **ret)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = calloc(1, sizeof(*f));
	const struct gpu_model *model = gpu_model_find(found->device_id);
	char gpu[PCI_ADDRESS_STRLEN];
	_cleanup_free_ char *numa = NULL;
	uint64_t value;

	if (!f)
		return -ENOMEM;

	pci_address_format(&found->address, gpu);
	sysfs_hold(s, gpu);
	f->address = found->address;
	f->device_id = found->device_id;
	f->class_code = found->class_code;
	if (set_model(f, model, found->name) < 0)
		return -ENOMEM;
	f->driver = driver_of(s, gpu, "");
	f->vfio = vfio_has(s, gpu, f->driver);
	f->numa_node = sysfs_read(s, &numa, SYSFS_PCI "/numa_node", gpu) == 0 ? atoi(numa) : -1;
	f->iommu = iommu_group_of(s, gpu, "") >= 0;
	/* Neither wakes a card that sleeps, and both may be missing. */
	(void)sysfs_read(s, &f->power, SYSFS_PCI "/power/runtime_status", gpu);
	read_survivability(s, f, gpu);
	f->display = has_display(s, gpu);
	f->tiles = count_tiles(s, gpu, model);
	if (sysfs_read_uint(s, &value, SYSFS_PCI "/sriov_totalvfs", gpu) == 0) {
		f->sriov_capable = true;
		f->total_vfs = (unsigned)MIN_OF(value, (uint64_t)UINT16_MAX);
	}
	if (sysfs_read_uint(s, &value, SYSFS_PCI "/sriov_offset", gpu) == 0)
		f->vf_offset = (unsigned)MIN_OF(value, (uint64_t)UINT16_MAX);
	if (sysfs_read_uint(s, &value, SYSFS_PCI "/sriov_stride", gpu) == 0)
		f->vf_stride = (unsigned)MIN_OF(value, (uint64_t)UINT16_MAX);
	if (sysfs_read_uint(s, &value, SYSFS_PCI "/sriov_drivers_autoprobe", gpu) == 0)
		f->autoprobe = value != 0;

	if (vf_control_find(s, gpu, c) < 0)
		return -ENOMEM;
	f->vf_control = c->ops ? c->ops->kind : VF_CONTROL_NONE;
	f->control_note = TAKE_PTR(c->note);
	if (c->ops && c->ops->read_pf(s, c, f) < 0)
		return -ENOMEM;

	*ret = TAKE_PTR(f);
	return 0;
}

/* What the way does not tell of the card's memory, its model does: the whole, and what is left of
 * the part for VFs when those that are there have theirs. */
static void fill_vram(struct gpu_facts *f)
{
	const struct gpu_model *model = gpu_model_find(f->device_id);
	struct known *free = &f->resources[VF_ATTR_VRAM].free;
	size_t i;

	if (!model || model->vram_bytes == 0)
		return;
	if (!f->vram_bytes.known)
		f->vram_bytes = (struct known){true, model->vram_bytes};
	if (free->known)
		return;

	*free = (struct known){true, model->vram_bytes - PF_VRAM_RESERVE};
	if (model->vf_vram_bytes > 0)
		free->value = MIN_OF(free->value, model->vf_vram_bytes);
	free->value -= MIN_OF(f->resources[VF_ATTR_VRAM].standing, free->value);
	for (i = 0; i < f->n_vfs; i++)
		if (f->vfs[i].values[VF_ATTR_VRAM].known)
			free->value -= MIN_OF(f->vfs[i].values[VF_ATTR_VRAM].value, free->value);
}

/* Why it cannot be cut, the first obstacle with its cure. NULL in *ret = it can. */
static int find_reason(const struct gpu_facts *f, int sriov_in_config, char **ret)
{
	const struct gpu_model *model = gpu_model_find(f->device_id);
	const char *drivers = model && model->drivers ? model->drivers : NULL;
	char *text;

	if (f->sriov_capable && f->driver && f->total_vfs > 0 && !f->vfio) {
		*ret = NULL;
		return 0;
	}

	if (f->survivability)
		text = xasprintf("the card is in survivability mode (%s): its firmware has to be "
				 "flashed again with the vendor's tool before it works",
				 f->survivability);
	else if (!f->sriov_capable && sriov_in_config == 1)
		text = strdup("the card has SR-IOV but the kernel does not offer it: a kernel with "
			      "CONFIG_PCI_IOV, and SR-IOV enabled in the firmware, are needed");
	else if (!f->sriov_capable)
		text = strdup("the card has no SR-IOV capability");
	else if (!f->driver)
		text = xasprintf("no driver is bound: it needs %s", drivers ? drivers : "xe or i915");
	else if (f->vfio)
		text = xasprintf("the whole card is bound to %s, as for passing it to one VM: bind "
				 "its own driver first",
				 f->driver);
	else
		text = xasprintf("the driver %s allows no VFs (sriov_totalvfs is 0): check its max_vfs "
				 "and the kernel log for GuC%s%s",
				 f->driver, drivers ? "; this card needs " : "", strempty(drivers));
	if (!text)
		return -ENOMEM;

	*ret = text;
	return 0;
}

int gpu_scan(struct sysfs *s, struct gpu_facts ***ret, size_t *ret_n)
{
	struct pci_found *found = NULL;
	struct gpu_facts **facts;
	size_t n = 0, i, k = 0;
	int r;

	r = pci_scan_gpus(s, &found, &n);
	if (r < 0)
		return r;
	facts = calloc(MAX_OF(n, (size_t)1), sizeof(*facts));
	if (!facts)
		r = -ENOMEM;

	for (i = 0; i < n && r == 0; i++) {
		_cleanup_(vf_surface_done) struct vf_surface c = {0};

		r = read_constants(s, &found[i], &c, &facts[k]);
		if (r < 0)
			break;
		fill_vram(facts[k]);
		r = find_reason(facts[k], -1, &facts[k]->reason);
		k++;
	}
	sysfs_hold(s, NULL);
	pci_found_free(found, n);
	if (r < 0) {
		for (i = 0; facts && i < k; i++)
			gpu_facts_free(facts[i]);
		free(facts);
		return r;
	}

	*ret = facts;
	*ret_n = k;
	return 0;
}

static void drop_vfs(struct gpu_facts *f)
{
	while (f->n_vfs > 0)
		vf_facts_done(&f->vfs[--f->n_vfs]);
}

/* Number and links are read one after the other; when they disagree somebody is changing them. */
static int read_vfs(struct sysfs *s, struct gpu_facts *f, const struct vf_surface *c)
{
	uint64_t num = 0;
	int tries, r;

	for (tries = 0; tries < COUNT_TRIES; tries++) {
		r = sysfs_read_uint(s, &num, SYSFS_PCI "/sriov_numvfs", PCI_ADDRESS_STR(&f->address));
		if (r < 0)
			return r;

		drop_vfs(f);
		r = add_vfs(s, f, c);
		if (r < 0)
			return r;
		if (f->n_vfs == num)
			break;
	}
	return 0;
}


static ino_t device_identity(struct sysfs *s, const struct pci_address *address)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), SYSFS_PCI, PCI_ADDRESS_STR(address));
	return fstatat(s->root_fd, path, &st, 0) == 0 ? st.st_ino : 0;
}

/* What lies in config space.  Reading it wakes a card that sleeps, and it does not change while the
 * device is there: a helper, which has one GPU, reads it once and keeps it for as long as sysfs shows
 * the same device. */
static void read_config(struct sysfs *s, struct gpu_facts *f, int *ret_sriov)
{
	ino_t device = device_identity(s, &f->address);
	bool asleep = f->power && streq(f->power, POWER_SUSPENDED);

	if (!asleep || device == 0 || device != s->config.device ||
	    !pci_address_equal(&s->config.address, &f->address)) {
		free(s->config.serial);
		s->config.serial = NULL;
		s->config.sriov = -1;
		s->config.address = f->address;
		/* Without the right to read it, or without the space, the card simply shows no serial. */
		s->config.device = pci_read_capabilities(s, &f->address, &s->config.sriov,
							 &s->config.serial) < 0 ? 0 : device;
	}
	*ret_sriov = s->config.sriov;
	(void)free_and_strdup(&f->serial, s->config.serial);
}

/* asks: also what waits for the device's lock and for its driver. */
static int read_one(struct sysfs *s, const struct pci_address *address, bool asks,
		    struct gpu_facts **ret)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = NULL;
	_cleanup_(vf_surface_done) struct vf_surface c = {0};
	struct pci_found found;
	int sriov_in_config = -1;
	int r;

	r = pci_scan_gpu(s, address, &found);
	if (r < 0)
		return r;
	r = read_constants(s, &found, &c, &f);
	free(found.name);
	if (r < 0)
		return r;

	if (f->sriov_capable)
		r = asks ? read_vfs(s, f, &c) : add_vfs(s, f, NULL);
	if (r < 0)
		return r;
	if (asks && c.ops)
		c.ops->read_stock(s, &c, f);
	fill_vram(f);
	if (asks)
		read_config(s, f, &sriov_in_config);
	r = find_reason(f, sriov_in_config, &f->reason);
	if (r < 0)
		return r;

	*ret = TAKE_PTR(f);
	return 0;
}

int gpu_read(struct sysfs *s, const struct pci_address *address, struct gpu_facts **ret)
{
	int r = read_one(s, address, true, ret);

	sysfs_hold(s, NULL);
	return r;
}

int gpu_links(struct sysfs *s, const struct pci_address *address, struct gpu_facts **ret)
{
	int r = read_one(s, address, false, ret);

	sysfs_hold(s, NULL);
	return r;
}
