#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# VMs that gpuvf starts and shuts down itself, and VFs that the policy gives, with real libvirt and guests: a job finds
# its VM off; the VM is started, runs it with a VF, keeps the VF for the next job of the same user, and is shut down when
# idle; a job makes way for one of a queue that preempts its own; a session holds a VF; another VM has its VF in its stored definition before it is started; an end of a lease takes a VF back; and a VM
# that others started is left alone.
# Takes about 165 s.
# testbed: --gpus flex170:vfs=7 --limit 900
. "$TESTBED_SRC/lib.sh"

pf=$(pf_folder 0)

mkdir -p /etc/gpuvf/policies.d
cat >/etc/gpuvf/policies.d/pool.json <<'JSON'
{
	"version": 1,
	"profiles": [{"name": "slice", "vram": "2GiB"}],
	"gpus": [{"match": {}, "layout": [{"profile": "slice", "count": 3}]}],
	"assignments": [{"vm": "fixed", "profile": "slice", "mode": "config"}],
	"vms": [
		{"match": "pool-*", "allow": ["user:root"], "run_as": "trainer", "vf": "keep",
		 "start": "on-demand", "stop_idle": "5s"}
	],
	"queues": [{"name": "batch", "default": true, "priority": 10},
	           {"name": "urgent", "priority": 90, "preempts": ["batch"]}],
	"access": [{"user": "root", "role": "admin"}]
}
JSON

vm_runs() {
	[ "$(virsh domstate "$1")" = running ]
}

vm_is_off() {
	[ "$(virsh domstate "$1")" = "shut off" ]
}

# vfs_in_state STATE: how many.
vfs_in_state() {
	gpuvf -o json list vfs | python3 -c 'import json, sys; print(sum(v["state"] == sys.argv[1] for v in json.load(sys.stdin)["items"]))' "$1"
}

has_hostdev() {
	virsh dumpxml "$@" | grep -q "<hostdev"
}

check "VMs that are off" eval "define_guest pool-1 agent && define_guest fixed noagent && define_guest other noagent"
start_gpuvfd
check "libvirt is there" wait_for 90 connected
check "the policy's layout is made" wait_for 60 gpu_is gpu0 ready
is "3 VFs" "$(cat "$pf/sriov_numvfs")" 3

# ---- a VF by policy

check "the VM of the assignment has a VF in its stored definition" wait_for 60 has_hostdev --inactive fixed
like "by the policy's alias" "$(virsh dumpxml --inactive fixed)" "ua-gpuvf-policy-"
is "that VF is reserved" "$(vfs_in_state reserved)" 1
check "it is started by somebody" virsh --quiet start fixed
check "with its VF" has_hostdev fixed
is "which is attached" "$(wait_for 30 test "$(vfs_in_state attached)" = 1; vfs_in_state attached)" 1

# ---- a job finds its VM off

job=$(gpuvf submit --vm pool-1 -- /bin/sh -c 'echo "$GPUVF_VF on $(hostname)"')
check "a job is submitted" test -n "$job"
check "its VM is started" wait_for 60 vm_runs pool-1
like "the job says that it waits for that" "$(member job.get "{\"id\": \"$job\"}" reason) $(gpuvf jobs --all)" "pool-1|start"
check "the job runs to its end" gpuvf wait "$job" --timeout 300s
like "on a VF, in the guest" "$(gpuvf logs "$job")" "gpu0/vf"
note "$(gpuvf jobs --all)"

# ---- one makes way for another

long=$(gpuvf submit --vm pool-1 -- /bin/sh -c 'trap "echo stopped; exit 0" TERM; echo begun; while :; do sleep 1 & wait $!; done')
check "a job runs" gpuvf wait "$long" --for running --timeout 300s
check "and has begun" wait_for 30 eval '[[ "$(gpuvf logs "$long")" == *begun* ]]'
urgent=$(gpuvf submit --vm pool-1 --queue urgent -- /bin/true)
check "one of a queue that preempts its own comes, and ends" gpuvf wait "$urgent" --timeout 300s
is "well" "$(job_member "$urgent" result)" succeeded
like "the first was stopped for it" "$(gpuvf call job.get "{\"id\": \"$long\"}")" "\"preempted_for\": \"$urgent\""
is "by its signal" "$(gpuvf logs "$long" --attempt 1 | xargs)" "begun stopped"
check "and runs once more" gpuvf wait "$long" --for running --timeout 300s
is "in its second attempt" "$(job_member "$long" attempt)" 2
check "it is cancelled" gpuvf cancel "$long"
gpuvf wait "$long" --timeout 120s >/dev/null 2>&1
is "as such" "$(job_member "$long" result)" cancelled

# ---- a VF to work with

session=$(gpuvf session --vm pool-1 --time 30m)
check "a session is ready" gpuvf wait "$session" --for running --timeout 300s
like "with the way in" "$(job_member "$session" reason)" "VM pool-1 has gpu0/vf[1-3]: .*until "
check "the guest has the VF" eval 'guest_exec pool-1 lspci -n -d 8086::0380 | grep -q 8086:56c0'
check "it gets more time" gpuvf extend "$session" 10m
is "40 minutes in all" "$(job_member "$session" time_limit_seconds)" 2400
old=$(main_pid)
check "kill -9 of the daemon" kill -9 "$old"
check "the next one has it as it was" wait_for 60 job_is "$session" running
is "until the same end" "$(job_member "$session" time_limit_seconds)" 2400
check "it is over" gpuvf cancel "$session"
gpuvf wait "$session" --timeout 120s >/dev/null 2>&1
is "by its user's word" "$(job_member "$session" result)" cancelled
check "and its VF is free" wait_for 60 eval '[ "$(vfs_in_state free)" = 2 ]'

# ---- the next one, then nobody

first=$(gpuvf submit --vm pool-1 --hold -- /bin/true)
second=$(gpuvf submit --vm pool-1 --hold -- /bin/true)
handed_back() {
	journalctl --no-pager -u gpuvfd.service | grep -c "detaching → resetting"
}
before=$(handed_back)
check "two jobs of one user" gpuvf unhold "$first" "$second"
check "both end" gpuvf wait "$first" "$second" --timeout 300s
check "then the VF goes back" wait_for 60 eval '[ "$(vfs_in_state free)" = 2 ]'
is "once: it was kept in between" $(($(handed_back) - before)) 1
check "idle, it is shut down" wait_for 120 vm_is_off pool-1
check "the VM that somebody started goes on" vm_runs fixed
is "and has its VF" "$(vfs_in_state attached)" 1

# ---- a lease with an end

check "a VF for a while" gpuvf assign other --config --for 4s
is "reserved" "$(vfs_in_state reserved)" 1
check "then it is taken back" wait_for 60 eval '[ "$(vfs_in_state reserved)" = 0 ]'
check_fails "libvirt has forgotten it" has_hostdev --inactive other

# ---- the assignment goes

rm /etc/gpuvf/policies.d/pool.json
echo '{"version": 1}' >/etc/gpuvf/policies.d/none.json
check "a policy without it" gpuvf policy reload
check "the running VM keeps its VF" has_hostdev fixed
check "it is shut down" virsh --quiet destroy fixed
check "then its VF is taken back" wait_for 60 eval '! has_hostdev --inactive fixed'
check "every VF is free" wait_for 60 eval '[ "$(vfs_in_state free)" = 3 ]'
check "and the card is given back" gpuvf apply gpu0 --vfs 0
done_testing
