/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges of what keeps drivers, files and devices closed: lockdown, secure boot, SELinux, AppArmor.
 */
#include "doctor/checks.h"

/* Is the word in brackets: "none [integrity] confidentiality". */
static bool lockdown_is(const struct note *note, const char *word)
{
	_cleanup_free_ char *bracketed = xasprintf("[%s]", word);

	return note_value(note) && bracketed && strstr(note->value, bracketed);
}

void check_debugfs(struct consultation *c)
{
	const struct note *lockdown = asked_host(c, "lockdown");
	struct finding *f;

	if (lockdown && lockdown->outcome == NOTE_ABSENT) {
		f = say(c, SEVERITY_OK,
			"this kernel has no lockdown: debugfs is as writable as its "
			"files");
	} else if (!note_value(lockdown)) {
		f = say_unknown(c, lockdown, "whether the kernel is locked down");
		return;
	} else if (lockdown_is(lockdown, "none")) {
		f = say(c, SEVERITY_OK,
			"the kernel is not locked down: debugfs is as writable as "
			"its files");
	} else {
		f = say(c, SEVERITY_INFO, "the kernel is locked down: debugfs cannot be written");
		finding_cure(f,
			     "nothing is needed where the driver offers sriov_admin or prelim_iov "
			     "(see vf-control); what only debugfs could set is lost: VRAM quotas "
			     "of xe before vram_quota, and more");
	}
	finding_evidence(f, lockdown);
	finding_evidence(f, asked_host(c, "debugfs"));
}

/* ---- secure boot ---- */

/* The kernel refused a module. */
static const struct note *module_refused(struct consultation *c)
{
	const struct note *line = kernel_log(c, "module", "is rejected");

	if (!line)
		line = kernel_log(c, "Lockdown", "unsigned module loading is restricted");
	if (!line)
		line = kernel_log(c, "Key was rejected");
	return line;
}

/* The driver of a GPU that is not signed with a key that the kernel knows, or NULL. */
static const struct note *unsigned_module(struct consultation *c)
{
	static const char *const keys[] = {"module.xe.taint", "module.i915.taint"};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct note *taint = asked_host(c, keys[i]);

		if (note_value(taint) && strchr(taint->value, 'E'))
			return taint;
	}
	return NULL;
}

static void judge_secure_boot(struct consultation *c, const struct note *state, bool on)
{
	const struct note *refused = module_refused(c), *bare = unsigned_module(c);
	struct finding *f;

	if (refused) {
		f = say(c, SEVERITY_ERROR,
			"the kernel refused a module that is not signed by a key "
			"that it knows");
		finding_evidence(f, refused);
		finding_cure(f,
			     "sign it and enrol the key (mokutil --import), or switch secure boot "
			     "off in the firmware's setup");
	} else if (bare && !on) {
		f = say(c, SEVERITY_INFO,
			"the GPU's driver is not signed: it will not load once "
			"secure boot is on");
		finding_evidence(f, bare);
		finding_cure(f, "sign it and enrol the key (mokutil --import) before that");
	} else {
		f = say(c, SEVERITY_OK,
			on ? "secure boot is on, and no module was refused"
			   : "secure boot is off or not there");
	}
	finding_evidence(f, state);
	finding_evidence(f, asked_host(c, "lockdown"));
}

void check_secure_boot(struct consultation *c)
{
	const struct note *efi = asked_host(c, "efi"), *state = asked_host(c, "secure_boot");

	if (efi && efi->outcome == NOTE_ABSENT)
		judge_secure_boot(c, efi, false); /* no EFI, no secure boot */
	else if (note_unknown(state))
		say_unknown(c, state, "whether secure boot is on");
	else
		judge_secure_boot(c, state, note_is(state, "1"));
}

/* ---- mandatory access control ---- */

void check_mandatory_access(struct consultation *c)
{
	const struct note *selinux = asked_host(c, "selinux"), *log = asked_host(c, "klog");
	const struct note *apparmor = asked_host(c, "apparmor");
	bool enforcing = note_is(selinux, "1"), confined = note_is(apparmor, "Y");
	const struct note *line = kernel_log(c, "avc:  denied");
	struct finding *f;

	if (!line)
		line = kernel_log(c, "apparmor=\"DENIED\"");
	if (line && (enforcing || confined)) {
		f = say(c, SEVERITY_ERROR, "%s has refused something to a VM or to libvirt",
			strstr(strempty(note_value(line)), "apparmor") ? "AppArmor" : "SELinux");
		finding_evidence(f, line);
		finding_cure(f,
			     "SELinux: restorecon -RF /dev/vfio, or a rule by audit2allow; "
			     "AppArmor: a line in /etc/apparmor.d/local/abstractions/libvirt-qemu");
	} else if ((enforcing || confined) && !note_value(log)) {
		f = say_unknown(c, log, "whether SELinux or AppArmor have refused anything");
	} else {
		f = say(c, SEVERITY_OK, "%s",
			enforcing  ? "SELinux enforces, and has refused nothing to VMs"
			: confined ? "AppArmor is on, and has refused nothing to VMs"
				   : "neither SELinux nor AppArmor is in force");
	}
	finding_evidence(f, selinux);
	finding_evidence(f, apparmor);
}
