# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts the real daemon over a made-up machine in a folder of its own, and tells results as TAP.

A test is a function with the decorator @test; it makes a World, asks it, and fails by an exception.
Nothing waits for a time to pass: `until` waits for a condition, with a deadline."""

import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback

from gpuvf_client import Client, RpcError

SOURCE = pathlib.Path(os.environ.get("abs_top_srcdir",
                                     pathlib.Path(__file__).resolve().parent.parent.parent))
BUILD = pathlib.Path(os.environ.get("abs_top_builddir", SOURCE / "build"))
# Deadlines are for failures only; a sanitizer or valgrind may be slow.
PATIENCE = int(os.environ.get("GPUVF_TEST_PATIENCE", "60"))

MACHINE = {
    "gpus": [{"model": "Flex 170", "driver": "xe", "total_vfs": 31, "vram": "16GiB"}],
    "vms": [{"name": "trainer-%d", "count": 2}],
}
POLICY = {
    "version": 1,
    "profiles": [{"name": "quarter", "vram": "25%", "exec_quantum": "20ms"}],
    "layouts": [{"name": "quarters", "slices": [{"profile": "quarter", "count": 4}]}],
    "vms": [{"match": "trainer-*", "allow": ["everyone"], "run_as": "trainer"}],
    "queues": [{"name": "default", "default": True, "priority": 50, "max_priority": 100}],
}


# ---- telling results

class Skip(Exception):
    """The test cannot run here; the text says why."""


_tests = []


def test(function):
    """Its first line of documentation is the test's name."""
    _tests.append(function)
    return function


def comment(text):
    for line in str(text).splitlines():
        print(f"# {line}")
    sys.stdout.flush()


def _run_test(number, function):
    """Prints what became of it; true when that is good."""
    name = function.__doc__.strip().splitlines()[0].rstrip(".")
    try:
        function()
    except Skip as reason:
        print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        return True
    except Exception:  # pylint: disable=broad-except
        comment(traceback.format_exc())
        World.tell_all()
        print(f"not ok {number} - {name}", flush=True)
        return False
    finally:
        World.end_all()
    print(f"ok {number} - {name}", flush=True)
    return True


def _start_test(number, function):
    """In a process of its own; returns its pid and a file of what it prints."""
    output = tempfile.TemporaryFile("w+", errors="replace")
    pid = os.fork()
    if pid == 0:
        os.dup2(output.fileno(), 1)
        os._exit(0 if _run_test(number, function) else 1)
    return pid, output


def _run_at_once(chosen):
    """All at the same time; their results are printed in order."""
    running = [_start_test(number, t) for number, t in enumerate(chosen, 1)]

    def stop(*_):
        for pid, _output in running:
            os.kill(pid, signal.SIGTERM)
        sys.exit(143)

    signal.signal(signal.SIGTERM, stop)
    results = []
    for number, (pid, output) in enumerate(running, 1):
        _, status = os.waitpid(pid, 0)
        output.seek(0)
        text = output.read()
        print(text, end="")
        if status != 0 and f"\nnot ok {number} " not in f"\n{text}":
            print(f"not ok {number} - {chosen[number - 1].__name__}: its process ended with status {status}")
        sys.stdout.flush()
        results.append(status == 0)
    return results


def folder_in_memory(room=1 << 30):
    """What a disk's fsync costs is not what is tested: where there is a file system in memory with that much room, for all
    that runs at once, worlds live there, each in some 5 MB, with programs of their guests."""
    def available():
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))

    if ("TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) and not os.statvfs("/dev/shm").f_flag & os.ST_NOEXEC
            and shutil.disk_usage("/dev/shm").free > room and available() > 4 * room):
        os.environ["TMPDIR"] = "/dev/shm"
        tempfile.tempdir = None


def main(at_once=False):
    """Runs the tests of the script, or those whose name contains an argument; one after the other, or
    at once where they mostly wait."""
    chosen = [t for t in _tests
              if not sys.argv[1:] or any(word in t.__name__ for word in sys.argv[1:])]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A shell that runs the tests in the background has them ignore SIGINT, and gpuvf would with them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder_in_memory()
    print(f"1..{len(chosen)}", flush=True)
    if at_once:
        results = _run_at_once(chosen)
    else:
        results = [_run_test(number, t) for number, t in enumerate(chosen, 1)]
    sys.exit(0 if all(results) else 1)


_seed = int(os.environ.get("GPUVF_SEED", random.SystemRandom().randrange(1 << 32)))


def seeded():
    """Chance that can be repeated: GPUVF_SEED=… runs the same again."""
    comment(f"GPUVF_SEED={_seed}")
    return random.Random(_seed)


def until(condition, what, seconds=None):
    """What the condition returned when it was true at last; AssertionError when it never is."""
    deadline = time.monotonic() + (seconds or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.01)


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


@contextlib.contextmanager
def refused(code, *words, field=None, reason=None):
    """The block must raise RpcError with this code, and these words in message or hint."""
    try:
        yield
    except RpcError as error:
        equal(error.code, code, f"code of \"{error.message}\"")
        text = f"{error.message} {json.dumps(error.data)}".lower()
        for word in words:
            if word.lower() not in text:
                raise AssertionError(f"\"{word}\" is missing in: {text}") from error
        if field is not None:
            equal(error.field, field, f"field of \"{error.message}\"")
        if reason is not None:
            equal(error.reason, reason, "reason")
    else:
        raise AssertionError(f"this was not refused with {code}")


# ---- the daemon and its machine

class World:
    """A daemon over a made-up machine, with its own state, socket and policy."""

    _worlds = []

    def __init__(self, machine=None, policy=None, config=None, start=True, arguments=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gpuvf-"))
        self.state = self.folder / "state"
        self.policies = self.folder / "policies"
        self.socket = str(self.folder / "sock")
        self.log_path = self.folder / "log"
        self.config = self.folder / "gpuvfd.json"
        self.document = self.folder / "machine.json"
        self.arguments = list(arguments)
        self.program = "gpuvfd"
        self.limits = {}
        self.process = None
        self.own = None
        self.clients = []
        World._worlds.append(self)
        self.state.mkdir(mode=0o700)
        self.policies.mkdir()
        self.document.write_text(json.dumps({**MACHINE, **(machine or {})}))
        self.config.write_text(json.dumps(config or {}))
        self.write_policy(POLICY if policy is None else policy)
        if start:
            self.start()

    # -- files

    def write_policy(self, policy, name="10-test.json"):
        text = policy if isinstance(policy, str) else json.dumps(policy, indent=1)
        (self.policies / name).write_text(text)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # -- the daemon's life

    def command(self, *more):
        return [*os.environ.get("GPUVF_TEST_WRAPPER", "").split(), str(BUILD / self.program),
                "--foreground", "--config", str(self.config), "--socket", self.socket,
                "--state-dir", str(self.state), "--policy-dir", str(self.policies),
                "--simulate", str(self.document), *self.arguments, *more]

    def _child_limits(self):
        for what, value in self.limits.items():
            resource.setrlimit(what, (value, value))

    def environment(self):
        return {**os.environ, "GPUVF_SOCKET": self.socket, "GPUVF_DATADIR": str(SOURCE),
                "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}

    def spawn(self, *more, log=None):
        with open(log or self.log_path, "ab") as stream:
            return subprocess.Popen(self.command(*more), stdin=subprocess.DEVNULL, stdout=stream,
                                    stderr=stream, env=self.environment(), close_fds=True,
                                    preexec_fn=self._child_limits if self.limits else None)

    def start(self):
        self.process = self.spawn()
        until(self.answers, "the daemon answers")
        self._wait_for_libvirt()

    def _wait_for_libvirt(self):
        """What a host has a moment after its start; a test whose libvirt is away goes on once that is told."""
        with contextlib.suppress(AssertionError, RpcError, OSError), Client(self.socket) as client:
            until(lambda: any(map(client.call("daemon.status").get, ("hypervisor_connected", "hypervisor_reason"))),
                  "libvirt is there, or away")

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with status {self.process.returncode}")
        try:
            with Client(self.socket) as client:
                client.call("daemon.status")
            return True
        except (ConnectionRefusedError, FileNotFoundError, ConnectionResetError):
            return False

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def kill(self):
        """kill -9, in the middle of whatever it does."""
        self.process.kill()
        self._reap()

    def until_killed(self):
        """The daemon was killed by a fault of the machine; nothing else may have ended it."""
        equal(self._reap(), -signal.SIGKILL, "status of the daemon")

    def killed_by(self, ask, on, **members):
        """What it is asked kills it, at that point of the machine (members: of the fault); with what it answered before,
        or None.  The machine knows no faults after that."""
        answer = None
        self.fault(on, **{"nth": 1, **members})
        with contextlib.suppress(OSError, EOFError):
            answer = ask()
        self.until_killed()
        self.machine("clear-faults")
        return answer

    def _reap(self):
        status = self.process.wait(PATIENCE)
        self.hang_up()
        return status

    def hang_up(self):
        """The daemon is gone; so are its connections."""
        self.process = self.own = None
        for client in self.clients:
            client.close()
        self.clients = []

    def boot(self):
        """The host goes down and comes up: another boot's id, and the state of the daemon as it was."""
        self.kill()
        database = sqlite3.connect(self.state / "state.db")
        with database:
            database.execute("UPDATE meta SET doc = json_object('value', ?) WHERE id = 'boot'",
                             ["00000000-0000-4000-8000-000000000000"])
        database.close()
        until(self._switched_off, "what the machine does for the dead daemon is done")
        self.start()
        until(lambda: self.call("daemon.status")["hypervisor_connected"], "libvirt is connected")

    def _switched_off(self):
        try:
            self.machine("reboot")
            return True
        except AssertionError as error:
            if "under way" not in str(error):
                raise
            return False

    def crash_and_restart(self):
        self.kill()
        self.start()

    # -- talking to it

    def client(self, timeout=None):
        client = Client(self.socket, timeout or PATIENCE)
        self.clients.append(client)
        return client

    def main_client(self):
        """One connection that is kept until the daemon ends."""
        if self.own is None:
            self.own = self.client()
        return self.own

    def call(self, method, /, **params):
        return self.main_client().call(method, **params)

    def items(self, method, /, **params):
        return self.main_client().items(method, **params)

    def cli(self, *words, stdin=None, check=None, **options):
        """gpuvf WORDS; check = the exit status that is wanted."""
        done = subprocess.run([str(BUILD / "gpuvf"), *words], input=stdin, text=True,
                              stdin=None if stdin is not None else subprocess.DEVNULL,
                              capture_output=True, env=self.environment(), timeout=PATIENCE,
                              check=False, errors="replace", **options)
        if check is not None and done.returncode != check:
            raise AssertionError(f"gpuvf {' '.join(words)}: status {done.returncode}, wanted "
                                 f"{check}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        return done

    # -- the machine behind it

    def machine(self, op, **members):
        """Asks the made-up machine itself."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.state / "machine.sock"))
            question = {"id": 1, "machine": {"op": op, **members}}
            connection.sendall(json.dumps(question).encode() + b"\n")
            data = b""
            while not data.endswith(b"\n"):
                piece = connection.recv(1 << 20)
                if not piece:
                    raise AssertionError(f"the machine closed the connection: {data!r}")
                data += piece
        reply = json.loads(data)["reply"]
        if "error" in reply:
            raise AssertionError(f"machine {op}: {reply['error']}")
        return reply

    def fault(self, on, **members):
        self.machine("fault", fault={"on": on, **members})

    def until_hangs(self):
        """A request has met its fault: release-hang would not find one that is still on its way there."""
        until(lambda: any(task["waits_for"] == "release" for task in self.machine("state")["tasks"]), "a request hangs")

    def writes(self, gpu="gpu0"):
        """How often each thing of the GPU was written."""
        return self.machine("writes")[gpu]

    # -- what tests ask often

    def gpu(self, name="gpu0"):
        return self.call("gpu.get", gpu=name)

    def vf(self, name):
        return self.call("vf.get", vf=name)

    def vm(self, name):
        return self.call("vm.get", vm=name)

    def job(self, number):
        return self.call("job.get", id=number)

    def apply(self, count=4, gpu="gpu0", **more):
        """Cuts the GPU and waits for the end."""
        layout = {"vfs": count} if isinstance(count, int) else count
        return self.call("gpu.apply", gpu=gpu, layout=layout, wait_seconds=PATIENCE, **more)

    def submit(self, *command, **members):
        """Queues a job that runs this in a shell; returns its id."""
        document = {"version": 1, **members}
        if command:
            document["command"] = ["/bin/sh", "-c", *command]
        return self.call("job.submit", job=document)["id"]

    def until_job(self, number, *states, seconds=None):
        """The job, once it is in one of the states; AssertionError when it ends otherwise."""
        def look():
            job = self.job(number)
            if job["state"] in states:
                return job
            if job["state"] == "ended":
                raise AssertionError(f"the job ended: {job['result']}, {job['reason']}")
            return None
        return until(look, f"job {number} is {' or '.join(states)}", seconds)

    def until_ended(self, number, result="succeeded"):
        job = self.until_job(number, "ended")
        equal(job["result"], result, f"result of job {number} ({job['reason']})")
        return job

    def until_signalled(self, number, attempt=1):
        """Its command was sent a signal in its guest: from then on its end is none of its own."""
        files = f"guests/*/var/lib/gpuvf-guest/jobs/{number}.{attempt}-*/signalled"
        until(lambda: list(self.state.glob(files)), f"job {number} has its signal")

    def output(self, number, stream="stdout"):
        """All that the job wrote, piece by piece."""
        text, offset = "", 0
        while True:
            piece = self.call("job.logs", id=number, stream=stream, offset=offset)
            text += piece["data"]
            if piece["next"] == offset or piece["eof"]:
                return text
            offset = piece["next"]

    # -- the end

    def end(self):
        """Nothing of it goes on."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.hang_up()
        if (self.state / "machine.sock").exists():
            subprocess.run([str(BUILD / "gpuvf-machine"), "--stop", str(self.state)],
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
                           check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tell(self):
        comment("---- the daemon's log")
        comment("\n".join(self.log().splitlines()[-120:]))

    @classmethod
    def tell_all(cls):
        for world in cls._worlds:
            world.tell()

    @classmethod
    def end_all(cls):
        for world in cls._worlds:
            world.end()
        cls._worlds = []

