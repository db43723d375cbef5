# SPDX-License-Identifier: GPL-2.0-or-later
"""The time limit of jobs: over restarts of the daemon, over a date that is set, and with a store that cannot be written."""

import datetime
import json
import resource
import sqlite3
import time

from gpuvf_client import RpcError
from harness import World, equal, main, test, until

HOUR = 3600 * 10**6
# Keeps what it has when it is told to stop; `poke` has it say one word more, `go` lets it end.
PATIENT = ("trap 'echo kept; touch {f}/kept; exit 0' TERM; echo up; while ! test -e {f}/go; do sleep 0.02; "
           "if test -e {f}/poke; then rm {f}/poke; echo poked; fi; done; echo done")


def world_of():
    world = World()
    world.apply(1)
    return world


def submit(world, limit):
    return world.submit(PATIENT.format(f=world.folder), time_limit=limit)


def running(world, limit="1h"):
    number = submit(world, limit)
    world.until_job(number, "running")
    until(lambda: "up" in world.output(number), "it is up")
    return number


def change_row(world, number, change):
    """What the store says of it, while no daemon runs."""
    database = sqlite3.connect(world.state / "state.db")
    with database:
        doc = json.loads(database.execute("SELECT doc FROM job WHERE id = ?", [number]).fetchone()[0])
        change(doc)
        database.execute("UPDATE job SET doc = ? WHERE id = ?", [json.dumps(doc), number])
    database.close()


def goes_on(world, number):
    (world.folder / "poke").touch()
    until(lambda: "poked" in world.output(number), "it is followed")
    (world.folder / "go").touch()
    world.until_ended(number)
    equal(world.output(number), "up\npoked\ndone\n")


@test
def another_date():
    """The date was set, to and fro, while a job runs and the daemon is restarted: it has what is left of its limit."""
    for hours in (-2, 2):
        world = world_of()
        number = running(world)
        world.kill()

        def date(doc, by=hours):
            doc["attempts"][-1]["started_usec"] += by * HOUR
            doc["attempts"][-1]["started_boot"]["at"] += by * HOUR

        change_row(world, number, date)
        world.start()
        goes_on(world, number)
        world.end()


@test
def over_while_away():
    """It ran longer than it may while no daemon was there, by the clock that no date moves: over with the next one."""
    world = world_of()
    number = running(world)
    world.kill()

    since_boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def from_the_boot_on(doc):
        doc["attempts"][-1]["started_boot"]["boot"] = 1
        doc["attempts"][-1]["started_usec"] += 2 * HOUR
        doc["time_limit_usec"] = since_boot // 2

    change_row(world, number, from_the_boot_on)
    world.start()
    job = world.until_ended(number, "timeout")
    equal((job["attempts"][0]["result"], world.output(number)), ("timeout", "up\nkept\n"))


@test
def old_row():
    """A row of an earlier version tells of the date only, and that counts."""
    world = world_of()
    number = running(world)
    world.kill()

    def old(doc):
        del doc["attempts"][-1]["started_boot"]
        doc["attempts"][-1]["started_usec"] -= 2 * HOUR

    change_row(world, number, old)
    world.start()
    world.until_ended(number, "timeout")


def begin_trapped(when):
    """One whose daemon is killed when it sends the signal."""
    world = world_of()
    return world, world.killed_by(lambda: submit(world, "1s"), "guest-exec", argument="signal", kill=when)


@test
def killed_at_the_signal():
    """kill -9 before and after the signal for its time: stopped once, and a timeout, however it ended."""
    for when in ("before", "after"):
        world, number = begin_trapped(when)
        if when == "after":
            until(lambda w=world: (w.folder / "kept").exists(), "it has its signal")
        world.start()
        job = world.until_ended(number, "timeout")
        attempt = job["attempts"][0]
        equal((attempt["result"], job["attempt"], job["exit_code"]), ("timeout", 1, 0))
        equal(world.output(number), "up\nkept\n")
        began = datetime.datetime.fromisoformat(attempt["started_at"].replace("Z", "+00:00"))
        over = datetime.datetime.fromisoformat(attempt["limit_at"].replace("Z", "+00:00"))
        assert (over - began).total_seconds() >= 0.9, attempt
        world.end()


@test
def ended_by_itself():
    """… and one that came to its end before a signal was sent has its own result."""
    world, number = begin_trapped("before")
    (world.folder / "go").touch()
    until(lambda: list(world.state.glob(f"guests/*/var/lib/gpuvf-guest/jobs/{number}.1-*/exit")), "its command is over")
    world.start()
    job = world.until_ended(number)
    equal((job["attempts"][0]["result"], world.output(number)), ("succeeded", "up\ndone\n"))


@test
def full_disk():
    """Where nothing can be stored it is stopped all the same."""
    for limit in ("5s", "20s", "50s"):
        world = world_of()
        number = running(world, limit)
        size = max(p.stat().st_size for p in world.state.glob("state.db*"))
        resource.prlimit(world.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            while True:
                world.submit("true", hold=True, env={"A": "x" * 10000})
        except RpcError:
            pass
        assert world.call("daemon.status")["degraded"], "the status says nothing"
        in_time = not (world.folder / "kept").exists()
        until(lambda w=world: (w.folder / "kept").exists(), "it has its signal")
        resource.prlimit(world.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(lambda w=world: not w.call("daemon.status")["degraded"], "it is stored")
        world.until_ended(number, "timeout")
        world.end()
        if in_time:
            return
    raise AssertionError("the disk was full too late")


if __name__ == "__main__":
    main(at_once=True)
