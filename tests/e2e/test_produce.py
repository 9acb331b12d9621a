"""produce: single events, both kinds of NDJSON, and every way to be refused."""

import json

import pytest

from harness.http import is_problem
from harness.murmur2 import murmur2

MIB = 1 << 20
ENVELOPES = "application/vnd.bourn.events+x-ndjson"


def test_acknowledgement_says_where_and_how_safe(broker):
    ack = broker.produce("t", "x")
    assert ack["topic"] == "t"
    assert (ack["partition"], ack["offset"], ack["durability"]) == (0, 0, "commit")
    assert ack["timestamp"] > 1_600_000_000_000
    assert broker.produce("t", "y")["offset"] == 1


def test_both_addresses_are_one(broker):
    reply = broker.client.post("/v1/topics/t/events", "x", "text/plain")
    assert reply.status == 201 and reply.json()["offset"] == 0


def test_ack_none(broker):
    reply = broker.client.post("/produce/t?ack=none", "x", "text/plain")
    assert reply.status == 202, reply
    assert broker.produce("t", "y")["offset"] == 1


def test_ndjson_is_one_batch(broker):
    broker.create("t", partitions=3)
    reply = broker.client.post("/produce/t", '{"n":1}\n"two"\n3\n', "application/x-ndjson",
                               {"Event-Key": "k"})
    assert reply.status == 201, reply
    ack = reply.json()
    assert (ack["offset"], ack["count"]) == (0, 3)
    events = broker.consume("t")["events"]
    assert [event["value"] for event in events] == [{"n": 1}, "two", 3]
    assert {event["partition"] for event in events} == {ack["partition"]}
    assert {event["key"] for event in events} == {"k"}


def test_ndjson_without_a_last_newline_and_with_crlf(broker):
    assert broker.client.post("/produce/t", "1\r\n2", "application/x-ndjson").json()["count"] == 2
    assert broker.values("t") == [1, 2]


def test_ndjson_with_a_bad_line_appends_nothing(broker):
    reply = broker.client.post("/produce/t", '1\n{"broken\n3\n', "application/x-ndjson")
    problem = is_problem(reply, 400, "bad_json")
    assert "2" in problem["detail"], "the line is named"
    broker.produce("t", "x")
    assert len(broker.values("t")) == 1


def test_ndjson_beyond_a_batch(broker):
    lines = (json.dumps("x" * 100_000) + "\n") * 12  # 1.2 MB, each line well below the limit
    is_problem(broker.client.post("/produce/t", lines, "application/x-ndjson"), 413, "too_large")


def test_envelopes(broker):
    broker.create("t", partitions=4)
    lines = [{"key": f"k{i}", "headers": [["h", f"{i}"]], "value": {"n": i}} for i in range(40)]
    reply = broker.client.post("/produce/t", "\n".join(map(json.dumps, lines)), ENVELOPES)
    assert reply.status == 201, reply
    results = reply.json()["results"]
    assert sum(result["count"] for result in results) == 40
    assert [result["partition"] for result in results] == sorted({r["partition"] for r in results})
    events = broker.consume("t")["events"]
    assert sorted(event["value"]["n"] for event in events) == list(range(40))
    for event in events:
        assert event["key"] == f"k{event['value']['n']}"
        assert event["headers"] == [["h", f"{event['value']['n']}"]]


def test_envelopes_are_all_checked_before_any_is_appended(broker):
    broker.create("t", partitions=4)
    lines = [json.dumps({"key": f"k{i}", "value": i}) for i in range(20)] + ['{"value"']
    is_problem(broker.client.post("/produce/t", "\n".join(lines), ENVELOPES), 400, "bad_json")
    assert broker.values("t") == []


def test_envelope_of_the_wrong_shape(broker):
    for line in ['3', '[]', '{"value":1,"vaule":2}', '{"key":3,"value":1}',
                 '{"headers":{"a":1},"value":1}']:
        reply = broker.client.post("/produce/t", line, ENVELOPES)
        assert reply.status == 400, (line, reply)


def test_partition_is_obeyed(broker):
    broker.create("t", partitions=3)
    assert broker.produce("t", "x", query="?partition=2")["partition"] == 2
    is_problem(broker.client.post("/produce/t?partition=3", "x"), 404, "partition_unknown")
    is_problem(broker.client.post("/produce/t?partition=x", "x"), 400, "bad_parameter")


def test_keys_go_where_the_kafka_client_sends_them(broker):
    # murmur2 as org.apache.kafka.common.utils.Utils has it, positive, mod partitions
    broker.create("t", partitions=8)
    assert broker.produce("t", "x", Event_Key="user-1")["partition"] == murmur2(b"user-1") % 8
    assert broker.produce("t", "x", Event_Key="21")["partition"] == murmur2(b"21") % 8
    assert broker.produce("t", "x", Event_Key="a" * 100)["partition"] == murmur2(b"a" * 100) % 8


def test_expected_offset(broker):
    broker.produce("t", "0", Expected_Offset="0")
    reply = broker.client.post("/produce/t", "again", "text/plain", {"Expected-Offset": "0"})
    is_problem(reply, 409, "offset_mismatch")
    broker.produce("t", "1", Expected_Offset="1")
    assert broker.values("t") == ["0", "1"]


def test_expected_offset_needs_a_partition(broker):
    broker.create("t", partitions=2)
    reply = broker.client.post("/produce/t", "x", None, {"Expected-Offset": "0"})
    is_problem(reply, 400, "partition_required")
    broker.produce("t", "x", query="?partition=1", Expected_Offset="0")


@pytest.mark.parametrize("body", [
    b"", b"{", b'{"a":}', b"{'a':1}", b"[1,]", b"01", b"nul", b'"\x01"', b'"\\x"', b"1 2",
    b'"\xff"', b"\xef\xbb\xbf1", b"[" * 65 + b"]" * 65, b"NaN", b'"\\ud800"'[:-1],
])
def test_bad_json(shared_broker, body):
    reply = shared_broker.client.post("/produce/bad-json", body, "application/json")
    assert reply.status == 400, reply
    assert reply.json()["code"] in ("bad_json", "bad_utf8")


def test_nothing_of_bad_json_was_stored(shared_broker):
    shared_broker.produce("bad-json", "x")
    assert shared_broker.values("bad-json") == ["x"]


def test_event_of_exactly_the_limit(broker):
    assert broker.client.post("/produce/t", b"x" * MIB, "text/plain").status == 201
    is_problem(broker.client.post("/produce/t", b"x" * (MIB + 1), "text/plain"), 413, "too_large")
    assert len(broker.consume("t", "?max_bytes=4194304")["events"]) == 1


@pytest.mark.parametrize("name", [
    "b%20d", "a%2Fb", "..%2F..%2Fetc%2Fpasswd", "%2e%2e%2f", "a%00b", "%2e", "%2e%2e", "n" * 250,
    "%C3%A9", "a%2562", "a:b", "a*b"])
def test_bad_topic_names(broker, name):
    reply = broker.client.post(f"/produce/{name}", "x", "text/plain")
    is_problem(reply, 400, "bad_topic_name")
    assert broker.client.get("/v1/topics").json()["topics"] == []


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "n" * 249, "...", "%61%2db"])
def test_good_topic_names(broker, name):
    assert broker.client.post(f"/produce/{name}", "x", "text/plain").status == 201


def test_names_differ_by_case(broker):
    broker.produce("T", "upper")
    broker.produce("t", "lower")
    assert (broker.values("T"), broker.values("t")) == (["upper"], ["lower"])


def test_without_auto_create(start, shards):
    broker = start(shards=shards, env={"BOURN_BROKER_AUTO_CREATE_TOPICS": "false"})
    is_problem(broker.client.post("/produce/t", "x"), 404, "topic_unknown")
    broker.create("t")
    broker.produce("t", "x")


@pytest.mark.parametrize("headers", [
    {"Idempotency-Key": "k"}, {"Producer-Id": "1", "Producer-Epoch": "0", "Producer-Seq": "0"}])
def test_what_is_not_built_is_said(broker, headers):
    is_problem(broker.client.post("/produce/t", "x", None, headers), 501, "not_implemented")


CLOUD_EVENT = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "sold"}


def test_a_structured_cloudevent(broker):
    event = {**CLOUD_EVENT, "partitionkey": "k", "data": {"n": 1}}
    reply = broker.client.post("/produce/t", json.dumps(event), "application/cloudevents+json")
    assert reply.status == 201 and reply.json()["offset"] == 0, reply
    stored = broker.consume("t")["events"][0]
    assert (stored["key"], stored["value"]) == ("k", {"n": 1})
    assert ["ce_type", "sold"] in stored["headers"] and ["ce_id", "7"] in stored["headers"]


def test_a_batch_of_cloudevents(broker):
    events = [{**CLOUD_EVENT, "id": f"{i}", "datacontenttype": "text/plain", "data": f"v{i}"}
              for i in range(3)]
    kind = "application/cloudevents-batch+json"
    reply = broker.client.post("/produce/t", json.dumps(events), kind)
    assert reply.status == 201, reply
    assert [(r["offset"], r["count"]) for r in reply.json()["results"]] == [(0, 3)]
    assert broker.values("t") == ["v0", "v1", "v2"]
    broken = [events[0], {**CLOUD_EVENT, "type": None}]
    is_problem(broker.client.post("/produce/t", json.dumps(broken), kind), 400, "bad_record")
    is_problem(broker.client.post("/produce/t", "[]", kind), 400, "bad_record")
    assert len(broker.values("t")) == 3


def test_a_binary_cloudevent(broker):
    broker.produce("t", "x", ce_specversion="1.0", ce_type="sold", ce_id="7", ce_source="/shop")
    headers = broker.consume("t")["events"][0]["headers"]
    assert [h for h in headers if h[0] == "ce_type"] == [["ce_type", "sold"]]


def test_bad_event_headers(broker):
    for headers in ({"Event-Timestamp": "soon"}, {"Expected-Offset": "x"},
                    {"Event-Tombstone": "perhaps"}):
        assert broker.client.post("/produce/t", "x", None, headers).status == 400, headers


@pytest.mark.parametrize("durability", ["commit", "interval", "os", "none"])
def test_every_durability_class_says_so(broker, durability):
    broker.create(durability, durability=durability)
    assert broker.produce(durability, "x")["durability"] == durability
