#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Random operations, jobs and mishaps with a real kernel and a real libvirtd, and a kill -9 of the daemon in the midst of
# each round; afterwards the store, the kernel, libvirt and the guests are read: all must hold (inside/invariants), and no
# job may be lost.  At the end what must not be is done on purpose, and found.  The seed decides what is done:
# chaos.sh [SEED [ROUNDS]].  `make chaos` does it over the made-up machine, by the thousand.
# Takes about 250 s.
# testbed: --gpus flex170:vfs=7 --limit 900
. "$TESTBED_SRC/lib.sh"

seed=${1:-${GPUVF_SEED:-$((RANDOM * 32768 + RANDOM))}} rounds=${2:-3}
vms=(trainer-1 trainer-2)
submitted=/run/submitted taken=/run/taken
invariants=("$TESTBED_SRC/inside/invariants" --taken "$taken" "$submitted")

mkdir -p /etc/gpuvf/policies.d
cat >/etc/gpuvf/policies.d/chaos.json <<'JSON'
{
	"version": 1,
	"profiles": [{"name": "slice", "vram": "2GiB", "exec_quantum": "20ms", "preempt_timeout": "40ms"}],
	"vms": [{"match": "trainer-*", "allow": ["user:root"], "run_as": "trainer", "vf": "per-job"}],
	"queues": [{"name": "batch", "default": true, "priority": 10}],
	"access": [{"user": "root", "role": "admin"}]
}
JSON

# pick WORD...: one of them, by the seed.
pick() {
	local words=("$@")
	picked=${words[RANDOM % ${#words[@]}]}
}

detach_by_hand() {
	local address
	address=$(virsh --quiet dumpxml "$1" | grep -A3 '<hostdev' | sed -n \
		"s/.*domain='0x\(....\)' bus='0x\(..\)' slot='0x\(..\)' function='0x\(.\)'.*/\1:\2:\3.\4/p" | head -n 1)
	[ -n "$address" ] && echo "$1" >>$taken && hostdev_xml "$address" ua-any >"/run/hand-$1.xml" &&
		virsh --quiet detach-device "$1" "/run/hand-$1.xml" --live
}

off_and_on() {
	virsh --quiet destroy "$1"
	virsh --quiet start "$1"
}

# submit NAME: a job that says so on its guest's ledger; its name ends in the seconds that it takes.  Again: the same job.
submit() {
	local id status
	echo "$1" >>$submitted
	id=$(gpuvf submit --name "$1" --request-id "$1" --retries 1 --vms 'trainer-*' -- /usr/local/bin/noted-job "$1" "${1##*-}")
	status=$?
	case $status in
	0) echo "$1 $id" >>$submitted ;;
	1 | 3) ;; # no answer: it may be there
	*) echo "$1 refused" >>$submitted ;;
	esac
	return $status
}

# The number of each job whose submitter knows it.
job_ids() {
	awk '$2 ~ /^[0-9]+$/ { print $2 }' $submitted | sort -nu
}

cancel_last() {
	local id
	id=$(job_ids | tail -n 1)
	[ -n "$id" ] && gpuvf cancel "$id"
}

# Who got no answer asks again.
ask_again() {
	local name
	while read -r name; do
		submit "$name" </dev/null || return
	done < <(awk '{ answer[$1] = $2 } END { for (name in answer) if (answer[name] == "") print name }' $submitted)
}

# act DEED VM: one deed, told. Whether it succeeds is its own affair.
act() {
	local said=/run/deed-$BASHPID status
	case $1 in
	assign) gpuvf assign "$2" --add --wait 60s ;;
	release) gpuvf release "$2" --all --wait 60s ;;
	apply-*) gpuvf apply gpu0 --vfs "${1#apply-}" --profile slice --wait 60s ;;
	job-*) submit "$1" ;;
	cancel) cancel_last ;;
	by-hand) detach_by_hand "$2" ;;
	off-and-on) off_and_on "$2" ;;
	libvirtd) systemctl restart libvirtd.service ;;
	esac >"$said" 2>&1
	status=$?
	note "  $1 $2: $status $(tail -n 1 "$said")"
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
	check "$vm starts" start_guest "$vm" ledger || bail_out "no guest"
done
start_gpuvfd
check "libvirt is there" wait_for 60 connected
check "4 VFs" gpuvf apply gpu0 --vfs 4 --profile slice
for vm in "${vms[@]}"; do
	check "$vm is up" wait_agent "$vm"
done

for ((round = 1; round <= rounds; round++)); do
	deeds=()
	for number in 1 2 3; do
		if [ $number = 3 ]; then
			pick "job-$round-2" "job-$round-8" "job-$round-20"
		else
			pick assign assign release apply-3 apply-4 by-hand off-and-on libvirtd cancel
		fi
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
	check "round $round: who got no answer asks again" wait_for 30 ask_again
	check "round $round (${deeds[*]}): all holds" wait_for 60 "${invariants[@]}" ||
		note "$("${invariants[@]}"; gpuvf list; gpuvf jobs --all; journalctl --no-pager -o short-monotonic -u gpuvfd -n 60)"
	check_fails "round $round: nothing hangs in the kernel" helper_hangs
done

# ---- no job is lost

read -ra ids < <(job_ids | xargs)
[ ${#ids[@]} -eq 0 ] || gpuvf wait --timeout 240s "${ids[@]}" >/dev/null 2>&1
note "$(gpuvf jobs --all)"
for vm in "${vms[@]}"; do
	gpuvf release "$vm" --all --wait 60s >/dev/null
done
check "all comes back" wait_for 60 eval "! gpuvf list vfs | grep -qv -e ' free ' -e ^NAME"
check "no job is lost, and each has ended as it may" wait_for 30 "${invariants[@]}" --end || note "$("${invariants[@]}" --end)"

# ---- the look finds what must not be

# finds WORDS: it says this.
finds() {
	local said
	said=$("${invariants[@]}" 2>&1)
	if [ $? -eq 1 ] && [[ $said == *"$1"* ]]; then
		return
	fi
	echo "$said"
	return 1
}

check "a VF is assigned" gpuvf assign trainer-1
ours=$(gpuvf list vfs | awk '/ trainer-1 / { print $1; exit }')
free=$(gpuvf list vfs | awk '/ free / { print $1; exit }')
address=$(vf_address 0 $((${free#gpu0/vf} - 1)))
check "the daemon is stopped" systemctl stop gpuvfd.socket gpuvfd.service
cp /var/lib/gpuvf/state.db /run/state.db
python3 - <<'PYTHON'
import sqlite3
with sqlite3.connect("/var/lib/gpuvf/state.db") as base:
    base.execute("UPDATE lease SET doc = json_set(doc, '$.epoch', 99) WHERE json_extract(doc, '$.state') = 'attached'")
PYTHON
check "another epoch in a lease is found" finds "the lease has epoch 99"
cp /run/state.db /var/lib/gpuvf/ && rm -f /var/lib/gpuvf/state.db-*
hostdev_xml "$address" ua-any >/run/hand.xml
check "a free VF is attached by hand" virsh --quiet attach-device trainer-2 /run/hand.xml --live
check "that is found" finds "$free is in trainer-2, its lease says free"
check "it is detached by hand" virsh --quiet detach-device trainer-2 /run/hand.xml --live
check "that it was not reset is found" wait_for 30 finds "$free is free and was not reset after its last VM"
check "it is reset by hand" put 1 "/sys/bus/pci/devices/$address/reset"
start_gpuvfd
check "the next reset of the host is to get lost" fault 0 reset/host:1:lost
check "the VF is released" gpuvf release trainer-1 --all --wait 60s
check "that none has reached it is found" finds "$ours is free and was not reset after its last VM"
check "it is reset" gpuvf reset "$ours"
check "all holds again" wait_for 30 "${invariants[@]}" || note "$("${invariants[@]}")"

check "the card is given back" gpuvf apply gpu0 --vfs 0
is "the kernel shows it" "$(cat "$(pf_folder 0)/sriov_numvfs")" 0
done_testing
