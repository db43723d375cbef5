#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Random operations and mishaps with a real kernel and a real libvirtd, and a kill -9 of the daemon in the midst of each
# round; afterwards libvirt and the kernel are asked whether all holds (inside/invariants).  The seed decides what is
# done: chaos.sh [SEED [ROUNDS]].  `make chaos` does it over the made-up machine, by the thousand.
# testbed: --gpus flex170:vfs=7 --limit 900
. "$TESTBED_SRC/lib.sh"

seed=${1:-$((RANDOM * 32768 + RANDOM))} rounds=${2:-4}
vms=(trainer-1 trainer-2)
invariants=$TESTBED_SRC/inside/invariants

# pick WORD...: one of them, by the seed.
pick() {
	local words=("$@")
	picked=${words[RANDOM % ${#words[@]}]}
}

detach_by_hand() {
	local address
	address=$(virsh --quiet dumpxml "$1" | grep -A3 '<hostdev' | sed -n \
		"s/.*domain='0x\(....\)' bus='0x\(..\)' slot='0x\(..\)' function='0x\(.\)'.*/\1:\2:\3.\4/p" | head -n 1)
	[ -n "$address" ] && hostdev_xml "$address" ua-any >"/run/hand-$1.xml" &&
		virsh --quiet detach-device "$1" "/run/hand-$1.xml" --live
}

off_and_on() {
	virsh --quiet destroy "$1"
	virsh --quiet start "$1"
}

# act DEED VM: one deed, told. Whether it succeeds is its own affair.
act() {
	local status
	case $1 in
	assign) gpuvf assign "$2" --add --wait 60s ;;
	release) gpuvf release "$2" --all --wait 60s ;;
	apply-*) gpuvf apply gpu0 --vfs "${1#apply-}" --wait 60s ;;
	by-hand) detach_by_hand "$2" ;;
	off-and-on) off_and_on "$2" ;;
	libvirtd) systemctl restart libvirtd.service ;;
	esac >/run/deed.out 2>&1
	status=$?
	note "  $1 $2: $status $(tail -n 1 /run/deed.out)"
}

both_run() {
	local vm
	for vm in "${vms[@]}"; do
		virsh --quiet list --name | grep -qx "$vm" || virsh --quiet start "$vm" || return
	done
}

note "seed $seed, $rounds rounds"
RANDOM=$((seed % 32768))
for vm in "${vms[@]}"; do
	check "$vm starts" start_guest "$vm" || bail_out "no guest"
done
start_gpuvfd
check "libvirt is there" wait_for 60 connected
check "4 VFs" gpuvf apply gpu0 --vfs 4
for vm in "${vms[@]}"; do
	check "$vm is up" wait_agent "$vm"
done

for ((round = 1; round <= rounds; round++)); do
	deeds=()
	for _ in 1 2; do
		pick assign assign release apply-3 apply-4 by-hand off-and-on libvirtd
		deed=$picked
		pick "${vms[@]}"
		deeds+=("$deed $picked")
		# shellcheck disable=SC2086  # a deed and its VM
		act $deed "$picked" &
	done
	sleep "0.$((RANDOM % 10))" # a moment, not a wait
	kill -9 "$(main_pid)" 2>/dev/null
	while [ -n "$(jobs -pr)" ]; do
		wait -n
	done
	check "round $round: the next daemon answers" wait_for 30 gpuvf status
	check "round $round: both VMs run" wait_for 30 both_run
	check "round $round (${deeds[*]}): all holds" wait_for 60 "$invariants" ||
		note "$("$invariants"; gpuvf list; journalctl --no-pager -o short-monotonic -u gpuvfd -n 60)"
	check_fails "round $round: nothing hangs in the kernel" helper_hangs
done

for vm in "${vms[@]}"; do
	gpuvf release "$vm" --all --wait 60s >/dev/null
done
check "all comes back" wait_for 60 eval "! gpuvf list vfs | grep -qv -e ' free ' -e ^NAME"
check "the card is given back" gpuvf apply gpu0 --vfs 0
is "the kernel shows it" "$(cat "$(pf_folder 0)/sriov_numvfs")" 0
done_testing
