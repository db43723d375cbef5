#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Schema and loader accept and refuse the same documents.

Over the corpus in tests/data, the shipped policies, and every good document with one member changed.
What no schema can say (references, ranges of sizes and times, repeated members) lies in
bad-references/: there the schema accepts and the loader refuses.  TAP on stdout.
"""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("abs_top_srcdir", "."))
BUILD = pathlib.Path(os.environ.get("abs_top_builddir", "."))
CHECK = BUILD / "tests/support/check-document"

# Refusals of the loader that a schema cannot express.
BEYOND_SCHEMA = re.compile(
    r"no (profile|layout|queue) \"|cannot preempt itself|which is not lower|is written at|is the default already|whole milliseconds"
    r"|is longer than|must be at (least|most)|adds up to|is the path of|give either content or upload"
    r"|largest size|longest time")

# Each takes the place of a member; 7 and -1 are in no range by accident.
REPLACEMENTS = [None, True, False, 0, 1, -1, 7, 2.5, "", "x", "a b", "4GiB", "20ms", "/", "..", [],
                ["x"], [1], {}, {"x": 1}]

number = 0
failures = 0


def report(fine, what, details=()):
    global number, failures
    number += 1
    failures += not fine
    print(f"{'ok' if fine else 'not ok'} {number} - {what}")
    for line in details:
        print(f"#   {line}")


def loader(kind, paths):
    """path -> reason of the refusal, or None when it accepts."""
    verdicts = {}
    answer = subprocess.run([CHECK, kind, *paths], stdout=subprocess.PIPE, check=True, text=True)
    for line in answer.stdout.splitlines():
        verdict, rest = line.split(" ", 1)
        if verdict == "accept":
            verdicts[rest] = None
        elif verdict == "refuse":
            path, why = rest.split(": ", 1)
            verdicts[path] = why
    if len(verdicts) != len(set(map(str, paths))):
        raise RuntimeError(f"{len(verdicts)} verdicts for {len(paths)} files")
    return verdicts


def files(folder):
    return sorted(str(path) for path in folder.glob("*.json"))


def check_corpus(kind, schema, folder):
    for name, schema_accepts, loader_accepts in (
            ("good", True, True), ("bad", False, False), ("bad-references", True, False)):
        paths = files(folder / name)
        verdicts = loader(kind, paths)
        wrong = []
        for path in paths:
            document = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
            errors = list(schema.iter_errors(document))
            if (not errors) != schema_accepts:
                wrong.append(f"{path}: schema {'refuses: ' + errors[0].message if errors else 'accepts'}")
            if (verdicts[path] is None) != loader_accepts:
                wrong.append(f"{path}: loader {verdicts[path] or 'accepts'}")
        report(paths and not wrong, f"{kind}: {len(paths)} documents in {name}/", wrong)


def variants(value):
    """Every document that differs in one place: a member gone, added, or another value."""
    if isinstance(value, dict):
        yield {**value, "no_such_member": 1}
        for key in value:
            if key in ("description", "$schema"):
                continue
            yield {k: v for k, v in value.items() if k != key}
            for other in variants(value[key]):
                yield {**value, key: other}
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield value[:i] + value[i + 1:]
            for other in variants(item):
                yield value[:i] + [other] + value[i + 1:]
    for other in REPLACEMENTS:
        yield copy.deepcopy(other)


def check_variants(kind, schema, folder):
    seen = set()
    wrong = []
    with tempfile.TemporaryDirectory(prefix="gpuvf-schema-") as scratch:
        documents = {}
        for path in files(folder / "good"):
            for document in variants(json.loads(pathlib.Path(path).read_text(encoding="utf-8"))):
                text = json.dumps(document)
                if text in seen:
                    continue
                seen.add(text)
                name = f"{scratch}/{len(seen)}.json"
                pathlib.Path(name).write_text(text, encoding="utf-8")
                documents[name] = document
        verdicts = {}
        names = list(documents)
        for start in range(0, len(names), 1000):
            verdicts.update(loader(kind, names[start:start + 1000]))
    for name, document in documents.items():
        refused, why = not schema.is_valid(document), verdicts[name]
        if refused and why is None:
            wrong.append(f"only the schema refuses {json.dumps(document)}")
        elif not refused and why and not BEYOND_SCHEMA.search(why):
            wrong.append(f"only the loader refuses ({why}) {json.dumps(document)}")
    report(documents and not wrong, f"{kind}: {len(documents)} variants of the good documents",
           wrong[:20])


def check_shipped(schema):
    paths = [str(SOURCE / "policies/default.json"), *files(SOURCE / "policies/examples")]
    verdicts = loader("policy", paths)
    wrong = [f"{path}: {why}" for path, why in verdicts.items() if why]
    for path in paths:
        document = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        wrong += [f"{path}: {error.message}" for error in schema.iter_errors(document)]
    report(not wrong, f"policy: {len(paths)} shipped policies", wrong)


def main():
    try:
        import jsonschema
        validator = jsonschema.Draft202012Validator
    except (ImportError, AttributeError):
        print("1..0 # SKIP python3-jsonschema 4.0 or later is not installed")
        return 0

    schemas = {}
    for kind in ("policy", "job"):
        document = json.loads((SOURCE / f"policies/schema/{kind}.schema.json").read_text("utf-8"))
        validator.check_schema(document)
        schemas[kind] = validator(document)

    check_corpus("policy", schemas["policy"], SOURCE / "tests/data/policies")
    check_corpus("job", schemas["job"], SOURCE / "tests/data/jobs")
    check_variants("policy", schemas["policy"], SOURCE / "tests/data/policies")
    check_variants("job", schemas["job"], SOURCE / "tests/data/jobs")
    check_shipped(schemas["policy"])
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
