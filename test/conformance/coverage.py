#!/usr/bin/env python3
"""Compares the rows of README.md with the test cases that exist.

Usage: coverage.py [-v]

A row "| CH-10 | E | what | where, or why not |" names the files under test/ that
have cases for the statement CH-10: cases in whose name the number stands. Prints
for each grade how many rows have cases and how many say why they have none; -v
lists the latter. The exit status is 1 if

  * a row names a file that has no case for it, or leaves one out that has,
  * a row has neither a case nor a reason,
  * a row graded E or A has no case, and its reason does not begin with "later",
  * a case stands for a number that no row has,
  * a number has two rows.
"""

import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
NUMBER = r"[A-Z]{2}-\d\d"
ROW = re.compile(rf"^\| ({NUMBER}) \| ([^|]+) \| ([^|]+) \| (.*) \|$")
CASE = re.compile(r'\b(?:TEST_CASE|RINGO_TEST\w*)\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
FILE = re.compile(r"`([a-z_]+/[a-z_]+\.cpp)`")
GRADES = {
    "E": "exactly",
    "A": "approximately",
    "B": "better otherwise",
    "N": "not possible",
    "free": "free",
    "-": "does not arise",
}


def cases():
    """The files with cases for each number."""
    found = {}
    for path in sorted(TESTS.rglob("*.cpp")):
        for case in CASE.finditer(path.read_text(encoding="utf-8")):
            for number in re.findall(rf"\b{NUMBER}\b", case[1]):
                found.setdefault(number, set()).add(str(path.relative_to(TESTS)))
    return found


def main():
    verbose = sys.argv[1:] == ["-v"]
    if sys.argv[1:] and not verbose:
        print(__doc__, file=sys.stderr)
        return 2
    found = cases()
    errors = []
    rows = {}
    readme = pathlib.Path(__file__).with_name("README.md")
    for line in readme.read_text(encoding="utf-8").splitlines():
        row = ROW.match(line)
        if row is None:
            if re.match(rf"\| {NUMBER}\b", line):
                errors.append(f"not a row of four columns: {line}")
            continue
        number, grade, where = row[1], row[2].strip(), row[4]
        if number in rows:
            errors.append(f"{number} has two rows")
        named = set(FILE.findall(where))
        reason = FILE.sub("", where).strip(" ,;")
        rows[number] = (grade, named, reason)
        if grade not in GRADES:
            errors.append(f"{number}: unknown grade {grade}")
        for path in sorted(named - found.get(number, set())):
            errors.append(f"{number}: no case of it in {path}")
        for path in sorted(found.get(number, set()) - named):
            errors.append(f"{number}: the row leaves out {path}")
        if not named and not reason:
            errors.append(f"{number}: neither a case nor a reason")
        if not named and grade in ("E", "A") and not reason.startswith("later"):
            errors.append(f"{number}: graded {grade}, and without a case")
    for number in sorted(found.keys() - rows.keys()):
        errors.append(f"{number}: no row, but cases in {', '.join(sorted(found[number]))}")

    for grade, meaning in GRADES.items():
        of_grade = {n: row for n, row in rows.items() if row[0] == grade}
        without = {n: row for n, row in of_grade.items() if not row[1]}
        covered = len(of_grade) - len(without)
        print(f"{grade:>4} {meaning:<18}{covered:4} with cases{len(without):4} without")
        if verbose:
            for number, (_, _, reason) in without.items():
                print(f"       {number}  {reason}")
    for error in errors:
        print(f"coverage.py: {error}")
    return 1 if errors or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
