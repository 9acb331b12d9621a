"""What hooks that are slow, or gone, cost topics that have none. For machines with nothing else to do."""

import multiprocessing
import os
import statistics
import threading
import time

import pytest

from harness.hooks import HttpHook, config
from harness.http import Connection
from harness.oracle import report

LONG = os.environ.get("BOURN_LONG")
SHARDS = "1,2"
ROUNDS, CHUNKS, CHUNK = (5, 10, 1000) if LONG else (1, 3, 200)
CONNECTIONS, PIPELINED = 40, 60  # more than 1024 requests aside
BODY = b"x" * 100
# Events go to both of two partitions in turn: else it is chance whether one's shard is its connection's.
ENV = {"BOURN_STORAGE_DURABILITY": "none", "BOURN_BROKER_DEFAULT_TOPIC_PARTITIONS": "2"}


def send(connection, topic, count=1, partition=0):
    for _ in range(count):
        connection.request("POST", f"/produce/{topic}?partition={partition}", [("Content-Length", len(BODY))], BODY)


def p99s(took):
    """Of each chunk."""
    return [sorted(took[i:i + CHUNK])[CHUNK * 99 // 100] for i in range(0, len(took), CHUNK)]


def took_ms(connection, turn):
    started = time.perf_counter()
    send(connection, "plain", partition=turn % 2)
    assert connection.read_reply().status == 201
    return (time.perf_counter() - started) * 1000


@pytest.fixture
def remote():
    waits = threading.Event()
    server = HttpHook(lambda *_: waits.wait(300) and None)
    yield server
    waits.set()
    server.close()


class Waiting:
    """Thousands of events wait for a hook that hangs."""

    def __init__(self, remote, brokers):
        seen = len(remote.seen)
        self.connections = [broker.connect() for broker in brokers for _ in range(CONNECTIONS)]
        for connection in self.connections:
            send(connection, "hooked", PIPELINED)
        while len(remote.seen) == seen:
            time.sleep(0.01)

    def end(self):
        for connection in self.connections:
            connection.close()


class Asking:
    """A hundred times a second something is asked that a hook that is gone has to be asked about; by a process
    of its own, as threads of this one would be felt in its figures."""

    def __init__(self, remote, brokers):
        remote.close()
        fork = multiprocessing.get_context("fork")
        self.asks, self.over = fork.Event(), fork.Event()
        self.process = fork.Process(target=self.ask, args=([broker.port for broker in brokers],))
        self.process.start()
        assert self.asks.wait(20)

    def ask(self, ports):
        connections = [Connection(port) for port in ports]
        while not self.over.wait(0.01):
            for connection in connections:
                send(connection, "hooked")
                assert connection.read_reply().status in (201, 503)
            self.asks.set()

    def end(self):
        self.over.set()
        self.process.join()
        assert self.process.exitcode == 0


def measure(brokers):
    """The p99s of each broker, by name: requests go to one after the other, each time in another order, so
    whatever else the machine does hits all."""
    names = list(brokers)
    plain = {name: broker.connect() for name, broker in brokers.items()}
    took = {name: [] for name in names}
    for turn in range(CHUNKS * CHUNK):
        for i in range(len(names)):
            name = names[(turn // 2 + i) % len(names)]
            took[name].append(took_ms(plain[name], turn))
    for connection in plain.values():
        connection.close()
    return {name: p99s(took[name]) for name in names}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("what, load", [("slow", Waiting), ("killed", Asking)])
def test_others_do_not_feel_it(start, tmp_path, shards, remote, what, load):
    """Three brokers take the same, but one of them has a hook for the topic "hooked". Judged is the median of the
    ratios of each thousand, to that of the two that have none: what those differ is the machine's."""
    hook = remote.hook(topics=["hooked"], timeout="60s" if what == "slow" else "1s", retries=0)
    p99 = {"alone": [], "again": [], "beside": []}
    for _ in range(ROUNDS):
        brokers = {name: start(shards=shards, env=ENV,
                               config=config(tmp_path, hook) if name == "beside" else None) for name in p99}
        others = load(remote, brokers.values())
        try:
            for name, values in measure(brokers).items():
                p99[name] += values
        finally:
            others.end()
        for broker in brokers.values():
            broker.kill()
    beside, control = (statistics.median(b / a for a, b in zip(p99["alone"], p99[name]))
                       for name in ("beside", "again"))
    report(test=f"p99 beside a hook over HTTP that is {what}, {shards} shards",
           **{f"{name}_ms": round(statistics.median(values), 3) for name, values in p99.items()},
           ratio=round(beside, 2), control=round(control, 2), judged=bool(LONG),
           verdict="pass" if beside <= 1.05 * max(control, 1) else "fail")
    assert beside <= 1.05 * max(control, 1) or not LONG, p99
