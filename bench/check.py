#!/usr/bin/env python3
"""Gives bench/run what it cannot use, and programs that do not do what they should; looks at what
it says and writes. Exit status 0 if it names the thing and the cause, 1 with a message otherwise."""

import pathlib
import subprocess
import sys
import tempfile

RUN = pathlib.Path(__file__).resolve().with_name("run")

LIST = "alpha 1\nalpha 2\nbeta 1\nmem 1"

# What a program says, by the bench; it ends with 3 for a bench it does not know.
RINGO = {"list": LIST, "alpha": "ringo,alpha,as usual,10,1.0,10.00,threads=1",
         "beta": "ringo,beta,,10,1.0,300.00,", "mem": "ringo,mem,,10,1.0,0.00,threads=1 bytes=200"}
GO = {"list": LIST, "alpha": "go,alpha,otherwise,10,1.0,20.00,threads=1",
      "beta": "go,beta,,10,1.0,100.00,", "mem": "go,mem,,10,1.0,0.00,threads=1 bytes=2000"}


def expect(condition, message):
    if not condition:
        sys.exit(f"check.py: {message}")


def program(build, path, answers):
    file = build / path
    file.parent.mkdir(parents=True, exist_ok=True)
    cases = "".join(f"{word}) cat <<'END'\n{answer}\nEND\n;;\n" for word, answer in answers.items())
    file.write_text(f"#!/bin/sh\ncase $1 in\n{cases}*) echo 'no idea' >&2; exit 3;;\nesac\n")
    file.chmod(0o755)


def run(build, *flags):
    return subprocess.run([RUN, "--build", build, *flags], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


def refused(build, status, words, *flags):
    result = run(build, *flags)
    expect(result.returncode == status and result.stdout == "" and words in result.stderr,
           f"no {words!r} with status {status} in run {' '.join(flags)}: {result}")


def reported(build, status, lines, *flags):
    """It ends so, and these lines are in its report."""
    result = run(build, *flags)
    expect(result.returncode == status, f"run {' '.join(flags)}: {result}")
    report = (build / "report/report.md").read_text()
    for line in lines:
        expect(line in report, f"no {line!r} in {report}")


def bad_flags(build):
    the_list = "there are alpha, beta, mem, echo, idle"
    refused(build, 2, f"there is no bench 'gamma'; {the_list}", "--bench", "alpha,gamma")
    refused(build, 2, "no bench runs on '3' threads; there are 1, 2", "--threads", "1,3")
    refused(build, 2, "no bench runs on 'x' threads", "--threads", "x")
    refused(build, 2, "beta does not run on 2 threads; there are beta 1", "--bench", "beta",
            "--threads", "2")
    refused(build, 2, "there is no peer 'java'; there are go, tokio, asio, threads, or none",
            "--peers", "go,java")
    refused(build, 2, "wants a whole number above 0, not '0'", "--passes", "0")
    refused(build, 2, "wants a whole number above 0, not 'x'", "--passes", "x")
    refused(build, 2, "wants words with commas between them, not ''", "--bench", "")
    refused(build, 2, "unrecognized arguments: gamma", "gamma")


def missing_and_bad_programs(build):
    only = ("--bench", "alpha,beta,mem", "--passes", "2", "--threads", "1", "--peers")
    reported(build, 0, ["| alpha | ns | 10.0 | 20.0 | – | 0.50 | yes |",
                        "| beta | ns | 300 | 100 | – | 3.00 | not of go |",
                        "| mem | B | 200 | 2000 | – | 0.10 | yes |",
                        "| alpha | as usual | go: otherwise |",
                        "**tokio is left out**: ", "peers/tokio-micro is not there"],
             *only, "go,tokio")
    expect(len((build / "report/micro.csv").read_text().splitlines()) == 1 + 3 * 2 * 2,
           "not every pass is in micro.csv")

    program(build, "peers/asio-micro", {"list": "alpha 1"})
    reported(build, 1, ["| alpha | ns | 10.0 | – | – |",
                        "**failed**: asio-micro alpha 1 ended with 3: no idea"], *only, "asio")
    for line in ("", "asio,alpha,,10", "asio,beta,,10,1.0,10.00,", "asio,alpha,,10,1.0,fast,",
                 "asio,alpha,,10,1.0,nan,"):
        program(build, "peers/asio-micro", {"list": "alpha 1", "alpha": line})
        reported(build, 1, [f"asio-micro alpha 1 said '{line}', which is not a line of figures"],
                 *only, "asio")
    program(build, "peers/asio-micro", {"list": "alpha"})
    reported(build, 0, ["**asio is left out**: ", "list does not tell its benches"], *only, "asio")


def main():
    with tempfile.TemporaryDirectory() as folder:
        build = pathlib.Path(folder)
        refused(build, 1, "ringo-micro is not there; ninja -C ", "--bench", "alpha")
        program(build, "bench/micro/ringo-micro", RINGO)
        program(build, "peers/go-micro", GO)
        bad_flags(build)
        missing_and_bad_programs(build)


if __name__ == "__main__":
    main()
