"""WebSocket with the libraries people use: Python's websockets and aiohttp, npm's ws, Chromium."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.sockets import CLIENTS, MIB, Refused
from harness.ws import PONG, WebSocket

SHARDS = "2"  # what a library sees does not depend on it
PINGING = {"BOURN_LIMITS_PING_INTERVAL": "100ms", "BOURN_LIMITS_PONG_TIMEOUT": "1s"}


REPLS = {"ws": "node", "chromium": "chromium"}  # who runs it


@pytest.fixture(params=CLIENTS)
def client(request):
    repl = REPLS.get(request.param)
    one = CLIENTS[request.param](repl and request.getfixturevalue(repl))
    yield one
    one.close()


def test_every_kind_of_event_comes_as_it_was_sent(shared_broker, client, topic):
    client.open(f"{shared_broker.ws_url}/subscribe/{topic}")
    large = os.urandom(MIB)
    shared_broker.produce(topic, "zwölf €")
    shared_broker.produce(topic, '{"n": [1, null]}', "application/json")
    shared_broker.produce(topic, b"\x00\xff\x80", "image/png")
    shared_broker.produce(topic, "")
    shared_broker.produce(topic, large, "application/octet-stream")
    shared_broker.produce(topic, "x" * MIB)
    assert [client.receive() for _ in range(4)] == ["zwölf €", '{"n": [1, null]}', b"\x00\xff\x80", ""]
    assert client.receive() == large
    assert client.receive() == "x" * MIB


def test_every_kind_of_message_is_stored_as_it_was_sent(shared_broker, client, topic):
    client.open(f"{shared_broker.ws_url}/produce/{topic}")
    large = os.urandom(MIB)
    for message in ("zwölf €", '{"n": [1, null]}', b"\x00\xff\x80", large):
        client.send(message)
    client.leave(1000, "done")
    assert client.ended()[0] == 1000
    events = [shared_broker.client.get(f"/v1/topics/{topic}/events/{offset}") for offset in range(4)]
    assert [event.body for event in events] == ["zwölf €".encode(), b'{"n": [1, null]}', b"\x00\xff\x80", large]
    assert [event.header("content-type") for event in events] == [
        "text/plain", "application/json", "application/octet-stream", "application/octet-stream"]


def test_fragments_are_one_event(shared_broker, client, topic):
    if not hasattr(client, "send_fragments"):
        return  # it never sends any
    client.open(f"{shared_broker.ws_url}/produce/{topic}")
    client.send_fragments(["one ", "and ", "two"])
    client.send_fragments([b"\x00", b"\xff" * 70000])
    client.leave(1000, "")
    assert client.ended()[0] == 1000
    assert shared_broker.values(topic)[0] == "one and two"
    assert shared_broker.client.get(f"/v1/topics/{topic}/events/1").body == b"\x00" + b"\xff" * 70000


def test_ping_is_answered(shared_broker, client, topic):
    if not hasattr(client, "ping"):
        return  # it offers none
    client.open(f"{shared_broker.ws_url}/subscribe/{topic}")
    client.ping()


def test_pings_of_the_broker_are_answered(start, shards, client):
    broker = start(shards=shards, env=PINGING)
    client.open(f"{broker.ws_url}/subscribe/t")
    with ThreadPoolExecutor(1) as pool, WebSocket(broker.port, "/subscribe/t") as clock:
        received = pool.submit(client.receive)
        for _ in range(15):  # by then a client that never answers is gone
            clock.send(PONG, clock.read().payload)
        broker.produce("t", "still here")
        assert received.result(30) == "still here"


@pytest.mark.parametrize("code, reason", [(1000, ""), (1000, "enough"), (3000, "library"), (4999, "own é")])
def test_our_close_is_echoed(shared_broker, client, topic, code, reason):
    client.open(f"{shared_broker.ws_url}/subscribe/{topic}")
    client.leave(code, reason)
    assert client.ended()[0] == code


def test_close_of_the_broker_says_why(shared_broker, client, topic):
    shared_broker.create(topic)
    client.open(f"{shared_broker.ws_url}/subscribe/{topic}")
    shared_broker.client.delete(f"/v1/topics/{topic}")
    assert client.ended()[0] == 4011


def test_a_message_on_a_subscription(shared_broker, client, topic):
    client.open(f"{shared_broker.ws_url}/subscribe/{topic}")
    client.send("hello?")
    assert client.ended()[0] == 1003


def test_a_message_too_large(shared_broker, client, topic):
    client.open(f"{shared_broker.ws_url}/produce/{topic}")
    client.send("good")
    client.send(b"x" * (MIB + 1))
    code, reason = client.ended()
    assert code == 1009 and reason.startswith("message 1")


def test_stop_is_going_away(start, shards, client):
    broker = start(shards=shards)
    client.open(f"{broker.ws_url}/subscribe/t")
    broker.stop()
    assert client.ended()[0] in (1001, 1012)


def test_a_page_of_another_origin(shared_broker, start, client, topic):
    other = start()
    with pytest.raises(Refused) as refusal:
        client.open(f"{shared_broker.ws_url}/subscribe/{topic}", origin=other.url)
    assert refusal.value.status in (403, None)  # a browser does not tell


def test_a_page_that_is_allowed(start, shards, client):
    page = start()
    broker = start(shards=shards, env={"BOURN_SERVER_ALLOWED_ORIGINS": page.url})
    client.open(f"{broker.ws_url}/subscribe/t", origin=page.url)
    broker.produce("t", "welcome")
    assert client.receive() == "welcome"
