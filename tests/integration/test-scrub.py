# SPDX-License-Identifier: GPL-2.0-or-later
"""A VF's memory is cleared between two users without a re-cut, where the driver lets its VRAM be taken and given back."""

from gpuvf_client import CONFLICT, HOST_ERROR, WEDGED, RpcError
from harness import PATIENCE, POLICY, World, equal, main, refused, test, until

GIB = 1 << 30
QUARTER = (16 * GIB - (128 << 20)) // 4
POINTS = 3  # writes of the gate: the reset, and two of the quota
I915 = {"model": "Flex 170", "driver": "i915"}
RULE = {"match": {}, "layout": [{"profile": "quarter", "count": 2}]}


def cut(reuse="scrubbed", live=True, config=None, **gpu):
    """A world whose card was cut by the policy, with a quota by hand on each VF."""
    world = World({"gpus": [{**I915, "live_quotas": live, **gpu}], "vms": [{"name": "trainer-%d", "count": 2}]},
                  {**POLICY, "gpus": [{**RULE, "reuse": reuse}]}, config)
    until(lambda: world.gpu()["num_vfs"] == 2, "the rule's layout is made")
    for name in ("gpu0/vf1", "gpu0/vf2"):
        until(lambda name=name: world.vf(name)["state"] == "free", "it is bound")
    return world


def assign(world, vm="trainer-1", vf="gpu0/vf1"):
    return world.call("vf.assign", vm=vm, vf=vf, wait_seconds=PATIENCE)


def release(world, vf="gpu0/vf1"):
    return world.call("vf.release", vf=vf, wait_seconds=PATIENCE)


def use(world, vm="trainer-1", vf="gpu0/vf1"):
    assign(world, vm, vf)
    release(world, vf)


def memory(world, vf="gpu0/vf1"):
    return world.vf(vf)["memory_between_users"]


def has(world, vf=1):
    """What the kernel shows."""
    return world.machine("state")["gpus"][0]["vfs"][vf - 1]["values"]["vram_quota"]


def is_well(world):
    """Free, with the memory that it had, and wanted so."""
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "it is free")
    equal((has(world), world.vf("gpu0/vf1")["vram_bytes"]), (QUARTER, QUARTER))
    equal((world.gpu()["state"], world.gpu()["drift"]), ("ready", None))


def is_open(world):
    """… to everybody."""
    is_well(world)
    shown = memory(world)
    equal((shown["last_uid"], shown["last_vm"]), (None, None))
    assert shown["scrubbed_at"].endswith("Z"), shown
    equal(assign(world, "trainer-2")["changed"], True)


@test
def after_each_user():
    """After its user a VF's VRAM is taken and given back, and the next one gets the VF; other VFs are not touched."""
    world = cut()
    assign(world, vf="gpu0/vf2")
    before = world.writes()["vram_quota"]
    use(world)
    equal(world.writes()["vram_quota"], before + 2)
    shown = memory(world)
    equal((shown["reuse"], shown["mechanism"], shown["only_by_recut"]), ("scrubbed", "vram-quota", None))
    equal(shown["probed"], "lmem_quota of its VFs is there and writable")
    assert "vram-quota" in world.cli("show", "gpu0/vf1", check=0).stdout
    is_open(world)
    equal(memory(world)["scrubbed_at"], None, "it has a user again")
    release(world)
    use(world, "trainer-1")
    equal((world.vf("gpu0/vf2")["state"], has(world, 2)), ("attached", QUARTER))
    use_by_jobs(world)


def use_by_jobs(world):
    """Jobs of one VM after the other have the same VF."""
    for vm in ("trainer-2", "trainer-1"):
        number = world.submit("true", run_in={"vm": vm})
        equal(world.until_ended(number)["result"], "succeeded")
        is_well(world)


@test
def by_the_policy():
    """Without the rule nothing is taken."""
    for reuse in ("any", "same-user"):
        world = cut(reuse)
        before = world.writes()["vram_quota"]
        use(world)
        equal(world.writes()["vram_quota"], before)
        equal((memory(world)["scrubbed_at"], memory(world)["mechanism"]), (None, "vram-quota"))


@test
def refused_by_the_driver():
    """A driver that takes no quota from a VF that is on: reset, kept for its user, told, and not tried again."""
    world = cut(live=False)
    before = world.writes()["vram_quota"]
    use(world)
    is_well(world)
    shown = memory(world)
    equal((shown["mechanism"], shown["scrubbed_at"]), ("recut", None))
    assert "Input/output error" in shown["only_by_recut"], shown
    with refused(CONFLICT, "kept for VM trainer-1", "next re-cut", '"reuse": "scrubbed"', reason="last_user"):
        assign(world, "trainer-2")
    tried = world.writes()["vram_quota"]
    assert tried > before
    use(world)
    equal(world.writes()["vram_quota"], tried)


@test
def no_way_there():
    """A card that has no such way is as with same-user, and what is not known of it is said."""
    world = cut(driver="xe", live=False)
    use(world)
    equal((memory(world)["mechanism"], memory(world)["probed"]), (None, None))
    assert "not known" in memory(world)["what"]
    with refused(CONFLICT, "kept for VM trainer-1", reason="last_user"):
        assign(world, "trainer-2")


@test
def killed():
    """kill -9 before and after each write of the gate: the next daemon gives back what was taken, and it is cleared."""
    for when in ("before", "after"):
        for nth in range(1, POINTS + 1):
            world = cut()
            assign(world)
            world.fault("write", gpu="gpu0", nth=nth, kill=when)
            world.call("vf.release", vf="gpu0/vf1")
            world.until_killed()
            world.start()
            until(lambda world=world: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
            is_open(world)


@test
def failing():
    """An error at either write of the quota: kept for its user, or quarantined until it has its memory back."""
    world = cut()
    assign(world)
    world.fault("vram_quota", gpu="gpu0", nth=1, error="EIO")
    release(world)
    is_well(world)
    equal(memory(world)["last_vm"], world.vm("trainer-1")["uuid"])

    world = cut()
    assign(world)
    world.fault("vram_quota", gpu="gpu0", nth=2, error="ENOSPC")
    with refused(HOST_ERROR, "could not be given back"):
        release(world)
    equal((world.vf("gpu0/vf1")["state"], has(world)), ("quarantined", 0))
    assert "could not be given back" in world.vf("gpu0/vf1")["reason"]
    until(lambda: world.gpu()["drift"], "that it has none is drift")
    world.crash_and_restart()
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
    world.call("vf.heal", vf="gpu0/vf1", wait_seconds=PATIENCE)
    is_open(world)


@test
def hanging():
    """A write of the quota that hangs: the GPU is wedged; afterwards the VF is mended by heal."""
    for nth in (1, 2):
        world = cut(config={"deadlines": {"attribute": "500ms"}})
        assign(world)
        world.fault("vram_quota", gpu="gpu0", nth=nth, hang=True)
        try:
            release(world)
        except RpcError as error:
            assert error.code in (HOST_ERROR, WEDGED), error
        until(lambda world=world: world.vf("gpu0/vf1")["state"] == "quarantined", "it is not given to anybody")
        world.machine("release-hang", gpu="gpu0")
        until(lambda world=world: world.gpu()["state"] == "ready", "it answers again")
        world.call("vf.heal", vf="gpu0/vf1", wait_seconds=PATIENCE)
        is_open(world)
        equal(memory(world)["mechanism"], "vram-quota", "a card that hangs refuses nothing")


@test
def doctor_tells():
    """Where nothing clears memory between users and the policy keeps no VF for its last one, the doctor says so, and what
    to write."""
    for reuse, gpu, cure in (("any", {}, '"reuse": "scrubbed"'), ("scrubbed", {}, None), ("same-user", {}, None),
                             ("any", {"driver": "xe"}, '"reuse": "same-user"'), ("same-user", {"driver": "xe"}, None)):
        world = cut(reuse, **gpu)
        found = [one for one in world.call("daemon.doctor")["findings"] if one["id"] == "vf-memory-between-users"]
        equal([(one["severity"], cure in one["cure"]) for one in found], [("info", True)] if cure else [], f"{reuse} {gpu}")
        assert all("clear" in one["evidence"][0]["value"] for one in found), found
        world.end()


if __name__ == "__main__":
    main()
