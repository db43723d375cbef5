# SPDX-License-Identifier: GPL-2.0-or-later
# The testbed is scripts, and a kernel module that `setup` builds against the kernel's headers.
TESTBED_FILES = \
	tests/testbed/README.md \
	tests/testbed/lib.sh \
	tests/testbed/module/Kbuild \
	tests/testbed/module/admin.c \
	tests/testbed/module/control.c \
	tests/testbed/module/debug-new.c \
	tests/testbed/module/debug-old.c \
	tests/testbed/module/debug.c \
	tests/testbed/module/disguise.c \
	tests/testbed/module/driver.c \
	tests/testbed/module/drm.c \
	tests/testbed/module/faults.c \
	tests/testbed/module/i915.c \
	tests/testbed/module/main.c \
	tests/testbed/module/resets.c \
	tests/testbed/module/rules.c \
	tests/testbed/module/testgpu.h \
	tests/testbed/module/tree.c \
	tests/testbed/module/values.c \
	tests/testbed/module/writes.c \
	tests/testbed/inside/enabled-units \
	tests/testbed/inside/masked-units \
	tests/testbed/inside/root \
	tests/testbed/nested/root \
	tests/testbed/outside/__init__.py \
	tests/testbed/outside/common.py \
	tests/testbed/outside/cpio.py \
	tests/testbed/outside/gpumodule.py \
	tests/testbed/outside/gpus.py \
	tests/testbed/outside/initramfs.py \
	tests/testbed/outside/install.py \
	tests/testbed/outside/kernel.py \
	tests/testbed/outside/machine.py

testbed_files = \
	tests/testbed/inside/init \
	tests/testbed/inside/start \
	tests/testbed/before/boot \
	tests/testbed/before/late-driver \
	tests/testbed/nested/domain \
	tests/testbed/nested/init \
	tests/testbed/run \
	tests/testbed/setup \
	tests/testbed/inside/invariants \
	tests/testbed/scenarios/boot.sh tests/testbed/scenarios/chaos.sh \
	tests/testbed/scenarios/doctor.sh \
	tests/testbed/scenarios/drain.sh \
	tests/testbed/scenarios/hardware.sh tests/testbed/scenarios/inject.sh tests/testbed/scenarios/pool.sh \
	tests/testbed/scenarios/holders.sh tests/testbed/scenarios/hotplug.sh \
	tests/testbed/scenarios/doctor-amd.sh \
	tests/testbed/scenarios/doctor-noiommu.sh \
	tests/testbed/scenarios/main-job.sh \
	tests/testbed/scenarios/refusals.sh \
	tests/testbed/scenarios/rules-debugfs.sh \
	tests/testbed/scenarios/rules-i915.sh \
	tests/testbed/scenarios/rules.sh \
	tests/testbed/scenarios/smoke.sh \
	tests/testbed/scenarios/transcript.sh \
	tests/testbed/scenarios/ways.sh \
	tests/testbed/scenarios/wedged.sh

EXTRA_DIST += $(TESTBED_FILES)
dist_noinst_SCRIPTS += $(testbed_files)
