# SPDX-License-Identifier: GPL-2.0-or-later
"""The outer machine: its QEMU command line, its start, its end."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import gpus
from .common import TestbedError, alone, say

QEMU = "/usr/bin/qemu-system-x86_64"
# Time that the machine gets beyond the scenario's limit, to start and to print its journal.
START_AND_END = 120
# A process inside says every few seconds that it runs (inside/start). The slowest machine seen was silent for 25 s.
SILENCE = 90
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
# What a terminal would act on in the console's text.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bM|[\x00-\x08\x0b-\x1f]")


# All that QEMU can emulate, less what makes a kernel copy and clear memory byte by byte, which is quick on silicon
# only, and walk five levels of page tables.
EMULATED_CPU = "max,-erms,-fsrm,-la57"

# Words for the kernel, and QEMU's device.
IOMMUS = {
    "intel": (" intel_iommu=on",
              ["-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"]),
    "amd": ("", ["-device", "amd-iommu,intremap=on,device-iotlb=on"]),
    "none": ("", []),
}


class EmulationFailed(TestbedError):
    """QEMU crashed, or its emulation of AMD's virtualization broke down: no word about what is
    tested."""


def _same_files(one, other):
    """Two folders of files only, with the same contents."""
    def contents(folder):
        return {path.name: path.read_bytes() for path in folder.iterdir()}
    return other.is_dir() and contents(one) == contents(other)


class Machine:
    """One run: a folder for parameters and results, one QEMU process. root is what stage() returned, or None."""

    def __init__(self, paths, root, options, cards):
        self.paths = paths
        self.root = root
        self.options = options
        self.gpus = cards
        paths.cache.mkdir(parents=True, exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=paths.cache))
        (self.folder / "keep").mkdir()
        self.process = None

    def _parameters(self, accel):
        values = {
            "SOURCE": self.paths.source,
            "TESTBED_SRC": self.paths.testbed_src,
            "TESTBED_BUILD": self.paths.build,
            "TESTBED_CACHE": self.paths.cache,
            "TESTBED_MODULES": self.paths.modules,
            "TESTBED_SCENARIO": self.options.scenario or "",
            "TESTBED_ARGUMENTS": " ".join(shlex.quote(a) for a in self.options.arguments),
            "TESTBED_LIMIT": self.options.limit,
            "TESTBED_SEED": os.environ.get("GPUVF_SEED", ""),
            "TESTBED_SHELL": "yes" if self.options.shell else "",
            "TESTBED_GPUS": gpus.module_parameter(self.gpus),
            "TESTBED_FAULTS": self.options.faults,
            "TESTBED_BEFORE": f"/testbed/src/{self.options.before}" if self.options.before else "",
            "TESTBED_ROOT": self.root or "",
            "TESTBED_LOCKDOWN": "yes" if self.options.lockdown else "",
            "TESTBED_ACCEL": accel,
            "TESTBED_GUESTS": self.options.guests,
        }
        text = "".join(f"{k}={shlex.quote(str(v))}\n" for k, v in values.items())
        (self.folder / "params").write_text(text)

    def _command(self, accel):
        share = "local,security_model=none,multidevs=remap"
        machine = "q35,kernel-irqchip=split" if accel == "kvm" else "q35"
        # An emulated timer misses ticks on a busy machine; the kernel then gives up at boot.
        words = "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off no_timer_check oops=panic"
        # An emulator keeps what it has translated by its address: what lies elsewhere in each process is translated anew.
        words += " apparmor=0 selinux=0 audit=0 nokaslr norandmaps systemd.unit=multi-user.target"
        words += " systemd.show_status=no rd.udev.log_level=3 systemd.gpt_auto=0"
        # A processor that runs nothing else for two minutes will not come back.
        words += " softlockup_panic=1 watchdog_thresh=60 sysctl.kernel.panic_on_rcu_stall=1"
        words += " rcupdate.rcu_cpu_stall_timeout=120"
        words += IOMMUS[self.options.iommu][0]
        argv = [
            QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-name", "gpuvf-testbed",
            "-M", machine, "-accel", "kvm" if accel == "kvm" else "tcg,thread=multi,tb-size=1536",
            "-cpu", "host" if accel == "kvm" else EMULATED_CPU, "-smp", str(self.options.cpus),
            "-m", str(self.options.memory),
            *IOMMUS[self.options.iommu][1],
            "-kernel", str(self.paths.vmlinux), "-initrd", str(self.paths.outer_initramfs),
            "-append", words,
            "-fsdev", f"{share},id=host,path=/,readonly=on",
            "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
            "-fsdev", f"{share},id=run,path={self.folder}",
            "-device", "virtio-9p-pci,fsdev=run,mount_tag=run",
            "-chardev", f"file,id=console,path={self.folder}/console.log",
            "-serial", "chardev:console",
            "-device", "virtio-serial-pci",
            "-chardev", "stdio,id=report,signal=off",
            "-monitor", f"unix:{self.folder}/monitor,server=on,wait=off",
        ]
        if self.options.shell:
            argv += ["-device", "virtconsole,chardev=report"]
        else:
            argv += ["-device", "virtserialport,chardev=report,name=gpuvf.report"]
        for index, gpu in enumerate(self.gpus):
            argv += gpu.qemu_arguments(index)
        return argv

    def run(self, accel):
        """Runs the machine to its end; returns the scenario's exit status."""
        self._parameters(accel)
        argv = self._command(accel)
        if self.options.verbose:
            say(shlex.join(argv))
        # An open pipe: at the end of its input QEMU would close the report port.
        stdin = None if self.options.shell else subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=stdin)
        if self.options.shell:
            self.process.wait()
        elif not self._ends_within(self.options.limit + START_AND_END):
            return 124
        return self._status()

    def _ends_within(self, limit):
        """Waits for QEMU's end. A machine that has stopped dead is ended at once: its scenario may begin again."""
        deadline = time.monotonic() + limit
        while True:
            try:
                self.process.wait(timeout=2)
                return True
            except subprocess.TimeoutExpired:
                pass
            late = time.monotonic() > deadline
            still = self._silent_for() > SILENCE
            if not late and not still:
                continue
            say(f"the machine did not end within {limit} s: ending it" if late else
                f"nothing has run inside for {SILENCE} s: ending the machine")
            self._show_processors()
            self.stop()
            self.show_console()
            if still:
                raise EmulationFailed("the machine stood still")
            return False

    def _silent_for(self):
        """Seconds since the sign of life; 0 while there was none."""
        try:
            return time.time() - (self.folder / "alive").stat().st_mtime
        except OSError:
            return 0

    def _show_processors(self):
        """Where the processors are: all that is left to see of a machine that stands still."""
        try:
            with socket.socket(socket.AF_UNIX) as monitor:
                monitor.settimeout(5)
                monitor.connect(str(self.folder / "monitor"))
                monitor.sendall(b"info registers -a\n")
                text = b""
                while text.count(b"(qemu)") < 2:
                    piece = monitor.recv(65536)
                    if not piece:
                        break
                    text += piece
        except OSError as error:
            say(f"QEMU's monitor does not answer: {error}")
            return
        for line in CONTROL.sub("", text.decode(errors="replace")).splitlines():
            if re.match(r"CPU#|R[AS]|RIP|CR|EFER|CS|GS", line):
                print("  " + line, flush=True)

    def _status(self):
        if self.options.shell:
            return 0
        try:
            return int((self.folder / "status").read_text())
        except (OSError, ValueError):
            say(f"the machine ended without a result (QEMU: {self.process.returncode})")
            self.show_console()
            if -self.process.returncode in CRASHES:
                raise EmulationFailed(f"QEMU crashed (signal {-self.process.returncode})") from None
            if self._died_in_kvm():
                raise EmulationFailed("the kernel died in a virtual CPU's world switch") from None
            if self._stuck():
                raise EmulationFailed("a processor of the machine stood still") from None
            return 125

    def _console(self):
        try:
            return (self.folder / "console.log").read_text(errors="replace")
        except OSError:
            return ""

    def _died_in_kvm(self):
        """Whether the machine's own kernel fell in a thread that runs a nested guest's CPU, or in the switch
        from one to the next thread, whose stack is the broken one then."""
        return re.search(r"Comm: CPU \d+/KVM|RIP: 0010:(__schedule|__switch_to)", self._console()) is not None

    def _stuck(self):
        """Whether the kernel's watchdogs have ended the machine (see the command line)."""
        return re.search(r"Kernel panic - not syncing: (softlockup|RCU Stall)", self._console()) is not None

    def show_console(self):
        say("the last lines of the machine's console:")
        lines = [line for line in CONTROL.sub("", self._console()).splitlines() if line.strip()]
        for line in lines[-60:]:
            print("  " + line, flush=True)

    def stop(self):
        """Ends this run's own QEMU, and nothing else."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _keep_capabilities(self):
        """What libvirt found out about QEMU inside, which took it seconds, is kept for the next
        run; libvirt itself finds out when it is no longer true."""
        found = self.folder / "capabilities"
        if found.is_dir() and any(found.iterdir()):
            with alone(self.paths):
                if not _same_files(found, self.paths.capabilities): # else another machine may be reading them
                    shutil.rmtree(self.paths.capabilities, ignore_errors=True)
                    shutil.copytree(found, self.paths.capabilities)

    def _keep_results(self):
        """Files that the scenario wants to have outside."""
        found = self.folder / "keep"
        if any(found.iterdir()):
            with alone(self.paths):
                shutil.rmtree(self.paths.kept, ignore_errors=True)
                shutil.copytree(found, self.paths.kept)

    def clean_up(self, keep):
        self.stop()
        self._keep_capabilities()
        self._keep_results()
        if keep:
            say(f"kept {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def kvm_works(paths, deadline=8):
    """Boots the kernel under KVM until it complains that it has no root: a /dev/kvm that opens
    is no proof that a guest runs."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
             "-M", "q35", "-accel", "kvm", "-cpu", "host", "-m", "512",
             "-kernel", str(paths.vmlinux), "-append", "console=ttyS0 panic=-1",
             "-serial", "stdio"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        output.seek(0)
        return b"Kernel panic" in output.read()


def choose_accel(paths, wanted):
    """What '--accel' means on this machine; the answer of a probe is kept for an hour."""
    if wanted == "tcg":
        return "tcg"
    stamp = paths.cache / "kvm-probe"
    if wanted == "auto" and stamp.exists() and time.time() - stamp.stat().st_mtime < 3600:
        return stamp.read_text()
    works = kvm_works(paths)
    if wanted == "kvm" and not works:
        raise TestbedError("--accel kvm: no guest runs with KVM on this machine")
    stamp.write_text("kvm" if works else "tcg")
    return "kvm" if works else "tcg"
