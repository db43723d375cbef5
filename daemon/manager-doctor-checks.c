/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of what only the daemon knows: its database, its policy, its connection, and what it holds
 * back. Added to the answer of daemon.doctor by manager-doctor.c. */
#include "lib/clock.h"
#include "doctor/finding.h"
#include "manager-state.h"

static void finding_evidence_since(struct finding *f, const char *source, const struct wedged *w)
{
	char since[RFC3339_STRLEN];
	_cleanup_free_ char *text = xasprintf("%s (since %s)", strempty(w->reason), rfc3339_format(w->since, since));

	finding_evidence_text(f, source, strempty(text));
}

static void check_degraded(struct manager *m, const char *id, struct findings *findings)
{
	struct finding *f = findings_add(findings, id, m->degraded ? SEVERITY_ERROR : SEVERITY_OK,
					 SUBJECT_DAEMON, "daemon");

	finding_what(f, m->degraded ? "the daemon takes no changes: its database cannot be written"
				    : "its database can be written");
	if (m->degraded) {
		finding_evidence_text(f, m->state_dir, m->degraded);
		finding_cure(f, "make room on that disk; it goes on by itself then");
	}
}

/* As daemon.status shows them. */
static void check_unreadable(struct manager *m, const char *id, struct findings *findings)
{
	_cleanup_json_ json_t *rows = json_array();
	struct finding *f;
	json_t *row;
	size_t i;

	aside_view(m, rows);
	if (json_array_size(rows) == 0)
		return;
	f = findings_add(findings, id, SEVERITY_WARNING, SUBJECT_DAEMON, "daemon");
	finding_what(f, "rows of its database could not be read and were put aside: what they said is not heeded");
	json_array_foreach(rows, i, row)
		finding_evidence_text(f, strempty(json_get_string(row, "subject")), strempty(json_get_string(row, "reason")));
	finding_cure(f, "look at the state of what they name (gpuvf list), and see docs/RECOVERY.md on going back to a copy");
}

static void check_policy(struct manager *m, const char *id, struct findings *findings)
{
	struct finding *f =
		findings_add(findings, id, m->policy_errors ? SEVERITY_ERROR : SEVERITY_OK,
			     SUBJECT_DAEMON, "daemon");
	json_t *error;
	size_t i;

	finding_what(f,
		     m->policy_errors ? "the policy's files were refused: none of their rules holds"
				      : "policy %s is in force",
		     m->policy->revision);
	json_array_foreach(m->policy_errors, i, error)
		finding_evidence_text(f, m->policy_dir, strempty(json_string_value(error)));
	if (m->policy_errors)
		finding_cure(
			f, "gpuvf policy check tells what is wrong; gpuvf policy reload when it is "
			   "mended");
}

static void check_policy_warnings(struct manager *m, const char *id, struct findings *findings)
{
	struct finding *f;
	json_t *warning;
	size_t i;

	if (json_array_size(m->policy->warnings) == 0)
		return;
	f = findings_add(findings, id, SEVERITY_INFO, SUBJECT_DAEMON, "daemon");
	finding_what(f, "something in the policy may not be meant so");
	json_array_foreach(m->policy->warnings, i, warning)
		finding_evidence_text(f, m->policy_dir, strempty(json_string_value(warning)));
	finding_cure(f, "mend it, or leave it when it is meant so");
}

static void check_hypervisor(struct manager *m, const char *id, struct findings *findings)
{
	struct finding *f =
		findings_add(findings, id, m->hypervisor_connected ? SEVERITY_OK : SEVERITY_ERROR,
			     SUBJECT_DAEMON, "daemon");

	finding_what(f, m->hypervisor_connected
				? "it is connected to libvirt"
				: "it has no connection to libvirt: only GPUs without VFs "
				  "can be cut");
	if (!m->hypervisor_connected) {
		finding_evidence_text(f, "libvirt", hypervisor_away_text(m));
		finding_cure(f, "start libvirt: the daemon tries again by itself");
	}
}

/* It has a connection, and nothing comes back. */
static void check_hypervisor_wedged(struct manager *m, const char *id, struct findings *findings)
{
	const char *reason = m->hypervisor_wedged.reason;
	struct finding *f;

	if (!reason && !m->hypervisor_connected) /* hypervisor-away says so */
		return;
	f = findings_add(findings, id, reason ? SEVERITY_ERROR : SEVERITY_OK, SUBJECT_DAEMON, "daemon");
	finding_what(f, reason ? "libvirt answers none of its calls: no VM gets a VF or gives one back" : "libvirt answers it");
	if (reason) {
		finding_evidence_since(f, "libvirt", &m->hypervisor_wedged);
		finding_cure(f, "restart libvirtd (virtqemud), VMs run on meanwhile; a QEMU that hangs in the kernel may hold it up");
	}
}

static void check_undo(struct manager *m, const char *id, struct findings *findings)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
	{
		struct finding *f;

		if (!gpu->half_cut)
			continue;
		f = findings_add(findings, id, SEVERITY_ERROR, SUBJECT_GPU,
				 PCI_ADDRESS_STR(&gpu->address));
		finding_what(f, "cutting it failed, and so did going back");
		finding_evidence_text(f, "gpuvfd", gpu->half_cut);
		finding_cure(f, "gpuvf apply %s with a layout that works, or --vfs 0", gpu->name);
	}
}

/* What the driver told by its event stands until it is bound again; the kernel log may have lost it. */
static void check_given_up(struct manager *m, const char *id, struct findings *findings)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp) {
		struct finding *f;

		if (!gpu->given_up)
			continue;
		f = findings_add(findings, id, SEVERITY_ERROR, SUBJECT_GPU, PCI_ADDRESS_STR(&gpu->address));
		finding_what(f, "its driver has said that the device is broken");
		finding_evidence_text(f, "uevent of its drm device: WEDGED", gpu->given_up);
		finding_cure(f, "%s", gpu->reason ? gpu->reason : "unbind its driver and bind it again, or boot the host");
	}
}

/* Whoever wants the lock and does not get it had better know. */
static void check_sleep_lock(struct manager *m, const char *id, struct findings *findings)
{
	_cleanup_json_ json_t *view = sleep_view(m);
	bool held = json_get_bool(view, "held", false);
	struct finding *f;

	if (!m->sleep || !json_get_bool(view, "wanted", false))
		return;
	f = findings_add(findings, id, held ? SEVERITY_OK : SEVERITY_WARNING, SUBJECT_DAEMON, "daemon");
	finding_what(f, held ? "it keeps the host awake while VFs are in use"
			     : "it cannot keep the host awake although VFs are in use");
	finding_evidence_text(f, "logind", strempty(json_get_string(view, "reason")));
	if (!held)
		finding_cure(f, "systemctl mask sleep.target suspend.target hibernate.target");
}

static void check_drift(struct manager *m, const char *id, struct findings *findings)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
	{
		struct finding *f;

		if (!gpu->drift)
			continue;
		f = findings_add(findings, id, SEVERITY_WARNING, SUBJECT_GPU,
				 PCI_ADDRESS_STR(&gpu->address));
		finding_what(f, "it is not cut as wanted");
		finding_evidence_text(f, "gpuvfd", gpu->drift);
		finding_cure(f, "gpuvf plan %s shows what differs, gpuvf apply %s mends it",
			     gpu->name, gpu->name);
	}
}

static void check_quarantined_vfs(struct manager *m, const char *id, struct findings *findings)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
	for (size_t i = 0; i < gpu->n_vfs; i++) {
		struct vf *vf = gpu->vfs[i];
		struct finding *f;

		if (vf->state != VF_QUARANTINED)
			continue;
		f = findings_add(findings, id, SEVERITY_WARNING, SUBJECT_GPU,
				 PCI_ADDRESS_STR(&gpu->address));
		finding_what(f, "%s is quarantined: nobody gets it", vf->name);
		finding_evidence_text(f, "gpuvfd", strempty(vf->reason));
		finding_cure(f, "gpuvf heal %s tries it again", vf->name);
	}
}

/* Meant so, as for a media server, or a driver of the host was let at it. */
static void check_held_vfs(struct manager *m, const char *id, struct findings *findings)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
	for (size_t i = 0; i < gpu->n_vfs; i++) {
		struct vf *vf = gpu->vfs[i];
		struct finding *f;

		if (!vf_is_in_process(vf))
			continue;
		f = findings_add(findings, id, SEVERITY_INFO, SUBJECT_GPU, PCI_ADDRESS_STR(&gpu->address));
		finding_what(f, "a process of the host has %s open: no VM gets it, and the GPU is not cut", vf->name);
		finding_evidence_text(f, "/proc", strempty(vf->reason));
		finding_cure(f, "end that process, or leave it when it is meant so");
	}
}

/* vf-host-driver and vfio-driver of the host's checks say what its driver is; this, that we could not mend it. */
static void check_unbound_vfs(struct manager *m, const char *id, struct findings *findings)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
	for (size_t i = 0; i < gpu->n_vfs; i++) {
		_cleanup_free_ char *text = bind_text(gpu->vfs[i]);
		struct finding *f;

		if (!text)
			continue;
		f = findings_add(findings, id, SEVERITY_WARNING, SUBJECT_GPU, PCI_ADDRESS_STR(&gpu->address));
		finding_what(f, "%s is free and not on VFIO, and could not be put there", gpu->vfs[i]->name);
		finding_evidence_text(f, "gpuvfd", text);
		finding_cure(f, "mend what it names (modprobe vfio-pci; the kernel log); it is tried again by itself");
	}
}

static void check_kept_vfs(struct manager *m, const char *id, struct findings *findings)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
	for (size_t i = 0; i < gpu->n_vfs; i++) {
		_cleanup_free_ char *text = kept_text(m, gpu->vfs[i]), *cure = kept_way_out(gpu->vfs[i]);
		struct finding *f;

		if (!text)
			continue;
		f = findings_add(findings, id, SEVERITY_WARNING, SUBJECT_GPU, PCI_ADDRESS_STR(&gpu->address));
		finding_what(f, "%s was to be taken back from VM %s, which did not let go of it", gpu->vfs[i]->name,
			     strempty(gpu->vfs[i]->lease.vm_name));
		finding_evidence_text(f, "gpuvfd", text);
		finding_cure(f, "%s", strempty(cure));
	}
}

/* What is not known of it is said by gpuvf show for each VF; here, that it may matter. */
static void check_memory_between_users(struct manager *m, const char *id, struct findings *findings)
{
	struct gpu *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp) {
		const char *known, *cure;
		struct finding *f;

		if (!gpu_mixes_users(m, gpu, &known, &cure))
			continue;
		f = findings_add(findings, id, SEVERITY_INFO, SUBJECT_GPU, PCI_ADDRESS_STR(&gpu->address));
		finding_what(f, "what one user leaves in a VF's memory, the next may find there");
		finding_evidence_text(f, "memory_between_users", known);
		finding_cure(f, "%s", cure);
	}
}

static void check_wedged_vms(struct manager *m, const char *id, struct findings *findings)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp) {
		struct finding *f;

		if (!vm->wedged.reason)
			continue;
		f = findings_add(findings, id, SEVERITY_ERROR, SUBJECT_VM, vm->facts->name);
		finding_what(f, "it is wedged: it gets no VF and gives none back, and no job is placed there");
		finding_evidence_since(f, "libvirt", &vm->wedged);
		finding_cure(f, "%s", wedged_way_out);
	}
}

static void check_quarantined_vms(struct manager *m, const char *id, struct findings *findings)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp)
	{
		struct finding *f;

		if (!vm->quarantine)
			continue;
		f = findings_add(findings, id, SEVERITY_WARNING, SUBJECT_VM, vm->facts->name);
		finding_what(f, "no job is placed there");
		finding_evidence_text(f, "gpuvfd", vm->quarantine);
		finding_cure(f, "mend the guest, then gpuvf heal %s", vm->facts->name);
	}
}

static void check_missing_vfs(struct manager *m, const char *id, struct findings *findings)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp)
	{
		_cleanup_free_ char *missing = vm_missing_text(m, vm);
		struct finding *f;

		if (!missing)
			continue;
		f = findings_add(findings, id, SEVERITY_WARNING, SUBJECT_VM, vm->facts->name);
		finding_what(f, vm_missing_vf(m, vm) ? "it will not start: a VF of its stored definition is gone"
						     : "it starts without a VF that it is to have");
		finding_evidence_text(f, "libvirt, kernel", missing);
		finding_cure(f,
			     "cut the GPU so that it has the VF again (gpuvf apply), or give it another (gpuvf assign %s), "
			     "or none (gpuvf release %s); what virsh put there virsh edit takes out",
			     vm->facts->name, vm->facts->name);
	}
}

static void check_taken_vfs(struct manager *m, const char *id, struct findings *findings)
{
	struct vm *vm, *tmp;

	HASH_ITER(hh, m->vms, vm, tmp)
	{
		_cleanup_free_ char *taken = vm_taken_text(m, vm);
		struct finding *f;

		if (!taken)
			continue;
		f = findings_add(findings, id, SEVERITY_WARNING, SUBJECT_VM, vm->facts->name);
		finding_what(f, "it cannot start while another has a VF that its stored definition names");
		finding_evidence_text(f, "libvirt, gpuvfd", taken);
		finding_cure(f, "take the VF back from whoever has it, or out of the definition of %s", vm->facts->name);
	}
}

static void check_simulation(struct manager *m, const char *id, struct findings *findings)
{
	struct finding *f;

	if (!m->simulated)
		return;
	f = findings_add(findings, id, SEVERITY_INFO, SUBJECT_HOST, "host");
	finding_what(
		f,
		"this machine is made up: its GPUs and VMs are judged by what it says of itself, "
		"and the host is not looked at");
	finding_evidence_text(f, "daemon.status", "simulated = true");
	finding_cure(f, "gpuvfd --doctor looks at the real host");
}

const struct daemon_check daemon_checks[] = {
	{ "simulation", "the machine is a real one", check_simulation },
	{ "daemon-degraded", "the daemon's database can be written", check_degraded },
	{ "rows-unreadable", "each row of its database could be read", check_unreadable },
	{ "policy-refused", "the policy's files are in force", check_policy },
	{ "policy-warnings", "the policy means what it says", check_policy_warnings },
	{ "hypervisor-away", "the daemon is connected to libvirt", check_hypervisor },
	{ "hypervisor-wedged", "libvirt answers the daemon's calls", check_hypervisor_wedged },
	{ "gpu-undo-failed", "no GPU is left half cut", check_undo },
	{ "gpu-given-up", "no driver has said that its GPU is broken", check_given_up },
	{ "sleep-lock", "the host is kept awake while VFs are in use", check_sleep_lock },
	{ "gpu-drift", "each GPU is cut as wanted", check_drift },
	{ "vf-quarantined", "no VF is quarantined", check_quarantined_vfs },
	{ "vf-held", "no process of the host has a VF open", check_held_vfs },
	{ "vf-off-vfio", "each free VF of a managed GPU is on VFIO, or could be put there", check_unbound_vfs },
	{ "vf-not-released", "each VM lets go of a VF that is to be taken back", check_kept_vfs },
	{ "vf-memory-between-users", "no user finds another's data in the memory of a VF", check_memory_between_users },
	{ "vm-vf-missing", "no VM that is off names a VF that is gone, or is to have one that is", check_missing_vfs },
	{ "vm-vf-taken", "no VM that is off names a VF that another has", check_taken_vfs },
	{ "vm-wedged", "each call of libvirt about a VM returns", check_wedged_vms },
	{ "vm-quarantined", "no VM is quarantined", check_quarantined_vms },
	{ NULL },
};
