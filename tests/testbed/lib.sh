# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For scenarios, which run as root inside the testbed's outer machine: `. "$TESTBED_SRC/lib.sh"`.
# Checks are told as TAP; a scenario ends with `done_testing`, which sets its exit status.
#
# From outside come: SOURCE (the source tree), TESTBED_SRC (tests/testbed), TESTBED_BUILD (the build
# tree), TESTBED_CACHE (the testbed's folder in it).

export LIBVIRT_DEFAULT_URI=qemu:///system
testbed_count=0
testbed_failed=0

# ---- telling

# A process more costs an emulated machine a quarter of a second: what is done often is done by the shell itself.


note() {
	local line
	while IFS= read -r line; do
		echo "# $line"
	done <<<"$*"
}

pass() {
	local up
	testbed_count=$((testbed_count + 1))
	read -r up _ </proc/uptime
	echo "ok $testbed_count - $* # at $up s"
}

miss() {
	testbed_count=$((testbed_count + 1))
	testbed_failed=$((testbed_failed + 1))
	echo "not ok $testbed_count - $*"
}

# check NAME COMMAND...: the command succeeds. Its output is shown when it does not.
check() {
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		pass "$name"
	else
		miss "$name"
		note "command: $*"
		note "output: $output"
		return 1
	fi
}

# check_fails NAME COMMAND...: the command fails.
check_fails() {
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		miss "$name"
		note "command succeeded: $*"
		note "output: $output"
		return 1
	fi
	pass "$name"
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		miss "$1"
		note "got:    $2"
		note "wanted: $3"
		return 1
	fi
}

# like NAME GOT REGEX
like() {
	if [[ $2 =~ $3 ]]; then
		pass "$1"
	else
		miss "$1"
		note "got:     $2"
		note "pattern: $3"
		return 1
	fi
}

bail_out() {
	echo "Bail out! $*"
	exit 1
}

done_testing() {
	echo "1..$testbed_count"
	[ $testbed_failed -eq 0 ] || note "$testbed_failed of $testbed_count checks failed"
	[ $testbed_failed -eq 0 ]
	exit
}

# ---- waiting for a condition, never for a time

# a_moment SECONDS: the shell's own sleep.
exec {testbed_never}<> <(:)
a_moment() {
	read -rt "$1" -u "$testbed_never" || :
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails when the time is over. The seconds are those of a
# machine that has its processors to itself; an emulated one on a busy host may need several times as long.
wait_for() {
	local deadline=$((SECONDS + 4 * $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || return 1
		a_moment 0.2
	done
}

# ---- the GPUs of the machine

# pf_address N: PCI address of the Nth GPU of --gpus, from 0.
pf_address() {
	local entry
	for entry in "/sys/bus/pci/devices/0000:00:1$(printf %x "$1").0"/0000:*:00.0; do
		[ -e "$entry" ] && echo "${entry##*/}" && return
	done
	return 1
}

# pf_folder N: its folder in sysfs.
pf_folder() {
	local address
	address=$(pf_address "$1") && echo "/sys/bus/pci/devices/$address"
}

# vf_address N K: PCI address of VF K, counted from 0, of GPU N.
vf_address() {
	local link
	link=$(readlink "$(pf_folder "$1")/virtfn$2") && echo "${link##*/}"
}

# card_folder N: folder of the GPU's DRM card in sysfs, such as /sys/class/drm/card0.
card_folder() {
	local entry
	for entry in "$(pf_folder "$1")"/drm/card*; do
		[ -e "$entry" ] && echo "/sys/class/drm/${entry##*/}" && return
	done
	return 1
}

# i915_folder N: the tree of the GPU under i915, prelim_iov/ or iov/.
i915_folder() {
	local card name
	card=$(card_folder "$1") || return
	for name in prelim_iov iov; do
		[ -d "$card/$name" ] && echo "$card/$name" && return
	done
	return 1
}

# i915_file N PATH: a file of that tree; a "gt0/" in PATH is found as "gt/" where that is its name.
i915_file() {
	local folder
	folder=$(i915_folder "$1") || return
	[ -d "$folder/pf/gt" ] && set -- "$1" "${2/gt0/gt}"
	echo "$folder/$2"
}

# debugfs_folder N: folder of the GPU's DRM card in debugfs.
debugfs_folder() {
	local card
	card=$(card_folder "$1") && echo "/sys/kernel/debug/dri/${card##*/card}"
}

# put VALUE FILE: one write, like a shell's.
put() {
	echo "$1" >"$2"
}

# errno_of VALUE FILE: what the error that this write gives is called ("Invalid argument"), or "none".
errno_of() {
	local said
	if said=$(LC_ALL=C bash -c 'echo "$1" >"$2"' bash "$1" "$2" 2>&1); then
		echo none
	else
		echo "${said##*: }"
	fi
}

# read_errno_of FILE: the same for a read.
read_errno_of() {
	local said
	if said=$(LC_ALL=C cat "$1" 2>&1 >/dev/null); then
		echo none
	else
		echo "${said##*: }"
	fi
}

# unbind_driver N, bind_driver N, rebind_driver N: the driver that plays the GPU lets it go, takes it,
# or both, as a reload of the driver does.
unbind_driver() {
	local address
	address=$(pf_address "$1") && echo "$address" >"/sys/bus/pci/devices/$address/driver/unbind"
}

# Whichever of the two drivers plays the card: the other one does not take it.
bind_driver() {
	local address
	address=$(pf_address "$1") && echo "$address" >/sys/bus/pci/drivers_probe &&
		[ -e "/sys/bus/pci/devices/$address/driver" ]
}

rebind_driver() {
	unbind_driver "$1" && bind_driver "$1"
}

# remove_card N: takes the GPU off the bus. Its address is unknown until rescan.
remove_card() {
	echo 1 >"$(pf_folder "$1")/remove"
}

# rescan: finds again what was removed.
rescan() {
	echo 1 >/sys/bus/pci/rescan
}

# ---- faults, counts and mishaps of a GPU, from the module

# control_file N NAME: one of the module's own files for GPU N (see module/control.c).
control_file() {
	local address
	address=$(pf_address "$1") && echo "/sys/kernel/debug/gpuvf_testgpu/$address/$2"
}

# fault N ATTRIBUTE:NTH:[read-]ERRNO|hang|fewer: sets a fault on GPU N (see module/faults.c).
fault() {
	echo "$2" >"$(control_file "$1" faults)"
}

# clear_faults N: forgets all faults of GPU N.
clear_faults() {
	echo clear >"$(control_file "$1" faults)"
}

# release_hang N: lets go all that hangs, and forgets all faults of GPU N.
release_hang() {
	clear_faults "$1"
	echo 1 >"$(control_file "$1" release)"
}

# vf_resets N K: how often VF K (from 0) of GPU N was reset.
vf_resets() {
	awk -v vf="vf$(($2 + 1))" '$1 == vf { n = $2 } END { print n + 0 }' "$(control_file "$1" resets)"
}

# write_count N [ATTRIBUTE]: writes that GPU N has seen, of all attributes (those of its driver's
# trees, sriov_numvfs and sriov_drivers_autoprobe), or of one, named as for a fault.
write_count() {
	awk -v name="${2:-total}" '$1 == name { n = $2 } END { print n + 0 }' \
		"$(control_file "$1" writes)"
}

# forget_writes N: begins that count again.
forget_writes() {
	echo 1 >"$(control_file "$1" forget_writes)"
}

# wedge N [RECOVERY]: the GPU is wedged: the uevent, and no VF is enabled until its driver is bound anew.
wedge() {
	echo "${2:-rebind,bus-reset}" >"$(control_file "$1" wedge)"
}

# lock_down: the kernel locks itself down; nothing undoes it. After that no fault can be set.
lock_down() {
	mountpoint -q /sys/kernel/security || mount -t securityfs security /sys/kernel/security || return
	echo integrity >/sys/kernel/security/lockdown
}

# ---- gpuvfd as it was installed

# start_gpuvfd: socket activation, as after `systemctl enable --now`, which makes systemd read all units again and so
# costs seconds: main-job.sh and demo.sh do that.
start_gpuvfd() {
	systemctl start gpuvfd.socket
}

# ---- what gpuvf says

# member METHOD PARAMS NAME: a member of the answer's own object, of one line, without quotes.
member() {
	local line
	while IFS= read -r line; do
		if [[ $line == "  \"$3\": "* ]]; then
			line=${line#*: } line=${line%,} line=${line#\"}
			echo "${line%\"}"
			return
		fi
	done < <(gpuvf call "$1" "$2")
	return 1
}

# gpu_member GPU NAME, vf_member VF NAME, job_member JOB NAME
gpu_member() {
	member gpu.get "{\"gpu\": \"$1\"}" "$2"
}

vf_member() {
	member vf.get "{\"vf\": \"$1\"}" "$2"
}

job_member() {
	member job.get "{\"id\": \"$1\"}" "$2"
}

# vf_is VF STATE, job_is JOB STATE
vf_is() {
	[ "$(vf_member "$1" state)" = "$2" ]
}

job_is() {
	[ "$(job_member "$1" state)" = "$2" ]
}

# gpu_is GPU STATE
gpu_is() {
	[ "$(gpu_member "$1" state)" = "$2" ]
}

# main_pid: of the daemon.
main_pid() {
	systemctl show -P MainPID gpuvfd.service
}

# connected [false]: whether the daemon has libvirt.
connected() {
	gpuvf call daemon.status | grep -q "\"hypervisor_connected\": ${1:-true}"
}

# helper_hangs: a process of gpuvfd is in uninterruptible sleep.
helper_hangs() {
	local status folder
	while IFS= read -r status; do
		folder=${status%/status}
		[ "$(readlink "$folder/exe")" = /usr/sbin/gpuvfd ] && return
	done < <(grep -ls '^State:.*D (disk' /proc/[0-9]*/status)
	return 1
}

# refused CODE PATTERN COMMAND...: the command ends so, and says so.
refused() {
	local code=$1 pattern=$2 said status
	shift 2
	said=$("$@" 2>&1)
	status=$?
	if [ $status -eq "$code" ] && [[ $said =~ $pattern ]]; then
		pass "$*: $said"
	else
		miss "$*"
		note "exit status $status, wanted $code; pattern: $pattern"
		note "output: $said"
	fi
}

# add_user NAME [GROUP...]: an ordinary user of the outer machine.
add_user() {
	useradd --create-home --shell /bin/bash "$1" &&
		for group in "${@:2}"; do usermod -aG "$group" "$1" || return; done
}

# as NAME COMMAND...: runs it as that user, with all groups.
as() {
	local user=$1
	shift
	setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups env HOME="/home/$user" "$@"
}

# ---- nested guests

# start_guest NAME [agent|noexec|noagent] [noport] [panic] [pc] [ledger] [MEMORY]: defines and starts a guest; see nested/domain.
start_guest() {
	local name=$1
	"$TESTBED_SRC/nested/domain" "$@" >"/run/guest-$name.xml" &&
		virsh --quiet define "/run/guest-$name.xml" && virsh --quiet start "$name"
}

# define_guest NAME [OPTIONS]: the same, but leaves it off.
define_guest() {
	"$TESTBED_SRC/nested/domain" "$@" >"/run/guest-$1.xml" &&
		virsh --quiet define "/run/guest-$1.xml"
}

guest_ping() {
	virsh --quiet qemu-agent-command "$1" --timeout 5 '{"execute":"guest-ping"}'
}

# agent_starts NAME: the guest has come as far as that. Asking the agent itself would keep the only processor from it.
agent_starts() {
	[[ $(<"/var/log/guest-$1.log") == *"the agent starts"* ]]
}

# wait_agent NAME [SECONDS]: until the guest's agent answers.
wait_agent() {
	wait_for "${2:-60}" agent_starts "$1" && wait_for "${2:-60}" guest_ping "$1" && return
	note "the agent of '$1' does not answer; the end of its console:"
	note "$(tail -n 30 "/var/log/guest-$1.log")"
	return 1
}

json_string() {
	local text=$1
	text=${text//\\/\\\\}
	text=${text//\"/\\\"}
	text=${text//$'\n'/\\n}
	printf '"%s"' "${text//$'\t'/\\t}"
}

# guest_exec NAME PROGRAM [ARGUMENT...]: runs it in the guest as root through the agent, waits for
# its end; prints its output, returns its exit status (255: the agent or the program failed).
guest_exec() {
	local name=$1 words="" word answer pid status
	local call='{"execute":"guest-exec","arguments":{"path":%s,"arg":[%s],"capture-output":true}}'
	shift
	for word in "${@:2}"; do
		words+="${words:+,}$(json_string "$word")"
	done
	# shellcheck disable=SC2059
	answer=$(virsh --quiet qemu-agent-command "$name" --timeout 10 \
		"$(printf "$call" "$(json_string "$1")" "$words")") || return 255
	pid=$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' <<<"$answer")
	call="{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":$pid}}"
	for ((status = 0; status < 300; status++)); do
		answer=$(virsh --quiet qemu-agent-command "$name" --timeout 10 "$call") || return 255
		[[ $answer == *'"exited":true'* ]] && break
		a_moment 0.2
	done
	sed -n 's/.*"out-data":"\([^"]*\)".*/\1/p' <<<"$answer" | base64 -d
	sed -n 's/.*"err-data":"\([^"]*\)".*/\1/p' <<<"$answer" | base64 -d >&2
	status=$(sed -n 's/.*"exitcode":\([0-9]*\).*/\1/p' <<<"$answer")
	return "${status:-255}"
}

# ---- VFs by hand, for what gpuvfd is checked against

# take_vf ADDRESS: binds the VF to vfio-pci.
take_vf() {
	echo vfio-pci >"/sys/bus/pci/devices/$1/driver_override" &&
		echo "$1" >/sys/bus/pci/drivers_probe &&
		[ "$(basename "$(readlink "/sys/bus/pci/devices/$1/driver")")" = vfio-pci ]
}

# hostdev_xml ADDRESS ALIAS: what virsh attach-device takes.
hostdev_xml() {
	local domain bus slot function
	IFS=:. read -r domain bus slot function <<<"$1"
	cat <<-XML
	<hostdev mode='subsystem' type='pci' managed='no'>
	  <source><address domain='0x$domain' bus='0x$bus' slot='0x$slot' function='0x$function'/></source>
	  <alias name='$2'/>
	</hostdev>
	XML
}

# ---- what gpuvf doctor says

# look COMMAND...: keeps what it answers, one finding a line; ends as the command did.
look() {
	local status
	mkdir -p /run/doctor
	"$@" >/run/doctor/answer 2>/run/doctor/stderr
	status=$?
	python3 - >/run/doctor/findings 2>/dev/null <<-'PYTHON'
	import json
	for f in json.load(open("/run/doctor/answer"))["findings"]:
	    evidence = "; ".join(f'{e["source"]} = {e["value"]}' if e["value"] is not None
	                         else f'{e["source"]}: {e["problem"]}' for e in f["evidence"])
	    words = [f["address"] or f["subject"], f["id"], f["severity"], str(f["looked"]), f["what"], f["cure"], evidence]
	    print("\x1f".join(" ".join(str(w).split()) for w in words))
	PYTHON
	return $status
}

# finding SUBJECT ID MEMBER: of the answer that was kept; a GPU by its address; evidence as
# "source = value; ...".
# shellcheck disable=SC2034
finding() {
	local subject id severity looked what cure evidence
	while IFS=$'\x1f' read -r subject id severity looked what cure evidence; do
		if [ "$subject" = "$1" ] && [ "$id" = "$2" ]; then
			echo "${!3}"
			return
		fi
	done </run/doctor/findings
}

# told SUBJECT ID SEVERITY [EVIDENCE]: the finding is there, so, with this in its evidence.
told() {
	is "$1: $2 is $3" "$(finding "$1" "$2" severity)" "$3" || note "$(finding "$1" "$2" what)"
	[ -z "${4:-}" ] || like "$1: $2 names $4" "$(finding "$1" "$2" evidence)" "$4"
}

# ---- times, for benchmarks

# timed COMMAND...: its time in milliseconds.
timed() {
	local begin=$EPOCHREALTIME end
	"$@" >/dev/null 2>/run/bench.err || return
	end=$EPOCHREALTIME
	awk "BEGIN { printf \"%.1f\\n\", ($end - $begin) * 1000 }"
}

median() {
	sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
