# SPDX-License-Identifier: GPL-2.0-or-later
"""VFs that the policy assigns to VMs: given by themselves, held while the VM is off, taken back without a word in it."""

import json

from gpuvf_client import CONFLICT, HOST_ERROR
from harness import POLICY, World, equal, main, refused, test, until

OFF = {"name": "desk-1", "state": "off"}


def fixed(*assignments, vms=(OFF,), vfs=2, policy=None, **more):
    world = World({"vms": list(vms)}, policy={**POLICY, **(policy or {}), "assignments": list(assignments)}, **more)
    world.apply(vfs)
    return world


def set_assignments(world, *assignments):
    world.write_policy({**POLICY, "assignments": list(assignments)})
    world.call("policy.reload")


def held(world, vm="desk-1", state=None):
    """The VFs of the VM, once all of them are in the state."""
    vfs = [vf for vf in world.items("vf.list") if vf["vm"] == vm]
    return vfs if all(vf["state"] == state for vf in vfs) else []


def until_held(world, vm, state, count=1):
    return until(lambda: len(held(world, vm, state)) == count and held(world, vm, state),
                 f"{vm} has {count} VFs {state}")


def until_free(world):
    until(lambda: all(vf["state"] == "free" and vf["lease"] is None for vf in world.items("vf.list")), "all are free")


def hostdevs(world, vm="desk-1"):
    """(live, stored) addresses as the machine has them."""
    facts = next(one for one in world.machine("state")["vms"] if one["name"] == vm)
    return tuple([one["address"] for one in facts["hostdevs"] if one[side]] for side in ("live", "config"))


@test
def before_the_start():
    """A VM that is off has its VF in the stored definition, reserved; it is there when the VM starts, and stays."""
    world = fixed({"vm": "desk-*", "vram": "1GiB"})
    vf = until_held(world, "desk-1", "reserved")[0]
    equal((vf["lease"]["owner"], vf["lease"]["uid"], vf["user"]), ("policy", 0, None))
    equal(hostdevs(world), ([], [vf["address"]]))
    world.machine("domain-start", vm="desk-1")
    equal(until_held(world, "desk-1", "attached")[0]["name"], vf["name"])
    world.machine("domain-stop", vm="desk-1")
    equal(until_held(world, "desk-1", "reserved")[0]["lease"]["epoch"], vf["lease"]["epoch"])
    equal(world.vm("desk-1")["assignment_reason"], None)
    assert "policy" in world.cli("show", vf["name"], check=0).stdout
    rows = [row for row in world.call("audit.list", limit=500)["items"] if row["subject"] == vf["name"]]
    assert any(row["method"] == "daemon:policy" for row in rows), rows


@test
def running():
    """A VM that runs gets it at once: in both, live or in its definition only, as the mode says."""
    for mode, live, config in (("both", 1, 1), ("live", 1, 0), ("config", 0, 1)):
        world = fixed({"vm": "desk-1", "vf": "gpu0/vf2", "mode": mode}, vms=[{"name": "desk-1"}])
        vf = until_held(world, "desk-1", "attached" if live else "reserved")[0]
        equal(vf["name"], "gpu0/vf2")
        equal([len(side) for side in hostdevs(world)], [live, config], mode)
        world.end()


@test
def shared():
    """A shared one is anybody's while its VM is off, and plugged in when it runs."""
    world = fixed({"vm": "desk-1", "vram": "1GiB", "shared": True}, vms=[OFF, {"name": "other"}], vfs=1)
    world.call("vf.assign", vm="other", wait_seconds=60)
    world.machine("domain-start", vm="desk-1")
    until(lambda: "no VF that fits is free" in (world.vm("desk-1")["assignment_reason"] or ""), "it is told")
    world.call("vf.release", vm="other", wait_seconds=60)
    until_held(world, "desk-1", "attached")
    equal(world.vm("desk-1")["assignment_reason"], None)
    world.machine("domain-stop", vm="desk-1")
    until_free(world)


@test
def several():
    """Several VFs in one VM, one for each assignment; what a VM has by hand counts."""
    world = fixed({"vm": "desk-*", "vram": "1GiB"}, {"vm": "desk-1", "vram": "1GiB"},
                  vms=[OFF, {"name": "desk-2", "state": "off"}], vfs=4)
    until_held(world, "desk-1", "reserved", 2)
    until_held(world, "desk-2", "reserved", 1)
    set_assignments(world)
    until_free(world)
    world.call("vf.assign", vm="desk-1", vf="gpu0/vf3", wait_seconds=60)
    set_assignments(world, {"vm": "desk-1", "vram": "1GiB"})
    until(lambda: world.call("daemon.status")["policy_revision"], "the policy is in force")
    world.call("vf.release", vm="desk-1", wait_seconds=60)
    until(lambda: [vf["lease"]["owner"] for vf in held(world, "desk-1", "reserved")] == ["policy"], "another comes")


@test
def taken_out_of_the_policy():
    """Without its assignment a VM that is off loses the VF, one that runs keeps it until it is off."""
    rule = {"vm": "desk-1", "vram": "1GiB"}
    world = fixed(rule)
    until_held(world, "desk-1", "reserved")
    set_assignments(world)
    until_free(world)
    equal(hostdevs(world), ([], []))
    set_assignments(world, rule)
    until_held(world, "desk-1", "reserved")
    world.machine("domain-start", vm="desk-1")
    vf = until_held(world, "desk-1", "attached")[0]
    set_assignments(world)
    equal(world.vf(vf["name"])["state"], "attached")
    equal(hostdevs(world)[0], [vf["address"]])
    world.machine("domain-stop", vm="desk-1")
    until_free(world)
    equal(hostdevs(world), ([], []))


@test
def over_a_restart():
    """The next daemon finds what was given, and goes on where the last one died."""
    world = fixed({"vm": "desk-1", "vram": "1GiB"})
    vf = until_held(world, "desk-1", "reserved")[0]
    world.crash_and_restart()
    equal(until_held(world, "desk-1", "reserved")[0]["lease"]["epoch"], vf["lease"]["epoch"])
    set_assignments(world)
    until_free(world)
    for kill in ("before", "after"):
        world.fault("attach", nth=1, kill=kill)
        world.write_policy({**POLICY, "assignments": [{"vm": "desk-1", "vram": "1GiB"}]})
        try:
            world.call("policy.reload")
        except (OSError, EOFError, AssertionError):
            pass
        world.until_killed()
        world.machine("clear-faults")
        world.start()
        vf = until_held(world, "desk-1", "reserved")[0]
        equal(vf["lease"]["owner"], "policy")
        equal(hostdevs(world), ([], [vf["address"]]))
        set_assignments(world)
        until_free(world)


@test
def in_the_way():
    """Why a VM does not have what is assigned to it is told; an attach that fails is tried again."""
    world = fixed({"vm": "desk-1", "vf": "gpu0/vf9"}, {"vm": "thin", "vram": "1GiB", "mode": "live"},
                  {"vm": "brief", "vram": "1GiB"}, {"vm": "big", "vram": "64GiB"},
                  vms=[OFF, {"name": "thin", "ports": 0}, {"name": "brief", "persistent": False},
                       {"name": "big", "state": "off"}])
    for vm, words in (("desk-1", "gpu0/vf9 does not exist (assignments[0] of "),
                      ("thin", "no free PCIe port"), ("big", "no VF that fits is free")):
        until(lambda v=vm, w=words: w in (world.vm(v)["assignment_reason"] or ""), f"{vm}: {words}")
    until_held(world, "brief", "attached") # it is transient, so it has it live
    world.machine("domain-stop", vm="brief")
    until_free(world)
    world.fault("attach", error="failed", message="libvirt is out of sorts")
    set_assignments(world, {"vm": "desk-1", "vf": "gpu0/vf2"})
    until(lambda: "out of sorts" in (world.vm("desk-1")["assignment_reason"] or ""), "it is told")
    world.machine("clear-faults")
    until_held(world, "desk-1", "reserved")


@test
def jobs_leave_it_alone():
    """What is reserved for a VM that is off is nobody else's; a job with vf assigned runs on it."""
    world = fixed({"vm": "trainer-1", "vram": "1GiB"}, vms=[{"name": "trainer-1", "state": "off"}, {"name": "trainer-2"}],
                  vfs=1, policy={"vms": [{**POLICY["vms"][0], "match": "trainer-1", "vf": "assigned",
                                          "start": "on-demand", "stop_idle": "1s"},
                                         POLICY["vms"][0]]})
    until_held(world, "trainer-1", "reserved")
    with refused(-32004, "no free VF"):
        world.call("vf.assign", vm="trainer-2", wait_seconds=60)
    job = world.until_ended(world.submit("true"))
    equal(job["vm"], "trainer-1")
    until_held(world, "trainer-1", "reserved")
    equal(world.vm("trainer-1")["state"], "off")


@test
def gone_from_the_host():
    """When somebody else takes the VF of a VM that is off away, the VM gets another; one by hand is told."""
    world = fixed({"vm": "desk-1", "vram": "1GiB"}, vms=[OFF, {"name": "hand", "state": "off"}], vfs=3,
                  config={"heal_drift": False})
    first = until_held(world, "desk-1", "reserved")[0]
    world.call("vf.assign", vm="hand", vf="gpu0/vf3", wait_seconds=60)
    world.machine("set-numvfs", gpu="gpu0", value=0)
    until(lambda: hostdevs(world) == ([], []), "it is taken out")
    told = until(lambda: world.vm("hand")["cannot_start"], "it is told")
    assert "a VF that is not there" in told, told
    assert [one for one in world.call("daemon.status")["troubles"] if one["what"] == "vf-missing"]
    assert "vm-vf-missing" in world.cli("-q", "doctor").stdout.split()
    equal(world.vm("desk-1")["cannot_start"], None)
    world.apply(3)
    equal(until_held(world, "desk-1", "reserved")[0]["lease"]["owner"], "policy")
    equal(len(hostdevs(world)[1]), 1)
    until(lambda: world.vm("hand")["cannot_start"] is None, "it is there again")
    assert first["address"]


@test
def gone_with_a_half_cut():
    """A card that is half cut stays so until its admin does something: the VM whose VF it does not have is told still."""
    world = fixed(vms=[{"name": "hand", "state": "off"}], vfs=3, config={"heal_drift": False})
    world.machine("foreign-attach", vm="hand", gpu="gpu0", vf=3, config=True)
    world.machine("set-numvfs", gpu="gpu0", value=0)
    until(lambda: world.vm("hand")["cannot_start"], "it is told")
    world.fault("vram_quota", gpu="gpu0", nth=2, times=1000, error="EIO")
    world.fault("restore_auto_provisioning", gpu="gpu0", nth=1, times=1000, error="EIO")
    with refused(HOST_ERROR, "vram_quota"):
        world.apply({"vfs": 2, "vram": "1GiB"})
    equal(world.gpu()["state"], "wedged")
    assert "a VF that is not there" in world.vm("hand")["cannot_start"]
    assert "vm-vf-missing" in world.cli("-q", "doctor").stdout.split()


@test
def by_hand_gone_from_the_host():
    """A hostdev that somebody wrote into a stored definition, without an alias of ours: its VF is gone, so it is told
    before the VM fails to start, and again when the VF is back it is not."""
    world = fixed({"vm": "desk-1", "vram": "1GiB"}, vms=[OFF, {"name": "hand", "state": "off"}], vfs=3,
                  config={"heal_drift": False})
    until_held(world, "desk-1", "reserved")
    world.machine("foreign-attach", vm="hand", gpu="gpu0", vf=3, config=True)
    world.machine("set-numvfs", gpu="gpu0", value=0)
    told = until(lambda: world.vm("hand")["cannot_start"], "it is told")
    assert "0000:03:00.3" in told, told
    world.apply(3)
    until(lambda: world.vm("hand")["cannot_start"] is None, "it is there again")


@test
def another_layout():
    """A cut lists the VM that is off; with drain it makes way, and its definition names a VF of the new layout."""
    world = fixed({"vm": "desk-1", "vram": "1GiB"}, vfs=2)
    until_held(world, "desk-1", "reserved")
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4})
    assert "VM desk-1 (reserved" in json.dumps(plan["disturbs"]), plan
    with refused(-32003, "desk-1"):
        world.apply(4)
    world.apply(4, drain=True)
    vf = until_held(world, "desk-1", "reserved")[0]
    equal(hostdevs(world), ([], [vf["address"]]))
    equal(world.writes()["sriov_numvfs_while_held"], 0)


@test
def over_a_boot_of_the_host():
    """After a boot of the host what the definition names is the policy's again, also to be taken back."""
    world = fixed({"vm": "desk-1", "vram": "1GiB"})
    until_held(world, "desk-1", "reserved")
    world.boot()
    equal(until_held(world, "desk-1", "reserved")[0]["lease"]["owner"], "policy")
    set_assignments(world)
    until_free(world)
    equal(hostdevs(world), ([], []))


@test
def two_vms_one_vf():
    """Two VMs and one VF are refused when the policy is loaded, with both places."""
    world = World()
    world.write_policy('{"version": 1,\n "assignments": [{"vm": "a", "vf": "gpu0/vf1"},\n'
                       '  {"vm": "b", "vf": "gpu0/vf1"}]}')
    with refused(-32005, "10-test.json:3:21", "gpu0/vf1 is vm a's already, at", "10-test.json:2:36"):
        world.call("policy.reload")


def assigned_refused(world, **what):
    with refused(CONFLICT, "by the policy", "assignments[0] of ", reason="assigned"):
        world.call("vf.release", wait_seconds=60, **what)


@test
def release_of_what_is_assigned():
    """What the policy would give again at once is not released: refused with the way out, which leads out."""
    rule = {"vm": "desk-1", "vram": "1GiB"}
    world = fixed(rule, vfs=3)
    vf = until_held(world, "desk-1", "reserved")[0]
    for what in ({"vm": "desk-1"}, {"vf": vf["name"]}, {"vm": "desk-1", "all": True}, {"vm": "desk-1", "mode": "config"}):
        assigned_refused(world, **what)
    equal(world.vf(vf["name"])["lease"], vf["lease"])
    told = world.cli("release", "desk-1", check=6)
    assert "policy reload" in told.stderr and "gpuvf drain" in told.stderr, told.stderr
    world.machine("domain-start", vm="desk-1")
    until_held(world, "desk-1", "attached")
    assigned_refused(world, vm="desk-1")
    # The way out: from then on it is anybody's to release, also from a VM that runs.
    set_assignments(world)
    equal(world.call("vf.release", vm="desk-1", wait_seconds=60)["released"], [vf["name"]])
    until_free(world)
    equal(hostdevs(world), ([], []))


@test
def release_of_one_side_of_what_is_assigned():
    """One side of what the policy gave on both can go: the VM has it on the other, and that is what the policy wants."""
    world = fixed({"vm": "desk-1", "vram": "1GiB"}, vms=[{"name": "desk-1"}])
    vf = until_held(world, "desk-1", "attached")[0]
    answer = world.call("vf.release", vm="desk-1", mode="live", wait_seconds=60)
    equal((answer["released"], answer.get("note")), ([vf["name"]], None))
    equal([one["name"] for one in held(world, "desk-1", "reserved")], [vf["name"]])
    assigned_refused(world, vm="desk-1", mode="config") # that was the other
    equal([one["name"] for one in world.items("vf.list") if one["lease"]], [vf["name"]], "it was given no other")


@test
def release_of_others_beside_it():
    """With --all, what the policy gave stays and is told; what a VM has by hand goes. One more than the policy wants goes,
    too."""
    world = fixed({"vm": "desk-1", "vf": "gpu0/vf2"}, vfs=3)
    until_held(world, "desk-1", "reserved")
    world.call("vf.assign", vm="desk-1", vf="gpu0/vf3", add=True, wait_seconds=60)
    with refused(CONFLICT, "holds 2 VFs", reason="several"):
        world.call("vf.release", vm="desk-1", wait_seconds=60)
    answer = world.call("vf.release", vm="desk-1", all=True, wait_seconds=60)
    equal(answer["released"], ["gpu0/vf3"])
    assert "gpu0/vf2 stays" in answer["note"] and "assignments[0] of " in answer["note"], answer
    equal([vf["name"] for vf in held(world, "desk-1", "reserved")], ["gpu0/vf2"])
    world.call("vf.assign", vm="desk-1", vf="gpu0/vf3", add=True, wait_seconds=60)
    told = world.cli("release", "desk-1", "--all", check=0).stdout
    assert "gpu0/vf3 is free again" in told and "gpu0/vf2 stays" in told, told


@test
def release_of_what_another_serves_as_well():
    """A VF that was given before the VM had another that serves as well: nothing is given again, so it goes."""
    world = fixed({"vm": "desk-1", "vram": "1GiB"}, vfs=3)
    given = until_held(world, "desk-1", "reserved")[0]["name"]
    other = world.call("vf.assign", vm="desk-1", add=True, wait_seconds=60)["vf"]
    equal(world.call("vf.release", vf=given, wait_seconds=60)["released"], [given])
    until(lambda: world.vf(given)["state"] == "free", "it is free")
    equal([vf["name"] for vf in held(world, "desk-1", "reserved")], [other])


@test
def release_by_force_of_what_is_assigned():
    """By force it is done, and the answer says that the policy gives one again; also when the daemon dies in between."""
    for kill in (None, "before", "after"):
        world = fixed({"vm": "desk-1", "vram": "1GiB"}, vms=[{"name": "desk-1"}])
        before = until_held(world, "desk-1", "attached")[0]
        if kill:
            world.fault("destroy", nth=1, kill=kill)
        try:
            call = {"vm": "desk-1", "force": True, "yes_power_off": True, "wait_seconds": 60, "request_id": "r"}
            world.call("vf.release", **call)
        except (OSError, EOFError):
            world.until_killed()
            world.machine("clear-faults")
            world.start()
        answer = world.call("vf.release", **call)
        equal(answer["released"], [before["name"]])
        assert "VM desk-1 is given one again by the policy (assignments[0] of " in answer["note"], answer
        after = until_held(world, "desk-1", "reserved")[0]
        equal((after["lease"]["owner"], after["lease"]["epoch"] > before["lease"]["epoch"]), ("policy", True))
        world.end()


@test
def release_on_a_gpu_that_is_drained():
    """There the policy gives none, so what it gave to a VM that runs can be released."""
    world = fixed({"vm": "desk-1", "vram": "1GiB"}, vms=[{"name": "desk-1"}])
    vf = until_held(world, "desk-1", "attached")[0]
    world.call("gpu.drain", gpu="gpu0")
    equal(world.call("vf.release", vm="desk-1", wait_seconds=60)["released"], [vf["name"]])
    until_free(world)
    world.call("gpu.undrain", gpu="gpu0")
    until_held(world, "desk-1", "attached")


if __name__ == "__main__":
    main()
