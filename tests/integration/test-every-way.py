# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways in which a GPU lets itself be cut: each is named and told with what it can, sets what it
can, writes nothing twice, and is as before when a write fails."""

from gpuvf_client import HOST_ERROR, NO_FIT, UNSUPPORTED, RpcError
from harness import POLICY, World, comment, equal, main, refused, test, until

MIB = 1 << 20
GIB = 1 << 30
ALL = {"vram_quota", "ggtt_quota", "contexts_quota", "doorbells_quota", "exec_quantum_ms",
       "preempt_timeout_us"}
SCHEDULING = {"exec_quantum_ms", "preempt_timeout_us"}

# name: members of the GPU, whether debugfs is allowed, the way's name, what it sets per VF
WAYS = {
    "xe": ({}, False, "xe", {"vram_quota"} | SCHEDULING),
    "xe without vram_quota": ({"vram_quota": "absent", "debugfs": "new"}, False, "xe", SCHEDULING),
    "xe with a read-only vram_quota": ({"vram_quota": "read-only"}, False, "xe", SCHEDULING),
    "xe, locked down": ({"vram_quota": "absent", "debugfs": "new", "lockdown": True}, True, "xe",
                        SCHEDULING),
    "debugfs, new layout": ({"vram_quota": "absent", "debugfs": "new"}, True, "xe-debugfs", ALL),
    "debugfs, old layout": ({"sriov_admin": False, "debugfs": "old"}, True, "xe-debugfs", ALL),
    "i915": ({"driver": "i915"}, False, "i915", ALL),
    "i915 with two tiles": ({"model": "Max 1550", "driver": "i915", "total_vfs": 8}, False, "i915",
                            ALL),
    "i915 without memory": ({"model": "Alder Lake-S", "driver": "i915", "total_vfs": 7}, False,
                            "i915", ALL - {"vram_quota"}),
    "generic": ({"sriov_admin": False}, False, "generic", set()),
    "mainline i915's count": ({"driver": "i915", "tree": "none"}, False, "generic", set()),
}
# What a profile calls it, two unequal values in turn, and what reads back of them.
VALUES = {
    "vram_quota": ("vram", "vram_bytes", (("3GiB", 3 * GIB), ("1GiB", GIB))),
    "ggtt_quota": ("ggtt", "ggtt_bytes", (("512MiB", 512 * MIB), ("256MiB", 256 * MIB))),
    "contexts_quota": ("contexts", "contexts", ((1000, 1024), (512, 512))),
    "doorbells_quota": ("doorbells", "doorbells", ((32, 32), (16, 16))),
    "exec_quantum_ms": ("exec_quantum", "exec_quantum_ms", (("40ms", 40), ("10ms", 10))),
    "preempt_timeout_us": ("preempt_timeout", "preempt_timeout_us", (("9ms", 9000), ("5ms", 5000))),
}


def profile(name, sets, which):
    return {"name": name, **{VALUES[a][0]: VALUES[a][2][which][0] for a in sets}}


def world_of(way):
    members, debugfs, _, sets = WAYS[way]
    policy = {**POLICY, "layouts": [], "profiles": [
        profile("large", sets, 0), profile("small", sets, 1)]}
    machine = {"gpus": [{"model": "Flex 170", **members}], "vms": []}
    return World(machine, policy, {"allow_debugfs": True} if debugfs else {})


def layout_of(way):
    """One large VF and two small ones; without anything to set, three alike."""
    if not WAYS[way][3]:
        return {"vfs": 3}
    slices = [{"profile": "large", "count": 1}, {"profile": "small", "count": 2}]
    if way == "i915 with two tiles":  # even counts only
        slices[1]["count"] = 3
    return {"slices": slices}


def apply(world, layout):
    return world.apply(layout, yes_display=True)


def kernel(world):
    return world.machine("state")["gpus"][0]


def quotas(world):
    """Of hard resources, what the driver has noted for each VF and tile."""
    found = [(one["vf"], one["tile"], {name: value for name, value in one.items() if "_quota" in name})
             for one in kernel(world)["given"]]
    return [one for one in found if one[2]]


def each_way(name, doc):
    """A test for each of the ways."""
    def add(function):
        def bind(way):
            def run():
                function(way, world_of(way))
            run.__doc__ = f"{doc}: {way}."
            run.__name__ = f"{name}_{way.replace(' ', '_').replace(',', '')}"
            test(run)
        for way in WAYS:
            bind(way)
        return function
    return add


@each_way("show", "The way is named, with what it can, and why no more")
def show(way, world):
    _, debugfs, control, sets = WAYS[way]
    gpu = world.gpu()
    equal(gpu["vf_control"], control)
    can = {name for name, one in gpu["can"].items() if one["access"] == "writable"}
    equal(can, sets, "what can be set")
    for name, one in gpu["can"].items():
        equal(one["why"] is None, one["access"] == "writable", f"a reason for {name}")
    note = gpu["control_note"]
    if way in ("xe", "i915", "i915 with two tiles", "i915 without memory"):
        equal(note, None)
    else:
        assert note, "no word on why no richer way"
    if way == "xe, locked down":
        assert "lockdown" in note, note
    if "vram_quota" in way and not debugfs and kernel(world)["driver"] == "xe":
        shown = world.cli("show", "gpu0", check=0).stdout
        assert "vram" in shown.lower(), shown


@each_way("apply", "What is asked for is set, read back, and not written twice")
def apply_twice(way, world):
    sets, layout = WAYS[way][3], layout_of(way)
    plan = world.call("gpu.plan", gpu="gpu0", layout=layout)
    assert plan["steps"], plan
    equal(world.writes()["total"], 0, "writes of a plan")
    equal(apply(world, layout)["changed"], True)
    vfs = world.gpu()["vfs"]
    for number, vf in enumerate(vfs):
        for attribute in sets:
            _, member, values = VALUES[attribute]
            equal(vf[member], wanted(way, attribute, values[min(number, 1)][1]),
                  f"{attribute} of {vf['name']}")
    for number, vf in enumerate(kernel(world)["vfs"]):
        for attribute in sets:
            equal(vf["values"][attribute], vfs[number][VALUES[attribute][1]], "the kernel's word")
    before = world.writes()
    equal(apply(world, layout)["changed"], False)
    equal(world.gpu()["drift"], None)
    equal(world.writes(), before, "writes of the second apply")


def wanted(way, attribute, value):
    """Contexts go by 128 under i915 and by one under xe; two tiles have each of them."""
    if attribute == "contexts_quota" and value == 1024 and not way.startswith("i915"):
        return 1000
    return value


def undo(way, world, first, second, what):
    """Each write on the way from one layout to the other fails once."""
    apply(world, second)
    apply(world, first)
    old, before = kernel(world), world.writes()["total"]
    apply(world, second)
    points = world.writes()["total"] - before
    for nth in range(1, points + 1):
        apply(world, first)
        world.fault("write", nth=nth, error="EIO")
        heard = None
        try:
            apply(world, second)
        except RpcError as error:
            heard = error
            equal(error.code, HOST_ERROR, f"{what}, write {nth}: {error.message}")
        world.machine("clear-faults")
        now = kernel(world)
        if heard:
            equal((now["num_vfs"], [v["values"] for v in now["vfs"]]),
                  (old["num_vfs"], [v["values"] for v in old["vfs"]]), f"{what}, write {nth}")
        equal(world.gpu()["drift"], None, f"{what}, drift after write {nth}")
    comment(f"{way}: {what}: {points} writes")


@each_way("undo", "A write that fails leaves the layout that was there")
def undo_at_each_write(way, world):
    undo(way, world, {"vfs": 0}, layout_of(way), "from nothing")
    undo(way, world, {"vfs": 2}, layout_of(way), "from an automatic layout")
    if WAYS[way][3]:
        undo(way, world, layout_of(way), {"slices": [{"profile": "small", "count": 2}]},
             "from a layout by hand")


@each_way("back", "Without VFs nothing is left, and the driver shares by itself again")
def back_to_automatic(way, world):
    apply(world, {"vfs": 2})
    fresh = quotas(world)
    apply(world, layout_of(way))
    apply(world, {"vfs": 0})
    equal(quotas(world), [], "quotas that are left")
    apply(world, {"vfs": 2})
    equal(quotas(world), fresh, "what two VFs get by themselves")


@test
def debugfs_only_when_allowed():
    """Without allow_debugfs nothing goes through debugfs, and gpuvf says what that costs."""
    world = world_of("xe without vram_quota")
    with refused(UNSUPPORTED, "vram"):
        apply(world, {"vfs": 2, "vram": "1GiB"})
    assert "allow_debugfs" in world.gpu()["control_note"], world.gpu()["control_note"]
    equal(world.writes()["total"], 0)


@test
def left_by_somebody():
    """Quotas that somebody else has set by hand are seen, and given back for an automatic layout."""
    for way in ("xe", "debugfs, old layout", "i915"):
        world = world_of(way)
        for attribute, value in (("vram_quota", GIB),) if way == "xe" else (
                ("vram_quota", GIB), ("ggtt_quota", 64 * MIB), ("contexts_quota", 512)):
            world.machine("set-attribute", gpu="gpu0", vf=3, attribute=attribute, value=value,
                          debugfs=True)
        apply(world, {"vfs": 2})
        equal([one["vf"] for one in kernel(world)["given"]], [1, 2], f"who has something: {way}")
        world.end()


@test
def euclean():
    """A kernel that enables nothing over leftovers gets them cleared first."""
    world = World({"gpus": [{"model": "Flex 170", "euclean": True}], "vms": []})
    world.machine("set-attribute", gpu="gpu0", vf=1, attribute="vram_quota", value=GIB)
    apply(world, {"vfs": 2})
    equal(world.gpu()["num_vfs"], 2)


@test
def too_much():
    """More than the card has of a resource is refused before anything is written."""
    world = world_of("i915")
    for asked in ({"contexts": 60000}, {"doorbells": 200}, {"ggtt": "3GiB"}, {"vram": "9GiB"}):
        with refused(NO_FIT):
            apply(world, {"vfs": 2, **asked})
    equal(world.writes()["total"], 0)


@test
def driver_comes_and_goes():
    """VFs go with the driver; with the driver back, the layout is wanted still."""
    world = world_of("i915")
    apply(world, layout_of("i915"))
    world.machine("unbind-driver", gpu="gpu0")
    until(lambda: world.gpu()["num_vfs"] == 0, "the VFs are gone")
    assert world.gpu()["cannot_be_cut"], "no word on the missing driver"
    world.machine("bind-driver", gpu="gpu0")
    until(lambda: world.gpu()["cannot_be_cut"] is None, "it can be cut again")


if __name__ == "__main__":
    main()
