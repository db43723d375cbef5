# SPDX-License-Identifier: GPL-2.0-or-later
# daemon/: one archive per layer; gpuvfd is main.c and these.
include daemon/log/local.mk
include daemon/core/local.mk
include daemon/policy/local.mk
include daemon/scheduler/local.mk
include daemon/partition/local.mk
include daemon/host/local.mk
include daemon/hypervisor/local.mk
include daemon/machine/local.mk
include daemon/inventory/local.mk
include daemon/store/local.mk
include daemon/runner/local.mk
include daemon/rpc/local.mk
