# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs: queue, order, running in a guest, output, progress, files, stopping, refusals."""

import base64
import json

from gpuvf_client import CONFLICT, INVALID_DOCUMENT, INVALID_PARAMS, NO_FIT, NOT_PERMITTED, RpcError
from harness import MACHINE, POLICY, World, equal, main, refused, test, until


def one_vf(**more):
    world = World(**more)
    world.apply(1)
    return world


@test
def runs():
    """A job runs in a VM with a VF, and leaves both as they were."""
    world = one_vf()
    number = world.submit("echo hello from $GPUVF_JOB_ID attempt $GPUVF_ATTEMPT; echo bad >&2")
    job = world.until_ended(number)
    equal((job["exit_code"], job["attempt"], job["state"]), (0, 1, "ended"))
    equal(world.output(number), f"hello from {number} attempt 1\n")
    equal(world.output(number, "stderr"), "bad\n")
    for member in ("submitted_at", "started_at", "ended_at"):
        assert job[member], f"{member} is missing"
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "the VF is free")


@test
def environment():
    """The job sees where it runs and what it has."""
    world = one_vf()
    number = world.submit('echo "$GPUVF_VF|$GPUVF_VRAM_BYTES|$GPUVF_RESUME|$FOO|$GPUVF_DEVICE"; '
                          'test -d "$GPUVF_CHECKPOINT_DIR"', env={"FOO": "a b"})
    world.until_ended(number)
    vf, vram, resume, foo, device = world.output(number).rstrip("\n").split("|")
    equal((vf, resume, foo), ("gpu0/vf1", "0", "a b"))
    equal(int(vram), world.vf("gpu0/vf1")["vram_bytes"])
    assert device, "no device is named"


@test
def failing():
    """A command that fails: result, exit code; a command that is killed: its signal."""
    world = one_vf()
    number = world.submit("exit 7")
    equal(world.until_ended(number, "failed")["exit_code"], 7)
    number = world.submit("kill -SEGV $$")
    job = world.until_ended(number, "failed")
    assert job["signal"] == "SIGSEGV" or job["exit_code"] == 139, job


@test
def priorities():
    """With one VF jobs run one after the other, by priority, then by age."""
    world = one_vf()
    first = world.submit("while ! test -e ../../go; do sleep 0.02; done; true", name="first")
    world.until_job(first, "running")
    low = world.submit("true", priority=-50)
    middle = world.submit("true")
    late = world.submit("true")
    high = world.submit("true", priority=50)
    equal(world.job(low)["state"], "queued")
    assert world.job(low)["reason"], "nobody says why it waits"
    world.call("job.cancel", id=first)
    for number in (low, middle, late, high):
        world.until_ended(number)
    began = sorted((low, middle, late, high), key=lambda n: world.job(n)["started_at"])
    equal(began, [high, middle, late, low])


@test
def two_at_once():
    """Two VFs and two VMs run two jobs side by side."""
    world = World()
    world.apply(2)
    command = "while sleep 0.05; do :; done"
    numbers = [world.submit(command), world.submit(command)]
    jobs = [world.until_job(n, "running") for n in numbers]
    equal(len({j["vm"] for j in jobs}), 2)
    equal(len({tuple(j["vfs"]) for j in jobs}), 2)
    for number in numbers:
        world.call("job.cancel", id=number)
        world.until_ended(number, "cancelled")


@test
def smallest_vf():
    """A job gets the smallest VF that is large enough."""
    policy = {**POLICY, "layouts": [], "profiles": [{"name": "small", "vram": "1GiB"}, {"name": "large", "vram": "6GiB"}]}
    world = World(policy=policy)
    world.apply({"slices": [{"profile": "large", "count": 1}, {"profile": "small", "count": 2}]})
    number = world.submit("echo $GPUVF_VRAM_BYTES", vram="2GiB")
    equal(world.until_ended(number)["vfs"], ["gpu0/vf1"])
    number = world.submit("echo $GPUVF_VRAM_BYTES")
    world.until_ended(number)
    equal(world.output(number).strip(), str(1 << 30))


@test
def progress():
    """Progress lines of the job become the job's progress and events."""
    world = one_vf()
    listener = world.client()
    listener.call("event.subscribe", types=["job.progress"])
    script = ('for s in 1 2 3; do echo "{\\"step\\": $s, \\"total\\": 3, \\"loss\\": $s.5}"; '
              'sleep 0.3; done')
    number = world.submit(script, progress="jsonl")
    event = listener.next_event()
    equal((event["type"], str(event["subject"]).rsplit("/", 1)[-1]), ("job.progress", number))
    job = world.until_ended(number)
    equal(job["progress"], {**job["progress"], "step": 3, "total": 3, "loss": 3.5})


@test
def wild_progress():
    """Progress lines that are nonsense are output and nothing more."""
    world = one_vf()
    lines = ['{"step": -1}', '{"step": 1e400, "loss": "NaN"}', "[[[[", '{"loss": null}', "{" * 3000,
             '{"step": 5, "loss": 0.5}']
    number = world.submit("\n".join(f"echo '{line}'" for line in lines), progress="jsonl")
    job = world.until_ended(number)
    equal((job["progress"]["step"], job["progress"]["loss"]), (5, 0.5))


@test
def logs_by_offset():
    """Output is read by offset, piece by piece, while it grows; binary comes as base64."""
    world = one_vf()
    number = world.submit("seq 1 100000; printf '\\377\\000'")
    world.until_ended(number)
    piece = world.call("job.logs", id=number, offset=0, limit=100)
    equal((piece["encoding"], piece["offset"]), ("utf-8", 0))
    assert 0 < piece["next"] <= 100
    size = sum(len(str(n)) + 1 for n in range(1, 100001))
    piece = world.call("job.logs", id=number, offset=size)
    equal((piece["encoding"], piece["data"], piece["eof"]), ("base64", "/wA=", True))
    piece = world.call("job.logs", id=number, offset=size + 1000)
    equal((piece["data"], piece["eof"]), ("", True))


@test
def output_limit():
    """Output beyond the limit is dropped, and that is said; the job goes on."""
    world = one_vf(config={"retention": {"output_per_attempt": "64KiB"}})
    number = world.submit("head -c 1000000 /dev/zero | tr '\\0' x; echo end >&2")
    world.until_ended(number)
    assert len(world.output(number)) <= 65536 + 4096
    equal(world.call("job.logs", id=number, offset=0)["truncated"], True)
    equal(world.output(number, "stderr"), "end\n")


@test
def cancel_queued():
    """A job that waits is cancelled at once; again is no change."""
    world = World()
    number = world.submit("true", hold=True)
    equal(world.call("job.cancel", id=number)["changed"], True)
    world.until_ended(number, "cancelled")
    equal(world.call("job.cancel", id=number)["changed"], False)


@test
def cancel_running():
    """A running job gets its signal and may tidy up."""
    world = one_vf()
    number = world.submit("trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.05; done",
                          checkpoint={"signal": "SIGTERM", "grace": "30s"})
    world.until_job(number, "running")
    until(lambda: "up" in world.output(number), "it is up")
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")
    assert "tidy" in world.output(number), world.output(number)


@test
def cancel_stubborn():
    """One that ignores the signal is killed after the grace, with all its processes."""
    world = one_vf()
    number = world.submit("trap '' TERM; echo up; sleep 1000 & while :; do sleep 0.05; done",
                          checkpoint={"grace": "1s"})
    until(lambda: "up" in world.output(number), "it is up")
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "the VF is free")


@test
def time_limit():
    """A job past its time limit is stopped: result timeout."""
    world = one_vf()
    number = world.submit("sleep 1000", time_limit="1s", checkpoint={"grace": "1s"})
    world.until_ended(number, "timeout")


@test
def outputs():
    """Files that match `outputs` are collected and can be read."""
    world = one_vf()
    number = world.submit("mkdir -p out/deep; echo one >out/a; echo two >out/deep/b; echo no >c; "
                          "ln -s /etc/passwd out/link", outputs=["out/**"])
    world.until_ended(number)
    listing = json.dumps(world.call("job.file", id=number))
    assert "out/a" in listing and "out/deep/b" in listing, listing
    assert '"c"' not in listing, listing
    piece = world.call("job.file", id=number, path="out/deep/b")
    text = piece["data"] if piece["encoding"] == "utf-8" else base64.b64decode(piece["data"]).decode()
    equal((text, piece["eof"]), ("two\n", True))
    for path in ("c", "../stdout", "/etc/passwd", "out/../../stdout", "out/link"):
        try:
            data = world.call("job.file", id=number, path=path)["data"]
        except RpcError:
            continue
        raise AssertionError(f"{path} gave {data[:40]!r}")


@test
def not_open():
    """A job for a VM that no rule opens is refused, naming the rule that is missing."""
    world = World({"vms": MACHINE["vms"] + [{"name": "private"}]})
    world.apply(1)
    with refused(NOT_PERMITTED, "private"):
        world.submit("true", run_in={"vm": "private"})
    with refused(-32002, "nobody"):
        world.submit("true", run_in={"vm": "nobody"})
    equal(world.items("job.list", ended=True), [])


@test
def no_run_as():
    """A VM rule without run_as runs nothing: no user was named."""
    world = World(policy={**POLICY, "vms": [{"match": "trainer-*", "allow": ["everyone"]}]})
    world.apply(1)
    with refused(NOT_PERMITTED, "run_as"):
        world.submit("true", run_in={"vm": "trainer-1"})
    with refused(NOT_PERMITTED):
        world.submit("true")
    equal(world.items("job.list", ended=True), [])


@test
def never_fits():
    """A job that no VF can ever hold is refused or says so while it waits."""
    world = one_vf()
    try:
        number = world.submit("true", vram="100GiB")
    except RpcError as error:
        equal(error.code, NO_FIT)
        return
    job = world.job(number)
    equal(job["state"], "queued")
    assert job["reason"], "nobody says why it waits"


@test
def bad_documents():
    """Job documents with a fault are refused with its place; nothing is queued."""
    world = World()
    good = {"version": 1, "command": ["true"]}
    for change in ({"version": 2}, {"command": []}, {"command": "true"}, {"command": [1]},
                   {"colour": "red"}, {"priority": "high"}, {"priority": 1000},
                   {"shell": "true"}, {"env": {"A=B": "c"}}, {"env": {"A": 1}},
                   {"time_limit": "5"}, {"time_limit": "-5s"}, {"vram": "4G"},
                   {"files": [{"from": "x"}]}, {"files": [{"from": "x", "to": "../x"}]},
                   {"outputs": ["/etc/*"]}, {"checkpoint": {"signal": "SIGNOPE"}},
                   {"run_in": {"vm": "a", "vms": "b"}}, {"retries": -1}, {"queue": "nope"},
                   {"name": "x" * 5000}):
        try:
            world.call("job.submit", job={**good, **change})
        except RpcError as error:
            assert error.code in (INVALID_DOCUMENT, INVALID_PARAMS, NOT_PERMITTED, -32002, -32009), \
                f"{change}: {error}"
            word = next(iter(change))
            text = f"{error.message} {error.data}"
            assert word in text or str(change[word])[:20] in text, f"{change}: {text}"
        else:
            raise AssertionError(f"{change} was taken")
    equal(world.items("job.list", ended=True), [])


@test
def hold():
    """A held job does not start until it is let go; one that runs cannot be held."""
    world = World()
    world.apply(1)
    number = world.submit("true", hold=True)
    equal(world.job(number)["state"], "held")
    equal(world.call("job.unhold", id=number), {"changed": True, "state": "queued"})
    equal(world.until_ended(number)["result"], "succeeded")
    with refused(CONFLICT, "ended"):
        world.call("job.hold", id=number)
    equal(world.call("job.unhold", id=number)["changed"], False)


@test
def attach_fails_and_stays():
    """The attach of a job's VF fails, and its guest does not let go of what it may have: the VF is that VM's from then on, by
    no job's name, and the job runs with another."""
    world = World()
    world.apply(2)
    world.fault("attach", nth=1, error="failed")
    world.fault("detach", nth=1, error="guest-refused", message="the guest kept it")
    number = world.submit("sleep 1000")
    job = world.until_job(number, "running")
    rows = [row["after"] for row in world.items("audit.list") if row["after"] and row["subject"].startswith("gpu0/vf")]
    assert [row for row in rows if row.get("state") == "attached" and row.get("owner") == "vm"], rows
    held = [vf for vf in world.items("vf.list") if vf["lease"] and vf["name"] not in job["vfs"]]
    assert all(vf["lease"]["owner"] == "vm" for vf in held), held
    for vf in held:
        world.call("vf.release", vf=vf["name"], wait_seconds=10)
    equal(world.job(number)["state"], "running")
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")
    until(lambda: all(vf["state"] == "free" for vf in world.items("vf.list")), "all are free")


@test
def dry_run():
    """dry_run checks and queues nothing."""
    world = World()
    equal(world.call("job.submit", job={"version": 1, "command": ["true"]}, dry_run=True)["id"], None)
    equal(world.items("job.list", ended=True), [])


@test
def escape_sequences():
    """Control bytes in names are refused or carried as they are, and never break the protocol."""
    world = one_vf()
    try:
        number = world.submit("printf '\\033[2J\\033]0;x\\007'", name="evil\x1b[2Jname")
    except RpcError as error:
        equal(error.code, INVALID_DOCUMENT)
        number = world.submit("printf '\\033[2J\\033]0;x\\007'")
    world.until_ended(number)
    equal(world.output(number), "\x1b[2J\x1b]0;x\x07")


if __name__ == "__main__":
    main()
