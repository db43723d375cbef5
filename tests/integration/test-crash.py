# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 at every point, then a new daemon: nothing is lost and nothing happens twice."""

import os
import subprocess
import threading
import time

from gpuvf_client import HOST_ERROR, RpcError
from harness import BUILD, PATIENCE, World, comment, equal, main, refused, seeded, test, until

# A job that shows each of its starts, and goes on until it is told to end.
LONG = "echo started; while ! test -e {stop}; do sleep 0.02; done; echo done"


@test
def killed_at_a_write():
    """The machine kills the daemon right before or right after a write of its choice."""
    for when, nth, wanted in (("before", 1, (0, 0, 0)), ("after", 1, (1, 0, 0)),
                              ("before", 2, (1, 0, 0)), ("after", 2, (1, 1, 2))):
        world = World()
        world.fault("write", nth=nth, kill=when)
        world.client().begin("gpu.apply", gpu="gpu0", layout={"vfs": 2}, wait_seconds=PATIENCE)
        world.until_killed()
        writes, gpu = world.writes(), world.machine("state")["gpus"][0]
        equal((writes["sriov_drivers_autoprobe"], writes["sriov_numvfs"], gpu["num_vfs"]), wanted,
              f"killed {when} write {nth}")
        world.start()
        until(lambda: world.gpu()["num_vfs"] == 2, "what was begun is done")
        world.end()


def long_job(world, **members):
    stop = world.folder / f"stop-{len(os.listdir(world.folder))}"
    return world.submit(LONG.format(stop=stop), **members), stop


@test
def all_is_there():
    """VFs, leases, layout and queued jobs are what they were."""
    world = World()
    world.apply(4)
    name = world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)["vf"]
    before = world.vf(name)
    jobs = [world.submit("true", hold=True) for _ in range(5)]
    writes = world.writes()
    world.crash_and_restart()
    until(lambda: world.vf(name)["state"] == "attached", "the VF is attached")
    after = world.vf(name)
    equal((after["vm"], after["lease"]["epoch"], after["address"]),
          (before["vm"], before["lease"]["epoch"], before["address"]))
    equal([j["id"] for j in world.items("job.list")], [j["id"] for j in world.items("job.list")])
    equal(sorted(j["id"] for j in world.items("job.list")), sorted(jobs))
    equal(world.gpu()["layout_source"], "manual")
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")
    equal(world.writes(), writes, "writes since the crash")
    world.call("vf.release", vm="trainer-1", wait_seconds=PATIENCE)
    equal(world.vf(name)["state"], "free")


@test
def running_job():
    """A job that runs in a guest is found again and followed, not started twice."""
    world = World()
    world.apply(1)
    number, stop = long_job(world)
    world.until_job(number, "running")
    until(lambda: "started" in world.output(number), "it shows its start")
    for _ in range(3):
        world.crash_and_restart()
        world.until_job(number, "running")
    stop.touch()
    job = world.until_ended(number)
    equal((job["attempt"], world.output(number)), (1, "started\ndone\n"))
    until(lambda: world.vf("gpu0/vf1")["state"] == "free", "the VF is free")


@test
def cancelled_and_killed():
    """kill -9 before and after the signal of a cancelled job: the next daemon ends what runs in the guest, and only then
    is the job over."""
    for when in ("before", "after"):
        world = World()
        world.apply(1)
        number = world.submit("trap 'echo tidy; exit 3' TERM; echo up; while :; do sleep 0.05; done")
        until(lambda w=world, n=number: "up" in w.output(n), "it is up")
        world.killed_by(lambda w=world, n=number: w.call("job.cancel", id=n), "guest-exec", argument="signal", kill=when)
        world.start()
        job = world.until_ended(number, "cancelled")
        equal((job["attempts"][0]["result"], job["exit_code"]), ("cancelled", 3), when)
        equal(world.output(number), "up\ntidy\n", when)
        world.end()


@test
def ended_meanwhile():
    """A job that ended while no daemon was there: exit code and output are found."""
    world = World()
    world.apply(1)
    stop = world.folder / "stop"
    number = world.submit(f"echo started; while ! test -e {stop}; do sleep 0.02; done; "
                          f"echo end; touch {world.folder}/ended; exit 5")
    world.until_job(number, "running")
    world.kill()
    stop.touch()
    until((world.folder / "ended").exists, "the job has ended")
    world.start()
    equal(world.until_ended(number, "failed")["exit_code"], 5)
    equal(world.output(number), "started\nend\n")


def story(world):
    """What a user does; each step may be cut off by a crash, and is asked for again then."""
    steps = [
        lambda: world.apply(2),
        lambda: world.call("vf.assign", vm="trainer-2", request_id="a", wait_seconds=PATIENCE),
        lambda: submit_once(world, f"date +%N >>{world.folder}/starts"),
        lambda: world.call("vf.release", vm="trainer-2", all=True, request_id="r",
                           wait_seconds=PATIENCE),
    ]
    return steps


def submit_once(world, command):
    job = {"version": 1, "command": ["/bin/sh", "-c", command], "name": "once"}
    return world.call("job.submit", job=job, request_id="j")["id"]


class Killer(threading.Thread):
    """kill -9 to the daemon that runs now, after that many seconds."""

    def __init__(self, world, delay):
        super().__init__()
        self.process = world.process
        self.delay = delay
        self.start()

    def run(self):
        time.sleep(self.delay)
        self.process.kill()

    def end(self, world):
        """When it has struck, a new daemon runs."""
        self.join()
        self.process.wait()
        if world.process is self.process:
            world.hang_up()
            world.start()


def one_step(step, killer, world):
    """Does it, once more after the crash if that cut it off; the crash comes in or after it."""
    for _ in range(20):
        try:
            step()
            break
        except (ConnectionError, OSError):
            killer.end(world)
        except RpcError as error:
            comment(f"refused: {error}")
            killer.end(world)
            until_calm(world)
    else:
        raise AssertionError("a step does not succeed after 20 tries")
    killer.end(world)


def until_libvirt(world):
    until(lambda: world.call("daemon.status")["hypervisor_connected"], "libvirt is connected")


def until_calm(world):
    """What the daemon before had begun is done: until then a second request may be refused."""
    until_libvirt(world)
    until(lambda: all(gpu["state"] != "recutting" for gpu in world.items("gpu.list")), "no apply goes on")


def one_round(chance, number):
    world = World({"latency": {"sriov_numvfs": "30ms", "attach": "20ms", "detach": "20ms",
                               "guest-exec": "5ms"}})
    delays = []
    for step in story(world):
        delays.append(chance.uniform(0, 0.25))
        one_step(step, Killer(world, delays[-1]), world)
    check_end(world)
    comment(f"round {number}: crashes after {', '.join(f'{d:.3f}' for d in delays)} s")
    world.end()


def check_end(world):
    until_libvirt(world)
    jobs = world.items("job.list", ended=True)
    equal(len(jobs), 1, "jobs")
    world.until_ended(jobs[0]["id"])
    starts = (world.folder / "starts").read_text().splitlines()
    equal(len(starts), 1, "starts of the job")
    until(lambda: all(v["state"] == "free" for v in world.items("vf.list")), "all VFs are free")
    equal(len(world.items("vf.list")), 2)
    writes = world.writes()
    equal(writes["sriov_numvfs_while_held"], 0)
    for vm in world.machine("state")["vms"]:
        equal([h for h in vm["hostdevs"] if h.get("live")], [], f"hostdevs of {vm['name']}")


@test
def many_points():
    """kill -9 at many points of the whole story: one job, one start, no lease left."""
    chance = seeded()
    for number in range(int(os.environ.get("GPUVF_TEST_ROUNDS", "8"))):
        one_round(chance, number)


@test
def in_the_gate():
    """Killed while VFs of a release are between guest and reset: the next daemon does what is left."""
    for step in ("wait-closed", "reset", "probe"):
        world = World({"vms": [{"name": "trainer-1"}]})
        world.apply(2)
        for _ in range(2):
            world.call("vf.assign", vm="trainer-1", add=True, wait_seconds=PATIENCE)
        world.fault(step, gpu="gpu0", nth=2, kill="before")
        world.client().begin("vf.release", vm="trainer-1", all=True, wait_seconds=PATIENCE)
        world.until_killed()
        world.start()
        until(lambda world=world: all(o["state"] == "done" for o in world.items("operation.list")), "all is done")
        equal([vf["state"] for vf in world.items("vf.list")], ["free", "free"])
        world.end()


@test
def submissions():
    """What was answered is there after kill -9: no accepted job is lost."""
    world = World()
    accepted = []
    killer = Killer(world, 0.15)
    try:
        while True:
            accepted.append(world.submit("true", hold=True))
    except (ConnectionError, OSError):
        pass
    killer.end(world)
    there = {j["id"] for j in world.items("job.list")}
    assert set(accepted) <= there, f"lost: {set(accepted) - there}"
    assert len(there) <= len(accepted) + 1, f"{len(there)} jobs of {len(accepted)}"
    comment(f"{len(accepted)} jobs were accepted before the crash")


@test
def second_daemon():
    """A second daemon on the same state is refused and harms nothing."""
    world = World()
    world.apply(2)
    log = world.folder / "second.log"
    second = world.spawn("--socket", str(world.folder / "second"), log=log)
    status = second.wait(PATIENCE)
    assert status not in (0, -9), f"the second daemon ended with {status}"
    text = log.read_text()
    assert str(world.state) in text, text
    equal(world.gpu()["num_vfs"], 2)
    world.crash_and_restart()
    equal(world.gpu()["num_vfs"], 2)


def without_libvirt_yet():
    """A world whose daemon has just been started again: VFs are there, and libvirt has not said a word yet."""
    world = World()
    world.apply(2)
    name = world.call("vf.assign", vm="trainer-1", wait_seconds=PATIENCE)["vf"]
    world.fault("list", nth=1, hang=True)
    world.kill()
    world.process = world.spawn()
    until(world.answers, "the daemon answers")
    equal(world.call("daemon.status")["hypervisor_connected"], False)
    return world, name


@test
def asked_right_after_the_start():
    """Calls that need libvirt wait for its first word, those that do not are answered."""
    world, name = without_libvirt_yet()
    client = world.client()
    calls = [client.begin("vm.list"), client.begin("gpu.plan", gpu="gpu0", layout={"vfs": 2}),
             client.begin("vf.release", vf=name, wait_seconds=PATIENCE, request_id="once")]
    equal(len(client.call("gpu.list")["items"]), len(world.items("gpu.list")))
    equal(client.call("daemon.status")["hypervisor_connected"], False)
    equal(world.vf(name)["state"], "attached")
    world.until_hangs()
    world.machine("release-hang")
    equal(len(client.end(calls[0])["items"]), 2)
    equal(client.end(calls[1])["steps"], [])
    equal(client.end(calls[2])["released"], [name])
    equal(world.call("vf.release", vf=name, request_id="once", wait_seconds=PATIENCE)["released"], [name])


@test
def libvirt_is_away_from_the_start():
    """Its first word is that it is not there: those who wait for it are refused, and so is who comes later."""
    world, name = without_libvirt_yet()
    client = world.client()
    call = client.begin("vf.release", vf=name, wait_seconds=PATIENCE)
    equal(client.call("daemon.status")["hypervisor_connected"], False)
    world.machine("libvirt-down")
    for number in (call, client.begin("vf.release", vf=name)):
        with refused(HOST_ERROR, "libvirt is away", reason="no_libvirt"):
            client.end(number)
    equal(world.vf(name)["state"], "attached")


@test
def session_of_root():
    """The libvirt of a session is for a daemon of a plain user: root's is refused with the way out."""
    world = World(start=False, config={"libvirt_uri": "qemu:///session"})
    log = world.folder / "second.log"
    process = world.spawn(log=log)
    if os.getuid() != 0:
        world.process = process
        until(world.answers, "the daemon answers")
        return
    assert process.wait(PATIENCE) not in (0, -9), log.read_text()
    assert "libvirt_uri" in log.read_text() and "qemu:///system" in log.read_text(), log.read_text()
    words = [line for line in log.read_text().splitlines() if "libvirt_uri" in line][0]
    fine = world.folder / "fine.json"
    fine.write_text('{"libvirt_uri": "qemu:///system"}')
    for config, status in ((world.config, 8), (fine, 0)):
        checked = subprocess.run([*world.command(), "--config", str(config), "--check-config"], capture_output=True,
                                 text=True, check=False)
        equal(checked.returncode, status, checked.stderr)
        assert (words[words.index("libvirt_uri"):] in checked.stderr) == (status == 8), checked.stderr


@test
def second_socket():
    """A second daemon on the same socket with its own state is refused, too."""
    world = World()
    other = World(start=False)
    log = world.folder / "second.log"
    second = other.spawn("--socket", world.socket, log=log)
    try:
        status = second.wait(PATIENCE)
    finally:
        second.kill()
    assert status not in (0, -9), f"the second daemon ended with {status}"
    world.call("daemon.status")


@test
def stop_leaves_all():
    """A clean stop leaves VFs, attachments and running jobs; the next daemon finds them."""
    world = World()
    world.apply(2)
    number, stop = long_job(world)
    world.until_job(number, "running")
    equal(world.stop(), 0, "exit status")
    state = world.machine("state")
    equal(state["gpus"][0]["num_vfs"], 2)
    world.start()
    world.until_job(number, "running")
    stop.touch()
    equal(world.until_ended(number)["attempt"], 1)


@test
def machine_stops():
    """gpuvf-machine --stop ends the machine and all its processes."""
    world = World()
    world.apply(1)
    number = world.submit("echo $$; sleep 1000")
    until(lambda: world.output(number), "the job tells its pid")
    pid = int(world.output(number))
    assert os.path.exists(f"/proc/{pid}")
    equal(world.stop(), 0)
    subprocess.run([str(BUILD / "gpuvf-machine"), "--stop", str(world.state)], check=True)
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the job's process is gone")


if __name__ == "__main__":
    main()
