"""HTTP/1.1 as seen on the wire: every status, every way to break framing."""

import re
import threading
import time

import pytest

from harness.http import is_problem

HOST = "Host: localhost\r\n"


def ask(broker, raw):
    """Send raw bytes; returns the first reply and the connection."""
    connection = broker.connect()
    connection.send(raw)
    return connection.read_reply(), connection


def refused_and_closed(broker, raw, status, code):
    reply, connection = ask(broker, raw)
    is_problem(reply, status, code)
    assert reply.header("connection") == "close", reply
    assert connection.at_end()
    connection.close()


# --- what is refused, and the connection with it --------------------------------------


def post(*lines, body="", host=HOST):
    return "POST /produce/t HTTP/1.1\r\n" + host + "".join(l + "\r\n" for l in lines) + "\r\n" + body


FRAMING_LOST = {
    "two_lengths": (post("Content-Length: 1", "Content-Length: 2", body="x"), 400),
    "length_twice": (post("Content-Length: 1", "Content-Length: 1", body="x"), 400),
    "length_list": (post("Content-Length: 1, 1", body="x"), 400),
    "length_negative": (post("Content-Length: -1"), 400),
    "length_signed": (post("Content-Length: +1", body="x"), 400),
    "length_hex": (post("Content-Length: 0x1", body="x"), 400),
    "length_empty": (post("Content-Length:"), 400),
    "length_overflow": (post("Content-Length: 18446744073709551617", body="x"), 400),
    "length_and_chunked": (post("Content-Length: 3", "Transfer-Encoding: chunked", body="0\r\n\r\n"), 400),
    "chunked_and_length": (post("Transfer-Encoding: chunked", "Content-Length: 5", body="0\r\n\r\n"), 400),
    "folded_line": (post("X-A: 1", " folded", "Content-Length: 0"), 400),
    "bare_lf": (post("Content-Length: 0").replace("\r\n", "\n"), 400),
    "bare_cr": (post("X-A: a\rb", "Content-Length: 0"), 400),
    "space_before_colon": (post("Content-Length : 0"), 400),
    "no_colon": (post("Content-Length 0"), 400),
    "empty_name": (post(": x", "Content-Length: 0"), 400),
    "nul_in_value": (post("X-A: a\0b", "Content-Length: 0"), 400),
    "space_in_target": ("GET /consume/a b HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "no_host": ("GET /livez HTTP/1.1\r\n\r\n", 400),
    "two_hosts": ("GET /livez HTTP/1.1\r\n" + HOST + HOST + "\r\n", 400),
    "garbage": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
    "chunk_size_bad": (post("Transfer-Encoding: chunked", body="xyz\r\n"), 400),
    "chunk_size_signed": (post("Transfer-Encoding: chunked", body="+1\r\nx\r\n0\r\n\r\n"), 400),
    "chunk_size_huge": (post("Transfer-Encoding: chunked", body="f" * 17 + "\r\n"), 400),
    "chunk_bare_lf": (post("Transfer-Encoding: chunked", body="1\nx\n0\n\n"), 400),
    "chunk_too_long": (post("Transfer-Encoding: chunked", body="1\r\nxy\r\n0\r\n\r\n"), 400),
    "chunk_extension_lf": (post("Transfer-Encoding: chunked", body="1;a\nb\r\nx\r\n0\r\n\r\n"), 400),
    "chunk_extension_long": (post("Transfer-Encoding: chunked", body="1;" + "a" * 1100 + "\r\nx\r\n0\r\n\r\n"), 400),
    "chunked_in_1_0": ("POST /produce/t HTTP/1.0\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", FRAMING_LOST)
def test_ambiguous_requests_are_refused_and_closed(shared_broker, name):
    raw, status = FRAMING_LOST[name]
    refused_and_closed(shared_broker, raw, status, "bad_request")


def test_nothing_smuggled_was_stored(shared_broker):
    raw = post("Content-Length: 4", "Transfer-Encoding: chunked",
               body="0\r\n\r\nPOST /produce/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
    refused_and_closed(shared_broker, raw, 400, "bad_request")
    topics = shared_broker.client.get("/v1/topics").json()["topics"]
    assert "smuggled" not in [topic["name"] for topic in topics]


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity", "chunked, chunked", "xchunked"])
def test_other_transfer_encodings(shared_broker, coding):
    reply, connection = ask(shared_broker, post(f"Transfer-Encoding: {coding}", body="0\r\n\r\n"))
    assert reply.status in (400, 501), reply
    assert connection.at_end()


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/9.9"])
def test_other_versions(shared_broker, version):
    refused_and_closed(shared_broker, f"GET /livez {version}\r\n{HOST}\r\n", 505, "http_version")


def test_no_version(shared_broker):
    refused_and_closed(shared_broker, "GET /livez\r\n\r\n", 505, "http_version")


def test_request_line_too_long(shared_broker):
    refused_and_closed(shared_broker, "GET /" + "a" * 9000 + " HTTP/1.1\r\n" + HOST + "\r\n",
                       414, "uri_too_long")


def test_request_line_without_an_end(shared_broker):
    refused_and_closed(shared_broker, "GET /" + "a" * 70_000, 414, "uri_too_long")


def test_header_fields_too_large(shared_broker):
    raw = "GET /livez HTTP/1.1\r\n" + HOST + "X-A: " + "a" * 33_000 + "\r\n\r\n"
    refused_and_closed(shared_broker, raw, 431, "headers_too_large")


def test_too_many_header_fields(shared_broker):
    raw = "GET /livez HTTP/1.1\r\n" + HOST + "X-A: 1\r\n" * 101 + "\r\n"
    refused_and_closed(shared_broker, raw, 431, "headers_too_large")


def test_body_too_large_is_refused_before_it_comes(shared_broker):
    refused_and_closed(shared_broker, post("Content-Length: 17825792"), 413, "too_large")


def test_chunked_body_too_large(shared_broker):
    connection = shared_broker.connect()
    connection.send(post("Transfer-Encoding: chunked"))
    chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    try:
        for _ in range(20):
            connection.send(chunk)
    except OSError:
        pass  # it need not listen any longer
    is_problem(connection.read_reply(), 413, "too_large")


def test_unknown_expectation(shared_broker):
    reply, _ = ask(shared_broker, post("Expect: a-miracle", "Content-Length: 0"))
    is_problem(reply, 417, "expectation_failed")


# --- what is refused, and the connection goes on --------------------------------------


@pytest.mark.parametrize("method,path,status,code", [
    ("GET", "/nowhere", 404, "not_found"),
    ("GET", "/?a=b", 400, "bad_parameter"),
    ("GET", "/produce", 404, "not_found"),
    ("GET", "/consume/", 400, "bad_topic_name"),
    ("GET", "/consume/t/x", 404, "not_found"),
    ("GET", "/v1/groups", 501, "not_implemented"),
    ("GET", "/v1/groups/g", 501, "not_implemented"),
    ("POST", "/v1/groups/g/fetch", 501, "not_implemented"),
    ("GET", "/v1/openapi.yaml", 501, "not_implemented"),
    ("GET", "/v1/subscribe", 400, "bad_parameter"),
    ("GET", "/consume/b%20d", 400, "bad_topic_name"),
    ("GET", "/consume/%zz", 400, "bad_topic_name"),
    ("GET", "/consume/" + "x" * 250, 400, "bad_topic_name"),
])
def test_refusals_leave_the_connection_open(shared_broker, method, path, status, code):
    with shared_broker.connect() as connection:
        connection.request(method, path)
        is_problem(connection.read_reply(), status, code)
        connection.request("GET", "/livez")
        assert connection.read_reply().status == 200


@pytest.mark.parametrize("method,path,allowed", [
    ("GET", "/produce/t", "POST"),
    ("DELETE", "/produce/t", "POST"),
    ("POST", "/consume/t", "GET"),
    ("PUT", "/subscribe/t", "GET"),
    ("POST", "/livez", "GET"),
    ("DELETE", "/v1/topics", "GET"),
    ("POST", "/v1/topics/t", "PUT"),
    ("GET", "/v1/admin/snapshot", "POST"),
    ("TRACE", "/livez", "GET"),
])
def test_wrong_method(shared_broker, method, path, allowed):
    with shared_broker.connect() as connection:
        connection.request(method, path, [("Content-Length", 0)])
        reply = connection.read_reply()
        is_problem(reply, 405, "method_not_allowed")
        assert allowed in [word.strip() for word in reply.header("allow").split(",")]
        assert reply.json()["detail"].endswith(f"allowed: {reply.header('allow')}")


@pytest.mark.parametrize("path", ["/health", "/v1/", "/" + "long" * 500])
def test_a_wrong_address_is_told_where_to_ask(shared_broker, path):
    detail = shared_broker.client.get(path).json()["detail"]
    assert path[:50] in detail and detail.endswith("; GET / says what there is")


def test_settings_are_json_whatever_the_client_calls_them(shared_broker):
    form = {"Content-Type": "application/x-www-form-urlencoded"}  # what `curl -d` says
    reply = shared_broker.client.request("PUT", "/v1/topics/x", "partitions: 2", form)
    is_problem(reply, 400, "bad_json")
    reply = shared_broker.client.request("PUT", "/v1/topics/x", '{"partitions": 2}', form)
    assert reply.status == 201, reply


def test_every_refusal_has_its_own_request_id(shared_broker):
    ids = {shared_broker.client.get("/nowhere").json()["request_id"] for _ in range(5)}
    assert len(ids) == 5


# --- who may ask ------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "localhost:9999", "127.0.0.1", "127.0.0.1:1", "[::1]",
                                  "[::1]:3030", "192.0.2.7", "LOCALHOST"])
def test_hosts_it_answers_to(shared_broker, host):
    reply, _ = ask(shared_broker, f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n")
    assert reply.status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:3030",
                                  "xlocalhost", "127.0.0.1.evil.example"])
def test_hosts_it_does_not_answer_to(shared_broker, host):
    reply, _ = ask(shared_broker, f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n")
    is_problem(reply, 421, "wrong_host")


def test_allowed_hosts(start):
    broker = start(env={"BOURN_SERVER_ALLOWED_HOSTS": "broker.internal"})
    reply, _ = ask(broker, "GET /livez HTTP/1.1\r\nHost: broker.internal:3030\r\n\r\n")
    assert reply.status == 200


FOREIGN = ["http://evil.example", "null", "http://localhost:1", "https://localhost"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_may_not_change_anything(shared_broker, origin):
    for method, path in (("POST", "/produce/o"), ("PUT", "/v1/topics/o"), ("DELETE", "/v1/topics/o"),
                         ("POST", "/v1/topics/o/purge"), ("POST", "/v1/admin/snapshot")):
        reply = shared_broker.client.request(method, path, b"", {"Origin": origin})
        is_problem(reply, 403, "foreign_origin")


def test_a_foreign_page_cannot_read_either(shared_broker):
    reply = shared_broker.client.get("/v1/info", {"Origin": "http://evil.example"})
    assert reply.header("access-control-allow-origin") is None


def test_its_own_page_may(shared_broker):
    host = f"127.0.0.1:{shared_broker.port}"
    reply = shared_broker.client.post("/produce/o", "x", None, {"Origin": f"http://{host}"})
    assert reply.status == 201


def test_an_allowed_page_may(start):
    page = "https://app.example.com"
    broker = start(env={"BOURN_SERVER_ALLOWED_ORIGINS": page})
    reply = broker.client.post("/produce/t", "x", None, {"Origin": page})
    assert reply.status == 201
    assert reply.header("access-control-allow-origin") == page
    reply = broker.client.request("OPTIONS", "/produce/t", None, {
        "Origin": page, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "event-key, content-type"})
    assert reply.status == 204
    assert reply.header("access-control-allow-origin") == page
    assert "POST" in reply.header("access-control-allow-methods")
    assert reply.header("access-control-allow-headers") == "*"
    reply = broker.client.request("OPTIONS", "/produce/t", None, {
        "Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
    assert reply.header("access-control-allow-origin") is None


def test_options_tells_what_is_allowed(shared_broker):
    reply = shared_broker.client.request("OPTIONS", "/produce/t")
    assert reply.status == 204
    assert "POST" in reply.header("allow")


# --- many requests on one connection -------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(broker):
    count = 200
    with broker.connect() as connection:
        connection.send("".join(post("Content-Type: text/plain", f"Content-Length: {len(str(i))}", body=str(i))
                                for i in range(count)))
        replies = [connection.read_reply() for _ in range(count)]
    assert [reply.status for reply in replies] == [201] * count
    assert [reply.json()["offset"] for reply in replies] == list(range(count))
    assert broker.values("t") == [str(i) for i in range(count)]


def test_pipelined_mix_keeps_its_order(broker):
    broker.produce("t", "0")
    with broker.connect() as connection:
        connection.send(
            post("Content-Length: 1", body="1") + f"GET /consume/t HTTP/1.1\r\n{HOST}\r\n"
            + f"GET /nowhere HTTP/1.1\r\n{HOST}\r\n" + f"GET /consume/t?wait=200ms&offset=end HTTP/1.1\r\n{HOST}\r\n"
            + f"GET /livez HTTP/1.1\r\n{HOST}\r\n")
        statuses = [connection.read_reply().status for _ in range(5)]
    assert statuses == [201, 200, 404, 200, 200]


def test_byte_by_byte(broker):
    with broker.connect() as connection:
        for byte in post("Content-Type: text/plain", "Content-Length: 5", body="hello").encode():
            connection.send(bytes([byte]))
        assert connection.read_reply().status == 201
    assert broker.values("t") == ["hello"]


def test_chunked_body(broker):
    with broker.connect() as connection:
        connection.send(post("Content-Type: text/plain", "Transfer-Encoding: chunked",
                             body="5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"))
        assert connection.read_reply().status == 201
        connection.request("GET", "/livez")
        assert connection.read_reply().status == 200
    assert broker.values("t") == ["hello world"]


def test_expect_100_continue(broker):
    with broker.connect() as connection:
        connection.send(post("Content-Type: text/plain", "Content-Length: 5", "Expect: 100-continue"))
        assert connection.read_reply().status == 100
        connection.send("hello")
        assert connection.read_reply().status == 201


def test_expect_100_continue_of_what_will_be_refused(broker):
    with broker.connect() as connection:
        connection.send(post("Content-Length: 99999999", "Expect: 100-continue"))
        is_problem(connection.read_reply(), 413, "too_large")


def test_head_is_get_without_a_body(broker):
    broker.produce("t", "x")
    for path in ("/livez", "/consume/t", "/v1/topics/t/events/0", "/v1/topics"):
        with broker.connect() as connection:
            connection.request("GET", path)
            get = connection.read_reply()
            connection.request("HEAD", path)
            head = connection.read_reply(head_only=True)
            assert head.status == get.status
            assert head.header("content-length") == str(len(get.body))
            connection.request("GET", "/livez")
            assert connection.read_reply().status == 200


def test_connection_close_is_obeyed(shared_broker):
    with shared_broker.connect() as connection:
        connection.request("GET", "/livez", [("Connection", "close")])
        assert connection.read_reply().status == 200
        assert connection.at_end()


def test_http_1_0(shared_broker):
    with shared_broker.connect() as connection:
        connection.send("GET /livez HTTP/1.0\r\n\r\n")
        assert connection.read_reply().status == 200
        assert connection.at_end()


def test_half_closed_client_gets_its_answer(broker):
    import socket
    with broker.connect() as connection:
        connection.send(post("Content-Length: 1", body="x"))
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.read_reply().status == 201


def test_other_upgrades_are_ignored(shared_broker):
    with shared_broker.connect() as connection:
        connection.request("GET", "/livez", [("Connection", "Upgrade"), ("Upgrade", "h2c")])
        assert connection.read_reply().status == 200
        connection.request("GET", "/livez")
        assert connection.read_reply().status == 200


def test_empty_lines_before_a_request(shared_broker):
    reply, _ = ask(shared_broker, f"\r\nGET /livez HTTP/1.1\r\n{HOST}\r\n")
    assert reply.status == 200


# --- too slow --------------------------------------------------------------------------------


@pytest.fixture
def hasty(start, shards):
    return start(shards=shards, env={
        "BOURN_LIMITS_HEADER_TIMEOUT": "300ms", "BOURN_LIMITS_IDLE_TIMEOUT": "300ms"})


def test_slow_header_is_cut_off(hasty):
    with hasty.connect() as connection:
        connection.send("GET /livez HTTP/1.1\r\nHost: loc")
        started = time.monotonic()
        is_problem(connection.read_reply(), 408, "request_timeout")
        assert connection.at_end()
        assert time.monotonic() - started < 10


def test_a_header_that_dribbles_is_cut_off_too(hasty):
    stop = threading.Event()
    with hasty.connect() as connection:
        connection.send("GET /livez HTTP/1.1\r\n" + HOST)

        def dribble():
            try:
                while not stop.wait(0.05):
                    connection.send("X: y\r\n")
            except OSError:
                pass

        thread = threading.Thread(target=dribble)
        thread.start()
        try:
            assert connection.read_reply().status == 408
        finally:
            stop.set()
            thread.join()


def test_idle_connection_is_closed_quietly(hasty):
    with hasty.connect() as connection:
        connection.request("GET", "/livez")
        assert connection.read_reply().status == 200
        assert connection.at_end()


def test_waiting_is_not_idling(hasty):
    with hasty.connect() as connection:
        connection.send(f"GET /consume/none?wait=1 HTTP/1.1\r\n{HOST}\r\n")
        is_problem(connection.read_reply(), 404, "topic_unknown")
    hasty.produce("t", "x")
    with hasty.connect() as connection:
        connection.send(f"GET /consume/t?offset=end&wait=1 HTTP/1.1\r\n{HOST}\r\n")
        assert connection.read_reply().status == 200


# --- facts about itself -------------------------------------------------------------------------


def test_livez_readyz(shared_broker):
    assert shared_broker.client.get("/livez").status == 200
    assert shared_broker.client.get("/readyz").status == 200


def test_the_greeting_names_what_there_is(shared_broker):
    """Every address in it answers as it says, but for a wrong topic."""
    reply = shared_broker.client.get("/")
    assert reply.status == 200 and reply.header("content-type").startswith("text/plain")
    text = reply.body.decode()
    assert text.startswith("bourn ") and max(map(len, text.splitlines())) <= 80
    paths = re.findall(r"(?<![\w.])/\w[\w/]*", text)
    assert {"/produce/greetings", "/consume/greetings", "/v1/topics", "/metrics", "/readyz"} <= set(paths)
    for path in set(paths) - {"/http"}:
        with shared_broker.connect() as connection:
            connection.request("OPTIONS", path)
            assert connection.read_reply().status == 204, path


def test_info(start, shards):
    broker = start(shards=shards)
    info = broker.info()
    assert info["version"]
    assert info["shards"] == shards


def test_metrics(broker):
    broker.produce("t", "x")
    broker.consume("t")
    broker.client.get("/nowhere")
    reply = broker.client.get("/metrics")
    assert reply.header("content-type").startswith("text/plain; version=0.0.4")
    values = dict(line.rsplit(" ", 1) for line in reply.body.decode().splitlines()
                  if line and not line.startswith("#"))
    assert values["bourn_events_produced_total"] == "1"
    assert values["bourn_events_delivered_total"] == "1"
    assert values["bourn_topics"] == "1"
    assert int(values["bourn_http_refusals_total"]) >= 1
    assert all(name.startswith("bourn_") for name in values)


def test_snapshot(broker):
    broker.produce("t", "x" * 1000)
    reply = broker.client.post("/v1/admin/snapshot")
    assert reply.status == 200, reply
    broker.kill()
    broker.start()
    assert len(broker.values("t")) == 1
