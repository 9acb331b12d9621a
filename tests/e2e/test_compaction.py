"""Compacted topics: what is refused, what stays, where the gaps are."""

import json
import time

import pytest

from harness.compacted import ENVELOPES, Events, create, wait_compacted
from harness.http import is_problem
from harness.sse import EventSource

ENGINES = pytest.mark.parametrize("engine", ["memory", "log", "rocksdb"])


@ENGINES
def test_the_last_event_of_each_key_stays(start, shards, engine):
    broker = start(shards=shards, storage=engine)
    create(broker)
    events = Events(broker)
    events.send_segments(4)
    wait_compacted(broker)
    found = events.check()
    for _ in range(2):
        assert len(found) < len(events.sent) / 2  # the last segment is as it was
        gap = next(offset for offset in range(len(events.sent)) if offset not in found)
        is_problem(broker.client.get(f"/v1/topics/t/events/{gap}"), 404, "event_gone")
        assert broker.client.get(f"/v1/topics/t/events/{min(found)}").status == 200
        page = broker.consume("t", f"?offset={gap}&limit=1")
        assert page["events"][0]["offset"] == min(offset for offset in found if offset > gap)
        assert broker.consume("t", "?offset=last")["events"][0]["offset"] == len(events.sent) - 1
        broker.kill()
        broker.start()
        found = events.check()
    assert broker.metric("bourn_compaction_failures_total") == 0
    broker.stop()
    assert broker.cli("verify", broker.data).returncode == 0


@ENGINES
def test_a_reader_in_a_gap_goes_on_behind_it(start, engine):
    broker = start(storage=engine)
    create(broker)
    events = Events(broker)
    events.send_segments(3)
    wait_compacted(broker)
    found = events.check()
    gap = next(offset for offset in range(len(events.sent)) if offset not in found)
    behind = min(offset for offset in found if offset > gap)
    with EventSource(broker, f"/subscribe/t?offset={gap}") as stream:
        event = stream.event()
    assert event.type in ("message", "tombstone")
    assert event.id == str(behind + 1)


@ENGINES
def test_tombstones_go(start, engine):
    broker = start(storage=engine)
    create(broker, **{"delete.retention.ms": 0})
    events = Events(broker)
    events.send_segments(2)
    wait_compacted(broker)
    events.send_segments(2)
    wait_compacted(broker)
    found = events.check(tombstones_go=True)
    assert any(event[1] is None for event in events.sent)
    assert len(found) < len(events.sent)


def test_an_event_without_a_key_is_refused(broker):
    create(broker)
    problem = is_problem(broker.client.post("/produce/t", "x", "text/plain"), 400, "key_required")
    assert "'t'" in problem["detail"]
    lines = "\n".join(map(json.dumps, [{"key": "a", "value": "x"}, {"value": "y"}]))
    is_problem(broker.client.post("/produce/t", lines, ENVELOPES), 400, "key_required")
    assert broker.values("t") == []
    broker.produce("t", "x", Event_Key="a")
    assert broker.client.patch_json("/v1/topics/t", {
        "settings": {"cleanup.policy": "delete"}}).status == 200
    broker.produce("t", "y")
    assert broker.client.patch_json("/v1/topics/t", {
        "settings": {"cleanup.policy": "compact,delete"}}).status == 200
    is_problem(broker.client.post("/produce/t", "z", "text/plain"), 400, "key_required")
    assert broker.values("t") == ["x", "y"]


@pytest.mark.parametrize("name, value", [
    ("cleanup.policy", "compress"), ("min.cleanable.dirty.ratio", 1.5),
    ("delete.retention.ms", -2), ("min.compaction.lag.ms", "soon")])
def test_settings_that_are_not_allowed(broker, name, value):
    problem = is_problem(broker.client.put_json("/v1/topics/t", {"settings": {name: value}}),
                         400, "bad_setting")
    assert problem["detail"].startswith(name)


def test_from_the_command_line(broker):
    made = broker.cli("topic", "create", "t", "--set", "cleanup.policy=compact",
                      "--set", "min.cleanable.dirty.ratio=0.1")
    assert made.returncode == 0, made
    assert broker.cli("topic", "alter", "t", "--set", "delete.retention.ms=1000").returncode == 0
    settings = broker.client.get("/v1/topics/t").json()["settings"]
    assert settings["cleanup.policy"] == "compact"
    assert settings["min.cleanable.dirty.ratio"] == 0.1
    assert settings["delete.retention.ms"] == 1000
    shown = broker.cli("topic", "describe", "t").stdout.decode()
    assert "cleanup.policy" in shown and "compact" in shown
    refused = broker.cli("produce", "t", "x")
    assert refused.returncode == 4 and b"key" in refused.stderr


@ENGINES
def test_retention_does_not_apply_without_delete(start, engine):
    broker = start(storage=engine)
    create(broker, **{"retention.count": 1})
    for value in "abc":
        broker.produce("t", value, Event_Key=value)
    assert broker.values("t") == ["a", "b", "c"]
    assert broker.client.patch_json("/v1/topics/t", {
        "settings": {"cleanup.policy": "compact,delete"}}).status == 200
    broker.produce("t", "d", Event_Key="d")
    until = time.monotonic() + 20
    while broker.values("t") != ["d"]:
        assert time.monotonic() < until
