/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/libvirt-memory.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include "hypervisor/domain-survey.h"
#include "hypervisor/libvirt-library.h"
#include "hypervisor/pin-memory.h"
#include "lib/io.h"

#define MEMINFO_MAX ((size_t)64 * 1024) /* 1.5 KiB on a kernel of today */

/* For guests that are taking memory now.  Much less than the deadline of an attach, which must say what came of it. */
#define PATIENCE_SECONDS 30

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards promised */
static pthread_cond_t one_is_done = PTHREAD_COND_INITIALIZER;
static uint64_t promised; /* to attaches and starts that are under way */

struct known libvirt_resident(virDomainPtr domain)
{
	virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
	int n = vir.DomainMemoryStats(domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0), i;

	for (i = 0; i < n; i++)
		if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_RSS)
			return (struct known){ true, stats[i].val * KIB };
	return (struct known){ 0 };
}

static struct known available(void)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (read_file_at(AT_FDCWD, "/proc/meminfo", MEMINFO_MAX, &text, &size) < 0)
		return (struct known){ 0 };
	return pin_available(text);
}

/* Taken already: by a device that it has, or when it was started.  Huge pages are taken from what the host has set
 * aside for them, also by a start. */
static bool has_it_all(virDomainPtr domain, const struct domain_facts *facts)
{
	bool off = facts->state == VM_OFF;
	_cleanup_(domain_survey_done) struct domain_survey survey = { 0 };
	_cleanup_free_ char *xml = NULL;

	for (size_t i = 0; i < facts->n_hostdevs; i++)
		if (facts->hostdevs[i].live)
			return true;
	xml = vir.DomainGetXMLDesc(domain, 0);
	return xml && domain_survey_read(xml, strlen(xml), &survey) == 0 &&
	       (survey.hugepages || (survey.locked && !off));
}

char *libvirt_memory_turn(uint64_t memory_bytes, struct known resident, struct known (*look)(void), uint64_t *ret_taken)
{
	struct timespec until;
	char *why;

	*ret_taken = 0;
	if (memory_bytes == 0 || !resident.known)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PATIENCE_SECONDS;

	pthread_mutex_lock(&lock);
	/* What the others have taken already is missing in both: it is looked again when one is done. */
	while ((why = pin_refusal(memory_bytes, resident, look(), promised)) && promised > 0 &&
	       pthread_cond_clockwait(&one_is_done, &lock, CLOCK_MONOTONIC, &until) == 0)
		free(why);
	if (!why)
		promised += *ret_taken = pin_need(memory_bytes, resident.value);
	pthread_mutex_unlock(&lock);
	return why;
}

char *libvirt_memory_take(virDomainPtr domain, const struct domain_facts *facts, uint64_t *ret_taken)
{
	struct known none = { true, 0 };

	*ret_taken = 0;
	if (has_it_all(domain, facts))
		return NULL;
	return libvirt_memory_turn(facts->memory_bytes, facts->state == VM_OFF ? none : libvirt_resident(domain),
				   available, ret_taken);
}

void libvirt_memory_done(uint64_t taken)
{
	if (taken == 0)
		return;
	pthread_mutex_lock(&lock);
	promised -= taken;
	pthread_cond_broadcast(&one_is_done);
	pthread_mutex_unlock(&lock);
}
