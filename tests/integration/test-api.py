# SPDX-License-Identifier: GPL-2.0-or-later
"""The socket API itself: JSON-RPC as published, and messages of every bad kind."""

import json
import socket

from gpuvf_client import (INVALID_PARAMS, INVALID_REQUEST, LIMIT, METHOD_NOT_FOUND, NOT_FOUND,
                          PARSE_ERROR, Client)
from harness import World, equal, main, refused, seeded, test, until

STATUS = {"jsonrpc": "2.0", "id": 1, "method": "daemon.status"}
MESSAGE_MAX = 1 << 20


def error_of(answer):
    return answer["error"]["code"]


def still_fine(world):
    """Another connection is served as if nothing had been."""
    with Client(world.socket) as client:
        equal(client.call("daemon.status")["simulated"], True)


@test
def status():
    """daemon.status tells version, policy and who the caller is."""
    status = World().call("daemon.status")
    for member in ("version", "api_version", "started_at", "policy_revision", "degraded"):
        assert member in status, f"{member} is missing in {status}"
    equal(status["degraded"], None)
    equal(status["role"], "admin")
    equal(status["policy_refused"], False)


@test
def discover():
    """rpc.discover describes every method with a schema for each parameter and result."""
    world = World()
    document = world.call("rpc.discover")
    methods = {m["name"]: m for m in document["methods"]}
    for name in ("gpu.list", "gpu.plan", "gpu.apply", "vf.assign", "vf.release", "vm.list",
                 "job.submit", "job.logs", "event.subscribe", "policy.reload", "daemon.status"):
        assert name in methods, f"{name} is not described"
    for name, method in methods.items():
        assert method["result"]["schema"], f"{name} has no schema of its result"
        for parameter in method["params"]:
            assert "schema" in parameter, f"{name}: {parameter['name']} has no schema"
    required = {p["name"] for p in methods["vf.assign"]["params"] if p.get("required")}
    equal(required, {"vm"}, "what vf.assign needs")


@test
def malformed():
    """Lines that are no request get the standard's errors, and the connection goes on."""
    world = World()
    bad = [
        (b"{\n", PARSE_ERROR), (b"hello\n", PARSE_ERROR), (b'{"a":1,"a":2}\n', PARSE_ERROR),
        (b"[]\n", INVALID_REQUEST), (b"1\n", None), (b'"text"\n', None),
        (b'{"jsonrpc":"1.0","id":1,"method":"daemon.status"}\n', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":7}\n', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":{},"method":"daemon.status"}\n', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"daemon.status","params":3}\n', None),
        (b'{"jsonrpc":"2.0","id":1,"method":"daemon.status","more":3}\n', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"no.such"}\n', METHOD_NOT_FOUND),
    ]
    for line, code in bad:
        with world.client() as client:
            client.send(line)
            answer = client.read()
            assert "error" in answer, f"{line}: {answer}"
            if code is not None:
                equal(error_of(answer), code, f"code for {line}")
            client.send(STATUS)
            assert "result" in client.read(), f"after {line} the connection is of no use"
    still_fine(world)


@test
def unknown_members():
    """Unknown and wrong parameters are refused with the field's name, and nothing is done."""
    world = World()
    with refused(INVALID_PARAMS, "gpux", field="gpux"):
        world.call("gpu.apply", gpu="gpu0", gpux=1)
    with refused(INVALID_PARAMS, field="gpu"):
        world.call("gpu.apply", layout={"vfs": 4})
    with refused(INVALID_PARAMS, field="gpu"):
        world.call("gpu.apply", gpu=5, layout={"vfs": 4})
    with refused(INVALID_PARAMS, field="limit"):
        world.call("gpu.list", limit=-1)
    with refused(INVALID_PARAMS, field="limit"):
        world.call("gpu.list", limit=1001)
    equal(world.gpu()["num_vfs"], 0, "VFs after bad requests")
    equal(world.writes()["sriov_numvfs"], 0)


@test
def binary():
    """Random bytes, deep nesting and broken UTF-8 hurt nobody."""
    world = World()
    chance = seeded()
    noise = [chance.randbytes(chance.randrange(1, 5000)) + b"\n" for _ in range(30)]
    noise += [b"\0\0\0\n", b"\xff\xfe\n", b"[" * 100000 + b"\n", b'{"a":' * 20000 + b"\n",
              b'{"jsonrpc":"2.0","id":1,"method":"\xc3\x28"}\n',
              b'{"jsonrpc":"2.0","id":1,"method":"a\\u0000b"}\n',
              b'{"jsonrpc":"2.0","id":1e400,"method":"daemon.status"}\n']
    for data in noise:
        with world.client() as client:
            try:
                client.send(data)
                client.half_close()
                for answer in client.read_all():
                    assert "result" not in answer, f"{data[:60]} was obeyed: {answer}"
            except (BrokenPipeError, ConnectionResetError):
                pass
    still_fine(world)


@test
def huge():
    """A request of 1 MiB is read, one byte more is refused, and no memory is kept."""
    world = World()
    request = json.dumps({**STATUS, "method": "rpc.discover"}).encode()
    with world.client() as client:
        client.send(request + b" " * (MESSAGE_MAX - len(request)) + b"\n")
        assert "result" in client.read()
    with world.client() as client:
        try:
            client.send(request + b" " * (MESSAGE_MAX + 1 - len(request)) + b"\n")
            answer = client.read()
        except (BrokenPipeError, ConnectionResetError):
            answer = None
        assert answer is None or error_of(answer) in (LIMIT, INVALID_REQUEST, PARSE_ERROR), answer
    with world.client() as client:
        try:
            for _ in range(64):
                client.send(b"x" * (1 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass
    with open(f"/proc/{world.process.pid}/statm", encoding="ascii") as statm:
        pages = int(statm.read().split()[1])
    assert pages < (1 << 30) // 4096, f"{pages} pages are in memory"
    still_fine(world)


@test
def half_sent():
    """A request that never ends blocks nobody; one that comes in pieces is answered."""
    world = World()
    silent = world.client()
    silent.send(b'{"jsonrpc":"2.0","id":1,"meth')
    still_fine(world)
    silent.send(b'od":"daemon.status"}\n')
    assert "result" in silent.read()
    cut = world.client()
    cut.send(b'{"jsonrpc":"2.0","id":1,"meth')
    cut.half_close()
    for answer in cut.read_all():
        assert "error" in answer, answer
    still_fine(world)


@test
def half_close():
    """After the client's half-close the answers come, then the end, as with nc -N."""
    world = World()
    with world.client() as client:
        client.send({"jsonrpc": "2.0", "id": 1, "method": "vf.list"})
        client.send({"jsonrpc": "2.0", "id": 2, "method": "gpu.list"})
        client.half_close()
        answers = client.read_all()
    equal(sorted(a["id"] for a in answers), [1, 2])


@test
def half_close_waits():
    """An action that takes time is answered after the half-close, too."""
    world = World({"latency": {"sriov_numvfs": "200ms"}})
    with world.client() as client:
        client.send({"jsonrpc": "2.0", "id": 1, "method": "gpu.apply",
                     "params": {"gpu": "gpu0", "layout": {"vfs": 2}, "wait_seconds": 30}})
        client.half_close()
        answers = client.read_all()
    equal(len(answers), 1)
    equal(answers[0]["result"]["gpu"]["num_vfs"], 2)


@test
def batches():
    """A batch is answered as one array; notifications in it are not; 65 requests are too many."""
    world = World()
    with world.client() as client:
        client.send([{**STATUS, "id": 1}, {"jsonrpc": "2.0", "method": "daemon.status"},
                     {"jsonrpc": "2.0", "id": 2, "method": "no.such"}, 5])
        answers = client.read()
        equal(len(answers), 3)
        equal(sorted(error_of(a) if "error" in a else 0 for a in answers),
              [METHOD_NOT_FOUND, INVALID_REQUEST, 0])
        client.send([{**STATUS, "id": n} for n in range(64)])
        equal(sorted(a["id"] for a in client.read()), list(range(64)))
        client.send([{**STATUS, "id": n} for n in range(65)])
        answer = client.read()
        assert "error" in answer, answer
    still_fine(world)


@test
def notification():
    """A request without an id is done and not answered."""
    world = World()
    with world.client() as client:
        client.send({"jsonrpc": "2.0", "method": "gpu.apply",
                     "params": {"gpu": "gpu0", "layout": {"vfs": 1}}})
        client.send(STATUS)
        equal(client.read()["id"], 1)
    until(lambda: world.gpu()["num_vfs"] == 1, "the VF is there")


@test
def paging():
    """Lists come in pages; a cursor goes on where the page ended; a bad one is refused."""
    world = World({"gpus": [{"model": "Flex 170", "count": 7}]})
    page = world.call("gpu.list", limit=3)
    equal(len(page["items"]), 3)
    names = [g["name"] for g in world.items("gpu.list", limit=3)]
    equal(len(names), 7)
    equal(len(set(names)), 7)
    equal(world.call("gpu.list")["next"], None)
    with refused(INVALID_PARAMS, field="after"):
        world.call("gpu.list", after="nonsense")


@test
def unknown_objects():
    """Unknown GPU, VF, VM, job and operation: not_found, naming what was asked."""
    world = World()
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt has listed its VMs")
    for method, member, name in (
            ("gpu.get", "gpu", "gpu9"), ("gpu.plan", "gpu", "0000:ff:00.0"),
            ("gpu.apply", "gpu", "gpu9"), ("vf.get", "vf", "gpu0/vf1"), ("vf.list", "vm", "nobody"),
            ("vf.release", "vf", "gpu0/vf9"), ("vm.get", "vm", "nobody"),
            ("vf.assign", "vm", "nobody"), ("job.get", "id", "77"), ("job.logs", "id", "77"),
            ("job.cancel", "id", "77"), ("operation.get", "operation", "op/99")):
        parameters = {member: name}
        if method == "gpu.apply":
            parameters["layout"] = {"vfs": 1}
        with refused(NOT_FOUND, name):
            world.call(method, **parameters)


@test
def same_request_id():
    """The same request_id gives the first answer again; with another body it is a conflict."""
    world = World()
    first = world.call("job.submit", request_id="one",
                       job={"version": 1, "command": ["true"], "hold": True})
    again = world.call("job.submit", request_id="one",
                       job={"version": 1, "command": ["true"], "hold": True})
    equal(again, first)
    equal(len(world.items("job.list")), 1)
    with refused(-32003, "request_id"):
        world.call("job.submit", request_id="one",
                   job={"version": 1, "command": ["false"], "hold": True})
    world.crash_and_restart()
    again = world.call("job.submit", request_id="one",
                       job={"version": 1, "command": ["true"], "hold": True})
    equal(again, first, "the answer after a restart")
    equal(len(world.items("job.list")), 1)


@test
def events():
    """Subscribers get events in order, can go on after a number, also over a restart."""
    world = World()
    listener = world.client()
    start = listener.call("event.subscribe")["next"]
    world.apply(2)
    seen = []

    def gpu_is_cut():
        event = listener.next_event()
        seen.append(event)
        return event["type"] == "gpu.changed" and world.gpu()["num_vfs"] == 2

    until(gpu_is_cut, "an event tells of the new VFs")
    numbers = [e["seq"] for e in seen]
    equal(numbers, sorted(set(numbers)), "order of events")
    assert numbers[0] >= start
    for event in seen:
        assert event["at"].endswith("Z"), event
    world.crash_and_restart()
    again = world.client()
    again.call("event.subscribe", since=numbers[0])
    first = again.next_event()
    equal((first["seq"], first["type"]), (seen[0]["seq"], seen[0]["type"]), "the event again")


@test
def event_types():
    """A subscription can be for some types; an unknown type is refused."""
    world = World()
    listener = world.client()
    listener.call("event.subscribe", types=["job.state"])
    number = world.submit("true", hold=True)
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")
    types = {listener.next_event()["type"] for _ in range(2)}
    equal(types, {"job.state"})
    with refused(INVALID_PARAMS, "types"):
        world.client().call("event.subscribe", types=["weather.changed"])


@test
def many_connections():
    """Too many connections of one user are refused; when some close, others are served."""
    world = World(config={"limits": {"connections_per_uid": 10}})
    open_clients = []
    closed = 0
    for _ in range(30):
        client = Client(world.socket, 5)
        open_clients.append(client)
        try:
            client.call("daemon.status")
        except Exception:  # pylint: disable=broad-except
            closed += 1
    assert closed >= 20, f"only {closed} were refused"
    for client in open_clients:
        client.close()

    def served():
        try:
            with Client(world.socket, 5) as client:
                return client.call("daemon.status")
        except Exception:  # pylint: disable=broad-except
            return None

    until(served, "a new connection is served")


@test
def slow_reader():
    """A client that asks and never reads does not stop the others."""
    world = World()
    lazy = world.client()
    lazy.socket.setblocking(False)
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}).encode() + b"\n"
    sent = 0
    try:
        for _ in range(2000):
            sent += lazy.socket.send(request)
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass
    assert sent > 0
    still_fine(world)


@test
def vanishing_clients():
    """Clients that hang up in the middle of their request leave nothing behind."""
    world = World()
    before = len(descriptors(world))
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(world.socket)
            connection.sendall(json.dumps(STATUS).encode() + b"\n" + b'{"half')
    until(lambda: len(descriptors(world)) <= before + 1, "the descriptors are closed")


def descriptors(world):
    import os  # pylint: disable=import-outside-toplevel
    return os.listdir(f"/proc/{world.process.pid}/fd")


if __name__ == "__main__":
    main()
