#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# build-aux/setup with a made-up apt: what is missing is named, nothing starts, everything is put
# back. TAP on stdout.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0

# check NAME COMMAND...
check() {
	local name=$1
	shift
	count=$((count + 1))
	if "$@"; then
		echo "ok $count - $name"
	else
		sed 's/^/# /' "$work/output"
		echo "not ok $count - $name"
	fi
}

says() {
	grep -qF -- "$1" "$work/output"
}

# The programs that setup asks, made up: installed packages are lines of $work/installed.
make_programs() {
	mkdir "$work/bin"
	cat >"$work/bin/dpkg-query" <<-'PROGRAM'
	#!/bin/sh
	while read -r package; do echo "$package installed"; done <"$WORK/installed"
	PROGRAM
	cat >"$work/bin/apt-get" <<-'PROGRAM'
	#!/bin/sh
	echo "$*" >>"$WORK/apt"
	cat "$WORK/hook" >"$WORK/hook-during" 2>/dev/null
	"$WORK/hook" >/dev/null 2>&1
	echo $? >"$WORK/hook-status"
	[ -e "$WORK/apt-fails" ] && exit 100
	case " $* " in
	*" install "*) printf '%s\n' "$@" | grep '^[a-z]' >>"$WORK/installed" ;;
	esac
	exit 0
	PROGRAM
	printf '#!/bin/sh\ncat "$WORK/uid"\n' >"$work/bin/id"
	chmod +x "$work/bin"/*
}

# run_setup ARGUMENT...: its output is in $work/output, its status in $status.
run_setup() {
	WORK=$work PATH=$work/bin:$PATH CI=${ci-} "$abs_top_srcdir/build-aux/setup" \
		--os-release "$work/os-release" --policy-hook "$work/hook" "$@" \
		>"$work/output" 2>&1 </dev/null
	status=$?
}

reset() {
	rm -f "$work"/{apt,apt-fails,hook,hook-during,hook-status,hook.before-gpuvf}
	printf 'ID=debian\nVERSION_ID="12"\n' >"$work/os-release"
	echo 0 >"$work/uid"
	awk '/^build/ { print $2 }' "$abs_top_srcdir/build-aux/packages" >"$work/installed"
}

without() {
	sed -i "/^$1\$/d" "$work/installed"
}

make_programs
reset

run_setup build
check "all is there: success" test $status -eq 0
check "and apt is not asked" test ! -e "$work/apt"
check "and nothing is said" test ! -s "$work/output"

without uthash-dev
run_setup build
check "a missing package is installed" grep -q 'install.*uthash-dev' "$work/apt"
check "with the reason told" says "hash tables"
check "and none besides" bash -c "! grep -q 'install.*libvirt-dev' '$work/apt'"
check "success" test $status -eq 0
check "services were told not to start" test "$(cat "$work/hook-status")" = 101
check "the hook is gone again" test ! -e "$work/hook"

reset
without uthash-dev
printf '#!/bin/sh\n# mine\nexit 0\n' >"$work/hook"
chmod 755 "$work/hook"
run_setup build
check "a hook of the host is put aside" grep -q gpuvf "$work/hook-during"
check "and put back" grep -q mine "$work/hook"

touch "$work/apt-fails"
without uthash-dev
run_setup build
check "a failing apt is a failure" test $status -eq 1
check "and the hook is back all the same" grep -q mine "$work/hook"

cp "$work/hook" "$work/hook.before-gpuvf"
cp "$work/hook-during" "$work/hook"
rm "$work/apt-fails"
run_setup build
check "a hook that a killed run left is cleared away" grep -q mine "$work/hook"
check "for good" test ! -e "$work/hook.before-gpuvf"

reset
without uthash-dev
echo 1000 >"$work/uid"
run_setup build
check "without root: failure" test $status -eq 1
check "the missing package is named" says uthash-dev
check "and the command for root" says "sudo apt-get install"
check "and nothing is installed" test ! -e "$work/apt"

reset
printf 'ID=fedora\nVERSION_ID=40\n' >"$work/os-release"
run_setup build
check "another distribution: failure" test $status -eq 1
check "the packages are named" says libvirt-dev
check "and nothing is installed" test ! -e "$work/apt"
printf 'ID=debian\nVERSION_ID="11"\n' >"$work/os-release"
run_setup build
check "an older Debian is another distribution" test $status -eq 1
printf 'ID=debian\nPRETTY_NAME=sid\n' >"$work/os-release"
run_setup build
check "Debian without a number is a newer one" test $status -eq 0

run_setup all
check "an unknown word is a usage error" test $status -eq 2
check "every package has a reason" test -z "$(awk '/^[a-z]/ && NF < 3' "$abs_top_srcdir/build-aux/packages")"
echo "1..$count"
