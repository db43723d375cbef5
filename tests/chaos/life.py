# SPDX-License-Identifier: GPL-2.0-or-later
"""Lives through the rounds of one world: daemons that are killed and started again over one made-up machine
and one state, and the checks after each round."""

import collections
import contextlib
import os
import pathlib
import pwd
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import checker  # noqa: E402
import choices  # noqa: E402
from gpuvf_client import DEGRADED, Client, RpcError  # noqa: E402
from harness import BUILD, PATIENCE, POLICY, World, until  # noqa: E402

GONE = (ConnectionError, OSError, EOFError)
KILL_AT = BUILD / "tests" / "chaos" / "kill-at.so"
PROFILES = [{"name": "half", "vram": "50%", "exec_quantum": "40ms"},
            {"name": "eighth", "vram": "12.5%", "exec_quantum": "10ms"}]
OTHER = "nobody"
# What hangs is waited for until then; longer than whatever does not hang takes.
DEADLINES = {name: "1s" for name in ("closed", "read", "sriov_numvfs", "attribute", "reset", "attach", "detach")}
NOWHERE = "0000:7f:00.0"  # a slot that no card of a world has
JOB = """l={ledger} t={token}
if [ -s $l/run-$t ]; then read p <$l/run-$t; grep -qs $t /proc/$p/cmdline && echo $t >>$l/twice; fi
echo $$ >$l/run-$t; echo "$USER $PWD" >>$l/as-$t; echo start >>$l/starts-$t
{work}
echo end >>$l/ends-$t"""


def other_uid():
    """Who is not root cannot become another: then there is one user only."""
    return pwd.getpwnam(OTHER).pw_uid if os.geteuid() == 0 else os.geteuid()


def can_load():
    """A library of another kind cannot go before a sanitizer's, nor into valgrind: there, daemons are killed at
    the other steps, and at random."""
    return KILL_AT.exists() and not os.environ.get("GPUVF_TEST_WRAPPER") and \
        b"__asan_init" not in (BUILD / "gpuvfd").read_bytes()


class Violation(AssertionError):
    """An invariant does not hold."""


def wait_for(condition, what, seconds=PATIENCE, pause=0.002):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Violation(f"waited in vain until {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


class Submitted:
    """One job as its submitter knows it."""

    def __init__(self, request, uid):
        self.uid = uid
        self.token = request["token"]
        self.request = request
        self.id = None
        self.refused = False

    def seen(self):
        return checker.Submission(self.token, self.id, self.refused, self.uid)


class Life(World):
    """The daemon of one world, as often as it is killed."""

    def __init__(self, plan):
        self.trap = self.trap_env = None
        self.armed = None  # the file from whose being there on the trap of the store counts
        self.loads = can_load()
        self.uid, self.other = os.geteuid(), other_uid()
        self.kept, self.scrubbed = plan.kept, plan.scrubbed
        self.last_users = checker.LastUsers()
        uids = {self.uid, self.other}
        self.rules = {vm: (user, {self.uid} if vm == choices.CLOSED_TO_OTHERS else uids)
                      for vm, user in choices.RUN_AS.items()}
        self.disturbed = set()
        self.hangs_of_others = 0
        self.submitted = []
        self.answers_by_kind = collections.Counter()
        self.sprung = []
        self.refusals = []
        self.operations = 0
        super().__init__({"gpus": plan.gpus, "linger_seconds": 600,
                          "vms": [{"name": "trainer-%d", "count": 2}, {"name": "desk-1"},
                                  {"name": choices.ON_DEMAND, "state": "off"}]},
                         self.policy(20), {"deadlines": {"guest_ready": "3s", **DEADLINES}}, start=False)
        self.ledger_folder = self.folder / "ledger"
        self.ledger_folder.mkdir(mode=0o777)
        os.chmod(self.folder, 0o755)
        os.chmod(self.ledger_folder, 0o777)
        self.ledger = checker.Ledger(self.ledger_folder)
        for vm in choices.VMS:
            program = self.state / "guests" / vm / choices.READY[0].lstrip("/")
            program.parent.mkdir(parents=True)
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)

    def policy(self, quantum, assigned=None):
        """One of the VMs has its VFs by libvirt's driver work, the others by gpuvf's; one has a command that must
        succeed before a job; one is started on demand, and is for the first user."""
        more = {choices.MANAGED: {"managed": "yes"}, choices.ON_DEMAND: {"start": "on-demand", "stop_idle": "1s"},
                "trainer-1": {"ready": choices.READY}}
        if self.uid == 0:
            more[choices.CLOSED_TO_OTHERS]["allow"] = ["user:root"]
        access = [{"user": "root", "role": "admin"}, {"user": OTHER, "role": "operator"}] if self.uid == 0 else []
        gpus = [{"match": {"address": choices.SECOND}, "layout": "none", "heal": False,
                 "reuse": "scrubbed" if self.scrubbed else "same-user"}]
        return {**POLICY, "access": access, "gpus": gpus if self.kept or self.scrubbed else [],
                "vms": [{**POLICY["vms"][0], "match": vm, "run_as": user, **more[vm]}
                        for vm, user in choices.RUN_AS.items()],
                "queues": [{**POLICY["queues"][0], "preempt_grace": "1s"},
                           {"name": choices.URGENT, "priority": 90, "preempts": ["default"]}],
                "assignments": [assigned] if assigned else [],
                "layouts": [*POLICY["layouts"], {"name": "none", "vfs": 0}],
                "profiles": [*POLICY["profiles"], *PROFILES,
                             {"name": "changed", "vram": "25%", "exec_quantum": f"{quantum}ms"}]}

    def environment(self):
        more = {"LD_PRELOAD": str(KILL_AT), "GPUVF_KILL_AT": self.trap_env} if self.trap_env else {}
        if self.armed:
            more["GPUVF_KILL_FROM"] = str(self.armed)
        return {**super().environment(), **more}

    # -- life and death

    def launch(self):
        """Starts it and waits until it answers; False when it was killed before."""
        self.process = self.spawn()

        def answers():
            status = self.process.poll()
            if status is not None:
                return status
            try:
                with Client(self.socket) as client:
                    client.call("daemon.status")
                os.chmod(self.socket, 0o666)
                return True
            except GONE:
                return None

        came = wait_for(answers, "the daemon answers")
        if came is True:
            return True
        self.hang_up()
        if came == -signal.SIGKILL:
            return False
        raise Violation(f"the daemon ended with status {came}: {self.log().splitlines()[-1:]}")

    def client_of_other(self):
        """The daemon sees who connects, so it is enough to be somebody else for that long."""
        try:
            os.seteuid(self.other)
            return self.client()
        finally:
            os.seteuid(self.uid)

    def dead(self):
        return self.process is None or self.process.poll() is not None

    def fate(self):
        """Of a connection that broke only the daemon's end tells why."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.process is not None:
                return f"the daemon ended with status {self.process.wait(1)}"
        return "the daemon lives, or was ended by us"

    def bury(self):
        """It is dead, by our hand or the trap's; by nothing else."""
        if self.process is None:
            return
        self.process.kill()
        status = self.process.wait(PATIENCE)
        self.hang_up()
        if status != -signal.SIGKILL:
            raise Violation(f"the daemon ended by itself with status {status}: {self.log().splitlines()[-3:]}")

    def ask(self, op, **members):
        """Somebody else in the machine; False when it is refused."""
        try:
            return self.machine(op, **members)
        except (AssertionError, FileNotFoundError, ConnectionRefusedError):
            return False  # or there is no machine yet: the first daemon died before it made one

    # -- one round

    def play(self, one):
        store = choices.in_store(one.trap)
        if store and self.loads:
            self.trap_env = f"{one.trap[1]}:{one.nth}:{one.trap[2]}"
            if one.arms():
                self.armed = self.folder / "armed"
                self.armed.unlink(missing_ok=True)
        if not (self.state / "machine.sock").exists():
            self.launch()
        trap = choices.trap_of(one.trap[1], one.nth, one.trap[2])
        again = one.in_start or self.trap_env
        if again:
            self.bury()
        if one.in_start and not store and (self.state / "machine.sock").exists():
            self.fault(**trap)
        alive = self.launch() if again or self.dead() else True
        if alive and one.trap[0] == "recover":
            alive = self.recovered()
        self.trap_env = None
        if not alive:  # of whatever it is a step elsewhere, here it was one of coming back
            self.sprung.append(("store" if store else "recover", *one.trap[1:]))
        elif self.lived(one, trap, store):
            self.sprung.append(one.trap)
        self.armed = None
        self.bury()
        wrong = self.look_at_users()
        self.ask("clear-faults")
        self.between(one)
        self.settle(one.stays_paused, one.no_policy, one.hangs and one.stays_hung and not one.no_policy)
        self.check(wrong)

    def lived(self, one, trap, store):
        """What the round is for; true when the daemon died of it."""
        self.ask("clear-faults")
        self.trap = None if store or one.trap[0] == "recover" else trap
        if self.trap and not one.arms():
            self.fault(**self.trap)
        self.act(one)
        if one.hangs:
            self.look_at_guests()
        return self.dead()

    def look_at_guests(self):
        """While something hangs, what a guest has is nobody else's."""
        before = self.ask("state")
        rows, after = checker.rows_of(self.state), self.ask("state")
        wrong = checker.in_guests(before, rows, after) if before and after else []
        hung = [task for task in (after or {"tasks": []})["tasks"] if task["waits_for"] == "release"]
        self.answers_by_kind["hung", 0] += len(hung)
        if wrong:
            raise Violation("\n".join(wrong))

    def recovered(self):
        """What was under way has its end; False when it has died."""
        try:
            self.patiently(lambda: self.quiet(self.main_client()))
        except GONE:
            pass
        return not self.dead()

    def let_go_on(self, until):
        """What the trap waits for gets its time; returns when it is over, or as soon as the daemon has died."""
        if until is None:
            return
        with Client(self.socket) as client:
            self.patiently(lambda: not client.items("job.list", user="*"), 4)
            if until == "off":  # after "stop_idle", which is a second at least
                self.patiently(lambda: client.call("vm.get", vm=choices.ON_DEMAND)["state"] == "off", 3)

    @staticmethod
    def patiently(condition, seconds=2):
        """Waits, and goes on if it was in vain, or on a full disk is not even answered: then the trap is met by chance,
        or not at all."""
        with contextlib.suppress(Violation, RpcError):
            wait_for(condition, "", seconds)

    def quiet(self, client):
        return client.call("daemon.status")["hypervisor_connected"] and not self.under_way(client)

    def cancel_all(self):
        def cancel(client):
            for job in client.items("job.list", user="*"):
                with contextlib.suppress(RpcError):
                    client.call("job.cancel", id=job["id"])
            return True

        with Client(self.socket) as client:
            self.patiently(lambda: cancel(client))
            self.patiently(lambda: not client.items("job.list", user="*"))

    def rest(self, condition=lambda client: True):
        """Asks on a connection of its own: the answers on the other are heard later."""
        with Client(self.socket) as client:
            self.patiently(lambda: self.quiet(client) and condition(client))

    def listed(self):
        """libvirt was asked for all domains, which it is at most every two seconds."""
        with Client(self.socket) as client:
            self.patiently(lambda: client.items("vm.list") is None, 2.2)

    def freed(self, gpu):
        """One of its VFs came back, while something else hangs."""
        with Client(self.socket) as client:
            self.patiently(lambda: any(vf["state"] == "free" for vf in client.items("vf.list", gpu=gpu)), 0.7)

    def arm(self, when):
        self.rest(*([self.one_runs] if when == "running" else []))
        if self.trap:
            self.ask("clear-faults")
            self.fault(**self.trap)
        if self.armed:
            self.armed.touch()

    def one_runs(self, client):
        """Whether a job of this daemon's list runs; whose answers have not been heard are known by it as well."""
        ids = {job["name"]: job["id"] for job in client.items("job.list", user="*", ended=True)}
        for job in self.submitted:
            job.id = job.id or ids.get(job.token)
        return [job for job in client.items("job.list", user="*") if job["state"] == "running"]

    def act(self, one):
        if one.full_disk:
            limit = checker.size_of(self.state)
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            client = self.client()
            asked, self.of_other = {}, None
            for pause, action in one.actions:
                if pause:
                    time.sleep(pause)
                self.operations += 1
                self.do(action, client, asked)
            self.listen(client, asked, one.linger)
            if self.of_other:
                self.listen(*self.of_other, 0)
            self.let_go_on(one.until)
        except GONE:
            pass  # it has died: what was not answered is not known

    def do(self, action, client, asked, uid=None):
        kind = action[0]
        if kind == "call":
            asked[client.begin(action[1], **action[2])] = (action, None)
        elif kind == "submit":
            job = Submitted(action[1], self.uid if uid is None else uid)
            self.submitted.append(job)
            asked[client.begin("job.submit", **self.submission(job))] = (action, job)
        elif kind == "other":
            self.of_other = self.of_other or (self.client_of_other(), {})
            self.do(action[1], *self.of_other, self.other)
        elif kind == "cancel":
            known = [job.id for job in self.submitted if job.id is not None]
            if known:
                number = known[action[1]["which"] % len(known)]
                asked[client.begin("job.cancel", id=number)] = (action, None)
        elif kind == "extend":
            known = [job.id for job in self.submitted if job.id is not None and "session" in job.request][-2:]
            if known:  # the others are over
                number = known[action[1]["which"] % len(known)]
                asked[client.begin("job.extend", id=number, time_seconds=1)] = (action, None)
        elif kind == "cancel-all":
            self.cancel_all()
        elif kind == "arm":
            self.arm(action[1]["when"])
        elif kind == "rest":
            self.rest()
        elif kind == "listed":
            self.listed()
        elif kind == "runs":
            self.rest(self.one_runs)
        elif kind == "freed":
            self.freed(action[1]["gpu"])
        elif kind == "policy":
            self.write_policy(self.policy(**action[1]))
            asked[client.begin("policy.reload")] = (action, None)
        else:
            self.disturb(action[1], action[2])

    def reattach(self, which):
        """virsh detach-device and attach-device, on the sides where the VM has it."""
        state = self.ask("state") or {"gpus": [], "vms": []}
        places = {vf["address"]: {"gpu": gpu["name"], "vf": vf["index"]} for gpu in state["gpus"] for vf in gpu["vfs"]}
        ours = [(vm["name"], h) for vm in state["vms"] for h in vm["hostdevs"]
                if h["live"] and h["address"] in places and checker.ALIAS.match(h["alias"] or "")]
        if not ours:
            return False
        vm, hostdev = ours[which % len(ours)]
        what = {"vm": vm, "live": True, "config": hostdev["config"], **places[hostdev["address"]]}
        return self.ask("foreign-detach", **what) and self.ask("foreign-attach", **what)

    def steal(self, which):
        """What the definition of a VM that is off names goes into the guest of another, by virsh attach-device."""
        state = self.ask("state") or {"gpus": [], "vms": []}
        places = {vf["address"]: {"gpu": gpu["name"], "vf": vf["index"]} for gpu in state["gpus"] for vf in gpu["vfs"]}
        in_use = {h["address"] for vm in state["vms"] for h in vm["hostdevs"] if h["live"]}
        choices = [(thief["name"], h["address"]) for vm in state["vms"] if vm["state"] == "off" for h in vm["hostdevs"]
                   if h["address"] in places and h["address"] not in in_use
                   for thief in state["vms"] if thief["state"] == "running"]
        if not choices:
            return False
        vm, address = choices[which % len(choices)]
        self.last_users.forget(places[address]["gpu"], places[address]["vf"])
        return self.ask("foreign-attach", vm=vm, live=True, **places[address])

    def pause_busy(self):
        """Whose job runs is suspended, and what runs in it stays there.  On a full disk that may not be answered."""
        with Client(self.socket) as client, contextlib.suppress(RpcError):
            return any([self.ask("domain-pause", vm=job["vm"]) for job in self.one_runs(client)])
        return False

    def disturb(self, op, members):
        if op == "pause-busy":
            return self.pause_busy()
        if op == "resume-all":
            return self.resume_all()
        if op == "undefine":
            return self.ask("domain-stop", **members) and self.ask("domain-undefine", **members)
        if op == "reattach":
            return self.reattach(members["which"])
        if op == "steal":
            return self.steal(members["which"])
        reply = self.ask(op, **members)
        if reply and "gpu" in members and op in ("hold", "foreign-attach", "set-numvfs", "unbind-driver"):
            self.last_users.forget(members["gpu"], members.get("vf"))
        if reply and op in ("set-numvfs", "set-attribute", "unbind-driver", "bind-driver"):
            self.disturbed.add(members["gpu"])
        if reply and reply.get("hangs"):
            self.hangs_of_others += 1
        return reply

    def submission(self, job):
        one = job.request
        if "session" in one:
            document = {"version": 1, "name": job.token, "session": True, "time_limit": one["session"],
                        **({"run_in": {"vm": one["vm"]}} if one["vm"] else {})}
            return {"job": document, "request_id": job.token}
        work = f"sleep {one['seconds']}" if one["seconds"] else ":"
        if one["outputs"]:
            work += f"; echo {job.token} >out-{job.token}"
        script = JOB.format(ledger=self.ledger_folder, token=job.token, work=work)
        document = {"version": 1, "name": job.token, "retries": one["retries"],
                    "command": ["/bin/sh", "-c", script], **({"outputs": ["out-*"]} if one["outputs"] else {})}
        if one["vm"]:
            document["run_in"] = {"vm": one["vm"]}
        if one["queue"]:
            document["queue"] = one["queue"]
        return {"job": document, "request_id": job.token}

    def heard(self, asked, answer):
        action, job = asked.pop(answer["id"])
        code = answer.get("error", {}).get("code", 0)
        method = action[1] if action[0] == "call" else action[0]
        self.answers_by_kind[method, code] += 1
        if job is None:
            return
        if "result" in answer:
            job.id = answer["result"]["id"]
        elif code != DEGRADED:  # that one may be asked again
            job.refused = True

    def listen(self, client, asked, seconds):
        """Until the time is over and all is answered, or it has died."""
        deadline = time.monotonic() + seconds
        last = deadline + PATIENCE
        while asked or time.monotonic() < deadline:
            now = time.monotonic()
            try:
                message = client.read(max(0.001, (last if asked else deadline) - now))
            except TimeoutError:
                if asked and time.monotonic() >= last:
                    raise Violation(f"no answer to {list(asked.values())}") from None
                continue
            if message is None:
                raise ConnectionError("it has died")
            self.heard(asked, message)

    # -- while no daemon is there

    def between(self, one):
        for action in one.meanwhile:
            self.disturb(action[1], action[2])
        if one.reboot:
            self.reboot(one.swaps_cards and not self.kept and not self.scrubbed)  # which are rules for a slot
        if one.damage and (self.state / "state.mark").exists():
            self.damage(one.damage)

    def reboot(self, swap):
        self.ask("release-hang")
        if not self.ask("reboot"):
            return
        if swap:
            for vm in choices.VMS:  # what is defined later names the slots of before, by somebody else's hand
                self.ask("domain-define", vm=vm)
            first, second = [gpu["address"] for gpu in self.machine("state")["gpus"]]
            for gpu, address in (("gpu0", NOWHERE), ("gpu1", first), ("gpu0", second)):
                self.machine("move-gpu", gpu=gpu, address=address)
        self.disturbed.update(choices.GPUS)
        base = sqlite3.connect(self.state / "state.db", timeout=10)
        with base:
            base.execute("UPDATE meta SET doc = ? WHERE id = 'boot'", ('{"value":"another"}',))
        base.close()

    def damage(self, how):
        """The file is damaged: refused, with a clear word and a copy; then it is put back."""
        files = [p for p in self.state.glob("state.*") if ".damaged-" not in p.name]
        kept = self.folder / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        for path in files:
            shutil.copy2(path, kept)
        base = self.state / "state.db"
        (self.state / "state.db-wal").unlink(missing_ok=True)
        if how == "cut":
            os.truncate(base, base.stat().st_size // 2)
        elif how == "garbage":
            base.write_bytes(b"no database " * 5000)
        elif how == "empty":
            os.truncate(base, 0)
        else:
            base.unlink()
        before = len(self.log())
        process = self.spawn()
        status = process.wait(PATIENCE)
        said = self.log()[before:]
        if status <= 0 or "--restore-backup" not in said:
            raise Violation(f"state.db ({how}): status {status}, said {said!r}")
        if how in ("cut", "garbage") and not list(self.state.glob("state.db.damaged-*")):
            raise Violation(f"state.db ({how}): no copy was kept")
        for path in self.state.glob("state.db*"):
            path.unlink()
        for path in kept.iterdir():
            shutil.copy2(path, self.state)

    # -- the end of a round

    def resume_all(self):
        for vm in choices.VMS:
            self.ask("domain-resume", vm=vm)

    def live_without_policy(self):
        """One daemon finds a policy that does not load, and dies of a kill -9; whom it finds it gives up for nothing."""
        if not (self.state / "state.mark").exists():
            return  # it died before it had a store
        path = self.policies / "10-test.json"
        text = path.read_text()
        base = sqlite3.connect(self.state / "state.db", timeout=10)
        base.execute("SELECT count(*) FROM job").fetchone()  # what the dead daemon left in the log is taken in
        base.close()
        before = checker.rows_of(self.state)["job"]
        path.write_text("{ oops")
        if not self.launch():
            raise Violation("the daemon died without a trap")
        self.recovered()
        self.bury()
        path.write_text(text)
        wrong = checker.given_up(before, checker.rows_of(self.state)["job"])
        if wrong:
            raise Violation("\n".join(wrong))

    def settle(self, stays_paused=False, no_policy=False, stays_hung=False):
        """The world is whole again and a daemon is there, which may find it before that; returns when nothing is under
        way."""
        for op in ("libvirt-up",) if stays_hung else ("libvirt-up", "release-hang"):
            self.ask(op)
        for vm in (self.ask("state") or {"vms": []})["vms"]:
            if vm["state"] == "crashed":
                self.ask("domain-stop", vm=vm["name"])
        for gpu in choices.GPUS:
            for index in (1, 2, 3, 4):
                self.ask("unhold", gpu=gpu, vf=index)
            if self.ask("bind-driver", gpu=gpu):
                self.disturbed.add(gpu)
        for vm in choices.VMS:
            self.ask("agent", vm=vm, agent=True)
        if not stays_paused:
            self.resume_all()
        if no_policy:
            self.live_without_policy()
        if not self.launch():
            raise Violation("the daemon died without a trap")
        self.client_for_checks = self.client()
        if stays_hung:
            self.patiently(lambda: self.quiet(self.client_for_checks), 1.5)
            self.ask("release-hang")
        if stays_paused:
            self.patiently(lambda: self.quiet(self.client_for_checks))  # it has made up its mind about them
            self.resume_all()
        self.ask_again()
        self.until_calm()

    def ask_again(self):
        """Whoever got no answer asks again, with the same request_id."""
        clients = {self.other: self.client_of_other(), self.uid: self.client_for_checks}
        for job in self.submitted:
            while job.id is None and not job.refused:
                try:
                    job.id = clients[job.uid].call("job.submit", **self.submission(job))["id"]
                except RpcError as error:
                    if error.code != DEGRADED:
                        job.refused = True

    @staticmethod
    def under_way(client):
        return [o for state in ("accepted", "running") for o in client.items("operation.list", state=state)]

    def until_calm(self):
        client = self.client_for_checks
        wait_for(lambda: client.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
        patience = time.monotonic() + 0.1
        cancelled = set()
        while True:
            left = self.under_way(client)
            if not left:
                break
            if time.monotonic() > patience:  # what waits for somebody is taken back
                for operation in left:
                    if operation["operation"] in cancelled:
                        continue
                    cancelled.add(operation["operation"])
                    with contextlib.suppress(RpcError):
                        client.call("operation.cancel", operation=operation["operation"])
            if time.monotonic() > patience + PATIENCE:
                raise Violation(f"never ends: {left}")
            time.sleep(0.01)

    def seen(self):
        return [job.seen() for job in self.submitted]

    def wrongs(self):
        rows, machine = checker.rows_of(self.state), self.machine("state")
        return checker.calm(machine, rows, self.seen(), self.ledger, self.disturbed) + \
            checker.users(machine, rows, self.seen(), self.ledger, self.rules)

    def look_at_users(self):
        """Also where no daemon is: what was given in between would be forgotten."""
        machine = self.ask("state")
        return self.last_users.look(machine, checker.rows_of(self.state), self.kept, self.scrubbed) if machine else []

    def check(self, before):
        """Jobs go on while we look, and no two looks are of the same moment: only what stays is wrong.  before: what
        was wrong already."""
        deadline = time.monotonic() + PATIENCE / 6
        wrong = self.wrongs()
        while wrong and time.monotonic() < deadline:
            time.sleep(0.005)
            wrong = [w for w in self.wrongs() if w in wrong]
        machine = self.machine("state")
        wrong += before + checker.hard(machine, self.ledger, self.hangs_of_others) + self.look_at_users()
        if wrong:
            raise Violation("\n".join(wrong))
        rows = checker.rows_of(self.state)
        self.disturbed = {gpu for gpu in self.disturbed
                          if any(w.startswith(f"{gpu}") for w in checker.differing(machine, rows, ()))}

    def finish(self):
        """All is given back; every job gets its time, and ends."""
        self.write_policy(self.policy(20))
        self.try_call("policy.reload")
        self.ask("domain-stop", vm=choices.CLOSED)
        until(lambda: not any(vf["lease"] and vf["lease"]["owner"] == "policy" and vf["vm"] == choices.CLOSED
                              for vf in self.client_for_checks.items("vf.list")),
              "what the policy gave to it is given back", 10)
        for vm in choices.VMS:
            self.ask("domain-define", vm=vm)
            self.ask("domain-start", vm=vm)
        self.give_back_foreign()
        self.give_back()
        for vm in choices.VMS:
            self.try_call("vm.heal", vm=vm)
        for gpu in choices.GPUS:
            self.try_call("gpu.undrain", gpu=gpu)
            for vf in self.client_for_checks.items("vf.list", gpu=gpu):
                if vf["state"] == "quarantined":
                    self.try_call("vf.heal", vf=vf["name"], wait_seconds=PATIENCE)
            self.try_call("gpu.apply", gpu=gpu, layout={"vfs": 2}, wait_seconds=PATIENCE)
        self.end_jobs()
        self.give_back_foreign()
        self.give_back()
        for gpu in choices.GPUS:  # where a job was in the way
            self.try_call("gpu.apply", gpu=gpu, layout={"vfs": 2}, wait_seconds=PATIENCE)
        self.until_calm()
        wrong = self.wrongs_at_the_end()
        deadline = time.monotonic() + PATIENCE / 6
        while wrong and time.monotonic() < deadline:  # what somebody else gave up goes through the gate yet
            self.client_for_checks.items("vf.list")  # of what others took out of a definition libvirt tells who asks
            time.sleep(0.005)
            wrong = self.wrongs_at_the_end()
        if wrong:
            raise Violation("at the end: " + "\n".join(wrong + self.refusals))

    def wrongs_at_the_end(self):
        machine = self.machine("state")
        return checker.final(machine, checker.rows_of(self.state)) + self.wrongs() + \
            checker.hard(machine, self.ledger, self.hangs_of_others)

    def give_back(self):
        """What VMs have been assigned, one by one: a job's VF would keep the others."""
        for vf in self.client_for_checks.items("vf.list"):
            if vf["lease"] and vf["lease"]["owner"] in ("vm", "policy"):  # which gives none any more
                self.try_call("vf.release", vf=vf["name"], wait_seconds=PATIENCE)
        for row in checker.rows_of(self.state)["lease"].values():
            if row["owner"] == "vm" and row.get("gone"):
                self.try_call("vf.release", vm=row["vm_uuid"], all=True, wait_seconds=PATIENCE)

    def try_call(self, method, **params):
        try:
            return self.client_for_checks.call(method, **params)
        except RpcError as error:
            self.refusals.append(f"{method} {params}: {error}")
            return None

    def give_back_foreign(self):
        """What others attached by hand, or before a reboot, is taken back by hand; a quarantined VF has no lease, and
        somebody may have attached it all the same."""
        state, rows = self.machine("state"), checker.rows_of(self.state)
        ours = {key for key, row in rows["lease"].items()
                if row["owner"] not in ("foreign", "none") and row["state"] != "quarantined"}
        cards = {gpu["address"]: gpu["name"] for gpu in state["gpus"]}
        names = {vf["address"]: (gpu["name"], vf["index"]) for gpu in state["gpus"] for vf in gpu["vfs"]
                 if f"{gpu['address']}/{vf['index']}" not in ours}
        for vm in state["vms"]:
            for hostdev in vm["hostdevs"]:
                if hostdev["address"] in cards and hostdev["config"]:
                    self.ask("foreign-detach", vm=vm["name"], gpu=cards[hostdev["address"]], config=True)
                if hostdev["address"] not in names:
                    continue
                gpu, index = names[hostdev["address"]]
                for where in ("live", "config"):
                    if hostdev[where]:
                        self.ask("foreign-detach", vm=vm["name"], gpu=gpu, vf=index, **{where: True})

    def end_jobs(self):
        """Those that have begun go on to their end.  Of those that wait a few get their chance; what still finds no
        place then is cancelled."""
        waiting = [j["id"] for j in self.client_for_checks.items("job.list", user="*") if j["state"] in ("queued", "held")]
        for number in waiting[2:]:
            self.try_call("job.cancel", id=number)
        patience = time.monotonic() + 5
        left = []

        def all_ended():
            left[:] = [j for j in self.client_for_checks.items("job.list", user="*") if j["state"] != "ended"]
            if time.monotonic() > patience:
                for job in left:
                    if job["state"] == "queued":
                        self.try_call("job.cancel", id=job["id"])
            return not left

        try:
            wait_for(all_ended, "every job has ended")
        except Violation as why:
            raise Violation(f"{why}: {[(j['id'], j['state'], j['reason']) for j in left]}") from None
