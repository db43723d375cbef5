#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One script, two kernels: the same requests to GPUs of every kind, once to the helper over a real
kernel and once to the made-up machine, and what each answered.

  transcript.py gpus                          the cards, as the testbed's --gpus takes them
  transcript.py real HELPER ADDRESS...        asks `HELPER --helper`; the addresses in the order of gpus
  transcript.py simulated MACHINE ADDRESS...  asks a gpuvf-machine of its own, with cards there
  transcript.py daemon SOCKET ADDRESS...      asks the daemon there for plans and layouts
  transcript.py simulated-daemon DAEMON ADDRESS...  the same of a daemon of its own over such a machine
  transcript.py compare REAL SIMULATED        exit status 1 when they differ in what is not listed

A transcript is JSON: card → list of [request, answer]. What cannot be equal (names of files in
messages, numbers of IOMMU groups, words) is left out of the answers."""

import concurrent.futures
import errno
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
GIB = 1 << 30
PATIENCE = 120

# What differs and is right to: (card, request as printed, path in the answer or "" for all, why).
EXCEPTIONS = []


# ---- the script

def put(vf, attribute, value, **more):
    return {"op": "set-vf-attr", "vf": vf, "attribute": attribute, "value": value, **more}


def pf(attribute, value):
    return {"op": "set-pf-attr", "attribute": attribute, "value": value}


def bulk(attribute, value):
    return {"op": "set-bulk-attr", "attribute": attribute, "value": value}


def numvfs(value):
    return {"op": "set-numvfs", "value": value}


READ = {"op": "read"}
RESTORE = {"op": "restore-auto"}
RESOURCES = ("vram_quota", "ggtt_quota", "contexts_quota", "doorbells_quota")

# Life of VFs, in good and bad order. Nothing is left behind.
LIFE = [
    READ, {"op": "set-autoprobe", "value": 0}, numvfs(0), numvfs(8), numvfs(3), READ, numvfs(3),
    numvfs(2), {"op": "holders"}, {"op": "bind-vfio", "vf": 1}, {"op": "bind-vfio", "vf": 1},
    {"op": "bind-vfio", "vf": 4}, READ, {"op": "reset-vf", "vf": 1}, {"op": "reset-vf", "vf": 4},
    {"op": "wait-closed", "vf": 1}, {"op": "unbind", "vf": 1}, {"op": "probe-vf", "vf": 2},
    {"op": "probe-vf", "vf": 4}, RESTORE, numvfs(0), READ,
]
# Each resource alone: rounding, limits, more than is left, and back to nothing.
LIMITS = [step for attribute, values in (
    ("vram_quota", (1, 2 * MIB, 2 * MIB + 1, 3 * GIB, 0, 15 * GIB, 16 * GIB, 17 * GIB, 1 << 40)),
    ("ggtt_quota", (1, 4096, 65537, 512 * MIB, 0, 3 * GIB, 4 * GIB, 5 * GIB, 1 << 40)),
    ("contexts_quota", (1, 128, 1000, 0, 65000, 65279, 65280, 65535, 65536, 70000)),
    ("doorbells_quota", (1, 16, 0, 255, 256, 257, 65536)),
) for step in [put(1, attribute, value) for value in values] + [
    put(2, attribute, 64 * MIB if attribute in ("vram_quota", "ggtt_quota") else 200),
    READ, put(1, attribute, 0), put(2, attribute, 0)]]
# Scheduling: clamps, widths, the PF's own, all at once; while VFs are on, and after.
SCHEDULING = [
    put(1, "exec_quantum_ms", 20), put(1, "preempt_timeout_us", 5000), put(1, "exec_quantum_ms", 0),
    put(1, "exec_quantum_ms", 100001), put(1, "preempt_timeout_us", 100000001),
    put(1, "exec_quantum_ms", 4294967295), put(1, "exec_quantum_ms", 4294967296),
    put(1, "sched_priority", 1), put(8, "exec_quantum_ms", 20), pf("exec_quantum_ms", 64),
    pf("preempt_timeout_us", 128000), pf("sched_priority", 2), pf("sched_priority", 0),
    bulk("sched_priority", 2), bulk("sched_priority", 1), bulk("exec_quantum_ms", 30),
    bulk("preempt_timeout_us", 60000), bulk("vram_quota", GIB), READ, RESTORE, READ, numvfs(2), READ,
    put(1, "exec_quantum_ms", 10), put(2, "preempt_timeout_us", 7000), bulk("sched_priority", 0), READ,
    numvfs(0), numvfs(2), READ, numvfs(0), put(1, "exec_quantum_ms", 0), put(1, "preempt_timeout_us", 0),
    put(2, "preempt_timeout_us", 0), bulk("exec_quantum_ms", 0), bulk("preempt_timeout_us", 0),
    pf("exec_quantum_ms", 0), pf("preempt_timeout_us", 0), RESTORE, READ,
]
# Quotas by hand: a part, then all; changes while on; disabling; back to automatic.
BY_HAND = [
    put(1, "vram_quota", GIB), numvfs(2), numvfs(0), put(1, "ggtt_quota", 256 * MIB), numvfs(1),
    numvfs(0), put(1, "contexts_quota", 1024), put(1, "doorbells_quota", 16), READ, numvfs(2), READ,
    put(1, "vram_quota", GIB), put(1, "vram_quota", 2 * GIB), put(2, "vram_quota", GIB),
    put(3, "vram_quota", GIB), put(1, "ggtt_quota", 64 * MIB), RESTORE, numvfs(0), READ, numvfs(3),
    READ, numvfs(0), READ, RESTORE, READ, numvfs(3), READ, numvfs(0), RESTORE,
]
# A quota of a VF that is not among those enabled.
BEYOND = [put(5, "vram_quota", GIB), numvfs(2), READ, numvfs(0), READ, numvfs(5), READ, numvfs(0), READ,
          RESTORE, READ]
SHARES = [step for count in (1, 4, 7) for step in (numvfs(count), READ, numvfs(0))]
TILES = [step for attribute, value in (("vram_quota", 3 * GIB), ("ggtt_quota", 256 * MIB),
                                       ("contexts_quota", 1024), ("doorbells_quota", 16))
         for step in (put(1, attribute, value, tile=2), put(2, attribute, value, tile=1),
                      put(3, attribute, value), put(4, attribute, value, tile=3))]
TILES += [put(3, "vram_quota", 100 * GIB, tile=1), put(3, "vram_quota", 1), READ, numvfs(2), READ,
          numvfs(0), READ, RESTORE, READ]

ALL = LIFE + LIMITS + SCHEDULING + BY_HAND + BEYOND + SHARES
# name: testbed's word, members of the simulation document, steps
CARDS = {
    "xe, sriov_admin": ("flex170:vfs=7", {"model": "Flex 170"}, ALL),
    "xe, vram_quota read-only": ("flex170:vfs=7:quota=ro", {
        "model": "Flex 170", "vram_quota": "read-only"}, LIFE + SCHEDULING + SHARES),
    "xe, debugfs beside sriov_admin": ("flex170:vfs=7:quota=no:debugfs=new", {
        "model": "Flex 170", "vram_quota": "absent", "debugfs": "new"}, ALL),
    "xe, old debugfs": ("flex170:vfs=7:admin=no:quota=no:debugfs=old", {
        "model": "Flex 170", "sriov_admin": False, "debugfs": "old"}, ALL),
    "xe, euclean": ("b60:vfs=7:media=no:euclean=yes", {
        "model": "Arc Pro B60", "euclean": True}, LIFE + BY_HAND + BEYOND + SHARES),
    "i915": ("flex170:vfs=7:driver=i915", {"model": "Flex 170", "driver": "i915"}, ALL),
    "i915, two tiles": ("max1550:vfs=7", {"model": "Max 1550", "driver": "i915"},
                        LIFE + TILES + SCHEDULING + SHARES),
    "i915 without SR-IOV": ("adl:driver=i915:hook=no", {
        "model": "Alder Lake-S", "driver": "i915", "hook": False}, LIFE),
}


# What the daemon is asked on each card: [method, parameters].
def daemon_steps(members):
    """Layouts that are good, bad, the same again, and given back."""
    small = {"exec_quantum": "20ms"} if members.get("sriov_admin", True) and members.get("hook", True) else {}
    layouts = [{"vfs": 2}, {"vfs": 2}, {"vfs": 4, **small}, {"vfs": 4, **small},
               {"vfs": 2, "vram": "1GiB"}, {"vfs": 2, "vram": "1GiB"},
               {"vfs": 2, "vram": "1GiB", "ggtt": "128MiB", "contexts": 1000, "doorbells": 16},
               {"vfs": 2, "vram": "100GiB"}, {"vfs": 2, "contexts": 65000}, {"vfs": 8}, {"vfs": 2},
               {"vfs": 0}, {"vfs": 0}]
    steps = [["gpu.get", {}]]
    for layout in layouts:
        steps += [["gpu.plan", {"layout": layout}],
                  ["gpu.apply", {"layout": layout, "yes_display": True, "wait_seconds": PATIENCE}],
                  ["gpu.get", {}]]
    return steps


# ---- what is compared

def vf_facts(vf, pf_address):
    """Addresses are the PF's or not, groups there or not; the rest as it is."""
    return {"index": vf["index"], "same_bus": vf["address"][:8] == pf_address[:8], "driver": vf["driver"],
            "group": vf["iommu_group"] >= 0, "values": vf["values"]}


def facts(f):
    kept = ("driver", "vf_control", "sriov_capable", "total_vfs", "num_vfs", "autoprobe", "tiles",
            "custom_provisioning", "resources", "iommu", "vram_bytes")
    return {**{name: f[name] for name in kept},
            "can": {name: one["access"] for name, one in f["can"].items() if one["access"] != "none"},
            "note": f["control_note"] is not None, "reason": f["reason"] is not None,
            "vfs": [vf_facts(vf, f["address"]) for vf in f["vfs"]]}


def answer(reply):
    said = {"r": errno_name(reply["r"])}
    if reply["value"] is not None:
        said["value"] = reply["value"]
    if reply["facts"]:
        said["facts"] = facts(reply["facts"][0])
    if reply["holders"]:
        said["holders"] = [holder["vf"] for holder in reply["holders"]]
    return said


def errno_name(number):
    return errno.errorcode.get(-number, str(number)) if number else 0


def words(request):
    """A request as one reads it."""
    return " ".join(str(request[name]) for name in
                    ("op", "vf", "attribute", "value", "tile") if name in request)


# ---- who answers

class Lines:
    """One JSON document a line, there and back."""

    def __init__(self, stream):
        stream.settimeout(PATIENCE)
        self.stream = stream
        self.buffer = b""

    def send(self, message):
        self.stream.sendall(json.dumps(message).encode() + b"\n")

    def read(self):
        while b"\n" not in self.buffer:
            piece = self.stream.recv(1 << 16)
            if not piece:
                raise ConnectionError("nobody is there any more")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)


class Helper:
    """The daemon's own helper process, over the kernel that runs here."""

    def __init__(self, program, address):
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen([program, "--helper", "--allow-debugfs", address],
                                        preexec_fn=lambda: os.dup2(theirs.fileno(), 3), pass_fds=(3,),
                                        stdin=subprocess.DEVNULL)
        theirs.close()
        self.lines = Lines(ours)
        self.lines.read()  # that it is there

    def ask(self, request):
        self.lines.send(request)
        return self.lines.read()

    def end(self):
        self.lines.stream.close()
        self.process.wait(PATIENCE)


def document(addresses):
    """The cards of a simulation document, at these addresses."""
    return [{"total_vfs": 7, **members, "address": address}
            for (_, members, _), address in zip(CARDS.values(), addresses)]


class Machine:
    """A gpuvf-machine with all the cards, in a folder of its own."""

    def __init__(self, program, addresses):
        self.program = program
        self.folder = tempfile.TemporaryDirectory(prefix="gpuvf-transcript-")
        file = pathlib.Path(self.folder.name) / "machine.json"
        state = pathlib.Path(self.folder.name) / "state"
        state.mkdir(mode=0o700)
        file.write_text(json.dumps({"gpus": document(addresses)}))
        subprocess.run([program, "--check", file], check=True, timeout=PATIENCE)
        # With --detached it lets go of its output when it listens.
        self.process = subprocess.Popen([program, "--state-dir", state, "--detached", file],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.process.stdout.read()
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(str(state / "machine.sock"))
        self.lines = Lines(stream)
        self._send(0, "machine", {"op": "subscribe", "allow_debugfs": True})

    def _send(self, number, part, request):
        self.lines.send({"id": number, part: request})
        while True:
            message = self.lines.read()
            if message.get("id") == number:
                return message["reply"]

    def ask(self, request):
        return self._send(1, "host", request)

    def end(self):
        self._send(2, "machine", {"op": "stop"})
        self.lines.stream.close()
        self.process.wait(PATIENCE)
        self.folder.cleanup()


def daemon_gpu(gpu):
    kept = ("state", "driver", "vf_control", "total_vfs", "num_vfs", "vram_bytes", "tiles", "layout",
            "layout_source", "vram_free_bytes")
    of_vf = ("index", "state", "profile", "vram_bytes", "ggtt_bytes", "contexts", "doorbells",
             "exec_quantum_ms", "preempt_timeout_us", "priority", "driver")
    return {**{name: gpu[name] for name in kept}, "drift": gpu["drift"] and gpu["drift"]["what"],
            "can": {name: one["access"] for name, one in gpu["can"].items()},
            "vfs": [{name: vf[name] for name in of_vf} for vf in gpu["vfs"]]}


def daemon_answer(method, message):
    if "error" in message:
        data = message["error"].get("data") or {}
        return {"error": message["error"]["code"],
                **{name: data.get(name) for name in ("reason", "field", "errno")}}
    result = message["result"]
    if method == "gpu.plan":
        # A real machine has a console, and some card drives it.
        disturbs = [text for text in result["disturbs"] if "console" not in text]
        return {"steps": [step["text"] for step in result["steps"]], "disturbs": disturbs}
    if method == "gpu.apply":
        return {"changed": result["changed"]}
    return daemon_gpu(result)


class Daemon:
    """A connection to gpuvfd."""

    def __init__(self, path):
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(path)
        self.lines = Lines(stream)

    def ask(self, method, params):
        self.lines.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        while True:
            message = self.lines.read()
            if message.get("id") == 1:
                return message


def play_daemon(path, members, address):
    daemon = Daemon(path)
    lines = []
    for method, params in daemon_steps(members):
        said = daemon.ask(method, {**params, "gpu": address})
        what = f"{method} {json.dumps(params['layout'])}" if "layout" in params else method
        lines.append([what, daemon_answer(method, said)])
    return lines


def over_daemon(path, addresses):
    with concurrent.futures.ThreadPoolExecutor(len(addresses)) as pool:
        running = {card: pool.submit(play_daemon, path, members, address)
                   for (card, (_, members, _)), address in zip(CARDS.items(), addresses)}
        return {card: result.result() for card, result in running.items()}


def over_simulated_daemon(program, addresses):
    with tempfile.TemporaryDirectory(prefix="gpuvf-transcript-") as name:
        folder = pathlib.Path(name)
        (folder / "machine.json").write_text(json.dumps({"gpus": document(addresses), "linger_seconds": 5}))
        (folder / "gpuvfd.json").write_text(json.dumps({"allow_debugfs": True}))
        (folder / "policies").mkdir()
        path = str(folder / "sock")
        process = subprocess.Popen([program, "--foreground", "--config", folder / "gpuvfd.json",
                                    "--socket", path, "--state-dir", folder / "state",
                                    "--policy-dir", folder / "policies", "--simulate",
                                    folder / "machine.json"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until_it_listens(path, process)
            return over_daemon(path, addresses)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def until_it_listens(path, process):
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as stream:
            if stream.connect_ex(path) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the daemon does not listen")


def play(ask, steps, address):
    return [[words(step), answer(ask({**step, "gpu": address}))] for step in steps]


def play_real(program, steps, address):
    helper = Helper(program, address)
    try:
        return play(helper.ask, steps, address)
    finally:
        helper.end()


def real(program, addresses):
    """All cards at once: the kernel sleeps for a second whenever VFs go."""
    with concurrent.futures.ThreadPoolExecutor(len(addresses)) as pool:
        running = {card: pool.submit(play_real, program, steps, address)
                   for (card, (_, _, steps)), address in zip(CARDS.items(), addresses)}
        return {card: result.result() for card, result in running.items()}


def simulated(program, addresses):
    machine = Machine(program, addresses)
    try:
        return {card: play(machine.ask, steps, address)
                for (card, (_, _, steps)), address in zip(CARDS.items(), addresses)}
    finally:
        machine.end()


# ---- comparing

def differences(one, other, path=""):
    """Paths at which the two differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(set(one) | set(other)):
            yield from differences(one.get(name), other.get(name), f"{path}/{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other)):
            yield from differences(a, b, f"{path}/{number}")
    elif one != other:
        yield path, one, other


def excepted(card, request, path):
    return any(card == c and request == r and path.startswith(p) for c, r, p, _ in EXCEPTIONS)


def compare(kernel, model):
    """Prints what differs; returns how much."""
    count = 0
    if list(kernel) != list(model):
        print(f"other cards: {list(kernel)} and {list(model)}")
        return 1
    for card, lines in kernel.items():
        for number, ((request, said), (_, made_up)) in enumerate(zip(lines, model[card])):
            for path, a, b in differences(said, made_up):
                if excepted(card, request, path):
                    continue
                count += 1
                print(f"{card}, {number}: {request}: {path}: the kernel {json.dumps(a)}, "
                      f"the simulation {json.dumps(b)}")
        if len(lines) != len(model[card]):
            count += 1
            print(f"{card}: {len(lines)} requests and {len(model[card])}")
    return count


def write(transcript):
    """One request a line, so that a change shows as lines in a diff."""
    print("{")
    for number, (card, lines) in enumerate(transcript.items()):
        print(f" {json.dumps(card)}: [")
        print(",\n".join("  " + json.dumps(line, sort_keys=True) for line in lines))
        print(" ]" + ("," if number < len(transcript) - 1 else ""))
    print("}")


def main(arguments):
    if arguments == ["gpus"]:
        print(",".join(word for word, _, _ in CARDS.values()))
    elif len(arguments) > 2 and arguments[0] == "real":
        write(real(arguments[1], arguments[2:]))
    elif len(arguments) > 2 and arguments[0] == "simulated":
        write(simulated(arguments[1], arguments[2:]))
    elif len(arguments) > 2 and arguments[0] == "daemon":
        write(over_daemon(arguments[1], arguments[2:]))
    elif len(arguments) > 2 and arguments[0] == "simulated-daemon":
        write(over_simulated_daemon(arguments[1], arguments[2:]))
    elif len(arguments) == 3 and arguments[0] == "compare":
        with open(arguments[1], encoding="utf-8") as one, open(arguments[2], encoding="utf-8") as other:
            return 1 if compare(json.load(one), json.load(other)) else 0
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
