"""Directories that earlier versions left behind (fixtures/make.py): opened, served whole, gone on with,
and from then on not theirs any more."""

import hashlib
import json
import tarfile

import pytest

from harness import formats
from harness.broker import ROOT

FIXTURES = sorted((ROOT / "tests/fixtures").glob("*.tar.xz"))
PRESENT = 2
# What was taken over by another engine, too.
CASES = [(path, engine) for path in FIXTURES for engine in ("memory", "log")
         if engine == "log" or path.name.endswith("-memory.tar.xz")]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name.split('.')[0]}-by-{case[1]}")
def earlier(request, start, tmp_path):
    path, engine = request.param
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path)
    broker = start(running=False, data=tmp_path / "data", storage=engine)
    return broker, json.loads((tmp_path / "expected.json").read_text())


def marker(broker):
    return formats.marker(broker.data / "bourn.dir")


def must_serve(broker, expected):
    for topic, told in expected.items():
        settings = broker.client.get(f"/v1/topics/{topic}").json()["settings"]
        assert {**settings, **told["settings"]} == settings
        for partition, events in told["events"].items():
            assert broker.consume(topic, f"?partition={partition}&limit=10000")["events"] == events


def test_serves_every_event_and_goes_on(earlier):
    broker, expected = earlier
    assert marker(broker)["format"] == "1"
    broker.start()
    must_serve(broker, expected)
    assert broker.client.get("/v1/topics/gone").status == 404
    assert (marker(broker)["format"], marker(broker)["engine"]) == (f"{PRESENT}", broker.storage)
    for topic, told in expected.items():
        for partition, events in told["events"].items():
            ack = broker.produce(topic, "after", query=f"?partition={partition}")
            assert ack["offset"] == (events[-1]["offset"] + 1 if events else 0)
            events.append(broker.consume(topic, f"?partition={partition}&offset={ack['offset']}")["events"][0])
    assert broker.client.post("/v1/admin/snapshot").status == 200
    broker.kill()
    broker.start()
    must_serve(broker, expected)
    broker.restart(shards=2)
    must_serve(broker, expected)


def test_is_left_alone_until_it_is_opened(earlier):
    broker, _expected = earlier
    before = contents(broker.data)
    done = broker.cli("verify", broker.data)
    assert done.returncode == 0, done
    assert contents(broker.data) == before


def test_verifies_after_it_was_raised(earlier):
    broker, _expected = earlier
    broker.start().stop()
    done = broker.cli("verify", broker.data)
    assert done.returncode == 0, done


def contents(directory):
    """All bytes and times."""
    return {path: (path.stat().st_mtime_ns, not path.is_dir() and hashlib.sha256(path.read_bytes()).digest())
            for path in [directory, *directory.rglob("*")]}


@pytest.mark.parametrize("words, code", [("serve --port 0 --data", 1), ("verify", 4), ("verify --cut", 4)])
def test_a_later_format_is_refused_untouched(start, words, code):
    broker = start()
    broker.produce("t", "x")
    broker.stop()
    path = broker.data / "bourn.dir"
    body = path.read_bytes().replace(b"format %d" % PRESENT, b"format %d" % (PRESENT + 1))
    body = body[:body.index(b"crc ")]
    path.write_bytes(body + b"crc %08x\n" % formats.crc32c(body))
    before = contents(broker.data)
    done = broker.cli(*words.split(), broker.data)
    assert done.returncode == code and b"newer" in done.stderr and b"bourn.dir" in done.stderr, done
    assert contents(broker.data) == before
