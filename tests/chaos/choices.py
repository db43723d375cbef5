# SPDX-License-Identifier: GPL-2.0-or-later
"""What one life of a daemon meets, drawn from a seed alone: nothing here looks at what came of it, so that a
seed gives the same choices again."""

import random

GPUS = ("gpu0", "gpu1")
VMS = ("trainer-1", "trainer-2", "desk-1")
WORLDS = (
    [{"driver": "xe"}, {"driver": "xe"}],
    [{"driver": "xe", "vram_quota": "absent"}, {"driver": "i915", "tree": "prelim_iov"}],
    [{"driver": "i915", "tree": "iov"}, {"driver": "xe", "sriov_admin": False}],
    [{"driver": "xe"}, {"driver": "i915", "tree": "prelim_iov", "tiles": 2}],
)

# What is done, and the requests to kernel, libvirt and guest that it is made of.  The daemon is killed right
# before and right after each.
STEPS = {
    "apply": ("sriov_drivers_autoprobe", "sriov_numvfs", "vram_quota", "exec_quantum_ms",
              "preempt_timeout_us", "ggtt_quota", "bind", "read"),
    "assign": ("attach", "bind", "get"),
    "release": ("detach", "wait-closed", "reset", "probe"),
    "start": ("attach", "guest-exec", "guest-exec-status", "guest-file-open", "guest-file-write",
              "guest-file-close"),
    "finish": ("guest-exec", "guest-exec-status", "detach", "reset"),
    "recover": ("scan", "read", "list", "get"),
}
# Of the store: every change is a transaction.
STORE = ("sync:before", "sync:after", "write:before", "write:half", "write:after")


STRIDE = 11  # prime to how many there are: neighbours in the table come in different rounds


def named_steps():
    """All of them, as (operation, point, when)."""
    steps = [(operation, point, when) for operation, points in STEPS.items() for point in points
             for when in ("before", "after")]
    return steps + [("submit", *plan.split(":")) for plan in STORE] + \
        [("store", *plan.split(":")) for plan in STORE]


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


def submit(chance, number):
    return ("submit", {"token": f"t{number}x{chance.randrange(1 << 30)}",
                       "seconds": chance.choice((0, 0, 0, 0.02, 0.2, 0.6)),
                       "retries": chance.choice((0, 0, 1, 3)),
                       "vm": chance.choice((None, None, "trainer-1", "trainer-2"))})


def of_apply(chance):
    return ("call", "gpu.apply", {"gpu": chance.choice(GPUS), "layout": layout(chance),
                                  **({"drain": True} if chance.random() < 0.1 else {})})


def of_assign(chance):
    where = chance.choice(({}, {}, {"gpu": chance.choice(GPUS)}, {"vf": vf_name(chance)}))
    how = chance.choice(({}, {}, {"mode": "live"}, {"mode": "config"}, {"mode": "both"}))
    more = {"add": True} if "vf" not in where and chance.random() < 0.3 else {}
    return ("call", "vf.assign", {"vm": chance.choice(VMS), **where, **how, **more})


def of_release(chance):
    if chance.random() < 0.3:
        return ("call", "vf.release", {"vf": vf_name(chance)})
    return ("call", "vf.release", {"vm": chance.choice(VMS), "all": True})


def of_tune(chance):
    return ("call", "vf.tune", {"vf": vf_name(chance), "exec_quantum_ms": chance.choice((8, 16, 32))})


def of_cancel(chance):
    return ("cancel", {"which": chance.randrange(1 << 16)})


def of_drain(chance):
    return ("call", chance.choice(("gpu.drain", "gpu.undrain", "gpu.undrain")), {"gpu": chance.choice(GPUS)})


def of_heal(chance):
    return chance.choice((("call", "vf.heal", {"vf": vf_name(chance)}),
                          ("call", "vf.reset", {"vf": vf_name(chance)}),
                          ("call", "vm.heal", {"vm": chance.choice(VMS)})))


def of_reload(chance):
    return ("policy", {"quantum": chance.choice((10, 20, 30))})


def of_others(chance):
    """Somebody else in the machine."""
    vf = {"gpu": chance.choice(GPUS), "vf": chance.randint(1, 3)}
    return ("machine", *chance.choice((
        ("foreign-attach", {"vm": chance.choice(VMS), **vf}),
        ("foreign-detach", {"vm": chance.choice(VMS), **vf}),
        ("foreign-detach", {"vm": chance.choice(VMS), **vf}),
        ("domain-start", {"vm": chance.choice(VMS)}),
        ("domain-stop", {"vm": chance.choice(VMS)}),
        ("domain-start", {"vm": chance.choice(VMS)}),
        ("domain-pause", {"vm": chance.choice(VMS)}),
        ("domain-crash", {"vm": chance.choice(VMS)}),
        ("domain-resume", {"vm": chance.choice(VMS)}),
        ("agent", {"vm": chance.choice(VMS), "agent": chance.choice((True, "disconnected"))}),
        ("set-numvfs", {"gpu": chance.choice(GPUS), "value": chance.choice((0, 0, 2))}),
        ("set-attribute", {"gpu": chance.choice(GPUS), "vf": 1, "attribute": "exec_quantum_ms", "value": 77}),
        ("unbind-driver", {"gpu": chance.choice(GPUS)}),
        ("bind-driver", {"gpu": chance.choice(GPUS)}),
        ("hold", vf), ("unhold", vf),
        ("libvirt-down", {}), ("libvirt-up", {}), ("libvirt-up", {}),
        ("overflow", {}),
    )))


def of_cut(chance):
    """A layout that is made whatever there was: values, and another count than the last time."""
    return ("call", "gpu.apply", {"gpu": chance.choice(GPUS), "layout": {
        "vfs": chance.choice((1, 2, 3, 4)), "vram": chance.choice(("1GiB", "2GiB")),
        "exec_quantum": chance.choice(("10ms", "20ms", "40ms")), "preempt_timeout": chance.choice(("5ms", "10ms"))}})


def release_all(chance):
    return ("calls", [("call", "vf.release", {"vm": vm, "all": True}) for vm in VMS])


KINDS = ((of_apply, 3), (of_assign, 5), (of_release, 5), (of_tune, 1), (of_cancel, 1), (of_drain, 1),
         (of_heal, 1), (of_reload, 1), (of_others, 4))
# What a trap needs, so that it is met.
LEADS = {"apply": [release_all, of_cut, of_cut, of_cut], "assign": [of_cut, of_assign, of_assign],
         "release": [of_assign, of_assign, release_all], "start": [], "finish": [], "recover": [],
         "submit": [], "store": [of_assign, of_release]}


def actions(chance, trap, serial):
    """A list of ("call", method, params), ("submit", …), ("machine", op, members), …, each with the pause
    before it."""
    makers = [kind for kind, weight in KINDS for _ in range(weight)]
    lead = [make(chance) for make in LEADS[trap[0]] if chance.random() < 0.95]
    chosen = [one for action in lead for one in (action[1] if action[0] == "calls" else [action])]
    chosen += [chance.choice(makers)(chance) for _ in range(chance.randint(4, 12))]
    jobs = {"start": 2, "finish": 2, "submit": 4}.get(trap[0], chance.choice((0, 1, 1)))
    chosen += [submit(chance, f"{serial}.{n}") for n in range(jobs)]
    if trap[0] not in ("apply", "assign", "release"):
        chance.shuffle(chosen)
    return [(chance.choice((0, 0, 0, 0.001, 0.004)), one) for one in chosen]


class Round:
    """One round: what is done, where the daemon dies, what happens before the next one."""

    def __init__(self, chance, number, step):
        self.trap = step
        self.nth = chance.choice((1, 1, 1, 2, 3)) if step[0] not in ("submit", "store") else chance.randint(1, 24)
        self.in_start = chance.random() < (0.9 if step[0] == "recover" else 0.1)
        self.actions = actions(chance, step, number)
        self.linger = 0.7 if step[0] in ("start", "finish") else chance.choice((0.005, 0.02, 0.06))
        self.meanwhile = [of_others(chance) for _ in range(chance.choice((0, 0, 0, 1, 2)))]
        self.full_disk = chance.random() < 0.05
        self.reboot = chance.random() < 0.05
        self.damage = chance.choice(("cut", "garbage", "gone", "empty")) if chance.random() < 0.05 else None


class World:
    """The cards, and the rounds that one daemon's state goes through."""

    def __init__(self, seed, number, rounds):
        chance = random.Random(f"{seed}/{number}")
        steps = named_steps()
        self.gpus = [{"model": "Flex 170", **one} for one in chance.choice(WORLDS)]
        first = number * rounds
        self.rounds = [Round(chance, f"{number}.{i}", steps[(first + i) * STRIDE % len(steps)])
                       for i in range(rounds)]
