/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs as libvirt shows them, and which of them the policy opens.  Turning facts into notes is pure
 * and used for the made-up machine too. */
#include "doctor/gather.h"

#include <stdio.h>

#include "doctor/doctor.h"
#include "hypervisor/libvirt-survey.h"
#include "policy/policy.h"

static void note_known(struct notebook *book, const char *key, const char *source,
		       const struct known *value)
{
	if (value->known)
		notebook_seen(book, key, source, "%llu", (unsigned long long)value->value);
}

void doctor_note_vm(struct notebook *book, const char *source, const struct domain_facts *f)
{
	size_t i;

	notebook_add(book, "state", source, NOTE_SEEN, vm_state_to_string(f->state));
	notebook_add(book, "agent", source, NOTE_SEEN, vm_agent_to_string(f->agent));
	if (f->free_ports >= 0)
		notebook_seen(book, "free_ports", source, "%d", f->free_ports);
	for (i = 0; i < f->n_hostdevs; i++) {
		char key[40];

		snprintf(key, sizeof(key), "hostdev.%zu", i);
		notebook_add(book, key, source, NOTE_SEEN,
			     PCI_ADDRESS_STR(&f->hostdevs[i].address));
		if (!f->hostdevs[i].live)
			continue;
		snprintf(key, sizeof(key), "live_hostdev.%zu", i);
		notebook_add(book, key, source, NOTE_SEEN, PCI_ADDRESS_STR(&f->hostdevs[i].address));
	}
}

static void note_survey(struct notebook *book, const char *source, const struct surveyed_domain *d)
{
	const struct domain_survey *s = &d->survey;
	size_t i;

	if (!d->surveyed)
		return;
	note_known(book, "memory", source, &s->memory_bytes);
	note_known(book, "rss", "libvirt: virDomainMemoryStats", &d->rss_bytes);
	if (s->hugepages)
		notebook_add(book, "hugepages", source, NOTE_SEEN, "memoryBacking/hugepages");
	if (s->locked)
		notebook_add(book, "locked", source, NOTE_SEEN, "memoryBacking/locked");
	if (s->nodeset)
		notebook_add(book, "nodeset", source, NOTE_SEEN, s->nodeset);
	if (s->cpuset)
		notebook_add(book, "cpuset", source, NOTE_SEEN, s->cpuset);
	note_known(book, "pref64_reserve", source, &s->pref64_reserve);
	for (i = 0; i < s->n_managed; i++) {
		char key[32];

		snprintf(key, sizeof(key), "managed.%zu", i);
		notebook_add(book, key, source, NOTE_SEEN, PCI_ADDRESS_STR(&s->managed[i]));
	}
	if (d->redacted_xml)
		notebook_add(book, "xml", source, NOTE_SEEN, d->redacted_xml);
}

static void add_vm(json_t *vms, const struct surveyed_domain *d, const struct policy *policy)
{
	const struct policy_vm_rule *rule = policy ? policy_match_vm(policy, d->facts->name) : NULL;
	struct notebook book = {0};
	_cleanup_free_ char *source = xasprintf("libvirt: XML of %s", d->facts->name);

	if (!source)
		return;
	doctor_note_vm(&book, source, d->facts);
	note_survey(&book, source, d);
	if (rule)
		notebook_add(&book, "rule", rule->label, NOTE_SEEN, rule->match);
	(void)json_array_append_new(vms, json_pack("{s:s,s:o}", "name", d->facts->name, "notes",
						   notebook_to_json(&book)));
	notebook_done(&book);
}

static void note_version(struct notebook *host, const char *key, unsigned long version)
{
	if (version > 0)
		notebook_seen(host, key, "libvirt: version", "%lu.%lu.%lu", version / 1000000,
			      version / 1000 % 1000, version % 1000);
}

static struct policy *load_policy(struct notebook *host, const struct gather_options *o)
{
	struct policy *policy = NULL;
	json_t *errors = NULL;

	if (policy_load(o->policy_dir, o->policy_fallback, &policy, &errors) < 0) {
		const char *first = json_string_value(json_array_get(errors, 0));

		notebook_add(host, "policy", o->policy_dir, NOTE_FAILED,
			     first ? first : "it cannot be loaded");
		json_decref(errors);
		return NULL;
	}
	notebook_add(host, "policy", o->policy_dir, NOTE_SEEN, policy->revision);
	if (policy->n_vms > 0)
		notebook_seen(host, "policy.vms", o->policy_dir, "%zu", policy->n_vms);
	return policy;
}

void gather_vms(struct notebook *host, const struct gather_options *o, json_t *ret_vms)
{
	_cleanup_(policy_unrefp) struct policy *policy = load_policy(host, o);
	struct libvirt_survey survey = {0};
	_cleanup_free_ char *message = NULL, *source = NULL;
	size_t i;

	if (o->libvirt_uri && !*o->libvirt_uri)
		return;
	source = xasprintf("libvirt: %s", o->libvirt_uri ? o->libvirt_uri : "qemu:///system");
	if (!source)
		return;
	if (libvirt_survey_read(o->libvirt_uri, o->bundle, &survey, &message) < 0) {
		notebook_add(host, "libvirt", source, NOTE_FAILED, message);
		return;
	}
	notebook_add(host, "libvirt", source, NOTE_SEEN, "it answers");
	note_version(host, "version.libvirt", survey.libvirt_version);
	note_version(host, "version.qemu", survey.hypervisor_version);
	for (i = 0; i < survey.n_domains; i++)
		add_vm(ret_vms, &survey.domains[i], policy);
	libvirt_survey_done(&survey);
}
