"""docs/formats.md against files that the broker wrote: harness/formats.py reads them by that page."""

import re
import time
import uuid

import pytest

from harness import formats


def records(batches):
    return [record for batch in batches for record in batch["records"]]


def events(store):
    """What a broker's answers and a file's records can be compared by."""
    return [(r["offset"], r["timestamp"], r["key"], r["value"], ("content-type", b"text/plain") in r["headers"])
            for r in store]


def told(broker, topic):
    return [(e["offset"], e["timestamp"], e["key"].encode() if e.get("key") else None, e["value"].encode(),
             e["content_type"] == "text/plain") for e in broker.consume(topic, "?limit=10000")["events"]]


def fill(broker, count=50):
    for i in range(count):
        broker.produce("t", f"event {i}" + "x" * (i * 37 % 3000), Event_Key=f"k{i}")


def topic_uuid(broker, name="t"):
    changes = [formats.catalog_record(frame["payload"]) for file in formats.wal(broker.data / "catalog")
               for frame in file["frames"] if frame["type"] == 4]
    (found,) = {change["spec"]["UUID"] for change in changes
                if change["verb"] == 1 and change["spec"]["name"] == name}
    return found


def engine_of(broker):
    return re.search(r"engine (\w+)", broker.log)[1]


def test_marker_and_lock(start):
    broker = start()
    found = formats.marker(broker.data / "bourn.dir")
    assert (found["format"], found["engine"]) == ("2", engine_of(broker))
    assert (broker.data / "lock").read_bytes() == b""


def test_wal_frames(start):
    broker = start(storage="log")
    fill(broker)
    expected = told(broker, "t")
    broker.kill()
    files = formats.wal(broker.data / "wal")
    store = uuid.UUID(formats.marker(broker.data / "bourn.dir")["id"]).bytes
    assert all(file["kind"] == "data" and file["store id"] == store for file in files)
    frames = [frame for file in files for frame in file["frames"]]
    assert [frame["sequence"] for frame in frames] == list(range(1, len(frames) + 1))
    assert all(frame["durable through"] < frame["sequence"] for frame in frames)
    data = [frame for frame in frames if frame["type"] == 2]
    assert {frame["class"] for frame in data} == {3}  # commit
    found, end = [], 0
    for frame in data:
        assert frame["base offset"] == end
        found += formats.batches(frame["payload"], 0, len(frame["payload"]), end)
        end = frame["log end after it"]
    assert events(records(found)) == expected and end == len(expected)
    assert {frame["type"] for frame in frames} <= {1, 2}


def test_trim_is_a_frame(start):
    broker = start(storage="log")
    fill(broker, 5)
    broker.client.post("/v1/topics/t/purge", '{"partition":0,"upto":3}')
    broker.kill()
    (trim,) = [frame for file in formats.wal(broker.data / "wal") for frame in file["frames"]
               if frame["type"] == 3]
    assert (trim["base offset"], trim["log end after it"], trim["payload"]) == (3, 5, b"")


def test_manifest_and_segments(start):
    broker = start(storage="log")
    began = time.time() * 1000
    for _ in range(3):  # three runs
        fill(broker)
        assert broker.client.post("/v1/admin/snapshot").status == 200
    expected = told(broker, "t")
    topic = topic_uuid(broker)
    manifest = formats.manifest(broker.data / "manifest")
    assert manifest["version"] == 3 and manifest["flags"] == 0
    assert formats.manifest(broker.data / "manifest.prev")["checkpointed"] < manifest["checkpointed"]
    (partition,) = manifest["partitions"]
    assert (partition["topic"], partition["partition"], partition["log start"]) == (topic, 0, 0)
    assert (partition["end"], partition["damaged from"]) == (150, -1)
    (entry,) = partition["segments"]
    assert (entry["base offset"], entry["end offset"]) == (0, 150)
    assert began <= entry["created at"] <= time.time() * 1000
    times = [event["timestamp"] for event in broker.consume("t", "?limit=10000")["events"]]
    assert (entry["least timestamp"], entry["greatest timestamp"]) == (min(times), max(times))
    (path,) = broker.data.glob("topics/*/0/*.seg")
    segment = formats.segment(path, entry["bytes that count"])
    assert segment["version"] == 1 and segment["leader epoch"] == entry["leader epoch"]
    assert segment["store id"] == manifest["store id"] and segment["topic"] == topic
    assert events(records(segment["batches"])) == expected
    broker.stop()
    assert formats.manifest(broker.data / "manifest")["flags"] == 1  # clean


def test_catalog_changes(start):
    broker = start()
    broker.create("kept", partitions=3, retention_bytes=12345678)
    broker.create("gone")
    broker.client.request("DELETE", "/v1/topics/gone")
    (file,) = formats.wal(broker.data / "catalog")
    assert file["kind"] == "ctlg"
    kept, gone, deleted = [formats.catalog_record(frame["payload"]) for frame in file["frames"]
                           if frame["type"] == 4]
    spec = kept["spec"]
    assert (kept["verb"], spec["name"], spec["partitions"]) == (1, "kept", 3)
    assert (spec["retention.bytes"], spec["retention.count"], spec["retention.ms"]) == (12345678, -1, -1)
    assert (spec["segment.bytes"], spec["segment.ms"]) == (64 << 20, 7 * 24 * 3600 * 1000)
    assert (spec["durability"], spec["engine"]) == (3, engine_of(broker))
    assert (deleted["verb"], deleted["uuid"]) == (3, gone["spec"]["UUID"])


def test_cursor(start):
    broker = start()
    broker.create("p", partitions=2)
    for i in range(10):
        broker.produce("p", f"{i}", Event_Key=f"{i}")
    told = broker.consume("p")
    ends = {p["partition"]: p["high_watermark"] for p in told["partitions"]}
    entries = formats.cursor(told["next"])
    assert {partition: offset for _topic, partition, _epoch, offset in entries} == ends
    (change,) = [formats.catalog_record(frame["payload"]) for file in formats.wal(broker.data / "catalog")
                 for frame in file["frames"] if frame["type"] == 4]
    assert {topic for topic, *_ in entries} == {change["spec"]["UUID"][:8]}
    (topic, partition, epoch, offset), *_ = entries
    assert formats.cursor(broker.consume("p", f"?partition={partition}")["next"]) == [(topic, partition, epoch, offset)]
    made = formats.cursor_text(topic, partition, epoch, offset - 1)
    assert len(broker.consume("p", f"?cursor={made}&partition={partition}")["events"]) == 1


def made_newer(path, crc_at):
    """The next version, and a checksum that is right."""
    data = bytearray(path.read_bytes())
    data[8:12] = (int.from_bytes(data[8:12], "little") + 1).to_bytes(4, "little")
    crc_at = len(data) - 4 if crc_at is None else crc_at
    data[crc_at:crc_at + 4] = formats.crc32c(data[:crc_at]).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("name, crc_at", [("manifest", None), ("wal/*.wal", 56), ("catalog/*.wal", 56)])
def test_newer_files_are_refused(start, name, crc_at):
    broker = start(storage="log")
    fill(broker, 3)
    broker.kill()
    path = max(broker.data.glob(name))
    path.write_bytes(made_newer(path, crc_at))
    code, said = broker.refuses_to_start()
    assert code == 1 and "newer" in said and path.name in said, said


def test_segment_index(start):
    broker = start(storage="log")
    broker.create("t", segment_bytes=1 << 20)
    for _ in range(6):
        for _ in range(5):
            broker.produce("t", "x" * 50000)
        assert broker.client.post("/v1/admin/snapshot").status == 200
    (path, *_more) = sorted(broker.data.glob("topics/*/0/*.idx"))
    (partition,) = formats.manifest(broker.data / "manifest")["partitions"]
    entry = partition["segments"][0]
    index = formats.index(path)
    segment = formats.segment(path.with_suffix(".seg"), entry["bytes that count"])
    for field in ("base offset", "end offset", "bytes that count", "leader epoch"):
        assert index[field] == entry[field]
    bases = [batch["base offset"] for batch in segment["batches"]]
    assert [mark["base offset"] for mark in index["marks"]] == bases  # each larger than a stretch
    data = path.with_suffix(".seg").read_bytes()
    for mark, batch in zip(index["marks"], segment["batches"]):
        first, end = formats.batch(data, mark["its byte in the segment"])
        assert first == batch and mark["its bytes"] == end - mark["its byte in the segment"]
        assert mark["highest timestamp in it"] == batch["max timestamp"]
