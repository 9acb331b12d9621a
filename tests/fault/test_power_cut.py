"""F3: the power goes at random moments under load. An ext4 of one's own is shut down, which drops all
that it had not written, while a kernel in a mood writes some pages early; then it is mounted anew.

What a device may do with what it was sent, no loop device can show: that is the simulated disk's
(src/store/crash_states_test.c).

A flush that is under way at that moment may return 0 all the same, when the journal's transaction it
waits for is dropped rather than failed: a bare loop of write and fdatasync on a growing file lost the
last thing it was told was flushed in 26 of 300 cuts. Without power nobody would have heard. So what is
acknowledged after a cut has begun counts as unknown.
"""

import os
import random
import time

import pytest

from harness.filesystem import WriteBack
from harness.oracle import Oracle

LONG = bool(os.environ.get("BOURN_LONG"))
# Classes of a broker's topics -> cuts. Alone: a flush for another class would save theirs too.
CUTS = {"commit": 40, "interval": 20, "os": 20, "none": 5, "commit interval os none": 20} if LONG else \
    {"commit": 2, "interval": 1, "os": 1, "none": 1, "commit interval os none": 1}
ROUND = 5  # cuts on one data directory
FLUSH_S = 0.05  # storage.flush
LATE_S = 0.25  # how late a timer and the flush itself may be on a busy machine
DISK_BYTES = 512 << 20


class Machine:
    """Whatever the broker runs on; it loses its power."""

    def __init__(self, disk, broker, oracle, rng):
        self.disk, self.broker, self.oracle, self.rng = disk, broker, oracle, rng
        self.saved_at = time.monotonic()  # what was acknowledged until then is in a snapshot

    def snapshot(self):
        asked = time.monotonic()
        assert self.broker.client.post("/v1/admin/snapshot").status == 200
        self.saved_at = asked

    def cut(self):
        """Some load and then no power; returns when."""
        back = WriteBack(self.disk.path, self.rng.random())
        back.start()
        producers = self.oracle.start_producers(16)
        time.sleep(self.rng.uniform(0.05, 0.3))  # the load runs; this is when it is cut
        self.oracle.watch_memory()
        if self.rng.random() < 0.3:
            self.snapshot()
        quiet = self.rng.random() < 0.2
        if quiet:  # nothing of `interval` is left to be lost
            self.oracle.join(producers, stop=True)
            time.sleep(FLUSH_S + LATE_S)
        cut_at = time.monotonic()
        self.disk.cut_power()
        self.broker.kill()
        if not quiet:
            self.oracle.join(producers)
        back.stop()
        self.disk.power_on()
        return cut_at

    def may_lose(self, cut_at):
        """{topic: what was acknowledged until then must be there}; later, only a suffix may be lost."""
        return {"commit": cut_at, "interval": cut_at - FLUSH_S - LATE_S, "os": self.saved_at, "none": self.saved_at}


class Tolerant(Oracle):
    """Between the cut and the kill its producers hear of failed writes."""

    def goes_on(self, reply):
        assert reply.status in (500, 503), reply
        return False


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("classes", CUTS)
def test_power_cut(start, engine, busy, seed, tmp_path, make_disk, classes):
    rng = random.Random(f"{seed}-{engine}-{classes}")
    oracle = Tolerant(None, tmp_path, "F3 power cut", seed, classes.split(), engine=engine, **{"class": classes})
    disk = make_disk("ext4", DISK_BYTES)
    slowest = oldest_lost = 0.0
    for cut in range(CUTS[classes]):
        if cut % ROUND == 0:
            broker = start(storage=engine, env=busy, shards=1 + cut // ROUND % 2, data=disk.path / f"data{cut}")
            oracle.begin(broker)
            oracle.create_topics()
            machine = Machine(disk, broker, oracle, rng)
        cut_at = machine.cut()
        started = time.monotonic()
        broker.start(shards=(2, 3, 1)[cut % 3])
        slowest = max(slowest, time.monotonic() - started)
        missing = oracle.verify(machine.may_lose(cut_at))
        assert not missing and not any(oracle.bad.values()), (cut, missing, oracle.bad, broker.log)
        oldest_lost = max(oldest_lost, cut_at - oracle.lost_at.get("interval", cut_at))
        if cut % ROUND == ROUND - 1:
            broker.kill()
            disk.empty()
    if broker.running:
        broker.kill()
    oracle.verdict(slowest_start_s=round(slowest, 3), oldest_lost_interval_s=round(oldest_lost, 3))
