# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs in guests that are not as they should be: no agent, nonsense, no memory, silence, death."""

from harness import World, equal, main, test, until


def one_vf(**more):
    world = World(**more)
    world.apply(1)
    return world


@test
def broken_agents():
    """Guests without agent, with exec disabled, silent ones: a named reason; the job waits or ends."""
    for agent, words in ((False, ("agent",)), ("no-exec", ("exec",)), ("disconnected", ("agent",))):
        world = World({"vms": [{"name": "trainer-1", "agent": agent}]},
                      config={"deadlines": {"guest_ready": "2s"}})
        world.apply(1)
        number = world.submit("true")
        job = until(lambda w=world, n=number: w.job(n) if w.job(n)["reason"] else None,
                    f"a reason is told for agent {agent}")
        until(lambda w=world, n=number, k=words:
              any(word in (w.job(n)["reason"] or "").lower() for word in k),
              f"the reason names {words}; it is {job['reason']}")
        world.end()


@test
def hostile_agent():
    """An agent that answers nonsense does no harm: the job waits, and is told which answer it was; once there is sense
    in what it says the job runs, once, in its first attempt."""
    world = World({"vms": [{"name": "trainer-1"}]}, config={"deadlines": {"guest_ready": "60s"}})
    world.apply(1)
    daemon = world.process.pid
    for on in ("guest-exec", "guest-exec-status"):
        for answer in ("no object", {"pid": "many"}, {"pid": -1}, [[[[]]]], {"exited": True, "out-data": "%%%"}):
            world.fault(on, vm="trainer-1", answer=answer)
            number = world.submit("echo ran")
            words = f"the guest agent's answer to {on} makes no sense"
            until(lambda n=number, w=words: w in (world.job(n)["reason"] or ""), f"{answer}: {words}")
            equal((world.job(number)["state"], world.job(number)["attempt"]), ("waiting-guest", 1))
            world.machine("clear-faults")
            equal((world.until_ended(number)["attempt"], world.output(number)), (1, "ran\n"))
    equal((world.process.pid, world.process.poll()), (daemon, None))
    equal(world.call("daemon.status")["degraded"], None)


@test
def no_bars():
    """A guest that gives the VF no memory: the job does not start there, and the step is named."""
    world = World({"vms": [{"name": "trainer-1"}], "faults": [{"on": "guest-bars", "error": "ENOSPC"}]},
                  config={"deadlines": {"guest_ready": "2s"}})
    world.apply(1)
    number = world.submit("true")
    until(lambda: world.job(number)["reason"] and any(
        word in world.job(number)["reason"].lower() for word in ("memory", "bar")),
        "the reason names the BARs")


@test
def retries():
    """A job that is lost because its VM dies runs again, as its second attempt."""
    world = one_vf()
    number = world.submit("echo attempt $GPUVF_ATTEMPT; test $GPUVF_ATTEMPT -gt 1 && exit 0; sleep 1000",
                          retries=1)
    job = world.until_job(number, "running")
    vm = job["vm"]
    world.machine("domain-stop", vm=vm)
    job = world.until_ended(number)
    equal(job["attempt"], 2)
    equal(len(job["attempts"]), 2)
    assert job["attempts"][0]["result"] == "lost", job["attempts"]


@test
def lost():
    """Without retries a job whose VM dies ends as lost."""
    world = one_vf()
    number = world.submit("sleep 1000")
    job = world.until_job(number, "running")
    world.machine("domain-stop", vm=job["vm"])
    world.until_ended(number, "lost")


@test
def crashed():
    """A guest that panicked and whose QEMU was kept has its VF until the VM is off: the job is lost at once, and nobody
    gets the VF meanwhile."""
    world = one_vf()
    number = world.submit("sleep 1000")
    job = world.until_job(number, "running")
    world.machine("domain-crash", vm=job["vm"])
    world.until_ended(number, "lost")
    equal(world.job(number)["reason"], "its VM crashed")
    equal(world.vm(job["vm"])["state"], "crashed")
    vf = world.items("vf.list")[0]
    equal((vf["state"], vf["vm"], vf["lease"]["owner"]), ("attached", job["vm"], "vm"))
    waits = world.submit("true")
    until(lambda: "VF" in (world.job(waits)["reason"] or ""), "it waits for the VF")
    equal(world.job(waits)["state"], "queued")
    world.machine("domain-stop", vm=job["vm"])
    world.machine("domain-start", vm=job["vm"])
    world.until_ended(waits, "succeeded")


@test
def silent_agent():
    """A guest that falls silent: unreachable, not started again; it goes on when it speaks."""
    world = one_vf(config={"deadlines": {"agent_silence": "1s"}})
    number = world.submit("echo $$; while ! test -e stop; do sleep 0.05; done; echo done")
    job = world.until_job(number, "running")
    world.machine("agent", vm=job["vm"], agent="disconnected")
    world.until_job(number, "unreachable")
    world.machine("agent", vm=job["vm"], agent=True)
    world.until_job(number, "running")
    equal(world.job(number)["attempt"], 1)
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")


@test
def silent_over_a_restart():
    """The daemon is restarted while the guest is silent: the job is followed, whatever the deadline for guests to be
    ready is, and not started again."""
    world = one_vf(config={"deadlines": {"agent_silence": "1s", "guest_ready": "1s"}})
    number = world.submit("while sleep 0.05; do :; done")
    vm = world.until_job(number, "running")["vm"]
    world.machine("agent", vm=vm, agent="disconnected")
    world.crash_and_restart()
    world.until_job(number, "unreachable")
    world.crash_and_restart()
    world.machine("agent", vm=vm, agent=True)
    world.until_job(number, "running")
    equal(world.job(number)["attempt"], 1)
    world.call("job.cancel", id=number)
    world.until_ended(number, "cancelled")


@test
def many():
    """A hundred jobs all run, each once."""
    world = World({"vms": [{"name": "trainer-%d", "count": 4}]})
    world.apply(4)
    numbers = [world.submit("true", **({"vfs": 0} if n % 2 else {})) for n in range(100)]
    equal(len(set(numbers)), 100)
    for number in numbers:
        equal(world.until_ended(number)["attempt"], 1)


if __name__ == "__main__":
    main()
