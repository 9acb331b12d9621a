"""Backups: made under load, each a data directory of its own, and none the worse for the other."""

import copy
import json
import pathlib
import re
import subprocess
import threading
import time

import pytest

from harness.broker import BIN, why_not
from harness.oracle import Oracle

ENGINES = ["memory", "log", "rocksdb"]


@pytest.fixture(params=ENGINES)
def engine(request):
    if why_not(request.param):
        pytest.skip(f"SKIPPED LOUDLY: {why_not(request.param)}")
    return request.param


def make(broker, name=None):
    """What it answers, 201 as it must be."""
    body = json.dumps({"name": name}) if name else None
    reply = broker.client.post("/v1/admin/backup", body, "application/json")
    assert reply.status == 201, reply
    return reply.json()


def listed(broker):
    return [backup["name"] for backup in broker.client.get("/v1/admin/backups").json()["backups"]]


def remove(broker, name):
    return broker.client.request("DELETE", f"/v1/admin/backups/{name}").status


def assert_clean(data):
    """As far as `bourn verify` reads it."""
    if (pathlib.Path(data) / "rocksdb").exists():
        return
    done = subprocess.run([BIN, "verify", str(data)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def produce_numbers(broker, topic, numbers):
    lines = "".join(f"{number}\n" for number in numbers)
    reply = broker.client.post(f"/produce/{topic}", lines, "application/x-ndjson")
    assert reply.status == 201, reply


def snapshot(broker):
    assert broker.client.post("/v1/admin/snapshot").status == 200


# --- what it holds --------------------------------------------------------------------------------


def under_load(oracle, count):
    producers = oracle.start_producers(8)
    deadline = time.monotonic() + 60
    while oracle.acked_count < count:
        assert time.monotonic() < deadline
    return producers


def assert_holds_all_until(oracle, moments):
    """What the broker of `oracle` has, against what was acknowledged before these moments."""
    looker = copy.copy(oracle)
    looker.acks, looker.acked_at = dict(oracle.acks), dict(oracle.acked_at)
    looker.starts, looker.lost, looker.bad = {}, set(), dict.fromkeys(oracle.bad, 0)
    looker.verify(may_lose=moments)
    assert not any(looker.bad.values()), looker.bad


def test_made_under_load_it_holds_all_that_was_acknowledged_before(start, tmp_path, engine, shards, seed):
    live = start(storage=engine, shards=shards)
    oracle = Oracle(live, tmp_path, f"backup under load, {engine}", seed, ["commit", "os", "none"])
    oracle.create_topics()
    producers = under_load(oracle, 500)
    moments = {}
    for name in ["first", "second"]:
        moments[name] = time.monotonic()
        made = make(live, name)
        assert made["path"] == str(live.data / "backups" / name) and made["topics"] == 3
    live.kill()
    oracle.join(producers)
    for name, moment in moments.items():
        assert_clean(live.data / "backups" / name)
        oracle.broker = start(data=live.data / "backups" / name, storage=engine, shards=3 - shards)
        assert_holds_all_until(oracle, dict.fromkeys(oracle.topics, moment))
        oracle.broker.stop()
        assert_clean(live.data / "backups" / name)
    oracle.broker = live.start()
    oracle.verify(may_lose={topic: moments["second"] for topic in oracle.topics if "none" in topic})
    oracle.verdict()


def test_it_is_of_one_moment_for_all_topics(start, engine):
    live = start(storage=engine, shards=2)
    done = threading.Event()

    def chain():
        client = live.new_client()
        number = 0
        while not done.is_set():
            for topic in ["cause", "effect"]:
                assert client.post(f"/produce/{topic}", str(number), "text/plain").status == 201
            number += 1

    thread = threading.Thread(target=chain)
    thread.start()
    try:
        while "effect" not in live.client.get("/v1/topics").body.decode():
            pass
        for i in range(5):
            make(live, f"b{i}")
    finally:
        done.set()
        thread.join()
    for i in range(5):
        restored = start(data=live.data / "backups" / f"b{i}", storage=engine)
        causes, effects = (restored.consume(topic, "?offset=end")["partitions"][0]["high_watermark"]
                           for topic in ["cause", "effect"])
        assert causes - effects in (0, 1)
        restored.stop()


def test_topics_come_and_go_meanwhile(start, engine):
    live = start(storage=engine, shards=2)
    produce_numbers(live, "stays", range(100))
    done = threading.Event()

    def churn(own):
        client = live.new_client()
        while not done.is_set():
            assert client.post(f"/produce/{own}", "1", "text/plain").status == 201
            assert client.request("DELETE", f"/v1/topics/{own}").status == 204

    threads = [threading.Thread(target=churn, args=(f"goes-{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i in range(8):
            make(live, f"b{i}")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    for i in range(8):
        restored = start(data=live.data / "backups" / f"b{i}", storage=engine)
        assert [int(value) for value in restored.values("stays")] == list(range(100))
        for topic in json.loads(restored.client.get("/v1/topics").body)["topics"]:
            assert restored.client.get(f"/consume/{topic['name']}").status == 200
        restored.stop()
    live.restart()
    assert [int(value) for value in live.values("stays")] == list(range(100))


# --- two lives ---------------------------------------------------------------------------------------


def test_a_broker_on_it_and_its_source_do_not_meet(start, engine):
    live = start(storage=engine)
    produce_numbers(live, "t", range(2000))
    made = make(live, "b")
    shared = [path for path in pathlib.Path(made["path"]).rglob("*.s[es][gt]") if path.stat().st_nlink > 1]
    assert shared
    restored = start(data=made["path"], storage=engine)
    expected = {live: list(range(2000)), restored: list(range(2000))}
    for turn in range(3):
        for broker, sign in [(live, 1), (restored, -1)]:
            numbers = [sign * (10000 * (turn + 1) + i) for i in range(500)]
            produce_numbers(broker, "t", numbers)
            expected[broker] += numbers
            snapshot(broker)
            produce_numbers(broker, "t", [sign])
            expected[broker].append(sign)
        for broker in expected:
            broker.kill()
        for broker in expected:
            broker.start()
        for broker, numbers in expected.items():
            assert [int(value) for value in broker.values("t")] == numbers
    for broker in expected:
        broker.stop()
        assert_clean(broker.data)


def test_a_cursor_from_after_it_is_not_taken_for_one_of_it(start, engine):
    live = start(storage=engine)
    live.create("t", partitions=2)
    for i in range(4):
        live.produce("t", str(i), query=f"?partition={i % 2}")
    make(live, "b")
    for i in range(4):
        live.produce("t", f"later {i}", query=f"?partition={i % 2}")
    cursor = live.consume("t")["next"]
    restored = start(data=live.data / "backups/b", storage=engine)
    for i in range(8):
        restored.produce("t", f"other {i}", query=f"?partition={i % 2}")
    reply = restored.client.get(f"/consume/t?cursor={cursor}")
    assert (reply.status, reply.json()["code"]) == (410, "offset_truncated")


def test_its_source_may_be_deleted(start, engine):
    live = start(storage=engine)
    produce_numbers(live, "t", range(100))
    make(live, "b")
    assert live.client.request("DELETE", "/v1/topics/t").status == 204
    snapshot(live)
    restored = start(data=live.data / "backups/b", storage=engine)
    assert [int(value) for value in restored.values("t")] == list(range(100))


# --- the doors ------------------------------------------------------------------------------------------


def test_make_list_delete(broker):
    broker.produce("t", "event")
    made = make(broker)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}Z", made["name"])
    assert set(made) == {"name", "path", "bytes", "files", "topics", "took_ms"}
    files = [path for path in pathlib.Path(made["path"]).rglob("*") if path.is_file()]
    assert made["files"] == len(files)
    make(broker, "b")
    make(broker, "a")
    rows = broker.client.get("/v1/admin/backups").json()["backups"]
    assert [row["name"] for row in rows] == sorted([made["name"], "a", "b"])
    assert set(rows[0]) == {"name", "path", "bytes", "files", "topics", "created_at"}
    assert abs(rows[0]["created_at"] / 1000 - time.time()) < 60
    assert remove(broker, "a") == 204
    assert listed(broker) == sorted([made["name"], "b"])
    assert not (broker.data / "backups/a").exists()
    assert remove(broker, "a") == 404
    broker.restart()
    assert listed(broker) == sorted([made["name"], "b"])


@pytest.mark.parametrize("body, status, code", [
    ('{"name":"taken"}', 409, "backup_exists"),
    ('{"name":""}', 400, "bad_parameter"),
    ('{"name":".."}', 400, "bad_parameter"),
    ('{"name":"a/b"}', 400, "bad_parameter"),
    ('{"name":"a\\u0000b"}', 400, "bad_parameter"),
    ('{"name":"x.tmp"}', 400, "bad_parameter"),
    (json.dumps({"name": "n" * 250}), 400, "bad_request"),
    ('{"name":7}', 400, "bad_request"),
    ('{"nam":"b"}', 400, "bad_request"),
    ("nonsense", 400, "bad_json"),
])
def test_what_is_refused(shared_broker, body, status, code):
    if "taken" not in listed(shared_broker):
        make(shared_broker, "taken")
    before = listed(shared_broker)
    reply = shared_broker.client.post("/v1/admin/backup", body, "application/json")
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert listed(shared_broker) == before
    assert sorted(path.name for path in (shared_broker.data / "backups").iterdir()) == before


def test_a_name_in_the_path_leads_nowhere_else(broker):
    broker.produce("t", "event")
    make(broker, "b")
    for name in ["..", "%2e%2e", "..%2ftopics", "b.tmp", "%00", "n" * 300]:
        assert remove(broker, name) in (400, 404)
    assert listed(broker) == ["b"] and broker.values("t") == ["event"]


def test_one_at_a_time(broker):
    broker.produce("t", "event")
    statuses = []

    def ask(name):
        statuses.append(broker.new_client().post("/v1/admin/backup", json.dumps({"name": name}),
                                                 "application/json").status)

    threads = [threading.Thread(target=ask, args=(f"b{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {201, 409} and 201 in statuses
    assert len(listed(broker)) == statuses.count(201)


def test_an_engine_that_cannot_says_so(start):
    from harness.broker import TEST_BIN
    remote = start(storage="remote_sim", binary=TEST_BIN)
    for method, path in [("POST", "/v1/admin/backup"), ("GET", "/v1/admin/backups"), ("DELETE", "/v1/admin/backups/b")]:
        reply = remote.client.request(method, path)
        assert (reply.status, reply.json()["code"]) == (501, "not_implemented")


def test_a_killed_one_leaves_nothing(start, engine):
    live = start(storage=engine)
    for i in range(200):
        live.create(f"t{i}")
        live.produce(f"t{i}", "event")
    snapshot(live)
    with live.connect() as connection:
        connection.request("POST", "/v1/admin/backup", [("Content-Length", 0)])
        deadline = time.monotonic() + 20
        while not list((live.data / "backups").glob("*")) and time.monotonic() < deadline:
            pass
        live.kill()
    live.start()
    names = [path.name for path in (live.data / "backups").iterdir()]
    assert names == listed(live) and not any(name.endswith(".tmp") for name in names)
    assert live.values("t7") == ["event"]


# --- the command line -----------------------------------------------------------------------------------


def test_cli(broker):
    broker.produce("t", "event")
    done = broker.cli("backup", "monday")
    assert done.returncode == 0
    path = done.stdout.decode().strip()
    assert path == str(broker.data / "backups/monday")
    assert f"bourn serve --data {path}" in done.stderr.decode()
    assert broker.cli("backup", "monday").returncode == 4
    assert broker.cli("backup").returncode == 0
    rows = broker.cli("backup", "--list").stdout.decode().splitlines()
    assert len(rows) == 2 and any(row.startswith("monday ") for row in rows)
    told = json.loads(broker.cli("backup", "--list", "-o", "json").stdout)
    assert "monday" in [backup["name"] for backup in told["backups"]]
    assert broker.cli("backup", "--delete", "monday").returncode == 0
    assert broker.cli("backup", "--delete", "monday").returncode == 5
    assert broker.cli("backup", "--list", "monday").returncode == 2
    assert json.loads(broker.cli("backup", "x", "-o", "json").stdout)["name"] == "x"


@pytest.mark.parametrize("copy_it", [["cp", "-a"], ["tar"]])
def test_a_copy_elsewhere_is_as_good(start, tmp_path, copy_it):
    live = start()
    produce_numbers(live, "t", range(100))
    made = make(live, "b")
    copied = tmp_path / "elsewhere"
    if copy_it == ["tar"]:
        copied.mkdir()
        subprocess.run(f"tar -C {made['path']} -c . | tar -C {copied} -x", shell=True, check=True)
    else:
        subprocess.run([*copy_it, made["path"], str(copied)], check=True)
    assert_clean(copied)
    restored = start(data=copied)
    assert [int(value) for value in restored.values("t")] == list(range(100))
