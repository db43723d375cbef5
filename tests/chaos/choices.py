# SPDX-License-Identifier: GPL-2.0-or-later
"""What one life of a daemon meets, drawn from a seed alone: nothing here looks at what came of it, so that a
seed gives the same choices again."""

import random

GPUS = ("gpu0", "gpu1")
VMS = ("trainer-1", "trainer-2", "desk-1", "pool-1")
MANAGED = "trainer-2"    # libvirt binds its VFs and gives them back to the host
ON_DEMAND = "pool-1"     # off at first; the daemon starts it for a job and shuts it down again
# Who takes jobs, and as whom they run there; pool-1 is for the first user only, and desk-1 has no rule.
RUN_AS = {"trainer-1": "trainer", "trainer-2": "other", "pool-1": "pool"}
CLOSED_TO_OTHERS = "pool-1"
CLOSED = "desk-1"
SECOND = "0000:04:00.0"  # address of gpu1
WORLDS = (
    [{"driver": "xe"}, {"driver": "xe"}],
    [{"driver": "xe", "vram_quota": "absent"}, {"driver": "i915", "tree": "prelim_iov", "live_quotas": True}],
    [{"driver": "i915", "tree": "iov"}, {"driver": "xe", "sriov_admin": False}],
    [{"driver": "xe"}, {"driver": "i915", "tree": "prelim_iov", "tiles": 2}],
)

# What is done, and the requests to kernel, libvirt and guest that it is made of.  The daemon is killed right
# before and right after each.  A guest-exec says which of a job's programs it runs.
STEPS = {
    "apply": ("sriov_drivers_autoprobe", "sriov_numvfs", "vram_quota", "exec_quantum_ms",
              "preempt_timeout_us", "ggtt_quota", "bind", "read"),
    # The number of VFs was refused, and what was there before is made again.
    "undo": ("sriov_numvfs", "exec_quantum_ms", "read"),
    "assign": ("attach", "bind"),
    "release": ("detach", "wait-closed", "reset", "probe", "bind", "vram_quota", "destroy"),
    "start": ("attach", "guest-exec prepare", "guest-exec look", "guest-exec ready", "guest-exec start",
              "guest-exec-status", "guest-file-open", "guest-file-write", "guest-file-close"),
    "finish": ("guest-exec status", "guest-exec outputs", "guest-exec clean", "guest-exec-status",
               "guest-file-open", "guest-file-read", "detach", "reset"),
    "cancel": ("guest-exec signal",),
    "session": ("attach", "guest-exec look", "guest-exec ready", "detach", "wait-closed", "reset", "probe"),
    # What runs is stopped, gives its VF back, and the other one gets it.
    "preempt": ("guest-exec signal", "guest-exec status", "guest-exec clean", "detach", "wait-closed", "reset", "probe",
                "attach", "guest-exec start"),
    # It is suspended while the command runs, and the next daemon finds it so.
    "paused": ("list",),
    "pool": ("start", "shutdown"),
    # Somebody else took a VF out of a VM, or put it in.
    "follow": ("get",),
    "recover": ("scan", "read", "list", "get"),
}
# A job that would run elsewhere if it were lost.
ENDURING = {"seconds": 2, "retries": 3, "queue": None, "outputs": False}
URGENT = "urgent"  # the queue whose jobs may have those of the other stopped
# Among the arguments of that program and of no other.
ARGUMENTS = {"prepare": "-c"}
READY = ["/usr/local/bin/gpu-ok", "ready"]
# Which time it is met, where the default would leave some out: a job has as many of them before its command runs (each
# of its programs is asked for its end, and four files are written), or after; others come once for each job or request.
NTHS = {("start", "guest-exec-status"): (1, 2, 3, 4, 5, 6), ("start", "guest-file-open"): (1, 2, 3, 4),
        ("start", "guest-file-write"): (1, 2, 3, 4), ("start", "guest-file-close"): (1, 2, 3, 4),
        ("finish", "guest-exec-status"): (1, 2, 3, 4, 5), ("finish", "guest-file-open"): (1, 2, 3),
        ("finish", "guest-file-read"): (1, 2, 3, 4), ("finish", "guest-exec status"): (1, 1, 2),
        ("release", "bind"): (1,), ("release", "destroy"): (1,),
        "assign": (1, 1, 2), "start": (1, 1, 2), "finish": (1, 1, 2), "cancel": (1,), "pool": (1,), "session": (1,),
        ("undo", "sriov_numvfs"): (3,), ("undo", "exec_quantum_ms"): (1, 2), ("undo", "read"): (3, 4),
        "follow": (1,), ("recover", "get"): (1, 1, 2), ("submit", "sync"): (1, 2, 3, 4, 5), "paused": (1,),
        "preempt": (1,), ("preempt", "guest-exec status"): (1, 2)}


# Of the store: every change is a transaction.
STORE = ("sync:before", "sync:after", "write:before", "write:half", "write:after")


# Most worlds have no jobs, whose guests take most of the time: for the rest of the time many more rounds are lived through.
WITH_JOBS = 6  # every sixth
WITHOUT_JOBS = ("apply", "undo", "assign", "release", "follow", "recover", "store")
def needs_jobs(steps):
    return any(step[0] not in WITHOUT_JOBS for step in steps)


def takes(cards, step):
    """Whether it is met on them at all: memory is cleared only where quotas of VFs that are on can be changed."""
    return step[:2] != ("release", "vram_quota") or any(card.get("live_quotas") for card in cards)


# Prime to how many there are, with jobs and without: neighbours in the table come in different rounds, and each in its turn.
STRIDE = 13


def named_steps():
    """All of them, as (operation, point, when)."""
    steps = [(operation, point, when) for operation, points in STEPS.items() for point in points
             for when in ("before", "after")]
    return steps + [("submit", *plan.split(":")) for plan in STORE] + \
        [("store", *plan.split(":")) for plan in STORE]


def in_store(step):
    return step[0] in ("submit", "store")


def trap_of(point, nth, when):
    """The fault of the machine that kills there."""
    on, _, program = point.partition(" ")
    return {"on": on, "nth": nth, "kill": when, **({"argument": ARGUMENTS.get(program, program)} if program else {})}


def layout(chance):
    kind = chance.random()
    count = chance.choice((0, 1, 2, 2, 3, 4, 4))
    if kind < 0.5:
        return {"vfs": count}
    if kind < 0.8:
        return {"vfs": count, "exec_quantum": chance.choice(("10ms", "20ms", "40ms")),
                "preempt_timeout": chance.choice(("5ms", "10ms"))}
    return {"slices": [{"profile": "half", "count": 1}, {"profile": "eighth", "count": chance.choice((1, 2))}]}


def vf_name(chance):
    return f"{chance.choice(GPUS)}/vf{chance.randint(1, 3)}"


def submit(chance, number, **more):
    return ("submit", {"token": f"t{number}x{chance.randrange(1 << 30)}",
                       "seconds": chance.choice((0, 0, 0, 0.02, 0.2, 0.6)),
                       "retries": chance.choice((0, 0, 1, 3)),
                       "outputs": chance.random() < 0.4,
                       "queue": chance.choice((None, None, None, None, URGENT)),
                       "vm": chance.choice((None, None, None, *RUN_AS, *RUN_AS, CLOSED)), **more})


def session(chance, number, **more):
    """A job without a command; its time is over soon, if it is not cancelled."""
    return ("submit", {"token": f"s{number}x{chance.randrange(1 << 30)}", "session": chance.choice(("1s", "1s", "1500ms")),
                       "vm": chance.choice((None, None, *RUN_AS, CLOSED)), **more})


def of_another(chance, action):
    """Now and then it is another user who asks."""
    by_any = action[0] == "submit" or action[0] == "call" and action[1] in ("vf.assign", "vf.release")
    return ("other", action) if by_any and chance.random() < 0.2 else action


def of_apply(chance):
    return ("call", "gpu.apply", {"gpu": chance.choice(GPUS), "layout": layout(chance),
                                  **({"drain": True} if chance.random() < 0.1 else {})})


def of_assign(chance):
    where = chance.choice(({}, {}, {"gpu": chance.choice(GPUS)}, {"vf": vf_name(chance)}, {"vf": vf_name(chance)},
                           {"vf": chance.choice((*GPUS, SECOND))}))  # a GPU itself, which is no VF
    how = chance.choice(({}, {}, {"mode": "live"}, {"mode": "config"}, {"mode": "both"}))
    more = {"add": True} if "vf" not in where and chance.random() < 0.3 else {}
    if chance.random() < 0.2:
        more["for_seconds"] = chance.choice(("30ms", "200ms", 1))
    return ("call", "vf.assign", {"vm": chance.choice(VMS), **where, **how, **more})


def of_release(chance):
    how = chance.choice(({}, {}, {}, {"mode": "live"}, {"mode": "config"}))
    if chance.random() < 0.3:
        return ("call", "vf.release", {"vf": vf_name(chance), **how})
    return ("call", "vf.release", {"vm": chance.choice(VMS), "all": True, **how})


def of_tune(chance):
    return ("call", "vf.tune", {"vf": vf_name(chance), "exec_quantum_ms": chance.choice((8, 16, 32))})


def of_cancel(chance):
    return ("cancel", {"which": chance.randrange(1 << 16)})


def of_extend(chance):
    return ("extend", {"which": chance.randrange(1 << 16)})


def of_drain(chance):
    return ("call", chance.choice(("gpu.drain", "gpu.undrain", "gpu.undrain")), {"gpu": chance.choice(GPUS)})


def of_heal(chance):
    return chance.choice((("call", "vf.heal", {"vf": vf_name(chance)}),
                          ("call", "vf.reset", {"vf": vf_name(chance)}),
                          ("call", "vm.heal", {"vm": chance.choice(VMS)})))


def of_reload(chance):
    assigned = chance.choice((None, {"vm": CLOSED, "vram": "1GiB"}, {"vm": CLOSED, "vf": vf_name(chance)}))
    return ("policy", {"quantum": chance.choice((10, 20, 30)), "assigned": assigned})


def of_no_start(chance, number):
    """A guest in which nothing can be run for a while: after three jobs that could not start it takes no more."""
    vm = chance.choice(("trainer-1", "trainer-2"))
    return [("machine", "fault", {"fault": {"on": "guest-exec", "vm": vm, "error": "agent-disabled",
                                            "times": chance.choice((2, 4, 6, 8))}}),
            submit(chance, number, vm=vm, seconds=0)]


WRITES = ("write", "write", "sriov_numvfs", "sriov_numvfs", "vram_quota", "exec_quantum_ms", "sriov_drivers_autoprobe")


def of_failing_cut(chance):
    """A cut in whose middle the kernel refuses something: once, so that it is undone, or so often that going back fails,
    too."""
    cut = of_cut(chance)
    fault = {"on": chance.choice(WRITES), "gpu": cut[2]["gpu"], "nth": chance.choice((1, 2, 2, 3, 4, 6)),
             "times": chance.choice((1, 1, 2, 3, 8)), "error": chance.choice(("EIO", "ENOSPC", "EBUSY"))}
    return [("machine", "fault", {"fault": fault}), cut]


def of_hang(chance):
    """What libvirt, a guest or the kernel is asked for does not come back; now and then it is waited for until its deadline,
    and let go after that.  Whoever is not let go here is by whoever makes the world whole again."""
    vm, other = chance.sample(("trainer-1", "trainer-2"), 2)
    gpu = chance.choice(GPUS)
    on = chance.choice(("detach", "detach", "attach", "sriov_numvfs", "exec_quantum_ms", "reset"))
    where = {"vm": vm} if on in ("attach", "detach") else {"gpu": gpu}
    wait = chance.choice(({}, {"wait_seconds": 2}))
    assign = ("call", "vf.assign", {"vm": vm, "gpu": gpu, "mode": chance.choice(("live", "both"))})
    release = ("call", "vf.release", {"vm": vm, "all": True, **wait})
    how = {"hang": True}
    if on == "detach" and chance.random() < 0.3:  # the guest does not want to
        how = {"error": "guest-refused", "times": chance.choice((1, 2, 4))}
    fault = ("machine", "fault", {"fault": {"on": on, **where, "nth": 1, **how}})
    if on == "attach":
        made = [fault, (*assign[:2], {**assign[2], **wait}), release]
    elif where == {"vm": vm} or on == "reset":
        made = [assign, rest(chance), fault, release]
    else:
        made = [fault, ("call", "gpu.apply", {"gpu": gpu, "layout": {**layout(chance)}, **wait})]
    made.append(chance.choice((of_apply(chance), ("call", "vf.assign", {"vm": other, "gpu": gpu, "mode": "live"}))))
    if chance.random() < 0.7:  # VMs and VFs are there for it
        made = [*start_vms(chance)[1], ("call", "gpu.apply", {"gpu": gpu, "layout": {"vfs": 3}}), rest(chance), *made]
    return made + chance.choice(([], [("machine", "release-hang", {})]))


def of_slow_release(chance):
    """A VM gives all back, and its guest is slow with the second: the first is another's by the time the daemon dies."""
    vm, other = chance.sample(("trainer-1", "trainer-2"), 2)
    gpu = chance.choice(GPUS)
    give = {"vm": vm, "gpu": gpu, "mode": chance.choice(("live", "both"))}
    force = {"force": True, "yes_power_off": True} if chance.random() < 0.2 else {}
    fault = {"on": "wait-closed", "gpu": gpu} if force else {"on": "detach", "vm": vm}
    return [*clear(chance)[1], *start_vms(chance)[1],
            ("call", "gpu.apply", {"gpu": gpu, "layout": {"vfs": 2}}), rest(chance),
            ("call", "vf.assign", give), ("call", "vf.assign", {**give, "add": True}), rest(chance),
            ("machine", "fault", {"fault": {**fault, "nth": 2, "hang": True}}),
            ("call", "vf.release", {"vm": vm, "all": True, **force}), ("freed", {"gpu": gpu}),
            ("call", "vf.assign", {"vm": chance.choice((other, other, vm)), "gpu": gpu, "mode": "live"})]


def of_pause(chance):
    """virsh suspend of a VM while a command runs in it; now and then it goes on before the daemon dies."""
    resume = [("machine", "resume-all", {})] if chance.random() < 0.2 else []
    return [("runs", {}), ("machine", "pause-busy", {}), *resume]


def of_others(chance):
    """Somebody else in the machine."""
    vf = {"gpu": chance.choice(GPUS), "vf": chance.randint(1, 3)}
    return ("machine", *chance.choice((
        ("foreign-attach", {"vm": chance.choice(VMS), **vf}),
        ("foreign-detach", {"vm": chance.choice(VMS), **vf}),
        ("foreign-detach", {"vm": chance.choice(VMS), **vf}),
        *[("steal", {"which": chance.randrange(1 << 16)})] * 3,
        ("domain-start", {"vm": chance.choice(VMS)}),
        ("domain-stop", {"vm": chance.choice(VMS)}),
        ("domain-start", {"vm": chance.choice(VMS)}),
        ("domain-pause", {"vm": chance.choice(VMS)}),
        ("domain-crash", {"vm": chance.choice(VMS)}),
        ("domain-resume", {"vm": chance.choice(VMS)}),
        ("domain-save", {"vm": chance.choice(VMS)}),
        ("domain-unsave", {"vm": chance.choice(VMS)}),
        ("undefine", {"vm": chance.choice(VMS)}),
        ("domain-define", {"vm": chance.choice(VMS)}),
        ("foreign-attach", {"vm": chance.choice(VMS), "gpu": vf["gpu"], "config": True}),
        ("foreign-detach", {"vm": chance.choice(VMS), "gpu": vf["gpu"], "config": True}),
        ("agent", {"vm": chance.choice(VMS), "agent": chance.choice((True, "disconnected"))}),
        ("set-numvfs", {"gpu": chance.choice(GPUS), "value": chance.choice((0, 0, 2))}),
        ("set-attribute", {"gpu": chance.choice(GPUS), "vf": 1, "attribute": "exec_quantum_ms", "value": 77}),
        ("unbind-driver", {"gpu": chance.choice(GPUS)}),
        ("bind-driver", {"gpu": chance.choice(GPUS)}),
        ("hold", vf), ("unhold", vf),
        ("libvirt-down", {}), ("libvirt-up", {}), ("libvirt-up", {}),
        ("overflow", {}),
    )))


def of_reattach(chance):
    """One of the VFs that VMs have from gpuvf is detached by hand, and attached again to the same VM, which then has it
    under libvirt's own alias."""
    return ("machine", "reattach", {"which": chance.randrange(1 << 16)})


def of_cut(chance):
    """A layout that is made whatever there was: values, and another count than the last time."""
    vram = {"vram": chance.choice(("1GiB", "2GiB"))} if chance.random() < 0.6 else {}  # not every card takes that
    return ("call", "gpu.apply", {"gpu": chance.choice(GPUS), "layout": {
        "vfs": chance.choice((1, 2, 3, 4)), **vram,
        "exec_quantum": chance.choice(("10ms", "20ms", "40ms")), "preempt_timeout": chance.choice(("5ms", "10ms"))}})


# ---- what a trap needs, so that it is met by what it is named after and by nothing else

def arm(when):
    """The trap is set here: "calm", once nothing is under way; "running", once a job's command runs as well."""
    return ("arm", {"when": when})


def rest(chance):
    """What was asked for has its end before the next is asked for, which would be refused else."""
    return ("rest", {})


def undoing(chance):
    """A layout with values is cut anew: to 0 goes well, to the new number does not, and now and then not back either."""
    gpu, first, then = chance.choice(GPUS), *chance.sample((1, 2, 3, 4), 2)
    how = {"exec_quantum": chance.choice(("10ms", "20ms")), "preempt_timeout": "5ms"}
    return ("calls", [("call", "gpu.apply", {"gpu": gpu, "layout": {"vfs": first, **how}}), rest(chance), arm("calm"),
                      ("machine", "fault", {"fault": {"on": "sriov_numvfs", "gpu": gpu, "nth": 2,
                                                      "times": chance.choice((1, 1, 1, 2)), "error": "EIO"}}),
                      ("call", "gpu.apply", {"gpu": gpu, "layout": {"vfs": then}, "wait_seconds": 2})])


def release_all(chance):
    return ("calls", [("call", "vf.release", {"vm": vm, "all": True}) for vm in VMS])


def clear(chance):
    """No VM has anything: what is in the way of a cut, or would meet the trap in place of what it is for."""
    return ("calls", [("machine", "libvirt-up", {}), ("cancel-all", {}), *release_all(chance)[1], rest(chance)])


def start_vms(chance):
    """Each is on, and takes jobs."""
    return ("calls",
            [one for vm in ("trainer-1", "trainer-2") for one in (("machine", "domain-define", {"vm": vm}),
                                                                  ("machine", "domain-start", {"vm": vm}),
                                                                  ("call", "vm.heal", {"vm": vm}))] +
            [("call", "gpu.undrain", {"gpu": gpu}) for gpu in GPUS])


def cut_both(chance):
    return ("calls", [("call", "gpu.apply", {"gpu": gpu, "layout": {"vfs": chance.choice((2, 3))}}) for gpu in GPUS] +
            [rest(chance)])


def assign_to(*vms):
    return lambda chance: ("call", "vf.assign", {"vm": chance.choice(vms), "mode": chance.choice(("live", "both"))})


def rebinding(chance):
    """libvirt gave the VF back to the host's driver, the gate binds it again."""
    return ("calls", [arm("calm"), ("call", "vf.release", {"vm": MANAGED, "all": True, "wait_seconds": 2})])


def power_off(chance):
    vm = chance.choice(("trainer-1", "trainer-2"))
    return ("calls", [("call", "vf.assign", {"vm": vm, "mode": "live"}), arm("calm"),
                      ("call", "vf.release", {"vm": vm, "all": True, "force": True, "yes_power_off": True,
                                              "wait_seconds": 2})])


def pool_off(chance):
    """It is off, and no job of before is in its way."""
    return ("calls", [("machine", "domain-define", {"vm": ON_DEMAND}), ("machine", "domain-stop", {"vm": ON_DEMAND}),
                      ("call", "vm.heal", {"vm": ON_DEMAND})])


def clearing(chance):
    """A VF of the card whose VFs are cleared, with memory that can be taken, goes from a VM back through the gate."""
    vm = chance.choice(("trainer-1", "trainer-2"))
    return ("calls", [("call", "gpu.apply", {"gpu": "gpu1", "layout": {"vfs": 2, "vram": "1GiB"}}), rest(chance),
                      ("call", "vf.assign", {"vm": vm, "gpu": "gpu1", "mode": "live", "wait_seconds": 2}), arm("calm"),
                      ("call", "vf.release", {"vm": vm, "all": True, "wait_seconds": 2})])


def taken_out(chance):
    """… and put back, by hand."""
    return ("calls", [arm("calm"), of_reattach(chance), rest(chance)])


KINDS = ((of_apply, 3), (of_assign, 5), (of_release, 5), (of_tune, 1), (of_cancel, 1), (of_extend, 1), (of_drain, 1),
         (of_heal, 1), (of_reload, 1), (of_others, 4))
RARELY = 0.08  # a round has an of_no_start, and one an of_reattach with a daemon or without
OFTEN = 0.4  # one that cuts has an of_failing_cut
HANGING = 0.08  # a round has an of_hang, where nothing is waited for after it
SLOWLY = 0.2  # … or in its place an of_slow_release
PLACE = [clear, start_vms, cut_both]
# By operation, or by one of its points.
LEADS = {"apply": [clear, of_cut, of_cut, of_cut, of_cut], "undo": [clear, undoing],
         "assign": [*PLACE, assign_to("trainer-1", "trainer-2"), assign_to("trainer-1", "trainer-2")],
         "release": [*PLACE, assign_to("trainer-1"), assign_to("trainer-2"), rest, release_all],
         ("release", "bind"): [*PLACE, assign_to(MANAGED), rebinding],
         ("release", "destroy"): [*PLACE, power_off],
         ("release", "vram_quota"): [clear, start_vms, clearing],
         "follow": [*PLACE, assign_to("trainer-1", "trainer-2"), rest, taken_out],
         "start": PLACE, "finish": PLACE, "cancel": PLACE, "session": PLACE, "preempt": PLACE, "paused": PLACE,
         "pool": [*PLACE, pool_off],
         # The next daemon finds what a VM has.
         ("recover", "get"): [*PLACE, assign_to("trainer-1", "trainer-2"), rest],
         "recover": [], "submit": [], "store": [of_assign, of_release]}
# What the jobs must be like, by operation or point.
JOBS = {"finish": {"seconds": 0.2}, "cancel": {"seconds": 5}, "pool": {"vm": ON_DEMAND, "seconds": 0},
        "preempt": {"seconds": 3, "vm": "trainer-1", "queue": None}, "session": {"vm": "trainer-1"},
        "paused": {**ENDURING, "vm": None},
        ("start", "guest-exec ready"): {"vm": "trainer-1"}, ("finish", "guest-exec outputs"): {"outputs": True},
        ("finish", "guest-exec status"): {"seconds": 0.6}}
# When the trap is set, if not at once: what else is done comes before, the jobs after it ("calm") or before it.
ARMED = {"submit": "calm", "paused": "running", "start": "calm", "finish": "running", "cancel": "running", "preempt": "running",
         "pool": "calm",
         "session": "running", **{("session", point): "calm" for point in STEPS["session"][:3]}}
# Until when the daemon is left alone with it, if it does not die: an end, or a time in seconds.
UNTIL = {"start": "jobs", "finish": "jobs", "cancel": "jobs", "session": "jobs", "preempt": "jobs", "pool": "jobs",
         ("pool", "shutdown"): "off"}


def of_trap(table, trap, default):
    return table.get(trap[:2], table.get(trap[0], default))


def flat(chance, makers):
    """What they make, one after the other; now and then one is left out."""
    made = [make(chance) for make in makers if chance.random() < 0.97]
    return [one for action in made for one in (action[1] if action[0] == "calls" else [action])]


def actions(chance, trap, serial, has_jobs, hangs=False):
    """A list of ("call", method, params), ("submit", …), ("machine", op, members), …, each with the pause
    before it."""
    makers = [kind for kind, weight in KINDS for _ in range(weight)]
    lead = flat(chance, of_trap(LEADS, trap, []))
    others = [of_another(chance, chance.choice(makers)(chance))
              for _ in range(chance.randint(4, 12) if has_jobs else chance.randint(2, 6))]
    if has_jobs and chance.random() < RARELY:
        others += of_no_start(chance, f"{serial}.n")
    if chance.random() < (OFTEN if trap[0] == "apply" else RARELY):
        others += of_failing_cut(chance)
    if chance.random() < RARELY:
        others += [assign_to(*RUN_AS)(chance), rest(chance), of_reattach(chance)]
    if has_jobs:
        others += [of_another(chance, session(chance, f"{serial}.s")) for _ in range(chance.choice((0, 0, 0, 1)))]
    count = {"start": 2, "finish": 2, "cancel": 1, "session": 1, "preempt": 1, "paused": 1, "pool": 1,
             "submit": 4}.get(trap[0], chance.choice((0, 1, 1)))
    count = count if has_jobs else 0
    more = of_trap(JOBS, trap, {})
    kind = session if trap[0] == "session" else submit
    jobs = [kind(chance, f"{serial}.{n}", **more) for n in range(count)]
    when = of_trap(ARMED, trap, None)
    if when is None or trap[0] == "submit":
        jobs = [of_another(chance, job) for job in jobs]
    if when == "calm":
        chosen = others + lead + [arm(when)] + jobs
    elif when == "running":
        chosen = others + lead + jobs + [arm(when)]
    elif arm("calm") in lead or trap[:2] == ("recover", "get"):
        chosen = others + lead
    elif trap[0] in ("apply", "assign", "release"):
        chosen = lead + others + jobs
    else:
        chosen = lead + others + jobs
        chance.shuffle(chosen)
    if trap[0] == "paused":  # and somebody asks for VMs
        chosen += [*of_pause(chance), ("listed", {})]
    if trap[0] == "cancel":
        chosen.append(("cancel", {"which": -1}))
    if trap[0] == "session":  # it runs by now, where that was waited for
        chosen += chance.choice(([], [("cancel", {"which": -1})], [("extend", {"which": -1})]))
    if trap[0] == "preempt":
        chosen.append(submit(chance, f"{serial}.u", vm="trainer-1", seconds=0, queue=URGENT))
    if has_jobs and chance.random() < RARELY:
        chosen += [submit(chance, f"{serial}.p", **ENDURING), *of_pause(chance)]
    if hangs:
        chosen += of_slow_release(chance) if chance.random() < SLOWLY else of_hang(chance)
    return [(chance.choice((0, 0, 0, 0.001, 0.004)), one) for one in chosen]


def nth_of(chance, step):
    if in_store(step) and step[:2] not in NTHS:
        return chance.randint(1, 24)
    return chance.choice(of_trap(NTHS, step, (1, 1, 1, 2, 3)))


class Round:
    """One round: what is done, where the daemon dies, what happens before the next one."""

    def __init__(self, chance, number, step, has_jobs):
        self.trap = step
        self.nth = nth_of(chance, step)
        self.in_start = step[0] == "recover" or chance.random() < 0.1
        self.until = of_trap(UNTIL, step, None)
        self.hangs = self.until is None and chance.random() < HANGING
        self.actions = actions(chance, step, number, has_jobs, self.hangs)
        self.stays_hung = chance.random() < 0.5  # … for the next daemon
        self.linger = chance.choice((0.005, 0.02, 0.06))
        self.meanwhile = [of_others(chance) for _ in range(chance.choice((0, 0, 0, 1, 2)))]
        if chance.random() < RARELY:
            self.meanwhile.append(of_reattach(chance))
        self.stays_paused = step[0] == "paused" or chance.random() < 0.5  # … and found so by the next daemon
        self.full_disk = chance.random() < 0.05
        self.reboot = chance.random() < 0.05
        self.swaps_cards = chance.random() < 0.5  # … each is in the other's slot then
        self.damage = chance.choice(("cut", "garbage", "gone", "empty")) if chance.random() < 0.05 else None
        self.no_policy = chance.random() < 0.1  # the next daemon finds one that does not load


    def arms(self):
        """Whether one of its actions sets the trap."""
        return any(action[0] == "arm" for _, action in self.actions)


class World:
    """The cards, and the rounds that one daemon's state goes through."""

    def __init__(self, seed, number, rounds, aim=()):
        """aim: the steps that its rounds go through, where it is not the number that says which."""
        chance = random.Random(f"{seed}/{number}")
        steps = named_steps()
        self.aim = list(aim)
        cards = chance.choice([one for one in WORLDS if all(takes(one, step) for step in aim)])
        self.gpus = [{"model": "Flex 170", **one} for one in cards]
        self.gpus[1]["address"] = SECOND
        # Whose VFs are for their last user until the next re-cut …
        self.kept = chance.choice(((), (), ("gpu1",)))
        # … or until their memory was cleared.
        self.scrubbed = ("gpu1",) if self.gpus[1].get("live_quotas") else ()
        has_jobs = needs_jobs(aim) if aim else number % WITH_JOBS == 0
        first = number * rounds
        without_jobs = [step for step in steps if not needs_jobs([step])]
        if aim:
            first, steps = 0, self.aim * STRIDE  # one after the other
        elif has_jobs:  # and what others come to as well is met half as often
            first //= WITH_JOBS
            steps += [step for step in steps if step not in without_jobs]
        else:
            steps = without_jobs
        self.rounds = [Round(chance, f"{number}.{i}", steps[(first + i) * STRIDE % len(steps)], has_jobs)
                       for i in range(rounds)]
