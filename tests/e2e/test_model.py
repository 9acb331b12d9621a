"""Random operations over HTTP against a broker of one page of Python; both must always agree.

Repeat a run with BOURN_SEED. With the engine `remote_sim` of the test binary offsets may have gaps,
also behind the last event, so there the model takes the offsets and the end that the broker gives,
as long as they rise.
"""

import json
import os
import random

import pytest

from harness.broker import TEST_BIN
from harness.murmur2 import murmur2

STEPS = 6000 if os.environ.get("BOURN_LONG") else 400
ENVELOPES = "application/vnd.bourn.events+x-ndjson"


class Partition:
    """What a partition is, without the hard parts."""

    def __init__(self):
        self.events = []  # (offset, key, value), rising
        self.start = 0
        self.end = 0

    def append(self, offset, key, value):
        self.events.append((offset, key, value))
        self.end = offset + 1

    def trim(self, upto):
        self.start = max(self.start, upto)
        self.events = [event for event in self.events if event[0] >= self.start]

    def from_offset(self, offset):
        return [event for event in self.events if event[0] >= offset]


class Driver:
    """Does one random thing to both, and compares."""

    def __init__(self, broker, seed, gaps, may_kill):
        self.broker = broker
        self.may_kill = may_kill
        self.random = random.Random(seed)
        self.topics = {}  # name -> list of Partition
        self.gaps = gaps
        self.count = 0

    def pick(self):
        name = self.random.choice(sorted(self.topics) or ["t0"])
        return name, self.topics.get(name)

    def value(self):
        self.count += 1
        size = self.random.choice([0, 1, 10, 100, 1000, 30_000])
        return f"{self.count}-" + "x" * self.random.randint(0, size)

    def create(self):
        name = f"t{self.random.randint(0, 5)}"
        count = self.random.choice([1, 1, 2, 5])
        reply = self.broker.client.put_json(f"/v1/topics/{name}", {"partitions": count})
        mine = self.topics.get(name)
        if mine is None:
            assert reply.status == 201, reply
            self.topics[name] = [Partition() for _ in range(count)]
        else:
            assert reply.status == (200 if len(mine) == count else 409), reply

    def grow(self):
        name, partitions = self.pick()
        count = self.random.choice([1, 2, 3, 6])
        reply = self.broker.client.patch_json(f"/v1/topics/{name}", {"partitions": count})
        if partitions is None or count < len(partitions):
            assert reply.status == (404 if partitions is None else 400), reply
            return
        assert reply.status == 200, reply
        assert len(reply.json()["partitions"]) == count
        partitions += [Partition() for _ in range(count - len(partitions))]

    def stored(self, name, partition, offset, events):
        log = self.topics[name][partition]
        assert offset >= log.end if self.gaps else offset == log.end, (name, partition, offset, log.end)
        for i, (key, value) in enumerate(events):
            log.append(offset + i, key, value)

    def produce(self):
        name, partitions = self.pick()
        if partitions is None:
            return
        key = self.random.choice([None, "a", "b", "c"])
        value = self.value()
        headers = {"Event-Key": key} if key else {}
        query = ""
        if self.random.random() < 0.5:
            query = f"?partition={self.random.randrange(len(partitions))}"
        reply = self.broker.client.post(f"/produce/{name}{query}", value, "text/plain", headers)
        assert reply.status == 201, reply
        ack = reply.json()
        if query:
            assert ack["partition"] == int(query.split("=")[1])
        self.stored(name, ack["partition"], ack["offset"], [(key, value)])

    def produce_lines(self):
        name, partitions = self.pick()
        if partitions is None:
            return
        values = [self.value() for _ in range(self.random.randint(1, 20))]
        body = "\n".join(json.dumps(value) for value in values)
        reply = self.broker.client.post(f"/produce/{name}", body, "application/x-ndjson", {"Event-Key": "a"})
        assert reply.status == 201, reply
        ack = reply.json()
        assert ack["count"] == len(values)
        self.stored(name, ack["partition"], ack["offset"], [("a", value) for value in values])

    def produce_envelopes(self):
        name, partitions = self.pick()
        if partitions is None:
            return
        events = [(self.random.choice("abcdef"), self.value()) for _ in range(self.random.randint(1, 20))]
        body = "\n".join(json.dumps({"key": key, "value": value}) for key, value in events)
        reply = self.broker.client.post(f"/produce/{name}", body, ENVELOPES)
        assert reply.status == 201, reply
        results = reply.json()["results"]
        assert sum(result["count"] for result in results) == len(events)
        places = {}
        for key in {key for key, _value in events}:
            places[key] = murmur2(key.encode()) % len(partitions)
        for result in results:
            mine = [event for event in events if places[event[0]] == result["partition"]]
            assert len(mine) == result["count"]
            self.stored(name, result["partition"], result["offset"], mine)

    def expected_offset(self):
        name, partitions = self.pick()
        if partitions is None or self.gaps:
            return
        index = self.random.randrange(len(partitions))
        log = partitions[index]
        expected = self.random.choice([log.end, log.end + 1, max(0, log.end - 1)])
        value = self.value()
        reply = self.broker.client.post(f"/produce/{name}?partition={index}", value, "text/plain",
                                        {"Expected-Offset": str(expected)})
        assert reply.status == (201 if expected == log.end else 409), reply
        if reply.status == 201:
            self.stored(name, index, reply.json()["offset"], [(None, value)])

    def consume(self):
        name, partitions = self.pick()
        if partitions is None:
            reply = self.broker.client.get(f"/consume/{name}")
            assert reply.status == 404, reply
            return
        index = self.random.randrange(len(partitions))
        log = self.up_to_date(name, partitions[index], index)
        offset = self.random.choice(
            ["earliest", "last", "end", self.random.randint(0, log.end + 2), log.start])
        limit = self.random.choice([1, 3, 100, 10_000])
        reply = self.broker.client.get(f"/consume/{name}?partition={index}&offset={offset}&limit={limit}")
        if isinstance(offset, int) and offset < log.start:
            assert reply.status == 410 and reply.json()["earliest"] == log.start, reply
            return
        if isinstance(offset, int) and offset > log.end:
            if self.gaps and reply.status == 200:  # a marker of the engine's, which is no event
                assert reply.json()["events"] == []
                assert reply.json()["partitions"][0]["high_watermark"] >= offset
                return
            assert reply.status == 416, reply
            return
        assert reply.status == 200, reply
        if offset == "earliest":
            expected = log.events
        elif offset == "last":
            expected = log.events[-1:]
        elif offset == "end":
            expected = []
        else:
            expected = log.from_offset(offset)
        events = [(e["offset"], e.get("key"), e["value"]) for e in reply.json()["events"]]
        assert events == expected[:len(events)], (name, index, offset)
        assert len(events) == min(limit, len(expected)) or sum(len(e[2]) for e in expected[:limit]) > 500_000

    def one_event(self):
        name, partitions = self.pick()
        if partitions is None:
            return
        index = self.random.randrange(len(partitions))
        log = self.up_to_date(name, partitions[index], index)
        offset = self.random.randint(0, log.end + 2)
        reply = self.broker.client.get(f"/v1/topics/{name}/events/{offset}?partition={index}")
        found = [value for at, _key, value in log.events if at == offset]
        expected = 410 if offset < log.start else 416 if offset >= log.end else 200 if found else 404
        assert reply.status == expected, (name, index, offset, reply)
        if found:
            assert reply.body.decode() == found[0] or reply.json() == found[0]

    def up_to_date(self, name, log, index):
        """With gaps only the broker knows where a partition ends."""
        if self.gaps:
            facts = self.broker.client.get(f"/v1/topics/{name}").json()["partitions"][index]
            assert facts["high_watermark"] >= log.end, (name, index, facts)
            log.end = facts["high_watermark"]
        return log

    def read_everything(self, name):
        """Follow `next` through all partitions."""
        seen = [[] for _ in self.topics[name]]
        cursor = ""
        while True:
            answer = self.broker.consume(name, f"?limit=50{cursor}")
            for event in answer["events"]:
                seen[event["partition"]].append((event["offset"], event.get("key"), event["value"]))
            if not answer["events"]:
                return seen
            cursor = f"&cursor={answer['next']}"

    def purge(self):
        name, partitions = self.pick()
        if partitions is None:
            return
        index = self.random.randrange(len(partitions))
        log = self.up_to_date(name, partitions[index], index)
        upto = self.random.randint(log.start, log.end)
        reply = self.broker.client.post(f"/v1/topics/{name}/purge", json.dumps({"partition": index, "upto": upto}),
                                        "application/json")
        assert reply.status in (200, 204), reply
        log.trim(upto)

    def delete(self):
        name, partitions = self.pick()
        if partitions is None or self.random.random() < 0.7:
            return
        assert self.broker.client.delete(f"/v1/topics/{name}").status == 204
        del self.topics[name]

    def snapshot(self):
        reply = self.broker.client.post("/v1/admin/snapshot")
        assert reply.status in (200, 501), reply

    def restart(self):
        if not self.may_kill or self.random.random() < 0.5:
            self.broker.stop()
        else:
            self.broker.kill()
        self.broker.start(shards=self.random.choice([1, 2, 3]))
        self.compare()

    def compare(self):
        listed = self.broker.client.get("/v1/topics").json()["topics"]
        assert [topic["name"] for topic in listed] == sorted(self.topics)
        for name, partitions in self.topics.items():
            assert self.read_everything(name) == [log.events for log in partitions], name

    def run(self, steps):
        actions = ([self.produce] * 10 + [self.produce_lines] * 4 + [self.produce_envelopes] * 4
                   + [self.consume] * 10 + [self.one_event] * 4 + [self.expected_offset] * 3
                   + [self.create] * 2 + [self.grow, self.purge, self.delete, self.snapshot, self.restart])
        for step in range(steps):
            action = self.random.choice(actions)
            try:
                action()
            except AssertionError as error:
                raise AssertionError(f"step {step}, {action.__name__}: {error}") from error
        self.compare()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("run", range(2))
@pytest.mark.parametrize("engine", ["memory", "log", "rocksdb"])
def test_local_engines_agree_with_the_model(start, shards, seed, engine, run):
    print(f"BOURN_SEED={seed} run={run}")
    broker = start(shards=shards, storage=engine)
    Driver(broker, f"{seed}-{run}", gaps=False, may_kill=True).run(STEPS)


@pytest.mark.timeout(600)
def test_remote_engine_agrees_with_the_model(start, shards, seed):
    if not TEST_BIN.exists():
        pytest.skip(f"there is no {TEST_BIN}")
    print(f"BOURN_SEED={seed}")
    broker = start(shards=shards, binary=TEST_BIN, storage="remote_sim")
    Driver(broker, seed, gaps=True, may_kill=False).run(STEPS)
