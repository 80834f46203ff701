#!/usr/bin/env python3
"""Counts what the tests of a build did.

Usage: summary.py [--complete] TESTLOG...

A TESTLOG is a .json file that meson test wrote into meson-logs/; one that is not
there stands for no tests. A doctest program counts with each of its cases, any
other test as one; a program that died or ran out of time counts as one failure
more, and what it printed about it is shown again. So are lines "[ringo] not run
...": there is no io_uring here.

With --complete the run was meant to be of everything, so a doctest case that no
test has run is a failure: its suite and folder are missing in a list of
test/meson.build.

The last line is "N passed, N failed". The exit status is 1 if any failed, or if
none ran.
"""

import json
import os
import re
import sys

CASES = re.compile(
    r"^\[doctest\] test cases: +(\d+) \| +(\d+) passed \| +(\d+) failed \| +(\d+) skipped", re.M)

# What doctest prints about a case with failed checks, up to the ruler after it.
FAILED_CASE = re.compile(r"^[^=\n]+:\d+:\nTEST CASE: .*?(?=^={70,}$|\Z)", re.M | re.S)
LINES_SHOWN = 40


class Program:
    """A test program over all its runs, or a group of small tests."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.cases = 0
        self.whole = True  # every run got to its end, so the sum should be `cases`
        self.seconds = 0.0


def group(test):
    """The program a test is a run of: "sync (long)" and "sync" are two of sync."""
    if any(arg.endswith("/check.py") for arg in test["command"]):
        return "samples"
    return own_name(test).split(" (")[0]


def own_name(test):
    """The test's name without the project and the suites that Meson puts first."""
    return test["name"].split(" / ")[-1]


def told(test):
    """What a test that failed said of it: its cases that did, or else its last words."""
    output = test.get("stdout", "")
    lines = [line for case in FAILED_CASE.findall(output) if "ERROR:" in case
             for line in case.rstrip().splitlines()][:LINES_SHOWN]
    if not lines:
        lines = (output + test.get("stderr", "")).rstrip().splitlines()[-LINES_SHOWN:]
    return "".join(f"\n  | {line}" for line in lines)


def add(program, test, problems, not_run):
    """Counts one run of a test."""
    name = own_name(test)
    output = test.get("stdout", "")
    program.seconds += test["duration"]
    program.whole &= test["result"] == "OK"
    for line in output.splitlines():
        if line.startswith("[ringo] not run"):
            not_run.append(f"{name}: {line[8:]}")
    cases = CASES.search(output)
    failed = 0
    if cases:
        _, passed, failed, skipped = map(int, cases.groups())
        program.passed += passed
        program.failed += failed
        program.cases = max(program.cases, passed + failed + skipped)
        if failed:
            problems.append(f"{name}: {failed} cases failed{told(test)}")
    elif test["result"] == "OK":
        program.passed += 1
    if test["result"] not in ("OK", "SKIP") and not failed:
        program.failed += 1
        problems.append(f"{name}: {test['result'].lower()}, exit status {test['returncode']}"
                        f"{told(test)}")


def main():
    logs = sys.argv[1:]
    complete = logs[:1] == ["--complete"]
    if complete:
        del logs[0]
    if not logs or logs[0].startswith("-"):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2

    programs, problems, not_run = {}, [], []
    for log in filter(os.path.exists, logs):
        with open(log, encoding="utf-8") as file:
            for line in file:
                test = json.loads(line)
                add(programs.setdefault(group(test), Program()), test, problems, not_run)

    width = max(map(len, programs), default=0)
    for name, program in programs.items():
        unlisted = program.cases - program.passed - program.failed
        if complete and program.whole and unlisted > 0:
            program.failed += unlisted
            problems.append(f"{name}: {unlisted} cases are in no test: see the lists in "
                            "test/meson.build")
        print(f"{name:{width}} {program.passed:6} passed {program.failed:4} failed "
              f"{program.seconds:8.1f} s")
    for line in not_run + problems:
        print(line)
    passed = sum(program.passed for program in programs.values())
    failed = sum(program.failed for program in programs.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
