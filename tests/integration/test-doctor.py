# SPDX-License-Identifier: GPL-2.0-or-later
"""gpuvf doctor: over the simulation, without a daemon, and its bundle."""

import base64
import contextlib
import json
import os
import pathlib
import subprocess
import tarfile

from harness import BUILD, PATIENCE, SOURCE, World, equal, main, refused, test, until

SECRET = "planted-Secret7"
MIXED = {
    "gpus": [{"model": "Flex 170", "driver": "xe"},
             {"model": "Arc B580", "driver": "xe"},
             {"model": "Flex 170", "driver": None},
             {"model": "Flex 170", "driver": "xe", "total_vfs": 0, "display": True}],
    "vms": [{"name": "trainer-1"},
            {"name": "trainer-2", "agent": False, "ports": 0},
            {"name": "trainer-3", "agent": "disconnected"}],
}


def by_id(result, subject=None):
    """id → finding, of one subject or of all that are not fine."""
    return {f["id"]: f for f in result["findings"]
            if (f["subject"] == subject if subject else f["severity"] != "ok")}


def severity(result, subject, check):
    found = by_id(result, subject)
    assert check in found, f"{check} is missing in {sorted(found)}"
    return found[check]["severity"]


@test
def every_machine():
    """Over the simulation each GPU and VM is judged by what the machine says; that is said too."""
    world = World(machine=MIXED)
    until(lambda: len(world.items("vm.list")) == 3, "libvirt has listed its VMs")
    result = world.call("daemon.doctor")
    equal(result["simulated"], True)
    equal(severity(result, "host", "simulation"), "info")
    equal(severity(result, "gpu0", "gpu-driver"), "ok")
    equal(severity(result, "gpu0", "vfs-allowed"), "ok")
    equal(severity(result, "gpu1", "sriov-capability"), "info")
    equal(severity(result, "gpu2", "gpu-driver"), "error")
    equal(severity(result, "gpu3", "vfs-allowed"), "error")
    equal(severity(result, "gpu3", "console-gpu"), "info")
    equal(severity(result, "trainer-1", "vm-agent"), "ok")
    equal(severity(result, "trainer-2", "vm-agent"), "warning")
    equal(severity(result, "trainer-2", "vm-free-port"), "warning")
    equal(severity(result, "trainer-3", "vm-agent"), "warning")
    order = ["error", "warning", "info", "ok"]
    ranks = [order.index(f["severity"]) for f in result["findings"]]
    equal(ranks, sorted(ranks), "the worst first")
    for name in order:
        equal(result["counts"][name], ranks.count(order.index(name)), f"count of {name}")
    for finding in result["findings"]:
        assert finding["what"], finding
        if finding["severity"] in ("error", "warning"):
            assert finding["evidence"] and finding["cure"], finding
        if finding["kind"] == "gpu":
            assert finding["address"].startswith("0000:"), finding


@test
def one_subject():
    """Of one GPU or VM only; names that are not there are refused."""
    world = World(machine=MIXED)
    until(lambda: len(world.items("vm.list")) == 3, "libvirt has listed its VMs")
    result = world.call("daemon.doctor", gpu="gpu2")
    equal({f["subject"] for f in result["findings"]}, {"gpu2"})
    address = result["findings"][0]["address"]
    equal(by_id(world.call("daemon.doctor", gpu=address)), by_id(result))
    result = world.call("daemon.doctor", vm="trainer-2")
    equal({f["subject"] for f in result["findings"]}, {"trainer-2"})
    with refused(-32002, "gpu9"):
        world.call("daemon.doctor", gpu="gpu9")
    with refused(-32002, "nobody"):
        world.call("daemon.doctor", vm="nobody")
    with refused(-32602, "not both"):
        world.call("daemon.doctor", gpu="gpu0", vm="trainer-1")
    with refused(-32602, "did you mean", field="gpus"):
        world.call("daemon.doctor", gpus="gpu0")


@test
def what_the_daemon_knows():
    """Drift, a refused policy and a libvirt that is away are findings, then gone."""
    world = World()
    world.apply(2)
    assert "gpu-drift" not in by_id(world.call("daemon.doctor"))
    world.machine("set-numvfs", gpu="gpu0", value=0)
    until(lambda: "gpu-drift" in by_id(world.call("daemon.doctor")), "drift is told")
    world.apply(2)
    until(lambda: "gpu-drift" not in by_id(world.call("daemon.doctor")), "drift is gone")

    world.machine("libvirt-down")
    until(lambda: "hypervisor-away" in by_id(world.call("daemon.doctor")), "libvirt is away")
    world.machine("libvirt-up")
    until(lambda: "hypervisor-away" not in by_id(world.call("daemon.doctor")), "libvirt is back")

    world.stop()
    world.write_policy('{"version": 1, "nonsense": 1}')
    world.start()
    found = by_id(world.call("daemon.doctor"))
    assert "nonsense" in json.dumps(found["policy-refused"]["evidence"]), found


@test
def wedged():
    """A GPU whose write hangs is an error that names the attribute; the others are told as ever."""
    world = World(machine={"gpus": [{"model": "Flex 170", "driver": "xe", "count": 2}]})
    world.fault("vram_quota", gpu="gpu0", nth=1, hang=True)
    world.call("gpu.apply", gpu="gpu0", layout={"vfs": 2, "vram": "1GiB"}, wait_seconds=0)
    until(lambda: severity(world.call("daemon.doctor"), "gpu0", "gpu-answers") == "error",
          "gpu0 is told not to answer")
    found = by_id(world.call("daemon.doctor"), "gpu0")["gpu-answers"]
    assert "vram_quota" in found["what"], found
    equal(severity(world.call("daemon.doctor"), "gpu1", "gpu-answers"), "ok")
    world.machine("release-hang", gpu="gpu0")


@test
def given_up():
    """A card that its driver gave up is told with the ways out, until the driver is bound again."""
    world = World()
    assert "gpu-given-up" not in by_id(world.call("daemon.doctor"))
    world.machine("wedge", gpu="gpu0")
    until(lambda: "gpu-given-up" in by_id(world.call("daemon.doctor")), "it is told")
    found = by_id(world.call("daemon.doctor"), "gpu0")["gpu-given-up"]
    assert "rebind" in json.dumps(found["evidence"]) and "bind its driver" in found["cure"], found
    world.machine("unbind-driver", gpu="gpu0")
    world.machine("bind-driver", gpu="gpu0")
    until(lambda: "gpu-given-up" not in by_id(world.call("daemon.doctor")), "it is well again")


@test
def command_line():
    """The table has evidence and cure, -q ids only, -o json the answer; 1 when something is an error."""
    world = World(machine=MIXED)
    until(lambda: len(world.items("vm.list")) == 3, "libvirt has listed its VMs")
    text = world.cli("doctor", check=1).stdout
    assert "[gpu-driver]" in text and "    seen  " in text and "    do    " in text, text
    assert text.index("error ") < text.index("warning "), text
    assert "[iommu-group]" not in text and "[iommu-group]" in world.cli("-o", "wide", "doctor").stdout
    ids = world.cli("-q", "doctor", check=1).stdout.split()
    equal(len(ids), len(set(ids)), "each id once")
    assert "gpu-driver" in ids and "gpu-answers" not in ids, ids
    answer = json.loads(world.cli("-o", "json", "doctor", check=1).stdout)
    equal(by_id(answer).keys(), by_id(world.call("daemon.doctor")).keys())
    world.cli("doctor", "gpu0", check=0)
    world.cli("doctor", "gpu2", check=1)
    world.cli("doctor", "trainer-2", check=0)
    world.cli("doctor", "gpu9", check=5)
    world.cli("doctor", "--force", check=2)
    world.cli("doctor", "gpu0", "--bundle", "x", check=2)


def gpuvfd(world, *words):
    environment = {**world.environment(), "GPUVF_SOCKET": str(world.folder / "none")}
    return subprocess.run([str(BUILD / "gpuvfd"), "--doctor", "--libvirt-uri", "test:///default",
                           "--sysfs-root", str(world.folder / "root"), *words],
                          env=environment, capture_output=True, text=True, check=False,
                          timeout=PATIENCE)


def made_up_host(world):
    """A folder with one GPU whose VFs are switched off."""
    root = world.folder / "root"
    gpu = root / "bus/pci/devices/0000:03:00.0"
    for name, text in {
            "vendor": "0x8086\n", "device": "0x56c0\n", "class": "0x038000\n",
            "sriov_totalvfs": "0\n", "sriov_numvfs": "0\n", "sriov_drivers_autoprobe": "1\n",
            "numa_node": "-1\n"}.items():
        gpu.mkdir(parents=True, exist_ok=True)
        (gpu / name).write_text(text)
    (gpu / "config").write_bytes(bytes.fromhex("8680c0560604101005018003") + bytes(52))
    (root / "bus/pci/drivers/xe").mkdir(parents=True)
    (gpu / "driver").symlink_to("../../drivers/xe")
    parameters = root / "module/xe/parameters"
    parameters.mkdir(parents=True)
    (parameters / "max_vfs").write_text("0\n")
    (root / "proc").mkdir()
    (root / "proc/cmdline").write_text(f"quiet rd.password={SECRET}\n")
    (root / "dev").mkdir()
    (root / "dev/kmsg").write_text(f"6,1,1,-;xe 0000:03:00.0: token={SECRET}\n")
    return root


@test
def without_a_daemon():
    """gpuvfd --doctor works alone: files of a host, and VMs of a libvirt of its own."""
    world = World(start=False)
    made_up_host(world)
    done = gpuvfd(world, "--output", "json")
    equal(done.returncode, 1, done.stderr)
    result = json.loads(done.stdout)
    equal(severity(result, "0000:03:00.0", "vfs-off-max-vfs"), "error")
    equal(severity(result, "host", "iommu"), "error")
    equal(severity(result, "host", "libvirt"), "ok")
    equal(severity(result, "test", "vm-agent"), "warning")
    assert SECRET not in done.stdout
    done = gpuvfd(world, "0000:03:00.0")
    assert done.stdout.startswith("error ") and "[vfs-off-max-vfs]" in done.stdout, done
    assert "host:" not in done.stdout, done.stdout
    done = gpuvfd(world, "gpu0")
    equal(done.returncode, 5)
    assert "PCI address" in done.stderr, done.stderr


@contextlib.contextmanager
def real_daemon(world):
    """A daemon that is no simulation: over the made-up folder and libvirt's own test driver."""
    command = [str(BUILD / "gpuvfd"), "--foreground", "--config", str(world.config), "--socket",
               world.socket, "--state-dir", str(world.state), "--policy-dir", str(world.policies),
               "--libvirt-uri", "test:///default", "--sysfs-root", str(world.folder / "root")]
    with open(world.log_path, "ab") as stream:
        world.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream,
                                         stderr=stream, env=world.environment())
    until(world.answers, "the daemon answers")
    yield
    equal(world.stop(), 0)


@test
def through_a_daemon():
    """A daemon that is no simulation has its child look, and gives its own names to what that says."""
    world = World(start=False, policy={"version": 1})
    made_up_host(world)
    with real_daemon(world):
        result = world.call("daemon.doctor")
        equal(result["simulated"], False)
        equal(severity(result, "gpu0", "vfs-off-max-vfs"), "error")
        equal(by_id(result, "gpu0")["gpu-driver"]["address"], "0000:03:00.0")
        equal(severity(result, "host", "iommu"), "error")
        equal(severity(result, "test", "vm-agent"), "warning")
        equal({f["subject"] for f in world.call("daemon.doctor", gpu="gpu0")["findings"]}, {"gpu0"})
        equal({f["subject"] for f in world.call("daemon.doctor", vm="test")["findings"]}, {"test"})
        clients = [world.client() for _ in range(8)]
        numbers = [c.begin("daemon.doctor") for c in clients]
        for client, number in zip(clients, numbers):
            assert client.answer_to(number)["result"]["findings"]


@test
def hanging_gpu():
    """A GPU that hangs is told in time, and everything else with it."""
    world = World(start=False, policy={"version": 1})
    root = made_up_host(world)
    with real_daemon(world):
        numvfs = root / "bus/pci/devices/0000:03:00.0/sriov_numvfs"
        numvfs.unlink()
        os.mkfifo(numvfs)
        result = world.call("daemon.doctor")
        finding = by_id(result, "gpu0")["gpu-answers"]
        equal((finding["severity"], finding["looked"]), ("error", False))
        assert "sriov_numvfs" in finding["what"], finding
        equal(severity(result, "host", "gpus-found"), "ok")


def doctors(root):
    """What the processes of examinations of this root are looking at."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"--doctor" in words and str(root).encode() in words:
                found.append((folder / "comm").read_text().strip())
    return found


@test
def ends_with_the_daemon():
    """A daemon that ends waits for no examination, and leaves none of its processes behind."""
    world = World(start=False, policy={"version": 1})
    root = made_up_host(world)
    with real_daemon(world):
        numvfs = root / "bus/pci/devices/0000:03:00.0/sriov_numvfs"
        numvfs.unlink()
        os.mkfifo(numvfs)
        world.client().begin("daemon.doctor")
        until(lambda: "sriov_numvfs" in doctors(root), "its process hangs")
    until(lambda: not doctors(root), "all of its processes have ended")


@test
def client_without_a_daemon():
    """The client runs gpuvfd when no daemon answers, and says so."""
    world = World(start=False)
    done = world.cli("-o", "json", "doctor")
    assert done.returncode in (0, 1), done
    assert "no daemon" in done.stderr, done.stderr
    assert "socket-permissions" in by_id(json.loads(done.stdout)), done.stdout
    environment = {**world.environment(), "GPUVFD": "/nonexistent"}
    done = subprocess.run([str(BUILD / "gpuvf"), "doctor"], env=environment, capture_output=True,
                          text=True, check=False, timeout=PATIENCE)
    equal(done.returncode, 1)
    assert "GPUVFD" in done.stderr, done.stderr


@test
def bundle():
    """The bundle: 0600, never over a file, whole, and without the secrets that are around."""
    world = World()
    world.apply(1)
    number = world.submit("echo $HF_TOKEN; cat data", env={"HF_TOKEN": SECRET},
                          files=[{"to": "data",
                                  "content": base64.b64encode(SECRET.encode()).decode()}])
    world.until_ended(number)
    path = world.folder / "bundle.tar"
    world.cli("doctor", "--bundle", str(path), check=0)
    equal(path.stat().st_mode & 0o777, 0o600)
    with tarfile.open(path) as archive:
        members = {m.name: archive.extractfile(m).read().decode() for m in archive.getmembers()}
    for name in ("README.txt", "findings.txt", "findings.json", "host.txt", "kernel-log.txt",
                 "daemon/status.json", "daemon/gpus.json", "daemon/policy.json"):
        assert name in members, f"{name} is missing in {sorted(members)}"
    equal(json.loads(members["daemon/gpus.json"])["items"][0]["name"], "gpu0")
    json.loads(members["findings.json"])
    for name, text in members.items():
        assert SECRET not in text and base64.b64encode(SECRET.encode()).decode() not in text, name
    before = path.read_bytes()
    done = world.cli("doctor", "--bundle", str(path), check=6)
    assert "--force" in done.stderr, done.stderr
    equal(path.read_bytes(), before)
    world.cli("doctor", "--bundle", str(path), "--force", check=0)
    done = world.cli("doctor", "--bundle", str(world.folder / "none" / "b.tar"), check=1)
    assert "none/b.tar" in done.stderr, done.stderr


@test
def bundle_of_a_host():
    """A bundle of a host without a daemon has the GPU's files and the VMs' XML, secrets taken out."""
    world = World(start=False)
    made_up_host(world)
    path = world.folder / "bundle.tar"
    done = gpuvfd(world, "--bundle", str(path), "--socket", world.socket)
    equal(done.returncode, 0, done.stderr)
    with tarfile.open(path) as archive:
        members = {m.name: archive.extractfile(m).read().decode() for m in archive.getmembers()}
    assert "\nconfig\t/sys/bus/pci/devices/0000:03:00.0/config\t8680c056" in \
        members["gpu-0000:03:00.0.txt"], members["gpu-0000:03:00.0.txt"]
    assert "<domain" in members["vm-1.xml"]
    assert "rd.password=***" in members["host.txt"] and "token=***" in members["kernel-log.txt"]
    assert "daemon/not-reachable.json" in members
    for name, text in members.items():
        assert SECRET not in text, name


@test
def documented():
    """Each id of the daemon's own checks has its row in docs/DOCTOR.md."""
    text = (SOURCE / "docs" / "DOCTOR.md").read_text()
    source = (SOURCE / "daemon" / "manager-doctor-checks.c").read_text()
    table = source[source.index("daemon_checks[] = {"):]
    ids = [line.split('"')[1] for line in table.splitlines() if line.startswith(('\t{ "', '\t{"'))]
    assert len(ids) >= 9, ids
    for check in ids:
        assert f"\n| `{check}` |" in text, check


if __name__ == "__main__":
    os.umask(0o022)
    main()
