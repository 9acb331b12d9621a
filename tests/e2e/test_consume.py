"""consume: every way to say where, how much and how long."""

import json
import threading
import time

import pytest

from harness.http import is_problem

START = 1_700_000_000_000  # ms since 1970, of event 0; one event a second


@pytest.fixture
def ten(broker):
    """Topic t with the events 0 … 9, a second apart."""
    broker.create("t")
    for i in range(10):
        broker.produce("t", f"{i}", "text/plain", Event_Timestamp=str(START + i * 1000))
    return broker


def offsets(answer):
    return [event["offset"] for event in answer["events"]]


@pytest.mark.parametrize("offset,expected", [
    ("", list(range(10))),
    ("?offset=0", list(range(10))),
    ("?offset=7", [7, 8, 9]),
    ("?offset=earliest", list(range(10))),
    ("?offset=last", [9]),
    ("?offset=end", []),
    ("?offset=latest", []),
    ("?offset=10", []),
    ("?offset=2023-11-14T22:13:25Z", [5, 6, 7, 8, 9]),        # exactly event 5's time
    ("?offset=2023-11-14T22:13:25.001Z", [6, 7, 8, 9]),       # just after it
    ("?offset=2023-11-15T00:13:25%2B02:00", [5, 6, 7, 8, 9]),  # the same, elsewhere
    ("?offset=1999-01-01T00:00:00Z", list(range(10))),
    ("?offset=-10m", []),
])
def test_offset_forms(ten, offset, expected):
    assert offsets(ten.consume("t", offset)) == expected


def test_ago_finds_what_is_recent(broker):
    broker.produce("t", "now")
    assert broker.values("t", "?offset=-10m") == ["now"]


def test_answer_describes_where_it_stands(ten):
    answer = ten.consume("t", "?offset=3&limit=2")
    assert answer["topic"] == "t"
    assert answer["partitions"] == [{"partition": 0, "earliest": 0, "high_watermark": 10}]
    event = answer["events"][0]
    assert (event["offset"], event["partition"], event["timestamp"]) == (3, 0, START + 3000)
    assert offsets(answer) == [3, 4]
    assert offsets(ten.consume("t", f"?cursor={answer['next']}&limit=2")) == [5, 6]


def test_the_plain_number_is_a_cursor(ten):
    assert offsets(ten.consume("t", "?cursor=8")) == [8, 9]


def test_cursor_at_the_end_gets_what_comes(ten):
    cursor = ten.consume("t", "?offset=end")["next"]
    ten.produce("t", "new")
    assert ten.values("t", f"?cursor={cursor}") == ["new"]


def test_limit_is_cut_not_refused(ten):
    assert len(ten.consume("t", "?limit=1000000")["events"]) == 10


def test_default_limit_is_100(broker):
    lines = "".join(f"{i}\n" for i in range(150))
    assert broker.client.post("/produce/t", lines, "application/x-ndjson").status == 201
    answer = broker.consume("t")
    assert offsets(answer) == list(range(100))
    assert offsets(broker.consume("t", f"?cursor={answer['next']}")) == list(range(100, 150))


def test_max_bytes_gives_one_event_at_least(broker):
    for _ in range(5):
        broker.produce("t", "x" * 10_000)
    assert len(broker.consume("t", "?max_bytes=1")["events"]) == 1
    assert 1 <= len(broker.consume("t", "?max_bytes=25000")["events"]) <= 3


@pytest.mark.parametrize("query,status,code", [
    ("?offset=banana", 400, "bad_parameter"),
    ("?offset=-1", 400, "bad_parameter"),
    ("?offset=99999999999999999999", 400, "bad_parameter"),
    ("?limit=x", 400, "bad_parameter"),
    ("?limit=-1", 400, "bad_parameter"),
    ("?max_bytes=x", 400, "bad_parameter"),
    ("?wait=x", 400, "bad_parameter"),
    ("?partition=x", 400, "bad_parameter"),
    ("?partition=1", 404, "partition_unknown"),
    ("?cursor=%21%21", 400, "bad_cursor"),
    ("?cursor=AAAA", 400, "bad_cursor"),
    ("?cursor=" + "A" * 1025, 400, "bad_cursor"),
    ("?offset=11", 416, "offset_out_of_range"),
    ("?cursor=11", 416, "offset_out_of_range"),
    ("?group=g", 501, "not_implemented"),
])
def test_refusals(ten, query, status, code):
    is_problem(ten.client.get(f"/consume/t{query}"), status, code)


def test_unknown_topic(broker):
    is_problem(broker.client.get("/consume/nope"), 404, "topic_unknown")
    is_problem(broker.client.get("/v1/topics/nope/events/0"), 404, "topic_unknown")


def test_below_the_log_start(ten):
    reply = ten.client.request("POST", "/v1/topics/t/purge", json.dumps({"upto": 4}),
                               {"Content-Type": "application/json"})
    assert reply.status in (200, 204), reply
    problem = is_problem(ten.client.get("/consume/t?offset=3"), 410, "offset_trimmed")
    assert problem["earliest"] == 4
    is_problem(ten.client.get("/v1/topics/t/events/3"), 410, "offset_trimmed")
    assert offsets(ten.consume("t", "?offset=earliest")) == [4, 5, 6, 7, 8, 9]
    assert ten.consume("t")["partitions"][0]["earliest"] == 4


def test_one_event_by_offset(ten):
    assert ten.client.get("/v1/topics/t/events/4").body == b"4"
    is_problem(ten.client.get("/v1/topics/t/events/10"), 416, "offset_out_of_range")
    is_problem(ten.client.get("/v1/topics/t/events/x"), 400, "bad_parameter")


def test_ndjson(ten):
    reply = ten.client.get("/consume/t?offset=8", {"Accept": "application/x-ndjson"})
    assert reply.header("content-type") == "application/x-ndjson"
    assert [line["offset"] for line in reply.lines()] == [8, 9]
    assert offsets(ten.consume("t", f"?cursor={reply.header('event-next')}")) == []


def test_both_addresses_are_one(ten):
    assert ten.client.get("/v1/topics/t/events?offset=9").json()["events"] == \
        ten.consume("t", "?offset=9")["events"]


# --- waiting ---------------------------------------------------------------------


def test_wait_ends_with_the_first_event(ten):
    answers = []
    client = ten.new_client()
    thread = threading.Thread(
        target=lambda: answers.append(client.get("/consume/t?offset=10&wait=30").json()))
    thread.start()
    ten.produce("t", "late")
    thread.join(10)
    assert not thread.is_alive()
    assert [event["value"] for event in answers[0]["events"]] == ["late"]


def test_wait_ends_empty_when_nothing_comes(ten):
    started = time.monotonic()
    answer = ten.consume("t", "?offset=end&wait=300ms")
    assert 0.29 <= time.monotonic() - started < 5
    assert answer["events"] == []
    assert answer["next"]


def test_wait_does_not_wait_for_what_is_there(ten):
    started = time.monotonic()
    assert len(ten.consume("t", "?wait=30")["events"]) == 10
    assert time.monotonic() - started < 5


def test_waiting_on_one_topic_holds_up_nobody(ten):
    waiting = ten.connect()
    waiting.request("GET", "/consume/t?offset=end&wait=20")
    for i in range(20):
        ten.produce("other", f"{i}")
    waiting.close()


# --- several partitions ------------------------------------------------------------


@pytest.fixture
def parts(broker):
    broker.create("p", partitions=4)
    for i in range(80):
        broker.produce("p", f"{i}", "text/plain", Event_Key=f"key-{i % 8}")
    return broker


def read_all(broker, query=""):
    """Every event, by following `next` until nothing comes."""
    events = []
    answer = broker.consume("p", f"?limit=7{query}")
    while answer["events"]:
        events += answer["events"]
        answer = broker.consume("p", f"?limit=7&cursor={answer['next']}")
    return events


def test_all_partitions_are_read(parts):
    events = read_all(parts)
    assert sorted(int(event["value"]) for event in events) == list(range(80))
    for partition in range(4):
        mine = [event for event in events if event["partition"] == partition]
        assert [event["offset"] for event in mine] == list(range(len(mine)))
    for key in range(8):
        mine = [int(event["value"]) for event in events if event["key"] == f"key-{key}"]
        assert mine == sorted(mine), "order within a key is lost"


def test_a_key_stays_on_its_partition(parts):
    places = {}
    for event in read_all(parts):
        places.setdefault(event["key"], set()).add(event["partition"])
    assert all(len(partitions) == 1 for partitions in places.values())


def test_a_number_needs_a_partition(parts):
    is_problem(parts.client.get("/consume/p?offset=0"), 400, "partition_required")
    is_problem(parts.client.get("/v1/topics/p/events/0"), 400, "partition_required")
    answer = parts.consume("p", "?partition=2&offset=0")
    assert {event["partition"] for event in answer["events"]} <= {2}
    is_problem(parts.client.get("/consume/p?partition=4"), 404, "partition_unknown")


def test_partition_filters_a_cursor(parts):
    cursor = parts.consume("p", "?limit=10")["next"]
    answer = parts.consume("p", f"?cursor={cursor}&partition=1")
    assert {event["partition"] for event in answer["events"]} <= {1}


def test_cursor_survives_another_shard_count(parts):
    cursor = parts.consume("p", "?limit=30")["next"]
    before = parts.consume("p", f"?cursor={cursor}")["events"]
    parts.restart(shards=3)
    after = parts.consume("p", f"?cursor={cursor}")["events"]
    assert sorted(e["value"] for e in after) == sorted(e["value"] for e in before)


def test_cursor_of_a_deleted_topic(parts):
    cursor = parts.consume("p", "?limit=10")["next"]
    parts.client.delete("/v1/topics/p")
    parts.create("p", partitions=4)
    is_problem(parts.client.get(f"/consume/p?cursor={cursor}"), 410, "topic_gone")
