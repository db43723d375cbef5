/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges of a GPU: capability, driver, room for its BARs, screen, power. */
#include <stdio.h>

#include "core/facts.h"
#include "core/model-table.h"
#include "doctor/checks.h"

/* ---- what several judges ask ---- */

const char *gpu_driver(const struct consultation *c)
{
	return note_value(asked(c, "driver"));
}

unsigned gpu_vfs(const struct subject *gpu)
{
	unsigned n = 0;
	size_t i = 0;

	while (note_next(&gpu->book, "virtfn.", &i))
		n++;
	return n;
}

bool gpu_on_vfio(const struct consultation *c)
{
	return note_value(note_find(&c->subject->book, "vfio")) != NULL;
}

const struct note *gpu_wedged_line(const struct consultation *c)
{
	const struct note *line = kernel_log(c, c->subject->name, "wedged");

	return line ? line : kernel_log(c, c->subject->name, "Wedged");
}

bool bar_read(const char *resource, unsigned line, struct bar *ret)
{
	unsigned long long start, end, flags;

	for (; resource && line > 0; line--) {
		resource = strchr(resource, '\n');
		resource += resource ? 1 : 0;
	}
	if (!resource || sscanf(resource, "%llx %llx %llx", &start, &end, &flags) != 3)
		return false;
	*ret = (struct bar){start, end, flags};
	return true;
}

/* What cuts this model, in words; NULL = nothing that we know. */
static const char *wanted_driver(const struct consultation *c)
{
	const struct gpu_model *model;
	uint64_t id;

	if (!note_number(asked(c, "device"), &id))
		return NULL;
	model = gpu_model_find((unsigned)id);
	return model ? model->drivers : NULL;
}

/* ---- answers ---- */

void check_gpu_answers(struct consultation *c)
{
	const char *at = c->subject->silent;
	struct finding *f;

	if (!at) {
		say(c, SEVERITY_OK, "it answers");
		return;
	}
	if (c->subject->spared)
		f = say(c, SEVERITY_ERROR,
			"an access to %s has not returned; nothing more was asked of "
			"this GPU",
			at);
	else
		f = say(c, SEVERITY_ERROR, "reading %s did not return in time", at);
	f->unlooked = true;
	finding_evidence_text(f, at, "no answer");
	finding_evidence(f, kernel_log(c, c->subject->name));
	finding_cure(
		f, "a write to sriov_numvfs returns when the VMs that hold its VFs let go of them: "
		   "shut them down; else the host must be booted again, and other GPUs go on "
		   "until then");
}

/* ---- capability, driver ---- */

void check_sriov_capability(struct consultation *c)
{
	const struct note *files = asked(c, "sriov_totalvfs");
	const struct note *capability = asked(c, "sriov_capability");
	struct finding *f;

	if (note_value(files)) {
		f = say(c, SEVERITY_OK, "card and kernel have SR-IOV");
	} else if (!note_value(capability)) {
		say_unknown(c, capability, "whether the card has SR-IOV (the kernel offers none)");
		return;
	} else if (strncmp(capability->value, "no ", 3) == 0) {
		f = say(c, SEVERITY_INFO,
			"this card has no SR-IOV: it can be given to a VM only as a "
			"whole, and not by gpuvf");
	} else {
		f = say(c, SEVERITY_ERROR, "the card has SR-IOV, but the kernel does not offer it");
		finding_cure(
			f,
			"a kernel with CONFIG_PCI_IOV, and SR-IOV on in the firmware's setup, are "
			"needed");
	}
	finding_evidence(f, capability);
	finding_evidence(f, files);
}

void check_gpu_driver(struct consultation *c)
{
	const char *driver = gpu_driver(c), *wanted = wanted_driver(c);
	struct finding *f;

	if (!note_value(asked(c, "sriov_totalvfs")) || gpu_on_vfio(c))
		return; /* it cannot be cut anyway, or pf-passed-through tells */
	if (!driver) {
		f = say(c, SEVERITY_ERROR, "no driver is bound to it");
		finding_evidence(f, asked(c, "driver"));
		finding_evidence(f, asked_host(c, "module.xe"));
		finding_evidence(f, asked_host(c, "module.i915"));
		finding_evidence(f, asked_host(c, "cmdline"));
		finding_cure(f,
			     "it needs %s; is that kept away by module_blacklist= or "
			     "modprobe.blacklist=, or does the kernel log say why it gave up?",
			     wanted ? wanted : "xe or i915");
	} else if (!streq(driver, "xe") && !streq(driver, "i915")) {
		f = say(c, SEVERITY_WARNING, "%s is no driver of Intel GPUs", driver);
		finding_evidence(f, asked(c, "driver"));
		finding_cure(f, "unbind it; it needs %s", wanted ? wanted : "xe or i915");
	} else {
		f = say(c, SEVERITY_OK, "%s is bound", driver);
		finding_evidence(f, asked(c, "driver"));
	}
}

/* "… use xe.force_probe='56c0' …": the driver names the id that it was not told to take. */
void check_driver_force_probe(struct consultation *c)
{
	const struct note *line;
	struct finding *f;
	char id[8];
	uint64_t n;

	if (gpu_driver(c) || !note_number(asked(c, "device"), &n))
		return;
	snprintf(id, sizeof(id), "%04x", (unsigned)n & 0xffff);
	line = kernel_log(c, "force_probe", id);
	if (!line) {
		if (note_value(asked_host(c, "klog")))
			say(c, SEVERITY_OK, "no driver asks for force_probe");
		else
			say_unknown(c, asked_host(c, "klog"),
				    "whether a driver asks for force_probe");
		return;
	}
	f = say(c, SEVERITY_ERROR, "a driver is there, but takes this card only with force_probe");
	finding_evidence(f, line);
	finding_cure(
		f,
		"boot with xe.force_probe=%s i915.force_probe=!%s (or the other way round); VFs "
		"need a driver that has SR-IOV for it: %s",
		id, id, wanted_driver(c) ? wanted_driver(c) : "none is known");
}

/* The parameter max_vfs comes with SR-IOV support: a driver without it has no hook for VFs,
 * whatever the hardware's sriov_totalvfs says. */
void check_driver_without_sriov(struct consultation *c)
{
	const char *driver = gpu_driver(c);
	const struct note *parameters = asked(c, "parameters"), *line;
	struct finding *f;

	if (!driver || (!streq(driver, "xe") && !streq(driver, "i915")) ||
	    !note_value(asked(c, "sriov_totalvfs")) || !note_value(parameters))
		return;
	line = kernel_log(c, c->subject->name, "driver does not support SR-IOV configuration");
	if (!line &&
	    (has_word(parameters->value, "max_vfs") || note_value(asked(c, "sriov_admin")))) {
		finding_evidence(say(c, SEVERITY_OK, "%s knows SR-IOV", driver), parameters);
		return;
	}
	f = say(c, SEVERITY_ERROR,
		streq(driver, "i915")
			? "this is i915 without SR-IOV, as in mainline kernels: it makes "
			  "no VFs, whatever max_vfs says"
			: "this xe has no SR-IOV: it was built without CONFIG_PCI_IOV, "
			  "or is too old");
	finding_evidence(f, parameters);
	finding_evidence(f, line);
	finding_evidence(f, kernel_log(c, driver, "unknown parameter", "max_vfs"));
	finding_cure(f, "this card needs %s",
		     wanted_driver(c) ? wanted_driver(c) : "a driver with SR-IOV; none is known");
}

/* ---- room ---- */

#define ROOM_CURE                                                                                  \
	"in the firmware's setup: Above 4G Decoding on, resizable BAR on, a larger MMIO window; "  \
	"else "                                                                                    \
	"boot with pci=realloc"

static bool own_bar_unassigned(const struct note *resource)
{
	struct bar bar;
	unsigned i;

	for (i = 0; i < BARS; i++)
		if (bar_read(note_value(resource), BARS_STANDARD + i, &bar) &&
		    (bar.flags & BAR_FLAG_UNSET))
			return true;
	return false;
}

void check_mmio_space(struct consultation *c)
{
	const char *gpu = c->subject->name;
	const struct note *resource = asked(c, "resource");
	const struct note *line = kernel_log(c, gpu, "not enough MMIO resources");
	struct finding *f;

	if (!line)
		line = kernel_log(c, gpu, "BAR", "can't assign");
	if (!line)
		line = kernel_log(c, gpu, "BAR", "failed to assign");
	if (own_bar_unassigned(resource)) {
		f = say(c, SEVERITY_ERROR, "one of its own BARs has no address");
	} else if (line) {
		f = say(c, SEVERITY_ERROR,
			"the kernel found no room for its BARs or those of its VFs");
	} else if (!note_value(resource)) {
		if (resource)
			say_unknown(c, resource, "whether its BARs have addresses");
		return;
	} else {
		finding_evidence(say(c, SEVERITY_OK, "its BARs have addresses"), resource);
		return;
	}
	finding_evidence(f, resource);
	finding_evidence(f, line);
	finding_cure(f, ROOM_CURE);
}

void check_gpu_wedged(struct consultation *c)
{
	const struct note *line = gpu_wedged_line(c), *log = asked_host(c, "klog");
	struct finding *f;
	uint64_t total;

	if (note_number(asked(c, "sriov_totalvfs"), &total) && total == 0)
		return; /* vfs-off-wedged tells */
	if (line) {
		f = say(c, SEVERITY_ERROR, "its driver has given it up since the host was booted");
		finding_evidence(f, line);
		finding_cure(
			f, "once nobody holds a VF: unbind and bind its driver again, or boot the "
			   "host; report the log to the driver's makers");
	} else if (!note_value(log)) {
		if (log)
			say_unknown(c, log, "whether its driver has given it up");
	} else {
		say(c, SEVERITY_OK, "its driver has not given it up");
	}
}

/* ---- screen, settings, power ---- */

void check_console_gpu(struct consultation *c)
{
	const struct note *boot = asked(c, "boot_vga"), *note, *connected = NULL;
	struct finding *f;
	size_t i = 0;

	while (!connected && (note = note_next(&c->subject->book, "connector.", &i)))
		if (note_is(note, "connected"))
			connected = note;
	if (!connected && !note_is(boot, "1")) {
		finding_evidence(say(c, SEVERITY_OK, "it drives no screen"), boot);
		return;
	}
	f = say(c, SEVERITY_INFO, "it drives the console or a screen");
	finding_evidence(f, note_is(boot, "1") ? boot : NULL);
	finding_evidence(f, connected);
	finding_cure(f,
		     "cutting it can disturb the screen, and gpuvf apply asks for --yes-display; "
		     "better let another card drive it");
}

/* Memory and time slices are what people give to VFs; an integrated GPU has no memory to give. */
static const struct note *cannot_set(const struct consultation *c)
{
	static const enum vf_attribute wanted[] = {VF_ATTR_VRAM, VF_ATTR_EXEC_QUANTUM};
	const struct gpu_model *model = NULL;
	uint64_t id;
	size_t i;

	if (note_number(asked(c, "device"), &id))
		model = gpu_model_find((unsigned)id);
	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		_cleanup_free_ char *key = xasprintf("can.%s", vf_attribute_to_string(wanted[i]));
		const struct note *note = key ? asked(c, key) : NULL;

		if (wanted[i] == VF_ATTR_VRAM && model && model->integrated)
			continue;
		if (!note_is(note, vf_access_to_string(VF_ACCESS_WRITE)))
			return note;
	}
	return NULL;
}

void check_vf_control(struct consultation *c)
{
	const struct note *way = asked(c, "control"), *cannot = cannot_set(c);
	struct finding *f;

	if (!note_value(asked(c, "sriov_totalvfs")) || !gpu_driver(c) ||
	    gpu_on_vfio(c))
		return;
	if (!note_value(way)) {
		say_unknown(c, way, "in which way its VFs can be shaped");
		return;
	}
	if (!cannot) {
		f = say(c, SEVERITY_OK, "memory and time slices of VFs can be set (%s)",
			way->value);
	} else {
		f = say(c, SEVERITY_INFO,
			"not everything of a VF can be set in the way that is offered "
			"(%s): the driver shares the rest out",
			way->value);
		finding_cure(f, "gpuvf show tells each; xe has sriov_admin from kernel 6.19 on and "
				"vram_quota "
				"later still, Intel's backported i915 prelim_iov");
	}
	finding_evidence(f, way);
	finding_evidence(f, cannot);
	finding_evidence(f, asked(c, "control_note"));
	finding_evidence(f, cannot ? asked_host(c, "lockdown") : NULL);
}

void check_runtime_pm(struct consultation *c)
{
	const struct note *status = asked(c, "power.status"), *control = asked(c, "power.control");
	struct finding *f;

	if (!note_value(status))
		return; /* a kernel without CONFIG_PM has no such file */
	if (gpu_vfs(c->subject) > 0 && note_is(status, "suspended")) {
		f = say(c, SEVERITY_WARNING, "it sleeps although it has VFs");
		finding_cure(f, "echo on > /sys/bus/pci/devices/%s/power/control",
			     c->subject->name);
	} else {
		f = say(c, SEVERITY_OK, "it is awake when it has VFs");
	}
	finding_evidence(f, status);
	finding_evidence(f, control);
}
