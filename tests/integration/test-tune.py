# SPDX-License-Identifier: GPL-2.0-or-later
"""Scheduling values of VFs while they are in use, by hand and by the weight of queues; resets."""

from gpuvf_client import CONFLICT, INVALID_PARAMS, NOT_FOUND, UNSUPPORTED
from harness import PATIENCE, POLICY, World, equal, main, refused, test, until

MANAGED = {**POLICY, "gpus": [{"match": {}, "layout": "quarters"}]}
WEIGHTED = {
    **POLICY,
    "queues": [{"name": "light", "default": True, "weight": 1}, {"name": "heavy", "weight": 3}],
    "scheduling": {"quantum_by_weight": True},
}


def quanta(world):
    """What the kernel has, VF by VF."""
    return [vf["values"]["exec_quantum_ms"] for vf in world.machine("state")["gpus"][0]["vfs"]]


def tune(world, **params):
    return world.call("vf.tune", **params)


@test
def in_use():
    """A VF in use is tuned, read back, written once; the layout takes the values over."""
    world = World()
    world.apply(2)
    world.call("vf.assign", vm="trainer-1", vf="gpu0/vf1", wait_seconds=PATIENCE)
    before = world.writes()["vf_attributes"]
    answer = tune(world, vf="gpu0/vf1", exec_quantum_ms=20, preempt_timeout_us="5ms")
    equal((answer["changed"], answer["values"], answer["kept"], answer["pinned"]),
          (True, {"exec_quantum_ms": 20, "preempt_timeout_us": 5000}, True, False))
    vf = world.vf("gpu0/vf1")
    equal((vf["exec_quantum_ms"], vf["preempt_timeout_us"], vf["state"]), (20, 5000, "attached"))
    equal(quanta(world), [20, 0])
    equal(world.writes()["vf_attributes"], before + 2)
    equal(tune(world, vf="gpu0/vf1", exec_quantum_ms="20ms")["changed"], False)
    equal(world.writes()["vf_attributes"], before + 2, "writes of what is so already")
    equal(world.gpu()["drift"], None)
    equal([vf["exec_quantum_ms"] for vf in world.gpu()["layout"]["vfs"]], [20, None])
    rows = [row for row in world.items("audit.list") if row["method"] == "vf.tune" and row["subject"] == "gpu0"]
    equal([row["after"]["manual_layout"][0]["exec_quantum_ms"] for row in rows], [20], "the audit trail")


@test
def kept():
    """A tuned value is no drift, survives kill -9, and is written again after each enable."""
    world = World(policy=MANAGED)
    until(lambda: world.gpu()["num_vfs"] == 4 and world.gpu()["state"] == "ready", "the rule is applied")
    answer = tune(world, vf="gpu0/vf3", exec_quantum_ms=30)
    equal((answer["layout_source"], answer["pinned"]), ("manual", True))
    world.crash_and_restart()
    equal((world.gpu()["drift"], world.gpu()["pinned"]), (None, True))
    world.machine("set-numvfs", gpu="gpu0", value=0)
    until(lambda: world.gpu()["drift"], "the drift is seen")
    world.call("gpu.apply", gpu="gpu0", wait_seconds=PATIENCE)
    equal(quanta(world), [20, 20, 30, 20])
    equal(world.call("gpu.apply", gpu="gpu0", wait_seconds=PATIENCE)["changed"], False)
    world.call("gpu.apply", gpu="gpu0", policy=True, wait_seconds=PATIENCE)
    equal((quanta(world), world.gpu()["pinned"]), ([20, 20, 20, 20], False))


@test
def refusals():
    """What is fixed, unknown or not this way's is refused with the way out, and nothing is written."""
    world = World()
    world.apply(2)
    before = world.writes()
    for member, value in (("vram_bytes", "4GiB"), ("ggtt_bytes", "1GiB"), ("contexts", 64), ("doorbells", 8)):
        with refused(UNSUPPORTED, "apply", field=member, reason="fixed"):
            tune(world, vf="gpu0/vf1", **{member: value})
    with refused(INVALID_PARAMS, "vf"):
        tune(world, exec_quantum_ms=20)
    with refused(INVALID_PARAMS, "exec_quantum_ms"):
        tune(world, vf="gpu0/vf1")
    with refused(INVALID_PARAMS, "whole milliseconds", field="exec_quantum_ms"):
        tune(world, vf="gpu0/vf1", exec_quantum_ms="1500us")
    with refused(INVALID_PARAMS, field="exec_quantum_ms"):
        tune(world, vf="gpu0/vf1", exec_quantum_ms=100001)
    with refused(INVALID_PARAMS, "low", field="priority"):
        tune(world, vf="gpu0/vf1", priority="high")
    with refused(NOT_FOUND, reason="no_vf"):
        tune(world, vf="gpu0/vf9", exec_quantum_ms=20)
    with refused(NOT_FOUND, reason="no_gpu"):
        tune(world, gpu="gpu9", exec_quantum_ms=20)
    with refused(UNSUPPORTED, "gpuvf tune gpu0 --priority normal", field="priority", reason="bulk_only"):
        tune(world, vf="gpu0/vf1", priority="normal")
    equal(world.writes(), before)
    plain = World({"gpus": [{"model": "Flex 170", "sriov_admin": False}]})
    plain.apply(2)
    with refused(UNSUPPORTED, "generic", field="exec_quantum_ms", reason="no_such_knob"):
        tune(plain, vf="gpu0/vf1", exec_quantum_ms=20)


@test
def all_at_once():
    """A GPU's name means all of its VFs."""
    world = World()
    world.apply(3)
    equal(tune(world, gpu="gpu0", exec_quantum_ms=15)["values"], {"exec_quantum_ms": 15})
    equal(quanta(world), [15, 15, 15])
    before = world.writes()["bulk_attributes"]
    equal(tune(world, gpu="gpu0", priority="normal")["values"], {"priority": "normal"})
    equal(world.writes()["bulk_attributes"], before + 1, "one write for all")
    equal([vf["priority"] for vf in world.gpu()["vfs"]], ["normal"] * 3)
    equal((tune(world, gpu="gpu0", priority="normal")["changed"], world.gpu()["drift"]), (False, None))
    # Written again when the VFs come back.
    world.machine("set-numvfs", gpu="gpu0", value=0)
    until(lambda: world.gpu()["drift"], "the drift is seen")
    world.call("gpu.apply", gpu="gpu0", wait_seconds=PATIENCE)
    equal([vf["priority"] for vf in world.gpu()["vfs"]], ["normal"] * 3)
    equal(quanta(world), [15, 15, 15])


@test
def undone():
    """When the second value is refused by the kernel, the first is as before."""
    world = World()
    world.apply(2)
    world.fault("preempt_timeout_us", gpu="gpu0", nth=1, error="EIO")
    with refused(-32007, "preempt_timeout_us"):
        tune(world, vf="gpu0/vf1", exec_quantum_ms=20, preempt_timeout_us=5000)
    equal(quanta(world), [0, 0])
    equal(world.gpu()["drift"], None)


@test
def by_weight():
    """Jobs share a GPU's time by the weights of their queues; afterwards everything is as before."""
    world = World({"vms": [{"name": "trainer-%d", "count": 3}]}, policy=WEIGHTED)
    world.apply({"vfs": 3, "exec_quantum": "10ms"})
    flag = world.folder / "go"

    def job(queue, vm, name):
        return world.submit(f"while [ ! -e {flag}-{name} ]; do sleep 0.05; done", queue=queue, run_in={"vm": vm})

    light = job("light", "trainer-1", "light")
    world.until_job(light, "running")
    until(lambda: sorted(quanta(world)) == [10, 10, 10], "alone it has the base")
    heavy = job("heavy", "trainer-2", "heavy")
    world.until_job(heavy, "running")
    until(lambda: sorted(quanta(world)) == [5, 10, 15], "10 ms × 1 × 2 ÷ 4 and 10 ms × 3 × 2 ÷ 4")
    vfs = {vf["name"]: vf["exec_quantum_ms"] for vf in world.gpu()["vfs"]}
    equal((vfs[world.job(light)["vfs"][0]], vfs[world.job(heavy)["vfs"][0]]), (5, 15))
    before = world.writes()
    equal((world.gpu()["drift"], world.call("gpu.assert", gpu="gpu0")["same"]), (None, True))
    equal(world.call("gpu.apply", gpu="gpu0", wait_seconds=PATIENCE)["changed"], False)
    equal(world.writes(), before, "an apply of what is so")
    equal([vf["exec_quantum_ms"] for vf in world.gpu()["layout"]["vfs"]], [10, 10, 10], "what is wanted")

    world.crash_and_restart()
    until(lambda: world.job(heavy)["state"] == "running", "it is followed again")
    equal((sorted(quanta(world)), world.gpu()["drift"]), ([5, 10, 15], None))
    (world.folder / "go-heavy").touch()
    world.until_ended(heavy)
    until(lambda: quanta(world) == [10, 10, 10], "one is alone, the other is over")
    (world.folder / "go-light").touch()
    world.until_ended(light)
    equal((quanta(world), world.gpu()["drift"]), ([10, 10, 10], None))


@test
def by_weight_ended_meanwhile():
    """A job that ends while no daemon runs leaves no time slice behind; without a base it is 20 ms."""
    world = World({"vms": [{"name": "trainer-%d", "count": 2}]}, policy=WEIGHTED)
    world.apply(2)
    flag = world.folder / "go"
    jobs = [world.submit(f"while [ ! -e {flag} ]; do sleep 0.05; done", queue=queue, run_in={"vm": vm})
            for queue, vm in (("light", "trainer-1"), ("heavy", "trainer-2"))]
    for job in jobs:
        world.until_job(job, "running")
    until(lambda: sorted(quanta(world)) == [10, 30], "20 ms × 1 × 2 ÷ 4 and 20 ms × 3 × 2 ÷ 4")
    world.kill()
    flag.touch()
    world.start()
    for job in jobs:
        world.until_ended(job)
    until(lambda: quanta(world) == [0, 0], "no limit, as before the jobs")
    equal(world.gpu()["drift"], None)


@test
def reset():
    """A free VF is reset; one that is held is refused."""
    world = World()
    world.apply(2)
    equal(world.call("vf.reset", vf="gpu0/vf1", wait_seconds=PATIENCE)["changed"], True)
    equal((world.writes()["reset"], world.vf("gpu0/vf1")["state"]), (1, "free"))
    world.call("vf.assign", vm="trainer-1", vf="gpu0/vf1", wait_seconds=PATIENCE)
    with refused(CONFLICT, "trainer-1", "release", reason="held", field="vf"):
        world.call("vf.reset", vf="gpu0/vf1")
    with refused(NOT_FOUND, reason="no_vf"):
        world.call("vf.reset", vf="gpu0/vf9")
    equal(world.writes()["reset"], 1)


@test
def command_line():
    """gpuvf tune and gpuvf reset, and what they refuse."""
    world = World()
    world.apply(2)
    done = world.cli("tune", "gpu0/vf1", "--quantum", "20ms", "--preempt-timeout", "5ms", check=0)
    equal(done.stdout, "gpu0/vf1: exec_quantum_ms 20\ngpu0/vf1: preempt_timeout_us 5000\n")
    again = world.cli("tune", world.vf("gpu0/vf1")["address"], "--quantum", "20ms", check=0)
    assert "nothing was changed" in again.stdout, again.stdout
    world.cli("tune", "gpu0", "--quantum", "10ms", check=0)
    equal(quanta(world), [10, 10])
    world.cli("tune", "gpu0/vf1", check=2)
    fixed = world.cli("tune", "gpu0/vf1", "--vram", "4GiB", check=10)
    assert "fixed" in fixed.stderr and "apply" in fixed.stderr, fixed.stderr
    one = world.cli("tune", "gpu0/vf1", "--priority", "normal", check=10)
    assert "gpuvf tune gpu0 --priority normal" in one.stderr, one.stderr
    equal(world.cli("tune", "gpu0", "--priority", "normal", check=0).stdout, "gpu0: priority normal\n")
    equal(world.cli("reset", "gpu0/vf1", check=0).stdout, "gpu0/vf1 was reset and answers\n")


if __name__ == "__main__":
    main()
