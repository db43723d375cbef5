#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the emulated GPUs do under xe besides sriov_admin with a plain shell: both layouts of debugfs,
# custom mode, sriov_admin in all its forms, a display, a wedged card, one that comes and goes, and
# kernel lockdown at the end. No gpuvf in it.
# Takes about 45 s.
# testbed: --no-install --gpus flex170:admin=no:debugfs=old:vfs=7,b60:quota=no:debugfs=new:vfs=7,flex170:quota=ro:vfs=4,flex170:euclean=yes:vfs=4,flex140:display=yes:driver=no:vfs=4 --limit 900
. "$TESTBED_SRC/lib.sh"

GIB=$((1 << 30))

set_to() {
	check "$1" put "$3" "$2" && is "  is read as" "$(cat "$2")" "$4"
}

write_refused() {
	is "$1" "$(errno_of "$3" "$2")" "$4"
}

for n in 0 1 2 3; do
	check "host drivers are kept away from GPU $n" put 0 "$(pf_folder $n)/sriov_drivers_autoprobe"
done

# ---- the old layout

pf=$(pf_folder 0) old=$(debugfs_folder 0)
check_fails "an older kernel has no sriov_admin" test -e "$pf/sriov_admin"
check_fails "and no name of the card but its number" test -e "/sys/kernel/debug/dri/$(pf_address 0)"
like "the mode" "$(cat "$old/sriov_info")" "mode: SR-IOV PF"
is "what the PF keeps" "$(cat "$old"/gt0/pf/{ggtt,contexts,doorbells,lmem}_spare | xargs)" \
	"$((64 << 20)) 256 0 $((128 << 20))"
write_refused "less is refused" "$old/gt0/pf/lmem_spare" $((64 << 20)) "Invalid argument"
set_to "space goes up to 64 KiB on this card" "$old/gt0/vf1/ggtt_quota" 5000 65536
is "partly provisioned: ENOKEY" "$(errno_of 1 "$pf/sriov_numvfs")" "Required key not available"
set_to "contexts as they are" "$old/gt0/vf1/contexts_quota" 100 100
set_to "memory goes up to 2 MiB" "$old/gt0/vf1/lmem_quota" 3000001 4194304
write_refused "contexts beyond all" "$old/gt0/vf1/contexts_quota" 65536 "Invalid argument"
write_refused "doorbells beyond all" "$old/gt0/vf1/doorbells_quota" 257 "Invalid argument"
check "half of the doorbells" put 128 "$old/gt0/vf2/doorbells_quota"
write_refused "more than the rest: EDQUOT" "$old/gt0/vf1/doorbells_quota" 129 "Disk quota exceeded"
check "back" put 0 "$old/gt0/vf2/doorbells_quota"
write_refused "memory beyond all: ENOSPC" "$old/gt0/vf2/lmem_quota" $((17 * GIB)) "No space left on device"
write_refused "no number" "$old/gt0/vf1/lmem_quota" much "Invalid argument"
write_refused "more than 32 bits" "$old/gt0/vf1/exec_quantum_ms" 4294967296 \
	"Value too large for defined data type"
set_to "a quantum has its ceiling" "$old/gt0/vf1/exec_quantum_ms" 200000 100000
set_to "the PF has a priority" "$old/gt0/pf/sched_priority" 2 2
write_refused "  of three" "$old/gt0/pf/sched_priority" 3 "Invalid argument"
check_fails "a VF has none" test -e "$old/gt0/vf1/sched_priority"
set_to "a threshold" "$old/gt0/vf1/threshold_guc_time_us" 7 7
set_to "a policy" "$old/gt0/pf/sched_if_idle" 1 1
check "a command" put pause "$old/gt0/vf1/control"
write_refused "an unknown one" "$old/gt0/vf1/control" melt "Invalid argument"
check "1 VF, as it was given" put 1 "$pf/sriov_numvfs"
is "it has what it was given" "$(cat "$old/gt0/vf1/lmem_quota")" 4194304
check "no VFs" put 0 "$pf/sriov_numvfs"
is "it is released" "$(cat "$old"/gt0/vf1/{ggtt,contexts,lmem}_quota | xargs)" "0 0 0"
check "4 VFs" put 4 "$pf/sriov_numvfs"
is "shared out: powers of two, and all memory" \
	"$(cat "$old"/gt0/vf4/{ggtt,contexts,doorbells,lmem}_quota | xargs)" \
	"$((512 << 20)) 8192 32 $(((16 * GIB - (128 << 20)) / 4))"
like "free memory" "$(cat "$old/vram0_mm")" "visible_avail: 128MiB"
write_refused "no quota while VFs are on" "$old/gt0/vf1/ggtt_quota" 0 "Input/output error"
check "no VFs" put 0 "$pf/sriov_numvfs"

# ---- the new layout

pf=$(pf_folder 1) new=/sys/kernel/debug/dri/$(pf_address 1)
sriov=$new/sriov admin=$pf/sriov_admin
check "the card has its address for a name" test -d "$sriov"
check "and its number" test -d "$(debugfs_folder 1)/sriov"
check "who knows the old layout finds it" test -e "$new/gt0/vf1/lmem_quota"
check_fails "a media GT has no memory" test -e "$new/gt1/vf1/lmem_quota"
like "VFs" "$(cat "$sriov/pf/vfs")" "supported: 7"
check_fails "sriov_admin has no vram_quota" test -e "$admin/vf1/profile/vram_quota"
check "4 VFs" put 4 "$pf/sriov_numvfs"
vram=$(cat "$sriov/vf4/tile0/vram_quota")
like "shared out" "$vram" "^[1-9][0-9]+$"
is "contexts of the media GT too" "$(cat "$sriov/vf4/tile0/gt1/contexts_quota")" 8192
write_refused "automatic cannot be restored" "$sriov/restore_auto_provisioning" 1 "Device or resource busy"
check "no VFs" put 0 "$pf/sriov_numvfs"
is "released" "$(cat "$sriov/vf4/tile0/vram_quota")" 0
check "sriov_admin" put 10 "$admin/vf1/profile/exec_quantum_ms"
check "4 VFs" put 4 "$pf/sriov_numvfs"
check "no VFs" put 0 "$pf/sriov_numvfs"
is "sriov_admin leaves it automatic" "$(cat "$admin/vf1/profile/exec_quantum_ms")" 0
set_to "one GT alone" "$sriov/vf1/tile0/gt1/exec_quantum_ms" 10 10
is "then the GTs disagree: EUCLEAN" "$(read_errno_of "$admin/vf1/profile/exec_quantum_ms")" \
	"Structure needs cleaning"
check "2 VFs, now custom" put 2 "$pf/sriov_numvfs"
is "nothing was shared out" "$(cat "$sriov/vf1/tile0/vram_quota" "$sriov/vf1/tile0/ggtt_quota" | xargs)" "0 0"
check "no VFs" put 0 "$pf/sriov_numvfs"
is "nothing is taken back" "$(cat "$sriov/vf1/tile0/gt1/exec_quantum_ms")" 10
set_to "space" "$sriov/vf1/tile0/ggtt_quota" $((256 << 20)) $((256 << 20))
is "partly: ENOKEY" "$(errno_of 1 "$pf/sriov_numvfs")" "Required key not available"
set_to "memory" "$sriov/vf1/tile0/vram_quota" $GIB $GIB
set_to "contexts" "$sriov/vf1/tile0/gt0/contexts_quota" 1024 1024
is "still partly: the media GT" "$(errno_of 1 "$pf/sriov_numvfs")" "Required key not available"
set_to "its contexts" "$sriov/vf1/tile0/gt1/contexts_quota" 1024 1024
check "1 VF" put 1 "$pf/sriov_numvfs"
set_to "a VF has a priority here" "$sriov/vf1/tile0/gt0/sched_priority" 2 2
check "it can be stopped" put 1 "$sriov/vf1/stop"
check "no VFs" put 0 "$pf/sriov_numvfs"
is "what was given stays" "$(cat "$sriov/vf1/tile0/vram_quota")" $GIB
check "automatic is restored" put 1 "$sriov/restore_auto_provisioning"
is "that took it back" "$(cat "$sriov/vf1/tile0/vram_quota")" 0
check "4 VFs" put 4 "$pf/sriov_numvfs"
is "shared out as before" "$(cat "$sriov/vf4/tile0/vram_quota")" "$vram"
check "no VFs" put 0 "$pf/sriov_numvfs"
exec 7<"$sriov/lockdown_vfs_enabling"
is "while that file is open: EBUSY" "$(errno_of 1 "$pf/sriov_numvfs")" "Device or resource busy"
exec 7<&-
fault 1 vf1/tile0/vram_quota:1:EIO
write_refused "a fault reaches it" "$sriov/vf1/tile0/vram_quota" 0 "Input/output error"
is "and the count" "$(write_count 1 vf1/tile0/vram_quota)" 2

# ---- other forms of sriov_admin

quota=$(pf_folder 2)/sriov_admin/vf1/profile/vram_quota
is "read-only" "$(stat -c %a "$quota")" 444
write_refused "  is refused" "$quota" 0 "Permission denied"
check "2 VFs" put 2 "$(pf_folder 2)/sriov_numvfs"
like "  and can be read" "$(cat "$quota")" "^[1-9][0-9]+$"
check "no VFs" put 0 "$(pf_folder 2)/sriov_numvfs"
pf=$(pf_folder 3)
check "a quota" put $GIB "$pf/sriov_admin/vf1/profile/vram_quota"
is "a driver that wants all to be clean: EUCLEAN" "$(errno_of 2 "$pf/sriov_numvfs")" \
	"Structure needs cleaning"
is "the quota stays" "$(cat "$pf/sriov_admin/vf1/profile/vram_quota")" $GIB
check "back" put 0 "$pf/sriov_admin/vf1/profile/vram_quota"
check "2 VFs" put 2 "$pf/sriov_numvfs"
check "no VFs" put 0 "$pf/sriov_numvfs"

# ---- mishaps

check_fails "a card without driver has no display" card_folder 4
check "the driver comes" bind_driver 4
is "it has a display" "$(cat "$(card_folder 4)"/card*/status)" connected
udevadm monitor --kernel --property --subsystem-match=drm >/run/events &
monitor=$!
listening() {
	grep -q '^KERNEL - ' /run/events
}
check "somebody listens" wait_for 20 listening
check "a card is wedged" wedge 3
check "that is an event" wait_for 10 grep -q '^WEDGED=rebind,bus-reset$' /run/events
kill $monitor
is "no VFs then: ECANCELED" "$(errno_of 2 "$pf/sriov_numvfs")" "Operation canceled"
check "a reload of the driver" rebind_driver 3
check "mends it" put 2 "$pf/sriov_numvfs"
address=$(pf_address 3)
check "the card is removed with its VFs" remove_card 3
check_fails "it is gone" pf_address 3
check "and found again" rescan
is "at its address" "$(pf_address 3)" "$address"
check "with its driver" test -d "$(pf_folder 3)/sriov_admin/vf4"
is "without VFs" "$(cat "$(pf_folder 3)/sriov_numvfs")" 0

# ---- lockdown

check "the kernel locks itself down" lock_down
write_refused "no write in debugfs" "$old/gt0/vf1/lmem_quota" 0 "Operation not permitted"
is "not even a read, where a write would be" "$(read_errno_of "$old/gt0/vf1/lmem_quota")" \
	"Operation not permitted"
is "but of what is read-only" "$(read_errno_of "$old/sriov_info")" none
write_refused "no restoring" "$sriov/restore_auto_provisioning" 1 "Operation not permitted"
check "sysfs works on" put 10 "$admin/vf1/profile/exec_quantum_ms"
check "VFs too" put 2 "$(pf_folder 1)/sriov_numvfs"
check "no VFs" put 0 "$(pf_folder 1)/sriov_numvfs"
done_testing
