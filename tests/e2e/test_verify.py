"""bourn verify: what it finds, what it lets stand, and that it changes nothing."""

import json
import pathlib
import random
import shutil
import subprocess
import time

import pytest

from harness import formats
from harness.broker import BIN
from test_datadir import digest
from test_formats import topic_uuid

OK, DAMAGED, USAGE, _UNREACHABLE, REFUSED, NOT_FOUND = range(6)
FLIPS = 12  # of each kind of file


def verify(data, *words):
    done = subprocess.run([str(BIN), "verify", str(data), *words], capture_output=True, text=True, timeout=120)
    assert "CHECK failed" not in done.stderr and "Sanitizer" not in done.stderr, done.stderr
    return done


def told(data):
    """(exit code, what -o json says)"""
    done = verify(data, "-o", "json")
    return done.returncode, json.loads(done.stdout)


def fill(broker, topic, count, start=0):
    for i in range(start, start + count):
        broker.produce(topic, f"event {i}" + "x" * (i * 61 % 2000))


def wait_for_mark(broker):
    """Until the WAL says that all it holds is flushed: what is damaged then is no torn tail."""
    deadline = time.monotonic() + 10
    while True:
        try:
            frames = [frame for file in formats.wal(broker.data / "wal") for frame in file["frames"]]
            if frames and frames[-1]["type"] == 1:
                return frames
        except AssertionError:  # read while it was written
            pass
        assert time.monotonic() < deadline


def make_killed(start, engine):
    """A directory with segments in two runs, a WAL with frames that are in no segment, and a catalog."""
    broker = start(storage=engine, env={"BOURN_STORAGE_ROCKSDB_COMPRESSION": "none"})
    broker.create("a", partitions=2)
    fill(broker, "t", 40)
    assert broker.client.post("/v1/admin/snapshot").status == 200
    fill(broker, "t", 40, 40)
    fill(broker, "a", 20)
    assert broker.client.post("/v1/admin/snapshot").status == 200
    fill(broker, "t", 25, 80)
    fill(broker, "a", 5)
    if engine != "rocksdb":  # what it flushed it says at once, in front of what comes next
        wait_for_mark(broker)
    broker.kill()
    return broker


@pytest.fixture(params=["memory", "log"])
def killed(request, start):
    return make_killed(start, request.param)


@pytest.fixture
def killed_rocksdb(start):
    return make_killed(start, "rocksdb")


ANY = pytest.mark.parametrize("engine", ["memory", "log", "rocksdb"])


@ANY
def test_clean_after_kill(start, engine):
    killed = make_killed(start, engine)
    before = digest(killed.data)
    code, said = told(killed.data)
    assert (code, said["damages"], said["findings"]) == (OK, 0, []), said
    assert (said["topics"], said["partitions"], said["events"]) == (2, 3, 130)
    assert said["segments"] >= 2 and (engine == "rocksdb" or said["wal_frames"] >= 30)
    assert digest(killed.data) == before
    assert verify(killed.data).stdout.startswith("clean: 2 topics, 3 partitions, 130 events")


@ANY
def test_clean_after_a_stop(start, engine):
    broker = start(storage=engine)
    fill(broker, "t", 10)
    broker.stop()
    code, said = told(broker.data)
    assert (code, said["findings"], said["events"]) == (OK, [], 10)


@ANY
def test_clean_when_killed_under_load(start, engine, seed):
    """Torn tails may be told, damage never."""
    rng = random.Random(seed)
    broker = start(storage=engine)
    for _ in range(5):
        load = subprocess.Popen([str(BIN), "produce", "t", "--count", "1000000", "x" * 500, "--server", broker.url],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.01, 0.3))  # a random moment
        broker.kill()
        load.wait(20)
        code, said = told(broker.data)
        assert (code, said["damages"]) == (OK, 0), (seed, said)
        broker.start()


@ANY
def test_a_running_broker_is_refused_and_not_disturbed(start, engine):
    broker = start(storage=engine)
    broker.produce("t", "x")
    if engine != "rocksdb":
        wait_for_mark(broker)
    before = digest(broker.data)
    done = verify(broker.data)
    assert done.returncode == REFUSED and "lock" in done.stderr and str(broker.data) in done.stderr
    if engine != "rocksdb":  # whose log goes on to say how far it was flushed
        assert digest(broker.data) == before
    broker.produce("t", "y")


def test_where_there_is_nothing(tmp_path):
    nothing = verify(tmp_path / "none")
    assert nothing.returncode == NOT_FOUND and "no data directory" in nothing.stderr
    assert verify(tmp_path).returncode == NOT_FOUND
    (tmp_path / "photo.jpg").write_text("x")
    assert verify(tmp_path).returncode == REFUSED
    assert subprocess.run([str(BIN), "verify"], capture_output=True).returncode == USAGE


@ANY
def test_a_copy_without_lock(start, engine, tmp_path):
    killed = make_killed(start, engine)
    copy = tmp_path / "copy"
    shutil.copytree(killed.data, copy)
    (copy / "lock").unlink()
    assert told(copy)[0] == OK
    assert not (copy / "lock").exists()


# --- a database of RocksDB -----------------------------------------------------------------


def largest(data, kind):
    return max((data / "rocksdb").glob(kind), key=lambda path: path.stat().st_size)


def test_rocksdb_damaged_rows_are_named_and_can_be_purged(killed_rocksdb):
    data = killed_rocksdb.data
    path = next(path for path in (data / "rocksdb").glob("*.sst") if b"event 45x" in path.read_bytes())
    at = path.read_bytes().index(b"event 45x")
    flip(path, at, 3)
    before = digest(data)
    code, said = told(data)
    finding = next(each for each in said["findings"] if each["topic"] == "t")  # its block may hold others', too
    assert (code, finding["partition"], finding["file"]) == (DAMAGED, 0, str(path)), said
    assert finding["from"] <= 45 < finding["to"] <= 80, (at, said)
    assert 0 <= finding["byte"] <= at
    assert f"purge this partition up to {finding['to']}" in finding["remedy"]
    uncut = verify(data, "--cut", "--yes")
    assert uncut.returncode == DAMAGED
    assert "nothing was cut: a database of RocksDB cannot be cut; start the broker" in uncut.stderr
    assert digest(data) == before

    killed_rocksdb.start()
    upto = finding["to"]
    purge = json.dumps({"partition": 0, "upto": upto})
    assert killed_rocksdb.client.post("/v1/topics/t/purge", purge).status == 200
    assert values(killed_rocksdb, "t")[0] == f"event {upto}"
    killed_rocksdb.stop()
    code, said = told(data)
    assert "t" not in [each.get("topic") for each in said["findings"]], said


def test_rocksdb_damage_of_what_was_flushed_in_its_wal(killed_rocksdb):
    data = killed_rocksdb.data
    path = largest(data, "*.log")
    flip(path, path.stat().st_size // 4, 3)
    before = digest(data)
    code, said = told(data)
    (finding,) = said["findings"]
    assert code == DAMAGED and finding["file"].startswith(str(data / "rocksdb")), said
    assert "WAL" in finding["what"] and "backup" in finding["remedy"]
    assert digest(data) == before
    code, refused = killed_rocksdb.refuses_to_start()
    assert code == 1 and "its WAL is damaged" in refused


def test_rocksdb_a_torn_tail_of_its_wal_is_no_damage(killed_rocksdb):
    path = largest(killed_rocksdb.data, "*.log")
    path.write_bytes(path.read_bytes()[:-20])
    code, said = told(killed_rocksdb.data)
    assert (code, said["findings"], said["events"]) == (OK, [], 129)


@pytest.mark.parametrize("what", ["*.sst", "MANIFEST-*", "CURRENT", "catalog"])
def test_rocksdb_missing_files_are_damage(killed_rocksdb, what):
    data = killed_rocksdb.data
    shutil.rmtree(data / what) if what == "catalog" else largest(data, what).unlink()
    code, said = told(data)
    assert code == DAMAGED and said["damages"] > 0
    assert "No such file" in said["findings"][0]["what"] or "missing" in said["findings"][0]["what"], said


# --- flips ---------------------------------------------------------------------------------


def segment_bytes(data):
    """[(path, byte)] that a checksum, or the rule that padding is zero, covers"""
    manifest = formats.manifest(data / "manifest")
    for partition in manifest["partitions"]:
        for entry in partition["segments"]:
            for path in data.glob(f"topics/*/{partition['partition']}/{entry['base offset']:020}.seg"):
                if formats.segment(path, None)["topic"] == partition["topic"]:
                    yield path, range(entry["bytes that count"])


def frame_bytes(data, directory, past):
    for path in sorted((data / directory).glob("*.wal")):
        file = formats.wal_file(path)
        needed = [frame for frame in file["frames"] if frame["sequence"] > past]
        for frame in needed:
            if frame["type"] != 1:
                yield path, range(frame["at"], frame["at"] + formats.FRAME.bytes + frame["payload length"])


def covered(data, kind):
    if kind == "marker":
        return [(data / "bourn.dir", range(len((data / "bourn.dir").read_bytes())))]
    if kind == "manifest":
        return [(path, range(path.stat().st_size)) for path in (data / "manifest", data / "manifest.prev")]
    if kind == "segment":
        return list(segment_bytes(data))
    if kind == "wal":
        return list(frame_bytes(data, "wal", formats.manifest(data / "manifest")["checkpointed"]))
    if kind == "catalog":
        return list(frame_bytes(data, "catalog", 0))
    return [(path, range(60)) for path in (*data.glob("wal/*.wal"), *data.glob("catalog/*.wal"))]


def flip(path, at, bit):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["marker", "manifest", "segment", "wal", "catalog", "wal header"])
def test_every_flip_is_found(killed, kind, seed):
    rng = random.Random(f"{seed} {kind}")
    places = covered(killed.data, kind)
    assert places
    for _ in range(FLIPS):
        path, span = rng.choices(places, [len(span) for _path, span in places])[0]
        at, bit = rng.choice(span), rng.randrange(8)
        flip(path, at, bit)
        where = f"seed {seed}: {path.relative_to(killed.data)} byte {at} bit {bit}"
        done = verify(killed.data, "-o", "json")
        flip(path, at, bit)
        said = json.loads(done.stdout)
        if done.returncode == REFUSED:  # a marker that says another kind or version
            assert kind == "marker" and "bourn.dir" in done.stderr, where
            continue
        assert done.returncode == DAMAGED and said["damages"] == len(
            [f for f in said["findings"] if f["kind"] == "damage"]) > 0, (where, said, done.stderr)
        if kind in ("segment", "wal", "wal header"):
            assert any(f["file"] == str(path) for f in said["findings"]), (where, said)
        for finding in said["findings"]:
            assert finding["remedy"] and finding["what"], (where, finding)
    assert told(killed.data)[0] == OK


def test_a_bad_batch_is_named_by_place_and_offset(killed):
    (path, span), *_ = [each for each in segment_bytes(killed.data) if len(each[1]) > 20000]
    segment = formats.segment(path, len(span))
    bad = segment["batches"][3]
    at = path.read_bytes().index(bad["records"][0]["value"])
    flip(path, at, 0)
    code, said = told(killed.data)
    (finding,) = said["findings"]
    assert (code, finding["topic"], finding["partition"]) == (DAMAGED, "t", 0)
    assert (finding["from"], finding["to"]) == (bad["base offset"], 80)
    assert finding["file"] == str(path) and 4096 < finding["byte"] < at
    text = verify(killed.data).stdout
    assert text.startswith(f"damage: {path} byte {finding['byte']}: t/0 offsets 3 to 79: ")
    assert "remedy: " in text and text.splitlines()[-1].startswith("damaged: ")


def test_a_purge_makes_damage_pass(killed):
    (path, span), *_ = [each for each in segment_bytes(killed.data) if len(each[1]) > 20000]
    flip(path, 6000, 1)
    killed.start()
    assert killed.client.post("/v1/topics/t/purge", '{"partition":0,"upto":80}').status == 200
    killed.stop()
    assert told(killed.data)[0] == OK


def test_a_torn_tail_is_no_damage(killed):
    path = max(killed.data.glob("wal/*.wal"), key=lambda path: int(path.stem))
    file = formats.wal_file(path)
    last = file["frames"][-1]  # the mark
    flip(path, last["at"] + 20, 3)
    code, said = told(killed.data)
    assert code == OK and said["torn_bytes"] > 0
    (note,) = said["findings"]
    assert note["kind"] == "note" and note["file"] == str(path) and "torn" in note["what"]


@pytest.mark.parametrize("what", ["segment", "wal", "catalog", "manifests"])
def test_missing_files_are_damage(killed, what):
    victims = {"segment": lambda: [min(killed.data.glob("topics/*/0/*.seg"))],
               "wal": lambda: list(killed.data.glob("wal/*.wal")),
               "catalog": lambda: list(killed.data.glob("catalog/*")),
               "manifests": lambda: list(killed.data.glob("manifest*"))}[what]()
    for path in victims:
        pathlib.Path(path).unlink()
    code, said = told(killed.data)
    assert code == DAMAGED and said["damages"] > 0


# --- cutting -------------------------------------------------------------------------------


def cut(data, *words):
    return verify(data, "--cut", *words)


def values(broker, topic):
    return [event["value"].split("x")[0] for event in broker.consume(topic, "?limit=10000")["events"]]


def test_a_cut_asks_first(killed):
    (path, _span), *_ = [each for each in segment_bytes(killed.data) if len(each[1]) > 20000]
    flip(path, 6000, 1)
    before = digest(killed.data)
    done = cut(killed.data)
    assert done.returncode == DAMAGED and "--yes" in done.stderr
    assert "t/0: all from offset" in done.stdout and "to its end at 105" in done.stdout
    assert digest(killed.data) == before


def test_a_cut_segment_serves_what_is_below(killed):
    (path, span), *_ = [each for each in segment_bytes(killed.data) if len(each[1]) > 20000]
    segment = formats.segment(path, len(span))
    whole = path.read_bytes()
    killed.start()
    # One partition's cursor is a plain number; the opaque form says the epoch too.
    epoch_cursor = formats.cursor_text(topic_uuid(killed), 0, segment["leader epoch"], 50)
    other = values(killed, "a")
    killed.stop()
    flip(path, path.read_bytes().index(segment["batches"][5]["records"][0]["value"]), 0)
    damaged = path.read_bytes()
    done = cut(killed.data, "--yes")
    assert done.returncode == OK, done
    assert told(killed.data)[0] == OK
    beside = path.with_name(path.name + ".cut-1")
    at = path.stat().st_size
    assert damaged[at:len(whole)] == beside.read_bytes()[:len(whole) - at]
    killed.start()
    assert values(killed, "t") == [f"event {i}" for i in range(5)]
    assert sorted(values(killed, "a")) == sorted(other)
    assert killed.produce("t", "new")["offset"] == 5
    assert killed.info()["fenced"] == []
    for _ in range(60):
        killed.produce("t", "more")
    gone = killed.client.get(f"/consume/t?cursor={epoch_cursor}")
    assert gone.status == 410 and gone.json()["code"] == "offset_truncated", gone
    killed.restart()
    assert values(killed, "t")[5] == "new"
    killed.stop()
    assert told(killed.data)[0] == OK


@pytest.mark.parametrize("where", ["header", "payload"])
def test_a_cut_of_the_wal(killed, where, seed):
    rng = random.Random(f"{seed} {where}")
    checkpointed = formats.manifest(killed.data / "manifest")["checkpointed"]
    path, frame = rng.choice([
        (path, frame) for path in killed.data.glob("wal/*.wal") for frame in formats.wal_file(path)["frames"]
        if frame["sequence"] > checkpointed and frame["type"] == 2])
    before = path.read_bytes()
    flip(path, frame["at"] + (20 if where == "header" else 100), 2)
    assert told(killed.data)[0] == DAMAGED
    done = cut(killed.data, "--yes")
    assert done.returncode == OK, (seed, done)
    assert len(path.with_name(path.name + ".cut-1").read_bytes()) == len(before)
    killed.start()
    assert killed.info()["fenced"] == []
    found = values(killed, "t")
    assert found == [f"event {i}" for i in range(len(found))]
    assert len(found) >= 80 and len(found) + len(values(killed, "a")) < 130
    assert killed.produce("t", "new")["offset"] == len(found)
    killed.stop()
    assert told(killed.data)[0] == OK


def test_what_no_cut_repairs(killed):
    for name in ("manifest", "bourn.dir"):
        flip(killed.data / name, 40, 0)
        done = cut(killed.data, "--yes")
        assert done.returncode == DAMAGED and "nothing was cut" in done.stderr
        flip(killed.data / name, 40, 0)
    done = cut(killed.data, "--yes")
    assert done.returncode == OK and "nothing to cut" in done.stderr


def test_any_flip_of_events_can_be_cut(killed, seed, tmp_path):
    rng = random.Random(f"{seed} cut")
    for n in range(8):
        copy = tmp_path / f"copy{n}"
        shutil.copytree(killed.data, copy)
        places = covered(copy, rng.choice(["segment", "wal"]))
        path, span = rng.choices(places, [len(span) for _path, span in places])[0]
        at, bit = rng.choice(span), rng.randrange(8)
        flip(path, at, bit)
        done = cut(copy, "--yes")
        where = f"seed {seed}: {path.relative_to(copy)} byte {at} bit {bit}"
        if "nothing to cut" in done.stderr:  # of an epoch, which the header says too
            continue
        assert done.returncode == OK, (where, done)
        assert told(copy)[0] == OK, where
