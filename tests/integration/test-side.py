# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM has a VF in its running guest, in its stored definition, or in both; assign adds the side that is asked for,
release takes the one that is named, and the lease stays."""

from gpuvf_client import CONFLICT, HOST_ERROR, UNSUPPORTED, RpcError
from harness import MACHINE, PATIENCE, World, equal, main, refused, test, until

VM = "trainer-1"
VF = "gpu0/vf1"


def assign(world, vm=VM, **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def release(world, **what):
    return world.call("vf.release", wait_seconds=PATIENCE, **what)


def sides(world, vm=VM):
    """Live and stored, as the made-up libvirt has it."""
    for entry in world.machine("state")["vms"]:
        if entry["name"] == vm:
            return [(h["live"], h["config"]) for h in entry["hostdevs"]]
    raise AssertionError(f"the machine has no VM {vm}")


def holds(world, state, *wanted, epoch=None):
    """The VF is in that state, and libvirt has it on those sides."""
    vf = until(lambda: world.vf(VF) if world.vf(VF)["state"] == state else None, f"it is {state}")
    equal(sides(world), list(wanted))
    if epoch:
        equal(vf["lease"]["epoch"], epoch)
    return vf


@test
def stored_as_well():
    """What was live only stands in the definition, too: the VM is shut off and started, and has it again."""
    world = World()
    world.apply(1)
    assign(world, mode="live")
    epoch = holds(world, "attached", (True, False))["lease"]["epoch"]
    for mode in ("both", "config"):
        result = assign(world, mode=mode)
        equal((result["vf"], result["changed"], result["lease"]["epoch"]), (VF, mode == "both", epoch))
        holds(world, "attached", (True, True), epoch=epoch)
    world.machine("domain-stop", vm=VM)
    holds(world, "reserved", (False, True), epoch=epoch)
    world.machine("domain-start", vm=VM)
    holds(world, "attached", (True, True), epoch=epoch)
    release(world, vm=VM)
    holds(world, "free")


@test
def plugged_as_well():
    """What stands in the definition only goes into the running guest, too, and is on VFIO for that."""
    world = World()
    world.apply(1)
    assign(world, mode="config")
    epoch = holds(world, "reserved", (False, True))["lease"]["epoch"]
    equal(assign(world)["changed"], False, "with no side asked for")
    equal(assign(world, mode="live")["changed"], True)
    holds(world, "attached", (True, True), epoch=epoch)
    release(world, vm=VM, mode="live")
    assign(world, mode="live")
    equal(world.writes()["attached_without_reset"], 0)
    release(world, vm=VM)
    holds(world, "free")


@test
def no_side_to_add():
    """A VM that is off has no running guest; a VF that somebody else attached is not ours to write down."""
    world = World({"vms": MACHINE["vms"] + [{"name": "off", "state": "off"}, {"name": "full", "ports": 1}]})
    world.apply(4)
    assign(world, "off", vf="gpu0/vf2")
    for mode in ("live", "both"):
        with refused(CONFLICT, "off", field="mode", reason="vm_off"):
            assign(world, "off", mode=mode)
    equal(world.vf("gpu0/vf2")["state"], "reserved")
    world.machine("foreign-attach", vm=VM, gpu="gpu0", vf=1, live=True)
    until(lambda: world.vf(VF)["state"] == "attached", "it is seen")
    with refused(CONFLICT, "running guest only", "foreign", field="mode", reason="not_assigned"):
        assign(world, mode="both")
    equal(sides(world), [(True, False)])
    assign(world, "full", vf="gpu0/vf3", mode="live")
    equal(assign(world, "full", mode="both")["changed"], True, "it needs no second port for what it has")


@test
def libvirt_refuses():
    """A side that libvirt does not give, or does not take: the other stays, and so does the lease."""
    world = World()
    world.apply(1)
    assign(world, mode="live")
    epoch = holds(world, "attached", (True, False))["lease"]["epoch"]
    world.fault("attach", vm=VM, nth=1, error="failed", message="no way")
    with refused(HOST_ERROR, "no way"):
        assign(world, mode="both")
    holds(world, "attached", (True, False), epoch=epoch)
    assign(world, mode="both")
    for mode in ("live", "config"):
        world.fault("detach", vm=VM, nth=1, error="guest-refused", message="it is kept")
        try:
            release(world, vm=VM, mode=mode)
        except RpcError as error:
            assert "it is kept" in error.message, error
        else:
            raise AssertionError("released although libvirt refused")
        holds(world, "attached", (True, True), epoch=epoch)
        world.machine("clear-faults")


@test
def out_of_the_definition():
    """release --config: the guest keeps it, and the next start does not have it."""
    world = World()
    world.apply(1)
    assign(world, mode="both")
    epoch = holds(world, "attached", (True, True))["lease"]["epoch"]
    for changed in (True, False):
        equal(release(world, vm=VM, mode="config")["changed"], changed)
        holds(world, "attached", (True, False), epoch=epoch)
    world.machine("domain-stop", vm=VM)
    holds(world, "free")


@test
def out_of_the_guest():
    """release --live: the definition keeps it, nobody else gets it, and the rest goes through the gate."""
    world = World()
    world.apply(1)
    assign(world, mode="both")
    epoch = holds(world, "attached", (True, True))["lease"]["epoch"]
    for changed in (True, False):
        equal(release(world, vm=VM, mode="live")["changed"], changed)
        holds(world, "reserved", (False, True), epoch=epoch)
    resets = world.writes()["reset"]
    equal(release(world, vm=VM, mode="config")["changed"], True)
    holds(world, "free")
    equal(world.writes()["reset"], resets + 1)


def left(vf, state, vm, live, config):
    return {"vf": vf, "state": state, "vm": vm, "live": live, "config": config, "anew": False}


@test
def what_is_left_is_told():
    """The answer, the operation and the client say of each VF who has it still; free is only what nobody has."""
    world = World({"vms": MACHINE["vms"] + [{"name": "off", "state": "off"}]})
    world.apply(2)
    assign(world, "off", vf="gpu0/vf2")
    assign(world, vf=VF, mode="both")
    result = release(world, vm=VM, mode="config")
    equal((result["released"], result["left"]), ([VF], [left(VF, "attached", VM, True, False)]))
    operation = [o for o in world.items("operation.list") if o["method"] == "vf.release"][-1]
    equal(operation["result"]["left"], result["left"])
    result = release(world, vm=VM, mode="config")
    equal((result["changed"], result["released"], result["left"]), (False, [], [left(VF, "attached", VM, True, False)]))
    assign(world, mode="both")
    equal(release(world, vf=VF, mode="live")["left"], [left(VF, "reserved", VM, False, True)])
    result = release(world, vm=VM)
    equal((result["released"], result["left"]), ([VF], []))
    equal(release(world, vm=VM)["left"], [])

    def says(*words):
        return world.cli("release", *words, check=0).stdout.strip()

    assign(world, vf=VF, mode="both")
    equal(says(VM, "--config"), f"{VF} is out of the stored definition of {VM}; the guest keeps it until it is off")
    equal(says(VM, "--config"), f"{VM} has {VF} in its running guest only: nothing was changed")
    assign(world, vf=VF, mode="both")
    equal(says(VF, "--live"), f"{VF} is out of the guest of {VM}; its stored definition keeps it, and nobody else gets it")
    equal(says(VM), f"{VF} is free again")
    equal(says(VF), f"nobody holds {VF}: nothing was changed")
    equal(says(VM), f"{VM} holds nothing: nothing was changed")
    equal(says("off", "--live"), "off has gpu0/vf2 in its stored definition only: nothing was changed")
    equal(says("off"), "gpu0/vf2 is free again")
    world.call("gpu.apply", gpu="gpu0", layout={"vfs": 1}, wait_seconds=PATIENCE)
    assign(world, "off", vf=VF)
    world.machine("domain-start", vm="off")
    until(lambda: world.vf(VF)["state"] == "attached", "it is in the guest that was started")
    equal(says("off", "--live"), f"{VF} is out of the guest of off; its stored definition keeps it, and nobody else gets it")


@test
def not_by_force():
    """Force powers the VM off: there is no other side to keep then."""
    world = World()
    world.apply(1)
    assign(world, mode="both")
    for mode in ("live", "config"):
        with refused(UNSUPPORTED, "both at once", field="mode"):
            release(world, vf=VF, mode=mode, force=True, yes_power_off=True)
    holds(world, "attached", (True, True))


@test
def killed_between():
    """kill -9 on either side of libvirt's work: the next daemon does what is left, and does it once."""
    for op, method, params, before, after in (
            ("attach", "vf.assign", {"mode": "both"}, {"mode": "live"}, ("attached", (True, True))),
            ("attach", "vf.assign", {"mode": "live"}, {"mode": "config"}, ("attached", (True, True))),
            ("detach", "vf.release", {"mode": "live"}, {"mode": "both"}, ("reserved", (False, True))),
            ("detach", "vf.release", {"mode": "config"}, {"mode": "both"}, ("attached", (True, False)))):
        for when in ("before", "after"):
            world = World()
            world.apply(1)
            assign(world, **before)
            epoch = world.vf(VF)["lease"]["epoch"]
            world.fault(op, vm=VM, nth=1, kill=when)
            world.client().begin(method, vm=VM, wait_seconds=PATIENCE, **params)
            world.until_killed()
            world.start()
            until(lambda: all(o["state"] == "done" for o in world.items("operation.list")), "what was begun is done")
            holds(world, *after, epoch=epoch)
            if method == "vf.release":
                done = [o["result"] for o in world.items("operation.list") if o["method"] == method]
                equal([r["left"] for r in done], [[left(VF, after[0], VM, *after[1])]])
            world.end()


if __name__ == "__main__":
    main()
