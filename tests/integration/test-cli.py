# SPDX-License-Identifier: GPL-2.0-or-later
"""The client gpuvf: verbs, tables, JSON, exit codes and messages."""

import json
import os
import pty
import pwd
import select
import subprocess

from harness import BUILD, MACHINE, PATIENCE, SOURCE, World, equal, main, test, until

TINY_LORA = BUILD / "examples" / "tiny-lora"


@test
def no_daemon():
    """Without a daemon: exit status 3, and the message says how to start it."""
    world = World(start=False)
    done = world.cli("list", check=3)
    assert world.socket in done.stderr and done.stderr.startswith("gpuvf: "), done.stderr
    equal(done.stdout, "")


@test
def usage():
    """Wrong words and options: exit status 2, and the message names them."""
    world = World(start=False)
    for words in (("lst",), ("list", "--colour"), ("apply", "gpu0", "--vfs", "many"), ("assign",),
                  ("-o", "xml", "list"), ("submit",), ("show",), ()):
        done = world.cli(*words, check=2)
        assert done.stderr, f"{words}: no message"
    assert "list" in world.cli("lst", check=2).stderr, "no near word is offered"


@test
def help_and_version():
    """help and version need no daemon, and every verb has help."""
    world = World(start=False)
    text = world.cli("help", check=0).stdout
    for verb in ("list", "show", "status", "plan", "apply", "assign", "release", "submit", "jobs",
                 "wait", "logs", "fetch", "cancel", "policy", "watch", "call", "help", "version"):
        assert verb in text, f"{verb} is missing"
        assert world.cli("help", verb, check=0).stdout.strip(), f"no help on {verb}"
    assert world.cli("version", check=0).stdout.startswith("gpuvf ")


@test
def story():
    """list, plan, apply, assign, release: the words of the README work."""
    world = World()
    assert "Flex 170" in world.cli("list", check=0).stdout
    world.cli("plan", "gpu0", "--vfs", "4", check=0)
    equal(world.gpu()["num_vfs"], 0)
    world.cli("apply", "gpu0", "--vfs", "4", check=0)
    text = world.cli("list", check=0).stdout
    for name in ("gpu0", "gpu0/vf1", "gpu0/vf4"):
        assert name in text, text
    world.cli("assign", "trainer-1", check=0)
    assert "trainer-1" in world.cli("list", "vfs", check=0).stdout
    world.cli("show", "gpu0/vf1", check=0)
    world.cli("show", "trainer-1", check=0)
    assert "running" in world.cli("list", "vms", check=0).stdout
    world.cli("release", "trainer-1", check=0)
    world.cli("apply", "gpu0", "--vfs", "0", check=0)
    equal(world.gpu()["num_vfs"], 0)
    world.cli("status", check=0)


@test
def wide():
    """list -o wide joins VF, group, driver, holder and the lease's end, each under its heading."""
    world = World()
    world.apply(2)
    world.cli("assign", "trainer-1", "--for", "1h", check=0)
    number = world.submit("sleep 1000", name="long")
    world.until_job(number, "running")
    head, *rows = world.cli("list", "vfs", "-o", "wide", check=0).stdout.splitlines()

    def cell(row, heading, following):
        return row[head.index(heading):head.index(following)].strip()

    held, running = rows
    equal(cell(held, "VM", "JOB"), "trainer-1")
    equal(cell(held, "DRIVER", "MODE"), "vfio-pci")
    equal([cell(row, "MODE", "EXPIRES") for row in rows], ["live", "live"])
    assert ":" in cell(held, "EXPIRES", "REASON"), held
    equal(cell(running, "EXPIRES", "REASON"), "-")
    equal(cell(running, "JOB", "USER"), str(number))
    me = pwd.getpwuid(os.getuid()).pw_name
    equal([cell(row, "USER", "PREEMPT") for row in rows], [me, me])
    groups = [row.split(" vfio-pci ")[0].split()[-1] for row in rows]
    assert len(set(groups)) == 2 and all(group.isdigit() for group in groups), rows
    head, _, *rows = world.cli("list", "-o", "wide", check=0).stdout.splitlines()
    equal([cell(row, "GROUP", "REASON") for row in rows], groups)
    equal([cell(row, "USER", "PROFILE") for row in rows], [me, me])


@test
def json_output():
    """-o json is the API's result as it is; ndjson one item a line; -q only names."""
    world = World()
    world.apply(2)
    equal(json.loads(world.cli("-o", "json", "list", "vfs", check=0).stdout), world.call("vf.list"))
    lines = world.cli("-o", "ndjson", "list", "vfs", check=0).stdout.splitlines()
    equal([json.loads(l)["name"] for l in lines], ["gpu0/vf1", "gpu0/vf2"])
    equal(world.cli("-q", "list", "vfs", check=0).stdout.split(), ["gpu0/vf1", "gpu0/vf2"])
    done = world.cli("-o", "json", "show", "gpu7", check=5)
    equal(json.loads(done.stderr)["code"], -32002)


@test
def exit_codes():
    """Each kind of refusal has its exit status, and its message has what, why and a hint."""
    world = World({"vms": MACHINE["vms"] + [{"name": "off", "state": "off"}, {"name": "private"}]})
    world.apply(1)
    world.cli("show", "gpu9", check=5)
    world.cli("assign", "nobody", check=5)
    world.cli("logs", "99", check=5)
    world.cli("apply", "gpu0", "--vfs", "32", check=9)
    world.cli("assign", "trainer-1", check=0)
    done = world.cli("apply", "gpu0", "--vfs", "2", check=6)
    assert "trainer-1" in done.stderr, done.stderr
    world.cli("assign", "trainer-2", check=9)
    world.cli("assign", "off", "--live", check=6)
    world.cli("submit", "--vm", "private", "--", "true", check=4)
    document = world.folder / "job.json"
    document.write_text('{"version": 1, "comand": ["true"]}')
    done = world.cli("submit", str(document), check=8)
    assert "comand" in done.stderr, done.stderr
    held = world.submit("true", hold=True)
    world.cli("wait", held, "--timeout", "100ms", check=7)
    world.fault("sriov_numvfs", gpu="gpu0", nth=1, times=1, error="EIO")
    world.cli("release", "trainer-1", check=0)
    done = world.cli("apply", "gpu0", "--vfs", "2", check=1)
    assert "sriov_numvfs" in done.stderr, done.stderr


@test
def submit_and_wait():
    """submit prints the id alone; wait, logs and fetch follow the job."""
    world = World()
    world.apply(1)
    number = world.cli("submit", "--name", "hello", "--output", "out/*", "--", "/bin/sh", "-c",
                       "mkdir out; echo result >out/r; echo hello", check=0).stdout.strip()
    equal(number, world.items("job.list", ended=True)[0]["id"])
    world.cli("wait", number, check=0)
    equal(world.cli("logs", number, check=0).stdout, "hello\n")
    target = world.folder / "fetched"
    world.cli("fetch", number, str(target), check=0)
    equal((target / "out" / "r").read_text(), "result\n")
    assert number in world.cli("jobs", "--all", check=0).stdout
    failing = world.cli("submit", "--", "/bin/sh", "-c", "exit 3", check=0).stdout.strip()
    world.cli("wait", failing, check=11)
    world.cli("wait", failing, "--exit-code", check=3)


@test
def tiny_lora():
    """The shipped example fine-tunes: its loss falls, its adapter comes back."""
    world = World()
    world.apply(1)
    folder = TINY_LORA / "job"
    if not (folder / "job.json").exists():
        folder = SOURCE / "examples" / "tiny-lora" / "job"
    number = world.cli("submit", str(folder / "job.json"), check=0).stdout.strip()
    world.cli("wait", number, check=0)
    lines = [json.loads(l) for l in world.cli("logs", number, check=0).stdout.splitlines()]
    losses = [l["loss"] for l in lines if "loss" in l]
    assert len(losses) >= 10 and losses[-1] < losses[0] / 2, losses
    done = [l for l in lines if l.get("event") == "done"][0]
    assert done["accuracy"] > done["base_accuracy"] + 0.3, done
    equal(world.job(number)["progress"]["step"], 200)
    target = world.folder / "results"
    world.cli("fetch", number, str(target), check=0)
    assert (target / "adapter" / "adapter.bin").stat().st_size > 1000


@test
def half_a_file():
    """A job whose file is not there is refused before anything is sent."""
    world = World()
    done = world.cli("submit", "--file", "/nonexistent", "--", "true")
    assert done.returncode in (1, 2, 5, 8), done
    assert "/nonexistent" in done.stderr, done.stderr
    equal(world.items("job.list", ended=True), [])


@test
def follow():
    """logs -f shows the output as it comes, and ends with the job."""
    world = World()
    world.apply(1)
    go = world.folder / "go"
    number = world.submit(f"echo one; while ! test -e {go}; do sleep 0.02; done; echo two")
    world.until_job(number, "running")
    with subprocess.Popen([str(BUILD / "gpuvf"), "logs", "-f", number], stdout=subprocess.PIPE,
                          text=True, env=world.environment()) as process:
        equal(process.stdout.readline(), "one\n")
        go.touch()
        equal(process.stdout.readline(), "two\n")
        equal(process.wait(PATIENCE), 0)


@test
def watch():
    """watch shows events as they come."""
    world = World()
    with subprocess.Popen([str(BUILD / "gpuvf"), "-o", "ndjson", "watch", "--types", "gpu.changed"],
                          stdout=subprocess.PIPE, text=True, env=world.environment()) as process:
        stream = process.stdout

        def first():
            world.call("gpu.apply", gpu="gpu0", layout={"vfs": 2 if world.gpu()["num_vfs"] != 2 else 1},
                       wait_seconds=PATIENCE)
            return select.select([stream], [], [], 0.2)[0]

        until(first, "an event is shown")
        equal(json.loads(stream.readline())["type"], "gpu.changed")
        process.terminate()


@test
def call():
    """call reaches every method of the API."""
    world = World()
    result = json.loads(world.cli("call", "gpu.get", '{"gpu": "gpu0"}', check=0).stdout)
    equal(result["name"], "gpu0")
    world.cli("call", "gpu.get", '{"gpu": 5}', check=2)
    world.cli("call", "gpu.get", "{", check=8)


def on_terminal(world, *words):
    """What gpuvf writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in world.environment().items() if k != "NO_COLOR"}
    environment["TERM"] = "xterm"
    process = subprocess.Popen([str(BUILD / "gpuvf"), *words], stdin=subprocess.DEVNULL,
                               stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    data = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        data += piece
    os.close(ours)
    process.wait(PATIENCE)
    return data


@test
def escapes():
    """Escape sequences in output and names do not reach a terminal; in a pipe output is raw."""
    world = World()
    world.apply(1)
    number = world.submit("printf '\\033]0;pwned\\007 \\033[2J \\302\\2332J'")
    world.until_ended(number)
    shown = on_terminal(world, "logs", number)
    assert b"\x1b]0;" not in shown and b"\x1b[2J" not in shown and b"\x07" not in shown and \
        b"\xc2\x9b" not in shown, shown
    assert b"pwned" in shown
    assert b"\x1b]0;pwned" in on_terminal(world, "logs", "--raw", number)
    assert "\x1b]0;pwned" in world.cli("logs", number, check=0).stdout
    done = world.cli("show", "\x1b[2Jgpu")
    assert done.returncode in (2, 5), done
    shown = on_terminal(world, "show", "\x1b[2Jgpu")
    assert b"\x1b[2J" not in shown, shown


@test
def assign_waits_for_the_vf():
    """assign --vf --wait waits for that VF, and not for any other; without an end it is told who has it."""
    world = World()
    world.apply(2)
    world.cli("assign", "trainer-1", "--vf", "gpu0/vf1", check=0)
    told = world.cli("-o", "json", "assign", "trainer-2", "--vf", "gpu0/vf1", "--wait", "100ms", check=7).stderr
    assert "held by VM trainer-1" in told, told
    equal(world.vf("gpu0/vf2")["state"], "free")
    with subprocess.Popen([str(BUILD / "gpuvf"), "assign", "trainer-2", "--vf", "gpu0/vf1", "--wait", f"{PATIENCE}s"],
                          stdout=subprocess.PIPE, text=True, env=world.environment()) as process:
        world.cli("release", "trainer-1", check=0)
        equal(process.communicate(timeout=PATIENCE)[0], "trainer-2 holds gpu0/vf1\n")
    equal(world.vf("gpu0/vf2")["state"], "free")


@test
def closed_pipe():
    """A reader that leaves ends gpuvf quietly."""
    world = World()
    world.apply(31)
    done = subprocess.run(f"{BUILD / 'gpuvf'} -o json list | head -c 10 >/dev/null", shell=True,
                          env=world.environment(), capture_output=True, text=True, check=False,
                          timeout=PATIENCE)
    assert "Traceback" not in done.stderr and "core" not in done.stderr, done.stderr


if __name__ == "__main__":
    main()
