# SPDX-License-Identifier: GPL-2.0-or-later
"""A job that runs makes way for one of a queue that preempts its own: signal, grace, and back into the queue."""

import datetime
import os

from harness import BUILD, PATIENCE, POLICY, Skip, World, comment, equal, main, test, until

QUEUES = [{"name": "urgent", "priority": 90, "preempts": ["batch"]},
          {"name": "batch", "default": True, "priority": 10}]
# Ends on SIGTERM as a job does that keeps a checkpoint; `go` beside its state lets it end by itself.
PATIENT = ('trap \'echo kept; echo $GPUVF_ATTEMPT >"$GPUVF_CHECKPOINT_DIR/step"; exit 0\' TERM; '
           'echo up $GPUVF_ATTEMPT $GPUVF_RESUME; while ! test -e {go}; do sleep 0.02; done; echo done')
STUBBORN = "trap '' TERM; echo up; while ! test -e {go}; do sleep 0.02; done"


def world_of(vfs=1, batch=(), urgent=(), slots=1, **more):
    queues = [{**QUEUES[0], **dict(urgent)}, {**QUEUES[1], **dict(batch)}]
    world = World(policy={**POLICY, "queues": queues, "vms": [{**POLICY["vms"][0], "slots": slots}]}, **more)
    world.apply(vfs)
    world.go = world.folder / "go"
    return world


def running(world, script=PATIENT, **more):
    """A job of the queue batch whose command has begun."""
    number = world.submit(script.format(go=world.go), **{"queue": "batch", **more})
    world.until_job(number, "running")
    until(lambda: "up" in world.output(number), "it is up")
    return number


def urgent(world, script="echo urgent", **more):
    return world.submit(script, queue="urgent", **more)


def attempts(world, number):
    return [attempt["result"] for attempt in world.job(number)["attempts"]]


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def done_in_guest(world, number):
    """Its exit code is in its guest."""
    return list(world.state.glob(f"guests/*/var/lib/gpuvf-guest/jobs/{number}.1-*/exit"))


def rows(world, number):
    return [row for row in world.call("audit.list", limit=500, subject=number)["items"]]


@test
def makes_way():
    """The victim gets its signal, keeps its checkpoint, goes back into the queue and on from there; the other has its
    VF.  The audit trail, the events and the reasons tell it."""
    world = world_of()
    listener = world.client()
    listener.call("event.subscribe", types=["job.state"])
    victim = running(world)
    first = urgent(world, "echo urgent; while ! test -e %s-urgent; do sleep 0.02; done" % world.go)
    world.until_job(first, "running")
    job = world.job(victim)
    equal((job["state"], job["attempt"], job["result"], job["exit_code"]), ("queued", 1, None, None))
    equal(attempts(world, victim), ["preempted"])
    one = job["attempts"][0]
    equal((one["preempted_for"], one["preempted_queue"], one["exit_code"]), (first, "urgent", 0))
    equal(one["reason"], f"preempted for job {first} (queue urgent)")
    assert one["preempted_at"], one
    (world.folder / "go-urgent").touch()
    world.until_ended(first)
    until(lambda: world.output(victim).startswith("up 2 1"), "it goes on from its checkpoint")
    world.go.touch()
    job = world.until_ended(victim)
    equal((attempts(world, victim), job["attempt"], job["exit_code"]), (["preempted", "succeeded"], 2, 0))
    equal(world.call("job.logs", id=victim, attempt=1)["data"], "up 1 0\nkept\n")
    told = []
    while not told or told[-1][:2] != (victim, "ended"):
        event = listener.next_event()
        told.append((event["subject"], event["state"], event["reason"]))
    text = f"preempted for job {first} (queue urgent)"
    equal([state for subject, state, reason in told if subject == victim and reason == text],
          ["running", "stopping", "queued"])
    assert (first, "queued", f"job {victim} is preempted for it") in told, told
    row = next(row for row in rows(world, victim) if (row["after"] or {}).get("preempted_for"))
    equal((row["method"], row["before"]["state"], row["after"]["state"], row["after"]["preempted_for"]),
          ("daemon:preempt", "running", "running", int(first)))
    row = next(row for row in rows(world, victim) if (row["before"] or {}).get("preempted_for"))
    equal((row["after"]["state"], row["after"]["attempt"]), ("queued", 1))
    assert "preempted for job" in world.log()
    shown = world.cli("show", victim, check=0).stdout
    assert f"preempted_for={first}" in shown and f"preempted for job {first} (queue urgent)" in shown, shown


@test
def killed_after_the_grace():
    """One that ignores the signal is killed after the grace of its queue, whatever it asked for itself."""
    world = world_of(batch={"preempt_grace": "1s"})
    victim = running(world, STUBBORN, checkpoint={"grace": "1h"})
    first = urgent(world)
    world.until_ended(first)
    one = world.job(victim)["attempts"][0]
    equal((one["result"], one["exit_code"]), ("preempted", 137))
    world.go.touch()
    world.until_ended(victim)


@test
def its_own_grace():
    """Where its queue says nothing, a job has the time that it asked for."""
    world = world_of()
    victim = running(world, STUBBORN, checkpoint={"grace": "1s"})
    world.until_ended(urgent(world))
    equal(world.job(victim)["attempts"][0]["exit_code"], 137)


@test
def min_runtime():
    """No job of the queue makes way before it ran for min_runtime; then it does without anything else happening."""
    world = world_of(batch={"min_runtime": "3s"})
    victim = running(world)
    first = urgent(world)
    world.until_ended(first)
    one = world.job(victim)["attempts"][0]
    equal(one["result"], "preempted")
    ran = seconds(one["preempted_at"]) - seconds(one["started_at"])
    assert 2.9 <= ran, f"preempted after {ran} s"


@test
def cancelled_meanwhile():
    """Whoever cancels the victim while it makes way has the last word: it is not queued again."""
    world = world_of(batch={"preempt_grace": "1h"})
    victim = running(world, STUBBORN)
    first = urgent(world)
    world.until_job(victim, "stopping")
    world.until_signalled(victim)
    equal(world.call("job.cancel", id=victim)["changed"], True)
    equal(world.job(victim)["state"], "stopping")
    world.go.touch()
    world.until_ended(victim, "cancelled")
    equal(attempts(world, victim), ["preempted"])
    world.until_ended(first)


@test
def cancelled_urgent():
    """The one for which it made way is cancelled: the victim is queued again and has its VF back."""
    world = world_of(batch={"preempt_grace": "1h"})
    victim = running(world, STUBBORN)
    first = urgent(world)
    world.until_job(victim, "stopping")
    world.until_signalled(victim)
    world.call("job.cancel", id=first)
    world.until_ended(first, "cancelled")
    world.go.touch()
    world.until_ended(victim)
    equal(attempts(world, victim), ["preempted", "succeeded"])


@test
def limit_of_a_user():
    """Nobody makes way for a job that may not begin: one is held, and one is over the limit of its user."""
    world = world_of(2, urgent={"limits": {"per_user": {"running": 1}}})
    victims = [running(world), running(world)]
    held = urgent(world, hold=True)
    first = urgent(world, f"while ! test -e {world.go}; do sleep 0.02; done")
    world.until_job(first, "running")
    second = urgent(world)
    until(lambda: "of one user" in (world.job(second)["reason"] or ""), "it waits for its limit")
    made_way = [number for number in victims if world.job(number)["attempts"][0].get("preempted_for")]
    equal(made_way, [max(victims, key=int)], "who ran shortest")
    world.go.touch()
    for number in (first, second, *victims):
        world.until_ended(number)
    equal(world.job(held)["state"], "held")
    equal(sum(len(world.job(number)["attempts"]) for number in victims), 3)


@test
def one_for_each():
    """Two that wait have one victim each, and a third, which finds none, has none."""
    world = world_of(2)
    victims = [running(world), running(world)]
    urgents = [urgent(world, f"while ! test -e {world.go}; do sleep 0.02; done") for _ in range(3)]
    for number in urgents[:2]:
        world.until_job(number, "running")
    for number in victims:
        equal(attempts(world, number), ["preempted"])
    equal({world.job(number)["attempts"][0]["preempted_for"] for number in victims}, set(urgents[:2]))
    equal(world.job(urgents[2])["state"], "queued")
    world.go.touch()
    for number in (*urgents, *victims):
        world.until_ended(number)
    equal([len(world.job(number)["attempts"]) for number in victims], [2, 2])


@test
def silent_guest():
    """A victim whose guest is silent is none: its end could not be confirmed.  When it speaks it may be."""
    world = world_of(config={"deadlines": {"agent_silence": "1s"}})
    victim = running(world)
    world.machine("agent", vm=world.job(victim)["vm"], agent="disconnected")
    world.until_job(victim, "unreachable")
    first = urgent(world)
    until(lambda: world.job(first)["reason"], "it is told why it waits")
    assert "preempted_for" not in world.job(victim)["attempts"][0]
    assert "preempted" not in world.job(first)["reason"], world.job(first)
    world.machine("agent", vm=world.job(victim)["vm"], agent=True)
    world.until_ended(first)
    equal(attempts(world, victim)[0], "preempted")


@test
def silent_in_its_grace():
    """A victim whose guest falls silent before it has ended keeps nobody waiting: another one makes way."""
    world = world_of(vfs=2, config={"deadlines": {"agent_silence": "1s"}}, batch={"preempt_grace": "1h"})
    other = running(world, run_in={"vm": "trainer-2"})
    victim = running(world, STUBBORN, run_in={"vm": "trainer-1"})
    first = urgent(world)
    world.until_job(victim, "stopping")
    world.machine("agent", vm="trainer-1", agent="disconnected")
    world.until_ended(first)
    equal((attempts(world, other)[0], world.job(first)["vm"]), ("preempted", "trainer-2"))
    world.machine("agent", vm="trainer-1", agent=True)
    world.go.touch()
    world.until_ended(other)
    world.until_ended(victim)


@test
def silent_before_its_start_was_told():
    """One that may have begun, in a guest that says nothing, is cancelled: nobody counts on its end, another makes way."""
    world = world_of(vfs=2, slots=2, config={"deadlines": {"agent_silence": "1s"}})
    other = running(world, run_in={"vm": "trainer-2"})
    world.killed_by(lambda: running(world, STUBBORN, run_in={"vm": "trainer-1"}), "guest-exec", vm="trainer-1",
                    argument="start", kill="after")
    world.machine("agent", vm="trainer-1", agent="disconnected")
    world.start()
    silent = next(job["id"] for job in world.items("job.list") if job["vm"] == "trainer-1")
    assert not world.job(silent)["attempts"][0].get("started_at"), world.job(silent)
    world.call("job.cancel", id=silent)
    first = urgent(world)
    world.until_ended(first)
    equal((attempts(world, other)[0], world.job(first)["vm"]), ("preempted", "trainer-2"))
    assert world.job(silent)["state"] != "ended", world.job(silent)
    world.go.touch()
    world.until_ended(other)
    until(lambda: done_in_guest(world, silent), "it has ended in its guest")
    world.machine("agent", vm="trainer-1", agent=True)
    world.until_ended(silent)  # by itself: its own result counts


def preempted_in_trainer_1(world):
    """The number of a job that has a checkpoint in trainer-1, where another runs by now; trainer-2 has nothing to do."""
    filler = running(world, run_in={"vm": "trainer-2"})
    victim = running(world, checkpoint={}, run_in={"vms": "trainer-*"})
    equal(world.job(victim)["vm"], "trainer-1")
    first = urgent(world, f"while ! test -e {world.go}-urgent; do sleep 0.02; done", run_in={"vm": "trainer-1"})
    world.until_job(first, "running")
    world.call("job.cancel", id=filler)
    world.until_ended(filler, "cancelled")
    return victim


@test
def back_to_its_checkpoint():
    """What has a checkpoint goes on in the VM where that lies, and waits for it."""
    world = world_of(vfs=2)
    victim = preempted_in_trainer_1(world)
    until(lambda: "its checkpoint is in VM trainer-1" in (world.job(victim)["reason"] or ""), "it waits for that VM")
    equal(world.vm("trainer-2")["vfs"], [])
    (world.folder / "go-urgent").touch()
    until(lambda: world.output(victim).startswith("up 2 1"), "it goes on from its checkpoint")
    equal(world.job(victim)["vm"], "trainer-1")
    world.go.touch()
    world.until_ended(victim)


@test
def still_its_checkpoint():
    """An attempt that came to nothing takes nothing from it; where its VM is closed to it, it is told the way out."""
    world = world_of(vfs=2)
    victim = preempted_in_trainer_1(world)
    policy = {**POLICY, "queues": QUEUES}
    world.write_policy({**policy, "vms": [{**POLICY["vms"][0], "match": "trainer-2"}]})
    world.call("policy.reload")
    until(lambda: "its checkpoint is in VM trainer-1, which is not open to it" in (world.job(victim)["reason"] or ""),
          "it is told that its VM is closed")
    world.write_policy(policy)
    world.call("policy.reload")
    world.fault("attach", vm="trainer-1", times=1, error="failed", message="QEMU said no")
    (world.folder / "go-urgent").touch()
    until(lambda: world.output(victim).startswith("up 3 1"), "it goes on from its checkpoint")
    equal([attempt["vm"] for attempt in world.job(victim)["attempts"]], ["trainer-1"] * 3)
    world.go.touch()
    world.until_ended(victim)


@test
def signal_later():
    """The guest takes no signal for a while: the victim is stopped as soon as it does, and nobody else is."""
    world = world_of(2, config={"deadlines": {"agent_silence": "1s"}})
    other, victim = running(world), running(world)
    world.fault("guest-exec", argument="signal", error="agent-unresponsive", times=3)
    first = urgent(world)
    world.until_ended(first)
    equal((attempts(world, victim)[0], attempts(world, other)), ("preempted", [None]))


@test
def vm_off():
    """The VM of the victim goes off while it makes way: preempted all the same, and queued again without a retry."""
    world = world_of(batch={"preempt_grace": "1h"})
    victim = running(world, STUBBORN)
    first = urgent(world)
    job = world.until_job(victim, "stopping")
    world.machine("domain-stop", vm=job["vm"])
    world.until_ended(first)
    world.go.touch()
    job = world.until_ended(victim)
    equal(attempts(world, victim), ["preempted", "succeeded"])
    assert job["attempts"][0]["reason"].startswith(f"preempted for job {first} (queue urgent); "), job


@test
def vm_off_unseen():
    """… while no daemon looks."""
    world = world_of(batch={"preempt_grace": "1h"})
    victim = running(world, STUBBORN)
    first = urgent(world)
    vm = world.until_job(victim, "stopping")["vm"]
    world.kill()
    world.machine("domain-stop", vm=vm)
    world.start()
    world.until_ended(first)
    world.go.touch()
    world.until_ended(victim)
    equal(attempts(world, victim), ["preempted", "succeeded"])


@test
def retries():
    """Attempts that were preempted are not counted among those that retries allow."""
    world = world_of()
    victim = running(world, retries=1)
    world.until_ended(urgent(world))
    for count in (2, 3):
        job = until(lambda n=count: world.job(victim) if world.job(victim)["state"] == "running" and
                    world.job(victim)["attempt"] == n else None, f"its attempt {count} runs")
        world.machine("domain-stop", vm=job["vm"])
        until(lambda n=count: len(attempts(world, victim)) >= n and attempts(world, victim)[n - 1], "it is lost")
        world.machine("domain-start", vm=job["vm"])
    world.until_ended(victim, "lost")
    equal(attempts(world, victim), ["preempted", "lost", "lost"])


@test
def ended_by_itself():
    """The daemon dies before the signal is sent, and the command comes to its end meanwhile: that is its result."""
    world = world_of()
    victim = running(world)
    first = world.killed_by(lambda: urgent(world), "guest-exec", argument="signal", kill="before")
    world.go.touch()
    until(lambda: done_in_guest(world, victim), "its command is over")
    world.start()
    job = world.until_ended(victim)
    equal((attempts(world, victim), job["exit_code"]), (["succeeded"], 0))
    until(lambda: world.items("job.list", queue="urgent", ended=True, state="ended"), f"job {first} has ended as well")


@test
def a_session_stays():
    """Who works in a session is not put out for a job, which waits until it is over."""
    world = world_of()
    session = world.call("job.submit", job={"version": 1, "session": True, "queue": "batch", "time_limit": "1h"})["id"]
    world.until_job(session, "running")
    first = urgent(world)
    reason = until(lambda: world.job(first)["reason"], "it waits")
    assert "VF" in reason and "preempt" not in reason, reason
    equal(world.job(session)["state"], "running")
    world.call("job.cancel", id=session)
    world.until_ended(first)
    equal(attempts(world, session), ["cancelled"])


@test
def memory_keeps_away():
    """Nobody is stopped for a place in a VM that lacked memory, and that is told, with the way out."""
    world = world_of()
    world.fault("attach", vm="trainer-1", times=1000, error="no-memory", message="cannot allocate")
    first = urgent(world, run_in={"vm": "trainer-1"})
    until(lambda: "cannot allocate" in (world.job(first)["reason"] or ""), "it lacked memory")
    victim = running(world, run_in={"vm": "trainer-2"})
    job = until(lambda: "no job makes way" in (world.job(first)["reason"] or "") and world.job(first), "it is told")
    for words in ("for it in VM trainer-1 before 20", "gpuvf heal trainer-1", "cannot allocate"):
        assert words in job["reason"], job
    world.machine("clear-faults")
    equal((world.job(victim)["state"], attempts(world, victim)), ("running", [None]))
    world.call("vm.heal", vm="trainer-1")
    world.until_ended(first)
    equal(attempts(world, victim)[0], "preempted")
    world.go.touch()
    world.until_ended(victim)


@test
def of_other_vms():
    """In VMs that keep a VF for the next job, and in those whose VF is their own."""
    for vf in ("keep", "assigned"):
        world = World(policy={**POLICY, "queues": QUEUES, "vms": [{**POLICY["vms"][0], "match": "trainer-1", "vf": vf}]})
        world.go = world.folder / "go"
        world.apply(1)
        if vf == "assigned":
            world.call("vf.assign", vm="trainer-1", wait_seconds=60)
        victim = running(world)
        world.until_ended(urgent(world))
        world.go.touch()
        world.until_ended(victim)
        equal(attempts(world, victim), ["preempted", "succeeded"], vf)
        world.end()


# ---- kill -9

LEDGER = """if test -s {l}.run && kill -0 $(cat {l}.run) 2>/dev/null; then echo twice >>{l}.twice; fi
echo $$ >{l}.run; echo $GPUVF_ATTEMPT >>{l}.starts
"""


def ask(call):
    """What it answers, if the daemon lives so long."""
    try:
        return call()
    except (OSError, EOFError):
        return None


def noted(script, path):
    return LEDGER.format(l=path) + script


def check_all(world, victim, what):
    """The urgent one ran once, the victim made way once, and both came to their end."""
    urgents = world.items("job.list", queue="urgent", user="*", ended=True)
    equal(len(urgents), 1, f"{what}: urgent jobs")
    world.until_ended(urgents[0]["id"])
    world.go.touch()
    world.until_ended(victim)
    equal((attempts(world, victim), attempts(world, urgents[0]["id"])), (["preempted", "succeeded"], ["succeeded"]), what)
    for name, starts in (("victim", ["1", "2"]), ("urgent", ["1"])):
        path = world.folder / name
        equal(path.with_suffix(".starts").read_text().split(), starts, f"{what}: starts of the {name}")
        assert not path.with_suffix(".twice").exists(), f"{what}: the {name} ran twice at the same time"
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "the VF is free")
    equal(sum(gpu["writes"]["attached_without_reset"] for gpu in world.machine("state")["gpus"]), 0)


def begin(world):
    return running(world, noted(PATIENT, world.folder / "victim"))


def submit_urgent(world):
    """Again after the daemon's death, with the same request_id."""
    document = {"version": 1, "queue": "urgent",
                "command": ["/bin/sh", "-c", noted("echo urgent", world.folder / "urgent")]}
    return ask(lambda: world.call("job.submit", job=document, request_id="urgent"))


def at_each(points):
    for on, more in points:
        for when in ("before", "after"):
            world = world_of()
            victim = begin(world)
            world.fault(on, **more, nth=1, kill=when)
            submit_urgent(world)
            world.until_killed()
            world.machine("clear-faults")
            world.start()
            submit_urgent(world)
            check_all(world, victim, f"{on} {more}, {when}")
            world.end()


@test
def killed_at_the_signal():
    """kill -9 before and after the signal: the next daemon sends it (again), and the victim has made way once."""
    at_each([("guest-exec", {"argument": "signal"})])


@test
def killed_while_it_ends():
    """… at the requests by which its attempt ends, and its VF comes back."""
    at_each([("guest-exec", {"argument": "clean"}), ("detach", {}), ("wait-closed", {})])


@test
def killed_at_the_gate():
    """… at those by which its VF comes back."""
    at_each([("reset", {}), ("probe", {})])


@test
def killed_at_the_next_start():
    """… at those by which the other job gets it."""
    at_each([("attach", {}), ("guest-exec", {"argument": "start"})])


KILL_AT = BUILD / "tests" / "chaos" / "kill-at.so"


def at_each_commit(when):
    """The daemon that the victim runs under is killed at its 1st, 2nd … commit, until it lives through all."""
    if not KILL_AT.exists() or os.environ.get("GPUVF_TEST_WRAPPER") or b"__asan_init" in (BUILD / "gpuvfd").read_bytes():
        raise Skip("a library cannot go before a sanitizer's")
    for nth in range(1, 40):
        world = world_of()
        victim = begin(world)
        world.kill()
        plain = world.environment
        world.environment = lambda w=plain, n=nth: {**w(), "LD_PRELOAD": str(KILL_AT), "GPUVF_KILL_AT": f"sync:{n}:{when}"}
        world.process = world.spawn()
        try:
            until(world.answers, "the daemon answers")
            submit_urgent(world)
            until(lambda w=world: w.process.poll() is not None or
                  ask(lambda: w.items("job.list", queue="urgent", user="*", state="ended", ended=True)), "it is over")
        except (AssertionError, OSError, EOFError):
            world.process.wait(PATIENCE)  # else it lives, and this is a failure
        lives = world.process.poll() is None
        if lives:  # … through what this is about; its kill is for what comes now
            world.kill()
        else:
            world.until_killed()
        world.environment = plain
        world.start()
        submit_urgent(world)
        check_all(world, victim, f"commit {nth}, {when}")
        world.end()
        if lives:
            comment(f"{nth - 1} commits, {when}")
            assert nth > 8, f"only {nth - 1} commits"
            return
    raise AssertionError("more commits than there can be")


@test
def killed_before_each_commit():
    """… and before each commit of the store from the submission on."""
    at_each_commit("before")


@test
def killed_after_each_commit():
    """… and after each."""
    at_each_commit("after")


if __name__ == "__main__":
    main(at_once=True)
