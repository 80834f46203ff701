#!/usr/bin/env python3
"""Runs a sample and compares what it prints with a file.

Usage: check.py PROGRAM EXPECTED-FILE

The file is the output, line by line, after any of these lines at its top:

  #order: any     the lines may come in any order
  #regex          each line is a regular expression that a whole line must match
  #exit: N        the exit status the program must have (0 if not said)
  #args: A B ...  arguments for the program, split as a shell does
  #stdin: FILE    what it reads, a file beside the expected one
  #stderr         its standard error counts as output as well
  #               ends the list, for an output that begins with '#' itself

Where only some lines have no fixed order, they stand between the lines '#any'
and '#end'. Where several goroutines print in turn, each in an order of its own,
the lines of one stand together between '#interleaved' and '#end', and '#and'
parts them from those of the next:

  #interleaved
  1
  2
  #and
  A
  B
  #end

This takes 1 2 A B and A 1 B 2, but not 2 1 A B.

Where RINGO_DRIVER asks for io_uring and the kernel refuses it, as containers
often do, there is nothing to compare: that is said, and the exit status is 77,
which Meson counts as skipped.
"""

import ctypes
import os
import re
import shlex
import subprocess
import sys


class Expected:
    """What a file asks for: how to run the program, and blocks of lines.

    A block is (kind, lines), and for the kind "interleaved" (kind, sequences)."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.regex = False
        self.status = 0
        self.args = []
        self.stdin = None
        self.stderr = False
        kind = "ordered"
        first = 0
        for line in lines:
            if not line.startswith("#") or line in ("#any", "#interleaved"):
                break
            first += 1
            name, _, value = line[1:].partition(":")
            value = value.strip()
            if name == "":
                break
            if name == "order" and value == "any":
                kind = "any"
            elif line == "#regex":
                self.regex = True
            elif name == "exit":
                self.status = int(value)
            elif name == "args":
                self.args = shlex.split(value)
            elif name == "stdin":
                self.stdin = os.path.join(os.path.dirname(path), value)
            elif line == "#stderr":
                self.stderr = True
            else:
                sys.exit(f"{path}: unknown line {line!r}")
        self.blocks = [(kind, [])]
        for line in lines[first:]:
            kind, content = self.blocks[-1]
            if line == "#any":
                self.blocks.append(("any", []))
            elif line == "#interleaved":
                self.blocks.append(("interleaved", [[]]))
            elif line == "#end":
                self.blocks.append(("ordered", []))
            elif kind != "interleaved":
                content.append(line)
            elif line == "#and":
                content.append([])
            else:
                content[-1].append(line)

    def matches(self, pattern, line):
        if self.regex:
            return re.fullmatch(pattern, line) is not None
        return pattern == line


def unmatched(expected, wanted, got):
    """The wanted lines that have no line of their own in got, in any order.

    With regular expressions a line may match several of them, so this looks for
    a maximum matching: a line that is taken is given up when its owner finds
    another one."""
    owner = {}

    def place(w, seen):
        for g, line in enumerate(got):
            if g in seen or not expected.matches(wanted[w], line):
                continue
            seen.add(g)
            if g not in owner or place(owner[g], seen):
                owner[g] = w
                return True
        return False

    return [wanted[w] for w in range(len(wanted)) if not place(w, set())]


def interleave(expected, sequences, got):
    """How many lines of got, from the first, can be dealt out to the sequences, each in its order.

    A line may fit several of them, so this keeps every state that the lines so far may have led
    to: how far each sequence has come."""
    states = {(0,) * len(sequences)}
    for count, line in enumerate(got):
        states = {
            state[:i] + (state[i] + 1,) + state[i + 1 :]
            for state in states
            for i, sequence in enumerate(sequences)
            if state[i] < len(sequence) and expected.matches(sequence[state[i]], line)
        }
        if not states:
            return count
    return len(got)


def compare(expected, got):
    """The first difference as text, or None."""
    at = 0
    for kind, wanted in expected.blocks:
        if kind == "interleaved":
            size = sum(map(len, wanted))
            done = interleave(expected, wanted, got[at : at + size])
            if done < size:
                have = got[at + done] if at + done < len(got) else None
                return f"line {at + done + 1}: {have!r} continues none of the sequences"
            at += size
            continue
        part = got[at : at + len(wanted)]
        if kind == "ordered":
            for offset, want in enumerate(wanted):
                have = part[offset] if offset < len(part) else None
                if have is None or not expected.matches(want, have):
                    return f"line {at + offset + 1}: expected {want!r}, got {have!r}"
        else:
            missing = unmatched(expected, wanted, part)
            if missing:
                return f"lines {at + 1} to {at + len(wanted)}: no line for {missing[0]!r}"
        at += len(wanted)
    if at < len(got):
        return f"line {at + 1}: {got[at]!r} is too much"
    return None


def io_uring_refusal():
    """Why the kernel gives no ring of the kind ringo uses, or None."""
    io_uring_setup = 425  # on every architecture
    single_issuer, defer_taskrun = 1 << 12, 1 << 13  # since Linux 6.1
    params = (ctypes.c_uint32 * 30)()  # struct io_uring_params: 120 bytes
    params[2] = single_issuer | defer_taskrun
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(io_uring_setup, 4, params)
    if fd < 0:
        return os.strerror(ctypes.get_errno())
    os.close(fd)
    return None


def main():
    if len(sys.argv) != 3:
        print("usage: check.py PROGRAM EXPECTED-FILE", file=sys.stderr)
        return 2
    program, path = sys.argv[1:]
    if os.environ.get("RINGO_DRIVER") == "uring":
        refusal = io_uring_refusal()
        if refusal is not None:
            print(f"[ringo] not run, since io_uring is refused here: {refusal}")
            return 77
    expected = Expected(path)
    stdin = open(expected.stdin, "rb") if expected.stdin else subprocess.DEVNULL
    done = subprocess.run(
        [program, *expected.args],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if expected.stderr else None,
        check=False,
    )
    output = done.stdout.decode("utf-8", "replace")
    difference = compare(expected, output.splitlines())
    if difference is None and done.returncode == expected.status:
        return 0
    print(f"{os.path.basename(program)}: what it printed:\n{output}", end="")
    if difference is not None:
        print(f"{os.path.basename(program)}: {difference} ({path})")
    if done.returncode != expected.status:
        print(f"{os.path.basename(program)}: exit status {done.returncode}, "
              f"expected {expected.status}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
