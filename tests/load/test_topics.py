"""Ten thousand topics: what an idle one costs, and that none needs a descriptor of its own."""

import json
import os
import random
import time

import pytest

from harness.oracle import report
from harness.pipeline import request, send_all
from harness.process import cpu_seconds, descriptors, own_bytes, reads

LONG = os.environ.get("BOURN_LONG")
TOPICS = 10_000 if LONG else 2_000
TOPIC_BYTES_MAX = 4 << 10  # of the broker's own memory, each
WARM_TOPIC_BYTES_MAX = 9 << 9  # … while its last events are in memory, too
DESCRIPTORS_MAX = 1024
WARM_TOPICS = 400
EVENTS = 4  # a topic
COLD_TOPICS = 1_000
CALLS_PER_READ_MAX = 8  # of a cold event: the request, and open, header, index and batch
STORAGE = ["memory", "log"]


def value(topic, n):
    return f"event {n} of topic {topic}".ljust(100).encode()


def snapshot(broker):
    send_all(broker, [request("POST", "/v1/admin/snapshot")], 200)


def create(broker, topics):
    body = json.dumps({"partitions": 1}).encode()
    send_all(broker, (request("PUT", f"/v1/topics/t{i}", body, "application/json") for i in topics), 201)


def produce(broker, topics):
    for n in range(EVENTS):
        send_all(broker, (request("POST", f"/produce/t{i}", value(i, n)) for i in topics), 201)


def warm(broker):
    """Buffers that grow with the first use and stay are not what a topic costs."""
    first = range(TOPICS, TOPICS + WARM_TOPICS)
    create(broker, first)
    produce(broker, first)
    snapshot(broker)


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.timeout(900)
def test_idle_topics(start, shards, storage):
    broker = start(shards=shards, storage=storage)
    warm(broker)
    base = own_bytes(broker)
    each = {}
    took = {}

    def note(when, started):
        each[when] = round((own_bytes(broker) - base) / TOPICS)
        took[when] = round(time.monotonic() - started, 2)
        assert descriptors(broker) <= DESCRIPTORS_MAX

    began = time.monotonic()
    create(broker, range(TOPICS))
    note("created", began)
    began = time.monotonic()
    produce(broker, range(TOPICS))
    note("produced", began)
    began = time.monotonic()
    snapshot(broker)
    note("saved", began)
    broker.stop()
    began = time.monotonic()
    broker.start()
    note("started", began)
    broker.kill()
    began = time.monotonic()
    broker.start()
    note("killed", began)
    verdict = all(size <= (WARM_TOPIC_BYTES_MAX if when in ("produced", "saved") else TOPIC_BYTES_MAX)
                  for when, size in each.items())
    report(test=f"idle topics, {storage}, {shards} shards", topics=TOPICS, bytes_each=each, seconds=took,
           start_cpu_s=round(cpu_seconds(broker), 2), descriptors=descriptors(broker),
           verdict="pass" if verdict else "fail")
    assert verdict


def read_all(broker, topics):
    """One event of each, in this order; every one is looked at."""
    offsets = [n % EVENTS for n in range(len(topics))]
    wanted = [value(topic, offset) for topic, offset in zip(topics, offsets)]

    def check(count, body):
        assert body == wanted[count - 1]

    send_all(broker, (request("GET", f"/v1/topics/t{topic}/events/{offset}")
                      for topic, offset in zip(topics, offsets)), 200, check)


@pytest.mark.timeout(300)
def test_cold_topics(start, shards, seed):
    """More segments than are kept open, read in any order: every read costs a few calls, no more."""
    broker = start(shards=shards, storage="log")
    create(broker, range(COLD_TOPICS))
    produce(broker, range(COLD_TOPICS))
    snapshot(broker)
    broker.restart()
    order = list(range(COLD_TOPICS))
    dice = random.Random(seed)
    _bytes, before = reads(broker)
    most = 0
    for _ in range(3):
        dice.shuffle(order)
        read_all(broker, order)
        most = max(most, descriptors(broker))
    calls = (reads(broker)[1] - before) / 3 / COLD_TOPICS
    report(test=f"cold topics, {shards} shards", topics=COLD_TOPICS, calls_per_read=round(calls, 1),
           descriptors=most, verdict="pass" if most <= DESCRIPTORS_MAX and calls <= CALLS_PER_READ_MAX else "fail")
    assert most <= DESCRIPTORS_MAX
    assert calls <= CALLS_PER_READ_MAX
