# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPUs of a scenario: reads "--gpus", writes QEMU's devices and the module's parameter.

A GPU is MODEL[:KEY=VALUE]...; several are separated by commas. Keys of every card:
  vfs=N          VFs that the hardware offers (default: the model's)
  max_vfs=N      VFs that the driver allows; 0: it came up without (default: no limit)
  vram=SIZE      memory of the card, with K, M or G (default: the model's)
  tiles=1|2      tiles, each with a GT and its part of the memory (default: the model's)
  media=yes|no   a second GT, for media; cards of one tile only (default: the model's)
  driver=xe|i915 which driver plays it (default: the model's)
  driver=yes|no  whether it is bound when the machine is up (default: yes)
  hook=yes|no    whether the driver can do SR-IOV at all (default: yes)
  display=yes|no a connector that says "connected" (default: no)
Keys for xe:
  admin=yes|no   whether there is sriov_admin (default: yes)
  quota=yes|no|ro  vram_quota in it; ro: read-only (default: yes where there is memory
                 and sriov_admin)
  debugfs=none|old|new  what there is in debugfs (default: none)
  euclean=yes|no the driver refuses to enable where quotas are set already (default: no)
Keys for i915:
  tree=prelim_iov|iov|both  name of the tree (default: both where there is memory)
  live=yes|no    quotas of VFs that are on can be changed (default: no)
  gt=gt|gtn      name of a GT's folder: gt, or gt0, gt1 (default: gt for one tile with memory)
"""

from .common import TestbedError

GIB = 1 << 30
# The kernel takes no longer text as a module's parameter.
PARAMETER_SIZE = 1024

# name: device id, PCI class, VFs, VRAM, and what differs from the defaults. Reference, section 4.
MODELS = {
    "flex170": (0x56c0, 0x038000, 31, 16 * GIB, {}),
    "flex140": (0x56c1, 0x038000, 31, 6 * GIB, {}),
    "max1100": (0x0bda, 0x038000, 63, 48 * GIB, {}),
    "max1550": (0x0bd5, 0x038000, 62, 128 * GIB, {"driver": "i915", "tiles": 2}),
    "b50": (0xe212, 0x030000, 24, 16 * GIB, {"media": 1}),
    "b60": (0xe211, 0x030000, 24, 24 * GIB, {"media": 1}),
    "b70": (0xe223, 0x030000, 12, 32 * GIB, {"media": 1}),
    "adl": (0x4680, 0x030000, 7, 0, {}),
    "mtl": (0x7d55, 0x030000, 7, 0, {"driver": "i915", "media": 1}),
    "a380": (0x56a5, 0x030000, 0, 6 * GIB, {}),
    "b580": (0xe20b, 0x030000, 0, 12 * GIB, {}),
}
WORDS = {
    "driver": ("xe", "i915"),
    "quota": ("yes", "no", "ro"),
    "debugfs": ("none", "old", "new"),
    "tree": ("prelim_iov", "iov", "both"),
    "gt": ("gt", "gtn"),
}
NUMBERS = ("max_vfs", "tiles")
SWITCHES = ("media", "hook", "display", "admin", "euclean", "live")
# What the module takes when it is told nothing.
MODULE_DEFAULTS = {"driver": "xe", "bound": 1, "hook": 1, "tiles": 1, "media": 0, "display": 0,
                   "admin": 1, "quota": "no", "debugfs": "none", "euclean": 0, "live": 0,
                   "tree": "prelim_iov", "gt": "gtn"}
FIRST_SLOT = 0x10


class Gpu:
    def __init__(self, text):
        name, *options = text.split(":")
        if name not in MODELS:
            raise TestbedError(f"--gpus: no model '{name}'; there are {', '.join(MODELS)}")
        self.name = name
        self.device, self.pci_class, self.vfs, self.vram, differs = MODELS[name]
        self.keys = dict(differs)
        for option in options:
            self._option(text, option)
        self._defaults()
        if self.vfs > 100:
            raise TestbedError(f"--gpus: {text}: at most 100 VFs")
        if self.keys.get("tiles", 1) not in (1, 2):
            raise TestbedError(f"--gpus: {text}: 1 or 2 tiles")
        if self.keys.get("tiles") == 2 and self.keys.get("media"):
            raise TestbedError(f"--gpus: {text}: a media GT is for cards of one tile")

    def _option(self, text, option):
        key, equals, value = option.partition("=")
        if key == "vfs" and value.isdigit():
            self.vfs = int(value)
        elif key == "vram" and equals:
            self.vram = _size(text, value)
        elif key == "driver" and value in ("yes", "no"):
            self.keys["bound"] = int(value == "yes")
        elif key in WORDS and value in WORDS[key]:
            self.keys[key] = value
        elif key in NUMBERS and value.isdigit():
            self.keys[key] = int(value)
        elif key in SWITCHES and value in ("yes", "no"):
            self.keys[key] = int(value == "yes")
        else:
            raise TestbedError(f"--gpus: {text}: cannot read '{option}'")

    def _defaults(self):
        """What depends on the card: the backport of i915 is for cards with memory."""
        memory = self.vram > 0
        admin = self.keys.get("admin", 1)
        self.keys.setdefault("quota", "yes" if memory and admin else "no")
        if self.keys.get("driver") == "i915":
            self.keys.setdefault("tree", "both" if memory else "prelim_iov")
            single = memory and self.keys.get("tiles", 1) == 1
            self.keys.setdefault("gt", "gt" if single else "gtn")

    def module_word(self, index):
        """What the kernel module is told: where the card is and what it is to be."""
        words = {"slot": f"{FIRST_SLOT + index:x}", "device": f"{self.device:x}",
                 "class": f"{self.pci_class:x}", "vram": self.vram, **self.keys}
        return ":".join(f"{key}={value}" for key, value in words.items()
                        if MODULE_DEFAULTS.get(key) != value)

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


def module_parameter(found):
    return ",".join(gpu.module_word(index) for index, gpu in enumerate(found))


def parse(text):
    """The list of GPUs; an empty text or 'none' means no GPU at all."""
    if text in ("", "none"):
        return []
    found = [Gpu(word) for word in text.split(",")]
    if len(found) > 8:
        raise TestbedError("--gpus: at most 8 GPUs")
    if len(module_parameter(found)) >= PARAMETER_SIZE:
        raise TestbedError("--gpus: too many options: the module's parameter gets too long")
    return found
