/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges of a GPU's VFs: who took them, whom they share a group with; and of a PF that was given
 * away. */
#include <stdio.h>

#include "doctor/checks.h"

/* The n-th VF's driver: a note, or NULL when it has none. */
static const struct note *vf_driver(const struct consultation *c, unsigned vf)
{
	char key[32];
	const struct note *note;

	snprintf(key, sizeof(key), "vf%u.driver", vf);
	note = asked(c, key);
	return note_value(note) ? note : NULL;
}

static bool vf_on_vfio(const struct consultation *c, unsigned vf)
{
	char key[32];

	snprintf(key, sizeof(key), "vf%u.vfio", vf);
	return note_value(note_find(&c->subject->book, key)) != NULL;
}

/* The first VF that a driver of the host has, and how many. */
static const struct note *taken_vf(const struct consultation *c, unsigned *ret_n)
{
	const struct note *first = NULL;
	unsigned i;

	*ret_n = 0;
	for (i = 1; i <= gpu_vfs(c->subject); i++) {
		const struct note *note = vf_driver(c, i);

		if (!note || vf_on_vfio(c, i))
			continue;
		first = first ? first : note;
		(*ret_n)++;
	}
	return first;
}

void check_vf_host_driver(struct consultation *c)
{
	unsigned n;
	const struct note *first = taken_vf(c, &n);
	struct finding *f;

	if (gpu_vfs(c->subject) == 0)
		return;
	if (!first) {
		say(c, SEVERITY_OK, "no VF is taken by a driver of the host");
		return;
	}
	f = say(c, SEVERITY_WARNING, "%u of %u VFs are taken by a driver of the host (%s)", n,
		gpu_vfs(c->subject), first->value);
	finding_evidence(f, first);
	finding_evidence(f, asked(c, "sriov_drivers_autoprobe"));
	finding_cure(
		f,
		"gpuvf assign takes one that no program uses; to keep the driver away: echo 0 > "
		"/sys/bus/pci/devices/%s/sriov_drivers_autoprobe before VFs are made, which "
		"gpuvf apply does",
		c->subject->name);
}

void check_vf_autoprobe(struct consultation *c)
{
	const struct note *note = asked(c, "sriov_drivers_autoprobe");
	struct finding *f;

	if (!note_value(note))
		return;
	if (!note_is(note, "0") && gpu_vfs(c->subject) > 0) {
		f = say(c, SEVERITY_WARNING,
			"the host's driver probes VFs: one that leaves a VM can go to "
			"it");
		finding_cure(
			f,
			"echo 0 > /sys/bus/pci/devices/%s/sriov_drivers_autoprobe; gpuvf apply "
			"does so",
			c->subject->name);
	} else {
		f = say(c, SEVERITY_OK,
			note_is(note, "0") ? "the host's driver leaves VFs alone"
					   : "no VF is there yet; gpuvf apply switches it off");
	}
	finding_evidence(f, note);
}

/* ---- IOMMU groups ---- */

#define CLASS_BRIDGE "0x06" /* bridges in a group do no harm to VFIO */

/* A function of a group, as gather-gpu.c notes it. */
struct member {
	char address[32], driver[64], class_code[32], vfio[8];
};

static bool read_member(const struct note *note, struct member *ret)
{
	ret->vfio[0] = '\0';
	return note_value(note) && sscanf(note->value, "%31s %63s %31s %7s", ret->address, ret->driver,
					  ret->class_code, ret->vfio) >= 3;
}

/* VFIO refuses a group with such a member. */
static bool in_the_way(const struct member *m)
{
	return strncmp(m->class_code, CLASS_BRIDGE, 4) != 0 && !streq(m->driver, "-") &&
	       !streq(m->driver, "pci-stub") && !streq(m->vfio, "vfio");
}

static bool is_vf_of(const struct consultation *c, const char *address)
{
	const struct note *note;
	size_t i = 0;

	while ((note = note_next(&c->subject->book, "virtfn.", &i)))
		if (note_is(note, address))
			return true;
	return false;
}

/* Says what is wrong with one VF's group.  Returns true when something is. */
static bool judge_group(struct consultation *c, const char *vf)
{
	_cleanup_free_ char *key = xasprintf("group.%s", vf);
	const struct note *note;
	struct member m;
	size_t i = 0;

	while (key && (note = note_next(&c->subject->book, key, &i))) {
		struct finding *f;

		if (!streq(note->key, key) || !read_member(note, &m) || streq(m.address, vf))
			continue;
		if (streq(m.address, c->subject->name))
			f = say(c, SEVERITY_ERROR, "%s shares its IOMMU group with the GPU itself",
				vf);
		else if (in_the_way(&m))
			f = say(c, SEVERITY_ERROR,
				"%s shares its IOMMU group with %s, which %s drives", vf, m.address,
				m.driver);
		else if (is_vf_of(c, m.address))
			f = say(c, SEVERITY_WARNING,
				"%s shares its IOMMU group with %s: they can go only "
				"to the same VM",
				vf, m.address);
		else
			continue;
		finding_evidence(f, note);
		finding_cure(f,
			     "the way from card to CPU has no ACS: another slot, or ACS on in the "
			     "firmware's setup");
		return true;
	}
	return false;
}

void check_iommu_group(struct consultation *c)
{
	const struct note *own = asked(c, "iommu_group"), *vf;
	size_t i = 0;
	bool any = false;

	if (!note_value(own))
		return; /* without an IOMMU there are none, and that is told there */
	while ((vf = note_next(&c->subject->book, "virtfn.", &i)))
		any |= note_value(vf) && judge_group(c, vf->value);
	if (!any)
		finding_evidence(say(c, SEVERITY_OK, "%s",
				     gpu_vfs(c->subject) > 0 ? "each VF has a group of its own"
							     : "no VF is there to look at"),
				 own);
}

/* ---- the whole GPU ---- */

/* A VM that has the PF ("live_hostdev."), or whose XML names it ("hostdev."). */
static const struct note *vm_with_pf(const struct consultation *c, const char *prefix, const char **ret_vm)
{
	size_t i;

	for (i = 0; i < c->all->n; i++) {
		const struct subject *vm = &c->all->subjects[i];
		const struct note *note;
		size_t k = 0;

		while (vm->kind == SUBJECT_VM && (note = note_next(&vm->book, prefix, &k)))
			if (note_is(note, c->subject->name)) {
				*ret_vm = vm->name;
				return note;
			}
	}
	return NULL;
}

static const char give_a_vf[] = "give VMs a VF (function .1 and up): gpuvf assign VM";
static const char own_driver[] = "bind the GPU's own driver again";

static void tell_pf_in_use(struct consultation *c, const char *vm, const struct note *has, bool bound)
{
	struct finding *f = say(c, SEVERITY_ERROR,
				"THE WHOLE GPU is in the VM %s, which runs with it: nobody can have a VF of it", vm);

	finding_evidence(f, bound ? asked(c, "driver") : NULL);
	finding_evidence(f, has);
	finding_cure(f,
		     "shut the VM down (virsh shutdown %s), take this hostdev out of its XML (virsh edit %s), %s "
		     "(libvirt does it where the hostdev is managed='yes'); then %s",
		     vm, vm, own_driver, give_a_vf);
}

static void tell_pf_named(struct consultation *c, const char *vm, const struct note *named, bool bound)
{
	struct finding *f = say(c, SEVERITY_ERROR,
				"THE WHOLE GPU is given to the VM %s: when that starts, every VF of it vanishes, from "
				"under other VMs too",
				vm);

	finding_evidence(f, bound ? asked(c, "driver") : NULL);
	finding_evidence(f, named);
	finding_cure(f, "take this hostdev out of the VM's XML (virsh edit %s); %s%s%s", vm, bound ? own_driver : "",
		     bound ? " (look for vfio-pci.ids= and driverctl); " : "", give_a_vf);
}

static void tell_pf_bound(struct consultation *c, const char *driver)
{
	struct finding *f = say(c, SEVERITY_ERROR,
				"THE WHOLE GPU is bound to %s, as for giving it to one VM: it has no VFs so", driver);

	finding_evidence(f, asked(c, "driver"));
	finding_cure(f, "%s (look for vfio-pci.ids= and driverctl); then %s", own_driver, give_a_vf);
}

void check_pf_passed_through(struct consultation *c)
{
	const char *driver = gpu_driver(c), *vm = NULL;
	bool bound = gpu_on_vfio(c);
	const struct note *note;

	if ((note = vm_with_pf(c, "live_hostdev.", &vm)))
		tell_pf_in_use(c, vm, note, bound);
	else if ((note = vm_with_pf(c, "hostdev.", &vm)))
		tell_pf_named(c, vm, note, bound);
	else if (bound)
		tell_pf_bound(c, driver);
	else
		say(c, SEVERITY_OK, "it is given to nobody");
}
