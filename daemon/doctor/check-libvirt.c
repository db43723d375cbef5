/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges of libvirt as it is set up on this host. */
#include <stdio.h>

#include "doctor/checks.h"

#define CAP_SYS_RESOURCE_BIT 24 /* may raise limits of others */

void check_libvirt(struct consultation *c)
{
	const struct note *note = asked_host(c, "libvirt");
	struct finding *f;

	if (note_value(note)) {
		finding_evidence(say(c, SEVERITY_OK, "libvirt answers"), note);
		return;
	}
	if (note_find(c->host, "silent.libvirt")) {
		f = say(c, SEVERITY_ERROR, "libvirt did not answer in time");
		finding_evidence(f, note_find(c->host, "silent.libvirt"));
		finding_cure(f,
			     "journalctl -u libvirtd -u virtqemud; a QEMU that hangs in the kernel "
			     "holds it up");
		return;
	}
	if (!note)
		return;
	f = say(c, SEVERITY_ERROR, "libvirt does not answer: no VM can be given a VF");
	finding_evidence(f, note);
	finding_cure(f,
		     "systemctl enable --now libvirtd.socket, or virtqemud.socket on newer hosts; "
		     "libvirt-daemon-driver-qemu must be installed");
}

void check_libvirt_daemons(struct consultation *c)
{
	const struct note *whole = asked_host(c, "process.libvirtd");
	const struct note *modular = asked_host(c, "process.virtqemud");
	const struct note *whole_socket = asked_host(c, "socket.libvirtd");
	const struct note *modular_socket = asked_host(c, "socket.virtqemud");
	struct finding *f;

	if (note_value(whole) && note_value(modular)) {
		f = say(c, SEVERITY_WARNING,
			"libvirtd and virtqemud both run: each knows its own VMs "
			"only");
		finding_evidence(f, whole);
		finding_evidence(f, modular);
		finding_cure(f,
			     "keep one: systemctl disable --now libvirtd.service libvirtd.socket "
			     "where virtqemud is in use, or the other way round");
	} else if (note_value(whole_socket) || note_value(modular_socket)) {
		f = say(c, SEVERITY_OK, "%s serves QEMU's VMs",
			note_value(modular_socket) ? "virtqemud (modular daemons)" : "libvirtd");
		finding_evidence(f, note_value(modular_socket) ? modular_socket : whole_socket);
		finding_evidence(f, note_value(modular_socket) ? modular : whole);
	} else if (note_unknown(whole_socket)) {
		say_unknown(c, whole_socket, "which libvirt daemon there is");
	} else {
		f = say(c, SEVERITY_WARNING, "neither libvirtd nor virtqemud listens");
		finding_evidence(f, whole_socket);
		finding_evidence(f, modular_socket);
		finding_cure(f,
			     "install libvirt with its QEMU driver, and enable libvirtd.socket or "
			     "virtqemud.socket");
	}
}

/* The largest VM's memory: with a VF all of it is locked. */
static const struct note *largest_memory(struct consultation *c, uint64_t *ret)
{
	const struct note *largest = NULL;
	size_t i;

	*ret = 0;
	for (i = 0; i < c->all->n; i++) {
		const struct note *note = note_find(&c->all->subjects[i].book, "memory");
		uint64_t bytes;

		if (c->all->subjects[i].kind == SUBJECT_VM && note_number(note, &bytes) &&
		    bytes > *ret) {
			*ret = bytes;
			largest = note;
		}
	}
	return largest;
}

static void judge_memlock(struct consultation *c, const struct note *limit,
			  const struct note *capabilities)
{
	unsigned long long soft, hard, capability = 0;
	const struct note *largest;
	struct finding *f;
	uint64_t bytes;
	bool raises;

	raises = note_value(capabilities) &&
		 sscanf(capabilities->value, "%llx", &capability) == 1 &&
		 (capability >> CAP_SYS_RESOURCE_BIT & 1);
	if (raises || sscanf(limit->value, "%llu %llu", &soft, &hard) != 2) {
		f = say(c, SEVERITY_OK,
			raises ? "libvirt may raise the limit for VMs with a VF itself"
			       : "libvirt's own limit is infinite");
		finding_evidence(f, limit);
		finding_evidence(f, capabilities);
		return;
	}
	largest = largest_memory(c, &bytes);
	f = say(c, largest && bytes > hard ? SEVERITY_ERROR : SEVERITY_WARNING,
		"libvirt may lock %llu bytes and may not raise that%s", hard,
		largest && bytes > hard ? ": less than the memory of its VMs" : "");
	finding_evidence(f, limit);
	finding_evidence(f, capabilities);
	finding_evidence(f, largest);
	finding_cure(f, "LimitMEMLOCK=infinity by systemctl edit libvirtd.service (or "
			"virtqemud.service), and CAP_SYS_RESOURCE for it");
}

void check_libvirt_memlock(struct consultation *c)
{
	static const char *const names[] = {"libvirtd", "virtqemud"};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *key = xasprintf("process.%s", names[i]);
		_cleanup_free_ char *limit_key = xasprintf("process.%s.memlock", names[i]);
		_cleanup_free_ char *cap_key = xasprintf("process.%s.capabilities", names[i]);
		const struct note *limit = asked_host(c, strempty(limit_key));

		if (!note_value(asked_host(c, strempty(key))))
			continue;
		if (!note_value(limit))
			say_unknown(c, limit, "how much memory libvirt may lock");
		else
			judge_memlock(c, limit, asked_host(c, strempty(cap_key)));
	}
}

void check_qemu_conf(struct consultation *c)
{
	const struct note *file = asked_host(c, "qemu.conf");
	const struct note *ownership = asked_host(c, "qemu.conf.dynamic_ownership");
	const struct note *user = asked_host(c, "qemu.conf.user");
	struct finding *f;

	if (note_unknown(file)) {
		if (file)
			say_unknown(c, file, "libvirt's settings of QEMU");
		return;
	}
	if (note_is(ownership, "0") && !note_is(user, "\"root\"")) {
		f = say(c, SEVERITY_WARNING,
			"dynamic_ownership is 0: libvirt does not give a VM its "
			"VF's file in /dev/vfio");
		finding_evidence(f, ownership);
		finding_evidence(f, user);
		finding_cure(
			f,
			"take dynamic_ownership = 0 out of /etc/libvirt/qemu.conf, or let a udev "
			"rule give /dev/vfio/* to QEMU's user; then restart libvirt");
		return;
	}
	f = say(c, SEVERITY_OK,
		file->outcome == NOTE_ABSENT ? "libvirt's own settings hold"
					     : "nothing in it is against us");
	finding_evidence(f, file);
	finding_evidence(f, asked_host(c, "qemu.conf.security_driver"));
}
