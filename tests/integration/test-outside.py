# SPDX-License-Identifier: GPL-2.0-or-later
"""What others do to VFs that we gave, or would not give: put back by hand, taken while quarantined, kept over a boot, made
by hand with a driver of the host."""

from gpuvf_client import CONFLICT, HOST_ERROR
from harness import MACHINE, PATIENCE, POLICY, World, equal, main, refused, test, until

VM = "trainer-1"
VF = "gpu0/vf1"


def assign(world, vm=VM, **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def release(world, **what):
    return world.call("vf.release", wait_seconds=PATIENCE, **what)


def by_hand(world, op, **more):
    return world.machine(f"foreign-{op}", vm=VM, gpu="gpu0", vf=1, **more)


def aliases(world):
    return [h["alias"] for entry in world.machine("state")["vms"] if entry["name"] == VM
            for h in entry["hostdevs"]]


def put_back(world):
    by_hand(world, "detach")
    by_hand(world, "attach")


@test
def put_back_by_hand():
    """A VF taken out and attached again by hand, while no daemon ran, stays its VM's; release finds it by its address."""
    world = World()
    world.apply(1)
    assign(world, mode="live")
    epoch = world.vf(VF)["lease"]["epoch"]
    world.kill()
    put_back(world)
    world.start()
    lease = until(lambda: world.vf(VF)["lease"] if world.vf(VF)["lease"]["epoch"] != epoch else None, "it is seen")
    equal((world.vf(VF)["state"], world.vf(VF)["vm"], lease["owner"]), ("attached", VM, "vm"))
    with refused(CONFLICT, field="if_epoch"):
        release(world, vf=VF, if_epoch=epoch)
    equal(release(world, vf=VF)["changed"], True)
    equal((world.vf(VF)["state"], aliases(world)), ("free", []))


@test
def put_back_before_its_reset():
    """A VF taken out and put back by hand under the daemon's eyes, before it was reset, is the VM's by somebody else's
    hand, and who waits for its release hears so."""
    world = World()
    world.apply(1)
    assign(world, mode="live")
    epoch = world.vf(VF)["lease"]["epoch"]
    put_back(world)
    until(lambda: world.vf(VF)["state"] == "attached" and world.vf(VF)["lease"]["epoch"] != epoch, "it is seen")
    release(world, vf=VF)
    assign(world, mode="live")
    world.fault("wait-closed", gpu="gpu0", nth=1, hang=True)
    client = world.client()
    number = client.begin("vf.release", vf=VF, wait_seconds=PATIENCE)
    until(lambda: world.vf(VF)["state"] == "resetting", "it has left its VM")
    by_hand(world, "attach")
    world.until_hangs()
    world.machine("release-hang")
    answer = client.answer_to(number)
    equal((answer["error"]["code"], answer["error"]["data"]["reason"]), (CONFLICT, "put_back"))
    vf = world.vf(VF)
    equal((vf["state"], vf["vm"], vf["lease"]["owner"]), ("attached", VM, "foreign"))
    release(world, vf=VF)
    equal((world.vf(VF)["state"], aliases(world)), ("free", []))


@test
def put_back_while_no_daemon_reset_it():
    """The same where the daemon died between the guest's word and the reset: the release that was accepted is done."""
    world = World()
    world.apply(1)
    assign(world, mode="live")
    world.fault("wait-closed", gpu="gpu0", nth=1, kill="before")
    world.client().begin("vf.release", vf=VF, wait_seconds=PATIENCE)
    world.until_killed()
    by_hand(world, "attach")
    world.start()
    until(lambda: all(o["state"] == "done" for o in world.items("operation.list")), "the release goes on")
    equal((world.vf(VF)["state"], aliases(world)), ("free", []))


@test
def put_back_and_stored():
    """The same of one that stands in the definition, too: both sides go, under whatever alias."""
    world = World()
    world.apply(1)
    assign(world, mode="both")
    epoch = world.vf(VF)["lease"]["epoch"]
    world.kill()
    put_back(world)
    world.start()
    until(lambda: world.vf(VF)["lease"]["epoch"] != epoch, "it is seen")
    release(world, vf=VF)
    equal((world.vf(VF)["state"], aliases(world)), ("free", []))


@test
def quarantined_and_taken():
    """Somebody attaches a VF that is quarantined: it has a holder, stays quarantined, and is not healed under the VM."""
    world = World()
    world.apply(1)
    name = assign(world)["vf"]
    world.fault("reset", gpu="gpu0", nth=1, times=10, error="EIO")
    with refused(HOST_ERROR):
        release(world, vf=name)
    until(lambda: world.vf(VF)["state"] == "quarantined", "it is quarantined")
    world.machine("clear-faults")
    by_hand(world, "attach")
    vf = until(lambda: world.vf(VF) if world.vf(VF)["vm"] else None, "its holder is seen")
    equal((vf["state"], vf["vm"], vf["lease"]["owner"]), ("quarantined", VM, "foreign"))
    equal(world.vm(VM)["vfs"], [VF])
    with refused(CONFLICT, VM, field="vf", reason="held"):
        world.call("vf.heal", vf=VF)
    with refused(CONFLICT, VM):
        world.apply(0)
    world.crash_and_restart()
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
    equal((world.vf(VF)["state"], world.vf(VF)["vm"]), ("quarantined", VM))
    by_hand(world, "detach")
    until(lambda: world.vf(VF)["lease"] is None, "it is nobody's again")
    equal(world.vf(VF)["state"], "quarantined")
    world.call("vf.heal", vf=VF)
    until(lambda: world.vf(VF)["state"] == "free", "it is healed")


@test
def stored_over_a_boot():
    """A lease that stands in a stored definition is what it was after a boot of the host, its end included; one of a
    running guest only is over."""
    world = World({"vms": MACHINE["vms"] + [{"name": "off", "state": "off"}]})
    world.apply(3)
    kept = {assign(world, "off", for_seconds=3600)["vf"]: "off", assign(world, "trainer-1", mode="both")["vf"]: "trainer-1"}
    lost = assign(world, "trainer-2", mode="live")["vf"]
    before = {name: world.vf(name)["lease"] for name in kept}
    world.boot()
    until(lambda: all(world.vf(name)["state"] == "reserved" for name in kept), "they are there again")
    for name, vm in kept.items():
        after = world.vf(name)["lease"]
        equal({key: after[key] for key in ("owner", "epoch", "since", "expires")},
              {key: before[name][key] for key in ("owner", "epoch", "since", "expires")}, name)
        equal(world.vf(name)["vm"], vm)
    until(lambda: world.vf(lost)["state"] == "free", "nobody has that one")
    world.machine("domain-start", vm="trainer-1")
    until(lambda: world.vm("trainer-1")["state"] == "running", "it runs")
    for name in kept:
        release(world, vf=name)
        equal(world.vf(name)["state"], "free")


@test
def end_over_a_boot():
    """The end of a lease that came while the host was down is caught up with."""
    world = World({"vms": MACHINE["vms"] + [{"name": "off", "state": "off"}]})
    world.apply(1)
    assign(world, "off", for_seconds=1)
    world.boot()
    until(lambda: world.vf(VF)["state"] == "free", "its time is over")


# ---- VFs that somebody else made, with the host's driver

RULED = {**POLICY, "layouts": [{"name": "two", "vfs": 2}], "gpus": [{"match": {}, "layout": "two"}]}


def made_by_hand(world, seen=True):
    """The kernel's default: the host's driver takes what `echo 2 > sriov_numvfs` makes."""
    world.machine("set-numvfs", gpu="gpu0", value=2)
    equal(drivers(world), ["xe", "xe"])
    if seen:
        until(lambda: len(world.items("vf.list")) == 2, "they are seen")


def drivers(world):
    return [vf["driver"] for vf in world.machine("state")["gpus"][0]["vfs"]]


def until_on_vfio(world):
    until(lambda: drivers(world) == ["vfio-pci"] * 2 and
          all((vf["state"], vf["driver"], vf["reason"]) == ("free", "vfio-pci", None) for vf in world.items("vf.list")),
          "both are free and on VFIO")


def managed_from_now_on(world):
    world.write_policy(RULED)
    world.call("policy.reload")
    equal((world.gpu()["state"], world.gpu()["drift"]), ("ready", None))


@test
def made_with_the_host_driver():
    """Nobody's VFs that the host's driver took are put on VFIO as soon as the policy speaks of their GPU, by the daemon's
    own hand; those of a GPU of which it does not are left."""
    world = World()
    made_by_hand(world)
    equal(world.gpu()["state"], "unmanaged")
    managed_from_now_on(world)
    until_on_vfio(world)
    rows = [row for row in world.items("audit.list") if row["method"] == "daemon:bind"]
    equal(sorted((row["subject"], row["outcome"], row["before"]["driver"], row["after"]["driver"]) for row in rows),
          [(f"gpu0/vf{n}", "changed", "xe", "vfio-pci") for n in (1, 2)])
    equal(world.call("gpu.apply", gpu="gpu0", wait_seconds=PATIENCE)["changed"], False)
    equal(assign(world, vf=VF)["vf"], VF)


@test
def made_and_left_to_the_host():
    """The GPU is nobody's: what the host's driver has there it keeps, over a new daemon too."""
    world = World()
    made_by_hand(world)
    world.crash_and_restart()
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt was compared")
    world.call("daemon.doctor")
    equal(drivers(world), ["xe", "xe"])


@test
def made_and_held_by_a_process():
    """A process of the host has one open: it is its holder, and the other is on VFIO; when it has closed it, it is, too."""
    world = World()
    made_by_hand(world)
    world.machine("hold", gpu="gpu0", vf=1)
    managed_from_now_on(world)
    until(lambda: drivers(world) == ["xe", "vfio-pci"] and world.vf(VF)["state"] == "held", "each as it is to be")
    equal(world.vf(VF)["lease"]["owner"], "foreign")
    world.machine("unhold", gpu="gpu0", vf=1)
    until_on_vfio(world)


@test
def made_and_not_taken_by_vfio():
    """VFIO does not take one: it stays free, is told with the reason, and is tried again by itself."""
    world = World()
    made_by_hand(world)
    world.fault("bind", error="EIO")
    managed_from_now_on(world)
    until(lambda: "could not be put on VFIO" in (world.vf(VF)["reason"] or ""), "it is told")
    equal((world.vf(VF)["state"], world.vf(VF)["lease"]), ("free", None))
    told = [t for t in world.call("daemon.status")["troubles"] if t["what"] == "off-vfio"]
    assert VF in [t["subject"] for t in told] and "host's driver xe" in told[0]["reason"], told
    found = [one for one in world.call("daemon.doctor")["findings"] if one["id"] == "vf-off-vfio"]
    assert found and found[0]["severity"] == "warning" and "tried again" in found[0]["cure"], found
    world.machine("clear-faults")
    until_on_vfio(world)
    equal([t for t in world.call("daemon.status")["troubles"] if t["what"] == "off-vfio"], [])


@test
def made_and_the_daemon_killed():
    """kill -9 before and after the driver of one is changed: the next daemon goes on, and nothing else is touched."""
    for when in ("before", "after"):
        world = World()
        made_by_hand(world)
        world.write_policy(RULED)
        world.killed_by(lambda w=world: w.call("policy.reload"), "bind", kill=when)
        writes = world.writes()["sriov_numvfs"]
        world.start()
        until_on_vfio(world)
        equal(world.writes()["sriov_numvfs"], writes)
        world.end()


if __name__ == "__main__":
    main()
