#!/usr/bin/env python3
"""Runs test programs of a build again and again, each time with other random numbers.

Usage: seeds.py SEEDS FOLDER PROGRAM...

Each PROGRAM of FOLDER/test runs SEEDS times, without its cases that are apart from
the rest, on both drivers with 1, 2 and 4 workers; so each of these combinations meets
that many seeds (RINGO_TEST_SEED). As many run at once as there are processors.

What a failed run printed is kept in FOLDER/seeds and shown. The last line is
"N passed, N failed": the cases of all runs; a run that did not come to its end is one
failure more. The exit status is 1 if any failed.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

CASES = re.compile(r"^\[doctest\] test cases: +\d+ \| +(\d+) passed \| +(\d+) failed", re.M)
SECONDS_PER_CASE = "300"  # on one combination: sanitizers are slow


def run(folder, program, seed):
    """Gives how many cases passed and failed, and what was printed if any failed."""
    environment = dict(os.environ, RINGO_TEST_SEED=str(seed), RINGO_TEST_TIMEOUT=SECONDS_PER_CASE)
    done = subprocess.run(
        [folder / "test" / program, "--no-colors", "--test-suite-exclude=long,huge,timing"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", check=False)
    counts = CASES.search(done.stdout)
    passed, failed = map(int, counts.groups()) if counts else (0, 0)
    if done.returncode != 0 and failed == 0:
        failed = 1
    return passed, failed, done.stdout if failed else ""


def main():
    if len(sys.argv) < 4 or not sys.argv[1].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    seeds, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    logs = folder / "seeds"
    logs.mkdir(exist_ok=True)
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {pool.submit(run, folder, program, seed): f"{program}-{seed}"
                for seed in range(1, seeds + 1) for program in sys.argv[3:]}
        for done in concurrent.futures.as_completed(runs):
            run_passed, run_failed, output = done.result()
            passed += run_passed
            failed += run_failed
            if output:
                log = logs / f"{runs[done]}.log"
                log.write_text(output)
                print(f"{log}:\n{output[-4000:]}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
