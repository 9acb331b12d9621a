"""Topics: made, listed, described, changed, emptied, deleted."""

import json
import time

import pytest

from harness.http import is_problem


def describe(broker, topic="t"):
    reply = broker.client.get(f"/v1/topics/{topic}")
    assert reply.status == 200, reply
    return reply.json()


def names(broker):
    return [topic["name"] for topic in broker.client.get("/v1/topics").json()["topics"]]


def test_create_and_describe(broker):
    reply = broker.client.put_json("/v1/topics/t", {
        "partitions": 3, "settings": {"retention.bytes": 1 << 20, "durability": "os"}})
    assert reply.status == 201, reply
    topic = describe(broker)
    assert topic["name"] == "t"
    assert len(topic["partitions"]) == 3
    assert topic["partitions"][0]["earliest"] == topic["partitions"][0]["high_watermark"] == 0
    assert topic["settings"]["retention.bytes"] == 1 << 20
    assert topic["settings"]["durability"] == "os"


ENGINES = pytest.mark.parametrize("engine", ["memory", "log"])


def snapshot(broker):
    assert broker.client.post("/v1/admin/snapshot").status == 200


@ENGINES
def test_describe_says_what_there_is(start, shards, engine):
    broker = start(shards=shards, storage=engine)
    broker.create("t", partitions=2)
    empty = describe(broker)
    for held in (empty, *empty["partitions"]):
        assert (held["bytes"], held["segments"]) == (0, 0)
        assert held["earliest_ms"] is held["latest_ms"] is None
    broker.produce("t", "a", query="?partition=1", Event_Timestamp="1000")
    broker.produce("t", "b", query="?partition=1", Event_Timestamp="5000")
    broker.produce("t", "c", query="?partition=0", Event_Timestamp="3000")
    for restarts in (False, True):
        if restarts:  # what was there is on disk only, under `log`
            snapshot(broker)
            broker.restart()
        topic = describe(broker)
        first, second = topic["partitions"]
        assert (first["earliest_ms"], first["latest_ms"]) == (3000, 3000)
        assert (second["earliest_ms"], second["latest_ms"]) == (1000, 5000)
        assert (topic["earliest_ms"], topic["latest_ms"]) == (1000, 5000)
        assert 0 < first["bytes"] < second["bytes"]
        assert topic["bytes"] == first["bytes"] + second["bytes"]
        assert first["segments"] == second["segments"] == (1 if restarts else 0)
        assert topic["segments"] == 2 * first["segments"]
    broker.client.post("/v1/topics/t/purge")
    snapshot(broker)
    topic = describe(broker)
    assert (topic["bytes"], topic["segments"], topic["latest_ms"]) == (0, 0, None)


def test_describe_of_a_damaged_partition(start, shards):
    broker = start(shards=shards, storage="log")
    broker.create("t", partitions=2)
    for partition in (0, 1):
        broker.produce("t", "x" * 100, query=f"?partition={partition}")
    uuid = describe(broker)["uuid"]
    broker.stop()
    segment = broker.data / "topics" / uuid / "0" / f"{0:020}.seg"
    with segment.open("r+b") as file:
        file.seek(4096 + 80)
        file.write(b"?")
    broker.start()
    damaged, whole = describe(broker)["partitions"]
    assert damaged["high_watermark"] == whole["high_watermark"] == 1
    assert damaged["earliest_ms"] is damaged["latest_ms"] is None
    assert whole["earliest_ms"] == whole["latest_ms"] > 0


def test_create_without_a_body(broker):
    assert broker.client.request("PUT", "/v1/topics/t").status == 201
    assert len(describe(broker)["partitions"]) == 1


def test_create_again(broker):
    assert broker.client.put_json("/v1/topics/t", {"partitions": 2}).status == 201
    assert broker.client.put_json("/v1/topics/t", {"partitions": 2}).status == 200
    is_problem(broker.client.put_json("/v1/topics/t", {"partitions": 3}), 409, "topic_exists")
    assert len(describe(broker)["partitions"]) == 2


@pytest.mark.parametrize("body", [
    {"partitions": 0}, {"partitions": -1}, {"partitions": 1025}, {"partitions": "2"},
    {"partitions": 1.5}, {"partition": 2}, [], "x",
    {"settings": {"retention.byte": 1}}, {"settings": {"retention.bytes": "much"}},
    {"settings": {"durability": "forever"}}, {"settings": {"max.message.bytes": 0}},
    {"settings": {"retention.ms": -2}}, {"settings": []},
])
def test_bad_descriptions(shared_broker, body):
    reply = shared_broker.client.put_json("/v1/topics/bad", body)
    assert reply.status == 400, reply
    assert "bad" not in names(shared_broker)


def test_unknown_setting_is_named_with_the_likely_one(shared_broker):
    reply = shared_broker.client.put_json("/v1/topics/bad", {"settings": {"retention.byte": 1}})
    assert "retention.bytes" in is_problem(reply, 400, "bad_setting")["detail"]


def test_bad_json_body(shared_broker):
    reply = shared_broker.client.request("PUT", "/v1/topics/bad", "{", {"Content-Type": "application/json"})
    is_problem(reply, 400, "bad_json")


def test_list(broker):
    assert names(broker) == []
    for name in ("b", "a", "c"):
        broker.create(name)
    assert names(broker) == ["a", "b", "c"]


def test_many_topics_are_all_listed(broker):
    for i in range(300):
        broker.create(f"t{i:03}")
    assert names(broker) == [f"t{i:03}" for i in range(300)]


def test_change_settings(broker):
    broker.create("t")
    reply = broker.client.patch_json("/v1/topics/t", {"settings": {"retention.bytes": 4096}})
    assert reply.status == 200, reply
    assert describe(broker)["settings"]["retention.bytes"] == 4096
    broker.restart()
    assert describe(broker)["settings"]["retention.bytes"] == 4096
    reply = broker.client.patch_json("/v1/topics/t", {"settings": {"x": 1}})
    is_problem(reply, 400, "bad_setting")
    is_problem(broker.client.patch_json("/v1/topics/no", {"settings": {}}), 404, "topic_unknown")


def test_max_message_bytes(broker):
    broker.create("t", max_message_bytes=1024)
    is_problem(broker.client.post("/produce/t", "x" * 1024, "text/plain"), 413, "too_large")
    broker.produce("t", "x" * 800)


def test_delete(broker):
    broker.produce("t", "x")
    assert broker.client.delete("/v1/topics/t").status == 204
    assert names(broker) == []
    is_problem(broker.client.get("/consume/t"), 404, "topic_unknown")
    is_problem(broker.client.delete("/v1/topics/t"), 404, "topic_unknown")
    broker.restart()
    assert names(broker) == []


def test_a_new_topic_of_an_old_name_is_empty(broker):
    broker.produce("t", "old")
    broker.client.delete("/v1/topics/t")
    assert broker.produce("t", "new")["offset"] == 0
    broker.kill()
    broker.start()
    assert broker.values("t") == ["new"]


def test_purge_empties_and_offsets_go_on(broker):
    for i in range(3):
        broker.produce("t", f"{i}")
    assert broker.client.post("/v1/topics/t/purge").status in (200, 204)
    assert broker.values("t") == []
    assert broker.produce("t", "3")["offset"] == 3
    broker.kill()
    broker.start()
    assert broker.values("t") == ["3"]
    assert broker.produce("t", "4")["offset"] == 4


def test_purge_up_to_an_offset(broker):
    broker.create("t", partitions=2)
    for i in range(10):
        broker.produce("t", f"{i}", query=f"?partition={i % 2}")
    reply = broker.client.request("POST", "/v1/topics/t/purge", json.dumps({"partition": 1, "upto": 3}),
                                  {"Content-Type": "application/json"})
    assert reply.status in (200, 204), reply
    partitions = describe(broker)["partitions"]
    assert [partition["earliest"] for partition in partitions] == [0, 3]


def test_purge_beyond_the_end(broker):
    broker.produce("t", "x")
    reply = broker.client.request("POST", "/v1/topics/t/purge", json.dumps({"upto": 5}),
                                  {"Content-Type": "application/json"})
    is_problem(reply, 416, "offset_out_of_range")
    is_problem(broker.client.post("/v1/topics/nope/purge"), 404, "topic_unknown")


def test_retention_by_count(broker):
    broker.create("t", retention_count=100)
    for _ in range(30):
        lines = "1\n" * 50
        assert broker.client.post("/produce/t", lines, "application/x-ndjson").status == 201
    answer = broker.consume("t", "?limit=10000")
    bounds = answer["partitions"][0]
    assert bounds["high_watermark"] == 1500
    assert 100 <= len(answer["events"]) < 1500
    assert answer["events"][0]["offset"] == bounds["earliest"]


def test_retention_by_bytes(broker):
    broker.create("t", retention_bytes=2 << 20)
    for _ in range(60):
        broker.produce("t", "x" * 100_000)
    partition = describe(broker)["partitions"][0]
    assert partition["high_watermark"] == 60
    assert 15 <= 60 - partition["earliest"] <= 45


def test_topics_survive_kill_9(broker):
    broker.create("a", partitions=5, durability="os")
    broker.produce("b", "auto")
    before = [describe(broker, name)["settings"] for name in names(broker)]
    broker.kill()
    broker.start()
    assert names(broker) == ["a", "b"]
    assert [describe(broker, name)["settings"] for name in names(broker)] == before
    assert len(describe(broker, "a")["partitions"]) == 5


@pytest.mark.parametrize("method, path", [
    ("POST", "/v1/topics/t/purge?partition=1"), ("DELETE", "/v1/topics/t?partition=1"),
    ("PUT", "/v1/topics/new?partitions=2"), ("PATCH", "/v1/topics/t?durability=os"),
    ("GET", "/v1/topics/t?partition=1"), ("POST", "/v1/admin/snapshot?wait=1"),
    ("GET", "/v1/info?verbose")])
def test_a_query_that_cannot_be_heeded_is_refused(broker, method, path):
    broker.create("t", partitions=2)
    broker.produce("t", b"kept", query="?partition=0")
    is_problem(broker.client.request(method, path), 400, "bad_parameter")
    assert describe(broker)["partitions"][0]["earliest"] == 0
    assert names(broker) == ["t"]


def earliest(broker, topic="t"):
    return broker.consume(topic, "?offset=end")["partitions"][0]["earliest"]


def until(what):
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline


def test_events_go_when_they_are_old(broker):
    broker.create("t", retention_ms=400)
    broker.create("kept", retention_ms=3600000)
    for topic in ("t", "kept"):
        broker.produce(topic, "one")
        broker.produce(topic, "two")
    assert broker.values("kept") == ["one", "two"]
    until(lambda: earliest(broker) == 2)
    is_problem(broker.client.get("/consume/t?offset=1"), 410, "offset_trimmed")
    assert broker.produce("t", "three")["offset"] == 2
    broker.kill()
    broker.start()
    assert earliest(broker) >= 2
    assert broker.values("kept") == ["one", "two"]
    until(lambda: earliest(broker) == 3)


def test_a_limit_of_age_counts_for_what_is_there(broker):
    broker.produce("t", "one")
    reply = broker.client.request("PATCH", "/v1/topics/t", '{"settings":{"retention.ms":1}}',
                                  {"Content-Type": "application/json"})
    assert reply.status == 200 and reply.json()["settings"]["retention.ms"] == 1
    until(lambda: earliest(broker) == 1)
