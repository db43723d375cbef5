#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's side of an attempt.  Written into the attempt's directory and run through the guest agent by
# daemon/runner/; needs a POSIX shell and what busybox has.  Prints JSON lines.
#
#	launcher look ROOT                  display functions that the guest shows
#	launcher start DIR                  claims the attempt and starts its command; again: tells what is
#	launcher status DIR                 what is
#	launcher forgo DIR                  claims the attempt so that no start does, one that is on its way neither; tells what is
#	launcher signal DIR NAME            to the command's process group; KILL: to all of its processes
#	launcher outputs DIR LIMIT GLOB...  DIR/outputs: the files below the work directory that match
#	launcher clean DIR                  removes DIR, unless its command runs
#
# DIR holds: claim/ (made once: whoever makes it starts the command), plan (variables: root run_as workdir
# checkpoint), stage/ (command, files; the user's from the start on), supervisor and state ("PID START_TIME",
# "BOOT_ID PID START_TIME"), stdout, stderr, progress, refused (a word), signalled (there once a signal was sent), exit (a
# number).  All but stage/ and the three streams is root's: nothing the job writes is believed.
#
# The whole text is read before main runs, and the last line exits: it may be written anew meanwhile.

word_refused() { # a word that says why the command was not started
	printf '%s\n' "$1" >"$dir/refused.tmp" && mv "$dir/refused.tmp" "$dir/refused"
}

boot_id() {
	boot=
	read -r boot <"$root/proc/sys/kernel/random/boot_id"
}

# read_stat PID: sets ppid pgrp session start_time; false when there is no such process, or a dead one.
read_stat() {
	line=
	{ IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
	line=${line##*) }
	# shellcheck disable=SC2086
	set -- $line
	[ "$1" != Z ] && [ "$1" != X ] || return 1
	ppid=$2 pgrp=$3 session=$4
	shift 19
	start_time=$1
}

# is_alive PID START_TIME
is_alive() {
	[ -n "$1" ] && read_stat "$1" && [ "$start_time" = "$2" ]
}

load_plan() {
	root= run_as= workdir= checkpoint=
	if [ -f "$dir/plan" ]; then
		. "$dir/plan"
	elif [ ! -d "$dir/claim" ] && [ -f "$dir/stage/plan" ]; then
		. "$dir/stage/plan"
	fi
}

# ---- look ---------------------------------------------------------------------------------------

# The module that this guest has for the function, if it has one.
module_of() {
	modules=$root/lib/modules/$(uname -r)
	modalias=
	read -r modalias <"$1/modalias" 2>/dev/null || return
	[ -r "$modules/modules.alias" ] && [ -r "$modules/modules.dep" ] || return
	grep '^alias pci:v00008086' "$modules/modules.alias" | while read -r _ pattern module; do
		# shellcheck disable=SC2254
		case $modalias in
		$pattern) ;;
		*) continue ;;
		esac
		file=$(sed -n "s#^\([^:]*/$module\.ko[^:]*\):.*#\1#p" "$modules/modules.dep")
		[ -n "$file" ] && [ -e "$modules/$file" ] && echo "$module" && break
	done
}

# ok: memory was given to it; missing: to none, or not to all that it asks for.
bars_of() {
	[ -r "$1/resource" ] || { echo unknown; return; }
	given=0 lacking=0
	while read -r start _ flags; do
		case $flags in *[1-9a-f]*) ;; *) continue ;; esac
		case ${start#0x} in
		*[1-9a-f]*) given=$((given + 1)) ;;
		*) lacking=$((lacking + 1)) ;;
		esac
	done <"$1/resource"
	if [ $given -gt 0 ] && [ $lacking -eq 0 ]; then echo ok; else echo missing; fi
}

look() {
	root=$1
	for device in "$root"/sys/bus/pci/devices/*; do
		class='' vendor='' id='' driver='' render='' module=''
		{ read -r class <"$device/class"; } 2>/dev/null || continue
		case $class in 0x03*) ;; *) continue ;; esac
		read -r vendor <"$device/vendor"
		read -r id <"$device/device"
		[ -e "$device/driver" ] && driver=$(readlink "$device/driver") && driver=${driver##*/}
		[ -z "$driver" ] && module=$(module_of "$device")
		for node in "$device"/drm/renderD*; do
			[ -e "$node" ] && render=${node##*/} && break
		done
		printf '{"address":"%s","vendor":"%s","device":"%s","class":"%s","bars":"%s","driver":"%s","module":"%s","render":"%s"}\n' \
			"${device##*/}" "$vendor" "$id" "$class" "$(bars_of "$device")" "$driver" "$module" "$render"
	done
	echo '{"looked":true}'
}

# ---- start --------------------------------------------------------------------------------------

# Sets uid gid home shell; false when the guest has no such user.  A made-up guest (root set) has no users.
find_user() {
	uid=$(id -u) gid=$(id -g) home=$root/home/$run_as shell=/bin/sh
	[ -z "$root" ] || return 0
	entry=$(getent passwd "$run_as" 2>/dev/null || grep "^$run_as:" /etc/passwd) || return 1
	IFS=: read -r _ _ uid gid _ home shell <<-END
		$entry
	END
	[ -n "$uid" ] && [ -n "$home" ]
}

# Sets how: the words before a command that make it the user's.
find_way() {
	how=
	[ "$(id -u)" != "$uid" ] || return 0
	[ "$(id -u)" = 0 ] || return 1
	if setpriv --reuid "$uid" --regid "$gid" --init-groups true 2>/dev/null; then
		how="setpriv --reuid $uid --regid $gid --init-groups"
	elif command -v su >/dev/null; then
		how=su
	else
		return 1
	fi
}

# as_user CONTEXT COMMAND DIR [ARGUMENT...]: this script's COMMAND as the user; CONTEXT: words before.
as_user() {
	context=$1
	shift
	if [ "$how" = su ]; then
		text="exec sh '$dir/launcher'"
		for word; do
			text="$text '$(printf '%s' "$word" | sed "s/'/'\\\\''/g")'"
		done
		# shellcheck disable=SC2086
		exec $context su -s /bin/sh "$run_as" -c "$text"
	fi
	# shellcheck disable=SC2086
	exec $context $how sh "$dir/launcher" "$@"
}

prepare() {
	chmod 0755 "$dir/launcher" && chmod 0644 "$dir/plan" || return
	mkdir -p "$dir/work" || return
	base=${dir%/jobs/*}
	if [ "${checkpoint#"$base/checkpoints/"}" != "$checkpoint" ]; then
		mkdir -p "$base/checkpoints" && chmod 0711 "$base/checkpoints" && mkdir -p "$checkpoint" || return
		chmod 0700 "$checkpoint" && chown "$uid:$gid" "$checkpoint" || return
	fi
	[ -z "$root" ] || mkdir -p "$home" || return
	: >"$dir/stdout" && : >"$dir/stderr" && : >"$dir/progress" || return
	chmod 0600 "$dir/stdout" "$dir/stderr" "$dir/progress" || return
	chmod 0700 "$dir/work" "$dir/stage" || return
	chown -R "$uid:$gid" "$dir/stage" "$dir/work" "$dir/stdout" "$dir/stderr" "$dir/progress" || return
	chmod 0711 "$dir"
}

start() {
	mkdir "$dir/claim" 2>/dev/null || { status; return; }
	if ! mv "$dir/stage/plan" "$dir/plan"; then
		word_refused no-space
	elif ! find_user; then
		word_refused no-user
	elif ! find_way; then
		word_refused no-permission
	elif ! command -v setsid >/dev/null; then
		word_refused no-setsid
	elif ! prepare; then
		word_refused no-space
	else
		# Outside the agent's own unit, where the guest has systemd: restarting the agent must not
		# end the command.
		{
			{ [ -z "$root" ] && [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ] &&
				systemd-run --quiet --collect --unit="gpuvf-${dir##*/}" \
					sh "$dir/launcher" supervise "$dir"; } ||
				setsid sh "$dir/launcher" supervise "$dir"
		} </dev/null >/dev/null 2>&1 &
	fi
	status
}

# Waits for the command and writes down how it ended.
supervise() {
	mkdir "$dir/supervised" 2>/dev/null || return
	find_user && find_way || return
	cd / || return
	read_stat $$
	printf '%s %s\n' $$ "$start_time" >"$dir/supervisor.tmp" && mv "$dir/supervisor.tmp" "$dir/supervisor"
	# a command in the background would ignore them from birth
	reset=
	env --default-signal=INT,QUIT true 2>/dev/null && reset='env --default-signal=INT,QUIT'
	as_user "setsid $reset" inner "$dir" </dev/null >>"$dir/stdout" 2>>"$dir/stderr" &
	pid=$!
	boot_id
	read_stat "$pid"
	printf '%s %s %s\n' "$boot" "$pid" "$start_time" >"$dir/state.tmp" && mv "$dir/state.tmp" "$dir/state"
	wait "$pid"
	code=$?
	# The job's own word of why, one of ours; with the code that stands for it.
	if [ $code = 125 ] && [ ! -L "$dir/stage/refused" ] && [ -f "$dir/stage/refused" ]; then
		case $(head -c 20 "$dir/stage/refused") in
		no-workdir) word_refused no-workdir ;;
		no-file) word_refused no-file ;;
		esac
	fi
	printf '%s\n' $code >"$dir/exit.tmp" && mv "$dir/exit.tmp" "$dir/exit"
}

# As the user, in its own session: puts the files in place and becomes the command.
inner() {
	refuse() {
		echo "gpuvf: $2" >&2
		echo "$1" >"$dir/stage/refused"
		exit 125
	}
	find_user || exit 125
	work=$dir/work
	case $workdir in
	'') ;;
	/*) work=$root$workdir ;;
	*) work=$home/$workdir ;;
	esac
	umask 022
	mkdir -p "$work" && cd "$work" || refuse no-workdir "cannot enter the work directory $work"
	[ ! -f "$dir/stage/files" ] || while read -r number mode target; do
		case $target in /*) target=$root$target ;; esac
		case $target in */*) mkdir -p "${target%/*}" ;; esac
		cp "$dir/stage/file.$number" "$target" && chmod "$mode" "$target" ||
			refuse no-file "cannot write $target"
	done <"$dir/stage/files" || exit
	resume=0
	mkdir -p "$checkpoint" 2>/dev/null
	for entry in "$checkpoint"/*; do
		case $entry in *.tmp | *.part | *.partial) continue ;; esac
		[ -e "$entry" ] && resume=1
	done
	interpreter=sh
	command -v bash >/dev/null && interpreter=bash
	exec env -i HOME="$home" USER="$run_as" LOGNAME="$run_as" SHELL="${shell:-/bin/sh}" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PWD="$work" \
		GPUVF_RESUME=$resume GPUVF_CHECKPOINT_DIR="$checkpoint" \
		GPUVF_PROGRESS_FILE="$dir/progress" GPUVF_STAGE="$dir/stage" \
		$interpreter "$dir/stage/command"
}

# ---- afterwards ---------------------------------------------------------------------------------

load_state() {
	state_boot= state_pid= state_start= supervisor= supervisor_start= exit_code= refused=
	[ ! -f "$dir/state" ] || read -r state_boot state_pid state_start <"$dir/state"
	[ ! -f "$dir/supervisor" ] || read -r supervisor supervisor_start <"$dir/supervisor"
	load_end
	boot_id
}

# A refusal is written before the exit code that stands for it: read the other way round, so that the code is never
# seen alone.
load_end() {
	[ ! -f "$dir/exit" ] || read -r exit_code <"$dir/exit"
	[ ! -f "$dir/refused" ] || read -r refused <"$dir/refused"
}

status() {
	claimed=false alive=false watched=false signalled=false
	[ ! -d "$dir/claim" ] || claimed=true
	load_state
	if [ "$state_boot" = "$boot" ] || [ -z "$state_boot" ]; then
		! is_alive "$state_pid" "$state_start" || alive=true
		! is_alive "$supervisor" "$supervisor_start" || watched=true
	fi
	load_end # once more: it may have been written while we looked
	[ ! -f "$dir/signalled" ] && [ "$sent" = false ] || signalled=true
	printf '{"claimed":%s,"boot_id":"%s","now_boot_id":"%s","pid":%s,"start_time":%s,"alive":%s,"watched":%s,"signalled":%s,"refused":"%s","exit":%s}\n' \
		$claimed "$state_boot" "$boot" "${state_pid:-0}" "${state_start:-0}" $alive $watched $signalled \
		"$refused" "${exit_code:-null}"
}

# A start that was sent may still be on its way, in a guest that is starved.
forgo() {
	mkdir "$dir/claim" 2>/dev/null && word_refused forgone
	status
}

# Prints the command's process and all that came from it.
family() {
	known=" $state_pid "
	before=
	while [ "$known" != "$before" ]; do
		before=$known
		for process in /proc/[0-9]*; do
			process=${process#/proc/}
			case $known in *" $process "*) continue ;; esac
			read_stat "$process" || continue
			case $known in
			*" $ppid "* | *" $session "*) known="$known$process " ;;
			esac
		done
	done
	echo "$known"
}

send_signal() {
	load_state
	if [ "$state_boot" = "$boot" ] && is_alive "$state_pid" "$state_start"; then
		# Before it is sent: whoever finds the command ended knows that this was no end of its own.
		sent=true
		true >"$dir/signalled" 2>/dev/null # also where there is no space left: it is sent all the same
		if [ "$1" = KILL ] || [ "$pgrp" != "$state_pid" ]; then
			# shellcheck disable=SC2046
			kill -s "$1" -- $(family) 2>/dev/null
		else
			kill -s "$1" -- "-$state_pid" 2>/dev/null
			# su puts its command into a session of its own
			find_user && find_way
			# shellcheck disable=SC2046
			[ "$how" != su ] || kill -s "$1" -- $(family) 2>/dev/null
		fi
	fi
	status
}

# Names below the work directory that match one of the globs; a star of ours also matches '/': the host looks
# again.
matching() {
	find . -type f ! -name '*
*' | while IFS= read -r name; do
		for glob; do
			# shellcheck disable=SC2254
			case ${name#./} in
			$glob) printf '%s\n' "$name" && break ;;
			esac
		done
	done
}

# One file: "file SIZE x|- NAME", its bytes, a newline.  Exactly SIZE bytes, also when the file shrinks
# meanwhile.
pack() {
	size=$(wc -c <"$1") || return
	bit=-
	[ ! -x "$1" ] || bit=x
	printf 'file %s %s %s\n' $((size)) $bit "${1#./}"
	{
		cat "$1"
		head -c $((size)) /dev/zero
	} | head -c $((size))
	echo
}

# As the user, so that a link of the job leads no further than the user gets.
collect() {
	find_user || return
	work=$dir/work
	case $workdir in
	'') ;;
	/*) work=$root$workdir ;;
	*) work=$home/$workdir ;;
	esac
	cd "$work" || return
	matching "$@" | while IFS= read -r name; do
		pack "$name"
	done
	echo end
}

outputs() {
	limit=$1
	shift
	if find_user && find_way; then
		(as_user '' collect "$dir" "$@" </dev/null 2>/dev/null) | head -c "$limit" >"$dir/outputs"
	else
		: >"$dir/outputs"
	fi
	printf '{"outputs":%s}\n' $(($(wc -c <"$dir/outputs")))
}

clean() {
	load_state
	if [ "$state_boot" = "$boot" ] && is_alive "$state_pid" "$state_start"; then
		status
		return
	fi
	case $dir in
	*/var/lib/gpuvf-guest/jobs/?*) cd / && rm -rf "$dir" ;;
	esac
	echo '{"cleaned":true}'
}

main() {
	umask 077
	PATH=$PATH:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	export PATH
	command=$1
	shift
	if [ "$command" = look ]; then
		look "$1"
		return
	fi
	dir=$1 sent=false
	shift
	load_plan
	case $command in
	start | status | forgo | supervise | inner | collect | outputs | clean) $command "$@" ;;
	signal) send_signal "$@" ;;
	*)
		echo "launcher: unknown command $command" >&2
		return 2
		;;
	esac
}

main "$@"; exit
