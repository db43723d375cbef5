#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents name what there is: the tests of docs/RECOVERY.md, and the daemon's words in the audit trail.

Each row of RECOVERY.md names the tests that show it, as FILE (FUNCTION, …); a function must be defined in that file,
and be run by it.  That this notices anything is tested with a document that is spoilt, one name at a time.  TAP on stdout.
"""

import functools
import os
import pathlib
import re

SOURCE = pathlib.Path(os.environ.get("abs_top_srcdir", "."))
FOLDERS = ("tests/unit", "tests/integration", "tests/testbed/scenarios")
FILE = r"(?<![\w/.-])(?:test-[a-z0-9-]+\.(?:py|c)|[a-z-]+\.sh)"
NAMED = re.compile(rf"({FILE})(?:\s\(([^)]*)\))?")
ITEM = rf"(?:{FILE}(?: \([^)]*\))?(?:: [^;|]+)?|`make chaos` [^;|]+)"
CELL = re.compile(rf"{ITEM}(?:[;,] {ITEM})*")

number = 0


def report(what, details):
    global number
    number += 1
    print(f"{'not ok' if details else 'ok'} {number} - {what}")
    for line in details:
        print(f"#   {line}")


@functools.lru_cache(maxsize=None)
def tests_of(name):
    """The functions that a file defines and runs; None where there is no such file."""
    source = next((path.read_text() for path in (SOURCE / folder / name for folder in FOLDERS) if path.exists()), None)
    if source is None:
        return None
    if name.endswith(".py"):
        return set(re.findall(r"^@test\ndef (\w+)\(", source, re.M))
    defined = set(re.findall(r"^static void (\w+)\(void \*\*state\)", source, re.M))
    return defined & set(re.findall(r"^\t+(?:[A-Z_]+|cmocka_unit_test\w*)\((\w+)", source, re.M))


def is_run(tests, function, whole):
    names = (function, f"test_{function}")
    return any(test in names or (not whole and test.startswith(names)) for test in tests)


def names_in(text):
    """(file, function, whether the name is whole); the function is None where the file alone is named."""
    for file, functions in NAMED.findall(text):
        if not functions:
            yield file, None, True
            continue
        for function in (part.strip() for part in re.sub(r":[^,]*", "", functions).split(",")):
            if function != "…":
                yield file, function.rstrip("…"), not function.endswith("…")


def problems(text):
    """What the document names and the tree does not have, and rows that name nothing."""
    found = []
    for file, function, whole in names_in(text):
        tests = tests_of(file)
        if tests is None:
            found.append(f"there is no test {file}")
        elif function and not re.fullmatch(r"[a-z][a-z0-9_]*", function):
            found.append(f"{file}: \"{function}\" is no name of a function")
        elif function and not is_run(tests, function, whole):
            found.append(f"{file} has no test {function}")
    last = 0
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            last = 0
        elif cells[-1] == "Shown by":
            last = len(cells)
        elif last and not re.fullmatch(r"-+", cells[-1]) and not CELL.fullmatch(cells[-1]):
            found.append(f"the row \"{cells[0]}\" is not shown by FILE (TEST, …); …, but by \"{cells[-1]}\"")
    return found


def spoilt(text):
    """What is not noticed when it is wrong."""
    unnoticed = []
    for match in NAMED.finditer(text):
        places = [(match.start(1), "test-no-")]
        if text[text.rfind("\n", 0, match.start()) + 1] == "|":
            places.append((match.start(1), "no "))
        if match[2]:
            places += [(match.start(2) + name.start(), "other_")
                       for name in re.finditer(r"[a-z]\w+", re.sub(r":[^,]*", lambda m: " " * len(m[0]), match[2]))]
        for at, other in places:
            if not problems(text[:at] + other + text[at:]):
                unnoticed.append(f"{match[0]}: {other}{text[at:at + 20]}")
    for row in re.findall(r"^\|.*\|$", text, re.M):
        cell = row.rsplit("|", 2)[1]
        if CELL.fullmatch(cell.strip()) and not problems(text.replace(row, row.replace(f"|{cell}|", "| the same |"))):
            unnoticed.append(f"a row without a test: {row[:60]}")
    # The function of one file is none of another.
    if not problems(text.replace("test-side.py (killed_between)", "test-crash.py (killed_between)", 1)):
        unnoticed.append("a function in another file")
    return unnoticed


def words_of_the_daemon(sources, manual):
    """Words that one has and the other has not."""
    written = {word for source in sources for word in re.findall(r'"(daemon:[a-z]+)"', source)}
    told = set(re.findall(r"daemon:[a-z]+", manual))
    return ([f"{word} is not in gpuvfd(8)" for word in sorted(written - told)] +
            [f"{word} of gpuvfd(8) is written nowhere" for word in sorted(told - written)])


def main():
    text = (SOURCE / "docs/RECOVERY.md").read_text()
    sources = [path.read_text() for path in sorted((SOURCE / "daemon").glob("*.c"))]
    manual = (SOURCE / "man/gpuvfd.8").read_text()
    assert len(list(names_in(text))) > 150 and "test-side.py (killed_between)" in text, "it does not find the names"
    report("the tests that docs/RECOVERY.md names are there and are run", problems(text))
    report("a name that is wrong is noticed, each of them", spoilt(text))
    report("the manual has the daemon's words in the audit trail", words_of_the_daemon(sources, manual))
    one = words_of_the_daemon(sources + ['"daemon:nonsense"'], manual.replace("daemon:expiry", "daemon:expired"))
    report("and one that is missing is noticed", [] if len(one) == 3 else [f"noticed: {one}"])
    print(f"1..{number}")


main()
