# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the kernel module that plays the Intel GPU, against the kernel's headers."""

import os
import shutil

from .common import command, fingerprint, mark_up_to_date, say, up_to_date


def prepare(paths, release):
    source = paths.testbed_src / "module"
    files = sorted(p for p in source.iterdir() if p.suffix in (".c", ".h") or p.name == "Kbuild")
    inputs = fingerprint(release, *files)
    if up_to_date(paths.gpu_module, inputs):
        return
    say("building the GPU module")
    folder = paths.gpu_module.parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in files:
        shutil.copy2(path, folder / path.name)
    command(["make", "-s", "-C", f"/usr/src/linux-headers-{release}", f"M={folder}",
             f"-j{os.cpu_count() or 1}", "W=1", "modules"])
    mark_up_to_date(paths.gpu_module, inputs)
