# Sourced by the scripts of this folder and by .ci/run: finds the checkout,
# installs what is missing, builds, and prints stages with their seconds.
# shellcheck shell=bash disable=SC2034

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# What it takes to build ringo and to run its tests, as Debian's packages.
build_packages=(g++ meson ninja-build pkg-config liburing-dev libspdlog-dev doctest-dev python3)

# Not empty: show what the tools print (-v does it too).
verbose=${CI:+yes}

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# step LABEL COMMAND...: runs a command as a stage of the work and prints how
# many seconds it took. What the command prints is shown if it fails, or always
# with -v.
step() {
  local label=$1 start=$SECONDS log status=0
  shift
  if [ -n "$verbose" ]; then
    printf '==> %s\n' "$label"
    "$@" || status=$?
    printf '==> %s: %d s\n' "$label" $((SECONDS - start))
    return "$status"
  fi
  log=$(mktemp)
  printf '==> %s ... ' "$label"
  "$@" >"$log" 2>&1 || status=$?
  printf '%d s\n' $((SECONDS - start))
  [ "$status" -eq 0 ] || cat "$log"
  rm -f "$log"
  return "$status"
}

# The same for a command that shows its own progress on a terminal.
live_step() {
  if [ -t 1 ]; then
    verbose=yes step "$@"
  else
    step "$@"
  fi
}

# --- installing --------------------------------------------------------------

# Whether what a package is for is there, however it was installed.
has_package() {
  case $1 in
    ninja-build) command -v ninja ;;
    gnuplot-nox) command -v gnuplot ;;
    clang-19) command -v clang++-19 ;;
    liburing-dev) pkg-config --atleast-version=2.3 liburing ;;
    libspdlog-dev) pkg-config --atleast-version=1.10 spdlog ;;
    relacy-dev) g++ -E -x c++ - <<<'#include <relacy/relacy.hpp>' ;;
    doctest-dev) g++ -E -x c++ - <<<'#include <doctest/doctest.h>' ;;
    libasio-dev) g++ -E -x c++ - <<<'#include <asio.hpp>' ;;
    golang-go) command -v go ;;
    # Debian's own, which its crates are made for, even where there is another.
    cargo | rustc) test -x "/usr/bin/$1" ;;
    librust-*-dev) dpkg-query --show -f '${db:Status-Status}' "$1" | grep -x installed ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null
}

apt_knows() {
  local package
  for package in "$@"; do
    apt-cache show "$package" >/dev/null 2>&1 || return 1
  done
}

# install_packages PACKAGE...: installs those that are missing, and says so first.
install_packages() {
  local missing=() package
  for package in "$@"; do
    has_package "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  printf 'Missing, to be installed with apt-get: %s\n' "${missing[*]}"
  command -v apt-get >/dev/null ||
    die "there is no apt-get here; please install them by this system's own means"
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
    die "that takes root, or sudo; please run as root: apt-get install ${missing[*]}"

  # A fresh system has no package lists, an old one may have lists of packages
  # that are gone.
  if ! apt_knows "${missing[@]}" ||
    ! step 'installing' apt_get install --no-install-recommends -y "${missing[@]}"; then
    step 'fetching the package lists' apt_get update || die 'apt-get update failed'
    step 'installing' apt_get install --no-install-recommends -y "${missing[@]}" ||
      die "apt-get could not install ${missing[*]}"
  fi
  for package in "${missing[@]}"; do
    has_package "$package" || die "$package is installed but of no use here: is it too old?"
  done
}

# --- building ----------------------------------------------------------------

# compiler NAME: the command to compile with, through ccache if it is there.
compiler() {
  if command -v ccache >/dev/null; then echo "ccache $1"; else echo "$1"; fi
}

# build_in FOLDER [MESON-OPTION...] [-- TARGET...]: configures the folder unless
# that is done, and builds the targets, or everything.
build_in() {
  local folder=$1 options=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  [ $# -eq 0 ] || shift
  if ! mkdir -p "$folder" || [ ! -w "$folder" ]; then
    die "no right to write to $folder: whose is it?"
  fi
  if [ ! -f "$folder/build.ninja" ]; then
    CC=${CC:-$(compiler gcc)} CXX=${CXX:-$(compiler g++)} \
      step 'configuring' meson setup "$folder" "$root" "${options[@]}" || return 1
  fi
  live_step 'building' ninja -C "$folder" -j "$(nproc)" "$@"
}

# run_tests FOLDER [MESON-TEST-OPTION...]: runs the tests of a build folder, and
# then says how many passed and failed. With the option --complete first it also
# fails when a test case belongs to no test.
run_tests() {
  local folder=$1 logs=$1/meson-logs complete=()
  shift
  if [ "${1:-}" = --complete ]; then
    complete=(--complete)
    shift
  fi
  # Failures are told by the summary, from these logs.
  rm -f "$logs/testlog.json" "$logs/samples.json"
  local meson_test=(meson test -C "$folder" --no-rebuild --print-errorlogs "$@")
  live_step 'testing' "${meson_test[@]}" --no-suite samples || true
  # Most samples sleep most of the time.
  live_step 'running the samples' \
    "${meson_test[@]}" --suite samples --num-processes 8 --logbase samples || true
  python3 "$root/tools/summary.py" "${complete[@]}" "$logs/testlog.json" "$logs/samples.json"
}
