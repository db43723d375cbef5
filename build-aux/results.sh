# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Parts of ./check and their results.  A part is a function part_NAME; its output goes into
# RESULTS/NAME.log, its results into RESULTS/NAME.results, one a line: KIND, part, test, reason, with tabs.

part=
part_status=0
results=
: "${jobs:=1}" # of build.sh

results_begin() {
	results=$1
	rm -rf "$results"
	mkdir -p "$results" && : >"$results/none.results" || exit 1
	SECONDS=0
}

# result KIND NAME [REASON]: KIND is PASS, FAIL or SKIP.
result() {
	printf '%s\t%s\t%s\t%s\n' "$1" "$part" "$2" "${3:-}" >>"$results/$part.results"
}

pass() {
	result PASS "$@"
}

fail() {
	result FAIL "$@"
}

skip() {
	result SKIP "$@"
}

# tally KIND [PART]
tally() {
	awk -F '\t' -v kind="$1" -v part="${2:-}" \
		'$1 == kind && (part == "" || $2 == part) { n++ } END { print n + 0 }' "$results"/*.results
}

# run_part NAME TITLE: its results are counted; a failure without a result is one failed test.
# Sets part_status.
run_part() {
	local title=$2 began=$SECONDS failed log
	part=$1
	log=$results/$part.log
	echo "== $title"
	"part_$part" 2>&1 </dev/null | tee "$log" | highlights
	part_status=${PIPESTATUS[0]}
	failed=$(tally FAIL "$part")
	if [ $part_status -ne 0 ] && [ "$failed" -eq 0 ]; then
		fail "$title"
		failed=1
		echo "   the end of $log:"
		tail -n 40 "$log" | sed 's/^/   | /'
	fi
	printf '   %s passed, %s failed, %s skipped in %s s\n' "$(tally PASS "$part")" "$failed" \
		"$(tally SKIP "$part")" $((SECONDS - began))
}

# run_beside FUNCTION: it runs parts, one after the other, beside the parts that come next; wait_beside waits for its end
# and shows what it said.
run_beside() {
	set -m # a process group of its own, which ends with ours
	"$1" >"$results/beside.said" 2>&1 </dev/null &
	beside=$!
	set +m
	trap 'kill -- "-$beside"' EXIT
	trap 'exit 130' INT
}

wait_beside() {
	local status=0
	wait "$beside" || status=$?
	trap - EXIT INT
	cat "$results/beside.said"
	part=beside
	[ $status -eq 0 ] || fail "what ran beside the others ended with status $status"
}

# skip_part NAME TITLE REASON
skip_part() {
	part=$1
	echo "== $2: not run, $3"
	skip "$2" "$3"
}

# highlights: of a part's output, failures at once, and now and then that it goes on.
highlights() {
	awk '
		/^(not ok|FAIL|XPASS|ERROR|testbed |== )/ { say($0) }
		/^(ok|PASS)/ { if (++passed % 100 == 0) say("... " passed " passed") }
		function say(text) { print "   " text; fflush() }'
}

# automake_tests DIR TARGET [ARGUMENT...]: runs it, takes the results of automake's test driver.  test_flags: compiler
# flags for what the tests still need built.
# More tests at a time than there are processors, because most of them wait most of the time.
automake_tests() {
	local dir=$1 status=0
	shift
	results_of "$dir" -exec rm -f {} +
	jobs=$((jobs * 10)) build_make "$dir" "${test_flags:--Werror}" "$@" || status=$?
	take_trs "$dir"
	return $status
}

# results_of DIR ACTION...: find's action for the .trs files of a tree, without those of other trees that are built in it.
results_of() {
	local dir=$1
	shift
	find "$dir" \( -path "$dir/?san" -o -path "$dir/distcheck" -o -path "$dir/gpuvf-*" \) -prune -o -name '*.trs' "$@"
}

# has_results DIR
has_results() {
	[ -d "$1" ] && [ -n "$(find "$1" -name '*.trs')" ]
}

# The .trs file has a line per result, the .log file beside it their names, in the same order.  The logs of tests that
# failed are kept: the next part may write over them.
take_trs() {
	results_of "$1" -print | sort | while read -r file; do
		grep -qE '^:test-result: (FAIL|XPASS|ERROR)' "$file" &&
			cp "${file%.trs}.log" "$results/$part-$(basename "${file%.trs}").failed.log"
		awk -v OFS='\t' -v part="$part" '
			FILENAME ~ /\.trs$/ {
				if (/^:test-result: /)
					kinds[++n] = $2
				next
			}
			/^(PASS|FAIL|SKIP|XPASS|XFAIL|ERROR): / && kinds[found + 1] ":" == $1 {
				found++
				sub(/^[A-Z]+: /, "")
				names[found] = $0
			}
			END {
				for (i = 1; i <= n; i++) {
					kind = kinds[i]
					reason = ""
					if (match(names[i], / # SKIP */)) {
						reason = substr(names[i], RSTART + RLENGTH)
						names[i] = substr(names[i], 1, RSTART - 1)
					}
					if (kind == "XFAIL")
						kind = "PASS"
					if (kind != "PASS" && kind != "SKIP") {
						# A failed result makes the driver add an error for the status.
						if (kind == "ERROR" && failed)
							continue
						kind = "FAIL"
						failed = 1
					}
					print kind, part, names[i], reason
				}
			}' "$file" "${file%.trs}.log"
	done >>"$results/$part.results"
}

# testbed_scenario FILE: runs it in the testbed; a scenario without TAP is one test.  Another one may run beside it,
# so what it says comes in one piece, at its end.
testbed_scenario() {
	local name=${1##*/} status=0 began=$SECONDS log
	name=${name%.sh}
	log=$results/testbed-$name.log
	echo "== $name"
	tests/testbed/run --build build "$1" >"$log" 2>&1 || status=$?
	printf '== %s has ended with status %s after %s s\n%s\n' "$name" "$status" $((SECONDS - began)) "$(<"$log")"
	# A scenario that began again in a fresh machine (tests/testbed/run says why) counts once.
	awk '/the scenario begins again in a fresh machine$/ { n = 0; next } { line[++n] = $0 }
		END { for (i = 1; i <= n; i++) print line[i] }' "$log" >"$log.last"
	take_tap "$name" "$status" "$log.last"
	keep_said "$name" "$status" "$log.last"
}

# keep_said NAME STATUS LOG: what a scenario that failed said of it, for the end of ./check.
keep_said() {
	if grep -q '^not ok' "$3"; then
		awk '/^not ok/ { print; after = 12; next }
			/^#/ && after > 0 { print; after--; next }
			{ after = 0 }' "$3"
	elif [ "$2" -ne 0 ]; then
		tail -n 40 "$3"
	fi >"$results/testbed-$1.said"
}

# take_tap NAME STATUS LOG
take_tap() {
	awk -v OFS='\t' -v part="$part" -v name="$1" -v status="$2" '
		/^(not )?ok( |$)/ {
			kind = /^not/ ? "FAIL" : "PASS"
			reason = ""
			sub(/^(not )?ok *[0-9]* *(- )?/, "")
			if (match($0, / # SKIP */)) {
				kind = "SKIP"
				reason = substr($0, RSTART + RLENGTH)
				$0 = substr($0, 1, RSTART - 1)
			}
			sub(/ # at .*/, "")
			seen++
			failed += kind == "FAIL"
			print kind, part, name ": " $0, reason
		}
		/^1\.\.[0-9]+/ { plan = substr($0, 4) + 0; planned = 1 }
		END {
			if (status != 0 && !failed)
				print "FAIL", part, name ": it ended with status " status, ""
			else if (status == 0 && seen && (!planned || plan != seen))
				print "FAIL", part, name ": " seen " results, " plan + 0 " planned", ""
			else if (status == 0 && !seen)
				print "PASS", part, name, ""
		}' "$3" >>"$results/$part.results"
}

# failures: what tests said around what failed; a program's own "ok" lines repeat the driver's.
failures() {
	local log
	for log in "$results"/*.failed.log; do
		[ -e "$log" ] || continue
		echo "$log:"
		awk '
			/^(not )?ok / { next }
			/^(PASS|SKIP): / { n = after = 0; next }
			/^(FAIL|XPASS|ERROR): / {
				for (i = n > 12 ? n - 12 : 0; i < n; i++)
					say(line[i])
				say($0)
				n = 0
				after = 6
				next
			}
			after > 0 { say($0); after--; next }
			{ line[n++] = $0 }
			function say(text) { print "  | " substr(text, 1, 300) }' "$log" | tail -n 60
	done
	for log in "$results"/testbed-*.said; do
		[ -s "$log" ] || continue
		echo "${log%.said}.log:"
		sed 's/^\(.\{300\}\).*/\1/; s/^/  | /' "$log" | tail -n 60
	done
}

# The end of ./check: names what failed and what was skipped, and the counts alone on a line.
results_end() {
	local passed failed skipped
	passed=$(tally PASS) failed=$(tally FAIL) skipped=$(tally SKIP)
	echo
	failures
	if [ "$skipped" -gt 0 ]; then
		echo "skipped:"
		awk -F '\t' '$1 == "SKIP" { print "  " $2 ": " $3 ($4 ? " (" $4 ")" : "") }' "$results"/*.results
	fi
	if [ "$failed" -gt 0 ]; then
		echo "failed (output in $results/):"
		awk -F '\t' '$1 == "FAIL" { print "  " $2 ": " $3 }' "$results"/*.results
	fi
	echo "all parts took $((SECONDS / 60)) min $((SECONDS % 60)) s"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
