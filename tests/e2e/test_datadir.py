"""The data directory: whose it is, and what is never done to one that is not ours."""

import hashlib
import os
import pathlib
import subprocess

import pytest

from harness.broker import BIN


def digest(directory):
    """Every name, size and byte below a directory."""
    sums = {}
    for path in sorted(pathlib.Path(directory).rglob("*")):
        kind = "d" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        sums[str(path.relative_to(directory))] = (kind, path.stat().st_mode)
    return sums


def must_refuse(broker, *words):
    """It does not start, says why and what to do, and touches nothing."""
    before = digest(broker.data)
    code, said = broker.refuses_to_start()
    assert code == 1, said
    for word in (str(broker.data), *words):
        assert word in said, said
    assert digest(broker.data) == before
    return said


def used_directory(start, **arguments):
    broker = start(**arguments)
    broker.produce("t", "x")
    broker.stop()
    return broker


def test_is_made_with_private_modes(start):
    broker = used_directory(start)
    assert broker.data.stat().st_mode & 0o777 == 0o700
    for path in broker.data.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_files_bear_no_topic_names(start):
    broker = start()
    broker.produce("my-topic", "x")
    broker.produce("...", "x")
    broker.client.post("/v1/admin/snapshot")
    assert not [path for path in broker.data.rglob("*") if "my-topic" in path.name or ".." in path.name]


def test_locked(start):
    first = start()
    second = start(running=False, data=first.data)
    second.spawn()
    code = second._wait(20)
    assert code == 1
    assert str(first.data) in second.log and "another process" in second.log
    first.produce("t", "still fine")


def test_foreign(start, tmp_path):
    data = tmp_path / "data0"
    data.mkdir()
    (data / "photo.jpg").write_bytes(b"not yours")
    must_refuse(start(running=False), "not a data directory of ours")


def test_empty_directory_is_taken(start, tmp_path):
    (tmp_path / "data0").mkdir()
    start().produce("t", "x")


def test_newer(start):
    broker = used_directory(start)
    changed = 0
    for path in broker.data.iterdir():  # the file that names the format's version
        if path.is_file() and path.suffix not in (".wal",) and b"bourn" in path.read_bytes()[:64]:
            text = path.read_bytes()
            newer = newer_version(text)
            if newer != text:
                path.write_bytes(newer)
                changed += 1
    assert changed, list(broker.data.iterdir())
    must_refuse(broker, "newer")


def newer_version(text):
    """The same with version 999, in JSON or `key value` form."""
    import re
    return re.sub(rb'((?:version|format)\W{1,4})\d+\b', rb"\g<1>999", text, count=1)


def test_read_only(start):
    broker = used_directory(start)
    if os.geteuid() != 0:
        for path in [broker.data, *broker.data.rglob("*")]:
            path.chmod(0o500 if path.is_dir() else 0o400)
        try:
            must_refuse(broker)
        finally:
            for path in [broker.data, *broker.data.rglob("*")]:
                path.chmod(0o700 if path.is_dir() else 0o600)
        return
    # root may write anywhere but on a file system mounted read-only
    mounted = subprocess.run(["mount", "--bind", broker.data, broker.data], capture_output=True)
    if mounted.returncode:
        pytest.skip("root, and mounting is not allowed here")
    try:
        remount = ["mount", "-o", "remount,bind,ro", broker.data]
        if subprocess.run(remount, capture_output=True).returncode:
            pytest.skip("read-only bind mounts are not allowed here")
        must_refuse(broker)
    finally:
        subprocess.run(["umount", broker.data], check=True)


def test_file_in_its_place(start, tmp_path):
    (tmp_path / "data0").write_text("a file")
    code, said = start(running=False).refuses_to_start()
    assert code == 1 and "data0" in said
    assert (tmp_path / "data0").read_text() == "a file"


def test_parent_that_is_not_there(start, tmp_path):
    broker = start(running=False, data=tmp_path / "no" / "such" / "data")
    done = subprocess.run([BIN, "serve", "--port", "0", "--data", broker.data], capture_output=True, timeout=30)
    assert done.returncode == 1 and b"the one above it has to be there" in done.stderr
    (tmp_path / "no" / "such").mkdir(parents=True)
    broker.start()


def test_another_engine_is_refused_with_the_remedy(start):
    broker = used_directory(start, storage="log")
    broker.storage = "rocksdb"
    before = digest(broker.data)
    code, _said = broker.refuses_to_start()
    assert code in (1, 2)
    assert digest(broker.data) == before


def test_any_shard_count_serves_it(start):
    broker = start(shards=1)
    broker.create("p", partitions=8)
    for i in range(64):
        broker.produce("p", f"{i}", "text/plain", Event_Key=f"{i}")
    expected = sorted(broker.values("p"))
    for shards in (2, 3, 1):
        broker.restart(shards=shards)
        assert sorted(broker.values("p")) == expected
