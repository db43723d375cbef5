# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of libvirt that do not return: the VM that they are about is wedged and left alone, others go on."""

from gpuvf_client import CONFLICT, HOST_ERROR, NO_FIT, TIMEOUT, WEDGED
from harness import PATIENCE, World, equal, main, refused, test, until

WORDS = "a call of libvirt about it does not return: libvirt did not attach the device in time"
WAY_OUT = ("release --force", "restart libvirtd")


def assign(world, vm="trainer-1", **more):
    return world.call("vf.assign", vm=vm, wait_seconds=PATIENCE, **more)


def release(world, **what):
    return world.call("vf.release", wait_seconds=PATIENCE, **what)


def troubles(world):
    return [(one["subject"], one["what"], one["reason"]) for one in world.call("daemon.status")["troubles"]]


def finding(world, check, subject):
    """What the doctor has to say of it, or None."""
    found = [one for one in world.call("daemon.doctor")["findings"] if (one["id"], one["subject"]) == (check, subject)]
    return found[0] if found else None


def wedge(world, **fault):
    """The next attach to trainer-1 hangs in libvirt until it is released."""
    world.fault("attach", vm="trainer-1", nth=1, hang=True, **fault)
    with refused(TIMEOUT, "did not attach the device in time"):
        assign(world, add=True, mode="live")
    equal(world.vm("trainer-1")["wedged"]["reason"], WORDS)


def wedged(**config):
    """A world in which trainer-1 has a VF and is wedged; and the name of the VF."""
    world = World(config={"deadlines": {"attach": "500ms", "detach": "1s", **config}})
    world.apply(4)
    name = assign(world, mode="live")["vf"]
    wedge(world, error="failed")
    return world, name


def until_calm(world):
    until(lambda: world.vm("trainer-1")["wedged"] is None, "its calls have returned")
    equal(troubles(world), [])


@test
def a_vm():
    """It is named with the reason and since when, gets and gives no VF, and is as before once the answer has come."""
    world, name = wedged()
    watcher = world.client()
    watcher.call("event.subscribe", types=["vm.changed"])
    assert world.vm("trainer-1")["wedged"]["since"].endswith("Z")
    equal([vm["wedged"] is None for vm in sorted(world.items("vm.list"), key=lambda vm: vm["name"])], [False, True])
    equal(troubles(world), [("trainer-1", "wedged", WORDS)])
    assert "does not return" in world.cli("show", "trainer-1", check=0).stdout
    assert "does not return" in world.cli("status", check=0).stdout
    assert WORDS in world.cli("list", "vms", "-o", "wide", check=0).stdout
    found = finding(world, "vm-wedged", "trainer-1")
    assert found["severity"] == "error" and all(way in found["cure"] for way in WAY_OUT), found
    assert found["evidence"][0]["value"].startswith(f"{WORDS} (since 20"), found
    equal(finding(world, "vm-wedged", "trainer-2"), None)
    equal(finding(world, "hypervisor-wedged", "daemon")["severity"], "ok", "libvirt has told its domains")
    with refused(WEDGED, WORDS, *WAY_OUT, field="vm", reason="wedged"):
        assign(world, add=True)
    equal(assign(world)["changed"], False, "what it has already is no question to libvirt")
    for what in ({"vf": name}, {"vm": "trainer-1"}):
        with refused(WEDGED, WORDS, *WAY_OUT, field="vm", reason="wedged"):
            release(world, **what)
    equal(world.vf(name)["state"], "attached")
    world.machine("release-hang", vm="trainer-1")
    until_calm(world)
    equal(watcher.next_event()["wedged"], None)
    equal(finding(world, "vm-wedged", "trainer-1"), None)
    equal(release(world, vf=name)["released"], [name])


@test
def jobs():
    """None is placed there, which its reason says; other VMs take theirs; it runs when the answer has come."""
    world, _ = wedged()
    number = world.submit("true", run_in={"vm": "trainer-1"})
    until(lambda: world.job(number)["reason"] == f"VM trainer-1 is wedged: {WORDS}", "it is told")
    other = world.submit("true")
    equal(world.until_ended(other)["vm"], "trainer-2")
    equal(world.job(number)["attempts"], [])
    equal(assign(world, "trainer-2")["changed"], True)
    world.machine("release-hang", vm="trainer-1")
    world.until_ended(number)


@test
def by_force():
    """The way out: release --force powers the VM off, and what hung returns."""
    world, name = wedged()
    equal(release(world, vf=name, force=True, yes_power_off=True)["released"], [name])
    equal((world.vm("trainer-1")["state"], world.vf(name)["state"]), ("off", "free"))
    until_calm(world)


@test
def another_connection():
    """What hung is over with the connection."""
    world, name = wedged()
    world.machine("libvirt-down")
    until(lambda: not world.call("daemon.status")["hypervisor_connected"], "libvirt is away")
    equal(finding(world, "hypervisor-wedged", "daemon"), None, "hypervisor-away says so")
    world.machine("libvirt-up")
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is back")
    until_calm(world)
    equal(release(world, vf=name)["released"], [name])


@test
def what_came_of_it():
    """What a call that returns late has done is asked for, before anything is done with the VM."""
    for error in ("failed", None):
        world = World(config={"deadlines": {"attach": "500ms", "detach": "1s"}})
        world.apply(1)
        wedge(world, **({"error": error} if error else {}))
        equal(world.vf("gpu0/vf1")["vm"], "trainer-1", "nobody else gets it while the call hangs")
        with refused(NO_FIT, reason="none_free"):
            assign(world, "trainer-2")
        world.machine("release-hang", vm="trainer-1")
        until_calm(world)
        # What was attached late, the detach that waited behind it has taken out again.
        until(lambda: world.vf("gpu0/vf1")["state"] == "free", "it is as libvirt says")
        equal(world.machine("state")["vms"][0]["hostdevs"], [])
        equal(assign(world, "trainer-2")["changed"], True)
        equal(world.writes().get("attached_without_reset", 0), 0)


def unanswered():
    """A world whose daemon died while its attach for a job hung, and whose successor gets no answer of that VM; the job."""
    world = World({"job_lock": "300ms"})
    world.apply(2)
    world.fault("attach", vm="trainer-1", nth=1, hang=True)
    number = world.submit("true", run_in={"vm": "trainer-1"})
    world.until_hangs()
    until(lambda: world.vf("gpu0/vf1")["state"] == "attaching", "that it is begun is stored")
    world.crash_and_restart()
    until(lambda: world.vm("trainer-1")["wedged"], "it is told")
    return world, number


@test
def over_a_restart():
    """A VM whose barrier fails is left as it was found, and the rest of the host goes on; it is taken up once it answers."""
    world, number = unanswered()
    words = "it is not known whether earlier calls of libvirt about it are over"
    assert world.vm("trainer-1")["wedged"]["reason"].startswith(words)
    assert [one for one in troubles(world) if one[:2] == ("trainer-1", "wedged") and words in one[2]], troubles(world)
    assert finding(world, "vm-wedged", "trainer-1")["severity"] == "error"
    equal((world.vf("gpu0/vf1")["state"], world.job(number)["state"]), ("attaching", "starting"))
    world.call("job.cancel", id=number)
    with refused(CONFLICT, reason="not_free"):
        assign(world, "trainer-2", vf="gpu0/vf1")
    with refused(WEDGED, words, *WAY_OUT, field="vm", reason="wedged"):
        assign(world, vf="gpu0/vf2")
    equal(assign(world, "trainer-2")["vf"], "gpu0/vf2")
    def asked():
        world.call("vm.heal", vm="trainer-1")
        return [task for task in world.machine("state")["tasks"] if task["waits_for"] == "turn"]

    until(asked, "it is asked again")
    equal((world.vf("gpu0/vf1")["state"], world.job(number)["state"]), ("attaching", "starting"))
    world.machine("release-hang", vm="trainer-1")
    world.until_ended(number, "cancelled")
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "its VF is back")
    equal(world.machine("state")["vms"][0]["hostdevs"], [])
    equal(world.writes().get("attached_without_reset", 0), 0)
    until_calm(world)


@test
def off_after_a_restart():
    """The way out of it: the VM is powered off, which libvirt tells, and it is asked again at once."""
    world, number = unanswered()
    world.machine("domain-stop", vm="trainer-1")
    until_calm(world)
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "its VF is back")
    equal(world.job(number)["result"], None)


@test
def libvirt_itself():
    """A libvirt that answers nothing is told apart from a VM that hangs, and the trouble goes with its answer."""
    world = World(config={"deadlines": {"attach": "500ms", "detach": "1s", "list": "500ms"}})
    world.apply(2)
    world.fault("list", nth=1, hang=True)
    wedge(world, error="failed")
    wanted = ("libvirt", "wedged", "libvirt does not answer: libvirt did not list its domains in time")
    until(lambda: wanted in troubles(world), "it is told")
    status = world.call("daemon.status")
    equal((status["hypervisor_connected"], status["hypervisor_reason"]), (True, wanted[2]))
    assert wanted[2] in world.cli("status", check=0).stdout
    found = finding(world, "hypervisor-wedged", "daemon")
    assert found["severity"] == "error" and wanted[2] in found["evidence"][0]["value"], found
    equal(finding(world, "hypervisor-away", "daemon")["severity"], "ok", "that is another illness")
    world.machine("release-hang")
    until_calm(world)
    equal(world.call("daemon.status")["hypervisor_reason"], None)
    equal(finding(world, "hypervisor-wedged", "daemon")["severity"], "ok")


@test
def libvirt_from_the_start():
    """The same of a libvirt that answers the first question late."""
    world = World(config={"deadlines": {"list": "500ms"}})
    world.apply(1)
    world.fault("list", hang=True)
    world.kill()
    world.process = world.spawn()
    until(world.answers, "the daemon answers")
    until(lambda: [one for one in troubles(world) if one[0] == "libvirt"], "it is told")
    equal(world.call("daemon.status")["hypervisor_connected"], False)
    with refused(HOST_ERROR, "libvirt does not answer", reason="no_libvirt"):
        assign(world)
    world.machine("clear-faults")
    world.machine("release-hang")
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt has answered")
    until_calm(world)


if __name__ == "__main__":
    main()
