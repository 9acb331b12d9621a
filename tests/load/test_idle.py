"""F13: ten thousand that wait cost next to nothing; those that come and go leave nothing behind."""

import os
import pathlib
import re
import socket
import struct
import time

import pytest

from harness.oracle import report
from harness.swarm import Swarm, allow_files, event_source, frame, websocket

LONG = os.environ.get("BOURN_LONG")
IDLE = 10_000
IDLE_BYTES_MAX = 2048  # of the broker's own memory, each
CHURN_PER_S = 500
CHURN_S = 60 if LONG else 5
LEAK_BYTES_MAX = 256 << 10
QUIET = {"BOURN_LIMITS_PING_INTERVAL": "10m"}

SKIP = allow_files(IDLE + 1000)


def private_bytes(broker):
    """Memory that is the broker's alone; what the kernel keeps for its sockets is not in it."""
    text = pathlib.Path(f"/proc/{broker.process.pid}/smaps_rollup").read_text()
    return int(re.search(r"Private_Dirty:\s+(\d+) kB", text).group(1)) * 1024


def settled(broker, **gauges):
    """Wait until each gauge has come to its value."""
    deadline = time.monotonic() + 30
    while any(broker.metric(f"bourn_{name}") != value for name, value in gauges.items()):
        assert time.monotonic() < deadline, {name: broker.metric(f"bourn_{name}") for name in gauges}
        time.sleep(0.01)  # asking is what takes the time


@pytest.mark.skipif(SKIP is not None, reason=str(SKIP))
@pytest.mark.timeout(300)
def test_idle(start, shards):
    broker = start(shards=shards, env=QUIET)
    broker.produce("t", "warm")
    websocket(broker, "/subscribe/t").socket.close()
    settled(broker, subscribers=0)
    before = private_bytes(broker)
    idle = [websocket(broker, "/subscribe/t") for _ in range(IDLE)]
    settled(broker, subscribers=IDLE)
    each = (private_bytes(broker) - before) / IDLE
    swarm = Swarm()
    for one in idle:
        swarm.add(one, frame(b"to all"))
    started = time.monotonic()
    broker.produce("t", "to all")
    swarm.receive(60)
    took = time.monotonic() - started
    for one in idle:
        one.socket.close()
    settled(broker, subscribers=0, connections=1)
    report(test=f"F13 idle, {shards} shards", sockets=IDLE, bytes_each=round(each), broadcast_s=round(took, 2),
           max_rss=broker.rss_bytes(), verdict="pass" if each <= IDLE_BYTES_MAX else "fail")
    assert each <= IDLE_BYTES_MAX


# --- coming and going ------------------------------------------------------------------------------


def reset(one):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def says_goodbye(broker, _topic):
    one = websocket(broker, "/subscribe/t")
    one.socket.sendall(struct.pack("!BB", 0x88, 0x82) + b"\0\0\0\0" + struct.pack("!H", 1000))
    assert one.read_through(struct.pack("!BBH", 0x88, 2, 1000))
    reset(one.socket)


def just_leaves(broker, _topic):
    reset(websocket(broker, "/subscribe/t").socket)


def leaves_before_it_is_served(broker, _topic):
    reset(broker.connect().socket)


def leaves_in_its_request(broker, _topic):
    connection = broker.connect()
    connection.send("GET /subscribe/t HTTP/1.1\r\nHost: local")
    reset(connection.socket)


def leaves_its_events(broker, _topic):
    reset(event_source(broker, "/subscribe/t?offset=0").socket)


def leaves_its_lines(broker, _topic):
    connection = broker.connect()
    connection.request("GET", "/subscribe/t?offset=0")
    connection.read_head()
    reset(connection.socket)


def waits_for_a_topic(broker, topic):
    reset(websocket(broker, f"/subscribe/{topic}").socket)


def is_thrown_out(broker, _topic):
    one = websocket(broker, "/produce/t")
    one.socket.sendall(struct.pack("!BB", 0x81, 1) + b"x")  # not masked
    assert one.read_through(struct.pack("!H", 1002))
    reset(one.socket)


GUESTS = [says_goodbye, just_leaves, leaves_before_it_is_served, leaves_in_its_request, leaves_its_events,
          leaves_its_lines, waits_for_a_topic, is_thrown_out]


def churn(broker, seconds):
    """Returns how many came and went."""
    started = time.monotonic()
    count = 0
    while (elapsed := time.monotonic() - started) < seconds:
        if count > elapsed * CHURN_PER_S:
            time.sleep(0.002)  # not more than the rate
            continue
        GUESTS[count % len(GUESTS)](broker, f"later-{count % 100}")
        count += 1
    return count


@pytest.mark.timeout(300)
def test_churn(start, shards):
    broker = start(shards=shards)
    for _ in range(100):
        broker.produce("t", "x" * 100)
    churn(broker, 2)
    settled(broker, subscribers=0, connections=1)
    before = private_bytes(broker)
    count = churn(broker, CHURN_S)
    settled(broker, subscribers=0, connections=1)
    grown = private_bytes(broker) - before
    report(test=f"F13 churn, {shards} shards", came=count, per_s=round(count / CHURN_S), seconds=CHURN_S,
           grown_bytes=grown, max_rss=broker.rss_bytes(), verdict="pass" if grown <= LEAK_BYTES_MAX else "fail")
    assert count >= CHURN_PER_S * CHURN_S * 0.8, "the machine is too slow for this test to mean anything"
    assert grown <= LEAK_BYTES_MAX
