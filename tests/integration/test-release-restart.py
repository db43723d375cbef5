# SPDX-License-Identifier: GPL-2.0-or-later
"""A release that a daemon did not come to the end of is of the leases that it was asked for: by the time that the next one
goes on, another VM may have the VF of that name."""

import json
import sqlite3

from harness import PATIENCE, World, equal, main, test, until

VM = "trainer-1"
OTHER = "trainer-2"
VF = "gpu0/vf1"
ENDED = ("done", "failed", "cancelled")


def assign(world, vm=VM, **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def world_of(*vfs):
    """The VM has these VFs, each in its running guest."""
    world = World()
    world.apply(len(vfs))
    for vf in vfs:
        assign(world, vf=vf, add=True, mode="live")
    return world


def has(world, vm):
    """Index of each VF that is in the guest, by the made-up libvirt."""
    entry = next(one for one in world.machine("state")["vms"] if one["name"] == vm)
    return sorted(int(one["address"][-1]) for one in entry["hostdevs"] if one["live"])


def until_one_is_free(world):
    return until(lambda: next((vf["name"] for vf in world.items("vf.list") if vf["state"] == "free"), None), "one came back")


def ended(world):
    """The release, once it is over."""
    def look():
        operation = next(one for one in world.items("operation.list") if one["method"] == "vf.release")
        return operation if operation["state"] in ENDED else None
    return until(look, "the release has its end")


def release_of(world, name):
    row = sqlite3.connect(world.state / "state.db").execute("SELECT doc FROM operation WHERE id = ?", (name,)).fetchone()
    return json.loads(row[0])


def without_leases(world):
    """The row is as an earlier version wrote it."""
    base = sqlite3.connect(world.state / "state.db")
    with base:
        for name, text in base.execute("SELECT id, doc FROM operation").fetchall():
            doc = json.loads(text)
            if doc["method"] != "vf.release":
                continue
            names = doc["input"].pop("released") + doc["input"]["vfs"]
            del doc["input"]["leases"]
            doc["input"]["vfs"] = names
            base.execute("UPDATE operation SET doc = ? WHERE id = ?", (json.dumps(doc), name))
    base.close()


def slow_second(world):
    """All of the VM's are released, and the guest is slow with the second; returns the name of the first."""
    world.fault("detach", vm=VM, nth=2, hang=True)
    world.call("vf.release", vm=VM, all=True, wait_seconds=0)
    return until_one_is_free(world)


def go_on(world, how=World.kill):
    how(world)
    world.start()
    world.machine("clear-faults")
    world.machine("release-hang", vm=VM)
    return ended(world)


def expect_anew(operation, name, vm):
    equal((operation["state"], operation["error"]), ("done", None))
    left = [(one["vf"], one["vm"], one["anew"]) for one in operation["result"]["left"]]
    equal(left, [(name, vm, True)], "who has it by now is told")


@test
def the_first_is_anothers():
    """release --all: the first VF is another VM's while the guest is slow with the second, and the daemon is killed: it
    stays there, also where it was stopped in order."""
    for how in (World.kill, World.stop):
        world = world_of(VF, "gpu0/vf2")
        name = slow_second(world)
        epoch = assign(world, OTHER, vf=name, mode="live")["lease"]["epoch"]
        operation = go_on(world, how)
        vf = world.vf(name)
        equal((vf["state"], vf["vm"], vf["lease"]["epoch"]), ("attached", OTHER, epoch))
        equal((has(world, VM), has(world, OTHER)), ([], [int(name[-1])]))
        equal(sorted(operation["result"]["released"]), [VF, "gpu0/vf2"])
        expect_anew(operation, name, OTHER)
        world.end()


@test
def the_first_is_its_own_again():
    """The same where the VM itself was given it again: under the new lease it stays."""
    world = world_of(VF, "gpu0/vf2")
    name = slow_second(world)
    world.machine("clear-faults")
    number = world.client().begin("vf.assign", vm=VM, vf=name, mode="live", wait_seconds=PATIENCE)
    assert number
    until(lambda: world.vf(name)["state"] == "leased", "it is given")  # its turn comes after the slow one
    epoch = world.vf(name)["lease"]["epoch"]
    expect_anew(go_on(world), name, VM)
    until(lambda: world.vf(name)["state"] == "attached", "the assign goes on")
    equal((world.vf(name)["lease"]["epoch"], has(world, VM)), (epoch, [int(name[-1])]))


@test
def the_store_knows_what_is_over():
    """The row of the operation says which are to come, and under which lease each was held."""
    world = world_of(VF, "gpu0/vf2")
    epochs = {name: world.vf(name)["lease"]["epoch"] for name in (VF, "gpu0/vf2")}
    name = slow_second(world)
    other = next(one for one in epochs if one != name)
    doc = until(lambda: next((one for one in [release_of(world, world.items("operation.list")[-1]["operation"])]
                              if one["input"]["released"]), None), "it is stored")
    equal((doc["input"]["vfs"], doc["input"]["released"]), ([other], [name]))
    equal({vf: lease["epoch"] for vf, lease in doc["input"]["leases"].items()}, epochs)
    # What is done with the VF from here on is not this operation's doing.
    world.machine("foreign-attach", vm=OTHER, gpu="gpu0", vf=int(name[-1]))
    until(lambda: world.vf(name)["vm"] == OTHER, "it is seen")
    last = next(row for row in world.items("audit.list") if row["subject"] == name)
    assert last["method"] != "vf.release", last


@test
def forced_with_a_job():
    """release --all --force: a job in another VM has the first by the time: it runs on, and its VF stays."""
    world = world_of(VF, "gpu0/vf2")
    world.fault("wait-closed", gpu="gpu0", nth=2, hang=True)
    world.call("vf.release", vm=VM, all=True, force=True, yes_power_off=True, wait_seconds=0)
    name = until_one_is_free(world)
    job = world.submit("sleep 300", run_in={"vm": OTHER})
    world.until_job(job, "running")
    world.kill()
    world.start()
    world.machine("clear-faults")
    world.machine("release-hang", gpu="gpu0")
    expect_anew(ended(world), name, OTHER)
    vf = world.vf(name)
    equal((vf["state"], vf["vm"], vf["job"]), ("attached", OTHER, job))
    equal((world.job(job)["state"], has(world, OTHER)), ("running", [int(name[-1])]))


def killed_at_the_detach(world, **how):
    world.killed_by(lambda: world.call("vf.release", wait_seconds=0, **how), "detach", vm=VM, kill="before")


def moved_by_hand(world, vm):
    world.machine("foreign-detach", vm=VM, gpu="gpu0", vf=1)
    world.machine("foreign-attach", vm=vm, gpu="gpu0", vf=1)


@test
def moved_by_hand_meanwhile():
    """Somebody moved the VF to another VM while no daemon ran: it is adopted there, and stays; whichever way it was asked
    for, and whoever wrote the row."""
    for how in ({"vm": VM}, {"vf": VF}, {"vf": VF, "if_epoch": 1}):
        for old in (False, True):
            world = world_of(VF)
            killed_at_the_detach(world, **how)
            moved_by_hand(world, OTHER)
            if old:
                without_leases(world)
            world.start()
            expect_anew(ended(world), VF, OTHER)
            vf = world.vf(VF)
            equal((vf["state"], vf["vm"], vf["lease"]["owner"]), ("attached", OTHER, "foreign"), f"{how}, {old}")
            equal((has(world, VM), has(world, OTHER)), ([], [1]))
            world.end()


@test
def put_back_by_hand_meanwhile():
    """Somebody took it out and put it back into the same VM: the release goes on. It does not where its epoch was named,
    for that lease is over."""
    for how, left in (({"vm": VM}, []), ({"vf": VF, "if_epoch": 1}, [1])):
        world = world_of(VF)
        killed_at_the_detach(world, **how)
        moved_by_hand(world, VM)
        world.start()
        operation = ended(world)
        equal((operation["state"], has(world, VM)), ("done", left), str(how))
        if left:
            expect_anew(operation, VF, VM)
        world.end()


@test
def an_old_row_goes_on():
    """A row of an earlier version, which has names only: what the VM has still comes back, and nothing that was given to
    anybody after it was accepted."""
    world = world_of(VF, "gpu0/vf2")
    name = slow_second(world)
    assign(world, OTHER, vf=name, mode="live")
    world.kill()
    without_leases(world)
    world.start()
    world.machine("clear-faults")
    world.machine("release-hang", vm=VM)
    expect_anew(ended(world), name, OTHER)
    equal((has(world, VM), has(world, OTHER)), ([], [int(name[-1])]))
    # … nor what the same VM was given anew.
    world = world_of(VF, "gpu0/vf2")
    name = slow_second(world)
    world.client().begin("vf.assign", vm=VM, vf=name, mode="live", wait_seconds=PATIENCE)
    until(lambda: world.vf(name)["state"] == "leased", "it is given")
    world.kill()
    without_leases(world)
    world.start()
    world.machine("clear-faults")
    world.machine("release-hang", vm=VM)
    expect_anew(ended(world), name, VM)
    until(lambda: has(world, VM) == [int(name[-1])], "the assign goes on")


@test
def of_one_side():
    """release --live of two: over a restart, too, the stored definition keeps both, and that is told of both."""
    world = World()
    world.apply(2)
    for vf in (VF, "gpu0/vf2"):
        assign(world, vf=vf, add=True, mode="both")
    world.fault("detach", vm=VM, nth=2, hang=True)
    world.call("vf.release", vm=VM, all=True, mode="live", wait_seconds=0)
    until(lambda: "reserved" in [vf["state"] for vf in world.items("vf.list")], "one has left the guest")
    operation = go_on(world)
    equal((operation["state"], sorted(operation["result"]["released"])), ("done", [VF, "gpu0/vf2"]))
    equal(sorted((one["vf"], one["live"], one["config"], one["anew"]) for one in operation["result"]["left"]),
          [(VF, False, True, False), ("gpu0/vf2", False, True, False)])
    equal([vf["state"] for vf in world.items("vf.list")], ["reserved", "reserved"])


@test
def what_vanished_meanwhile():
    """The VF is gone by the time, and the stored definition names it: the VM is not to have it when it comes back."""
    world = World(config={"heal_drift": False})
    world.apply(2)
    assign(world, vf="gpu0/vf2", mode="both")
    killed_at_the_detach(world, vf="gpu0/vf2")
    world.machine("domain-stop", vm=VM)
    world.machine("set-numvfs", gpu="gpu0", value=0)
    world.machine("set-numvfs", gpu="gpu0", value=1)
    world.start()
    operation = ended(world)
    equal((operation["state"], operation["result"]["left"][0]["state"]), ("done", "gone"))
    until(lambda: not next(one for one in world.machine("state")["vms"] if one["name"] == VM)["hostdevs"], "it is taken out")
    world.apply(2)
    equal((world.vf("gpu0/vf2")["state"], world.vm(VM)["cannot_start"]), ("free", None))


if __name__ == "__main__":
    main()
