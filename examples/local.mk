# SPDX-License-Identifier: GPL-2.0-or-later
# examples/: jobs that a user can submit as they are.
include examples/tiny-lora/local.mk
