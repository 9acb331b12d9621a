"""Subscribers who do what they should not, or nothing: told or dropped, at no cost to others."""

import base64
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

from harness.broker import BIN, ROOT
from harness.lines import Lines
from harness.sse import EventSource
from harness.ws import CLOSE, CONTINUATION, PING, TEXT, WebSocket

# That any of these may cost; sanitizers keep what was freed for a while.
MEMORY_BYTES_MAX = (12 if "release" in str(BIN) else 48) << 20
QUICK_PINGS = {"BOURN_LIMITS_PING_INTERVAL": "200ms", "BOURN_LIMITS_PONG_TIMEOUT": "200ms"}
QUICK_STALLS = {"BOURN_LIMITS_STALLED_TIMEOUT": "500ms"}


def comes_to(broker, name, good):
    deadline = time.monotonic() + 20
    while not good(now := broker.metric(f"bourn_{name}")):
        assert time.monotonic() < deadline, f"{name} is {now}"


def becomes(broker, name, value):
    comes_to(broker, name, lambda now: now == value)


@pytest.fixture
def frugal(broker):
    """A broker that must not take much memory for what the test does to it, and works afterwards."""
    broker.produce("sane", "x")
    broker.memory_before = broker.rss_bytes()
    yield broker
    assert broker.rss_bytes() - broker.memory_before < MEMORY_BYTES_MAX
    with WebSocket(broker.port, "/subscribe/sane?offset=0") as sane:
        assert sane.read().payload == b"x"


def flood(sink, data, total):
    """Send until the broker takes no more, or has closed; returns how much it took."""
    sink.settimeout(0.3)
    sent = 0
    try:
        while sent < total:
            sent += sink.send(data)
    except (TimeoutError, ConnectionError):
        pass
    return sent


# --- those who are there and say nothing ----------------------------------------------------------


def test_a_stopped_process_is_dropped(start, shards):
    """Its kernel answers for it; only a ping finds out."""
    broker = start(shards=shards, env=QUICK_PINGS)
    client = subprocess.Popen([sys.executable, "-c", f"""
from harness.ws import WebSocket
with WebSocket({broker.port}, "/subscribe/t") as socket:
    while True:
        socket.read_message()
"""], cwd=ROOT / "tests")
    try:
        becomes(broker, "subscribers", 1)
        client.send_signal(signal.SIGSTOP)
        becomes(broker, "subscribers", 0)
        becomes(broker, "connections", 1)
    finally:
        client.kill()
        client.wait()


STREAMS = {
    "websocket": lambda broker: WebSocket(broker.port, "/subscribe/t?offset=0").__enter__().connection,
    "lines": lambda broker: Lines(broker, "/subscribe/t?offset=0").__enter__().connection,
    "source": lambda broker: EventSource(broker, "/subscribe/t?offset=0").__enter__().connection,
}


@pytest.mark.parametrize("kind", STREAMS)
def test_who_takes_no_byte_is_dropped(start, shards, kind):
    broker = start(shards=shards, env=QUICK_STALLS)
    for _ in range(32):
        broker.produce("t", b"x" * (1 << 20))  # more than the sockets between us hold
    connection = STREAMS[kind](broker)
    comes_to(broker, "events_delivered_total", lambda count: count > 0)
    becomes(broker, "subscribers", 0)
    connection.close()
    becomes(broker, "connections", 1)


@pytest.mark.parametrize("kind", STREAMS)
def test_who_never_reads_costs_little(frugal, kind):
    """Four of them, 10 MB to come for each, while one that reads gets all."""
    for _ in range(10):
        frugal.produce("t", b"x" * (1 << 20))
    frugal.memory_before = frugal.rss_bytes()
    stuck = [STREAMS[kind](frugal) for _ in range(4)]
    with Lines(frugal, "/subscribe/t") as quick:
        for i in range(50):
            frugal.produce("t", f"{i}")
        assert quick.values(50) == [f"{i}" for i in range(50)]
    for connection in stuck:
        connection.close()


# --- passed by retention ------------------------------------------------------------------------------


def left_behind(broker, connection):
    """It does not read; what waits for it is purged; then it may read again."""
    comes_to(broker, "events_delivered_total", lambda count: count > 0)
    assert broker.client.post("/v1/topics/t/purge").status == 200
    broker.produce("t", "after")
    return connection


def test_a_websocket_that_was_passed_is_told_where_to_go_on(broker):
    for i in range(320):
        broker.produce("t", f"{i:06}" + "x" * 100_000)  # far more than sockets and output hold
    with WebSocket(broker.port, "/subscribe/t?offset=0") as one:
        left_behind(broker, one.connection)
        seen = 0
        while (frame := one.read_message()).opcode == TEXT:
            assert frame.payload.startswith(b"%06d" % seen), seen
            seen += 1
        assert frame.opcode == CLOSE and frame.close_code == 4008
        assert 0 < seen < 320 and frame.close_reason == "320"
    with WebSocket(broker.port, f"/subscribe/t?cursor={frame.close_reason}") as one:
        assert one.read_message().payload == b"after"


def test_lines_that_were_passed_end_with_the_reason(broker):
    for i in range(320):
        broker.produce("t", f"{i:06}" + "x" * 100_000)
    with Lines(broker, "/subscribe/t?offset=0") as stream:
        left_behind(broker, stream.connection)
        seen = 0
        while "value" in (line := stream.line()):
            assert line["value"].startswith(f"{seen:06}")
            seen += 1
        assert 0 < seen < 320
        assert line["error"]["code"] == "offset_trimmed" and line["error"]["earliest"] == 320
        assert stream.ends()


# --- those who say too much --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/subscribe/u", "/produce/u"])
def test_pings_without_end_and_no_pong_is_read(frugal, path):
    with WebSocket(frugal.port, path) as one:
        ping = struct.pack("!BB", 0x80 | PING, 0x80 | 125) + b"\0\0\0\0" + b"p" * 125
        flood(one.connection.socket, ping * 1000, 64 << 20)


def test_fragments_without_end_that_hold_nothing(frugal):
    with WebSocket(frugal.port, "/produce/u") as one:
        one.send(TEXT, "a", fin=False)
        empty = struct.pack("!BB", CONTINUATION, 0x80) + b"\0\0\0\0"
        one.connection.send(empty * 100_000)
        one.send(CONTINUATION, "z")
        one.send(CLOSE, struct.pack("!H", 1000))
        assert one.read_message().close_code == 1000
    assert frugal.values("u") == ["az"]


def test_a_frame_that_never_ends(frugal):
    """A head that promises a message, byte by byte, on a subscription: told at the head."""
    with WebSocket(frugal.port, "/subscribe/u") as one:
        one.connection.send(struct.pack("!BBQ", 0x82, 0x80 | 127, 1 << 40) + b"\0\0\0\0")
        frame = one.read_message()
        assert frame.opcode == CLOSE and frame.close_code in (1003, 1009)


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_who_talks_into_the_answer(frugal, accept):
    """A stream has no end after which a next request could be served."""
    frugal.produce("u", "x")
    connection = frugal.connect()
    connection.request("GET", "/subscribe/u?offset=0", [("Accept", accept)])
    connection.read_head()
    flood(connection.socket, b"x" * (1 << 16), 64 << 20)
    connection.close()


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_who_closes_its_half(frugal, accept):
    """`curl` behind some pipes does: it may still be reading, or be gone; it is not kept for ever."""
    frugal.produce("u", "x")
    connection = frugal.connect()
    connection.request("GET", "/subscribe/u?offset=0", [("Accept", accept)])
    connection.read_head()
    connection.socket.shutdown(socket.SHUT_WR)
    connection.close()
    becomes(frugal, "subscribers", 0)


# --- forged and stale places -----------------------------------------------------------------------------


def ask_lines(broker, query):
    connection = broker.connect()
    connection.request("GET", f"/v1/subscribe?topic=p&{query}")
    status = connection.read_head().status
    connection.close()
    return status


def ask_websocket(broker, query):
    one = WebSocket(broker.port, f"/v1/subscribe?topic=p&{query}")
    if one.reply.status == 101:
        one.send(PING)
        frame = one.read()
        while frame.opcode not in (CLOSE, 10):
            frame = one.read()
        one.connection.close()
        return frame.close_code if frame.opcode == CLOSE else 101
    return one.reply.status


def ask_consume(broker, query):
    return broker.client.get(f"/consume/p?{query}").status


FRONTS = {"lines": ask_lines, "websocket": ask_websocket, "consume": ask_consume}
ANSWERS = {200, 101, 400, 410, 416, 4010, 4011}


def encoded(raw):
    return base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")


@pytest.mark.parametrize("front", FRONTS)
def test_forged_cursors(frugal, seed, front):
    ask = FRONTS[front]
    frugal.create("p", partitions=2)
    for i in range(10):
        frugal.produce("p", f"{i}", query=f"?partition={i % 2}")
    good = frugal.consume("p", "?limit=5")["next"]
    assert ask(frugal, f"cursor={good}") in (200, 101)
    raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
    for i in range(len(raw)):
        assert ask(frugal, f"cursor={encoded(raw[:i])}") in ANSWERS
        forged = bytearray(raw)
        forged[i] ^= 1 + (seed + 31 * i) % 255
        assert ask(frugal, f"cursor={encoded(forged)}") in ANSWERS
    for text in (encoded(raw + raw), encoded(os.urandom(700)), "x" * 1025, "%00", "-1", "1e3", "9" * 30):
        assert ask(frugal, f"cursor={text}") in (400, 410)


@pytest.mark.parametrize("front", FRONTS)
def test_stale_cursors(frugal, front):
    ask = FRONTS[front]
    frugal.create("p", partitions=2)
    for i in range(10):
        frugal.produce("p", f"{i}", query=f"?partition={i % 2}")
    place = frugal.consume("p", "?limit=4")["next"]
    frugal.client.post("/v1/topics/p/purge")
    assert ask(frugal, f"cursor={place}") in (410, 4010)
    frugal.client.delete("/v1/topics/p")
    frugal.create("p", partitions=2)
    assert ask(frugal, f"cursor={place}") in (410, 4010, 4011)
