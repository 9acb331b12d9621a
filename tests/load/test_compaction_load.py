"""Compaction of many events over few keys: exact, in bounded memory, beside what goes on."""

import os
import statistics
import threading
import time

import pytest

from harness.oracle import report
from harness.process import own_bytes

LONG = os.environ.get("BOURN_LONG")
MIB = 1 << 20
EVENTS = 10_000_000 if LONG else 500_000
KEYS = 100_000 if LONG else 20_000
BATCH = 5000
VALUE = 64  # bytes and more
STEP = 7919  # which no number of keys here is a multiple of
MEMORY = 64 * MIB
MEMORY_MORE_MAX = 96 * MIB  # 32 of keys, what is rewritten, buffers
# On a machine that others use too, only gross disturbance can be told.
P99_RATIO_MAX = 3 if LONG else 20
ENVELOPES = "application/vnd.bourn.events+x-ndjson"


def fill(broker):
    pad = "x" * VALUE
    for first in range(0, EVENTS, BATCH):
        body = "\n".join(f'{{"key":"k{n * STEP % KEYS}","value":"{n} {pad}","encoding":"text"}}'
                         for n in range(first, first + BATCH))
        reply = broker.client.post("/produce/t", body, ENVELOPES)
        assert reply.status == 201, reply


class Live(threading.Thread):
    """Somebody who stores an event now and then, and how long each took."""

    def __init__(self, broker):
        super().__init__()
        self.client, self.stopped, self.seconds = broker.new_client(), False, []

    def run(self):
        while not self.stopped:
            began = time.perf_counter()
            assert self.client.post("/produce/live", "x" * 100, "text/plain").status == 201
            self.seconds.append(time.perf_counter() - began)
            time.sleep(0.002)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.join()
        self.client.close()

    def p99_ms(self):
        return statistics.quantiles(self.seconds, n=100)[98] * 1000


def watch(broker, base, goes_on):
    """As often before as beside it, so that the two differ in nothing else. What it took of memory."""
    seen, began = [], time.monotonic()
    while goes_on(time.monotonic() - began):
        seen.append(own_bytes(broker) - base)
        broker.metric("bourn_compactions_total")
        broker.client.get("/v1/topics/t")
        time.sleep(0.1)
    return seen


def is_compacted(broker):
    now = broker.client.get("/v1/topics/t").json()
    return (broker.metric("bourn_compactions_total") > 0 and now["segments"] <= 3 + KEYS * 200 // (8 * MIB)
            and now["bytes"] <= 3 * 8 * MIB + KEYS * 200 and not broker.metric("bourn_compacting"))


def check(broker):
    """Every event there is, is right, and the last of each key is there. Returns how many there are."""
    last, count, at = {}, 0, 0
    while at < EVENTS:
        page = broker.consume("t", f"?offset={at}&limit=10000&max_bytes=4MiB")
        for event in page["events"]:
            number = event["offset"]
            assert event["key"] == f"k{number * STEP % KEYS}"
            assert event["value"].startswith(f"{number} x")
            assert last.get(event["key"], -1) < number
            last[event["key"]] = number
            count += 1
        at = int(page["next"])
    assert set(last.values()) == set(range(EVENTS - KEYS, EVENTS))
    return count


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ["log", "memory", "rocksdb"] if not LONG else ["log", "rocksdb"])
def test_many_events_of_few_keys(start, engine):
    broker = start(shards=2, storage=engine, env={
        "BOURN_STORAGE_MEMORY": str(MEMORY), "BOURN_STORAGE_ROCKSDB_WRITE_BUFFER": "8MiB",
        "BOURN_STORAGE_ROCKSDB_BLOCK_CACHE": "8MiB"})
    broker.create("t", durability="os", segment_bytes=8 * MIB)
    broker.create("live")
    fill(broker)
    assert broker.client.post("/v1/admin/snapshot").status == 200
    base, before = own_bytes(broker), broker.client.get("/v1/topics/t").json()
    with Live(broker) as quiet:
        watch(broker, base, lambda seconds: seconds < (20 if LONG else 3))
    began = time.monotonic()
    with Live(broker) as beside:
        assert broker.client.patch_json("/v1/topics/t", {
            "settings": {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": 0}}).status == 200
        assert broker.client.post("/v1/admin/snapshot").status == 200
        seen = watch(broker, base, lambda seconds: seconds < 1800 and not is_compacted(broker))
    seconds = time.monotonic() - began
    count = check(broker)
    ratio = beside.p99_ms() / quiet.p99_ms()
    read, written = (broker.metric(f"bourn_compaction_{what}_bytes_total") for what in ("read", "written"))
    fine = ratio <= P99_RATIO_MAX and max(seen) <= MEMORY_MORE_MAX
    report(test=f"compaction, {engine}", events=EVENTS, keys=KEYS, bytes=before["bytes"], left=count,
           runs=broker.metric("bourn_compactions_total"), read=read, written=written, seconds=round(seconds, 1),
           memory_more=max(seen), p99_quiet_ms=round(quiet.p99_ms(), 2), p99_ms=round(beside.p99_ms(), 2),
           ratio=round(ratio, 2), verdict="pass" if fine else "fail")
    assert fine
    assert broker.metric("bourn_compaction_failures_total") == 0
