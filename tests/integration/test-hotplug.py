# SPDX-License-Identifier: GPL-2.0-or-later
"""Cards, drivers and VFs that come and go while the daemon runs, before it starts, and behind its back."""

from gpuvf_client import CONFLICT, WEDGED
from harness import POLICY, World, equal, main, refused, test, until

RULED = {**POLICY, "gpus": [{"match": {}, "layout": "quarters"}]}
HEALED = {**POLICY, "gpus": [{"match": {}, "layout": "quarters", "heal": True}]}


def is_cut(world, count=4, gpu="gpu0"):
    """The GPU has that many VFs, is ready, and shows no drift."""
    def look():
        shown = world.gpu(gpu)
        return shown if (shown["num_vfs"], shown["state"], shown["drift"]) == (count, "ready", None) else None
    return until(look, f"{gpu} has {count} VFs")


def drifted(world, gpu="gpu0"):
    return until(lambda: world.gpu(gpu)["drift"], f"drift of {gpu} is seen")


@test
def late_driver():
    """A driver that is bound after the daemon started brings the wanted layout."""
    world = World(policy=RULED)
    is_cut(world)
    world.stop()
    world.machine("unbind-driver", gpu="gpu0")
    world.start()
    drift = drifted(world)
    assert "driver" in drift["what"], drift
    equal(drift["healing"], "cannot")
    equal(world.gpu()["num_vfs"], 0)
    world.machine("bind-driver", gpu="gpu0")
    is_cut(world)


@test
def driver_reload():
    """Unbinding the driver takes the VFs, binding it brings them back, once each."""
    world = World(policy=RULED)
    is_cut(world)
    for _ in range(2):
        writes = world.writes()["sriov_numvfs"]
        world.machine("unbind-driver", gpu="gpu0")
        until(lambda: world.gpu()["driver"] is None, "the driver is gone")
        equal(world.gpu()["vfs"], [])
        world.machine("bind-driver", gpu="gpu0")
        is_cut(world)
        equal(world.writes()["sriov_numvfs"], writes + 1, "writes for one binding")


@test
def quick_reload():
    """A reload that is over before anybody looked is noticed by its event."""
    world = World(policy=RULED)
    is_cut(world)
    world.machine("unbind-driver", gpu="gpu0", silent=True)
    world.machine("bind-driver", gpu="gpu0")
    is_cut(world)


@test
def failing_layout():
    """A layout that fails is tried once per binding, and says why it is not there."""
    world = World(policy=RULED)
    is_cut(world)
    world.machine("unbind-driver", gpu="gpu0")
    until(lambda: world.gpu()["driver"] is None, "the driver is gone")
    writes = world.writes()["sriov_numvfs"]
    world.fault("sriov_numvfs", gpu="gpu0", nth=1, times=50, error="ENOSPC")
    world.machine("bind-driver", gpu="gpu0")
    drift = until(lambda: (world.gpu()["drift"] or {}).get("attempts") and world.gpu()["drift"], "it failed")
    equal((drift["healing"], drift["attempts"]), ("off", 1))
    assert "sriov_numvfs" in drift["healing_reason"], drift
    failed = [op for op in world.call("operation.list")["items"] if op["state"] == "failed"]
    equal([(op["method"], op["subject"]) for op in failed], [("gpu.apply", "gpu0")])
    equal(world.writes()["sriov_numvfs"], writes + 1, "tries")
    world.machine("clear-faults")
    world.call("gpu.apply", gpu="gpu0", wait_seconds=60)
    is_cut(world)


@test
def cut_by_another():
    """VFs that somebody else made while the driver was away are drift, and stay."""
    world = World(policy=RULED)
    is_cut(world)
    world.stop()
    world.machine("set-numvfs", gpu="gpu0", value=0)
    world.machine("set-numvfs", gpu="gpu0", value=7)
    writes = world.writes()["sriov_numvfs"]
    world.start()
    drift = drifted(world)
    assert "7" in drift["what"] and "4" in drift["what"], drift
    equal(world.gpu()["num_vfs"], 7)
    equal(world.writes()["sriov_numvfs"], writes)


@test
def drift_events():
    """What somebody else changes is told when it is found and when it is over, with what and since when."""
    world = World()
    world.apply(4)
    client = world.client()
    client.call("event.subscribe", types=["drift.found", "drift.healed"])
    world.machine("set-numvfs", gpu="gpu0", value=0)
    found = client.next_event()
    equal((found["type"], found["subject"]), ("drift.found", "gpu0"))
    drift = world.gpu()["drift"]
    equal(drift["what"], found["what"])
    assert drift["since"].endswith("Z"), drift
    trouble = [t for t in world.call("daemon.status")["troubles"] if t["what"] == "drift"]
    equal([t["subject"] for t in trouble], ["gpu0"])
    world.call("gpu.apply", gpu="gpu0", wait_seconds=60)
    healed_event = client.next_event()
    equal((healed_event["type"], healed_event["subject"]), ("drift.healed", "gpu0"))
    equal(world.gpu()["drift"], None)


@test
def healed():
    """Where a rule says so, drift is healed, as the daemon's own operation, but never under a holder."""
    world = World(policy=HEALED)
    is_cut(world)
    world.machine("set-numvfs", gpu="gpu0", value=0)
    def heals():
        return [(op["subject"], op["state"]) for op in world.call("operation.list")["items"]
                if op["method"] == "gpu.heal"]
    until(lambda: heals() == [("gpu0", "done")], "one operation has healed it")
    is_cut(world)

    world.kill() # or it might be healed before there is a holder
    world.machine("set-numvfs", gpu="gpu0", value=0)
    world.machine("set-numvfs", gpu="gpu0", value=2)
    world.machine("foreign-attach", vm="trainer-1", gpu="gpu0", vf=1)
    world.start()
    until(lambda: (world.gpu()["drift"] or {}).get("healing") == "held", "it waits for the holder")
    equal(world.gpu()["num_vfs"], 2)
    with refused(CONFLICT, "held"):
        world.call("gpu.apply", gpu="gpu0")
    world.call("vf.release", vf="gpu0/vf1", wait_seconds=60)
    is_cut(world)


@test
def card_goes():
    """A card that is taken out is absent and drifted, and is cut again when it comes back."""
    world = World(policy=RULED)
    is_cut(world)
    world.machine("unplug-gpu", gpu="gpu0")
    until(lambda: world.gpu()["state"] == "absent", "it is absent")
    equal(world.gpu()["drift"]["what"], "the card is gone")
    world.machine("plug-gpu", gpu="gpu0")
    is_cut(world)


@test
def given_up():
    """A card that its driver gave up is wedged with the ways out, until the driver is bound again."""
    world = World({"gpus": [{"model": "Flex 170", "count": 2}]}, policy=RULED)
    is_cut(world)
    is_cut(world, gpu="gpu1")
    world.machine("wedge", gpu="gpu0")
    gpu = until(lambda: world.gpu() if world.gpu()["state"] == "wedged" else None, "it is wedged")
    assert "WEDGED=rebind" in gpu["reason"] and "bind its driver" in gpu["reason"], gpu["reason"]
    with refused(WEDGED, "WEDGED"):
        world.apply(2)
    with refused(CONFLICT, "wedged"):
        world.call("vf.assign", vm="trainer-1", vf="gpu0/vf1")
    world.call("vf.assign", vm="trainer-1", wait_seconds=60)
    equal(world.vm("trainer-1")["vfs"], ["gpu1/vf1"], "what it is given")
    world.machine("unbind-driver", gpu="gpu0")
    world.machine("bind-driver", gpu="gpu0")
    is_cut(world)


@test
def overflow():
    """Events that were lost are made up for by a look at everything."""
    world = World({"gpus": [{"model": "Flex 170", "count": 2}]}, policy=RULED)
    is_cut(world)
    is_cut(world, gpu="gpu1")
    world.machine("set-numvfs", gpu="gpu1", value=0, silent=True)
    equal(world.gpu("gpu1")["num_vfs"], 4, "nobody told")
    world.machine("overflow")
    drifted(world, "gpu1")
    equal(world.gpu("gpu1")["num_vfs"], 0)


if __name__ == "__main__":
    main()
