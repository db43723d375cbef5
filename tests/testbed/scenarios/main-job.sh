#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The main job: the shipped units start the daemon, a card is cut under a shipped policy, a VM gets a
# VF, fine-tuning jobs run in VMs, the daemon is killed in between, and the card is given back.
# Takes about 290 s.
# testbed: --gpus flex170 --limit 900
. "$TESTBED_SRC/lib.sh"

pf=$(pf_folder 0) || bail_out "there is no GPU"
jobs=/home/alice/jobs

# attempt_pid JOB: of its first attempt, in the guest.
attempt_pid() {
	gpuvf call job.get "{\"id\": \"$1\"}" | sed -n 's/^ *"pid": \([0-9]*\),*$/\1/p' | head -n 1
}

# ---- writes are counted by a fault that never comes

watch_writes() {
	local attribute
	for attribute in sriov_numvfs vram_quota exec_quantum_ms preempt_timeout_us; do
		fault 0 $attribute:1000000:EIO
	done
}

writes() {
	awk -v want="$1:" 'index($1, want) == 1 { n += $NF } END { print n + 0 }' \
		"/sys/kernel/debug/gpuvf_testgpu/$(pf_address 0)/faults"
}

all_writes() {
	echo "$(writes sriov_numvfs) $(writes vram_quota) $(writes exec_quantum_ms)" \
		"$(writes preempt_timeout_us)"
}

driver_of() {
	basename "$(readlink "/sys/bus/pci/devices/$1/driver")"
}

in_guest() {
	guest_exec "$@" 2>/dev/null
}

# ready_after T: seconds from then until systemd was told that the daemon is ready.
ready_after() {
	systemctl show -P ActiveEnterTimestampMonotonic gpuvfd.service |
		awk -v from="$1" '{ printf "%.2f", $1 / 1000000 - from }'
}

# ---- jobs of the ordinary user alice

make_jobs() {
	cp -r /usr/libexec/gpuvf/examples/tiny-lora $jobs && chown -R alice: $jobs
}

# job_file NAME PRIORITY TIME_LIMIT STEPS SHELL-BEFORE
job_file() {
	cat >"$jobs/$1.json" <<-JSON
	{
		"version": 1, "name": "$1", "priority": $2, "time_limit": "$3",
		"shell": "$5 exec ./tiny-lora finetune --base base.bin --data sideways.txt --out adapter --steps $4",
		"files": [
			{"from": "tiny-lora", "to": "tiny-lora", "mode": "0755"},
			{"from": "base.bin", "to": "base.bin"},
			{"from": "sideways.txt", "to": "sideways.txt"}
		],
		"outputs": ["adapter/**", "begun"],
		"checkpoint": {"signal": "SIGTERM", "grace": "60s", "scope": "vm"},
		"run_in": {"vms": "trainer-*"}
	}
	JSON
}

submit() {
	as alice gpuvf submit "$jobs/$1.json"
}

loss_fell() {
	as alice gpuvf logs "$1" | sed -n 's/.*"loss":\([0-9.]*\).*/\1/p' |
		awk 'NR == 1 { first = $1 } { last = $1 } END { exit !(NR > 2 && last < first / 2) }'
}

has_progress() {
	as alice gpuvf logs "$1" | grep -q '"loss"'
}

# ---- the units

mkdir -p /etc/gpuvf/policies.d
check "an ordinary user in the group that sysusers made" add_user alice gpuvf
check "guests start" eval "start_guest trainer-1 && start_guest trainer-2" || bail_out "no guest"
state=$(systemctl is-active gpuvfd.service)
note "before the socket is enabled the unit is $state: the udev rule wants it when the card appears"
check "the udev rule has marked the card" \
	grep -q 'E:SYSTEMD_WANTS=.*gpuvfd.service' "/run/udev/data/+pci:$(pf_address 0)"
systemctl enable --quiet --now gpuvfd.socket
is "the socket listens" "$(systemctl is-active gpuvfd.socket)" active
is "it is the group's" "$(stat -c '%a %U %G' /run/gpuvf/gpuvf.sock)" "660 root gpuvf"
is "the state is root's" "$(stat -c '%a %U' /var/lib/gpuvf)" "700 root"
check "the daemon answers" gpuvf status
is "the unit is active" "$(systemctl is-active gpuvfd.service)" active
is "systemd watches it" "$(systemctl show -P WatchdogUSec gpuvfd.service)" 30s
is "its journal leaves nothing out" "$(systemctl show -P LogRateLimitIntervalUSec gpuvfd.service)" 0
is "and would leave a stuck helper alone" "$(systemctl show -P KillMode gpuvfd.service)" process
check "by then udev has seen the card" udevadm trigger --settle --action=add "$pf"

# ---- the card

like "the card is seen" "$(gpuvf list)" "gpu0 +$(pf_address 0) +Flex 170 +xe +unmanaged"
is "the default policy touches nothing" "$(cat "$pf/sriov_numvfs")" 0
check "a shipped policy is installed" \
	cp /usr/share/gpuvf/policies/examples/quarters.json /etc/gpuvf/policies.d/
check "it is loaded" gpuvf policy reload
is "loading alone cuts nothing" "$(cat "$pf/sriov_numvfs")" 0
watch_writes
like "the plan names each step" "$(gpuvf plan gpu0)" "sriov_numvfs|4 VFs"
is "planning writes nothing" "$(all_writes)" "0 0 0 0"
check "the card is cut" gpuvf apply gpu0
note "$(gpuvf list)"
is "the kernel shows 4 VFs" "$(cat "$pf/sriov_numvfs")" 4
for k in 1 2 3 4; do
	profile=$pf/sriov_admin/vf$k/profile
	vram=$(cat "$profile/vram_quota")
	vf=$(vf_address 0 $((k - 1)))
	is "VF $k: quantum and timeout" "$(cat "$profile/exec_quantum_ms" "$profile/preempt_timeout_us" | xargs)" \
		"20 40000"
	check "VF $k: a quarter of the memory ($vram)" test "$vram" -gt $((3 << 30))
	is "VF $k: as gpuvf says" "$(member vf.get "{\"vf\": \"gpu0/vf$k\"}" vram_bytes)" "$vram"
	check "VF $k: waits for a VM" wait_for 20 test -e "/sys/bus/pci/drivers/vfio-pci/$vf"
done
is "host drivers stay away from fresh VFs" "$(cat "$pf/sriov_drivers_autoprobe")" 0
before=$(all_writes)
like "applying again says that nothing changed" "$(gpuvf -o json apply gpu0)" '"changed": ?false'
is "and writes nothing" "$(all_writes)" "$before"

# ---- a VM

check "the first guest's agent answers" wait_agent trainer-1 || bail_out "no agent"
is "it has no GPU" "$(in_guest trainer-1 lspci -d 8086::0380)" ""
check "a VF is assigned to it" gpuvf assign trainer-1

# Each row of the audit trail about it is in the journal, with what it says as fields; journald takes a moment.
audit_is_in_journal() {
	python3 - "$(gpuvf -o json audit --method vf.assign)" \
		"$(journalctl --no-pager -o json GPUVF_METHOD=vf.assign)" <<-'PYTHON'
		import json, sys
		rows = json.loads(sys.argv[1])["items"]
		entries = {entry["GPUVF_AUDIT"]: entry for entry in map(json.loads, sys.argv[2].splitlines())}
		assert len(rows) == 2 and len(entries) == 2, f"{len(rows)} rows, {len(entries)} entries"
		for row in rows:
		    entry = entries[str(row["audit"])]
		    for field, member in (("UID", "uid"), ("PID", "pid"), ("SUBJECT", "subject"), ("OUTCOME", "outcome"),
		                          ("OPERATION", "operation"), ("POLICY", "policy_revision")):
		        wanted = None if row[member] is None else str(row[member])
		        assert entry.get(f"GPUVF_{field}") == wanted, f"{field}: {entry}, {row}"
		    for field, member in (("BEFORE", "before"), ("AFTER", "after")):
		        assert json.loads(entry[f"GPUVF_{field}"]) == row[member], f"{field}: {entry}, {row}"
	PYTHON
}
check "the journal has who did it, and from what to what" wait_for 20 audit_is_in_journal || note "$(audit_is_in_journal 2>&1)"
like "its own PCI listing shows a display device of 8086 with the VF's id" \
	"$(in_guest trainer-1 lspci -nn -d 8086::0380)" 'Display controller \[0380\].*\[8086:56c0\]'
like "again: nothing changes" "$(gpuvf -o json assign trainer-1)" '"changed": ?false'
holder=$(gpuvf list vfs | awk '/trainer-1/ { print $1 }')
like "gpuvf says who holds it" "$holder" '^gpu0/vf[1-4]$'

before=$(all_writes)
for layout in 2 0; do
	said=$(gpuvf apply gpu0 --vfs $layout 2>&1)
	is "$layout VFs while one is held: refused" $? 6
	like "and the holder is named" "$said" "trainer-1"
done
is "the kernel was not asked" "$(all_writes)" "$before"
is "4 VFs as before" "$(cat "$pf/sriov_numvfs")" 4
like "the guest has it still" "$(in_guest trainer-1 lspci -n -d 8086::0380)" 8086:56c0

vf=$((${holder#gpu0/vf} - 1))
resets=$(vf_resets 0 $vf)
check "the VF is released" gpuvf release trainer-1
is "the guest has none" "$(in_guest trainer-1 lspci -d 8086::0380)" ""
check "it was reset" test "$(vf_resets 0 $vf)" -gt "$resets"
is "it is free" "$(member vf.get "{\"vf\": \"$holder\"}" state)" free
check "now it can go: 0 VFs" gpuvf apply gpu0 --vfs 0
is "the kernel shows none" "$(cat "$pf/sriov_numvfs")" 0

# ---- jobs

check "the second guest's agent answers" wait_agent trainer-2 || bail_out "no agent"
check "the example is copied" make_jobs
job_file low -50 5m 200 "id -u;"
job_file middle -20 5m 200 "id -u;"
job_file high 0 5m 200 "id -u;"
low=$(submit low) middle=$(submit middle) high=$(submit high)
like "three jobs have ids" "$low $middle $high" '^[0-9]+ [0-9]+ [0-9]+$' || bail_out "no jobs"
is "without VFs the first waits" "$(job_member "$low" state)" queued
like "and says for what" "$(job_member "$low" reason)" "needs a VF"
check "the policy's layout again" gpuvf apply gpu0 --policy
check "all three end" as alice gpuvf wait --timeout 150s "$low" "$middle" "$high"
note "$(gpuvf jobs --all --all-users)"
order=$(for job in $low $middle $high; do
	echo "$(gpuvf call job.get "{\"id\": \"$job\"}" | sed -n 's/.*"placed_at": "\(.*\)".*/\1/p') $job"
done | sort | cut -d' ' -f2 | xargs)
is "the least urgent came last, though it was the first" "${order##* }" "$low"
for job in $low $middle $high; do
	is "job $job succeeded" "$(job_member "$job" result) $(job_member "$job" exit_code)" "succeeded 0" ||
		note "$(gpuvf call job.get "{\"id\": \"$job\"}"; as alice gpuvf logs --stderr "$job")"
	like "job $job ran as the policy's user" "$(as alice gpuvf logs "$job" | head -n 1)" '^1000$'
	check "job $job: its loss fell" loss_fell "$job"
done
check "the exit code is the command's" as alice gpuvf wait --exit-code "$high"
check "the adapter is fetched" as alice gpuvf fetch "$high" /home/alice/results
check "and is there" test -s /home/alice/results/adapter/adapter.bin
check "all jobs made the same adapter" eval "as alice gpuvf fetch $low /home/alice/low &&
	cmp /home/alice/results/adapter/adapter.bin /home/alice/low/adapter/adapter.bin"

# ---- the daemon dies while jobs run

job_file survivor 0 5m 200 "echo once >>begun; until [ -e /tmp/go ]; do sleep 1; done;"
job_file long 0 5m 100000 ""
survivor=$(submit survivor) long=$(submit long)
check "two jobs run" as alice gpuvf wait --for running --timeout 60s "$survivor" "$long"
vm=$(job_member "$survivor" vm)
pid=$(attempt_pid "$survivor")
guest_start() {
	# shellcheck disable=SC2016
	in_guest "$vm" awk '{ print $22 }' "/proc/$pid/stat"
}
started=$(guest_start)
like "the job has a process in $vm" "$pid $started" '^[0-9]+ [0-9]+$'
check "the other makes progress" wait_for 60 has_progress "$long"
old=$(systemctl show -P MainPID gpuvfd.service)
restarts=$(systemctl show -P NRestarts gpuvfd.service)
read -r killed_at _ </proc/uptime # since the machine started
check "kill -9 of the daemon" kill -9 "$old"
check "gpuvf waits for the next one" gpuvf status
note "a new daemon was ready after $(ready_after "$killed_at") s"
check "it is another process" test "$(systemctl show -P MainPID gpuvfd.service)" != "$old"
is "that systemd started" "$(systemctl show -P NRestarts gpuvfd.service)" $((restarts + 1))
is "VFs are what they were" "$(gpu_member gpu0 state) $(cat "$pf/sriov_numvfs")" "ready 4"
check "the job is followed again" wait_for 30 job_is "$survivor" running
is "in the same attempt" "$(job_member "$survivor" attempt)" 1
is "by the same process" "$(attempt_pid "$survivor") $(guest_start)" "$pid $started"
is "its VF is held for it" "$(gpuvf list vfs | grep -c -w "$vm")" 1
check "it may go on" in_guest "$vm" touch /tmp/go
check "and ends" as alice gpuvf wait --timeout 60s "$survivor"
is "well" "$(job_member "$survivor" result) $(job_member "$survivor" attempt)" "succeeded 1"
check "what it made is fetched" as alice gpuvf fetch "$survivor" /home/alice/survivor
is "it began once" "$(cat /home/alice/survivor/begun)" once
check "its loss fell" loss_fell "$survivor"

# ---- cancel and time limit

job_file slow 0 3s 200 "exec sleep 1000;"
slow=$(submit slow)
is "the long one still runs" "$(job_member "$long" state)" running
check "it is cancelled" as alice gpuvf cancel "$long"
as alice gpuvf wait --timeout 60s "$long" >/dev/null 2>&1
is "a cancelled job ends otherwise" $? 11
is "as cancelled" "$(job_member "$long" result)" cancelled
like "it wrote a checkpoint before" "$(as alice gpuvf logs "$long" | tail -n 1)" '"event":"checkpoint"'
as alice gpuvf wait --timeout 60s "$slow" >/dev/null 2>&1
is "past its time limit a job ends otherwise" $? 11
is "as timeout" "$(job_member "$slow" result)" timeout

# ---- all is given back

check "no VF is held" wait_for 20 eval '! gpuvf list vfs | grep -q trainer'
check "the card is given back" gpuvf apply gpu0 --vfs 0
is "no VFs" "$(cat "$pf/sriov_numvfs")" 0
is "the PF's driver is xe" "$(driver_of "$(pf_address 0)")" xe
check_fails "no VM has a host device" eval "virsh dumpxml trainer-1 | grep hostdev || virsh dumpxml trainer-2 | grep hostdev"
check_fails "the guests have no GPU" eval "in_guest trainer-1 gpu-ok || in_guest trainer-2 gpu-ok"
is "quotas are back" "$(cat "$pf/sriov_admin/vf1/profile/vram_quota" "$pf/sriov_admin/vf4/profile/vram_quota" | xargs)" "0 0"
done_testing
