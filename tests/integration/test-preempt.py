# SPDX-License-Identifier: GPL-2.0-or-later
"""A job that runs makes way for one of a queue that preempts its own: signal, grace, and back into the queue."""

from harness import POLICY, World, equal, main, test, until

QUEUES = [{"name": "urgent", "priority": 90, "preempts": ["batch"]},
          {"name": "batch", "default": True, "priority": 10}]
# Ends on SIGTERM as a job does that keeps a checkpoint; `go` beside its state lets it end by itself.
PATIENT = ('trap \'echo kept; echo $GPUVF_ATTEMPT >"$GPUVF_CHECKPOINT_DIR/step"; exit 0\' TERM; '
           'echo up $GPUVF_ATTEMPT $GPUVF_RESUME; while ! test -e {go}; do sleep 0.02; done; echo done')
STUBBORN = "trap '' TERM; echo up; while ! test -e {go}; do sleep 0.02; done"


def world_of(vfs=1, batch=(), urgent=(), **more):
    queues = [{**QUEUES[0], **dict(urgent)}, {**QUEUES[1], **dict(batch)}]
    world = World(policy={**POLICY, "queues": queues}, **more)
    world.apply(vfs)
    world.go = world.folder / "go"
    return world


def running(world, script=PATIENT, **more):
    """A job of the queue batch whose command has begun."""
    number = world.submit(script.format(go=world.go), **{"queue": "batch", **more})
    world.until_job(number, "running")
    until(lambda: "up" in world.output(number), "it is up")
    return number


def urgent(world, script="echo urgent", **more):
    return world.submit(script, queue="urgent", **more)


def attempts(world, number):
    return [attempt["result"] for attempt in world.job(number)["attempts"]]


def rows(world, number):
    return [row for row in world.call("audit.list", limit=500, subject=number)["items"]]


@test
def makes_way():
    """The victim gets its signal, keeps its checkpoint, goes back into the queue and on from there; the other has its
    VF.  The audit trail, the events and the reasons tell it."""
    world = world_of()
    listener = world.client()
    listener.call("event.subscribe", types=["job.state"])
    victim = running(world)
    first = urgent(world, "echo urgent; while ! test -e %s-urgent; do sleep 0.02; done" % world.go)
    world.until_job(first, "running")
    job = world.job(victim)
    equal((job["state"], job["attempt"], job["result"], job["exit_code"]), ("queued", 1, None, None))
    equal(attempts(world, victim), ["preempted"])
    one = job["attempts"][0]
    equal((one["preempted_for"], one["preempted_queue"], one["exit_code"]), (first, "urgent", 0))
    equal(one["reason"], f"preempted for job {first} (queue urgent)")
    assert one["preempted_at"], one
    (world.folder / "go-urgent").touch()
    world.until_ended(first)
    until(lambda: world.output(victim).startswith("up 2 1"), "it goes on from its checkpoint")
    world.go.touch()
    job = world.until_ended(victim)
    equal((attempts(world, victim), job["attempt"], job["exit_code"]), (["preempted", "succeeded"], 2, 0))
    equal(world.call("job.logs", id=victim, attempt=1)["data"], "up 1 0\nkept\n")
    told = []
    while not told or told[-1][:2] != (victim, "ended"):
        event = listener.next_event()
        told.append((event["subject"], event["state"], event["reason"]))
    text = f"preempted for job {first} (queue urgent)"
    equal([state for subject, state, reason in told if subject == victim and reason == text],
          ["running", "stopping", "queued"])
    assert (first, "queued", f"job {victim} is preempted for it") in told, told
    row = next(row for row in rows(world, victim) if (row["after"] or {}).get("preempted_for"))
    equal((row["method"], row["before"]["state"], row["after"]["state"], row["after"]["preempted_for"]),
          ("daemon:preempt", "running", "running", int(first)))
    row = next(row for row in rows(world, victim) if (row["before"] or {}).get("preempted_for"))
    equal((row["after"]["state"], row["after"]["attempt"]), ("queued", 1))
    assert "preempted for job" in world.log()


if __name__ == "__main__":
    main()
