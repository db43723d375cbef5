# SPDX-License-Identifier: GPL-2.0-or-later
"""VFs go to VMs and come back: leases, refusals, and what must never be written meanwhile."""

import os
import pathlib
import re
import signal
import sqlite3

from gpuvf_client import CONFLICT, HOST_ERROR, NO_FIT, NOT_FOUND, TIMEOUT, RpcError
from harness import MACHINE, PATIENCE, POLICY, World, equal, main, refused, test, until


def assign(world, vm="trainer-1", **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def release(world, **what):
    return world.call("vf.release", wait_seconds=PATIENCE, **what)


def hostdevs(world, vm):
    """What libvirt says that the VM has, live."""
    for entry in world.machine("state")["vms"]:
        if entry["name"] == vm:
            return [h["address"] for h in entry["hostdevs"] if h.get("live")]
    raise AssertionError(f"the machine has no VM {vm}")


@test
def assign_and_release():
    """A VF goes into a running VM, libvirt shows it, and it comes back free and reset."""
    world = World()
    world.apply(4)
    result = assign(world)
    equal(result["changed"], True)
    name = result["vf"]
    vf = world.vf(name)
    equal((vf["state"], vf["vm"], vf["driver"]), ("attached", "trainer-1", "vfio-pci"))
    assert vf["lease"]["epoch"] > 0, vf["lease"]
    equal((vf["user"], vf["lease"]["uid"]), (str(os.getuid()), os.getuid()))
    equal(hostdevs(world, "trainer-1"), [vf["address"]])
    equal(world.vm("trainer-1")["vfs"], [name])
    resets = world.writes()["reset"]
    equal(release(world, vm="trainer-1")["changed"], True)
    vf = world.vf(name)
    equal((vf["state"], vf["vm"], vf["lease"], vf["user"]), ("free", None, None, None))
    equal(hostdevs(world, "trainer-1"), [])
    assert world.writes()["reset"] > resets, "it was not reset"


@test
def variant_driver():
    """Where the kernel has a variant of vfio-pci for the VFs, they are bound to that one, and it counts as bound."""
    world = World(machine={**MACHINE, "gpus": [{**MACHINE["gpus"][0], "vfio_driver": "xe-vfio-pci"}]})
    world.apply(2)
    equal([world.vf(f"gpu0/vf{i}")["driver"] for i in (1, 2)], ["xe-vfio-pci"] * 2)
    binds = world.writes()["bind"]
    name = assign(world)["vf"]
    release(world, vm="trainer-1")
    equal((world.vf(name)["state"], world.vf(name)["driver"]), ("free", "xe-vfio-pci"))
    equal(world.writes()["bind"], binds, "bound again without need")


@test
def assign_again():
    """The same assignment again is no change; `add` makes it two."""
    world = World()
    world.apply(4)
    first = assign(world)
    again = assign(world)
    equal((again["changed"], again["vf"]), (False, first["vf"]))
    second = assign(world, add=True)
    assert second["vf"] != first["vf"]
    equal(len(hostdevs(world, "trainer-1")), 2)


@test
def chosen_vf():
    """A VF can be named, by name or address; one that is taken is refused with its holder."""
    world = World()
    world.apply(4)
    address = world.vf("gpu0/vf3")["address"]
    equal(assign(world, vf=address)["vf"], "gpu0/vf3")
    with refused(CONFLICT, "trainer-1"):
        assign(world, "trainer-2", vf="gpu0/vf3")
    equal(hostdevs(world, "trainer-2"), [])


@test
def none_free():
    """No free VF: no_fit, with how many there are and the way out."""
    world = World()
    with refused(NO_FIT, "apply"):
        assign(world)
    world.apply(1)
    assign(world)
    with refused(NO_FIT, "release"):
        assign(world, "trainer-2")
    release(world, vm="trainer-1")
    equal(assign(world, "trainer-2")["vf"], "gpu0/vf1")


@test
def never_recut_while_held():
    """sriov_numvfs is never written while a VM holds a VF, even when asked to."""
    world = World()
    world.apply(4)
    assign(world)
    before = world.writes()["sriov_numvfs"]
    for count in (0, 2, 4 + 4):
        try:
            world.apply(count)
        except RpcError as error:
            equal(error.code, CONFLICT)
            assert "trainer-1" in f"{error.message} {error.data}", error
        else:
            raise AssertionError(f"a re-cut to {count} was done while a VF is held")
    writes = world.writes()
    equal((writes["sriov_numvfs"], writes["sriov_numvfs_while_held"]), (before, 0))
    release(world, vm="trainer-1")
    world.apply(2)
    equal(world.gpu()["num_vfs"], 2)


@test
def foreign_holder():
    """A VF that somebody else gave to a VM is adopted, shown, and keeps the card from re-cuts."""
    world = World()
    world.apply(2)
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", vf=2, alias="hostdev0")
    until(lambda: world.vf("gpu0/vf2")["state"] == "attached", "it is seen")
    vf = world.vf("gpu0/vf2")
    equal((vf["vm"], vf["user"]), ("trainer-2", None))
    with refused(CONFLICT, "trainer-2"):
        world.apply(0)
    equal(world.writes()["sriov_numvfs_while_held"], 0)
    world.machine("foreign-detach", vm="trainer-2", gpu="gpu0", vf=2)
    until(lambda: world.vf("gpu0/vf2")["state"] == "free", "it is free again")


def driver(world, index):
    """What the made-up kernel says, whatever the daemon believes."""
    return world.machine("state")["gpus"][0]["vfs"][index - 1]["driver"]


def foreign_round(world, leave):
    """Somebody gives VF 2 to trainer-2 with managed='yes', and it leaves in one of the ways that there are."""
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", vf=2)
    until(lambda: world.vf("gpu0/vf2")["state"] == "attached", "it is seen")
    equal(driver(world, 2), "vfio-pci")
    leave()
    until(lambda: world.vf("gpu0/vf2")["state"] == "free", "it is free again")
    equal((driver(world, 2), world.vf("gpu0/vf2")["driver"]), ("vfio-pci", "vfio-pci"))


@test
def managed_hostdev_comes_back():
    """A VF that libvirt gave back to the host (managed='yes') is on VFIO again before it is free."""
    for autoprobe in (False, True):  # off: it comes back without a driver; on: with the host's
        world = World()
        if autoprobe:
            world.machine("set-numvfs", gpu="gpu0", value=2)
            until(lambda: len(world.items("vf.list")) == 2, "they are seen")
            equal(driver(world, 2), "xe")
        else:
            world.apply(2)
        foreign_round(world, lambda: world.machine("foreign-detach", vm="trainer-2", gpu="gpu0", vf=2))
        foreign_round(world, lambda: world.machine("domain-stop", vm="trainer-2"))
        equal(world.machine("state")["gpus"][0]["not_reset"], [])
        world.machine("domain-start", vm="trainer-2")
        until(lambda: world.vm("trainer-2")["state"] == "running", "it runs")
        equal(assign(world, "trainer-2", vf="gpu0/vf2")["vf"], "gpu0/vf2")
        release(world, vm="trainer-2")


@test
def managed_hostdev_of_a_stored_definition():
    """While its VM is off, a managed VF is the host's by libvirt's will; taken out of the definition, it is on VFIO again."""
    world = World()
    world.apply(2)
    world.machine("domain-stop", vm="trainer-2")
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", vf=2, config=True)
    until(lambda: world.vf("gpu0/vf2")["state"] == "reserved", "it is seen")
    world.machine("domain-start", vm="trainer-2")
    until(lambda: world.vf("gpu0/vf2")["state"] == "attached", "it runs with it")
    world.machine("domain-stop", vm="trainer-2")
    until(lambda: world.vf("gpu0/vf2")["state"] == "reserved", "only named now")
    equal(driver(world, 2), None)
    world.machine("foreign-detach", vm="trainer-2", gpu="gpu0", vf=2, config=True)
    until(lambda: world.vf("gpu0/vf2")["state"] == "free", "it is free again")
    equal(driver(world, 2), "vfio-pci")


@test
def managed_hostdev_that_vfio_does_not_take():
    """When VFIO does not get it back it is quarantined with the reason, and heal tries once more."""
    world = World()
    world.apply(2)
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", vf=2)
    until(lambda: world.vf("gpu0/vf2")["state"] == "attached", "it is seen")
    world.fault("bind", error="EIO")
    world.machine("foreign-detach", vm="trainer-2", gpu="gpu0", vf=2)
    until(lambda: world.vf("gpu0/vf2")["state"] == "quarantined", "the bind failed")
    assert "could not be bound to VFIO again" in world.vf("gpu0/vf2")["reason"], world.vf("gpu0/vf2")
    with refused(HOST_ERROR):
        world.call("vf.heal", vf="gpu0/vf2", wait_seconds=PATIENCE)
    equal(world.vf("gpu0/vf2")["state"], "quarantined")
    world.machine("clear-faults")
    world.call("vf.heal", vf="gpu0/vf2", wait_seconds=PATIENCE)
    equal((world.vf("gpu0/vf2")["state"], driver(world, 2)), ("free", "vfio-pci"))


@test
def managed_hostdev_taken_by_a_process():
    """A process of the host that is faster than the gate is its holder, and the VF is bound to nothing under it."""
    world = World()
    world.machine("set-numvfs", gpu="gpu0", value=2)
    until(lambda: len(world.items("vf.list")) == 2, "they are seen")
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", vf=2)
    until(lambda: world.vf("gpu0/vf2")["state"] == "attached", "it is seen")
    world.fault("bind", hang=True)
    world.machine("foreign-detach", vm="trainer-2", gpu="gpu0", vf=2)
    until(lambda: any("bind-vfio" in str(task["request"]) for task in world.machine("state")["tasks"]),
          "the gate binds it")
    world.machine("hold", gpu="gpu0", vf=2)
    world.machine("release-hang")
    until(lambda: world.vf("gpu0/vf2")["state"] == "held", "the process has it")
    equal(driver(world, 2), "xe")
    world.machine("unhold", gpu="gpu0", vf=2)
    until(lambda: world.vf("gpu0/vf2")["state"] == "free", "it went through the gate")


MANAGED = {**POLICY, "vms": [{**POLICY["vms"][0], "managed": "yes"}]}


def hostdev(world, vm):
    """The one that the made-up libvirt has of the VM, live or stored."""
    for entry in world.machine("state")["vms"]:
        if entry["name"] == vm:
            equal(len(entry["hostdevs"]), 1)
            return entry["hostdevs"][0]
    raise AssertionError(f"the machine has no VM {vm}")


@test
def managed_by_policy():
    """"managed": "yes" in the VM's rule stands in the definition and the guest; it comes back by the same gate."""
    world = World(policy=MANAGED)
    world.apply(2)
    name = assign(world, mode="both")["vf"]
    found = hostdev(world, "trainer-1")
    equal((found["managed"], found["live"], found["config"]), (True, True, True))
    assert found["alias"].startswith("ua-gpuvf-"), found
    release(world, vm="trainer-1")
    equal((world.vf(name)["state"], driver(world, int(name[-1]))), ("free", "vfio-pci"))

    world.machine("domain-stop", vm="trainer-2")
    until(lambda: world.vm("trainer-2")["state"] == "off", "it is off")
    assign(world, "trainer-2", vf="gpu0/vf2")
    found = hostdev(world, "trainer-2")
    equal((found["managed"], found["live"], found["config"]), (True, False, True))
    release(world, vm="trainer-2")
    equal((world.vf("gpu0/vf2")["state"], driver(world, 2)), ("free", "vfio-pci"))


@test
def not_managed_by_default():
    """Without a word in the policy a hostdev is managed='no'."""
    world = World()
    world.apply(1)
    assign(world)
    equal(hostdev(world, "trainer-1")["managed"], False)


@test
def managed_from_the_host_driver():
    """libvirt does the driver work: the VF goes from the host's driver into the guest, and to VFIO when it is back."""
    world = World(policy=MANAGED)
    world.machine("set-numvfs", gpu="gpu0", value=2)
    until(lambda: len(world.items("vf.list")) == 2, "they are seen")
    equal(driver(world, 2), "xe")
    world.fault("bind", error="EIO")  # of gpuvf's own
    equal(assign(world, vf="gpu0/vf2")["vf"], "gpu0/vf2")
    equal((driver(world, 2), hostdev(world, "trainer-1")["managed"]), ("vfio-pci", True))
    world.machine("clear-faults")
    release(world, vm="trainer-1")
    equal((world.vf("gpu0/vf2")["state"], driver(world, 2)), ("free", "vfio-pci"))


@test
def managed_attach_fails():
    """After an attach that failed libvirt gives the VF to the host; it is free when it is on VFIO again."""
    world = World(policy=MANAGED)
    world.machine("set-numvfs", gpu="gpu0", value=1)
    until(lambda: len(world.items("vf.list")) == 1, "it is seen")
    world.fault("attach", error="failed", message="made up", times=1)
    with refused(HOST_ERROR, "made up"):
        assign(world, vf="gpu0/vf1")
    vf = world.vf("gpu0/vf1")
    equal((vf["state"], vf["lease"], driver(world, 1)), ("free", None, "vfio-pci"))
    equal(assign(world, vf="gpu0/vf1")["changed"], True)


@test
def host_process():
    """A process of the host that has a VF open keeps the card from re-cuts, and is named."""
    world = World()
    world.apply(2)
    pid = world.machine("hold", gpu="gpu0", vf=1)["pid"]
    with refused(CONFLICT):
        world.apply(0)
    equal(world.writes()["sriov_numvfs_while_held"], 0)
    until(lambda: world.vf("gpu0/vf1")["state"] == "held", "the refused cut has told who it is")
    with refused(CONFLICT, f"pid {pid}", reason="held"):
        world.apply(0)
    world.machine("unhold", gpu="gpu0", vf=1)
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "it went through the gate")
    world.apply(0)
    equal(world.gpu()["num_vfs"], 0)


@test
def process_seen_by_asking():
    """A process that opens a free VF is seen because somebody asks what is free."""
    asking = (lambda world: world.items("vf.list"), lambda world: world.vf("gpu0/vf1"), World.gpu,
              lambda world: world.items("gpu.list"))
    for ask in asking:
        world = World()
        world.apply(2)
        watcher = world.client()
        watcher.call("event.subscribe", types=["vf.changed"])
        pid = world.machine("hold", gpu="gpu0", vf=1)["pid"]
        ask(world)
        event = watcher.next_event()
        equal((event["subject"], event["state"]), ("gpu0/vf1", "held"))
        assert f"pid {pid}" in event["reason"], event
        equal(sorted(vf["state"] for vf in world.items("vf.list")), ["free", "held"])
        world.machine("unhold", gpu="gpu0", vf=1)
        until(lambda world=world: world.vf("gpu0/vf1")["state"] == "free", "it went through the gate")


def held_by_process(world, name="gpu0/vf1"):
    """A VF that a process has open, seen by the attempt to assign it; the process's pid."""
    gpu, index = name.split("/vf")
    pid = world.machine("hold", gpu=gpu, vf=int(index))["pid"]
    with refused(CONFLICT, f"media-server (pid {pid}, uid {os.getuid()})", field="vf", reason="held"):
        assign(world, vf=name)
    return pid


@test
def held_by_a_process():
    """A process that has a VF open is its holder until its end: shown, named in every refusal, then the gate."""
    world = World()
    world.apply(2)
    pid = held_by_process(world)
    vf = world.vf("gpu0/vf1")
    process = vf["lease"]["process"]
    equal((vf["state"], vf["vm"], vf["lease"]["owner"], vf["user"]), ("held", None, "foreign", str(os.getuid())))
    equal((process["pid"], process["command"], process["uid"]), (pid, "media-server", os.getuid()))
    start = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    equal(process["started"], int(start))
    for words in (["list", "-o", "wide"], ["list", "vfs", "-o", "wide"], ["show", "gpu0/vf1"], ["status"]):
        assert f"media-server (pid {pid}" in world.cli(*words).stdout, words
    found = [one for one in world.call("daemon.doctor")["findings"] if one["id"] == "vf-held"]
    equal([(one["severity"], one["subject"]) for one in found], [("info", "gpu0")])
    assert f"pid {pid}" in found[0]["evidence"][0]["value"], found
    for method, params in (("vf.release", {"vf": "gpu0/vf1"}), ("vf.reset", {"vf": "gpu0/vf1"}),
                           ("vf.assign", {"vm": "trainer-1", "vf": vf["address"]})):
        with refused(CONFLICT, f"pid {pid}", reason="held"):
            world.call(method, **params)
    with refused(CONFLICT, "end that process: the vf comes back", reason="held"):
        release(world, vf="gpu0/vf1")
    equal(assign(world)["vf"], "gpu0/vf2")
    with refused(NO_FIT, f"pid {pid}", reason="none_free"):
        assign(world, vm="trainer-2")
    number = world.submit("true", run_in={"vm": "trainer-2"})
    until(lambda: f"pid {pid}" in (world.job(number)["reason"] or ""), "the job says who is in its way")
    resets = world.writes()["reset"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: world.job(number)["state"] == "ended", "the process is gone: the job has the VF")
    assert world.writes()["reset"] > resets, "it was not reset"


@test
def process_over_a_restart():
    """A process's lease survives kill -9 of the daemon; one that has ended meanwhile, or closed the VF, lets go."""
    world = World()
    world.apply(2)
    pid = held_by_process(world)
    epoch = world.vf("gpu0/vf1")["lease"]["epoch"]
    world.crash_and_restart()
    lease = world.vf("gpu0/vf1")["lease"]
    equal((lease["epoch"], lease["process"]["pid"]), (epoch, pid))
    world.kill()
    world.machine("unhold", gpu="gpu0", vf=1)
    world.start()
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "its process is gone")
    held_by_process(world)
    world.machine("close", gpu="gpu0", vf=1)
    equal(world.vf("gpu0/vf1")["state"], "held")
    world.crash_and_restart()
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "its process lives on without it")


SAME_USER = {**POLICY, "gpus": [{"match": {}, "layout": [{"profile": "quarter", "count": 2}], "reuse": "same-user"}]}


@test
def same_user():
    """With reuse: same-user a VF waits for its last user or the next re-cut: assign refused, jobs wait, show says so."""
    world = World(policy=SAME_USER)
    until(lambda: world.gpu()["num_vfs"] == 2, "the rule's layout is made")
    for name in ("gpu0/vf1", "gpu0/vf2"):
        until(lambda name=name: world.vf(name)["state"] == "free", "it is bound")
        assign(world, vf=name)
        release(world, vf=name)
    memory = world.vf("gpu0/vf1")["memory_between_users"]
    equal((memory["reuse"], memory["mechanism"], memory["last_uid"]), ("same-user", None, os.getuid()))
    assert "not known" in memory["what"], memory
    assert "same-user" in world.cli("show", "gpu0/vf1").stdout
    equal(memory["last_vm"], world.vm("trainer-1")["uuid"])
    with refused(CONFLICT, "kept for VM trainer-1", "re-cut", field="vf", reason="last_user"):
        assign(world, "trainer-2", vf="gpu0/vf1")
    equal(assign(world, vf="gpu0/vf1")["changed"], True)
    release(world, vf="gpu0/vf1")
    world.stop()
    state = sqlite3.connect(world.state / "state.db")
    state.execute("UPDATE lease SET doc = json_set(json_remove(doc, '$.last_vm'), '$.last_uid', 4242)")
    state.commit()
    state.close()
    world.start()
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is there")
    with refused(CONFLICT, "uid 4242", "re-cut", field="vf", reason="last_user"):
        assign(world, vf="gpu0/vf1")
    with refused(NO_FIT, "gpu0/vf1 is kept for its last user (uid 4242)", reason="none_free"):
        assign(world)
    number = world.submit("true")
    until(lambda: "uid 4242" in (world.job(number)["reason"] or ""), "the job says for what it waits")
    world.apply(0)
    world.call("gpu.apply", gpu="gpu0", policy=True, wait_seconds=PATIENCE)
    until(lambda: world.job(number)["state"] == "ended", "cut anew it is anybody's")


@test
def failed_attach():
    """An attach that failed after libvirt was asked may have shown the VF to the guest: it goes back through the gate, and
    that VM was its last user. One that libvirt refuses outright leaves it as it was."""
    went = {"error": "failed", "message": "libvirt reported success, but the domain does not show the device"}
    in_use = {"error": "failed", "message": "PCI device 0000:03:00.1 is in use by driver QEMU, domain other"}
    for fault, code, seen in ((went, HOST_ERROR, True), ({"error": "not-running"}, CONFLICT, True), (in_use, HOST_ERROR, False),
                              ({"error": "no-port"}, NO_FIT, False)):
        world = World(policy=SAME_USER)
        until(lambda world=world: world.vf("gpu0/vf1")["state"] == "free", "it is bound")
        resets = world.writes()["reset"]
        world.fault("attach", vm="trainer-1", **fault)
        with refused(code, fault.get("message", "")):
            assign(world, vf="gpu0/vf1")
        world.machine("clear-faults")
        equal(world.vf("gpu0/vf1")["state"], "free", f"{fault}")
        equal(world.writes()["reset"] - resets, int(seen), f"{fault}")
        equal(world.vf("gpu0/vf1")["memory_between_users"]["last_vm"], world.vm("trainer-1")["uuid"] if seen else None)
        if seen:
            with refused(CONFLICT, "kept for VM trainer-1", reason="last_user"):
                assign(world, "trainer-2", vf="gpu0/vf1")
        else:
            equal(assign(world, "trainer-2", vf="gpu0/vf1")["changed"], True)
        world.end()


@test
def the_gpu_itself():
    """A GPU is no VF: whoever asks for it by name or address is refused, the policy's assignments too."""
    address = World().gpu()["address"]
    policy = {**POLICY, "assignments": [{"vm": "trainer-2", "vf": address}]}
    world = World(policy=policy)
    world.apply(2)
    for name in ("gpu0", address):
        for method, more in (("vf.assign", {"vm": "trainer-1"}), ("vf.release", {}), ("vf.reset", {})):
            with refused(CONFLICT, "the GPU gpu0 itself", field="vf", reason="pf"):
                world.call(method, vf=name, **more)
        world.cli("assign", "trainer-1", "--vf", name, check=6)
    with refused(NOT_FOUND, "gpu7", field="vf", reason="no_vf"):
        world.call("vf.assign", vm="trainer-1", vf="gpu7")
    until(lambda: "itself and no VF" in (world.vm("trainer-2")["assignment_reason"] or ""), "the policy is told")
    equal([hostdevs(world, vm) for vm in ("trainer-1", "trainer-2")], [[], []])


@test
def given_away_by_hand():
    """A GPU that a VM's definition names is shown so, is not cut, and doctor shouts; taken out, all is well."""
    world = World()
    equal(world.gpu()["passed_through"], None)
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", config=True)
    until(lambda: world.gpu()["passed_through"], "it is seen")
    gpu = world.gpu()
    equal({name: gpu["passed_through"][name] for name in ("vm", "live", "config")},
          {"vm": "trainer-2", "live": False, "config": True})
    assert "trainer-2" in gpu["reason"], gpu["reason"]
    assert "passed-through" in world.cli("status").stdout
    with refused(CONFLICT, "trainer-2", "virsh edit trainer-2", field="gpu", reason="passed_through"):
        world.apply(2)
    equal(world.writes()["sriov_numvfs"], 0)
    world.machine("foreign-detach", vm="trainer-2", gpu="gpu0", config=True)
    until(lambda: not world.gpu()["passed_through"], "it is taken back")
    equal(world.gpu()["reason"], None)
    world.apply(2)


@test
def given_away_is_told_at_once():
    """Of a GPU that a VM's definition names status and doctor tell by themselves: nobody has to list anything before."""
    world = World()
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", config=True)
    until(lambda: "passed-through" in [one["what"] for one in world.call("daemon.status")["troubles"]], "status tells", 20)
    world.machine("foreign-detach", vm="trainer-2", gpu="gpu0", config=True)

    def found():
        return [one for one in world.call("daemon.doctor")["findings"]
                if one["id"] == "pf-passed-through" and one["severity"] == "error"]

    until(lambda: not found(), "doctor has seen that it is back", 20)
    world.machine("foreign-attach", vm="trainer-2", gpu="gpu0", config=True)
    until(found, "doctor tells", 20)


@test
def kept_by_its_guest():
    """A guest that does not let go at the end of a lease, or of a release, is told by status and doctor, with the way out."""
    world = World(config={"deadlines": {"detach": "300ms"}})
    world.apply(1)
    world.fault("detach", vm="trainer-1", hang=True)
    assign(world, mode="live", for_seconds=1)

    def told():
        return [one for one in world.call("daemon.status")["troubles"] if one["what"] == "not-released"]

    trouble = until(told, "status tells")[0]
    equal(trouble["subject"], "gpu0/vf1")
    assert "VM trainer-1 has it although the time of its lease is over: " in trouble["reason"], trouble
    row = world.items("audit.list", subject="gpu0/vf1")[0]
    equal((row["method"], row["outcome"]), ("daemon:expiry", "failed"))
    assert "guest did not react" in row["error"], row
    finding = [one for one in world.call("daemon.doctor")["findings"] if one["id"] == "vf-not-released"][0]
    assert "trainer-1" in finding["what"] and "gpu0/vf1" in finding["what"], finding
    assert "gpuvf release gpu0/vf1 --force" in finding["cure"] and "asked again by itself" in finding["cure"], finding
    assert "not-released" in world.cli("status").stdout
    assign(world, for_seconds=3600)
    equal(told(), [], "it may stay")
    with refused(TIMEOUT, "did not react"):
        release(world, vf="gpu0/vf1")
    assert "it was to be taken back" in told()[0]["reason"], told()
    equal((assign(world)["changed"], told()), (False, []), "it is to have it")
    world.machine("clear-faults")
    world.machine("release-hang", vm="trainer-1")
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "it came after all")
    equal(told(), [])


@test
def bad_vms():
    """A VM that is off, has no free port, or is not there: refused, nothing bound, nothing kept."""
    world = World({"vms": MACHINE["vms"] + [{"name": "full", "ports": 0},
                                            {"name": "off", "state": "off"}]})
    world.apply(2)
    with refused(NO_FIT, "port"):
        assign(world, "full")
    with refused(CONFLICT, "off"):
        assign(world, "off", mode="live")
    for vf in world.items("vf.list"):
        equal((vf["state"], vf["lease"]), ("free", None), vf["name"])


@test
def vm_off_config():
    """A VM that is off gets the VF in its definition: reserved until it is taken out."""
    world = World({"vms": MACHINE["vms"] + [{"name": "off", "state": "off"}]})
    world.apply(2)
    name = assign(world, "off", mode="config")["vf"]
    equal(world.vf(name)["state"], "reserved")
    with refused(CONFLICT, "off"):
        world.apply(0)
    release(world, vm="off", mode="config")
    equal(world.vf(name)["state"], "free")
    world.apply(0)


@test
def where_it_is():
    """A lease says whether the guest that runs has the VF, the stored definition, or both."""
    world = World()
    world.apply(2)
    name = assign(world, mode="both")["vf"]

    def where():
        lease = world.vf(name)["lease"]
        return lease["live"], lease["config"]

    equal(where(), (True, True))
    words = world.cli("show", name).stdout.split()
    equal((words[words.index("live") + 1], words[words.index("config") + 1]), ("yes", "yes"))
    world.machine("domain-stop", vm="trainer-1")
    until(lambda: world.vf(name)["state"] == "reserved", "only the definition names it")
    equal(where(), (False, True))
    world.crash_and_restart()
    equal(where(), (False, True))
    world.machine("domain-start", vm="trainer-1")
    until(lambda: world.vf(name)["state"] == "attached", "it starts with it")
    equal(where(), (True, True))
    release(world, vf=name)
    name = assign(world)["vf"]
    equal(where(), (True, False))


@test
def attach_fails():
    """An attach that libvirt refuses: the reason is told, and the VF is free again."""
    world = World()
    world.apply(2)
    world.fault("attach", vm="trainer-1", nth=1, error="failed", message="internal error: no way")
    with refused(HOST_ERROR, "no way"):
        assign(world)
    until(lambda: all(v["state"] == "free" for v in world.items("vf.list")), "all are free")
    equal(assign(world)["changed"], True)


@test
def guest_keeps_it():
    """A guest that does not let go: the VF stays attached, and a second try takes it back."""
    world = World()
    world.apply(2)
    name = assign(world)["vf"]
    world.fault("detach", vm="trainer-1", nth=1, error="guest-refused", message="the guest kept it")
    try:
        release(world, vf=name)
    except RpcError as error:
        assert error.code in (HOST_ERROR, CONFLICT), error
    else:
        raise AssertionError("it was released although the guest kept it")
    equal(world.vf(name)["state"], "attached")
    release(world, vf=name)
    equal(world.vf(name)["state"], "free")


@test
def reset_fails():
    """A VF that cannot be reset is quarantined, not given to the next."""
    world = World()
    world.apply(1)
    name = assign(world)["vf"]
    world.fault("reset", gpu="gpu0", nth=1, times=10, error="EIO")
    with refused(HOST_ERROR, "could not be reset, and is quarantined", f"gpuvf heal {name}", reason="quarantined"):
        release(world, vf=name)
    with refused(HOST_ERROR, "could not be reset, and is quarantined", f"gpuvf heal {name}", reason="quarantined"):
        world.call("vf.heal", vf=name, wait_seconds=PATIENCE)
    vf = until(lambda: world.vf(name) if world.vf(name)["state"] == "quarantined" else None,
               "it is quarantined")
    assert "reset" in vf["reason"], vf["reason"]
    with refused(NO_FIT):
        world.call("vf.assign", vm="trainer-2")
    world.machine("clear-faults")
    world.call("vf.heal", vf=name)
    until(lambda: world.vf(name)["state"] == "free", "it is healed")


@test
def vm_dies():
    """When its VM is shut off, a VF that was only attached live becomes free."""
    world = World()
    world.apply(2)
    name = assign(world, mode="live")["vf"]
    world.machine("domain-stop", vm="trainer-1")
    until(lambda: world.vf(name)["state"] == "free", "it is free")
    equal(world.vm("trainer-1")["state"], "off")


@test
def five_hung_guests():
    """Five guests that do not let go of their VFs, and five whose agents are silent, hold up nobody else."""
    world = World({"vms": [{"name": "trainer-%d", "count": 6}]})
    world.apply(12)
    for number in range(1, 6):
        world.call("vf.assign", vm=f"trainer-{number}", wait_seconds=60)
        world.fault("detach", vm=f"trainer-{number}", hang=True)
        world.fault("agent", vm=f"trainer-{number}", hang=True)
        world.call("vf.release", vm=f"trainer-{number}", wait_seconds=0)
    hang = until(lambda: [vf for vf in world.items("vf.list") if vf["state"] == "detaching"][4:] and
                 [vf for vf in world.items("vf.list") if vf["state"] == "detaching"], "five hang")
    for vf in hang:
        wanted = rf"the guest of VM {vf['vm']} was asked to let go of it, and has until \d{{4}}-[\d-]+T[\d:.]+Z"
        assert re.fullmatch(wanted, vf["reason"]), vf
    jobs = [world.submit("true", run_in={"vm": f"trainer-{number}"}) for number in range(1, 6)]
    world.call("vf.assign", vm="trainer-6", wait_seconds=60)
    equal(world.call("vf.release", vm="trainer-6", wait_seconds=60)["changed"], True)
    world.until_ended(world.submit("true", run_in={"vm": "trainer-6"}))
    equal(len([vf for vf in world.items("vf.list") if vf["state"] == "detaching"]), 5)
    assert all(world.job(number)["state"] != "ended" for number in jobs)
    world.machine("clear-faults")
    for number in range(1, 6):
        world.machine("release-hang", vm=f"trainer-{number}")
    for number in jobs:
        world.until_ended(number)
    until(lambda: all((vf["state"], vf["reason"]) == ("free", None) for vf in world.items("vf.list")), "all came back")


@test
def by_force():
    """A guest that does not let go: force says what it breaks, powers the VM off, and the VF is free and reset."""
    world = World()
    world.apply(2)
    name = assign(world, mode="live")["vf"]
    job = world.submit("sleep 1000", run_in={"vm": "trainer-1"})
    world.until_job(job, "running")
    world.fault("detach", vm="trainer-1", hang=True)
    world.call("vf.release", vf=name, wait_seconds=0)
    until(lambda: world.vf(name)["state"] == "detaching", "the guest does not let go")
    done = world.cli("release", name, "--force")
    assert done.returncode != 0, done
    for word in ("trainer-1 would be powered off hard", f"job {job}", "--yes-power-off"):
        assert word in done.stderr, done.stderr
    equal(world.vm("trainer-1")["state"], "running")
    resets = world.writes()["reset"]
    world.cli("release", name, "--force", "--yes-power-off", check=0)
    vf = world.vf(name)
    equal((vf["state"], vf["vm"], vf["lease"]), ("free", None, None))
    assert world.writes()["reset"] > resets, "it was not reset"
    equal(world.vm("trainer-1")["state"], "off")
    until(lambda: world.job(job)["result"] == "lost", "its job is lost")
    rows = [row for row in world.items("audit.list") if row["subject"] == "trainer-1" and
            (row["after"] or {}).get("power") == "powering-off"]
    equal([(row["method"], row["before"]) for row in rows], [("vf.release", {"power": "running"})])


@test
def by_force_from_a_job():
    """The VF of a job: without force the job is named, with it the VM goes off and the job is over."""
    world = World()
    world.apply(2)
    job = world.submit("sleep 1000")
    world.until_job(job, "running")
    name = next(vf["name"] for vf in world.items("vf.list") if vf["lease"])
    with refused(CONFLICT, "cancel", reason="job"):
        release(world, vf=name)
    release(world, vf=name, force=True, yes_power_off=True)
    equal(world.vf(name)["state"], "free")
    world.until_ended(job, "lost")


@test
def used_by_a_job():
    """A VF that a job uses in the VM which holds it: it is not taken out from under it; by force the job is told."""
    world = World(policy={**POLICY, "vms": [{**POLICY["vms"][0], "vf": "assigned"}]})
    world.apply(2)
    for number in (1, 2):
        assign(world, vf=f"gpu0/vf{number}")
    job = world.submit("sleep 1000")
    name = world.until_job(job, "running")["vfs"][0]
    other = next(vf["name"] for vf in world.items("vf.list") if vf["name"] != name)
    with refused(CONFLICT, f"{name} is used by job {job}", f"gpuvf cancel {job} ends it", reason="job"):
        release(world, vf=name)
    for all_of_them in (False, True):
        with refused(CONFLICT, f"{name} is used by job {job}", f"gpuvf cancel {job} ends it",
                     f"gpuvf release {other}", reason="job"):
            release(world, vm="trainer-1", all=all_of_them)
    equal([world.vf(f"gpu0/vf{number}")["state"] for number in (1, 2)], ["attached"] * 2)
    equal(release(world, vf=other)["changed"], True)  # which the hint named
    with refused(CONFLICT, f"job {job}", reason="power_off"):
        release(world, vf=name, force=True)
    equal(world.job(job)["state"], "running")
    release(world, vf=name, force=True, yes_power_off=True)
    equal(world.until_ended(job, "lost")["reason"], "its VM went off")
    equal(world.vf(name)["state"], "free")


@test
def used_by_jobs():
    """Of a VM with a VF given by hand and two of jobs: the refusal names both jobs, and what goes all the same."""
    world = World(policy={**POLICY, "vms": [{**POLICY["vms"][0], "slots": 2}]})
    world.apply(3)
    name = assign(world)["vf"]
    jobs = {world.until_job(number, "running")["vfs"][0]: number
            for number in [world.submit("sleep 1000", run_in={"vm": "trainer-1"}) for _ in range(2)]}
    (first, one), (second, two) = sorted(jobs.items())
    with refused(CONFLICT, f"{first} is used by job {one}, {second} by job {two}",
                 f"gpuvf cancel {one}, gpuvf cancel {two} end them", f"gpuvf release {name}", reason="job"):
        release(world, vm="trainer-1", all=True)
    release(world, vf=name)
    for number in (one, two):
        world.call("job.cancel", id=number)
        world.until_ended(number, "cancelled")
    until(lambda: all(vf["state"] == "free" for vf in world.items("vf.list")), "all are free")


@test
def ways_out():
    """What is refused names a way out that there is: of a guest that keeps its VF, of a GPU for a VF, of a name for nothing."""
    world = World()
    world.apply(2)
    name = assign(world, vf="gpu0/vf1")["vf"]
    for fault, code in (("timeout", TIMEOUT), ("guest-refused", CONFLICT)):
        world.fault("detach", vm="trainer-1", nth=1, error=fault, message="Timed out during operation")
        with refused(code, "timed out", f"gpuvf release {name} --force powers VM trainer-1 off", "stop what uses"):
            release(world, vf=name)
        world.machine("clear-faults")
    with refused(CONFLICT, "held by VM trainer-1", f'"holders": ["{name}: vm trainer-1 (attached)"]', reason="not_free"):
        assign(world, "trainer-2", vf=name)
    with refused(CONFLICT, "gpu0 is the gpu", "or the VM that has it", field="vm", reason="pf"):
        release(world, vm="gpu0")
    with refused(CONFLICT, "gpu0 is the gpu", "name one of its VFs", field="vm", reason="pf"):
        world.call("vm.heal", vm="gpu0")
    with refused(NOT_FOUND, "nobody", "gpuvf list vms", "gpuvf list vfs", field="vm", reason="no_vm"):
        world.call("vm.heal", vm="nobody")
    with refused(NOT_FOUND, "nobody", "gpuvf list vms", field="vm", reason="no_vm"):
        world.call("vm.get", vm="nobody")
    with refused(NOT_FOUND, "nobody", "gpuvf list vms"):
        world.call("daemon.doctor", vm="nobody")
    world.fault("detach", vm="trainer-1", hang=True)
    world.call("vf.release", vf=name, wait_seconds=0)
    until(lambda: world.vf(name)["state"] == "detaching", "the guest does not let go")
    with refused(CONFLICT, f"{name} is detaching", f"gpuvf show {name}", f"gpuvf release {name} --force", "loses",
                 reason="busy"):
        release(world, vf=name)
    release(world, vf=name, force=True, yes_power_off=True)
    equal(world.vf(name)["state"], "free")


@test
def by_force_in_vain():
    """libvirt cannot power the VM off: the VF stays where it is, with the reason, and nobody else gets it."""
    world = World()
    world.apply(1)
    name = assign(world)["vf"]
    world.fault("destroy", vm="trainer-1", nth=1, error="failed",
                message="Failed to terminate process 7 with SIGKILL: Device or resource busy")
    with refused(HOST_ERROR, "SIGKILL"):
        release(world, vf=name, force=True, yes_power_off=True)
    equal(world.vf(name)["state"], "attached")
    assert "could not be powered off" in world.vf(name)["reason"], world.vf(name)
    with refused(NO_FIT):
        assign(world, "trainer-2")
    release(world, vf=name, force=True, yes_power_off=True)
    equal(world.vf(name)["state"], "free")


@test
def by_force_killed():
    """kill -9 around the power-off: the next daemon brings it to its end, and the VF through the gate."""
    for when in ("before", "after"):
        world = World()
        world.apply(1)
        name = assign(world, mode="live")["vf"]
        world.fault("destroy", vm="trainer-1", nth=1, kill=when)
        try:
            release(world, vf=name, force=True, yes_power_off=True)
        except (RpcError, OSError):
            pass
        world.until_killed()
        world.start()
        until(lambda: world.vf(name)["state"] == "free", "it is free")
        equal(world.vm("trainer-1")["state"], "off")


@test
def libvirt_away():
    """Without libvirt: a clear state, refusals, and all goes on when it is back."""
    world = World()
    world.apply(2)
    name = assign(world)["vf"]
    world.machine("libvirt-down")
    until(lambda: not world.call("daemon.status")["hypervisor_connected"], "it is noticed")
    try:
        assign(world, "trainer-2")
    except RpcError as error:
        assert "libvirt" in f"{error.message} {error.data}".lower(), error
    else:
        raise AssertionError("a VF was assigned without libvirt")
    with refused(HOST_ERROR, "libvirt"):
        world.apply(0)
    equal(world.vf(name)["state"], "attached")
    world.machine("libvirt-up")
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "it is back")
    release(world, vf=name)
    equal(world.vf(name)["state"], "free")


@test
def old_epoch():
    """release with if_epoch of an older lease is refused: it is somebody else's now."""
    world = World()
    world.apply(1)
    name = assign(world)["vf"]
    old = world.vf(name)["lease"]["epoch"]
    release(world, vf=name)
    assign(world, "trainer-2")
    with refused(CONFLICT, "trainer-2"):
        release(world, vf=name, if_epoch=old)
    before = world.vf(name)
    done = world.cli("release", name, "--if-epoch", str(old), check=6)
    assert "trainer-2" in done.stderr and f"epoch {before['lease']['epoch']}" in done.stderr, done.stderr
    equal(world.vf(name), before)
    equal(hostdevs(world, "trainer-2"), [before["address"]])
    world.cli("release", name, "--if-epoch", str(before["lease"]["epoch"]), check=0)
    equal(world.vf(name)["state"], "free")


@test
def for_a_time():
    """assign with for_seconds: the end is shown, kept over kill -9, and then the VF comes back reset."""
    world = World()
    world.apply(1)
    name = assign(world, for_seconds=3600)["vf"]
    lease = world.vf(name)["lease"]
    assert lease["expires"] > lease["since"], lease
    world.crash_and_restart()
    after = world.vf(name)["lease"]
    equal(after["epoch"], lease["epoch"])
    assert after["expires"], after
    resets = world.writes()["reset"]
    equal(assign(world, for_seconds="200ms")["changed"], True)
    until(lambda: world.vf(name)["state"] == "free", "its time is over")
    equal((world.vf(name)["lease"], hostdevs(world, "trainer-1")), (None, []))
    assert world.writes()["reset"] > resets, "it was not reset"


@test
def side_by_side():
    """Eight VMs get their VFs at the same time, each another one."""
    world = World({"vms": [{"name": "trainer-%d", "count": 8}], "latency": {"attach": "50ms"}})
    world.apply(8)
    clients = [world.client() for _ in range(8)]
    for number, client in enumerate(clients, 1):
        client.send({"jsonrpc": "2.0", "id": number, "method": "vf.assign",
                     "params": {"vm": f"trainer-{number}", "wait_seconds": 30}})
    answers = [client.read() for client in clients]
    equal([a for a in answers if "error" in a], [], "refusals")
    equal(len({a["result"]["vf"] for a in answers}), 8, "different VFs")


if __name__ == "__main__":
    main()
