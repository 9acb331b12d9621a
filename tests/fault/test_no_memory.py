"""F9: allocation n fails, for all n, while requests of every kind are served: the broker goes on, every
request is answered or its connection closed, then all works again, and what was acknowledged is there.

A round sends the same requests, to topics of its own, while the n-th allocation from its beginning fails, or
several from there on, or each so-manieth. With memory again what could not be saved is saved, streams that
were open tell of an event or end, and each answer must be good.
"""

import json
import mmap
import os
import random
import struct
import time

import pytest

from harness import http
from harness.broker import BIN
from harness.hooks import Answer, HttpHook, config, script
from harness.http import Client, Connection
from harness.oracle import ENVELOPES, Oracle
from harness.ws import BINARY, CLOSE, TEXT, WebSocket

FLAKY = BIN.with_name("flaky_calls.so")
LONG = bool(os.environ.get("BOURN_LONG"))
SECONDS = 20  # no answer, no event and no end after this: something hangs
SOME = 24  # of the allocations, in short
SEVERAL = 100 if LONG else 12  # rounds in which more than one fails, of either kind
BAD = (404, 409, 416, 503)  # without memory: it says so, or what failed before has its consequences

pytestmark = pytest.mark.skipif(not FLAKY.exists(), reason=f"SKIPPED LOUDLY: there is no {FLAKY}")


class Memory:
    """The allocations of a broker, as flaky_calls.c counts them and has them fail."""

    FIRST, EVERY, TIMES, SEEN, FAILED = range(0, 40, 8)

    def __init__(self, path):
        path.write_bytes(bytes(40))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 40)
        self.env = {"LD_PRELOAD": str(FLAKY), "BOURN_FLAKY_MEMORY": str(path)}

    def _set(self, **fields):
        for name, value in fields.items():
            struct.pack_into("q", self.map, getattr(self, name), value)

    def _get(self, field):
        return struct.unpack_from("q", self.map, field)[0]

    def fail(self, first, every, times):
        self._set(SEEN=0, FAILED=0, EVERY=every, TIMES=times)
        self._set(FIRST=first)

    def heal(self):
        """Returns how many allocations there were, and how many failed."""
        self._set(FIRST=0)
        return self._get(self.SEEN), self._get(self.FAILED)


class Stream:
    """Something that follows the round's topic; `connect` opens it, if the broker lets it."""

    def __init__(self, name, connect):
        self.name = name
        self.connection = None
        try:
            self.connection = connect()
        except (AssertionError, OSError):
            pass

    def tells(self, mark):
        """True when it told; False when it ended, or never began."""
        if self.connection is None:
            return False
        heard = self.connection.buffer
        try:
            while mark not in heard:
                data = self.connection.socket.recv(1 << 16)
                if not data:
                    return False
                heard += data
            return True
        except TimeoutError:
            raise AssertionError(f"{self.name} neither tells nor ends: {heard[-300:]!r}") from None
        except OSError:
            return False
        finally:
            self.connection.close()


class Round:
    """`strict`: there is memory, so each answer must be good."""

    def __init__(self, broker, number, strict):
        self.broker = broker
        self.strict = strict
        self.number = number
        self.topic, self.other, self.copy = f"round-{number}-t", f"round-{number}-other", f"copy-{number}"
        self.client = Client(broker.port)
        self.streams = []
        self.sent = False  # messages over a WebSocket, and acknowledged by its close

    # --- asking ------------------------------------------------------------------

    def may(self, error):
        """Without memory a connection may be closed. Silence is never good."""
        closed = isinstance(error, OSError) or "closed in the middle" in str(error)
        assert closed and not isinstance(error, TimeoutError) and not self.strict, repr(error)

    def ask(self, method, path, body=None, headers=None, well=200):
        """The reply; None: the connection was closed."""
        try:
            reply = self.client.request(method, path, body, headers)
        except (AssertionError, OSError) as error:
            self.may(error)
            return None
        assert reply.status // 100 == well // 100 or reply.status in BAD and not self.strict, (method, path, reply)
        if "ndjson" not in reply.header("content-type", "") and reply.body.startswith(b"{"):
            reply.json()  # nothing is cut short
        return reply

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def put(self, topic, **body):
        return self.ask("PUT", f"/v1/topics/{topic}", json.dumps(body))

    def alter(self, **body):
        return self.ask("PATCH", f"/v1/topics/{self.topic}", json.dumps(body))

    def produce(self, topic, body, kind="text/plain", query="", **headers):
        fields = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.ask("POST", f"/produce/{topic}{query}", body, fields)

    # --- the requests --------------------------------------------------------------

    def follow(self, path, **headers):
        def connect():
            connection = Connection(self.broker.port)
            connection.request("GET", path, [("Connection", "close"), *headers.items()])
            return connection
        self.streams.append(Stream(path, connect))

    def follow_by_websocket(self, path):
        self.streams.append(Stream(f"WebSocket {path}",
                                   lambda: WebSocket(self.broker.port, path).__enter__().connection))

    def follow_all_ways(self):
        self.follow(f"/subscribe/{self.topic}")
        self.follow(f"/v1/subscribe?topic={self.topic[:-1]}*&topic=nothing&offset=earliest", Accept="text/event-stream")
        self.follow(f"/v1/subscribe?topic=cold&topic={self.topic}&offset=earliest")
        self.follow_by_websocket(f"/subscribe/{self.topic}?offset=earliest")
        self.follow_by_websocket(f"/v1/subscribe?topic={self.topic[:-1]}*")

    def poll(self):
        """A request that waits for what is produced meanwhile."""
        try:
            with Connection(self.broker.port) as waiting:
                waiting.request("GET", f"/consume/{self.topic}?partition=0&offset=end&wait=300ms")
                self.produce(self.topic, "polled", query="?partition=0")
                reply = waiting.read_reply()
                assert reply.status == 200 or reply.status in BAD and not self.strict, reply
        except (AssertionError, OSError) as error:
            self.may(error)

    def produce_all_ways(self):
        lines = "\n".join(f'{{"key":"{i}","headers":[["a","b"]],"value":"{"y" * 200}"}}' for i in range(60))
        self.produce(self.topic, '{"a": 1}', "application/json", Event_Key="k", Event_Header_H="v")
        self.produce(self.topic, "b" * 100_000)
        self.produce(self.topic, '{"a": 2}\n{"a": 3}\n', "application/x-ndjson")
        self.produce(self.topic, lines, ENVELOPES)
        self.produce(self.topic, '[{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"id":4}}]',
                     "application/cloudevents-batch+json")
        self.produce(self.other, "c", query="?ack=none")
        self.produce(self.other, "d")

    def produce_by_websocket(self):
        try:
            with WebSocket(self.broker.port, f"/produce/{self.other}") as ws:
                ws.send(TEXT, "first")
                ws.send(BINARY, b"x" * 3000)
                ws.send(TEXT, '{"third": 3}')
                ws.send(CLOSE, struct.pack("!H", 1000))
                code = ws.read_message().close_code
        except (AssertionError, OSError) as error:
            if self.strict or "503" not in str(error):
                self.may(error)
            return
        self.sent = code == 1000
        assert self.sent or code == 1013 and not self.strict, code

    def consume_all_ways(self):
        for query in ("?limit=3", "?offset=-10m&limit=5", "?offset=last"):
            self.get(f"/consume/{self.topic}{query}")
            self.get(f"/consume/cold{query}")
        self.get("/consume/cold?offset=earliest&max_bytes=500000&limit=10000", Accept="application/x-ndjson")
        self.get("/consume/cold?offset=2026-01-01T00:00:00Z&limit=1")
        self.get("/v1/topics/cold/events/5")

    def copy_batches(self):
        batches = self.get("/v1/topics/cold/batches?max_bytes=1")
        self.put(self.copy)
        if batches and batches.status == 200:
            self.ask("POST", f"/v1/topics/{self.copy}/batches", batches.body,
                     {"Content-Type": "application/vnd.bourn.batches", "Expected-Offset": 0})

    def administer(self):
        self.alter(settings={"durability": "none", "retention.count": 90})
        self.produce(self.topic, "in no frame of the WAL")
        self.alter(partitions=5, settings={"durability": "os"})
        self.alter(settings={"max.message.bytes": 200_000})
        self.ask("POST", f"/v1/topics/{self.topic}/purge", '{"partition": 0, "upto": 1}')
        for path in ("/v1/topics", f"/v1/topics/{self.topic}", "/v1/topics/cold", "/v1/info", "/metrics",
                     "/v1/connections", "/readyz"):
            self.get(path)
        self.ask("POST", "/v1/admin/snapshot")
        self.ask("POST", "/v1/admin/backup", json.dumps({"name": f"b-{self.number}"}))
        self.get("/v1/admin/backups")
        self.ask("DELETE", f"/v1/admin/backups/b-{self.number}")

    def run(self):
        self.put(self.topic, partitions=2, settings={"durability": "commit"})
        self.follow_all_ways()
        self.poll()
        self.produce_all_ways()
        self.produce_by_websocket()
        self.consume_all_ways()
        self.copy_batches()
        self.administer()

    # --- with memory again ------------------------------------------------------------

    def settle(self):
        """A snapshot: until one is written what comes may be refused, and it is tried again later."""
        while (reply := self.ask("POST", "/v1/admin/snapshot")) is None or reply.status == 503:
            assert self.broker.running
            time.sleep(0.01)

    def there(self):
        names = [topic["name"] for topic in self.get("/v1/topics?limit=10000").json()["topics"]]
        return [topic for topic in (self.topic, self.other, self.copy) if topic in names]

    def end(self):
        lossless = self.strict
        self.settle()
        self.strict = True
        if self.topic not in self.there():
            self.put(self.topic)
        mark = f"mark-{self.number}"
        self.produce(self.topic, mark, query="?partition=0")
        told = {stream.name: stream.tells(mark.encode()) for stream in self.streams}
        assert all(told.values()) or not lossless, told
        if self.sent:
            values = [event["value"] for event in self.get(f"/consume/{self.other}").json()["events"]]
            assert "first" in values and {"third": 3} in values, values
        for topic in self.there():
            self.ask("DELETE", f"/v1/topics/{topic}", well=204)
        self.client.close()


class Hardy(Oracle):
    """Its producers go on after a refusal, and with a new connection where the old one was closed."""

    def goes_on(self, reply):
        assert reply.status == 503, reply
        return True

    def turns(self, producers):
        for producer in producers:
            try:
                with Connection(self.broker.port) as producer.connection:
                    producer.turn()
            except TimeoutError:
                raise
            except (AssertionError, OSError) as error:
                assert isinstance(error, OSError) or "closed in the middle" in str(error), error
            self.sequences[producer.number] = producer.sequence


class Sweep:
    def __init__(self, broker, memory, oracle):
        self.broker = broker
        self.memory = memory
        self.oracle = oracle
        oracle.create_topics()
        self.producers = [oracle.producer(number) for number in range(4)]
        self.number = 0
        self.failed = 0
        self.fill_cold()

    def fill_cold(self):
        """A topic of which, under `log`, not all is in memory."""
        self.broker.create("cold", segment_bytes=1 << 20)
        for _ in range(8):
            self.broker.produce("cold", "\n".join(f'"{"z" * 5000}"' for _ in range(200)), "application/x-ndjson")

    def round(self, first, every=1, times=1):
        """Returns how many allocations there were. `first` 0: none fails."""
        self.number += 1
        one = Round(self.broker, self.number, strict=first == 0)
        try:
            self.memory.fail(first, every, times)
            one.run()
            self.oracle.turns(self.producers)
            seen, failed = self.memory.heal()
            one.end()
            assert self.broker.running
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{times} allocations from the {first}th on, each {every}th failed: {error!r}, exit "
                                 f"{self.broker.process.poll()}\n" + "\n".join(self.broker.lines[-40:])) from error
        self.failed += failed
        return seen


def sweep_allocations(broker, memory, oracle, seed, some, several):
    """`some` single ones (None: all), and `several` of each kind of more."""
    sweep = Sweep(broker, memory, oracle)
    dice = random.Random(seed)
    sweep.round(0)
    count = sweep.round(0)
    every = range(1, count + count // 8)
    for first in sorted(dice.sample(every, some)) if some else every:
        sweep.round(first)
    for _ in range(several):
        sweep.round(dice.choice(every), times=dice.randint(2, 40))
        sweep.round(dice.randint(1, 50), every=dice.randint(3, 60), times=count)
    sweep.round(0)
    broker.client.close()
    missing = oracle.verify()
    assert not missing, missing
    broker.restart()
    oracle.verify()
    oracle.rounds = sweep.number
    oracle.verdict(allocations=count, failed=sweep.failed)


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setattr(http, "SECONDS", SECONDS)
    return Memory(tmp_path / "memory")


@pytest.mark.timeout(3600)
def test_no_memory(start, engine, seed, tmp_path, busy, memory):
    broker = start(storage=engine, shards=2, env={**busy, **memory.env, "BOURN_LIMITS_PONG_TIMEOUT": "1s"})
    oracle = Hardy(broker, tmp_path, "F9 no memory", seed, ["commit", "os"], engine=engine)
    sweep_allocations(broker, memory, oracle, seed, None if LONG else SOME, SEVERAL)


# Each looks at everything, so that all is decoded, and says that it may go on.
LOOKS = """
local function look(event)
  for name, value in pairs(event.headers) do name = name .. (value or ""):gsub("a*b", "c") end
  if event.value and #event.value > 0 then event.value = event.value .. "" end
  return "continue"
end
request_received, before_response_send, produce, deliver = look, look, look, look
function connect() end
function subscribe() end
function request_executed() end
function after_response_send() end
"""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("keys", [{"max_failures": 0}, {"on_failure": "open"}], ids=["always asked", "open"])
def test_no_memory_with_hooks(start, seed, tmp_path, busy, memory, keys):
    """Hooks at every point, in Lua and over HTTP, that let all pass. Libraries take memory for each call, so a
    round has some 25,000 allocations: only a sample of them. One that is not asked for a while, after it failed,
    would still refuse when there is memory again, if it were closed."""
    remote = HttpHook(lambda *_: Answer(204))
    points = ["request_received", "before_response_send", "produce", "request_executed", "after_response_send"]
    hooks = config(tmp_path, script(tmp_path, LOOKS, on_failure="open"), remote.hook(points=points, **keys))
    broker = start(storage="memory", shards=2, config=hooks,
                   env={**busy, **memory.env, "BOURN_LIMITS_PONG_TIMEOUT": "1s"})
    oracle = Hardy(broker, tmp_path, "F9 no memory, with hooks", seed, ["commit", "os"], engine="memory")
    try:
        sweep_allocations(broker, memory, oracle, seed, *(60, 25) if LONG else (2, 2))
    finally:
        remote.close()
