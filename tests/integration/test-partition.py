# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans and layouts: what is written, what is not, and what happens when the kernel refuses."""

from gpuvf_client import CONFLICT, HOST_ERROR, INVALID_PARAMS, NO_FIT, UNSUPPORTED, WEDGED, RpcError
from harness import POLICY, World, equal, main, refused, test, until

GIB = 1 << 30


@test
def detected():
    """A GPU is shown with its model, address, driver and what it can do."""
    gpu = World().gpu()
    assert "Flex 170" in gpu["model"], gpu["model"]
    equal((gpu["driver"], gpu["device_id"], gpu["total_vfs"], gpu["num_vfs"], gpu["state"]),
          ("xe", "56c0", 31, 0, "unmanaged"))
    equal(gpu["vfs"], [])
    equal(gpu["layout"], None)
    assert gpu["vram_bytes"] > 15 * GIB


@test
def untouched():
    """Without a rule no card is touched by itself."""
    equal(World().writes()["sriov_numvfs"], 0)


@test
def plan_changes_nothing():
    """A plan names its steps and whom it disturbs, and writes nothing."""
    world = World()
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4})
    assert plan["hash"] and plan["steps"], plan
    equal(plan["disturbs"], [])
    equal(plan["steps"][-1], {"text": "write 4 to sriov_numvfs (now 0)", "attribute": "sriov_numvfs",
                              "vf": None, "tile": None, "before": 0, "after": 4})
    writes = world.writes()
    equal((writes["sriov_numvfs"], writes["vf_attributes"], writes["sriov_drivers_autoprobe"]),
          (0, 0, 0))


@test
def apply():
    """Four VFs under a layout of the policy, read back from the kernel."""
    world = World()
    result = world.apply("quarters")
    equal(result["changed"], True)
    gpu = world.gpu()
    equal((gpu["num_vfs"], gpu["state"], len(gpu["vfs"])), (4, "ready", 4))
    equal([v["name"] for v in gpu["vfs"]], [f"gpu0/vf{n}" for n in (1, 2, 3, 4)])
    for vf in gpu["vfs"]:
        equal((vf["state"], vf["profile"], vf["exec_quantum_ms"], vf["vm"]),
              ("free", "quarter", 20, None))
        assert 3 * GIB < vf["vram_bytes"] < 4 * GIB, vf["vram_bytes"]
        equal(vf["vram_bytes"] % (2 << 20), 0, "grain of VRAM")
    state = world.machine("state")["gpus"][0]
    equal(state["num_vfs"], 4, "the kernel's word")
    equal(len({vf["iommu_group"] for vf in gpu["vfs"]}), 4, "IOMMU groups")


@test
def apply_again():
    """The same layout again is no change and no write."""
    world = World()
    world.apply("quarters")
    before = world.writes()
    again = world.apply("quarters")
    equal(again["changed"], False)
    equal(world.writes(), before, "writes")


@test
def recut():
    """Another number of VFs goes through 0; 0 removes them."""
    world = World()
    world.apply(4)
    equal(world.writes()["sriov_numvfs"], 1)
    world.apply(2)
    equal(world.gpu()["num_vfs"], 2)
    equal(world.writes()["sriov_numvfs"], 3, "writes: 4, 0, 2")
    world.apply(0)
    equal(world.gpu()["num_vfs"], 0)
    equal(world.gpu()["vfs"], [])


@test
def plan_hash():
    """apply with a plan's hash does that plan, and refuses when the world has changed."""
    world = World()
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4})
    world.apply(2)
    with refused(CONFLICT, "plan"):
        world.apply(4, plan=plan["hash"])
    equal(world.gpu()["num_vfs"], 2)
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4})
    world.apply(4, plan=plan["hash"])
    equal(world.gpu()["num_vfs"], 4)


@test
def too_many():
    """More VFs than the card has: refused with its number, nothing written."""
    world = World()
    for method in ("gpu.plan", "gpu.apply"):
        with refused(NO_FIT, "31"):
            world.call(method, gpu="gpu0", layout={"vfs": 32})
    with refused(NO_FIT, "vram"):
        world.call("gpu.apply", gpu="gpu0", layout={"vfs": 4, "vram": "8GiB"})
    equal(world.writes()["sriov_numvfs"], 0)


@test
def bad_layouts():
    """Layouts with a fault are refused, naming the field and the way out."""
    world = World()
    for layout in ({"vfs": -1}, {"vfs": "four"}, {"vfs": 4, "vram": "4G"}, {"vfs": 4, "colour": 1},
                   {}, {"slices": []}, {"slices": [{"profile": "quarter"}], "vfs": 1}, 7, [1]):
        try:
            world.call("gpu.apply", gpu="gpu0", layout=layout)
        except RpcError as error:
            assert error.code in (INVALID_PARAMS, -32005), f"{layout}: {error}"
        else:
            raise AssertionError(f"{layout} was taken")
    with refused(INVALID_PARAMS, "eighths", field="layout"):
        world.call("gpu.apply", gpu="gpu0", layout="eighths")
    equal(world.writes()["sriov_numvfs"], 0)


@test
def unequal():
    """One half and two quarters on one card, whatever is free; a share that is too much names the number."""
    world = World(policy={**POLICY, "profiles": POLICY["profiles"] + [{"name": "half", "vram": "50%"},
                                                                      {"name": "fourth", "vram": "25%"}]})
    world.apply({"slices": [{"profile": "half", "count": 1}, {"profile": "fourth", "count": 2}]})
    first, second, third = world.gpu()["vfs"]
    equal((first["profile"], second["profile"], third["profile"]), ("half", "fourth", "fourth"))
    equal(second["vram_bytes"], third["vram_bytes"])
    assert 0 <= first["vram_bytes"] - 2 * second["vram_bytes"] <= 4 << 20
    with refused(NO_FIT, "at most"):
        world.call("gpu.plan", gpu="gpu0", layout={"slices": [{"profile": "half", "count": 3}]})


@test
def defaults():
    """Shares and time slices out of the table of the device; a number that it has not is refused with those
    that it has; what the way in use cannot set is noted."""
    world = World()
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4, "defaults": True})
    assert any("contexts_quota is left to the driver" in note for note in plan["notes"]), plan
    world.apply({"vfs": 4, "defaults": True, "scheduler": "flexible-30fps"})
    gpu = world.gpu()
    equal({(v["vram_bytes"], v["exec_quantum_ms"], v["preempt_timeout_us"]) for v in gpu["vfs"]},
          {(4194304000, 8, 16000)})
    equal((gpu["layout"]["defaults"], gpu["layout"]["scheduler"], gpu["drift"]), (True, "flexible-30fps", None))
    equal(gpu["defaults"]["counts"], [1, 2, 4, 5, 8, 16])
    before = world.writes()
    equal(world.apply({"vfs": 4, "defaults": True, "scheduler": "flexible-30fps"})["changed"], False)
    equal(world.writes(), before)
    with refused(NO_FIT, "1, 2, 4, 5, 8, 16"):
        world.call("gpu.plan", gpu="gpu0", layout={"vfs": 3, "defaults": True})


@test
def fits():
    """Per profile, how many such VFs are free now and how many there could be; by values, not by name."""
    world = World()
    name = POLICY["profiles"][0]["name"]
    equal(world.gpu()["fits"][name], {"free_now": 0, "after_recut": 4})
    world.apply({"vfs": 2, "vram": "7GiB", "exec_quantum": "20ms"})
    equal(world.gpu()["fits"][name], {"free_now": 2, "after_recut": 4})
    profile = next(p for p in world.call("profile.list")["items"] if p["name"] == name)
    equal(profile["fits"], {"gpu0": {"free_now": 2, "after_recut": 4}})


def cut_by_hand(world, tiles):
    """One VRAM quota by hand: the other hard resources are completed; then back to automatic sharing."""
    gpu = world.gpu()
    equal(gpu["tiles"], tiles)
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 2, "vram": "25%"})
    steps = [(step["vf"], step["attribute"]) for step in plan["steps"] if step["vf"]]
    equal(steps, [(vf, f"{name}_quota") for vf in (1, 2) for name in ("vram", "ggtt", "contexts", "doorbells")])
    equal({step["tile"] for step in plan["steps"] if step["vf"]}, {None} if tiles == 1 else {0, 1})
    assert any("contexts_quota was not asked for" in note for note in plan["notes"]), plan["notes"]
    world.apply({"vfs": 2, "vram": "25%", "priority": "normal", "exec_quantum": "8ms"})
    for vf in world.gpu()["vfs"]:
        assert vf["ggtt_bytes"] and vf["contexts"] and vf["doorbells"], vf
        equal((vf["priority"], vf["exec_quantum_ms"]), ("normal", 8))
    before = world.writes()
    equal(world.apply({"vfs": 2, "vram": "25%", "priority": "normal", "exec_quantum": "8ms"})["changed"], False)
    equal(world.writes(), before)
    world.apply({"slices": [{"profile": "quarter", "count": 4}]})
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 2})
    assert "restore_auto_provisioning" in [step["attribute"] for step in plan["steps"]], plan
    world.apply(2)
    world.apply({"vfs": 2, "ggtt": "10%"})
    world.apply(0)
    equal(world.gpu()["num_vfs"], 0)
    equal(world.apply(0)["changed"], False)


@test
def by_hand_i915():
    """Quotas by hand in the tree of i915, and back."""
    cut_by_hand(World(machine={"gpus": [{"model": "Flex 170", "driver": "i915"}]}), 1)


@test
def by_hand_two_tiles():
    """The same on two tiles: VFs by turns, odd numbers refused."""
    world = World(machine={"gpus": [{"model": "Max 1550", "driver": "i915"}]})
    cut_by_hand(world, 2)
    with refused(NO_FIT, "ask for 2 or 4", field="vfs"):
        world.call("gpu.plan", gpu="gpu0", layout={"vfs": 3})
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 1, "vram": "50%"})
    equal({step["tile"] for step in plan["steps"]}, {None}, "a single VF spans both")
    world.apply({"vfs": 4, "defaults": True, "scheduler": "burstable"})
    equal({(v["vram_bytes"], v["contexts"], v["doorbells"], v["exec_quantum_ms"]) for v in world.gpu()["vfs"]},
          {(32212254720, 1024, 120, 50)})
    with refused(UNSUPPORTED, "burstable", field="scheduler"):
        world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4, "scheduler": "fixed-30fps"})


@test
def by_hand_debugfs():
    """The same through xe's debugfs, old and new layout."""
    for debugfs in ("old", "new"):
        cut_by_hand(World(machine={"gpus": [{"model": "Flex 170", "driver": "xe", "sriov_admin": False,
                                             "debugfs": debugfs}]},
                          config={"allow_debugfs": True}), 1)


@test
def size_units():
    """A bare 4G is refused with both readings."""
    world = World()
    try:
        world.call("gpu.plan", gpu="gpu0", layout={"vfs": 2, "vram": "4G"})
    except RpcError as error:
        text = f"{error.message} {error.data}"
        assert "2^30" in text and "10^9" in text, text
    else:
        raise AssertionError("4G was taken")


@test
def undone():
    """A layout that the kernel refuses half-way is undone, and the card is as before."""
    world = World()
    world.apply(2)
    world.fault("sriov_numvfs", gpu="gpu0", nth=2, error="EBUSY")
    with refused(HOST_ERROR, "sriov_numvfs"):
        world.apply(4)
    gpu = until(lambda: world.gpu() if world.gpu()["state"] == "ready" else None, "it is ready again")
    equal(gpu["num_vfs"], 2, "VFs after the undo")
    world.apply(4)
    equal(world.gpu()["num_vfs"], 4)


@test
def quota_refused():
    """A quota that the driver refuses: nothing stays half-written."""
    world = World()
    world.fault("vram_quota", gpu="gpu0", nth=2, error="EIO")
    with refused(HOST_ERROR, "vram_quota"):
        world.apply("quarters")
    equal(world.gpu()["num_vfs"], 0)
    world.apply("quarters")
    equal(world.gpu()["num_vfs"], 4)


@test
def fewer():
    """The kernel makes fewer VFs than asked and says success: read back, and undone."""
    world = World()
    world.fault("sriov_numvfs", gpu="gpu0", nth=1, fewer=1)
    with refused(HOST_ERROR, "3"):
        world.apply(4)
    equal(world.gpu()["num_vfs"], 0)


@test
def undo_fails():
    """When the undo fails too, the GPU is wedged with the reason, and others go on."""
    world = World({"gpus": [{"model": "Flex 170", "count": 2}]})
    world.apply(2)
    world.fault("sriov_numvfs", gpu="gpu0", nth=2, times=1000, error="EIO")
    try:
        world.apply(4)
    except RpcError as error:
        assert error.code in (HOST_ERROR, WEDGED), error
    else:
        raise AssertionError("it was applied")
    gpu = world.gpu()
    equal(gpu["state"], "wedged")
    assert "sriov_numvfs" in gpu["reason"], gpu["reason"]
    world.apply(3, gpu="gpu1")
    equal(world.gpu("gpu1")["num_vfs"], 3)
    world.crash_and_restart()  # which tries once to make what is wanted, in vain
    gpu = until(lambda: world.gpu() if world.gpu()["state"] == "wedged" else None, "the next daemon says it too")
    assert "sriov_numvfs" in gpu["reason"], gpu["reason"]
    world.machine("clear-faults")
    world.apply(2)
    equal(world.gpu()["state"], "ready")


@test
def driverless():
    """A PF without driver, and a card without SR-IOV, are refused with the cure."""
    world = World({"gpus": [{"model": "Flex 170", "driver": None},
                            {"model": "Arc B580", "sriov": False}]})
    with refused(UNSUPPORTED, "driver"):
        world.apply(2)
    with refused(UNSUPPORTED, "sr-iov"):
        world.apply(2, gpu="gpu1")
    equal(world.gpu("gpu1")["total_vfs"], None)


@test
def display():
    """A GPU that drives the display is cut only when that is said."""
    world = World({"gpus": [{"model": "Tiger Lake", "driver": "i915", "display": True}]})
    with refused(CONFLICT, "display"):
        world.apply(2)
    world.apply(2, yes_display=True)
    equal(world.gpu()["num_vfs"], 2)
    equal(world.gpu()["vram_bytes"], None, "VRAM of an integrated GPU")


@test
def policy_rule():
    """A rule of the policy cuts the card at start, and only once."""
    world = World(policy={**POLICY, "gpus": [{"match": {"model": "*Flex 170*"}, "layout": "quarters"}]})
    until(lambda: world.gpu()["num_vfs"] == 4, "the rule is applied")
    gpu = until(lambda: world.gpu() if world.gpu()["state"] == "ready" else None, "it is ready")
    equal(gpu["layout_source"], "policy")
    world.stop()
    world.start()
    until(lambda: world.gpu()["state"] == "ready", "it is ready")
    equal(world.writes()["sriov_numvfs"], 1, "writes over both starts")


@test
def manual_wins():
    """A layout by hand stays, over a restart, until apply --policy drops it."""
    world = World(policy={**POLICY, "gpus": [{"match": {}, "layout": "quarters"}]})
    until(lambda: world.gpu()["num_vfs"] == 4 and world.gpu()["state"] == "ready", "the rule is applied")
    world.apply(2)
    gpu = world.gpu()
    equal((gpu["num_vfs"], gpu["layout_source"], gpu["pinned"]), (2, "manual", True))
    world.crash_and_restart()
    equal(world.gpu()["num_vfs"], 2)
    world.call("gpu.apply", gpu="gpu0", policy=True, wait_seconds=30)
    gpu = world.gpu()
    equal((gpu["num_vfs"], gpu["layout_source"], gpu["pinned"]), (4, "policy", False))


@test
def drift():
    """Somebody else's change is shown as drift, and nothing is written against it."""
    world = World()
    world.apply(2)
    before = world.writes()["sriov_numvfs"]
    world.machine("set-numvfs", gpu="gpu0", value=0)
    until(lambda: world.gpu()["drift"], "the drift is seen")
    equal(world.gpu()["num_vfs"], 0)
    equal(world.writes()["sriov_numvfs"], before + 1, "writes: only the other one")


@test
def unplugged():
    """A card that goes is absent, and is itself again when it comes back."""
    world = World()
    address = world.gpu()["address"]
    world.machine("unplug-gpu", gpu="gpu0")
    until(lambda: world.gpu()["state"] == "absent", "it is absent")
    world.machine("plug-gpu", gpu="gpu0")
    until(lambda: world.gpu()["state"] == "unmanaged", "it is back")
    equal(world.gpu()["address"], address)


@test
def hung_write():
    """A write that hangs wedges its GPU only; a new daemon is ready at once and says so."""
    world = World({"gpus": [{"model": "Flex 170", "count": 2}]})
    world.fault("sriov_numvfs", gpu="gpu0", nth=1, hang=True)
    world.call("gpu.apply", gpu="gpu0", layout={"vfs": 4})
    until(lambda: world.machine("state")["gpus"][0]["locked"], "the write hangs")
    world.apply(3, gpu="gpu1")
    equal(world.gpu("gpu1")["num_vfs"], 3)
    world.crash_and_restart()
    gpu = until(lambda: world.gpu() if world.gpu()["state"] == "wedged" else None, "it is wedged")
    assert "sriov_numvfs" in gpu["reason"], gpu["reason"]
    with refused(WEDGED, "sriov_numvfs"):
        world.apply(4)
    equal(world.gpu("gpu1")["num_vfs"], 3)
    world.machine("release-hang")
    until(lambda: world.gpu()["state"] in ("ready", "unmanaged"), "it comes back")


if __name__ == "__main__":
    main()
