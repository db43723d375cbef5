#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Cards, drivers and VFs that come and go under a running gpuvfd, with the real kernel and udev: a driver that is
# bound late or again, a layout that fails, VFs that somebody else changes, a card that is taken off the bus, one that
# its driver gives up, and events that get lost.
# Takes about 75 s.
# testbed: --gpus flex170:vfs=7,flex140:vfs=7:driver=no --limit 900
. "$TESTBED_SRC/lib.sh"

first=$(pf_folder 0) second=$(pf_folder 1)

mkdir -p /etc/gpuvf/policies.d
cat >/etc/gpuvf/policies.d/hotplug.json <<'JSON'
{
  "version": 1,
  "profiles": [{"name": "slice", "vram": "1GiB"}],
  "gpus": [{"match": {}, "layout": [{"profile": "slice", "count": 3}]}]
}
JSON

drift_member() {
	gpuvf call gpu.get "{\"gpu\": \"$1\"}" | sed -n '/^  "drift": {/,/^  }/p' |
		sed -n "s/^    \"$2\": \"\{0,1\}\([^\"]*[^\",]\)\"\{0,1\},\{0,1\}$/\1/p"
}

# is_cut GPU FOLDER NUMBER: the kernel and gpuvf show that many VFs, and nothing differs from what is wanted.
is_cut() {
	[ "$(cat "$2/sriov_numvfs")" = "$3" ] && [ "$(gpu_member "$1" num_vfs)" = "$3" ] && gpu_is "$1" ready &&
		[ -z "$(drift_member "$1" what)" ]
}

drift_is() {
	[[ $(drift_member "$1" what) == *"$2"* ]]
}

drift_has() {
	[ "$(drift_member "$1" "$2")" = "$3" ]
}

start_gpuvfd
check "the first card is cut" wait_for 30 is_cut gpu0 "$first" 3 || bail_out "$(gpuvf list)"

# ---- drivers

check "the second has no driver: drift" wait_for 20 drift_is gpu1 driver
is "which cannot be healed" "$(drift_member gpu1 healing)" cannot
check "its driver comes late" bind_driver 1
check "then it is cut" wait_for 30 is_cut gpu1 "$second" 3

forget_writes 0
check "the driver of the first goes" unbind_driver 0
check "with it go its VFs, and that is drift" wait_for 20 drift_is gpu0 driver
is "no VF is left" "$(gpuvf list vfs | grep -c '^gpu0/')" 0
check "it comes back" bind_driver 0
check "the VFs too" wait_for 30 is_cut gpu0 "$first" 3
is "by one write" "$(write_count 0 sriov_numvfs)" 1
check "driver off and on at once" rebind_driver 0
check "is noticed all the same" wait_for 30 is_cut gpu0 "$first" 3
is "every VF is on vfio-pci" "$(for vf in "$first"/virtfn*; do
	basename "$(readlink "$vf/driver")"
done | sort | uniq -c | xargs)" "3 vfio-pci"

check "the driver goes" unbind_driver 0
fault 0 sriov_numvfs:0:ENOSPC
forget_writes 0
check "and comes back, but enables no VFs" bind_driver 0
check "it was tried" wait_for 30 drift_has gpu0 attempts 1
like "why it failed is said" "$(drift_member gpu0 healing_reason)" "sriov_numvfs"
is "it was tried once" "$(write_count 0 sriov_numvfs)" 1
check "the failed operation is listed" bash -c "gpuvf call operation.list '{\"state\": \"failed\"}' | grep -q gpu.apply"
clear_faults 0
check "asked for, it is made" gpuvf apply gpu0
check "and all is well" is_cut gpu0 "$first" 3

# ---- somebody else

forget_writes 0
check "somebody removes the VFs" put 0 "$first/sriov_numvfs"
check "that is drift" wait_for 20 drift_is gpu0 "0 VFs"
like "since when is told" "$(drift_member gpu0 since)" '^20[0-9-]*T[0-9:.]*Z$'
is "nothing is written against it" "$(drift_member gpu0 healing) $(write_count 0 sriov_numvfs)" "off 1"
check "somebody makes others" put 5 "$first/sriov_numvfs"
check "drift again" wait_for 20 drift_is gpu0 "5 VFs"
check "the daemon restarts" systemctl restart gpuvfd.service
check "it leaves them alone" wait_for 20 drift_is gpu0 "5 VFs"
is "the kernel says so too" "$(cat "$first/sriov_numvfs")" 5

echo '{"heal_drift": true}' >/etc/gpuvf/gpuvfd.json
check "told to heal, it restarts" systemctl restart gpuvfd.service
check "and heals, once libvirt has said that nobody holds a VF" wait_for 90 is_cut gpu0 "$first" 3
check "as an operation of its own" bash -c "gpuvf call operation.list | grep -q gpu.heal"
check "somebody removes the VFs again" put 0 "$first/sriov_numvfs"
check "they are made again" wait_for 30 is_cut gpu0 "$first" 3
rm /etc/gpuvf/gpuvfd.json
check "no longer" systemctl restart gpuvfd.service
check "all is as it was" wait_for 30 is_cut gpu0 "$first" 3

# ---- a card that its driver gives up

check "the driver gives the first card up" wedge 0 rebind,bus-reset
check "it is wedged" wait_for 20 gpu_is gpu0 wedged
like "the ways out are told" "$(gpu_member gpu0 reason)" "WEDGED=rebind,bus-reset.*bind its driver"
said=$(gpuvf apply gpu0 --vfs 2 2>&1)
is "it takes no layout" $? 1
like "and says why" "$said" "WEDGED"
check "the daemon restarts" systemctl restart gpuvfd.service
check "and knows still" wait_for 20 gpu_is gpu0 wedged
check "the driver is bound again" rebind_driver 0
check "that mends it" wait_for 30 is_cut gpu0 "$first" 3

# ---- events that get lost

pid=$(main_pid)
systemctl service-watchdogs no # it would take the stop for a hang
kill -STOP "$pid"
# More than the socket holds, of what is no event of anybody's; then one that matters.
python3 - <<-'PYTHON'
	import socket
	KOBJECT_UEVENT, UDEV_GROUP = 15, 2
	with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, KOBJECT_UEVENT) as udev:
	    for _ in range(4000):
	        try:
	            udev.sendto(bytes(8000), (0, UDEV_GROUP))
	        except OSError:
	            pass  # somebody's buffer is full, which is the purpose
PYTHON
put 0 "$second/sriov_numvfs"
udevadm settle -t 20
kill -CONT "$pid"
systemctl service-watchdogs yes
check "after an overflow everything is looked at" wait_for 30 drift_is gpu1 "0 VFs"
is "the daemon is the same" "$(main_pid)" "$pid"
check "it has said that events were lost" bash -c 'journalctl --no-pager -u gpuvfd.service | grep "events were lost"'
check "mended" gpuvf apply gpu1

# ---- a card goes

check "the first card is taken off the bus" remove_card 0
check "it is absent" wait_for 20 gpu_is gpu0 absent
check "which is drift" drift_is gpu0 "the card is gone"
check "the other is as it was" is_cut gpu1 "$second" 3
check "the bus is scanned" rescan
check "it is the same card, and cut again" wait_for 40 is_cut gpu0 "$first" 3
done_testing
