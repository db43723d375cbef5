#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Load over a made-up machine with 64 VMs and 512 VFs: assign/release pairs a second through the API, with an
independent look at the invariants afterwards; and the daemon's memory over many operations.

  load.py [--seconds N] [--operations N] [--limit SECONDS]

The floor is the same number of daemon.status over the same connections: what the socket and one loop cost.  The promise
is for a state in memory, where the file system has one; the same over a database on the disk of the build tree is printed
beside what that disk's fdatasync does."""

import argparse
import itertools
import json
import os
import pathlib
import select
import shutil
import sys
import tempfile
import time

SOURCE = pathlib.Path(os.environ.get("abs_top_srcdir", pathlib.Path(__file__).resolve().parent.parent.parent))
sys.path[:0] = [str(SOURCE / "tests" / "integration"), str(SOURCE / "tests" / "chaos")]

import checker  # noqa: E402
from harness import PATIENCE, World, folder_in_memory, until  # noqa: E402

GPUS, VFS, VMS = 17, 31, 64
PROMISED_PAIRS = 1000
SETTLED = 50000  # operations
MACHINE = {"gpus": [{"model": "Flex 170", "driver": "xe", "total_vfs": VFS, "count": GPUS}],
           "vms": [{"name": "vm-%d", "count": VMS}]}
CONFIG = {"limits": {"connections_per_uid": 200}}


class Line:
    """One connection that has one request under way at a time.  It shares the processors with what is measured, so its
    requests are made once: pieces of text, between which only the id is new."""

    def __init__(self, world, *script):
        self.socket = world.client().socket
        self.socket.setblocking(True)
        self.script = itertools.cycle([self.pieces(*step) for step in script])
        self.done = self.refused = 0

    @staticmethod
    def pieces(method, params=None):
        request = {"jsonrpc": "2.0", "id": "ID", "method": method, **({"params": params} if params else {})}
        return json.dumps(request, separators=(",", ":")).encode().split(b'"ID"')

    def send(self):
        head, tail = next(self.script)
        self.socket.sendall(b"%b%d%b\n" % (head, self.done, tail))

    def receive(self):
        """The whole answer; what is sent when it has come."""
        data = self.socket.recv(1 << 16)
        while not data.endswith(b"\n"):
            more = self.socket.recv(1 << 16)
            assert more, f"the daemon hung up: {data}"
            data += more
        answer = json.loads(data)  # one line, or it is no JSON
        assert answer["id"] == self.done, answer
        self.done += 1
        self.refused += "result" not in answer


def pairs(vm):
    """Assign and release."""
    return (("vf.assign", {"vm": vm, "mode": "live", "wait_seconds": PATIENCE}),
            ("vf.release", {"vm": vm, "wait_seconds": PATIENCE}))


def drive(lines, seconds, requests=None):
    """All lines at once, until the time is over or so many requests are answered; then what is under way ends.
    Returns requests a second and their number."""
    by_fd = {line.socket.fileno(): line for line in lines}
    before = sum(line.done for line in lines)
    left, done = len(lines), 0
    with select.epoll() as poll:
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        begin = time.monotonic()
        for line in lines:
            line.send()
        while left:
            ready = poll.poll(PATIENCE)
            assert ready, f"no answer in {PATIENCE} s"
            over = time.monotonic() - begin > seconds
            for fd, _ in ready:
                line = by_fd[fd]
                line.receive()
                done += 1
                if (over or (requests and done + left > requests)) and line.done % 2 == 0:  # a pair is whole
                    left -= 1
                else:
                    line.send()
        spent = time.monotonic() - begin
    done = sum(line.done for line in lines) - before
    return done / spent, done


def processor_seconds(world):
    """Of the daemon with all its threads, so far."""
    words = pathlib.Path("/proc", str(world.process.pid), "stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident(world):
    """KiB of the daemon's memory."""
    for line in pathlib.Path("/proc", str(world.process.pid), "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def check(world):
    """Nothing is held, nothing is lost, nothing was given twice."""
    machine, rows = world.machine("state"), checker.rows_of(world.state)
    ledger = checker.Ledger(world.folder)
    wrong = checker.hard(machine, ledger) + checker.calm(machine, rows, [], ledger) + checker.final(machine, rows)
    assert not wrong, "\n".join(wrong)


def cut_all(world):
    client = world.client()
    for number in range(GPUS):
        client.call("gpu.apply", gpu=f"gpu{number}", layout={"vfs": VFS},
                    wait_seconds=PATIENCE)
    return sum(gpu["num_vfs"] for gpu in client.items("gpu.list"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--operations", type=int, default=1000000)
    parser.add_argument("--limit", type=float, default=1200,
                        help="seconds for --operations; what takes longer has failed")
    options = parser.parse_args()
    folder_in_memory()  # guests are folders: making files in them is not what is measured
    on_disk(options)
    world = World(MACHINE, config=CONFIG)
    try:
        vfs = cut_all(world)
        print(f"load: {VMS} VMs, {vfs} VFs on {GPUS} GPUs, {len(os.sched_getaffinity(0))} CPUs, "
              f"state in {world.folder}")
        floor, _ = drive([Line(world, ("daemon.status",)) for _ in range(VMS)], options.seconds / 4)
        lines = [Line(world, *pairs(f"vm-{number + 1}")) for number in range(VMS)]
        spent = processor_seconds(world)
        rate, done = drive(lines, options.seconds)
        spent = processor_seconds(world) - spent
        check(world)
        print(f"assign/release: {rate / 2:.0f} pairs a second over {done} requests, {sum(l.refused for l in lines)} "
              f"refused; promised are {PROMISED_PAIRS}; daemon.status: {floor:.0f} a second, a pair costs "
              f"{floor / (rate / 2):.1f} of them, and the daemon {spent * 2000 / done:.2f} ms of a processor; "
              f"invariants hold")
        grown = memory(world, lines, options)
        check(world)
    finally:
        World.end_all()
    if rate / 2 < PROMISED_PAIRS or any(line.refused for line in lines):
        print("NOT as promised")
        return 1
    return 1 if grown else 0


def syncs(folder, seconds=1):
    """Writes of 8 KiB, each with fdatasync, a second."""
    with tempfile.TemporaryFile(dir=folder) as file:
        begin = time.monotonic()
        for done in itertools.count(1):
            os.pwrite(file.fileno(), b"x" * 8192, done * 8192)
            os.fdatasync(file.fileno())
            if time.monotonic() - begin > seconds:
                return done / (time.monotonic() - begin)


def on_disk(options):
    """Pairs a second with the database on a disk; the guests, which are folders, stay in memory."""
    with tempfile.TemporaryDirectory(prefix="load-", dir=os.environ.get("abs_top_builddir", ".")) as folder:
        world = World(MACHINE, config=CONFIG, start=False)
        guests = world.folder / "guests"
        guests.mkdir()
        shutil.rmtree(world.state)
        world.state = pathlib.Path(folder)
        (world.state / "guests").symlink_to(guests)
        try:
            world.start()
            cut_all(world)
            rate, _ = drive([Line(world, *pairs(f"vm-{number + 1}")) for number in range(VMS)], options.seconds)
            check(world)
        finally:
            World.end_all()
        print(f"with its database on a disk of {syncs(folder):.0f} syncs a second: {rate / 2:.0f} pairs a second; "
              f"invariants hold", flush=True)


def has_grown(seen):
    """Whether it grows still after the first fifty thousand, where every list that is kept has its length.  seen:
    (operations, KiB) at each mark; one mark alone says nothing, and that is no success."""
    settled = [kib for count, kib in seen if count >= SETTLED - VMS]  # the last of each line end with a whole pair
    return len(settled) < 2 or settled[-1] > settled[0] * 1.1 + 4096


def memory(world, lines, options):
    """RSS at marks on the way to so many operations.  True when it grows, or they were not done within the limit."""
    marks = [m for m in (10000, SETTLED, 100000, 1000000) if m < options.operations] + [options.operations]
    begin = time.monotonic()
    total, seen = 0, []
    for mark in marks:
        left = options.limit - (time.monotonic() - begin)
        if mark > total and left > 0:
            _, done = drive(lines, left, mark - total)
            total += done
        seen.append((total, resident(world)))
        print(f"memory: {seen[-1][1]} KiB after {total} operations ({time.monotonic() - begin:.0f} s)", flush=True)
    short = total < options.operations - len(lines)
    if short:
        print(f"memory: stopped after {options.limit:.0f} s, at {total} of {options.operations} operations")
    return short or has_grown(seen)


if __name__ == "__main__":
    sys.exit(main())
