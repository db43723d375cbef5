# SPDX-License-Identifier: GPL-2.0-or-later
"""A JSON-RPC 2.0 client over a Unix socket, made of the standard library alone.

It shares no code with gpuvf: what it can do is what the published interface promises."""

import itertools
import json
import select
import socket
import time


class RpcError(Exception):
    """An error answer."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('message')} {error.get('data')}")
        self.code = error["code"]
        self.message = error["message"]
        self.data = error.get("data") or {}
        self.reason = self.data.get("reason")
        self.field = self.data.get("field")


# Codes of the interface.
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
NOT_PERMITTED, NOT_FOUND, CONFLICT, NO_FIT, INVALID_DOCUMENT, UNSUPPORTED, HOST_ERROR, TIMEOUT, \
    LIMIT, WEDGED, DEGRADED = range(-32001, -32012, -1)


class Client:
    """One connection."""

    def __init__(self, path, timeout=30):
        self.timeout = timeout
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(path)
        except BaseException:
            self.socket.close()
            raise
        self.buffer = b""
        self.events = []
        self.ids = itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        """Bytes, or something to be sent as one line of JSON."""
        if not isinstance(data, bytes):
            data = json.dumps(data).encode() + b"\n"
        self.socket.sendall(data)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def read_line(self, timeout=None):
        """The next line as bytes, b"" at the end of the stream; TimeoutError."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise TimeoutError(f"no line in {timeout or self.timeout} s")
            data = self.socket.recv(65536)
            if not data:
                if self.buffer:
                    raise ConnectionError(f"the stream ended inside a line: {self.buffer[:200]}")
                return b""
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def read(self, timeout=None):
        """The next message, None at the end of the stream."""
        line = self.read_line(timeout)
        return json.loads(line) if line else None

    def read_all(self):
        """All messages until the server closes."""
        messages = []
        while True:
            message = self.read()
            if message is None:
                return messages
            messages.append(message)

    def answer_to(self, number):
        """The answer with this id; events that come before it are kept in self.events."""
        while True:
            message = self.read()
            if message is None:
                raise ConnectionError("the server closed the connection")
            if isinstance(message, dict) and message.get("method") == "event":
                self.events.append(message["params"])
            elif isinstance(message, dict) and message.get("id") == number:
                return message
            else:
                raise AssertionError(f"an answer that nobody asked for: {message}")

    def begin(self, method, /, **params):
        """Sends it and does not wait; returns its id."""
        number = next(self.ids)
        request = {"jsonrpc": "2.0", "id": number, "method": method}
        if params:
            request["params"] = params
        self.send(request)
        return number

    def call(self, method, /, **params):
        """Its result, as end() has it."""
        return self.end(self.begin(method, **params))

    def end(self, number):
        """The result of a call that was begun; RpcError when the answer is an error."""
        answer = self.answer_to(number)
        if set(answer) != {"jsonrpc", "id", "result"} and set(answer) != {"jsonrpc", "id", "error"}:
            raise AssertionError(f"this is no JSON-RPC answer: {answer}")
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def items(self, method, /, **params):
        """All items of a list, page by page."""
        result = self.call(method, **params)
        items = result["items"]
        while result["next"] is not None:
            result = self.call(method, after=result["next"], **params)
            items += result["items"]
        return items

    def next_event(self, timeout=None):
        if self.events:
            return self.events.pop(0)
        message = self.read(timeout)
        if message is None:
            raise ConnectionError("the server closed the connection")
        if message.get("method") != "event":
            raise AssertionError(f"not an event: {message}")
        return message["params"]
