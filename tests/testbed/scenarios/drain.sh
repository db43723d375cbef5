#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Maintenance of a card in use: a VF that a VM has is tuned, what is wanted is compared with the kernel, and
# an apply waits for a VM that runs and for one that is off, over a kill of the daemon, without the kernel
# ever being asked to take a VF away that somebody holds.
# Takes about 70 s.
# testbed: --gpus flex170:vfs=7 --limit 900
. "$TESTBED_SRC/lib.sh"

pf=$(pf_folder 0) || bail_out "there is no GPU"
profile=$pf/sriov_admin/vf1/profile

numvfs() {
	cat "$pf/sriov_numvfs"
}

check "a guest starts" start_guest trainer-on
check "another is off" define_guest trainer-off
start_gpuvfd
check "3 VFs" gpuvf apply gpu0 --vfs 3 --quantum 10ms
check "the agent of the guest answers" wait_agent trainer-on || done_testing
check "the running guest gets a VF" gpuvf assign trainer-on --vf gpu0/vf1
check "the one that is off, too" gpuvf assign trainer-off --vf gpu0/vf2 --config

# ---- tuned while the guest has it

is "its time slice before" "$(cat "$profile/exec_quantum_ms")" 10
check "tune a VF in use" gpuvf tune gpu0/vf1 --quantum 20ms --preempt-timeout 5ms
is "sysfs shows the time slice" "$(cat "$profile/exec_quantum_ms")" 20
is "and the timeout" "$(cat "$profile/preempt_timeout_us")" 5000
is "the other VFs have what they had" "$(cat "$pf/sriov_admin/vf3/profile/exec_quantum_ms")" 10
refused 10 "gpuvf tune gpu0 --priority" gpuvf tune gpu0/vf1 --priority normal
refused 10 "fixed" gpuvf tune gpu0/vf1 --vram 1GiB
check "the priority of all VFs together" gpuvf tune gpu0 --priority normal
like "sysfs shows it" "$(cat "$profile/sched_priority")" "\[normal\]"
check "the kernel shows what is wanted" gpuvf assert
echo 7 >"$profile/exec_quantum_ms"
refused 6 "vf1.*7" gpuvf assert gpu0
check "an apply mends it under the running guest" gpuvf apply gpu0
is "mended" "$(cat "$profile/exec_quantum_ms")" 20
check "no VF went for it" test "$(numvfs)" = 3
refused 6 "trainer-on" gpuvf reset gpu0/vf1
check "a free VF is reset" gpuvf reset gpu0/vf3
is "by the kernel" "$(vf_resets 0 2)" 1

# ---- exported, and applied again

gpuvf export >/run/exported.json
check "export prints a policy" gpuvf policy check /run/exported.json
mkdir -p /etc/gpuvf/policies.d && cp /run/exported.json /etc/gpuvf/policies.d/50-exported.json
check "it is put in force" gpuvf policy reload
like "and changes nothing" "$(gpuvf apply gpu0 --policy)" "nothing was changed"

# ---- drained

plan=$(gpuvf plan gpu0 --vfs 2)
like "a plan names the VM that runs" "$plan" "disturbs: gpu0/vf1: VM trainer-on"
like "and the one that is off" "$plan" "disturbs: gpu0/vf2: VM trainer-off"
refused 6 "--drain" gpuvf apply gpu0 --vfs 2
gpuvf apply gpu0 --vfs 2 --drain >/run/apply.out 2>&1 &
apply=$!
check "the GPU is draining" wait_for 30 gpu_is gpu0 draining
refused 9 "draining" gpuvf assign trainer-on --add
check "the daemon is killed" systemctl kill -s KILL gpuvfd.service
check "the next one drains on" wait_for 60 gpu_is gpu0 draining
is "nothing was taken away" "$(numvfs)" 3
check "the guest lets go" gpuvf release trainer-on
check "it still waits" gpu_is gpu0 draining
check "the other one gives it up" gpuvf release trainer-off --config
wait $apply
is "then the apply goes on" $? 0
note "$(cat /run/apply.out)"
is "the kernel has 2 VFs" "$(numvfs)" 2
check "and the GPU is ready" gpu_is gpu0 ready

# ---- a VM that dies while its GPU is drained

check "a VF for the guest again" gpuvf assign trainer-on --vf gpu0/vf1
refused 7 "trainer-on.*gpuvf cancel op/" gpuvf drain gpu0 --wait 1s
check "the guest dies" virsh destroy trainer-on
check "drained" gpuvf drain gpu0 --wait 60s
check "it stays so over an apply" gpuvf apply gpu0 --vfs 0
check "still" gpu_is gpu0 draining
check "until it is undrained" gpuvf undrain gpu0
check "ready" gpu_is gpu0 ready

check_fails "nothing hangs in the kernel" eval "dmesg | grep -E 'blocked for more than|BUG:|Oops'"
done_testing
