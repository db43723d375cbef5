# SPDX-License-Identifier: GPL-2.0-or-later
"""A VF that the stored definition of another VM names, too, than the one that has it: nobody else is given it when that
lets go."""

from gpuvf_client import CONFLICT
from harness import MACHINE, PATIENCE, POLICY, World, equal, main, refused, test, until

OFF = "off"
VF = "gpu0/vf1"
HOLDER = "trainer-1"


def world_of(vfs=1, **more):
    world = World({**MACHINE, "vms": MACHINE["vms"] + [{"name": OFF, "state": "off"}]}, **more)
    world.apply(vfs)
    return world


def assign(world, vm=HOLDER, **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def release(world, **what):
    return world.call("vf.release", wait_seconds=PATIENCE, **what)


def disturbs(world):
    return world.call("gpu.plan", gpu="gpu0", layout={"vfs": 3})["disturbs"]


def name_by_hand(world, vm=OFF):
    """virsh attach-device --config, of which no event tells; seen when somebody asks."""
    world.machine("foreign-attach", vm=vm, gpu="gpu0", vf=1, live=False, config=True)
    until(lambda: world.vm(vm) and any(vm in one for one in disturbs(world)), "it is seen")


def until_told(world, *words, vm=OFF):
    """Why the VM cannot start, everywhere where that is told."""
    def look():
        told = world.vm(vm)["cannot_start"] or ""
        return all(word in told for word in words) and told
    told = until(look, f"it is told: {words}")
    assert [one for one in world.call("daemon.status")["troubles"]
            if (one["subject"], one["what"], one["reason"]) == (vm, "vf-taken", told)], told
    assert "vm-vf-taken" in world.cli("-q", "doctor").stdout.split()
    return told


def untold(world, vm=OFF):
    until(lambda: world.vm(vm)["cannot_start"] is None, "nothing is told any more")
    equal([one for one in world.call("daemon.status")["troubles"] if one["what"] == "vf-taken"], [])


def held_by_name(world):
    """By the definition of the VM that is off, and by nothing else."""
    vf = world.vf(VF)
    equal((vf["state"], vf["vm"], vf["lease"]["owner"]), ("reserved", OFF, "foreign"))


def starts_with_it(world):
    world.machine("domain-start", vm=OFF)
    until(lambda: world.vf(VF)["state"] == "attached" and world.vf(VF)["vm"] == OFF, "it runs with the VF")


@test
def released():
    """Released by the VM that had it, it is the other's, and the answer says so; the other starts with it."""
    world = world_of()
    assign(world, mode="live")
    name_by_hand(world)
    answer = release(world, vf=VF)
    equal([(one["vf"], one["state"], one["vm"]) for one in answer["left"]], [(VF, "reserved", OFF)])
    held_by_name(world)
    with refused(CONFLICT, OFF):
        assign(world, "trainer-2", vf=VF)
    equal(world.writes()["reset"], 1)
    starts_with_it(world)


@test
def no_job_is_placed_on_it():
    """A job that waits for a VF does not get this one."""
    world = world_of()
    assign(world, mode="live")
    name_by_hand(world)
    job = world.submit("true", run_in={"vm": "trainer-2"})
    release(world, vf=VF)
    held_by_name(world)
    equal(world.job(job)["state"], "queued")
    world.machine("foreign-detach", vm=OFF, gpu="gpu0", vf=1, live=False, config=True)
    until(lambda: world.vm(OFF) and world.job(job)["state"] == "ended", "nobody names it any more")


@test
def its_vm_goes_off():
    """The same when the VM that had it went off, and when a job had it that is over."""
    world = world_of()
    assign(world, mode="live")
    name_by_hand(world)
    world.machine("domain-stop", vm=HOLDER)
    until(lambda: world.vf(VF)["vm"] == OFF, "it is the other's")
    held_by_name(world)

    world = world_of()
    job = world.submit("sleep 30", run_in={"vm": HOLDER})
    world.until_job(job, "running")
    name_by_hand(world)
    world.call("job.cancel", id=job)
    world.until_job(job, "ended")
    held_by_name(world)


@test
def daemon_killed_at_the_gate():
    """kill -9 once it has left its VM: the next daemon resets it, and it is the other's."""
    world = world_of()
    assign(world, mode="live")
    name_by_hand(world)
    world.killed_by(lambda: release(world, vf=VF), "detach", vm=HOLDER, nth=1, kill="after")
    world.start()
    until(lambda: world.vf(VF)["vm"] == OFF, "it is the other's")
    held_by_name(world)
    equal(world.writes()["reset"], 1)


@test
def told_before_a_cut():
    """gpu.plan, gpu.apply and a drain tell of both; so does one of two definitions that name it."""
    world = world_of()
    assign(world, mode="live")
    name_by_hand(world)
    told = disturbs(world)
    equal(len(told), 2, told)
    assert f"VM {HOLDER} (attached)" in told[0] and f"VM {OFF} (its stored definition names" in told[1], told
    with refused(CONFLICT, HOLDER, OFF):
        world.call("gpu.apply", gpu="gpu0", layout={"vfs": 2})
    release(world, vf=VF)
    told = disturbs(world)
    assert len(told) == 1 and OFF in told[0] and "reserved" in told[0], told
    with refused(CONFLICT, OFF):
        world.call("gpu.apply", gpu="gpu0", layout={"vfs": 2})
    world.machine("domain-stop", vm=HOLDER)
    name_by_hand(world, HOLDER)
    told = disturbs(world)
    assert len(told) == 2 and OFF in told[0] and HOLDER in told[1], told
    equal(world.writes()["sriov_numvfs_while_reserved"], 0)


@test
def a_drain_waits_for_it():
    """A drain that waited for the VM that had it goes on waiting for the one that is to have it."""
    world = world_of()
    assign(world, mode="live")
    name_by_hand(world)
    operation = world.call("gpu.apply", gpu="gpu0", layout={"vfs": 2}, drain=True, wait_seconds=0)["operation"]
    release(world, vf=VF)
    until(lambda: any(OFF in one for one in world.gpu()["drain"]["holders"]), "it waits for the other")
    equal(len(world.gpu()["vfs"]), 1)
    release(world, vm=OFF)
    until(lambda: world.call("operation.get", operation=operation)["state"] == "done", "it is cut")
    equal([world.vf(f"gpu0/vf{n}")["state"] for n in (1, 2)], ["free", "free"])


@test
def told_who_has_it():
    """A VM that is off and names what another VM has, or a job, is told so before it fails to start, with the ways out; so
    is the second of two that are off."""
    world = world_of()
    assign(world, mode="live")
    name_by_hand(world)
    until_told(world, f"({VF}), which VM {HOLDER} has: it will not start", f"gpuvf release {VF}", f"virsh edit {OFF}")
    release(world, vf=VF)
    untold(world)
    world.machine("domain-stop", vm=HOLDER)
    name_by_hand(world, HOLDER)
    until_told(world, f"reserved for VM {OFF}", f"gpuvf release {VF}", vm=HOLDER)
    equal(world.vm(OFF)["cannot_start"], None, "the first that names it has it")
    release(world, vf=VF)
    until(lambda: world.vf(VF)["vm"] == HOLDER, "it is the second's")
    untold(world, HOLDER)

    world = world_of()
    job = world.submit("sleep 30", run_in={"vm": HOLDER})
    world.until_job(job, "running")
    name_by_hand(world)
    until_told(world, f"which job {job} in VM {HOLDER} has")
    world.call("job.cancel", id=job)
    untold(world)


@test
def told_of_a_process():
    """The same of a process of the host."""
    world = world_of()
    world.machine("hold", gpu="gpu0", vf=1)
    until(lambda: world.items("vf.list") and world.vf(VF)["state"] == "held", "it is seen")
    name_by_hand(world)
    until_told(world, "a process of the host has")
    world.machine("unhold", gpu="gpu0", vf=1)
    until(lambda: world.items("vf.list") and world.vf(VF)["state"] == "reserved", "that is over", seconds=30)
    untold(world)


@test
def no_job_starts_it():
    """A VM that may be started for jobs is not, while another has a VF that its definition names."""
    world = world_of(2, policy={**POLICY, "vms": [{**POLICY["vms"][0], "match": OFF, "start": "on-demand"}]})
    assign(world, vf=VF, mode="live")
    name_by_hand(world)
    job = world.submit("true", run_in={"vm": OFF})
    until(lambda: world.job(job)["reason"], "it waits")
    for _ in range(20):  # it would be tried at once
        equal((world.vm(OFF)["state"], world.vm(OFF)["pool_reason"]), ("off", None))
    release(world, vf=VF)
    until(lambda: world.vm(OFF)["state"] == "running", "it is started")


@test
def what_the_policy_gave():
    """Another VM took by hand what the policy assigned to a VM that is off: it is taken out of the definition, another is
    given, and the VM starts."""
    world = world_of(2, policy={"version": 1, "assignments": [{"vm": OFF, "vram": "1GiB"}]})
    until(lambda: world.vf(VF)["state"] == "reserved", "it is given")
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", vf=1)
    until(lambda: world.vf("gpu0/vf2")["state"] == "reserved", "another is given")
    equal((world.vf(VF)["state"], world.vf(VF)["vm"]), ("attached", "trainer-2"))
    named = next(one for one in world.machine("state")["vms"] if one["name"] == OFF)["hostdevs"]
    equal([one["address"] for one in named], [world.vf("gpu0/vf2")["address"]])
    untold(world)
    world.machine("domain-start", vm=OFF)
    until(lambda: world.vf("gpu0/vf2")["state"] == "attached", "it runs with the other")


@test
def what_the_policy_gave_by_name():
    """The same of one that the policy names: the VM starts without, and gets it when it is free."""
    world = world_of(1, policy={"version": 1, "assignments": [{"vm": OFF, "vf": VF}]})
    until(lambda: world.vf(VF)["state"] == "reserved", "it is given")
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", vf=1)
    until(lambda: "held by VM trainer-2" in (world.vm(OFF)["assignment_reason"] or ""), "it is told")
    equal(next(one for one in world.machine("state")["vms"] if one["name"] == OFF)["hostdevs"], [])
    untold(world)
    release(world, vf=VF)
    until(lambda: world.vf(VF)["state"] == "reserved" and world.vf(VF)["lease"]["owner"] == "policy", "it is given", 30)


main()
