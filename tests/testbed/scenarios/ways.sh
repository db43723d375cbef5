#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gpuvfd over every way in which a driver lets VFs be shaped, on a real kernel in one boot: which way it takes
# and what it says of it, quotas written and read back on each tile, a refusal of the kernel and the way back,
# custom provisioning seen and restored, and what is lost when the kernel locks itself down.
# Takes about 110 s.
# testbed: --gpus flex170:vfs=4,flex140:media=yes:quota=no:debugfs=new:vfs=4,flex170:admin=no:debugfs=old:vfs=4,flex170:driver=i915:vfs=4:live=yes,max1550:vfs=4,flex140:admin=no:vfs=4 --limit 900
. "$TESTBED_SRC/lib.sh"

GIB=$((1 << 30)) MIB=$((1 << 20))
config=/etc/gpuvf/gpuvfd.json

# can GPU ATTRIBUTE: how far it can be set, and why no further.
can() {
	gpuvf call gpu.get "{\"gpu\": \"gpu$1\"}" |
		awk -v name="\"$2\": {" 'index($0, name) { on = 1 } on { print } on && /}/ { exit }' | xargs
}

ways() {
	local n
	for n in 0 1 2 3 4 5; do
		gpu_member gpu$n vf_control
	done | xargs
}

ready() {
	gpuvf list gpus >/dev/null 2>&1
}

# numbers FILE...: their contents in a line.
numbers() {
	cat "$@" | xargs
}

# ---- which way

check "gpuvfd starts" start_gpuvfd
check "it answers" wait_for 30 ready
is "without debugfs" "$(ways)" "xe xe generic i915 i915 generic"
note "$(gpuvf show gpu1)"
like "what debugfs could add is said" "$(gpu_member gpu1 control_note)" 'no VRAM quotas: .*allow_debugfs'
like "on an older kernel, too" "$(gpu_member gpu2 control_note)" 'no quotas and no scheduling values: .*allow_debugfs'
like "no quota, and why" "$(can 1 vram_quota)" 'none.*sriov_admin has no vram_quota'
like "priority of all at once, and why" "$(can 0 sched_priority)" 'bulk.*low or normal for all at once'
like "i915 as well" "$(can 3 sched_priority)" 'bulk.*sched_if_idle'
like "i915 sets contexts" "$(can 3 contexts_quota)" 'writable'
is "two tiles" "$(gpu_member gpu4 tiles)" 2
refused 10 'vram' gpuvf apply gpu5 --vfs 2 --vram 1GiB

mkdir -p "${config%/*}"
echo '{"allow_debugfs": true}' >$config
check "the configuration is right" gpuvfd --check-config
check "gpuvfd begins again" systemctl restart gpuvfd.service
check "it answers" wait_for 30 ready
is "with debugfs" "$(ways)" "xe xe-debugfs xe-debugfs i915 i915 generic"
like "its price is said" "$(gpu_member gpu1 control_note)" 'until automatic provisioning is restored'
like "debugfs sets VRAM" "$(can 2 vram_quota)" 'writable'
like "and the old layout has one policy" "$(can 2 sched_priority)" 'bulk.*sched_if_idle'
note "$(gpuvf show gpu2)"

# ---- sriov_admin

admin=$(pf_folder 0)/sriov_admin
check "xe: 2 VFs" gpuvf apply gpu0 --vfs 2 --vram 1GiB --quantum 20ms --priority normal
is "  quota and quantum" "$(numbers "$admin"/vf2/profile/{vram_quota,exec_quantum_ms})" "$GIB 20"
like "  priority, in bulk" "$(cat "$admin/vf2/profile/sched_priority")" '\[normal\]'
check "xe: none" gpuvf apply gpu0 --vfs 0

# ---- debugfs, new layout, with sriov_admin for what it sets

admin=$(pf_folder 1)/sriov_admin sriov=/sys/kernel/debug/dri/$(pf_address 1)/sriov
check "debugfs: 2 VFs" gpuvf apply gpu1 --vfs 2 --vram 2GiB --ggtt 256MiB --contexts 1024 --quantum 20ms
is "  memory and space" "$(numbers "$sriov"/vf2/tile0/{vram,ggtt}_quota)" "$((2 * GIB)) $((256 * MIB))"
is "  contexts of both GTs" "$(numbers "$sriov"/vf2/tile0/gt{0,1}/contexts_quota)" "1024 1024"
is "  the quantum went through sriov_admin" "$(cat "$admin/vf2/profile/exec_quantum_ms")" 20
check "debugfs: none" gpuvf apply gpu1 --vfs 0
is "  nothing stands" "$(numbers "$sriov"/vf2/tile0/{vram,ggtt}_quota)" "0 0"
check "debugfs: 2 VFs, shared out by the driver" gpuvf apply gpu1 --vfs 2
like "  it is automatic again" "$(cat "$sriov/vf2/tile0/vram_quota")" '^[1-9][0-9]+$'
check "debugfs: none" gpuvf apply gpu1 --vfs 0

is "not custom" "$(gpu_member gpu1 custom_provisioning)" false
check "somebody leaves a quota" put $GIB "$sriov/vf3/tile0/vram_quota"
check "gpuvfd begins again" systemctl restart gpuvfd.service
check "it answers" wait_for 30 ready
is "custom, by what stands" "$(gpu_member gpu1 custom_provisioning)" true
check "debugfs: 2 VFs, shared out" gpuvf apply gpu1 --vfs 2
is "  what was left is gone" "$(cat "$sriov/vf3/tile0/vram_quota")" 0
like "  and the driver shares" "$(cat "$sriov/vf1/tile0/vram_quota")" '^[1-9][0-9]+$'
check "debugfs: none" gpuvf apply gpu1 --vfs 0

# ---- debugfs, old layout

old=$(debugfs_folder 2)
check "old debugfs: 3 unequal VFs" gpuvf apply gpu2 --vfs 3 --vram 3GiB --quantum 10ms --priority normal
is "  memory" "$(numbers "$old"/gt0/vf{1,2,3}/lmem_quota)" "$((3 * GIB)) $((3 * GIB)) $((3 * GIB))"
is "  policy and quantum" "$(numbers "$old/gt0/pf/sched_if_idle" "$old/gt0/vf3/exec_quantum_ms")" "1 10"
check "old debugfs: none" gpuvf apply gpu2 --vfs 0
is "  released" "$(numbers "$old"/gt0/vf{1,2,3}/lmem_quota)" "0 0 0"

# ---- i915

check "i915: 2 VFs" gpuvf apply gpu3 --vfs 2 --vram 4GiB --priority normal
is "  memory" "$(cat "$(i915_file 3 vf2/gt0/lmem_quota)")" $((4 * GIB))
is "  policy" "$(cat "$(i915_file 3 pf/gt0/policies/sched_if_idle)")" 1
is "  by hand" "$(cat "$(i915_file 3 pf/auto_provisioning)")" 0
fault 3 vf2/gt/lmem_quota:2:EDQUOT
refused 1 'largest piece that is free' gpuvf apply gpu3 --vfs 2 --vram 1GiB
clear_faults 3
is "  undone: the layout before" "$(cat "$(i915_file 3 vf2/gt0/lmem_quota)")" $((4 * GIB))
is "  with its VFs" "$(cat "$(pf_folder 3)/sriov_numvfs")" 2
check "i915: none" gpuvf apply gpu3 --vfs 0
is "  automatic again" "$(cat "$(i915_file 3 pf/auto_provisioning)")" 1
check "i915: 2 VFs, shared out by the driver" gpuvf apply gpu3 --vfs 2
like "  it shares" "$(cat "$(i915_file 3 vf2/gt0/lmem_quota)")" '^[1-9][0-9]+$'
check "i915: none" gpuvf apply gpu3 --vfs 0

# ---- memory between users, where the driver takes it from a VF that is on

# used VF: a program of the host has it for a moment.
used() {
	python3 -c 'import sys, time; held = open(sys.argv[1], "r+b", buffering=0); time.sleep(3600)' \
		"/dev/vfio/$(vf_member "$1" iommu_group)" &
	wait_for 20 test "/proc/$!/fd/3" -ef "/dev/vfio/$(vf_member "$1" iommu_group)" && gpuvf list vfs >/dev/null &&
		wait_for 20 vf_is "$1" held && kill $! && wait_for 20 vf_is "$1" free
}

mkdir -p /etc/gpuvf/policies.d
cat >/etc/gpuvf/policies.d/ways.json <<JSON
{"version": 1, "profiles": [{"name": "slice", "vram": "1GiB"}],
 "gpus": [{"match": {"address": "$(pf_address 3)"}, "layout": [{"profile": "slice", "count": 2}], "reuse": "scrubbed"}]}
JSON
check "a policy" gpuvf policy reload
check "2 VFs" gpuvf apply gpu3 --policy
check "the count begins again" forget_writes 3
check "a VF has a user" used gpu3/vf1
is "  its memory was taken and given back" "$(write_count 3 vf1/gt/lmem_quota)" 2
is "  it has it" "$(cat "$(i915_file 3 vf1/gt0/lmem_quota)")" $GIB
like "  that is said" "$(gpuvf show gpu3/vf1)" 'vram-quota'
like "  with the time" "$(gpuvf call vf.get '{"vf": "gpu3/vf1"}' | grep scrubbed_at)" '20[0-9][0-9]-'
fault 3 vf2/gt/lmem_quota:1:EIO
check "a driver that refuses" used gpu3/vf2
clear_faults 3
is "  leaves it what it had" "$(cat "$(i915_file 3 vf2/gt0/lmem_quota)")" $GIB
like "  which is said" "$(gpuvf call vf.get '{"vf": "gpu3/vf2"}' | grep only_by_recut)" 'Input/output error'
check "none" gpuvf apply gpu3 --vfs 0

# ---- two tiles

refused 9 'tile' gpuvf apply gpu4 --vfs 3 --vram 4GiB
check "two tiles: 2 VFs" gpuvf apply gpu4 --vfs 2 --vram 8GiB
is "  one on each: VF k on tile k mod 2" "$(numbers "$(i915_file 4 vf1/gt0/lmem_quota)" "$(i915_file 4 vf1/gt1/lmem_quota)" \
	"$(i915_file 4 vf2/gt0/lmem_quota)" "$(i915_file 4 vf2/gt1/lmem_quota)")" "0 $((8 * GIB)) $((8 * GIB)) 0"
check "two tiles: a single VF" gpuvf apply gpu4 --vfs 1 --vram 8GiB
is "  half from each" "$(numbers "$(i915_file 4 vf1/gt0/lmem_quota)" "$(i915_file 4 vf1/gt1/lmem_quota)")" \
	"$((4 * GIB)) $((4 * GIB))"
check "two tiles: none" gpuvf apply gpu4 --vfs 0

# ---- generic

check "generic: 2 VFs" gpuvf apply gpu5 --vfs 2
is "  there they are" "$(cat "$(pf_folder 5)/sriov_numvfs")" 2
check "generic: none" gpuvf apply gpu5 --vfs 0

# ---- lockdown; nothing undoes it

check "the kernel locks itself down" lock_down
check "gpuvfd begins again" systemctl restart gpuvfd.service
check "it answers" wait_for 30 ready
is "without debugfs again" "$(ways)" "xe xe generic i915 i915 generic"
like "and it says what is lost" "$(gpu_member gpu1 control_note)" 'kernel lockdown closes debugfs: no VRAM quotas'
like "on the older kernel, too" "$(gpu_member gpu2 control_note)" 'kernel lockdown closes debugfs: no quotas'
note "$(gpuvf show gpu1)"
check "it works on" gpuvf apply gpu1 --vfs 2 --quantum 20ms
is "  through sriov_admin" "$(cat "$(pf_folder 1)/sriov_admin/vf2/profile/exec_quantum_ms")" 20
check "none" gpuvf apply gpu1 --vfs 0
done_testing
