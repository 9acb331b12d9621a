"""F5 on the real binary: a bit is flipped anywhere in the files of a killed broker's directory. It is
started and all of it read: no event that was not sent, none at another offset, nothing missing in
silence; other partitions serve and take writes. `bourn verify` sees the same and names file and byte.

src/store/flips_test.c does it in one process, many times faster. Damage in the last group of writes
looks like one that never finished, so that group is a topic's of its own, which may lose its events.
"""

import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile

import pytest

from harness.broker import BIN, LISTENING, Broker
from harness.oracle import report

FLIPS = 1000 if os.environ.get("BOURN_LONG") else 150
TOPICS = ("a", "b")
LAST = "last"
PARTITIONS = 2
BLOCK = 4096
# Where to: each kind of file gets its share, large or small.
KINDS = {"segment": r"\.seg$", "index": r"\.idx$", "wal": r"^wal/", "manifest": r"^manifest$",
         "manifest.prev": r"^manifest\.prev$", "catalog": r"^catalog/", "marker": r"^bourn\.dir$"}
MAY_REFUSE = ("manifest", "manifest.prev", "catalog", "marker")
LOST = re.compile(r"offsets (\d+) to (\d+) are lost")
FINDING = re.compile(r"^(?:damage|note): (\S+?)(?: byte (\d+))?: ", re.M)


class Golden:
    """A directory with segments of two checkpoints and a write-ahead log; what was sent is in `events`."""

    def __init__(self, path, engine, rng):
        self.path = path
        self.events = {}  # (topic, partition) -> [value]
        broker = Broker(path, storage=engine, shards=2).start()
        for topic in TOPICS:
            broker.create(topic, partitions=PARTITIONS)
        for turn in range(3):
            for _ in range(10):
                for topic in TOPICS:
                    for partition in range(PARTITIONS):
                        self.produce(broker, topic, partition, rng)
            if turn < 2:
                assert broker.client.post("/v1/admin/snapshot").status == 200
        self.produce(broker, LAST, 0, rng)
        broker.kill()
        files = sorted((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.stat().st_mtime_ns)
        self.files = {kind: [file for file in files if re.search(pattern, str(file.relative_to(path)))]
                      for kind, pattern in KINDS.items()}  # the one written last is the last

    def produce(self, broker, topic, partition, rng):
        """Some events, as one batch."""
        values = [rng.randbytes(rng.randrange(1, 300)).hex() for _ in range(rng.randrange(1, 4))]
        lines = "\n".join(f'"{value}"' for value in values)
        broker.produce(topic, lines, "application/x-ndjson", f"?partition={partition}")
        self.events.setdefault((topic, partition), []).extend(values)


class Flip:
    """One bit of one file of a copy."""

    def __init__(self, golden, copy, kind, rng):
        files = golden.files[kind]
        file = rng.choice(files + files[-1:] * len(files))
        data = bytearray(file.read_bytes())
        self.golden, self.copy, self.kind = golden, copy, kind
        self.name = str(file.relative_to(golden.path))
        self.at, self.bit = rng.randrange(len(data.rstrip(b"\0"))), rng.randrange(8)
        while not data[self.at] and rng.random() < 0.8:  # most places hold nothing
            self.at = rng.randrange(len(data.rstrip(b"\0")))
        self.is_padding = not any(data[self.at:-(-(self.at + 1) // BLOCK) * BLOCK])
        data[self.at] ^= 1 << self.bit
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(golden.path, copy)
        (copy / self.name).write_bytes(data)

    def __str__(self):
        return f"bit {self.bit} of byte {self.at} of {self.name}"

    def hits(self, topic_uuid, partition):
        return self.kind not in ("segment", "index") or f"{topic_uuid}/{partition}/" in self.name


class Reading:
    """All that a broker serves, held against what was sent."""

    def __init__(self, broker, golden):
        self.broker, self.golden = broker, golden
        self.wrong = []     # served, and not what was sent there
        self.missing = {}   # (topic, partition) -> offsets that were not served
        self.told = set()   # partitions of which a read, or the list of fences, says so
        self.uuids = {}
        for row in broker.info()["fenced"]:
            self.told.add((row["topic"], row["partition"]))
        for place in golden.events:
            self._read(*place)

    def _read(self, topic, partition):
        place, sent = (topic, partition), self.golden.events[topic, partition]
        description = self.broker.client.get(f"/v1/topics/{topic}")
        served, at = set(), 0
        while at < len(sent) and description.status == 200:
            self.uuids[topic] = description.json()["uuid"]
            reply = self.broker.client.get(f"/consume/{topic}?partition={partition}&offset={at}&limit=1000")
            if reply.status == 500:
                problem = reply.json()
                assert problem["code"] == "corrupt", reply
                self.told.add(place)
                at = int(LOST.search(problem["detail"])[2]) + 1
                continue
            if reply.status != 200 or not reply.json()["events"]:
                break  # beyond its end: what is missing is counted below
            for event in reply.json()["events"]:
                at = event["offset"] + 1
                served.add(event["offset"])
                if event["offset"] >= len(sent) or event["value"] != sent[event["offset"]]:
                    self.wrong.append((place, event))
        missing = set(range(len(sent))) - served
        if missing:
            self.missing[place] = missing


def verify(path):
    done = subprocess.run([BIN, "verify", path], capture_output=True, text=True, timeout=30)
    assert done.returncode in (0, 1, 4), done
    return done.returncode, done.stdout + done.stderr


def started(broker):
    """False when it refuses; then it says what is damaged."""
    broker.spawn()
    try:
        broker.port = int(broker.wait_line(LISTENING).group(2))
    except AssertionError:
        assert broker._wait(10) == 1, broker.log
        return False
    return True


def check(flip, broker, damaged, said):
    """Returns what came of it."""
    named = {pathlib.Path(found[0]).relative_to(flip.copy).as_posix(): found[1] for found in FINDING.findall(said)}
    if damaged and flip.kind not in MAY_REFUSE:
        assert flip.name in named, f"verify does not name it: {said}"
        assert flip.kind != "segment" or int(named[flip.name] or 0) <= flip.at, said
    if flip.kind == "segment":
        assert damaged or flip.is_padding, "verify does not see it"
    if not started(broker):
        assert flip.kind in MAY_REFUSE and damaged, (broker.log, said)
        return "refused"
    reading = Reading(broker, flip.golden)
    assert not reading.wrong, reading.wrong
    silent = {place: offsets for place, offsets in reading.missing.items()
              if place not in reading.told and place[0] != LAST}
    assert not silent, f"missing, and nobody says so: {silent}"
    assert damaged or not reading.missing.keys() - {(LAST, 0)}, f"verify calls it clean: {reading.missing}"
    for topic, partition in flip.golden.events:
        if (topic, partition) in reading.told:
            assert flip.hits(reading.uuids.get(topic), partition), "another partition is fenced"
            continue
        sent = broker.client.post(f"/produce/{topic}?partition={partition}", "x", "text/plain")
        assert sent.status == 201 or (topic, partition) in reading.missing, sent
    return "fenced" if reading.told else "harmless"


@pytest.fixture
def in_memory(tmp_path):
    """A directory in memory, where there is one: hundreds of small directories are made and read."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(prefix="bourn-test-", dir=memory) as path:
        yield pathlib.Path(path)


@pytest.mark.parametrize("engine", ["memory", "log"])  # rocksdb's files: src/store/rocksdb/rocksdb_test.c
@pytest.mark.timeout(1800)
def test_flips(engine, seed, in_memory):
    rng = random.Random(f"{seed}-{engine}")
    golden = Golden(in_memory / "golden", engine, rng)
    kinds = [kind for kind in KINDS if golden.files[kind]]
    outcomes = {kind: {} for kind in kinds}
    broker = Broker(in_memory / "copy", storage=engine, shards=2)
    for i in range(FLIPS):
        kind = kinds[i % len(kinds)]
        flip = Flip(golden, broker.data, kind, rng)
        try:
            code, said = verify(broker.data)
            outcome = check(flip, broker, code != 0, said)
        except AssertionError as error:
            raise AssertionError(f"{flip}: {error}\n{broker.log}") from error
        finally:
            if broker.running:
                rss = broker.rss_bytes()
                broker.kill()
        outcomes[kind][outcome] = outcomes[kind].get(outcome, 0) + 1
    report(test="F5 flipped bits", engine=engine, seed=seed, n=FLIPS, acked=sum(map(len, golden.events.values())),
           missing=0, duplicates=0, disorder=0, outcomes=outcomes, max_rss=rss, verdict="pass")
    assert outcomes["segment"].get("fenced") and outcomes["wal"].get("fenced"), "no flip did any harm"
