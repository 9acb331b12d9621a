"""Settings that change while a topic is written and read: each holds from the answer on."""

import random
import threading

import pytest

from harness.http import Connection, is_problem

ENGINES = pytest.mark.parametrize("engine", ["memory", "log", "rocksdb"])
CLASSES = ["none", "os", "interval", "commit"]


def alter(client, settings, topic="t"):
    reply = client.patch_json(f"/v1/topics/{topic}", {"settings": settings})
    assert reply.status == 200, reply
    return reply.json()


def describe(broker, topic="t"):
    return broker.client.get(f"/v1/topics/{topic}").json()


def snapshot(broker):
    assert broker.client.post("/v1/admin/snapshot").status == 200


class Load:
    """Producers of small events that go on until they are told to stop; every answer must be 201."""

    def __init__(self, broker, producers=3, size=100):
        self.acks = []  # (value, acknowledgement)
        self.refused = []
        self.mark = 0  # what the test says when
        self.marks = []  # … as of the sending of each of acks
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(broker.new_client(), i, size))
                        for i in range(producers)]

    def _run(self, client, producer, size):
        sequence = 0
        while not self.stopped.is_set():
            value, mark = f"{producer}-{sequence} ".ljust(size, "x"), self.mark
            reply = client.post("/produce/t", value, "text/plain", {"Event-Key": f"{producer}"})
            if reply.status != 201:
                self.refused.append(reply)
                return
            with self.lock:
                self.acks.append((value, reply.json()))
                self.marks.append(mark)
            sequence += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def some(self, count=50):
        """Wait until so many more were acknowledged."""
        until = len(self.acks) + count
        while len(self.acks) < until and not self.refused:
            assert any(thread.is_alive() for thread in self.threads)
            self.stopped.wait(0.001)
        assert not self.refused, self.refused


class Pipelined(Load):
    """… of many in one write, so that they share batches."""

    def _run(self, client, producer, size):
        with Connection(client.port) as connection:
            while not self.stopped.is_set():
                value = "x" * size
                request = f"POST /produce/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n{value}"
                connection.send(request.encode() * 40)
                for reply in [connection.read_reply() for _ in range(40)]:
                    if reply.status != 201:
                        self.refused.append(reply)
                        return
                    with self.lock:
                        self.acks.append((value, reply.json()))


def missing(broker, acks):
    there = {}
    for partition in describe(broker)["partitions"]:
        query, end = f"?limit=10000&partition={partition['partition']}", partition["high_watermark"]
        offset = partition["earliest"]
        while offset < end:
            events = broker.consume("t", f"{query}&offset={offset}")["events"]
            for event in events:
                there[event["partition"], event["offset"]] = event["value"]
            offset = events[-1]["offset"] + 1
    return [ack for value, ack in acks if there.get((ack["partition"], ack["offset"])) != value]


@ENGINES
def test_a_lower_limit_holds_without_another_event(start, shards, engine):
    broker = start(shards=shards, storage=engine)
    broker.create("t", partitions=2)
    for i in range(100):
        broker.produce("t", "x" * 1000, query=f"?partition={i % 2}")
    answer = alter(broker.client, {"retention.count": 40})
    assert [partition["earliest"] for partition in answer["partitions"]] == [10, 10]
    answer = alter(broker.client, {"retention.bytes": 10_000})
    assert all(partition["bytes"] <= 10_000 for partition in answer["partitions"])
    assert all(partition["high_watermark"] == 50 for partition in answer["partitions"])
    kept = [partition["earliest"] for partition in answer["partitions"]]
    broker.kill()
    broker.start()
    assert [partition["earliest"] for partition in describe(broker)["partitions"]] == kept
    assert describe(broker)["settings"]["retention.bytes"] == 10_000


@ENGINES
def test_classes_change_under_load_and_answers_say_which(start, shards, engine, seed):
    dice = random.Random(seed)
    broker = start(shards=shards, storage=engine)
    broker.create("t", partitions=3, durability="commit")
    with Load(broker) as load:
        for i in range(1, 9):
            durability = dice.choice(CLASSES)
            alter(broker.client, {"durability": durability})
            load.mark = i
            load.some()
            with load.lock:
                said = {ack["durability"] for (_value, ack), mark in zip(load.acks, load.marks) if mark == i}
            assert said == {durability}
        alter(broker.client, {"durability": "commit"})  # what was in memory only is on disk now
        acked = list(load.acks)
        load.some()
        load.stop()
        broker.kill()
    safe = acked + [(value, ack) for value, ack in load.acks if ack["durability"] != "none"]
    broker.start()
    assert describe(broker)["settings"]["durability"] == "commit"
    assert missing(broker, safe) == []


@ENGINES
def test_smaller_batches_refuse_nothing_that_is_small(start, shards, engine):
    broker = start(shards=shards, storage=engine)
    broker.create("t", partitions=2)
    large = "x" * 5000
    with Pipelined(broker, producers=3, size=60) as load:
        for _ in range(10):
            alter(broker.client, {"max.message.bytes": 1024})
            is_problem(broker.client.post("/produce/t", large, "text/plain"), 413, "too_large")
            load.some(100)
            alter(broker.client, {"max.message.bytes": 1 << 20})
            broker.produce("t", large)
            load.some(100)
    assert load.refused == []
    assert missing(broker, load.acks) == []


@pytest.mark.parametrize("engine", ["memory", "log"])  # rocksdb has none
def test_segments_follow_their_settings(start, shards, engine):
    broker = start(shards=shards, storage=engine)
    broker.create("t")

    def three_mib():
        for _ in range(6):
            broker.produce("t", "x" * 500_000)
        snapshot(broker)
        return describe(broker)["segments"]

    assert three_mib() == 1
    alter(broker.client, {"segment.bytes": 1 << 20})
    smaller = three_mib()
    assert smaller >= 3
    alter(broker.client, {"segment.bytes": 1 << 30, "segment.ms": 1})
    assert three_mib() > smaller
    broker.kill()
    broker.start()
    assert describe(broker)["settings"]["segment.ms"] == 1


def test_changes_at_the_same_time_do_not_undo_each_other(broker):
    broker.create("t")
    changes = {"retention.ms": 10**9, "retention.count": 10**6, "retention.bytes": 10**9,
               "max.message.bytes": 200_000, "segment.bytes": 10**8, "segment.ms": 10**8, "durability": "os",
               "cleanup.policy": "compact", "delete.retention.ms": 1, "min.compaction.lag.ms": 2,
               "max.compaction.lag.ms": 3, "min.cleanable.dirty.ratio": 0.25}
    gate = threading.Barrier(len(changes))

    def change(name, value):
        client = broker.new_client()
        gate.wait()
        alter(client, {name: value})

    threads = [threading.Thread(target=change, args=item) for item in changes.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert describe(broker)["settings"] == changes
    broker.kill()
    broker.start()
    assert describe(broker)["settings"] == changes


def test_at_the_command_line(broker):
    broker.create("t")
    done = broker.cli("topic", "alter", "t", "--set", "retention.ms=86400000", "--set", "durability=os")
    assert done.returncode == 0 and done.stderr == b""
    assert describe(broker)["settings"]["retention.ms"] == 86400000
    broker.kill()
    broker.start()
    shown = broker.cli("topic", "describe", "t").stdout.decode()
    assert "durability=os" in shown and "retention.ms=86400000" in shown
    refused = broker.cli("topic", "alter", "t", "--set", "retention.msec=1")
    assert refused.returncode == 4 and b"retention.ms" in refused.stderr
