"""Every point, verdict, carrier and front: what becomes of it. What makes no sense at a point is a failure
there: the table is of on_failure `closed`; with `open` each failure leaves all as it was."""

import time

import pytest

from harness.hooks import Answer, HttpHook, config, script, so
from harness.ws import CLOSE, TEXT, WebSocket

SHARDS = "1"

# By point: continue, modify, stop, refuse, fail.
VERDICTS = ["continue", "modify", "stop", "refuse", "fail"]
TABLE = {
    ("connect", "http"): ["as it was", "closed", "closed", "closed", "closed"],
    ("request_received", "http"): ["as it was", "changed", "stopped", "refused", "failed"],
    ("request_executed", "http"): ["as it was"] * 5,
    ("before_response_send", "http"): ["as it was", "changed", "failed", "refused", "failed"],
    ("after_response_send", "http"): ["as it was"] * 5,
    ("subscribe", "http"): ["as it was", "failed", "failed", "refused", "failed"],
    ("subscribe", "websocket"): ["as it was", "failed", "failed", "refused", "failed"],
    ("produce", "http"): ["as it was", "changed", "dropped", "refused", "failed"],
    ("produce", "websocket"): ["as it was", "changed", "dropped", "refused", "failed"],
    ("deliver", "http"): ["as it was", "changed", "left out", "left out", "left out"],
    ("deliver", "websocket"): ["as it was", "changed", "left out", "left out", "left out"],
}
ROWS = [(point, front, verdict, expected) for (point, front), row in TABLE.items()
        for verdict, expected in zip(VERDICTS, row)]

MAY = {"connect": {"stop", "refuse"}, "request_received": {"modify", "stop", "refuse"},
       "request_executed": set(), "before_response_send": {"modify", "refuse"},
       "after_response_send": set(), "subscribe": {"refuse"}, "produce": {"modify", "stop", "refuse"},
       "deliver": {"modify", "stop"}}
OPEN_ROWS = [(point, front, verdict, "as it was") for point, front, verdict, _ in ROWS
             if verdict != "continue" and verdict not in MAY[point]]
WITH_FAILURE = [("closed", *row) for row in ROWS] + [("open", *row) for row in OPEN_ROWS]

EVERY = """
local function say(event)
  if options.verdict == "refuse" then return refuse(418, "no") end
  if options.verdict == "modify" then
    if event.point == "connect" or event.point == "subscribe" then return "modify" end
    event.value = "changed"
    return
  end
  return options.verdict
end
request_received, request_executed, before_response_send = say, say, say
after_response_send, connect, subscribe, produce, deliver = say, say, say, say, say
"""

STATUS = {418: "refused", 503: "failed", 204: "stopped"}


def of_status(reply):
    return STATUS.get(reply.status, "as it was")


def of_value(value):
    return {"changed": "changed", "hello": "as it was"}[value]


def stored(broker):
    return of_value(broker.values("t")[0])


# --- what becomes of it, as a client sees it -----------------------------------------

def connect_http(broker):
    broker.client.close()
    try:
        with broker.connect() as c:
            c.request("GET", "/v1/info")
            return of_status(c.read_reply())
    except (OSError, AssertionError, EOFError):
        return "closed"


def post(broker):
    return broker.client.post("/produce/t", "hello", "text/plain")


def request_http(broker):
    reply = post(broker)
    if reply.status != 201:
        return of_status(reply)
    return "changed" if reply.body == b"changed" else stored(broker)


def after_http(broker):
    request_http(broker)
    return request_http(broker)  # the first one's hook was called at the latest


def subscribe_http(broker):
    with broker.connect() as c:
        c.request("GET", "/subscribe/t")
        return of_status(c.read_head())


def subscribe_websocket(broker):
    socket = WebSocket(broker.port, "/subscribe/t")
    socket.connection.close()
    return of_status(socket.reply)


def produce_http(broker):
    reply = post(broker)
    if reply.status == 200 and reply.json() == {"topic": "t", "dropped": 1}:
        return "dropped"
    return stored(broker) if reply.status == 201 else of_status(reply)


def produce_websocket(broker):
    with WebSocket(broker.port, "/produce/t") as ws:
        ws.send(TEXT, "hello")
        ws.send(CLOSE, (1000).to_bytes(2, "big"))
        code = ws.read_message().close_code
    if code != 1000:
        return {1008: "refused", 1013: "failed"}[code]
    if broker.client.get("/v1/topics/t").status == 404:
        return "dropped"
    return stored(broker)


def deliver_http(broker):
    post(broker)
    values = broker.values("t")
    return of_value(values[0]) if values else "left out"


def deliver_websocket(broker):
    with WebSocket(broker.port, "/subscribe/t") as ws:
        post(broker)
        broker.client.request("DELETE", "/v1/topics/t")
        frame = ws.read_message()
        return "left out" if frame.opcode == CLOSE else of_value(frame.payload.decode())


PROBES = {
    ("connect", "http"): connect_http, ("request_received", "http"): request_http,
    ("request_executed", "http"): request_http, ("before_response_send", "http"): request_http,
    ("after_response_send", "http"): after_http, ("subscribe", "http"): subscribe_http,
    ("subscribe", "websocket"): subscribe_websocket, ("produce", "http"): produce_http,
    ("produce", "websocket"): produce_websocket, ("deliver", "http"): deliver_http,
    ("deliver", "websocket"): deliver_websocket,
}


# --- the carriers --------------------------------------------------------------------

def hook_of(carrier, tmp_path, point, front, verdict, on_failure):
    keys = {"points": point, "on_failure": on_failure, "options": {"verdict": verdict}}
    if point == "request_received" or point == "before_response_send":
        keys["topics"] = "t"
    if point != "connect":
        keys["fronts"] = front
    if carrier == "so":
        return so("every", **keys)
    return script(tmp_path, EVERY, **keys)


@pytest.mark.parametrize("carrier", ["so", "lua"])
@pytest.mark.parametrize("on_failure,point,front,verdict,expected", WITH_FAILURE)
def test_in_process(start, tmp_path, shards, carrier, on_failure, point, front, verdict, expected):
    hook = hook_of(carrier, tmp_path, point, front, verdict, on_failure)
    if point == "connect":  # readiness is asked for over a connection
        broker = start(running=False, shards=shards, config=config(tmp_path, hook))
        broker.spawn()
        broker.port = int(broker.wait_line(r"listening on http://\S+?:(\d+)").group(1))
    else:
        broker = start(shards=shards, config=config(tmp_path, hook))
    assert PROBES[point, front](broker) == expected


ANSWERS = {"continue": Answer(204), "modify": Answer(200, b"changed"), "stop": Answer(204, Hook_Verdict="drop"),
           "refuse": Answer(418, b"no"), "fail": Answer(500)}


OVER_HTTP = ["request_received", "request_executed", "before_response_send", "after_response_send", "produce"]


@pytest.mark.parametrize("on_failure,point,front,verdict,expected",
                         [row for row in WITH_FAILURE if row[1] in OVER_HTTP])
def test_over_http(start, tmp_path, shards, on_failure, point, front, verdict, expected):
    remote = HttpHook(lambda *_: ANSWERS[verdict])
    try:
        hook = remote.hook(points=[point], on_failure=on_failure, **({"fronts": front} if point == "produce" else {}))
        broker = start(shards=shards, config=config(tmp_path, hook))
        assert PROBES[point, front](broker) == expected
        while not remote.seen:
            time.sleep(0.01)
        assert {headers["Hook-Point"] for headers, _ in remote.seen} == {point}
    finally:
        remote.close()


@pytest.mark.parametrize("point,word", [("connect", "nothing may wait"), ("subscribe", "nothing may wait"),
                                        ("deliver", "nothing may wait"), ("commit", "not built")])
def test_refused_over_http(start, tmp_path, shards, point, word):
    hook = {"name": "x", "type": "http", "url": "http://localhost:1/", "points": point}
    code, said = start(running=False, config=config(tmp_path, hook)).refuses_to_start()
    assert code == 1 and word in said, said
