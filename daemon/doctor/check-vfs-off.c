/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sriov_totalvfs is 0: the driver is there and allows no VF.  Its causes are different illnesses
 * with different cures; each has its own check. */
#include "doctor/checks.h"

/* The driver allows none. */
static bool vfs_are_off(const struct consultation *c)
{
	uint64_t total;

	return gpu_driver(c) && !gpu_on_vfio(c) &&
	       note_number(asked(c, "sriov_totalvfs"), &total) && total == 0;
}

/* ---- the causes: each gives its evidence, or NULL ---- */

static const struct note *zero(const struct consultation *c, const char *key)
{
	const struct note *note = asked(c, key);
	uint64_t n;

	return note_number(note, &n) && n == 0 ? note : NULL;
}

static const struct note *guc_parameter_off(const struct consultation *c)
{
	const struct note *note = asked(c, "parameter.enable_guc");
	uint64_t n;

	/* bit 0 is submission; -1 leaves it to the driver */
	return note_number(note, &n) && !(n & 1) ? note : NULL;
}

static const struct note *guc_off(const struct consultation *c)
{
	static const char *const words[][3] = {
		{"GuC", "fail"},
		{"GUC", "fail"},
		{"GuC", "ERROR"},
		{"GUC", "ERROR"},
		{"GuC", "not supported"},
		{"GuC", "submission disabled"},
		{"GUC", "submission disabled"},
	};
	const struct note *note = guc_parameter_off(c);
	size_t i;

	for (i = 0; !note && i < ARRAY_SIZE(words); i++)
		note = kernel_log(c, c->subject->name, words[i][0], words[i][1]);
	return note;
}

/* All six lines of the VFs' BARs are empty, or one has no address. */
static const struct note *bars_unassigned(const struct consultation *c)
{
	const struct note *note = asked(c, "resource");
	bool any = false;
	struct bar bar;
	unsigned i;

	for (i = 0; i < BARS; i++) {
		if (!bar_read(note_value(note), BARS_IOV + i, &bar))
			return NULL; /* a kernel without these lines */
		if (bar.flags & BAR_FLAG_UNSET)
			return note;
		any |= bar.flags != 0;
	}
	return any ? NULL : note;
}

static const struct note *any_cause(const struct consultation *c)
{
	const struct note *note = zero(c, "parameter.max_vfs");

	if (!note)
		note = zero(c, "configfs.max_vfs");
	if (!note)
		note = guc_off(c);
	if (!note)
		note = gpu_wedged_line(c);
	return note ? note : bars_unassigned(c);
}

/* ---- checks ---- */

void check_vfs_allowed(struct consultation *c)
{
	const struct note *total = asked(c, "sriov_totalvfs");
	struct finding *f;

	if (!note_value(total) || !gpu_driver(c) || gpu_on_vfio(c))
		return;
	if (!vfs_are_off(c)) {
		finding_evidence(say(c, SEVERITY_OK, "the driver allows %s VFs", total->value),
				 total);
		return;
	}
	if (any_cause(c))
		return; /* a check of its own tells it, with the cure */
	f = say(c, SEVERITY_ERROR,
		"the driver %s allows no VFs, and nothing that was looked at says why",
		gpu_driver(c));
	finding_evidence(f, total);
	finding_evidence(f, asked(c, "parameter.max_vfs"));
	finding_evidence(f, asked(c, "parameter.enable_guc"));
	finding_evidence(f, asked_host(c, "klog"));
	finding_cure(
		f,
		"read the kernel log of %s; SR-IOV must be on in the firmware's setup and in the "
		"card's firmware",
		c->subject->name);
}

/* The common shape: off by this cause, with evidence and cure; else fine.  NULL when the check does
 * not apply. */
static struct finding *judge_cause(struct consultation *c, const struct note *cause,
				   const char *what)
{
	struct finding *f;

	if (!vfs_are_off(c))
		return NULL;
	if (!cause) {
		say(c, SEVERITY_OK, "that is not why it allows no VFs");
		return NULL;
	}
	f = say(c, SEVERITY_ERROR, "the driver allows no VFs: %s", what);
	finding_evidence(f, asked(c, "sriov_totalvfs"));
	finding_evidence(f, cause);
	return f;
}

void check_vfs_off_max_vfs(struct consultation *c)
{
	struct finding *f =
		judge_cause(c, zero(c, "parameter.max_vfs"), "its parameter max_vfs is 0");

	if (f)
		finding_cure(
			f,
			"boot with %s.max_vfs=N (or set it in /etc/modprobe.d and load the driver "
			"again); it cannot be changed while the driver is loaded",
			gpu_driver(c));
}

void check_vfs_off_configfs(struct consultation *c)
{
	struct finding *f =
		judge_cause(c, zero(c, "configfs.max_vfs"), "configfs says 0 for this GPU");

	if (f)
		finding_cure(
			f, "write unlimited to it, then unbind the driver and bind it again: it is "
			   "read when the GPU is probed");
}

void check_vfs_off_guc(struct consultation *c)
{
	struct finding *f = judge_cause(c, guc_off(c), "GuC submission is not on");

	if (!f)
		return;
	if (guc_parameter_off(c))
		finding_cure(f, "boot with i915.enable_guc=3");
	else
		finding_cure(
			f,
			"install the GuC firmware that the driver asks for (package "
			"firmware-misc-nonfree or linux-firmware), and make the initramfs again");
}

void check_vfs_off_wedged(struct consultation *c)
{
	struct finding *f = judge_cause(c, gpu_wedged_line(c), "it has given the GPU up (wedged)");

	if (f)
		finding_cure(
			f, "unbind and bind the driver again, or boot the host; report the log to "
			   "the driver's makers");
}

void check_vfs_off_bars(struct consultation *c)
{
	struct finding *f = judge_cause(c, bars_unassigned(c), "the VFs' BARs have no addresses");

	if (f)
		finding_cure(
			f,
			"in the firmware's setup: SR-IOV on, Above 4G Decoding on, a larger MMIO "
			"window; else boot with pci=realloc");
}
