# SPDX-License-Identifier: GPL-2.0-or-later
"""Draining a GPU: nobody new, nothing taken from anybody, and what waits goes on by itself."""

import os
import signal
import subprocess

from gpuvf_client import CONFLICT, NOT_FOUND, NO_FIT
from harness import BUILD, MACHINE, PATIENCE, World, equal, main, refused, test, until


def operation(world, name):
    return world.call("operation.get", operation=name)


def assign(world, vm="trainer-1", **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def release(world, vm="trainer-1"):
    return world.call("vf.release", vm=vm, wait_seconds=PATIENCE)


def until_done(world, name):
    return until(lambda: operation(world, name)["state"] == "done", f"{name} is done")


@test
def nobody_new():
    """A drained GPU takes no VM and no job, over restarts, until it is undrained."""
    world = World()
    world.apply(2)
    equal(world.call("gpu.drain", gpu="gpu0", wait_seconds=PATIENCE)["changed"], True)
    job = world.submit("true")
    for _ in range(2):
        gpu = world.gpu()
        equal(gpu["state"], "draining")
        equal((gpu["drain"]["asked"], gpu["drain"]["holders"]), (True, []))
        with refused(NO_FIT, "draining"):
            assign(world)
        with refused(CONFLICT, "undrain", reason="draining", field="vf"):
            assign(world, vf="gpu0/vf1")
        until(lambda: "draining" in (world.job(job)["reason"] or ""), "the job says why it waits")
        world.crash_and_restart()
    equal(world.call("gpu.drain", gpu="gpu0")["changed"], False)
    equal(world.call("gpu.undrain", gpu="gpu0")["changed"], True)
    equal(world.gpu()["drain"], None)
    world.until_ended(job)
    equal(world.call("gpu.undrain", gpu="gpu0")["changed"], False)
    states = [(row["method"], row["after"]["state"]) for row in world.items("audit.list")
              if row["method"] in ("gpu.drain", "gpu.undrain") and row["outcome"] == "changed"]
    equal(sorted(states), [("gpu.drain", "done"), ("gpu.drain", "draining"), ("gpu.undrain", "ready")],
          "the audit trail")


@test
def waits():
    """It waits for a VM, a job and a VM that is off, tells of each that leaves, and takes nothing."""
    world = World({"vms": MACHINE["vms"] + [{"name": "off", "state": "off"}]})
    world.apply(3)
    assign(world, vf="gpu0/vf1")
    assign(world, vm="off", vf="gpu0/vf2")
    flag = world.folder / "go"
    job = world.submit(f"while [ ! -e {flag} ]; do sleep 0.05; done", run_in={"vm": "trainer-2"})
    world.until_job(job, "running")
    watcher = world.client()
    watcher.call("event.subscribe", types=["gpu.changed"])
    answer = world.call("gpu.drain", gpu="gpu0")
    equal(len(answer["holders"]), 3)
    text = " ".join(answer["holders"])
    user = "root" if os.getuid() == 0 else f"uid {os.getuid()}"
    for word in ("VM trainer-1", f"job {job} of {user} in VM ", "gpuvf release off --config"):
        assert word in text, text
    name = answer["operation"]
    flag.touch()
    world.until_ended(job)
    release(world)
    equal(operation(world, name)["state"], "running")
    equal(operation(world, name)["result"]["holders"], [world.gpu()["drain"]["holders"][0]])
    world.cli("release", "off", "--config", check=0)
    until_done(world, name)
    left = []
    while len(left) < 3:
        event = watcher.next_event()
        left += [event["left"]] if "left" in event else []
    equal(sorted(left), sorted(["gpu0/vf1: VM trainer-1", "gpu0/vf2: VM off", f"gpu0/vf3: job {job} of {user} in VM trainer-2"]))
    equal(world.gpu()["state"], "draining")


@test
def killed():
    """kill -9 in the middle of a drain: the next daemon goes on waiting, and lets nobody in."""
    world = World()
    world.apply(2)
    assign(world)
    name = world.call("gpu.drain", gpu="gpu0")["operation"]
    for _ in range(3):
        world.crash_and_restart()
        equal(world.gpu()["state"], "draining")
        with refused(NO_FIT):
            assign(world, vm="trainer-2")
        equal(operation(world, name)["state"], "running")
    release(world)
    until_done(world, name)
    equal(world.gpu()["state"], "draining")


@test
def apply_waits():
    """apply with drain waits for the holder, cuts, and is ready for others again."""
    world = World()
    world.apply(2)
    assign(world)
    answer = world.call("gpu.apply", gpu="gpu0", layout={"vfs": 4}, drain=True, wait_seconds="200ms")
    equal(answer["operation_state"], "accepted")
    equal(answer["holders"], ["gpu0/vf1: VM trainer-1 (attached)"])
    equal(world.gpu()["num_vfs"], 2)
    equal(world.gpu()["drift"], None)
    with refused(CONFLICT, "cancel", reason="draining"):
        world.apply(3)
    with refused(CONFLICT, "cancel", reason="apply_waits"):
        world.call("gpu.undrain", gpu="gpu0")
    release(world)
    until_done(world, answer["operation"])
    gpu = world.gpu()
    equal((gpu["state"], gpu["num_vfs"], gpu["drain"]), ("ready", 4, None))
    assign(world)
    equal(world.writes()["sriov_numvfs_while_held"], 0)


@test
def apply_killed():
    """kill -9 while an apply waits: the next daemon waits on and then cuts."""
    world = World()
    world.apply(2)
    assign(world)
    name = world.call("gpu.apply", gpu="gpu0", layout={"vfs": 4}, drain=True)["operation"]
    world.crash_and_restart()
    equal((world.gpu()["state"], world.gpu()["num_vfs"]), ("draining", 2))
    release(world)
    until_done(world, name)
    equal((world.gpu()["state"], world.gpu()["num_vfs"]), ("ready", 4))
    equal(world.writes()["sriov_numvfs_while_held"], 0)


@test
def apply_cancelled():
    """A waiting apply that is cancelled changes nothing: layout, owner and holders are as before."""
    world = World()
    world.apply(2)
    assign(world)
    writes = world.writes()
    name = world.call("gpu.apply", gpu="gpu0", layout={"vfs": 4}, drain=True)["operation"]
    world.call("operation.cancel", operation=name)
    until(lambda: operation(world, name)["state"] == "cancelled", "it is cancelled")
    gpu = world.gpu()
    equal((gpu["state"], gpu["num_vfs"], len(gpu["layout"]["vfs"]), gpu["drift"]), ("ready", 2, 2, None))
    equal(world.writes(), writes)
    equal(world.vf("gpu0/vf1")["state"], "attached")


@test
def stays_drained():
    """A GPU that was drained by hand is drained after its apply too."""
    world = World()
    world.apply(2)
    world.call("gpu.drain", gpu="gpu0", wait_seconds=PATIENCE)
    world.apply(4, drain=True)
    equal((world.gpu()["state"], world.gpu()["num_vfs"]), ("draining", 4))
    world.call("gpu.undrain", gpu="gpu0")
    equal(world.gpu()["state"], "ready")


@test
def plan_is_checked_again():
    """A plan that was looked at holds to the first write: what changes while it waits refuses it."""
    world = World()
    world.apply(2)
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4})
    equal((plan["disturbs"], plan["layout_source"], plan["pinned"]), ([], "manual", False))
    assign(world)
    plan = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4})
    equal(plan["disturbs"], ["gpu0/vf1: VM trainer-1 (attached)"])
    world.machine("hold", gpu="gpu0", vf=2)
    disturbs = world.call("gpu.plan", gpu="gpu0", layout={"vfs": 4})["disturbs"]
    equal(len(disturbs), 2)
    assert "gpu0/vf2: process media-server" in disturbs[1], disturbs
    world.machine("unhold", gpu="gpu0", vf=2)
    name = world.call("gpu.apply", gpu="gpu0", layout={"vfs": 4}, drain=True,
                      plan=plan["hash"])["operation"]
    release(world)
    until_done(world, name)
    equal(world.gpu()["num_vfs"], 4)


@test
def no_such_gpu():
    """What cannot be drained is refused."""
    world = World()
    for method in ("gpu.drain", "gpu.undrain"):
        with refused(NOT_FOUND, "gpu9", field="gpu", reason="no_gpu"):
            world.call(method, gpu="gpu9")


@test
def command_line():
    """gpuvf drain tells for whom it waits, how it goes on, and ends when the last has left."""
    world = World()
    world.apply(2)
    assign(world)
    late = world.cli("drain", "gpu0", "--wait", "100ms", check=7)
    assert "VM trainer-1" in late.stderr and "gpuvf cancel op/" in late.stderr, late.stderr
    name = world.gpu()["drain"]["operation"]
    at_once = world.cli("drain", "gpu0", "--wait", "0s", check=0)
    assert name in at_once.stdout, at_once.stdout
    world.cli("cancel", name, check=0)
    until(lambda: world.gpu()["state"] == "ready", "it is ready again")
    with subprocess.Popen([str(BUILD / "gpuvf"), "drain", "gpu0"], stderr=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE, env=world.environment()) as waiting:
        equal(waiting.stderr.readline().strip().split(" ", 1)[1],
              "waits for gpu0/vf1: VM trainer-1 (attached)")
        until(lambda: world.gpu()["state"] == "draining", "it is draining")
        release(world)
        out, err = waiting.communicate(timeout=PATIENCE)
        equal((waiting.returncode, out, err), (0, "gpu0 is drained\n", ""))
    world.cli("undrain", "gpu0", check=0)
    assign(world)
    held = world.cli("apply", "gpu0", "--vfs", "3", check=6)
    assert "--drain" in held.stderr, held.stderr
    with subprocess.Popen([str(BUILD / "gpuvf"), "apply", "gpu0", "--vfs", "3", "--drain"],
                          stderr=subprocess.PIPE, text=True, stdout=subprocess.PIPE,
                          env=world.environment()) as waiting:
        assert "VM trainer-1" in waiting.stderr.readline()
        # Ctrl-C leaves it to the daemon, and says how to find it again.
        until(lambda: any("SigCgt" in line and int(line.split()[1], 16) & 2
                          for line in open(f"/proc/{waiting.pid}/status", encoding="ascii")),
              "it catches Ctrl-C")
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=PATIENCE)
        equal(waiting.returncode, 130)
        assert "continues; gpuvf wait op/" in err, err
    release(world)
    until(lambda: world.gpu()["num_vfs"] == 3, "the apply goes on")


@test
def all_gpus():
    """apply --all goes on when one GPU refuses, says which, and ends with the code of the worst."""
    world = World({"gpus": [{"model": "Flex 170", "count": 3}]})
    world.apply(2, gpu="gpu1")
    assign(world, gpu="gpu1")
    done = world.cli("apply", "--all", "--vfs", "3", check=6)
    equal(done.stdout, "gpu0: 3 VFs\ngpu2: 3 VFs\n")
    assert "gpu1 was not cut" in done.stderr and "1 of 3" in done.stderr, done.stderr
    assert "VM trainer-1" in done.stderr, done.stderr
    equal([world.gpu(f"gpu{n}")["num_vfs"] for n in range(3)], [3, 2, 3])


if __name__ == "__main__":
    main()
