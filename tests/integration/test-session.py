# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions: a VF held for interactive work, its way in, its time, its end; over crashes, and with every rule of a VM."""

import datetime
import os
import signal
import subprocess

from gpuvf_client import CONFLICT, HOST_ERROR, INVALID_DOCUMENT, INVALID_PARAMS, LIMIT, NOT_FOUND, RpcError
from harness import BUILD, PATIENCE, POLICY, Skip, World, comment, equal, main, refused, test, until

VF = "gpu0/vf1"
KILL_AT = BUILD / "tests" / "chaos" / "kill-at.so"


def one_vf(vfs=1, rule=None, queue=None, **more):
    """One GPU with so many VFs, two VMs; members of the VMs' rule and of the queue."""
    policy = {**POLICY, "vms": [{**POLICY["vms"][0], **(rule or {})}],
              "queues": [{**POLICY["queues"][0], **(queue or {})}]}
    world = World(policy=policy, **more)
    world.apply(vfs)
    return world


def begin(world, **members):
    return world.submit(session=True, **members)


def ready(world, **members):
    number = begin(world, **members)
    return number, world.until_job(number, "running")


def until_free(world, name=VF):
    return until(lambda: world.vf(name)["state"] == "free" and world.vf(name), f"{name} is free")


def until_reason(world, number, words):
    return until(lambda: words in (world.job(number)["reason"] or ""), f"the reason of {number} has \"{words}\"")


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def near(got, wanted, what):
    """Ends are told to the second, by a clock that may be read on either side of it."""
    assert abs(seconds(got) - seconds(wanted)) <= 1, f"{what}: {got}, wanted {wanted}"


def live(world):
    """VMs that have a device in their running guest."""
    return [vm["name"] for vm in world.machine("state")["vms"] for dev in vm["hostdevs"] if dev.get("live")]


def nothing_left(world):
    until(lambda: all(vf["state"] == "free" for vf in world.items("vf.list")), "all VFs are free")
    equal(live(world), [])
    equal(world.writes()["attached_without_reset"], 0)


# ---- one session

@test
def way_in():
    """A session is running when its VM shows the VF; whoever looks is told where, and until when."""
    world = one_vf()
    number, job = ready(world, name="look", time_limit="2h")
    session = job["session"]
    equal((session["guest_driver"], session["guest_render"]), ("xe", "renderD128"))
    for words in (job["vm"], VF, "/dev/dri/renderD128", session["guest_address"], session["ends_at"][:16]):
        assert words in job["reason"], f"{words}: {job['reason']}"
    equal(seconds(session["ends_at"]) - round(seconds(job["started_at"])) in (7199, 7200, 7201), True)
    equal(job["time_limit_seconds"], 7200)
    vf = world.vf(VF)
    equal((vf["state"], vf["job"], vf["session"], vf["lease"]["owner"], vf["user"]),
          ("attached", number, True, "job", job["user"]))
    equal(live(world), [job["vm"]])
    assert not (world.state / "guests" / job["vm"] / "var/lib/gpuvf-guest").exists(), "something is left in the guest"
    for words in (("list",), ("list", "vfs")):
        assert f"{number} (session)" in world.cli("-o", "wide", *words, check=0).stdout
    assert "session until" in world.cli("jobs", check=0).stdout
    equal(world.submit("true"), str(int(number) + 1))
    until_reason(world, str(int(number) + 1), "VF")
    equal(world.call("job.cancel", id=number)["changed"], True)
    equal(world.until_ended(number, "cancelled")["session"]["ends_at"], None)
    world.until_ended(str(int(number) + 1))
    until_free(world)
    equal(world.vf(VF)["session"], False)
    nothing_left(world)


@test
def its_time():
    """When its time is over, the VF is taken out and reset, and the next one gets it."""
    world = one_vf()
    number = begin(world, time_limit="1s")
    waits = begin(world, time_limit="1h")
    job = world.until_ended(number, "timeout")
    equal(job["reason"], "its time is over")
    assert seconds(job["ended_at"]) - seconds(job["started_at"]) >= 1, job
    world.until_job(waits, "running")
    world.call("job.cancel", id=waits)
    world.until_ended(waits, "cancelled")
    nothing_left(world)


@test
def how_long():
    """Without a time it is the queue's, else an hour, and never more than the queue lets."""
    for queue, wanted in (({}, 3600), ({"default_time": "30m"}, 1800), ({"max_time": "20m"}, 1200),
                          ({"default_time": "5m", "max_time": "2h"}, 300), ({"max_time": "8h"}, 3600)):
        world = one_vf(queue=queue)
        equal(world.job(begin(world, hold=True))["time_limit_seconds"], wanted, str(queue))
        if "max_time" in queue:
            with refused(LIMIT, "more than queue", field="time_limit", reason="max_time"):
                begin(world, time_limit="9h")
        world.end()


@test
def of_a_command():
    """A job keeps the limit of its queue over a restart of the daemon; so does a session."""
    world = one_vf(queue={"default_time": "30m"})
    number, other = world.submit("true", hold=True), begin(world, hold=True)
    world.crash_and_restart()
    equal([world.job(n)["time_limit_seconds"] for n in (number, other)], [1800, 1800])
    equal([world.job(n)["session"] is None for n in (number, other)], [True, False])


@test
def refusals():
    """What belongs to a command is refused by name; a document with neither is told of both."""
    world = one_vf()
    for member, value in (("command", ["true"]), ("shell", "true"), ("setup", ["true"]), ("env", {"A": "b"}),
                          ("workdir", "/tmp"), ("files", []), ("outputs", ["a"]), ("retries", 1),
                          ("checkpoint", {}), ("progress", "none")):
        with refused(INVALID_DOCUMENT, "session", field=member, reason="invalid_job"):
            begin(world, **{member: value})
    with refused(INVALID_DOCUMENT, "holds a VF", field="vfs"):
        begin(world, vfs=0)
    with refused(INVALID_DOCUMENT, 'or \\"session\\": true'):
        world.submit(name="nothing")
    equal(world.items("job.list", ended=True), [])


@test
def held_and_cancelled():
    """It waits as a job does: held, unheld, in the queue with a reason; cancelled before it began it never had a VF."""
    world = one_vf(rule={"slots": 2})
    number = begin(world, hold=True)
    equal(world.job(number)["state"], "held")
    world.call("job.unhold", id=number)
    world.until_job(number, "running")
    waits = begin(world)
    until_reason(world, waits, "VF")
    world.call("job.cancel", id=waits)
    equal(world.until_ended(waits, "cancelled")["attempts"], [])
    equal(world.vf(VF)["job"], number)


@test
def slots():
    """A session is one of the jobs that its VM takes at a time."""
    world = one_vf(vfs=2)
    numbers = [begin(world, run_in={"vm": "trainer-1"}) for _ in range(2)]
    world.until_job(numbers[0], "running")
    until_reason(world, numbers[1], "trainer-1")
    equal(world.job(numbers[1])["state"], "queued")
    world.call("job.cancel", id=numbers[0])
    world.until_job(numbers[1], "running")


# ---- a guest that is not ready

@test
def not_ready_yet():
    """A guest without a driver, without memory for the VF, or whose ready command fails: the reason says so."""
    world = one_vf(rule={"ready": ["/usr/bin/gpu-ok"]})
    program = world.state / "guests" / "trainer-1" / "usr/bin/gpu-ok"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\necho too hot >&2; exit 3\n")
    program.chmod(0o755)
    number = begin(world, run_in={"vm": "trainer-1"})
    until_reason(world, number, "the ready command exits 3: too hot")
    equal((world.job(number)["state"], world.job(number)["started_at"]), ("waiting-guest", None))
    equal(world.call("job.extend", id=number, time_seconds=1800)["ends_at"], None)
    program.write_text("#!/bin/sh\nexit 0\n")
    job = world.until_job(number, "running")
    equal(job["time_limit_seconds"], 5400)
    world.end()

    world = one_vf(config={"deadlines": {"guest_ready": "1s"}})
    world.fault("guest-driver", error="EIO")
    number = begin(world, run_in={"vm": "trainer-1"})
    until(lambda: "3 jobs in a row" in (world.vm("trainer-1")["reason"] or ""), "the VM is quarantined")
    equal(world.job(number)["started_at"], None)
    world.machine("clear-faults")
    world.call("vm.heal", vm="trainer-1")
    world.until_job(number, "running")


@test
def cancelled_on_the_way():
    """Cancelled while its guest is not ready, and while it is being attached."""
    world = one_vf()
    world.fault("guest-driver", error="EIO")
    number = begin(world)
    until_reason(world, number, "driver")
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")
    nothing_left(world)
    world.machine("clear-faults")
    world.fault("attach", nth=1, hang=True)
    number = begin(world)
    world.until_job(number, "starting")
    world.call("job.cancel", id=number)
    world.until_hangs()
    world.machine("release-hang")
    world.until_ended(number, "cancelled")
    nothing_left(world)


# ---- more time

@test
def more_time():
    """extend: from the present end on, once for a request_id, told by an event and by the audit trail."""
    world = one_vf(queue={"max_time": "3h"})
    number, job = ready(world, time_limit="1h")
    listener = world.client()
    listener.call("event.subscribe", types=["job.state"])
    answer = world.call("job.extend", id=number, time_seconds="30m", request_id="once")
    equal((answer["changed"], answer["state"], answer["time_limit_seconds"]), (True, "running", 5400))
    equal(round(seconds(answer["ends_at"]) - seconds(job["session"]["ends_at"])) in (1799, 1800, 1801), True)
    equal(world.call("job.extend", id=number, time_seconds="30m", request_id="once"), answer)
    event = listener.next_event()
    equal((event["subject"], event["state"]), (number, "running"))
    near(event["ends_at"], answer["ends_at"], "the event's end")
    row = world.items("audit.list", method="job.extend")[0]
    equal((row["subject"], row["before"]["time_limit_seconds"], row["after"]["time_limit_seconds"]),
          (number, 3600, 5400))
    with refused(CONFLICT, "request_id"):
        world.call("job.extend", id=number, time_seconds="31m", request_id="once")
    with refused(LIMIT, "may last 3h in queue \"default\"", "has 1h30m of that: at most 1h30m more",
                 field="time_seconds", reason="max_time"):
        world.call("job.extend", id=number, time_seconds="2h")
    equal(world.call("job.extend", id=number, time_seconds=5400)["time_limit_seconds"], 10800)
    with refused(LIMIT, "at most 0s more", "submit another one"):
        world.call("job.extend", id=number, time_seconds=1)
    equal(world.job(number)["time_limit_seconds"], 10800)


@test
def it_lasts_longer():
    """An end that was moved is the end; what waits for it waits."""
    world = one_vf()
    number = world.submit(session=True, time_limit="3s")
    until(lambda: world.job(number)["started_at"], "it is ready")
    try:
        world.call("job.extend", id=number, time_seconds=3600)
    except RpcError as error:    # a machine so busy that its time was over before
        equal((error.code, error.reason), (CONFLICT, "over"))
        return
    first = seconds(world.job(number)["started_at"]) + 3.5
    until(lambda: datetime.datetime.now(datetime.timezone.utc).timestamp() > first, "its first end is over")
    equal(world.job(number)["state"], "running")


@test
def extend_refused():
    """Jobs with a command, what is over, what there is not, and times that are none."""
    world = one_vf()
    number = world.submit("true", hold=True)
    with refused(CONFLICT, "is no session", field="id", reason="no_session"):
        world.call("job.extend", id=number, time_seconds=60)
    with refused(NOT_FOUND, field="id"):
        world.call("job.extend", id="77", time_seconds=60)
    for bad in (0, -1, "soon", "1ms", None):
        with refused(INVALID_PARAMS, field="time_seconds"):
            world.call("job.extend", id=number, time_seconds=bad)
    number, _ = ready(world)
    with refused(LIMIT, "may last 1y1d", field="time_seconds"):
        world.call("job.extend", id=number, time_seconds=366 * 86400)
    world.call("job.cancel", id=number)
    with refused(CONFLICT, "is over", field="id", reason="over"):
        world.call("job.extend", id=number, time_seconds=60)
    number = begin(world, queue="default", hold=True)
    world.write_policy({**POLICY, "queues": [{"name": "other", "default": True}]})
    world.call("policy.reload")
    with refused(CONFLICT, "no longer in the policy", reason="no_queue"):
        world.call("job.extend", id=number, time_seconds=60)


# ---- it loses what it has

@test
def vm_off():
    """Its VM goes off or crashes: lost, and not begun again when the VM is there again."""
    for op in ("domain-stop", "domain-crash"):
        world = one_vf()
        number, job = ready(world)
        world.machine(op, vm=job["vm"])
        ended = world.until_ended(number, "lost")
        equal((ended["reason"], ended["attempt"]), ("its VM crashed" if "crash" in op else "its VM went off", 1))
        if op == "domain-crash":
            world.machine("domain-stop", vm=job["vm"])
        until_free(world)
        world.machine("domain-start", vm=job["vm"])
        until(lambda w=world, v=job["vm"]: w.vm(v)["state"] == "running", "it is on again")
        equal(world.job(number)["state"], "ended")
        nothing_left(world)
        world.end()


@test
def off_and_on_unseen():
    """The VM was stopped and started while no daemon, or no libvirt, was there: lost."""
    for without in ("daemon", "libvirt"):
        world = one_vf()
        number, job = ready(world)
        if without == "daemon":
            world.kill()
        else:
            world.machine("libvirt-down")
            until(lambda w=world: not w.call("daemon.status")["hypervisor_connected"], "libvirt is away")
        for op in ("domain-stop", "domain-start"):
            world.machine(op, vm=job["vm"])
        if without == "daemon":
            world.start()
        else:
            world.machine("libvirt-up")
        ended = world.until_ended(number, "lost")
        assert "its VM" in ended["reason"], ended["reason"]
        equal(ended["attempt"], 1)
        nothing_left(world)
        world.end()


@test
def taken_out():
    """Somebody takes the VF out of the VM by hand: there is nothing to work with, so it is lost."""
    world = one_vf()
    number, job = ready(world)
    world.machine("foreign-detach", vm=job["vm"], gpu="gpu0", vf=1, live=True)
    equal(world.until_ended(number, "lost")["reason"], "its VM no longer has its VF")
    nothing_left(world)


@test
def boot():
    """The host was booted: lost."""
    world = one_vf()
    number, _ = ready(world)
    world.boot()
    assert world.until_ended(number, "lost")["reason"] in ("the host was booted", "its VM went off")
    equal(world.job(number)["attempt"], 1)


# ---- rules of VMs

@test
def kept():
    """keep: a session takes the VF that its user's job left there; its own never stays for the next."""
    world = one_vf(rule={"vf": "keep"})
    blocker = begin(world, hold=True, run_in={"vm": "trainer-1"})
    job = world.submit("while ! test -e ../../go; do sleep 0.02; done", run_in={"vm": "trainer-1"})
    world.until_job(job, "running")
    world.call("job.unhold", id=blocker)
    until_reason(world, blocker, "trainer-1")
    epoch = world.vf(VF)["lease"]["epoch"]
    world.call("job.cancel", id=job)
    world.until_job(blocker, "running")
    resets = world.writes()["reset"]
    equal(world.vf(VF)["lease"]["owner"], "job")
    assert world.vf(VF)["lease"]["epoch"] >= epoch
    after = world.submit("true", run_in={"vm": "trainer-1"})
    until_reason(world, after, "trainer-1")
    world.call("job.cancel", id=blocker)
    world.until_ended(after)
    assert world.writes()["reset"] > resets, "the next one had it as the session left it"


@test
def assigned():
    """assigned: a session works on the VF that the VM has, which stays there at its end."""
    world = one_vf(rule={"vf": "assigned"})
    world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)
    number, job = ready(world, time_limit="1h")
    equal((job["vm"], job["vfs"], job["session"]["guest_render"]), ("trainer-1", [VF], "renderD128"))
    world.crash_and_restart()
    equal(world.until_job(number, "running")["session"]["guest_render"], "renderD128")
    with refused(CONFLICT, f"{VF} is used by session {number}", f"gpuvf cancel {number}", reason="job"):
        world.call("vf.release", vf=VF)
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")
    vf = world.vf(VF)
    equal((vf["state"], vf["lease"]["owner"], vf["vm"]), ("attached", "vm", "trainer-1"))
    number, _ = ready(world)
    world.machine("domain-stop", vm="trainer-1")
    world.until_ended(number, "lost")


@test
def on_demand():
    """A VM that is off is started for a session, and not shut down as idle before its end."""
    policy = {**POLICY, "vms": [{**POLICY["vms"][0], "start": "on-demand", "stop_idle": "1s"},
                                {**POLICY["vms"][0], "match": "other", "start": "on-demand", "stop_idle": "1s"}]}
    world = World({"vms": [{"name": "trainer-1", "state": "off"}, {"name": "other", "state": "off"}]}, policy=policy)
    world.apply(2)
    number, job = ready(world, run_in={"vm": "trainer-1"})
    world.until_ended(world.submit("true", run_in={"vm": "other"}))
    # it began to be idle later than the session's would have
    until(lambda: world.vm("other")["state"] == "off", "the other one is shut down")
    equal((world.vm("trainer-1")["state"], world.job(number)["state"]), ("running", "running"))
    world.call("job.cancel", id=number)
    until(lambda: world.vm(job["vm"])["state"] == "off", "it is shut down")


@test
def drained():
    """A drain waits for it, and says whom it waits for; release does not take it."""
    world = one_vf()
    number, _ = ready(world)
    with refused(CONFLICT, f"used by session {number}", reason="job"):
        world.call("vf.release", vf=VF)
    drain = world.call("gpu.drain", gpu="gpu0")
    assert f"session {number} of" in str(drain["holders"]), drain
    world.call("job.cancel", id=number)
    until(lambda: world.call("operation.get", operation=drain["operation"])["state"] == "done", "it is drained")


# ---- the daemon dies

@test
def over_a_restart():
    """kill -9 while it is ready: it goes on, and its end is the one that was told."""
    world = one_vf()
    number, _ = ready(world, time_limit="1h")
    end = world.call("job.extend", id=number, time_seconds="1h")["ends_at"]
    for _ in range(3):
        world.crash_and_restart()
        job = world.until_job(number, "running")
        near(job["session"]["ends_at"], end, "its end")
        equal(job["attempt"], 1)
    equal(world.vf(VF)["job"], number)
    until(lambda: world.call("job.cancel", id=number)["state"] != "queued", "it is cancelled")
    world.until_ended(number, "cancelled")
    nothing_left(world)


@test
def over_while_away():
    """Its time is over while no daemon is there: the next one takes the VF back."""
    world = one_vf()
    number, job = ready(world, time_limit="2s")
    world.kill()
    until(lambda: datetime.datetime.now(datetime.timezone.utc).timestamp() > seconds(job["started_at"]) + 2.1,
          "its time is over")
    equal(live(world), [job["vm"]])
    world.start()
    world.until_ended(number, "timeout")
    nothing_left(world)


def again(world, step):
    """What was cut off by the daemon's death is asked again."""
    try:
        return step()
    except OSError:
        world.until_killed()
        world.machine("clear-faults")
        world.kill_at = None
        world.start()
        return step()


def whole(world):
    """A session from its beginning to its end, with a daemon that may die in it once."""
    document = {"session": True, "time_limit": "1h"}
    number = again(world, lambda: world.call("job.submit", job=document, request_id="submit"))["id"]
    again(world, lambda: world.until_job(number, "running"))
    again(world, lambda: world.call("job.extend", id=number, time_seconds=60, request_id="extend"))
    equal(again(world, lambda: world.job(number))["time_limit_seconds"], 3660)
    again(world, lambda: world.call("job.cancel", id=number, request_id="cancel"))
    job = again(world, lambda: world.until_ended(number, "cancelled"))
    again(world, lambda: nothing_left(world))
    equal([bool(attempt.get("started_at")) for attempt in job["attempts"]].count(True), 1, "how often it was ready")
    equal(again(world, lambda: len(world.items("job.list", ended=True))), 1, "sessions")


@test
def killed_at_each_step():
    """kill -9 before and after each request to the machine on the way: one session, ready once, and its VF is free."""
    steps = [("attach", {}), ("guest-exec", {"argument": "look"}), ("guest-exec", {"argument": "gpu-ok"}),
             ("guest-exec-status", {}), ("detach", {}), ("wait-closed", {}), ("reset", {}), ("probe", {})]
    for on, more in steps:
        for when in ("before", "after"):
            world = one_vf(rule={"ready": ["/usr/bin/gpu-ok", "gpu-ok"]})
            for vm in ("trainer-1", "trainer-2"):
                program = world.state / "guests" / vm / "usr/bin/gpu-ok"
                program.parent.mkdir(parents=True, exist_ok=True)
                program.write_text("#!/bin/sh\n")
                program.chmod(0o755)
            pid = world.process.pid
            # the cut of the GPU has probed and reset nothing of it: the first one is the session's
            world.fault(on, nth=1, kill=when, **more)
            whole(world)
            assert world.process.pid != pid, f"{on} {more} was not met"
            world.end()


class TrapWorld(World):
    """Its daemon dies at a sync of its store, until it was started again."""

    kill_at = None

    def environment(self):
        more = {"LD_PRELOAD": str(KILL_AT), "GPUVF_KILL_AT": self.kill_at} if self.kill_at else {}
        return {**super().environment(), **more}


def answers_or_died(world):
    try:
        return world.answers()
    except (OSError, AssertionError):
        return "died"


@test
def killed_at_commits():
    """kill -9 before and after commits of the store."""
    sanitized = b"__asan_init" in (BUILD / "gpuvfd").read_bytes()
    if not KILL_AT.exists() or os.environ.get("GPUVF_TEST_WRAPPER") or sanitized:
        raise Skip("nothing can be loaded into this daemon")
    died = 0
    for nth in range(1, 19):
        world = TrapWorld()
        world.apply(1)
        world.stop()
        # from here on: the session's own, and what a start writes
        world.kill_at = f"sync:{nth}:{'before' if nth % 2 else 'after'}"
        world.process = world.spawn()
        pid = world.process.pid
        if not until(lambda w=world: answers_or_died(w), "it answers, or is dead") is True:
            world.until_killed()
            world.kill_at = None
            world.start()
        whole(world)
        died += world.process.pid != pid
        world.end()
    comment(f"died at {died} of 18")
    assert died >= 8, f"it died {died} times only"


# ---- the client

@test
def client():
    """gpuvf session and gpuvf extend: ids, the way in, exit codes."""
    world = one_vf(queue={"max_time": "2h"})
    done = world.cli("session", "--wait", "--vm", "trainer-1", "--time", "30m", "--name", "look", check=0)
    lines = done.stdout.splitlines()
    equal(lines[0], "1")
    for words in ("session 1: VM trainer-1 has gpu0/vf1 at 0000:", "/dev/dri/renderD128", "until 2"):
        assert words in lines[1], lines
    equal(world.job("1")["name"], "look")
    assert "session 1: until 2" in world.cli("extend", "1", "30m", check=0).stdout
    equal(world.job("1")["time_limit_seconds"], 3600)
    equal(world.cli("-q", "extend", "1", "1m", check=0).stdout, "1\n")
    assert "at most 59m more" in world.cli("extend", "1", "2h", check=9).stderr
    assert "not a time" in world.cli("extend", "1", "soon", check=2).stderr
    assert "not a session's id" in world.cli("extend", "gpu0", "1m", check=2).stderr
    assert "is missing" in world.cli("extend", "1", check=2).stderr
    assert "until" in world.cli("show", "1", check=0).stdout
    equal(world.cli("-q", "session", "--hold", check=0).stdout, "2\n")
    assert "session 2: 2h from when" in world.cli("extend", "2", "1h", check=0).stdout
    assert "queued in default" in world.cli("session", "--dry-run", check=0).stdout
    world.cli("session", "--dry-run", "--wait", check=2)
    world.cli("session", "--workdir", "/tmp", check=2)
    world.cli("session", "--vm", "nobody", check=5)
    equal(world.cli("session", "--request-id", "x", "--hold", check=0).stdout,
          world.cli("session", "--request-id", "x", "--hold", check=0).stdout)
    world.cli("cancel", "1", check=0)
    world.until_ended("1", "cancelled")
    assert '"session"' in world.cli("-o", "json", "session", "--wait", "--name", "json", check=0).stdout
    assert "is no session" in world.cli("extend", world.submit("true", hold=True), "1m", check=6).stderr


def waiting_client(world):
    """gpuvf session --wait, of one whose guest is not ready: it has told its id."""
    process = subprocess.Popen([str(BUILD / "gpuvf"), "session", "--wait"], stdin=subprocess.DEVNULL, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=world.environment())
    number = process.stdout.readline().strip()
    until_reason(world, number, "driver")
    return process, number


@test
def client_waits():
    """--wait of one that ends before it is ready: 11, and why. Ctrl-C leaves it, and says how it goes on."""
    world = one_vf()
    world.fault("guest-driver", error="EIO")
    process, number = waiting_client(world)
    world.call("job.cancel", id=number)
    _, err = process.communicate(timeout=PATIENCE)
    equal((process.returncode, f"{number} is over: cancelled" in err), (11, True), err)
    process, number = waiting_client(world)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    equal((process.returncode, f"session {number} continues; gpuvf show {number}" in err), (130, True), err)
    equal(world.job(number)["state"], "waiting-guest")


@test
def power_off_in_vain():
    """A release by force that fails takes nothing away: the session goes on, and can be ended."""
    world = one_vf()
    number, _ = ready(world)
    world.fault("destroy", nth=1, error="failed", message="it is busy")
    with refused(HOST_ERROR, "it is busy"):
        world.call("vf.release", vf=VF, force=True, yes_power_off=True, wait_seconds=PATIENCE)
    equal((world.job(number)["state"], world.vf(VF)["state"]), ("running", "attached"))
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")
    nothing_left(world)


@test
def cancelled_before_it_is_ready():
    """One whose guest is not ready, found by the next daemon, ends when it is cancelled, and the VM is not blamed."""
    world = one_vf()
    world.fault("guest-device", error="ENODEV")
    number = begin(world)
    until_reason(world, number, "PCI list")
    world.crash_and_restart()
    until_reason(world, number, "PCI list")
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")
    equal(world.job(number)["attempts"][0]["result"], "cancelled")
    nothing_left(world)


if __name__ == "__main__":
    main()
