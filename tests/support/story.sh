# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154  # the variables named below are set by who sources this
# The main job, told step by step with the real commands and their real output.  Sourced by ./demo
# (over the simulation) and by tests/testbed/scenarios/demo.sh (on a real kernel), which set
#
#	story_policies	the shipped examples of policies
#	story_policy_dir	where the daemon looks for policies
#	story_job	folder of the example job tiny-lora
#	story_steps	how long each job trains
#	story_folder	for files of the story
#
# and define what differs:
#
#	story_listing VM	the VM's own PCI listing
#	story_vm_ready VM	waits until the VM's guest agent answers
#	story_log	the daemon's log, when something has failed
#
# Any command that fails ends the story with status 1.

story_began=$SECONDS
story_times=()
story_title=

now_ms() {
	local seconds fraction
	IFS=. read -r seconds fraction <<<"$EPOCHREALTIME"
	echo $((seconds * 1000 + 10#${fraction:0:3}))
}

# step TITLE: the next chapter.
step() {
	end_step
	story_title=$1
	story_step_began=$(now_ms)
	printf '\n=== %s\n' "$story_title"
}

end_step() {
	local spent
	[ -n "$story_title" ] || return 0
	spent=$(($(now_ms) - story_step_began))
	story_times+=("$(printf '%4d.%01d s  %s' $((spent / 1000)) $((spent % 1000 / 100)) "$story_title")")
}

tell() {
	printf '%s\n' "$@"
}

# shows TEXT: a command as one would type it; blanks in words are rare enough to quote simply.
shows() {
	local word text=
	for word; do
		case $word in
		*[!A-Za-z0-9_./:=,%@+-]*) word="'$word'" ;;
		esac
		text+=" $word"
	done
	printf '$%s\n' "$text"
}

fails() {
	printf '\nThis failed (status %s): %s\n' "$1" "$2"
	printf '%s\n' "---- the daemon's log"
	story_log 2>&1 | tail -n 60
	exit 1
}

# run COMMAND...: shows it and its output.
run() {
	local status
	shows "$@"
	"$@"
	status=$?
	[ $status -eq 0 ] || fails $status "$*"
}

# run_for VARIABLE COMMAND...: the same, and keeps the output.
run_for() {
	local -n output=$1
	local status
	shift
	shows "$@"
	output=$("$@")
	status=$?
	printf '%s\n' "$output"
	[ $status -eq 0 ] || fails $status "$*"
}

# expect WHAT COMMAND...: a check in between, without words when it holds.
expect() {
	local what=$1
	shift
	"$@" >/dev/null 2>&1 || fails $? "$what"
}

# ---- The chapters -------------------------------------------------------------------

gpu_member() {
	gpuvf call gpu.get '{"gpu": "gpu0"}' | sed -n "s/^ *\"$1\": \([^[{]*[^[{,]\),*$/\1/p" | head -n 1
}

has_vfs() {
	[ "$(gpu_member num_vfs)" = "$1" ]
}

story_detect() {
	step "A GPU is detected"
	run gpuvf status
	run gpuvf list
	tell "The shipped default policy touches no card by itself."
}

story_policy() {
	step "An example policy is put in force"
	run cp "$story_policies/by-hand.json" "$story_policy_dir/"
	run gpuvf policy check "$story_policy_dir/by-hand.json"
	run gpuvf policy reload
}

story_cut() {
	step "The GPU is cut into four VFs"
	run gpuvf plan gpu0 --vfs 4 --profile quarter
	run gpuvf apply gpu0 --vfs 4 --profile quarter
	expect "there are four VFs" has_vfs 4
	run gpuvf list
}

story_assign() {
	step "A running VM gets a VF"
	story_vm_ready trainer-1 || fails 1 "trainer-1's guest agent does not answer"
	tell "What trainer-1 sees of GPUs on its PCI bus before:"
	story_listing trainer-1
	run gpuvf assign trainer-1
	tell "And after:"
	story_listing trainer-1 >"$story_folder/listing"
	cat "$story_folder/listing"
	expect "trainer-1 sees an Intel GPU" grep -qi '8086:56c0' "$story_folder/listing"
	run gpuvf list vfs
}

# submit NAME PRIORITY: one job; sets story_id.
submit() {
	run_for story_id gpuvf submit --name "$1" --priority "$2" --vms 'trainer-*' \
		"$story_folder/job/job.json"
	[[ $story_id =~ ^[0-9]+$ ]] || fails 1 "gpuvf submit printed no id"
	story_ids+=("$story_id")
}

story_submit() {
	step "Three fine-tuning jobs are queued for two VMs"
	story_vm_ready trainer-2 || fails 1 "trainer-2's guest agent does not answer"
	cp -r "$story_job" "$story_folder/job" || fails $? "copying the example"
	sed -i "s/\"200\"/\"$story_steps\"/" "$story_folder/job/job.json"
	tell "Each trains a low-rank adapter of rank 8 for $story_steps steps with AdamW: examples/tiny-lora."
	story_ids=()
	submit urgent 50
	submit nightly 0
	submit draft -50
	run gpuvf jobs
}

story_progress() {
	local status
	step "Their losses fall"
	shows gpuvf watch --progress "${story_ids[@]}"
	gpuvf watch --progress "${story_ids[@]}"
	status=$?
	[ $status -ne 0 ] || return 0
	gpuvf show "${story_ids[0]}"
	gpuvf logs --stderr "${story_ids[0]}"
	fails $status "gpuvf watch --progress"
}

losses_fell() {
	gpuvf logs "$1" | sed -n 's/.*"loss":\([0-9.]*\).*/\1/p' |
		awk 'NR == 1 { first = $1 } { last = $1 } END { exit !(NR > 2 && last < first / 2) }'
}

story_logs() {
	local id
	step "What they wrote, and what they made"
	shows gpuvf logs "${story_ids[0]}"
	gpuvf logs "${story_ids[0]}" >"$story_folder/log" || fails $? "gpuvf logs"
	if [ "$(wc -l <"$story_folder/log")" -gt 8 ]; then
		head -n 3 "$story_folder/log"
		tell "…"
		tail -n 3 "$story_folder/log"
	else
		cat "$story_folder/log"
	fi
	for id in "${story_ids[@]}"; do
		expect "the loss of job $id fell" losses_fell "$id"
	done
	run gpuvf fetch "${story_ids[0]}" "$story_folder/results"
	run ls -l "$story_folder/results/adapter"
	run gpuvf jobs --all
}

story_give_back() {
	step "All is given back"
	run gpuvf release trainer-1
	run gpuvf apply gpu0 --vfs 0
	expect "there are no VFs" has_vfs 0
	run gpuvf list
	tell "What trainer-1 sees of GPUs on its PCI bus now:"
	story_listing trainer-1
}

story_run() {
	story_detect
	story_policy
	story_cut
	story_assign
	story_submit
	story_progress
	story_logs
	story_give_back
	end_step
	story_title=
	printf '\n=== Times\n'
	printf '%s\n' "${story_times[@]}"
	printf '%4d.0 s  in all\n' $((SECONDS - story_began))
}
