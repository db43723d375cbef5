# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit trail: who changed what, from what to what; durable with the change, seen by operators only."""

import json
import os
import pwd
import sqlite3
import subprocess
import time

from gpuvf_client import INVALID_PARAMS, NOT_PERMITTED, RpcError
from harness import BUILD, PATIENCE, POLICY, Skip, World, equal, main, refused, seeded, test, until

AS_OTHER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
os.setgid({gid}); os.setuid({uid})
from gpuvf_client import Client, RpcError
client = Client(sys.argv[2], 60)
for method, params in json.loads(sys.argv[3]):
    try:
        print(json.dumps(dict(result=client.call(method, **params))))
    except RpcError as error:
        print(json.dumps(dict(error=error.code)))
"""


def need_root():
    if os.getuid() != 0:
        raise Skip("needs root to be somebody else")


def as_nobody(world, *calls):
    """The answers, and the pid that asked."""
    entry = pwd.getpwnam("nobody")
    os.chmod(world.folder, 0o755)
    os.chmod(world.socket, 0o666)
    code = AS_OTHER.format(uid=entry.pw_uid, gid=entry.pw_gid)
    with subprocess.Popen(["/usr/bin/python3", "-c", code, os.path.dirname(os.path.abspath(__file__)), world.socket,
                           json.dumps(calls)], stdout=subprocess.PIPE, text=True) as process:
        out = process.communicate(timeout=PATIENCE)[0]
    return [json.loads(line) for line in out.splitlines()], process.pid


def trail(world, **filters):
    """Rows, the oldest first."""
    return list(reversed(world.items("audit.list", **filters)))


def short(row):
    state = {when: (row[when] or {}).get("state") for when in ("before", "after")}
    return row["method"], row["subject"], row["outcome"], state["before"], state["after"]


def parts(row):
    """What an assigned VF looks like beside its state."""
    return tuple(tuple((row[when] or {}).get(name) for name in ("live", "config")) for when in ("before", "after"))


@test
def whole_story():
    """Each change has one row, with uid, pid, method, policy revision, before and after."""
    world = World()
    revision = world.call("daemon.status")["policy_revision"]
    start = len(trail(world))
    world.apply(2)
    world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)
    world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)  # no change
    world.call("vf.release", vm="trainer-1", wait_seconds=PATIENCE)
    number = world.submit("true", run_in={"vm": "trainer-2"})
    world.until_ended(number)
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "the VF is free")
    held = world.submit("true", hold=True)
    world.call("job.unhold", id=held)
    world.call("job.cancel", id=held)
    until(lambda: world.job(held)["state"] == "ended", "it is cancelled")
    rows = trail(world)[start:]
    equal([row["audit"] for row in rows], list(range(rows[0]["audit"], rows[0]["audit"] + len(rows))))
    wanted = [
        ("gpu.apply", "gpu0", "changed", "unmanaged", "unmanaged"),     # what is wanted
        ("gpu.apply", "gpu0", "changed", "unmanaged", "ready"),         # what is there
        ("vf.assign", "gpu0/vf1", "changed", "free", "leased"),
        ("vf.assign", "gpu0/vf1", "changed", "leased", "attached"),
        ("vf.release", "trainer-1", "accepted", None, "accepted"),
        ("vf.release", "gpu0/vf1", "changed", "attached", "free"),
        ("job.submit", number, "changed", None, "queued"),
        ("daemon:job", "gpu0/vf1", "changed", "free", "leased"),
        ("daemon:job", "gpu0/vf1", "changed", "leased", "attached"),
        ("daemon:job", number, "changed", "queued", "running"),
        ("daemon:job", "gpu0/vf1", "changed", "attached", "free"),
        ("daemon:job", number, "changed", "running", "ended"),
        ("job.submit", held, "changed", None, "held"),
        ("job.unhold", held, "changed", "held", "queued"),
    ]
    got = [short(row) for row in rows]
    equal(got[:len(wanted)], wanted)
    assert ("job.cancel", held) in [row[:2] for row in got], got
    for row in rows:
        equal(row["policy_revision"], revision)
        equal(row["uid"], os.getuid())
        daemon = row["method"].startswith("daemon:")
        equal(row["pid"], world.process.pid if daemon else os.getpid(), f"pid of {row}")
    layout = rows[0]["after"]["manual_layout"]
    equal([vfs["count"] for vfs in layout], [2])
    equal(rows[2]["after"]["vm"], "trainer-1")


@test
def by_the_daemon():
    """What others did and what a restart finds is told as the daemon's own; a restart alone is no change."""
    world = World()
    world.apply(2)
    world.call("vf.assign", vm="trainer-1", vf="gpu0/vf1", wait_seconds=PATIENCE)
    start = len(trail(world))
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", vf=2, alias="hostdev0")
    until(lambda: world.vf("gpu0/vf2")["state"] == "attached", "it is adopted")
    world.machine("foreign-detach", vm="trainer-2", gpu="gpu0", vf=2)
    until(lambda: world.vf("gpu0/vf2")["state"] == "free", "it is back")
    rows = trail(world)[start:]
    equal([short(row) for row in rows], [("daemon:adopt", "gpu0/vf2", "changed", "free", "attached"),
                                         ("daemon:vm", "gpu0/vf2", "changed", "attached", "free")])
    equal({(row["uid"], row["pid"]) for row in rows}, {(os.getuid(), world.process.pid)})
    start += len(rows)
    world.crash_and_restart()
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
    equal(trail(world)[start:], [], "rows of a restart that found everything as it was")
    world.kill()
    world.machine("foreign-detach", vm="trainer-1", gpu="gpu0", vf=1)
    world.start()
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "it is back")
    row = trail(world)[start]
    equal((row["subject"], row["before"]["state"], row["after"]["state"]), ("gpu0/vf1", "attached", "free"))
    assert row["method"].startswith("daemon:"), row


@test
def over_a_boot():
    """What a boot of the host ends and what outlives it is told, in the rows of the start."""
    world = World({"vms": [{"name": "trainer-1"}, {"name": "trainer-2"}, {"name": "off", "state": "off"}]})
    world.apply(3)
    for vm, index, mode in (("trainer-1", 1, "live"), ("trainer-2", 2, "both"), ("off", 3, "config")):
        world.call("vf.assign", vm=vm, vf=f"gpu0/vf{index}", mode=mode, wait_seconds=PATIENCE)
    start = len(trail(world))
    world.boot()
    until(lambda: world.gpu()["num_vfs"] == 3 and world.vf("gpu0/vf2")["state"] == "reserved", "it is as it was")
    rows = [row for row in trail(world)[start:] if row["subject"] != "gpu0"]
    equal([(*short(row), *parts(row)) for row in sorted(rows, key=lambda row: row["subject"])], [
        ("daemon:recover", "gpu0/vf1", "changed", "attached", "free", (True, None), (None, None)),
        ("daemon:recover", "gpu0/vf2", "changed", "attached", "reserved", (True, True), (None, True)),
    ])
    world.crash_and_restart()
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
    equal([row for row in trail(world)[start + len(rows):] if row["subject"] != "gpu0"], [], "rows of another start")


@test
def no_object_looks_different():
    """What no state shows is told all the same: tuning with its values, a reset, a drain."""
    world = World()
    world.apply(2)
    start = len(trail(world))
    world.call("vf.tune", vf="gpu0/vf1", exec_quantum_ms=30)
    world.call("vf.reset", vf="gpu0/vf1", wait_seconds=PATIENCE)
    world.call("gpu.drain", gpu="gpu0", wait_seconds=PATIENCE)
    world.call("gpu.undrain", gpu="gpu0")
    rows = trail(world)[start:]
    equal([short(row) for row in rows], [
        ("vf.tune", "gpu0/vf1", "accepted", None, "accepted"),
        ("vf.tune", "gpu0", "changed", "ready", "ready"),  # the layout takes the value over
        ("vf.reset", "gpu0/vf1", "accepted", None, "accepted"),
        ("vf.reset", "gpu0/vf1", "changed", "running", "done"),
        ("gpu.drain", "gpu0", "changed", "ready", "draining"),
        ("gpu.drain", "gpu0", "changed", "running", "done"),
        ("gpu.undrain", "gpu0", "changed", "draining", "ready"),
    ])
    equal(rows[0]["after"]["values"], {"exec_quantum_ms": 30})
    equal([vfs.get("exec_quantum_ms") for vfs in rows[1]["after"]["manual_layout"]], [30, None])
    equal({row["pid"] for row in rows}, {os.getpid()})


@test
def sides_and_ends():
    """The side that a VM gets or loses, and an end that is set, moved or taken away, have each one row; who died is
    told from whose time was over."""
    world = World()
    world.apply(1)
    vf = "gpu0/vf1"
    start = len(trail(world))
    world.call("vf.assign", vm="trainer-1", mode="live", for_seconds=3600, wait_seconds=PATIENCE)
    world.call("vf.assign", vm="trainer-1", mode="both", wait_seconds=PATIENCE)
    world.call("vf.assign", vm="trainer-1", for_seconds=7200, wait_seconds=PATIENCE)
    world.call("vf.assign", vm="trainer-1", for_seconds=0, wait_seconds=PATIENCE)
    world.call("vf.release", vm="trainer-1", mode="live", wait_seconds=PATIENCE)
    world.call("vf.assign", vm="trainer-1", mode="live", wait_seconds=PATIENCE)
    world.call("vf.release", vm="trainer-1", mode="config", wait_seconds=PATIENCE)
    rows = trail(world, subject=vf)
    rows = rows[-len([r for r in trail(world)[start:] if r["subject"] == vf]):]
    live, config, both, none = (True, None), (None, True), (True, True), (None, None)
    equal([(*short(row), *parts(row)) for row in rows if row["outcome"] == "changed"], [
        ("vf.assign", vf, "changed", "free", "leased", none, live),
        ("vf.assign", vf, "changed", "leased", "attached", live, live),
        ("vf.assign", vf, "changed", "attached", "attached", live, both),
        ("vf.assign", vf, "changed", "attached", "attached", both, both),      # another end
        ("vf.assign", vf, "changed", "attached", "attached", both, both),      # no end
        ("vf.release", vf, "changed", "attached", "reserved", both, config),
        ("vf.assign", vf, "changed", "reserved", "attached", config, both),
        ("vf.release", vf, "changed", "attached", "attached", both, live),
    ])
    ends = [(row["before"].get("expires"), row["after"].get("expires")) for row in rows if row["outcome"] == "changed"]
    equal([(bool(a), bool(b)) for a, b in ends], [(False, True), (True, True), (True, True), (True, True), (True, False),
                                                  (False, False), (False, False), (False, False)])
    equal([a == b for a, b in ends[1:5]], [True, True, False, False])
    table = world.cli("audit", "--subject", vf, check=0).stdout
    assert "config yes -> -" in table and "expires " in table, table
    # Its time is over; and then a VM that dies.
    start = len(trail(world))
    world.call("vf.assign", vm="trainer-1", for_seconds=1, wait_seconds=PATIENCE)
    until(lambda: world.vf(vf)["state"] == "free", "it is back")
    world.call("vf.assign", vm="trainer-1", for_seconds=3600, wait_seconds=PATIENCE)
    world.crash_and_restart()  # no change of the end
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
    world.machine("domain-stop", vm="trainer-1")
    until(lambda: world.vf(vf)["state"] == "free", "it is back")
    equal([short(row) for row in trail(world)[start:]], [
        ("vf.assign", vf, "changed", "attached", "attached"),
        ("daemon:expiry", vf, "changed", "attached", "free"),
        ("vf.assign", vf, "changed", "free", "leased"),
        ("vf.assign", vf, "changed", "leased", "attached"),
        ("daemon:vm", vf, "changed", "attached", "free"),
    ])


def asks(world, *words):
    """gpuvf WORDS, a process of its own that is not waited for."""
    return subprocess.Popen([str(BUILD / "gpuvf"), *words], env=world.environment(), stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def asked(world, *words):
    """The pid of a gpuvf that did WORDS."""
    process = asks(world, *words)
    equal(process.wait(PATIENCE), 0, f"gpuvf {' '.join(words)}")
    return process.pid


def who(rows, subject):
    """Who made what of the subject, the oldest first."""
    return [(row["method"], row["uid"], row["pid"], row["operation"], *short(row)[2:]) for row in rows
            if row["subject"] == subject]


def operation(world, method, pid):
    """The name of the one that this process asked for: as its own row has it."""
    return one({row["operation"] for row in trail(world, method=method) if row["pid"] == pid and row["operation"]})


def one(things):
    things = list(things)
    equal(len(things), 1, things)
    return things[0]


@test
def who_tunes_what_another_drains():
    """What somebody does to a GPU while another's drain of it waits is his; that the drain is cancelled is the canceller's."""
    world = World()
    world.apply(2)
    world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)
    start = len(trail(world))
    drain = asks(world, "drain", "gpu0")
    until(lambda: world.gpu()["state"] == "draining", "it is drained")
    tune = asked(world, "tune", "gpu0/vf1", "--quantum", "20ms")
    row = one(row for row in trail(world)[start:] if row["method"] == "vf.tune" and row["subject"] == "gpu0")
    equal((row["uid"], row["pid"]), (os.getuid(), tune))
    equal(row["after"]["manual_layout"][0]["exec_quantum_ms"], 20)
    name = one(op["operation"] for op in world.items("operation.list") if op["method"] == "gpu.drain")
    cancel = asked(world, "cancel", name)
    drain.wait(PATIENCE)
    until(lambda: world.gpu()["state"] == "ready", "nobody drains it")
    me = os.getuid()
    equal(who(trail(world)[start:], "gpu0"), [
        ("gpu.drain", me, drain.pid, None, "changed", "ready", "draining"),
        ("vf.tune", me, tune, row["operation"], "changed", "draining", "draining"),
        ("operation.cancel", me, cancel, name, "changed", "running", "running"),
        ("operation.cancel", me, cancel, name, "changed", "draining", "draining"),  # nobody wants it drained
        ("operation.cancel", me, cancel, name, "changed", "draining", "ready"),
        ("gpu.drain", me, drain.pid, name, "cancelled", "running", "cancelled"),
    ])


@test
def who_gets_what_another_releases():
    """A VF that came back from a release which goes on with others, and is given to the next: each by who asked, and so it
    stays when the daemon dies."""
    world = World()
    world.apply(2)
    for index in (1, 2):
        world.call("vf.assign", vm="trainer-1", vf=f"gpu0/vf{index}", add=True, wait_seconds=PATIENCE)
    start = len(trail(world))
    world.fault("detach", vm="trainer-1", nth=2, hang=True)
    release = asks(world, "release", "trainer-1", "--all")
    until(lambda: any(vf["state"] == "free" for vf in world.items("vf.list")), "one is back")
    world.until_hangs()
    back = one(vf["name"] for vf in world.items("vf.list") if vf["state"] == "free")
    other = one(vf["name"] for vf in world.items("vf.list") if vf["name"] != back)
    assign = asked(world, "assign", "trainer-2", "--vf", back)
    named = one(op["operation"] for op in world.items("operation.list") if op["method"] == "vf.release")
    me = os.getuid()
    equal(who(trail(world)[start:], back), [
        ("vf.release", me, release.pid, named, "changed", "attached", "free"),
        ("vf.assign", me, assign, None, "changed", "free", "leased"),
        ("vf.assign", me, assign, operation(world, "vf.assign", assign), "changed", "leased", "attached"),
    ])
    world.kill()
    release.wait(PATIENCE)
    # The next daemon goes on with what is left, for the same caller.
    world.machine("clear-faults")
    world.machine("release-hang", vm="trainer-1")
    world.start()
    until(lambda: world.vf(other)["state"] == "free", "the other is back")
    equal(who(trail(world)[start:], other), [("vf.release", me, release.pid, named, "changed", "attached", "free")])


def lost(world, *indexes, of=4):
    """trainer-1, which is off, is to have these VFs, and they are not there."""
    world.machine("domain-stop", vm="trainer-1")
    for index in indexes:
        world.call("vf.assign", vm="trainer-1", vf=f"gpu0/vf{index}", mode="config", add=True, wait_seconds=PATIENCE)
    world.kill()
    world.machine("set-numvfs", gpu="gpu0", value=0)
    world.machine("set-numvfs", gpu="gpu0", value=of)
    world.start()
    until(lambda: world.vm("trainer-1")["cannot_start"], "it is told")


@test
def who_ends_a_lease_of_what_is_gone():
    """The lease of a VF that is not there ends by who releases it, or gives another in its place, and has its row once."""
    me = os.getuid()
    world = World()
    world.apply(2)
    lost(world, 2, of=1)
    start = len(trail(world))
    release = asked(world, "release", "gpu0/vf2")
    until(lambda: not world.vm("trainer-1")["cannot_start"], "its definition does not name it")
    world.crash_and_restart()
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
    rows = [row for row in trail(world)[start:] if row["subject"] != "gpu0"]
    equal(who(rows, "gpu0/vf2"), [("vf.release", me, release, None, "changed", "reserved", "gone")])
    equal((rows[0]["before"]["vm"], rows[0]["before"]["owner"]), ("trainer-1", "vm"))
    equal(len(rows), 1, rows)
    world.end()
    world = World()
    world.apply(4)
    lost(world, 4, of=2)
    start = len(trail(world))
    assign = asked(world, "assign", "trainer-1")
    until(lambda: not world.vm("trainer-1")["cannot_start"], "its definition does not name it")
    equal(who(trail(world)[start:], "gpu0/vf4"), [("vf.assign", me, assign, None, "changed", "reserved", "gone")])
    equal({row["pid"] for row in trail(world)[start:] if row["method"] == "vf.assign"}, {assign})
    assert not [row for row in trail(world)[start:] if row["method"] == "daemon:follow"], trail(world)[start:]


@test
def who_ends_a_lease_of_what_was_seen_to_go():
    """The same of one that went before the daemon's eyes, which has told that."""
    world = World()
    world.apply(2)
    world.machine("domain-stop", vm="trainer-1")
    world.call("vf.assign", vm="trainer-1", vf="gpu0/vf2", mode="config", wait_seconds=PATIENCE)
    start = len(trail(world))
    world.machine("set-numvfs", gpu="gpu0", value=0)
    world.machine("set-numvfs", gpu="gpu0", value=1)
    until(lambda: world.vm("trainer-1")["cannot_start"], "it is told")
    release = asked(world, "release", "gpu0/vf2")
    until(lambda: not world.vm("trainer-1")["cannot_start"], "its definition does not name it")
    me = os.getuid()
    equal(who(trail(world)[start:], "gpu0/vf2"), [
        ("daemon:host", me, world.process.pid, None, "changed", "reserved", "gone"),
        ("vf.release", me, release, None, "changed", "gone", "gone"),
    ])


@test
def who_takes_by_force():
    """A guest that does not let go of what one asked back, and another who powers its VM off: what comes of it is his."""
    world = World()
    world.apply(1)
    vf = "gpu0/vf1"
    world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)
    start = len(trail(world))
    world.fault("detach", vm="trainer-1", nth=1, hang=True)
    asking = asks(world, "release", vf)
    until(lambda: world.vf(vf)["state"] == "detaching", "it is asked for")
    world.until_hangs()
    force = asks(world, "release", vf, "--force", "--yes-power-off")
    until(lambda: [row for row in trail(world)[start:] if row["subject"] == "trainer-1"], "it is powered off")
    until(lambda: next(vm for vm in world.machine("state")["vms"] if vm["name"] == "trainer-1")["state"] == "off", "off")
    world.machine("release-hang", vm="trainer-1")
    equal(force.wait(PATIENCE), 0)
    asking.wait(PATIENCE)
    row = one(row for row in trail(world)[start:] if row["subject"] == vf and (row["after"] or {}).get("state") == "free")
    equal((row["method"], row["pid"]), ("vf.release", force.pid))


@test
def who_cuts_away():
    """A VF that is quarantined and goes with a re-cut goes by who cuts; what nobody asked for is nobody's, whatever is
    under way."""
    world = World()
    world.apply(2)
    vf = "gpu0/vf1"
    world.call("vf.assign", vm="trainer-1", vf=vf, wait_seconds=PATIENCE)
    world.fault("reset", gpu="gpu0", nth=1, error="EIO")
    release = asks(world, "release", vf)
    release.wait(PATIENCE)
    equal(world.vf(vf)["state"], "quarantined")
    start = len(trail(world))
    apply = asked(world, "apply", "gpu0", "--vfs", "3")
    me = os.getuid()
    equal(who(trail(world)[start:], vf), [("gpu.apply", me, apply, operation(world, "gpu.apply", apply), "changed",
                                          "quarantined", "gone")])
    world.call("vf.assign", vm="trainer-1", vf=vf, wait_seconds=PATIENCE)
    start = len(trail(world))
    drain = asks(world, "drain", "gpu0")
    until(lambda: world.gpu()["state"] == "draining", "it is drained")
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", vf=2, alias="hostdev0")
    until(lambda: world.vf("gpu0/vf2")["state"] == "attached", "it is adopted")
    equal(who(trail(world)[start:], "gpu0/vf2"), [("daemon:adopt", me, world.process.pid, None, "changed", "free", "attached")])
    drain.terminate()
    drain.wait(PATIENCE)


@test
def who_of_two_users():
    """The same with another user: his tune, while root's drain waits, has his uid."""
    need_root()
    policy = {**POLICY, "access": [{"user": "root", "role": "admin"}, {"user": "nobody", "role": "admin"}]}
    world = World(policy=policy)
    world.apply(2)
    world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)
    world.call("gpu.drain", gpu="gpu0", wait_seconds=0)
    start = len(trail(world))
    answers, pid = as_nobody(world, ["vf.tune", {"vf": "gpu0/vf1", "exec_quantum_ms": 20}])
    assert "result" in answers[0], answers
    uid = pwd.getpwnam("nobody").pw_uid
    equal({(row["method"], row["uid"], row["pid"]) for row in trail(world)[start:]}, {("vf.tune", uid, pid)})
    equal([row["subject"] for row in trail(world)[start:]], ["gpu0/vf1", "gpu0"])


@test
def refusals():
    """A changing call without the right is told, with who asked; a loop of them does not fill the disk."""
    need_root()
    policy = {**POLICY, "access": [{"user": "root", "role": "admin"}, {"user": "nobody", "role": "user"}]}
    world = World(policy=policy)
    number = world.submit("true", hold=True)
    start = len(trail(world))
    answers, pid = as_nobody(world, ["gpu.apply", {"gpu": "gpu0", "layout": {"vfs": 1}}],
                             ["job.cancel", {"id": number}], ["gpu.list", {}], ["audit.list", {}],
                             ["event.subscribe", {"types": ["audit"]}],
                             *[["vf.assign", {"vm": "trainer-1"}]] * 50)
    equal([a.get("error") for a in answers[:4]], [NOT_PERMITTED, NOT_PERMITTED, None, NOT_PERMITTED])
    until(lambda: len(trail(world)) >= start + 10, "the rows are stored")  # no answer waits for them
    rows = trail(world)[start:]
    equal([(r["method"], r["subject"], r["outcome"]) for r in rows[:3]],
          [("gpu.apply", "gpu0", "refused"), ("job.cancel", number, "refused"),
           ("vf.assign", "trainer-1", "refused")])
    equal({(r["uid"], r["pid"]) for r in rows}, {(pwd.getpwnam("nobody").pw_uid, pid)})
    assert "needs role operator" in rows[0]["error"], rows[0]
    equal(len(rows), 10, "rows of one minute")
    equal((world.job(number)["state"], world.gpu()["num_vfs"]), ("held", 0))


@test
def filters_and_pages():
    """audit.list gives pages, spans of time, users, methods and subjects; wrong ones are refused."""
    world = World()
    for _ in range(30):
        world.submit("true", hold=True)
    rows = trail(world, method="job.submit")
    equal(len(rows), 30)
    page = world.call("audit.list", limit=7)
    equal(len(page["items"]), 7)
    assert page["items"][0]["audit"] > page["items"][6]["audit"] and page["next"], page
    equal(len(world.items("audit.list", limit=7)), len(trail(world)))
    middle = rows[10]["at"]
    after = trail(world, method="job.submit", since=middle)
    before = trail(world, method="job.submit", until=middle)
    equal(sorted(r["audit"] for r in before + after), [r["audit"] for r in rows])
    equal([r["subject"] for r in trail(world, subject="5")], ["5"])
    equal(trail(world, uid=54321), [])
    equal(len(trail(world, uid=os.getuid(), method="job.submit")), 30)
    with refused(INVALID_PARAMS, field="after"):
        world.call("audit.list", after="12")
    with refused(INVALID_PARAMS, field="methd"):
        world.call("audit.list", methd="job.submit")
    with refused(INVALID_PARAMS, field="since"):
        world.call("audit.list", since="yesterday")


@test
def events():
    """Event type audit comes after the commit, in order, and can be resumed; the client shows it."""
    world = World()
    listener = world.client()
    first = listener.call("event.subscribe", types=["audit"])["next"]
    number = world.submit("true", hold=True)
    event = listener.next_event(PATIENCE)
    equal((event["type"], event["method"], event["subject"], event["pid"]),
          ("audit", "job.submit", number, os.getpid()))
    equal(event["after"]["state"], "held")
    equal(trail(world)[-1]["audit"], event["audit"])
    world.crash_and_restart()
    again = world.client()
    again.call("event.subscribe", types=["audit"], since=first)
    equal(again.next_event(PATIENCE), event)
    with subprocess.Popen([str(BUILD / "gpuvf"), "watch", "--audit", "--since", str(first)],
                          stdout=subprocess.PIPE, text=True, env=world.environment()) as watch:
        line = watch.stdout.readline()
        watch.kill()
    for word in ("job.submit", "changed", f"pid {os.getpid()}", number, "state held"):
        assert word in line, f"{word} is not in: {line}"


@test
def client():
    """gpuvf audit shows it, with the pid of the gpuvf that asked; its log has every row."""
    world = World()
    world.cli("apply", "gpu0", "--vfs", "2", check=0)
    done = subprocess.Popen([str(BUILD / "gpuvf"), "assign", "trainer-1"], env=world.environment(),
                            stdout=subprocess.DEVNULL)
    equal(done.wait(PATIENCE), 0)
    rows = json.loads(world.cli("-o", "json", "audit", "--subject", "gpu0/vf1", check=0).stdout)["items"]
    equal([r["pid"] for r in rows], [done.pid, done.pid])
    table = world.cli("audit", "--since", "1h", "--method", "vf.assign", check=0).stdout
    equal(len(table.splitlines()), 3, table)
    assert "vm trainer-1" in table and "state free -> leased" in table, table
    equal(world.cli("-q", "audit", "--limit", "1", check=0).stdout.strip(), str(rows[0]["audit"]))
    equal(world.cli("audit", "--user", str(os.getuid() + 1), check=0).stdout.splitlines()[1:], [])
    for row in rows:
        assert f"audit {row['audit']}: uid {os.getuid()} pid {row['pid']}: vf.assign" in world.log(), row


@test
def secrets():
    """Nothing that a job keeps to itself is in the trail, its events or the log."""
    world = World()
    world.apply(1)
    secret = "xyzzy-4711-secret"
    number = world.submit(f"echo {secret}; echo $TOKEN >&2; test {secret} = $TOKEN; exit 3",
                          env={"TOKEN": secret}, setup=[f": {secret}"], files=[{
                              "to": "f", "content": "eHl6enktNDcxMS1zZWNyZXQ="}])
    world.until_ended(number, "failed")
    with_secret = world.submit("true", hold=True, env={"TOKEN": secret})
    world.call("job.cancel", id=with_secret)
    try:
        world.submit("true", run_in={"vm": secret}, env={"TOKEN": secret})
    except RpcError:
        pass
    world.stop()
    connection = sqlite3.connect(world.state / "state.db")
    text = [doc for table in ("audit", "event") for (doc,) in connection.execute(f"SELECT doc FROM {table}")]
    assert any("job.submit" in doc for doc in text), "nothing was written"
    for doc in [*text, world.log()]:
        assert secret not in doc and "4711" not in doc, doc


@test
def together_with_the_change():
    """kill -9 at any point: the last row of a VF and its lease tell the same."""
    world = World({"latency": {"attach": "3ms", "detach": "3ms"}})
    chance = seeded()
    world.apply(2)
    settled = ("leased", "attached", "reserved", "quarantined")
    for _ in range(12):
        world.process.poll()
        end = time.monotonic() + chance.uniform(0.005, 0.15)
        client = world.client()
        while time.monotonic() < end:
            client.begin("vf.assign", vm="trainer-1", mode=chance.choice(("live", "config", "both")),
                         for_seconds=chance.choice((0, 3600)))
            client.begin("vf.release", vm="trainer-1", mode=chance.choice(("live", "config", "both")), all=True)
            time.sleep(0.002)
        world.kill()
        connection = sqlite3.connect(f"file:{world.state}/state.db?mode=ro", uri=True)
        for index in (1, 2):
            lease = connection.execute("SELECT doc FROM lease WHERE id LIKE ?", (f"%/{index}",)).fetchone()
            lease = json.loads(lease[0]) if lease else {"state": "free", "owner": "none"}
            # Not what an operation about it says of itself.
            last = connection.execute("SELECT doc FROM audit WHERE subject = ? AND json_extract(doc, '$.after.state')"
                                      " NOT IN ('accepted', 'done', 'failed', 'cancelled') ORDER BY id DESC LIMIT 1",
                                      (f"gpu0/vf{index}",)).fetchone()
            after = json.loads(last[0])["after"] if last else {"state": "free"}
            if lease["state"] in settled:
                equal((after["state"], after["epoch"]), (lease["state"], lease["epoch"]))
                equal([bool(after.get(name)) for name in ("live", "config", "expires")],
                      [bool(lease.get(name)) for name in ("live", "config", "expires")])
            elif lease["owner"] == "none":
                equal(after["state"], "free")
            else:  # on its way: the trail has its holder
                equal(after["epoch"], lease["epoch"])
        connection.close()
        world.start()
        until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
        until(lambda: all(v["state"] in ("free", "attached", "reserved") for v in world.items("vf.list")),
              "VFs are settled")


@test
def retention():
    """Rows that are older than the configuration keeps leave; numbers go on."""
    world = World(config={"retention": {"audit": "1s"}})
    for _ in range(5):
        world.submit("true", hold=True)
    last = trail(world)[-1]["audit"]
    world.stop()
    time.sleep(1.1)  # the span that is kept
    world.start()
    until(lambda: not trail(world, method="job.submit"), "the old rows have left")
    world.submit("true", hold=True)
    assert trail(world)[-1]["audit"] > last
    world.config.write_text('{"retention": {"audit": "1 year"}}')
    world.stop()
    daemon = world.spawn()
    assert daemon.wait(PATIENCE) > 0 and "/retention/audit" in world.log(), world.log()[-300:]


@test
def restart_by_another_policy():
    """A reload is told with both revisions, by whom; what it changes is its doing."""
    world = World()
    before = world.call("daemon.status")["policy_revision"]
    world.write_policy({**POLICY, "gpus": [{"match": {}, "layout": "quarters"}]})
    world.call("policy.reload")
    row = trail(world, method="policy.reload", subject="policy")[0]
    equal(row["before"], {"revision": before})
    equal(row["after"], {"revision": world.call("daemon.status")["policy_revision"]})
    equal(row["pid"], os.getpid())
    gpu = trail(world, method="policy.reload", subject="gpu0")[0]
    equal((gpu["before"]["state"], gpu["after"]["state"]), ("unmanaged", "ready"))


if __name__ == "__main__":
    main()
