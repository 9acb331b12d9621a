"""F15: SIGTERM under load: graceful within two seconds, exit 0, every acknowledged event safe, and
nothing to recover at the next start."""

import os
import random
import time

import pytest

from harness.oracle import Oracle

CYCLES = 100 if os.environ.get("BOURN_LONG") else 20


def leader_epochs(broker, topics):
    """Every unclean recovery raises them."""
    return {partition["leader_epoch"] for topic in topics
            for partition in broker.client.get(f"/v1/topics/{topic}").json()["partitions"]}


@pytest.mark.timeout(1800)
def test_sigterm(start, shards, seed, tmp_path):
    rng = random.Random(f"{seed}-{shards}")
    broker = start(shards=shards)
    topics = ["commit", "interval", "none"]  # a graceful stop keeps even what has no durability
    oracle = Oracle(broker, tmp_path, f"F15 SIGTERM, {shards} shards", seed, topics)
    oracle.create_topics()
    slowest_stop = slowest_start = 0.0
    for cycle in range(CYCLES):
        producers = oracle.start_producers(16)
        idle = [broker.connect() for _ in range(20)]
        time.sleep(rng.uniform(0.05, 0.3))  # the load runs; this is when it is stopped
        oracle.watch_memory()
        started = time.monotonic()
        broker.stop()  # asserts exit 0 and the two seconds
        slowest_stop = max(slowest_stop, time.monotonic() - started)
        oracle.join(producers)
        for connection in idle:
            connection.close()
        started = time.monotonic()
        broker.start(shards=(shards, 2, 3, 1)[(cycle + 1) % 4])
        slowest_start = max(slowest_start, time.monotonic() - started)
        assert leader_epochs(broker, topics) == {0}, (cycle, broker.log)
        missing = oracle.verify()
        assert not missing, (cycle, missing, broker.log)
    oracle.verdict(slowest_stop_s=round(slowest_stop, 3), slowest_start_s=round(slowest_start, 3))
