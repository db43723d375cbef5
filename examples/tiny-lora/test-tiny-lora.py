#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of examples/tiny-lora, from outside: TAP on stdout.

Run by `make check`; abs_top_builddir and abs_top_srcdir say where things are.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("abs_top_builddir", os.path.join(HERE, "..", ".."))
PROGRAM = os.environ.get("TINY_LORA", os.path.join(BUILD, "examples/tiny-lora/tiny-lora"))
BASE = os.path.join(HERE, "base.bin")
SIDEWAYS = os.path.join(HERE, "data/sideways.txt")
UPRIGHT = os.path.join(HERE, "data/upright.txt")
DEADLINE = 600  # seconds for one command: a sanitizer build needs 3
LONG = ("--steps", "20000")  # long enough to be stopped in the middle, under 2 s in all


def run(*args, env=None, cwd=None):
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GPUVF_")}
    environ.update(env or {})
    return subprocess.run([PROGRAM, *args], env=environ, cwd=cwd, timeout=DEADLINE,
                          capture_output=True, text=True, check=False)


def finetune(out, *more, base=BASE, data=SIDEWAYS, env=None):
    return run("finetune", "--base", base, "--data", data, "--out", out, *more, env=env)


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
    return path


def test_learns(folder):
    """loss falls, the adapter beats the frozen base by 40 points, the base stays as it was"""
    before = read(BASE)
    done = finetune(f"{folder}/out")
    assert done.returncode == 0, done.stderr
    records = lines(done)
    steps = [r for r in records if "step" in r]
    assert [r["step"] for r in steps] == list(range(5, 201, 5)), steps
    assert all(r["total"] == 200 for r in steps)
    first = sum(r["loss"] for r in steps[:8]) / 8
    last = sum(r["loss"] for r in steps[-8:]) / 8
    assert last < first / 4, (first, last)
    final = records[-1]
    assert final["held_out"] == 200 and final["base_unchanged"] is True, final
    assert final["accuracy"] >= 0.75 and final["accuracy"] >= final["base_accuracy"] + 0.4, final
    assert read(BASE) == before


def test_ranks(folder):
    """a higher rank has more values to train and is better on the held-out images"""
    found = {}
    for rank in ("1", "16"):
        records = lines(finetune(f"{folder}/r{rank}", "--rank", rank, "--steps", "600"))
        found[rank] = (records[0]["trainable"], records[-1]["accuracy"])
    assert found["16"][0] == 16 * found["1"][0] == 16 * (64 + 48 + 48 + 48), found
    assert found["16"][1] > found["1"][1], found


def test_adapter_files(folder):
    """what is written can be used: eval with the adapter says the same accuracy"""
    final = lines(finetune(f"{folder}/out"))[-1]
    common = ("eval", "--base", BASE, "--data", SIDEWAYS)
    alone = lines(run(*common))[0]
    adapted = lines(run(*common, "--adapter", f"{folder}/out/adapter.bin"))[0]
    assert alone["accuracy"] == final["base_accuracy"], (alone, final)
    assert adapted["accuracy"] == final["accuracy"], (adapted, final)
    with open(f"{folder}/out/config.json", encoding="utf-8") as file:
        config = json.load(file)
    assert config["r"] == 8 and config["lora_alpha"] == 16 and config["steps"] == 200, config
    assert sorted(os.listdir(f"{folder}/out")) == ["adapter.bin", "config.json"]


def test_reproducible(folder):
    """the same seed gives the same bits, another seed others"""
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert finetune(f"{folder}/{name}", "--seed", seed).returncode == 0
    one, two, other = (read(f"{folder}/{n}/adapter.bin") for n in "abc")
    assert one == two and one != other


def test_base_reproducible(folder):
    """pretrain makes the shipped base, bit for bit"""
    done = run("pretrain", "--data", UPRIGHT, "--out", f"{folder}/base.bin", "--steps", "600",
               "--lr", "0.003", "--seed", "1")
    assert done.returncode == 0, done.stderr
    assert lines(done)[-1]["accuracy"] > 0.85, lines(done)[-1]
    assert read(f"{folder}/base.bin") == read(BASE)


def test_progress_file(folder):
    """GPUVF_PROGRESS_FILE gets the lines of stdout, behind what it has"""
    write(f"{folder}/progress", b'{"step":1}\n')
    done = finetune(f"{folder}/out", env={"GPUVF_PROGRESS_FILE": f"{folder}/progress"})
    assert done.returncode == 0, done.stderr
    assert read(f"{folder}/progress").decode() == '{"step":1}\n' + done.stdout


def start_and_stop(folder, env):
    """Sends SIGTERM once a run has shown progress; returns status, last line, stderr."""
    with subprocess.Popen([PROGRAM, "finetune", "--base", BASE, "--data", SIDEWAYS, "--out",
                           f"{folder}/stopped", *LONG], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for seen, line in enumerate(process.stdout):
            if seen == 2:
                process.send_signal(signal.SIGTERM)
        return process.wait(DEADLINE), json.loads(line), process.stderr.read()


def stop_in_the_middle(folder, checkpoint=True):
    """As start_and_stop; on a busy machine the run may be over before the signal is sent."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GPUVF_")}
    if checkpoint:
        env["GPUVF_CHECKPOINT_DIR"] = f"{folder}/checkpoint"
        os.makedirs(f"{folder}/checkpoint", exist_ok=True)
    for _ in range(5):
        status, line, stderr = start_and_stop(folder, env)
        if status != 0:
            break
        shutil.rmtree(f"{folder}/stopped")
    assert status == 143, (status, stderr)
    return line, stderr


def test_resume_is_exact(folder):
    """stopped by SIGTERM and resumed: the same bits and losses as in one go"""
    last, _ = stop_in_the_middle(folder)
    assert last["event"] == "checkpoint" and 0 < last["step"] < 20000, last
    assert os.listdir(f"{folder}/checkpoint") == ["checkpoint.bin"]
    assert not os.path.exists(f"{folder}/stopped/adapter.bin")
    resume = {"GPUVF_RESUME": "1", "GPUVF_CHECKPOINT_DIR": f"{folder}/checkpoint"}
    done = finetune(f"{folder}/stopped", *LONG, env=resume)
    assert done.returncode == 0, done.stderr
    resumed = lines(done)
    assert resumed[0]["from_step"] == last["step"], resumed[0]
    whole = lines(finetune(f"{folder}/whole", *LONG))
    assert read(f"{folder}/stopped/adapter.bin") == read(f"{folder}/whole/adapter.bin")
    tail = [r for r in whole if r.get("step", 0) > last["step"]]
    assert [r for r in resumed if "step" in r] == tail, "the losses after the resume differ"
    assert resumed[-1] == whole[-1], (resumed[-1], whole[-1])


def test_stop_without_folder(folder):
    """SIGTERM without a checkpoint folder: 143 and a word that nothing was kept"""
    last, stderr = stop_in_the_middle(folder, checkpoint=False)
    assert "step" in last and "nothing kept" in stderr, (last, stderr)
    assert os.listdir(f"{folder}/stopped") == []


def refused(done, *words):
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr, (word, done.stderr)
    assert done.stdout == "", done.stdout


def test_bad_arguments(folder):
    """bad arguments are refused by name"""
    out = f"{folder}/out"
    cases = [
        (("--rank", "0"), "from 1 to 48"), (("--rank", "49"), "from 1 to 48"),
        (("--rank", "-1"), "whole number"), (("--rank", "8x"), "whole number"),
        (("--rank", ""), "whole number"), (("--steps", "0"), "whole number"),
        (("--steps", "99999999999999999999999"), "whole number"), (("--batch", "0"), "--batch"),
        (("--lr", "nan"), "--lr"), (("--lr", "-1"), "--lr"), (("--alpha", "inf"), "--alpha"),
        (("--rank",), "its value is missing"), (("--ranks", "8"), "no such option"),
    ]
    for more, message in cases:
        refused(finetune(out, *more), more[0], message)
    refused(run("train"), "no such command")
    refused(run(), "usage")
    refused(run("finetune", "--base", BASE), "--base, --data and --out")
    refused(run("eval", "--base", BASE), "--base and --data")
    refused(finetune(f"{folder}/no/such/folder"), "--out")
    refused(finetune(""), "--out", "path")


def test_bad_base(folder):
    """a base that is missing, damaged, cut, of another kind is refused"""
    good, out, bad = read(BASE), f"{folder}/out", f"{folder}/bad"
    refused(finetune(out, base=f"{folder}/none"), "none", "base")
    refused(finetune(out, base=write(bad, good[:100] + b"\xff" + good[101:])), "damaged")
    refused(finetune(out, base=write(bad, good[:-20])), "damaged")
    refused(finetune(out, base=write(bad, b"")), "no base")
    refused(finetune(out, base=SIDEWAYS), "no base")
    refused(finetune(out, base=write(bad, b"x" * (5 << 20))), "larger")
    refused(finetune(out, base=folder), "cannot read")


def fnv(content):
    value = 0xCBF29CE484222325
    for byte in content:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value.to_bytes(8, "little")


def sealed(content):
    return content + fnv(content)


def test_wrong_base(folder):
    """a whole base of other sizes, too short, too long or not finite is refused"""
    body, out, bad = read(BASE)[:-8], f"{folder}/out", f"{folder}/bad"
    wide = body[:12] + (49).to_bytes(4, "little") + body[16:]
    refused(finetune(out, base=write(bad, sealed(wide))), "layer 1", "49", "48")
    refused(finetune(out, base=write(bad, sealed(body[:-4]))), "shorter")
    refused(finetune(out, base=write(bad, sealed(body + b"1234"))), "left over")
    nan = body[:24] + b"\x00\x00\xc0\x7f" + body[28:]
    refused(finetune(out, base=write(bad, sealed(nan))), "no number")


def test_bad_data(folder):
    """data that is missing or wrong is refused with its line"""
    out, bad = f"{folder}/out", f"{folder}/bad"
    good = read(SIDEWAYS).splitlines(keepends=True)
    row = good[10]
    refused(finetune(out, data=f"{folder}/none"), "data file")
    cases = [
        (b"digits rows 800\n", ":1:"), (b"digits rows 800 train 800\n", ":1:"),
        (b"digits rows 800 train 0\n", ":1:"), (b"digits rows 99999 train 5\n", ":1:"), (b"", ":1:"),
        (b"digits rows 3 train 1\n" + row * 2, "2 rows instead of the 3"),
        (b"digits rows 2 train 1\n" + row * 3, ":4: more rows than the 2"),
        (b"digits rows 2 train 1\n" + row + b"h" + row[1:], ":3: a row is"),
        (b"digits rows 2 train 1\n" + row + row[:-2] + b"x\n", ":3: a row is"),
        (b"digits rows 2 train 1\n" + row + row[:30] + b"\n", ":3: a row is"),
        (b"digits rows 2 train 1\n" + row + b"\0" + row, "NUL"),
    ]
    for content, message in cases:
        refused(finetune(out, data=write(bad, content)), bad, message)


def test_bad_checkpoint(folder):
    """a checkpoint that is missing, damaged or of another run is refused"""
    stop_in_the_middle(folder)
    resume = {"GPUVF_RESUME": "1", "GPUVF_CHECKPOINT_DIR": f"{folder}/checkpoint"}
    out, path = f"{folder}/out", f"{folder}/checkpoint/checkpoint.bin"
    good = read(path)
    refused(finetune(out, *LONG, "--rank", "4", env=resume), "--rank 8")
    refused(finetune(out, *LONG, "--seed", "4", env=resume), "--seed 1")
    refused(finetune(out, "--steps", "30000", env=resume), "--steps 20000")
    refused(finetune(out, *LONG, "--lr", "0.02", env=resume), "--lr 0.01")
    refused(finetune(out, *LONG, data=UPRIGHT, env=resume), "another --data")
    assert run("pretrain", "--data", UPRIGHT, "--out", f"{folder}/base.bin", "--steps",
               "5").returncode == 0
    refused(finetune(out, *LONG, base=f"{folder}/base.bin", env=resume), "another --base")
    write(path, good[:-30])
    refused(finetune(out, *LONG, env=resume), "damaged")
    write(path, sealed(good[:-8 - 400]))
    refused(finetune(out, *LONG, env=resume), "shorter")
    os.unlink(path)
    refused(finetune(out, *LONG, env=resume), "cannot read the checkpoint")
    refused(finetune(out, *LONG, env={"GPUVF_RESUME": "1"}), "GPUVF_CHECKPOINT_DIR")
    assert not os.path.exists(f"{out}/adapter.bin")


def test_foreign_adapter(folder):
    """eval refuses an adapter of another base, and a base in its place"""
    run("pretrain", "--data", UPRIGHT, "--out", f"{folder}/base.bin", "--steps", "5")
    assert finetune(f"{folder}/out").returncode == 0
    common = ("eval", "--data", SIDEWAYS, "--base")
    adapter = f"{folder}/out/adapter.bin"
    refused(run(*common, f"{folder}/base.bin", "--adapter", adapter), "another base")
    refused(run(*common, BASE, "--adapter", BASE), "no adapter")


def test_full_disk(folder):
    """no room for progress or a checkpoint: exit 1, and no half file"""
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([PROGRAM, "finetune", "--base", BASE, "--data", SIDEWAYS, "--out",
                               f"{folder}/out"], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE, check=False)
    assert done.returncode == 1 and "cannot write progress" in done.stderr, done
    os.makedirs(f"{folder}/taken/adapter.bin")
    done = finetune(f"{folder}/taken")
    assert done.returncode == 1 and "adapter.bin: cannot write" in done.stderr, done
    assert os.listdir(f"{folder}/taken") == ["adapter.bin"]


def test_job_folder(folder):
    """the job document runs as it is in its folder"""
    job_folder = os.path.join(BUILD, "examples/tiny-lora/job")
    with open(os.path.join(job_folder, "job.json"), encoding="utf-8") as file:
        job = json.load(file)
    for entry in job["files"]:
        shutil.copy(os.path.join(job_folder, entry["from"]), os.path.join(folder, entry["to"]))
    done = subprocess.run(job["command"], cwd=folder, capture_output=True, text=True,
                          timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert lines(done)[-1]["event"] == "done"
    assert job["outputs"] == ["adapter/**"] and os.listdir(f"{folder}/adapter")


def main():
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    failed = 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(folder)
                verdict = "ok"
            except Exception:  # pylint: disable=broad-except
                verdict = "not ok"
                failed += 1
                print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
        print(f"{verdict} {number} - {test.__doc__}", flush=True)
    sys.exit(failed > 0)


main()
