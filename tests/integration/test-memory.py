# SPDX-License-Identifier: GPL-2.0-or-later
"""What a first VF would pin is looked at before it is plugged in: too much is refused, jobs and the policy wait."""

from gpuvf_client import NO_FIT
from harness import PATIENCE, POLICY, World, equal, main, refused, test, until

GIB = 1 << 30
GUEST = {"name": "trainer-1", "memory": "16GiB", "resident": "4GiB"}


def tight(vms=(GUEST,), available="8GiB", policy=None):
    world = World({"vms": list(vms), "memory_available": available}, policy={**POLICY, **(policy or {})})
    world.apply(2)
    return world


def assign(world, vm="trainer-1", **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def make_room(world, gib=64):
    world.machine("memory-available", value=gib * GIB)


def until_all_free(world):
    until(lambda: all((vf["state"], vf["lease"]) == ("free", None) for vf in world.items("vf.list")), "all are free")


def tries(world):
    return world.log().count("attaching → free")


@test
def by_hand():
    """A live assign that would pin too much is refused with the numbers; the VF is free, and another VM gets one."""
    world = tight([GUEST, {"name": "trainer-2", "memory": "4GiB"}])
    for mode in ("auto", "live", "both"):
        with refused(NO_FIT, "16.0GiB", "12.0GiB more", "8.0GiB available", "256MiB", field="vm", reason="no_memory"):
            assign(world, mode=mode)
        until_all_free(world)
    done = world.cli("assign", "trainer-1")
    assert done.returncode == 9 and "less memory" in done.stderr, done
    equal(assign(world, "trainer-2")["changed"], True)
    make_room(world, 13)
    equal(assign(world)["changed"], True)
    world.call("vf.release", vm="trainer-2", wait_seconds=PATIENCE)
    equal(assign(world, add=True)["changed"], True, "its memory is pinned already")


@test
def for_the_next_start():
    """What is only written into the definition pins nothing now."""
    world = tight([GUEST, {**GUEST, "name": "off", "state": "off"}])
    equal(assign(world, mode="config")["changed"], True)
    equal(assign(world, "off")["changed"], True)


@test
def not_known():
    """Where the host or the guest does not tell, nothing is refused."""
    world = tight([{"name": "trainer-1"}])
    equal(assign(world)["changed"], True)
    world = World({"vms": [GUEST]})
    world.apply(1)
    equal(assign(world)["changed"], True)


@test
def a_job():
    """A job waits with the reason, neither it nor the VM is blamed, others go on, and it runs when there is room."""
    world = tight([GUEST, {"name": "trainer-2"}])
    number = world.submit("true", run_in={"vm": "trainer-1"})
    until(lambda: "lacks the memory that a VF for VM trainer-1 would pin" in (world.job(number)["reason"] or ""), "it is told")
    job = world.job(number)
    assert "12.0GiB more than now" in job["reason"], job
    equal((job["state"], job["attempt"], job["attempts"]), ("queued", 0, []))
    world.until_ended(world.submit("true", run_in={"vm": "trainer-2"}))
    anywhere = world.submit("true")
    world.until_ended(anywhere)
    equal(world.job(anywhere)["vm"], "trainer-2")
    until_all_free(world)
    equal(world.vm("trainer-1")["reason"], None, "it is not quarantined")
    make_room(world)
    world.until_ended(number)
    equal(len(world.job(number)["attempts"]), 1)


@test
def a_job_is_not_tried_all_the_time():
    """The pause doubles; heal, or another run of the VM, ends it."""
    world = tight()
    number = world.submit("true")
    until(lambda: "lacks" in (world.job(number)["reason"] or ""), "it waits")
    seen = tries(world)
    assert seen > 0, world.log()
    other = world.submit("true")
    until(lambda: "lacks" in (world.job(other)["reason"] or ""), "the next one waits at once")
    assert tries(world) <= seen + 1, world.log()
    make_room(world)
    world.call("vm.heal", vm="trainer-1")
    world.until_ended(number)


@test
def cancelled():
    """A job that waits for memory is cancelled like any other."""
    world = tight()
    number = world.submit("true")
    until(lambda: "lacks" in (world.job(number)["reason"] or ""), "it waits")
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")


@test
def over_a_restart():
    """The next daemon finds the job waiting, looks for itself, and says the same."""
    world = tight()
    number = world.submit("true")
    until(lambda: "lacks" in (world.job(number)["reason"] or ""), "it waits")
    world.crash_and_restart()
    until(lambda: "lacks" in (world.job(number)["reason"] or ""), "it waits again")
    equal(world.job(number)["attempts"], [])
    make_room(world)
    world.until_ended(number)


@test
def no_other_is_started():
    """A host that lacks the memory for a VM that runs starts no other for the same job."""
    rules = [{**POLICY["vms"][0], "start": "on-demand"}]
    world = tight([GUEST, {"name": "trainer-2", "state": "off"}], policy={"vms": rules})
    number = world.submit("true", run_in={"vm": "trainer-1"})
    until(lambda: "lacks" in (world.job(number)["reason"] or ""), "it waits")
    other = world.submit("true")
    until(lambda: "lacks" in (world.job(other)["reason"] or ""), "so does this one")
    equal(world.vm("trainer-2")["state"], "off")


@test
def started_for_nothing():
    """A VM that was started for the job is not shut down and started again while the job waits for memory."""
    rules = [{**POLICY["vms"][0], "start": "on-demand", "stop_idle": "1s"}]
    world = tight([{**GUEST, "state": "off"}], policy={"vms": rules})
    number = world.submit("true")
    until(lambda: tries(world) >= 3, "it is tried again")
    equal(world.log().count("is started for a job"), 1)
    make_room(world)
    world.until_ended(number)
    until(lambda: world.vm("trainer-1")["state"] == "off", "it has nothing to do")


@test
def started_with_its_vf():
    """A VM whose stored definition has a VF is not started for a job when the memory is lacking; nobody is blamed."""
    rules = [{**POLICY["vms"][0], "start": "on-demand", "vf": "assigned"}]
    world = tight([{**GUEST, "state": "off"}], policy={"vms": rules})
    assign(world, mode="config")
    number = world.submit("true")
    until(lambda: "16.0GiB more than now" in (world.job(number)["reason"] or ""), "it is told")
    equal(world.job(number)["attempts"], [])
    until(lambda: world.log().count("is started for a job") >= 3, "it is tried again")
    vm = world.vm("trainer-1")
    equal((vm["state"], vm["reason"], vm["started_by_us"]), ("off", None, False))
    assert "8.0GiB available" in vm["pool_reason"], vm
    make_room(world)
    world.call("vm.heal", vm="trainer-1")
    world.until_ended(number)
    equal((world.vm("trainer-1")["started_by_us"], world.vm("trainer-1")["pool_reason"]), (True, None))


@test
def given_by_hand_meanwhile():
    """A VM that somebody gave a VF has its memory pinned: jobs that waited for it go on at once."""
    world = tight(policy={"vms": [{**POLICY["vms"][0], "slots": 2}]})
    number = world.submit("true")
    until(lambda: tries(world) >= 2, "the pause grows")
    make_room(world)
    equal(assign(world)["changed"], True)
    world.machine("memory-available", value=0)
    world.until_ended(number)


@test
def by_the_policy():
    """What the policy assigns waits with the same reason, and comes when there is room."""
    world = tight(policy={"assignments": [{"vm": "trainer-1", "vram": "1GiB"}]})
    until(lambda: "12.0GiB more than now" in (world.vm("trainer-1")["assignment_reason"] or ""), "it is told")
    make_room(world)
    until(lambda: world.vm("trainer-1")["vfs"], "it has it")
    until(lambda: world.vm("trainer-1")["assignment_reason"] is None, "all is well")


if __name__ == "__main__":
    main()
