#!/usr/bin/env bash
# Builds ringo and runs all its tests. They choose their driver themselves, so
# one run covers io_uring and epoll.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<END
usage: tools/test.sh [-v]
Installs what is missing (with apt-get), builds into build/, runs all tests, and
ends with the line "N passed, N failed".
  -v  show what the compiler and the tests print
END
}

while [ $# -gt 0 ]; do
  case $1 in
    -v | --verbose) verbose=yes ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'test.sh: unknown argument %s\n' "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

build=$root/build
options=()
[ -z "${CI:-}" ] || options+=(-Dwerror=true)

install_packages "${build_packages[@]}"
build_in "$build" "${options[@]}" || die 'the build failed'

run_tests "$build" --complete
