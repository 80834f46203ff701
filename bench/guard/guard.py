#!/usr/bin/env python3
"""Counts the instructions of ringo's operations and compares them with baseline.json.

Each bench of ringo-micro runs twice under valgrind --tool=callgrind, with a little work and with
more of it; the difference, divided by that of the operations, is what one operation takes in user
space, without the start of the program. Unlike times these figures hardly depend on the machine or
on what else it does: they repeat to a tenth of an instruction. They do not see what the kernel, a
cache miss or a lock costs; times are for bench/micro and bench/net.

The exit status is 1 if an operation takes more than 10 % more instructions than the baseline says.

The baseline holds for Debian 12's GCC 12 on x86-64 and the release build of the default build
folder (meson setup build). Of anything else the figures are shown and not judged. It changes
(--update) only in a commit of its own, which says why: a slower operation is then a decision, and a
faster one cannot be lost again unseen.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BASELINE = HERE / "baseline.json"
TOLERANCE = 0.10

# What the code is made with, besides the compiler.
OPTIONS = {"optimization": "3", "debug": False, "b_ndebug": "if-release", "b_sanitize": "none",
           "b_lto": False, "b_pgo": "off", "b_coverage": False, "cpp_args": []}
COMPILER = "GCC: (Debian 12."  # as compilers sign what they make
MACHINE = "x86_64"


class Bench:
    """A bench of ringo-micro, its driver, and of how many parts of its work one is to run: of many
    parts, which is little work, and of fewer."""

    def __init__(self, name, operation, little=200, more=50, driver="epoll"):
        self.bench, self.operation, self.driver = name, operation, driver
        self.parts = little, more
        # The driver matters only where sockets are used.
        self.name = f"{name} on {driver}" if name == "echo" else name


BENCHES = [
    Bench("spawn_join", "a goroutine"),
    Bench("await_call", "a call"),
    Bench("chan_unbuf_pingpong", "a round trip"),
    Bench("chan_buf", "an item"),
    Bench("select_timeout", "a select"),
    Bench("echo", "a round trip", little=500, more=100),
    Bench("echo", "a round trip", little=500, more=100, driver="uring"),
]


class Failure(Exception):
    """Ends the script with this text and exit status 1."""


class Refused(Exception):
    """The kernel, or valgrind, has no io_uring for us."""


def run(command, **options):
    try:
        return subprocess.run(command, capture_output=True, text=True, **options)
    except FileNotFoundError:
        raise Failure(f"there is no {command[0]}")


def count(program, bench, part):
    """Operations and instructions of one run."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RINGO_")}
    # No checks, and no second thread that now and then looks at the first.
    environment |= {"RINGO_DRIVER": bench.driver, "RINGO_WATCHDOG": "0", "RINGO_CHECK_LOCKS": "0"}
    done = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                str(program), bench.bench, "1", str(part)], env=environment)
    if done.returncode == 2 and bench.driver == "uring":
        raise Refused
    line = re.search(rf"^ringo,{bench.bench},.*$", done.stdout, re.M)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or line is None or collected is None:
        raise Failure(f"{bench.name} failed, exit status {done.returncode}:\n"
                      f"{done.stdout}{done.stderr}")
    return int(line[0].split(",")[3]), int(collected[1])


def instructions(program, bench):
    """Of one operation."""
    (few, less), (many, more) = (count(program, bench, part) for part in bench.parts)
    return round((more - less) / (many - few), 1)


def why_not_judged(build, program):
    """What is not as the baseline wants it; None if all is."""
    if platform.machine() != MACHINE:
        return f"this is {platform.machine()}, not {MACHINE}"
    signed = set(re.findall(r"\]\s+(.+)", run(["readelf", "-p", ".comment", str(program)]).stdout))
    if not signed or not all(name.startswith(COMPILER) for name in signed):
        makers = " and ".join(sorted(signed)) or "nobody knows what"
        return f"it was compiled by {makers}, not by Debian 12's GCC 12"
    info = build / "meson-info" / "intro-buildoptions.json"
    chosen = {option["name"]: option["value"] for option in json.loads(info.read_text())}
    for name, value in OPTIONS.items():
        if chosen.get(name) != value:
            return f"the build has {name}={chosen.get(name)}, not {value}"
    return None


def judge(bench, now, before):
    """The line to print, and whether it is good."""
    line = f"{bench.name}: {now:.1f} instructions {bench.operation}"
    if before is None:
        return f"{line}, no baseline", False
    change = now / before - 1
    line += f", baseline {before:.1f} ({change * 100:+.1f} %)"
    if change > TOLERANCE:
        return f"{line}: MORE THAN {TOLERANCE * 100:.0f} % ABOVE", False
    if change < -TOLERANCE:
        line += ": time for a new baseline"
    return line, True


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="BENCH")
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent.parent / "build",
                        metavar="DIR", help="the build folder (default: build)")
    parser.add_argument("--update", action="store_true",
                        help="write what is counted as the baseline")
    args = parser.parse_args()

    unknown = set(args.benches) - {bench.bench for bench in BENCHES}
    if unknown:
        raise Failure(f"no such bench: {', '.join(sorted(unknown))}")
    program = args.build.resolve() / "bench" / "micro" / "ringo-micro"
    if not program.is_file():
        raise Failure(f"there is no {program}: build it first")
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    other = why_not_judged(args.build, program)
    if other and args.update:
        raise Failure(f"not what the baseline is for: {other}")
    if other:
        print(f"Not judged, since the baseline is not for this: {other}.")

    good = True
    for bench in BENCHES:
        if args.benches and bench.bench not in args.benches:
            continue
        try:
            now = instructions(program, bench)
        except Refused:
            print(f"{bench.name}: not run, since io_uring is refused here")
            continue
        if args.update:
            baseline[bench.name] = now
        if other:
            print(f"{bench.name}: {now:.1f} instructions {bench.operation}", flush=True)
            continue
        line, fine = judge(bench, now, baseline.get(bench.name))
        print(line, flush=True)
        good = good and fine
    if args.update:
        BASELINE.write_text(json.dumps(baseline, indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"guard.py: {failure}", file=sys.stderr)
        sys.exit(1)
