"""What goes in comes out, byte for byte."""

import base64
import hashlib
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MIB = 1 << 20

CASES = [
    ("json_object", "application/json", b' {"event" : "Event Data"}\n'),
    ("json_string", "application/json", b'"just a string"'),
    ("json_number", "application/json", b"-12.5e+3"),
    ("json_null", "application/json", b"null"),
    ("json_unicode", "application/json; charset=utf-8", '"gr\u00fc\u00dfe \U0001F30A"'.encode()),
    ("text", "text/plain", "fünf €\r\n\ttab".encode()),
    ("empty", "text/plain", b""),
    ("no_type", None, b"no type at all"),
    ("form", "application/x-www-form-urlencoded", b"a=1&b=2"),
    ("xml", "application/xml", b"<a>\r\n</a>"),
    ("nul_bytes", "application/octet-stream", bytes(range(256))),
    ("random_1mib", "application/octet-stream", os.urandom(MIB)),
    ("image", "image/png", b"\x89PNG\r\n\x1a\n" + os.urandom(100)),
]


@pytest.mark.parametrize("name,content_type,body", CASES, ids=[case[0] for case in CASES])
def test_event_comes_back_byte_exact(shared_broker, name, content_type, body):
    client = shared_broker.client
    reply = client.post(f"/produce/{name}", body, content_type)
    assert reply.status == 201, reply
    back = client.get(f"/v1/topics/{name}/events/{reply.json()['offset']}")
    assert back.status == 200
    assert hashlib.sha256(back.body).digest() == hashlib.sha256(body).digest()
    if content_type:
        assert back.header("content-type") == content_type


def test_bytes_survive_a_restart(broker):
    for name, content_type, body in CASES:
        assert broker.client.post("/produce/t", body, content_type).status == 201
    broker.restart()
    for offset, (name, _type, body) in enumerate(CASES):
        assert broker.client.get(f"/v1/topics/t/events/{offset}").body == body, name


def test_consume_tells_how_each_value_is_encoded(shared_broker):
    topic = "encodings"
    shared_broker.produce(topic, ' {"a": 1} ', "application/json")
    shared_broker.produce(topic, "text é", "text/plain")
    shared_broker.produce(topic, b"\xff\xfe", "text/plain")
    shared_broker.produce(topic, b"bytes", "application/octet-stream")
    json_event, text, broken_text, binary = shared_broker.consume(topic)["events"]
    assert (json_event["encoding"], json_event["value"]) == ("json", {"a": 1})
    assert (text["encoding"], text["value"]) == ("text", "text é")
    assert broken_text["encoding"] == "base64"
    assert base64.b64decode(broken_text["value"]) == b"\xff\xfe"
    assert binary["encoding"] == "base64"
    assert base64.b64decode(binary["value"]) == b"bytes"


def test_tombstone_has_no_value(shared_broker):
    shared_broker.produce("tombs", b"", "text/plain", Event_Tombstone="true", Event_Key="k")
    event = shared_broker.consume("tombs")["events"][0]
    assert event["encoding"] == "none"
    assert event.get("value") is None
    assert event["key"] == "k"


def test_key_and_headers_come_back(shared_broker):
    reply = shared_broker.client.request(
        "POST", "/produce/heads", b"v",
        {"Event-Key": "user-1", "Event-Header-Trace": "abc", "Content-Type": "text/plain",
         "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    assert reply.status == 201
    event = shared_broker.consume("heads")["events"][0]
    assert event["key"] == "user-1"
    assert ["trace", "abc"] in event["headers"]
    assert event["content_type"] == "text/plain"
    raw = shared_broker.client.get("/v1/topics/heads/events/0")
    assert raw.header("event-key") == "user-1"
    assert raw.header("event-header-trace") == "abc"
    assert raw.header("traceparent") == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(value=JSON)
def test_any_json_value_comes_back_equal(shared_broker, value):
    text = json.dumps(value)
    ack = shared_broker.produce("any", text, "application/json")
    back = shared_broker.client.get(f"/v1/topics/any/events/{ack['offset']}")
    assert back.body == text.encode()
    event = shared_broker.consume("any", f"?offset={ack['offset']}&limit=1")["events"][0]
    assert event["value"] == value


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(value=st.binary(max_size=300), key=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_any_bytes_come_back_equal(shared_broker, value, key):
    ack = shared_broker.produce("any-bytes", value, "application/octet-stream", Event_Key=key)
    event = shared_broker.consume("any-bytes", f"?offset={ack['offset']}&limit=1")["events"][0]
    assert base64.b64decode(event["value"]) == value
    assert event["key"] == key
