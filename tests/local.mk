# SPDX-License-Identifier: GPL-2.0-or-later
include tests/bench/local.mk
include tests/chaos/local.mk
include tests/fuzz/local.mk
include tests/testbed/local.mk

# Over the simulation, driven from outside by a JSON-RPC client of their own.
INTEGRATION_TESTS = \
	tests/integration/test-api.py \
	tests/integration/test-assert.py \
	tests/integration/test-side.py \
	tests/integration/test-audit.py \
	tests/integration/test-cli.py \
	tests/integration/test-degraded.py \
	tests/integration/test-drain.py \
	tests/integration/test-fixed.py \
	tests/integration/test-follow.py \
	tests/integration/test-hotplug.py \
	tests/integration/test-partition.py \
	tests/integration/test-policy.py \
	tests/integration/test-release-restart.py \
	tests/integration/test-scrub.py \
	tests/integration/test-store.py \
	tests/integration/test-transcript.py \
	tests/integration/test-tune.py \
	tests/integration/test-ways.py
TESTS += $(INTEGRATION_TESTS) tests/scripts/test-setup.sh tests/scripts/test-names.py
EXTRA_DIST += $(INTEGRATION_TESTS) tests/scripts/test-setup.sh tests/scripts/test-names.py
EXTRA_DIST += tests/integration/gpuvf_client.py tests/integration/harness.py
EXTRA_DIST += tests/support/transcript.py tests/data/transcript.json

# What runs the tests and tells the story, and what a clone needs for it.
dist_noinst_SCRIPTS += demo build-aux/setup .ci/run tests/testbed/scenarios/demo.sh tests/hardware/run
EXTRA_DIST += tests/hardware/README.md
EXTRA_DIST += docs/ARCHITECTURE.md docs/BOOT.md docs/DOCTOR.md docs/LAYOUTS.md docs/MAINTENANCE.md docs/STATES.md \
	docs/RECOVERY.md docs/VF-CONTROL.md
EXTRA_DIST += build-aux/packages build-aux/build.sh build-aux/results.sh tests/support/story.sh

# By hand: in a list, the script's name would stand for the target "check", which builds all.
dist-hook:
	cp -p $(srcdir)/check $(distdir)/check
