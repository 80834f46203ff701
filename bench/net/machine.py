"""What a report says of the machine and of what the programs were built with, and what the machine
lets a process do."""

import ctypes
import datetime
import json
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys

DESCRIPTORS = 64  # a server needs besides its connections


class Failure(Exception):
    """Ends the script with this text and exit code 1."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def why_no_uring():
    """None if the kernel lets this process have an io_uring, else the reason."""
    parameters = (ctypes.c_uint32 * 30)()
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(425, 1, ctypes.byref(parameters))  # io_uring_setup, on every architecture
    if fd >= 0:
        os.close(fd)
        return None
    return "io_uring_setup: " + os.strerror(ctypes.get_errno())


def allow_connections(count):
    """Raises this process's limit of open files, which its children inherit, so that a server can
    have that many connections. None if that is so now, else the reason why not."""
    needed = count + DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = lambda limit: limit == resource.RLIM_INFINITY or limit >= needed
    if enough(soft):
        return None
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard if enough(hard) else needed))
    except (OSError, ValueError):  # only root may raise the hard limit
        return (f"needs {needed} file descriptors in a process, and the hard limit is {hard}: "
                "raise it (ulimit -Hn, LimitNOFILE=)")
    return None


def read_first(path, otherwise="unknown"):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return otherwise


def cpu_model():
    for line in read_first("/proc/cpuinfo", "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def first_line(command):
    """Of what a command prints; None if it cannot be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


def build_facts(build):
    """Compiler and options of a Meson build directory."""
    def load(name):
        try:
            with open(os.path.join(build, "meson-info", name)) as file:
                return json.load(file)
        except (OSError, ValueError):
            return None
    compiler = None
    for target in load("intro-targets.json") or []:
        for source in target.get("target_sources", []):
            if source.get("language") == "cpp" and source.get("compiler"):
                compiler = compiler or first_line(source["compiler"] + ["--version"])
    options = {o["name"]: o["value"] for o in load("intro-buildoptions.json") or []}
    return (compiler or "unknown compiler", options.get("buildtype", "unknown"),
            options.get("b_sanitize", "none"))


def package_version(package):
    version = first_line(["dpkg-query", "-W", "-f", "${Version}", package])
    return f"{package} {version}" if version else None


def peer_versions(names):
    """[(peer, the toolchain that is installed)], for those of which anything is known."""
    rustc = "/usr/bin/rustc" if os.access("/usr/bin/rustc", os.X_OK) else "rustc"
    known = {
        "go": [first_line(["go", "version"])],
        "tokio": [package_version("librust-tokio-dev"), first_line([rustc, "--version"])],
        "asio": [package_version("libasio-dev"), first_line(["g++", "--version"])],
        "threads": [first_line(["g++", "--version"]), first_line(["ldd", "--version"])],
    }
    facts = [(name, ", ".join(filter(None, known.get(name, [])))) for name in names]
    return [(name, fact) for name, fact in facts if fact]


def describe(build, cores, method):
    """[(what, the fact)] for the head of a report, and warnings about the build on stderr."""
    compiler, buildtype, sanitizers = build_facts(build)
    if sanitizers not in ("none", "", []):
        say(f"warning: {build} is built with -Db_sanitize={sanitizers}: "
            "the figures say nothing about ringo")
    if buildtype == "debug":
        say(f"warning: {build} is a debug build: the figures say nothing about ringo")
    congestion = read_first("/proc/sys/net/ipv4/tcp_congestion_control")
    count = os.cpu_count()
    return [
        ("CPU", f"{cpu_model()}, {count} core{'s' if count > 1 else ''}; {cores}"),
        ("Kernel", f"{platform.system()} {platform.release()}, loopback TCP with {congestion}"),
        ("Compiler", f"{compiler}, buildtype {buildtype}"),
        ("Date", datetime.datetime.now().astimezone().isoformat(timespec="seconds")),
        ("Method", method),
        ("Again with", f"`{shlex.join([sys.argv[0]] + sys.argv[1:])}`"),
    ]


class Cores:
    """Where the server and the load generator run."""

    def __init__(self, same=False):
        allowed = sorted(os.sched_getaffinity(0))
        self.server = allowed[0]
        self.load = allowed[0] if same or len(allowed) == 1 else allowed[1]
        if self.server != self.load:
            self.text = f"server on core {self.server}, load generator on core {self.load}"
        elif same:
            self.text = f"server and load generator take turns on core {self.server}"
        else:
            self.text = f"only core {self.server} to use, so server and load generator share it"
            say(f"note: {self.text}")


def draw(script, svg):
    """Runs a gnuplot script, if there is a gnuplot."""
    gnuplot = shutil.which("gnuplot")
    if gnuplot is None:
        say(f"no chart: gnuplot is missing; install it (Debian: gnuplot-nox) and run: gnuplot {script}")
        return
    done = subprocess.run([gnuplot, script], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"gnuplot {script}: {done.stderr.strip()}")
    say(f"wrote {svg}")
