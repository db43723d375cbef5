# SPDX-License-Identifier: GPL-2.0-or-later
"""The made-up machine answers the script of tests/support/transcript.py as the testbed's kernel did
when tests/data/transcript.json was recorded (tests/testbed/scenarios/transcript.sh)."""

import contextlib
import io
import json
import sys

from harness import BUILD, SOURCE, comment, equal, main, test

sys.path.insert(0, str(SOURCE / "tests" / "support"))
# pylint: disable=wrong-import-position
import transcript  # noqa: E402

ADDRESSES = [f"0000:{bus:02x}:00.0" for bus in range(1, 1 + len(transcript.CARDS))]


def recorded():
    with open(SOURCE / "tests" / "data" / "transcript.json", encoding="utf-8") as stream:
        return json.load(stream)


@test
def same_as_the_kernel():
    """Every request to every kind of card is answered as the kernel answered it."""
    made_up = json.loads(json.dumps(transcript.simulated(str(BUILD / "gpuvf-machine"), ADDRESSES)))
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        count = transcript.compare(recorded(), made_up)
    comment(f"{sum(len(lines) for lines in made_up.values())} answers of {len(made_up)} cards")
    assert count == 0, said.getvalue()


@test
def differences_are_seen():
    """The comparison is not blind: a changed value, errno or missing line is told."""
    kernel = recorded()
    for change in (lambda t: t["i915"][4][1].update(r="EIO"),
                   lambda t: t["i915"][0][1]["facts"].update(total_vfs=6),
                   lambda t: t["i915"].pop(),
                   lambda t: t.pop("i915")):
        model = recorded()
        change(model)
        with contextlib.redirect_stdout(io.StringIO()):
            equal(transcript.compare(kernel, model), 1, "differences")


if __name__ == "__main__":
    main()
