"""A topic that grows: partitions are added while others write and read; nobody misses an event."""

import json
import threading
from urllib.parse import quote

import pytest

from harness.http import is_problem
from harness.lines import Lines
from harness.murmur2 import murmur2
from harness.sse import EventSource
from harness.ws import WebSocket

FORMS = pytest.mark.parametrize("form", ["lines", "sse", "websocket"])
PATHS = pytest.mark.parametrize("path", ["/subscribe/t?offset=earliest", "/v1/subscribe?topic=t*&offset=earliest"],
                                ids=["alone", "pattern"])


def grow(broker, partitions, topic="t"):
    reply = broker.client.patch_json(f"/v1/topics/{topic}", {"partitions": partitions})
    assert reply.status == 200, reply
    assert len(reply.json()["partitions"]) == partitions
    return reply.json()


def count(broker, topic="t"):
    return len(broker.client.get(f"/v1/topics/{topic}").json()["partitions"])


class Stream:
    """A subscription in one of the forms; gives values."""

    def __init__(self, broker, form, path):
        self.form = form
        self.stream = {"lines": lambda: Lines(broker, path), "sse": lambda: EventSource(broker, path),
                       "websocket": lambda: WebSocket(broker.port, path)}[form]()

    def __enter__(self):
        self.stream.__enter__()
        return self

    def __exit__(self, *_):
        self.stream.__exit__()

    def value(self):
        if self.form == "lines":
            return self.stream.line()["value"]
        if self.form == "websocket":
            return self.stream.read_message().payload.decode()
        data = self.stream.events(1)[0].data
        return json.loads(data)["value"] if data.startswith("{") else data

    def values(self, number):
        return [self.value() for _ in range(number)]


def test_more_partitions_at_once(broker):
    broker.create("t", retention_ms=3600000)
    before = broker.client.get("/v1/topics/t").json()
    broker.produce("t", "old")
    answer = grow(broker, 4)
    assert answer["settings"] == before["settings"] and answer["uuid"] == before["uuid"]
    assert [partition["high_watermark"] for partition in answer["partitions"]] == [1, 0, 0, 0]
    for partition in range(4):
        assert broker.produce("t", "new", query=f"?partition={partition}")["partition"] == partition
    assert sorted(broker.values("t")) == ["new"] * 4 + ["old"]
    assert [topic["partitions"] for topic in broker.client.get("/v1/topics").json()["topics"]] == [4]
    broker.kill()
    broker.start()
    assert count(broker) == 4
    assert sorted(broker.values("t")) == ["new"] * 4 + ["old"]
    assert grow(broker, 5)["partitions"][4]["high_watermark"] == 0


def test_settings_and_partitions_in_one_request(broker):
    broker.create("t")
    reply = broker.client.patch_json("/v1/topics/t", {"partitions": 2, "settings": {"durability": "os"}})
    assert reply.status == 200 and reply.json()["settings"]["durability"] == "os"
    assert broker.produce("t", "x", query="?partition=1")["durability"] == "os"


def test_never_fewer_and_never_too_many(broker):
    broker.create("t", partitions=3)
    problem = is_problem(broker.client.patch_json("/v1/topics/t", {"partitions": 2}), 400, "bad_setting")
    assert "the topic has 3" in problem["detail"]
    for partitions in (0, -1, 1025, "4", 1.5):
        assert broker.client.patch_json("/v1/topics/t", {"partitions": partitions}).status == 400
    assert grow(broker, 3)["partitions"][2]["partition"] == 2
    is_problem(broker.client.patch_json("/v1/topics/no", {"partitions": 2}), 404, "topic_unknown")
    grow(broker, 1024)
    assert broker.produce("t", "x", query="?partition=1023")["offset"] == 0


def test_keys_are_spread_over_all_of_them(broker):
    broker.create("t", partitions=2)
    keys = [f"key-{i}" for i in range(40)]
    for partitions in (2, 5):
        if partitions > 2:
            grow(broker, partitions)
        for key in keys:
            ack = broker.produce("t", key, Event_Key=key)
            assert ack["partition"] == murmur2(key.encode()) % partitions
    body = "".join(json.dumps({"key": key, "value": 1}) + "\n" for key in keys)
    reply = broker.client.post("/produce/t", body, "application/vnd.bourn.events+x-ndjson")
    assert {result["partition"] for result in reply.json()["results"]} == set(range(5))


@PATHS
@FORMS
def test_who_is_subscribed_follows_them(broker, form, path):
    broker.create("t")
    broker.produce("t", "0")
    with Stream(broker, form, path) as stream:
        assert stream.values(1) == ["0"]
        for partitions in (2, 5):
            grow(broker, partitions)
            for partition in range(partitions):
                broker.produce("t", f"{partitions}/{partition}", query=f"?partition={partition}")
            assert sorted(stream.values(partitions)) == [f"{partitions}/{i}" for i in range(partitions)]


@FORMS
def test_under_load_nothing_is_missed_and_nothing_comes_twice(broker, form):
    total, steps = 3000, [2, 3, 7, 8]
    broker.create("t", durability="os")

    def produce():
        client = broker.new_client()
        for i in range(total):
            assert client.post("/produce/t", f"{i}", "text/plain", {"Event-Key": f"{i % 50}"}).status == 201

    with Stream(broker, form, "/subscribe/t?offset=earliest") as early, \
            Stream(broker, form, "/subscribe/t?offset=earliest&partition=0") as first:
        producer = threading.Thread(target=produce)
        producer.start()
        came = []
        for step in steps:
            came += early.values(total // 6)
            grow(broker, step)
        came += early.values(total - len(came))
        producer.join()
        assert sorted(map(int, came)) == list(range(total))
        partition = [event["value"] for event in broker.consume("t", "?partition=0&limit=10000")["events"]]
        assert first.values(len(partition)) == partition
    with Stream(broker, form, "/subscribe/t?offset=earliest") as late:
        assert sorted(map(int, late.values(total))) == list(range(total))


def test_a_consumer_goes_on_from_an_old_cursor(broker):
    broker.create("t")
    for i in range(3):
        broker.produce("t", f"{i}")
    answer = broker.consume("t", "?limit=2")
    assert answer["next"] == "2"
    grow(broker, 3)
    broker.produce("t", "a", query="?partition=1")
    answer = broker.consume("t", "?cursor=2")
    assert sorted(event["value"] for event in answer["events"]) == ["2", "a"]
    cursor = answer["next"]
    grow(broker, 4)
    broker.produce("t", "b", query="?partition=3")
    broker.produce("t", "c", query="?partition=0")
    answer = broker.consume("t", f"?cursor={cursor}")
    assert sorted(event["value"] for event in answer["events"]) == ["b", "c"]
    assert broker.consume("t", f"?cursor={answer['next']}")["events"] == []
    assert broker.values("t", f"?cursor={cursor}&partition=3") == ["b"]
    is_problem(broker.client.get("/consume/t?offset=2"), 400, "partition_required")


def test_a_cursor_of_one_partition_stays_with_it(broker):
    broker.create("t", partitions=2)
    for partition in (0, 1):
        broker.produce("t", f"{partition}", query=f"?partition={partition}")
    cursor = broker.consume("t", "?partition=0&limit=1")["next"]
    grow(broker, 3)
    for partition in (0, 1, 2):
        broker.produce("t", f"{partition}'", query=f"?partition={partition}")
    assert broker.values("t", f"?cursor={cursor}") == ["0'"]
    assert broker.values("t", f"?cursor={cursor}&partition=0") == ["0'"]
    is_problem(broker.client.get(f"/consume/t?cursor={cursor}&partition=1"), 400, "bad_cursor")
    with Lines(broker, f"/subscribe/t?cursor={cursor}") as stream:
        assert stream.values(1) == ["0'"]
        grow(broker, 4)
        broker.produce("t", "elsewhere", query="?partition=3")
        broker.produce("t", "here", query="?partition=0")
        assert stream.values(1) == ["here"]


def test_who_waits_hears_of_them(broker):
    broker.create("t")
    with broker.connect() as waiting:
        waiting.request("GET", "/consume/t?offset=end&wait=30")
        grow(broker, 2)
        answer = waiting.read_reply().json()
    broker.produce("t", "x", query="?partition=1")
    if answer["events"] == []:  # else it asked when it had come already
        assert broker.values("t", f"?cursor={answer['next']}") == ["x"]


def test_an_event_source_resumes_across_growth(broker):
    broker.create("t")
    broker.produce("t", "0")
    with EventSource(broker, "/subscribe/t?offset=earliest") as source:
        assert source.data(1) == ["0"]
        assert source.parser.last_id == "1"  # a place in a topic of one partition
        source.connection.close()
        grow(broker, 3)
        broker.produce("t", "1", query="?partition=2")
        source.again()
        assert source.data(1) == ["1"]
        grow(broker, 4)
        broker.produce("t", "2", query="?partition=3")
        assert source.data(1) == ["2"]
        broker.kill()
        broker.start(port=broker.port)
        source.again()
        broker.produce("t", "3", query="?partition=0")
        assert source.data(1) == ["3"]


def test_beyond_what_a_cursor_holds(broker):
    """Streams that give cursors end with a reason; those that do not go on."""
    broker.create("t", partitions=64)
    with Lines(broker, "/subscribe/t") as stream, WebSocket(broker.port, "/subscribe/t") as socket:
        broker.produce("t", "x", query="?partition=63")
        assert stream.values(1) == ["x"] and socket.read_message().payload == b"x"
        grow(broker, 65)
        assert stream.line()["error"]["code"] == "too_many_topics"
        broker.produce("t", "y", query="?partition=64")
        assert socket.read_message().payload == b"y"


def test_connections_say_where_readers_are(broker):
    broker.create("t")
    with Lines(broker, "/subscribe/t") as stream:
        broker.produce("t", "x")
        assert stream.values(1) == ["x"]
        grow(broker, 3)
        for partition in range(3):
            broker.produce("t", "y", query=f"?partition={partition}")
        stream.values(3)
        connections = broker.client.get("/v1/connections").json()["connections"]
        places = [place for one in connections for place in one["subscriptions"]]
        assert sorted((place["partition"], place["next_offset"]) for place in places) == [(0, 2), (1, 1), (2, 1)]


def test_a_grown_topic_may_be_deleted(broker):
    broker.create("t")
    grow(broker, 4)
    broker.produce("t", "x", query="?partition=3")
    with Lines(broker, "/subscribe/t?offset=earliest") as stream:
        assert stream.values(1) == ["x"]
        assert broker.client.delete("/v1/topics/t").status == 204
        assert stream.line()["error"]["code"] == "topic_gone"
    assert broker.produce("t", "new")["offset"] == 0
    assert count(broker) == 1


def test_growth_at_the_command_line(broker):
    broker.create("t", partitions=2)
    done = broker.cli("topic", "alter", "t", "--partitions", "4")
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-1].split()[0] == "3"
    assert b"keys" in done.stderr and b"from 2 to 4" in done.stderr
    assert json.loads(broker.cli("topic", "alter", "t", "-p", "4", "--json").stdout)["name"] == "t"
    asked = broker.cli("topic", "alter", "t")
    assert asked.returncode == 2 and b"alter what?" in asked.stderr
    refused = broker.cli("topic", "alter", "t", "--partitions", "3")
    assert refused.returncode == 4 and b"the topic has 4" in refused.stderr


def test_the_command_line_follows_it(broker):
    broker.create("t")
    broker.produce("t", "0")
    grow(broker, 3)
    broker.produce("t", "1", query="?partition=2")
    done = broker.cli("subscribe", "t", "--from", "earliest", "--count", "2")
    assert sorted(done.stdout.splitlines()) == [b"Received: 0", b"Received: 1"]
    cursor = quote(broker.consume("t")["next"])
    assert broker.consume("t", f"?cursor={cursor}")["events"] == []
