#!/usr/bin/env bash
# Builds ringo and runs all its tests. They choose their driver themselves, so
# one run covers io_uring and epoll.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<END
usage: tools/test.sh [-v] [--full]
Installs what is missing (with apt-get), builds into build/, runs all tests, and
ends with the line "N passed, N failed".
  -v      show what the compiler and the tests print
  --full  run the programs of Go's own tests and the stress tests instead, built by
          GCC at -O0 and -O2, by Clang, with ASan and with TSan (in build-full/), each
          on both drivers with 1, 2 and 4 workers and 20 seeds: takes hours
END
}

# full_build NAME [MESON-OPTION...]: one column of the full matrix.
full_build() {
  local folder=$root/build-full/$1 name=$1 start=$SECONDS
  shift
  build_in "$folder" -Ddefault_library=static -Dbenchmarks=disabled -Dsamples=disabled "$@" \
    -- test/conformance_test test/stress_test || die "$name: the build failed"
  python3 "$root/tools/seeds.py" 20 "$folder" conformance_test stress_test |
    tee "$folder/seeds.log" || true
  printf '%s: %s, %d s\n' "$name" "$(tail -n 1 "$folder/seeds.log")" $((SECONDS - start))
}

full_matrix() {
  local sanitized=(-Doptimization=1 -Ddebug=true -Db_ndebug=false -Dcpp_args=-g1)
  install_packages clang-19
  full_build gcc-o0 -Doptimization=0
  full_build gcc-o2 -Doptimization=2
  CC=$(compiler clang-19) CXX=$(compiler clang++-19) full_build clang-o2 -Doptimization=2
  full_build asan -Db_sanitize=address,undefined "${sanitized[@]}"
  full_build tsan -Db_sanitize=thread "${sanitized[@]}"
  tail -qn 1 "$root"/build-full/*/seeds.log |
    awk '{ passed += $1; failed += $3 }
         END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 || passed == 0 }'
}

full=
while [ $# -gt 0 ]; do
  case $1 in
    -v | --verbose) verbose=yes ;;
    --full) full=yes ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'test.sh: unknown argument %s\n' "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

build=$root/build
options=()
[ -z "${CI:-}" ] || options+=(-Dwerror=true)

install_packages "${build_packages[@]}"
if [ -n "$full" ]; then
  full_matrix
  exit
fi
build_in "$build" "${options[@]}" || die 'the build failed'

run_tests "$build" --complete
