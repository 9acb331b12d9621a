"""F14: the wall clock jumps an hour ahead and an hour back while the broker runs, and between two
runs: nothing goes that its age on a clock without jumps would keep, timers fire when they should, order
and offsets go on. The clock is Debian's libfaketime, which leaves the monotonic one alone."""

import os
import pathlib
import time

import pytest

from harness.oracle import report

LIBRARY = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
HOUR_S = 3600
SHORT_S = 1.0  # retention of the topic that shows that ages are looked at
LATE_S = 8.0   # a look comes each second at the least; machines may be busy
ROUNDS = 5 if os.environ.get("BOURN_LONG") else 1

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason=f"SKIPPED LOUDLY: there is no {LIBRARY}")


class Clock:
    """The broker's."""

    def __init__(self, file):
        self.file = file
        self.set(0)

    def environment(self):
        return {"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1", "NO_FAKE_STAT": "1"}

    def set(self, ahead_s):
        other = self.file.with_suffix(".new")
        other.write_text(f"{ahead_s:+d}s\n")
        other.rename(self.file)
        self.ahead_s = ahead_s

    def forget(self, pid):
        """What the library leaves of a process that was killed."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            pathlib.Path("/dev/shm", name).unlink(missing_ok=True)


class Jumps:
    def __init__(self, broker, clock):
        self.broker, self.clock = broker, clock
        self.sent = 0
        self.slack_s = 0.0  # the most that a timer was late

    def produce(self):
        """One event, which bears the clock's time."""
        ack = self.broker.produce("kept", f"{self.sent}")
        assert ack["offset"] == self.sent, "offsets go on"
        assert abs(ack["timestamp"] / 1000 - time.time() - self.clock.ahead_s) < 30, "the clock did not jump"
        self.sent += 1

    def jump(self, ahead_s):
        self.produce()
        born = time.monotonic()
        # An old timestamp makes it no older; one from a clock that is ahead would make it younger.
        self.broker.produce("short", "x", Event_Timestamp=int((time.time() - 2 * HOUR_S) * 1000))
        snapshots = self.broker.metric("bourn_checkpoints_total")
        self.clock.set(ahead_s)
        self.produce()
        self.wait_is_right()
        self.short_one_goes(born)
        # rocksdb has none by age.
        while self.broker.storage != "rocksdb" and self.broker.metric("bourn_checkpoints_total") == snapshots:
            assert time.monotonic() - born < LATE_S, "no snapshot comes by age any more"
            time.sleep(0.02)
        self.all_is_there()

    def wait_is_right(self):
        started = time.monotonic()
        assert self.broker.consume("kept", "?offset=end&wait=200ms")["events"] == []
        took = time.monotonic() - started
        assert 0.19 <= took < 0.2 + LATE_S, took
        self.slack_s = max(self.slack_s, took - 0.2)

    def short_one_goes(self, born):
        while self.broker.values("short"):
            assert time.monotonic() - born < SHORT_S + LATE_S, "what is too old does not go any more"
            time.sleep(0.02)
        took = time.monotonic() - born
        assert took >= SHORT_S, f"gone after {took:.2f} s"
        self.slack_s = max(self.slack_s, took - SHORT_S)

    def all_is_there(self):
        assert self.broker.values("kept") == [f"{i}" for i in range(self.sent)], "lost, or in another order"


@pytest.mark.timeout(300)
def test_clock_jumps(start, engine, seed, tmp_path):
    clock = Clock(tmp_path / "clock")
    broker = start(storage=engine, shards=2, env={**clock.environment(), "BOURN_STORAGE_SNAPSHOT_AGE": "500ms"})
    broker.create("kept", retention_ms=HOUR_S * 500)  # half of a jump
    broker.create("short", retention_ms=int(SHORT_S * 1000))
    jumps = Jumps(broker, clock)
    for _ in range(ROUNDS):
        for ahead_s in (HOUR_S, 0, -HOUR_S, HOUR_S, 0):
            jumps.jump(ahead_s)
        future = broker.client.post("/produce/kept", "x", "text/plain",
                                    {"Event-Timestamp": int((time.time() + 2 * HOUR_S) * 1000)})
        assert future.status == 400, "from further ahead than an hour"
    for end in (broker.kill, broker.stop):  # and back between two runs
        jumps.produce()
        end()
        clock.forget(broker.process.pid)
        clock.set(clock.ahead_s - HOUR_S)
        broker.start()
        jumps.all_is_there()
        jumps.jump(clock.ahead_s + 60)
    report(test="F14 clock jumps", engine=engine, seed=seed, n=5 * ROUNDS + 4, acked=jumps.sent, missing=0,
           duplicates=0, disorder=0, latest_timer_s=round(jumps.slack_s, 3), max_rss=broker.rss_bytes(),
           verdict="pass")
