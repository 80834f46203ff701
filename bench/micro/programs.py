"""The programs that measure what one operation costs: ringo-micro and its twins of the peers. Each
is called as `PROGRAM list` or `PROGRAM BENCH THREADS`."""

import collections
import csv
import os
import re
import subprocess

RINGO = "ringo"
PEERS = ["go", "tokio", "asio", "threads"]

# rows: {(bench, threads)} that it has. missing: why it cannot be run, or None.
Program = collections.namedtuple("Program", "name path rows missing")

# value: what the row compares, which is ns per operation or, where the bench is of memory, bytes.
Figure = collections.namedtuple("Figure", "params value unit operations seconds extra")


class Failed(Exception):
    """A program did not do what it should; the text says what."""


def path_of(name, build):
    if name == RINGO:
        return os.path.join(build, "bench/micro/ringo-micro")
    return os.path.join(build, "peers", f"{name}-micro")


def how_to_build(name, build):
    if name == RINGO:
        return f"ninja -C {build} bench/micro/ringo-micro"
    return "bench/peers/build --install"


def find(name, build):
    """The program of that name with its benches, or with the reason why there is none."""
    path = path_of(name, build)
    if not os.access(path, os.X_OK):
        return Program(name, path, [], f"{path} is not there; {how_to_build(name, build)} makes it")
    try:
        return Program(name, path, listed(path), None)
    except Failed as failed:
        return Program(name, path, [], str(failed))


def listed(path):
    try:
        done = subprocess.run([path, "list"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{path} list: {error}")
    lines = [line.split() for line in done.stdout.splitlines()]
    if done.returncode != 0 or not lines or not all(
            len(words) == 2 and words[1].isdigit() for words in lines):
        raise Failed(f"{path} list does not tell its benches (exit status {done.returncode})")
    return [(bench, int(threads)) for bench, threads in lines]


def cores_for(threads):
    """One thread has the second core, since the first one serves more of the machine's interrupts;
    more have as many as they are, if there are so many."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[1:2] or allowed if threads == 1 else allowed[:threads]


def measure(program, bench, threads, patience):
    """One run on cores of its own."""
    about = f"{os.path.basename(program.path)} {bench} {threads}"
    cores = cores_for(threads)
    try:
        done = subprocess.run([program.path, bench, str(threads)], capture_output=True, text=True,
                              timeout=patience, preexec_fn=lambda: os.sched_setaffinity(0, cores))
    except OSError as error:
        raise Failed(f"{about}: {error}")
    except subprocess.TimeoutExpired:
        raise Failed(f"{about} has not ended after {patience:g} s")
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise Failed(f"{about} ended with {done.returncode}" + (f": {words[-1]}" if words else ""))
    return parse(done.stdout, bench, about)


def parse(text, bench, about):
    """peer,bench,params,ops,seconds,ns_per_op,extra"""
    fields = next(csv.reader(text.splitlines()), [])
    try:
        _, name, params, operations, seconds, ns, extra = fields
        bytes_each = re.search(r"\bbytes=(-?\d+)", extra)
        value, unit = (float(bytes_each.group(1)), "B") if bytes_each else (float(ns), "ns")
        figure = Figure(params, value, unit, int(operations), float(seconds), extra)
        if name != bench or not 0 < value < float("inf"):
            raise ValueError
    except ValueError:
        raise Failed(f"{about} said '{text.strip()}', which is not a line of figures")
    return figure
