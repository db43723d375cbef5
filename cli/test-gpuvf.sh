#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The built program from outside: what it links, and that manual page and completion know every verb and
# option that `gpuvf help` shows.  TAP on stdout.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
: "${abs_top_builddir:=$abs_top_srcdir/build}"
gpuvf=$abs_top_builddir/gpuvf
count=0

# result NAME PROBLEMS: fails when there are problems, and prints them.
result() {
	count=$((count + 1))
	if [ -z "$2" ]; then
		echo "ok $count - $1"
	else
		sed 's/^/# /' <<<"$2"
		echo "not ok $count - $1"
	fi
}

# A client that loads libvirt takes 15 ms longer for every call.
result "links jansson and the C library only" "$(
	readelf -d "$gpuvf" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
		grep -vE '^(libjansson|libc|libpthread|libasan|libubsan|libtsan|libgcov|ld-linux[^.]*|libm|libgcc_s)\.so'
)"

verbs=$("$gpuvf" help | awk '/^usage/ { on = 1 } /^Options/ { on = 0 } on && /^  [a-z]/ { print $1 }')
result "help lists verbs" "$([ "$(wc -w <<<"$verbs")" -ge 20 ] || echo "found only: $verbs")"

result "the manual page has every verb" "$(
	for verb in $verbs; do
		grep -qE "^\.It Cm $verb( |\$)" "$abs_top_srcdir/man/gpuvf.1" || echo "not there: $verb"
	done
)"

# shellcheck source=completions/gpuvf.bash
. "$abs_top_srcdir/completions/gpuvf.bash"
result "completion has every verb, and no other" "$(
	diff <(sort <<<"$verbs") <(printf '%s\n' "${!_gpuvf_options[@]}" | sort)
)"

result "completion has every option, and no other" "$(
	for verb in $verbs; do
		diff <("$gpuvf" help "$verb" | grep -oE '^  (-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort) \
			<(tr -s ' \t\n' '\n' <<<"${_gpuvf_options[$verb]-}" | grep -v '^$' | sort) |
			sed "s/^/$verb: /"
	done
)"

result "the manual page has every option" "$(
	for verb in $verbs; do
		"$gpuvf" help "$verb" | grep -oE '^  (-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' |
			while read -r option; do
				grep -qE -- "(Fl |\| )${option#-}( |\$)" "$abs_top_srcdir/man/gpuvf.1" ||
					echo "not there: $verb $option"
			done
	done
)"

result "a full disk is told" "$(
	"$gpuvf" help >/dev/full 2>/dev/null && echo "a write that failed is success"
)"

echo "1..$count"
