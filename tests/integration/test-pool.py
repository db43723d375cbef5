# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs that are started for a job and shut down when they have none, and VFs that stay for the next job."""

from harness import POLICY, World, equal, main, refused, test, until


def pool(rule, vms=None, **more):
    """One GPU with two VFs, VMs that are off, and this in their rule."""
    rules = [{**POLICY["vms"][0], "start": "on-demand", **rule}]
    world = World({"vms": vms or [{"name": "trainer-1", "state": "off"}]}, policy={**POLICY, "vms": rules},
                  **more)
    world.apply(2)
    return world


def until_state(world, state, vm="trainer-1"):
    return until(lambda: world.vm(vm)["state"] == state and world.vm(vm), f"{vm} is {state}")


@test
def on_demand():
    """A VM that is off is started for a job, and shut down when it had none for a while."""
    world = pool({"stop_idle": "1s"})
    equal(world.vm("trainer-1")["started_by_us"], False)
    number = world.submit("sleep 0.2; echo here")
    world.until_ended(number)
    equal(world.output(number), "here\n")
    until_state(world, "off")
    equal(world.vm("trainer-1")["started_by_us"], False)
    powers = [row["after"]["power"] for row in world.call("audit.list", limit=500)["items"]
              if row["subject"] == "trainer-1" and "power" in (row["after"] or {})]
    equal(sorted(powers), ["starting", "stopping"])
    world.until_ended(world.submit("true"))


@test
def the_reason():
    """Whoever waits for a VM on its way up is told so; a second job does not start it twice."""
    world = pool({"slots": 2})
    world.fault("start", nth=1, hang=True)
    numbers = [world.submit("true"), world.submit("true")]
    for number in numbers:
        until(lambda n=number: (world.job(n)["reason"] or "") == "VM trainer-1 is being started", "it is told")
    equal(world.vm("trainer-1")["pool_state"], "starting")
    assert "starting" in world.cli("show", "trainer-1", check=0).stdout
    world.until_hangs()
    world.machine("release-hang", vm="trainer-1")
    for number in numbers:
        world.until_ended(number)
    equal(world.vm("trainer-1")["started_by_us"], True)
    equal(len([line for line in world.log().splitlines() if "is started for a job" in line]), 1)


@test
def only_those():
    """VMs whose rule does not say so are not started; such that others started are not shut down."""
    world = pool({"stop_idle": "1s"}, [{"name": "trainer-1", "state": "off"}, {"name": "trainer-2"},
                                       {"name": "plain", "state": "off"}],)
    world.write_policy({**POLICY, "vms": [{**POLICY["vms"][0], "start": "on-demand", "stop_idle": "1s"},
                                          {**POLICY["vms"][0], "match": "plain"}]})
    world.call("policy.reload")
    number = world.submit("true", run_in={"vm": "plain"})
    until(lambda: world.job(number)["reason"] == "VM plain is not running", "it is told")
    world.until_ended(world.submit("true", run_in={"vm": "trainer-1"}))
    until_state(world, "off")
    equal(world.vm("trainer-2")["state"], "running")
    equal(world.vm("plain")["state"], "off")
    world.machine("domain-start", vm="plain")
    world.until_ended(number)


@test
def a_vf_by_hand():
    """A VM that was given a VF by hand is not shut down before it is taken back."""
    world = pool({"stop_idle": "1s"}, [{"name": "trainer-1", "state": "off"}, {"name": "trainer-2", "state": "off"}])
    world.fault("start", vm="trainer-2", times=1, hang="50ms")
    blocker = world.submit("while ! test -e stop; do sleep 0.05; done", run_in={"vm": "trainer-1"})
    world.until_job(blocker, "running")
    world.call("vf.assign", vm="trainer-1", add=True, mode="live", wait_seconds=60)
    world.call("job.cancel", id=blocker)
    world.until_job(blocker, "ended")
    world.until_ended(world.submit("true", run_in={"vm": "trainer-2"}))
    until_state(world, "off", "trainer-2") # it had to wait as long, and began later
    equal(world.vm("trainer-1")["state"], "running")
    world.call("vf.release", vm="trainer-1", wait_seconds=60)
    until_state(world, "off")


@test
def it_does_not_start():
    """A start that fails is told, tried again, and after three in a row the VM is quarantined until healed."""
    world = pool({})
    world.fault("start", error="failed", message="no space for its disk")
    number = world.submit("true")
    until(lambda: "no space for its disk" in (world.job(number)["reason"] or ""), "it is told")
    until(lambda: world.vm("trainer-1")["reason"], "it is quarantined")
    until(lambda: "3 jobs in a row" in world.job(number)["reason"], "whoever waits is told")
    world.crash_and_restart()
    assert "no space" in world.vm("trainer-1")["reason"]
    world.machine("clear-faults")
    equal(world.call("vm.heal", vm="trainer-1")["changed"], True)
    world.until_ended(number)


@test
def goes_off_before_the_job():
    """A VM that goes off each time before its job began is quarantined after three in a row, not started for ever."""
    world = pool({})
    world.fault("guest-ping", error="agent-unresponsive")
    number = world.submit("true")
    for attempt in (1, 2, 3):
        until(lambda n=attempt: world.job(number)["attempt"] == n and world.job(number)["state"] == "waiting-guest",
              f"attempt {attempt} waits for the guest")
        world.machine("domain-stop", vm="trainer-1")
    until(lambda: "3 jobs in a row" in (world.job(number)["reason"] or ""), "whoever waits is told")
    equal((world.job(number)["state"], world.vm("trainer-1")["state"]), ("queued", "off"))
    world.machine("clear-faults")
    world.call("vm.heal", vm="trainer-1")
    world.until_ended(number)


@test
def no_agent():
    """A VM that comes up without its agent is waited for as long as the configuration says, and no longer."""
    world = pool({}, [{"name": "trainer-1", "state": "off", "agent": "disconnected"}],
                 config={"deadlines": {"guest_ready": "1s"}})
    number = world.submit("true")
    until(lambda: "its guest agent did not answer in time" in (world.job(number)["reason"] or ""), "it is told")
    equal(world.vm("trainer-1")["state"], "running")
    world.machine("agent", vm="trainer-1", agent=True)
    world.until_ended(number)


@test
def dead_while_starting():
    """A VM that dies on its way up counts as a start that failed."""
    world = pool({}, [{"name": "trainer-1", "state": "off", "agent": "disconnected"}])
    number = world.submit("true")
    until_state(world, "running")
    world.machine("domain-stop", vm="trainer-1")
    until(lambda: "went off again" in (world.vm("trainer-1")["pool_reason"] or ""), "it is told")
    world.machine("agent", vm="trainer-1", agent=True)
    world.until_ended(number)


@test
def it_does_not_stop():
    """A guest that cannot be asked is told, stays, and is asked again."""
    world = pool({"stop_idle": "1s"})
    world.fault("shutdown", error="failed", message="monitor is busy")
    world.until_ended(world.submit("true"))
    until(lambda: "monitor is busy" in (world.vm("trainer-1")["pool_reason"] or ""), "it is told")
    world.machine("clear-faults")
    until_state(world, "off")


@test
def over_a_restart():
    """Which VMs we started is known to the next daemon, wherever the last one died."""
    world = pool({"stop_idle": "1s"})
    for kill in ("before", "after"):
        world.fault("start", nth=1, kill=kill)
        number = world.submit("true")
        world.until_killed()
        world.machine("clear-faults")
        world.start()
        world.until_ended(number)
        until_state(world, "off")
    number = world.submit("while ! test -e stop; do sleep 0.05; done")
    world.until_job(number, "running")
    world.crash_and_restart()
    equal(world.vm("trainer-1")["started_by_us"], True)
    world.call("job.cancel", id=number)
    until_state(world, "off")


@test
def somebody_else_started_it():
    """A VM that was stopped and started by others while no daemon was there is theirs."""
    world = pool({"stop_idle": "1s"}, [{"name": "trainer-1", "state": "off"}, {"name": "trainer-2", "state": "off"}])
    number = world.submit("while ! test -e stop; do sleep 0.05; done", run_in={"vm": "trainer-1"})
    world.until_job(number, "running")
    world.kill()
    world.machine("domain-stop", vm="trainer-1")
    world.machine("domain-start", vm="trainer-1")
    world.start()
    until(lambda: world.vm("trainer-1")["started_by_us"] is False, "it is theirs")
    world.until_ended(world.submit("true", run_in={"vm": "trainer-2"}))
    until_state(world, "off", "trainer-2")
    equal(world.vm("trainer-1")["state"], "running")


@test
def kept_for_the_next():
    """With keep the VF stays for the next job of the same user that fits, under the same lease; then it is reset."""
    world = pool({"vf": "keep", "start": "never"}, [{"name": "trainer-1"}])
    numbers = [world.submit("true") for _ in range(4)]
    jobs = [world.until_ended(number) for number in numbers]
    equal(len({job["attempts"][0]["epoch"] for job in jobs}), 1, "leases")
    until(lambda: all(vf["state"] == "free" for vf in world.items("vf.list")), "it went back")
    equal([vf["lease"] for vf in world.items("vf.list")], [None, None])
    later = world.until_ended(world.submit("true"))
    assert later["attempts"][0]["epoch"] > jobs[0]["attempts"][0]["epoch"]


@test
def not_kept():
    """A VF that the next job cannot use, or of a GPU that is drained, goes back at once; per-job keeps none."""
    world = pool({"vf": "keep", "start": "never"}, [{"name": "trainer-1"}])
    world.write_policy({"version": 1, "profiles": [{"name": "half", "vram": "50%"}]}, "20-more.json")
    world.call("policy.reload")
    world.apply({"slices": [{"profile": "quarter", "count": 1}, {"profile": "half", "count": 1}]})
    first = world.submit("sleep 0.3", profile="quarter")
    second = world.submit("true", profile="half")
    epochs = [world.until_ended(n)["attempts"][0]["epoch"] for n in (first, second)]
    assert epochs[0] != epochs[1], epochs
    numbers = [world.submit("while ! test -e stop; do sleep 0.05; done"), world.submit("true")]
    world.until_job(numbers[0], "running")
    world.call("gpu.drain", gpu="gpu0")
    world.call("job.cancel", id=numbers[0])
    until(lambda: all(vf["state"] == "free" for vf in world.items("vf.list")), "it went back")
    equal(world.job(numbers[1])["state"], "queued")
    world.call("gpu.undrain", gpu="gpu0")
    world.until_ended(numbers[1])


@test
def kept_in_a_guest_that_keeps_it():
    """A kept VF that the guest does not let go stays leased to the VM, and is not given to anybody."""
    world = pool({"vf": "keep", "start": "never"}, [{"name": "trainer-1"}])
    world.fault("detach", nth=1, error="guest-refused")
    world.until_ended(world.submit("true"))
    vf = until(lambda: next((vf for vf in world.items("vf.list") if vf["lease"] and vf["lease"]["owner"] == "vm"),
                            None), "the VM has it")
    equal(vf["state"], "attached")
    equal(world.call("vf.release", vf=vf["name"], wait_seconds=60)["changed"], True)


@test
def refusals():
    """stop_idle goes with start on-demand only."""
    world = World()
    world.write_policy({**POLICY, "vms": [{**POLICY["vms"][0], "stop_idle": "1m"}]})
    with refused(-32005, "only VMs that were started on demand", "on-demand"):
        world.call("policy.reload")


if __name__ == "__main__":
    main()
