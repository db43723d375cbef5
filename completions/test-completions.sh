#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Asks the completion what bash would ask it: TAP on stdout.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
# shellcheck source=completions/gpuvf.bash
. "$abs_top_srcdir/completions/gpuvf.bash"
count=0

# Stands for the client: what `gpuvf -q …` prints, or nothing when the daemon is away.
gpuvf() {
	[ "${daemon:-here}" = here ] || return 3
	case $* in
	"-q list gpus") printf 'gpu0\ngpu1\n' ;;
	"-q list vfs") printf 'gpu0/vf1\ngpu0/vf2\n' ;;
	"-q list vms") printf 'trainer-1\ntrainer 2\n' ;;
	"-q jobs --all") printf '11\n12\n' ;;
	*) return 2 ;;
	esac
}

# expect WANTED WORD...: what completes the last word; WANTED is sorted, by commas.
expect() {
	local wanted=$1 found

	shift
	count=$((count + 1))
	COMP_WORDS=(gpuvf "$@") COMP_CWORD=$#
	COMPREPLY=()
	_gpuvf
	found=$(printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd,)
	if [ "$found" = "$wanted" ]; then
		echo "ok $count - gpuvf $*"
	else
		echo "# wanted \"$wanted\", found \"$found\""
		echo "not ok $count - gpuvf $*"
	fi
}

echo 1..25
expect "plan,policy" p
expect "call,cancel" ca
expect "gpu0/vf1,gpu0/vf2,trainer 2,trainer-1" heal ""
expect "--env,--env-file" submit --e
expect "--no-color" --n
expect "json" -o j
expect "plan,policy" -o json --utc p
expect "gpu0,gpu1" plan ""
expect "gpu0,gpu1" --socket /run/x apply g
expect "--plan,--policy,--preempt-timeout,--priority,--profile" apply --p
expect "trainer 2,trainer-1" assign ""
expect "gpu0/vf1,gpu0/vf2" assign trainer-1 --vf ""
expect "gpu0/vf1,gpu0/vf2" release gpu0/
expect "gpus,profiles,queues,vfs,vms" list ""
expect "11,12" logs 1
expect "--attempt" logs 11 --a
expect "11,12" logs -f ""
expect "" apply --vfs ""
expect "running" jobs --state r
expect "check,reload,show" policy ""
expect "wait,watch" help wa
expect "gpu0,gpu1" doctor g
expect "--bundle,--force" doctor --
expect "" nonsense --x
daemon=away
expect "" plan ""
