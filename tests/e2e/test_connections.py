"""GET and DELETE /v1/connections: every connection of every shard, by its own peer's address."""

import json
import re
import time

import pytest

from harness.http import is_problem
from harness.ws import TEXT, WebSocket

SECONDS = 20


def mine(socket):
    """The address by which the broker knows this end."""
    return "%s:%d" % socket.getsockname()[:2]


def listed(broker, query=""):
    reply = broker.client.get(f"/v1/connections{query}")
    assert reply.status == 200 and reply.header("content-type") == "application/json", reply
    return reply.json()


def row_of(broker, connection):
    peer = mine(connection.socket)
    rows = [row for row in listed(broker, "?limit=10000")["connections"] if row["peer"] == peer]
    assert len(rows) == 1, rows
    return rows[0]


def wait_for(condition):
    """What it is when it holds."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
    return found


def stream(broker, path, accept="*/*"):
    connection = broker.connect()
    connection.request("GET", path, [("Accept", accept)])
    assert connection.read_head().status == 200
    return connection


@pytest.fixture
def crowd(broker):
    """Seven of each kind, on all shards: {protocol: [the client's connection]}"""
    broker.produce("t", "0")
    sockets = [WebSocket(broker.port, "/subscribe/t?offset=0") for _ in range(7)]
    for one in sockets:
        assert one.read_message().payload == b"0"
    crowd = {"websocket": [one.connection for one in sockets],
             "ndjson": [stream(broker, "/subscribe/t") for _ in range(7)],
             "sse": [stream(broker, "/subscribe/t", "text/event-stream") for _ in range(7)],
             "http": [broker.connect() for _ in range(7)]}
    for connection in crowd["http"]:
        connection.request("GET", "/livez")
        assert connection.read_reply().status == 200
    yield crowd
    for connection in sum(crowd.values(), []):
        connection.close()


def test_all_shards_say_who_is_there(broker, crowd, shards):
    before = time.time() * 1000
    answer = listed(broker)
    rows = answer["connections"]
    assert answer["total"] == len(rows) == broker.metric("bourn_connections") == 29
    assert len({row["id"] for row in rows}) == 29
    assert {int(row["id"].split("-")[0]) for row in rows} == set(range(shards))
    by_peer = {row["peer"]: row for row in rows}
    for protocol, connections in crowd.items():
        for connection in connections:
            row = by_peer[mine(connection.socket)]
            assert row["protocol"] == protocol
            assert before - 60_000 < row["since_ms"] <= before + 1
            assert row["sent_bytes"] > 0
            assert row["pending_bytes"] == 0
            assert row["slow"] is False
            assert row["subscriptions"] == ([] if protocol == "http" else [
                {"topic": "t", "partition": 0, "next_offset": 1, "lag": 0}])


def test_the_limit_bounds_the_rows_not_the_total(broker, crowd):
    answer = listed(broker, "?limit=5")
    assert len(answer["connections"]) == 5
    assert answer["total"] == 29
    assert len(listed(broker, "?limit=999999")["connections"]) == 29
    for query in ("limit=0", "limit=-1", "limit=x", "limits=5", "limit=1&limit=2"):
        is_problem(broker.client.get(f"/v1/connections?{query}"), 400, "bad_parameter")


def test_one_by_its_id(broker, crowd):
    for connections in crowd.values():
        row = row_of(broker, connections[0])
        reply = broker.client.get(f"/v1/connections/{row['id']}")
        assert reply.status == 200
        assert reply.json() == row


def test_several_partitions_are_several_subscriptions(broker):
    broker.create("p", 3)
    for partition in (0, 1, 1):
        broker.produce("p", "x", query=f"?partition={partition}")
    connection = stream(broker, "/subscribe/p?offset=earliest")
    got = b""
    while got.count(b"\n") < 3:
        got += connection.read_chunk()
    assert [(s["topic"], s["partition"], s["next_offset"], s["lag"])
            for s in row_of(broker, connection)["subscriptions"]] == [
        ("p", 0, 1, 0), ("p", 1, 2, 0), ("p", 2, 0, 0)]


def test_a_slow_one_is_named_with_its_lag(broker):
    for _ in range(20):
        broker.produce("t", "x" * 1_000_000)
    connection = stream(broker, "/subscribe/t?offset=0")

    def stuck():
        """Slow it may be before its socket is full, for a moment and with nothing in hand."""
        row = row_of(broker, connection)
        assert row["pending_bytes"] < 3 << 20
        return row if row["slow"] and row["pending_bytes"] > 0 else None

    row = wait_for(stuck)
    # What it has in hand or on its way is not lag: at most a few events.
    assert row["subscriptions"][0]["lag"] > 0
    reply = broker.client.delete(f"/v1/connections/{row['id']}")
    assert reply.status == 204
    wait_for(lambda: listed(broker)["total"] == 1)


def test_an_idle_connection_is_closed(broker, crowd):
    for connection in crowd["http"]:
        reply = broker.client.delete(f"/v1/connections/{row_of(broker, connection)['id']}")
        assert reply.status == 204 and reply.body == b""
        assert connection.at_end()
    assert listed(broker)["total"] == 22


def test_a_stream_ends_as_it_should(broker, crowd):
    for connection in crowd["ndjson"] + crowd["sse"]:
        assert broker.client.delete(
            f"/v1/connections/{row_of(broker, connection)['id']}").status == 204
        assert b"error" not in b"".join(connection.chunks())
        assert connection.at_end()
    assert listed(broker)["total"] == 15


def test_several_topics_are_several_subscriptions(broker):
    for topic in ("a.1", "a.2", "b"):
        broker.produce(topic, "x")
    connections = [stream(broker, "/v1/subscribe?topic=a.*&topic=b&topic=later", accept)
                   for accept in ("text/event-stream", "application/x-ndjson")]
    for connection in connections:
        assert sorted((s["topic"], s.get("next_offset"), s.get("lag"))
                      for s in row_of(broker, connection)["subscriptions"]) == [
            ("a.1", 1, 0), ("a.2", 1, 0), ("b", 1, 0), ("later", None, None)]


def test_a_websocket_is_told_why(broker):
    for path in ("/subscribe/t", "/produce/t"):
        with WebSocket(broker.port, path) as ws:
            row = row_of(broker, ws.connection)
            assert broker.client.delete(f"/v1/connections/{row['id']}").status == 204
            assert ws.expect_close(1008).close_reason == "closed by an administrator"


def test_events_before_the_end_are_stored(broker):
    """What a producer sent before it was closed is in the log, all of it or a whole beginning."""
    with WebSocket(broker.port, "/produce/t") as ws:
        row = row_of(broker, ws.connection)
        for i in range(500):
            ws.send(TEXT, f"{i}")
        assert broker.client.delete(f"/v1/connections/{row['id']}").status == 204
        ws.expect_close(1008)
    reply = broker.client.get("/consume/t?limit=10000")
    assert reply.status in (200, 404)  # closed before its first event: there is no topic
    values = [event["value"] for event in reply.json().get("events", [])]
    assert values == list(range(len(values)))


def test_a_long_poll_is_answered_with_what_there_is(broker):
    broker.produce("t", "0")
    with broker.connect() as connection:
        connection.request("GET", "/consume/t?offset=end&wait=60")
        row = row_of(broker, connection)
        assert broker.client.delete(f"/v1/connections/{row['id']}").status == 204
        reply = connection.read_reply()
        assert (reply.status, reply.json()["events"]) == (200, [])
        assert connection.at_end()


def test_oneself(broker):
    with broker.connect() as connection:
        connection.request("GET", "/v1/connections")
        peer = mine(connection.socket)
        rows = connection.read_reply().json()["connections"]
        own = next(row["id"] for row in rows if row["peer"] == peer)
        connection.request("DELETE", f"/v1/connections/{own}")
        reply = connection.read_reply()
        assert (reply.status, reply.header("connection")) == (204, "close")
        assert connection.at_end()


def test_an_id_is_never_given_twice(broker):
    seen = set()
    for _ in range(20):
        with broker.connect() as connection:
            connection.request("GET", "/livez")
            connection.read_reply()
            seen.add(row_of(broker, connection)["id"])
    assert len(seen) == 20
    assert all(re.fullmatch(r"\d+-\d+", one) for one in seen)


def test_an_unknown_id_is_404(broker, crowd):
    row = row_of(broker, crowd["http"][0])
    broker.client.delete(f"/v1/connections/{row['id']}")
    for name in (row["id"], "0-999999", "9-1", "0", "x", "0-", "%30-", "-1-1", "a" * 249):
        is_problem(broker.client.get(f"/v1/connections/{name}"), 404, "connection_unknown")
        is_problem(broker.client.delete(f"/v1/connections/{name}"), 404, "connection_unknown")


def test_methods(broker):
    client = broker.client
    assert client.request("HEAD", "/v1/connections").status == 200
    reply = client.request("OPTIONS", "/v1/connections/0-1")
    assert (reply.status, reply.header("allow")) == (204, "GET, HEAD, DELETE, OPTIONS")
    for method in ("PUT", "POST", "DELETE"):
        reply = client.request(method, "/v1/connections", "")
        is_problem(reply, 405, "method_not_allowed")
        assert reply.header("allow") == "GET, HEAD, OPTIONS"


def test_a_foreign_page_closes_nobody(broker, crowd):
    row = row_of(broker, crowd["http"][0])
    reply = broker.client.request("DELETE", f"/v1/connections/{row['id']}",
                                  headers={"Origin": "https://evil.example"})
    is_problem(reply, 403, "foreign_origin")
    assert row_of(broker, crowd["http"][0])["id"] == row["id"]


def test_listing_and_closing_while_others_come_and_go(broker):
    """Requests travel from shard to shard while what they look for appears and ends."""
    for _ in range(60):
        with broker.connect() as connection:
            connection.request("GET", "/v1/connections")
            answer = json.loads(connection.read_reply().body)
            assert answer["total"] >= len(answer["connections"]) >= 1
            for row in answer["connections"]:
                if row["peer"] != mine(connection.socket):
                    broker.client.delete(f"/v1/connections/{row['id']}")
                    broker.client.close()
    wait_for(lambda: listed(broker)["total"] == 1)
