"""F15: SIGTERM under load: graceful within two seconds, exit 0, every acknowledged event safe."""

import os
import random
import time

import pytest

from harness.oracle import PARTITIONS, Oracle

CYCLES = 100 if os.environ.get("BOURN_LONG") else 8


@pytest.mark.timeout(1800)
def test_sigterm(start, shards, seed, tmp_path):
    rng = random.Random(f"{seed}-{shards}")
    broker = start(shards=shards)
    topics = ["commit", "none"]  # a graceful stop keeps even what has no durability
    for topic in topics:
        broker.create(topic, partitions=PARTITIONS, durability=topic)
    oracle = Oracle(broker, tmp_path, f"F15 SIGTERM, {shards} shards", seed, topics)
    for cycle in range(CYCLES):
        producers = oracle.start_producers(16)
        idle = [broker.connect() for _ in range(20)]
        time.sleep(rng.uniform(0.05, 0.4))
        oracle.watch_memory()
        broker.stop()  # asserts exit 0 and the two seconds
        oracle.join(producers)
        for connection in idle:
            connection.close()
        broker.start(shards=(shards, 2, 3, 1)[(cycle + 1) % 4])
        missing = oracle.verify()
        assert not missing, (cycle, missing, broker.log)
    oracle.verdict()
