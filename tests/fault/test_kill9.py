"""F1: kill -9 at random moments under load; restart with 1, 2, 3, 1 … shards."""

import os
import random
import time

import pytest

from harness.oracle import Oracle

CYCLES = 50 if os.environ.get("BOURN_LONG") else 20
# Checkpoints all the time, so that kills hit them too.
BUSY = {"BOURN_STORAGE_SNAPSHOT_SIZE": "1MiB", "BOURN_STORAGE_SNAPSHOT_AGE": "300ms"}


def load_until_killed(broker, oracle, rng):
    """Some load, cut off at a random moment; half of the time a snapshot is being asked for."""
    producers = oracle.start_producers(24)
    time.sleep(rng.uniform(0.05, 0.5))  # the load runs; this is when it is cut
    oracle.watch_memory()
    checkpoints = broker.metric("bourn_checkpoints_total")
    if rng.random() < 0.5:
        connection = broker.connect()
        connection.request("POST", "/v1/admin/snapshot", [("Content-Length", 0)])
        time.sleep(rng.uniform(0, 0.03))
        broker.kill()
        connection.close()
    else:
        broker.kill()
    oracle.join(producers)
    return checkpoints


@pytest.mark.timeout(1800)
def test_kill9(start, shards, seed, tmp_path):
    rng = random.Random(f"{seed}-{shards}")
    broker = start(shards=shards, env=BUSY)
    oracle = Oracle(broker, tmp_path, f"F1 kill -9, from {shards} shards", seed, ["commit", "interval", "os"])
    oracle.create_topics()
    checkpoints = 0
    slowest = 0.0
    for cycle in range(CYCLES):
        checkpoints += load_until_killed(broker, oracle, rng)
        started = time.monotonic()
        broker.start(shards=(shards, 2, 3, 1)[(cycle + 1) % 4])
        slowest = max(slowest, time.monotonic() - started)
        missing = oracle.verify()
        assert not missing, (cycle, missing, broker.log)
    oracle.verdict(checkpoints=checkpoints, slowest_start_s=round(slowest, 3))
    assert checkpoints > 0, "no checkpoint ever ran: the test did not test them"


@pytest.mark.timeout(600)
def test_kill9_without_durability_loses_only_what_followed_the_snapshot(start, shards, seed, tmp_path):
    broker = start(shards=shards)
    oracle = Oracle(broker, tmp_path, f"F1 class none, {shards} shards", seed, ["none"])
    oracle.create_topics()
    producers = oracle.start_producers(8)
    time.sleep(0.3)
    oracle.join(producers, stop=True)
    assert broker.client.post("/v1/admin/snapshot").status == 200
    oracle.watch_memory()
    broker.kill()
    broker.start()
    oracle.verify()
    oracle.verdict()
