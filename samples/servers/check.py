#!/usr/bin/env python3
"""Drives a sample server over real sockets.

    check.py PROGRAM [DRIVER]

The name of PROGRAM (echo_server, timeouts, chat) says which cases run; DRIVER is
uring or epoll. Exit status 0 if all pass, 1 with a message if one fails, 77 (which
Meson counts as skipped) if io_uring is refused here.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

PATIENCE = 20  # seconds after which something that should happen has not


class Failure(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Failure(message)


class Server:
    """The program, running on a port of its own choice."""

    def __init__(self, *flags):
        self.process = subprocess.Popen(
            [PROGRAM, "--port", "0", "--driver", DRIVER, *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        if not match:
            self.process.kill()
            raise Failure(f"first line: {line!r}, then: {self.process.communicate()}")
        self.port = int(match.group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def connect(self, receive_buffer=None):
        return Client(self.port, receive_buffer)

    def signal(self, number):
        self.process.send_signal(number)

    def ended(self):
        """Waits for the end; returns what it printed, after checking that all is well."""
        out, err = self.process.communicate(timeout=PATIENCE)
        expect(self.process.returncode == 0,
               f"exit status {self.process.returncode}, stderr: {err}")
        expect(err == "", f"stderr: {err}")
        return out


class Client:
    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, text):
        self.socket.sendall(text.encode())

    def receive(self):
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""
        except socket.timeout:
            raise Failure(f"nothing for {PATIENCE} s, after {self.pending!r}") from None

    def until(self, text):
        """What came up to and including the text."""
        wanted = text.encode()
        while wanted not in self.pending:
            got = self.receive()
            expect(got, f"the end, when {text!r} was expected after {self.pending[-300:]!r}")
            self.pending += got
        end = self.pending.index(wanted) + len(wanted)
        result, self.pending = self.pending[:end], self.pending[end:]
        return result.decode()

    def rest(self):
        """What comes up to the end."""
        while True:
            got = self.receive()
            if not got:
                result, self.pending = self.pending, b""
                return result.decode()
            self.pending += got


# --- all servers ---------------------------------------------------------------------------------


def run(*flags):
    return subprocess.run([PROGRAM, *flags], capture_output=True, text=True, timeout=PATIENCE)


def bad_flags():
    for flags in (["--prot", "1"], ["--port"], ["--port", "x"], ["--port", "65536"],
                  ["--port=-1"], ["--workers", "0"], ["--driver", "kqueue"], ["7000"]):
        result = run(*flags)
        expect(result.returncode == 2, f"{flags}: exit status {result.returncode}")
        expect("usage: " in result.stderr and result.stdout == "", f"{flags}: {result}")
    result = run("--help")
    expect(result.returncode == 0 and "usage: " in result.stdout, f"--help: {result}")


def busy_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("--port", str(port), "--driver", DRIVER)
        expect(result.returncode == 1, f"exit status {result.returncode}: {result.stderr}")
        expect(f"127.0.0.1:{port}" in result.stderr and "in use" in result.stderr, result.stderr)


def idle_end():
    for number in (signal.SIGINT, signal.SIGTERM):
        with Server() as server:
            server.signal(number)
            server.ended()


def echo_clients():
    """Many at once, each of whom gets back what it sent."""
    with Server("--workers", "2") as server:
        errors = []

        def one(index):
            try:
                with server.connect() as client:
                    for i in range(50):
                        text = f"{index}:{i}:" + "x" * (i * 37 % 1000) + "\n"
                        client.send(text)
                        expect(client.until("\n") == text, f"client {index}, line {i}")
                    large = "y" * 200_000 + "\n"
                    sender = threading.Thread(target=client.send, args=(large,))
                    sender.start()
                    expect(client.until("\n") == large, f"client {index}, 200 kB")
                    sender.join()
            except Exception as error:  # reported below, in the main thread
                errors.append(error)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect(not errors, f"{errors}")
        server.signal(signal.SIGINT)
        server.ended()


# --- echo_server ---------------------------------------------------------------------------------


def echo_server_drain():
    with Server() as server, server.connect() as client:
        client.send("hello\n")
        client.until("hello\n")
        server.signal(signal.SIGINT)
        client.rest()
        server.ended()


# --- timeouts ------------------------------------------------------------------------------------


def idle_timeout():
    with Server("--idle", "300") as server:
        with server.connect() as busy, server.connect() as silent:
            begin = time.monotonic()
            deadline = begin + 0.9
            results = []

            def wait():
                results.append((silent.rest(), time.monotonic() - begin))

            waiter = threading.Thread(target=wait)
            waiter.start()
            # Three times as long as the limit, and never silent for it.
            while time.monotonic() < deadline:
                busy.send("still here\n")
                expect(busy.until("\n") == "still here\n", "echo")
                time.sleep(0.05)
            waiter.join()
            text, after = results[0]
            expect(text == "silent for 300 ms, goodbye\n", text)
            expect(after >= 0.29, f"closed after {after} s")
            begin = time.monotonic()
            expect(busy.rest() == "silent for 300 ms, goodbye\n", "goodbye of the busy one")
            expect(time.monotonic() - begin >= 0.2, "closed too early")
        server.signal(signal.SIGTERM)
        expect(server.ended() == "served 2 connections, 2 timed out\n", "summary")


def timeouts_drain():
    with Server() as server, server.connect() as client:
        client.send("hello\n")
        client.until("hello\n")
        server.signal(signal.SIGINT)
        expect(client.rest() == "the server ends, goodbye\n", "goodbye")
        expect(server.ended() == "served 1 connections, 0 timed out\n", "summary")


# --- chat ----------------------------------------------------------------------------------------


def enter(server, name, **options):
    client = server.connect(**options)
    client.until("name? ")
    client.send(name + "\n")
    return client, client.until("\n")


def three_members():
    with Server() as server:
        ann, welcome = enter(server, "ann")
        expect(welcome == "* welcome, ann; here: nobody else\n", welcome)
        bob, welcome = enter(server, "bob")
        expect(welcome == "* welcome, bob; here: ann\n", welcome)
        expect(ann.until("\n") == "* bob has joined\n", "bob joins")

        # Names that will not do.
        eve = server.connect()
        eve.until("name? ")
        for name, answer in (("bob", "* bob is here already\n"), ("", "* a name has "),
                             ("no good", "* a name has "), ("x" * 21, "* a name has ")):
            eve.send(name + "\n")
            expect(eve.until("\n").startswith(answer), f"name {name!r}")
            eve.until("name? ")
        eve.send("eve\r\n")
        welcome = eve.until("\n")
        expect(welcome == "* welcome, eve; here: ann, bob\n", welcome)
        for other in (ann, bob):
            expect(other.until("\n") == "* eve has joined\n", "eve joins")

        ann.send("hello, ")
        ann.send("all\n\nsecond\n")
        for other in (bob, eve):
            expect(other.until("\n") == "<ann> hello, all\n", "a line in pieces")
            expect(other.until("\n") == "<ann> second\n", "the next line")
        bob.send("hi\n")
        for other in (ann, eve):
            expect(other.until("\n") == "<bob> hi\n", "not to oneself, but to the others")

        eve.send("/quit\n")
        expect(eve.rest() == "", "eve quits")
        bob.socket.close()
        left = {ann.until("\n"), ann.until("\n")}
        expect(left == {"* eve has left\n", "* bob has left\n"}, f"{left}")
        # The name is free again.
        bob, welcome = enter(server, "bob")
        expect(welcome == "* welcome, bob; here: ann\n", welcome)
        expect(ann.until("\n") == "* bob has joined\n", "bob joins again")

        server.signal(signal.SIGINT)
        expect(ann.rest().endswith("* the server ends, goodbye\n"), "goodbye")
        expect(bob.rest().endswith("* the server ends, goodbye\n"), "goodbye")
        expect(server.ended() == "4 members, 3 lines, 0 too slow\n", "summary")


def slow_member():
    """One who reads nothing is shown out, and all others get every line meanwhile."""
    with Server() as server:
        ann, _ = enter(server, "ann")
        bob, _ = enter(server, "bob")
        ann.until("* bob has joined\n")
        slow, _ = enter(server, "slow", receive_buffer=4096)
        ann.until("* slow has joined\n")
        bob.until("* slow has joined\n")
        line = "z" * 900 + "\n"
        heard = 0
        for batch in range(400):
            ann.send(line * 100)
            text = ""
            while text.count("<ann>") < 100:
                text += bob.until("\n")
            expect(text.count(f"<ann> {line}") == 100, f"batch {batch}: lines damaged")
            heard += 100
            if "* slow is too slow and was shown out\n" in text:
                break
        else:
            raise Failure(f"after {heard} lines nobody was too slow")
        ann.until("* slow is too slow and was shown out\n")
        slow.rest()
        server.signal(signal.SIGTERM)
        expect(f"3 members, {heard} lines, 1 too slow\n" == server.ended(), "summary")


def nameless_end():
    """The end does not wait for those who have not given a name."""
    with Server() as server, server.connect() as client:
        client.until("name? ")
        server.signal(signal.SIGINT)
        client.rest()
        expect(server.ended() == "0 members, 0 lines, 0 too slow\n", "summary")


def endless_line():
    with Server() as server:
        ann, _ = enter(server, "ann")
        ann.send("x" * 5000)
        ann.rest()
        server.signal(signal.SIGINT)
        server.ended()


COMMON = [bad_flags, busy_port, idle_end]
CASES = {
    "echo_server": COMMON + [echo_clients, echo_server_drain],
    "timeouts": COMMON + [echo_clients, idle_timeout, timeouts_drain],
    "chat": COMMON + [three_members, slow_member, nameless_end, endless_line],
}


def main():
    environment = {key: value for key, value in os.environ.items() if key != "RINGO_DRIVER"}
    os.environ.clear()
    os.environ.update(environment)
    if DRIVER == "uring":
        # Refused io_uring ends the server with status 2 and a sentence that names it.
        try:
            with Server():
                pass
        except Failure as failure:
            if "io_uring" in str(failure):
                print(f"skipped: {failure}")
                return 77
            raise
    failed = 0
    for case in CASES[os.path.basename(PROGRAM)]:
        try:
            case()
            print(f"ok      {case.__name__}")
        except (Failure, subprocess.TimeoutExpired, OSError) as error:
            print(f"FAILED  {case.__name__}: {error}")
            failed = 1
    return failed


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    PROGRAM = os.path.abspath(sys.argv[1])
    DRIVER = sys.argv[2] if len(sys.argv) == 3 else "epoll"
    sys.exit(main())
