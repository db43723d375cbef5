# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the two initramfs: the outer machine's, which mounts the real root, and the nested
guest's, which is the guest's whole system."""

import pathlib
import re
import shutil

from . import kernel
from .common import TestbedError, command, file_state, fingerprint, mark_up_to_date, up_to_date
from .cpio import Archive

OUTER_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"]
GUEST_MODULES = ["virtio_pci", "virtio_console", "pvpanic_mmio"]

# Programs of the nested guest besides busybox, and why.
GUEST_PROGRAMS = {
    "/usr/sbin/qemu-ga": "the guest agent",
    "/usr/bin/setpriv": "busybox has one that cannot change the user",
    "/usr/bin/lspci": "the guest's own PCI listing",
}
# Libraries that a staged program may want and that no program above asks for.
GUEST_LIBRARIES = ["libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"]

PCI_NAMES = pathlib.Path("/usr/share/misc/pci.ids")


def _busybox():
    path = shutil.which("busybox", path="/bin:/usr/bin")
    if not path:
        raise TestbedError("no busybox: install busybox-static")
    if "not a dynamic executable" not in command(["sh", "-c", f"ldd {path} 2>&1 || :"]):
        raise TestbedError("busybox is not the static one: install busybox-static")
    return path


def libraries_of(program):
    """Shared libraries of a program by the loader's word."""
    found = []
    for line in command(["ldd", program]).splitlines():
        match = re.search(r"(?:=> )?(/\S+) \(0x", line)
        if match:
            found.append(match.group(1))
        elif "not found" in line:
            raise TestbedError(f"{program}: {line.strip()}")
    return found


def _base(archive):
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "bin", "sbin", "lib", "etc"):
        archive.folder(name)
    archive.node("dev/console", 5, 1)
    archive.node("dev/null", 1, 3, 0o666)
    archive.file("bin/busybox", _busybox(), 0o755)
    archive.link("bin/sh", "busybox")


def _add_modules(archive, paths, release, names):
    """The modules, and the list of them in the order to load."""
    tree = paths.modules / "lib/modules" / release
    order = []
    for path in kernel.module_closure(tree, names):
        name = path.rsplit("/", 1)[1]
        archive.file(f"modules/{name}", tree / path, 0o644)
        order.append(name)
    archive.text("modules/order", "\n".join(order) + "\n")


def _inputs(paths, release, folder, extra):
    files = sorted(p for p in (paths.testbed_src / folder).rglob("*") if p.is_file())
    here = sorted((paths.testbed_src / "outside").glob("*.py"))
    return fingerprint(release, file_state(paths.vmlinux), *[file_state(e) for e in extra],
                       *files, *here)


def _lines(path):
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def prepare_outer(paths, release):
    inputs = _inputs(paths, release, "inside", [_busybox()])
    if up_to_date(paths.outer_initramfs, inputs):
        return
    archive = Archive()
    _base(archive)
    _add_modules(archive, paths, release, OUTER_MODULES)
    inside = paths.testbed_src / "inside"
    archive.file("init", inside / "init", 0o755)
    archive.tree("overlay", inside / "root")
    units = "overlay/etc/systemd/system"
    for unit in _lines(inside / "masked-units"):
        archive.link(f"{units}/{unit}", "/dev/null")
    for line in _lines(inside / "enabled-units"):
        target, unit = line.split()
        home = "/etc" if (inside / "root/etc/systemd/system" / unit).exists() else "/lib"
        archive.link(f"{units}/{target}.wants/{unit}", f"{home}/systemd/system/{unit}")
    archive.write(paths.outer_initramfs)
    mark_up_to_date(paths.outer_initramfs, inputs)


def _pci_names():
    """Of the PCI names only Intel's and those of the classes: the whole list is large."""
    kept = []
    keep = False
    for line in PCI_NAMES.read_text(errors="replace").splitlines():
        if line and not line.startswith(("\t", "#")):
            keep = line.startswith(("8086 ", "1af4 ", "1b36 ", "C "))
        if keep and not line.startswith(("#", "\t\t")):
            kept.append(line)
    return "\n".join(kept) + "\n"


def prepare_guest(paths, release):
    inputs = _inputs(paths, release, "nested", [_busybox(), *GUEST_PROGRAMS])
    if up_to_date(paths.guest_initramfs, inputs):
        return
    archive = Archive()
    _base(archive)
    _add_modules(archive, paths, release, GUEST_MODULES)
    for program in GUEST_PROGRAMS:
        archive.program(program, libraries_of(program))
    loader = [l for l in libraries_of("/usr/sbin/qemu-ga") if "/libc.so" in l]
    for name in GUEST_LIBRARIES:
        path = loader[0].replace("libc.so.6", name)
        archive.file(path, path, 0o755)
    archive.text("usr/share/misc/pci.ids", _pci_names())
    nested = paths.testbed_src / "nested"
    archive.file("init", nested / "init", 0o755)
    archive.tree("", nested / "root")
    archive.folder("var/lib")
    archive.folder("home/trainer")
    archive.write(paths.guest_initramfs)
    mark_up_to_date(paths.guest_initramfs, inputs)
