"""bourn dump and bourn load: what goes out comes back, between all engines, in either format, whatever
interrupts it, and nothing that is damaged gets in."""

import base64
import itertools
import json
import os
import pty
import random
import re
import resource
import signal
import struct
import subprocess
import time

import pytest

from harness.broker import BIN
from harness.relay import Stall

ENGINES = ["memory", "log", "rocksdb"]
FORMS = ["ndjson", "raw"]
EXACT = ["--keep-offsets", "--keep-timestamps"]


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


# --- what a broker holds --------------------------------------------------------------------------


def batches(body):
    """The batches of a body, one by one."""
    while body:
        size = 12 + struct.unpack(">I", body[8:12])[0]
        yield body[:size]
        body = body[size:]


def varint(data, at):
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at


def sized(data, at):
    length, at = varint(data, at)
    return (None, at) if length < 0 else (data[at:at + length], at + length)


def records(batch):
    """(offset, timestamp, key, value, headers), read here from docs/formats.md alone."""
    base, = struct.unpack(">q", batch[:8])
    base_time, = struct.unpack(">q", batch[27:35])
    count, = struct.unpack(">I", batch[57:61])
    at = 61
    for _ in range(count):
        _, at = varint(batch, at)
        at += 1
        time_delta, at = varint(batch, at)
        offset_delta, at = varint(batch, at)
        key, at = sized(batch, at)
        value, at = sized(batch, at)
        header_count, at = varint(batch, at)
        headers = []
        for _ in range(header_count):
            name, at = sized(batch, at)
            header, at = sized(batch, at)
            headers.append((name, header))
        yield base + offset_delta, base_time + time_delta, key, value, headers


def partition_events(broker, topic, partition, earliest, end):
    found, offset = [], earliest
    while offset < end:
        reply = broker.client.get(
            f"/v1/topics/{topic}/batches?partition={partition}&offset={offset}")
        assert reply.status == 200, reply
        following = int(reply.header("event-next"))
        assert following > offset
        for batch in batches(reply.body):
            found += [record for record in records(batch) if record[0] >= offset]
        offset = following
    return found


def describe(broker, topic):
    return broker.client.get(f"/v1/topics/{topic}").json()


def held(broker, bounds=True):
    """Everything: {topic: (settings, [(earliest, high watermark, events)])}"""
    found = {}
    for row in broker.client.get("/v1/topics?limit=10000").json()["topics"]:
        topic = describe(broker, row["name"])
        found[row["name"]] = (topic["settings"], [
            (p["earliest"] if bounds else 0, p["high_watermark"] if bounds else 0,
             partition_events(broker, row["name"], p["partition"], p["earliest"],
                              p["high_watermark"]))
            for p in topic["partitions"]])
    return found


def without(what, holding):
    """Offsets or timestamps left out of it."""
    at = {"offsets": 0, "timestamps": 1}[what]
    return {topic: (settings, [(0, 0, [event[:at] + event[at + 1:] for event in events])
                               for _, _, events in partitions])
            for topic, (settings, partitions) in holding.items()}


# --- what is put there ----------------------------------------------------------------------------


def envelope(key, headers, value, content_type, timestamp):
    b64 = lambda data: base64.b64encode(data).decode()
    line = {"headers": [[name, b64(data), "base64"] if data is not None else [name, None]
                        for name, data in headers],
            "timestamp": timestamp}
    if key is not None:
        line |= {"key": b64(key), "key_encoding": "base64"}
    if content_type:
        line["content_type"] = content_type
    line |= {"encoding": "none"} if value is None else {"encoding": "base64", "value": b64(value)}
    return json.dumps(line)


STRANGE = [
    (None, [], b"", None),
    (b"", [], b"", "text/plain"),
    (b"k", [], None, None),
    (b"k", [("a", b""), ("a", None), ("content-type", b"text/odd"), ("z", b"\xff")], None, None),
    (b"\xff\xfe\x00", [("bin", bytes(range(256)))], bytes(range(256)), "application/octet-stream"),
    ("schlüssel ☃".encode(), [("größe", "ü".encode())], "snow ☃ 𝄞 \u2028 \x00\x1f\"\\".encode(), None),
    (b"json", [], b'{"a": [1, 2.50, "x"], "a": 1e999}', "application/json"),
    (b"json", [("after", b"1")], b' {"a": 1}\r\n', "application/json"),
    (b"json", [], b'{"a":\n 1}', "application/cloudevents+json"),
    (b"json", [], b'"\\ud800"', "application/json; charset=utf-8"),
    (b"json", [], b"[" * 64 + b"]" * 64, "application/json"),
    (b"not json", [], b"{", "application/json"),
    (b"not utf-8", [], b"\xc3(", "text/plain"),
    (b"many", [(f"h{i}", str(i).encode()) for i in range(300)], b"v", None),
    (b"k" * 70000, [("x" * 200, b"y" * 70000)], b"v" * 700000, "text/plain"),
    (b"huge", [], bytes(1 << 20), "image/png"),
]


def post_lines(broker, topic, lines, query=""):
    reply = broker.client.post(f"/v1/topics/{topic}/events{query}", "\n".join(lines) + "\n",
                               "application/vnd.bourn.events+x-ndjson")
    assert reply.status == 201, reply


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1))
    return crc ^ 0xffffffff


def to_varint(number):
    number = number << 1 ^ number >> 63
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def gapped(offsets, values):
    """A batch of so many offsets with these values at some of them."""
    body = b""
    for delta, value in values.items():
        record = b"\0" + to_varint(0) + to_varint(delta) + to_varint(-1)
        record += to_varint(len(value)) + value + to_varint(0)
        body += to_varint(len(record)) + record
    rest = struct.pack(">HiqqqhiI", 0, offsets - 1, 77, 77, -1, -1, -1, len(values)) + body
    return (struct.pack(">qiiB", 0, len(rest) + 9, -1, 2) + struct.pack(">I", crc32c(rest)) + rest)


def fill_with_gaps(broker):
    """As compaction leaves it: a late beginning, holes in batches, between them, at the end."""
    broker.create("gaps")
    end = 0
    for offsets, values in [(2**31 - 1, {}), (2**31 - 1, {}), (4, {}), (21, {3: b"a", 7: b"b"}),
                            (100, {}), (1, {0: b"c"}), (2**31 - 1, {5: b"d"}), (9, {})]:
        reply = broker.client.post("/v1/topics/gaps/batches", gapped(offsets, values),
                                   "application/vnd.bourn.batches", {"Expected-Offset": str(end)})
        assert reply.status == 201, reply
        end = reply.json()["next"]
    broker.client.post("/v1/topics/gaps/purge", '{"upto": 4294967300}', "application/json")


def fill(broker, seed, count=6000):
    """Topics of every kind; what `held` then says is what must arrive."""
    dice = random.Random(seed)
    broker.create("strange")
    for i, (key, headers, value, content_type) in enumerate(STRANGE):
        post_lines(broker, "strange", [envelope(key, headers, value, content_type, 1000 + i)])
    broker.create("many", 3, durability="os", retention_bytes=1 << 40, segment_bytes=1 << 21)
    lines = []
    for i in range(count):
        value = dice.randbytes(dice.choice([0, 1, 10, 100, 2000]))
        lines.append(envelope(dice.randbytes(3), [("n", str(i).encode())] * dice.randrange(3),
                              value, dice.choice([None, "text/plain", "image/png"]),
                              dice.randrange(1 << 40)))
        if len(lines) == 500:
            post_lines(broker, "many", lines)
            lines = []
    broker.create("none", 2)
    broker.create("emptied", 2)
    for i in range(20):
        broker.produce("emptied", str(i), query=f"?partition={i % 2}")
    broker.client.post("/v1/topics/emptied/purge", "", "application/json")
    broker.create("begins.late")
    for i in range(20):
        broker.produce("begins.late", str(i))
    broker.client.post("/v1/topics/begins.late/purge", '{"upto": 7}', "application/json")
    post_lines(broker, "begins.late", [envelope(b"k", [], b"v", None, 5)] * 20)
    broker.client.post("/v1/topics/begins.late/purge", '{"upto": 25}', "application/json")
    fill_with_gaps(broker)


def run(broker, *words, code=0, binary=None, timeout=120):
    done = broker.cli(*words, timeout=timeout, binary=binary)
    assert done.returncode == code, (words, done.returncode, done.stderr.decode())
    return done.stdout, done.stderr.decode()


# --- between engines ------------------------------------------------------------------------------


@pytest.mark.parametrize("source, target", itertools.product(ENGINES, ENGINES))
def test_all_comes_back_as_it_was(start, tmp_path, source, target, form, seed):
    old = start(storage=source, shards=2)
    fill(old, seed)
    before = held(old)
    dump = tmp_path / "all.dump"
    run(old, "dump", "--all", "-o", form, "--file", dump)
    old.stop()
    new = start(storage=target)
    _, said = run(new, "load", dump, *EXACT)
    assert re.match(r"Loaded 6 topics: \d+ events", said), said
    assert held(new) == before
    # Offsets go on where they were.
    assert new.produce("begins.late", "next")["offset"] == before["begins.late"][1][0][1]
    # And it holds after kill -9, and once more from there.
    new.kill()
    new.start()
    again = tmp_path / "again.dump"
    run(new, "dump", "--all", "-o", form, "--file", again)
    old.data.rename(old.data.with_name("gone"))
    old.start()
    run(old, "load", again, *EXACT)
    assert held(old) == held(new)


def test_what_is_not_kept_is_new(start, form, seed):
    broker = start()
    fill(broker, seed, count=1000)
    before = held(broker)
    dump, _ = run(broker, "dump", "--all", "-o", form)
    (broker.data.parent / "d").write_bytes(dump)
    other = start()
    began = time.time() * 1000
    run(other, "load", broker.data.parent / "d")
    after = held(other)
    bare = lambda holding: {
        topic: (settings, [[event[2:] for event in events] for _, _, events in partitions])
        for topic, (settings, partitions) in holding.items()}
    assert bare(after) == bare(before)
    assert [event[0] for event in before["gaps"][1][0][2]] == [
        4294967301, 4294967305, 4294967419, 4294967425]
    for _, partitions in after.values():
        for earliest, end, events in partitions:
            assert [event[0] for event in events] == list(range(earliest, end))
            assert all(event[1] >= began - 1 for event in events)
    third = start()
    run(third, "load", broker.data.parent / "d", "--keep-timestamps")
    assert without("offsets", held(third)) == without("offsets", before)


def test_from_one_broker_into_another_through_a_pipe(start, seed, form):
    one, other = start(), start()
    fill(one, seed, count=500)
    dump = subprocess.Popen([BIN, "dump", "--all", "-o", form, "--server", one.url],
                            stdout=subprocess.PIPE)
    load = subprocess.run([BIN, "load", "-", *EXACT, "--server", other.url], stdin=dump.stdout,
                          capture_output=True, timeout=60)
    assert (dump.wait(10), load.returncode) == (0, 0), load.stderr
    assert held(one) == held(other)


@pytest.mark.parametrize("engine", ENGINES)
def test_of_a_data_directory_without_a_broker(start, tmp_path, seed, form, engine):
    broker, other = start(storage=engine), start(storage="log")
    fill(broker, seed, count=500)
    before = held(broker)
    dump = tmp_path / "d"
    refused = run(other, "dump", "--all", "--data", broker.data, "--file", dump, code=4)[1]
    assert "another process uses this data directory" in refused
    broker.stop()
    run(other, "dump", "--all", "--data", broker.data, "-o", form, "--file", dump)
    run(other, "load", dump, *EXACT)
    assert held(other) == before
    assert "no data directory" in run(other, "dump", "--all", "--data", tmp_path / "no", code=1)[1]
    assert not (tmp_path / "no").exists()


def test_names_and_patterns_choose(start, tmp_path):
    broker, other = start(), start()
    for topic in ["orders.eu", "orders.us", "bills"]:
        broker.produce(topic, topic)
    topics = lambda: [row["name"] for row in other.client.get("/v1/topics").json()["topics"]]
    run(broker, "dump", "orders.*", "bills", "--file", tmp_path / "three")
    run(other, "load", tmp_path / "three", "*.eu")
    assert topics() == ["orders.eu"]
    run(other, "load", tmp_path / "three", "bills", "--as", "paid")
    assert topics() == ["orders.eu", "paid"]
    assert other.values("paid") == ["bills"]
    assert "orders.us" in run(other, "load", tmp_path / "three", "orders.*", "--as", "x", code=1)[1]
    assert "--resume" in run(other, "load", tmp_path / "three", "bills", code=1)[1]
    (tmp_path / "three.load").unlink()
    assert "'b*x' is not in the dump" in run(other, "load", tmp_path / "three", "b*x", code=5)[1]
    assert "'nope'" in run(broker, "dump", "nope", code=5)[1]
    out, said = run(other, "load", "--check", tmp_path / "three")
    assert out.decode().splitlines()[0] == "bills  1 partition, 1 offsets"
    assert said.startswith("Checked 3 topics: 3 events")


def test_settings_travel_unless_they_shall_not(start, tmp_path):
    broker, other = start(), start()
    broker.create("t", 4, durability="os", retention_count=77, max_message_bytes=5000)
    broker.produce("t", "v")
    run(broker, "dump", "t", "--file", tmp_path / "d")
    run(other, "load", tmp_path / "d", "--no-settings")
    assert len(describe(other, "t")["partitions"]) == 4
    assert describe(other, "t")["settings"]["durability"] == "commit"
    run(other, "load", tmp_path / "d", "--as", "u")
    assert describe(other, "u")["settings"] == describe(broker, "t")["settings"]


def test_lines_may_be_edited_when_that_is_said(start, tmp_path):
    broker, other = start(), start()
    for i in range(10):
        broker.produce("t", json.dumps({"id": i}), "application/json")
    dump, _ = run(broker, "dump", "t")
    kept = [line for line in dump.decode().splitlines() if '"offset":5' not in line]
    (tmp_path / "d").write_text("\n".join(kept) + "\n")
    said = run(other, "load", tmp_path / "d", code=1)[1]
    assert "--edited" in said and "line " in said
    run(other, "load", tmp_path / "d", "--edited", *EXACT)
    assert [event["offset"] for event in other.consume("t")["events"]] == [0, 1, 2, 3, 4, 6, 7, 8, 9]


# --- what refuses ---------------------------------------------------------------------------------


def test_kept_offsets_need_a_topic_without_events(start, tmp_path):
    broker, other = start(), start()
    for i in range(5):
        broker.produce("t", str(i))
    run(broker, "dump", "t", "--file", tmp_path / "d")
    other.produce("t", "x")
    said = run(other, "load", tmp_path / "d", *EXACT, code=1)[1]
    assert "it has events" in said and "--as" in said and "--resume" in said
    other.client.post("/v1/topics/t/purge", "", "application/json")
    assert "goes on at offset 1, the dump begins at 0" in run(
        other, "load", tmp_path / "d", *EXACT, code=1)[1]
    assert other.values("t") == []
    other.create("u", 1)
    broker.create("two", 2)
    run(broker, "dump", "two", "--file", tmp_path / "two")
    assert "it has 1 partitions, the dump 2" in run(
        other, "load", tmp_path / "two", "--as", "u", code=1)[1]
    # Not what was loaded before: told by the last event there.
    other.produce("other", "not it")
    said = run(other, "load", tmp_path / "d", "--as", "other", *EXACT, "--resume", code=1)[1]
    assert "is not the dump's" in said
    assert other.values("other") == ["not it"]


def test_a_file_that_is_there_is_not_overwritten(start, tmp_path, form):
    broker = start()
    broker.produce("t", "v")
    (tmp_path / "d").write_text("precious")
    assert "--resume" in run(broker, "dump", "t", "-o", form, "--file", tmp_path / "d", code=1)[1]
    assert (tmp_path / "d").read_text() == "precious"
    assert "no dump" in run(broker, "dump", "t", "--file", tmp_path / "d", "--resume", code=1)[1]
    run(broker, "dump", "t", "-o", form, "--file", tmp_path / "whole")
    assert "is complete" in run(broker, "dump", "t", "--file", tmp_path / "whole", "--resume", code=1)[1]


# --- interrupted ----------------------------------------------------------------------------------


def frames(data):
    """[(type, topic, partition, payload)] of a raw dump, read from docs/formats.md alone."""
    assert data[:8] == b"bourndmp" and struct.unpack("<I", data[8:12]) == (1,)
    at = 32
    while at < len(data):
        magic, size, kind, topic, partition = struct.unpack("<4sIB3xII", data[at:at + 20])
        assert magic == b"bDMP"
        yield kind, topic, partition, data[at + 40:at + 40 + size]
        at += 40 + size


def told(data):
    """What a dump says, in order, whatever its checksums and frames."""
    if data.startswith(b"{"):
        return [line for line in data.splitlines()[1:] if not line.startswith(b'{"check":')]
    found = []
    for kind, topic, partition, payload in frames(data):
        if kind == 2:
            found += [(topic, partition, record) for batch in batches(payload)
                      for record in records(batch)]
        else:
            found.append((kind, payload))
    return found


def test_a_dump_goes_on_wherever_it_was_cut(start, tmp_path, form, seed):
    dice = random.Random(seed)
    broker = start()
    fill(broker, seed, count=2000)
    run(broker, "dump", "--all", "-o", form, "--file", tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    cuts = [0, 1, 31, 32, 33, len(whole) - 1] + [dice.randrange(len(whole)) for _ in range(10)]
    for cut in cuts:
        (tmp_path / "cut").write_bytes(whole[:cut])
        run(broker, "dump", "--all", "-o", form, "--file", tmp_path / "cut", "--resume")
        assert told((tmp_path / "cut").read_bytes()) == told(whole), cut


def test_a_dump_that_was_stopped_says_how_to_go_on(start, tmp_path, form, seed):
    broker = start()
    fill(broker, seed, count=2000)
    before = held(broker)
    for stop in [signal.SIGINT, signal.SIGKILL]:
        relay = Stall(broker, 2_000_000)
        dump = tmp_path / stop.name
        words = ["dump", "--all", "-o", form, "--file", dump]
        process = subprocess.Popen([BIN, *words, "--server", relay.url], stderr=subprocess.PIPE)
        assert relay.stalled.wait(30)
        process.send_signal(stop)
        said = process.communicate(timeout=30)[1].decode()
        relay.cut()
        if stop == signal.SIGINT:
            assert process.returncode == 1
            assert said.startswith("bourn: stopped\n") and "--resume" in said, said
            assert "no end" in run(broker, "load", dump, code=1)[1]
        run(broker, *words, "--resume")
        other = start()
        run(other, "load", dump, *EXACT)
        assert held(other) == before


def test_a_dump_outlives_its_broker(start, tmp_path, form, seed):
    broker = start()
    fill(broker, seed, count=2000)
    before = held(broker)
    relay = Stall(broker, 1_500_000)
    process = subprocess.Popen([BIN, "dump", "--all", "-o", form, "--file", tmp_path / "d",
                                "--server", relay.url], stderr=subprocess.PIPE)
    assert relay.stalled.wait(30)
    broker.kill()
    broker.start(port=broker.port)
    relay.go_on()
    assert process.wait(60) == 0, process.stderr.read()
    other = start()
    run(other, "load", tmp_path / "d", *EXACT)
    assert held(other) == before


def dumped(start, tmp_path, form, seed):
    broker = start()
    fill(broker, seed, count=2000)
    run(broker, "dump", "--all", "-o", form, "--file", tmp_path / "d")
    before = held(broker)
    broker.stop()
    return tmp_path / "d", before


PLACES = [700, 9_000, 1_300_000, 2_000_000, 2_400_000]


@pytest.mark.parametrize("keep", [EXACT, ["--keep-timestamps"]], ids=["offsets", "no-offsets"])
def test_a_load_that_was_killed_goes_on(start, tmp_path, form, seed, keep):
    dump, before = dumped(start, tmp_path, form, seed)
    dice = random.Random(seed)
    for place in [*PLACES, dice.randrange(2_400_000)]:
        other = start()
        # Events of others that were there before.
        if "--keep-offsets" not in keep:
            other.create("many", 3)
            for partition in range(3):
                other.produce("many", "before", query=f"?partition={partition}")
        relay = Stall(other, place)
        process = subprocess.Popen([BIN, "load", dump, *keep, "--server", relay.url],
                                   stderr=subprocess.DEVNULL)
        assert relay.stalled.wait(30), place
        process.kill()
        process.wait()
        relay.cut()
        if "--keep-offsets" not in keep and dump.with_name("d.load").exists():
            assert "--resume" in run(other, "load", dump, *keep, code=1)[1]
        run(other, "load", dump, *keep, "--resume")
        assert not dump.with_name("d.load").exists()
        if "--keep-offsets" in keep:
            assert held(other) == before
        else:
            check_appended(held(other), before)
        other.stop()


def check_appended(after, before):
    bare = lambda events: [event[1:] for event in events]
    for topic, (_, partitions) in before.items():
        for (_, _, events), (_, _, were) in zip(after[topic][1], partitions):
            if topic == "many":
                assert events[0][3] == b"before"
                events = events[1:]
            assert bare(events) == bare(were), topic


@pytest.mark.parametrize("engine", ENGINES)
def test_a_load_outlives_its_broker(start, tmp_path, form, seed, engine):
    dump, before = dumped(start, tmp_path, form, seed)
    dice = random.Random(seed)
    for keep in [EXACT, ["--keep-timestamps"]]:
        other = start(storage=engine)
        relay = Stall(other, dice.choice(PLACES[1:]))  # it has answered once: else none is there
        process = subprocess.Popen([BIN, "load", dump, *keep, "--server", relay.url],
                                   stderr=subprocess.PIPE)
        for n in range(3):
            while not relay.stalled.wait(0.1) and process.poll() is None:
                pass
            if not relay.stalled.is_set():
                assert n > 0
                break  # all of it is through
            other.kill()
            other.start(port=other.port)
            relay.go_on(dice.randrange(600_000))
        relay.go_on(1 << 40)
        assert process.wait(60) == 0, process.stderr.read()
        if keep == EXACT:
            assert held(other) == before
        else:
            assert without("offsets", held(other)) == without("offsets", before)
        other.stop()


def test_a_load_among_others_who_write(start, tmp_path):
    """Without kept offsets each event is there once all the same; with them it is refused."""
    broker, other = start(), start()
    for i in range(300):
        broker.produce("t", f"{i}" + "x" * 10000)
    run(broker, "dump", "t", "-o", "raw", "--file", tmp_path / "d")
    relay = Stall(other, 1_500_000)
    process = subprocess.Popen([BIN, "load", tmp_path / "d", "--server", relay.url],
                               stderr=subprocess.PIPE)
    assert relay.stalled.wait(30)
    other.produce("t", "stranger")
    relay.go_on(1 << 40)
    assert process.wait(60) == 0, process.stderr.read()
    found = other.values("t", "?max_bytes=100MiB&limit=10000")
    while len(found) < 301:
        found += other.values("t", f"?limit=10000&offset={len(found)}")
    assert sorted(found) == sorted(broker_values(broker) + ["stranger"])
    assert [value for value in found if value != "stranger"] == broker_values(broker)

    third = start()
    relay = Stall(third, 1_500_000)
    process = subprocess.Popen([BIN, "load", tmp_path / "d", *EXACT, "--server", relay.url],
                               stderr=subprocess.PIPE)
    assert relay.stalled.wait(30)
    third.produce("t", "stranger")
    relay.go_on(1 << 40)
    assert process.wait(60) == 1
    assert b"somebody else appended" in process.stderr.read()


def broker_values(broker):
    found = []
    while len(found) < 300:
        found += broker.values("t", f"?limit=10000&offset={len(found)}")
    return found


# --- damaged --------------------------------------------------------------------------------------


def small_dump(broker, path, form):
    for i in range(30):
        broker.produce("t", f"value {i}", event_key=f"k{i}")
    run(broker, "dump", "t", "-o", form, "--file", path)
    return path.read_bytes()


def test_every_flipped_bit_is_found(start, tmp_path, form, seed):
    dice = random.Random(seed)
    broker = start()
    dump = tmp_path / "flipped.dump"
    whole = small_dump(broker, dump, form)
    for _ in range(150):
        at, bit = dice.randrange(len(whole)), 1 << dice.randrange(8)
        dump.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1:])
        said = run(broker, "load", dump, "--check", code=1)[1]
        assert "flipped.dump" in said, (at, bit, said)
        assert re.search(r"(byte|line) \d+|no end|is no dump|no checksum", said), (at, bit, said)


def test_a_dump_cut_short_is_refused_before_anything_is_loaded(start, tmp_path, form, seed):
    dice = random.Random(seed)
    broker, other = start(), start()
    dump = tmp_path / "cut.dump"
    whole = small_dump(broker, dump, form)
    for cut in [0, 5, 40] + [dice.randrange(len(whole)) for _ in range(20)]:
        dump.write_bytes(whole[:cut])
        said = run(other, "load", dump, code=1)[1]
        assert "cut.dump" in said
        assert other.client.get("/v1/topics").json()["topics"] == []
        # Through a pipe nobody knows before the end: then it is said.
        piped = subprocess.run([BIN, "load", "-", "--check", "--server", other.url],
                               input=whole[:cut], capture_output=True)
        assert piped.returncode == 1 and b"standard input" in piped.stderr
    dump.write_bytes(whole[:-30])
    run(other, "load", dump, "--partial", *EXACT)
    assert len(other.values("t")) == 30


def test_what_was_loaded_before_the_damage_is_told_and_gone_on_with(start, tmp_path, form):
    broker, other = start(), start()
    for i in range(60):
        broker.produce("t", f"{i}," + "x" * 50000)
    dump = tmp_path / "d"
    run(broker, "dump", "t", "-o", form, "--file", dump)
    whole = dump.read_bytes()
    at = len(whole) * 3 // 4
    dump.write_bytes(whole[:at] + b"\x00" + whole[at + 1:])
    said = run(other, "load", dump, *EXACT, code=1)[1]
    found = re.search(r"(\d+) events were loaded until then; .* --resume", said)
    assert found and ("line " in said or "byte " in said)
    assert describe(other, "t")["partitions"][0]["high_watermark"] == int(found[1]) < 60
    dump.write_bytes(whole)
    run(other, "load", dump, *EXACT, "--resume")
    assert held(other) == held(broker)


def test_foreign_and_newer_files_are_told(start, tmp_path, form):
    broker = start()
    whole = small_dump(broker, tmp_path / "d", form)
    if form == "raw":
        head = whole[:8] + struct.pack("<I", 2) + whole[12:28]
        newer = head + struct.pack("<I", crc32c(head)) + whole[32:]
    else:
        line = b'{"bourn_dump":2,"created_at":1}\n'
        newer = line + b'{"check":"%08x"}\n' % crc32c(line) + whole.split(b"\n", 2)[2]
    for content, words in [
        (newer, "a dump of version 2; this program reads 1: use a newer one"),
        (b"hello\nworld\n", "is no dump of bourn's"),
        (b'{"id": 1}\n{"id": 2}\n', "'bourn produce --lines' takes plain lines"),
        (b"\x1f\x8b\x08\x00" + bytes(100), "is no dump of bourn's"),
        (b"", "is empty"),
        (whole + whole, "behind the end"),
        (whole + b"x", "no end"),
    ]:
        (tmp_path / "f.dump").write_bytes(content)
        said = run(broker, "load", tmp_path / "f.dump", "--check", code=1)[1]
        assert "f.dump" in said and words in said, said


LINES = [
    ('{"topic":"t","partition":0,"offset":1', "not JSON at byte 38"),
    ('[1]', "not an object"),
    ('{"topic":"t","partition":0,"offset":1,"extra":1}', 'unknown member "extra"'),
    ('{"topic":"x","partition":0,"offset":1}', "a topic that did not come before"),
    ('{"topic":"t","partition":1,"offset":1}', "no such partition"),
    ('{"topic":"t","partition":0,"offset":-1}', "'offset' is not an offset"),
    ('{"topic":"t","partition":0,"offset":1}', "'timestamp' is not"),
    ('{"topic":"t","partition":0,"offset":1,"timestamp":1}', "'value' is not what"),
    ('{"topic":"t","partition":0,"offset":1,"timestamp":1,"encoding":"base64","value":"?"}',
     "'value' is not what"),
    ('{"topic":"t","partition":0,"offset":1,"timestamp":1,"key":1}', "'key' is not a string"),
    ('{"topic":"t","partition":0,"offset":1,"timestamp":1,"headers":[["a"]]}', "header 1 is not"),
    ('{"topic":"t"}', "neither a topic nor an event"),
    ('{"topic":"t","uuid":"u","partitions":[{"earliest":0,"high_watermark":1}],"settings":{}}',
     "is there twice"),
    ('{"topic":"a/b","uuid":"u","partitions":[],"settings":{}}', "a/b"),
    ('{"bourn_dump":1}', "another dump begins"),
]


@pytest.mark.parametrize("line, words", LINES, ids=range(len(LINES)))
def test_a_wrong_line_is_named(start, tmp_path, line, words):
    broker = start()
    (tmp_path / "d").write_text(
        '{"bourn_dump":1,"created_at":1}\n'
        '{"topic":"t","uuid":"u","partitions":[{"earliest":0,"high_watermark":9}],"settings":{}}\n'
        '{"topic":"t","partition":0,"offset":0,"timestamp":1,"encoding":"json","value":1}\n'
        + line + '\n{"end":true,"events":2}\n')
    said = run(broker, "load", tmp_path / "d", "--edited", "--check", code=1)[1]
    assert "d, line 4: " in said and words in said


# --- large ----------------------------------------------------------------------------------------


def test_memory_is_bounded_whatever_the_size(start, tmp_path, form):
    broker, other = start(), start()
    broker.create("t", 1, durability="os")
    for _ in range(80):
        post_lines(broker, "t", [envelope(b"k", [], b"v" * 10000, None, 1)] * 100)
    for words in [["dump", "t", "-o", form, "--file", tmp_path / "d", "--server", broker.url],
                  ["load", tmp_path / "d", *EXACT, "--server", other.url]]:
        limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (48 << 20, 48 << 20))
        done = subprocess.run([BIN, *words, "--quiet"], capture_output=True, timeout=60,
                              preexec_fn=limit if "release" in str(BIN) else None)
        assert (done.returncode, done.stderr) == (0, b"")
    assert describe(other, "t")["partitions"][0]["high_watermark"] == 8000


def test_memory_is_bounded_whatever_the_number_of_topics(start, tmp_path):
    broker, other = start(), start()
    for i in range(600):
        post_lines(broker, f"t{i}", [envelope(None, [], b"v" * 50000, None, 1)] * 2)
    for words in [["dump", "--all", "-o", "raw", "--file", tmp_path / "d", "--server", broker.url],
                  ["load", tmp_path / "d", *EXACT, "--server", other.url]]:
        limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (48 << 20, 48 << 20))
        done = subprocess.run([BIN, *words, "--quiet"], capture_output=True, timeout=60,
                              preexec_fn=limit if "release" in str(BIN) else None)
        assert (done.returncode, done.stderr) == (0, b"")
    assert held(other) == held(broker)


def test_a_person_sees_how_far_it_is(start, tmp_path):
    broker = start()
    for i in range(10):
        broker.produce("t", "x" * 1000)
    master, slave = pty.openpty()
    for words, shown in [(["dump", "t", "--file", tmp_path / "d"], True),
                         (["load", tmp_path / "d", "--as", "u"], True),
                         (["load", tmp_path / "d", "--as", "v", "--quiet"], False)]:
        done = subprocess.run([BIN, *words, "--server", broker.url], stdin=slave, stderr=slave,
                              timeout=30)
        os.write(slave, b"\nEND\n")
        seen = b""
        while b"END" not in seen:
            seen += os.read(master, 65536)
        assert done.returncode == 0, seen
        bar = re.search(rb"\[[#.]{24}\] +\d+ %  \d+ events?, .*/s", seen)
        assert bool(bar) == shown, seen
    os.close(master)
    os.close(slave)


# --- another engine -------------------------------------------------------------------------------


def test_a_directory_of_another_engine_names_the_way_and_it_works(start, tmp_path, seed):
    broker = start(storage="log")
    fill(broker, seed, count=300)
    before = held(broker)
    broker.stop()
    broker.storage = "memory"
    code, said = broker.refuses_to_start()
    assert code != 0 and "bourn dump --all --data" in said and "bourn load" in said, said
    other = start(storage="memory")
    run(other, "dump", "--all", "--data", broker.data, "--file", tmp_path / "d")
    run(other, "load", tmp_path / "d", *EXACT)
    assert held(other) == before
