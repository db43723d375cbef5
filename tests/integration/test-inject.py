# SPDX-License-Identifier: GPL-2.0-or-later
"""Something goes wrong at every single write of an apply: as error, as hang, as kill -9 before and
after it. It ends in the layout before, in the new one, or in a GPU that says truly why it is wedged;
what gpuvf says is what the kernel shows. How many points were tried, and what each ended in, is
printed."""

import collections
import json
import os

from gpuvf_client import RpcError
from harness import PATIENCE, POLICY, World, comment, main, test, until

GIB = 1 << 30
SURE_SECONDS = 2 * PATIENCE

# Of the machine, and of the daemon's configuration.
WAYS = {
    "xe": ({}, {}),
    "xe without quota": ({"vram_quota": "absent"}, {}),
    "generic": ({"sriov_admin": False}, {}),
    "xe, debugfs": ({"sriov_admin": False, "debugfs": "new"}, {"allow_debugfs": True}),
    "i915": ({"driver": "i915", "tree": "prelim_iov"}, {}),
    "i915, two tiles": ({"driver": "i915", "tree": "prelim_iov", "tiles": 2}, {}),
}
# Scheduling values only where the way has them.
EQUAL = {"vfs": 3, "vram": "2GiB", "exec_quantum": "20ms", "preempt_timeout": "5ms"}
UNEQUAL = {"slices": [{"profile": "half", "count": 1}, {"profile": "eighth", "count": 2}]}
LATER = {"vfs": 3, "vram": "2GiB", "exec_quantum": "40ms", "preempt_timeout": "5ms"}
PAIRS = {"vfs": 4, "vram": "1GiB", "exec_quantum": "20ms", "preempt_timeout": "5ms"}
NOTHING = {"vfs": 0}
# Each asks for all that is compared: what nobody asked for may stay from the layout before.
PROFILES = [{"name": "half", "vram": "50%", "exec_quantum": "40ms", "preempt_timeout": "4ms"},
            {"name": "eighth", "vram": "12.5%", "exec_quantum": "10ms", "preempt_timeout": "2ms"}]

KINDS = {
    "error": {"error": "EIO"},
    "hang": {"hang": True},
    "kill before": {"kill": "before"},
    "kill after": {"kill": "after"},
}


# ./check --quick takes a part of the points, another one each time.
EVERY = int(os.environ.get("GPUVF_TEST_EVERY", "1"))
FIRST = int(os.environ.get("GPUVF_SEED", os.getpid()))


def transitions(way):
    """From which layout to which, as far as the way can set what they ask for."""
    if way in ("generic", "xe without quota"):
        extra = {} if way == "generic" else {"exec_quantum": "20ms", "preempt_timeout": "5ms"}
        few, many = {"vfs": 2, **extra}, {"vfs": 4, **extra}
        return [(NOTHING, few), (few, many), (many, NOTHING)]
    if way == "i915, two tiles":  # an even number, each pair on both tiles
        return [(NOTHING, PAIRS), (PAIRS, {"vfs": 2}), (PAIRS, NOTHING)]
    return [(NOTHING, EQUAL), (EQUAL, UNEQUAL), (UNEQUAL, NOTHING), (EQUAL, LATER)]


# ---- the kernel's word, and gpuvf's

VALUES = {"vram_quota": "vram_bytes", "ggtt_quota": "ggtt_bytes", "contexts_quota": "contexts",
          "doorbells_quota": "doorbells", "exec_quantum_ms": "exec_quantum_ms",
          "preempt_timeout_us": "preempt_timeout_us"}


# What the layouts do not ask for is computed from what is free, and may come out otherwise when a
# resumed apply finds other quotas standing: that there is some is what counts.
COMPUTED = ("ggtt_bytes", "contexts", "doorbells")


def kernel_shows(world, exactly=False):
    gpu = world.machine("state")["gpus"][0]
    shown = [{VALUES[name]: vf["values"][name] for name in VALUES if name in vf["values"]}
             for vf in gpu["vfs"]]
    return shown if exactly else [roughly(vf) for vf in shown]


def roughly(vf):
    return {name: value > 0 if name in COMPUTED else value for name, value in vf.items()}


def gpuvf_says(world):
    return [{name: vf[name] for name in VALUES.values() if vf[name] is not None}
            for vf in world.gpu()["vfs"]]


def calm(world):
    """The GPU once nothing is under way any more."""
    def look():
        for operation in world.items("operation.list"):
            if operation["state"] in ("accepted", "running"):
                return None
        gpu = world.gpu()
        return gpu if gpu["state"] != "recutting" else None
    return until(look, "the GPU is calm", SURE_SECONDS)


# ---- one point

class Lie(AssertionError):
    """The daemon said what is not so."""


def try_it(world, layout):
    """What the caller heard: done, refused, or nothing because the daemon died."""
    try:
        world.call("gpu.apply", gpu="gpu0", layout=layout, yes_display=True, wait_seconds=PATIENCE)
        return "done"
    except RpcError as error:
        return f"refused: {error.message}"
    except (ConnectionError, EOFError, BrokenPipeError):
        return "died"


def judge(world, kind, heard, old, new):
    """What it ended in; Lie when that is none of the three."""
    gpu = calm(world)
    shown, said = kernel_shows(world), gpuvf_says(world)
    exactly = kernel_shows(world, exactly=True)
    if gpu["state"] == "wedged":
        if not gpu["reason"]:
            raise Lie("wedged without a reason")
        if kind == "error":  # it happens once: the way back must work
            raise Lie(f"wedged: {gpu['reason']}")
        return "wedged"
    if said != exactly:
        raise Lie(f"gpuvf says {said}, the kernel shows {exactly}")
    if heard == "done" and shown != new:
        raise Lie(f"the caller heard that it was done, the kernel shows {shown}")
    if heard.startswith("refused") and shown != old:
        raise Lie(f"the caller heard \"{heard}\", the kernel shows {shown}")
    if shown not in (old, new):
        raise Lie(f"{kind}: the kernel shows {shown}")
    try:  # what was read before the last write may be shown for a moment
        until(lambda: not world.gpu()["drift"], "there is no drift")
    except AssertionError as stays:
        raise Lie(f"drift is left: {world.gpu()['drift']}") from stays
    return "old layout" if shown == old else "new layout"


def settle(world, layout):
    """The layout before, whatever there was; the world without faults."""
    world.machine("clear-faults")
    calm(world)

    def applied():  # what is past its deadline on a busy machine goes on when the answer comes
        try:
            return world.apply(layout, yes_display=True)
        except RpcError as slow:
            if (slow.data or {}).get("reason") not in ("hangs", "wedged"):
                raise
            return None
    until(applied, "it is applied", SURE_SECONDS)


def hang_and_release(world, layout):
    """A write hangs past its deadline: wedged, with the attribute's name, while others go on; then it
    returns."""
    answer = world.call("gpu.apply", gpu="gpu0", layout=layout, yes_display=True)
    gpu = until(lambda: world.gpu() if world.gpu()["state"] == "wedged" else None, "it is wedged")
    if "does not return" not in (gpu["reason"] or ""):
        raise Lie(f"wedged because \"{gpu['reason']}\"")
    if world.gpu("gpu1")["state"] == "wedged":
        raise Lie("the other GPU is wedged as well")
    operation = world.call("operation.get", operation=answer["operation"])
    if operation["state"] == "running" and not operation["error"]:
        raise Lie("the operation does not say that it hangs")
    world.machine("release-hang")
    until(lambda: world.gpu()["state"] != "wedged", "it is no longer wedged")
    return "returned"


def point(world, kind, nth, old_layout, new_layout, old, new):
    settle(world, old_layout)
    if kernel_shows(world) != old:
        raise Lie(f"before point {nth} the kernel shows {kernel_shows(world)}")
    world.fault("write", gpu="gpu0", nth=nth, **KINDS[kind])
    if kind == "hang":
        heard = hang_and_release(world, new_layout)
    else:
        heard = try_it(world, new_layout)
    if heard == "died":
        if world.process.wait(PATIENCE) != -9:
            raise Lie("the daemon ended by itself")
        world.hang_up()
        world.start()
        until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
    return judge(world, kind, heard, old, new)


# ---- all of them

def all_points(way):
    spec, config = WAYS[way]
    machine = {"gpus": [{"model": "Flex 170", "driver": "xe", **spec},
                        {"model": "Flex 170", "driver": "xe"}]}
    world = World(machine, {**POLICY, "profiles": PROFILES, "layouts": []},
                  {"deadlines": {"sriov_numvfs": "2s", "attribute": "2s", "bind": "2s"},
                   **config})
    ended = collections.Counter()
    lies = []
    for old_layout, new_layout in transitions(way):
        settle(world, new_layout)  # from here on autoprobe is off, and the counts are the same
        settle(world, old_layout)
        old, before = kernel_shows(world), writes(world)
        settle(world, new_layout)
        new, points = kernel_shows(world), writes(world) - before
        assert points > 0 and old != new, "this transition writes nothing"
        for kind in KINDS:
            for nth in range(1 + FIRST % EVERY, points + 1, EVERY):
                where = (f"{way}: {json.dumps(old_layout)} -> {json.dumps(new_layout)}, "
                         f"{kind} at write {nth} of {points}")
                try:
                    ended[kind, point(world, kind, nth, old_layout, new_layout, old, new)] += 1
                except (AssertionError, RpcError) as lie:
                    comment(f"LIE {where}: {lie}")
                    lies.append(f"{where}: {lie}")
                    ended[kind, "a lie"] += 1
    if EVERY > 1:
        comment(f"one point in {EVERY} only, from {1 + FIRST % EVERY} on (GPUVF_TEST_EVERY, GPUVF_SEED)")
    for (kind, end), count in sorted(ended.items()):
        comment(f"{way}, {kind}: {count} points ended in: {end}")
    comment(f"{way}: {sum(ended.values())} points tried")
    assert not lies, "\n".join(lies)


def writes(world):
    return world.writes()["total"]


def add(way):
    def run():
        all_points(way)
    run.__doc__ = f"A fault at every write of an apply, by way of: {way}."
    run.__name__ = "inject_" + way.replace(" ", "_")
    test(run)


for _way in WAYS:
    add(_way)

if __name__ == "__main__":
    main(at_once=True)
