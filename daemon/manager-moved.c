/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cards that are in another slot: somebody put another card in, and the firmware numbered the buses anew.  A card that
 * tells its serial number keeps its name, its layout by hand and its leases.  Asked by each scan of the host, before its
 * facts are taken over; must not guess: of two cards with one serial none has moved. */
#include "manager-state.h"

struct move {
	struct gpu *gpu;
	struct pci_address to;
};

static size_t listed(const struct host_reply *scan, const char *serial)
{
	size_t n = 0;

	for (size_t i = 0; i < scan->n_facts; i++)
		n += streq_ptr(scan->facts[i]->serial, serial);
	return n;
}

/* The one GPU that has this serial. */
static struct gpu *gpu_of_serial(struct manager *m, const char *serial)
{
	struct gpu *found = NULL, *gpu, *tmp;

	HASH_ITER(hh, m->gpus, gpu, tmp)
		if (streq_ptr(gpu->serial, serial)) {
			if (found)
				return NULL;
			found = gpu;
		}
	return found;
}

/* An access that hangs, or a cut, is to the slot where it was: first that has to end. */
static bool can_move(const struct gpu *gpu)
{
	return !gpu->stuck && !gpu->apply && !gpu->apply_accepted && gpu->binding == 0 && !gpu->tunes;
}

static size_t find_moves(struct manager *m, const struct host_reply *scan, struct move *moves)
{
	size_t n = 0;

	for (size_t i = 0; i < scan->n_facts; i++) {
		const struct gpu_facts *f = scan->facts[i];
		struct gpu *gpu = f->serial ? gpu_of_serial(m, f->serial) : NULL;

		if (gpu && !pci_address_equal(&gpu->address, &f->address) && listed(scan, f->serial) == 1 && can_move(gpu))
			moves[n++] = (struct move){ gpu, f->address };
	}
	return n;
}

static void arrive(struct manager *m, const struct move *move)
{
	struct gpu *other = gpu_find_address(m, &move->to);

	if (other)
		gpu_displaced(m, other, false);
	gpu_readdress(m, move->gpu, &move->to, true);
	if (move->gpu->reading)
		move->gpu->read_again = true; /* the one on its way is of the slot before */
}

void cards_moved(struct manager *m, const struct host_reply *scan)
{
	struct move *moves = scan->n_facts > 0 ? calloc(scan->n_facts, sizeof(*moves)) : NULL;
	size_t n = moves ? find_moves(m, scan, moves) : 0;

	/* All leave before the first arrives: two may have changed places. */
	for (size_t i = 0; i < n; i++) {
		log_gpu(moves[i].gpu->name, LOG_NOTICE, 0, "the card (serial %s) is at %s now, it was at %s",
			moves[i].gpu->serial, PCI_ADDRESS_STR(&moves[i].to), PCI_ADDRESS_STR(&moves[i].gpu->address));
		gpu_displaced(m, moves[i].gpu, true);
	}
	for (size_t i = 0; i < n; i++)
		arrive(m, &moves[i]);
	free(moves);
}
