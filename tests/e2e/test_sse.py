"""Server-sent events: what a browser's EventSource gets, line by line."""

import base64
import json
import re
import time

import pytest

from harness.http import is_problem
from harness.sse import EventSource, Parser

EVENTS = {"Accept": "text/event-stream"}


def source(broker, path="/subscribe/t", headers=()):
    return EventSource(broker, path, headers)


def fill(broker, topic="t", count=5, first=0):
    for i in range(first, first + count):
        broker.produce(topic, f"{i}")


def purge(broker, topic="t", **body):
    reply = broker.client.post(f"/v1/topics/{topic}/purge", json.dumps(body) if body else b"",
                               "application/json" if body else None)
    assert reply.status == 200, reply


def test_our_own_parser_reads_as_the_standard_says():
    parser = Parser()
    stream = ("\ufeff: hello\nretry: 7\nid: 1\n\ndata: a\r\ndata:b\rdata\n\n"
              "event: x\ndata\nid\n\nevent: unseen\n\ndata: end\nid: a\0b\n\ndata: cut")
    events = [event for byte in stream.encode() for event in parser.feed(bytes([byte]))]
    assert [(event.type, event.data, event.id) for event in events] == [
        ("message", "a\nb\n", "1"), ("x", "", ""), ("message", "end", "")]
    assert (parser.retry_ms, parser.comments) == (7, 1)


# --- how it begins -----------------------------------------------------------------------


def test_head(broker):
    fill(broker)
    with source(broker) as stream:
        assert stream.reply.header("content-type").partition(";")[0] == "text/event-stream"
        assert stream.reply.header("cache-control") == "no-store"
        assert stream.reply.header("x-accel-buffering") == "no"
        assert stream.reply.header("content-length") is None
        assert stream.id() == "5"
        assert stream.parser.retry_ms == 1000
    with source(broker, "/subscribe/t?offset=2") as stream:
        assert stream.id() == "2"


def test_retry_comes_first_and_then_the_id(broker):
    broker.produce("t", "x")
    with source(broker, "/subscribe/t?offset=0") as stream:
        stream.events(1)
    connection = broker.connect()
    connection.request("GET", "/subscribe/t?offset=0", EVENTS.items())
    connection.read_head()
    text = b""
    while b"data:" not in text:
        text += connection.read_chunk()
    assert re.match(rb"retry: ?1000\n+id: ?0\n\n", text), text
    assert b"\r" not in text


def test_a_topic_that_is_not_there_has_no_id_yet(broker):
    with source(broker, "/subscribe/later") as stream:
        while stream.parser.retry_ms is None:
            stream._more()
        assert stream.parser.ids == []
        broker.produce("later", "first")
        event = stream.event()
        assert (event.type, event.data, event.id) == ("message", "first", "1")


def test_accept_may_say_more(broker):
    fill(broker, count=1)
    for accept in ("text/event-stream, */*;q=0.1", "TEXT/Event-Stream;q=1", "application/json;q=0.1,text/event-stream"):
        connection = broker.connect()
        connection.request("GET", "/subscribe/t", [("Accept", accept)])
        assert connection.read_head().header("content-type").startswith("text/event-stream"), accept
        connection.close()


def test_head_request(broker):
    fill(broker, count=1)
    reply = broker.client.request("HEAD", "/subscribe/t", None, EVENTS)
    assert reply.status == 200
    assert reply.header("content-type").startswith("text/event-stream")
    assert broker.client.get("/livez").status == 200  # the same connection goes on


def test_http_1_0(broker):
    fill(broker, count=2)
    connection = broker.connect()
    connection.send("GET /subscribe/t?offset=0 HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
    head = connection.read_head()
    assert head.status == 200 and head.header("transfer-encoding") is None
    parser = Parser()
    events = []
    while len(events) < 2:
        events += parser.feed(connection.socket.recv(1 << 16) if not connection.buffer else connection.read(
            len(connection.buffer)))
    assert [event.data for event in events] == ["0", "1"]
    connection.close()


def test_a_page_that_is_allowed_may_read_it(start, shards):
    broker = start(shards=shards, env={"BOURN_SERVER_ALLOWED_ORIGINS": "https://app.example"})
    fill(broker)
    with source(broker, headers=[("Origin", "https://app.example")]) as stream:
        assert stream.reply.header("access-control-allow-origin") in ("https://app.example", "*")


# --- events ----------------------------------------------------------------------------------


PAYLOADS = {
    "text": ("hello", "text/plain", "message"),
    "no_type": ("hello", None, "message"),
    "lines": ("one\ntwo\n\nfour", "text/plain", "message"),
    "last_line_ends": ("one\n", "text/plain", "message"),
    "only_line_ends": ("\n\n", "text/plain", "message"),
    "space_first": (" indented\n  more", "text/plain", "message"),
    "colon_first": (": not a comment\nid: 7\nevent: x\ndata: y", "text/plain", "message"),
    "byte_order_mark": ("\ufeffx", "text/plain", "message"),
    "nul": ("a\0b", "text/plain", "message"),
    "beyond_ascii": ("zwölf € 𝄞 \u2028 \x85", "text/plain", "message"),
    "json": ('{"event": "Event Data"}', "application/json", "message"),
    "json_lines": ('{\n  "a": 1\n}', "application/json", "message"),
    "empty": ("", "text/plain", "message"),
    "carriage_return": ("a\rb", "text/plain", "binary"),
    "line_ends_of_windows": ("a\r\nb\r\n", "text/plain", "binary"),
    "json_with_carriage_return": ('{\r\n"a": 1}', "application/json", "binary"),
    "binary": (b"\x00\xff\n\r", "application/octet-stream", "binary"),
    "text_that_is_none": (b"\xff\xfe", "text/plain", "binary"),
    "image_of_text": ("looks like text", "image/png", "binary"),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_payload(shared_broker, name):
    body, content_type, kind = PAYLOADS[name]
    body = body.encode() if isinstance(body, str) else body
    topic = f"payload-{name}"
    shared_broker.produce(topic, body, content_type)
    shared_broker.produce(topic, "next")
    with source(shared_broker, f"/subscribe/{topic}?offset=0") as stream:
        event = stream.event()
        assert event.type == kind
        assert event.bytes() == body
        assert stream.data(1) == ["next"]


def test_large_payloads(broker):
    text = "line of text\n" * 80_000
    broker.produce("t", text)
    broker.produce("t", b"\xff" * (1 << 20), "application/octet-stream")
    with source(broker, "/subscribe/t?offset=0") as stream:
        first, second = stream.events(2)
    assert first.data == text
    assert second.type == "binary" and second.bytes() == b"\xff" * (1 << 20)


def test_tombstone(broker):
    broker.produce("t", b"", None, Event_Key="k", Event_Tombstone="true")
    broker.produce("t", "")
    with source(broker, "/subscribe/t?offset=0") as stream:
        tombstone, empty = stream.events(2)
    assert (tombstone.type, tombstone.data, tombstone.id) == ("tombstone", "", "1")
    assert (empty.type, empty.data, empty.id) == ("message", "", "2")


def test_the_id_is_the_place_after_the_event(broker):
    fill(broker)
    with source(broker, "/subscribe/t?offset=earliest") as stream:
        assert [(event.data, event.id) for event in stream.events(5)] == [(f"{i}", f"{i + 1}") for i in range(5)]
        broker.produce("t", "live")
        event = stream.event()
        assert (event.data, event.id) == ("live", "6")


def test_default_is_live_only(broker):
    fill(broker)
    with source(broker) as stream:
        stream.id()
        broker.produce("t", "new")
        assert stream.data(1) == ["new"]


def test_a_silent_stream_is_kept_alive(start):
    """Takes fifteen seconds: that is what is promised. So not for each number of shards."""
    broker = start(shards=2)
    fill(broker, count=1)
    with source(broker) as stream:
        stream.id()
        started = time.monotonic()
        while not stream.parser.comments:
            stream._more()
        assert 5 < time.monotonic() - started < 25
        broker.produce("t", "after")
        assert stream.data(1) == ["after"]


# --- going on ------------------------------------------------------------------------------------


def test_what_beats_what(broker):
    fill(broker, count=6)
    asked = "/subscribe/t?offset=0"
    with source(broker, asked) as stream:
        assert stream.id() == "0"
    asked += "&cursor=1"
    with source(broker, asked) as stream:
        assert stream.id() == "1"
    asked += "&last_event_id=2"
    with source(broker, asked) as stream:
        assert stream.id() == "2"
    with source(broker, asked, [("Last-Event-ID", "3")]) as stream:
        assert stream.id() == "3"
        assert stream.data(3) == ["3", "4", "5"]


def test_goes_on_after_every_event(broker):
    fill(broker, count=20)
    with source(broker, "/subscribe/t?offset=0") as stream:
        ids = [stream.id()] + [event.id for event in stream.events(20)]
    for i, last_id in enumerate(ids):
        with source(broker, headers=[("Last-Event-ID", last_id)]) as stream:
            assert stream.data(20 - i) == [f"{n}" for n in range(i, 20)]


def test_breaks_again_and_again_without_loss_or_repeat(broker):
    total = 300
    with source(broker, "/subscribe/t?offset=earliest") as stream:
        seen = []
        for first in range(0, total, 10):
            fill(broker, count=10, first=first)
            seen += stream.data(7 if first < total - 10 else total - len(seen))
            if first < total - 10:
                stream.again()
        assert seen == [f"{i}" for i in range(total)]


def test_goes_on_across_kill_9(broker):
    fill(broker, count=10)
    with source(broker, "/subscribe/t?offset=0") as stream:
        assert stream.data(4) == ["0", "1", "2", "3"]
        broker.kill()
        broker.start()
        fill(broker, count=2, first=10)
        stream.again()
        assert stream.data(8) == [f"{i}" for i in range(4, 12)]


def test_an_empty_id_is_none(broker):
    fill(broker, count=2)
    with source(broker, "/subscribe/t?offset=1", [("Last-Event-ID", "")]) as stream:
        assert stream.data(1) == ["1"]


# --- several partitions ----------------------------------------------------------------------------


def spread(broker, count=12, partitions=3):
    broker.create("p", partitions=partitions)
    for i in range(count):
        broker.produce("p", f"{i}", query=f"?partition={i % partitions}")


def test_ids_of_several_partitions_are_cursors(broker):
    spread(broker)
    everything = {f"{i}" for i in range(12)}
    with source(broker, "/subscribe/p?offset=earliest") as stream:
        ids = [stream.id()]
        events = stream.events(12)
    ids += [event.id for event in events]
    values = [event.data for event in events]
    assert set(values) == everything
    for i, last_id in enumerate(ids):
        with source(broker, "/subscribe/p", [("Last-Event-ID", last_id)]) as stream:
            rest = stream.data(12 - i)
            assert sorted(rest) == sorted(values[i:]), (i, last_id)
            for partition in range(3):
                mine = [int(value) for value in rest if int(value) % 3 == partition]
                assert mine == sorted(mine)
        assert sorted(broker.values("p", f"?cursor={last_id}&limit=100")) == sorted(values[i:])


def test_one_partition_of_several(broker):
    spread(broker)
    with source(broker, "/subscribe/p?partition=1&offset=2") as stream:
        events = stream.events(2)
    assert [event.data for event in events] == ["7", "10"]
    with source(broker, "/subscribe/p?partition=1", [("Last-Event-ID", events[0].id)]) as stream:
        assert stream.data(1) == ["10"]


# --- gaps ---------------------------------------------------------------------------------------------


def gap(stream, requested, resumed_from, reason):
    event = stream.event()
    assert event.type == "gap", event
    assert event.json() == {"requested": requested, "resumed_from": resumed_from, "reason": reason}
    assert event.id == resumed_from
    return event


@pytest.mark.parametrize("how", ["header", "last_event_id", "cursor"])
def test_trimmed(broker, how):
    fill(broker)
    purge(broker)
    fill(broker, count=2, first=5)
    path, headers = {"header": ("/subscribe/t", [("Last-Event-ID", "3")]),
                     "last_event_id": ("/subscribe/t?last_event_id=3", []),
                     "cursor": ("/subscribe/t?cursor=3", [])}[how]
    with source(broker, path, headers) as stream:
        gap(stream, "3", "5", "trimmed")
        assert stream.data(2) == ["5", "6"]


@pytest.mark.parametrize("last_id", ["nonsense", "AAAA", "-1", "18446744073709551616", "1 2", "x" * 2000, "%00", "ü"])
def test_unreadable(broker, last_id):
    fill(broker, count=2)
    with source(broker, headers=[("Last-Event-ID", last_id)]) as stream:
        event = stream.event()
        assert event.type == "gap"
        assert event.json()["reason"] == "unknown" and event.json()["resumed_from"] == "0"
        assert stream.data(2) == ["0", "1"]


def test_unknown_goes_on_from_the_offset_that_was_asked(broker):
    fill(broker, count=4)
    with source(broker, "/subscribe/t?offset=2", [("Last-Event-ID", "nonsense")]) as stream:
        gap(stream, "nonsense", "2", "unknown")
        assert stream.data(2) == ["2", "3"]
    with source(broker, "/subscribe/t?offset=end", [("Last-Event-ID", "nonsense")]) as stream:
        gap(stream, "nonsense", "4", "unknown")
        broker.produce("t", "4")
        assert stream.data(1) == ["4"]


def test_beyond_the_end(broker):
    fill(broker, count=3)
    with source(broker, headers=[("Last-Event-ID", "99")]) as stream:
        event = stream.event()
        assert event.type == "gap" and event.json()["requested"] == "99"
        assert event.json()["reason"] in ("unknown", "truncated")
        assert stream.data(3) == ["0", "1", "2"]


def test_of_a_topic_that_was_deleted_and_made_again(broker):
    spread(broker, partitions=2)
    with source(broker, "/subscribe/p?offset=earliest") as stream:
        last_id = stream.events(12)[5].id
    broker.client.delete("/v1/topics/p")
    broker.create("p", partitions=2)
    broker.produce("p", "new")
    with source(broker, "/subscribe/p", [("Last-Event-ID", last_id)]) as stream:
        event = stream.event()
        assert event.type == "gap" and event.json()["reason"] == "unknown"
        assert event.json()["requested"] == last_id
        assert stream.data(1) == ["new"]


def test_a_cursor_of_another_topic(broker):
    spread(broker)
    fill(broker, count=2)
    cursor = broker.consume("p", "?limit=3")["next"]
    with source(broker, headers=[("Last-Event-ID", cursor)]) as stream:
        event = stream.event()
        assert event.type == "gap" and event.json()["reason"] == "unknown"
        assert stream.data(2) == ["0", "1"]


def test_a_forged_cursor_does_no_harm(broker, seed):
    """Each byte of a good one changed: it is read, or it is a gap; it is never anything else."""
    spread(broker)
    cursor = broker.consume("p", "?limit=6")["next"]
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    for i in range(len(raw)):
        forged = bytearray(raw)
        forged[i] ^= 1 + (seed + i) % 255
        text = base64.urlsafe_b64encode(forged).decode().rstrip("=")
        with source(broker, "/subscribe/p", [("Last-Event-ID", text)]) as stream:
            assert stream.event().type in ("gap", "message")
        assert broker.client.get(f"/consume/p?cursor={text}").status in (200, 400, 410, 416)


def test_a_gap_after_a_gap_is_none(broker):
    """The id of a gap is a place that is there."""
    fill(broker)
    purge(broker)
    fill(broker, count=2, first=5)
    with source(broker, headers=[("Last-Event-ID", "1")]) as stream:
        last_id = stream.event().id
    with source(broker, headers=[("Last-Event-ID", last_id)]) as stream:
        assert stream.data(2) == ["5", "6"]


def test_passed_by_retention_while_connected(broker):
    """It stops reading; what waits for it is purged; it reads on and is told."""
    body = "x" * 100_000
    with source(broker, "/subscribe/t?offset=0") as stream:
        for _ in range(300):  # far more than sockets and output hold
            broker.produce("t", body)
        purge(broker)
        broker.produce("t", "after")
        seen = 0
        while (event := stream.event()).type == "message":
            assert event.data == body and event.id == f"{seen + 1}"
            seen += 1
        assert event.type == "gap", event
        assert event.json() == {"requested": f"{seen}", "resumed_from": "300", "reason": "trimmed"}
        assert event.id == "300" and 0 < seen < 300
        assert stream.data(1) == ["after"]


# --- the end of a topic --------------------------------------------------------------------------------------


def test_deleted(broker):
    fill(broker, count=2)
    with source(broker, "/subscribe/t?offset=0") as stream:
        assert stream.data(2) == ["0", "1"]
        assert broker.client.delete("/v1/topics/t").status == 204
        event = stream.event()
        assert event.type == "gone" and event.json() == {"topic": "t"}
        assert stream.ends()


def test_stop_ends_the_stream(broker):
    fill(broker, count=1)
    with source(broker) as stream:
        stream.id()
        broker.process.terminate()
        assert stream.ends()
    broker.stop()


# --- refusals ---------------------------------------------------------------------------------------------


def test_refused_before_it_begins(broker):
    fill(broker)
    is_problem(broker.client.get("/subscribe/t?offset=9", EVENTS), 416, "offset_out_of_range")
    is_problem(broker.client.get("/subscribe/t?offset=x", EVENTS), 400, "bad_parameter")
    is_problem(broker.client.get("/subscribe/b%20d", EVENTS), 400, "bad_topic_name")
    purge(broker)
    assert broker.client.get("/subscribe/t?offset=2", EVENTS).status == 410
    is_problem(broker.client.request("POST", "/subscribe/t", b"", EVENTS), 405, "method_not_allowed")


def test_a_reader_that_does_not_read_slows_nobody(broker):
    broker.create("t")
    with source(broker) as stuck, source(broker) as quick:
        stuck.id(), quick.id()
        body = "x" * 100_000
        for _ in range(200):  # 20 MB: more than sockets and output limits hold
            broker.produce("t", body)
            assert quick.data(1) == [body]
        assert stuck.data(200) == [body] * 200


def test_those_who_leave_are_forgotten(broker):
    fill(broker, count=1)
    for _ in range(20):
        with source(broker) as stream:
            stream.id()
    deadline = time.monotonic() + 20
    while broker.metric("bourn_subscribers"):
        assert time.monotonic() < deadline
