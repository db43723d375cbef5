#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Checks units, sysusers and tmpfiles with systemd's own programs: TAP on stdout.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
: "${abs_top_builddir:=$abs_top_srcdir}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0

# result STATUS NAME: one line of TAP; what was printed becomes comments.
result() {
	count=$((count + 1))
	sed 's/^/# /' "$work/output" 2>/dev/null
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
	fi
	rm -f "$work/output"
}

skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# The built units, with a program that exists as the daemon: verify looks for it.
stage_units() {
	mkdir -p "$work/units" "$work/sbin"
	cp "$(type -P true)" "$work/sbin/gpuvfd"
	cp "$(type -P true)" "$work/sbin/gpuvf"
	for unit in gpuvfd.service gpuvfd.socket; do
		sed -e "s|^ExecStart=.*/gpuvfd|ExecStart=$work/sbin/gpuvfd|" \
			-e "s|^ExecReload=.*/gpuvf |ExecReload=$work/sbin/gpuvf |" \
			"$abs_top_builddir/systemd/$unit" >"$work/units/$unit" || return 1
	done
}

check_verify() {
	local status

	stage_units || return 1
	systemd-analyze verify --man=no "$work/units/gpuvfd.service" "$work/units/gpuvfd.socket" \
		>"$work/all" 2>&1
	status=$?
	# Only what is said of our units: the machine's others are not ours to mend.
	grep gpuvf "$work/all" >"$work/output"
	[ ! -s "$work/output" ] && { [ "$status" -eq 0 ] || ! cp "$work/all" "$work/output"; }
}

# A unit with a mistake must not pass, or the check above says nothing.
check_verify_finds() {
	stage_units || return 1
	sed -i 's/^WatchdogSec=.*/WatchdogSecs=30s/' "$work/units/gpuvfd.service"
	! check_verify_again
}

check_verify_again() {
	systemd-analyze verify --man=no "$work/units/gpuvfd.service" 2>&1 | grep gpuvf >"$work/all"
	[ ! -s "$work/all" ]
}

# Each hardening line has its reason in a comment above, alone or with neighbours.
check_reasons() {
	awk '
	/^# ---- Hardening/ { on = 1 }
	/^\[Install\]/ { on = 0 }
	!on { next }
	/^#/ { reason = 1; next }
	/^$/ { reason = 0; next }
	!reason { print "no reason for " $0; bad = 1 }
	{ lines++ }
	/^(ProtectKernelTunables|PrivateDevices|ProtectProc|PrivateNetwork)=/ { print "breaks the daemon: " $0; bad = 1 }
	END { exit bad || lines < 15 }' "$abs_top_srcdir/systemd/gpuvfd.service.in" >"$work/output"
}

check_substituted() {
	! grep -n '@[a-z]*@' "$abs_top_builddir/systemd/gpuvfd.service" \
		"$abs_top_builddir/systemd/gpuvfd.socket" >"$work/output"
}

check_settings() {
	local want

	for want in Type=notify NotifyAccess=main KillMode=process Restart=on-failure WatchdogSec= ExecReload=/ \
		"Requires=gpuvfd.socket" "Before=libvirtd.service virtqemud.service libvirt-guests.service"; do
		grep -q "^$want" "$abs_top_builddir/systemd/gpuvfd.service" ||
			{ echo "the service lacks $want" >"$work/output"; return 1; }
	done
	for want in ListenStream=/run/gpuvf/gpuvf.sock SocketMode=0660 SocketUser=root SocketGroup=gpuvf; do
		grep -q "^$want\$" "$abs_top_builddir/systemd/gpuvfd.socket" ||
			{ echo "the socket lacks $want" >"$work/output"; return 1; }
	done
}

check_sysusers() {
	mkdir -p "$work/root/etc"
	systemd-sysusers --root="$work/root" "$abs_top_srcdir/systemd/gpuvf.sysusers" \
		>"$work/output" 2>&1 && grep -q '^gpuvf:' "$work/root/etc/group" &&
		! grep -q '^gpuvf:' "$work/root/etc/passwd" 2>/dev/null
}

check_tmpfiles() {
	mkdir -p "$work/root/etc"
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$work/root/etc/passwd"
	printf 'root:x:0:\n' >"$work/root/etc/group"
	systemd-tmpfiles --root="$work/root" --create "$abs_top_srcdir/systemd/gpuvf.tmpfiles" \
		>"$work/output" 2>&1 &&
		[ "$(stat -c %a "$work/root/run/gpuvf")" = 755 ] &&
		[ "$(stat -c %a "$work/root/var/lib/gpuvf")" = 700 ]
}

echo 1..7
check_settings; result $? "the units say what daemon and clients count on"
check_substituted; result $? "no placeholder is left in the built units"
check_reasons; result $? "each hardening line has a reason, none stops the daemon from its work"
if command -v systemd-analyze >/dev/null; then
	check_verify; result $? "systemd-analyze verify is clean"
	check_verify_finds; result $? "systemd-analyze verify finds a mistake in the same unit"
else
	skip "systemd-analyze verify is clean" "systemd-analyze is not installed"
	skip "systemd-analyze verify finds a mistake" "systemd-analyze is not installed"
fi
if command -v systemd-sysusers >/dev/null; then
	check_sysusers; result $? "systemd-sysusers makes the group and no user"
else
	skip "systemd-sysusers makes the group and no user" "systemd-sysusers is not installed"
fi
if ! command -v systemd-tmpfiles >/dev/null; then
	skip "systemd-tmpfiles makes the folders" "systemd-tmpfiles is not installed"
elif [ "$(id -u)" -ne 0 ]; then
	skip "systemd-tmpfiles makes the folders" "needs root to give them to root"
else
	check_tmpfiles; result $? "systemd-tmpfiles makes the folders with their modes"
fi
