/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/libvirt-survey.h"

#include "hypervisor/libvirt-library.h"
#include "hypervisor/libvirt-memory.h"
#include "hypervisor/libvirt-ops.h"

#define DEFAULT_URI "qemu:///system"

void libvirt_survey_done(struct libvirt_survey *s)
{
	size_t i;

	for (i = 0; i < s->n_domains; i++) {
		domain_facts_free(s->domains[i].facts);
		domain_survey_done(&s->domains[i].survey);
		free(s->domains[i].redacted_xml);
	}
	free(s->domains);
	*s = (struct libvirt_survey){0};
}

static void quiet(void *userdata, virErrorPtr error)
{
	/* libvirt would print it; it is told as a finding instead. */
}

/* A domain that vanished meanwhile is simply not surveyed. */
static void survey_domain(virConnectPtr connection, bool want_xml, struct surveyed_domain *d)
{
	_cleanup_(libvirt_domain_freep) virDomainPtr domain =
		vir.DomainLookupByUUIDString(connection, d->facts->uuid);
	_cleanup_free_ char *xml = NULL;

	if (!domain)
		return;
	xml = vir.DomainGetXMLDesc(domain, 0);
	if (!xml)
		return;
	d->surveyed = domain_survey_read(xml, strlen(xml), &d->survey) == 0;
	if (want_xml && domain_xml_redact(xml, strlen(xml), &d->redacted_xml) < 0)
		d->redacted_xml = NULL;
	if (d->facts->state != VM_OFF)
		d->rss_bytes = libvirt_resident(domain);
}

static int take_domains(virConnectPtr connection, bool want_xml, struct hv_reply *reply,
			struct libvirt_survey *s)
{
	size_t i;

	s->domains = calloc(MAX_OF(reply->n_domains, (size_t)1), sizeof(*s->domains));
	if (!s->domains)
		return -ENOMEM;
	for (i = 0; i < reply->n_domains; i++) {
		s->domains[i].facts = TAKE_PTR(reply->domains[i]);
		s->n_domains = i + 1;
		survey_domain(connection, want_xml, &s->domains[i]);
	}
	return 0;
}

static int read_all(virConnectPtr connection, bool want_xml, struct libvirt_survey *s,
		    char **ret_message)
{
	const struct hv_request list = {.op = HV_LIST};
	struct libvirt_op op;
	int r;

	(void)vir.ConnectGetLibVersion(connection, &s->libvirt_version);
	(void)vir.ConnectGetVersion(connection, &s->hypervisor_version);
	r = libvirt_op_init(&op, &list);
	if (r < 0)
		return r;
	libvirt_op_run(&op, connection);
	if (op.reply.failure == HV_OK) {
		r = take_domains(connection, want_xml, &op.reply, s);
	} else {
		r = -EIO;
		*ret_message = strdup(op.reply.message ? op.reply.message : "no list of domains");
	}
	libvirt_op_done(&op);
	return r;
}

int libvirt_survey_read(const char *uri, bool want_xml, struct libvirt_survey *ret,
			char **ret_message)
{
	_cleanup_(libvirt_connection_closep) virConnectPtr connection = NULL;
	_cleanup_(libvirt_survey_done) struct libvirt_survey s = {0};
	int r;

	r = libvirt_library_load(ret_message);
	if (r < 0)
		return r;
	vir.SetErrorFunc(NULL, quiet);
	connection = vir.ConnectOpenReadOnly(uri ? uri : DEFAULT_URI);
	if (!connection) {
		*ret_message = strdup(vir.GetLastErrorMessage());
		return -EIO;
	}
	r = read_all(connection, want_xml, &s, ret_message);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct libvirt_survey){0};
	return 0;
}
