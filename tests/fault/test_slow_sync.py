"""F16: every flush takes two seconds: nobody but those who wait for one notices, neither who reads
what is cold. A second broker, whose flushes are quick, is asked the same at the same time: what the
machine itself does to both is no matter."""

import threading
import time

import pytest

from harness.broker import BIN, TEST_BIN
from harness.oracle import PARTITIONS, Oracle

FLAKY = BIN.with_name("flaky_calls.so")
FLUSH_S = 2.0
SECONDS = 4
COLD = 300  # events of 4 KiB: more than stays in memory
TIMES_SLOWER = 1.2
MACHINE_MS = 1  # what two equal brokers may differ by
TRIES = 4       # a machine with other work delays the one or the other; a loop that waits, waits each time
LOADED = 8      # producers that wait for flushes


class Prober(threading.Thread):
    """Asks both brokers one thing over and over for a while; keeps how long each answer took."""

    def __init__(self, brokers, method, path, body=None):
        super().__init__(daemon=True)
        self.clients = [broker.new_client() for broker in brokers]
        self.request = (method, path, body)
        self.took = [[] for _ in brokers]
        self.statuses = set()

    def run(self):
        end = time.monotonic() + SECONDS
        count = 0
        while time.monotonic() < end:
            count += 1
            path = self.request[1].replace("{n}", str(count * 7 % COLD))
            for client, took in list(zip(self.clients, self.took))[::1 if count % 2 else -1]:
                started = time.monotonic()
                self.statuses.add(client.request(self.request[0], path, self.request[2]).status)
                took.append(time.monotonic() - started)
            time.sleep(0.002)  # a steady trickle, not a load

    def p99_ms(self):
        """Of the slow broker, of the other."""
        return [round(sorted(took)[len(took) * 99 // 100] * 1000, 1) for took in self.took]

    def worst_s(self):
        return max(self.took[0])


def prepare(start, engine):
    """A broker whose topic `os` is in segments only, under `log`."""
    broker = start(storage=engine, shards=2, binary=TEST_BIN, env={"BOURN_STORAGE_MEMORY": "1MiB"})
    broker.create("commit", partitions=PARTITIONS, durability="commit")
    broker.create("none", partitions=4, durability="none")
    broker.create("os", durability="os")
    for first in range(0, COLD, 100):
        lines = [f'"{i:04} {"x" * 4096}"' for i in range(first, first + 100)]
        broker.produce("os", "\n".join(lines), "application/x-ndjson")
    assert broker.client.post("/v1/admin/snapshot").status == 200
    broker.stop()
    return broker


def slow_sync(engine):
    """As a broker's environment."""
    ms = f"{FLUSH_S * 1000:.0f}"
    if engine == "rocksdb":  # the library flushes
        return {"LD_PRELOAD": str(FLAKY), "BOURN_SLOW_SYNC_MS": ms}
    return {"BOURN_TEST_SLOW_SYNC_MS": ms}


def probe(slow, other):
    """For a while, of both."""
    probers = {"livez": Prober((slow, other), "GET", "/livez"),
               "read": Prober((slow, other), "GET", "/consume/os?limit=1&offset={n}")}
    if slow.storage != "rocksdb":  # there every class waits for the one writer
        probers["none"] = Prober((slow, other), "POST", "/produce/none", "x")
    for prober in probers.values():
        prober.start()
    for name, prober in probers.items():
        prober.join(60)
        assert prober.statuses == {201 if name == "none" else 200}, prober.statuses
        assert prober.worst_s() < FLUSH_S / 2, f"{name} waited for a flush"
    return probers


def delayed(probers):
    return any(ours > others * TIMES_SLOWER + MACHINE_MS for ours, others in
               (prober.p99_ms() for prober in probers.values()))


@pytest.mark.skipif(not TEST_BIN.exists(), reason=f"SKIPPED LOUDLY: there is no {TEST_BIN}")
@pytest.mark.timeout(180)
def test_slow_sync(start, engine, seed, tmp_path):
    slow, other = (prepare(start, engine) for _ in range(2))
    slow.env = {**slow.env, **slow_sync(engine)}
    other.start()
    slow.start()
    oracle = Oracle(slow, tmp_path, "F16 slow sync", seed, ["commit"], engine=engine,
                    **{"class": "commit os none"})
    producers = oracle.start_producers(LOADED)
    for _ in range(TRIES):
        probers = probe(slow, other)
        if not delayed(probers):
            break
    oracle.watch_memory()
    oracle.join(producers, stop=True)
    quickest = min(producer.quickest_s for producer in producers)
    slow.kill()
    slow.env = {}
    slow.start()
    assert not oracle.verify()
    assert slow.values("os", f"?offset={COLD - 1}") == [f'{COLD - 1:04} {"x" * 4096}']
    oracle.verdict(p99_ms={name: prober.p99_ms() for name, prober in probers.items()},
                   quickest_commit_s=round(quickest, 2))
    assert quickest >= FLUSH_S - 0.1, "acknowledged before it was flushed"
    assert not delayed(probers), {name: prober.p99_ms() for name, prober in probers.items()}
