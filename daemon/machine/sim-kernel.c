/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PCI core's rules for SR-IOV GPUs: cards and their VFs come and go, are bound and held.  "§" names the
 * section of the reference that a rule is from. */
#include "machine/sim-provision.h"

#include <stdio.h>

static int take_group(struct sim_kernel *k)
{
	for (size_t word = 0; word < ARRAY_SIZE(k->groups); word++) {
		uint64_t vacant = ~k->groups[word];

		if (vacant) {
			int bit = __builtin_ctzll(vacant);

			k->groups[word] |= UINT64_C(1) << bit;
			return (int)(word * 64) + bit;
		}
	}
	return -1;
}

static void give_group(struct sim_kernel *k, int *group)
{
	if (*group >= 0)
		k->groups[*group / 64] &= ~(UINT64_C(1) << (*group % 64));
	*group = -1;
}

bool sim_gpu_has_sriov_hook(const struct sim_gpu *g)
{
	return g->driver && g->spec.hook;
}

/* §1.1: without a driver sriov_totalvfs is what the hardware has; §2.2, §3.1: the driver lowers it.  §2.9: binding is
 * one of the ways back from wedged; what VFs were given is forgotten. */
static void bind_driver(struct sim_gpu *g, bool bound)
{
	g->driver = bound ? g->spec.driver : NULL;
	g->total_vfs = sim_gpu_has_sriov_hook(g) ? g->spec.total_vfs : g->spec.hardware_vfs;
	g->wedged = g->custom = g->auto_off = g->auto_shared = g->if_idle = false;
	g->pf = (struct sim_given){0};
	for (unsigned v = 0; v < g->spec.hardware_vfs; v++)
		g->vfs[v].given = (struct sim_given){0};
}

int sim_kernel_init(struct sim_kernel *k, const struct sim_document *document)
{
	*k = (struct sim_kernel){.n_gpus = document->n_gpus};
	k->gpus = calloc(document->n_gpus + 1, sizeof(*k->gpus));
	if (!k->gpus)
		return -ENOMEM;
	for (size_t i = 0; i < k->n_gpus; i++) {
		struct sim_gpu *g = &k->gpus[i];

		g->spec = document->gpus[i];
		snprintf(g->name, sizeof(g->name), "gpu%zu", i);
		g->present = true;
		g->autoprobe = true; /* §1.1: the default */
		g->iommu_group = g->spec.iommu ? take_group(k) : -1;
		g->vfs = calloc(g->spec.hardware_vfs + 1, sizeof(*g->vfs));
		if (!g->vfs)
			return -ENOMEM;
		for (unsigned v = 0; v < g->spec.hardware_vfs; v++)
			g->vfs[v].iommu_group = -1;
		bind_driver(g, g->spec.bound);
	}
	return 0;
}

void sim_kernel_done(struct sim_kernel *k)
{
	for (size_t i = 0; k->gpus && i < k->n_gpus; i++)
		free(k->gpus[i].vfs);
	free(k->gpus);
	*k = (struct sim_kernel){0};
}

struct sim_gpu *sim_kernel_find(struct sim_kernel *k, const struct pci_address *address)
{
	for (size_t i = 0; i < k->n_gpus; i++)
		if (k->gpus[i].present && pci_address_equal(&k->gpus[i].spec.address, address))
			return &k->gpus[i];
	return NULL;
}

struct sim_gpu *sim_kernel_find_name(struct sim_kernel *k, const char *name)
{
	for (size_t i = 0; i < k->n_gpus; i++)
		if (streq(k->gpus[i].name, name) ||
		    streq(PCI_ADDRESS_STR(&k->gpus[i].spec.address), name))
			return &k->gpus[i];
	return NULL;
}

struct sim_vf *sim_kernel_find_vf(struct sim_kernel *k, const struct pci_address *address,
				  struct sim_gpu **ret_gpu)
{
	for (size_t i = 0; i < k->n_gpus; i++) {
		struct sim_gpu *g = &k->gpus[i];

		for (unsigned v = 0; g->present && v < g->num_vfs; v++) {
			if (!pci_address_equal(&g->vfs[v].address, address))
				continue;
			if (ret_gpu)
				*ret_gpu = g;
			return &g->vfs[v];
		}
	}
	return NULL;
}

struct sim_vf *sim_gpu_vf(struct sim_gpu *g, unsigned index)
{
	return index >= 1 && index <= g->num_vfs ? &g->vfs[index - 1] : NULL;
}

unsigned sim_gpu_held(const struct sim_gpu *g)
{
	unsigned held = 0;

	for (unsigned v = 0; v < g->num_vfs; v++)
		held += g->vfs[v].held;
	return held;
}

/* §1.2: routing id of the VF = PF + offset + stride × index; it may spill onto the next bus. */
struct pci_address sim_gpu_vf_address(const struct sim_gpu *g, unsigned index)
{
	const struct pci_address *pf = &g->spec.address;
	unsigned rid = pci_routing_id(pf) + SIM_VF_OFFSET + SIM_VF_STRIDE * (index - 1);

	return (struct pci_address){.domain = pf->domain,
				    .bus = (uint8_t)(rid >> 8),
				    .device = (uint8_t)(rid >> 3 & 0x1f),
				    .function = (uint8_t)(rid & 7)};
}

static void enable(struct sim_kernel *k, struct sim_gpu *g, unsigned n)
{
	for (unsigned v = 0; v < n; v++) {
		struct sim_vf *vf = &g->vfs[v];

		vf->address = sim_gpu_vf_address(g, v + 1);
		vf->iommu_group = g->spec.iommu ? take_group(k) : -1;
		vf->vfio = vf->override_vfio = false;
		vf->resets = 0;
		/* §1.1: with autoprobe on, the PF's own driver takes its VFs. */
		snprintf(vf->driver, sizeof(vf->driver), "%s", g->autoprobe ? g->driver : "");
	}
	g->num_vfs = n;
}

/* All VFs go; what they were given is the driver's business. */
static void disable(struct sim_kernel *k, struct sim_gpu *g)
{
	unsigned n = g->num_vfs;

	for (unsigned v = 0; v < n; v++) {
		struct sim_vf *vf = &g->vfs[v];

		give_group(k, &vf->iommu_group);
		*vf = (struct sim_vf){.iommu_group = -1, .given = vf->given};
	}
	g->num_vfs = 0;
	g->disabling = false;
	if (g->driver)
		sim_provision_release(g, n);
}

/* §1.2, in the order of the kernel's own checks. */
int sim_gpu_set_numvfs(struct sim_kernel *k, struct sim_gpu *g, uint64_t n, unsigned fewer)
{
	int r;

	if (!g->spec.sriov)
		return -ENOENT; /* no such file */
	sim_gpu_count_write(g, SIM_NUMVFS);
	if (n > UINT16_MAX || n > g->total_vfs)
		return -ERANGE;
	if (n == g->num_vfs)
		return 0;
	if (!sim_gpu_has_sriov_hook(g))
		return -ENOENT;
	if (n == 0) {
		if (sim_gpu_held(g) > 0) { /* §6.2: not refused, waits for ever */
			g->writes.numvfs_while_held++;
			g->disabling = true;
			return -EINPROGRESS;
		}
		disable(k, g);
		return 0;
	}
	if (g->num_vfs > 0)
		return -EBUSY;
	if (fewer >= n)
		return 0;
	r = sim_provision_share(g, (unsigned)n - fewer);
	if (r < 0)
		return r;
	enable(k, g, (unsigned)n - fewer);
	return 0;
}

int sim_gpu_set_autoprobe(struct sim_gpu *g, uint64_t value)
{
	if (!g->spec.sriov)
		return -ENOENT;
	if (value > 1)
		return -EINVAL;
	sim_gpu_count_write(g, SIM_AUTOPROBE);
	g->autoprobe = value;
	return 0;
}

/* §6.1, bind rule of §1.1: an override lets VFIO take the VF whatever autoprobe says. */
int sim_gpu_bind_vfio(struct sim_gpu *g, unsigned index)
{
	struct sim_vf *vf = sim_gpu_vf(g, index);

	if (!vf)
		return -ENOENT; /* no virtfn link */
	sim_gpu_count_write(g, SIM_BIND);
	if (vf->vfio)
		return 0;
	if (vf->held)
		return -EBUSY; /* its DRM node is open on the host: taking it away would pull it
				  from under a user */
	if (!g->spec.iommu)
		return -EINVAL; /* vfio-pci's probe finds no IOMMU group */
	vf->vfio = vf->override_vfio = true;
	snprintf(vf->driver, sizeof(vf->driver), "%s", g->spec.vfio_driver);
	return 0;
}

int sim_gpu_unbind(struct sim_gpu *g, unsigned index)
{
	struct sim_vf *vf = sim_gpu_vf(g, index);

	if (!vf)
		return -ENOENT; /* no virtfn link */
	if (vf->held)
		return -EBUSY;
	sim_gpu_count_write(g, SIM_UNBIND);
	vf->vfio = vf->override_vfio = false;
	vf->driver[0] = '\0';
	return 0;
}

/* Bind rule of §1.1: without an override the host's driver gets it only where autoprobe is on. */
void sim_gpu_give_back(struct sim_gpu *g, struct sim_vf *vf)
{
	vf->vfio = vf->override_vfio = false;
	snprintf(vf->driver, sizeof(vf->driver), "%s", g->autoprobe ? strempty(g->driver) : "");
}

int sim_gpu_reset_vf(struct sim_gpu *g, unsigned index)
{
	struct sim_vf *vf = sim_gpu_vf(g, index);

	if (!vf)
		return -ENOENT; /* no virtfn link */
	if (vf->held)
		return -EBUSY;
	sim_gpu_count_write(g, SIM_RESET);
	vf->resets++;
	vf->used = false;
	return 0;
}

void sim_vf_hold(struct sim_vf *vf, const char *vm, int pid)
{
	vf->held = true;
	vf->holder = (struct sim_holder){.vm = vm, .pid = pid};
}

void sim_vf_release(struct sim_vf *vf)
{
	vf->held = false;
	vf->holder = (struct sim_holder){0};
}

void sim_kernel_count_attach(struct sim_kernel *k, const struct pci_address *address)
{
	struct sim_gpu *g = NULL;
	const struct sim_vf *vf = sim_kernel_find_vf(k, address, &g);

	if (vf && vf->used)
		g->writes.attached_without_reset++;
}

bool sim_kernel_settle(struct sim_kernel *k, struct sim_gpu *g)
{
	if (!g->disabling || sim_gpu_held(g) > 0)
		return false;
	disable(k, g);
	return true;
}

void sim_gpu_set_present(struct sim_kernel *k, struct sim_gpu *g, bool present)
{
	if (g->present == present)
		return;
	if (!present) {
		sim_gpu_set_bound(k, g, false);
		give_group(k, &g->iommu_group);
		g->present = false;
		return;
	}
	g->present = true;
	g->autoprobe = true;
	g->iommu_group = g->spec.iommu ? take_group(k) : -1;
	bind_driver(g, true);
}

/* Trap 7: with the PF's driver go all VFs. */
void sim_gpu_set_bound(struct sim_kernel *k, struct sim_gpu *g, bool bound)
{
	if (!bound)
		disable(k, g);
	bind_driver(g, bound);
}

void sim_gpu_count_write(struct sim_gpu *g, int point)
{
	if (point >= 0 && point < SIM_WRITE)
		g->writes.of[point]++;
}
