"""F11: every subscriber receives every event once and in order, whatever others do, or fail to do."""

import os
import threading
import time

import pytest

from harness.oracle import report
from harness.swarm import Swarm, allow_files, event_source, frame, websocket
from harness.ws import BINARY

LONG = os.environ.get("BOURN_LONG")
WEBSOCKETS, SOURCES, EVENTS = (1000, 200, 10_000) if LONG else (1000, 200, 1_000)
STOPPED = 5
STOPPED_BYTES_MAX = 1 << 20  # what each may cost the broker: limits.output
BACKLOG_COUNT, BACKLOG_EVENT = 64, 1 << 18  # more than the sockets between us hold
SECONDS = 600 if LONG else 60
# Nothing but events: no pings among them, and the stopped ones stay for as long as it takes.
QUIET = {"BOURN_LIMITS_PING_INTERVAL": "1h", "BOURN_LIMITS_STALLED_TIMEOUT": "1h"}

allow_files(4 * (WEBSOCKETS + SOURCES))


def payload(number):
    """100 bytes."""
    return b'{"n":%6d,"pad":"%s"}' % (number, b"x" * 82)


def source_block(number):
    return b"id: %d\ndata: %s\n\n" % (number + 1, payload(number))


class Publisher(threading.Thread):
    """Batches of ten lines, so that turns of the broker hold anything from none to many."""

    def __init__(self, broker, topic, numbers):
        super().__init__(daemon=True)
        self.client = broker.new_client()
        self.topic = topic
        self.numbers = numbers
        self.failure = None

    def run(self):
        try:
            for i in range(0, len(self.numbers), 10):
                lines = b"\n".join(payload(number) for number in self.numbers[i:i + 10])
                reply = self.client.post(f"/produce/{self.topic}", lines, "application/x-ndjson")
                assert reply.status == 201, reply
        except (AssertionError, OSError) as error:
            self.failure = error

    def finish(self):
        self.join(60)
        assert not self.is_alive() and not self.failure, self.failure


def backlog(broker):
    """A topic, and events in it that only who asks for old ones will see; returns their frames."""
    broker.create("t")
    old = b"o" * BACKLOG_EVENT
    for _ in range(BACKLOG_COUNT):
        broker.produce("t", old, "application/octet-stream")
    return frame(old, BINARY) * BACKLOG_COUNT


def stop_some(broker):
    """Subscribers that are far behind and do not read a byte."""
    half = STOPPED // 2
    return ([websocket(broker, "/subscribe/t?offset=0", receive_bytes=4096) for _ in range(half)],
            [event_source(broker, "/subscribe/t?offset=0", receive_bytes=4096) for _ in range(STOPPED - half)])


def fan_out(broker, stopped):
    """One round; returns (the most memory the broker had, how long it took)."""
    old_frames = backlog(broker)
    away, sources_away = stop_some(broker) if stopped else ([], [])
    numbers = range(BACKLOG_COUNT, BACKLOG_COUNT + EVENTS)
    frames = b"".join(frame(payload(number)) for number in numbers)
    blocks = b"".join(source_block(number) for number in numbers)
    swarm = Swarm()
    for _ in range(WEBSOCKETS):
        swarm.add(websocket(broker, "/subscribe/t"), frames)
    for _ in range(SOURCES):
        swarm.add(event_source(broker, "/subscribe/t"), blocks)
    publisher = Publisher(broker, "t", numbers)
    started = time.monotonic()
    publisher.start()
    swarm.receive(SECONDS)
    took = time.monotonic() - started
    publisher.finish()
    rss = broker.rss_bytes()
    for one in away:  # in the end they read, and have missed nothing
        swarm.add(one, old_frames + frames)
    swarm.receive(SECONDS)
    for one in sources_away:
        one.socket.close()
    return rss, took


@pytest.mark.timeout(3 * SECONDS)
def test_fanout(start, shards):
    alone, took = fan_out(start(shards=shards, env=QUIET), stopped=False)
    beside, took_beside = fan_out(start(shards=shards, env=QUIET), stopped=True)
    each = (beside - alone) // STOPPED
    report(test=f"F11 fan-out, {shards} shards", subscribers=WEBSOCKETS + SOURCES, events=EVENTS,
           deliveries_per_s=round((WEBSOCKETS + SOURCES) * EVENTS / took), took_s=round(took, 1),
           took_beside_stopped_s=round(took_beside, 1), max_rss=alone, stopped_bytes_each=each,
           verdict="pass" if each <= STOPPED_BYTES_MAX else "fail")
    assert each <= STOPPED_BYTES_MAX


# --- what the stopped ones cost the others in time -----------------------------------------------------


def p99_ms(broker, reader, publisher, count):
    """From sending an event until it is received, one after the other."""
    took = []
    for number in range(count):
        body = payload(number)
        started = time.perf_counter()
        publisher.request("POST", "/produce/t", [("Content-Length", len(body))], body)
        reader.read_through(body)
        took.append(time.perf_counter() - started)
        assert publisher.read_reply().status == 201
    return sorted(took)[count * 99 // 100] * 1000


@pytest.mark.skipif(not LONG, reason="needs a machine of its own: BOURN_LONG=1")
@pytest.mark.timeout(300)
def test_stopped_ones_do_not_slow_the_others(start, shards):
    """Rounds with and without them take turns, and the medians are compared."""
    brokers = {name: start(shards=shards, env=QUIET) for name in ("alone", "beside")}
    for name, broker in brokers.items():
        backlog(broker)
        broker.stopped = stop_some(broker) if name == "beside" else None
        broker.reader, broker.publisher = websocket(broker, "/subscribe/t"), broker.connect()
    rounds = {name: [] for name in brokers}
    for turn in range(10):
        for name in ("alone", "beside") if turn % 2 else ("beside", "alone"):
            broker = brokers[name]
            rounds[name].append(p99_ms(broker, broker.reader, broker.publisher, 2000))
    alone, beside = (sorted(rounds[name])[5] for name in ("alone", "beside"))
    good = beside <= 1.2 * alone
    report(test=f"F11 p99 beside stopped ones, {shards} shards", alone_ms=round(alone, 3),
           beside_ms=round(beside, 3), ratio=round(beside / alone, 2), verdict="pass" if good else "fail")
    assert good, rounds
