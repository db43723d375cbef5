#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Lets udev apply the rule to made-up devices (umockdev): TAP on stdout.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
rules=$abs_top_srcdir/udev-rules/90-gpuvf.rules
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0

# in_own_run COMMAND...: with a /run of its own, where udev finds the rule.
in_own_run() {
	# shellcheck disable=SC2016	# the inner shell expands it
	RULES=$rules unshare --map-root-user --mount sh -c '
		mount -t tmpfs tmpfs /run && mkdir -p /run/udev/rules.d &&
		cp "$RULES" /run/udev/rules.d/ && exec "$@"' sh "$@"
}

# device NAME VENDOR CLASS [ATTRIBUTE=VALUE]...: a PCI function for umockdev-run.
device() {
	local name=$1 vendor=$2 class=$3 attribute

	shift 3
	printf 'P: /devices/pci0000:00/0000:%s\nE: SUBSYSTEM=pci\nE: PCI_CLASS=%s\n' "$name" "${class#0x}"
	printf 'E: PCI_SLOT_NAME=0000:%s\nA: vendor=%s\\n\nA: class=%s\\n\n' "$name" "$vendor" "$class"
	for attribute; do
		case $attribute in
		physfn=*) printf 'L: physfn=%s\n' "${attribute#*=}" ;;
		*) printf 'A: %s\\n\n' "$attribute" ;;
		esac
	done
	printf '\n'
}

# wanted ACTION NAME: what systemd is asked to start for that device.
wanted() {
	in_own_run umockdev-run --device="$work/devices" -- \
		udevadm test --action="$1" "/sys/devices/pci0000:00/0000:$2" \
		>"$work/output" 2>"$work/errors"
	sed -n 's/^SYSTEMD_WANTS=//p' "$work/output"
}

# expect ACTION NAME WANTED WORDS: one line of TAP.
expect() {
	local found

	count=$((count + 1))
	found=$(wanted "$1" "$2")
	if [ "$found" = "$3" ] && grep -q '^ACTION=' "$work/output"; then
		echo "ok $count - $4"
	else
		echo "# wanted \"$3\", found \"$found\""
		sed 's/^/# /' "$work/errors" | tail -n 20
		echo "not ok $count - $4"
	fi
}

# drm NAME [PROPERTY=VALUE]...: a DRM device below the first GPU.
drm() {
	local name=$1

	shift
	printf 'P: /devices/pci0000:00/0000:03:00.0/drm/%s\nN: dri/%s\nE: SUBSYSTEM=drm\n' "$name" "$name"
	printf 'E: DEVNAME=/dev/dri/%s\nE: MAJOR=226\nE: MINOR=%s\n' "$name" "${name#card}"
	printf 'E: %s\n' "$@"
	printf 'A: dev=226:%s\n\n' "${name#card}"
}

# kept NAME: what is kept of a device that was given up.
kept() {
	in_own_run umockdev-run --device="$work/devices" -- \
		udevadm test --action=change "/sys/devices/pci0000:00/0000:03:00.0/drm/$1" \
		>"$work/output" 2>"$work/errors"
	sed -n 's/^GPUVF_WEDGED=//p' "$work/output"
}

expect_kept() {
	local found

	count=$((count + 1))
	found=$(kept "$1")
	if [ "$found" = "$2" ] && grep -q '^ACTION=' "$work/output"; then
		echo "ok $count - $3"
	else
		echo "# wanted \"$2\", found \"$found\""
		sed 's/^/# /' "$work/errors" | tail -n 20
		echo "not ok $count - $3"
	fi
}

make_devices() {
	drm card0 WEDGED=rebind,bus-reset
	drm card1 WEDGED=none
	drm card2 HOTPLUG=1
	device 03:00.0 0x8086 0x038000 sriov_totalvfs=31 sriov_numvfs=0
	device 03:00.1 0x8086 0x038000 physfn=../0000:03:00.0
	device 04:00.0 0x8086 0x030000
	device 05:00.0 0x8086 0x030000 sriov_totalvfs=0
	device 06:00.0 0x8086 0x020000 sriov_totalvfs=64
	device 07:00.0 0x1002 0x030000 sriov_totalvfs=16
	device 08:00.0 0x8086 0x030200 sriov_totalvfs=7
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

for program in udevadm umockdev-run unshare; do
	command -v "$program" >/dev/null || skip_all "$program is not installed"
done
in_own_run true 2>/dev/null || skip_all "this system gives no mount namespace to its users"
make_devices >"$work/devices"

echo 1..13
expect add 03:00.0 gpuvfd.service "an Intel GPU with SR-IOV wants the daemon"
expect bind 03:00.0 gpuvfd.service "a driver that binds to it wants the daemon too"
expect add 08:00.0 gpuvfd.service "so does a 3D controller"
expect add 03:00.1 "" "a VF wants nothing"
expect add 04:00.0 "" "an Intel GPU without SR-IOV wants nothing"
expect add 05:00.0 "" "an Intel GPU that offers 0 VFs wants nothing"
expect add 06:00.0 "" "an Intel network card wants nothing"
expect add 07:00.0 "" "a GPU of another maker wants nothing"
expect remove 03:00.0 "" "a GPU that goes wants nothing"

expect_kept card0 rebind,bus-reset "that a driver gave its device up is kept"
expect_kept card1 "" "one that works is not"
expect_kept card2 "" "nor another event"

count=$((count + 1))
if grep -v 'IMPORT{db}' "$rules" | grep -nE '(RUN|PROGRAM|IMPORT)[^a-z]*[+:]?=' | sed 's/^/# /' | grep .; then
	echo "not ok $count - the rule runs no program"
else
	echo "ok $count - the rule runs no program"
fi
