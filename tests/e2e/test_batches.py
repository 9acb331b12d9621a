"""Whole batches over HTTP: out as they are stored, in where they are expected."""

import struct

import pytest

TYPE = "application/vnd.bourn.batches"
ENGINES = ["memory", "log"]


@pytest.fixture(params=ENGINES)
def broker(start, request, shards):
    return start(storage=request.param, shards=shards)


def get(broker, topic, query=""):
    reply = broker.client.get(f"/v1/topics/{topic}/batches{query}")
    assert reply.status == 200, reply
    assert reply.header("content-type") == TYPE
    return reply.body, int(reply.header("event-next"))


def post(broker, topic, body, expected=0, query="", content_type=TYPE):
    return broker.client.post(f"/v1/topics/{topic}/batches{query}", body, content_type,
                              {"Expected-Offset": str(expected)})


def events(broker, topic, query=""):
    return broker.consume(topic, query)["events"]


def test_what_came_out_goes_in_again(broker):
    for value in ["a", "b", "c"]:
        broker.produce("from", value, event_key="k", event_timestamp="1700000000000")
    broker.create("to", 2)
    body, end = get(broker, "from")
    assert end == 3
    reply = post(broker, "to", body, query="?partition=1")
    assert (reply.status, reply.json()) == (
        201, {"topic": "to", "next": 3, "count": 3, "durability": "commit"})
    strip = lambda found: [{**event, "partition": 0} for event in found]
    assert strip(events(broker, "to", "?partition=1")) == events(broker, "from")
    assert get(broker, "to", "?partition=1&offset=2")[1] == 3
    assert get(broker, "to", "?partition=1&offset=3") == (b"", 3)


def test_the_same_request_stores_only_once(broker):
    broker.produce("from", "a")
    broker.produce("from", "b")
    broker.create("to")
    body, _ = get(broker, "from")
    assert post(broker, "to", body).status == 201
    reply = post(broker, "to", body)
    assert (reply.status, reply.json()["code"]) == (409, "offset_mismatch")
    # Its second batch would fit where the log ends.
    assert post(broker, "to", body, expected=1).status == 409
    assert broker.values("to") == ["a", "b"]


def cut(body):
    """The batches of a body."""
    while body:
        size = 12 + struct.unpack(">I", body[8:12])[0]
        yield body[:size]
        body = body[size:]


@pytest.mark.parametrize("harm", ["cut", "flipped", "foreign", "empty"])
def test_what_is_damaged_is_refused_whole(broker, harm):
    broker.produce("from", "a")
    broker.produce("from", "b")
    broker.create("to")
    body, _ = get(broker, "from")
    assert len(list(cut(body))) == 2
    body = {"cut": body[:-1], "flipped": body[:-3] + bytes([body[-3] ^ 4]) + body[-2:],
            "foreign": b"x" * 200, "empty": b""}[harm]
    reply = post(broker, "to", body)
    assert reply.status == 400, reply
    assert reply.json()["code"] == ("bad_request" if harm == "empty" else "bad_record")
    assert broker.values("to") == []


def test_what_it_takes_is_said(broker):
    broker.produce("one", "a")
    broker.create("two", 2)
    body, _ = get(broker, "one")
    code = lambda reply: (reply.status, reply.json()["code"])
    assert code(broker.client.get("/v1/topics/two/batches")) == (400, "partition_required")
    assert code(broker.client.get("/v1/topics/none/batches")) == (404, "topic_unknown")
    assert code(broker.client.get("/v1/topics/one/batches?offset=2")) == (416, "offset_out_of_range")
    assert code(broker.client.get("/v1/topics/one/batches?cursor=2")) == (400, "bad_parameter")
    assert code(post(broker, "two", body)) == (400, "partition_required")
    assert code(post(broker, "none", body)) == (404, "topic_unknown")
    assert code(post(broker, "one", body, content_type="text/plain")) == (
        415, "unsupported_media_type")
    bare = broker.client.post("/v1/topics/one/batches", body, TYPE)
    assert code(bare) == (400, "bad_request")
    broker.create("small", max_message_bytes=1024)
    broker.produce("one", "x" * 2000)
    assert code(post(broker, "small", get(broker, "one")[0])) == (413, "too_large")
    assert broker.values("small") == []
