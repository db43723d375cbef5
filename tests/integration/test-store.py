# SPDX-License-Identifier: GPL-2.0-or-later
"""state.db over the life of a host: upgraded, damaged, lost, put back; nothing is begun over it."""

import os
import shutil
import sqlite3
import subprocess

from harness import BUILD, PATIENCE, World, equal, main, test, until


def long_job(world, **members):
    """A job that notes each of its starts, and goes on until it is told to end."""
    stop = world.folder / f"stop-{len(os.listdir(world.folder))}"
    starts = world.folder / f"starts-{stop.name}"
    number = world.submit(f"echo start >>{starts}; while ! test -e {stop}; do sleep 0.02; done; echo done",
                          **members)
    world.until_job(number, "running")
    until(starts.exists, "it has started")
    return number, stop, starts


def refused_start(world, *words):
    """The daemon does not start, says these words, and says them in its log."""
    before = len(world.log())
    daemon = world.spawn()
    assert daemon.wait(PATIENCE) > 0, "it started"
    said = world.log()[before:]
    for word in words:
        assert word in said, f"\"{word}\" is not in: {said}"


def restore(world, path, check=0):
    done = subprocess.run([str(BUILD / world.program), "--state-dir", str(world.state), "--restore-backup",
                           str(path)], capture_output=True, text=True, timeout=PATIENCE, check=False)
    equal(done.returncode, check, f"status of --restore-backup ({done.stdout} {done.stderr})")
    return done


def until_libvirt(world):
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")


@test
def upgrade():
    """A newer daemon takes over: jobs are followed, VFs stay attached, and nothing starts twice."""
    world = World()
    world.apply(4)
    name = world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)["vf"]
    held = world.submit("true", hold=True)
    number, stop, starts = long_job(world, run_in={"vm": "trainer-2"})
    before, writes = world.vf(name), world.writes()
    for end in (world.kill, world.stop):
        end()
        world.program = "gpuvfd-next"
        world.start()
        until_libvirt(world)
        until(lambda: world.vf(name)["state"] == "attached", "the VF is attached")
        equal(world.vf(name)["lease"], before["lease"])
        world.until_job(number, "running")
    equal(world.job(held)["state"], "held")
    equal(world.writes(), writes, "writes since the upgrade")
    database = world.state / "state.db"
    backup = world.state / "state.db.schema-4.bak"
    equal(sqlite3.connect(database).execute("PRAGMA user_version").fetchone()[0], 5)
    equal(sqlite3.connect(backup).execute("PRAGMA user_version").fetchone()[0], 4)
    equal(os.stat(backup).st_mode & 0o777, 0o600)

    # The older one does not touch what it does not know.
    world.kill()
    copy = database.read_bytes()
    world.program = "gpuvfd"
    refused_start(world, "newer gpuvfd", "schema 5", "--restore-backup", "state.db.schema-4.bak")
    equal(database.read_bytes(), copy)

    # There is a way back; what ran at the time of the copy is followed, not begun again.
    restore(world, backup)
    world.start()
    until_libvirt(world)
    world.until_job(number, "running")
    equal(world.job(held)["state"], "held")
    stop.touch()
    equal(world.until_ended(number)["attempt"], 1)
    equal(starts.read_text(), "start\n")
    equal(world.output(number), "done\n")


def table(name):
    return f"CREATE TABLE {name} (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL);"


# What the first release made, with the rows that are there.
FIRST_SCHEMA = "DELETE FROM audit; DROP TABLE commits; DROP TABLE aside;" + "".join(
    f"ALTER TABLE {name} RENAME TO old_{name};"
    for name in ("meta", "gpu", "lease", "job", "operation", "request", "event", "audit")) + \
    "DROP INDEX job_state; DROP INDEX job_user; DROP INDEX audit_at;" + \
    "".join(map(table, ("meta", "gpu", "lease"))) + \
    "CREATE TABLE job (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL," \
    " state TEXT GENERATED ALWAYS AS (json_extract(doc, '$.state')) VIRTUAL," \
    " user TEXT GENERATED ALWAYS AS (json_extract(doc, '$.user')) VIRTUAL);" \
    "CREATE INDEX job_state ON job (state);" \
    "CREATE INDEX job_user ON job (user);" + \
    "".join(map(table, ("operation", "request", "event", "audit"))) + "".join(
        f"INSERT INTO {name} (id, doc) SELECT id, doc FROM old_{name}; DROP TABLE old_{name};"
        for name in ("meta", "gpu", "lease", "job", "operation", "request", "event", "audit")) + \
    "UPDATE event SET doc = json_extract(doc, '$.events[0]');" \
    "PRAGMA user_version = 1;"


@test
def first_release():
    """State of the first release is brought to the present schema while its jobs run."""
    world = World()
    world.apply(1)
    number, stop, starts = long_job(world)
    world.stop()
    connection = sqlite3.connect(world.state / "state.db")
    connection.executescript(FIRST_SCHEMA)
    connection.close()
    (world.state / "state.mark").unlink()
    world.start()
    assert (world.state / "state.db.schema-1.bak").exists(), "no copy was kept"
    equal(world.call("daemon.status")["troubles"], [])
    since = world.client()
    since.call("event.subscribe", since=1)
    equal(since.next_event()["seq"], 1, "its first event")
    world.until_job(number, "running")
    stop.touch()
    world.until_ended(number)
    equal(starts.read_text(), "start\n")


@test
def put_back():
    """A damaged state.db is refused; from a copy, what runs is followed and what waited is held."""
    world = World()
    world.apply(2)
    number, stop, starts = long_job(world, run_in={"vm": "trainer-2"}, retries=3)
    waits = world.submit("true", run_in={"vm": "trainer-2"})
    done_since = world.folder / "done-since"
    repeats = world.submit(f"echo start >>{done_since}", hold=True)
    world.stop()
    copy = world.folder / "copy.db"
    shutil.copy(world.state / "state.db", copy)

    # Since then: one that was held has run, new ones came, a VM got a VF.
    world.start()
    until_libvirt(world)
    world.call("job.unhold", id=repeats)
    world.call("job.cancel", id=waits)
    world.until_ended(waits, "cancelled")
    stop.touch()
    world.until_ended(number)
    world.until_ended(repeats)
    later = world.submit("true", hold=True)
    name = world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)["vf"]
    epoch = world.vf(name)["lease"]["epoch"]
    writes = world.writes()
    world.kill()
    for path in world.state.glob("state.db-*"):
        path.unlink()
    with open(world.state / "state.db", "r+b") as database:
        database.truncate(8192)
    refused_start(world, "state.db is damaged", "left as it is", "--restore-backup", "mv ")
    refused_start(world, "state.db is damaged")
    equal(len(list(world.state.glob("state.db.damaged-*"))), 1)

    done = restore(world, copy)
    assert "gpuvf unhold" in done.stdout, done.stdout
    world.start()
    until_libvirt(world)
    equal(world.job(waits)["state"], "held")
    assert "put back from a copy" in world.job(waits)["reason"], world.job(waits)["reason"]
    until(lambda: world.job(number)["state"] in ("held", "ended"), "the job is not begun again")
    equal(starts.read_text(), "start\n")
    equal(done_since.read_text(), "start\n")
    assert int(world.submit("true", hold=True)) > int(later), "an id was given twice"
    # What libvirt shows counts: the VF has a holder that the copy knows nothing of.
    until(lambda: world.vf(name)["state"] == "attached", "the VF is adopted")
    equal((world.vf(name)["vm"], world.vf(name)["lease"]["owner"]), ("trainer-1", "foreign"))
    assert world.vf(name)["lease"]["epoch"] > epoch
    equal(world.writes(), writes, "writes since the copy was put back")
    world.call("job.unhold", id=waits)
    world.until_ended(waits)


@test
def nothing_is_begun_over_it():
    """Without state.db, with an old copy of it, or with a -wal that was cut: refused."""
    world = World()
    world.apply(2)
    world.submit("true", hold=True)
    world.stop()
    old = (world.state / "state.db").read_bytes()
    world.start()
    second = world.submit("true", hold=True)
    world.kill()
    files = {p.name: p.read_bytes() for p in world.state.glob("state.db*")}
    assert "state.db-wal" in files, files.keys()

    def lay(**changed):
        for path in world.state.glob("state.db*"):
            path.unlink()
        for name, data in {**files, **{k.replace("_", "-"): v for k, v in changed.items()}}.items():
            if data is not None:
                (world.state / name).write_bytes(data)
                os.chmod(world.state / name, 0o600)

    lay(**{"state.db": None, "state.db-wal": None, "state.db-shm": None})
    refused_start(world, "state.db is missing", "there was state here", "--restore-backup")
    assert not (world.state / "state.db").exists(), "it began a new one"
    lay(**{"state.db": b"", "state.db-wal": None, "state.db-shm": None})
    refused_start(world, "state.db is empty", "there was state here")
    lay(**{"state.db": old, "state.db-wal": None, "state.db-shm": None})
    refused_start(world, "has lost its last changes", "state.mark")
    wal = files["state.db-wal"]
    lay(**{"state.db-wal": wal[:len(wal) // 2], "state.db-shm": None})
    refused_start(world, "has lost its last changes")
    lay()
    world.start()
    equal(world.job(second)["state"], "held")


@test
def unreadable_row():
    """A row that cannot be read is put aside and shown; the rest goes on, no number is given twice."""
    world = World()
    jobs = [world.submit("true", hold=True) for _ in range(3)]
    world.stop()
    connection = sqlite3.connect(world.state / "state.db")
    connection.execute("UPDATE job SET doc = replace(doc, '\"held\"', '\"dreaming\"') WHERE id = ?", (jobs[2],))
    connection.commit()
    connection.close()
    world.start()
    equal(sorted(j["id"] for j in world.items("job.list")), jobs[:2])
    troubles = world.call("daemon.status")["troubles"]
    assert any(t["what"] == "unreadable" and jobs[2] in t["subject"] for t in troubles), troubles
    assert f'job row "{jobs[2]}"' in world.cli("status", check=0).stdout
    found = [one for one in world.call("daemon.doctor")["findings"] if one["id"] == "rows-unreadable"]
    equal([(one["severity"], one["evidence"][0]["source"]) for one in found], [("warning", f'job row "{jobs[2]}"')])
    assert world.submit("true", hold=True) not in jobs, "an id was given twice"
    connection = sqlite3.connect(world.state / "state.db")
    kind, text = connection.execute("SELECT kind, doc FROM aside").fetchone()
    assert kind == "job" and "dreaming" in text, text


@test
def restore_needs_the_state_alone():
    """A copy is not put in place under a daemon that runs."""
    world = World()
    shutil.copy(world.state / "state.db", world.folder / "copy")
    done = restore(world, world.folder / "copy", check=1)
    assert "another gpuvfd" in done.stderr, done.stderr
    world.call("daemon.status")


if __name__ == "__main__":
    main()
