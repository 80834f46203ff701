"""Runs gdb on a program that stops, live and on its core, and checks what `ringo` commands print.

usage: gdb_test.py COMMANDS PROGRAM SOURCE
Exits with 77 (skipped) where gdb is missing or may not trace.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

commands, program, source = sys.argv[1:]


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


def gdb(*arguments):
    done = subprocess.run(["gdb", "-q", "-nx", "-batch", *arguments], capture_output=True, text=True,
                          timeout=120)
    return done.stdout + done.stderr


def line_with(comment):
    with open(source) as lines:
        for number, line in enumerate(lines, 1):
            if comment in line:
                return number
    raise SystemExit("no line says: " + comment)


def check(what, text):
    inner = line_with("here waits the innermost frame")
    outer = line_with("here waits the outer frame")
    spawn = line_with("here it is started")
    listed = re.search(r"^ *(\d+) \[chan receive\] in inner at \S*stopped.cpp:%d, "
                       r"created at \S*stopped.cpp:%d$" % (inner, spawn), text, re.M)
    for pattern in (r"^ *1 \[running\] in app at \S*stopped.cpp:\d+$",
                    r"^ *\d+ \[sleep\] in .* at \S*stopped.cpp:\d+, created at"):
        if not re.search(pattern, text, re.M):
            raise SystemExit("%s: not found: %s\nin:\n%s" % (what, pattern, text))
    if not listed:
        raise SystemExit("%s: the waiting goroutine is not listed:\n%s" % (what, text))
    return listed.group(1), (r"goroutine %s \[chan receive\]:\n"
                             r"#0 +inner\n\tat \S*stopped.cpp:%d\n"
                             r"#1 +outer\n\tat \S*stopped.cpp:%d\n"
                             r"created by app in goroutine 1\n\tat \S*stopped.cpp:%d\n"
                             % (listed.group(1), inner, outer, spawn))


def look(what, *arguments):
    text = gdb(*arguments, "-ex", "source " + commands, "-ex", "ringo goroutines")
    number, pattern = check(what, text)
    text = gdb(*arguments, "-ex", "source " + commands, "-ex", "ringo bt " + number,
               "-ex", "ringo bt 99999")
    if not re.search(pattern, text):
        raise SystemExit("%s: the chain is wrong:\n%s" % (what, text))
    if "there is no goroutine 99999" not in text:
        raise SystemExit("%s: a goroutine that is not there:\n%s" % (what, text))
    print(what + ": as it should be")


if shutil.which("gdb") is None:
    skip("there is no gdb")
os.environ["RINGO_WORKERS"] = "1"
live = ["-ex", "set debuginfod enabled off", "-ex", "run", program]
seen = gdb(*live)
if "SIGTRAP" not in seen:
    if "ptrace" in seen or "not permitted" in seen:
        skip("gdb may not trace here")
    raise SystemExit("the program did not stop:\n" + seen)
if "import gdb" in gdb("-ex", "python print('no')") or "not supported" in gdb("-ex", "python 1"):
    skip("this gdb has no Python")

for workers in ("1", "2", "4"):
    for driver in ("uring", "epoll"):
        os.environ["RINGO_WORKERS"] = workers
        os.environ["RINGO_DRIVER"] = driver
        if "SIGTRAP" not in gdb(*live):
            print("not run: driver %s is refused here" % driver)
            continue
        # The second look is at another run of the program, where numbers are the same but for
        # thieves; so both commands are run on the core.
        with tempfile.TemporaryDirectory() as folder:
            core = os.path.join(folder, "core")
            text = gdb("-ex", "set debuginfod enabled off", "-ex", "run",
                       "-ex", "source " + commands, "-ex", "ringo goroutines",
                       "-ex", "generate-core-file " + core, program)
            check("live, %s, %s workers" % (driver, workers), text)
            look("core, %s, %s workers" % (driver, workers), program, core)
