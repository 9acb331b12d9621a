"""F8: a 64 MiB file system filled under load, then given space again."""

import os
import time

import pytest

from harness.oracle import Oracle

LONG = bool(os.environ.get("BOURN_LONG"))
BALLAST = 24 << 20
ENOUGH = 8 << 20  # for the WAL and segments to go on
# Full must stay full while we look: under `memory` no checkpoint turns the log into something smaller.
# Under `log` one starts for each 2 MiB, and most of what is read comes from segments.
STILL = {"BOURN_STORAGE_SNAPSHOT_AGE": "1h", "BOURN_STORAGE_MEMORY": "4MiB"}


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request, make_disk):
    """A 64 MiB file system with 24 MiB of ballast."""
    disk = make_disk(request.param, 64 << 20)
    (disk.path / "ballast").write_bytes(b"\0" * BALLAST)
    return disk


class Patient(Oracle):
    """Its producers go on after 507."""

    def goes_on(self, reply):
        time.sleep(0.01)
        return reply.status == 507


class Probe:
    """Another client, which keeps the time of the slowest answer."""

    def __init__(self, broker):
        self.client = broker.new_client()
        self.slowest = 0.0

    def ask(self, *request):
        started = time.monotonic()
        reply = self.client.request(*request)
        self.slowest = max(self.slowest, time.monotonic() - started)
        return reply

    def produce(self, topic):
        return self.ask("POST", f"/produce/{topic}", "x" * 1000, {"Content-Type": "text/plain"})


def have_cold_events(broker, oracle):
    """After a snapshot and a start, `log` reads them from segments."""
    producers = oracle.start_producers(8)
    deadline = time.monotonic() + 60
    while oracle.acked_count < 1000:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    oracle.join(producers, stop=True)
    assert broker.client.post("/v1/admin/snapshot").status == 200
    broker.restart()


def fill(broker, oracle, probe):
    """Load until the smallest event finds no room any more."""
    producers = oracle.start_producers(8)
    deadline = time.monotonic() + 60
    full = 0
    while full < 3:
        assert time.monotonic() < deadline, [producer.refused for producer in producers]
        assert probe.ask("GET", "/consume/commit?limit=1").status == 200, "reads go on"
        reply = probe.produce("filler")
        if reply.status == 507:
            assert reply.json()["code"] == "disk_full", reply
            full += 1
        else:
            assert reply.status == 201, reply
            full = 0
    return producers


def administer(probe):
    """All this works on a full disk, from the reserve."""
    headers = {"Content-Type": "application/json"}
    assert probe.ask("PUT", "/v1/topics/made-when-full", '{"partitions":2}', headers).status == 201
    assert probe.produce("made-when-full").status in (201, 507)  # a checkpoint may just have freed a block
    assert probe.ask("DELETE", "/v1/topics/made-when-full").status == 204
    assert probe.ask("POST", "/v1/topics/filler/purge").status in (200, 204)
    assert probe.ask("GET", "/consume/filler?offset=0").status == 410
    assert probe.ask("GET", "/readyz").status == 200


def resumes(oracle, producers, seconds=5):
    """How long it takes until something is acknowledged again."""
    before = len(oracle.acks)
    started = time.monotonic()
    while len(oracle.acks) == before:
        assert time.monotonic() - started < seconds, \
            f"writing did not resume within {seconds} s: {[producer.refused for producer in producers]}\n" \
            f"{oracle.broker.log}"
        time.sleep(0.005)
    return time.monotonic() - started


@pytest.mark.timeout(300)
def test_disk_full(start, engine, seed, tmp_path, small_disk):
    broker = start(storage=engine, shards=2, data=small_disk.path / "data", env=STILL)
    oracle = Patient(broker, tmp_path, f"F8 disk full, {small_disk.kind}", seed, ["commit", "os"], pad=4000,
                     engine=engine, **{"class": "commit os"})
    oracle.create_topics()
    have_cold_events(broker, oracle)
    probe = Probe(broker)
    producers = fill(broker, oracle, probe)
    try:
        administer(probe)
    finally:
        oracle.join(producers, stop=True)
    assert all(set(producer.refused) <= {507} for producer in producers), [p.refused for p in producers]
    slowest = max(producer.refused_s for producer in producers)
    assert not oracle.verify()
    checkpoints = broker.metric("bourn_checkpoints_total")

    broker.kill()
    broker.start()  # as good as no room: what it cleared away is used up again
    assert not oracle.verify()
    slowest = max(slowest, probe.slowest)
    probe = Probe(broker)
    producers = fill(broker, oracle, probe)
    administer(probe)
    os.unlink(small_disk.path / "ballast")
    try:
        resumed = resumes(oracle, producers)
    finally:
        oracle.join(producers, stop=True)
    oracle.watch_memory()
    assert not oracle.verify()
    broker.kill()
    broker.start()
    assert not oracle.verify()
    slowest = max(slowest, probe.slowest)
    oracle.verdict(slowest_answer_s=round(slowest, 3), resumed_s=round(resumed, 3), checkpoints=checkpoints)
    assert slowest < 1, "507 and reads within 1 s"


@pytest.mark.timeout(300)
def test_purge_gives_space_back(start, engine, seed, tmp_path, small_disk):
    """Nothing else on the disk goes away: what the broker itself lets go of is enough."""
    broker = start(storage=engine, shards=2, data=small_disk.path / "data", env=STILL)
    oracle = Patient(broker, tmp_path, "F8 purge", seed, ["commit", "os"], pad=4000)
    oracle.create_topics()
    oracle.join(fill(broker, oracle, Probe(broker)), stop=True)
    for topic in ("commit", "os", "filler"):
        assert broker.client.post(f"/v1/topics/{topic}/purge").status in (200, 204)
    assert broker.client.post("/v1/admin/snapshot").status == 200
    deadline = time.monotonic() + 5
    while broker.client.post("/produce/commit", "x" * 1000, "text/plain").status != 201:
        assert time.monotonic() < deadline, "no space came back within 5 s"
    broker.kill()
    broker.start()
    assert broker.values("commit") == ["x" * 1000]


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
@pytest.mark.parametrize("engine", ["memory", "log"])
def test_a_backup_on_a_full_disk_is_refused_and_leaves_nothing(start, make_disk, engine, kind):
    disk = make_disk(kind, 64 << 20)
    broker = start(data=disk.path / "data", storage=engine)
    for i in range(100):
        broker.produce("t", f"{i} {'x' * 10000}")
    take_all(disk.path / "ballast")
    reply = broker.client.post("/v1/admin/backup")
    assert (reply.status, reply.json().get("code")) == (507, "disk_full")
    assert not list((broker.data / "backups").glob("*"))
    (disk.path / "ballast").unlink()
    assert broker.client.post("/v1/admin/backup").status == 201
    assert len(broker.values("t", "?limit=10000&max_bytes=1MiB")) == 100


def free_bytes(disk):
    now = os.statvfs(disk.path)
    return now.f_bavail * now.f_frsize


def take_all(path):
    """At once, so that little comes between; the last blocks one by one."""
    size = 0
    with open(path, "wb") as file:
        for unit in (4 << 20, 1 << 20, 4096):
            try:
                while True:
                    os.posix_fallocate(file.fileno(), size, unit)
                    size += unit
            except OSError:
                pass


@pytest.mark.timeout(300)
def test_others_fill_the_disk(start, engine, seed, tmp_path, small_disk):
    """All of it is gone between two writes, so what is under way fails in the middle."""
    broker = start(storage=engine, shards=2, data=small_disk.path / "data",
                   env={**STILL, "BOURN_STORAGE_ROCKSDB_WRITE_BUFFER": "2MiB"})
    oracle = Patient(broker, tmp_path, f"F8 filled by others, {small_disk.kind}", seed, ["commit", "os"], pad=2000,
                     engine=engine, **{"class": "commit os"})
    oracle.create_topics()
    slowest = 0.0
    for _ in range(5 if LONG else 2):
        producers = oracle.start_producers(8)
        try:
            resumes(oracle, producers)
            take_all(small_disk.path / "others")
            refused = time.monotonic() + 2
            while time.monotonic() < refused and not any(producer.refused.get(507) for producer in producers):
                time.sleep(0.001)
            os.unlink(small_disk.path / "others")
            assert free_bytes(small_disk) > ENOUGH, "the events themselves fill the disk"
            slowest = max(slowest, resumes(oracle, producers, 12))  # RocksDB looks every five seconds
        finally:
            oracle.join(producers, stop=True)
        assert not oracle.verify()
    broker.kill()
    broker.start()
    assert not oracle.verify()
    oracle.verdict(resumed_s=round(slowest, 3))
