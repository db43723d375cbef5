# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Building, for ./demo and ./check, which source it from the top of the source tree.

unset MAKEFLAGS MAKELEVEL GPUVF_SOCKET
export LC_ALL=C.UTF-8
jobs=$(nproc 2>/dev/null || echo 1)

# build_configure DIR [OPTION...]: a configured build tree; does nothing when it is there.
build_configure() {
	local dir=$1
	shift
	if [ ! -x configure ] || [ ! -e Makefile.in ]; then
		./autogen.sh || return
	fi
	[ -e "$dir/config.status" ] && [ -e "$dir/Makefile" ] && return
	mkdir -p "$dir" || return
	# The testbed installs the tree as a distribution would.
	(cd "$dir" && "$OLDPWD/configure" --quiet --prefix=/usr --sysconfdir=/etc --localstatedir=/var "$@")
}

# build_make DIR FLAGS [ARGUMENT...]: make with extra compiler flags.
build_make() {
	local dir=$1 flags=$2
	shift 2
	make -C "$dir" --no-print-directory -j"$jobs" ${flags:+"CFLAGS=-g -O2 $flags"} "$@"
}

# build_tree DIR FLAGS [CONFIGURE-OPTION...]
build_tree() {
	local dir=$1 flags=$2
	shift 2
	build_configure "$dir" "$@" && build_make "$dir" "$flags" all
}
