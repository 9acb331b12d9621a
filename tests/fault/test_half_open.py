"""F12: peers that vanish without a word (a cable, a NAT, a laptop's lid) are reaped on every front.

A network namespace of its own is the other machine. Its address is taken away while connections are
open: from then on nothing comes from there, not even a reset."""

import ctypes
import itertools
import json
import os
import shutil
import subprocess
import threading
import time

import pytest

from harness.http import Connection
from harness.oracle import report

NUMBERS = itertools.count(0, 131)
CLONE_NEWNET = 0x40000000
LONG = bool(os.environ.get("BOURN_LONG"))
UPGRADE = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True).stdout


class OtherMachine:
    """A namespace behind a veth; `here` is our address on it."""

    def __init__(self):
        number = (os.getpid() + next(NUMBERS)) % 16384
        net = f"10.{64 + number // 256}.{number % 256}"
        self.name, self.link = f"bourn{number}", f"bourn{number}a"
        self.here, self.there = f"{net}.1", f"{net}.2"

    def create(self):
        ip("netns", "add", self.name)
        ip("link", "add", self.link, "type", "veth", "peer", "name", "far", "netns", self.name)
        ip("address", "add", f"{self.here}/24", "dev", self.link)
        ip("-n", self.name, "address", "add", f"{self.there}/24", "dev", "far")
        ip("-n", self.name, "link", "set", "far", "up")
        ip("link", "set", self.link, "up")
        far = json.loads(ip("-n", self.name, "-j", "link", "show", "far"))[0]["address"]
        # Else we would find out that nobody answers ARP, which is not what a router's silence is.
        ip("neighbour", "replace", self.there, "lladdr", far, "dev", self.link, "nud", "permanent")

    def connect(self, port):
        """A connection from there to us."""
        made = []

        def enter_and_connect():
            with open(f"/run/netns/{self.name}") as namespace:
                libc = ctypes.CDLL(None, use_errno=True)
                assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0, ctypes.get_errno()
            made.append(Connection(port, self.here))

        thread = threading.Thread(target=enter_and_connect)  # a namespace is a thread's own
        thread.start()
        thread.join()
        return made[0]

    def vanish(self):
        ip("-n", self.name, "address", "flush", "dev", "far")

    def remove(self):
        # The namespace itself goes when its last socket does, so its link is taken away first.
        ip("link", "delete", self.link, check=False)
        ip("netns", "delete", self.name, check=False)


@pytest.fixture
def other_machine():
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs root and ip(8) to make a network namespace")
    machine = OtherMachine()
    try:
        machine.create()
        yield machine
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace to be had: {error.stderr.strip()}")
    finally:
        machine.remove()


def ask(connection, path, fields=(), status=200):
    connection.request("GET", path, fields)
    assert connection.read_head().status == status
    return connection


def open_all(machine, broker):
    """{what it is: a connection}; those on `busy` are sent something after their peer is gone."""
    connect = lambda: machine.connect(broker.port)
    kinds = {
        "keep-alive": ask(connect(), "/livez"),
        "half a request": connect(),
        "websocket": ask(connect(), "/subscribe/quiet", UPGRADE, 101),
        "websocket, events": ask(connect(), "/subscribe/busy", UPGRADE, 101),
        "websocket producer": ask(connect(), "/produce/busy", UPGRADE, 101),
        "ndjson, events": ask(connect(), "/subscribe/busy"),
        "sse, events": ask(connect(), "/subscribe/busy", [("Accept", "text/event-stream")]),
    }
    kinds["half a request"].send("POST /produce/t HTTP/1.1\r\nHost: ")
    if LONG:  # 20 s of silence before the kernel asks, 10 s to the next look
        kinds["ndjson"] = ask(connect(), "/subscribe/quiet")
        kinds["sse"] = ask(connect(), "/subscribe/quiet", [("Accept", "text/event-stream")])
    return kinds


@pytest.mark.timeout(300)
def test_vanished_peers_are_reaped(start, shards, other_machine):
    limits = {"idle_timeout": "2s", "header_timeout": "2s", "ping_interval": "1s",
              "pong_timeout": "1s", "stalled_timeout": "2s"}
    args = [word for name, value in limits.items() for word in ("--set", f"limits.{name}={value}")]
    broker = start(shards=shards, args=["--host", "0.0.0.0", *args])
    broker.produce("busy", "x")
    kinds = open_all(other_machine, broker)
    there = {"%s:%d" % one.socket.getsockname() for one in kinds.values()}
    own = broker.metric("bourn_connections") - len(kinds)
    other_machine.vanish()
    vanished = time.monotonic()
    broker.produce("busy", "into the void")
    budget = 45 if LONG else 20  # 8 s for what was sent to a vanished peer; machines may be busy
    left = there
    while left:
        took = time.monotonic() - vanished
        assert took < budget, (left, broker.client.get("/v1/connections").json())
        time.sleep(0.1)
        rows = broker.client.get("/v1/connections").json()["connections"]
        left = {row["peer"] for row in rows} & there
    assert broker.metric("bourn_connections") <= own + 1  # ours may be a new one
    report(test=f"F12 half-open peers, {shards} shards", n=len(kinds), reaped_s=round(took, 1), verdict="pass")
    for connection in kinds.values():
        connection.close()
