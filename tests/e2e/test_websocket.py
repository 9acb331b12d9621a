"""WebSocket, plain form: what libraries do, and what they would never do (RFC 6455)."""

import asyncio
import json
import os
import struct

import aiohttp
import pytest
import websockets

from harness.http import is_problem
from harness.ws import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket

MIB = 1 << 20


def subscribe(broker, path="/subscribe/t"):
    return WebSocket(broker.port, path)


def producer(broker, path="/produce/t"):
    return WebSocket(broker.port, path)


# --- subscribe -----------------------------------------------------------------------


def test_payloads_and_nothing_else(broker):
    with subscribe(broker) as socket:
        broker.produce("t", '{"event": "Event Data"}', "application/json")
        broker.produce("t", "text é", "text/plain")
        broker.produce("t", b"\x00\xff", "application/octet-stream")
        json_frame, text, binary = socket.read(), socket.read(), socket.read()
    assert (json_frame.opcode, json_frame.payload) == (TEXT, b'{"event": "Event Data"}')
    assert (text.opcode, text.payload) == (TEXT, "text é".encode())
    assert (binary.opcode, binary.payload) == (BINARY, b"\x00\xff")


def test_replay_from_an_offset_then_live(broker):
    for i in range(5):
        broker.produce("t", f"{i}")
    with subscribe(broker, "/subscribe/t?offset=2") as socket:
        assert [socket.read().payload for _ in range(3)] == [b"2", b"3", b"4"]
        broker.produce("t", "5")
        assert socket.read().payload == b"5"


def test_default_is_live_only(broker):
    broker.produce("t", "old")
    with subscribe(broker) as socket:
        broker.produce("t", "new")
        assert socket.read().payload == b"new"


def test_topic_that_comes_later(broker):
    with subscribe(broker, "/subscribe/later") as socket:
        broker.produce("later", "1")
        assert socket.read().payload == b"1"


def test_large_payloads(broker):
    body = os.urandom(MIB)
    with subscribe(broker) as socket:
        broker.produce("t", body, "application/octet-stream")
        assert socket.read().payload == body


def test_hundred_subscribers(broker):
    async def run():
        sockets = [await websockets.connect(f"{broker.ws_url}/subscribe/t") for _ in range(100)]
        await asyncio.to_thread(lambda: [broker.produce("t", f"{i}") for i in range(20)])
        for socket in sockets:
            assert [await socket.recv() for _ in range(20)] == [f"{i}" for i in range(20)]
            await socket.close()

    asyncio.run(run())


def test_aiohttp_speaks_to_it(broker):
    async def run():
        async with aiohttp.ClientSession(broker.url) as session:
            async with session.ws_connect("/subscribe/t") as socket:
                async with session.post("/produce/t", json={"n": 1}) as reply:
                    assert reply.status == 201
                assert json.loads(await socket.receive_str(timeout=10)) == {"n": 1}
            async with session.get("/consume/t") as reply:
                assert (await reply.json())["events"][0]["value"] == {"n": 1}

    asyncio.run(run())


def test_what_a_subscriber_says_is_not_an_event(broker):
    with subscribe(broker) as socket:
        socket.send(TEXT, "hello?")
        frame = socket.read_message()
        assert frame.opcode == CLOSE and frame.close_code in (1003, 1008)


def test_deleted_topic_closes_with_4011(broker):
    broker.produce("t", "x")
    with subscribe(broker) as socket:
        broker.client.delete("/v1/topics/t")
        socket.expect_close(4011)


def test_position_that_is_gone(broker):
    for i in range(3):
        broker.produce("t", f"{i}")
    broker.client.post("/v1/topics/t/purge")
    refused_or_closed(subscribe(broker, "/subscribe/t?offset=0"), 410, 4010)


def refused_or_closed(socket, status, code):
    """A position can be refused by the handshake, or after it by a close."""
    if socket.reply.status == 101:
        socket.expect_close(code)
    else:
        assert socket.reply.status == status


def test_stop_closes_with_a_reason(broker):
    with subscribe(broker) as socket:
        broker.process.terminate()
        frame = socket.read_message()
        assert frame.opcode == CLOSE and frame.close_code in (1001, 1012)
    broker.stop()


# --- produce ------------------------------------------------------------------------------


def test_each_message_is_an_event_in_order(broker):
    with producer(broker) as socket:
        socket.send(TEXT, '{"n": 1}')
        socket.send(TEXT, "not json")
        socket.send(BINARY, b"\x00\x01")
        for i in range(200):
            socket.send(TEXT, f"m{i}")
        socket.send(CLOSE, struct.pack("!H", 1000))
        assert socket.read_message().close_code == 1000
    events = broker.consume("t", "?limit=1000")["events"]
    assert events[0]["content_type"] == "application/json" and events[0]["value"] == {"n": 1}
    assert events[1]["encoding"] == "text" and events[1]["value"] == "not json"
    assert events[2]["encoding"] == "base64"
    assert [event["value"] for event in events[3:]] == [f"m{i}" for i in range(200)]


def test_the_close_is_answered_when_all_is_stored(broker):
    async def run():
        async with websockets.connect(f"{broker.ws_url}/produce/t") as socket:
            for i in range(500):
                await socket.send(f"{i}")

    asyncio.run(run())
    broker.kill()
    broker.start()
    assert broker.values("t") == list(range(500))


def test_fragments_are_one_event(broker):
    with producer(broker) as socket:
        socket.send(TEXT, "one ", fin=False)
        socket.send(PING, b"between")
        socket.send(CONTINUATION, "and ", fin=False)
        socket.send(CONTINUATION, "two")
        pong = socket.read()
        assert (pong.opcode, pong.payload) == (PONG, b"between")
        socket.send(CLOSE, struct.pack("!H", 1000))
        socket.read_message()
    assert broker.values("t") == ["one and two"]


def test_a_character_may_span_fragments(broker):
    euro = "€".encode()
    with producer(broker) as socket:
        socket.send(TEXT, euro[:1], fin=False)
        socket.send(CONTINUATION, euro[1:])
        socket.send(CLOSE, struct.pack("!H", 1000))
        assert socket.read_message().close_code == 1000
    assert broker.values("t") == ["€"]


def test_message_of_exactly_the_limit(broker):
    with producer(broker) as socket:
        socket.send(BINARY, b"x" * MIB)
        socket.send(CLOSE, struct.pack("!H", 1000))
        assert socket.read_message().close_code == 1000
    assert len(broker.consume("t", "?max_bytes=4194304")["events"]) == 1


def test_message_too_big_is_refused_by_its_length(broker):
    with producer(broker) as socket:
        # the length alone: not one byte of the payload is sent
        socket.connection.send(struct.pack("!BBQ", 0x82, 0x80 | 127, MIB + 1) + b"\0\0\0\0")
        socket.expect_close(1009)


def test_fragments_too_big_together(broker):
    with producer(broker) as socket:
        for i in range(4):
            socket.send(BINARY if i == 0 else CONTINUATION, b"x" * (MIB // 4), fin=False)
        socket.send(CONTINUATION, b"x")
        socket.expect_close(1009)


def test_refused_message_is_named_by_its_index(broker):
    with producer(broker) as socket:
        socket.send(TEXT, "good")
        socket.send(BINARY, b"x" * (MIB + 1))
        assert "1" in socket.expect_close(1009).close_reason


# --- framing that is wrong -------------------------------------------------------------------


BROKEN = {
    "unmasked": (lambda s: s.send(TEXT, "x", masked=False), 1002),
    "rsv1": (lambda s: s.send(TEXT, "x", reserved=4), 1002),
    "rsv2": (lambda s: s.send(TEXT, "x", reserved=2), 1002),
    "rsv3": (lambda s: s.send(TEXT, "x", reserved=1), 1002),
    "opcode_3": (lambda s: s.send(3, "x"), 1002),
    "opcode_11": (lambda s: s.send(11, "x"), 1002),
    "ping_long": (lambda s: s.send(PING, b"x" * 126), 1002),
    "ping_fragmented": (lambda s: s.send(PING, b"x", fin=False), 1002),
    "continuation_of_nothing": (lambda s: s.send(CONTINUATION, "x"), 1002),
    "new_message_inside_one": (lambda s: (s.send(TEXT, "a", fin=False), s.send(TEXT, "b")), 1002),
    "length_not_minimal": (lambda s: s.connection.send(
        struct.pack("!BBH", 0x81, 0x80 | 126, 5) + b"\0\0\0\0hello"), 1002),
    "length_top_bit": (lambda s: s.connection.send(
        struct.pack("!BBQ", 0x82, 0x80 | 127, 1 << 63) + b"\0\0\0\0"), (1002, 1009)),
    "bad_utf8": (lambda s: s.send(TEXT, b"\xff"), 1007),
    "bad_utf8_overlong": (lambda s: s.send(TEXT, b"\xc0\x80"), 1007),
    "bad_utf8_surrogate": (lambda s: s.send(TEXT, b"\xed\xa0\x80"), 1007),
    "utf8_cut_short": (lambda s: s.send(TEXT, b"\xe2\x82"), 1007),
    "close_one_byte": (lambda s: s.send(CLOSE, b"\x03"), 1002),
    "close_code_1005": (lambda s: s.send(CLOSE, struct.pack("!H", 1005)), 1002),
    "close_code_999": (lambda s: s.send(CLOSE, struct.pack("!H", 999)), 1002),
    "close_reason_not_utf8": (lambda s: s.send(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("path", ["/produce/w", "/subscribe/w"])
def test_broken_framing_is_told_and_closed(shared_broker, path, name):
    act, codes = BROKEN[name]
    with WebSocket(shared_broker.port, path) as socket:
        act(socket)
        frame = socket.read_message()
        assert frame.opcode == CLOSE
        assert frame.close_code in (codes if isinstance(codes, tuple) else (codes,)), frame
        assert socket.connection.at_end()


def test_nothing_of_the_broken_was_stored(shared_broker):
    shared_broker.produce("w", "x")
    assert shared_broker.values("w") == ["x"]


@pytest.mark.parametrize("payload", [b"", struct.pack("!H", 1000), struct.pack("!H", 4999) + b"bye"])
def test_close_is_answered_with_a_close(shared_broker, payload):
    with subscribe(shared_broker) as socket:
        socket.send(CLOSE, payload)
        frame = socket.read()
        assert frame.opcode == CLOSE
        assert frame.payload[:2] == (payload[:2] or struct.pack("!H", 1000))
        assert socket.connection.at_end()


def test_ping_is_answered(shared_broker):
    with subscribe(shared_broker) as socket:
        socket.send(PING, b"p" * 125)
        frame = socket.read()
        assert (frame.opcode, frame.payload) == (PONG, b"p" * 125)
        socket.send(PONG, b"unasked")
        socket.send(PING)
        assert socket.read().opcode == PONG


def test_a_silent_peer_is_pinged_and_then_dropped(start, shards):
    broker = start(shards=shards, env={"BOURN_LIMITS_PING_INTERVAL": "200ms",
                                       "BOURN_LIMITS_PONG_TIMEOUT": "200ms"})
    with subscribe(broker) as socket:
        for _ in range(3):
            ping = socket.read()
            assert ping.opcode == PING
            socket.send(PONG, ping.payload)
        assert socket.read().opcode == PING
        while not socket.connection.at_end():  # no pong: it ends, with or without a word
            socket.connection.buffer = b""


# --- handshakes ----------------------------------------------------------------------------------


def handshake(broker, path="/subscribe/t", method="GET", **changed):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    headers.update({name.replace("_", "-"): value for name, value in changed.items()})
    connection = broker.connect()
    connection.request(method, path, [(k, v) for k, v in headers.items() if v is not None])
    return connection.read_head()


def test_the_sample_of_the_rfc(shared_broker):
    reply = handshake(shared_broker)
    assert reply.status == 101
    assert reply.header("upgrade").lower() == "websocket"
    assert reply.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert reply.header("sec-websocket-protocol") is None
    assert reply.header("sec-websocket-extensions") is None


def test_extensions_are_declined(shared_broker):
    reply = handshake(shared_broker, Sec_WebSocket_Extensions="permessage-deflate")
    assert reply.status == 101
    assert reply.header("sec-websocket-extensions") is None


@pytest.mark.parametrize("changed", [
    {"Sec_WebSocket_Key": None}, {"Sec_WebSocket_Key": "short"}, {"Sec_WebSocket_Key": "!" * 24}])
def test_bad_key(shared_broker, changed):
    assert handshake(shared_broker, **changed).status == 400


def test_other_version(shared_broker):
    reply = handshake(shared_broker, Sec_WebSocket_Version="8")
    assert reply.status in (400, 426)
    assert reply.header("sec-websocket-version") == "13"


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
@pytest.mark.parametrize("path", ["/subscribe/t", "/produce/t"])
def test_foreign_page(shared_broker, path, origin):
    assert handshake(shared_broker, path, Origin=origin).status == 403


def test_wrong_host(shared_broker):
    connection = shared_broker.connect()
    connection.send("GET /subscribe/t HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    is_problem(connection.read_reply(), 421, "wrong_host")


def test_subprotocols_are_not_built_yet(shared_broker):
    reply = handshake(shared_broker, Sec_WebSocket_Protocol="bourn.v1.json")
    assert reply.status in (101, 501)
    assert reply.header("sec-websocket-protocol") is None


def test_upgrade_where_there_is_nothing_to_upgrade(shared_broker):
    assert handshake(shared_broker, "/consume/none").status == 404
    assert handshake(shared_broker, "/nowhere").status == 404


def test_bad_questions_are_refused_in_http(shared_broker):
    shared_broker.produce("t", "x")
    assert handshake(shared_broker, "/subscribe/t?offset=x").status == 400
    assert handshake(shared_broker, "/subscribe/b%20d").status == 400
    refused_or_closed(subscribe(shared_broker, "/subscribe/t?offset=99"), 416, 1008)
