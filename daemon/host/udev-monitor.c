/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From udev's events to "this GPU changed".
 *
 * The kernel's order makes this more than a filter: a VF's "add" comes before its link to the
 * PF, and disabling VFs sends nothing for the PF, only each VF's "remove" when its links are
 * gone.  So addresses are gathered for a moment, then looked up in what was learnt before. */
#include "host/udev-monitor.h"

#include <limits.h>
#include <stdio.h>
#include <strings.h>

#include <libudev.h>
#include <systemd/sd-event.h>

#include "lib/units.h"
#include "log/log.h"

/* Long enough for the links of a VF to be made after its "add"; short enough to look immediate. */
#define GATHER_USEC (50 * USEC_PER_MSEC)
/* A card with 63 VFs sends some hundred events at once. */
#define RECEIVE_BUFFER_SIZE (4 << 20)
/* The kernel's word, in one event, and what our rule (udev-rules/) keeps of it for as long as the DRM device
 * is there, which goes when the driver is unbound. */
#define UDEV_WEDGED "WEDGED"
#define UDEV_WEDGED_KEPT "GPUVF_WEDGED"
#define WEDGED_MAX 64

struct known_function {
	struct pci_address function;
	struct pci_address pf; /* equal to function: the PF itself */
	bool dirty;
	bool removed; /* its last event was "remove" */
	bool bound;   /* a driver was bound to it since the last look */
	char wedged[WEDGED_MAX]; /* and this was said after that; "" = nothing */
};

struct udev_monitor_watch {
	sd_event *event;
	host_event_fn fn;
	void *userdata;
	struct udev *udev;
	struct udev_monitor *monitor;
	struct udev_queue *queue; /* NULL once it was empty */
	sd_event_source *io;
	sd_event_source *gather;
	sd_event_source *settle;
	struct known_function *known;
	size_t n_known;
	struct pci_address *strangers; /* display functions that nobody knows yet */
	size_t n_strangers;
	bool rescan;
};

static struct known_function *find_known(struct udev_monitor_watch *w,
					 const struct pci_address *function)
{
	size_t i;

	for (i = 0; i < w->n_known; i++)
		if (pci_address_equal(&w->known[i].function, function))
			return &w->known[i];
	return NULL;
}

static int remember(struct udev_monitor_watch *w, const struct pci_address *function,
		    const struct pci_address *pf)
{
	struct known_function *k = find_known(w, function);

	if (!k) {
		struct known_function *grown;

		grown = reallocarray(w->known, w->n_known + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		w->known = grown;
		k = &grown[w->n_known++];
		*k = (struct known_function){ .function = *function };
	}
	k->pf = *pf;
	return 0;
}

int udev_monitor_watch_learn(struct udev_monitor_watch *w, const struct gpu_facts *facts)
{
	size_t i;
	int r;

	r = remember(w, &facts->address, &facts->address);
	for (i = 0; i < facts->n_vfs && r == 0; i++)
		r = remember(w, &facts->vfs[i].address, &facts->address);
	return r;
}

static void emit(struct udev_monitor_watch *w, enum host_event_type type,
		 const struct pci_address *gpu, const char *attribute)
{
	struct host_event event = { .type = type, .attribute = attribute };

	if (gpu)
		event.gpu = *gpu;
	w->fn(w->userdata, &event);
}

/* The link physfn, by now there.  A link is read without any lock of the device. */
static int pf_of(const struct pci_address *vf, struct pci_address *ret)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/physfn", PCI_ADDRESS_STR(vf));
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;

	target[n] = '\0';
	slash = strrchr(target, '/');
	return pci_address_parse(slash ? slash + 1 : target, ret);
}

static void mark_changed(struct udev_monitor_watch *w, const struct pci_address *pf)
{
	struct known_function *k = find_known(w, pf);

	if (k)
		k->dirty = true;
	else
		w->rescan = true; /* a VF of a card that we have not seen */
}

/* Strangers are VFs by now, or new cards. */
static void meet_strangers(struct udev_monitor_watch *w)
{
	struct pci_address pf;
	size_t i;

	for (i = 0; i < w->n_strangers; i++) {
		if (pf_of(&w->strangers[i], &pf) == 0 && remember(w, &w->strangers[i], &pf) == 0)
			mark_changed(w, &pf);
		else
			w->rescan = true;
	}
	w->n_strangers = 0;
}

/* VFs stand for their PF; a VF that went away is forgotten, because another may get its address. */
static void fold_vfs(struct udev_monitor_watch *w)
{
	size_t i = 0;

	while (i < w->n_known) {
		struct known_function k = w->known[i];

		if (!k.dirty || pci_address_equal(&k.function, &k.pf)) {
			i++;
			continue;
		}
		w->known[i].dirty = false;
		if (k.removed)
			w->known[i] = w->known[--w->n_known];
		else
			i++;
		mark_changed(w, &k.pf);
	}
}

static void forget_card(struct udev_monitor_watch *w, const struct pci_address *pf)
{
	size_t i = 0;

	while (i < w->n_known) {
		if (pci_address_equal(&w->known[i].pf, pf))
			w->known[i] = w->known[--w->n_known];
		else
			i++;
	}
}

static int on_gather(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct udev_monitor_watch *w = userdata;
	size_t i;

	w->gather = sd_event_source_disable_unref(w->gather);
	meet_strangers(w);
	fold_vfs(w);

	for (i = 0; i < w->n_known;) {
		struct known_function k = w->known[i];

		w->known[i].dirty = w->known[i].bound = false;
		w->known[i].wedged[0] = '\0';
		if (!k.dirty) {
			i++;
		} else if (k.removed) {
			forget_card(w, &k.function);
			emit(w, HOST_EVENT_REMOVED, &k.function, NULL);
			i = 0; /* entries moved */
		} else {
			emit(w, k.bound ? HOST_EVENT_BOUND : HOST_EVENT_CHANGED, &k.function, NULL);
			if (k.wedged[0] != '\0')
				emit(w, HOST_EVENT_WEDGED, &k.function, k.wedged);
			i++;
		}
	}
	if (w->rescan) {
		w->rescan = false;
		emit(w, HOST_EVENT_RESCAN, NULL, NULL);
	}
	return 0;
}

static void arm(struct udev_monitor_watch *w)
{
	int r;

	if (w->gather)
		return;
	r = sd_event_add_time_relative(w->event, &w->gather, CLOCK_MONOTONIC, GATHER_USEC, 0,
				       on_gather, w);
	if (r < 0)
		log_error(r, "cannot follow kernel events");
}

/* The PCI function an event is about: for DRM the last address in its path. */
static int function_of(struct udev_device *device, struct pci_address *ret)
{
	const char *p = udev_device_get_devpath(device);
	char part[PCI_ADDRESS_STRLEN + 1];
	int r = -ENOENT;

	while (p && (p = strchr(p, '/'))) {
		size_t n = strcspn(++p, "/");

		if (n >= sizeof(part))
			continue;
		memcpy(part, p, n);
		part[n] = '\0';
		if (pci_address_parse(part, ret) == 0)
			r = 0;
	}
	return r;
}

/* Class 03xxxx and vendor 8086, from the event itself. */
static bool is_intel_display(struct udev_device *device)
{
	const char *class_code = udev_device_get_property_value(device, "PCI_CLASS");
	const char *id = udev_device_get_property_value(device, "PCI_ID");

	return class_code && id && strtoul(class_code, NULL, 16) >> 16 == 0x03 &&
	       strncasecmp(id, "8086:", 5) == 0;
}

static int note_stranger(struct udev_monitor_watch *w, const struct pci_address *function)
{
	struct pci_address *grown;
	size_t i;

	for (i = 0; i < w->n_strangers; i++)
		if (pci_address_equal(&w->strangers[i], function))
			return 0;
	grown = reallocarray(w->strangers, w->n_strangers + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;

	w->strangers = grown;
	grown[w->n_strangers++] = *function;
	return 0;
}

/* A driver that gives its device up says so on the DRM device, with the ways out that it knows; "none" is
 * told for statistics only, the device works. */
static void take_wedged(struct known_function *k, struct udev_device *device)
{
	const char *ways = udev_device_get_property_value(device, UDEV_WEDGED);

	if (!ways)
		ways = udev_device_get_property_value(device, UDEV_WEDGED_KEPT);
	if (!ways || streq(ways, "") || streq(ways, "none"))
		return;
	if (pci_address_equal(&k->function, &k->pf)) /* a VF that a driver of the host gave up is not ours */
		snprintf(k->wedged, sizeof(k->wedged), "%s", ways);
}

/* What was said of cards before we listened. */
void udev_monitor_watch_recall(struct udev_monitor_watch *w)
{
	struct udev_enumerate *e = udev_enumerate_new(w->udev);
	struct udev_list_entry *entry = NULL;

	if (e && udev_enumerate_add_match_subsystem(e, "drm") >= 0 &&
	    udev_enumerate_add_match_property(e, UDEV_WEDGED_KEPT, "*") >= 0 &&
	    udev_enumerate_scan_devices(e) >= 0)
		entry = udev_enumerate_get_list_entry(e);
	for (; entry; entry = udev_list_entry_get_next(entry)) {
		struct udev_device *device =
			udev_device_new_from_syspath(w->udev, udev_list_entry_get_name(entry));
		struct pci_address function;
		struct known_function *k = NULL;

		if (device && function_of(device, &function) == 0)
			k = find_known(w, &function);
		if (k) {
			take_wedged(k, device);
			k->dirty = true;
			arm(w);
		}
		udev_device_unref(device);
	}
	udev_enumerate_unref(e);
}

static void take_event(struct udev_monitor_watch *w, struct udev_device *device)
{
	bool is_pci = streq(strempty(udev_device_get_subsystem(device)), "pci");
	const char *action = strempty(udev_device_get_action(device));
	bool removed = streq(action, "remove");
	struct pci_address function;
	struct known_function *k;

	if (function_of(device, &function) < 0)
		return;

	k = find_known(w, &function);
	if (k && !is_pci && !removed)
		take_wedged(k, device);
	if (k && is_pci && streq(action, "bind")) {
		k->bound = true;
		k->wedged[0] = '\0';
	}
	if (k && k->removed && is_pci && !removed && pci_address_equal(&k->pf, &k->function)) {
		w->rescan = true; /* a card came back in the same place: it may be another one */
		k->removed = false;
		k->dirty = true;
	} else if (k) {
		k->dirty = true;
		if (is_pci)
			k->removed = removed;
	} else if (is_pci && !removed && is_intel_display(device)) {
		if (note_stranger(w, &function) < 0)
			w->rescan = true;
	} else {
		return;
	}
	arm(w);
}

static int on_monitor(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct udev_monitor_watch *w = userdata;
	struct udev_device *device;

	errno = 0;
	while ((device = udev_monitor_receive_device(w->monitor))) {
		take_event(w, device);
		udev_device_unref(device);
		errno = 0;
	}
	if (errno == ENOBUFS) {
		log_ratelimited(LOG_WARNING, 0, NULL, NULL,
				"kernel events were lost: scanning everything");
		w->rescan = true;
		arm(w);
	}
	return 0;
}

bool udev_monitor_watch_settling(struct udev_monitor_watch *w)
{
	return w->queue && !udev_queue_get_queue_is_empty(w->queue);
}

static int on_queue(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct udev_monitor_watch *w = userdata;

	(void)udev_queue_flush(w->queue);
	if (udev_monitor_watch_settling(w))
		return 0;
	w->settle = sd_event_source_disable_unref(w->settle);
	w->queue = udev_queue_unref(w->queue);
	emit(w, HOST_EVENT_SETTLED, NULL, NULL);
	return 0;
}

static int watch_queue(struct udev_monitor_watch *w)
{
	int fd;

	w->queue = udev_queue_new(w->udev);
	if (!w->queue)
		return -ENOMEM;
	fd = udev_queue_get_fd(w->queue);
	if (fd >= 0 && udev_monitor_watch_settling(w))
		return MIN_OF(sd_event_add_io(w->event, &w->settle, fd, EPOLLIN, on_queue, w), 0);
	w->queue = udev_queue_unref(w->queue); /* nobody to wait for */
	return 0;
}

struct udev_monitor_watch *udev_monitor_watch_free(struct udev_monitor_watch *w)
{
	if (!w)
		return NULL;

	sd_event_source_disable_unref(w->gather);
	sd_event_source_disable_unref(w->io);
	sd_event_source_disable_unref(w->settle);
	udev_queue_unref(w->queue);
	udev_monitor_unref(w->monitor);
	udev_unref(w->udev);
	sd_event_unref(w->event);
	free(w->strangers);
	free(w->known);
	free(w);
	return NULL;
}

static int open_monitor(struct udev_monitor_watch *w)
{
	int r;

	w->udev = udev_new();
	if (!w->udev)
		return -ENOMEM;
	w->monitor = udev_monitor_new_from_netlink(w->udev, "udev");
	if (!w->monitor)
		return errno > 0 ? -errno : -EIO;

	r = udev_monitor_filter_add_match_subsystem_devtype(w->monitor, "pci", NULL);
	if (r >= 0)
		r = udev_monitor_filter_add_match_subsystem_devtype(w->monitor, "drm", NULL);
	if (r >= 0) {
		/* Needs CAP_NET_ADMIN; with the usual size we only rescan more often. */
		(void)udev_monitor_set_receive_buffer_size(w->monitor, RECEIVE_BUFFER_SIZE);
		r = udev_monitor_enable_receiving(w->monitor);
	}
	return MIN_OF(r, 0);
}

int udev_monitor_watch_new(struct sd_event *event, host_event_fn fn, void *userdata,
			   struct udev_monitor_watch **ret)
{
	_cleanup_(udev_monitor_watch_freep) struct udev_monitor_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->event = sd_event_ref(event);
	w->fn = fn;
	w->userdata = userdata;
	r = open_monitor(w);
	if (r < 0)
		return r;
	r = sd_event_add_io(event, &w->io, udev_monitor_get_fd(w->monitor), EPOLLIN, on_monitor, w);
	if (r >= 0)
		r = watch_queue(w);
	if (r < 0)
		return r;

	*ret = TAKE_PTR(w);
	return 0;
}
