# SPDX-License-Identifier: GPL-2.0-or-later
include tests/fuzz/local.mk
include tests/testbed/local.mk
