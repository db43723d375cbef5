#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Chaos: random operations, outside changes, and kill -9 at every named step; after each round an independent
checker looks at the machine and the store.

  chaos.py [--rounds N] [--seed S] [--world W] [--at-once N] [--keep]

A world is one made-up machine and one state that go through 20 rounds; worlds run side by side.  The seed alone
decides what is done (not when the machine's answers come), so --seed S --world W does the same again."""

import argparse
import ast
import collections
import os
import random
import re
import sys
import tempfile
import time
import traceback

import choices
import life

ROUNDS_OF_WORLD = 20


def live(seed, number, rounds, keep=False):
    """One world.  Returns (rounds, operations, answers, sprung, what is wrong or None)."""
    plan = choices.World(seed, number, ROUNDS_OF_WORLD)
    world = life.Life(plan)
    done = 0
    try:
        for one in plan.rounds[:rounds]:
            world.play(one)
            done += 1
        world.finish()
        wrong = None
    except BaseException:  # pylint: disable=broad-except
        # What is wrong comes last: where only the end of an output is kept, it is what must be there.
        wrong = f"world {number}, round {done}: {plan.rounds[min(done, rounds - 1)].trap}\n" \
                f"---- the daemon's log\n{told(world.log().splitlines())}\n" \
                f"---- what is wrong\n{traceback.format_exc()}{world.fate()}\n" \
                f"again: make chaos ROUNDS={ROUNDS_OF_WORLD} SEED={seed} WORLD={number}"
    finally:
        if not keep:
            world.end()
            life.World._worlds.clear()
    return done, world.operations, dict(world.answers_by_kind), world.sprung, wrong


def told(lines):
    """The end of the log, and before it what it says of cards: that is long ago among many jobs."""
    of_cards = re.compile(r"gpu\d+: |gpu\.|tune|goes on|is ready|reboot")
    return "\n".join([line for line in lines[:-60] if of_cards.search(line)][-90:] + ["…"] + lines[-60:])


def in_child(seed, number, rounds, keep):
    """The same in a process of its own; returns its pid and the file of its result."""
    output = tempfile.TemporaryFile("w+")
    pid = os.fork()
    if pid:
        return pid, output
    output.write(repr(live(seed, number, rounds, keep)))
    output.flush()
    os._exit(0)


class Tally:
    """What all worlds came to."""

    def __init__(self):
        self.rounds = self.operations = 0
        self.answers = collections.Counter()
        self.sprung = collections.Counter()
        self.wrong = []

    def add(self, result):
        rounds, operations, answers, sprung, wrong = result
        self.rounds += rounds
        self.operations += operations
        self.answers.update(answers)
        self.sprung.update(tuple(s) for s in sprung)
        if wrong:
            self.wrong.append(wrong)


def run(seed, rounds, at_once, first=0, keep=False, tell=lambda text: None):
    """As many worlds as it takes, from the first on."""
    tally = Tally()
    left = collections.deque()
    for number in range((rounds + ROUNDS_OF_WORLD - 1) // ROUNDS_OF_WORLD):
        left.append((first + number, min(ROUNDS_OF_WORLD, rounds - number * ROUNDS_OF_WORLD)))
    running = {}
    while left or running:
        while left and len(running) < at_once and not tally.wrong:
            number, count = left.popleft()
            pid, output = in_child(seed, number, count, keep)
            running[pid] = (number, output)
        if not running:
            break
        pid, status = os.wait()
        number, output = running.pop(pid)
        output.seek(0)
        text = output.read()
        tally.add(ast.literal_eval(text) if text else (0, 0, {}, [], f"world {number}: status {status}"))
        tell(f"world {number}: {tally.rounds} rounds, {tally.operations} operations")
    return tally


def report(tally, seconds):
    lines = [f"{tally.rounds} rounds, {tally.operations} operations, {sum(tally.sprung.values())} deaths at a named "
             f"step, {seconds:.1f} s: {tally.rounds / seconds:.1f} rounds and {tally.operations / seconds:.0f} operations a second"]
    steps = choices.named_steps()
    met = sum(1 for step in steps if tally.sprung[step])
    lines.append(f"{met} of {len(steps)} named steps were met by kill -9")
    return lines


def details(tally):
    """How often each named step was met by kill -9, and what the daemon answered."""
    met = collections.defaultdict(list)
    for operation, point, when in choices.named_steps():
        met[operation, point].append(f"{tally.sprung[operation, point, when]} {when}")
    lines = [f"met {operation} {point}: {', '.join(words)}" for (operation, point), words in met.items()]
    lines += [f"met while it started, {point} {when}: {count}" for (operation, point, when), count
              in sorted(tally.sprung.items()) if (operation, point, when) not in choices.named_steps()]
    for (method, code), count in sorted(tally.answers.items()):
        lines.append(f"{method}: {count} answers {code or 'done'}")
    return lines


def workers():
    """Worlds side by side: much of what they do is waiting."""
    return 4 * (os.cpu_count() or 1)


def folder_in_memory():
    """fsync of a disk is not what is tested: where there is a memory file system, worlds live there."""
    if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK):
        os.environ["TMPDIR"] = "/dev/shm"
        tempfile.tempdir = None


def main():
    parser = argparse.ArgumentParser(description="kill -9 at every named step, and a checker after each round")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", default=None)
    parser.add_argument("--world", type=int, default=None, help="that one alone")
    parser.add_argument("--at-once", type=int, default=workers())
    parser.add_argument("--keep", action="store_true", help="leave the folders of the worlds")
    options = parser.parse_args()
    seed = options.seed or str(random.SystemRandom().randrange(1 << 32))
    rounds = options.rounds if options.world is None else min(options.rounds, ROUNDS_OF_WORLD)
    folder_in_memory()
    print(f"chaos: ROUNDS={rounds} SEED={seed}", flush=True)
    begin = time.monotonic()
    tally = run(seed, rounds, options.at_once, options.world or 0, options.keep,
                lambda text: print(f"  {text}", flush=True))
    print("\n".join(report(tally, time.monotonic() - begin) + details(tally)))
    for wrong in tally.wrong:
        print(f"VIOLATION {wrong}")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
