#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# VMs that gpuvf starts and shuts down itself, and VFs that the policy gives, with real libvirt and guests: a job finds
# its VM off; the VM is started, runs it with a VF, keeps the VF for the next job of the same user, and is shut down when
# idle; another VM has its VF in its stored definition before it is started; an end of a lease takes a VF back; and a VM
# that others started is left alone.
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
	"queues": [{"name": "batch", "default": true}],
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
