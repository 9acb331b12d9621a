"""F8: a 64 MiB file system filled under load, then given space again."""

import os
import subprocess
import time

import pytest

from harness.oracle import PARTITIONS, Oracle


@pytest.fixture
def small_disk(tmp_path):
    """A mounted 64 MiB file system with 24 MiB of ballast; root only."""
    where = tmp_path / "disk"
    where.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "bourn-test", where],
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"SKIPPED LOUDLY: no small file system without the right to mount: {done.stderr.strip()}")
    (where / "ballast").write_bytes(b"\0" * (24 << 20))
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


class Patient(Oracle):
    """Its producers go on after 507."""

    def goes_on(self, reply):
        time.sleep(0.01)
        return reply.status == 507


@pytest.mark.timeout(300)
def test_disk_full(start, shards, seed, tmp_path, small_disk):
    broker = start(shards=shards, data=small_disk / "data")
    topics = ["commit", "os"]
    for topic in topics:
        broker.create(topic, partitions=PARTITIONS, durability=topic)
    oracle = Patient(broker, tmp_path, f"F8 disk full, {shards} shards", seed, topics, pad=20_000)
    producers = oracle.start_producers(8)
    client = broker.new_client()
    try:
        deadline = time.monotonic() + 60
        while not all(507 in producer.refused for producer in producers):
            assert time.monotonic() < deadline, [producer.refused for producer in producers]
            started = time.monotonic()
            assert client.get("/consume/commit?limit=1").status == 200, "reads go on"
            assert time.monotonic() - started < 1
        started = time.monotonic()
        reply = client.post("/produce/commit", "x" * 20_000, "text/plain", {"Event-Key": "k"})
        assert time.monotonic() - started < 1
        if reply.status != 201:  # a hole may just fit
            assert reply.status == 507 and reply.json()["code"] == "disk_full", reply
        else:
            pytest.fail("space appeared from nowhere")
        # admin and retention go on, from the reserve
        broker.create("made-on-a-full-disk")
        assert client.delete("/v1/topics/made-on-a-full-disk").status == 204
        os.unlink(small_disk / "ballast")
        before = len(oracle.acks)
        deadline = time.monotonic() + 5
        while len(oracle.acks) == before:
            assert time.monotonic() < deadline, "writing did not resume within 5 s"
            time.sleep(0.01)
    finally:
        oracle.join(producers, stop=True)
    assert all(set(producer.refused) == {507} for producer in producers), [p.refused for p in producers]
    oracle.watch_memory()
    assert not oracle.verify()
    broker.kill()
    broker.start()
    assert not oracle.verify()
    oracle.verdict()
