/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists, reads, attaches, detaches, talks to agents: one function per operation, each blocking in
 * libvirt. */
#include "hypervisor/libvirt-ops.h"

#include <stdatomic.h>

#include "hypervisor/agent-answer.h"
#include "hypervisor/domain-xml.h"
#include "hypervisor/libvirt-library.h"
#include "hypervisor/libvirt-memory.h"
#include "lib/clock.h"
#include "lib/units.h"
#include "log/log.h"

/* Namespace of a metadata element that never exists: taking it away is the cheapest job that a
 * domain knows.  It waits for the domain's job lock, so every change that was under way before it,
 * also one of a daemon that died, has finished when it returns, and it changes nothing. */
#define BARRIER_URI "urn:gpuvf:barrier"

#define MESSAGE_MAX_BYTES 512

/* Before each command libvirt synchronises with the agent, for up to 5 s whatever timeout we give;
 * a second more, so that libvirt's own answer comes before our deadline. */
#define AGENT_SYNC_USEC (6 * USEC_PER_SEC)

#define _cleanup_domain_ _cleanup_(libvirt_domain_freep)

int libvirt_op_init(struct libvirt_op *op, const struct hv_request *request)
{
	uint64_t allowed =
		request->deadline_usec ? request->deadline_usec : hv_op_deadline(request->op);
	int r;

	*op = (struct libvirt_op){
		.op = request->op,
		.address = request->address,
		.live = request->live,
		.config = request->config,
		.managed = request->managed,
		.barrier = request->barrier,
		.deadline_usec = now_boottime() + allowed,
	};
	if (request->uuid)
		strncpy(op->uuid, request->uuid, sizeof(op->uuid) - 1);
	r = free_and_strdup(&op->alias, request->alias);
	if (r < 0)
		return r;
	if (request->command) {
		op->command = json_text(request->command);
		if (!op->command) {
			libvirt_op_done(op);
			return -ENOMEM;
		}
	}
	return 0;
}

void libvirt_op_done(struct libvirt_op *op)
{
	free(op->alias);
	free(op->command);
	hv_reply_done(&op->reply);
	op->alias = op->command = NULL;
}

/* ---- Failing ------------------------------------------------------------------------------- */

static void fail(struct libvirt_op *op, enum hv_failure failure, const char *message)
{
	op->reply.failure = failure;
	free(op->reply.message);
	op->reply.message = message ? xasprintf("%.*s", MESSAGE_MAX_BYTES, message) : NULL;
}

/* From libvirt's last error of this thread.  Returns false, for `return fail_libvirt(op)`. */
static bool fail_libvirt(struct libvirt_op *op)
{
	virErrorPtr error = vir.GetLastError();
	const char *message = error && error->message ? error->message : "unknown error of libvirt";

	fail(op, libvirt_failure(op->op, error ? error->code : VIR_ERR_INTERNAL_ERROR, message),
	     message);
	return false;
}

static bool fail_memory(struct libvirt_op *op)
{
	fail(op, HV_FAILED, "out of memory");
	return false;
}

/* ---- Reading a domain ---------------------------------------------------------------------- */

static enum vm_state state_of(int state, bool active)
{
	static const enum vm_state states[] = {
		[VIR_DOMAIN_NOSTATE] = VM_OTHER,
		[VIR_DOMAIN_RUNNING] = VM_RUNNING,
		[VIR_DOMAIN_BLOCKED] = VM_RUNNING,
		[VIR_DOMAIN_PAUSED] = VM_PAUSED,
		/* still there and still holding its devices */
		[VIR_DOMAIN_SHUTDOWN] = VM_OTHER,
		[VIR_DOMAIN_SHUTOFF] = VM_OFF,
		[VIR_DOMAIN_CRASHED] = VM_CRASHED,
		[VIR_DOMAIN_PMSUSPENDED] = VM_OTHER,
	};

	if (state == VIR_DOMAIN_CRASHED && !active)
		return VM_OFF; /* its QEMU is gone */
	return state >= 0 && (size_t)state < ARRAY_SIZE(states) ? states[state] : VM_OTHER;
}

static int read_side(virDomainPtr domain, struct domain_facts *facts, enum domain_xml_side side)
{
	_cleanup_free_ char *xml = NULL;

	xml = vir.DomainGetXMLDesc(domain, side == DOMAIN_XML_CONFIG ? VIR_DOMAIN_XML_INACTIVE : 0);
	return xml ? domain_xml_read(facts, side, xml, strlen(xml)) : -EIO;
}

static uint64_t next_reading(void)
{
	static atomic_uint_least64_t last;

	return atomic_fetch_add(&last, 1) + 1;
}

/* Returns 0, -EIO with libvirt's error set, or what domain_xml_read() says. */
static int read_domain(virDomainPtr domain, struct domain_facts **ret)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = calloc(1, sizeof(*facts));
	int state, persistent, r;
	unsigned id;

	if (!facts)
		return -ENOMEM;
	facts->reading = next_reading();
	if (vir.DomainGetState(domain, &state, NULL, 0) < 0)
		return -EIO;
	persistent = vir.DomainIsPersistent(domain);
	if (persistent < 0)
		return -EIO;

	id = vir.DomainGetID(domain);
	facts->state = state_of(state, id != (unsigned)-1);
	facts->persistent = persistent > 0;
	facts->id = facts->state == VM_OFF || id == (unsigned)-1 ? -1 : (int)id;
	facts->free_ports = -1;
	facts->saved = facts->state == VM_OFF && vir.DomainHasManagedSaveImage(domain, 0) > 0;
	facts->guest_root = strdup("");
	if (!facts->guest_root)
		return -ENOMEM;

	if (facts->state != VM_OFF) {
		r = read_side(domain, facts, DOMAIN_XML_LIVE);
		if (r < 0)
			return r;
	}
	if (facts->persistent || facts->state == VM_OFF) {
		r = read_side(domain, facts, DOMAIN_XML_CONFIG);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(facts);
	return 0;
}

/* A domain whose XML we cannot read still exists, and whoever looks for it must find it. */
static int read_bare(virDomainPtr domain, struct domain_facts **ret)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = calloc(1, sizeof(*facts));
	const char *name = vir.DomainGetName(domain);

	if (!facts || !name)
		return -ENOMEM;
	facts->reading = next_reading();
	facts->name = strndup(name, 255);
	facts->guest_root = strdup("");
	facts->state = VM_OTHER;
	facts->hostdevs_unknown = true;
	facts->id = facts->free_ports = -1;
	if (!facts->name || !facts->guest_root || vir.DomainGetUUIDString(domain, facts->uuid) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(facts);
	return 0;
}

static int reply_add(struct hv_reply *reply, struct domain_facts *facts)
{
	struct domain_facts **grown =
		reallocarray(reply->domains, reply->n_domains + 1, sizeof(struct domain_facts *));

	if (!grown)
		return -ENOMEM;
	reply->domains = grown;
	grown[reply->n_domains++] = facts;
	return 0;
}

/* Reads one domain into the reply.  Returns false with the reply's failure set. */
static bool add_domain(struct libvirt_op *op, virDomainPtr domain)
{
	_cleanup_(domain_facts_freep) struct domain_facts *facts = NULL;
	int r;

	r = read_domain(domain, &facts);
	if (r == -EIO)
		return fail_libvirt(op);
	if (r == -EINVAL || r == -E2BIG) {
		log_vm(vir.DomainGetName(domain), LOG_WARNING, r, "its XML cannot be read");
		r = read_bare(domain, &facts);
	}
	if (r < 0 || reply_add(&op->reply, facts) < 0)
		return fail_memory(op);
	facts = NULL;
	return true;
}

static virDomainPtr look_up(struct libvirt_op *op, virConnectPtr connection)
{
	virDomainPtr domain = vir.DomainLookupByUUIDString(connection, op->uuid);

	if (!domain)
		(void)fail_libvirt(op);
	return domain;
}

/* ---- Operations ---------------------------------------------------------------------------- */

static void do_list(struct libvirt_op *op, virConnectPtr connection)
{
	virDomainPtr *domains = NULL;
	bool ok = true;
	int n;

	n = vir.ConnectListAllDomains(connection, &domains, 0);
	if (n < 0) {
		(void)fail_libvirt(op);
		return;
	}
	for (int i = 0; i < n; i++) {
		if (ok && !add_domain(op, domains[i])) {
			/* one that vanished meanwhile is no failure */
			ok = op->reply.failure == HV_NO_DOMAIN;
			if (ok)
				fail(op, HV_OK, NULL);
		}
		vir.DomainFree(domains[i]);
	}
	free(domains);
}

static void do_get(struct libvirt_op *op, virConnectPtr connection)
{
	_cleanup_domain_ virDomainPtr domain = look_up(op, connection);

	if (!domain)
		return;
	if (op->barrier && vir.DomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, NULL, NULL,
						BARRIER_URI, VIR_DOMAIN_AFFECT_CURRENT) < 0) {
		(void)fail_libvirt(op);
		/* a domain that ended in between has no job left to wait for */
		if (op->reply.failure != HV_NOT_RUNNING)
			return;
		fail(op, HV_OK, NULL);
	}
	(void)add_domain(op, domain);
}

/* The hostdev with this address (and alias, when one is asked for) on one side. */
static const struct domain_hostdev *find_hostdev(const struct domain_facts *facts,
						 const struct pci_address *address,
						 const char *alias, bool live)
{
	for (size_t i = 0; i < facts->n_hostdevs; i++) {
		const struct domain_hostdev *h = &facts->hostdevs[i];

		if ((live ? h->live : h->config) && pci_address_equal(&h->address, address) &&
		    (!alias || !h->alias || streq(h->alias, alias)))
			return h;
	}
	return NULL;
}

/* Reads the domain into the reply as its only entry. */
static const struct domain_facts *read_again(struct libvirt_op *op, virDomainPtr domain)
{
	enum hv_failure failure = op->reply.failure;
	char *message = TAKE_PTR(op->reply.message);

	hv_reply_done(&op->reply);
	if (!add_domain(op, domain)) {
		free(message);
		return NULL;
	}
	op->reply.failure = failure;
	op->reply.message = message;
	return op->reply.n_domains > 0 ? op->reply.domains[0] : NULL;
}

/* The same, to decide by what the domain has. */
static const struct domain_facts *read_known(struct libvirt_op *op, virDomainPtr domain)
{
	const struct domain_facts *facts = read_again(op, domain);

	if (!facts || !facts->hostdevs_unknown)
		return facts;
	fail(op, HV_FAILED, "its XML cannot be read: what it has is not known");
	return NULL;
}

static void do_attach(struct libvirt_op *op, virConnectPtr connection)
{
	_cleanup_domain_ virDomainPtr domain = look_up(op, connection);
	_cleanup_free_ char *xml = NULL, *why = NULL;
	const struct domain_facts *facts;
	uint64_t taken = 0;
	int r;
	unsigned flags = (op->live ? VIR_DOMAIN_AFFECT_LIVE : 0) |
			 (op->config ? VIR_DOMAIN_AFFECT_CONFIG : 0);

	if (!domain)
		return;
	facts = read_known(op, domain);
	if (!facts)
		return;
	if (op->live && facts->state == VM_OFF)
		return fail(op, HV_NOT_RUNNING, "the domain is not running");
	if ((op->live && find_hostdev(facts, &op->address, NULL, true)) ||
	    (op->config && find_hostdev(facts, &op->address, NULL, false)))
		return fail(op, HV_ALREADY, "the domain has this device already");
	if (op->config && facts->saved)
		return fail(op, HV_SAVED, HV_SAVED_TEXT);

	xml = domain_xml_hostdev(&op->address, op->alias, op->managed);
	if (!xml) {
		(void)fail_memory(op);
		return;
	}
	why = op->live ? libvirt_memory_take(domain, facts, &taken) : NULL;
	if (why)
		return fail(op, HV_NO_MEMORY, why);
	r = vir.DomainAttachDeviceFlags(domain, xml, flags);
	libvirt_memory_done(taken);
	if (r < 0) {
		(void)fail_libvirt(op);
		op->reply.tried = op->live && hv_attach_may_have_begun(op->reply.failure, op->reply.message);
		return;
	}
	facts = read_again(op, domain);
	if (facts && (!op->live || find_hostdev(facts, &op->address, NULL, true)) &&
	    (!op->config || find_hostdev(facts, &op->address, NULL, false)))
		return;
	if (facts)
		fail(op, HV_FAILED, "libvirt reported success, but the domain does not show the device");
	op->reply.tried = op->live;
}

/* One side.  Returns 0, or -1 with libvirt's error set. */
static int detach_side(virDomainPtr domain, const struct domain_hostdev *hostdev, unsigned flag)
{
	_cleanup_free_ char *xml = NULL;

	if (hostdev->alias && domain_xml_alias_is_valid(hostdev->alias))
		return vir.DomainDetachDeviceAlias(domain, hostdev->alias, flag);
	xml = domain_xml_hostdev(&hostdev->address, NULL, false); /* it is found by its address */
	return xml ? vir.DomainDetachDeviceFlags(domain, xml, flag) : -1;
}

/* True when libvirt is asking the guest already: then only the waiting is left. */
static bool detach_is_under_way(void)
{
	return strstr(vir.GetLastErrorMessage(), "already in the process of unplug") != NULL;
}

static void do_detach(struct libvirt_op *op, virConnectPtr connection)
{
	_cleanup_domain_ virDomainPtr domain = look_up(op, connection);
	const struct domain_hostdev *live, *config;
	const struct domain_facts *facts;

	if (!domain)
		return;
	facts = read_known(op, domain);
	if (!facts)
		return;
	if (op->live && !op->config && facts->state == VM_OFF)
		return fail(op, HV_NOT_RUNNING, "the domain is not running");

	live = op->live ? find_hostdev(facts, &op->address, op->alias, true) : NULL;
	config = op->config ? find_hostdev(facts, &op->address, op->alias, false) : NULL;
	if (!live && !config)
		return fail(op, HV_ALREADY, "the domain does not have this device");

	if (config && detach_side(domain, config, VIR_DOMAIN_AFFECT_CONFIG) < 0) {
		(void)fail_libvirt(op);
		if (op->reply.failure != HV_ALREADY)
			return;
		fail(op, HV_OK, NULL);
	}
	if (live && detach_side(domain, live, VIR_DOMAIN_AFFECT_LIVE) < 0 &&
	    !detach_is_under_way()) {
		(void)fail_libvirt(op);
		/* gone between our look and the call: as wanted */
		if (op->reply.failure != HV_ALREADY && op->reply.failure != HV_NOT_RUNNING)
			return;
		fail(op, HV_OK, NULL);
	}

	/* the guest may have let go while libvirt waited for it, and its event may have come before
	 * ours */
	facts = read_again(op, domain);
	live = facts && op->live ? find_hostdev(facts, &op->address, op->alias, true) : NULL;
	op->pending = live;
	if (live && !op->alias && free_and_strdup(&op->alias, live->alias) < 0)
		(void)fail_memory(op);
}

/* Asks for the state when libvirt says "not running": it says so of a paused domain as well, which
 * will answer again. */
static void refine_not_running(struct libvirt_op *op, virDomainPtr domain)
{
	int state;

	if (op->reply.failure != HV_NOT_RUNNING || vir.DomainGetState(domain, &state, NULL, 0) < 0)
		return;
	switch (state_of(state, vir.DomainIsActive(domain) > 0)) {
	case VM_OFF:
		break;
	case VM_CRASHED:
		fail(op, HV_AGENT_UNRESPONSIVE, "the guest has crashed");
		break;
	default:
		fail(op, HV_AGENT_UNRESPONSIVE, "the domain is paused");
	}
}

static void do_agent(struct libvirt_op *op, virConnectPtr connection)
{
	_cleanup_domain_ virDomainPtr domain = look_up(op, connection);
	_cleanup_free_ char *answer = NULL;
	uint64_t now = now_boottime(), end;

	if (!domain)
		return;
	end = op->deadline_usec - MIN_OF(op->deadline_usec, AGENT_SYNC_USEC);
	/* whole seconds, at least one */
	answer = vir.DomainQemuAgentCommand(
		domain, op->command,
		(int)MIN_OF(end > now ? MAX_OF((end - now) / USEC_PER_SEC, 1u) : 1u, 3600u), 0);
	if (!answer) {
		(void)fail_libvirt(op);
		refine_not_running(op, domain);
		return;
	}
	op->reply.failure =
		agent_answer_parse(answer, strlen(answer), &op->reply.result, &op->reply.message);
}

/* A start that restores a managed-save image reads no definition, and none with a VF can be saved. */
static bool starts_with_device(const struct domain_facts *facts)
{
	bool any = false;

	for (size_t i = 0; i < facts->n_hostdevs && !any; i++)
		any = facts->hostdevs[i].config;
	return any && facts->state == VM_OFF && !facts->saved;
}

static void do_start(struct libvirt_op *op, virConnectPtr connection)
{
	_cleanup_domain_ virDomainPtr domain = look_up(op, connection);
	const struct domain_facts *facts = domain ? read_again(op, domain) : NULL;
	_cleanup_free_ char *why = NULL;
	uint64_t taken = 0;

	if (!facts)
		return;
	why = starts_with_device(facts) ? libvirt_memory_take(domain, facts, &taken) : NULL;
	if (why)
		return fail(op, HV_NO_MEMORY, why);
	if (vir.DomainCreate(domain) < 0)
		(void)fail_libvirt(op);
	libvirt_memory_done(taken);
}

/* With both flags libvirt asks the agent first and presses the power button when that does not
 * answer. */
static void do_shutdown(struct libvirt_op *op, virConnectPtr connection)
{
	_cleanup_domain_ virDomainPtr domain = look_up(op, connection);

	if (domain && vir.DomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT |
							     VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) < 0)
		(void)fail_libvirt(op);
}

/* No flags: SIGKILL follows a SIGTERM that QEMU does not heed. */
static void do_destroy(struct libvirt_op *op, virConnectPtr connection)
{
	_cleanup_domain_ virDomainPtr domain = look_up(op, connection);

	if (domain && vir.DomainDestroy(domain) < 0)
		(void)fail_libvirt(op);
}

void libvirt_op_run(struct libvirt_op *op, virConnectPtr connection)
{
	static void (*const functions[HV_OP_MAX])(struct libvirt_op *, virConnectPtr) = {
		[HV_LIST] = do_list,     [HV_GET] = do_get,     [HV_ATTACH] = do_attach,
		[HV_DETACH] = do_detach, [HV_AGENT] = do_agent, [HV_START] = do_start,
		[HV_SHUTDOWN] = do_shutdown, [HV_DESTROY] = do_destroy,
	};

	if (!connection)
		return fail(op, HV_DISCONNECTED, "no connection to libvirt");
	if (now_boottime() >= op->deadline_usec)
		return fail(op, HV_TIMEOUT, "its turn did not come before the deadline");
	vir.ResetLastError();
	functions[op->op](op, connection);

	/* an RPC error over a connection that lives is an answer that was too big for it, nothing
	 * more: a guest must not be able to end everybody's connection with one */
	if (op->reply.failure == HV_DISCONNECTED && vir.ConnectIsAlive(connection) == 1)
		op->reply.failure = op->op == HV_AGENT ? HV_AGENT_GARBAGE : HV_FAILED;
}
