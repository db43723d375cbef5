#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A host boots: libvirt starts VMs by itself whose definitions name VFs, so these must be there first; also of
# a card whose driver comes late. And the other direction: without gpuvfd VFs and VMs go on, and
# without libvirt gpuvfd starts. While VFs are held, logind refuses to suspend.
# Takes about 140 s.
# testbed: --gpus flex170:vfs=7,flex140:vfs=7:driver=no --before before/boot --limit 900
. "$TESTBED_SRC/lib.sh"

# when UNIT PROPERTY: seconds since the machine's start.
when() {
	systemctl show -P "$2TimestampMonotonic" "$1" | awk '{ printf "%.2f", $1 / 1000000 }'
}

before() {
	awk "BEGIN { exit !($1 > 0 && $1 <= $2) }"
}

is_running() {
	[ "$(virsh domstate "$1")" = running ]
}

first=$(pf_folder 0) second=$(pf_folder 1)
is "the cards are where their VMs look for them" "$(pf_address 0) $(pf_address 1)" "0000:01:00.0 0000:02:00.0"

# ---- boot

check "gpuvfd was started by the boot" wait_for 90 systemctl is-active gpuvfd.service ||
	bail_out "$(systemctl status gpuvfd.service)"
check "libvirtd too" wait_for 90 systemctl is-active libvirtd.service
ready=$(when gpuvfd.service ActiveEnter) libvirt=$(when libvirtd.service InactiveExit)
note "gpuvfd was started at $(when gpuvfd.service InactiveExit) s and ready at $ready s; libvirtd was started at $libvirt s"
check "libvirtd was started after gpuvfd was ready" before "$ready" "$libvirt"
is "the first card was cut" "$(cat "$first/sriov_numvfs")" 3
is "and the second, whose driver came late" "$(cat "$second/sriov_numvfs")" 3
is "every VF is on vfio-pci" "$(for vf in "$first"/virtfn* "$second"/virtfn*; do
	basename "$(readlink "$vf/driver")"
done | sort | uniq -c | xargs)" "6 vfio-pci"
check "the VM with a VF of the first runs" wait_for 60 is_running first
check "the VM with a VF of the second runs" wait_for 60 is_running second
is "no VM was refused" "$(journalctl --no-pager -u libvirtd.service | grep -ci 'failed to autostart')" 0
check "gpuvf finds libvirt" wait_for 60 connected
check "it knows who holds the VFs" wait_for 30 vf_is gpu0/vf1 attached
is "by name" "$(vf_member gpu0/vf1 vm) $(vf_member gpu1/vf2 vm)" "first second"
is "each card was cut once" "$(journalctl --no-pager -u gpuvfd.service | grep -c 'to sriov_numvfs')" 2

# ---- logind

inhibitors() {
	systemd-inhibit --list --no-legend --no-pager
}

inhibited() {
	inhibitors | grep -q 'gpuvf.*sleep.*block'
}

not_inhibited() {
	! inhibited
}

check "logind refuses to suspend, for gpuvf" wait_for 30 inhibited
note "$(inhibitors)"
like "gpuvf says so" "$(gpuvf call daemon.status)" '"sleep_lock": \{[^}]*"held": true'
check "a VM is ended" virsh destroy second
check "the other still holds a VF" inhibited
check "it is ended too" virsh destroy first
check "its VF is free for others once it was reset" wait_for 30 vf_is gpu0/vf1 reserved
check "logind suspends again" wait_for 30 not_inhibited
check "it starts again" virsh start first
check "and holds the host awake" wait_for 30 inhibited
check "logind is gone" systemctl mask --runtime --now systemd-logind.service
says_no_logind() {
	gpuvf call daemon.status | grep -A4 '"sleep_lock"' | grep -q 'logind'
}
check "gpuvf says so" wait_for 30 says_no_logind
systemctl unmask --runtime systemd-logind.service
check "logind is back" systemctl start systemd-logind.service
check "it is asked again" wait_for 30 inhibited

# ---- without gpuvfd, without libvirt

check "gpuvfd stops" systemctl stop gpuvfd.service gpuvfd.socket
is "the VFs stay" "$(cat "$first/sriov_numvfs" "$second/sriov_numvfs" | xargs)" "3 3"
check "the VM goes on" is_running first
check "nobody keeps the host awake" wait_for 10 not_inhibited
check "libvirt stops" systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service
read -r started _ </proc/uptime # since the machine started
check "gpuvfd starts without libvirt" systemctl start gpuvfd.service
note "it was ready $(awk "BEGIN { print $(when gpuvfd.service ActiveEnter) - $started }") s after it was asked for"
check "and does not start it" bash -c '! systemctl is-active libvirtd.service'
check_fails "it says that libvirt is not there" connected
is "it takes no VFs away meanwhile" "$(cat "$first/sriov_numvfs" "$second/sriov_numvfs" | xargs)" "3 3"
check "libvirt comes back" systemctl start libvirtd.socket libvirtd.service
check "gpuvf finds it" wait_for 90 connected
check "and the VM that holds a VF" wait_for 30 vf_is gpu0/vf1 attached
check "libvirt restarts" systemctl restart libvirtd.service
check "gpuvf finds it again" wait_for 90 connected
is "nothing was cut" "$(cat "$first/sriov_numvfs" "$second/sriov_numvfs" | xargs)" "3 3"
like "at shutdown VMs end before gpuvfd does" "$(systemctl show -P Before gpuvfd.service)" "libvirt-guests.service"
done_testing
