# SPDX-License-Identifier: GPL-2.0-or-later
# udev-rules/: start the daemon when a GPU appears.
dist_udevrules_DATA = udev-rules/90-gpuvf.rules

TESTS += udev-rules/test-udev-rules.sh
EXTRA_DIST += udev-rules/test-udev-rules.sh
