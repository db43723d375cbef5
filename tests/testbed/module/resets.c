// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Function-level resets as the functions see them: how many, and of the last LOG each in its turn and
 * by whom.
 *
 * vfio-pci resets a function when it is opened and when it is closed, in the process that does it:
 * that is a VM's when it is named qemu:NAME, as libvirt names it (set_process_name). All else is the
 * host's. What enables VFs makes them new; that is in the log as well.
 */
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "testgpu.h"

#define LOG 1024
#define VM "qemu:"

static struct reset_log {
	unsigned int count;
	struct reset_event {
		unsigned int vfid; /* 0: VFs were enabled */
		bool by_vm;
		char name[TASK_COMM_LEN];
	} events[LOG];
} logs[TESTGPU_MAX];

static void append(struct testgpu *gpu, unsigned int vfid, bool by_vm, const char *name)
{
	struct reset_log *log = &logs[gpu->index];
	struct reset_event *event = &log->events[log->count % LOG];

	event->vfid = vfid;
	event->by_vm = by_vm;
	strscpy(event->name, name, sizeof(event->name));
	log->count++;
}

/* The PCI config lock is held. */
bool resets_note(struct testgpu *gpu, unsigned int devfn)
{
	unsigned int vfid = testgpu_vfid(gpu, devfn);
	const char *name = current->group_leader->comm;
	bool by_vm = str_has_prefix(name, VM);

	if (faults_lose_reset(gpu, by_vm ? "reset/vm" : "reset/host"))
		return false;
	atomic_inc(&gpu->resets[devfn]);
	if (vfid)
		append(gpu, vfid, by_vm, by_vm ? name + strlen(VM) : name);
	return true;
}

/* Nobody can have a VF at that moment. */
void resets_note_enable(struct testgpu *gpu)
{
	append(gpu, 0, false, "");
}

void resets_show(struct testgpu *gpu, struct seq_file *out)
{
	unsigned int devfn;

	for (devfn = 0; devfn < ARRAY_SIZE(gpu->resets); devfn++)
		if (atomic_read(&gpu->resets[devfn]))
			seq_printf(out, "vf%u %d\n", testgpu_vfid(gpu, devfn),
				   atomic_read(&gpu->resets[devfn]));
}

/* "new", "vf3 host NAME-OF-PROCESS" or "vf3 vm NAME" each; "more" when the first ones are not kept. */
void resets_show_log(struct testgpu *gpu, struct seq_file *out)
{
	const struct reset_log *log = &logs[gpu->index];
	unsigned int i = log->count > LOG ? log->count - LOG : 0;

	if (i)
		seq_puts(out, "more\n");
	for (; i < log->count; i++) {
		const struct reset_event *event = &log->events[i % LOG];

		if (event->vfid)
			seq_printf(out, "vf%u %s %s\n", event->vfid, event->by_vm ? "vm" : "host",
				   event->name);
		else
			seq_puts(out, "new\n");
	}
}
