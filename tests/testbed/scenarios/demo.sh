#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The story of ./demo on a real kernel, with systemd, libvirt, VFIO and two nested VMs.
# Takes about 170 s.
# testbed: --gpus flex170 --limit 900
. "$TESTBED_SRC/lib.sh"
. "$SOURCE/tests/support/story.sh"

# For the story, which sources no TAP: these are its own.
story_policies=/usr/share/gpuvf/policies/examples
story_policy_dir=/etc/gpuvf/policies.d
story_job=/usr/libexec/gpuvf/examples/tiny-lora
story_steps=1000
story_folder=$(mktemp -d)

story_log() {
	journalctl --no-pager -o short-monotonic -u gpuvfd
}

story_listing() {
	echo "  (in $1) lspci -nn -d 8086::03xx"
	guest_exec "$1" lspci -nn | grep -E 'Display|VGA|3D' | sed 's/^/  /'
}

story_vm_ready() {
	wait_agent "$1"
}

step "systemd starts the daemon, libvirt two VMs"
mkdir -p "$story_policy_dir"
run systemctl enable --now gpuvfd.socket
for vm in trainer-1 trainer-2; do
	start_guest $vm || fails $? "starting $vm"
done
run virsh list
story_run
run virsh list
exit 0
