"""One connection, many topics: names, patterns, topics that come and go, and cursors over all."""

import time
from urllib.parse import quote

import pytest

from harness.http import is_problem
from harness.lines import Lines
from harness.sse import EventSource
from harness.ws import WebSocket

EVENTS = {"Accept": "text/event-stream"}
MANY = 64


def path(*topics, **parameters):
    words = [f"topic={quote(topic)}" for topic in topics] + [f"{name}={quote(str(value))}"
                                                            for name, value in parameters.items()]
    return "/v1/subscribe?" + "&".join(words)


def lines(broker, *topics, **parameters):
    return Lines(broker, path(*topics, **parameters))


def source(broker, *topics, headers=(), **parameters):
    return EventSource(broker, path(*topics, **parameters), headers)


def seen(events):
    return [(event["topic"], event["value"]) for event in events]


def by_topic(events):
    found = {}
    for event in events:
        found.setdefault(event["topic"], []).append(event["value"])
    return found


# --- one topic by the other address ------------------------------------------------------------


def test_one_plain_topic_is_the_same_by_both_addresses(broker):
    for i in range(4):
        broker.produce("t", f"{i}")
    with lines(broker, "t", offset=1) as stream, Lines(broker, "/subscribe/t?offset=1") as other:
        assert [stream.line()["value"] for _ in range(3)] == ["1", "2", "3"]
        assert [other.line()["value"] for _ in range(3)] == ["1", "2", "3"]
        assert stream.reply.header("event-next") == other.reply.header("event-next") == "1"
    with source(broker, "t", offset=2) as events:
        assert events.id() == "2"
        assert events.data(2) == ["2", "3"]
    with WebSocket(broker.port, path("t", offset=3)) as socket:
        assert socket.read().payload == b"3"


def test_partition_of_one_plain_topic(broker):
    broker.create("p", partitions=2)
    for i in range(4):
        broker.produce("p", f"{i}", query=f"?partition={i % 2}")
    with lines(broker, "p", partition=1, offset=0) as stream:
        assert stream.values(2) == ["1", "3"]
    for topics in (["p", "q"], ["p*"]):
        assert broker.client.get(path(*topics, partition=0)).status == 400


# --- several names ---------------------------------------------------------------------------------


def test_several_topics(broker):
    broker.produce("a", "before")
    with lines(broker, "a", "b", "c") as stream:
        broker.produce("b", "1")
        broker.produce("a", "2")
        broker.produce("c", "3")
        broker.produce("other", "never")
        broker.produce("a", "4")
        found = by_topic(stream.lines(4))
    assert found == {"a": ["2", "4"], "b": ["1"], "c": ["3"]}


def test_the_line_is_the_event_with_its_topic_first_and_its_place_last(broker):
    broker.produce("a", '{"n":1}', "application/json", Event_Key="k")
    broker.produce("b", "x")
    connection = broker.connect()
    connection.request("GET", path("a", "b", offset="earliest"))
    connection.read_head()
    text = b""
    while text.count(b"\n") < 2:
        text += connection.read_chunk()
    for line in text.splitlines():
        assert line.startswith(b'{"topic":"') and b',"next":"' in line and line.endswith(b'"}'), line


def test_history_of_several_topics(broker):
    for i in range(30):
        broker.produce("abc"[i % 3], f"{i}")
    with lines(broker, "a", "b", "c", offset="earliest") as stream:
        found = by_topic(stream.lines(30))
    assert found == {topic: [f"{i}" for i in range(30) if "abc"[i % 3] == topic] for topic in "abc"}


def test_the_same_topic_twice_is_one(broker):
    with lines(broker, "a", "a", "a*") as stream:
        broker.produce("a", "1")
        broker.produce("a", "2")
        assert seen(stream.lines(2)) == [("a", "1"), ("a", "2")]


def test_a_topic_of_several_partitions_among_others(broker):
    broker.create("p", partitions=3)
    broker.create("q")
    with lines(broker, "p", "q") as stream:
        for i in range(9):
            broker.produce("p", f"{i}", query=f"?partition={i % 3}")
        broker.produce("q", "x")
        events = stream.lines(10)
    for partition in range(3):
        mine = [event["value"] for event in events if event["topic"] == "p" and event["partition"] == partition]
        assert mine == [f"{i}" for i in range(partition, 9, 3)]


# --- patterns --------------------------------------------------------------------------------------------


MATCHES = {
    "orders.*": (["orders.eu", "orders.", "orders.eu.de"], ["orders", "xorders.eu"]),
    "*": (["a", "b.c", "_x-y"], []),
    "*.eu": (["orders.eu", ".eu", "a.b.eu"], ["orders.eus", "eu"]),
    "a*b*c": (["abc", "a.b.c", "aXbXbXc", "abcc"], ["ab", "acb"]),
    "a**b": (["ab", "axb"], ["a"]),
    "exact*": (["exact", "exact2"], ["Exact", "exac"]),
}


@pytest.mark.parametrize("pattern", MATCHES)
def test_pattern(broker, pattern):
    good, bad = MATCHES[pattern]
    for topic in bad + good:
        broker.produce(topic, "old")
    with lines(broker, pattern, offset="earliest") as stream:
        assert {stream.line()["topic"] for _ in good} == set(good)
        for topic in bad + good:
            broker.produce(topic, "new")
        assert sorted(seen(stream.lines(len(good)))) == sorted((topic, "new") for topic in good)


def test_topics_that_come_later_join_from_their_first_event(broker):
    broker.produce("a.1", "before")
    with lines(broker, "a.*") as stream:
        broker.produce("a.1", "x")
        for i in range(2, 12):
            for n in range(3):
                broker.produce(f"a.{i}", f"{n}")
        found = by_topic(stream.lines(31))
    assert found == {"a.1": ["x"], **{f"a.{i}": ["0", "1", "2"] for i in range(2, 12)}}


def test_nothing_there_yet(broker):
    with lines(broker, "a.*") as pattern, lines(broker, "x", "y") as names:
        broker.produce("y", "1")
        broker.produce("a.b", "2")
        assert seen([pattern.line()]) == [("a.b", "2")]
        assert seen([names.line()]) == [("y", "1")]


def test_a_topic_that_joined_is_in_the_cursor(broker):
    broker.produce("a.1", "1")
    with lines(broker, "a.*") as stream:
        broker.produce("a.2", "2")
        place = stream.line()["next"]
    broker.produce("a.2", "3")
    broker.produce("a.1", "4")
    with lines(broker, "a.*", cursor=place) as stream:
        assert by_topic(stream.lines(2)) == {"a.2": ["3"], "a.1": ["4"]}


def test_a_topic_made_while_nobody_was_connected(broker):
    """After the cursor was taken: all of it is new."""
    broker.produce("a.1", "1")
    with lines(broker, "a.*", offset="earliest") as stream:
        place = stream.line()["next"]
    broker.produce("a.2", "2")
    broker.produce("a.2", "3")
    with lines(broker, "a.*", cursor=place) as stream:
        assert seen(stream.lines(2)) == [("a.2", "2"), ("a.2", "3")]


# --- topics that go -----------------------------------------------------------------------------------------


def test_a_deleted_topic_leaves_the_others(broker):
    for topic in ("a", "b"):
        broker.produce(topic, "old")
    with lines(broker, "a", "b") as stream, source(broker, "a", "b") as events:
        events.id()
        broker.client.delete("/v1/topics/a")
        assert stream.line() == {"gone": {"topic": "a"}}
        gone = events.event()
        assert gone.type == "gone" and gone.json() == {"topic": "a"}
        broker.produce("b", "1")
        assert seen([stream.line()]) == [("b", "1")]
        event = events.event().json()
        assert (event["topic"], event["value"]) == ("b", "1")


def test_a_topic_of_a_pattern_that_is_deleted_and_made_again(broker):
    broker.produce("a.1", "old")
    with source(broker, "a.*") as events:
        events.id()
        broker.client.delete("/v1/topics/a.1")
        assert events.event().type == "gone"
        broker.produce("a.1", "new")
        event = events.event()
        assert event.type == "message" and event.json()["value"] == "new" and event.json()["offset"] == 0


def test_websocket_when_all_topics_are_gone_or_one_is(broker):
    for topic in ("a", "b"):
        broker.produce(topic, "old")
    with WebSocket(broker.port, path("a", "b")) as socket:
        broker.client.delete("/v1/topics/a")
        broker.produce("b", "1")
        assert socket.read_message().payload == b"1"
    with WebSocket(broker.port, path("b")) as socket:
        broker.client.delete("/v1/topics/b")
        socket.expect_close(4011)


# --- going on ----------------------------------------------------------------------------------------------------


def test_every_place_is_one_to_go_on_from(broker):
    broker.create("p", partitions=2)
    for i in range(18):
        topic = "apb"[i % 3]
        broker.produce(topic, f"{i}", query=f"?partition={i // 3 % 2}" if topic == "p" else "")
    with lines(broker, "a", "b", "p", offset="earliest") as stream:
        places = [stream.reply.header("event-next")]
        values = []
        for event in stream.lines(18):
            places.append(event["next"])
            values.append(event["value"])
    assert sorted(values, key=int) == [f"{i}" for i in range(18)]
    for i, place in enumerate(places):
        with lines(broker, "a", "b", "p", cursor=place) as stream:
            assert sorted(stream.values(18 - i)) == sorted(values[i:])


def test_lines_go_on_across_kill_9(broker):
    """A client that keeps the last `next`: connects again after each kill."""
    total, kills = 400, 4
    place, got = None, []
    produced = 0
    for _ in range(kills):
        with lines(broker, "a.*", "b", **({"cursor": place} if place else {"offset": "earliest"})) as stream:
            for _ in range(total // kills):
                broker.produce(("a.1", "a.2", "b")[produced % 3], f"{produced}")
                produced += 1
            for _ in range(total // kills // 2):
                event = stream.line()
                got.append(event["value"])
                place = event["next"]
        broker.kill()
        broker.start()
    with lines(broker, "a.*", "b", cursor=place) as stream:
        got += [stream.line()["value"] for _ in range(total - len(got))]
    assert sorted(got, key=int) == [f"{i}" for i in range(total)]
    for third in range(3):
        mine = [int(value) for value in got if int(value) % 3 == third]
        assert mine == sorted(mine)


def test_sources_go_on_across_kill_9(broker):
    for i in range(60):
        broker.produce(("a", "b")[i % 2], f"{i}")
    with source(broker, "a", "b", offset="earliest") as stream:
        got = [event.json()["value"] for event in stream.events(25)]
        broker.kill()
        broker.start()
        for i in range(60, 80):
            broker.produce(("a", "b")[i % 2], f"{i}")
        stream.again()
        got += [event.json()["value"] for event in stream.events(55)]
    assert sorted(got, key=int) == [f"{i}" for i in range(80)]


def test_lines_of_one_topic_carry_their_place(broker):
    for i in range(5):
        broker.produce("t", f"{i}")
    with Lines(broker, "/subscribe/t?offset=0") as stream:
        assert stream.reply.header("event-next") == "0"
        assert [event["next"] for event in stream.lines(5)] == ["1", "2", "3", "4", "5"]
    with Lines(broker, "/subscribe/t?cursor=3") as stream:
        assert stream.values(2) == ["3", "4"]


def test_no_place_in_the_head_while_it_is_unknown(broker):
    with Lines(broker, "/subscribe/later") as stream:
        assert stream.reply.header("event-next") is None
        broker.produce("later", "x")
        assert stream.line()["next"] == "1"


# --- server-sent events of several ------------------------------------------------------------------------------


def test_events_of_several_topics_are_json_on_one_line(broker):
    broker.produce("a", '{\n "n": 1\n}', "application/json")
    broker.produce("b", "two\nlines\r\n")
    broker.produce("b", b"\xff", "image/png")
    broker.produce("a", b"", None, Event_Key="k", Event_Tombstone="true")
    with source(broker, "a", "b", offset="earliest") as stream:
        events = stream.events(4)
    assert all(event.type == "message" for event in events), events
    found = {(event.json()["topic"], event.json()["offset"]): event.json() for event in events}
    assert found["a", 0]["value"] == {"n": 1}
    assert found["b", 0]["value"] == "two\nlines\r\n"
    assert (found["b", 1]["encoding"], found["b", 1]["value"]) == ("base64", "/w==")
    assert found["a", 1]["encoding"] == "none"
    assert "\n" not in events[0].data


def test_a_gap_in_one_of_several(broker):
    for i in range(4):
        broker.produce("a", f"a{i}")
        broker.produce("b", f"b{i}")
    with source(broker, "a", "b", offset="earliest") as stream:
        first = stream.id()
    broker.client.post("/v1/topics/a/purge")
    with source(broker, "a", "b", headers=[("Last-Event-ID", first)]) as stream:
        broker.produce("a", "after")
        events = stream.events(6)
    gaps = [event for event in events if event.type == "gap"]
    assert len(gaps) == 1 and gaps[0].json()["requested"] == first and gaps[0].json()["reason"] == "trimmed"
    values = [event.json()["value"] for event in events if event.type == "message"]
    assert sorted(values) == ["after", "b0", "b1", "b2", "b3"]
    with source(broker, "a", "b", headers=[("Last-Event-ID", gaps[0].id)]) as stream:
        assert stream.event().type == "message"


def test_an_unreadable_place_of_several(broker):
    broker.produce("a", "1")
    broker.produce("b", "2")
    with source(broker, "a", "b", headers=[("Last-Event-ID", "nonsense")]) as stream:
        gap, *events = stream.events(3)
        assert gap.type == "gap" and gap.json()["reason"] == "unknown"
        assert {event.json()["value"] for event in events} == {"1", "2"}
        broker.produce("b", "3")
        assert stream.event().json()["value"] == "3"
    # a plain number is the place of one topic with one partition, not of two
    with source(broker, "a", "b", headers=[("Last-Event-ID", "1")]) as stream:
        assert stream.event().type == "gap"


def test_bad_places_elsewhere_are_refused(broker):
    broker.produce("a", "1")
    broker.produce("b", "2")
    for place in ("nonsense", "1"):
        is_problem(broker.client.get(path("a", "b", cursor=place)), 400, "bad_cursor")
        is_problem(broker.client.get(path("a*", cursor=place)), 400, "bad_cursor")
        assert WebSocket(broker.port, path("a", "b", cursor=place)).reply.status == 400


# --- limits ----------------------------------------------------------------------------------------------------------


def test_sixty_four(broker):
    names = [f"t{i}" for i in range(MANY)]
    with lines(broker, *names) as stream:
        for name in names:
            broker.produce(name, name)
        events = stream.lines(MANY)
        assert {event["topic"] for event in events} == set(names)
        place = events[-1]["next"]
    for name in names:
        broker.produce(name, f"more {name}")
    with lines(broker, *names, cursor=place) as stream:
        assert {event["value"] for event in stream.lines(MANY)} == {f"more {name}" for name in names}


@pytest.mark.parametrize("count, code", [(MANY + 1, "too_many_topics"), (200, "bad_parameter")])
def test_more_are_refused(broker, count, code):
    names = [f"t{i}" for i in range(count)]
    is_problem(broker.client.get(path(*names)), 400, code)
    is_problem(broker.client.get(path(*names), EVENTS), 400, code)
    assert WebSocket(broker.port, path(*names)).reply.status == 400


def test_more_partitions_are_refused(broker):
    broker.create("p", partitions=40)
    broker.create("q", partitions=25)
    is_problem(broker.client.get(path("p", "q")), 400, "too_many_topics")
    is_problem(broker.client.get(path("*"), EVENTS), 400, "too_many_topics")
    with lines(broker, "p") as stream:
        broker.produce("p", "x")
        assert stream.line()["value"] == "x"


def test_a_pattern_that_grows_too_large_says_so(broker):
    broker.produce("g.0", "x")
    with lines(broker, "g.*") as stream, source(broker, "g.*") as events, \
            WebSocket(broker.port, path("g.*")) as socket:
        events.id()
        for i in range(1, MANY + 1):
            broker.produce(f"g.{i}", f"{i}")
        last = None
        while last is None or "error" not in last:
            last = stream.line()
        assert last["error"]["code"] == "too_many_topics"
        assert stream.ends()
        event = events.event()
        while event.type == "message":
            event = events.event()
        assert event is None or "too_many_topics" in event.data
        socket.expect_close(1008)
    assert broker.client.get("/livez").status == 200


@pytest.mark.parametrize("query, code", [
    ("", "bad_parameter"), ("topic=", "bad_topic_name"), ("topic=a/b", "bad_topic_name"), ("topic=..", "bad_topic_name"),
    ("topic=a&topic=b%20d", "bad_topic_name"), ("topic=" + "x" * 250, "bad_topic_name"),
    ("topic=a%2Ab%00", "bad_parameter"),
    ("topic=a&offset=x", "bad_parameter")])
def test_bad_questions(broker, query, code):
    broker.produce("a", "1")
    broker.produce("b", "1")
    reply = broker.client.get(f"/v1/subscribe?{query}")
    assert reply.status == 400, reply
    assert reply.json()["code"] == code


def test_those_who_leave_are_forgotten(broker):
    broker.produce("a", "1")
    for _ in range(20):
        with lines(broker, "a", "a*", "later"):
            pass
        with WebSocket(broker.port, path("*")):
            pass
    deadline = time.monotonic() + 20
    while broker.metric("bourn_subscribers"):
        assert time.monotonic() < deadline
