# SPDX-License-Identifier: GPL-2.0-or-later
"""Installs the build into a folder of the testbed; the machine inside copies it to its root."""

import os
import shutil
import time

from .common import TestbedError, command, fingerprint, file_state

# A machine that begins reads its own for some seconds, however often there is a newer one meanwhile.
KEPT_SECONDS = 3600


def stage(paths):
    """Returns the folder, which is complete and never changes: another machine may be starting from it."""
    makefile = paths.build / "Makefile"
    if not makefile.exists():
        raise TestbedError(f"{paths.build} is no configured build tree: name one with --build, "
                           "or use --no-install")
    command(["make", "-s", "-C", paths.build, f"-j{os.cpu_count() or 1}", "all"])
    root = paths.cache / f"root-{fingerprint(*_products(paths))[:16]}"
    if root.is_dir():
        return root
    for old in paths.cache.glob("root-*"):
        if time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old)
    new = paths.cache / "root-new"
    shutil.rmtree(new, ignore_errors=True)
    command(["make", "-s", "-C", paths.build, "install", f"DESTDIR={new}"])
    _merge_usr(new)
    new.rename(root)
    return root


def _merge_usr(root):
    """/lib is a link to /usr/lib inside: a folder of that name cannot be copied over it."""
    for name in ("bin", "lib", "lib64", "sbin"):
        if (root / name).is_dir() and os.path.islink(f"/{name}"):
            shutil.copytree(root / name, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(root / name)


def _products(paths):
    """All that an installation takes from the build tree or the source tree, by size and time."""
    for folder in (paths.build, paths.source):
        for top, names, files in os.walk(folder):
            names[:] = [n for n in names
                        if n not in ("testbed", "check", ".git", ".deps") and not n.startswith("build")]
            for name in files:
                if not name.endswith((".o", ".lo", ".a", ".log", ".trs")):
                    yield file_state(os.path.join(top, name))
