# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wanted against what is there, by exit code and by name."""

import json

from gpuvf_client import NOT_FOUND
from harness import POLICY, World, equal, main, refused, test, until

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


if __name__ == "__main__":
    main()
