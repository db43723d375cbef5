#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The launcher under each shell that a guest may have, in a made-up root; as root also with a change of user.
set -u
launcher=${abs_top_srcdir:-$(dirname "$0")/../..}/daemon/runner/launcher.sh
top=$(mktemp -d "${TMPDIR:-/tmp}/gpuvf-launcher-XXXXXX") || exit 1
trap 'rm -rf "$top"' EXIT
chmod 0711 "$top"
n=0

ok() { # ok DESCRIPTION CONDITION...
	local what=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $shell: $what"
	else
		echo "not ok $n - $shell: $what"
		sed 's/^/# /' "$dir"/stderr 2>/dev/null
		echo "# last answer: ${answer:-}"
	fi
}

# Waits for a condition; false after ten seconds.
eventually() {
	local end=$((SECONDS + 10))
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		read -rt 0.05 <> <(:) || :
	done
}

has() { [[ $answer == *"$1"* ]]; }
hasnt() { [[ $answer != *"$1"* ]]; }
run() { answer=$($shell "$dir/launcher" "$@" 2>&1); }
ended() { [ -f "$dir/exit" ]; }
exited() { eventually ended && [ "$(cat "$dir/exit")" = "$1" ]; }
contains() { grep -qF -- "$2" "$1"; }

# prepare NAME COMMAND...: a fresh attempt whose command is the text on stdin.
prepare() {
	dir=$base/jobs/$1
	mkdir -p "$dir/stage"
	cp "$launcher" "$dir/launcher"
	cat >"$dir/stage/command"
	printf "root='%s'\nrun_as='%s'\nworkdir='%s'\ncheckpoint='%s'\n" \
		"$root" "$user" "${2:-}" "$base/checkpoints/$1" >"$dir/stage/plan"
}

put() { mkdir -p "$(dirname "$1")" && printf '%s\n' "$2" >"$1"; }

check_start() {
	prepare a.1 <<-'END'
		echo "hello $USER $GPUVF_RESUME"
		echo oops >&2
		pwd
		echo '{"step":1}' >>"$GPUVF_PROGRESS_FILE"
		exit 7
	END
	run status "$dir"
	ok 'nothing is claimed before the start' has '"claimed":false'
	run start "$dir"
	ok 'start claims' has '"claimed":true'
	ok 'the exit code is kept' exited 7
	ok 'stdout is kept, with the user and no resume' contains "$dir/stdout" "hello $user 0"
	ok 'stderr is kept' contains "$dir/stderr" oops
	ok 'progress is kept' contains "$dir/progress" '{"step":1}'
	ok 'the work directory is its own' contains "$dir/stdout" "$dir/work"
	run start "$dir"
	ok 'a second start tells the end and starts nothing' has '"exit":7'
	ok 'the command ran once' test "$(grep -c hello "$dir/stdout")" = 1
	run status "$dir"
	ok 'status tells that it is not alive' has '"alive":false'
	run clean "$dir"
	ok 'clean removes it' test ! -e "$dir"
}

check_forgo() {
	prepare f.1 <<-'END'
		echo ran
	END
	run forgo "$dir"
	ok 'what was given up is claimed' has '"claimed":true'
	ok 'and says so' has '"refused":"forgone"'
	run start "$dir"
	ok 'a start that comes late begins nothing' has '"refused":"forgone"'
	ok 'there is no process' has '"pid":0'
	run clean "$dir"
	ok 'it can be cleaned' test ! -e "$dir"
	answer=$($shell "$launcher" forgo "$dir" 2>&1)
	ok 'where there is no directory, there is nothing to claim' has '"claimed":false'

	prepare f.2 <<-'END'
		echo ran
		exit 3
	END
	run start "$dir"
	run forgo "$dir"
	ok 'what has begun goes on' hasnt forgone
	ok 'to its end' exited 3
}

check_signal() {
	prepare b.1 <<-'END'
		trap 'echo stopped; exit 143' TERM
		echo ready
		while :; do sleep 0.1; done
	END
	run start "$dir"
	eventually contains "$dir/stdout" ready
	eventually test -f "$dir/state"
	run status "$dir"
	ok 'a running command is alive and watched' has '"alive":true,"watched":true'
	run clean "$dir"
	ok 'clean leaves a running one alone' test -d "$dir/claim"
	ok 'no signal was sent so far' test ! -e "$dir/signalled"
	run signal "$dir" TERM
	ok 'whoever comes later sees that one was sent' has '"signalled":true'
	ok 'TERM reaches it' exited 143
	ok 'and it could act on it' contains "$dir/stdout" stopped

	prepare b.2 <<-'END'
		trap '' TERM
		setsid sh -c 'echo $$ >other; trap "" TERM; while :; do sleep 0.1; done' &
		echo ready
		while :; do sleep 0.1; done
	END
	run start "$dir"
	eventually contains "$dir/stdout" ready
	eventually test -s "$dir/work/other"
	eventually test -f "$dir/state"
	run signal "$dir" TERM
	ok 'one that ignores TERM goes on' has '"alive":true'
	run signal "$dir" KILL
	ok 'KILL ends it' exited 137
	ok 'and what it put into another session' eventually test ! -d "/proc/$(cat "$dir/work/other")"

	# a pid of an earlier boot, or of another start time, is nobody's
	sleep 100 &
	other=$!
	prepare b.3 </dev/null
	mkdir "$dir/claim"
	mv "$dir/stage/plan" "$dir/plan"
	echo "another-boot $other $(cut -d' ' -f22 "/proc/$other/stat")" >"$dir/state"
	run signal "$dir" KILL
	ok 'a process of another boot is left alone' kill -0 $other
	echo "$(cat "$root/proc/sys/kernel/random/boot_id") $other 1" >"$dir/state"
	run signal "$dir" KILL
	ok 'a process with another start time is left alone' kill -0 $other
	ok 'and not taken for ours' has '"alive":false'
	ok 'and nothing says that it was signalled' has '"signalled":false'
	kill $other
}

check_files() {
	prepare c.1 <<-'END'
		cat input; cat deep/er/input; ls -l input | cut -c1-10
		mkdir -p adapter/x; echo one >adapter/a; echo two >adapter/x/b; echo no >other
		ln -s /etc/passwd adapter/link
	END
	echo data-0 >"$dir/stage/file.0"
	echo data-1 >"$dir/stage/file.1"
	printf '0 0700 input\n1 0644 deep/er/input\n' >"$dir/stage/files"
	run start "$dir"
	ok 'files are put in place' exited 0
	ok 'the first' contains "$dir/stdout" data-0
	ok 'the second, below new folders' contains "$dir/stdout" data-1
	ok 'with its mode' contains "$dir/stdout" -rwx------
	run outputs "$dir" 100000 'adapter/**' '*.none'
	ok 'outputs are collected' has '"outputs":'
	ok 'those that match, and no links' test "$(LC_ALL=C sort "$dir/outputs")" = \
		"$(printf '\n\nend\nfile 4 - adapter/a\nfile 4 - adapter/x/b\none\ntwo')"
	run outputs "$dir" 20 'adapter/**'
	ok 'the limit holds' has '"outputs":20}'
	run outputs "$dir" 600 'nothing'
	ok 'no match is an end and nothing else' test "$(cat "$dir/outputs")" = end
}

check_refusals() {
	put "$root/blocker" 'not a folder'
	prepare d.1 /blocker/sub </dev/null
	run start "$dir"
	ok 'a work directory that cannot be' exited 125
	run status "$dir"
	ok 'is named' has '"refused":"no-workdir"'

	prepare d.2 </dev/null
	printf '0 0644 /blocker/file\n' >"$dir/stage/files"
	echo x >"$dir/stage/file.0"
	run start "$dir"
	ok 'a file that cannot be written' exited 125
	run status "$dir"
	ok 'is named as well' has '"refused":"no-file"'

	prepare d.3 <<-'END'
		echo 'made up "word' >"${0%/*}/refused"
		exit 125
	END
	run start "$dir"
	exited 125
	run status "$dir"
	ok 'a word of the job is not believed' has '"refused":""'

	prepare d.4 </dev/null
	run unheard "$dir"
	ok 'an unknown command is refused' has 'unknown command'
}

check_resume() {
	prepare e.1 <<-'END'
		echo "resume=$GPUVF_RESUME"
	END
	mkdir -p "$base/checkpoints/e.1"
	echo x >"$base/checkpoints/e.1/half.tmp"
	run start "$dir"
	exited 0
	ok 'half a checkpoint is none' contains "$dir/stdout" resume=0
	rm -rf "$dir"
	prepare e.1 <<-'END'
		echo "resume=$GPUVF_RESUME"
	END
	echo x >"$base/checkpoints/e.1/checkpoint.bin"
	run start "$dir"
	exited 0
	ok 'a whole one is' contains "$dir/stdout" resume=1
}

check_look() {
	local pci=$root/sys/bus/pci/devices
	put "$pci/0000:00:00.0/class" 0x060000
	put "$pci/0000:01:00.0/class" 0x038000
	put "$pci/0000:01:00.0/vendor" 0x8086
	put "$pci/0000:01:00.0/device" 0x56c0
	put "$pci/0000:01:00.0/resource" '0x0000000000000000 0x0000000000000000 0x0000000000000000'
	prepare f.1 </dev/null
	run look "$root"
	ok 'a display function is shown, others not' test "$(grep -c address <<<"$answer")" = 1
	ok 'with its ids' has '"address":"0000:01:00.0","vendor":"0x8086","device":"0x56c0"'
	ok 'without memory' has '"bars":"missing"'
	put "$pci/0000:01:00.0/resource" "0x0000003800000000 0x000000381fffffff 0x000000000014220c
0x0000000000000000 0x0000000000000fff 0x0000000000040200"
	run look "$root"
	ok 'with memory for one of two only' has '"bars":"missing"'
	put "$pci/0000:01:00.0/resource" "0x0000003800000000 0x000000381fffffff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000"
	run look "$root"
	ok 'with memory' has '"bars":"ok","driver":"","module":"","render":""'

	put "$pci/0000:01:00.0/modalias" 'pci:v00008086d000056C0sv00008086sd00000000bc03sc80i00'
	put "$root/lib/modules/$(uname -r)/modules.alias" 'alias pci:v00008086d000056C0sv*sd*bc03sc*i* i915'
	put "$root/lib/modules/$(uname -r)/modules.dep" 'kernel/i915.ko.xz: kernel/drm.ko.xz'
	run look "$root"
	ok 'a module that is named but not there does not count' has '"module":""'
	put "$root/lib/modules/$(uname -r)/kernel/i915.ko.xz" ''
	run look "$root"
	ok 'a module that the guest has' has '"driver":"","module":"i915"'

	ln -s ../../drivers/i915 "$pci/0000:01:00.0/driver"
	mkdir -p "$root/sys/bus/pci/drivers/i915" "$pci/0000:01:00.0/drm/renderD128"
	run look "$root"
	ok 'a driver and its render node' has '"driver":"i915","module":"","render":"renderD128"'
	rm -rf "$pci"
}

check_user() {
	local root='' user=nobody bin=$top/bin
	if [ "$(id -u)" != 0 ]; then
		n=$((n + 1))
		echo "ok $n - $shell: another user # SKIP not root"
		return
	fi
	mkdir -p "$bin"
	# not this machine's own service manager
	printf '#!/bin/sh\nexit 1\n' >"$bin/systemd-run"
	chmod 0755 "$bin/systemd-run"
	prepare g.1 <<-'END'
		id -un; id -G
		touch "${0%/stage/*}/plan" 2>/dev/null && echo "could touch the plan"
		cat "${0%/stage/*}/state" 2>/dev/null && echo "could read the state"
		mkdir -p out && echo mine >out/mine && ln -s /etc/shadow out/shadow && ln -s /root out/root
	END
	PATH=$bin:$PATH run start "$dir"
	ok 'a command of another user ends' exited 0
	ok 'it was that user' contains "$dir/stdout" nobody
	ok "without root's groups" test "$(sed -n 2p "$dir/stdout")" = "$(id -G nobody)"
	ok 'who reaches nothing of ours' test "$(wc -l <"$dir/stdout")" = 2
	run outputs "$dir" 100000 '**'
	ok 'outputs are what the user may read' test "$(grep -a '^file ' "$dir/outputs")" = 'file 5 - out/mine'

	prepare g.2 </dev/null
	sed -i "s/nobody/no-such-user/" "$dir/stage/plan"
	PATH=$bin:$PATH run start "$dir"
	ok 'a user that the guest does not have is refused' has '"refused":"no-user"'
}

for shell in dash 'busybox sh' 'bash --posix'; do
	if ! command -v "${shell%% *}" >/dev/null; then
		n=$((n + 1))
		echo "ok $n - $shell # SKIP not installed"
		continue
	fi
	root=$top/${shell%% *}
	base=$root/var/lib/gpuvf-guest
	user=trainer
	put "$root/proc/sys/kernel/random/boot_id" 11111111-2222-3333-4444-555555555555
	mkdir -p "$base/jobs"
	chmod 0711 "$root" "$root/var" "$root/var/lib" "$base" "$base/jobs"
	check_start
	check_forgo
	check_signal
	check_files
	check_refusals
	check_resume
	check_look
	check_user
done
echo "1..$n"
