#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Chaos: random operations, outside changes, and kill -9 at every named step; after each round an independent
checker looks at the machine and the store.

  chaos.py [--rounds N] [--seed S] [--world W [--aim STEP]] [--at-once N] [--keep]

A world is one made-up machine and one state that go through 20 rounds; worlds run side by side.  The seed alone
decides what is done (not when the machine's answers come), so --seed S --world W does the same again.

From 1,000 rounds on no named step may be left out: each that was not met has a world of its own after the others, all
of whose rounds are aimed at it until it is met, and one that is met neither before nor after it is a failure."""

import argparse
import ast
import collections
import functools
import os
import random
import re
import sys
import tempfile
import time
import traceback

import choices
import life
from harness import folder_in_memory  # noqa: E402

ROUNDS_OF_WORLD = 20
THOROUGH = 1000  # rounds, from which on every step must be met
# Of a world that is aimed at a step: the worst of them is met once in six.
ROUNDS_OF_AIM = 12


def live(seed, number, rounds, keep=False, aim=()):
    """One world.  Returns (rounds, operations, answers, sprung, what is wrong or None)."""
    plan = choices.World(seed, number, ROUNDS_OF_WORLD, aim)
    world = life.Life(plan)
    done = 0
    try:
        for one in plan.rounds[:rounds]:
            if plan.aim and one.trap in world.sprung:
                break
            world.play(one)
            done += 1
        world.finish()
        wrong = None
    except BaseException:  # pylint: disable=broad-except
        # What is wrong comes last: where only the end of an output is kept, it is what must be there.
        wrong = f"world {number}, round {done}: {plan.rounds[min(done, rounds - 1)].trap}\n" \
                f"---- the daemon's log\n{told(world.log().splitlines())}\n" \
                f"---- what is wrong\n{traceback.format_exc()}{world.fate()}\n" \
                f"again: make chaos ROUNDS={ROUNDS_OF_WORLD} SEED={seed} WORLD={number}{of_aim(aim)}"
    finally:
        if not keep:
            world.end()
            life.World._worlds.clear()
    return done, world.operations, dict(world.answers_by_kind), world.sprung, wrong


def of_aim(aim):
    return "".join(f" AIM='{'/'.join(step)}'" for step in aim)


def told(lines):
    """The end of the log, and before it what it says of cards: that is long ago among many jobs."""
    of_cards = re.compile(r"gpu\d+: |gpu\.|tune|goes on|is ready|reboot")
    return "\n".join([line for line in lines[:-60] if of_cards.search(line)][-90:] + ["…"] + lines[-60:])


def in_child(*arguments):
    """The same in a process of its own; returns its pid and the file of its result."""
    output = tempfile.TemporaryFile("w+")
    pid = os.fork()
    if pid:
        return pid, output
    output.write(repr(live(*arguments)))
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


def unmet(tally):
    """The steps that no daemon was killed at, of those that there are here."""
    loads = life.can_load()
    return [step for step in choices.named_steps() if not tally.sprung[step] and (loads or not choices.in_store(step))]


def left_out(tally):
    """What was met on no side: named in words."""
    missing, there = unmet(tally), collections.Counter(step[:2] for step in choices.named_steps())
    count = collections.Counter(step[:2] for step in missing)
    return [" ".join(step) for step, times in count.items() if times == there[step]]


def live_all(tally, worlds, at_once, tell):
    """Worlds, each (seed, number, rounds, keep, aim), side by side; none begins once something is wrong."""
    left, running = collections.deque(worlds), {}
    while left or running:
        while left and len(running) < at_once and not tally.wrong:
            world = left.popleft()
            pid, output = in_child(*world)
            running[pid] = (world, output)
        if not running:
            break
        pid, status = os.wait()
        (_, number, _, _, aim), output = running.pop(pid)
        output.seek(0)
        text = output.read()
        tally.add(ast.literal_eval(text) if text else (0, 0, {}, [], f"world {number}: status {status}"))
        tell(f"world {number}{of_aim(aim)}: {tally.rounds} rounds, {tally.operations} operations")


def run(seed, rounds, at_once, first=0, keep=False, tell=lambda text: None):
    """As many worlds as it takes, from the first on; and where there are many, one for each step that they left out."""
    tally = Tally()
    count = (rounds + ROUNDS_OF_WORLD - 1) // ROUNDS_OF_WORLD
    worlds = [(seed, first + n, min(ROUNDS_OF_WORLD, rounds - n * ROUNDS_OF_WORLD), keep, ()) for n in range(count)]
    live_all(tally, worlds, at_once, tell)
    if rounds >= THOROUGH and not tally.wrong:
        worlds = [(seed, first + count + n, ROUNDS_OF_AIM, keep, (step,)) for n, step in enumerate(unmet(tally))]
        live_all(tally, worlds, at_once, tell)
        tally.wrong += [f"no daemon was killed at: {step}" for step in (() if tally.wrong else left_out(tally))]
    return tally


def report(tally, seconds):
    lines = [f"{tally.rounds} rounds, {tally.operations} operations, {sum(tally.sprung.values())} deaths at a named "
             f"step, {seconds:.1f} s: {tally.rounds / seconds:.1f} rounds and {tally.operations / seconds:.0f} operations a second"]
    steps, missing = choices.named_steps(), unmet(tally)
    met = sum(1 for step in steps if tally.sprung[step])
    lines.append(f"{met} of {len(steps)} named steps were met by kill -9" + (
        "" if life.can_load() else "; those of the store cannot be: this daemon takes no library before its own"))
    if tally.rounds >= THOROUGH and missing:
        lines.append(f"not met: {', '.join(' '.join(step) for step in missing)}")
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
    """Worlds side by side: most of what they do is waiting. A round takes a second and a half, a fifteenth of it of a processor."""
    return 6 * (os.cpu_count() or 1)


def main():
    parser = argparse.ArgumentParser(description="kill -9 at every named step, and a checker after each round")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", default=None)
    parser.add_argument("--world", type=int, default=None, help="that one alone")
    parser.add_argument("--aim", metavar="OPERATION/POINT/WHEN", help="… all of whose rounds are aimed at that step")
    parser.add_argument("--at-once", type=int, default=workers())
    parser.add_argument("--keep", action="store_true", help="leave the folders of the worlds")
    options = parser.parse_args()
    seed = options.seed or str(random.SystemRandom().randrange(1 << 32))
    rounds = options.rounds if options.world is None and not options.aim else min(options.rounds, ROUNDS_OF_WORLD)
    folder_in_memory((1 << 30) + workers() * (10 << 20))
    print(f"chaos: ROUNDS={rounds} SEED={seed}", flush=True)
    begin = time.monotonic()
    tell = functools.partial(print, " ", flush=True)
    if options.aim:
        tally = Tally()
        live_all(tally, [(seed, options.world or 0, rounds, options.keep, (tuple(options.aim.split("/")),))], 1, tell)
    else:
        tally = run(seed, rounds, options.at_once, options.world or 0, options.keep, tell)
    print("\n".join(report(tally, time.monotonic() - begin) + details(tally)))
    for wrong in tally.wrong:
        print(f"VIOLATION {wrong}")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
