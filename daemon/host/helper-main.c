/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The helper process: reads one request a line, does it, answers one line, until its daemon is
 * gone.  The only code of the project that touches the kernel's attributes.  Holds no store, no
 * lock and no client; it may hang for ever, and only its GPU is lost. */
#include <signal.h>
#include <stdio.h>

#include "host/gpu-read.h"
#include "host/holders.h"
#include "host/host-ops.h"
#include "host/kernel-words.h"
#include "host/pci-scan.h"
#include "host/sriov.h"
#include "host/vf-control.h"
#include "host/vfio.h"
#include "host/helper-spawn.h"
#include "lib/io.h"
#include "lib/line-buffer.h"

#define REQUEST_MAX ((size_t)4096)
#define VENDOR_INTEL 0x8086
#define CLASS_DISPLAY 0x03

typedef int (*helper_op_fn)(struct sysfs *s, const struct host_request *request,
			    struct host_reply *reply);

static int op_scan(struct sysfs *s, const struct host_request *request, struct host_reply *reply)
{
	return gpu_scan(s, &reply->facts, &reply->n_facts);
}

/* Reads one GPU, with or without asking its driver. */
static int op_read(struct sysfs *s, const struct host_request *request, struct host_reply *reply)
{
	struct gpu_facts **facts = calloc(1, sizeof(*facts));
	int r;

	if (!facts)
		return -ENOMEM;
	if (request->op == HOST_LINKS)
		r = gpu_links(s, &request->gpu, &facts[0]);
	else
		r = gpu_read(s, &request->gpu, &facts[0]);
	if (r < 0) {
		free(facts);
		return r;
	}

	reply->facts = facts;
	reply->n_facts = 1;
	return 0;
}

static int op_holders(struct sysfs *s, const struct host_request *request, struct host_reply *reply)
{
	int r;

	r = sriov_refuse_held(s, &request->gpu, request->vf, reply);
	return r == -EBUSY && reply->n_holders > 0 ? 0 : r;
}

/* A look, not a wait: the daemon asks again until nobody is left, so that other requests to this
 * GPU pass in between. */
static int op_wait_closed(struct sysfs *s, const struct host_request *request,
			  struct host_reply *reply)
{
	return sriov_refuse_held(s, &request->gpu, request->vf, reply);
}

static int set_attr(const struct vf_surface *c, struct sysfs *s, const struct host_request *request,
		    uint64_t *ret)
{
	const struct vf_control_ops *ops = c->ops;

	if (ops && request->op == HOST_SET_PF_ATTR && ops->set_pf)
		return ops->set_pf(s, c, request->attribute, request->value, ret);
	if (ops && request->op == HOST_SET_BULK_ATTR && ops->set_bulk)
		return ops->set_bulk(s, c, request->attribute, request->value, ret);
	if (ops && request->op == HOST_SET_VF_ATTR && ops->set_vf)
		return ops->set_vf(s, c, request, ret);
	return -EOPNOTSUPP;
}

static int op_set_attr(struct sysfs *s, const struct host_request *request,
		       struct host_reply *reply)
{
	_cleanup_(vf_surface_done) struct vf_surface c = {0};
	const char *words;
	int r;

	r = vf_control_find(s, PCI_ADDRESS_STR(&request->gpu), &c);
	if (r < 0)
		return r;

	sysfs_announce(s, vf_attribute_to_string(request->attribute));
	r = set_attr(&c, s, request, &reply->value.value);
	if (r == 0) {
		reply->value.known = true;
		return 0;
	}
	words = kernel_words(request->attribute < VF_RESOURCE_MAX ? KERNEL_ASKED_QUOTA
								  : KERNEL_ASKED_SCHED,
			     c.ops ? c.ops->kind : VF_CONTROL_NONE, r);
	if (r == -EOPNOTSUPP)
		reply->message = xasprintf("the driver does not offer %s here, or only for reading",
					   vf_attribute_to_string(request->attribute));
	else if (words)
		reply->message = strdup(words);
	return r;
}

static int op_bind_vfio(struct sysfs *s, const struct host_request *request,
			struct host_reply *reply)
{
	_cleanup_free_ char *driver = NULL;
	struct pci_address vf;
	int r;

	r = gpu_vf_address(s, &request->gpu, request->vf, &vf);
	if (r < 0)
		return r;
	/* Taking the function from a host process that uses it would break that process. */
	(void)sysfs_link_name(s, &driver, SYSFS_PCI "/driver", PCI_ADDRESS_STR(&vf));
	if (driver && !vfio_has(s, PCI_ADDRESS_STR(&vf), driver)) {
		r = sriov_refuse_held(s, &request->gpu, request->vf, reply);
		if (r < 0)
			return r;
	}

	return vfio_bind(s, &vf, &reply->driver, &reply->message);
}

static int op_unbind(struct sysfs *s, const struct host_request *request, struct host_reply *reply)
{
	struct pci_address vf;
	int r;

	r = gpu_vf_address(s, &request->gpu, request->vf, &vf);
	if (r < 0)
		return r;
	/* VFIO would wait for its user for ever */
	sysfs_announce(s, "unbind");
	r = sriov_refuse_held(s, &request->gpu, request->vf, reply);
	if (r < 0)
		return r;

	return vfio_unbind(s, &vf);
}

/* Of that VF alone: a card's whole state, asked of its driver, is more than a VF's way back needs. */
static int op_probe_vf(struct sysfs *s, const struct host_request *request,
		       struct host_reply *reply)
{
	struct pci_address vf;
	int r;

	r = gpu_vf_address(s, &request->gpu, request->vf, &vf);
	if (r < 0)
		return r;
	r = pci_check_answers(s, &vf);
	if (r == -EIO)
		reply->message = strdup("the function does not answer configuration reads");
	if (r < 0)
		return r;

	(void)sysfs_link_name(s, &reply->driver, SYSFS_PCI "/driver", PCI_ADDRESS_STR(&vf));
	reply->value = (struct known){ true, vfio_has(s, PCI_ADDRESS_STR(&vf), reply->driver) };
	return 0;
}

static const helper_op_fn helper_ops[HOST_OP_MAX] = {
	[HOST_SCAN] = op_scan,
	[HOST_LINKS] = op_read,
	[HOST_READ] = op_read,
	[HOST_HOLDERS] = op_holders,
	[HOST_SET_AUTOPROBE] = sriov_set_autoprobe,
	[HOST_SET_NUMVFS] = sriov_set_numvfs,
	[HOST_SET_VF_ATTR] = op_set_attr,
	[HOST_SET_BULK_ATTR] = op_set_attr,
	[HOST_SET_PF_ATTR] = op_set_attr,
	[HOST_RESTORE_AUTO] = sriov_restore_auto,
	[HOST_BIND_VFIO] = op_bind_vfio,
	[HOST_UNBIND] = op_unbind,
	[HOST_WAIT_CLOSED] = op_wait_closed,
	[HOST_RESET_VF] = sriov_reset_vf,
	[HOST_PROBE_VF] = op_probe_vf,
};

/* Nothing is done to a function that is no PF of an Intel GPU, whoever asks. */
static int check_gpu(struct sysfs *s, const struct pci_address *address)
{
	const char *gpu = PCI_ADDRESS_STR(address);
	uint64_t vendor, class_code;

	if (sysfs_read_uint(s, &vendor, SYSFS_PCI "/vendor", gpu) < 0 ||
	    sysfs_read_uint(s, &class_code, SYSFS_PCI "/class", gpu) < 0 ||
	    vendor != VENDOR_INTEL || class_code >> 16 != CLASS_DISPLAY ||
	    sysfs_exists(s, SYSFS_PCI "/physfn", gpu))
		return -ENODEV;

	return 0;
}

static void perform(struct sysfs *s, const char *line, size_t size, struct host_reply *reply)
{
	_cleanup_json_ json_t *json = NULL;
	struct host_request request;

	reply->r = json_parse(line, size, &json, NULL);
	if (reply->r == 0)
		reply->r = host_request_from_json(json, &request);
	if (reply->r < 0) {
		reply->message = strdup("not a request of this protocol");
		return;
	}

	if (request.op != HOST_SCAN)
		reply->r = check_gpu(s, &request.gpu);
	if (reply->r == 0)
		reply->r = helper_ops[request.op](s, &request, reply);
	if (reply->r < 0)
		reply->attribute = strdup(s->at);
	sysfs_announce(s, SYSFS_IDLE_COMM);
}

static int answer(int fd, const struct host_reply *reply)
{
	_cleanup_json_ json_t *json = host_reply_to_json(reply);
	_cleanup_free_ char *text = json ? json_text(json) : NULL;
	_cleanup_free_ char *line = text ? xasprintf("%s\n", text) : NULL;

	return line ? write_all(fd, line, strlen(line)) : -ENOMEM;
}

static int serve(int fd, struct sysfs *s, struct line_buffer *buffer)
{
	size_t size;
	ssize_t n;
	char *line;
	int r;

	for (;;) {
		while ((r = line_buffer_next(buffer, &line, &size)) > 0) {
			_cleanup_(host_reply_done) struct host_reply reply = { 0 };

			perform(s, line, size, &reply);
			r = answer(fd, &reply);
			if (r < 0)
				return r;
		}
		if (r < 0)
			return r;

		n = line_buffer_read(buffer, fd);
		if (n == 0)
			return 0;
		if (n < 0 && n != -EINTR && n != -EAGAIN)
			return (int)n;
	}
}

int host_helper_main(int fd, const char *sysfs_root, bool allow_debugfs)
{
	struct line_buffer buffer;
	struct sysfs s;
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	r = sysfs_open(sysfs_root, &s);
	if (r < 0) {
		fprintf(stderr, "helper: cannot open %s: %s\n", sysfs_root ? sysfs_root : "/sys",
			strerror(-r));
		return r;
	}

	s.allow_debugfs = allow_debugfs;
	sysfs_announce(&s, SYSFS_IDLE_COMM);
	line_buffer_init(&buffer, REQUEST_MAX);
	r = write_all(fd, HELPER_HELLO, strlen(HELPER_HELLO));
	if (r == 0)
		r = serve(fd, &s, &buffer);
	line_buffer_done(&buffer);
	sysfs_done(&s);

	/* EPIPE: the daemon went away while we worked; nobody is left to tell. */
	return r == -EPIPE ? 0 : r;
}
