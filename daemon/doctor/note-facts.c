/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host layer says of a GPU as notes: for a made-up machine all of it, for a real one the
 * way in which its VFs can be shaped, so that the doctor and the daemon never differ about that. */
#include <stdio.h>

#include "doctor/doctor.h"

void doctor_note_control(struct notebook *book, const char *source, const struct gpu_facts *f)
{
	enum vf_attribute attribute;
	char key[64];

	notebook_add(book, "control", source, NOTE_SEEN, vf_control_to_string(f->vf_control));
	if (f->control_note)
		notebook_add(book, "control_note", source, NOTE_SEEN, f->control_note);
	for (attribute = 0; attribute < VF_ATTRIBUTE_MAX; attribute++) {
		const struct vf_ability *can = &f->can[attribute];

		snprintf(key, sizeof(key), "can.%s", vf_attribute_to_string(attribute));
		notebook_seen(book, key, source, "%s%s%s", vf_access_to_string(can->access),
			      can->why ? ": " : "", strempty(can->why));
	}
}

static void note_vfs(struct notebook *book, const char *source, const struct gpu_facts *f)
{
	char key[32];
	size_t i;

	for (i = 0; i < f->n_vfs; i++) {
		const struct vf_facts *vf = &f->vfs[i];

		snprintf(key, sizeof(key), "virtfn.%zu", i);
		notebook_add(book, key, source, NOTE_SEEN, PCI_ADDRESS_STR(&vf->address));
		snprintf(key, sizeof(key), "vf%zu.driver", i + 1);
		notebook_add(book, key, source, vf->driver ? NOTE_SEEN : NOTE_ABSENT, vf->driver);
		snprintf(key, sizeof(key), "vf%zu.vfio", i + 1);
		if (vf->vfio)
			notebook_add(book, key, source, NOTE_SEEN, "yes");
	}
}

void doctor_note_gpu(struct notebook *book, const char *source, const struct gpu_facts *f)
{
	notebook_seen(book, "device", source, "0x%04x", f->device_id);
	notebook_add(book, "driver", source, f->driver ? NOTE_SEEN : NOTE_ABSENT, f->driver);
	if (f->vfio)
		notebook_add(book, "vfio", source, NOTE_SEEN, "yes");
	if (f->sriov_capable)
		notebook_seen(book, "sriov_totalvfs", source, "%u", f->total_vfs);
	else
		notebook_add(book, "sriov_capability", source, NOTE_SEEN, "no SR-IOV capability");
	notebook_seen(book, "sriov_drivers_autoprobe", source, "%d", (int)f->autoprobe);
	notebook_seen(book, "numa_node", source, "%d", f->numa_node);
	notebook_seen(book, "boot_vga", source, "%d", (int)f->display);
	if (f->iommu)
		notebook_add(book, "iommu_group", source, NOTE_SEEN, "has one");
	note_vfs(book, source, f);
	doctor_note_control(book, source, f);
}
