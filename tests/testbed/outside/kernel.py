# SPDX-License-Identifier: GPL-2.0-or-later
"""The testbed's kernel: fetched as a Debian package, unpacked, never installed.

Both machines, the outer and the nested, boot the same kernel. It is started as a plain ELF image
through its PVH entry: unpacking the compressed image is slow under software emulation."""

import lzma
import os
import pathlib
import re
import shutil
import struct

from .common import TestbedError, command, mark_up_to_date, say, up_to_date

HEADERS = pathlib.Path("/usr/src")

# What the machines inside may load, besides what these modules need themselves.
MODULES = [
    "virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console",
    "vfio-pci", "vfio_iommu_type1", "drm", "fuse", "autofs4", "configfs",
    "kvm", "kvm_intel", "kvm_amd", "pvpanic_mmio",
]


def version():
    """The newest kernel that there are headers for."""
    found = []
    for entry in HEADERS.glob("linux-headers-*-amd64"):
        match = re.fullmatch(r"linux-headers-(\d[\w.+~-]*-amd64)", entry.name)
        if match:
            found.append(match.group(1))
    if not found:
        raise TestbedError("no kernel headers in /usr/src: install linux-headers-amd64")
    return max(found, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])


def package_version(release):
    out = command(["dpkg-query", "-W", "-f", "${Version}", f"linux-headers-{release}"])
    return out.strip()


def _fetch(paths, release, wanted):
    """Downloads and unpacks the image package that belongs to the headers."""
    folder = paths.cache / "kernel"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    name = f"linux-image-{release}"
    say(f"fetching {name} {wanted}")
    try:
        command(["apt-get", "download", f"{name}={wanted}"], cwd=folder)
    except TestbedError as error:
        raise TestbedError(f"{error}\nThe kernel must be of the same version as its headers: "
                           "run 'apt-get update', then 'apt-get install linux-headers-amd64', "
                           "and try again.") from error
    packages = list(folder.glob("*.deb"))
    if len(packages) != 1:
        raise TestbedError(f"expected one package in {folder}, found {len(packages)}")
    command(["dpkg", "-x", packages[0], folder])
    packages[0].unlink()
    command(["depmod", "-b", folder, release])
    return folder


def extract_vmlinux(image, target):
    """Takes the ELF kernel out of a bzImage; the boot protocol says where it lies."""
    data = image.read_bytes()
    if data[0x202:0x206] != b"HdrS":
        raise TestbedError(f"{image} is not a bzImage")
    setup_sectors = data[0x1f1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = data[start:start + length]
    if not payload.startswith(b"\xfd7zXZ"):
        raise TestbedError(f"{image}: the kernel inside is not packed with xz")
    vmlinux = lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(payload)
    if not vmlinux.startswith(b"\x7fELF"):
        raise TestbedError(f"{image}: what is inside is not an ELF kernel")
    target.write_bytes(vmlinux)


def module_closure(tree, names):
    """Paths of the modules and of all they need, dependencies first."""
    needs = {}
    for line in (tree / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {pathlib.PurePath(p).name.removesuffix(".ko").replace("-", "_"): p for p in needs}
    order = []

    def add(path):
        for need in reversed(needs[path]):
            if need not in order:
                order.append(need)
        if path not in order:
            order.append(path)

    for name in names:
        path = by_name.get(name.replace("-", "_"))
        if not path:
            builtin = (tree / "modules.builtin").read_text()
            if f"/{name}.ko" in builtin:
                continue
            raise TestbedError(f"the kernel package has no module '{name}'")
        add(path)
    return order


def _small_module_tree(paths, folder, release):
    """A /lib/modules of what the machines inside may load, and nothing else."""
    full = folder / "lib/modules" / release
    shutil.rmtree(paths.modules, ignore_errors=True)
    base = paths.modules / "lib/modules" / release
    for path in module_closure(full, MODULES):
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(full / path, base / path)
    for extra in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(full / extra, base / extra)
    command(["depmod", "-b", paths.modules, release])


def prepare(paths):
    """Makes vmlinux and the module tree; does nothing when they are there already."""
    release = version()
    wanted = package_version(release)
    inputs = f"{release} {wanted} {' '.join(MODULES)}"
    if up_to_date(paths.vmlinux, inputs) and paths.modules.is_dir():
        return release
    paths.cache.mkdir(parents=True, exist_ok=True)
    folder = _fetch(paths, release, wanted)
    say("unpacking the kernel")
    _small_module_tree(paths, folder, release)
    temporary = paths.vmlinux.with_suffix(".new")
    extract_vmlinux(folder / "boot" / f"vmlinuz-{release}", temporary)
    os.replace(temporary, paths.vmlinux)
    shutil.rmtree(folder)
    mark_up_to_date(paths.vmlinux, inputs)
    return release
