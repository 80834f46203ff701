"""The echo servers there are to compare: which, how each is started, and a running one."""

import collections
import os
import shlex
import signal
import subprocess

from machine import Failure

RINGO_URING, RINGO_EPOLL = "ringo-uring", "ringo-epoll"
EPOLL_TWIN, URING_TWIN = "epoll_echo", "uring_echo"
PEERS = ["go", "tokio", "asio"]

# command: its first word is a program in the build folder, and a target of ninja unless it is a
# peer's. missing: why it cannot be measured here, or None.
Server = collections.namedtuple("Server", "name command uring missing", defaults=(None,))

RINGO = "samples/servers/echo_server"
ALL = {server.name: server for server in [
    Server(RINGO_URING, [RINGO, "--driver", "uring", "--workers", "1"], True),
    Server(RINGO_EPOLL, [RINGO, "--driver", "epoll", "--workers", "1"], False),
    Server(EPOLL_TWIN, ["bench/net/epoll_echo"], False),
    Server(URING_TWIN, ["bench/net/uring_echo"], True),
] + [Server(peer, [f"peers/{peer}-echo"], False) for peer in PEERS]}


def parse_names(text):
    """The names in a list with commas; ValueError if one is unknown."""
    names = text.split(",")
    for name in names:
        if name not in ALL:
            raise ValueError(f"there is no server '{name}'; there are {', '.join(ALL)}")
    return names


def find_program(build, path):
    program = os.path.join(build, path)
    if not os.access(program, os.X_OK):
        raise Failure(f"{program} is missing: build it with\n"
                      f"  meson setup {shlex.quote(build)}   # once\n"
                      f"  ninja -C {shlex.quote(build)} {path}")
    return program


def choose(names, build, no_uring):
    """The servers of these names, each with its program or with the reason why there is none. What
    ninja builds has to be there."""
    def chosen(server):
        path = server.command[0]
        if server.uring and no_uring:
            return server._replace(missing=f"io_uring is refused here ({no_uring})")
        if server.name in PEERS and not os.access(os.path.join(build, path), os.X_OK):
            return server._replace(missing=f"{os.path.join(build, path)} is not there; "
                                           "bench/peers/build --install makes it")
        return server._replace(command=[find_program(build, path)] + server.command[1:])
    return [chosen(ALL[name]) for name in names]


class Running:
    """A server process, listening."""

    def __init__(self, server, core):
        self.server = server
        self.process = subprocess.Popen(
            server.command + ["--port", "0"], stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        try:
            line = self.process.stdout.readline().strip()
            if not line.startswith("listening on "):
                raise Failure(f"{shlex.join(server.command)} did not come up: it said '{line}' "
                              f"and ended with {self.end()}")
            self.port = line.rsplit(":", 1)[1]
            self.check_driver()
        except BaseException:
            self.end()
            raise

    def check_driver(self):
        """A server must run on what its column says."""
        fds = f"/proc/{self.process.pid}/fd"
        links = []
        for fd in os.listdir(fds):
            try:
                links.append(os.readlink(f"{fds}/{fd}"))
            except FileNotFoundError:
                pass
        has_uring = any("io_uring" in link for link in links)
        if has_uring != self.server.uring:
            raise Failure(f"{shlex.join(self.server.command)} "
                          f"{'uses' if has_uring else 'does not use'} io_uring")

    def end(self):
        """Ends it as a user would; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def end_well(self, about):
        """The same, where anything but 0 is a failure."""
        status = self.end()
        if status != 0:
            raise Failure(f"{self.server.name} ended with {status} after SIGINT, not with 0 "
                          f"({about})")
