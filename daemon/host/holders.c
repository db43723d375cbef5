/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holders of VFs by /proc/PID/fd.  A device node is known by its device number, because a VM's
 * process may live in a mount namespace with nodes of its own; a plain file (below an injected
 * root) by its inode. */
#include "host/holders.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "host/gpu-read.h"
#include "lib/clock.h"
#include "lib/io.h"

#define VFS_MAX 65535
#define FDINFO_MAX ((size_t)4096)
#define STATUS_MAX ((size_t)16384)

/* A node that belongs to a VF. */
struct node {
	unsigned vf;
	char *path;
	bool is_device;
	dev_t dev; /* device number of a device, else of the file system */
	ino_t ino;
	char address[PCI_ADDRESS_STRLEN]; /* the VF */
};

struct search {
	struct sysfs *s;
	struct node *nodes;
	size_t n_nodes;
	struct vf_holder *holders;
	size_t n_holders;
	bool blind; /* some process could not be looked into */
};

void holders_free(struct vf_holder *holders, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(holders[i].command);
		free(holders[i].path);
	}
	free(holders);
}

static void search_done(struct search *q)
{
	size_t i;

	for (i = 0; i < q->n_nodes; i++)
		free(q->nodes[i].path);
	free(q->nodes);
	holders_free(q->holders, q->n_holders);
}

/* Takes path.  A node that is not there cannot be open. */
static int add_node(struct search *q, unsigned vf, const struct pci_address *address, char *path)
{
	_cleanup_free_ char *owned = path;
	struct node *grown;
	struct stat st;

	if (!path)
		return -ENOMEM;
	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	grown = reallocarray(q->nodes, q->n_nodes + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;

	q->nodes = grown;
	grown += q->n_nodes++;
	*grown = (struct node){
		.vf = vf,
		.path = TAKE_PTR(owned),
		.is_device = S_ISCHR(st.st_mode),
		.dev = S_ISCHR(st.st_mode) ? st.st_rdev : st.st_dev,
		.ino = st.st_ino,
	};
	pci_address_format(address, grown->address);
	return 0;
}

/* Every entry of a folder of the VF is the name of a node below /dev. */
static int add_nodes_of(struct search *q, unsigned vf, const struct pci_address *address,
			const char *folder, const char *prefix, const char *dev_folder)
{
	_cleanup_(sysfs_closedirp) DIR *dir = NULL;
	struct dirent *entry;
	int r;

	dir = sysfs_opendir(q->s, SYSFS_PCI "/%s", PCI_ADDRESS_STR(address), folder);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;

	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		r = add_node(q, vf, address,
			     xasprintf("%s/%s/%s", q->s->dev_root, dev_folder, entry->d_name));
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_vf_nodes(struct search *q, unsigned vf, const struct pci_address *address)
{
	_cleanup_free_ char *group = NULL;
	int r;

	r = sysfs_link_name(q->s, &group, SYSFS_PCI "/iommu_group", PCI_ADDRESS_STR(address));
	if (r < 0 && r != -ENOENT)
		return r;
	if (group) {
		r = add_node(q, vf, address, xasprintf("%s/vfio/%s", q->s->dev_root, group));
		if (r < 0)
			return r;
		/* without an IOMMU, when the admin allowed that */
		r = add_node(q, vf, address, xasprintf("%s/vfio/noiommu-%s", q->s->dev_root, group));
		if (r < 0)
			return r;
	}

	r = add_nodes_of(q, vf, address, "vfio-dev", "vfio", "vfio/devices");
	if (r < 0)
		return r;
	r = add_nodes_of(q, vf, address, "drm", "card", "dri");
	if (r < 0)
		return r;

	return add_nodes_of(q, vf, address, "drm", "renderD", "dri");
}

static int collect_nodes(struct search *q, const struct pci_address *gpu, unsigned vf)
{
	unsigned first = vf > 0 ? vf : 1;
	unsigned last = vf > 0 ? vf : VFS_MAX;
	struct pci_address address;
	unsigned i;
	int r;

	for (i = first; i <= last; i++) {
		r = gpu_vf_address(q->s, gpu, i, &address);
		if (r == -ENOENT)
			return vf > 0 ? r : 0;
		if (r < 0)
			return r;
		r = add_vf_nodes(q, i, &address);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whose it is: /proc/PID itself belongs to root where a process may not be looked into. */
static struct known uid_of(int pid)
{
	_cleanup_free_ char *text = NULL;
	const char *line;
	unsigned uid;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (read_file_at(AT_FDCWD, path, STATUS_MAX, &text, NULL) < 0)
		return (struct known){ 0 };
	line = strstr(text, "\nUid:");
	if (!line || sscanf(line + strlen("\nUid:"), "%u", &uid) != 1)
		return (struct known){ 0 };
	return (struct known){ true, uid };
}

static struct known start_of(int pid)
{
	struct known started = { 0 };

	started.known = process_start_time(pid, &started.value) == 0;
	return started;
}

static int add_holder(struct search *q, const struct node *node, int pid, const char *path)
{
	_cleanup_free_ char *comm = NULL, *copy = strdup(path);
	char comm_path[64];
	struct vf_holder *grown;
	size_t i;

	for (i = 0; i < q->n_holders; i++) /* once per process and VF is enough */
		if (q->holders[i].pid == pid && q->holders[i].vf == node->vf)
			return 0;

	snprintf(comm_path, sizeof(comm_path), "/proc/%d/comm", pid);
	if (read_file_at(AT_FDCWD, comm_path, 256, &comm, NULL) == 0)
		trim_end(comm);
	grown = reallocarray(q->holders, q->n_holders + 1, sizeof(*grown));
	if (!grown || !copy)
		return -ENOMEM;

	q->holders = grown;
	grown[q->n_holders++] = (struct vf_holder){
		.vf = node->vf,
		.pid = pid,
		.started = start_of(pid),
		.uid = uid_of(pid),
		.command = TAKE_PTR(comm),
		.path = TAKE_PTR(copy),
	};
	return 0;
}

/* A VFIO device whose group or cdev was closed again: newer kernels name the function in fdinfo. */
static int check_vfio_device(struct search *q, int pid, const char *fdinfo_path)
{
	static const char key[] = "vfio-device-syspath:";
	_cleanup_free_ char *text = NULL;
	char *line, *slash;
	size_t i;

	if (read_file_at(AT_FDCWD, fdinfo_path, FDINFO_MAX, &text, NULL) < 0)
		return 0;
	line = strstr(text, key);
	if (!line)
		return 0;

	line[strcspn(line, "\n")] = '\0';
	slash = strrchr(trim_end(line), '/');
	for (i = 0; slash && i < q->n_nodes; i++)
		if (streq(q->nodes[i].address, slash + 1))
			return add_holder(q, &q->nodes[i], pid, "vfio device");
	return 0;
}

/* Only what looks like one of our nodes is asked for its inode: a stat() of a descriptor on a
 * dead network file system would hang. */
static bool worth_a_look(const struct search *q, const char *target)
{
	return strstr(target, "vfio/") || strstr(target, "dri/") ||
	       (q->s->injected && strncmp(target, q->s->dev_root, strlen(q->s->dev_root)) == 0);
}

static int check_fd(struct search *q, int pid, const char *folder, const char *fd)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct stat st;
	ssize_t n;
	size_t i;
	int r;

	snprintf(path, sizeof(path), "%s/fd/%s", folder, fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return 0; /* closed meanwhile */
	target[n] = '\0';

	if (streq(target, "anon_inode:[vfio-device]")) {
		snprintf(path, sizeof(path), "%s/fdinfo/%s", folder, fd);
		return check_vfio_device(q, pid, path);
	}
	if (!worth_a_look(q, target) || stat(path, &st) < 0)
		return 0;

	for (i = 0; i < q->n_nodes; i++) {
		const struct node *node = &q->nodes[i];
		bool same = node->is_device ?
				    S_ISCHR(st.st_mode) && st.st_rdev == node->dev :
				    st.st_dev == node->dev && st.st_ino == node->ino;

		/* no stop at the first: an IOMMU group may hold several VFs */
		if (same) {
			r = add_holder(q, node, pid, target);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Returns the number of descriptors seen, or a negative errno. */
static int check_folder(struct search *q, int pid, const char *folder)
{
	_cleanup_(sysfs_closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	struct dirent *entry;
	int n = 0, r;

	snprintf(path, sizeof(path), "%s/fd", folder);
	dir = opendir(path);
	if (!dir) {
		if (errno == EACCES || errno == EPERM)
			q->blind = true;
		return 0; /* otherwise the process is gone, and so are its descriptors */
	}

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		r = check_fd(q, pid, folder, entry->d_name);
		if (r < 0)
			return r;
	}
	return n;
}

/* Threads share their descriptors, but a leader that ended first shows none: then each thread is
 * asked. */
static int check_threads(struct search *q, int pid)
{
	_cleanup_(sysfs_closedirp) DIR *dir = NULL;
	char path[64], folder[PATH_MAX];
	struct dirent *entry;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == pid)
			continue;
		snprintf(folder, sizeof(folder), "%s/%s", path, entry->d_name);
		r = check_folder(q, pid, folder);
		if (r != 0)
			return MIN_OF(r, 0);
	}
	return 0;
}

static int check_processes(struct search *q)
{
	_cleanup_(sysfs_closedirp) DIR *proc = opendir("/proc");
	struct dirent *entry;
	char folder[64];
	int r;

	if (!proc)
		return -errno;

	while ((entry = readdir(proc))) {
		int pid = atoi(entry->d_name);

		if (!isdigit((unsigned char)entry->d_name[0]) || pid <= 0)
			continue;
		snprintf(folder, sizeof(folder), "/proc/%d", pid);
		r = check_folder(q, pid, folder);
		if (r == 0)
			r = check_threads(q, pid);
		if (r < 0)
			return r;
	}
	return 0;
}

int holders_find(struct sysfs *s, const struct pci_address *gpu, unsigned vf,
		 struct vf_holder **ret, size_t *ret_n)
{
	_cleanup_(search_done) struct search q = { .s = s };
	int r;

	r = collect_nodes(&q, gpu, vf);
	if (r < 0)
		return r;
	sysfs_announce(s, "fd");
	if (q.n_nodes > 0) {
		r = check_processes(&q);
		if (r < 0)
			return r;
	}
	/* Below an injected root only our own files count, and nobody else's processes hold
	 * them. */
	if (q.blind && !s->injected)
		return -EACCES;

	*ret = q.holders;
	*ret_n = q.n_holders;
	q.holders = NULL;
	q.n_holders = 0;
	return 0;
}
