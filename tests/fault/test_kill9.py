"""F1: kill -9 at random moments under load; restart with 1, 2, 3, 1 … shards."""

import os
import random
import time

import pytest

from harness.oracle import PARTITIONS, Oracle

CYCLES = 60 if os.environ.get("BOURN_LONG") else 12
# Checkpoints all the time, so that kills hit them too.
BUSY = {"BOURN_STORAGE_SNAPSHOT_SIZE": "1MiB", "BOURN_STORAGE_SNAPSHOT_AGE": "300ms"}


@pytest.mark.timeout(1800)
def test_kill9(start, shards, seed, tmp_path):
    rng = random.Random(f"{seed}-{shards}")
    broker = start(shards=shards, env=BUSY)
    topics = ["commit", "interval", "os"]
    for topic in topics:
        broker.create(topic, partitions=PARTITIONS, durability=topic)
    oracle = Oracle(broker, tmp_path, f"F1 kill -9, from {shards} shards", seed, topics)
    for cycle in range(CYCLES):
        producers = oracle.start_producers(24)
        time.sleep(rng.uniform(0.05, 0.7))  # the load runs; this is when it is cut
        if rng.random() < 0.3:
            broker.client.post("/v1/admin/snapshot")
        oracle.watch_memory()
        broker.kill()
        oracle.join(producers)
        broker.start(shards=(shards, 2, 3, 1)[(cycle + 1) % 4])
        missing = oracle.verify()
        assert not missing, (cycle, missing, broker.log)
    oracle.verdict()


@pytest.mark.timeout(600)
def test_kill9_without_durability_loses_only_what_followed_the_snapshot(start, shards, seed, tmp_path):
    broker = start(shards=shards)
    broker.create("none", partitions=PARTITIONS, durability="none")
    oracle = Oracle(broker, tmp_path, f"F1 class none, {shards} shards", seed, ["none"])
    producers = oracle.start_producers(8)
    time.sleep(0.3)
    oracle.join(producers, stop=True)
    assert broker.client.post("/v1/admin/snapshot").status == 200
    oracle.watch_memory()
    broker.kill()
    broker.start()
    oracle.verify()
    oracle.verdict()
