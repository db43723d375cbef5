# SPDX-License-Identifier: GPL-2.0-or-later
"""That the checker of chaos can fail; and chaos in short, kill -9 at named steps with that checker after each round,
GPUVF_TEST_CHAOS of them. The long one is `make chaos ROUNDS=N SEED=S`."""

import copy
import json
import os
import pathlib
import socket
import sys
import tempfile
import time

from harness import PATIENCE, SOURCE, comment, equal, main, test
from harness import World as Daemon

sys.path.insert(0, str(SOURCE / "tests" / "chaos"))

import chaos  # noqa: E402
import checker  # noqa: E402
import choices  # noqa: E402

ROUNDS = int(os.environ.get("GPUVF_TEST_CHAOS", "100"))
SEED = os.environ.get("GPUVF_SEED")

# ---- a state in which all is well: one VF with a VM, one with a job, one free

UUID, OTHER = "u-trainer-1", "u-trainer-2"


def hostdev(index, epoch, **more):
    return {"address": f"0000:03:00.{index}", "alias": f"ua-gpuvf-0-{index}-e{epoch}", "live": True,
            "config": False, **more}


def machine():
    vfs = [{"index": i, "address": f"0000:03:00.{i}", "driver": "vfio-pci",
            "values": {"vram_quota": 1 << 30, "exec_quantum_ms": 20, "preempt_timeout_us": 0}} for i in (1, 2, 3)]
    gpu = {"name": "gpu0", "address": "0000:03:00.0", "present": True, "vram_bytes": 8 << 30, "num_vfs": 3, "vfs": vfs,
           "not_reset": [], "locked": False,
           "writes": {"sriov_numvfs": 4, "vram_quota": 2, "sriov_numvfs_while_held": 0,
                      "sriov_numvfs_while_reserved": 0, "attached_without_reset": 0}}
    return {"gpus": [gpu], "vms": [{"name": "trainer-1", "uuid": UUID, "state": "running", "guest_root": "/g/trainer-1",
                                    "hostdevs": [hostdev(1, 5), hostdev(2, 6)]},
                                   {"name": "trainer-2", "uuid": OTHER, "state": "off", "guest_root": "/g/trainer-2", "hostdevs": []}]}


RULES = {"trainer-1": ("trainer", (0, 7))}


def lease(owner, epoch, job=0, **more):
    return {"state": "attached", "owner": owner, "epoch": epoch, "job": job, "vm_uuid": UUID, "uid": 0,
            "vm_name": "trainer-1", "live": True, "config": False, **more}


def job(token, state, result="none", attempt=1):
    return {"state": state, "result": result, "attempt": attempt, "reason": None, "document": {"name": token}, "uid": 0,
            "vm_uuid": UUID, "vm_name": "trainer-1", "queue": "default", "attempts": [{"result": None}] * attempt,
            "vf_name": "gpu0/vf2", "vf_assigned": False}


def make_way(world, number, result=None, queue="urgent", **more):
    """The job is, or was, preempted for job 9."""
    world.rows["job"][number]["attempts"] = [{"preempted_for": "9", "preempted_queue": queue, "result": result, **more}]


def release(world, vm, uuid):
    """One that was asked for trainer-1's gpu0/vf3, which that VM had by the time."""
    world.rows["operation"]["op/2"] = {"method": "vf.release", "subject": "trainer-1", "state": "done",
                                       "input": {"vfs": [], "leases": {"gpu0/vf3": {"vm": UUID, "epoch": 4}}}}
    world.rows["audit"].update(change(20, "gpu0/vf3", {"state": "free"}, method="vf.release", operation="op/2",
                                      before={"state": "attached", "vm": vm, "vm_uuid": uuid}))


def session(state, result="none", begun=1, left=3600):
    """A job without a command, whose last `begun` attempts were ready, and whose end comes in so many seconds."""
    end = (time.clock_gettime(time.CLOCK_BOOTTIME) + left) * 1e6
    return {**job("e", state, result), "document": {"name": "e", "session": True}, "ends": {"boot": end},
            "attempts": [{"result": None}] + [{"result": None, "started_at": "2026-11-27T03:42:15Z"}] * begun}


def change(number, subject, after, **more):
    row = {"audit": number, "subject": subject, "outcome": "changed", "operation": None, "after": after, **more}
    return {f"{number:020}": row}


def audit():
    """How all became what rows() has; some rows are of other things."""
    return {**change(1, "gpu0", {"state": "unmanaged", "manual_layout": None}),
            **change(2, "gpu0", {"state": "ready", "manual_layout": [{"count": 2}, {"count": 1}]}),
            **change(3, "gpu0/vf1", {"state": "leased", "epoch": 5}),
            **change(4, "gpu0/vf1", {"state": "attached", "epoch": 5}),
            **change(5, "gpu0/vf1", {"state": "done"}, operation="op/1"),
            **change(6, "gpu0/vf2", {"state": "attached", "epoch": 6}),
            **change(7, "gpu0/vf2", {"state": "free"}, outcome="refused"),
            **change(8, "6", {"state": "ended", "attempt": 1, "result": "timeout"}),
            **change(9, "7", {"state": "running", "attempt": 1}), **change(10, "8", {"state": "queued", "attempt": 0}),
            **change(11, "8", {"state": "ended", "attempt": 1, "result": "succeeded"}),
            **change(12, "9", {"state": "queued", "attempt": 1})}


def rows():
    return {"gpu": {"gpu0": {"number": 0, "address": "0000:03:00.0",
                             "manual": {"vfs": [{"vram": "1GiB", "exec_quantum_ms": 20}] * 2 + [{"vram": "12.50%"}]}}},
            "lease": {"0000:03:00.0/1": lease("vm", 5), "0000:03:00.0/2": lease("job", 6, 7)},
            "job": {"6": session("ended", "timeout"), "7": job("a", "running"), "8": job("b", "ended", "succeeded"), "9": job("c", "queued")},
            "operation": {"op/1": {"method": "gpu.apply", "subject": "gpu0", "state": "done"}}, "audit": audit(),
            "meta": {"boot": {"value": "b"}, f"vm/{UUID}": {"failed_starts": 2, "quarantine": None},
                     f"vm/{OTHER}": {"failed_starts": 3, "quarantine": "3 jobs in a row could not start here"}}}


def submissions():
    return [checker.Submission("a", 7, False), checker.Submission("b", 8, False),
            checker.Submission("c", None, False), checker.Submission("d", None, True),
            checker.Submission("e", 6, False)]


class World:
    """All that the checker looks at, to be spoiled."""

    def __init__(self, folder):
        self.machine, self.rows, self.submissions = machine(), rows(), submissions()
        self.folder = pathlib.Path(folder)
        self.write("starts-a", "start")
        self.write("starts-b", "start")
        self.write("ends-b", "end")
        self.write("as-a", "trainer /g/trainer-1/home/trainer")
        self.write("as-b", "trainer /g/trainer-1/home/trainer")
        self.ledger = checker.Ledger(folder)
        self.last = checker.LastUsers()
        self.last.look(self.machine, self.rows)

    @property
    def gpu(self):
        return self.machine["gpus"][0]

    @property
    def vms(self):
        return self.machine["vms"]

    def lease(self, index):
        return self.rows["lease"][f"0000:03:00.0/{index}"]

    def untold(self, number):
        """A row of the audit trail is missing."""
        del self.rows["audit"][f"{number:020}"]

    def write(self, name, *lines):
        (self.folder / name).write_text("".join(line + "\n" for line in lines))

    def wrong(self):
        return checker.hard(self.machine, self.ledger) + \
            checker.calm(self.machine, self.rows, self.submissions, self.ledger) + \
            checker.users(self.machine, self.rows, self.submissions, self.ledger, RULES) + \
            checker.vfs_of_jobs(self.rows) + checker.sides(self.machine, self.rows) + \
            self.last.look(self.machine, self.rows, ("gpu0",))


def own_process(world):
    """A job that has ended, and whose process is there: this one, by a token of its command line."""
    token = pathlib.Path(sys.argv[0]).name
    world.rows["job"]["8"]["document"]["name"] = token
    world.submissions[1] = checker.Submission(token, 8, False)
    world.write(f"ends-{token}", "end")
    world.write(f"run-{token}", str(os.getpid()))


# What is spoiled, and what must be said of it.
SPOILED = (
    (lambda w: w.gpu["writes"].update(sriov_numvfs_while_held=1), "while a VF was held"),
    (lambda w: w.gpu["writes"].update(sriov_numvfs_while_reserved=1), "the definition of a VM that is off names"),
    (lambda w: w.gpu["writes"].update(attached_without_reset=1), "without a reset"),
    (lambda w: w.vms[1]["hostdevs"].append(hostdev(1, 5)), "is in 2 VMs"),
    (lambda w: w.vms[1]["hostdevs"].append(hostdev(0, 5)), "gpu0 itself is in trainer-2, and has 3 VFs"),
    (lambda w: w.vms[1]["hostdevs"].append(hostdev(0, 5, live=False, config=True)), "gpu0 itself is in trainer-2"),
    (lambda w: w.vms[1]["hostdevs"].append(hostdev(3, 9, alias="ua-gpuvf-1-1-e5", live=False, config=True)),
     "the definition of trainer-2 names 0000:03:00.3, gpu0/vf3, as ua-gpuvf-1-1-e5"),
    (lambda w: w.lease(2).update(uid=7), "went from uid 0 to uid 7 without a re-cut"),
    (lambda w: w.lease(1).update(vm_uuid=OTHER), f"went from VM {UUID} to VM {OTHER} without a re-cut"),
    (lambda w: w.rows["job"]["7"].update(uid=7), "is uid 7's, and uid 0 submitted it"),
    (lambda w: w.write("as-a", "root /g/trainer-1/root"), "ran as root in trainer-1, whose rule names trainer"),
    (lambda w: w.write("as-a", "trainer /g/trainer-2/home"), "ran in trainer-2, which no rule opens to it"),
    (lambda w: w.write("as-a", "trainer /root"), "ran in /root, which no rule opens to it"),
    (lambda w: w.submissions.append(checker.Submission("b", 8, False, 9)), "of uid 9 ran in trainer-1, which no rule"),
    (lambda w: w.rows["meta"][f"vm/{UUID}"].update(failed_starts=3), "is not quarantined after 3 failed starts"),
    (lambda w: w.rows["job"]["7"].update(vm_uuid=OTHER), "is running in trainer-1, which is quarantined"),
    (lambda w: w.rows["job"]["8"].update(result="preempted"), "has the result of an attempt"),
    (lambda w: release(w, "trainer-2", OTHER), "gpu0/vf3 was taken from trainer-2 by op/2, which is about another VM"),
    (lambda w: make_way(w, "7", "preempted", preempted_for=None), "job 7 was preempted for nobody"),
    (lambda w: make_way(w, "7", queue="default"), "job 7 of queue default was preempted for job 9 of the same queue"),
    (lambda w: (make_way(w, "8"), w.rows["job"]["8"].update(result="lost")), "job 8 was preempted for job 9, and is lost"),
    (lambda w: (make_way(w, "7"), make_way(w, "8"), w.rows["job"]["8"].update(state="stopping")),
     "2 jobs are stopped for job 9"),
    (lambda w: w.write("twice", "a"), "ran twice at the same time"),
    (lambda w: w.rows["job"].pop("7"), "is lost"),
    (lambda w: w.rows["job"].update({"10": job("a", "queued")}), "is there 2 times"),
    (lambda w: w.rows["job"].update({"10": job("d", "queued")}), "was refused and is there"),
    (lambda w: w.rows["job"].update({"10": job("x", "queued")}), "was never submitted"),
    (lambda w: w.write("starts-a", "start", "start"), "has begun 2 times"),
    (lambda w: w.write("ends-b"), "never came to its end"),
    (own_process, "still runs"),
    (lambda w: w.rows["lease"].pop("0000:03:00.0/1"), "its lease says free"),
    (lambda w: w.lease(1).update(vm_uuid=OTHER), "its lease names"),
    (lambda w: w.lease(1).update(epoch=4), "the lease has epoch 4"),
    (lambda w: w.vms[0]["hostdevs"].pop(0), "no VM has it"),
    (lambda w: w.gpu["not_reset"].append(3), "was not reset after its last VM"),
    (lambda w: w.rows["lease"].update({"0000:03:00.0/3": lease("vm", 9, state="free")}), "is free and belongs to"),
    (lambda w: w.rows["lease"].update({"0000:03:00.0/3": lease("vm", 9, state="resetting")}), "stays resetting"),
    (lambda w: w.rows["lease"].update({"0000:03:00.0/9": lease("vm", 9)}), "there is no such VF"),
    (lambda w: w.vms[1]["hostdevs"].append(hostdev(3, 9, live=False, config=True)),
     "vf3 is free, and the definition of trainer-2 names it as ua-gpuvf-0-3-e9"),
    (lambda w: w.lease(1).update(displaced=lease("vm", 4)), "vf1 is VM trainer-1's, and a lease of VM trainer-1 waits for it"),
    (lambda w: w.lease(1).update(owner="foreign", displaced=lease("vm", 4)), "waits for gpu0/vf1, and its definition does not"),
    (lambda w: w.rows["job"]["7"].update(state="ended", result="failed"), "which is ended"),
    (lambda w: w.lease(2).update(job=70), "which is not there"),
    (lambda w: w.lease(2).update(job=6), "is for job 6, which is ended"),
    (lambda w: w.rows["job"].update({"6": session("running")}), "session 6 is running in trainer-1, and has no VF"),
    (lambda w: w.rows["job"].update({"6": session("running", left=-1)}), "s after its end"),
    (lambda w: w.rows["job"].update({"6": session("ended", "lost", begun=2)}), "was ready more than once"),
    (lambda w: w.rows["job"].update({"6": session("ended", "succeeded")}), "has ended as succeeded"),
    (lambda w: w.gpu.update(num_vfs=2), "wanted are 3"),
    (lambda w: w.rows["gpu"]["gpu0"].update(manual=None), "wanted are 0"),
    (lambda w: w.gpu["vfs"][1]["values"].update(exec_quantum_ms=40), "exec_quantum_ms 40, wanted is 20"),
    (lambda w: w.gpu["vfs"][0]["values"].update(vram_quota=0), "gpu0/vf1 has 0 bytes of VRAM, wanted are 1GiB"),
    (lambda w: w.gpu["vfs"][2]["values"].update(vram_quota=0), "gpu0/vf3 has 0 bytes of VRAM, wanted are 12.50%"),
    (lambda w: w.gpu.update(locked=True), "the device lock is held"),
    (lambda w: w.rows["operation"]["op/1"].update(state="running"), "stays running"),
    (lambda w: w.rows["lease"].pop("0000:03:00.0/2"), "job 7 runs in trainer-1 without gpu0/vf2, which is None"),
    (lambda w: w.lease(2).update(job=8), "job 7 runs in trainer-1 without gpu0/vf2, which is attached (job)"),
    (lambda w: w.lease(2).update(vm_uuid=OTHER), "job 7 runs in trainer-1 without gpu0/vf2"),
    (lambda w: w.lease(2).update(state="resetting"), "without gpu0/vf2, which is resetting (job)"),
    (lambda w: w.lease(1).update(config=True), "vf1 is attached, and to be in the definitions of ['u-trainer-1']; it is in []"),
    (lambda w: w.vms[0]["hostdevs"][0].update(config=True), "vf1 is attached, and to be in the definitions of []; it is in ["),
    (lambda w: w.vms[1]["hostdevs"].append(hostdev(3, 9, live=False, config=True)), "vf3 is free, and to be in the definitions of []"),
    (lambda w: w.lease(1).update(state="reserved"), "vf1 is reserved, and to be in the definitions of ['u-trainer-1']"),
    (lambda w: (w.lease(1).update(config=True), w.vms[0]["hostdevs"].append(hostdev(1, 4, live=False, config=True))),
     "a definition has ua-gpuvf-0-1-e4, the lease has epoch 5"),
    (lambda w: w.untold(4), "vf1 is attached (epoch 5), and the audit trail ends with {'state': 'leased'"),
    (lambda w: (w.lease(1).update(epoch=6), w.vms[0]["hostdevs"][0].update(alias="ua-gpuvf-0-1-e6")),
     "vf1 is attached (epoch 6), and the audit trail ends with {'state': 'attached', 'epoch': 5}"),
    (lambda w: w.untold(6), "and the audit trail ends with {'state': 'free'}"),
    (lambda w: (w.rows["lease"]["0000:03:00.0/1"].update(state="free", owner="none"), w.vms[0]["hostdevs"].pop(0)),
     "is free (epoch 5), and the audit trail ends with {'state': 'attached'"),
    (lambda w: w.untold(9), "job 7 is running (none), and the audit trail ends with {}"),
    (lambda w: w.untold(11), "job 8 is ended (succeeded), and the audit trail ends with {'state': 'queued'"),
    (lambda w: w.rows["job"]["8"].update(result="lost"), "job 8 is ended (lost), and the audit trail ends with"),
    (lambda w: w.untold(2), "gpu0 is to have 3 VFs, and the audit trail ends with None"),
)


@test
def checker_can_fail():
    """The checker finds each violation that is made up for it, and none where all is well."""
    with tempfile.TemporaryDirectory() as folder:
        equal(World(folder).wrong(), [], "where all is well")
        world = World(folder)
        world.gpu["vfs"][2]["values"].update(vram_quota=0)
        world.rows["lease"]["0000:03:00.0/3"] = {**lease("vm", 9, state="quarantined"), "vram_taken": 1 << 30}
        equal([one for one in world.wrong() if "VRAM" in one], [], "where it could not be given back")
        world = World(folder)
        release(world, "trainer-1", UUID)
        equal(world.wrong(), [], "where a release took what it was asked for")
    for spoil, words in SPOILED:
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            spoil(world)
            wrong = world.wrong()
            assert any(words in one for one in wrong), f"\"{words}\" is not in {wrong}"
    comment(f"{len(SPOILED)} violations were found")


@test
def checker_knows_who_took_a_vf():
    """A job whose VF somebody took by hand may go on without one; so may one that has none, or one of its VM."""
    for change_of, taken, good in (({}, (), False), ({}, ("trainer-1",), True), ({"vf_name": None}, (), True),
                                   ({"vf_name": "gpu0/vf1", "vf_assigned": True}, (), True)):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            del world.rows["lease"]["0000:03:00.0/2"]
            world.rows["job"]["7"].update(change_of)
            equal(checker.vfs_of_jobs(world.rows, taken) == [], good, f"{change_of} {taken}")


@test
def checker_reads_resets():
    """Between two VMs a VF is reset by the host, and after the last one; VFs that are new were had by nobody."""
    for log, went, not_reset in (
            ((), 0, []), (["new", "vf1 host reset"], 0, []),
            (["vf1 vm a", "vf1 vm a", "vf1 host reset", "vf1 vm b", "vf1 host x"], 0, []),
            (["vf1 vm a", "vf2 vm b"], 0, [1, 2]), (["vf1 vm a", "vf1 vm b", "vf1 host x"], 1, []),
            (["vf1 vm a", "new", "vf1 vm b"], 0, [1]), (["more", "vf3 vm a", "vf4 host x"], 0, [3])):
        without, left = checker.resets(log)
        equal((len(without), left), (went, not_reset), f"{log}")


@test
def machine_counts_reservations():
    """A VF that is taken from under a VM that is off is counted, and found; one that no definition names is not."""
    for vm_has_it, count in ((True, 1), (False, 0)):
        world = Daemon({"vms": [{"name": "trainer-1", "state": "off"}]})
        world.apply(2)
        if vm_has_it:
            world.call("vf.assign", vm="trainer-1", mode="config", wait_seconds=PATIENCE)
        world.kill()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:  # as a daemon that did not look would
            connection.settimeout(PATIENCE)
            connection.connect(str(world.state / "machine.sock"))
            ask = {"id": 1, "host": {"op": "set-numvfs", "gpu": world.machine("state")["gpus"][0]["address"], "value": 0}}
            connection.sendall(json.dumps(ask).encode() + b"\n")
            assert connection.recv(1 << 16), "no answer"
        machine = world.machine("state")
        equal(machine["gpus"][0]["num_vfs"], 0)
        wrong = [one for one in checker.hard(machine, checker.Ledger(world.folder)) if "VM that is off" in one]
        equal(len(wrong), count, f"{wrong}")


@test
def checker_knows_what_waits():
    """A lease of a VF that is not there is none too many as long as a definition names it, or is to."""
    for hostdevs, more, good in (([], {}, False), ([hostdev(9, 9, live=False, config=True)], {}, True),
                                 ([hostdev(9, 8, live=False, config=True)], {}, False), ([], {"instead": "ua-gpuvf-0-9-e9"}, True)):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            world.vms[0]["hostdevs"] += hostdevs
            world.rows["lease"]["0000:03:00.0/9"] = lease("vm", 9, state="reserved", **more)
            world.rows["audit"].update(change(20, "gpu0/vf9", {"state": "reserved", "epoch": 9}))
            equal(world.wrong() == [], good, f"{hostdevs} {more}: {world.wrong()}")


@test
def checker_knows_whose_a_vf_is():
    """A VF that another took may have a lease that waits for it; a free one may be named by what is to follow its own, and
    a VM that is gone has no definition."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        world.vms[1]["hostdevs"].append(hostdev(1, 4, live=False, config=True))
        world.lease(1).update(owner="foreign", displaced=lease("vm", 4, vm_uuid=OTHER))
        equal([one for one in world.wrong() if "waits for" in one], [])
    for instead, state, good in (("ua-gpuvf-1-1-e4", "off", True), (None, "gone", True), (None, "off", False)):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            world.vms[1].update(state=state)
            world.vms[1]["hostdevs"].append(hostdev(3, 4, alias="ua-gpuvf-1-1-e4", live=False, config=True))
            world.lease(1).update(instead=instead)
            equal([one for one in world.wrong() if "vf3 is free, and the definition" in one] == [], good)


@test
def checker_knows_what_cannot_follow():
    """A definition that names another VF than its lease's is to follow it; with a managed-save image it cannot."""
    alias = "ua-gpuvf-1-1-e5"
    for saved, instead, good in ((True, alias, True), (True, None, False), (True, "ua-gpuvf-1-1-e4", False), (False, alias, False)):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            world.vms[1].update(saved=saved)
            world.vms[1]["hostdevs"].append(hostdev(3, 9, alias=alias, live=False, config=True))
            world.lease(1).update(instead=instead)
            wrong = [one for one in world.wrong() if "the definition of trainer-2" in one]
            equal(wrong == [], good, f"{saved} {instead}: {wrong}")


@test
def checker_knows_vfs_of_a_later_cut():
    """Where a held VF went, the next layout brings another one that nobody had; one that somebody had must be told."""
    for told, epoch, good in (("gone", 0, True), ("gone", 9, False), ("attached", 0, False)):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            world.rows["lease"]["0000:03:00.0/3"] = {**lease("none", epoch, state="free"), "profile": "quarter"}
            world.rows["audit"].update(change(20, "gpu0/vf3", {"state": told}))
            wrong = [one for one in world.wrong() if "audit trail" in one]
            equal(wrong == [], good, f"{told} {epoch}: {wrong}")


@test
def checker_knows_a_half_cut_card():
    """A card that is not as wanted must be told of with a reason; what is told must be over at the end."""
    for told, good in ((None, False), ({"reason": "", "before": None}, False), ({"reason": "the undo failed", "before": None}, True)):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            world.gpu.update(num_vfs=2)
            world.rows["gpu"]["gpu0"].update(half_cut=told)
            wrong = [one for one in world.wrong() if "wanted are" in one]
            equal(wrong == [], good, f"{told}: {wrong}")
            equal([one for one in checker.final(world.machine, world.rows) if "half cut" in one] != [], good)


@test
def checker_knows_what_guests_have():
    """What was plugged in by gpuvf is where its lease says, also while something hangs; what left meanwhile is nobody's."""
    for spoil, words in ((lambda w: None, None), (lambda w: w.lease(1).update(state="detaching"), None),
                         (lambda w: w.lease(1).update(state="quarantined", epoch=9), None),
                         (lambda w: w.lease(1).update(state="resetting"), "its lease is resetting"),
                         (lambda w: w.lease(1).update(epoch=9), "with epoch 9"),
                         (lambda w: w.rows["lease"].pop("0000:03:00.0/1"), "its lease is free")):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            spoil(world)
            after = copy.deepcopy(world.machine)
            told = checker.in_guests(world.machine, world.rows, after)
            equal([words in one for one in told] if words else told, [True] if words else [], f"{told}")
            after["vms"][0]["hostdevs"].pop(0)
            equal(checker.in_guests(world.machine, world.rows, after), [])


@test
def checker_knows_sessions():
    """One that is ready, has its VF, and whose end is to come is as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        world.rows["job"].update({"6": session("running"), "7": job("a", "queued")})
        world.rows["audit"].update({**change(20, "6", {"state": "running", "attempt": 2}),
                                    **change(21, "7", {"state": "queued", "attempt": 1})})
        world.lease(2).update(job=6)
        equal(world.wrong(), [])


@test
def checker_knows_a_recut():
    """Another cut of the card, or a card whose VFs are for anybody, and a VF may go to another user."""
    for spoil, kept in ((lambda w: w.gpu["writes"].update(sriov_numvfs=6), ("gpu0",)), (lambda w: None, ())):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            spoil(world)
            world.lease(2).update(uid=7)
            equal(world.last.look(world.machine, world.rows, kept), [])


@test
def checker_knows_a_scrub():
    """Of a card whose VFs are cleared, a VF may go to another user when a quota was taken and given back, not before."""
    for quotas, found in ((2, 1), (3, 1), (4, 0)):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            world.gpu["writes"].update(vram_quota=quotas)
            world.lease(2).update(uid=7)
            equal(len(world.last.look(world.machine, world.rows, scrubbed=("gpu0",))), found)


@test
def checker_knows_what_others_did():
    """Who had a VF past the daemon is nobody's last user."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        world.last.forget("gpu0", 1)
        world.lease(1).update(vm_uuid=OTHER)
        equal(world.last.look(world.machine, world.rows, ("gpu0",)), [])


@test
def checker_knows_the_end():
    """What is left when all should have been given back is told."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        wrong = checker.final(world.machine, world.rows)
    for words in ("never ends: running", "never ends: queued", "trainer-1 still has", "lease of"):
        assert any(words in one for one in wrong), f"\"{words}\" is not in {wrong}"


@test
def checker_knows_who_was_given_up():
    """What a daemon without a policy begins, or gives up while it runs, is told; what ends by itself or is lost is not."""
    def wrong(before, **after):
        none = {"started_at": None, "start_sent_at": None, "result": None, "reason": None, "exit_code": None}
        return checker.given_up({"1": {"attempts": [{**none, **before}]}} if before is not None else {},
                                {"1": {"attempts": [{**none, **(before or {}), **after}]}})

    runs = {"start_sent_at": "x", "started_at": "x"}
    for before, after, words in (
            (runs, {}, None), (runs, {"result": "failed", "exit_code": 1}, None),
            (runs, {"result": "lost", "reason": "its VM went off"}, None),
            ({"start_sent_at": "x"}, {"started_at": "x"}, None),
            ({"start_sent_at": "x"}, {"result": "lost", "reason": "the policy was changed"}, None),
            ({**runs, "result": "failed"}, {}, None),
            ({}, {"result": "lost", "reason": "the policy was changed"}, None),
            (runs, {"result": "failed", "reason": "the attempt cannot be run"}, "given up for want of a policy"),
            (runs, {"result": "lost", "reason": "the policy was changed"}, "given up for want of a policy"),
            ({}, {"start_sent_at": "x"}, "has begun, and no policy"), (None, runs, "has begun, and no policy")):
        told = wrong(before, **after)
        equal(len(told), 1 if words else 0, f"{before} {after}: {told}")
        assert not words or words in told[0], told


@test
def seed_decides():
    """A seed gives the same choices again, another seed others; every named step is in its turn, where there are jobs."""
    def told(seed, number):
        plan = choices.World(seed, number, 20)
        return plan.gpus, [vars(one) for one in plan.rounds]

    equal(told("7", 3), told("7", 3))
    assert told("7", 3) != told("8", 3)
    steps = choices.named_steps()
    first = [one.trap for number in range(2 * len(steps) // 20)
             for one in choices.World("1", choices.WITH_JOBS * number, 20).rounds]
    equal(set(first), set(steps), "steps of the first rounds")
    without = [step for step in steps if not choices.needs_jobs([step])]
    first = [one.trap for number in range(1, 2 + len(without) // 20)
             for one in choices.World("1", number, 20).rounds]
    equal(set(first), set(without), "steps of the first rounds without jobs")
    equal(copy.deepcopy(steps), choices.named_steps())


@test
def aim_decides():
    """A world that is aimed at a step goes through nothing else, with jobs where it takes one, on cards that know it."""
    for step in choices.named_steps():
        plan = choices.World("1", 5, 20, [step])
        equal({one.trap for one in plan.rounds}, {step})
        assert choices.takes(plan.gpus, step), f"{step}: {plan.gpus}"
        submits = any(action[0] == "submit" for one in plan.rounds for _, action in one.actions)
        equal(submits, step[0] not in choices.WITHOUT_JOBS, f"{step}: jobs")


@test
def left_out_is_told():
    """A step that is met on no side is named, and one that is met on one side is not."""
    tally, steps = chaos.Tally(), choices.named_steps()
    tally.sprung.update(steps)
    equal((chaos.unmet(tally), chaos.left_out(tally)), ([], []))
    for when in ("before", "after"):
        del tally.sprung["release", "reset", when]
        equal(chaos.left_out(tally), [] if when == "before" else ["release reset"])
    del tally.sprung["apply", "read", "after"]
    equal(len(chaos.unmet(tally)), 3)
    equal(chaos.left_out(tally), ["release reset"])


@test
def rounds_hold():
    """kill -9 at named steps, outside changes, full disks, damaged files, reboots: the invariants hold, no step is left out."""
    seed = SEED or str(int.from_bytes(os.urandom(4), "little"))
    comment(f"GPUVF_SEED={seed} (make chaos ROUNDS={ROUNDS} SEED={seed})")
    begin = time.monotonic()
    tally = chaos.run(seed, ROUNDS, chaos.workers())
    for line in chaos.report(tally, time.monotonic() - begin):
        comment(line)
    assert not tally.wrong, "\n".join(tally.wrong)
    assert tally.sprung, "no daemon died at a named step"


if __name__ == "__main__":
    main()
