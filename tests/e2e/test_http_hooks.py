"""Hooks over HTTP: what they are asked, what they may say, and what becomes of events when they do not
answer."""

import json
import re
import subprocess
import threading
import time

import pytest

from harness.broker import ROOT
from harness.hooks import Answer, HttpHook, config, script, so
from harness.ws import CLOSE, TEXT, WebSocket


@pytest.fixture
def serve():
    """serve(answer, port=0): an HttpHook, closed at the end."""
    servers = []

    def serve_one(answer, **where):
        servers.append(HttpHook(answer, **where))
        return servers[-1]
    yield serve_one
    for server in servers:
        server.close()


@pytest.fixture
def hooked(start, tmp_path, shards):
    def start_one(*hooks):
        return start(shards=shards, config=config(tmp_path, *hooks))
    return start_one


def post(broker, body, content_type="text/plain", topic="t", headers=None):
    return broker.client.post(f"/produce/{topic}", body, content_type, headers)


def by_word(headers, body):
    """What the event itself asks for."""
    if body.startswith(b"drop"):
        return Answer(204, hook_verdict="drop")
    if body.startswith(b"refuse"):
        return Answer(422, b'{"why":"no id"}', content_type="application/json")
    if body.startswith(b"busy"):
        return Answer(429, b"", retry_after="9")
    if body.startswith(b"replace"):
        return Answer(200, b"made of " + body, event_key="k", event_header_Checked="yes",
                      ce_subject="s")
    return Answer(204)


def test_what_it_says(hooked, serve):
    remote = serve(by_word)
    broker = hooked(remote.hook())
    assert post(broker, "plain").json()["offset"] == 0
    assert post(broker, "replace me").json()["offset"] == 1
    reply = post(broker, "drop")
    assert (reply.status, reply.json()["dropped"]) == (200, 1)
    reply = post(broker, "refuse")
    assert (reply.status, reply.json()) == (422, {"why": "no id"})
    assert reply.header("Content-Type") == "application/json"
    reply = post(broker, "busy")
    assert reply.status == 429 and reply.header("Retry-After") == "9"
    assert reply.json()["code"] == "hook_refused"
    plain, made = broker.consume("t")["events"]
    assert plain["value"] == "plain"
    assert made["value"] == "made of replace me" and made["key"] == "k"
    assert sorted(made["headers"]) == [["ce_subject", "s"], ["checked", "yes"]]


def test_what_it_is_asked(hooked, serve):
    remote = serve(by_word)
    broker = hooked(remote.hook("check"))
    post(broker, '{"a":1}', "application/json", headers={"Event-Key": "k", "Event-Header-A": "b"})
    headers, body = remote.seen[0]
    assert body == b'{"a":1}' and headers["Content-Type"] == "application/json"
    assert headers["Event-Key"] == "k" and headers["Event-Header-a"] == "b"
    assert headers["ce-specversion"] == "1.0" and headers["ce-source"] == "/topics/t"
    assert headers["ce-type"] == "bourn.event" and headers["ce-time"].endswith("Z")
    assert headers["Hook-Name"] == "check" and headers["Hook-Point"] == "produce"
    post(broker, "x")
    assert remote.seen[1][0]["ce-id"] != headers["ce-id"]
    event = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order", "data": 1}
    post(broker, json.dumps(event), "application/cloudevents+json")
    headers, body = remote.seen[2]
    assert (headers["ce-id"], headers["ce-source"], headers["ce-type"]) == ("7", "/shop", "order")
    assert body == b"1"


GARBAGE = [
    Answer(200, b"{", content_type="application/json"), Answer(302, location="/"), Answer(500),
    Answer(201), None, b"garbage\r\n\r\n", Answer(200, b"x" * (1 << 20) + b"y"),
]


@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_a_failure(hooked, serve, answer):
    remote = serve(lambda *_: answer)
    broker = hooked(remote.hook("shut", topics="shut"),
                    remote.hook("open", topics="open", on_failure="open"))
    reply = post(broker, "x", topic="shut")
    assert (reply.status, reply.json()["code"]) == (503, "hook_failed")
    assert post(broker, "x", topic="open").status == 201
    assert broker.values("open") == ["x"]


def test_nobody_there(hooked, serve):
    remote = serve(by_word)
    broker = hooked(remote.hook("shut", topics="shut"),
                    remote.hook("open", topics="open", on_failure="open"))
    assert post(broker, "x", topic="shut").status == 201
    remote.close()
    reply = post(broker, "x", topic="shut")
    assert (reply.status, reply.json()["code"]) == (503, "hook_failed")
    assert post(broker, "x", topic="open").status == 201
    assert post(broker, "x", topic="other").status == 201


def test_too_slow(hooked, serve):
    waits = threading.Event()
    remote = serve(lambda *_: waits.wait(20) and None)
    broker = hooked(remote.hook(timeout="100ms", retries=0))
    began = time.monotonic()
    assert post(broker, "x").json()["code"] == "hook_failed"
    assert 0.05 < time.monotonic() - began < 5
    waits.set()


def test_tries_again(hooked, serve):
    answers = [Answer(503), None, Answer(204)]
    remote = serve(lambda *_: answers.pop(0))
    broker = hooked(remote.hook(retries=2))
    assert post(broker, "x").status == 201
    assert len(remote.seen) == 3


def test_slow_hook_holds_up_nobody_else(hooked, serve):
    goes_on = threading.Event()
    remote = serve(lambda *_: goes_on.wait(20) and Answer(204))
    broker = hooked(remote.hook(topics="slow", timeout="30s"))
    slow = broker.new_client()
    got = []
    thread = threading.Thread(target=lambda: got.append(slow.post("/produce/slow", b"x").status))
    thread.start()
    for i in range(20):
        assert post(broker, "x", topic="quick").json()["offset"] == i
    goes_on.set()
    thread.join(20)
    assert got == [201]


def test_hundreds_of_requests_aside_hold_up_nobody_else(hooked, serve):
    """More than a loop keeps aside before it stops reading, of many connections: others are read."""
    goes_on = threading.Event()
    remote = serve(lambda *_: goes_on.wait(60) and Answer(204))
    broker = hooked(remote.hook(topics="slow", timeout="60s", in_flight=8))
    slow = [broker.connect() for _ in range(60)]
    for c in slow:
        for _ in range(60):
            c.request("POST", "/produce/slow", [("Content-Length", "1")], b"x")
    while len(remote.seen) < 8:
        time.sleep(0.01)
    for i in range(200):
        assert post(broker, "x", topic="quick").json()["offset"] == i
    goes_on.set()
    for c in slow:
        assert [c.read_reply().status for _ in range(60)] == [201] * 60
        c.close()
    assert broker.client.get("/v1/topics/slow").json()["partitions"][0]["high_watermark"] == 3600


# --- one that fails again and again ------------------------------------------

def metric(broker, name, hook="remote"):
    [value] = re.findall(rf'^{name}{{hook="{hook}"}} (\d+)$', broker.client.get("/metrics").body.decode(), re.M)
    return int(value)


def posts_until(broker, status, seconds=20):
    """Events, one after the other, until one has that status. Returns how many had another."""
    until = time.monotonic() + seconds
    count = 0
    while post(broker, "x").status != status:
        count += 1
        assert time.monotonic() < until, f"still no {status}"
    return count


@pytest.mark.parametrize("on_failure", ["open", "closed"])
def test_killed_and_started_again(hooked, serve, on_failure):
    """While it is down events go as `on_failure` says; it is asked again soon after it is back."""
    remote = serve(by_word)
    broker = hooked(remote.hook(on_failure=on_failure))
    assert post(broker, "replace 0").status == 201
    remote.close()
    without = 201 if on_failure == "open" else 503
    for _ in range(50):
        assert post(broker, "replace 1").status == without
    assert metric(broker, "bourn_hook_paused") == metric(broker, "bourn_hook_pauses_total") == 1
    again = serve(by_word, port=remote.port)
    until = time.monotonic() + 20
    while not again.seen:
        assert post(broker, "replace 2").status in (without, 201)
        assert time.monotonic() < until
    assert post(broker, "replace 3").status == 201
    assert metric(broker, "bourn_hook_paused") == 0 and metric(broker, "bourn_hook_pauses_total") == 1
    values = broker.client.get("/consume/t?limit=10000").json()["events"]
    assert values[0]["value"] == "made of replace 0" and values[-1]["value"] == "made of replace 3"
    assert sum(e["value"] == "replace 1" for e in values) == (50 if on_failure == "open" else 0)


def test_is_not_asked_for_a_while(hooked, serve):
    """After five in a row with all their tries it is only probed, once each time."""
    remote = serve(lambda *_: None)
    broker = hooked(remote.hook(retries=2))
    began = time.monotonic()
    for _ in range(300):
        assert post(broker, "x").json()["code"] == "hook_failed"
    probes = len(remote.seen) - 5 * 3
    assert 0 <= probes <= 1 + (time.monotonic() - began) / 0.1
    assert 'bourn_hook_calls_total{hook="remote",verdict="fail"} 300\n' in broker.client.get("/metrics").body.decode()
    remote.answer = by_word
    assert posts_until(broker, 201) >= 0
    assert metric(broker, "bourn_hook_paused") == 0


def test_time_outs_of_many_that_wait_are_not_waited_for(hooked, serve):
    """Sixty events wait for one that hangs, a second each: five take that, the others fail with the fifth."""
    over = threading.Event()
    remote = serve(lambda *_: over.wait(60) and None)
    broker = hooked(remote.hook(timeout="1s", retries=0, in_flight=1))
    began = time.monotonic()
    with broker.connect() as c:
        for _ in range(60):
            c.request("POST", "/produce/t", [("Content-Length", "1")], b"x")
        assert [c.read_reply().status for _ in range(60)] == [503] * 60
    assert time.monotonic() - began < 40
    over.set()


def numbers_by_one_connection(broker, count):
    with WebSocket(broker.port, "/produce/t") as ws:
        for i in range(count):
            ws.send(TEXT, str(i))
        ws.send(CLOSE, (1000).to_bytes(2, "big"))
        ws.expect_close(1000)


def test_order_is_kept_when_some_are_not_asked(hooked, serve):
    remote = serve(lambda _, body: None if int(body) % 100 < 50 else Answer(204))
    broker = hooked(remote.hook(on_failure="open", retries=0))
    numbers_by_one_connection(broker, 400)
    assert broker.values("t") == list(range(400))
    assert metric(broker, "bourn_hook_pauses_total") >= 1


@pytest.mark.parametrize("answer", [Answer(422), Answer(302, location="/"), Answer(204)])
def test_whatever_it_answers_somebody_is_there(hooked, serve, answer):
    remote = serve(lambda *_: answer)
    broker = hooked(remote.hook())
    for _ in range(20):
        post(broker, "x")
    assert len(remote.seen) == 20 and metric(broker, "bourn_hook_pauses_total") == 0


def test_may_be_asked_always(hooked, serve):
    remote = serve(lambda *_: Answer(500))
    broker = hooked(remote.hook(retries=0, max_failures=0))
    for _ in range(20):
        assert post(broker, "x").status == 503
    assert len(remote.seen) == 20


# --- order -------------------------------------------------------------------

def test_order_of_a_connection_is_kept(hooked, serve):
    """Later calls are answered first, and the events are stored as they came."""
    def answer(headers, body):
        time.sleep(0.05 if int(body) % 4 == 0 else 0)
        return Answer(204)

    remote = serve(answer)
    broker = hooked(remote.hook())
    numbers_by_one_connection(broker, 60)
    assert broker.values("t") == list(range(60))
    assert remote.most_at_once > 1


def test_order_of_lines_and_bounded(hooked, serve):
    def answer(headers, body):
        time.sleep(0.01 if int(body) % 3 else 0)
        return Answer(204, hook_verdict="drop" if int(body) % 10 == 0 else "go")

    remote = serve(answer)
    broker = hooked(remote.hook(in_flight=3))
    lines = "".join(f"{i}\n" for i in range(100))
    reply = post(broker, lines, "application/x-ndjson")
    assert reply.json()["count"] == 90 and reply.json()["dropped"] == 10
    assert broker.values("t") == [i for i in range(100) if i % 10]
    assert 1 < remote.most_at_once <= 3


def test_one_refused_refuses_all(hooked, serve):
    remote = serve(by_word)
    broker = hooked(remote.hook())
    lines = "\n".join(json.dumps({"value": v, "encoding": "text"}) for v in ["a", "refuse", "b"])
    assert post(broker, lines, "application/vnd.bourn.events+x-ndjson").status == 422
    assert broker.client.get("/v1/topics/t").status == 404


def test_many_more_than_fit(hooked, serve):
    """Thousands of pipelined requests: reading stops, nothing is lost or out of order."""
    remote = serve(lambda *_: Answer(204))
    broker = hooked(remote.hook(in_flight=8))
    count = 3000
    with WebSocket(broker.port, "/produce/t") as ws:
        for i in range(count):
            ws.send(TEXT, str(i))
        ws.send(CLOSE, (1000).to_bytes(2, "big"))
        ws.expect_close(1000)
    assert broker.values("t") == list(range(count))


def test_client_that_leaves_meanwhile(hooked, serve):
    goes_on = threading.Event()
    remote = serve(lambda *_: goes_on.wait(20) and Answer(204))
    broker = hooked(remote.hook(timeout="30s"))
    with broker.connect() as c:
        c.request("POST", "/produce/t", [("Content-Length", "1")], b"x")
        while not remote.seen:
            time.sleep(0.01)
    goes_on.set()
    while not broker.client.get("/v1/topics/t").status == 200:
        time.sleep(0.01)
    while broker.values("t") != ["x"]:
        time.sleep(0.01)


def test_stops_in_time(hooked, serve):
    remote = serve(lambda *_: time.sleep(0.3) or Answer(204))
    broker = hooked(remote.hook())
    client = broker.new_client()
    threading.Thread(target=lambda: client.post("/produce/t", b"x"), daemon=True).start()
    while not remote.seen:
        time.sleep(0.01)
    broker.stop()


# --- requests and answers ------------------------------------------------------

def test_request_is_asked_about(hooked, serve):
    """As a login would: whoever has no token is refused, the others' requests are changed."""
    def answer(headers, body):
        if headers.get("Hook-Field-authorization") != "Bearer me":
            return Answer(401, b'{"why":"who are you?"}', content_type="application/json")
        return Answer(200, body.upper(), hook_field_Event_Header_Who="me")

    remote = serve(answer)
    broker = hooked(remote.hook(points=["request_received"]))
    reply = post(broker, "x")
    assert (reply.status, reply.json()) == (401, {"why": "who are you?"})
    me = {"Authorization": "Bearer me"}
    assert post(broker, "hello", headers=me).json()["offset"] == 0
    [stored] = broker.client.request("GET", "/consume/t", headers=me).json()["events"]
    assert stored["value"] == "HELLO" and stored["headers"] == [["who", "me"]]
    headers, body = remote.seen[1]
    assert (headers["Hook-Method"], headers["Hook-Target"], headers["Hook-Topic"]) == \
        ("POST", "/produce/t", "t")
    assert body == b"hello" and headers["Content-Type"] == "text/plain"
    assert headers["Hook-Peer"].startswith("127.0.0.1:") and len(headers["Hook-Request-Id"]) == 16
    assert broker.client.get("/livez").status == 200


def test_login_as_the_page_has_it(start, tmp_path, shards, serve):
    remote = serve(lambda headers, _: Answer(204 if "Hook-Field-authorization" in headers else 401))
    page = (ROOT / "docs/hooks.md").read_text().split("\n## Over HTTP\n")[1]
    file = tmp_path / "bourn.yaml"
    file.write_text(re.findall(r"```yaml\n(.*?)```", page, re.S)[1].replace("http://127.0.0.1:8098/",
                                                                           remote.url))
    broker = start(shards=shards, config=file)
    assert post(broker, "x").status == 401
    assert post(broker, "x", headers={"Authorization": "Bearer me"}).status == 201


def test_requests_that_wait_keep_their_order(hooked, serve):
    """Pipelined: each is asked about when the one before is done with, whatever that takes."""
    remote = serve(lambda _, body: time.sleep(0.03 if body in b"048" else 0) or Answer(204))
    broker = hooked(remote.hook(points=["request_received"]))
    with broker.connect() as c:
        for i in range(10):
            c.request("POST", "/produce/t", [("Content-Length", "1")], b"%d" % i)
        assert [json.loads(c.read_reply().body)["offset"] for _ in range(10)] == list(range(10))
        c.request("GET", "/consume/t")
        assert [e["value"] for e in json.loads(c.read_reply().body)["events"]] == \
            [str(i) for i in range(10)]


def test_streams_and_websockets_wait_for_it_too(hooked, serve):
    remote = serve(lambda headers, _: Answer(403 if "secret" in headers["Hook-Target"] else 204))
    broker = hooked(remote.hook(points=["request_received"]))
    broker.produce("t", "first")
    with WebSocket(broker.port, "/subscribe/t?offset=earliest") as ws, broker.connect() as lines:
        assert ws.read().payload == b"first"
        lines.request("GET", "/subscribe/t?offset=earliest")
        lines.read_head()
        assert b"first" in lines.read_chunk()
        broker.produce("t", "second")
        assert ws.read().payload == b"second"
    with WebSocket(broker.port, "/produce/t") as ws:
        ws.send(TEXT, "third")
        ws.send(CLOSE, (1000).to_bytes(2, "big"))
        ws.expect_close(1000)
    assert WebSocket(broker.port, "/subscribe/secret").reply.status == 403
    assert broker.values("t") == ["first", "second", "third"]


def test_answer_is_asked_about(hooked, serve):
    def answer(headers, body):
        if headers["Hook-Status"] == "404":
            return Answer(410, b"it was never here", content_type="text/plain")
        return Answer(200, b"[" + body.strip() + b"]", hook_status="203", hook_field_X_Seen="yes")

    remote = serve(answer)
    broker = hooked(remote.hook(points=["before_response_send"]))
    reply = post(broker, "x")
    assert reply.status == 203 and reply.header("X-Seen") == "yes"
    assert json.loads(reply.body)[0]["offset"] == 0
    reply = broker.client.get("/consume/none")
    assert (reply.status, reply.body) == (410, b"it was never here")
    with broker.connect() as c:  # answers leave in the order of their requests
        for i in range(8):
            c.request("POST", "/produce/t?ack=none" if i % 2 else "/produce/t",
                      [("Content-Length", "1")], b"%d" % i)
        assert [c.read_reply().status for _ in range(8)] == [203] * 8
        c.request("GET", "/v1/info", [("Connection", "close")])
        assert c.read_reply().status == 203
    reply = broker.client.request("HEAD", "/v1/info")
    assert reply.status == 203 and reply.body == b""


def test_what_was_done_is_told(hooked, serve):
    remote = serve(lambda *_: Answer(500))  # nothing comes of it
    broker = hooked(remote.hook(points=["request_executed", "after_response_send"], retries=0, in_flight=1))
    assert post(broker, "x").json()["offset"] == 0
    broker.client.get("/consume/none")
    while len(remote.seen) < 4:
        time.sleep(0.01)
    told = sorted((h["Hook-Point"], h["Hook-Target"], h.get("Hook-Status"), h.get("Hook-Offset"))
                  for h, _ in remote.seen)
    assert told == [("after_response_send", "/consume/none", "404", None),
                    ("after_response_send", "/produce/t", "201", None),
                    ("request_executed", "/consume/none", "404", None),
                    ("request_executed", "/produce/t", None, "0")]


@pytest.mark.parametrize("points", [["request_received"], ["before_response_send"],
                                    ["request_executed", "after_response_send"]])
def test_failures_of_request_hooks(hooked, serve, points):
    remote = serve(by_word)
    remote.close()
    broker = hooked(remote.hook("shut", points=points, topics="shut"),
                    remote.hook("open", points=points, topics="open", on_failure="open"))
    tells = "request_executed" in points
    assert post(broker, "x", topic="shut").status == (201 if tells else 503)
    assert post(broker, "x", topic="open").status == 201
    assert post(broker, "x", topic="other").status == 201


@pytest.mark.parametrize("points", ["request_received", "before_response_send", "after_response_send"])
def test_client_of_a_request_that_waits_leaves(hooked, serve, points):
    goes_on = threading.Event()
    remote = serve(lambda headers, _: (headers["Hook-Target"] != "/produce/gone" or goes_on.wait(20))
                   and Answer(200, b"x"))
    broker = hooked(remote.hook(points=points, timeout="30s"))
    for query in ["", "?ack=none"]:
        with broker.connect() as c:
            c.request("POST", f"/produce/gone{query}", [("Content-Length", "1")], b"x")
            seen = len(remote.seen)
            while len(remote.seen) == seen and not remote.seen:
                time.sleep(0.01)
    goes_on.set()
    assert post(broker, "x").status in (200, 201)
    broker.stop()


@pytest.mark.parametrize("points", ["request_received", "before_response_send", "after_response_send"])
def test_stops_in_time_while_a_request_waits(hooked, serve, points):
    remote = serve(lambda *_: time.sleep(0.3) or Answer(204))
    broker = hooked(remote.hook(points=points))
    with broker.connect() as c:
        c.request("POST", "/produce/t", [("Content-Length", "1")], b"x")
        while not remote.seen:
            time.sleep(0.01)
        broker.stop()


# --- all three in one chain --------------------------------------------------

def test_c_lua_and_http_in_one_chain(hooked, serve, tmp_path):
    def answer(headers, body):
        assert headers["Event-Header-said-by"] == '{"n":1}'
        if b"nobody" in body:
            return Answer(422, b"no such thing", content_type="text/plain")
        return Answer(200, body + b" http", event_header_http="3")

    remote = serve(answer)
    broker = hooked(
        so("say", options={"n": 1}),
        script(tmp_path, """
            function produce(event)
              if event.value:find("secret") then return "drop" end
              if event.value:find("wrong") then return refuse(422, "it is wrong: " .. event.value) end
              event.value = event.value .. " lua"
              event.headers.lua = "2"
            end
            function before_response_send(answer) answer.headers.Hooked = "yes" end"""),
        remote.hook())
    reply = post(broker, "modify")
    assert reply.status == 201 and reply.header("Hooked") == "yes"
    assert post(broker, "modify secret").json()["dropped"] == 1
    reply = post(broker, "modify nobody")
    assert (reply.status, reply.body) == (422, b"no such thing")
    said = subprocess.run(["curl", "-s", "-w", " %{http_code} %{content_type}", "-d", "modify wrong",
                           "-H", "Content-Type: text/plain", f"{broker.url}/produce/t"],
                          capture_output=True, text=True, check=True).stdout
    problem, status, content_type = said.rsplit(" ", 2)
    assert (status, content_type) == ("422", "application/problem+json")
    assert json.loads(problem)["detail"] == "it is wrong: <modify wrong>"
    [stored] = broker.consume("t")["events"]
    assert stored["value"] == "<modify> lua http"
    assert stored["headers"] == [["said-by", '{"n":1}'], ["lua", "2"], ["http", "3"]]


def test_refused_at_the_start(start, tmp_path, serve):
    remote = serve(by_word)
    for hook, word in [(remote.hook(points=["deliver"]), "nothing may wait"),
                       (remote.hook(path="x"), "type http has no 'path'"),
                       (remote.hook(retries=99), "0 to 10"),
                       (remote.hook(timeout="0s"), "1ms to 60s"),
                       (remote.hook(in_flight=0), "1 to 1024"),
                       (remote.hook(max_failures=-1), "0 to 1000"),
                       ({"name": "x", "type": "http"}, "no url"),
                       ({"name": "x", "type": "http", "url": "ftp://x"}, "http:// or https://")]:
        code, said = start(running=False, config=config(tmp_path, hook)).refuses_to_start()
        assert code == 1 and word in said, said
