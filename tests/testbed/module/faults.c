// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Faults on demand: the Nth write (or read) of an attribute fails, or hangs beyond the reach of any
 * signal until it is released, as a stuck device does.
 *
 * ATTRIBUTE:NTH:WHAT - ATTRIBUTE is sriov_numvfs, or a path below sriov_admin, such as
 * vf2/profile/vram_quota, below prelim_iov (vf2/gt0/lmem_quota), below the card's folder in debugfs
 * (old layout: gt0/vf2/lmem_quota) or below sriov in it (new: vf2/tile0/vram_quota), or its last
 * part alone for any function; NTH counts from 1 from the moment the fault is set, 0 means every
 * one; WHAT is an errno's name, "hang", or "fewer" (only sriov_numvfs: one VF fewer than asked);
 * with "read-" before it, it is about reads. reset/NAME:NTH:lost is about function-level resets of
 * NAME, host or vm (see resets.c): they never reach the function, and nobody is told. The kernel answers a read of sriov_numvfs itself: it
 * takes no fault.
 */
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "testgpu.h"

#define FAULT_HANG 2

struct fault {
	struct list_head link;
	char attribute[96];
	unsigned int nth;
	unsigned int seen;
	bool reads;
	int what;
};

static const struct {
	const char *name;
	int what;
} what_names[] = {
	{ "hang", FAULT_HANG },
	{ "fewer", FAULT_FEWER },
	{ "lost", FAULT_LOST },
	{ "E2BIG", -E2BIG },
	{ "EAGAIN", -EAGAIN },
	{ "EBUSY", -EBUSY },
	{ "ECANCELED", -ECANCELED },
	{ "EDQUOT", -EDQUOT },
	{ "EINVAL", -EINVAL },
	{ "EIO", -EIO },
	{ "ENODATA", -ENODATA },
	{ "ENODEV", -ENODEV },
	{ "ENOENT", -ENOENT },
	{ "ENOKEY", -ENOKEY },
	{ "ENOMEM", -ENOMEM },
	{ "ENOSPC", -ENOSPC },
	{ "EOPNOTSUPP", -EOPNOTSUPP },
	{ "EOVERFLOW", -EOVERFLOW },
	{ "EPERM", -EPERM },
	{ "ERANGE", -ERANGE },
	{ "ESTALE", -ESTALE },
	{ "ETIMEDOUT", -ETIMEDOUT },
	{ "EUCLEAN", -EUCLEAN },
};

static DECLARE_WAIT_QUEUE_HEAD(released);
static atomic_t releases = ATOMIC_INIT(0);

void faults_init(struct testgpu *gpu)
{
	spin_lock_init(&gpu->fault_lock);
	INIT_LIST_HEAD(&gpu->faults);
}

int faults_add(struct testgpu *gpu, const char *text)
{
	struct fault *fault;
	char whole[32];
	const char *word = whole;
	bool of_reset;
	unsigned int i;

	fault = kzalloc(sizeof(*fault), GFP_KERNEL);
	if (!fault)
		return -ENOMEM;
	if (sscanf(text, "%95[^:]:%u:%31[^\n]", fault->attribute, &fault->nth, whole) != 3)
		goto refuse;
	of_reset = str_has_prefix(fault->attribute, "reset/");
	fault->reads = str_has_prefix(word, "read-");
	if (fault->reads)
		word += strlen("read-");
	for (i = 0; i < ARRAY_SIZE(what_names); i++)
		if (!strcmp(what_names[i].name, word))
			fault->what = what_names[i].what;
	if (!fault->what || (fault->reads && fault->what == FAULT_FEWER))
		goto refuse;
	if (fault->what == FAULT_LOST ? fault->reads || !of_reset : of_reset)
		goto refuse;
	spin_lock(&gpu->fault_lock);
	list_add_tail(&fault->link, &gpu->faults);
	spin_unlock(&gpu->fault_lock);
	return 0;

refuse:
	kfree(fault);
	return -EINVAL;
}

void faults_clear(struct testgpu *gpu)
{
	struct fault *fault, *next;
	LIST_HEAD(old);

	spin_lock(&gpu->fault_lock);
	list_splice_init(&gpu->faults, &old);
	spin_unlock(&gpu->fault_lock);
	list_for_each_entry_safe(fault, next, &old, link)
		kfree(fault);
}

static bool matches(const struct fault *fault, const char *attribute)
{
	const char *last = strrchr(attribute, '/');

	return !strcmp(fault->attribute, attribute) ||
	       (last && !strcmp(fault->attribute, last + 1));
}

/* What becomes of it: 0, or what the first fault that is its says. */
static int look_up(struct testgpu *gpu, const char *attribute, bool reads)
{
	struct fault *fault;
	int what = 0;

	spin_lock(&gpu->fault_lock);
	list_for_each_entry(fault, &gpu->faults, link) {
		if (fault->reads != reads || !matches(fault, attribute))
			continue;
		fault->seen++;
		if (!what && (!fault->nth || fault->seen == fault->nth))
			what = fault->what;
	}
	spin_unlock(&gpu->fault_lock);
	return what;
}

static int check(struct testgpu *gpu, const char *attribute, bool reads)
{
	int before = atomic_read(&releases);
	int what = look_up(gpu, attribute, reads);

	if (what != FAULT_HANG)
		return what;
	pr_info("a %s of %s hangs now\n", reads ? "read" : "write", attribute);
	wait_event(released, atomic_read(&releases) != before);
	pr_info("a %s of %s was released\n", reads ? "read" : "write", attribute);
	return 0;
}

int faults_check_write(struct testgpu *gpu, const char *attribute)
{
	writes_count(gpu, attribute);
	return check(gpu, attribute, false);
}

int faults_check_read(struct testgpu *gpu, const char *attribute)
{
	return check(gpu, attribute, true);
}

bool faults_lose_reset(struct testgpu *gpu, const char *by)
{
	return look_up(gpu, by, false) == FAULT_LOST;
}

void faults_release_all(void)
{
	atomic_inc(&releases);
	wake_up_all(&released);
}

void faults_show(struct testgpu *gpu, struct seq_file *out)
{
	struct fault *fault;

	spin_lock(&gpu->fault_lock);
	list_for_each_entry(fault, &gpu->faults, link)
		seq_printf(out, "%s:%u:%s%d seen %u\n", fault->attribute, fault->nth,
			   fault->reads ? "read" : "", fault->what, fault->seen);
	spin_unlock(&gpu->fault_lock);
}
