#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the emulated GPUs do under the out-of-tree i915, with a plain shell: rounding, every refusal,
# automatic and manual sharing, two tiles, a media GT, and drivers that cannot cut. No gpuvf in it.
# Takes about 55 s.
# testbed: --no-install --gpus flex170:driver=i915:vfs=7,max1550:vfs=4,mtl,adl:driver=i915:hook=no,flex140:driver=i915:max_vfs=0:tree=iov,flex170:driver=i915:vfs=2:live=yes --limit 900
. "$TESTBED_SRC/lib.sh"

GIB=$((1 << 30))

# flex FILE, max FILE, mtl FILE: a file of the tree of GPU 0, 1 or 2.
flex() {
	i915_file 0 "$1"
}

max() {
	i915_file 1 "$1"
}

mtl() {
	i915_file 2 "$1"
}

# set_to NAME FILE VALUE READ: a write works and is read so.
set_to() {
	check "$1" put "$3" "$2" && is "  is read as" "$(cat "$2")" "$4"
}

# write_refused NAME FILE VALUE ERRNO
write_refused() {
	is "$1" "$(errno_of "$3" "$2")" "$4"
}

quotas() {
	local name
	for name in ggtt contexts doorbells lmem; do
		cat "$(flex "$1/gt0/${name}_quota")"
	done | xargs
}

# give VF: GPU 0's VF gets all it needs.
give() {
	put $((256 << 20)) "$(flex "$1/gt0/ggtt_quota")" && put 1024 "$(flex "$1/gt0/contexts_quota")" &&
		put 16 "$(flex "$1/gt0/doorbells_quota")" && put $GIB "$(flex "$1/gt0/lmem_quota")"
}

pf=$(pf_folder 0)

# ---- the tree

is "the driver is i915" "$(basename "$(readlink "$pf/driver")")" i915
check_fails "there is no sriov_admin" test -e "$pf/sriov_admin"
is "the tree is prelim_iov, and iov leads there" "$(readlink "$(card_folder 0)/iov")" prelim_iov
check "a GT is 'gt' on a card of one tile" test -d "$(card_folder 0)/prelim_iov/vf7/gt"
is "two tiles: gt0, gt1" "$(cd "$(i915_folder 1)/vf4" && echo gt*)" "gt0 gt1"
check_fails "without memory there is no link iov" test -e "$(card_folder 2)/iov"
check_fails "and no quota of it" test -e "$(mtl vf1/gt0/lmem_quota)"
is "the mode" "$(cat "$(flex mode)")" "SR-IOV PF"
is "a VF knows its number" "$(cat "$(flex vf7/id)")" 7
is "the PF's device" "$(basename "$(readlink "$(flex pf/device)")")" "$(pf_address 0)"
check_fails "a VF has none while it is off" test -e "$(flex vf1/device)"
is "without a hook it is ENOENT" "$(errno_of 1 "$(pf_folder 3)/sriov_numvfs")" \
	"No such file or directory"
is "with max_vfs=0 there are no VFs" "$(cat "$(pf_folder 4)/sriov_totalvfs")" 0
check_fails "and no tree" i915_folder 4
write_refused "  one more is ERANGE" "$(pf_folder 4)/sriov_numvfs" 1 "Numerical result out of range"

# ---- what is left, what the PF keeps

is "automatic at first" "$(cat "$(flex pf/auto_provisioning)")" 1
is "memory left" "$(cat "$(flex pf/gt0/available/lmem_free)")" $((16 * GIB - (128 << 20)))
is "contexts left" "$(cat "$(flex pf/gt0/available/contexts_free)")" $((65279 / 128 * 128))
is "doorbells left" "$(cat "$(flex pf/gt0/available/doorbells_max_quota)")" 256
ggtt=$(cat "$(flex pf/gt0/available/ggtt_free)")
is "space left" "$ggtt" $((0xfee00000 - (64 << 20)))
is "what the PF keeps" "$(for name in ggtt contexts doorbells lmem; do
	cat "$(flex "pf/gt0/${name}_spare")"; done | xargs)" "$((64 << 20)) 256 0 $((128 << 20))"
write_refused "less GGTT than it must" "$(flex pf/gt0/ggtt_spare)" 4096 "Invalid argument"
write_refused "less contexts" "$(flex pf/gt0/contexts_spare)" 255 "Invalid argument"
write_refused "less memory" "$(flex pf/gt0/lmem_spare)" $((127 << 20)) "Invalid argument"
set_to "more is taken" "$(flex pf/gt0/doorbells_spare)" 16 16
is "  and missing elsewhere" "$(cat "$(flex pf/gt0/available/doorbells_free)")" 240
check "back" put 0 "$(flex pf/gt0/doorbells_spare)"
is "spares leave the mode alone" "$(cat "$(flex pf/auto_provisioning)")" 1

# ---- quotas

set_to "space goes up to 4 KiB" "$(flex vf1/gt0/ggtt_quota)" 5000 8192
is "that turns automatic off" "$(cat "$(flex pf/auto_provisioning)")" 0
write_refused "and not on again: ESTALE" "$(flex pf/auto_provisioning)" 1 "Stale file handle"
is "partly provisioned: ENOKEY" "$(errno_of 1 "$pf/sriov_numvfs")" "Required key not available"
set_to "contexts go up to 128" "$(flex vf1/gt0/contexts_quota)" 100 128
set_to "memory goes up to 2 MiB" "$(flex vf1/gt0/lmem_quota)" 3000001 4194304
set_to "doorbells stay" "$(flex vf1/gt0/doorbells_quota)" 10 10
write_refused "space beyond all: E2BIG" "$(flex vf2/gt0/ggtt_quota)" $((5 * GIB)) "Argument list too long"
write_refused "space beyond the rest: EDQUOT" "$(flex vf2/gt0/ggtt_quota)" "$ggtt" "Disk quota exceeded"
write_refused "memory: EDQUOT" "$(flex vf2/gt0/lmem_quota)" $((16 * GIB)) "Disk quota exceeded"
write_refused "contexts beyond 16 bits: ERANGE" "$(flex vf2/gt0/contexts_quota)" 70000 \
	"Numerical result out of range"
write_refused "contexts: ENOSPC" "$(flex vf1/gt0/contexts_quota)" 65500 "No space left on device"
is "  what was there stays" "$(cat "$(flex vf1/gt0/contexts_quota)")" 128
write_refused "doorbells: ENOSPC" "$(flex vf1/gt0/doorbells_quota)" 257 "No space left on device"
is "  what was there is gone" "$(cat "$(flex vf1/gt0/doorbells_quota)")" 0
write_refused "no number: EINVAL" "$(flex vf1/gt0/lmem_quota)" much "Invalid argument"
write_refused "a negative one too" "$(flex vf1/gt0/lmem_quota)" -1 "Invalid argument"
is "the rest stays" "$(quotas vf1)" "8192 128 0 4194304"
check "clear takes all" put clear "$(flex vf1/control)"
is "  it did" "$(quotas vf1)" "0 0 0 0"
write_refused "an unknown command" "$(flex vf1/control)" melt "Invalid argument"
check "now automatic goes on" put 1 "$(flex pf/auto_provisioning)"

# ---- scheduling, policies, thresholds

set_to "a quantum above 100 s stays" "$(flex vf1/gt0/exec_quantum_ms)" 200000 200000
is "it turns automatic off" "$(cat "$(flex pf/auto_provisioning)")" 0
check "back" put 0 "$(flex vf1/gt0/exec_quantum_ms)"
check "on" put 1 "$(flex pf/auto_provisioning)"
set_to "the PF's does not" "$(flex pf/gt0/exec_quantum_ms)" 20 20
set_to "a timeout" "$(flex pf/gt0/preempt_timeout_us)" 20000 20000
write_refused "more than 32 bits" "$(flex pf/gt0/exec_quantum_ms)" 4294967296 "Numerical result out of range"
set_to "a policy" "$(flex pf/gt0/policies/sched_if_idle)" 1 1
write_refused "  which is a bool" "$(flex pf/gt0/policies/engine_reset)" 7 "Invalid argument"
set_to "a period" "$(flex pf/gt0/policies/sample_period_ms)" 500 500
is "  automatic still" "$(cat "$(flex pf/auto_provisioning)")" 1
set_to "a threshold" "$(flex vf1/gt0/threshold/h2g_time_us)" 5 5
check "back" put 0 "$(flex vf1/gt0/threshold/h2g_time_us)"
check "on" put 1 "$(flex pf/auto_provisioning)"

# ---- automatic

for n in 0 1 2; do
	check "host drivers are kept away from GPU $n" put 0 "$(pf_folder $n)/sriov_drivers_autoprobe"
done
check "4 VFs" put 4 "$pf/sriov_numvfs"
is "all was shared out" "$(quotas vf4)" \
	"$((ggtt / 5 / 4096 * 4096)) $((65279 / 4 / 128 * 128)) 64 $(((16 * GIB - (128 << 20)) / 4))"
is "not to VFs that are off" "$(quotas vf5)" "0 0 0 0"
is "vf1 is virtfn0" "$(basename "$(readlink "$(flex vf1/device)")")" "$(vf_address 0 0)"
write_refused "no quota while VFs are on" "$(flex vf1/gt0/lmem_quota)" 0 "Input/output error"
check "the same again is nothing" put "$(cat "$(flex vf1/gt0/lmem_quota)")" "$(flex vf1/gt0/lmem_quota)"
check "no VFs" put 0 "$pf/sriov_numvfs"
is "it came back" "$(quotas vf1)" "0 0 0 0"

# ---- by hand

check "two VFs are given what they need" eval "give vf1 && give vf2"
check "2 VFs" put 2 "$pf/sriov_numvfs"
check "no VFs" put 0 "$pf/sriov_numvfs"
is "what was given by hand stays" "$(quotas vf2)" "$((256 << 20)) 1024 16 $GIB"
check "3 VFs, of which one has nothing" put 3 "$pf/sriov_numvfs"
is "  it has nothing" "$(quotas vf3)" "0 0 0 0"
check "no VFs" put 0 "$pf/sriov_numvfs"
check "without contexts" put 0 "$(flex vf2/gt0/contexts_quota)"
is "ENOKEY" "$(errno_of 2 "$pf/sriov_numvfs")" "Required key not available"
check "a reload of the driver forgets it" rebind_driver 0
is "  it did" "$(quotas vf1)" "0 0 0 0"
is "  automatic again" "$(cat "$(flex pf/auto_provisioning)")" 1

# ---- a driver that changes quotas of VFs that are on

check "no VFs for drivers of the host" put 0 "$(pf_folder 5)/sriov_drivers_autoprobe"
check "2 VFs" put 2 "$(pf_folder 5)/sriov_numvfs"
quota=$(i915_file 5 vf1/gt0/lmem_quota) had=$(cat "$(i915_file 5 vf1/gt0/lmem_quota)")
set_to "memory is taken from one that is on" "$quota" 0 0
is "  automatic no more" "$(cat "$(i915_file 5 pf/auto_provisioning)")" 0
set_to "and given back" "$quota" "$had" "$had"
is "  the other kept its own" "$(cat "$(i915_file 5 vf2/gt0/lmem_quota)")" "$had"
check "no VFs" put 0 "$(pf_folder 5)/sriov_numvfs"

# ---- two tiles

is "each tile has half of the memory" "$(cat "$(max pf/gt1/available/lmem_free)")" \
	$((64 * GIB - (128 << 20)))
check "2 VFs" put 2 "$(pf_folder 1)/sriov_numvfs"
is "both tiles are shared out" "$(cat "$(max vf2/gt0/lmem_quota)" "$(max vf2/gt1/lmem_quota)" | xargs)" \
	"$((32 * GIB - (64 << 20))) $((32 * GIB - (64 << 20)))"
check "no VFs" put 0 "$(pf_folder 1)/sriov_numvfs"
on_tile_1() {
	put $GIB "$(max vf1/gt1/ggtt_quota)" && put 1024 "$(max vf1/gt1/contexts_quota)" &&
		put $((8 * GIB)) "$(max vf1/gt1/lmem_quota)"
}
check "a VF of one tile" on_tile_1
check "1 VF" put 1 "$(pf_folder 1)/sriov_numvfs"
check "no VFs" put 0 "$(pf_folder 1)/sriov_numvfs"
check "and a part of the other" put 4096 "$(max vf1/gt0/ggtt_quota)"
is "ENOKEY" "$(errno_of 1 "$(pf_folder 1)/sriov_numvfs")" "Required key not available"

# ---- a media GT

check_fails "space is the main GT's" put 4096 "$(mtl vf1/gt1/ggtt_quota)"
is "  and can be read" "$(cat "$(mtl vf1/gt1/ggtt_quota)")" 0
check "contexts are its own" put 128 "$(mtl vf1/gt1/contexts_quota)"
check "so are they of the main GT" eval "put 128 '$(mtl vf1/gt0/contexts_quota)' && put 4096 '$(mtl vf1/gt0/ggtt_quota)'"
check "1 VF" put 1 "$(pf_folder 2)/sriov_numvfs"
check "no VFs" put 0 "$(pf_folder 2)/sriov_numvfs"
check "without its contexts" put 0 "$(mtl vf1/gt1/contexts_quota)"
is "ENOKEY" "$(errno_of 1 "$(pf_folder 2)/sriov_numvfs")" "Required key not available"

# ---- faults and counts

check "the count begins again" forget_writes 0
fault 0 vf2/gt/lmem_quota:2:EDQUOT
check "the first write works" put $GIB "$(flex vf2/gt0/lmem_quota)"
write_refused "the second fails" "$(flex vf2/gt0/lmem_quota)" 0 "Disk quota exceeded"
is "it changed nothing" "$(cat "$(flex vf2/gt0/lmem_quota)")" $GIB
fault 0 pf/auto_provisioning:1:read-EIO
is "a read fails" "$(read_errno_of "$(flex pf/auto_provisioning)")" "Input/output error"
is "once" "$(read_errno_of "$(flex pf/auto_provisioning)")" none
is "writes were counted" "$(write_count 0) $(write_count 0 vf2/gt/lmem_quota)" "2 2"
put 0 "$pf/sriov_numvfs"
put 0 "$pf/sriov_drivers_autoprobe"
is "also those that the PCI core answers" \
	"$(write_count 0) $(write_count 0 sriov_numvfs) $(write_count 0 sriov_drivers_autoprobe)" "4 1 1"
done_testing
