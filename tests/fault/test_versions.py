"""F19: an older program on a newer data directory, and the other way round. The older one is built
from this repository's history, which takes a minute: full form only. Directories of each format that
ever was are kept beside the unit tests, too (tests/fixtures)."""

import subprocess

import pytest

from harness.broker import ROOT
from harness.oracle import report

FORMAT_1 = "9a13dca"  # the last commit that wrote data directories of format 1
EVENTS = [f"event {i}" for i in range(50)]


@pytest.fixture(scope="module")
def old_binary(tmp_path_factory):
    where = tmp_path_factory.mktemp("format-1")
    source, build = where / "source", where / "build"
    source.mkdir()
    try:
        archive = subprocess.run(["git", "-C", ROOT, "archive", FORMAT_1], check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"SKIPPED LOUDLY: {FORMAT_1} is not in this checkout's history")
    subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
    for words in (["-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DBOURN_TESTS=OFF"],
                  ["--build", build, "--target", "bourn"]):
        done = subprocess.run(["cmake", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return build / "bourn"


def contents(directory):
    """{name: (bytes, when they were written)} of all that is in it."""
    return {str(path.relative_to(directory)): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
            for path in sorted(directory.rglob("*"))} | {".": (None, directory.stat().st_mtime_ns)}


def fill(broker):
    """Events in segments and in the write-ahead log."""
    for i, event in enumerate(EVENTS):
        broker.produce("t", event)
        if i == len(EVENTS) // 2:
            assert broker.client.post("/v1/admin/snapshot").status == 200


@pytest.mark.timeout(600)
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_old_on_new(start, engine, old_binary, end):
    broker = start(storage=engine)
    fill(broker)
    getattr(broker, end)()
    before = contents(broker.data)
    broker.binary = old_binary
    broker.storage = "memory"  # the only engine it knows
    code, said = broker.refuses_to_start()
    assert code not in (0, -6, -11), said
    assert "newer" in said or engine in said, said
    assert contents(broker.data) == before, "it wrote to what it does not understand"
    report(test=f"F19 old program on new data, after {end}", engine=engine, n=len(before), acked=len(EVENTS),
           missing=0, verdict="pass")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["memory", "log"], indirect=True)  # which take it over
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_new_on_old(start, engine, old_binary, end):
    broker = start(storage="memory", binary=old_binary)
    fill(broker)
    getattr(broker, end)()
    broker.binary, broker.storage = start(running=False).binary, engine
    broker.start()
    assert broker.values("t") == EVENTS
    fill(broker)
    broker.kill()
    broker.start()
    assert broker.values("t") == EVENTS * 2
    report(test=f"F19 new program on old data, after {end}", engine=engine, n=1, acked=2 * len(EVENTS), missing=0,
           verdict="pass")
