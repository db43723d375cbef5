# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that is full, and state that cannot be read: said, refused, nothing lost."""

import os
import resource
import subprocess

from gpuvf_client import DEGRADED, RpcError
from harness import PATIENCE, World, equal, main, test, until


def set_limit(world, value):
    """How large files of the daemon may become, from now on."""
    resource.prlimit(world.process.pid, resource.RLIMIT_FSIZE, (value, resource.RLIM_INFINITY))


def fill(world):
    """Jobs until one is refused; returns the ids of those that were taken, and the refusal."""
    accepted = []
    for _ in range(5000):
        try:
            accepted.append(world.submit("true", hold=True, name="x" * 120, env={"A": "x" * 1000}))
        except RpcError as error:
            return accepted, error
    raise AssertionError("the disk never gets full")


@test
def full_disk():
    """When the store cannot be written, changes are refused as degraded, and looking goes on."""
    world = World()
    world.apply(2)
    number = world.submit("sleep 1000")
    world.until_job(number, "running")
    sizes = [p.stat().st_size for p in world.state.glob("state.db*")]
    set_limit(world, max(sizes) + 16384)
    accepted, refusal = fill(world)
    equal(refusal.code, DEGRADED, str(refusal))
    assert world.call("daemon.status")["degraded"], "the status says nothing"
    equal(len(world.items("gpu.list")), 1)
    until(lambda: world.job(number)["state"] == "running", "the running job is still followed")
    there = {j["id"] for j in world.items("job.list")}
    assert set(accepted) <= there, "an accepted job is lost"
    writes = world.writes()["sriov_numvfs"]
    try:
        world.apply(1)
    except RpcError as error:
        equal(error.code, DEGRADED, str(error))
    else:
        raise AssertionError("a change was taken while degraded")
    equal(world.writes()["sriov_numvfs"], writes)
    set_limit(world, resource.RLIM_INFINITY)

    def works_again():
        try:
            return world.submit("true", hold=True)
        except RpcError:
            return None

    until(works_again, "it takes jobs again when there is room")
    world.crash_and_restart()
    there = {j["id"] for j in world.items("job.list")}
    assert set(accepted) <= there, f"lost after a restart: {set(accepted) - there}"


@test
def garbage_database():
    """A state.db that is no database: the daemon does not start, says why, and changes nothing."""
    world = World(start=False)
    database = world.state / "state.db"
    database.write_bytes(b"this is no database" * 1000)
    daemon = world.spawn()
    status = daemon.wait(PATIENCE)
    assert status > 0, status
    assert "state.db" in world.log(), world.log()
    equal(database.read_bytes(), b"this is no database" * 1000)


@test
def newer_database():
    """State of a newer version is refused, not touched."""
    world = World()
    world.stop()
    python = ("import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
              "c.execute('PRAGMA user_version = 100000'); c.commit()")
    subprocess.run(["/usr/bin/python3", "-c", python, str(world.state / "state.db")], check=True)
    daemon = world.spawn()
    assert daemon.wait(PATIENCE) > 0
    assert "version" in world.log().splitlines()[-1] or "newer" in world.log(), world.log()


@test
def unwritable_state():
    """A state folder that cannot be made: refused with its name."""
    world = World(start=False)
    blocker = world.folder / "file"
    blocker.write_text("")
    world.state = blocker / "state"
    daemon = world.spawn()
    assert daemon.wait(PATIENCE) > 0
    assert str(blocker) in world.log(), world.log()


@test
def private_files():
    """State and job output are for the daemon's user alone."""
    world = World()
    world.apply(1)
    number = world.submit("echo secret")
    world.until_ended(number)
    for folder, folders, files in os.walk(world.state):
        if "guests" in folders:
            folders.remove("guests")  # the machine's, and changing still
        for name in folders + files:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and "machine" not in name:
                equal(os.stat(path).st_mode & 0o077, 0, f"mode of {path}")


@test
def bad_configuration():
    """A configuration with a typo: not started, file, line and column are told."""
    world = World(start=False)
    world.config.write_text('{\n\t"limits": {"connection": 5}\n}\n')
    daemon = world.spawn()
    assert daemon.wait(PATIENCE) > 0
    assert "gpuvfd.json:2:" in world.log() and "connection" in world.log(), world.log()


@test
def bad_machine():
    """A simulation document with a typo: not started, the place is told."""
    world = World(start=False)
    world.document.write_text('{\n\t"gpus": [{"modle": "Flex 170"}]\n}\n')
    daemon = world.spawn()
    assert daemon.wait(PATIENCE) > 0
    assert "modle" in world.log(), world.log()


if __name__ == "__main__":
    main()
