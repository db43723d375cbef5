# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wanted against what is there, by exit code and by name."""

import json

from gpuvf_client import NOT_FOUND
from harness import PATIENCE, POLICY, World, equal, main, refused, test, until

MANAGED = {**POLICY, "gpus": [{"match": {}, "layout": "quarters"}]}


@test
def same_and_different():
    """0 while the kernel shows what is wanted, 6 when not, each difference by name; nothing is written."""
    world = World(policy=MANAGED)
    until(lambda: world.gpu()["num_vfs"] == 4 and world.gpu()["state"] == "ready", "the rule is applied")
    before = world.writes()
    equal(world.cli("assert", check=0).stdout, "gpu0: as wanted: 4 VFs (policy)\n")
    equal(world.cli("assert", "gpu0", check=0).stdout, world.cli("assert", "--all", check=0).stdout)
    answer = world.call("gpu.assert", gpu="gpu0")
    equal((answer["same"], answer["gpus"][0]["differences"], answer["gpus"][0]["layout_source"]),
          (True, [], "policy"))
    equal(world.writes(), before)
    world.machine("set-numvfs", gpu="gpu0", value=0)
    world.machine("set-numvfs", gpu="gpu0", value=4)
    drifted = world.cli("assert", check=6)
    # VFs that somebody else made have other VRAM and no time slice.
    for n in (1, 2, 3, 4):
        assert f"vf{n}" in drifted.stdout and "exec_quantum_ms" in drifted.stdout, drifted.stdout
    equal(json.loads(world.cli("-o", "json", "assert", check=6).stdout)["same"], False)
    equal(world.cli("-q", "assert", check=6).stdout, "gpu0\n")
    until(lambda: world.gpu()["drift"], "drift says the same")


@test
def nothing_wanted():
    """Nothing wanted is nothing to compare, and is said."""
    world = World()
    done = world.cli("assert", check=0)
    assert "nobody wants" in done.stdout, done.stdout
    equal(world.call("gpu.assert")["gpus"][0]["layout"], None)


@test
def not_there():
    """A GPU that is not there is refused; one that is wedged is no success."""
    world = World({"gpus": [{"model": "Flex 170", "count": 2}]})
    with refused(NOT_FOUND, field="gpu", reason="no_gpu"):
        world.call("gpu.assert", gpu="gpu9")
    world.cli("assert", "gpu9", check=5)
    world.cli("assert", "gpu0", "--all", check=2)
    world.apply(2)
    world.apply(2, gpu="gpu1")
    world.fault("sriov_numvfs", gpu="gpu0", nth=1, hang=True)
    world.call("gpu.apply", gpu="gpu0", layout={"vfs": 4})
    until(lambda: world.machine("state")["gpus"][0]["locked"], "the write hangs")
    done = world.cli("assert", check=6)
    assert "gpu1: as wanted" in done.stdout and "being cut" in done.stdout, done.stdout
    world.machine("release-hang")


def exported(world, *words):
    return json.loads(world.cli("export", *words, check=0).stdout)


def applies_without_a_write(world, document):
    """Put in force instead of all else, the document changes nothing."""
    world.write_policy(document)
    world.call("policy.reload")
    before = world.writes()
    for gpu in [gpu["name"] for gpu in world.items("gpu.list")]:
        answer = world.call("gpu.apply", gpu=gpu, policy=True, wait_seconds=PATIENCE)
        equal((answer["changed"], world.gpu(gpu)["layout_source"]), (False, "policy"))
    equal(world.writes(), before)
    equal(world.call("gpu.assert")["same"], True)


@test
def round_trip():
    """What export prints is a policy; it changes nothing here, and makes the same VFs elsewhere."""
    machine = {"gpus": [{"model": "Flex 170", "count": 2}]}
    layouts = ("quarters", {"vfs": 3, "vram": "2GiB", "exec_quantum": "20ms", "preempt_timeout": "5ms"},
               {"vfs": 5}, {"vfs": 0})
    for layout in layouts:
        world = World(machine)
        world.apply(layout)
        document = exported(world)
        equal(world.call("gpu.export"), document)
        file = world.folder / "exported.json"
        file.write_text(json.dumps(document))
        world.cli("policy", "check", str(file), check=0)
        equal([rule["match"] for rule in document["gpus"]], [{"address": world.gpu()["address"]}])
        kernel = world.machine("state")["gpus"][0]["vfs"]
        world.write_policy(document)
        world.call("policy.reload")
        before = world.writes()
        answer = world.call("gpu.apply", gpu="gpu0", policy=True, wait_seconds=PATIENCE)
        equal((answer["changed"], world.writes()), (False, before))
        equal((world.call("gpu.assert")["same"], world.gpu()["layout_source"]), (True, "policy"))
        other = World(machine, policy=document)
        until(lambda w=other: w.gpu()["state"] == "ready", "the other machine is ready")
        values = [vf["values"] for vf in other.machine("state")["gpus"][0]["vfs"]]
        equal(values, [vf["values"] for vf in kernel], f"values of {layout}")
        world.end()
        other.end()


@test
def export_keeps_wishes():
    """Shares and names stay as they were wanted; what was tuned is there; drift is told in numbers."""
    world = World(policy=MANAGED)
    until(lambda: world.gpu()["num_vfs"] == 4 and world.gpu()["state"] == "ready", "the rule is applied")
    document = exported(world)
    (profile,) = document["profiles"]
    equal((profile["name"], float(profile["vram"].rstrip("%")), profile["exec_quantum"]),
          ("quarter", 25, "20ms"))
    equal(document["layouts"], [{"name": "quarters", "slices": [{"profile": "quarter", "count": 4}]}])
    world.call("vf.tune", vf="gpu0/vf2", exec_quantum_ms=30)
    document = exported(world, "gpu0")
    equal(len(document["profiles"]), 2)
    applies_without_a_write(world, document)
    world.machine("set-numvfs", gpu="gpu0", value=0)
    world.machine("set-numvfs", gpu="gpu0", value=2)
    until(lambda: world.gpu()["num_vfs"] == 2, "it is seen")
    document = exported(world)
    equal(sum(s["count"] for s in document["layouts"][0]["slices"]), 2)
    assert "%" not in json.dumps(document["profiles"]), document
    applies_without_a_write(world, document)


@test
def export_keeps_the_rule():
    """What else a rule says of its cards stands in the document too."""
    rule = {**MANAGED["gpus"][0], "heal": False, "reuse": "same-user"}
    world = World(policy={**MANAGED, "gpus": [rule]})
    until(lambda: world.gpu()["num_vfs"] == 4 and world.gpu()["state"] == "ready", "the rule is applied")
    document = exported(world)
    (rule,) = document["gpus"]
    equal((rule["heal"], rule["reuse"]), (False, "same-user"))
    applies_without_a_write(world, document)
    equal(exported(world)["gpus"], document["gpus"])


@test
def export_leaves_out():
    """GPUs that nobody wants cut are left out; one that is not there is refused."""
    world = World({"gpus": [{"model": "Flex 170", "count": 2}]})
    document = exported(world)
    equal((document["version"], document["gpus"], document["layouts"]), (1, [], []))
    equal(len(exported(world, "gpu1")["gpus"]), 1)
    with refused(NOT_FOUND, field="gpu", reason="no_gpu"):
        world.call("gpu.export", gpu="gpu9")
    world.cli("export", "gpu9", check=5)


if __name__ == "__main__":
    main()
