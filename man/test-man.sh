#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Lets a formatter read each manual page and takes no warning: TAP on stdout.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
cd "$abs_top_srcdir/man" || exit 1
pages=(*.[0-9])
count=0

if command -v mandoc >/dev/null; then
	check() { mandoc -T lint -W warning "$1"; }
elif command -v groff >/dev/null; then
	check() { groff -mdoc -ww -z -Tutf8 "$1"; }
else
	echo "1..0 # SKIP neither mandoc nor groff is installed"
	exit 0
fi

# A reference to a page of ours must have its page.
references() {
	sed -n 's/^\.Xr \(gpuvf[a-z.-]*\) \([0-9]\).*/\1.\2/p' "$1" | while read -r page; do
		[ -e "$page" ] || echo "no page $page"
	done
}

echo "1..${#pages[@]}"
for page in "${pages[@]}"; do
	count=$((count + 1))
	said=$(check "$page" 2>&1; references "$page")
	if [ -z "$said" ]; then
		echo "ok $count - $page"
	else
		sed 's/^/# /' <<<"$said"
		echo "not ok $count - $page"
	fi
done
