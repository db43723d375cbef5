# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies: loading, reloading, refusing, and who may do what."""

import json
import os
import pathlib
import pwd
import signal
import subprocess
import sys

from gpuvf_client import NOT_PERMITTED, RpcError
from harness import BUILD, POLICY, SOURCE, Skip, World, equal, main, refused, test, until

TYPO = """{
	"version": 1,
	"profiles": [
		{ "name": "quarter", "vrma": "25%" }
	]
}
"""


@test
def show():
    """The policy in force is shown with its revision and files."""
    policy = World().call("policy.show")
    assert policy["revision"], policy
    assert any("10-test.json" in s for s in policy["sources"]), policy["sources"]


@test
def default():
    """Without files the shipped default holds: nothing is cut, no VM is open."""
    world = World(start=False)
    (world.policies / "10-test.json").unlink()
    world.start()
    assert any("default.json" in s for s in world.call("policy.show")["sources"])
    equal(world.gpu()["state"], "unmanaged")
    equal(world.writes()["sriov_numvfs"], 0)


@test
def reload():
    """A reload takes the new set as a whole; the same set again is no change."""
    world = World()
    before = world.call("policy.show")["revision"]
    equal(world.call("policy.reload")["changed"], False)
    world.write_policy({**POLICY, "layouts": POLICY["layouts"] + [
        {"name": "halves", "slices": [{"profile": "quarter", "count": 2}]}]})
    equal(world.call("policy.show")["revision"], before, "revision before the reload")
    result = world.call("policy.reload")
    equal(result["changed"], True)
    assert result["revision"] != before
    world.apply("halves")
    equal(world.gpu()["num_vfs"], 2)


@test
def by_signal():
    """SIGHUP reloads it, too: told by whoever sent it, and a set that is refused changes nothing and ends nothing."""
    world = World()

    def hang_up():
        world.process.send_signal(signal.SIGHUP)

    hang_up()
    until(lambda: "SIGHUP: the policy is the same as before" in world.log(), "it was read")
    before = world.call("policy.show")["revision"]
    world.write_policy({**POLICY, "queues": []})
    hang_up()
    until(lambda: world.call("policy.show")["revision"] != before, "the new one is in force")
    after = world.call("policy.show")["revision"]
    row = world.items("audit.list", method="policy.reload")[0]
    equal((row["uid"], row["pid"]), (os.getuid(), os.getpid()), "who sent it")
    world.write_policy("{")
    hang_up()
    until(lambda: "SIGHUP: the policy was not reloaded: " in world.log(), "it is refused")
    equal(world.call("policy.show")["revision"], after)
    world.write_policy(POLICY)
    for _ in range(20):  # while one is read another may come
        hang_up()
    until(lambda: world.call("policy.show")["revision"] == before, "the last word counts")


@test
def queues():
    """What a queue may preempt, and how its own jobs are preempted, is shown; nothing said is null, or nobody."""
    world = World(policy={**POLICY, "queues": [
        {"name": "urgent", "priority": 90, "preempts": ["batch", "default"]}, {"name": "default"},
        {"name": "batch", "priority": 10, "preempt_grace": "1500ms", "min_runtime": "1h"}]})
    shown = {queue["name"]: [queue[what] for what in ("preempts", "preempt_grace_seconds", "min_runtime_seconds")]
             for queue in world.items("queue.list")}
    equal(shown, {"urgent": [["batch", "default"], None, 0], "default": [[], None, 0], "batch": [[], 1.5, 3600]})
    table = [line.split()[7:] for line in world.cli("list", "queues", check=0).stdout.splitlines()]
    equal(table, [["PREEMPTS", "GRACE", "MIN-RUN"], ["batch,default", "-", "0s"], ["-", "-", "0s"], ["-", "1s500ms", "1h"]])
    world.write_policy({**POLICY, "queues": [{"name": "urgent", "preempts": ["batch"]}, {"name": "batch"}]})
    with refused(-32005, "/queues/0/preempts/0", "which is not lower than that of"):
        world.call("policy.reload")


@test
def typo():
    """A set with a typo is refused whole, with file, line and column; the old one stays."""
    world = World()
    before = world.call("policy.show")["revision"]
    world.write_policy(TYPO, "20-more.json")
    try:
        world.call("policy.reload")
    except RpcError as error:
        equal(error.code, -32005)
        text = f"{error.message} {json.dumps(error.data)}"
        for word in ("20-more.json:4:", "/profiles/0", "vrma", "vram"):
            assert word in text, f"{word} is missing in: {text}"
    else:
        raise AssertionError("the typo was taken")
    equal(world.call("policy.show")["revision"], before)
    world.apply("quarters")


@test
def typo_at_start():
    """A daemon that starts with a bad set runs, says so, and acts by none of its rules."""
    world = World(policy=TYPO)
    equal(world.call("daemon.status")["policy_refused"], True)
    equal(world.writes()["sriov_numvfs"], 0)
    assert "vrma" in world.log(), "the log does not tell"
    world.write_policy(POLICY)
    world.call("policy.reload")
    equal(world.call("daemon.status")["policy_refused"], False)


@test
def same_name_twice():
    """The same name in two files is a conflict that names both places."""
    world = World()
    world.write_policy({"version": 1, "profiles": [{"name": "quarter", "vram": "10%"}]}, "20-more.json")
    try:
        world.call("policy.reload")
    except RpcError as error:
        text = f"{error.message} {json.dumps(error.data)}"
        assert "10-test.json" in text and "20-more.json" in text, text
    else:
        raise AssertionError("it was taken")


@test
def check_offline():
    """gpuvf policy check needs no daemon; a bad file is exit status 8 with its position."""
    world = World(start=False)
    world.cli("policy", "check", str(world.policies / "10-test.json"), check=0)
    world.write_policy(TYPO, "20-more.json")
    done = world.cli("policy", "check", str(world.policies / "20-more.json"), check=8)
    assert "20-more.json:4:" in done.stderr + done.stdout, done
    done = world.cli("policy", "check", "/nonexistent.json")
    assert done.returncode not in (0, 3), done


@test
def check_shipped():
    """The shipped policies are good."""
    world = World(start=False)
    shipped = sorted((SOURCE / "policies").glob("*.json")) + \
        sorted((SOURCE / "policies" / "examples").glob("*.json"))
    assert len(shipped) >= 2, shipped
    for path in shipped:
        if "two-teams" not in path.name:  # names groups that must exist on the host
            world.cli("policy", "check", str(path), check=0)


# ---- other users: needs root, to become one

CALL = """
import os, sys, json
sys.path.insert(0, sys.argv[1])
os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
from gpuvf_client import Client, RpcError
try:
    with Client(sys.argv[4]) as client:
        print(json.dumps({"result": client.call(sys.argv[5], **json.loads(sys.argv[6]))}))
except RpcError as error:
    print(json.dumps({"error": error.code, "message": error.message, "data": error.data}))
except (ConnectionError, OSError) as error:
    print(json.dumps({"error": -1, "message": str(error)}))
"""


def open_to_all(world):
    os.chmod(world.folder, 0o755)
    os.chmod(world.socket, 0o666)


def call_as(who, world, method, **params):
    entry = pwd.getpwnam(who)
    script = CALL
    client = pathlib.Path(__file__).resolve().parent
    # The other user may not be able to read the source tree.
    (world.folder / "gpuvf_client.py").write_text((client / "gpuvf_client.py").read_text())
    os.chmod(world.folder / "gpuvf_client.py", 0o644)
    done = subprocess.run([sys.executable, "-c", script, str(world.folder), str(entry.pw_uid),
                           str(entry.pw_gid), world.socket, method, json.dumps(params)],
                          capture_output=True, text=True, check=True, cwd="/")
    return json.loads(done.stdout)


def need_root():
    if os.getuid() != 0:
        raise Skip("only root can become another user")


@test
def strangers():
    """Without an access rule others are refused, whatever the socket's mode."""
    need_root()
    world = World()
    open_to_all(world)
    answer = call_as("nobody", world, "gpu.list")
    equal(answer.get("error"), NOT_PERMITTED)


@test
def roles():
    """viewer looks, user submits, operator acts, admin reloads; each row refuses those below."""
    need_root()
    expected = {
        "viewer": {"gpu.list": True, "job.submit": False, "gpu.apply": False, "policy.reload": False},
        "user": {"gpu.list": True, "job.submit": True, "gpu.apply": False, "policy.reload": False},
        "operator": {"gpu.list": True, "job.submit": True, "gpu.apply": True, "policy.reload": False},
        "admin": {"gpu.list": True, "job.submit": True, "gpu.apply": True, "policy.reload": True},
    }
    parameters = {"job.submit": {"job": {"version": 1, "command": ["true"], "hold": True}},
                  "gpu.apply": {"gpu": "gpu0", "layout": {"vfs": 1}, "wait_seconds": 30}}
    world = World()
    for role, methods in expected.items():
        world.write_policy({**POLICY, "access": [{"user": "root", "role": "admin"},
                                                 {"user": "nobody", "role": role}]})
        world.call("policy.reload")
        open_to_all(world)
        for method, allowed in methods.items():
            answer = call_as("nobody", world, method, **parameters.get(method, {}))
            if allowed:
                assert "result" in answer, f"{role}: {method}: {answer}"
            else:
                equal(answer.get("error"), NOT_PERMITTED, f"{role}: {method}")


@test
def own_jobs():
    """Users see that others' jobs are there, not what they run; they cannot stop them."""
    need_root()
    world = World(policy={**POLICY, "access": [{"user": "root", "role": "admin"},
                                               {"user": "nobody", "role": "user"}]})
    open_to_all(world)
    number = world.submit("echo secret-word", hold=True, env={"TOKEN": "secret-word"})
    for method, params in (("job.list", {"user": "*"}), ("job.get", {"id": number}),
                           ("job.logs", {"id": number})):
        answer = call_as("nobody", world, method, **params)
        assert "secret-word" not in json.dumps(answer), answer
    equal(call_as("nobody", world, "job.cancel", id=number).get("error"), NOT_PERMITTED)
    equal(world.job(number)["state"], "held")
    own = call_as("nobody", world, "job.submit",
                  job={"version": 1, "command": ["true"], "hold": True})["result"]["id"]
    assert "result" in call_as("nobody", world, "job.cancel", id=own)


@test
def vm_rule():
    """A VM that is open to another user only takes no job of this one."""
    need_root()
    world = World(policy={**POLICY,
                          "vms": [{"match": "trainer-1", "allow": ["user:root"], "run_as": "trainer"}],
                          "access": [{"user": "root", "role": "admin"},
                                     {"user": "nobody", "role": "user"}]})
    open_to_all(world)
    answer = call_as("nobody", world, "job.submit",
                     job={"version": 1, "command": ["true"], "run_in": {"vm": "trainer-1"}})
    equal(answer.get("error"), NOT_PERMITTED)
    assert "trainer-1" in json.dumps(answer), answer


@test
def unprivileged():
    """A daemon without root serves its own user as admin."""
    need_root()
    world = World(start=False)
    entry = pwd.getpwnam("nobody")
    for path in (world.folder, world.state, world.policies, world.document, world.config,
                 world.policies / "10-test.json"):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    if subprocess.run(["setpriv", "--reuid", "nobody", "--clear-groups", "test", "-x",
                       str(BUILD / "gpuvfd"), "-a", "-r", str(SOURCE / "policies" / "default.json")],
                      check=False).returncode != 0:
        raise Skip("other users cannot read the build tree")
    command = world.command()
    world.command = lambda *more: ["setpriv", "--reuid", "nobody", "--regid", str(entry.pw_gid),
                                   "--clear-groups", *command, *more]
    world.answers = lambda: "result" in call_as("nobody", world, "daemon.status")
    os.chmod(world.folder, 0o755)
    world.start()
    answer = call_as("nobody", world, "daemon.status")
    equal(answer["result"]["role"], "admin")
    with refused(NOT_PERMITTED):
        world.call("gpu.list")


if __name__ == "__main__":
    main()
