"""F8: a 64 MiB file system filled under load, then given space again."""

import os
import subprocess
import time

import pytest

from harness.oracle import Oracle

BALLAST = 24 << 20
# Full must stay full while we look: no checkpoint turns the log into something smaller.
STILL = {"BOURN_STORAGE_SNAPSHOT_AGE": "1h"}


def mount_tmpfs(tmp_path, where):
    return ["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "bourn-test", where]


def mount_ext4(tmp_path, where):
    """Where O_DIRECT works."""
    image = tmp_path / "ext4.image"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    return ["mount", "-o", "loop", image, where]


@pytest.fixture(params=[mount_tmpfs, mount_ext4], ids=["tmpfs", "ext4"])
def small_disk(request, tmp_path):
    """A mounted 64 MiB file system with 24 MiB of ballast; root only."""
    where = tmp_path / "disk"
    where.mkdir()
    done = None
    if os.geteuid() == 0:
        done = subprocess.run(request.param(tmp_path, where), capture_output=True, text=True)
    if done is None or done.returncode:
        why = done.stderr.strip() if done else "not root"
        pytest.skip(f"SKIPPED LOUDLY: cannot mount a small file system here ({why})")
    (where / "ballast").write_bytes(b"\0" * BALLAST)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


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


def resumes(oracle, seconds=5):
    """How long it takes until something is acknowledged again."""
    before = len(oracle.acks)
    started = time.monotonic()
    while len(oracle.acks) == before:
        assert time.monotonic() - started < seconds, f"writing did not resume within {seconds} s"
        time.sleep(0.005)
    return time.monotonic() - started


@pytest.mark.timeout(300)
def test_disk_full(request, start, shards, seed, tmp_path, small_disk):
    broker = start(shards=shards, data=small_disk / "data", env=STILL)
    oracle = Patient(broker, tmp_path, f"F8 disk full, {request.node.name}", seed, ["commit", "os"], pad=4000)
    oracle.create_topics()
    probe = Probe(broker)
    producers = fill(broker, oracle, probe)
    try:
        administer(probe)
    finally:
        oracle.join(producers, stop=True)
    assert all(set(producer.refused) <= {507} for producer in producers), [p.refused for p in producers]
    slowest = max(producer.refused_s for producer in producers)
    assert not oracle.verify()

    broker.kill()
    broker.start()  # as good as no room: what it cleared away is used up again
    assert not oracle.verify()
    slowest = max(slowest, probe.slowest)
    probe = Probe(broker)
    producers = fill(broker, oracle, probe)
    administer(probe)
    os.unlink(small_disk / "ballast")
    try:
        resumed = resumes(oracle)
    finally:
        oracle.join(producers, stop=True)
    oracle.watch_memory()
    assert not oracle.verify()
    broker.kill()
    broker.start()
    assert not oracle.verify()
    slowest = max(slowest, probe.slowest)
    oracle.verdict(slowest_answer_s=round(slowest, 3), resumed_s=round(resumed, 3))
    assert slowest < 1, "507 and reads within 1 s"


@pytest.mark.timeout(300)
def test_purge_gives_space_back(start, shards, seed, tmp_path, small_disk):
    """Nothing else on the disk goes away: what the broker itself lets go of is enough."""
    broker = start(shards=shards, data=small_disk / "data", env=STILL)
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
