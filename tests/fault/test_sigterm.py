"""F15: SIGTERM under load: graceful within two seconds, exit 0, every acknowledged event safe, and
nothing to recover at the next start."""

import os
import random
import time

import pytest

from harness.oracle import Oracle

CYCLES = 100 if os.environ.get("BOURN_LONG") else 20
ROUND = 10  # cycles on one data directory
TOPICS = ["commit", "interval", "os", "none"]  # a graceful stop keeps even what has no durability


def leader_epochs(broker):
    """Every unclean recovery raises them."""
    return {partition["leader_epoch"] for topic in TOPICS
            for partition in broker.client.get(f"/v1/topics/{topic}").json()["partitions"]}


def stop_under_load(broker, oracle, rng):
    """Returns how long it took."""
    producers = oracle.start_producers(16)
    idle = [broker.connect() for _ in range(20)]
    time.sleep(rng.uniform(0.02, 0.2))  # the load runs; this is when it is stopped
    oracle.watch_memory()
    started = time.monotonic()
    broker.stop()  # asserts exit 0 and the two seconds
    took = time.monotonic() - started
    oracle.join(producers)
    for connection in idle:
        connection.close()
    return took


@pytest.mark.timeout(1800)
def test_sigterm(start, engine, busy, seed, tmp_path):
    rng = random.Random(f"{seed}-{engine}")
    oracle = Oracle(None, tmp_path, "F15 SIGTERM", seed, TOPICS, engine=engine, **{"class": "all"})
    slowest_stop = slowest_start = 0.0
    for cycle in range(CYCLES):
        if cycle % ROUND == 0:
            broker = start(storage=engine, env=busy, shards=1 + cycle // ROUND % 2)
            oracle.begin(broker)
            oracle.create_topics()
        slowest_stop = max(slowest_stop, stop_under_load(broker, oracle, rng))
        started = time.monotonic()
        broker.start(shards=(2, 3, 1)[cycle % 3])
        slowest_start = max(slowest_start, time.monotonic() - started)
        assert leader_epochs(broker) == {0}, (cycle, broker.log)
        missing = oracle.verify()
        assert not missing, (cycle, missing, broker.log)
        if cycle % ROUND == ROUND - 1:
            broker.stop()
    oracle.verdict(slowest_stop_s=round(slowest_stop, 3), slowest_start_s=round(slowest_start, 3))
