#!/usr/bin/env bash
# Shows what ringo does: a select with a timeout, then the same echo server on
# io_uring, on epoll, and written by hand on epoll, under the same load.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<END
usage: tools/demo.sh [-v]
Installs what is missing (with apt-get), builds into build/, runs a program with
a select and a timeout, and measures an echo server on io_uring and on epoll.
  -v  show what the compiler prints
END
}

while [ $# -gt 0 ]; do
  case $1 in
    -v | --verbose) verbose=yes ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'demo.sh: unknown argument %s\n' "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

build=$root/build

install_packages "${build_packages[@]}" gnuplot-nox
build_in "$build" -- samples/tour/select_timeout samples/servers/echo_server \
  bench/net/echo_load bench/net/epoll_echo || die 'the build failed'

printf '\n==> a select with a timeout (samples/tour/select_timeout.cpp)\n'
"$build/samples/tour/select_timeout"

printf '\n==> an echo server: ringo on io_uring, ringo on epoll, epoll by hand\n'
"$root/bench/net/compare" --quick --build "$build"
printf '\n'
cat "$build/report/echo.md"

cat <<END

The chart: $build/report/echo.svg

To read next:
  README.md                     a first program, and what Go's words are in ringo
  samples/tour/README.md        fifty programs from Go tutorials
  samples/servers/              echo, chat, idle timeouts
  doc/                          how waiting and I/O work inside
END
