# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM is off, and another takes by hand the VF that gpuvf had given it: its lease waits, and is what it was when the VF is
free again."""

from gpuvf_client import CONFLICT, HOST_ERROR
from harness import MACHINE, PATIENCE, World, equal, main, refused, test, until

OFF = "off"
TAKER = "trainer-2"
VF = "gpu0/vf1"


def world_of(vfs=1, **more):
    world = World({**MACHINE, "vms": MACHINE["vms"] + [{"name": OFF, "state": "off"}]}, **more)
    world.apply(vfs)
    return world


def assign(world, vm=OFF, **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def release(world, **what):
    return world.call("vf.release", wait_seconds=PATIENCE, **what)


def taken(world, vm=TAKER):
    """virsh attach-device to another VM, which runs."""
    world.machine("foreign-attach", vm=vm, gpu="gpu0", vf=1, live=True)
    until(lambda: world.vf(VF)["state"] == "attached" and world.vf(VF)["vm"] == vm, "another has it")


def let_go(world, vm=TAKER):
    world.machine("foreign-detach", vm=vm, gpu="gpu0", vf=1, live=True)


def stored(world, vm=OFF):
    entry = next(one for one in world.machine("state")["vms"] if one["name"] == vm)
    return [one["alias"] for one in entry["hostdevs"] if one["config"]]


def as_before(world, before, state="reserved"):
    """Under the same lease: whose it is, who asked, and until when."""
    until(lambda: world.vf(VF)["vm"] == OFF, "it is its VM's again")
    after = world.vf(VF)
    equal((after["state"], after["reason"]), (state, None))
    for what in ("owner", "epoch", "uid", "since", "expires"):
        equal(after["lease"][what], before[what], what)
    equal(world.vm(OFF)["cannot_start"], None)
    equal(stored(world), [f"ua-gpuvf-0-1-e{before['epoch']}"])


@test
def it_comes_back():
    """The end and who asked are as before, also after a second time; meanwhile it is told; then the VM starts with it, and
    it is taken back in its time."""
    world = world_of()
    assign(world, for_seconds=3600)
    before = world.vf(VF)["lease"]
    for _ in range(2):
        taken(world)
        told = world.vm(OFF)["cannot_start"]
        for words in (f"({VF}), which VM {TAKER} has", "its lease waits", "gpuvf release off", "gpuvf assign off"):
            assert words in told, told
        let_go(world)
        as_before(world, before)
    world.machine("domain-start", vm=OFF)
    until(lambda: world.vf(VF)["state"] == "attached", "it runs with it")
    equal(release(world, vm=OFF, if_epoch=before["epoch"])["changed"], True)
    equal((world.vf(VF)["state"], stored(world)), ("free", []))


@test
def released_by_who_took_it():
    """The same when gpuvf takes it from the other VM."""
    world = world_of()
    assign(world, for_seconds=3600)
    before = world.vf(VF)["lease"]
    taken(world)
    answer = release(world, vf=VF)
    equal([(one["vf"], one["vm"], one["anew"]) for one in answer["left"]], [(VF, OFF, True)])
    as_before(world, before)


@test
def quarantined_on_its_way():
    """The gate fails behind the other VM: its own VM gets it when it is healed, as before."""
    world = world_of()
    assign(world, for_seconds=3600)
    before = world.vf(VF)["lease"]
    taken(world)
    world.fault("reset", gpu="gpu0", nth=1, times=10, error="EIO")
    with refused(HOST_ERROR, "could not be reset"):
        release(world, vf=VF)
    equal((world.vf(VF)["state"], world.vf(VF)["vm"]), ("quarantined", None))
    world.machine("clear-faults")
    world.call("vf.heal", vf=VF, wait_seconds=PATIENCE)
    as_before(world, before)


@test
def out_of_one_and_into_another():
    """On both sides of a VM that runs: taken out of its guest and put into another's at once."""
    world = world_of()
    assign(world, "trainer-1", mode="both", for_seconds=3600)
    before = world.vf(VF)["lease"]
    let_go(world, "trainer-1")
    taken(world)
    let_go(world)
    until(lambda: world.vf(VF)["state"] == "reserved", "it is its VM's again")
    after = world.vf(VF)["lease"]
    equal([after[what] for what in ("owner", "epoch", "uid", "expires")],
          [before[what] for what in ("owner", "epoch", "uid", "expires")])


@test
def killed_meanwhile():
    """kill -9 before it was taken, after that, and while it comes back: the next daemons know."""
    world = world_of()
    assign(world, for_seconds=3600)
    before = world.vf(VF)["lease"]
    world.kill()
    world.machine("foreign-attach", vm=TAKER, gpu="gpu0", vf=1, live=True)
    world.start()
    until(lambda: world.vf(VF)["vm"] == TAKER, "another has it")
    world.crash_and_restart()
    until(lambda: world.vf(VF)["vm"] == TAKER and world.vm(OFF)["cannot_start"], "it has it still")
    world.killed_by(lambda: let_go(world) or world.vm(OFF), "reset", nth=1, kill="before")
    world.start()
    as_before(world, before)


@test
def went_off_and_was_taken():
    """While no daemon runs a VM that has it on both sides goes off, and another takes it."""
    world = world_of()
    assign(world, "trainer-1", mode="both", for_seconds=3600)
    before = world.vf(VF)["lease"]
    world.kill()
    world.machine("domain-stop", vm="trainer-1")
    world.machine("foreign-attach", vm=TAKER, gpu="gpu0", vf=1, live=True)
    world.start()
    until(lambda: world.vf(VF)["vm"] == TAKER, "another has it")
    let_go(world)
    until(lambda: world.vf(VF)["state"] == "reserved", "it is its VM's again")
    equal([world.vf(VF)["lease"][what] for what in ("owner", "epoch", "uid", "expires")],
          [before[what] for what in ("owner", "epoch", "uid", "expires")])


@test
def over_a_boot():
    """The host is booted while another has it: its VM's as before."""
    world = world_of()
    assign(world, for_seconds=3600)
    before = world.vf(VF)["lease"]
    taken(world)
    world.boot()
    as_before(world, before)


@test
def its_end_comes_meanwhile():
    """Its time is over while another has it: it is taken out of the definition, and from nobody else; over a restart."""
    for restart in (False, True):
        world = world_of()
        assign(world, for_seconds=1)
        taken(world)
        if restart:
            world.crash_and_restart()
        until(lambda: stored(world) == [], "it is taken out")
        until(lambda: world.vm(OFF)["cannot_start"] is None, "nothing is told any more")
        equal((world.vf(VF)["state"], world.vf(VF)["vm"]), ("attached", TAKER))
        let_go(world)
        until(lambda: world.vf(VF)["state"] == "free", "it is free")
        world.end()


@test
def libvirt_refuses():
    """libvirt refuses to take it out: told with the reason, and tried again."""
    world = world_of()
    assign(world, for_seconds=1)
    taken(world)
    world.fault("detach", vm=OFF, error="failed", message="libvirt is out of sorts")
    until(lambda: "out of sorts" in (world.vm(OFF)["cannot_start"] or ""), "it is told")
    world.machine("clear-faults")
    until(lambda: stored(world) == [], "it is taken out", seconds=30)


@test
def let_go_by_its_vm():
    """Released, or another is assigned: it is taken out of the definition, and does not come back."""
    world = world_of(2)
    assign(world, vf=VF, for_seconds=3600)
    taken(world)
    answer = release(world, vm=OFF)
    equal((answer["changed"], answer["released"]), (True, [VF]))
    equal([(one["vm"], one["anew"]) for one in answer["left"]], [(TAKER, True)])
    until(lambda: stored(world) == [], "it is taken out")
    let_go(world)
    until(lambda: world.vf(VF)["state"] == "free", "it is free")
    assign(world, vf=VF, for_seconds=3600)
    taken(world)
    with refused(CONFLICT, TAKER):
        assign(world, vf=VF)
    equal(assign(world)["vf"], "gpu0/vf2")
    until(lambda: stored(world) == [f"ua-gpuvf-0-2-e{world.vf('gpu0/vf2')['lease']['epoch']}"], "it names the other alone")
    equal(world.vm(OFF)["cannot_start"], None)


@test
def taken_out_by_hand_meanwhile():
    """virsh edit takes it out while another has it: the lease is over."""
    world = world_of()
    assign(world, for_seconds=3600)
    taken(world)
    world.machine("foreign-detach", vm=OFF, gpu="gpu0", vf=1, live=False, config=True)
    until(lambda: world.vm(OFF)["cannot_start"] is None, "it is seen")
    let_go(world)
    until(lambda: world.vf(VF)["state"] == "free", "it is free")


@test
def its_card_is_cut_meanwhile():
    """Somebody takes the VF off the card while another VM was to have it: the lease waits as any of a VF that is gone."""
    for restart in (False, True):
        world = world_of(2, config={"heal_drift": False})
        assign(world, vf="gpu0/vf2", for_seconds=3600)
        before = world.vf("gpu0/vf2")["lease"]
        by_hand = {"vm": TAKER, "gpu": "gpu0", "vf": 2, "live": True}
        world.machine("foreign-attach", **by_hand)
        until(lambda: world.vf("gpu0/vf2")["vm"] == TAKER, "another has it")
        if restart:
            world.kill()
        world.machine("foreign-detach", **by_hand)
        world.machine("set-numvfs", gpu="gpu0", value=0)
        world.machine("set-numvfs", gpu="gpu0", value=1)
        if restart:
            world.start()
        until(lambda: "a VF that is not there" in (world.vm(OFF)["cannot_start"] or ""), "it is told")
        world.apply(2)
        until(lambda: world.vf("gpu0/vf2")["vm"] == OFF, "it is its VM's again")
        equal({**world.vf("gpu0/vf2")["lease"], "confirm_by": None}, before)
        world.end()


@test
def before_others_that_name_it():
    """A third VM names it by hand: the one whose lease waited has it first."""
    world = world_of()
    assign(world, for_seconds=3600)
    before = world.vf(VF)["lease"]
    taken(world)
    for vm in (TAKER, "trainer-1"):
        world.machine("foreign-attach", vm=vm, gpu="gpu0", vf=1, live=False, config=True)
    until(lambda: world.vm("trainer-1")["cannot_start"], "it is seen")
    release(world, vf=VF)
    as_before(world, before)
    with refused(CONFLICT, OFF, "trainer-1"):
        world.call("gpu.apply", gpu="gpu0", layout={"vfs": 2})


main()
