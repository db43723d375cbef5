#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The script for real cards, on the emulated ones: what only looks writes nothing, what writes gives back.
# Takes about 60 s.
# testbed: --gpus flex170:vfs=7,a380 --limit 900
. "$TESTBED_SRC/lib.sh"

card=$(pf_address 0)
hardware=$SOURCE/tests/hardware/run

check "looking passes" "$hardware" --output /run/looked.txt
is "and writes nothing" "$(write_count 0)" 0
like "its transcript has the card" "$(cat /run/looked.txt)" "$card"
check_fails "a transcript is not written over" "$hardware" --output /run/looked.txt
check "writing passes" "$hardware" --write --yes --gpu "$card" --output /run/written.txt
is "no VF is left" "$(cat "$(pf_folder 0)/sriov_numvfs")" 0
check_fails "a card with VFs is no card to try on" grep -q "left alone" /run/written.txt
check "somebody cuts it" eval "echo 1 >$(pf_folder 0)/sriov_numvfs"
check "then it is only looked at" "$hardware" --write --yes --gpu "$card" --output /run/held.txt
check "and that is said" grep -q "left alone" /run/held.txt
is "its VF is still there" "$(cat "$(pf_folder 0)/sriov_numvfs")" 1
done_testing
