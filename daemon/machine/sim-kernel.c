/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of sysfs for SR-IOV GPUs.  "§" names the section of the reference that a rule is from.
 */
#include "machine/sim-kernel.h"

#include <stdio.h>

#define VRAM_GRAIN (2 * MIB)   /* §2.4: quotas are rounded up to tiles × 2 MiB */
#define VRAM_SPARE (128 * MIB) /* §2.6: kept for the PF */
#define QUANTUM_MAX_MS 100000  /* §2.4: GuC clamps at 100 s */
#define PREEMPT_MAX_US 100000000
#define VF_OFFSET 1 /* §4: all supported cards have offset 1, stride 1 */
#define VF_STRIDE 1

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
		g->vfs = calloc(g->spec.total_vfs + 1, sizeof(*g->vfs));
		if (!g->vfs)
			return -ENOMEM;
		for (unsigned v = 0; v < g->spec.total_vfs; v++)
			g->vfs[v].iommu_group = -1;
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

bool sim_gpu_has_sriov_hook(const struct sim_gpu *g)
{
	return g->spec.driver && (streq(g->spec.driver, "xe") || streq(g->spec.driver, "i915"));
}

/* §1.2: routing id of the VF = PF + offset + stride × index; it may spill onto the next bus. */
static struct pci_address vf_address(const struct pci_address *pf, unsigned index)
{
	unsigned rid = (unsigned)pf->bus << 8 | (unsigned)pf->device << 3 | pf->function;

	rid += VF_OFFSET + VF_STRIDE * index;
	return (struct pci_address){.domain = pf->domain,
				    .bus = (uint8_t)(rid >> 8),
				    .device = (uint8_t)(rid >> 3 & 0x1f),
				    .function = (uint8_t)(rid & 7)};
}

static uint64_t quota_sum(const struct sim_gpu *g)
{
	uint64_t sum = 0;

	for (unsigned v = 0; v < g->spec.total_vfs; v++)
		sum += g->vfs[v].quota_bytes + g->vfs[v].share_bytes;
	return sum;
}

static uint64_t vram_free(const struct sim_gpu *g)
{
	uint64_t used = VRAM_SPARE + quota_sum(g);

	return g->spec.vram_bytes > used ? g->spec.vram_bytes - used : 0;
}

/* §2.5: a quota on any VF stops automatic sharing for all; VFs without one come up without VRAM.
 * §2.6: else each gets the same share, down to the grain; ENOSPC when nothing is left to share
 * (§2.3). */
static int provision(struct sim_gpu *g, unsigned n)
{
	uint64_t share;

	if (g->spec.vram_bytes == 0 || quota_sum(g) > 0)
		return 0;
	share = vram_free(g) / n / VRAM_GRAIN * VRAM_GRAIN;
	if (share == 0)
		return -ENOSPC;
	for (unsigned v = 0; v < n; v++)
		g->vfs[v].share_bytes = share;
	return 0;
}

static void enable(struct sim_kernel *k, struct sim_gpu *g, unsigned n)
{
	for (unsigned v = 0; v < n; v++) {
		struct sim_vf *vf = &g->vfs[v];

		vf->address = vf_address(&g->spec.address, v);
		vf->iommu_group = g->spec.iommu ? take_group(k) : -1;
		vf->override_vfio = false;
		vf->resets = 0;
		/* §1.1: with autoprobe on, the PF's own driver takes its VFs. */
		snprintf(vf->driver, sizeof(vf->driver), "%s", g->autoprobe ? g->spec.driver : "");
	}
	g->num_vfs = n;
}

/* §2.3, §2.5, traps 10 and 12: quotas and shares are released, scheduling values zeroed. Zeroing
 * the scheduling values of slots that were not enabled is (inferred). */
static void disable(struct sim_kernel *k, struct sim_gpu *g)
{
	for (unsigned v = 0; v < g->spec.total_vfs; v++) {
		struct sim_vf *vf = &g->vfs[v];

		give_group(k, &vf->iommu_group);
		*vf = (struct sim_vf){.iommu_group = -1};
	}
	g->num_vfs = 0;
	g->disabling = false;
}

/* §1.2, in the order of the kernel's own checks. */
int sim_gpu_set_numvfs(struct sim_kernel *k, struct sim_gpu *g, uint64_t n, unsigned fewer)
{
	int r;

	if (!g->spec.sriov)
		return -ENOENT; /* no such file */
	g->writes.numvfs++;
	if (n > UINT16_MAX || n > g->spec.total_vfs)
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
	r = provision(g, (unsigned)n);
	if (r < 0)
		return r;
	enable(k, g, fewer < n ? (unsigned)n - fewer : 0);
	if (g->num_vfs == 0)
		disable(k, g);
	return 0;
}

int sim_gpu_set_autoprobe(struct sim_gpu *g, uint64_t value)
{
	if (!g->spec.sriov)
		return -ENOENT;
	if (value > 1)
		return -EINVAL;
	g->writes.autoprobe++;
	g->autoprobe = value;
	return 0;
}

static int set_quota(struct sim_gpu *g, struct sim_vf *vf, bool running, uint64_t value,
		     uint64_t *ret_value)
{
	uint64_t rounded, own = vf->quota_bytes + vf->share_bytes;

	if (!g->spec.vram_quota)
		return -EOPNOTSUPP; /* §2.5: it may be missing */
	if (running)
		return -EIO; /* §2.5: GuC may refuse while the VF runs; that it always does is
				(inferred) */
	if (value > INT64_MAX)
		return -EINVAL;
	rounded = (value + VRAM_GRAIN - 1) / VRAM_GRAIN * VRAM_GRAIN;
	if (rounded > vram_free(g) + own)
		return -ENOSPC;
	vf->quota_bytes = rounded;
	vf->share_bytes = 0;
	*ret_value = rounded;
	return 0;
}

static int set_schedule(uint64_t *target, uint64_t value, uint64_t max, uint64_t *ret_value)
{
	if (value > UINT32_MAX)
		return -EINVAL; /* §2.4: u32 */
	*target = MIN_OF(value, max);
	*ret_value = *target;
	return 0;
}

int sim_gpu_set_attribute(struct sim_gpu *g, unsigned index, enum vf_attribute attribute, uint64_t value,
			  uint64_t *ret_value)
{
	struct sim_vf *vf;

	if (!g->spec.sriov_admin)
		return -EOPNOTSUPP;
	if (index > g->spec.total_vfs)
		return -ENOENT; /* §2.4: vf1 … vf<totalvfs> exist always, nothing beyond */
	if (index == 0)
		g->writes.pf_attributes++;
	else
		g->writes.vf_attributes++;
	vf = index > 0 ? &g->vfs[index - 1] : NULL;
	if (attribute == VF_ATTR_EXEC_QUANTUM)
		return set_schedule(vf ? &vf->exec_quantum_ms : &g->pf_exec_quantum_ms, value,
				    QUANTUM_MAX_MS, ret_value);
	if (attribute == VF_ATTR_PREEMPT_TIMEOUT)
		return set_schedule(vf ? &vf->preempt_timeout_us : &g->pf_preempt_timeout_us, value,
				    PREEMPT_MAX_US, ret_value);
	if (attribute == VF_ATTR_VRAM && vf) /* §2.4: the PF has none */
		return set_quota(g, vf, vf->held, value, ret_value);
	return -EOPNOTSUPP;
}

/* §6.1, bind rule of §1.1: an override lets vfio-pci take the VF whatever autoprobe says. */
int sim_gpu_bind_vfio(struct sim_gpu *g, unsigned index)
{
	struct sim_vf *vf = sim_gpu_vf(g, index);

	if (!vf)
		return -ENODEV;
	g->writes.binds++;
	if (streq(vf->driver, "vfio-pci"))
		return 0;
	if (vf->held)
		return -EBUSY; /* its DRM node is open on the host: taking it away would pull it
				  from under a user */
	if (!g->spec.iommu)
		return -EINVAL; /* vfio-pci's probe finds no IOMMU group */
	vf->override_vfio = true;
	snprintf(vf->driver, sizeof(vf->driver), "vfio-pci");
	return 0;
}

int sim_gpu_unbind(struct sim_gpu *g, unsigned index)
{
	struct sim_vf *vf = sim_gpu_vf(g, index);

	if (!vf)
		return -ENODEV;
	if (vf->held)
		return -EBUSY;
	g->writes.binds++;
	vf->override_vfio = false;
	vf->driver[0] = '\0';
	return 0;
}

int sim_gpu_reset_vf(struct sim_gpu *g, unsigned index)
{
	struct sim_vf *vf = sim_gpu_vf(g, index);

	if (!vf)
		return -ENODEV;
	if (vf->held)
		return -EBUSY;
	g->writes.resets++;
	vf->resets++;
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
	g->present = present;
	if (!present) {
		disable(k, g);
		give_group(k, &g->iommu_group);
		g->pf_exec_quantum_ms = 0;
		g->pf_preempt_timeout_us = 0;
		return;
	}
	g->autoprobe = true;
	g->iommu_group = g->spec.iommu ? take_group(k) : -1;
}

/* Why it cannot be cut; NULL = it can. */
static const char *reason(const struct sim_gpu *g)
{
	if (!g->spec.sriov)
		return "the card or the kernel has no SR-IOV for it";
	if (!g->spec.driver)
		return "no driver is bound to it";
	if (!sim_gpu_has_sriov_hook(g))
		return "its driver has no SR-IOV support";
	if (g->spec.total_vfs == 0)
		return "its driver allows no VFs (max_vfs, GuC or firmware)";
	return NULL;
}

static int fill_vf(const struct sim_gpu *g, unsigned v, struct vf_facts *out)
{
	const struct sim_vf *vf = &g->vfs[v];

	*out = (struct vf_facts){
		.index = v + 1,
		.address = vf->address,
		.iommu_group = vf->iommu_group,
		.values = {
			[VF_ATTR_VRAM] = {g->spec.vram_quota, vf->quota_bytes + vf->share_bytes},
			[VF_ATTR_EXEC_QUANTUM] = {g->spec.sriov_admin, vf->exec_quantum_ms},
			[VF_ATTR_PREEMPT_TIMEOUT] = {g->spec.sriov_admin, vf->preempt_timeout_us},
			[VF_ATTR_PRIORITY] = {g->spec.sriov_admin, VF_PRIORITY_LOW},
		},
	};
	return vf->driver[0] ? free_and_strdup(&out->driver, vf->driver) : 0;
}

struct gpu_facts *sim_gpu_facts(const struct sim_gpu *g)
{
	_cleanup_(gpu_facts_freep) struct gpu_facts *f = calloc(1, sizeof(*f));
	const struct sim_gpu_spec *s = &g->spec;

	if (!f)
		return NULL;
	f->address = s->address;
	f->device_id = s->device_id;
	f->class_code = s->class_code;
	f->vf_control = reason(g)        ? VF_CONTROL_NONE
			: s->sriov_admin ? VF_CONTROL_XE
					 : VF_CONTROL_GENERIC;
	f->sriov_capable = s->sriov;
	f->total_vfs = s->total_vfs;
	f->num_vfs = g->num_vfs;
	f->autoprobe = g->autoprobe;
	f->numa_node = s->numa_node;
	f->display = s->display;
	f->vram_bytes = (struct known){s->vram_bytes > 0, s->vram_bytes};
	f->tiles = 1;
	if (s->vram_quota)
		f->resources[VF_ATTR_VRAM] = (struct resource_facts){
			.free = {true, vram_free(g)}, .grain = VRAM_GRAIN};
	if (s->vram_quota && s->sriov_admin)
		f->can[VF_ATTR_VRAM].access = VF_ACCESS_WRITE;
	if (s->sriov_admin) {
		f->can[VF_ATTR_EXEC_QUANTUM].access = VF_ACCESS_WRITE;
		f->can[VF_ATTR_PREEMPT_TIMEOUT].access = VF_ACCESS_WRITE;
		f->can[VF_ATTR_PRIORITY].access = VF_ACCESS_READ;
	}
	f->iommu = g->iommu_group >= 0;
	if (free_and_strdup(&f->model, s->model) < 0 ||
	    free_and_strdup(&f->serial, s->serial) < 0 ||
	    free_and_strdup(&f->driver, s->driver) < 0 ||
	    free_and_strdup(&f->reason, reason(g)) < 0)
		return NULL;
	f->vfs = calloc(g->num_vfs + 1, sizeof(*f->vfs));
	if (!f->vfs)
		return NULL;
	for (unsigned v = 0; v < g->num_vfs; v++) {
		f->n_vfs = v + 1;
		if (fill_vf(g, v, &f->vfs[v]) < 0)
			return NULL;
	}
	return TAKE_PTR(f);
}

json_t *sim_gpu_writes(const struct sim_gpu *g)
{
	const struct sim_writes *w = &g->writes;

	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "sriov_numvfs", w->numvfs,
			 "sriov_numvfs_while_held", w->numvfs_while_held, "sriov_drivers_autoprobe",
			 w->autoprobe, "vf_attributes", w->vf_attributes, "pf_attributes",
			 w->pf_attributes, "binds", w->binds, "resets", w->resets);
}
