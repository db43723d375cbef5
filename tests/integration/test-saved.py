# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM that is off and has a managed-save image starts from that: what is written into its definition comes to nothing."""

from gpuvf_client import CONFLICT
from harness import PATIENCE, POLICY, World, equal, main, refused, test, until

SAVED = {"name": "trainer-1", "state": "off", "saved": True}
WAY_OUT = "virsh managedsave-remove"


def saved(*vms, policy=None):
    world = World({"vms": list(vms) or [SAVED]}, policy={**POLICY, **(policy or {})})
    world.apply(2)
    return world


def assign(world, vm="trainer-1", **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def until_all_free(world):
    until(lambda: all((vf["state"], vf["lease"]) == ("free", None) for vf in world.items("vf.list")), "all are free")


def stored(world, vm="trainer-1"):
    facts = next(one for one in world.machine("state")["vms"] if one["name"] == vm)
    return [one["address"] for one in facts["hostdevs"] if one["config"]]


@test
def refused_with_the_way_out():
    """assign --config, or to a VM that is off, is refused; nothing is written; without its image it is done."""
    world = saved(SAVED, {"name": "trainer-2", "state": "off"})
    equal(world.vm("trainer-1")["saved"], True)
    equal([vm.get("saved") for vm in sorted(world.items("vm.list"), key=lambda vm: vm["name"])], [True, None])
    for mode in ("auto", "config"):
        with refused(CONFLICT, "managed-save image", WAY_OUT, field="vm", reason="vm_saved"):
            assign(world, mode=mode)
        until_all_free(world)
    equal(stored(world), [])
    with refused(CONFLICT, reason="vm_off"):
        assign(world, mode="live")
    done = world.cli("assign", "trainer-1", "--config")
    assert done.returncode == 6 and WAY_OUT in done.stderr, done
    assert "saved" in world.cli("show", "trainer-1", check=0).stdout
    equal(assign(world, "trainer-2")["changed"], True)
    world.machine("domain-unsave", vm="trainer-1")  # of which nobody is told
    equal(assign(world)["changed"], True)
    assert "saved" not in world.vm("trainer-1")
    world.machine("domain-start", vm="trainer-1")
    until(lambda: [vf for vf in world.items("vf.list") if (vf["vm"], vf["state"]) == ("trainer-1", "attached")], "it has it")


@test
def saved_meanwhile():
    """A VM that is saved is noticed, and so is its start, after which a live assign is done."""
    world = saved({"name": "trainer-1"})
    assert "saved" not in world.vm("trainer-1")
    world.machine("domain-save", vm="trainer-1")
    until(lambda: world.vm("trainer-1").get("saved"), "it is seen")
    with refused(CONFLICT, reason="vm_saved"):
        assign(world)
    world.machine("domain-start", vm="trainer-1")
    until(lambda: world.vm("trainer-1")["state"] == "running", "it runs")
    assert "saved" not in world.vm("trainer-1")
    equal(assign(world, mode="both")["changed"], True)


@test
def over_a_restart():
    """The next daemon sees it too."""
    world = saved()
    world.crash_and_restart()
    until(lambda: world.vm("trainer-1").get("saved"), "it is seen")
    with refused(CONFLICT, reason="vm_saved"):
        assign(world)


@test
def by_the_policy():
    """What the policy assigns waits with the reason, and comes without the image or when the VM runs."""
    for op, state in (("domain-unsave", "reserved"), ("domain-start", "attached")):
        world = saved(policy={"assignments": [{"vm": "trainer-1", "vram": "1GiB"}]})
        until(lambda: "managed-save image" in (world.vm("trainer-1")["assignment_reason"] or ""), "it is told")
        equal(stored(world), [])
        world.machine(op, vm="trainer-1")
        until(lambda: [vf for vf in world.items("vf.list") if vf["state"] == state], "it comes")
        until(lambda: world.vm("trainer-1")["assignment_reason"] is None, "all is well")
        world.end()


@test
def started_for_a_job():
    """A job whose VF is plugged in when the VM runs has it started, from its image or not."""
    for mode in ("per-job", "keep"):
        world = saved(policy={"vms": [{**POLICY["vms"][0], "start": "on-demand", "vf": mode}]})
        number = world.submit("true")
        world.until_ended(number)
        equal(world.job(number)["vm"], "trainer-1")
        world.end()


@test
def not_started_for_a_job():
    """A job that needs the VF in the definition waits with the reason; the VM starts when the image is gone."""
    world = saved(policy={"vms": [{**POLICY["vms"][0], "start": "on-demand", "vf": "assigned"}]})
    world.machine("foreign-attach", vm="trainer-1", gpu="gpu0", vf=1, config=True)
    until(lambda: world.vf("gpu0/vf1")["state"] == "reserved", "it is seen")
    number = world.submit("true")
    until(lambda: "managed-save image" in (world.job(number)["reason"] or ""), "it is told")
    equal(world.vm("trainer-1")["state"], "off")
    world.machine("domain-unsave", vm="trainer-1")
    world.until_ended(number)


if __name__ == "__main__":
    main()
