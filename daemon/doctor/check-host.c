/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges of the host itself: kernel, IOMMU, VFIO, sleep, our socket. */
#include <stdio.h>

#include "doctor/checks.h"

void check_examination(struct consultation *c)
{
	const struct note *note;
	struct finding *f;
	bool any = false;
	size_t i = 0;

	while ((note = note_next(c->host, "silent.", &i))) {
		f = say(c, SEVERITY_WARNING, "%s: could not be looked at: %s",
			note->key + strlen("silent."), note_problem(note));
		f->unlooked = true;
		finding_evidence(f, note);
		finding_cure(f, "look at what it hangs on; ask again when that has ended");
		any = true;
	}
	if (!any)
		say(c, SEVERITY_OK, "every part answered in time");
}

void check_gpus_found(struct consultation *c)
{
	const struct note *note = asked_host(c, "gpus");
	uint64_t n;

	if (!note_number(note, &n)) {
		say_unknown(c, note, "which GPUs there are");
	} else if (n == 0) {
		struct finding *f = say(c, SEVERITY_WARNING,
					"there is no Intel GPU here (vendor "
					"8086, class 03xx)");

		finding_evidence(f, note);
		finding_cure(f, "is the card plugged in, and its slot on in the firmware's setup?");
	} else {
		finding_evidence(say(c, SEVERITY_OK, "there are Intel GPUs"), note);
	}
}

/* ---- IOMMU ---- */

/* What the command line says against it: the words, or NULL. */
static const char *iommu_switched_off(struct consultation *c)
{
	static const struct {
		const char *name, *value, *words;
	} off[] = {
		{"intel_iommu", "off", "intel_iommu=off"},
		{"amd_iommu", "off", "amd_iommu=off"},
		{"iommu", "off", "iommu=off"},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(off); i++) {
		_cleanup_free_ char *value = cmdline_value(c, off[i].name);

		if (value && has_word(value, off[i].value))
			return off[i].words;
	}
	return NULL;
}

static void cure_iommu(struct consultation *c, struct finding *f, bool units)
{
	const char *off = iommu_switched_off(c);
	const struct note *dmar = asked_host(c, "acpi.DMAR"), *ivrs = asked_host(c, "acpi.IVRS");

	finding_evidence(f, dmar);
	finding_evidence(f, ivrs);
	finding_evidence(f, asked_host(c, "cmdline"));
	if (off)
		finding_cure(f, "take %s out of the kernel command line and boot again", off);
	else if (units)
		finding_cure(f, "it only remaps interrupts: boot with intel_iommu=on");
	else if (note_value(dmar))
		finding_cure(f,
			     "the firmware offers Intel's (table DMAR): boot with intel_iommu=on");
	else if (note_value(ivrs))
		finding_cure(f, "the firmware offers AMD's (table IVRS), which is on by itself: "
				"the kernel log says why it is not (AMD-Vi); amd_iommu=on helps "
				"nothing");
	else
		finding_cure(f, "switch it on in the firmware's setup: VT-d on Intel hosts, IOMMU "
				"(AMD-Vi) on AMD's");
}

void check_iommu(struct consultation *c)
{
	const struct note *units = asked_host(c, "iommu"), *groups = asked_host(c, "iommu_groups");
	bool has_units = note_value(units) && *note_value(units);
	struct finding *f;
	uint64_t n = 0;

	if (note_unknown(units) || note_unknown(groups)) {
		say_unknown(c, note_unknown(units) ? units : groups, "whether an IOMMU is on");
		return;
	}
	if (note_number(groups, &n) && n > 0) {
		f = say(c, SEVERITY_OK, "an IOMMU is on");
		finding_evidence(f, units);
		finding_evidence(f, groups);
		return;
	}
	f = say(c, SEVERITY_ERROR,
		has_units ? "an IOMMU is there but translates nothing: no VF can "
			    "be given to a VM"
			  : "no IOMMU is on: no VF can be given to a VM");
	finding_evidence(f, units);
	finding_evidence(f, groups);
	cure_iommu(c, f, has_units);
}

void check_vfio_driver(struct consultation *c)
{
	const struct note *note = asked_host(c, "driver.vfio-pci");
	struct finding *f;

	if (note_unknown(note)) {
		say_unknown(c, note, "whether vfio-pci is loaded");
	} else if (note_value(note)) {
		finding_evidence(say(c, SEVERITY_OK, "vfio-pci is there"), note);
	} else {
		f = say(c, SEVERITY_WARNING,
			"the driver vfio-pci is not loaded: VFs cannot be "
			"bound for VMs");
		finding_evidence(f, note);
		finding_cure(f, "modprobe vfio-pci; gpuvfd.service does so by modprobe@vfio_pci");
	}
}

/* ---- kernel parameters ---- */

/* One word of the command line, "xe.max_vfs=7": the loaded module must know it. */
static bool check_module_word(struct consultation *c, const char *word)
{
	char module[16], name[48], key[48];
	const struct note *list;
	struct finding *f;

	if (sscanf(word, "%15[a-z0-9].%47[A-Za-z0-9_]", module, name) != 2)
		return false;
	snprintf(key, sizeof(key), "module.%s.parameters", module);
	list = asked_host(c, key);
	if (!note_value(list) || has_word(note_value(list), name))
		return false;
	f = say(c, SEVERITY_WARNING, "%s.%s was given at boot, but the loaded %s does not know it",
		module, name, module);
	finding_evidence(f, asked_host(c, "cmdline"));
	finding_evidence(f, list);
	finding_evidence(f, kernel_log(c, module, "unknown parameter", name));
	finding_cure(f,
		     "another %s is loaded than that was written for, often after a kernel "
		     "upgrade: build the out-of-tree module for this kernel (dkms status), or "
		     "leave the parameter out",
		     module);
	return true;
}

void check_kernel_parameters(struct consultation *c)
{
	const struct note *note = asked_host(c, "cmdline");
	_cleanup_free_ char *nomodeset = cmdline_value(c, "nomodeset"), *line = NULL;
	char *word, *rest;
	bool any = false;

	if (!note_value(note)) {
		say_unknown(c, note, "the kernel's command line");
		return;
	}
	line = strdup(note_value(note));
	for (word = line ? strtok_r(line, " ", &rest) : NULL; word;
	     word = strtok_r(NULL, " ", &rest))
		any |= check_module_word(c, word);
	if (nomodeset) {
		struct finding *f = say(c, SEVERITY_ERROR,
					"nomodeset keeps xe and i915 away from "
					"every GPU");

		finding_evidence(f, note);
		finding_cure(f, "take nomodeset out of the kernel command line and boot again");
		any = true;
	}
	if (!any)
		finding_evidence(say(c, SEVERITY_OK, "nothing in them is against us"), note);
}

void check_versions(struct consultation *c)
{
	static const char *const keys[] = {"version.kernel", "version.libvirt", "version.qemu",
					   "version.gpuvf"};
	struct finding *f =
		say(c, SEVERITY_OK, "kernel %s, libvirt %s, QEMU %s, gpuvf %s",
		    note_value(asked_host(c, keys[0])) ? note_value(asked_host(c, keys[0])) : "?",
		    note_value(asked_host(c, keys[1])) ? note_value(asked_host(c, keys[1])) : "?",
		    note_value(asked_host(c, keys[2])) ? note_value(asked_host(c, keys[2])) : "?",
		    note_value(asked_host(c, keys[3])) ? note_value(asked_host(c, keys[3])) : "?");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		finding_evidence(f, asked_host(c, keys[i]));
	if (!note_value(asked_host(c, keys[0])) || !note_value(asked_host(c, keys[1]))) {
		f->severity = SEVERITY_INFO;
		f->unlooked = true;
	}
}

/* ---- sleep ---- */

void check_suspend(struct consultation *c)
{
	const struct note *sleep = asked_host(c, "sleep");
	bool can = note_value(sleep) &&
		   (has_word(note_value(sleep), "mem") || has_word(note_value(sleep), "freeze"));
	bool masked = note_is(asked_host(c, "sleep.target"), "null");
	struct finding *f;
	size_t i;

	if (note_unknown(sleep)) {
		say_unknown(c, sleep, "whether the host can suspend");
		return;
	}
	for (i = 0; can && !masked && i < c->all->n; i++) {
		const struct subject *gpu = &c->all->subjects[i];

		if (gpu->kind != SUBJECT_GPU || gpu_vfs(gpu) == 0)
			continue;
		f = say(c, SEVERITY_WARNING,
			"the host can suspend while %s has VFs, which hangs "
			"many hosts",
			gpu->name);
		finding_evidence(f, sleep);
		finding_evidence(f, note_find(&gpu->book, "virtfn.0"));
		finding_cure(f, "\"inhibit_sleep\": \"enabled\" in gpuvfd.json, or systemctl mask "
				"sleep.target suspend.target hibernate.target");
		return;
	}
	finding_evidence(say(c, SEVERITY_OK, "%s",
			     !can     ? "the host cannot suspend"
			     : masked ? "sleep is masked"
				      : "no GPU has VFs"),
			 sleep);
}

/* ---- socket ---- */

static void judge_socket(struct consultation *c, const struct note *note, unsigned mode,
			 unsigned owner, unsigned gid)
{
	const struct note *group = asked_host(c, "gpuvf.group");
	struct finding *f;
	uint64_t wanted = 0;

	if (owner == 0 && !note_number(group, &wanted)) {
		f = say(c, SEVERITY_WARNING,
			"there is no group gpuvf: only root can ask the daemon");
		finding_cure(f, "systemd-sysusers gpuvf.conf; systemctl restart gpuvfd.socket");
	} else if (owner == 0 && (gid != wanted || !(mode & 020))) {
		f = say(c, SEVERITY_WARNING,
			"the group gpuvf may not write to the daemon's socket");
		finding_evidence(f, group);
		finding_cure(f, "systemctl cat gpuvfd.socket: SocketGroup=gpuvf, SocketMode=0660; "
				"then systemctl restart gpuvfd.socket");
	} else if (mode & 02) {
		f = say(c, SEVERITY_INFO,
			"everybody may reach the daemon; the policy's access rules "
			"decide who may do what");
	} else {
		f = say(c, SEVERITY_OK, "the socket is for its owner and its group");
		finding_evidence(f, group);
	}
	finding_evidence(f, note);
}

void check_socket_permissions(struct consultation *c)
{
	const struct note *note = asked_host(c, "gpuvf.socket");
	unsigned mode, owner, gid;
	struct finding *f;

	if (note_value(note) && sscanf(note->value, "%o %u %u", &mode, &owner, &gid) == 3) {
		judge_socket(c, note, mode, owner, gid);
	} else if (note && note->outcome == NOTE_ABSENT) {
		f = say(c, SEVERITY_INFO, "no daemon listens here");
		finding_evidence(f, note);
		finding_cure(f, "systemctl enable --now gpuvfd.socket");
	} else {
		say_unknown(c, note, "who may reach the daemon");
	}
}
