"""EventSource in Debian's Chromium, as a page uses it, straight and behind nginx."""

import json
import threading
import time

import pytest

from harness.broker import TEST_BIN
from harness.http import Connection
from harness.nginx import Nginx
from harness.relay import Relay

SHARDS = "2"  # what a browser sees does not depend on it
EVENTS = 1000


@pytest.fixture
def proxied(broker, tmp_path):
    nginx = Nginx(tmp_path / "nginx", broker.port)
    yield nginx
    nginx.stop()


class Page:
    """A page of the broker's own origin that follows a topic."""

    def __init__(self, chromium, origin, path):
        self.chromium = chromium
        chromium.open(f"{origin}/v1/info")
        chromium.run(f"Peer.events({json.dumps(path)}, 'gap', 'gone', 'binary').then(p => {{globalThis.peer = p}})")

    def take(self, count):
        return self.chromium.run(f"peer.take({count})")


class Producer(threading.Thread):
    """Numbered events, each of them until it is acknowledged, whatever happens to the broker."""

    def __init__(self, broker, topic, count):
        super().__init__(daemon=True)
        self.broker = broker
        self.topic = topic
        self.left = list(range(count))
        self.acked = {}  # offset -> number
        self.unknown = set()

    def run(self):
        connection = None
        while self.left:
            number = self.left[0]
            try:
                connection = connection or Connection(self.broker.port)
                body = str(number).encode()
                connection.request("POST", f"/produce/{self.topic}", [("Content-Length", len(body))], body)
                reply = connection.read_reply()
            except (OSError, AssertionError):
                self.unknown.add(number)
                connection = None
                time.sleep(0.01)  # it is down: not a busy loop
                continue
            if reply.status == 201:
                self.acked[reply.json()["offset"]] = number
                self.left.pop(0)


def test_each_event_once_across_kill_9(broker, chromium):
    broker.create("t")
    page = Page(chromium, broker.url, "/subscribe/t?offset=earliest")
    producer = Producer(broker, "t", EVENTS)
    producer.start()
    got = page.take(EVENTS // 3)
    broker.kill()  # producer and page are in the middle of it
    broker.start(port=broker.port)
    producer.join(60)
    assert not producer.is_alive()
    stored = [event["value"] for event in broker.consume("t", "?limit=10000")["events"]]
    got += page.take(len(stored) - len(got))
    assert [event["type"] for event in got] == ["message"] * len(stored)
    assert [event["data"] for event in got] == stored
    assert [event["id"] for event in got] == [f"{i + 1}" for i in range(len(stored))]
    for offset, number in producer.acked.items():
        assert stored[offset] == str(number)
    assert len(producer.acked) == EVENTS and len(stored) <= EVENTS + len(producer.unknown)


@pytest.mark.skipif(not TEST_BIN.exists(), reason=f"SKIPPED LOUDLY: there is no {TEST_BIN}")
def test_a_page_outlives_a_long_recovery(start, shards, chromium):
    """An EventSource takes any answer but 200 for the end of it; it comes back every second."""
    broker = start(shards=shards, binary=TEST_BIN)
    broker.produce("t", "before")
    page = Page(chromium, broker.url, "/subscribe/t?offset=earliest")
    assert page.take(1)[0]["data"] == "before"
    broker.kill()
    broker.env = {"BOURN_TEST_SLOW_SYNC_MS": "400"}
    broker.start(port=broker.port)
    broker.produce("t", "after")
    event, = page.take(1)
    assert (event["type"], event["data"], event["id"]) == ("message", "after", "2")
    broker.kill()  # each flush of a stop would take as long


def test_a_gap_when_it_comes_back_too_late(broker, chromium):
    relay = Relay(broker)
    for i in range(3):
        broker.produce("t", f"{i}")
    page = Page(chromium, relay.url, "/subscribe/t?offset=earliest")
    assert [event["data"] for event in page.take(3)] == ["0", "1", "2"]
    relay.cut()
    for i in range(3, 6):
        broker.produce("t", f"{i}")
    assert broker.client.post("/v1/topics/t/purge").status == 200
    broker.produce("t", "6")
    relay.join()
    gap, event = page.take(2)
    assert (gap["type"], gap["id"]) == ("gap", "6")
    assert json.loads(gap["data"]) == {"requested": "3", "resumed_from": "6", "reason": "trimmed"}
    assert (event["type"], event["data"], event["id"]) == ("message", "6", "7")
    relay.cut()


def test_gone(broker, chromium):
    broker.produce("t", "0")
    page = Page(chromium, broker.url, "/subscribe/t?offset=earliest")
    assert page.take(1)[0]["data"] == "0"
    broker.client.delete("/v1/topics/t")
    gone, = page.take(1)
    assert gone["type"] == "gone" and json.loads(gone["data"]) == {"topic": "t"}


def test_several_topics_in_one_page(broker, chromium):
    broker.produce("a.1", "1")
    page = Page(chromium, broker.url, "/v1/subscribe?topic=a.*&topic=b&offset=earliest")
    broker.produce("b", "2")
    broker.produce("a.2", "3")
    found = {json.loads(event["data"])["topic"]: json.loads(event["data"])["value"] for event in page.take(3)}
    assert found == {"a.1": "1", "b": "2", "a.2": "3"}


def test_nginx_passes_each_event_on_at_once(broker, proxied, chromium):
    broker.produce("t", "old")
    page = Page(chromium, proxied.url, "/subscribe/t")
    for i in range(5):
        started = time.monotonic()
        broker.produce("t", f"{i}")
        assert page.take(1)[0]["data"] == f"{i}"
        assert time.monotonic() - started < 1


def test_nginx_and_kill_9(broker, proxied, chromium):
    """What nginx says while there is nobody behind it ends an EventSource; the wire being cut does not."""
    broker.create("t")
    page = Page(chromium, proxied.url, "/subscribe/t?offset=earliest")
    producer = Producer(broker, "t", EVENTS)
    producer.start()
    got = page.take(EVENTS // 3)
    broker.kill()
    broker.start(port=broker.port)
    producer.join(60)
    stored = [event["value"] for event in broker.consume("t", "?limit=10000")["events"]]
    got += page.take(len(stored) - len(got))
    assert [event["data"] for event in got] == stored
