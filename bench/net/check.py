#!/usr/bin/env python3
"""Gives the programs here what they cannot use, and looks at what they say.

    check.py PROGRAMS

PROGRAMS is the folder that has echo_load, epoll_echo and uring_echo. Exit status 0 if each names
the thing and the cause, 1 with a message otherwise.
"""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

PATIENCE = 20  # seconds after which something that should happen has not
COMPARE = pathlib.Path(__file__).resolve().with_name("compare")
IDLE = COMPARE.with_name("idle")


def expect(condition, message):
    if not condition:
        sys.exit(f"check.py: {message}")


def run(program, *flags):
    path = program if isinstance(program, pathlib.Path) else os.path.join(sys.argv[1], program)
    return subprocess.run([path, *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE)


def refused(program, status, words, *flags):
    """It ends with that status, says these words, and prints no result."""
    result = run(program, *flags)
    about = f"{program} {' '.join(flags)}: {result}"
    expect(result.returncode == status, about)
    expect(words in result.stderr, f"no {words!r} in {about}")
    expect(result.stdout == "", about)
    if status == 2:
        expect("usage: " in result.stderr, about)


@contextlib.contextmanager
def server(serve):
    """A server that calls serve(connection) for each client; its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield str(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def bad_flags():
    for program in ("echo_load", "epoll_echo", "uring_echo"):
        refused(program, 2, "unknown argument --prot", "--prot", "1")
        refused(program, 2, "unknown argument 7000", "7000")
        refused(program, 2, "--port needs a value", "--port")
        refused(program, 2, "not 'x'", "--port", "x")
        refused(program, 2, "not '65536'", "--port", "65536")
        refused(program, 2, "not '-1'", "--port=-1")
        refused(program, 2, "not ''", "--port=")
        result = run(program, "--help")
        expect(result.returncode == 0 and "usage: " in result.stdout and not result.stderr,
               f"{program} --help: {result}")
    refused("echo_load", 2, "--port is missing")
    refused("echo_load", 2, "--connections wants a whole number from 1 to", "--connections", "0")
    refused("echo_load", 2, "--seconds wants seconds from", "--seconds", "nan")
    refused("echo_load", 2, "--json takes no value", "--json=yes")
    refused("epoll_echo", 2, "--trigger wants edge|level, not 'both'", "--trigger", "both")
    refused("uring_echo", 2, "--buffers wants a power of two", "--buffers", "3")
    refused(COMPARE, 2, "whole numbers above 0, not '64x64'", "--cases", "64x64")
    refused(COMPARE, 2, "wants a number above 0, not '0'", "--seconds", "0")
    refused(COMPARE, 2, "wants a number above 0, not 'nan'", "--seconds", "nan")
    for script in (COMPARE, IDLE):
        refused(script, 2, "there is no server 'nginx'; there are ringo-uring, ",
                "--servers", "go,nginx")
        refused(script, 1, "nowhere/bench/net/epoll_echo is missing: build it with",
                "--servers", "epoll_echo", "--build", "nowhere")
        refused(script, 1, "go is left out: nowhere/peers/go-echo is not there",
                "--servers", "go", "--build", "nowhere")
    refused(IDLE, 2, "wants a whole number from 1, not '0'", "--connections", "0")


def load_without_a_server():
    with socket.socket() as bound:  # nobody listens there
        bound.bind(("127.0.0.1", 0))
        port = str(bound.getsockname()[1])
        refused("echo_load", 1, f"cannot connect to 127.0.0.1:{port}: Connection refused",
                "--port", port)
    refused("echo_load", 1, "cannot resolve no-such-host.invalid: ",
            "--host", "no-such-host.invalid", "--port", "1")


def load_and_bad_servers():
    def deaf(connection):
        while connection.recv(65536):
            pass

    def liar(connection):
        while data := connection.recv(65536):
            connection.sendall(bytes(byte ^ 1 for byte in data))

    def quitter(connection):
        connection.sendall(connection.recv(65536))

    def talker(connection):
        connection.sendall(connection.recv(65536) + b"more")
        deaf(connection)

    flags = ("--connections", "1", "--seconds", "5", "--patience", "0.3")
    for serve, words in ((deaf, "nothing"), (liar, "came back as 0x"), (quitter, " broke after "),
                         (talker, "too many")):
        with server(serve) as port:
            refused("echo_load", 1, words, "--port", port, *flags)


def busy_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused("epoll_echo", 1, f"cannot bind 127.0.0.1:{port}: Address already in use",
                "--port", port)
        result = run("uring_echo", "--port", port)
        # Where io_uring is refused it may say that first.
        expect(result.returncode == 1 and result.stdout == "" and
               (f"127.0.0.1:{port}: Address already in use" in result.stderr or
                "io_uring_queue_init_params: " in result.stderr), str(result))


def missing_peer():
    """It is a column of its own, empty, and the report says why."""
    with tempfile.TemporaryDirectory() as build:
        os.makedirs(os.path.join(build, "bench"))
        os.symlink(os.path.abspath(sys.argv[1]), os.path.join(build, "bench/net"))
        flags = ("--servers", "epoll_echo,go", "--passes", "1", "--build", build)
        for script, report, empty, more in (
                (COMPARE, "echo.md", "| go | – | ", ("--cases", "1:64:1", "--seconds", "0.05")),
                (IDLE, "idle.md", "| go | – | – |", ("--connections", "10"))):
            result = run(script, *flags, *more)
            expect(result.returncode == 0, f"{script}: {result}")
            text = pathlib.Path(build, "report", report).read_text()
            expect("**go is left out**" in text and "peers/go-echo is not there" in text
                   and empty in text and "| epoll_echo |" in text, f"{script} wrote: {text}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    bad_flags()
    load_without_a_server()
    load_and_bad_servers()
    busy_port()
    missing_peer()


if __name__ == "__main__":
    main()
