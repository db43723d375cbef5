# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPUs of a scenario: reads "--gpus", writes QEMU's devices and the module's parameter.

A GPU is MODEL[:KEY=VALUE]...; several are separated by commas. Keys:
  vfs=N        VFs that the card offers (default: the model's)
  vram=SIZE    memory of the card, with K, M or G (default: the model's)
  quota=yes|no whether the driver has vram_quota (default: yes where there is memory)
  driver=yes|no whether the driver is bound when the machine is up (default: yes)
"""

from .common import TestbedError

GIB = 1 << 30

# name: device id, PCI class, VFs, VRAM. Reference, section 4.
MODELS = {
    "flex170": (0x56c0, 0x038000, 31, 16 * GIB),
    "flex140": (0x56c1, 0x038000, 31, 6 * GIB),
    "max1100": (0x0bda, 0x038000, 63, 48 * GIB),
    "b50": (0xe212, 0x030000, 24, 16 * GIB),
    "b60": (0xe211, 0x030000, 24, 24 * GIB),
    "b70": (0xe223, 0x030000, 12, 32 * GIB),
    "adl": (0x4680, 0x030000, 7, 0),
    "a380": (0x56a5, 0x030000, 0, 6 * GIB),
    "b580": (0xe20b, 0x030000, 0, 12 * GIB),
}
FIRST_SLOT = 0x10


class Gpu:
    def __init__(self, text):
        name, *options = text.split(":")
        if name not in MODELS:
            raise TestbedError(f"--gpus: no model '{name}'; there are {', '.join(MODELS)}")
        self.name = name
        self.device, self.pci_class, self.vfs, self.vram = MODELS[name]
        self.quota = self.vram > 0
        self.bound = True
        for option in options:
            self._option(text, option)
        if self.vfs > 100:
            raise TestbedError(f"--gpus: {text}: at most 100 VFs")

    def _option(self, text, option):
        key, equals, value = option.partition("=")
        if key == "vfs" and value.isdigit():
            self.vfs = int(value)
        elif key == "vram" and equals:
            self.vram = _size(text, value)
        elif key == "quota" and value in ("yes", "no"):
            self.quota = value == "yes"
        elif key == "driver" and value in ("yes", "no"):
            self.bound = value == "yes"
        else:
            raise TestbedError(f"--gpus: {text}: cannot read '{option}'")

    def module_word(self, index):
        """What the kernel module is told: where the card is and what it is to be."""
        return (f"{FIRST_SLOT + index:x}:{self.device:x}:{self.pci_class:x}:{self.vram}"
                f":{int(self.quota)}:{int(self.bound)}")

    def qemu_arguments(self, index):
        """A root port and an NVMe function below it, with SR-IOV unless the model has none."""
        port = (f"pcie-root-port,id=gpuport{index},bus=pcie.0,chassis={index + 1},"
                f"addr={FIRST_SLOT + index:#x}")
        device = f"nvme,serial=gpu{index},bus=gpuport{index}"
        if self.vfs == 0:
            return ["-device", port, "-device", device]
        device += (f",subsys=gpuset{index},sriov_max_vfs={self.vfs}"
                   f",sriov_vq_flexible={2 * self.vfs},sriov_vi_flexible={self.vfs}"
                   f",max_ioqpairs={2 * self.vfs + 2},msix_qsize={self.vfs + 4}")
        return ["-device", port, "-device", f"nvme-subsys,id=gpuset{index}", "-device", device]


def _size(text, value):
    factor = {"K": 1 << 10, "M": 1 << 20, "G": GIB}.get(value[-1:], 1)
    digits = value if factor == 1 else value[:-1]
    if not digits.isdigit():
        raise TestbedError(f"--gpus: {text}: cannot read the size '{value}'")
    return int(digits) * factor


def parse(text):
    """The list of GPUs; an empty text or 'none' means no GPU at all."""
    if text in ("", "none"):
        return []
    found = [Gpu(word) for word in text.split(",")]
    if len(found) > 8:
        raise TestbedError("--gpus: at most 8 GPUs")
    return found
