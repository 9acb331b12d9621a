"""F1: kill -9 at random moments under load, also of checkpoints, retention and topic operations;
restart with 1, 2, 3, 1 … shards."""

import os
import random
import time

import pytest

from harness.oracle import Oracle
from harness.topic_churn import TopicChurn

CYCLES = 500 if os.environ.get("BOURN_LONG") else 20
ROUND = 10  # cycles on one data directory: what is in it is read as a whole after each
START_SECONDS_MAX = 5  # milliseconds, on a machine of its own

TOPICS = {
    "commit": {"durability": "commit"},
    "interval": {"durability": "interval"},
    "os": {"durability": "os"},
    "none": {"durability": "none"},
    "retained": {"durability": "commit", "retention_count": 500},
}
PRODUCERS = 20  # four a topic


class Cycle:
    """Some load, cut off at a random moment."""

    def __init__(self, broker, oracle, churn, rng):
        self.broker, self.oracle, self.churn, self.rng = broker, oracle, churn, rng
        self.saved_at = time.monotonic()  # what was acknowledged until then is in a snapshot

    def snapshot(self):
        asked = time.monotonic()
        assert self.broker.client.post("/v1/admin/snapshot").status == 200
        self.saved_at = asked

    def run(self):
        """Returns how many checkpoints there were."""
        producers = self.oracle.start_producers(PRODUCERS)
        self.churn.start()
        time.sleep(self.rng.uniform(0.02, 0.25))  # the load runs; this is when it is cut
        self.oracle.watch_memory()
        if self.rng.random() < 0.3:
            self.snapshot()
        checkpoints = self.broker.metric("bourn_checkpoints_total")
        if self.rng.random() < 0.5:
            with self.broker.connect() as connection:
                connection.request("POST", "/v1/admin/snapshot", [("Content-Length", 0)])
                time.sleep(self.rng.uniform(0, 0.03))
                self.broker.kill()
        else:
            self.broker.kill()
        self.oracle.join(producers)
        self.churn.join()
        return checkpoints


@pytest.mark.timeout(1800)
def test_kill9(start, engine, busy, seed, tmp_path):
    rng = random.Random(f"{seed}-{engine}")
    oracle = Oracle(None, tmp_path, "F1 kill -9", seed, TOPICS, pad=300, engine=engine, **{"class": "all"})
    checkpoints = changes = killed = 0
    slowest = 0.0
    while killed < CYCLES:
        broker = start(storage=engine, env=busy, shards=1 + killed // ROUND % 2)
        oracle.begin(broker)
        oracle.create_topics()
        churn = TopicChurn(broker, rng.random())
        for _ in range(min(ROUND, CYCLES - killed)):
            cycle = Cycle(broker, oracle, churn, rng)
            checkpoints += cycle.run()
            killed += 1
            started = time.monotonic()
            broker.start(shards=(1, 2, 3, 1)[killed % 4])
            slowest = max(slowest, time.monotonic() - started)
            missing = oracle.verify(may_lose={"none": cycle.saved_at})
            wrong = churn.verify()
            assert not missing and not wrong and not any(oracle.bad.values()), \
                (killed, missing, wrong, oracle.bad, broker.log)
        changes += churn.count
        broker.kill()
    oracle.verdict(topic_operations=changes, checkpoints=checkpoints, slowest_start_s=round(slowest, 3))
    assert checkpoints > 0 and changes > 0, "no checkpoint or topic operation: the test did not test them"
    assert slowest < START_SECONDS_MAX
