# SPDX-License-Identifier: GPL-2.0-or-later
include tests/fuzz/local.mk
include tests/testbed/local.mk

# What runs the tests, and what a clone needs for it.
dist_noinst_SCRIPTS += build-aux/setup .ci/run
EXTRA_DIST += build-aux/packages build-aux/build.sh build-aux/results.sh

# By hand: in a list, the script's name would stand for the target "check", which builds all.
dist-hook:
	cp -p $(srcdir)/check $(distdir)/check
