# SPDX-License-Identifier: GPL-2.0-or-later
"""The stored definition of a VM that is off follows its VF: to another slot of its card, to another VF when its own is
gone; what cannot follow is told, with the way out."""

from gpuvf_client import CONFLICT, RpcError
from harness import MACHINE, PATIENCE, World, equal, main, refused, test, until

VM = "off"
VF = "gpu0/vf1"
CARDS = [{"model": "Flex 170", "driver": "xe", "total_vfs": 31, "vram": "16GiB", "address": address, "serial": serial}
         for address, serial in (("0000:03:00.0", "ONE"), ("0000:04:00.0", "TWO"))]


def world_of(cards=1, vfs=2, **more):
    world = World({"gpus": CARDS[:cards], "vms": MACHINE["vms"] + [{"name": VM, "state": "off"}]}, **more)
    for card in range(cards):
        world.apply(vfs, f"gpu{card}")
    return world


def assign(world, vm=VM, **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def stored(world, vm=VM):
    """(address, alias) of what the definition names, as the made-up libvirt has it."""
    entry = next(one for one in world.machine("state")["vms"] if one["name"] == vm)
    return [(one["address"], one["alias"]) for one in entry["hostdevs"] if one["config"]]


def until_names(world, vf, vm=VM):
    """The definition names that VF, and no other."""
    def look():
        shown = world.vf(vf)
        return shown["state"] == "reserved" and stored(world, vm) == [
            (shown["address"], f"ua-gpuvf-{vf[3]}-{vf[7:]}-e{shown['lease']['epoch']}")]
    until(look, f"the definition of {vm} names {vf}")
    equal(world.vm(vm)["vfs"], [vf])
    until(lambda: world.vm(vm)["cannot_start"] is None, "nothing is told any more")


def until_told(world, *words):
    """Why the VM cannot start, once it has all these words: while the card is being looked at the reason is another."""
    def look():
        told = world.vm(VM)["cannot_start"] or ""
        return all(word in told for word in words) and told
    return until(look, f"it is told: {words}")


def booted(world, *ops):
    """The host is off; somebody works in it; it is on again."""
    def at_work(op, **members):
        real(op, **members)
        if op == "reboot":
            for one, more in ops:
                real(one, **more)
    real, world.machine = world.machine, at_work
    try:
        world.boot()
    finally:
        world.machine = real


def starts_with(world, vf):
    world.machine("domain-start", vm=VM)
    until(lambda: world.vf(vf)["state"] == "attached", f"it runs with {vf}")
    equal(world.vf(vf)["vm"], VM)
    world.machine("domain-stop", vm=VM)
    until(lambda: world.vf(vf)["state"] == "reserved", "it is off")


@test
def another_card_was_put_in():
    """Another card was put in and has the address of before: the VM has the same VF of the same card under the same
    lease, and nobody's VF is handed over."""
    world = world_of(2)
    assign(world, vf=VF, for_seconds=3600)
    before = world.vf(VF)
    booted(world, ("move-gpu", {"gpu": "gpu0", "address": "0000:05:00.0"}),
           ("move-gpu", {"gpu": "gpu1", "address": "0000:03:00.0"}))
    until_names(world, VF)
    other = world.vf("gpu1/vf1")
    equal((other["address"], other["state"], other["vm"]), (before["address"], "free", None))
    after = world.vf(VF)
    equal(after["address"], "0000:05:00.1")
    for what in ("owner", "epoch", "uid", "since", "expires"):
        equal(after["lease"][what], before["lease"][what], what)
    starts_with(world, VF)
    rows = [row for row in world.call("audit.list", limit=500)["items"] if row["subject"] == VF]
    assert all((row["after"] or {}).get("state") != "gone" for row in rows), rows


@test
def two_changed_places():
    """Two cards changed places: each VM has the VF of its own card, also where a third VM is without an alias of ours."""
    world = world_of(2)
    assign(world, vf=VF)
    assign(world, "trainer-1", vf="gpu1/vf1", mode="config")
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu1", vf=2, config=True)
    theirs = stored(world, "trainer-2")
    booted(world, ("move-gpu", {"gpu": "gpu0", "address": "0000:06:00.0"}),
           ("move-gpu", {"gpu": "gpu1", "address": "0000:03:00.0"}),
           ("move-gpu", {"gpu": "gpu0", "address": "0000:04:00.0"}))
    equal([world.gpu(f"gpu{n}")["address"] for n in range(2)], ["0000:04:00.0", "0000:03:00.0"])
    until_names(world, VF)
    until_names(world, "gpu1/vf1", "trainer-1")
    equal(stored(world, "trainer-2"), theirs, "what somebody put there by hand is his")
    starts_with(world, VF)


@test
def killed_at_each_step():
    """kill -9 before and after each call of libvirt: the next daemon does the rest, and nobody else ever has it."""
    for op in ("detach", "attach"):
        for when in ("before", "after"):
            world = world_of()
            assign(world, vf=VF)
            epoch = world.vf(VF)["lease"]["epoch"]
            world.fault(op, vm=VM, nth=1, kill=when)
            try:
                booted(world, ("move-gpu", {"gpu": "gpu0", "address": "0000:05:00.0"}))
            except (OSError, EOFError, AssertionError):
                pass
            world.until_killed()
            world.machine("clear-faults")
            world.start()
            until_names(world, VF)
            equal(world.vf(VF)["lease"]["epoch"], epoch, f"{op}, {when}")
            world.end()


@test
def of_the_policy():
    """What the policy assigned follows its card as well, under the same lease."""
    world = world_of(2, policy={"version": 1, "assignments": [{"vm": VM, "vf": VF}]})
    epoch = until(lambda: world.vf(VF)["state"] == "reserved" and world.vf(VF)["lease"], "it is given")["epoch"]
    booted(world, ("move-gpu", {"gpu": "gpu0", "address": "0000:05:00.0"}),
           ("move-gpu", {"gpu": "gpu1", "address": "0000:03:00.0"}))
    until(lambda: stored(world) == [("0000:05:00.1", f"ua-gpuvf-policy-0-1-e{epoch}")], "the definition follows")
    equal((world.vf(VF)["lease"]["owner"], world.vf("gpu1/vf1")["state"]), ("policy", "free"))


@test
def libvirt_refuses():
    """A libvirt that refuses: the lease stays, it is told, and done when libvirt is well again."""
    world = world_of()
    assign(world, vf=VF)
    world.fault("attach", vm=VM, error="failed", message="libvirt is out of sorts")
    booted(world, ("move-gpu", {"gpu": "gpu0", "address": "0000:05:00.0"}))
    until_told(world, "out of sorts", VF)
    assert [one for one in world.call("daemon.status")["troubles"] if one["what"] == "vf-missing"]
    world.machine("clear-faults")
    until_names(world, VF)


@test
def the_other_card_is_cut():
    """Two cards changed places and the definition cannot follow yet: the VF at the address of before is not what the VM
    holds, so the other card is cut, and its own is not."""
    world = world_of(2)
    assign(world, vf=VF)
    world.fault("detach", vm=VM, error="failed", message="libvirt is out of sorts")
    booted(world, ("move-gpu", {"gpu": "gpu0", "address": "0000:05:00.0"}),
           ("move-gpu", {"gpu": "gpu1", "address": "0000:03:00.0"}))
    until_told(world, "out of sorts", VF)
    layout = {"vfs": 1}
    equal(world.call("gpu.plan", gpu="gpu1", layout=layout)["disturbs"], [])
    world.apply(1, "gpu1")
    equal([one["writes"]["sriov_numvfs_while_reserved"] for one in world.machine("state")["gpus"]], [0, 0])
    with refused(CONFLICT, VM):
        world.call("gpu.apply", gpu="gpu0", layout=layout)
    world.machine("clear-faults")
    until_names(world, VF)


def another_layout(world, vfs):
    world.machine("set-numvfs", gpu="gpu0", value=0)
    world.machine("set-numvfs", gpu="gpu0", value=vfs)
    until(lambda: len(world.gpu()["vfs"]) == vfs, "it is seen")


@test
def another_like_it():
    """Somebody wrote sriov_numvfs: a VF that had been chosen for the VM is gone, another of as much memory is there in
    its place, under a lease of the same user; it comes as soon as one is free."""
    world = world_of(config={"heal_drift": False})
    assign(world, "trainer-1", vf=VF, mode="config")
    equal(assign(world, for_seconds=3600)["vf"], "gpu0/vf2")
    before = world.vf("gpu0/vf2")["lease"]
    another_layout(world, 1)
    until_told(world, "no free VF of gpu0 serves as much", "gpuvf release gpu0/vf2")
    world.call("vf.release", vm="trainer-1", wait_seconds=PATIENCE)
    until_names(world, VF)
    after = world.vf(VF)["lease"]
    equal([after[what] for what in ("owner", "uid", "expires")], [before[what] for what in ("owner", "uid", "expires")])
    starts_with(world, VF)
    world.crash_and_restart()
    until_names(world, VF)


@test
def another_like_it_after_a_boot():
    """The host booted with another layout: the same, and the one of trainer-1 is trainer-1's still."""
    world = world_of(vfs=3)
    assign(world, "trainer-1", vf=VF, mode="config")
    assign(world, "trainer-2", vf="gpu0/vf2", mode="config")
    equal(assign(world)["vf"], "gpu0/vf3")
    world.call("vf.release", vm="trainer-2", wait_seconds=PATIENCE)
    world.kill()
    world.machine("set-numvfs", gpu="gpu0", value=0)
    world.machine("set-numvfs", gpu="gpu0", value=2)
    world.start()
    until_names(world, "gpu0/vf2")
    until_names(world, VF, "trainer-1")


@test
def killed_while_another_comes():
    """kill -9 before and after each call of libvirt, when another VF takes the place."""
    for op in ("detach", "attach"):
        for when in ("before", "after"):
            world = world_of(config={"heal_drift": False})
            assign(world, "trainer-1", vf=VF, mode="config")
            assign(world)
            world.call("vf.release", vm="trainer-1", wait_seconds=PATIENCE)
            world.fault(op, vm=VM, nth=1, kill=when)
            world.machine("set-numvfs", gpu="gpu0", value=0)
            world.machine("set-numvfs", gpu="gpu0", value=1)
            world.until_killed()
            world.machine("clear-faults")
            world.start()
            until_names(world, VF)
            world.end()


@test
def named():
    """One that was asked for by name is not replaced: it is told before the VM fails to start, by every way of asking,
    and the ways out that are named lead out."""
    world = world_of(config={"heal_drift": False})
    assign(world, vf="gpu0/vf2")
    epoch = world.vf("gpu0/vf2")["lease"]["epoch"]
    another_layout(world, 1)
    told = until_told(world, "0000:03:00.2 (gpu0/vf2)", "asked for by name")
    assert "will not start" in world.cli("show", VM, check=0).stdout
    assert "vm-vf-missing" in world.cli("-q", "doctor").stdout.split()
    try:
        world.machine("domain-start", vm=VM)
    except AssertionError:
        pass
    equal(world.vm(VM)["state"], "off")
    world.crash_and_restart()
    until_told(world, told)
    world.apply(2)
    until_names(world, "gpu0/vf2")
    equal(world.vf("gpu0/vf2")["lease"]["epoch"], epoch, "it is its lease still")
    another_layout(world, 1)
    until(lambda: world.vm(VM)["cannot_start"], "it is told")
    said = world.cli("release", VM, check=0).stdout
    assert f"is not there, and {VM} is not to have it any more" in said and "free" not in said, said
    until(lambda: stored(world) == [] and world.vm(VM)["cannot_start"] is None, "it is taken out")
    world.apply(2)
    equal(world.vf("gpu0/vf2")["state"], "free")
    assign(world, vf="gpu0/vf2")
    another_layout(world, 1)
    world.cli("assign", VM, check=0)
    until_names(world, VF)


def with_lost(*indexes, vfs, left):
    """The VM was given these VFs of so many by name, and only the first ones are left."""
    world = world_of(vfs=vfs, config={"heal_drift": False})
    for index in indexes:
        assign(world, vf=f"gpu0/vf{index}", add=True)
    another_layout(world, left)
    until(lambda: world.vm(VM)["cannot_start"], "it is told")
    return world


def names(world):
    """Index of each VF that the definition names."""
    return sorted(int(address[-1]) for address, _ in stored(world))


def released(world, **how):
    """(what was released, what is left with its state) of the answer."""
    answer = world.call("vf.release", wait_seconds=PATIENCE, **how)
    return answer["released"], [(one["vf"], one["state"], one["vm"], one["anew"]) for one in answer["left"]]


@test
def released_by_its_epoch():
    """One that is gone has its lease still: its epoch counts, by the name of the VF and of the VM."""
    world = with_lost(2, vfs=2, left=1)
    for how in ({"vf": "gpu0/vf2"}, {"vm": VM}, {"vm": VM, "all": True}):
        with refused(CONFLICT, "under lease epoch 1, not 999", field="if_epoch", reason="epoch"):
            world.call("vf.release", if_epoch=999, **how)
    said = world.cli("release", "gpu0/vf2", "--if-epoch", "999")
    assert said.returncode != 0 and "epoch 1, not 999" in said.stderr, said
    equal(names(world), [2], "nothing was taken out")
    equal(released(world, vf="gpu0/vf2", if_epoch=1), (["gpu0/vf2"], [("gpu0/vf2", "gone", VM, False)]))
    until(lambda: names(world) == [] and world.vm(VM)["cannot_start"] is None, "it is taken out")


@test
def several_and_one_is_gone():
    """A VM holds what is gone as well: several are released by name or by --all, and all of them are told."""
    world = with_lost(1, 3, vfs=3, left=2)
    with refused(CONFLICT, f"VM {VM} holds 2 VFs, 1 of them not there", reason="several", field="vm"):
        world.call("vf.release", vm=VM)
    with refused(CONFLICT, "gpu0/vf3", field="if_epoch"):
        world.call("vf.release", vm=VM, all=True, if_epoch=world.vf(VF)["lease"]["epoch"])
    equal((names(world), world.vf(VF)["state"]), ([1, 3], "reserved"), "nothing was released")
    until_told(world, "gpuvf release gpu0/vf3 takes it out", "gpuvf assign off --add")
    equal(released(world, vm=VM, all=True, mode="live")[0], [], "no guest has either")
    equal({left[0] for left in released(world, vm=VM, all=True, mode="live")[1]}, {VF, "gpu0/vf3"})
    equal(names(world), [1, 3])
    what, left = released(world, vm=VM, all=True)
    equal((sorted(what), left), ([VF, "gpu0/vf3"], [("gpu0/vf3", "gone", VM, False)]))
    until(lambda: names(world) == [] and world.vm(VM)["cannot_start"] is None, "both are taken out")
    # Both are gone.
    world = with_lost(3, 4, vfs=4, left=2)
    with refused(CONFLICT, f"VM {VM} holds 2 VFs, 2 of them not there", reason="several"):
        world.call("vf.release", vm=VM)
    equal(released(world, vf="gpu0/vf3")[0], ["gpu0/vf3"])
    until(lambda: names(world) == [4], "the other one waits")
    said = world.cli("release", VM, check=0).stdout
    assert f"gpu0/vf4 is not there, and {VM} is not to have it any more" in said, said
    until(lambda: names(world) == [], "it is taken out")


@test
def several_over_a_restart():
    """The daemon dies while the one that is there is released: what is gone is told by the next one, too."""
    world = with_lost(1, 3, vfs=3, left=2)
    world.killed_by(lambda: world.call("vf.release", vm=VM, all=True, wait_seconds=0), "detach", vm=VM, kill="before")
    world.start()
    operation = until(lambda: next((one for one in world.items("operation.list") if one["method"] == "vf.release" and
                                    one["state"] == "done"), None), "it goes on")
    equal(sorted(operation["result"]["released"]), [VF, "gpu0/vf3"])
    equal([(one["vf"], one["state"], one["vm"]) for one in operation["result"]["left"]], [("gpu0/vf3", "gone", VM)])
    until(lambda: names(world) == [] and world.vm(VM)["cannot_start"] is None, "both are taken out")


@test
def one_in_place_of_two():
    """Two are gone: an assign gives one in place of the one that the VM had first, says so, and the other one waits."""
    world = with_lost(3, 4, vfs=4, left=2)
    said = world.cli("assign", VM, check=0).stdout
    equal(said, f"{VM} holds gpu0/vf1, in place of gpu0/vf3, which is not there\n")
    until(lambda: names(world) == [1, 4], "the definition names the new one and the other one")
    until_told(world, "gpu0/vf4", "gpuvf assign off --add", "gpuvf release gpu0/vf4")
    equal(assign(world)["changed"], False, "it holds one")
    answer = assign(world, add=True)
    equal((answer["vf"], answer.get("instead")), ("gpu0/vf2", None), "one more is in no other's place")
    equal(names(world), [1, 2, 4])
    equal(released(world, vf="gpu0/vf4")[0], ["gpu0/vf4"])
    until(lambda: names(world) == [1, 2] and world.vm(VM)["cannot_start"] is None, "it is taken out")


@test
def back_before_it_is_taken_out():
    """One that was let go comes back while the definition cannot be changed: its VM does not have it again for that."""
    world = with_lost(2, vfs=2, left=1)
    world.fault("detach", vm=VM, error="failed", message="libvirt is out of sorts")
    equal(released(world, vf="gpu0/vf2")[0], ["gpu0/vf2"])
    world.crash_and_restart()
    another_layout(world, 2)
    world.machine("clear-faults")
    until(lambda: world.vf("gpu0/vf2")["state"] == "free" and names(world) == [], "it is taken back", seconds=40)


@test
def its_time_is_over():
    """A lease with an end whose VF is gone: at that moment, and not at the next event, the definition is mended."""
    world = world_of(config={"heal_drift": False})
    assign(world, vf="gpu0/vf2", for_seconds=5)
    another_layout(world, 1)
    until(lambda: stored(world) == [] and world.vm(VM)["cannot_start"] is None, "it is taken out", seconds=30)
    world.apply(2)
    equal((world.vf("gpu0/vf2")["state"], world.vf("gpu0/vf2")["lease"]), ("free", None))


@test
def a_drain_and_another_layout():
    """What an operator's cut is refused for: a VM that is off is named among the disturbed, under whatever address."""
    world = world_of()
    assign(world, vf=VF)
    booted(world, ("move-gpu", {"gpu": "gpu0", "address": "0000:05:00.0"}))
    until_names(world, VF)
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4})
    assert f"VM {VM} (reserved" in str(plan["disturbs"]), plan
    try:
        world.apply(4)
    except RpcError as error:
        assert VM in str(error), error
    else:
        raise AssertionError("cut under it")


if __name__ == "__main__":
    main()
