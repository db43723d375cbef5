#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How long `gpuvf assign` takes to bring a VF into a running guest, against `virsh attach-device` of the same VF, in
# turns on the same machine: the testbed's, with a real kernel, libvirt and QEMU.  Twice: with the VF on vfio-pci
# already, where gpuvf keeps it, and with managed='yes', where libvirt has to bind it first.  The ways back are told
# beside it: gpuvf's ends when the VF was closed, reset and probed, virsh's when the guest has let go.
# Run by `make bench-testbed`; fails when a promised ratio of medians is broken.
# testbed: --gpus flex170:vfs=7 --limit 900
. "$TESTBED_SRC/lib.sh"

rounds=${1:-11}
guest=trainer

vf_is_free() {
	gpuvf call vf.get '{"vf": "gpu0/vf1"}' | grep -q '^  "state": "free"'
}

has_none() {
	! virsh dumpxml $guest | grep -q '<hostdev'
}

virsh_detach() {
	virsh --quiet detach-device $guest "$1" --live && wait_for 30 has_none
}

# round NAME COMMAND...: keeps its time under the name; the first round is a warm-up.
round() {
	local name=$1 took
	shift
	took=$(timed "$@") || bail_out "$name: $(cat /run/bench.err)"
	[ "$n" = 0 ] || echo "$took" >>"/run/$name"
}

# their_turn NAME XML: virsh's, while gpuvfd stands still.
their_turn() {
	kill -STOP "$pid"
	round "$1-attach" virsh --quiet attach-device $guest "$2" --live
	round "$1-detach" virsh_detach "$2"
	kill -CONT "$pid"
}

start_gpuvfd
check "a guest" start_guest $guest agent || bail_out "no guest"
check "libvirt is there" wait_for 60 connected
check "VFs" gpuvf apply gpu0 --vfs 2 || bail_out "no VFs"
check "the guest answers" wait_agent $guest || bail_out "no agent"
vf=$(vf_address 0 0)
hostdev_xml "$vf" ua-by-hand >/run/unmanaged.xml
sed "s/managed='no'/managed='yes'/" /run/unmanaged.xml >/run/managed.xml
systemctl service-watchdogs no # gpuvfd stands still on purpose
pid=$(main_pid)

for ((n = 0; n <= rounds; n++)); do
	wait_for 60 vf_is_free || bail_out "the VF is not free: $(gpuvf show gpu0/vf1)"
	round gpuvf-assign gpuvf assign $guest --vf gpu0/vf1 --live
	round gpuvf-release gpuvf release $guest
	wait_for 30 has_none
	their_turn unmanaged /run/unmanaged.xml
	wait_for 60 vf_is_free || bail_out "the VF is not free: $(gpuvf show gpu0/vf1)"
	echo >"/sys/bus/pci/devices/$vf/driver_override"
	echo "$vf" >/sys/bus/pci/drivers/vfio-pci/unbind
	their_turn managed /run/managed.xml
	[ "$(basename "$(readlink "/sys/bus/pci/devices/$vf/driver")")" = vfio-pci ] || take_vf "$vf"
done

for name in gpuvf-assign unmanaged-attach managed-attach gpuvf-release unmanaged-detach managed-detach; do
	note "$name: median $(median <"/run/$name") ms of $rounds: $(sort -n "/run/$name" | xargs)"
done
# ratio NAME OTHER: of their medians, as text; what is promised is compared as it was measured.
ratio() {
	awk "BEGIN { printf \"%.2f\", $(median <"/run/$1") / $(median <"/run/$2") }"
}
promised() {
	awk "BEGIN { exit !($(median <"/run/$1") $3 $(median <"/run/$2")) }"
}

for name in unmanaged managed; do
	note "gpuvf assign against virsh attach-device, $name: ratio of medians $(ratio gpuvf-assign $name-attach)"
	note "gpuvf release against virsh detach-device, $name: ratio of medians $(ratio gpuvf-release $name-detach)"
done
check "assign: at most 1.10 of attach-device, unmanaged" promised gpuvf-assign unmanaged-attach "<= 1.10 *"
check "assign: faster than attach-device, managed" promised gpuvf-assign managed-attach "<"
done_testing
