# SPDX-License-Identifier: GPL-2.0-or-later
"""Attempts that a new daemon finds, or whose VM goes: what may have begun is begun nowhere else, what did not begin
is begun with all that it needs."""

from harness import World, equal, main, test, until

VM = "trainer-1"
VF = "gpu0/vf1"


def world_of(vfs=1, **more):
    world = World(config={"deadlines": {"agent_silence": "1s"}}, **more)
    world.apply(vfs)
    world.runs = world.folder / "runs"
    world.go = world.folder / "go"
    return world


def begun(world):
    """The attempts whose command has run, as the command itself tells."""
    return world.runs.read_text().split() if world.runs.exists() else []


def patient(world, **more):
    """The number of a job that has begun, and ends when it is allowed to; it might run anywhere."""
    number = world.submit(f"echo $GPUVF_ATTEMPT >>{world.runs}; while ! test -e {world.go}; do sleep 0.02; done",
                          run_in={"vms": "trainer-*"}, **more)
    world.until_job(number, "running")
    until(lambda: begun(world), "it has begun")
    return number


@test
def paused_vm():
    """A job in a VM that is paused is found unreachable, and goes on with the VM; it runs once, retries or not."""
    world = world_of(2)
    number = patient(world, retries=3)
    world.machine("domain-pause", vm=world.job(number)["vm"])
    world.kill()
    world.start()
    world.until_job(number, "unreachable")
    world.crash_and_restart()
    world.until_job(number, "unreachable")
    world.machine("domain-resume", vm=world.job(number)["vm"])
    world.until_job(number, "running")
    world.go.touch()
    world.until_ended(number)
    equal(begun(world), ["1"])


@test
def cancelled_in_a_paused_vm():
    """What is to end in a VM that is paused ends when that goes on, under whichever daemon; its VF stays until then."""
    world = world_of(2)
    number = patient(world)
    vm = world.job(number)["vm"]
    world.machine("domain-pause", vm=vm)
    world.call("job.cancel", id=number)
    world.crash_and_restart()
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is there")
    equal((world.job(number)["ended_at"], world.vf(VF)["job"]), (None, number))
    world.machine("domain-resume", vm=vm)
    world.until_ended(number, "cancelled")
    equal(begun(world), ["1"])


@test
def ended_and_its_vm_off():
    """The start was sent, the daemon died, the command ended, its VM is off: nobody knows, and it is not begun again."""
    world = world_of()
    world.killed_by(lambda: world.submit(f"echo $GPUVF_ATTEMPT >>{world.runs}", run_in={"vm": VM}),
                    "guest-exec", argument="start", kill="after")
    until(lambda: list(world.state.glob("guests/*/var/lib/gpuvf-guest/jobs/1.1-*/exit")), "it ended in the guest")
    world.machine("domain-stop", vm=VM)
    world.start()
    world.machine("domain-start", vm=VM)
    world.until_ended("1", "lost")
    equal(begun(world), ["1"])


@test
def takes_its_vm_down():
    """A command that takes its VM with it before anybody heard that it runs is lost, not begun for ever."""
    world = world_of()
    world.fault("guest-exec", argument="status", error="agent-unresponsive")
    number = world.submit(f"echo $GPUVF_ATTEMPT >>{world.runs}; sleep 1000", run_in={"vm": VM})
    until(lambda: begun(world), "it has begun")
    world.machine("domain-crash", vm=VM)
    world.until_ended(number, "lost")
    equal(begun(world), ["1"])


def found_without_vf(submitted):
    """A job waits for its guest; while no daemon runs, its VM is off and on again, without the VF."""
    world = world_of()
    world.fault("guest-device", error="ENODEV")
    number = submitted(world)
    until(lambda: "PCI list" in (world.job(number)["reason"] or ""), "it waits for its device")
    world.kill()
    world.machine("clear-faults")
    world.machine("domain-stop", vm=VM)
    world.machine("domain-start", vm=VM)
    world.start()
    return world, number


@test
def without_its_vf():
    """What had not begun is not begun without its VF: that is given to its VM once more."""
    world, number = found_without_vf(lambda world: world.submit("echo $GPUVF_DEVICE", run_in={"vm": VM}))
    job = world.until_ended(number)
    assert world.output(number).startswith("/dev/dri/"), world.output(number)
    equal([attempt["result"] for attempt in job["attempts"]], ["lost", "succeeded"])
    world, number = found_without_vf(lambda world: world.submit(session=True, run_in={"vm": VM}))
    world.until_job(number, "running")
    equal(world.vf(VF)["state"], "attached")


if __name__ == "__main__":
    main()
