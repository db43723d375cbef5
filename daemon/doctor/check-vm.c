/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges of VMs: whether a VF can be given to them, reach them, and be used there. */
#include <stdio.h>

#include "doctor/checks.h"
#include "hypervisor/domain-survey.h"
#include "hypervisor/pin-memory.h"
#include "lib/units.h"

/* A port without a reserve has a small window, whose size is the guest firmware's affair; this is
 * where users of large BARs began to report trouble (inferred: no document gives a number). */
#define PORT_WINDOW_USUAL (32 * MIB)

/* The GPU whose VF this is, or NULL. */
static const struct subject *gpu_of_vf(const struct consultation *c, const char *address)
{
	size_t i;

	for (i = 0; i < c->all->n; i++) {
		const struct subject *gpu = &c->all->subjects[i];
		const struct note *note;
		size_t k = 0;

		while (gpu->kind == SUBJECT_GPU && (note = note_next(&gpu->book, "virtfn.", &k)))
			if (note_is(note, address))
				return gpu;
	}
	return NULL;
}

/* The first VF that it holds or names, with its GPU; NULL = none. */
static const struct note *held_vf(const struct consultation *c, const char *prefix,
				  const struct subject **ret_gpu)
{
	const struct note *note;
	size_t i = 0;

	while ((note = note_next(&c->subject->book, prefix, &i))) {
		const struct subject *gpu = note_value(note) ? gpu_of_vf(c, note->value) : NULL;

		if (gpu) {
			*ret_gpu = gpu;
			return note;
		}
	}
	return NULL;
}

static bool is_running(const struct consultation *c)
{
	return note_is(asked(c, "state"), "running") || note_is(asked(c, "state"), "paused");
}

/* Where rules of VMs say which are ours, the others are nobody's business, unless they hold a VF.
 */
static bool is_ours(const struct consultation *c)
{
	const struct subject *gpu;

	return !note_value(asked_host(c, "policy.vms")) || note_value(asked(c, "rule")) ||
	       held_vf(c, "hostdev.", &gpu);
}

/* ---- agent, ports ---- */

void check_vm_agent(struct consultation *c)
{
	const struct note *agent = asked(c, "agent");
	struct finding *f;

	if (!is_ours(c) || !note_value(agent))
		return;
	if (note_is(agent, "absent")) {
		f = say(c, SEVERITY_WARNING,
			"it has no channel for the guest agent: VFs can be given to "
			"it, jobs cannot run there");
		finding_cure(
			f, "virsh edit: <channel type='unix'><target type='virtio' "
			   "name='org.qemu.guest_agent.0'/></channel>, and qemu-guest-agent in the "
			   "guest");
	} else if (note_is(agent, "disconnected") && is_running(c)) {
		f = say(c, SEVERITY_WARNING,
			"nobody answers at the guest agent's channel: jobs cannot run "
			"there");
		finding_cure(f, "in the guest: install and start qemu-guest-agent");
	} else if (note_is(agent, "unknown")) {
		say_unknown(c, agent, "whether the guest agent answers");
		return;
	} else {
		f = say(c, SEVERITY_OK,
			is_running(c) ? "the guest agent is connected"
				      : "there is a channel for the guest agent");
	}
	finding_evidence(f, agent);
}

void check_vm_free_port(struct consultation *c)
{
	const struct note *ports = asked(c, "free_ports");
	const struct subject *gpu;
	struct finding *f;
	uint64_t n;

	if (!is_ours(c) || !is_running(c) || !note_number(ports, &n))
		return;
	if (n > 0 || held_vf(c, "hostdev.", &gpu)) {
		f = say(c, SEVERITY_OK, n > 0 ? "a port is free" : "it has its VF already");
	} else {
		f = say(c, SEVERITY_WARNING,
			"no PCIe port is free: no VF can be plugged into the running "
			"VM");
		finding_cure(f, "virsh edit: some more <controller type='pci' "
				"model='pcie-root-port'/>, and "
				"start it again; or gpuvf assign --config while it is off");
	}
	finding_evidence(f, ports);
}

/* The largest BAR of any VF here. */
static const struct note *largest_bar(const struct consultation *c, uint64_t *ret)
{
	const struct note *largest = NULL;
	size_t i;
	unsigned k;

	*ret = 0;
	for (i = 0; i < c->all->n; i++) {
		const struct note *note = note_find(&c->all->subjects[i].book, "vf1.resource");
		struct bar bar;

		for (k = 0; k < BARS; k++)
			if (bar_read(note_value(note), k, &bar) && bar.end > bar.start &&
			    bar.end - bar.start + 1 > *ret) {
				*ret = bar.end - bar.start + 1;
				largest = note;
			}
	}
	return largest;
}

void check_vm_port_window(struct consultation *c)
{
	const struct note *reserve = asked(c, "pref64_reserve"), *bar;
	char size[32];
	uint64_t bytes, reserved;
	struct finding *f;
	bool told;

	bar = largest_bar(c, &bytes);
	if (!is_ours(c) || !bar)
		return;
	told = note_number(reserve, &reserved);
	size_format(bytes, size, sizeof(size));
	if (told ? reserved >= bytes : bytes <= PORT_WINDOW_USUAL) {
		f = say(c, SEVERITY_OK, "a VF's largest BAR (%s) fits behind a port", size);
	} else if (told) {
		f = say(c, SEVERITY_WARNING, "its ports reserve less than a VF's largest BAR (%s)",
			size);
	} else {
		f = say(c, SEVERITY_INFO,
			"a VF's largest BAR (%s) may not fit behind a port when it is "
			"plugged into the running VM",
			size);
	}
	if (f->severity != SEVERITY_OK)
		finding_cure(f, "give the VF while the VM is off (gpuvf assign --config), or "
				"reserve more by "
				"qemu:commandline: -global pcie-root-port.pref64-reserve=SIZE");
	finding_evidence(f, bar);
	finding_evidence(f, reserve);
}

/* ---- memory ---- */

/* "12345 kB" in bytes. */
static bool read_kib(const struct note *note, uint64_t *ret)
{
	unsigned long long n;

	if (!note_value(note) || sscanf(note->value, "%llu kB", &n) != 1)
		return false;
	*ret = n * KIB;
	return true;
}

/* What the host has for it: free huge pages when it wants those, else available memory. */
static const struct note *host_memory(struct consultation *c, uint64_t *ret)
{
	const struct note *pages = asked_host(c, "hugepages.free");
	uint64_t n, size;

	if (!note_value(asked(c, "hugepages")))
		return read_kib(asked_host(c, "memory.available"), ret)
			       ? asked_host(c, "memory.available")
			       : NULL;
	if (!note_number(pages, &n) || !read_kib(asked_host(c, "hugepages.size"), &size))
		return NULL;
	*ret = n * size;
	return pages;
}

void check_vm_memory(struct consultation *c)
{
	const struct note *memory = asked(c, "memory"), *rss = asked(c, "rss"), *host;
	uint64_t needs, has = 0, resident = 0;
	const struct subject *gpu;
	char text[2][32];
	struct finding *f;

	if (!is_ours(c) || !note_number(memory, &needs))
		return;
	host = host_memory(c, &has);
	if (is_running(c) && (held_vf(c, "hostdev.", &gpu) || note_value(asked(c, "locked")) ||
			      note_value(asked(c, "hugepages")))) {
		finding_evidence(say(c, SEVERITY_OK, "its memory is pinned already"), memory);
		return;
	}
	if (!host) {
		say_unknown(c, asked_host(c, "memory.available"),
			    "how much memory the host has left");
		return;
	}
	if (is_running(c) && note_number(rss, &resident))
		needs = pin_need(needs, resident);
	size_format(needs, text[0], sizeof(text[0]));
	size_format(has, text[1], sizeof(text[1]));
	if (note_value(asked(c, "hugepages")) ? needs <= has : pin_fits(needs, has)) {
		f = say(c, SEVERITY_OK, "the host has the %s that a VF would pin", text[0]);
	} else {
		f = say(c, SEVERITY_WARNING,
			"a VF would pin %s more of the host's memory, which has %s "
			"left: attaching fails, or others are killed",
			text[0], text[1]);
		finding_cure(
			f,
			"less memory for this VM or for others, or more for the host; ballooning "
			"and overcommit do not help a VM with a VF");
	}
	finding_evidence(f, memory);
	finding_evidence(f, is_running(c) ? rss : NULL);
	finding_evidence(f, host);
}

/* ---- NUMA ---- */

static unsigned count_nodes(const struct consultation *c)
{
	unsigned n = 0;
	size_t i = 0;

	while (note_next(c->host, "node.", &i))
		n++;
	return n;
}

/* Memory or CPUs are bound elsewhere; the note that says so. */
static const struct note *bound_elsewhere(struct consultation *c, unsigned node)
{
	_cleanup_free_ char *key = xasprintf("node.%u", node);
	const struct note *memory = asked(c, "nodeset"), *cpus = asked(c, "cpuset");
	const char *own = key ? note_value(asked_host(c, key)) : NULL;

	if (note_value(memory) && !cpu_list_holds(memory->value, node))
		return memory;
	if (note_value(cpus) && own && !cpu_list_within(cpus->value, own))
		return cpus;
	return NULL;
}

void check_vm_numa(struct consultation *c)
{
	const struct subject *gpu = NULL;
	const struct note *vf = held_vf(c, "hostdev.", &gpu), *node, *elsewhere;
	struct finding *f;
	uint64_t n;

	if (!vf || count_nodes(c) < 2)
		return;
	node = note_find(&gpu->book, "numa_node");
	if (!note_number(node, &n)) {
		f = say(c, SEVERITY_INFO, "not known: on which NUMA node its VF's GPU is");
		f->unlooked = true;
		finding_evidence(f, node);
		return;
	}
	elsewhere = bound_elsewhere(c, (unsigned)n);
	if (elsewhere) {
		f = say(c, SEVERITY_WARNING,
			"it is bound to another NUMA node than its VF's GPU (%llu)",
			(unsigned long long)n);
		finding_cure(f,
			     "virsh edit: <vcpu cpuset=…> and <numatune><memory nodeset=…> on node "
			     "%llu, "
			     "or a VF of a GPU there",
			     (unsigned long long)n);
	} else if (!note_value(asked(c, "nodeset")) && !note_value(asked(c, "cpuset"))) {
		f = say(c, SEVERITY_INFO,
			"it is bound to no NUMA node; its VF's GPU is on node %llu",
			(unsigned long long)n);
		finding_cure(f, "virsh edit: <vcpu cpuset=…> and <numatune><memory nodeset=…> on "
				"that node");
	} else {
		f = say(c, SEVERITY_OK, "it is on its VF's NUMA node");
	}
	finding_evidence(f, elsewhere);
	finding_evidence(f, vf);
	finding_evidence(f, node);
}

void check_vm_managed(struct consultation *c)
{
	const struct subject *gpu;
	const struct note *managed = held_vf(c, "managed.", &gpu);
	struct finding *f;

	if (!managed) {
		const struct note *vf = held_vf(c, "hostdev.", &gpu);

		if (vf)
			finding_evidence(say(c, SEVERITY_OK, "its VF is not managed by libvirt"),
					 vf);
		return;
	}
	f = say(c, SEVERITY_WARNING,
		"its VF is managed='yes': libvirt gives it to the host's driver when "
		"the VM lets go of it");
	finding_evidence(f, managed);
	finding_cure(
		f,
		"nothing where the policy says so (\"managed\": \"yes\"): gpuvf binds it to VFIO again when it is "
		"back; else gpuvf release VM; gpuvf assign VM: then it is managed='no'");
}
