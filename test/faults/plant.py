#!/usr/bin/env python3
"""Plants faults in the library one at a time, and shows that the tests catch each.

Usage: plant.py [--only NAME]... [--jobs N] FOLDER
       plant.py --list

The faults are those of faults.py. The sources are copied to FOLDER, which is made if
need be and may be used again; the checkout is left alone. There the library and the
test files that the faults name are built, a program for each file, and each case has
to pass as things are. Then for each fault the text is replaced, the library is built,
and the case runs: it has to fail, by an assertion, by the end of its process or by
the watchdog's alarm, and what it prints has to name the statement of
conformance/README.md that the fault breaks.

  --only NAME  this fault alone; may be given several times
  --jobs N     compile so many files at once (default: the number of processors)
  --list       print the faults and what each breaks

A line for each fault, and at last "N passed, N failed". The exit status is 1 if a
fault was not caught, or no longer fits the code.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # it would be in the checkout

from faults import FAULTS

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COPIED = ("meson.build", "meson_options.txt", "include", "lib", "subprojects", "test")
ALARM = 5  # seconds for a case on one driver; it takes far less unless it hangs
LIMIT = 60  # seconds for a process whose alarm does not work

# In place of test/meson.build: a program for each file, so that few files are compiled.
MESON = """\
doctest_dep = declare_dependency()
if not cxx.has_header('doctest/doctest.h')
  doctest_dep = dependency('doctest')
endif
test_main = static_library('test_main', 'main.cpp', dependencies: doctest_dep,
  include_directories: include_directories('../lib'))
foreach name, source : {programs}
  executable(name, source,
    dependencies: [ringo_internal_dep, doctest_dep],
    include_directories: include_directories('.'),
    link_with: test_main)
endforeach
"""


class Trouble(Exception):
    """What ends the attempt with one fault, or with all."""


def program(fault):
    return fault.test.removesuffix(".cpp").replace("/", "_")


def run_quietly(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    if done.returncode != 0:
        raise Trouble(f"{command[0]} failed:\n{done.stdout[-4000:]}")


def write_if_new(path, content):
    """Leaves a file alone that has the content already: then nothing is compiled."""
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def copy_sources(source):
    """Makes `source` a copy of the checkout, but for its list of tests."""
    wanted = set()
    for name in COPIED:
        top = ROOT / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file():
                copy = source / path.relative_to(ROOT)
                wanted.add(copy)
                if path != ROOT / "test/meson.build":
                    write_if_new(copy, path.read_bytes())
    for path in source.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
    programs = {program(fault): fault.test for fault in FAULTS}
    write_if_new(source / "test/meson.build", MESON.replace("{programs}", str(programs)).encode())


def configure(source, build):
    if (build / "build.ninja").is_file():
        return
    shutil.rmtree(build, ignore_errors=True)
    # A shared library: when it changes, no program is linked again. buildtype=plain with -O0 has
    # assert() on, and no debug information, which takes long to write and nobody reads here.
    run_quietly(["meson", "setup", str(build), str(source), "--buildtype=plain",
                 "-Doptimization=0", "-Ddefault_library=shared", "-Dsamples=disabled",
                 "-Dbenchmarks=disabled"])


class Run:
    """A case's run: how it ended."""

    def __init__(self, build, fault):
        environment = dict(os.environ, RINGO_TEST_DRIVERS=fault.drivers,
                           RINGO_TEST_WORKERS=fault.workers, RINGO_TEST_TIMEOUT=str(ALARM),
                           RINGO_TEST_TRACE="1")
        command = [str(build / "test" / program(fault)), "--no-colors", f"-tc={fault.cases}"]
        self.statement = fault.statement
        try:
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                                  errors="replace", timeout=LIMIT, check=False)
            self.output, self.status = done.stdout, done.returncode
        except subprocess.TimeoutExpired as expired:
            self.output, self.status = (expired.stdout or b"").decode(errors="replace"), None

    def passed(self):
        """Whether there were cases, and all of them passed."""
        return self.status == 0 and re.search(r"test cases: +[1-9]\d* \|", self.output) is not None

    def not_run(self):
        """io_uring is refused here, so that the case saw nothing."""
        return "[ringo] not run" in self.output

    def case(self):
        """The case that failed: the last one that is named. None if it is of another statement."""
        named = re.findall(r"^(?:\[ringo\] (?!the failure)(?:hung for \d+ s: )?|TEST CASE: +)"
                           r"([A-Z]{2}-\d\d\b.*?)(?: \(driver \w+, \d+ workers?\))?$",
                           self.output, re.M)
        if not named or self.statement not in named[-1]:
            return None
        return named[-1]

    def how(self):
        if self.status is None:
            return f"ran on for {LIMIT} s"
        if "[ringo] hung" in self.output:
            return "hung"
        if " ERROR: " in self.output:
            return "assertion"
        last_words = re.search(r"^(?:fatal error|panic): .*$", self.output, re.M)
        if last_words is not None:
            return last_words[0][:60]
        return f"signal {-self.status}" if self.status < 0 else f"exit status {self.status}"


def check_texts(faults):
    """Each text to be replaced stands in its file once. Returns what is wrong."""
    wrong = []
    for fault in faults:
        path = ROOT / fault.file
        count = path.read_text(encoding="utf-8").count(fault.old) if path.is_file() else 0
        if count != 1:
            wrong.append(f"{fault.name}: its text stands {count} times in {fault.file}, not once. "
                         "The code has changed: please change the fault in faults.py, too")
    return wrong


def targets(faults):
    return sorted({f"test/{program(fault)}" for fault in faults})


class Plot:
    """The copy of the sources, and what is built of it."""

    def __init__(self, folder, jobs):
        self.source, self.build, self.jobs = folder / "source", folder / "build", jobs

    def make(self, faults):
        run_quietly(["ninja", "-C", str(self.build), "-j", str(self.jobs), *targets(faults)])

    def prepare(self, faults):
        """Builds what is as it should be. Returns the faults whose cases pass, and can be tried."""
        copy_sources(self.source)
        configure(self.source, self.build)
        self.make(faults)
        sound, wrong = [], []
        results = {}
        for fault in faults:
            key = (fault.test, fault.cases, fault.drivers, fault.workers)
            if key not in results:
                results[key] = Run(self.build, fault)
            if results[key].passed():
                if results[key].not_run():
                    print(f"not tried  {fault.name}: io_uring is refused here", flush=True)
                else:
                    sound.append(fault)
            else:
                wrong.append(f"{fault.name}: without the fault, {fault.test} does not pass with "
                             f'-tc="{fault.cases}" ({results[key].how()}):\n'
                             f"{results[key].output[-4000:]}")
        return sound, wrong

    def plant(self, fault):
        """Builds with the fault and runs its case. The text is restored, what was built is not."""
        path = self.source / fault.file
        sound = path.read_text(encoding="utf-8")
        path.write_text(sound.replace(fault.old, fault.new), encoding="utf-8")
        try:
            self.make([fault])
            return Run(self.build, fault)
        finally:
            path.write_text(sound, encoding="utf-8")


def attempt(plot, fault):
    """Prints what came of it. Whether the fault was caught."""
    start = time.monotonic()
    try:
        run = plot.plant(fault)
    except Trouble as trouble:
        print(f"NOT CAUGHT {fault.name}: it does not compile. {trouble}", flush=True)
        return False
    seconds = time.monotonic() - start
    if run.status not in (0, None) and run.case() is not None:
        print(f"caught     {fault.name} by {run.case()} ({run.how()}, {seconds:.1f} s)", flush=True)
        return True
    print(f"NOT CAUGHT {fault.name}: {fault.breaks} "
          f'{fault.test} with -tc="{fault.cases}": {run.how()}, {seconds:.1f} s', flush=True)
    if run.status != 0:
        print(run.output[-4000:], flush=True)
    return False


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, metavar="FOLDER",
                        help="where to build; made if need be")
    parser.add_argument("--only", action="append", metavar="NAME", help="this fault alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N",
                        help="compile so many files at once")
    parser.add_argument("--list", action="store_true", help="print the faults")
    given = parser.parse_args()
    names = [fault.name for fault in FAULTS]
    for name in given.only or []:
        if name not in names:
            parser.error(f"there is no fault {name} (--list shows them)")
    if not given.list and given.folder is None:
        parser.error("a FOLDER to build in is needed")
    if given.jobs < 1:
        parser.error("--jobs must be at least 1")
    return given


def main():
    given = arguments()
    faults = [fault for fault in FAULTS if not given.only or fault.name in given.only]
    if given.list:
        for fault in faults:
            print(f"{fault.name} ({fault.file}, {fault.statement})\n    {fault.breaks}")
        return 0
    wrong = check_texts(faults)
    passed = failed = 0
    if not wrong:
        start = time.monotonic()
        plot = Plot(given.folder.resolve(), given.jobs)
        try:
            faults, wrong = plot.prepare(faults)
        except Trouble as trouble:
            faults, wrong = [], [str(trouble)]
        print(f"without a fault: {time.monotonic() - start:.0f} s", flush=True)
        for fault in faults:
            if attempt(plot, fault):
                passed += 1
            else:
                failed += 1
    for line in wrong:
        print(f"plant.py: {line}")
    print(f"{passed} passed, {failed + len(wrong)} failed")
    return 1 if failed or wrong or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
