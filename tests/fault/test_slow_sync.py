"""F16: every flush takes two seconds: nobody but those who wait for one notices."""

import threading
import time

import pytest

from harness.broker import TEST_BIN
from harness.oracle import Oracle

SECONDS = 4


class Prober(threading.Thread):
    """Asks one thing over and over for a while; keeps how long each answer took."""

    def __init__(self, broker, method, path, body=None):
        super().__init__(daemon=True)
        self.broker = broker
        self.request = (method, path, body)
        self.took = []
        self.statuses = set()

    def run(self):
        client = self.broker.new_client()
        end = time.monotonic() + SECONDS
        while (started := time.monotonic()) < end:
            self.statuses.add(client.request(*self.request).status)
            self.took.append(time.monotonic() - started)
            time.sleep(0.002)  # a steady trickle, not a load

    def p99_ms(self):
        return round(sorted(self.took)[len(self.took) * 99 // 100] * 1000, 1)


@pytest.mark.skipif(not TEST_BIN.exists(), reason=f"SKIPPED LOUDLY: there is no {TEST_BIN}")
@pytest.mark.timeout(180)
def test_slow_sync(start, seed, tmp_path):
    broker = start(shards=2, binary=TEST_BIN)
    oracle = Oracle(broker, tmp_path, "F16 slow sync", seed, ["commit"])
    oracle.create_topics()
    broker.create("none", partitions=4, durability="none")
    broker.create("os", partitions=4, durability="os")
    broker.produce("os", "to be read")
    broker.stop()
    broker.env = {"BOURN_TEST_SLOW_SYNC_MS": "2000"}
    broker.start()
    producers = oracle.start_producers(8)
    probers = [Prober(broker, "GET", "/livez"), Prober(broker, "GET", "/consume/os"),
               Prober(broker, "POST", "/produce/none", "x")]
    started = time.monotonic()
    for prober in probers:
        prober.start()
    for prober in probers:
        prober.join(60)
    assert probers[0].statuses == probers[1].statuses == {200} and probers[2].statuses == {201}
    assert time.monotonic() - started < SECONDS + 5
    oracle.watch_memory()
    oracle.join(producers, stop=True)
    assert not oracle.verify()
    broker.kill()
    broker.env = {}
    broker.start()
    assert not oracle.verify()
    p99_ms = {name: prober.p99_ms() for name, prober in zip(("livez", "read", "none"), probers)}
    oracle.verdict(p99_ms=p99_ms)
    assert max(p99_ms.values()) < 100, p99_ms
