# SPDX-License-Identifier: GPL-2.0-or-later
"""No memory is lost: the daemon runs the whole story under valgrind and ends."""

import os
import shutil

# Under valgrind a daemon takes fifty times as long, and beside many others.
os.environ.setdefault("GPUVF_TEST_PATIENCE", "300")

from harness import BUILD, PATIENCE, Skip, World, equal, main, test  # noqa: E402

VALGRIND = ("valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect "
            "--soname-synonyms=somalloc=libjemalloc.so* "  # the daemon's malloc() is not that of the C library
            "--errors-for-leak-kinds=definite,indirect --error-exitcode=99 --child-silent-after-fork=yes")


@test
def no_leak():
    """Valgrind finds no error and no lost memory at the daemon's exit."""
    if not shutil.which("valgrind"):
        raise Skip("valgrind is not installed")
    if b"__asan_init" in (BUILD / "gpuvfd").read_bytes() or \
            b"__tsan_init" in (BUILD / "gpuvfd").read_bytes():
        raise Skip("the build has a sanitizer, which valgrind cannot run")
    os.environ["GPUVF_TEST_WRAPPER"] = VALGRIND
    world = World()
    world.apply(4)
    world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)
    number = world.submit("echo hello; mkdir out; echo x >out/x", outputs=["out/*"])
    world.until_ended(number)
    world.output(number)
    world.call("job.file", id=number, path="out/x")
    world.submit("true", hold=True)
    for method, params in (("gpu.get", {"gpu": "nope"}), ("rpc.discover", {}), ("policy.show", {}),
                           ("policy.reload", {}), ("job.list", {}), ("vm.list", {})):
        try:
            world.call(method, **params)
        except Exception:  # pylint: disable=broad-except
            pass
    with world.client() as client:
        client.send(b"{\n[1,\n")
        client.read()
    world.call("vf.release", vm="trainer-1", wait_seconds=PATIENCE)
    world.client().call("event.subscribe")
    world.apply(0)
    status = world.stop()
    del os.environ["GPUVF_TEST_WRAPPER"]
    assert "definitely lost" not in world.log(), "memory is lost"
    equal(status, 0, "exit status")


if __name__ == "__main__":
    main()
