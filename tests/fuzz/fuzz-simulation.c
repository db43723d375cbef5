/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A simulation document: refused with a message that names the file, or a machine within all bounds. */
#include "fuzz.h"
#include "machine/sim-document.h"

static void check(const struct sim_document *d)
{
	FUZZ_CHECK(d->n_gpus <= 64 && d->n_vms <= 4096);
	for (size_t i = 0; i < d->n_gpus; i++) {
		const struct sim_gpu_spec *s = &d->gpus[i];

		FUZZ_CHECK(s->model && *s->model && s->serial && s->total_vfs <= 63);
		FUZZ_CHECK(!s->sriov_admin || (s->driver && streq(s->driver, "xe")));
		for (size_t j = 0; j < i; j++)
			FUZZ_CHECK(!pci_address_equal(&s->address, &d->gpus[j].address));
	}
	for (size_t i = 0; i < d->n_vms; i++) {
		FUZZ_CHECK(d->vms[i].name[0] != '.' && !strchr(d->vms[i].name, '/'));
		for (size_t j = 0; i < 64 && j < i; j++)
			FUZZ_CHECK(!streq(d->vms[i].name, d->vms[j].name));
	}
	for (size_t i = 0; i < d->faults.n; i++)
		FUZZ_CHECK((unsigned)d->faults.items[i].on < SIM_POINT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(sim_document_freep) struct sim_document *d = NULL;
	_cleanup_free_ char *text = fuzz_string(data, size), *message = NULL;
	int r;

	r = sim_document_parse("input", text, size, &d, &message);
	if (r < 0) {
		FUZZ_CHECK(!d && message && strncmp(message, "input:", 6) == 0);
		return 0;
	}
	check(d);
	return 0;
}
