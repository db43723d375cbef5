# SPDX-License-Identifier: GPL-2.0-or-later
"""What others do to VFs that we gave, or would not give: put back by hand, taken while quarantined, kept over a boot."""

from gpuvf_client import CONFLICT, HOST_ERROR
from harness import MACHINE, PATIENCE, World, equal, main, refused, test, until

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


if __name__ == "__main__":
    main()
