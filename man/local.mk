# SPDX-License-Identifier: GPL-2.0-or-later
# man/: written by hand in mdoc.
dist_man_MANS += \
	man/gpuvf.1 \
	man/gpuvf-machine.1 \
	man/gpuvf-policy.5 \
	man/gpuvfd.json.5 \
	man/gpuvfd.8

TESTS += man/test-man.sh
EXTRA_DIST += man/test-man.sh
