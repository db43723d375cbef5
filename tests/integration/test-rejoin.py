# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon that finds commands running and has another policy than the one that placed them, or cannot follow them now:
none is given up, none loses its VF, and nothing begins that the policy in force does not let begin."""

import sqlite3

from harness import POLICY, World, equal, main, test, until

# What it does is in `ran`; `poke` beside its state has it say one word more, `go` lets it end.
SCRIPT = ("echo begin $GPUVF_ATTEMPT >>{f}/ran; echo up; while ! test -e {f}/go; do sleep 0.02; "
          "if test -e {f}/poke; then rm {f}/poke; echo poked; fi; done; echo end $GPUVF_ATTEMPT >>{f}/ran")
CLOSED = {**POLICY, "vms": [{**POLICY["vms"][0], "match": "other-*"}]}


def world_of(**more):
    world = World(**more)
    world.apply(1)
    return world


def submit(world, **more):
    return world.submit(SCRIPT.format(f=world.folder), **more)


def ran(world):
    path = world.folder / "ran"
    return path.read_text().splitlines() if path.exists() else []


def running(world, **more):
    number = submit(world, **more)
    world.until_job(number, "running")
    until(lambda: "up" in world.output(number), "it is up")
    return number


def expect_followed(world, number):
    """It runs, has its VF, and somebody reads what it says; it comes to its end there, having run once."""
    (world.folder / "poke").touch()
    until(lambda: "poked" in world.output(number), "it is followed")
    job = world.job(number)
    equal((job["state"], job["reason"], job["attempt"]), ("running", None, 1))
    vf = world.vf("gpu0/vf1")
    equal((vf["state"], vf["vm"]), ("attached", job["vm"]))
    (world.folder / "go").touch()
    world.until_ended(number)
    equal(ran(world), ["begin 1", "end 1"])
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "the VF is free")


def lose_policy(world):
    (world.policies / "10-test.json").unlink()


POLICIES = {
    "a typo": lambda world: world.write_policy("{ oops"),
    "none": lose_policy,
    "no rule of the VM": lambda world: world.write_policy(CLOSED),
    "a rule for others": lambda world: world.write_policy(
        {**POLICY, "vms": [{**POLICY["vms"][0], "allow": ["user:daemon"]}]}),
    "another user of the guest": lambda world: world.write_policy(
        {**POLICY, "vms": [{**POLICY["vms"][0], "run_as": "other"}]}),
}


def change_row(world, number, sql):
    """What an earlier version would have stored."""
    database = sqlite3.connect(world.state / "state.db")
    with database:
        equal(database.execute(f"UPDATE job SET doc = {sql} WHERE id = ?", [number]).rowcount, 1)
    database.close()


@test
def another_policy():
    """Whatever became of the policy over a restart: a command that runs is followed, and keeps its VF."""
    for what, change in POLICIES.items():
        world = world_of()
        number = running(world)
        equal(world.job(number)["attempts"][0]["run_as"], "trainer", what)
        world.kill()
        change(world)
        world.start()
        expect_followed(world, number)
        world.end()


@test
def another_policy_old_row():
    """… also where the row does not tell as whom it runs."""
    world = world_of()
    number = running(world)
    world.kill()
    change_row(world, number, "json_remove(doc, '$.attempts[0].run_as')")
    lose_policy(world)
    world.start()
    expect_followed(world, number)


@test
def another_policy_start_not_heard():
    """… also where the daemon did not come to hear of the start."""
    world = world_of()
    world.killed_by(lambda: submit(world), "guest-exec", argument="start", kill="after")
    lose_policy(world)
    world.start()
    world.until_job("1", "running")
    expect_followed(world, "1")


@test
def another_policy_cancelled():
    """… and can be cancelled."""
    world = world_of()
    number = running(world)
    world.kill()
    lose_policy(world)
    world.start()
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")
    equal(ran(world), ["begin 1"])


def back_in_queue(world, number, attempt):
    """Nothing has begun; with a policy that lets it, it does, once."""
    job = until(lambda: world.job(number) if world.job(number)["state"] == "queued" and
                world.vf("gpu0/vf1")["state"] == "free" else None, "it waits in the queue, and the VF is free")
    equal((job["attempt"], ran(world)), (attempt, []))
    assert "policy" in job["attempts"][-1]["reason"], job
    world.write_policy(POLICY)
    world.call("policy.reload")
    world.until_job(number, "running")
    (world.folder / "go").touch()
    equal(world.until_ended(number)["attempt"], attempt + 1)
    equal(ran(world), [f"begin {attempt + 1}", f"end {attempt + 1}"])


@test
def never_started():
    """One that the guest does not know goes back into the queue when the policy no longer lets it begin, and begins by
    the one in force; wherever the daemon was killed."""
    for on, more in (("attach", {}), ("guest-exec", {"argument": "look"}), ("guest-exec", {"argument": "start"})):
        for change in (lambda world: world.write_policy("{ oops"), lambda world: world.write_policy(CLOSED)):
            world = world_of()
            world.killed_by(lambda w=world: submit(w), on, **more, kill="before")
            change(world)
            world.start()
            back_in_queue(world, "1", 1)
            world.end()


@test
def changed_before_the_start():
    """The same without a restart: the policy is changed while the guest becomes ready."""
    for change in ("no rule of the VM", "a rule for others", "another user of the guest"):
        world = world_of()
        world.fault("guest-exec", argument="look", nth=1, hang=True)
        number = submit(world)
        world.until_job(number, "waiting-guest")
        POLICIES[change](world)
        world.call("policy.reload")
        world.machine("clear-faults")
        if change == "another user of the guest":
            job = until(lambda w=world, n=number: w.job(n) if w.job(n)["attempt"] == 2 else None, "it is placed again")
            equal([a["run_as"] for a in job["attempts"]], ["trainer", "other"])
            equal(job["attempts"][0]["result"], "lost")
        else:
            back_in_queue(world, number, 1)
        world.end()


@test
def session_before_it_is_ready():
    """… and for a session."""
    world = world_of()
    world.fault("guest-exec", argument="look", nth=1, hang=True)
    number = world.call("job.submit", job={"version": 1, "session": True, "time_limit": "1h"})["id"]
    world.until_job(number, "waiting-guest")
    world.write_policy(CLOSED)
    world.call("policy.reload")
    world.machine("clear-faults")
    until(lambda: world.job(number)["state"] == "queued" and world.vf("gpu0/vf1")["state"] == "free", "it waits again")
    world.write_policy(POLICY)
    world.call("policy.reload")
    world.until_job(number, "running")


@test
def preempted():
    """One that was to make way over such a restart has made way when it ends, and is queued again."""
    queues = [{"name": "urgent", "priority": 90, "preempts": ["batch"]},
              {"name": "batch", "default": True, "priority": 10, "preempt_grace": "1h"}]
    world = world_of(policy={**POLICY, "queues": queues})
    number = world.submit("trap '' TERM; " + SCRIPT.format(f=world.folder))
    world.until_job(number, "running")
    until(lambda: "up" in world.output(number), "it is up")
    first = world.submit("true", queue="urgent")
    world.until_job(number, "stopping")
    world.until_signalled(number)
    world.kill()
    world.write_policy({**CLOSED, "queues": queues})
    world.start()
    (world.folder / "poke").touch()
    until(lambda: "poked" in world.output(number), "it is followed")
    equal((world.job(number)["state"], world.vf("gpu0/vf1")["state"]), ("stopping", "attached"))
    (world.folder / "go").touch()
    job = world.until_job(number, "queued")
    equal([a["result"] for a in job["attempts"]], ["preempted"])
    world.write_policy({**POLICY, "queues": queues})
    world.call("policy.reload")
    world.until_ended(first)
    world.until_ended(number)
    equal(ran(world), ["begin 1", "end 1", "begin 2", "end 2"])


# ---- its folder on the host cannot be opened

class Folder:
    """The job's, with something else in its place."""

    def __init__(self, world, number):
        self.path = world.state / "jobs" / number
        self.path.rename(self.path.with_suffix(".away"))
        self.path.touch()

    def back(self):
        self.path.unlink()
        self.path.with_suffix(".away").rename(self.path)


def not_followed(world):
    """A job that runs under a daemon that cannot follow it."""
    number = running(world)
    world.kill()
    folder = Folder(world, number)
    world.start()
    until(lambda: "cannot be followed" in (world.job(number)["reason"] or ""), "it is told that it is not followed")
    equal((world.job(number)["state"], world.vf("gpu0/vf1")["state"]), ("running", "attached"))
    return number, folder


@test
def not_followed_for_a_while():
    """It keeps state and VF, over restarts, too; as soon as it can be followed it is, and comes to its end."""
    world = world_of()
    number, folder = not_followed(world)
    assert "Not a directory" in world.job(number)["reason"], world.job(number)
    world.crash_and_restart()
    until(lambda: world.log().count("tried again until it can be") == 2, "the next daemon has tried")
    equal((world.job(number)["state"], world.vf("gpu0/vf1")["state"]), ("running", "attached"))
    folder.back()
    expect_followed(world, number)


@test
def not_followed_and_cancelled():
    """One that is cancelled meanwhile ends when its command was stopped, not before."""
    world = world_of()
    number, folder = not_followed(world)
    world.call("job.cancel", id=number)
    equal((world.job(number)["state"], world.vf("gpu0/vf1")["state"]), ("running", "attached"))
    folder.back()
    world.until_ended(number, "cancelled")
    equal(ran(world), ["begin 1"])


@test
def not_followed_and_vm_off():
    """One whose VM goes off meanwhile is lost, with or without a daemon that looks; so is one whose VF is taken by
    force."""
    for how in ("seen", "unseen", "force"):
        world = world_of()
        number, folder = not_followed(world)
        vm = world.job(number)["vm"]
        if how == "unseen":
            world.kill()
        if how == "force":
            world.call("vf.release", vf="gpu0/vf1", force=True, yes_power_off=True, wait_seconds=30)
        else:
            world.machine("domain-stop", vm=vm)
        if how == "unseen":
            world.start()
        world.until_ended(number, "lost")
        until(lambda w=world: w.vf("gpu0/vf1")["state"] == "free", "the VF is free")
        folder.back()
        world.end()


@test
def not_followed_makes_no_way():
    """Nobody waits for the end of one that nobody can stop."""
    queues = [{"name": "urgent", "priority": 90, "preempts": ["batch"]},
              {"name": "batch", "default": True, "priority": 10}]
    world = world_of(policy={**POLICY, "queues": queues})
    number, folder = not_followed(world)
    first = world.submit("true", queue="urgent")
    reason = until(lambda: world.job(first)["reason"], "it is told why it waits")
    assert "preempted" not in reason, reason
    assert "preempted_for" not in world.job(number)["attempts"][0], world.job(number)
    folder.back()
    world.until_ended(first)
    equal(world.job(number)["attempts"][0]["preempted_for"], first)


@test
def cannot_be_run():
    """One that has not begun and cannot be run is tried for a while; then it has failed, and its VF is free."""
    world = world_of()
    world.killed_by(lambda: submit(world), "attach", kill="before")
    folder = world.state / "jobs" / "1"
    if folder.exists():
        Folder(world, "1")
    else:
        folder.touch()
    world.start()
    until(lambda: "cannot be run" in (world.job("1")["reason"] or ""), "it is told")
    job = world.until_ended("1", "failed")
    assert "cannot be run: Not a directory" in job["reason"], job
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "the VF is free")
    equal(ran(world), [])


if __name__ == "__main__":
    main(at_once=True)
