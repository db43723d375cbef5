# SPDX-License-Identifier: GPL-2.0-or-later
"""The real helper below a made-up /sys: which way is taken, with and without allow_debugfs, and what is said."""

from harness import BUILD, World, equal, main, test

PCI = "bus/pci/devices"
FILES = {
    "vendor": "0x8086", "device": "0xe211", "class": "0x030000", "numa_node": "-1", "config": "",
    "sriov_totalvfs": "2", "sriov_numvfs": "0", "sriov_drivers_autoprobe": "1",
}
TILE = {"ggtt_quota": "0", "vram_quota": "0"}
GT = {"contexts_quota": "0", "doorbells_quota": "0", "exec_quantum_ms": "0", "preempt_timeout_us": "0"}
TREE = {
    **{f"{vf}/tile0/{name}": value for vf in ("vf1", "vf2") for name, value in TILE.items()},
    **{f"{vf}/tile0/gt0/{name}": value for vf in ("vf1", "vf2") for name, value in GT.items()},
    "restore_auto_provisioning": "",
}
PROFILE = {"exec_quantum_ms": "0", "preempt_timeout_us": "0", "sched_priority": "[low] normal high"}


class Host(World):
    """A daemon over a folder in place of /sys, with one Arc Pro B60 under xe, and libvirt's own made-up driver."""

    def __init__(self, **more):
        super().__init__(start=False, **more)
        self.sys = self.folder / "sys"
        self.gpu_folder = self.sys / PCI / "0000:03:00.0"
        self.put(self.gpu_folder, FILES)
        (self.sys / "bus/pci/drivers/xe").mkdir(parents=True)
        (self.gpu_folder / "driver").symlink_to("../../drivers/xe")

    @staticmethod
    def put(folder, files):
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text + "\n")

    def command(self, *more):
        return [str(BUILD / "gpuvfd"), "--foreground", "--config", str(self.config), "--socket", self.socket,
                "--state-dir", str(self.state), "--policy-dir", str(self.policies),
                "--sysfs-root", str(self.sys), "--libvirt-uri", "test:///default", *more]

    def add_admin(self):
        for vf in ("pf", "vf1", "vf2"):
            self.put(self.gpu_folder / "sriov_admin" / vf / "profile", PROFILE)

    def add_debugfs(self):
        self.put(self.sys / "kernel/debug/dri/0000:03:00.0/sriov", TREE)


@test
def allowed():
    """With allow_debugfs the quotas that sysfs does not set go through debugfs."""
    world = Host(config={"allow_debugfs": True})
    world.add_admin()
    world.add_debugfs()
    world.put(world.sys, {"kernel/security/lockdown": "[none] integrity confidentiality"})
    world.start()
    gpu = world.gpu()
    equal(gpu["vf_control"], "xe-debugfs")
    equal(gpu["can"]["vram_quota"], {"access": "writable", "why": None})
    equal(gpu["custom_provisioning"], False)
    assert "until automatic provisioning is restored" in gpu["control_note"], gpu["control_note"]


@test
def not_allowed():
    """Without it nothing there is touched, and what it could add is said."""
    world = Host()
    world.add_admin()
    world.add_debugfs()
    world.start()
    gpu = world.gpu()
    equal(gpu["vf_control"], "xe")
    equal(gpu["can"]["vram_quota"]["access"], "none")
    assert gpu["can"]["vram_quota"]["why"], "no reason"
    assert "allow_debugfs" in gpu["control_note"], gpu["control_note"]


@test
def locked():
    """Under lockdown the daemon works on, and says what is lost."""
    world = Host(config={"allow_debugfs": True})
    world.add_debugfs()
    world.put(world.sys, {"kernel/security/lockdown": "none [integrity] confidentiality"})
    world.start()
    gpu = world.gpu()
    equal(gpu["vf_control"], "generic")
    assert gpu["control_note"].startswith("kernel lockdown closes debugfs"), gpu["control_note"]
    assert "lockdown" in world.cli("show", "gpu0", check=0).stdout, "show does not say it"


if __name__ == "__main__":
    main()
