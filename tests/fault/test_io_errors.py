"""F6: the n-th call of a kind fails with EIO, n = 1 … 50: what it covered is never acknowledged, then
or later; the log is fenced and can be read; after a restart on a healthy disk all is intact.

Needs the test binary, which takes BOURN_TEST_FAULT=CALL:N:ERRNO[:sticky].
"""

import itertools
import os

import pytest

from harness.broker import LISTENING, TEST_BIN
from harness.oracle import PARTITIONS, Oracle

pytestmark = pytest.mark.skipif(not TEST_BIN.exists(), reason=f"SKIPPED LOUDLY: there is no {TEST_BIN}")

# The ways to write, to flush and to read; then all others, of which there are fewer calls.
LONG = os.environ.get("BOURN_LONG")
CALLS = [("pwritev", 50 if LONG else 25), ("sync", 50 if LONG else 25), ("pread", 50 if LONG else 25)]
if LONG:
    CALLS += [("open", 30), ("sync_dir", 12), ("truncate", 12), ("rename", 8), ("unlink", 8),
              ("close", 30), ("size", 20), ("list", 8), ("mkdir", 4), ("space", 8)]
ENGINES = ["memory", "log"]
if LONG:
    ENGINES += ["rocksdb"]  # where only the catalog asks this disk
# A failed write fences all that share the log; what cannot be read, fences its own partition.
READS = ("open", "pread", "size", "list")


class Stubborn(Oracle):
    """Its producers go on whatever they are told; nothing may be acknowledged after a failure."""

    def __init__(self, *arguments, reads, **named):
        super().__init__(*arguments, **named)
        self.reads = reads
        self.made = False  # a topic, while the disk was failing
        self.noticed = False  # some other request than a producer's failed
        self.failed = 0

    def goes_on(self, reply):
        assert reply.status in (500, 503), reply
        assert reply.json()["code"] in ("io", "fenced"), reply
        self.failed += 1
        return True

    def acked(self, producer, events, partition, offset):
        assert not self.failed or self.reads, "acknowledged after a failed write"
        super().acked(producer, events, partition, offset)


def produce_some(oracle, rounds):
    """By one thread, so that the n-th call comes where it comes; two snapshots, the second of which
    does again what the first could not."""
    producers = [oracle.producer(number) for number in range(12)]
    refused_before = oracle.failed
    for i in range(rounds):
        producer = producers[i % len(producers)]
        with oracle.broker.connect() as producer.connection:
            assert producer.turn()
        if i in (rounds // 2, rounds // 2 + 1):
            snapshot = oracle.broker.client.post("/v1/admin/snapshot")
            assert snapshot.status in (200, 500, 503), snapshot
            oracle.noticed |= snapshot.status != 200
    for producer in producers:
        oracle.sequences[producer.number] = producer.sequence
    return oracle.failed - refused_before


def read_some(oracle):
    """What cannot be read is refused; what is served, is right."""
    for topic in oracle.topics:
        for partition in range(PARTITIONS):
            reply = oracle.broker.client.get(f"/consume/{topic}?partition={partition}&offset=earliest&limit=10000",
                                             {"Accept": "application/x-ndjson"})
            assert reply.status in (200, 500), reply
            if reply.status != 200:
                assert reply.json()["code"] in ("io", "corrupt"), reply
                oracle.noticed = True
                continue
            for line in reply.body.splitlines():
                assert oracle.is_right(topic, partition, line), line


def serve_on_failing_disk(broker, oracle, fault):
    """True when the fault showed: something was refused, or the start was."""
    broker.env = {"BOURN_TEST_FAULT": fault}
    broker.spawn()
    try:
        broker.port = int(broker.wait_line(LISTENING).group(2))
    except AssertionError:
        assert broker._wait(10) == 1 and "Input/output error" in broker.log, broker.log
        return True
    oracle.noticed = False
    if oracle.reads:
        read_some(oracle)
    failed = produce_some(oracle, 24) > 0
    created = broker.client.put_json("/v1/topics/made", {})
    assert created.status in (201, 500, 503), created
    oracle.made = created.status == 201
    oracle.noticed |= not oracle.made
    if not oracle.reads:
        assert not oracle.verify(), "what was acknowledged is still served"
    assert broker.client.get("/readyz").status == 200, "fenced partitions do not unready a broker"
    if failed:
        assert broker.info()["fenced"], "fenced partitions are named"
    oracle.watch_memory()
    return failed or oracle.noticed


def one_failure(broker, oracle, fault, killed):
    oracle.create_topics()
    produce_some(oracle, 12)
    broker.stop()
    showed = serve_on_failing_disk(broker, oracle, fault)
    if broker.running:
        broker.kill() if killed else broker.stop()
    broker.env = {}
    oracle.failed = 0
    broker.start()
    missing = oracle.verify()
    assert not missing and not any(oracle.bad.values()), (fault, missing, oracle.bad, broker.log)
    assert not oracle.made or broker.client.get("/v1/topics/made").status == 200, "an acknowledged topic is gone"
    assert produce_some(oracle, 12) == 0, "takes writes again after a restart"
    broker.restart()
    assert not oracle.verify()
    broker.stop()
    return showed


@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("call,times", CALLS)
def test_io_errors(start, engine, seed, tmp_path, call, times):
    acked = showed = 0
    once_or_for_good = itertools.cycle(["", "", ":sticky", ":sticky"])
    for n in range(1, times + 1):
        fault = f"{call}:{n}:EIO{next(once_or_for_good)}"
        directory = tmp_path / f"{n}"
        directory.mkdir()
        broker = start(storage=engine, data=directory / "data", binary=TEST_BIN, shards=1 + n % 2)
        oracle = Stubborn(broker, directory, f"F6 {fault}", seed, ["commit", "interval", "os"],
                          reads=call in READS)
        try:
            showed += one_failure(broker, oracle, fault, killed=n % 2)
        except AssertionError as error:
            raise AssertionError(f"{fault}: {error}\n{broker.log}") from error
        acked += oracle.acked_count
    oracle.test = f"F6 EIO on the n-th {call}"
    oracle.about = {"engine": engine, "class": "commit interval os"}
    oracle.rounds, oracle.acked_count = times, acked
    oracle.verdict(showed=showed)
    few = times < 25 or engine == "rocksdb"  # whose catalog makes few calls, and some do no harm
    assert showed > 0 or few, "the fault never showed: the test tests nothing"
