/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of shares.  Its numbers are those of vgpu.conf of Intel's xpumanager (branches v1.3.x and main,
 * core/resources/config/vgpu.conf), its presets those of vgpu_manager.cpp there (reference 5.2, 5.3). */
#include "partition/device-defaults.h"

#include <stdio.h>

static const struct device_share flex_170[] = {
	{ 1, 16777216000, 14199816192, 1024, 240, 4026531840 },
	{ 2, 8388608000, 7098859520, 1024, 120, 2013265920 },
	{ 4, 4194304000, 3548381184, 1024, 60, 1006632960 },
	{ 5, 3355443200, 2839543808, 1024, 48, 805306368 },
	{ 8, 2097152000, 1774190592, 1024, 30, 503316480 },
	{ 16, 1048576000, 887095296, 1024, 15, 251658240 },
	{ 0 },
};

static const struct device_share flex_140[] = {
	{ 1, 6039797760, 4880072704, 1024, 240, 4026531840 },
	{ 3, 2013265920, 1625292800, 1024, 80, 1342177280 },
	{ 6, 1006632960, 811597824, 1024, 40, 671088640 },
	{ 12, 503316480, 404750336, 1024, 20, 335544320 },
	{ 0 },
};

/* On Max the memory is the same with ECC. */
static const struct device_share max_1550[] = {
	{ 1, 128849018880, 128849018880, 2048, 480, 8053063680 },
	{ 2, 64424509440, 64424509440, 1024, 240, 4026531840 },
	{ 4, 32212254720, 32212254720, 1024, 120, 2013265920 },
	{ 6, 21474836480, 21474836480, 1024, 80, 1342177280 },
	{ 8, 16106127360, 16106127360, 1024, 60, 1006632960 },
	{ 16, 8053063680, 8053063680, 1024, 30, 503316480 },
	{ 32, 4026531840, 4026531840, 1024, 15, 251658240 },
	{ 62, 2013265920, 2013265920, 1024, 7, 125829120 },
	{ 0 },
};

static const struct device_share max_1100[] = {
	{ 1, 47244640256, 47244640256, 1024, 240, 4026531840 },
	{ 2, 23622320128, 23622320128, 1024, 120, 2013265920 },
	{ 3, 15748213418, 15748213418, 1024, 80, 1342177280 },
	{ 4, 11811160064, 11811160064, 1024, 60, 1006632960 },
	{ 8, 5905580032, 5905580032, 1024, 30, 503316480 },
	{ 16, 2952790016, 2952790016, 1024, 15, 251658240 },
	{ 32, 1476395008, 1476395008, 1024, 7, 125829120 },
	{ 63, 738197504, 738197504, 1024, 3, 63897600 },
	{ 0 },
};

static const struct device_defaults devices[] = {
	{ { 0x56c0, 0x56c2 }, true, flex_170, { 0 } },
	{ { 0x56c1 }, true, flex_140, { 0 } },
	{ { 0x0bd4, 0x0bd5, 0x0bd6 }, false, max_1550, { 0 } },
	{ { 0x0bda, 0x0bdb, 0x0b6e }, false, max_1100, { 0 } },
	{ { 0xe211 }, true, NULL, { 0, 25367150592, 21500002304, 1024, 240, 4026531840 } },
	/* The tool gives it the profile of e211, but has no presets for it. */
	{ { 0xe216 }, false, NULL, { 0, 25367150592, 21500002304, 1024, 240, 4026531840 } },
	{ { 0xe222 }, false, NULL, { 0, 33285996544, 28293097062, 1024, 256, 4171825152 } },
	{ { 0xe223 }, true, NULL, { 0, 29771169792, 21500002304, 1024, 256, 4155076608 } },
	{ { 0xe212 }, true, NULL, { 0, 16911433728, 14768144384, 1024, 256, 4155076608 } },
};

const struct device_defaults *device_defaults_find(unsigned device_id)
{
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(devices); i++)
		for (k = 0; k < ARRAY_SIZE(devices[i].ids) && devices[i].ids[k]; k++)
			if (devices[i].ids[k] == device_id)
				return &devices[i];
	return NULL;
}

bool device_defaults_share(const struct device_defaults *d, unsigned n, struct device_share *ret)
{
	const struct device_share *share;

	if (n == 0)
		return false;
	if (!d->shares) {
		*ret = (struct device_share){ n, d->total.vram_bytes / n, d->total.vram_ecc_bytes / n,
					      d->total.contexts, d->total.doorbells / n,
					      d->total.ggtt_bytes / n };
		return true;
	}
	for (share = d->shares; share->vfs; share++)
		if (share->vfs == n) {
			*ret = *share;
			return true;
		}
	return false;
}

char *device_defaults_counts(const struct device_defaults *d)
{
	const struct device_share *share;
	char *text = NULL, *longer;

	if (!d->shares)
		return strdup("any number");
	for (share = d->shares; share->vfs; share++) {
		longer = xasprintf("%s%s%u", strempty(text), text ? ", " : "", share->vfs);
		free(text);
		if (!longer)
			return NULL;
		text = longer;
	}
	return text;
}

bool device_has_preset(unsigned device_id, enum scheduler_preset preset)
{
	const struct device_defaults *d = device_defaults_find(device_id);

	return preset == SCHEDULER_BURSTABLE || (d && d->all_presets && preset != SCHEDULER_NONE);
}

json_t *device_defaults_view(unsigned device_id)
{
	const struct device_defaults *d = device_defaults_find(device_id);
	json_t *counts = d && d->shares ? json_array() : json_null(), *schedulers = json_array();
	const struct device_share *share;
	int preset;

	for (share = d ? d->shares : NULL; share && share->vfs; share++)
		json_array_append_new(counts, json_integer((json_int_t)share->vfs));
	for (preset = SCHEDULER_NONE + 1; preset < SCHEDULER_PRESET_MAX; preset++)
		if (device_has_preset(device_id, (enum scheduler_preset)preset))
			json_array_append_new(
				schedulers,
				json_string(scheduler_preset_to_string((enum scheduler_preset)preset)));
	return json_pack("{s:b,s:o,s:o}", "known", d != NULL, "counts", counts, "schedulers",
			 schedulers);
}

static void fill(struct vf_shape *shape, enum vf_attribute attribute, uint64_t value)
{
	if (shape->wanted[attribute].kind == AMOUNT_UNSET)
		shape->wanted[attribute] = amount_of(value);
}

/* A frame at 30 fps takes 33 ms: 32 ms of slices go round among the VFs. */
static void fill_30fps(unsigned n, bool fixed, struct vf_shape *shape)
{
	fill(shape, VF_ATTR_EXEC_QUANTUM, MAX_OF(32 / n, 1u));
	fill(shape, VF_ATTR_PREEMPT_TIMEOUT, n == 1 ? 128000 : MAX_OF(64000 / n, 16000u));
	fill(shape, VF_ATTR_PRIORITY, fixed ? VF_PRIORITY_NORMAL : VF_PRIORITY_LOW);
}

/* T = 2 s for the round of the others; half of a VF's turn is its slice, 50 ms at most, the rest is the time
 * to give way. */
static void fill_burstable(unsigned n, struct vf_shape *shape)
{
	uint64_t turn_ms = 2000 / MAX_OF(n - 1, 1u), quantum_ms = MAX_OF(MIN_OF(turn_ms / 2, (uint64_t)50),
									 (uint64_t)1);

	fill(shape, VF_ATTR_EXEC_QUANTUM, quantum_ms);
	fill(shape, VF_ATTR_PREEMPT_TIMEOUT,
	     turn_ms > quantum_ms ? (turn_ms - quantum_ms) * 1000 : 1000);
	fill(shape, VF_ATTR_PRIORITY, VF_PRIORITY_LOW);
}

void scheduler_preset_fill(enum scheduler_preset preset, unsigned n, struct vf_shape *shape)
{
	switch (preset) {
	case SCHEDULER_FLEXIBLE_30FPS:
	case SCHEDULER_FIXED_30FPS:
		fill_30fps(n, preset == SCHEDULER_FIXED_30FPS, shape);
		break;
	case SCHEDULER_BURSTABLE:
		fill_burstable(n, shape);
		break;
	case SCHEDULER_NONE:
	case SCHEDULER_PRESET_MAX:
		break;
	}
}
