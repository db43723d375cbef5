# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths, messages and small helpers of the testbed's outside part."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys
import time


class TestbedError(Exception):
    """Something the caller can mend; the text says what and how."""


class Paths:
    """Where things are: the source tree, and the testbed's folder in the build tree."""

    def __init__(self, build):
        self.testbed_src = pathlib.Path(__file__).resolve().parent.parent
        self.source = self.testbed_src.parent.parent
        self.build = pathlib.Path(build or self.source / "build").resolve()
        self.cache = self.build / "testbed"
        self.vmlinux = self.cache / "vmlinux"
        self.modules = self.cache / "modules"
        self.gpu_module = self.cache / "module" / "gpuvf_testgpu.ko"
        self.capabilities = self.cache / "capabilities"
        self.kept = self.cache / "kept"
        self.outer_initramfs = self.cache / "outer.cpio"
        self.guest_initramfs = self.cache / "guest.cpio"


@contextlib.contextmanager
def alone(paths):
    """Nobody else makes or changes anything in the testbed's folder meanwhile."""
    paths.cache.mkdir(parents=True, exist_ok=True)
    with open(paths.cache / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


_started = time.monotonic()


def say(text):
    """One line of progress, with the seconds since the start."""
    print(f"testbed {time.monotonic() - _started:6.1f} s: {text}", file=sys.stderr, flush=True)


def command(argv, cwd=None):
    """Runs a command to its end; its output is shown only when it fails."""
    done = subprocess.run([str(a) for a in argv], cwd=cwd, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          errors="replace", check=False)
    if done.returncode != 0:
        raise TestbedError(f"'{' '.join(str(a) for a in argv)}' failed "
                           f"({done.returncode}):\n{done.stdout}")
    return done.stdout


def fingerprint(*inputs):
    """A digest over texts and files; a file that is missing counts as such."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, pathlib.Path):
            digest.update(str(item).encode())
            digest.update(item.read_bytes() if item.exists() else b"missing")
        else:
            digest.update(str(item).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def file_state(path):
    """Size and time of a file too large to read each time."""
    state = os.stat(path)
    return f"{path}:{state.st_size}:{state.st_mtime_ns}"


def up_to_date(product, print_of_inputs):
    """True when the product exists and was made from these inputs."""
    stamp = product.with_name(product.name + ".stamp")
    return product.exists() and stamp.exists() and stamp.read_text() == print_of_inputs


def mark_up_to_date(product, print_of_inputs):
    product.with_name(product.name + ".stamp").write_text(print_of_inputs)
