# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold, whatever died: read from the made-up machine, the rows of the store and what the jobs
themselves wrote down.  Never asks the daemon; does nothing but compare, so that it can be fed with lies.

`hard` holds at every moment.  `calm` holds once nothing is under way; where jobs go on, what it says counts
only when it stays."""

import collections
import functools
import json
import os
import pathlib
import re
import sqlite3
import time

ALIAS = re.compile(r"ua-gpuvf-(\d+)-(\d+)-e(\d+)$")
BEGUN = ("starting", "waiting-guest", "running", "stopping", "unreachable")
# Of a VF between two rests.
MOVING = ("leased", "attaching", "detaching", "resetting")
OPERATION_STATES = ("accepted", "running", "done", "failed", "cancelled")
# Of a VF and of a job in the audit trail; what is between two of them is not told.
RESTS_OF_VF = ("free", "attached", "reserved", "held", "quarantined")
RESTS_OF_JOB = ("held", "queued", "running", "ended")
IN_VMS = ("attached", "reserved")
IN_GUESTS = ("leased", "attaching", "attached", "detaching")
# What a layout may ask for by VF, and the kernel shows under the same name.
ASKED = ("exec_quantum_ms", "preempt_timeout_us")
PF_KEEPS = 0.05  # of a card's memory at most: a share is one of what is left

# After so many starts that failed in a row a VM takes no more jobs (architecture, "what must hold", 7).
FAILED_STARTS = 3

Submission = collections.namedtuple("Submission", "token id refused uid", defaults=(0,))


@functools.lru_cache(4096)
def document(text):
    """Most rows are as they were at the last look, and nobody changes what is read."""
    return json.loads(text)


def rows_of(state):
    """Kind → id → document, as they stand in state.db now."""
    base = sqlite3.connect(f"file:{state}/state.db?mode=ro", uri=True, timeout=10)
    try:
        base.execute("BEGIN")
        return {kind: {name: document(doc) for name, doc in base.execute(f"SELECT id, doc FROM {kind}")}
                for kind in ("gpu", "lease", "job", "operation", "meta", "audit")}
    finally:
        base.close()


class Ledger:
    """What jobs write down of themselves: starts-TOKEN and ends-TOKEN have a line for each, run-TOKEN has the
    pid of the last, as-TOKEN the user and the folder of each, `twice` the tokens that found another one running."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def _lines(self, name):
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def starts(self, token):
        return len(self._lines(f"starts-{token}"))

    def ends(self, token):
        return len(self._lines(f"ends-{token}"))

    def users(self, token):
        """(user, folder) of each start."""
        return [tuple(line.split(" ", 1)) for line in self._lines(f"as-{token}")]

    def twice(self):
        return self._lines("twice")

    def runs(self, token):
        """Whether its process is there."""
        for pid in self._lines(f"run-{token}"):
            try:
                return token in pathlib.Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                return False
        return False


def hard(machine, ledger, hangs_of_others=0):
    """What is wrong, whenever one looks."""
    wrong = []
    held = sum(gpu["writes"]["sriov_numvfs_while_held"] for gpu in machine["gpus"])
    if held > hangs_of_others:
        wrong.append(f"sriov_numvfs was written {held - hangs_of_others} times while a VF was held")
    for gpu in machine["gpus"]:
        if gpu["writes"].get("sriov_numvfs_while_reserved"):  # a real kernel does not count it
            wrong.append(f"{gpu['name']}: gpuvf took away a VF that the definition of a VM that is off names")
        if gpu["writes"]["attached_without_reset"]:
            wrong.append(f"{gpu['name']}: a VF went to a VM without a reset after the one before")
    users = collections.Counter(h["address"] for vm in machine["vms"] for h in vm["hostdevs"] if h["live"])
    wrong += [f"{address} is in {n} VMs" for address, n in users.items() if n > 1]
    wrong += [f"{gpu['name']} itself is in {vm['name']}, and has {gpu['num_vfs']} VFs" for gpu in machine["gpus"]
              if gpu["num_vfs"] for vm in machine["vms"] for h in vm["hostdevs"]
              if h["address"] == gpu["address"] and (h["live"] or ALIAS.match(h["alias"] or ""))]
    wrong += [f"job {token} ran twice at the same time" for token in ledger.twice()]
    return wrong


def jobs(rows, submissions, ledger):
    """No job is lost, none is there twice, none began more often than it was placed."""
    wrong = []
    by_token = collections.defaultdict(list)
    for number, job in rows["job"].items():
        by_token[job["document"].get("name")].append((number, job))
    for one in submissions:
        found = by_token.pop(one.token, [])
        if len(found) > 1:
            wrong.append(f"job {one.token} is there {len(found)} times: {', '.join(n for n, _ in found)}")
        if one.id is not None and str(one.id) not in [n for n, _ in found]:
            wrong.append(f"job {one.token} was accepted as {one.id} and is lost")
        if one.refused and found:
            wrong.append(f"job {one.token} was refused and is there")
        for number, job in found[:1]:
            wrong += _job(number, job, one, ledger)
    wrong += [f"job {token} was never submitted" for token in by_token]
    return wrong


def _job(number, job, one, ledger):
    starts, ends = ledger.starts(one.token), ledger.ends(one.token)
    who = f"job {number} ({one.token}, {job['state']}, {job['result']}, attempt {job['attempt']})"
    wrong = []
    if starts > job["attempt"]:
        wrong.append(f"{who} has begun {starts} times")
    if job["state"] == "ended":
        if job["result"] == "succeeded" and ends == 0:
            wrong.append(f"{who} never came to its end")
        if ledger.runs(one.token):
            wrong.append(f"{who} still runs")
    return wrong


def sessions(rows, now):
    """Of jobs without a command: ready once at most, holding a VF while they are, and no longer than their time.  Whose
    VF is nobody's any more is told of its lease.  now: the boot clock, in seconds."""
    wrong = []
    held = {str(row["job"]) for row in rows["lease"].values() if row["owner"] == "job"}
    for number, job in rows["job"].items():
        if not job["document"].get("session"):
            continue
        if sum(bool(attempt.get("started_at")) for attempt in job["attempts"] or []) > 1:
            wrong.append(f"session {number} was ready more than once")
        if job["state"] == "ended" and job["result"] not in ("timeout", "cancelled", "lost"):
            wrong.append(f"session {number} has ended as {job['result']}")
        if job["state"] != "running":
            continue
        if number not in held:
            wrong.append(f"session {number} is running in {job['vm_name']}, and has no VF")
        if job["ends"]["boot"] / 1e6 < now:
            wrong.append(f"session {number} is running {now - job['ends']['boot'] / 1e6:.3f} s after its end")
    return wrong


def users(machine, rows, submissions, ledger, rules):
    """Every job ran for who submitted it, in a VM that a rule opens to him, as the user that the rule names.  rules:
    name of a VM → (user of the guest, uids that may run jobs there); others are closed."""
    wrong = []
    uids = {job["document"].get("name"): job["uid"] for job in rows["job"].values()}
    folders = {vm["guest_root"] + "/": vm["name"] for vm in machine["vms"]}
    for one in submissions:
        if uids.get(one.token, one.uid) != one.uid:
            wrong.append(f"job {one.token} is uid {uids[one.token]}'s, and uid {one.uid} submitted it")
        for user, folder in ledger.users(one.token):
            vm = next((name for root, name in folders.items() if folder.startswith(root)), folder)
            run_as, allowed = rules.get(vm, (None, ()))
            if run_as is None or one.uid not in allowed:
                wrong.append(f"job {one.token} of uid {one.uid} ran in {vm}, which no rule opens to it")
            elif user != run_as:
                wrong.append(f"job {one.token} ran as {user} in {vm}, whose rule names {run_as}")
    return wrong


def given_up(before, after):
    """Rows of jobs before and after the life of a daemon that had no policy: none has begun by it, and none that had begun
    has failed for want of a rule, of which its command knows nothing."""
    wrong = []
    for number, job in after.items():
        old = before.get(number, {}).get("attempts") or []
        for n, attempt in enumerate(job["attempts"] or []):
            was = old[n] if n < len(old) else {}
            had_begun = was.get("started_at") or was.get("start_sent_at")
            if not had_begun and (attempt.get("started_at") or attempt.get("start_sent_at")):
                wrong.append(f"job {number} has begun, and no policy let it")
            if was.get("started_at") and not was["result"] and attempt.get("exit_code") is None and \
               (attempt["result"] == "failed" or "policy" in (attempt["reason"] or "")):
                wrong.append(f"job {number} is given up for want of a policy: {attempt['reason']}")
    return wrong


def preemptions(rows):
    """Who is stopped for another was of a queue that is for that, goes on later, and is the only one for that other."""
    wrong = []
    under_way = collections.Counter()
    for number, job in rows["job"].items():
        attempts = job.get("attempts", [])
        if job["result"] == "preempted":
            wrong.append(f"job {number} has the result of an attempt: preempted")
        for attempt in attempts:
            marked = attempt.get("preempted_for")
            if attempt["result"] == "preempted" and not marked:
                wrong.append(f"job {number} was preempted for nobody")
            if marked and (marked == number or attempt["preempted_queue"] == job["queue"]):
                wrong.append(f"job {number} of queue {job['queue']} was preempted for job {marked} of the same queue")
        last = attempts[-1] if attempts else {}
        if last.get("preempted_for") and job["state"] == "ended" and job["result"] == "lost":
            wrong.append(f"job {number} was preempted for job {last['preempted_for']}, and is lost")
        if last.get("preempted_for") and job["state"] in ("running", "stopping") and not last["result"]:
            under_way[last["preempted_for"]] += 1
    wrong += [f"{n} jobs are stopped for job {number}" for number, n in under_way.items() if n > 1]
    return wrong


def releases(rows):
    """A release takes from the VM that it was asked about, and from no other that was given the VF since."""
    wrong = []
    for number, row in rows["audit"].items():
        before, after = row.get("before") or {}, row["after"] or {}
        operation = rows["operation"].get(row["operation"]) or {}
        lease = ((operation.get("input") or {}).get("leases") or {}).get(row["subject"])
        if row.get("method") != "vf.release" or not lease or before.get("state") not in IN_VMS or after.get("state") != "free":
            continue
        if before["vm_uuid"] != lease["vm"]:
            wrong.append(f"{row['subject']} was taken from {before['vm']} by {row['operation']}, which is about another VM "
                         f"(row {number} of the audit trail)")
    return wrong


def quarantine(rows):
    """A VM in which one job after the other could not start takes no more."""
    wrong = []
    vms = {name.removeprefix("vm/"): row for name, row in rows["meta"].items() if name.startswith("vm/")}
    for uuid, row in vms.items():
        if row["failed_starts"] >= FAILED_STARTS and not row["quarantine"]:
            wrong.append(f"VM {uuid} is not quarantined after {row['failed_starts']} failed starts")
    for number, job in rows["job"].items():
        row = vms.get(job["vm_uuid"])
        if row and row["quarantine"] and job["state"] in ("starting", "waiting-guest", "running"):
            wrong.append(f"job {number} is {job['state']} in {job['vm_name']}, which is quarantined")
    return wrong


class LastUsers:
    """Who had each VF when one looked last, and in which cut of its card: a job's user, or all of a VM's."""

    def __init__(self):
        self.known = {}

    def forget(self, gpu, index=None):
        """Somebody had the VF, or all of the card, past the daemon."""
        for key in [key for key in self.known if key[0] == gpu and index in (None, key[1])]:
            del self.known[key]

    def look(self, machine, rows, kept=(), scrubbed=()):
        """What is wrong since then.  kept: names of GPUs whose VFs are for their last user until the next re-cut;
        scrubbed: of those where it is enough that some quota of the card was taken and given back since."""
        wrong = []
        for gpu in machine["gpus"]:
            cut, quotas = gpu["writes"]["sriov_numvfs"], gpu["writes"]["vram_quota"]
            for vf in gpu["vfs"]:
                row = rows["lease"].get(_key(gpu, vf["index"]))
                if not row or row["state"] != "attached" or row["owner"] == "none":
                    continue
                user = ("uid", row["uid"]) if row["owner"] in ("job", "kept") else ("VM", row["vm_uuid"])
                before, when, then = self.known.get((gpu["name"], vf["index"]), (user, cut, quotas))
                is_kept = quotas < then + 2 if gpu["name"] in scrubbed else gpu["name"] in kept
                # By hand, past the daemon, is nobody's rule; and a user may give what he had to a VM.
                may = row["owner"] == "foreign" or before == ("uid", row["uid"])
                if is_kept and when == cut and before != user and not may:
                    wrong.append(f"{gpu['name']}/vf{vf['index']} went from {before[0]} {before[1]} to {user[0]} {user[1]} "
                                 "without a re-cut")
                self.known[gpu["name"], vf["index"]] = (user, cut, quotas)
        return wrong


def _key(gpu, index):
    return f"{gpu['address']}/{index}"


def _holders(machine):
    """VF's address → (VM, hostdev) of those that have it now."""
    return {h["address"]: (vm, h) for vm in machine["vms"] for h in vm["hostdevs"] if h["live"]}


def _vf(gpu, vf, row, holder, numbers):
    """One VF: the row about it, and who has it."""
    name = f"{gpu['name']}/vf{vf['index']}"
    state = row["state"] if row else "free"
    wrong = []
    if holder:
        vm, hostdev = holder
        ours = ALIAS.match(hostdev["alias"] or "")
        if state not in ("attached", "detaching", "quarantined"):
            wrong.append(f"{name} is in {vm['name']}, its lease says {state}")
        elif state != "quarantined" and row["vm_uuid"] != vm["uuid"]:
            wrong.append(f"{name} is in {vm['name']}, its lease names {row['vm_name']}")
        elif state != "quarantined" and ours and row["owner"] in ("vm", "job") and (
                int(ours[1]) != numbers.get(gpu["address"], int(ours[1])) or int(ours[2]) != vf["index"] or
                int(ours[3]) != row["epoch"]):
            wrong.append(f"{name}: libvirt has {hostdev['alias']}, the lease has epoch {row['epoch']}")
    elif state == "attached":
        wrong.append(f"{name} is attached by its lease ({row['owner']}, {row['vm_name']}), no VM has it")
    if state == "free":
        if vf["index"] in gpu["not_reset"]:
            wrong.append(f"{name} is free and was not reset after its last VM")
        if row and row["owner"] != "none":
            wrong.append(f"{name} is free and belongs to {row['owner']}")
    return wrong


def in_guests(before, rows, after):
    """What was plugged in by us is by its lease where it is, at every moment; the rows are of a time between the two looks.
    What stands in a definition, too, may be of a lease that is over."""
    wrong = []
    there = [{(vm["name"], h["address"], h["alias"]) for vm in machine["vms"] for h in vm["hostdevs"]
              if h["live"] and not h["config"] and ALIAS.match(h["alias"] or "")} for machine in (before, after)]
    vfs = {vf["address"]: (_key(gpu, vf["index"]), f"{gpu['name']}/vf{vf['index']}")
           for gpu in after["gpus"] for vf in gpu["vfs"]}
    for vm, address, alias in there[0] & there[1]:
        key, name = vfs.get(address, (None, None))
        row = rows["lease"].get(key) or {"state": "free", "epoch": 0}
        good = row["state"] == "quarantined" or row["state"] in IN_GUESTS and row["epoch"] == int(ALIAS.match(alias)[3])
        if name and not good:
            wrong.append(f"{name} is in {vm} as {alias}, its lease is {row['state']} with epoch {row['epoch']}")
    return wrong


def _waits(key, row, machine, numbers):
    """A VF that is not there has a lease as long as its VM's definition names it, or is to."""
    address, _, index = key.rpartition("/")
    alias = f"ua-gpuvf-{numbers.get(address)}-{index}-e{row['epoch']}"
    return row["owner"] == "vm" and (row.get("instead") or any(
        h["config"] and h["alias"] == alias for vm in machine["vms"] if vm["uuid"] == row["vm_uuid"] for h in vm["hostdevs"]))


def _named(machine, address):
    """(VM, hostdev) of the definitions that name it."""
    return [(vm, h) for vm in machine["vms"] if vm["state"] != "gone"
            for h in vm["hostdevs"] if h["config"] and h["address"] == address]


def _whose(name, vf, row, named, rows):
    """A free VF is named by no definition, but of one that is to follow its own VF elsewhere; a lease that waits for its VF
    is of a VM whose definition names it, while another has it."""
    wrong = []
    alive = {row["epoch"] for row in rows["lease"].values() if row["owner"] != "none"}
    to_go = {row["instead"] for row in rows["lease"].values() if row.get("instead")}
    if not row or row["state"] == "free":
        for vm, h in named:
            ours = ALIAS.match(h["alias"] or "")
            if h["alias"] not in to_go and not (ours and int(ours[3]) in alive):
                wrong.append(f"{name} is free, and the definition of {vm['name']} names it as {h['alias']}")
    waits = row and row.get("displaced")
    if waits and row["owner"] == "vm":
        wrong.append(f"{name} is VM {row['vm_name']}'s, and a lease of VM {waits['vm_name']} waits for it")
    if waits and not any(vm["uuid"] == waits["vm_uuid"] and (h["alias"] or "").endswith(f"-{vf['index']}-e{waits['epoch']}")
                         for vm, h in named):
        wrong.append(f"a lease of VM {waits['vm_name']} waits for {name}, and its definition does not name it")
    return wrong


def definitions(machine, rows):
    """No definition names, under an alias of a lease, a VF that is another than the lease's.  What names one that is over
    was defined by somebody else's hand; one that is to go stays while its VM has a managed-save image."""
    wrong = []
    to_go = {row["instead"] for row in rows["lease"].values() if row.get("instead")}
    epochs = {row["epoch"] for row in rows["lease"].values() if row["owner"] != "none"}
    cards = {row["address"]: row["number"] for row in rows["gpu"].values()}
    vfs = {vf["address"]: (cards.get(gpu["address"]), vf["index"]) for gpu in machine["gpus"] for vf in gpu["vfs"]}
    for vm in machine["vms"]:
        for h in () if vm["state"] == "gone" else vm["hostdevs"]:
            named = ALIAS.match(h["alias"] or "")
            there = named and h["config"] and int(named[3]) in epochs
            means = (int(named[1]), int(named[2])) if there else None
            if vm.get("saved") and h["alias"] in to_go:
                continue
            if means and h["address"] in vfs and vfs[h["address"]] != means:
                wrong.append(f"the definition of {vm['name']} names {h['address']}, gpu{vfs[h['address']][0]}/vf"
                             f"{vfs[h['address']][1]}, as {h['alias']}")
    return wrong


def leases(machine, rows):
    """Kernel, libvirt and store say the same of every VF, and nothing is half handed over.  What is known of a card that
    is away waits for it to come back."""
    wrong = []
    holders = _holders(machine)
    numbers = {row["address"]: row["number"] for row in rows["gpu"].values()}
    present = {gpu["address"] for gpu in machine["gpus"] if gpu["present"]}
    there = set()
    for gpu in machine["gpus"]:
        for vf in gpu["vfs"]:
            row = rows["lease"].get(_key(gpu, vf["index"]))
            there.add(_key(gpu, vf["index"]))
            wrong += _vf(gpu, vf, row, holders.get(vf["address"]), numbers)
            wrong += _whose(f"{gpu['name']}/vf{vf['index']}", vf, row, _named(machine, vf["address"]), rows)
            if row and row["state"] in MOVING and row["owner"] != "job":
                wrong.append(f"{gpu['name']}/vf{vf['index']} stays {row['state']} ({row['owner']})")
    for key, row in rows["lease"].items():
        if row["owner"] == "job" and key in there:
            wrong += _lease_of_job(key, row, rows["job"])
        if key not in there and row["owner"] in ("vm", "job") and key.rpartition("/")[0] in present and \
                not _waits(key, row, machine, numbers):
            wrong.append(f"lease of {key} ({row['state']}, {row['owner']}): there is no such VF")
    return wrong


def sides(machine, rows):
    """A lease is on the sides where libvirt shows its VF, and a definition names no VF that is not its VM's.  Holds where
    nobody else writes definitions: libvirt tells nobody of that."""
    wrong = []
    for gpu in machine["gpus"]:
        for vf in gpu["vfs"]:
            name, row = f"{gpu['name']}/vf{vf['index']}", rows["lease"].get(_key(gpu, vf["index"])) or {"state": "free"}
            named = {vm["uuid"]: h for vm in machine["vms"] for h in vm["hostdevs"]
                     if h["config"] and h["address"] == vf["address"]}
            if row["state"] not in ("free", "attached", "reserved"):
                continue
            config = row["state"] != "free" and (row["state"] == "reserved" or row.get("config"))
            wanted = [row["vm_uuid"]] if config else []
            if sorted(named) != wanted:
                wrong.append(f"{name} is {row['state']}, and to be in the definitions of {wanted}; it is in {sorted(named)}")
            ours = [ALIAS.match(h["alias"] or "") for h in named.values()]
            wrong += [f"{name}: a definition has {alias[0]}, the lease has epoch {row['epoch']}" for alias in ours
                      if config and alias and int(alias[3]) != row["epoch"]]
    return wrong


def _lease_of_job(key, row, all_jobs):
    job = all_jobs.get(str(row["job"]))
    if job is None:
        return [f"lease of {key} is for job {row['job']}, which is not there"]
    if job["state"] not in BEGUN:
        return [f"lease of {key} is for job {row['job']}, which is {job['state']}"]
    return []


def _memory(name, shown, asked, of_card):
    """asked: as a layout is stored, "1GiB" or "12.50%"."""
    if shown is None or asked is None:
        return []
    if asked.endswith("%"):
        share = float(asked[:-1]) / 100 * of_card
        good = share * (1 - PF_KEEPS) <= shown <= share
    else:
        good = shown == float(asked.removesuffix("GiB")) * (1 << 30)
    return [] if good else [f"{name} has {shown} bytes of VRAM, wanted are {asked}"]


def half_cut(rows):
    """Address → why it is not whole, of the cards of which that is told."""
    return {row["address"]: row["half_cut"]["reason"] for row in rows["gpu"].values()
            if row.get("half_cut") and row["half_cut"]["reason"]}


def layouts(machine, rows, disturbed):
    """What nobody else touched is cut as it was last wanted, whole, or it is told with a reason that it is not.
    disturbed: names of GPUs."""
    told = half_cut(rows)
    return differing(machine, rows, set(disturbed) | {gpu["name"] for gpu in machine["gpus"] if gpu["address"] in told})


def differing(machine, rows, but):
    """What is cut in another way than it was last wanted.  but: names of GPUs of which that does not count."""
    wrong = []
    wanted = {row["address"]: row["manual"] for row in rows["gpu"].values()}
    for gpu in machine["gpus"]:
        manual = wanted.get(gpu["address"])
        if gpu["name"] in but or not gpu["present"]:
            continue
        slices = manual["vfs"] if manual else []
        if gpu["num_vfs"] != len(slices):
            wrong.append(f"{gpu['name']} has {gpu['num_vfs']} VFs, wanted are {len(slices)}")
            continue
        for vf, one in zip(gpu["vfs"], slices):
            whose = f"{gpu['name']}/vf{vf['index']}"
            lease = rows["lease"].get(f"{gpu['address']}/{vf['index']}") or {}
            if lease.get("state") != "quarantined" or lease.get("vram_taken") is None:  # else it is owed, and told
                wrong += _memory(whose, vf["values"].get("vram_quota"), one.get("vram"), gpu["vram_bytes"])
            for name in ASKED:
                shown = vf["values"].get(name)
                if one.get(name) is not None and shown is not None and shown != one[name]:
                    wrong.append(f"{gpu['name']}/vf{vf['index']} has {name} {shown}, wanted is {one[name]}")
    return wrong


def operations(rows):
    return [f"{name} ({row['method']} {row['subject']}) stays {row['state']}"
            for name, row in rows["operation"].items() if row["state"] in ("accepted", "running")]


def vfs_of_jobs(rows, taken=()):
    """A job that runs has its VF in its VM.  taken: names of VMs where somebody took one by hand."""
    wrong = []
    addresses = {name: row["address"] for name, row in rows["gpu"].items()}
    for number, job in rows["job"].items():
        if job["state"] != "running" or not job["vf_name"] or job["vm_name"] in taken:
            continue
        gpu, _, index = job["vf_name"].partition("/vf")
        row = rows["lease"].get(f"{addresses.get(gpu)}/{index}", {})
        its = job["vf_assigned"] or (row.get("owner") == "job" and str(row["job"]) == number)
        if row.get("state") != "attached" or row["vm_uuid"] != job["vm_uuid"] or not its:
            wrong.append(f"job {number} runs in {job['vm_name']} without {job['vf_name']}, "
                         f"which is {row.get('state')} ({row.get('owner')})")
    return wrong


def _changes(rows):
    """Subject → changes of it in the trail, in their turn; what became of an operation is none."""
    changes = collections.defaultdict(list)
    for _, row in sorted(rows["audit"].items()):
        after = row["after"] or {}
        is_operation = after.get("state") in OPERATION_STATES and "attempt" not in after
        if row["outcome"] == "changed" and "state" in after and not is_operation:
            changes[row["subject"]].append(row)
    return changes


def trail(rows):
    """The last change of an object in the audit trail made it what it is by its row."""
    wrong = []
    changes = _changes(rows)
    names = {row["address"]: name for name, row in rows["gpu"].items()}
    for key, row in rows["lease"].items():
        address, _, index = key.rpartition("/")
        name = f"{names.get(address)}/vf{index}"
        told = changes[name]
        after = told[-1]["after"] if told else {"state": "free"}
        state = row["state"] if row["owner"] != "none" or row["state"] in RESTS_OF_VF else "free"
        # One that nobody had yet comes with the layout of its GPU, also where another was that has gone.
        if state == "free" and row["epoch"] == 0 and after["state"] == "gone":
            continue
        if state in RESTS_OF_VF and (after["state"] != state or
                                     (row["owner"] != "none" and after.get("epoch") != row["epoch"])):
            wrong.append(f"{name} is {state} (epoch {row['epoch']}), and the audit trail ends with {after}")
    for number, job in rows["job"].items():
        after = changes[number][-1]["after"] if changes[number] else {}
        told, is_so = (after.get("state"), after.get("result", "none")), (job["state"], job["result"])
        if job["state"] in RESTS_OF_JOB and told != is_so:
            wrong.append(f"job {number} is {job['state']} ({job['result']}), and the audit trail ends with {after}")
    for name, gpu in rows["gpu"].items():
        asked = gpu["manual"] and len(gpu["manual"]["vfs"])
        layout = changes[name][-1]["after"].get("manual_layout") if changes[name] else None
        told = sum(one["count"] for one in layout) if layout is not None else None
        if asked != told:
            wrong.append(f"{name} is to have {asked} VFs, and the audit trail ends with {told}")
    return wrong


def resets(log):
    """What a card's log of resets comes to: (VFs that went from one VM to another without one in between, numbers of
    those that have had none since their last VM).  log: lines "new", "vfN host PROCESS", "vfN vm NAME"."""
    without, last = [], {}
    for line in log:
        words = line.split()
        if words == ["new"]:
            last.clear()
        elif len(words) >= 3 and words[0].startswith("vf"):
            vf, now = int(words[0][2:]), words[2] if words[1] == "vm" else None
            if now and last.get(vf, now) not in (None, now):
                without.append(f"vf{vf} from {last[vf]} to {now}")
            last[vf] = now
    return without, sorted(vf for vf, who in last.items() if who)


def calm(machine, rows, submissions, ledger, disturbed=()):
    """What is wrong once nothing is under way."""
    wrong = jobs(rows, submissions, ledger) + leases(machine, rows) + operations(rows) + quarantine(rows) + \
        preemptions(rows)
    wrong += releases(rows) + definitions(machine, rows) + sessions(rows, time.clock_gettime(time.CLOCK_BOOTTIME))
    wrong += layouts(machine, rows, disturbed) + trail(rows)
    wrong += [f"{gpu['name']}: the device lock is held" for gpu in machine["gpus"] if gpu["locked"]]
    return wrong


def final(machine, rows):
    """What is wrong when all was given back and every job has had its time."""
    wrong = [f"job {number} ({job['document'].get('name')}) never ends: {job['state']}, {job['reason']}"
             for number, job in rows["job"].items() if job["state"] != "ended"]
    # A definition may name a VF that somebody else took off the card: gpuvf tells of it, and nobody holds it.
    there = {vf["address"] for gpu in machine["gpus"] for vf in gpu["vfs"]}
    wrong += [f"{vm['name']} still has {h['address']}" for vm in machine["vms"] for h in vm["hostdevs"]
              if h["live"] or h["address"] in there]
    wrong += [f"lease of {key} is left: {row['state']} ({row['owner']})"
              for key, row in rows["lease"].items() if row["owner"] != "none"]
    wrong += [f"the card at {address} is half cut still: {why}" for address, why in half_cut(rows).items()]
    return wrong


def size_of(folder):
    return sum(os.stat(path).st_size for path in pathlib.Path(folder).glob("state.db*"))
