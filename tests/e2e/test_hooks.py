"""Hooks on produced events, from the configuration file to the stored bytes, on every front."""

import json
import re
import signal
import socket
import subprocess
import sys

import pytest

from harness.broker import BIN, ROOT
from harness.hooks import SHARED_OBJECTS, config, script, so
from harness.ws import WebSocket

CLOSE, TEXT = 8, 1


@pytest.fixture
def hooked(start, tmp_path, shards):
    """hooked(hook, …): a broker with these."""
    def start_one(*hooks):
        return start(shards=shards, config=config(tmp_path, *hooks))
    return start_one


def post(broker, body, content_type="text/plain", topic="t", query=""):
    return broker.client.post(f"/produce/{topic}{query}", body, content_type)


def event(broker, topic="t", offset=0):
    return broker.consume(topic, f"?offset={offset}&limit=1")["events"][0]


# --- one event over HTTP -----------------------------------------------------

def test_modified(hooked):
    broker = hooked(so("say", options={"who": "me", "n": 1, "on": True, "none": None, "l": [1, "2"]}))
    assert post(broker, "modify this").status == 201
    stored = event(broker)
    assert stored["value"] == "<modify this>"
    said = dict(stored["headers"])["said-by"]
    assert json.loads(said) == {"who": "me", "n": 1, "on": True, "none": None, "l": [1, "2"]}


def test_continued_as_it_was(hooked):
    broker = hooked(so("say"))
    post(broker, "not kept")
    assert event(broker)["value"] == "not kept"


def test_dropped(hooked):
    broker = hooked(so("say"))
    broker.produce("t", "first")
    reply = post(broker, "stop")
    assert (reply.status, reply.json()) == (200, {"topic": "t", "dropped": 1})
    assert broker.produce("t", "second")["offset"] == 1
    assert broker.values("t") == ["first", "second"]


def test_dropped_without_a_topic_makes_none(hooked):
    broker = hooked(so("say"))
    assert post(broker, "stop").status == 200
    assert broker.client.get("/v1/topics/t").status == 404


def test_refused(hooked):
    broker = hooked(so("say"))
    reply = post(broker, "refuse")
    problem = reply.json()
    assert reply.status == 422 and reply.header("Content-Type") == "application/problem+json"
    assert problem["code"] == "hook_refused" and problem["status"] == 422
    assert problem["detail"] == "no id" and problem["request_id"]


def test_not_waited_for(hooked):
    broker = hooked(so("say"))
    for word in ["refuse", "fail", "stop", "modify"]:
        assert post(broker, word, query="?ack=none").status == 202
    broker.wait_line("lost 1 events of topic=t that were not waited for: .*no id")
    broker.produce("t", "last")
    assert broker.values("t") == ["<modify>", "last"]


def test_refused_for_a_while(hooked):
    broker = hooked(so("say"))
    reply = post(broker, "busy")
    assert reply.status == 429 and reply.header("Retry-After") == "7"


@pytest.mark.parametrize("value", ["fail", "garbage", "odd status"])
def test_failure(hooked, value):
    broker = hooked(so("say", topics="shut"), so("say", "say-2", topics=["open"], on_failure="open"))
    reply = post(broker, value, topic="shut")
    assert (reply.status, reply.json()["code"]) == (503, "hook_failed")
    assert "say" in reply.json()["detail"]
    assert post(broker, value, topic="open").status == 201
    assert event(broker, "open")["value"] == value


def test_key_decides_the_partition(hooked):
    broker = hooked(so("say"))
    broker.create("t", partitions=8)
    places = {post(broker, "key").json()["partition"] for _ in range(20)}
    assert len(places) == 1
    event_ = broker.consume("t", f"?partition={places.pop()}")["events"][0]
    assert event_["key"] == "made"


def test_large_event_made_by_a_hook_is_refused(hooked):
    broker = hooked(so("say"))
    broker.create("t", max_message_bytes=2048)
    sizes = range(1880, 1960)
    plain = [post(broker, "not ke" + "x" * size).status for size in sizes]
    modified = [post(broker, "modify" + "x" * size).status for size in sizes]
    assert {*plain} == {201, 413} and modified.count(413) > plain.count(413)


# --- many events -------------------------------------------------------------

def test_lines_lose_those_that_are_dropped(hooked):
    broker = hooked(so("say"))
    body = '1\n"a"\n"b"\n'
    assert post(broker, body, "application/x-ndjson").json()["count"] == 3
    lines = "\n".join(json.dumps({"value": v, "content_type": "text/plain"})
                      for v in ["one", "stop", "modify", "stop it", "two"])
    reply = post(broker, lines, "application/vnd.bourn.events+x-ndjson")
    assert reply.status == 201
    assert reply.json()["dropped"] == 2 and reply.json()["results"][0]["count"] == 3
    assert broker.values("t", "?offset=3") == ["one", "<modify>", "two"]


def test_one_refused_refuses_all(hooked):
    broker = hooked(so("say"))
    lines = "\n".join(json.dumps({"value": v, "content_type": "text/plain"})
                      for v in ["one", "refuse", "two"])
    reply = post(broker, lines, "application/vnd.bourn.events+x-ndjson")
    assert reply.status == 422 and reply.json()["detail"] == "no id"
    assert broker.client.get("/v1/topics/t").status == 404


def test_cloudevents(hooked):
    broker = hooked(so("say"))
    one = {"specversion": "1.0", "id": "1", "source": "/x", "type": "y"}
    batch = [dict(one, datacontenttype="text/plain", data=v) for v in ["header", "stop"]]
    reply = post(broker, json.dumps(batch), "application/cloudevents-batch+json")
    assert reply.status == 201 and reply.json()["dropped"] == 1
    names = [name for name, _ in event(broker)["headers"]]
    assert "ce_id" in names and names[-1] == "said-by"


# --- chains and filters ------------------------------------------------------

def test_each_sees_what_the_one_before_changed(hooked):
    broker = hooked(so("say", options={"n": 1}), so("say", "again", options={"n": 2}))
    post(broker, "modify")
    stored = event(broker)
    assert stored["value"] == "<<modify>>"
    assert stored["headers"] == [["said-by", '{"n":2}']]


def test_only_its_topics(hooked):
    broker = hooked(so("say", topics=["orders", "orders.*"]))
    assert post(broker, "refuse", topic="orders").status == 422
    assert post(broker, "refuse", topic="orders.eu").status == 422
    assert post(broker, "refuse", topic="order").status == 201


def test_only_its_fronts(hooked):
    broker = hooked(so("say", fronts="websocket"))
    assert post(broker, "modify").status == 201
    with WebSocket(broker.port, "/produce/t") as ws:
        ws.send(TEXT, b"modify")
        ws.send(CLOSE, (1000).to_bytes(2, "big"))
        ws.expect_close(1000)
    assert broker.values("t") == ["modify", "<modify>"]


# --- WebSocket ---------------------------------------------------------------

def test_websocket(hooked):
    broker = hooked(so("say"))
    with WebSocket(broker.port, "/produce/t") as ws:
        for word in [b"one", b"stop", b"modify", b"refuse"]:
            ws.send(TEXT, word)
        frame = ws.expect_close(1008)
        assert "message 3" in frame.close_reason and "no id" in frame.close_reason
    assert broker.values("t") == ["one", "<modify>"]


def test_websocket_failure_says_try_later(hooked):
    broker = hooked(so("say"))
    with WebSocket(broker.port, "/produce/t") as ws:
        ws.send(TEXT, b"fail")
        ws.expect_close(1013)


# --- Lua ---------------------------------------------------------------------

REDACT = """
function produce(event)
  local order = json.decode(event.value)
  for _, field in ipairs(options.fields) do
    if order[field] then order[field] = "***" end
  end
  if not order.id then return refuse(422, "/id is missing") end
  if order.test then return "drop" end
  event.value = json.encode(order)
  event.key = tostring(order.id)
  event.headers.redacted = "yes"
end
"""


def test_lua_redacts_drops_and_refuses(hooked, tmp_path):
    broker = hooked(script(tmp_path, REDACT, options={"fields": ["card"]}))
    json_ = "application/json"
    assert post(broker, '{"id":7,"card":"4111"}', json_).status == 201
    assert post(broker, '{"id":8,"test":true}', json_).json()["dropped"] == 1
    assert post(broker, '{"card":"4111"}', json_).json()["detail"] == "/id is missing"
    assert post(broker, '[', json_).json()["code"] == "bad_json"
    [stored] = broker.consume("t")["events"]
    assert stored["value"] == {"id": 7, "card": "***"} and stored["key"] == "7"
    assert ["redacted", "yes"] in stored["headers"]


def test_c_and_lua_in_one_chain(hooked, tmp_path):
    broker = hooked(so("say", options={"n": 1}), script(tmp_path, """
        function produce(event)
          assert(event.headers["said-by"] == '{"n":1}')
          event.value = "lua saw " .. event.value
        end"""), so("say", "last"))
    post(broker, "modify")
    assert event(broker)["value"] == "lua saw <modify>"
    post(broker, "stop")
    assert len(broker.values("t")) == 1


@pytest.mark.parametrize("body", ["while true do end", "error('no')", "return 42",
                                  "local t = {} while true do t[#t + 1] = ('x'):rep(99999) .. #t end"])
def test_lua_failures(hooked, tmp_path, body):
    text = f"function produce(event) event.value = 'spoiled' {body} end"
    broker = hooked(script(tmp_path, text, "shut", topics="shut"),
                    script(tmp_path, text, "open", topics="open", on_failure="open"))
    assert post(broker, "x", topic="shut").json()["code"] == "hook_failed"
    assert post(broker, "x", topic="open").status == 201
    assert broker.values("open") == ["x"]
    assert 'bourn_hook_calls_total{hook="open",verdict="fail"} 1\n' in \
        broker.client.get("/metrics").body.decode()


def test_lua_is_read_again_on_sighup(hooked, tmp_path):
    hook = script(tmp_path, "function produce(event) event.value = 'old' end")
    broker = hooked(hook, so("say"))
    post(broker, "x")
    script(tmp_path, "function produce(event) event.value = 'new' end")
    broker.process.send_signal(signal.SIGHUP)
    broker.wait_line("script was read again")
    broker.wait_line("say stays as it was: a shared object is read at the start only")
    while broker.values("t")[-1] != "new":
        post(broker, "x")
    script(tmp_path, "function produce(")
    broker.process.send_signal(signal.SIGHUP)
    broker.wait_line("script stays as it was: .*script.lua:1:")
    post(broker, "x")
    assert broker.values("t")[-1] == "new"


# --- requests and answers ----------------------------------------------------

def lua(tmp_path, text, **keys):
    """A script that is a hook for all points it has functions for."""
    return script(tmp_path, text, **keys)


def test_request_received_changes_the_request(hooked, tmp_path):
    broker = hooked(lua(tmp_path, """
        function request_received(request)
          if request.method ~= "POST" then return end
          assert(request.target == "/produce/t" and request.topic == "t")
          if request.headers["X-Shout"] then request.body = request.body:upper() end
          request.headers["Event-Header-Via"] = "lua"
          request.headers["event-key"] = "k"
        end"""))
    for shout in [{}, {"X-Shout": "1"}, {}, {}]:  # clients send one head over and over
        reply = broker.client.post("/produce/t", "quiet", "text/plain", shout)
        assert reply.status == 201
    events = broker.consume("t")["events"]
    assert [e["value"] for e in events] == ["quiet", "QUIET", "quiet", "quiet"]
    assert all(e["key"] == "k" and e["headers"] == [["via", "lua"]] for e in events)


def test_request_received_answers_itself(hooked, tmp_path):
    broker = hooked(lua(tmp_path, """
        function request_received(request)
          if request.body == "stop" then return "stop" end
          if request.body == "no" then return refuse(418, "not here", 9) end
          if request.body == "fail" then error("!") end
        end"""))
    assert post(broker, "stop").status == 204
    reply = post(broker, "no")
    assert reply.status == 418 and reply.json()["detail"] == "not here"
    assert reply.header("Retry-After") == "9"
    assert post(broker, "fail").json()["code"] == "hook_failed"
    assert post(broker, "fine").json()["offset"] == 0


def test_request_received_by_topic(hooked, tmp_path):
    broker = hooked(lua(tmp_path, "function request_received() return refuse(403) end",
                        topics="secret"))
    assert broker.client.get("/consume/secret").status == 403
    assert post(broker, "x", topic="open").status == 201
    assert broker.client.get("/v1/info").status == 200


def test_request_received_cannot_make_a_bad_field(hooked, tmp_path):
    broker = hooked(lua(tmp_path, """
        function request_received(request) request.headers["a"] = "b\\r\\nc: d" end"""))
    assert post(broker, "x").json()["code"] == "hook_failed"


def test_before_response_send(hooked, tmp_path):
    broker = hooked(lua(tmp_path, """
        function before_response_send(answer)
          answer.headers["X-Powered-By"] = "lua " .. answer.status
          answer.headers["date"] = nil
          if answer.body:find("hide") then answer.body = "hidden" answer.status = 203 end
          if answer.body:find("refuse") then return refuse(410, "gone") end
        end"""))
    reply = post(broker, "hide me")
    assert reply.header("X-Powered-By") == "lua 201" and reply.header("Date") is None
    assert reply.json()["offset"] == 0
    reply = broker.client.get("/consume/t")
    assert (reply.status, reply.body) == (203, b"hidden")
    assert reply.header("Content-Length") == "6"
    assert broker.client.get("/consume/refuse").status == 410
    reply = broker.client.request("HEAD", "/v1/info")
    assert reply.header("X-Powered-By") == "lua 200" and int(reply.header("Content-Length")) > 100
    assert broker.client.request("OPTIONS", "/v1/info").header("X-Powered-By") == "lua 204"
    assert broker.client.get("/livez").header("X-Powered-By") is None


def test_executed_and_sent_are_told(hooked, tmp_path):
    broker = hooked(lua(tmp_path, """
        function request_executed(r)
          log(("executed %s %s %s %d %s"):format(r.method, r.target, r.topic, r.status, r.offset))
        end
        function after_response_send(r)
          log(("sent %s %s %s %d"):format(r.method, r.target, r.topic, r.status))
        end"""))
    post(broker, "x", query="?partition=0")
    broker.wait_line(r"executed POST /produce/t\?partition=0 t 0 0")
    broker.wait_line(r"sent POST /produce/t\?partition=0 t 201")
    broker.client.get("/consume/none")
    broker.wait_line("executed GET /consume/none none 404 nil")
    broker.wait_line("sent GET /consume/none none 404")
    with broker.connect() as c:
        c.request("GET", "/v1/info", [("Connection", "close")])
        c.read_reply()
    broker.wait_line("sent GET /v1/info nil 200")


def test_observers_that_fail_harm_nobody(hooked, tmp_path):
    broker = hooked(lua(tmp_path, """
        function request_executed(r) error("!") end
        function after_response_send(r) return "refuse" end"""))
    assert post(broker, "x").status == 201
    assert post(broker, "x").status == 201


# --- connections and subscriptions -------------------------------------------

def test_connect(hooked, tmp_path):
    broker = hooked(lua(tmp_path, """
        seen = 0
        function connect(c)
          assert(c.peer:find("^127%.0%.0%.1:"))
          seen = seen + 1
          if seen % 3 == 0 then return "stop" end
        end"""))
    outcomes = []
    for _ in range(12):
        try:
            with broker.connect() as c:
                c.request("GET", "/livez")
                outcomes.append(c.read_reply().status)
        except (ConnectionError, EOFError, AssertionError, OSError):
            outcomes.append(None)
    assert {200, None} == set(outcomes)


SUBSCRIBE = """
function subscribe(s)
  if s.topic == "secret" then return refuse(403, "not for you, " .. s.front) end
end"""


def test_subscribe(hooked, tmp_path):
    broker = hooked(lua(tmp_path, SUBSCRIBE))
    reply = broker.client.get("/subscribe/secret")
    assert reply.status == 403 and reply.json()["detail"] == "not for you, http"
    reply = broker.client.get("/v1/subscribe?topic=open&topic=secret")
    assert reply.status == 403
    socket = WebSocket(broker.port, "/subscribe/secret")
    assert socket.reply.status == 403 and b"not for you, websocket" in socket.reply.body


def test_subscribe_by_pattern_passes_over(hooked, tmp_path):
    broker = hooked(lua(tmp_path, SUBSCRIBE))
    broker.produce("secret", "1")
    broker.produce("sea", "2")
    with WebSocket(broker.port, "/v1/subscribe?topic=s*&offset=earliest") as ws:
        assert ws.read().payload == b"2"
        broker.produce("secret", "3")
        broker.produce("sea", "4")
        assert ws.read().payload == b"4"


# --- deliver -----------------------------------------------------------------

DELIVER = """
function deliver(event)
  assert(event.partition == 0 and event.offset and event.peer == "")
  if event.value:find("drop") then return "drop" end
  if event.value:find("fail") then error("!") end
  event.value = event.front .. ":" .. event.value
end"""


def test_deliver(hooked, tmp_path):
    broker = hooked(lua(tmp_path, DELIVER))
    with WebSocket(broker.port, "/subscribe/t") as ws, broker.connect() as lines, \
            broker.connect() as sse:
        lines.request("GET", "/subscribe/t")
        lines.read_head()
        sse.request("GET", "/subscribe/t", [("Accept", "text/event-stream")])
        sse.read_head()
        for value in ["a", "drop", "fail", "b"]:
            broker.produce("t", value)
        assert [ws.read().payload for _ in range(2)] == [b"websocket:a", b"websocket:b"]
        got = b""
        while b"http:b" not in got:
            got += lines.read_chunk()
        assert got.count(b"http:") == 2 and b"drop" not in got and b"fail" not in got
        got = b""
        while b"data: http:b" not in got:
            got += sse.read_chunk()
        assert b"data: http:a" in got and b"drop" not in got
    assert broker.values("t") == ["http:a", "http:b"]
    assert broker.client.get("/v1/topics/t/events/0").body == b"http:a"
    assert broker.client.get("/v1/topics/t/events/1").status == 404
    with WebSocket(broker.port, "/subscribe/t?offset=0") as ws:  # from the log
        assert [ws.read().payload for _ in range(2)] == [b"websocket:a", b"websocket:b"]


def test_deliver_once_for_all_readers(hooked, tmp_path):
    broker = hooked(lua(tmp_path, "function deliver(event) end"))
    broker.produce("t", "first")
    readers = [WebSocket(broker.port, "/subscribe/t") for _ in range(10)]
    broker.produce("t", "x")
    for reader in readers:
        assert reader.read().payload == b"x"
    text = broker.client.get("/metrics").body.decode()
    calls = int(re.search('bourn_hook_calls_total{hook="script",verdict="continue"} (\\d+)',
                          text).group(1))
    assert 1 <= calls <= broker.shards


def test_deliver_open(hooked, tmp_path):
    broker = hooked(lua(tmp_path, DELIVER, on_failure="open"))
    broker.produce("t", "fail")
    assert broker.values("t") == ["fail"]


# --- metrics -----------------------------------------------------------------

def test_metrics(hooked):
    broker = hooked(so("say"))
    for word in ["stop", "stop", "refuse", "plain"]:
        post(broker, word)
    text = broker.client.get("/metrics").body.decode()
    assert 'bourn_hook_calls_total{hook="say",verdict="stop"} 2\n' in text
    assert 'bourn_hook_calls_total{hook="say",verdict="refuse"} 1\n' in text
    assert 'bourn_hook_calls_total{hook="say",verdict="continue"} 1\n' in text
    assert 'bourn_hook_seconds_count{hook="say"}' in text


def test_no_hooks_no_metrics(start):
    assert b"bourn_hook" not in start().client.get("/metrics").body


# --- what is refused at the start --------------------------------------------

def check(file):
    done = subprocess.run([str(BIN), "config", "check", str(file)], capture_output=True, text=True)
    return done.returncode, done.stderr


REFUSED = [
    ({"name": "x", "type": "so", "path": "x.so"}, "x.so"),
    ({"type": "so", "path": "x.so"}, "no name"),
    ({"name": "x", "path": "x.so"}, "no type"),
    ({"name": "x", "type": "so"}, "no path"),
    ({"name": "X y", "type": "so", "path": "x"}, "a-z"),
    ({"name": "x", "type": "s0", "path": "x"}, "did you mean 'so'"),
    ({"name": "x", "typ": "so", "path": "x"}, "did you mean 'type'"),
    (so("say", points=["prodce"]), "did you mean 'produce'"),
    (so("say", points=["commit"]), "commit"),
    (so("say", fronts=["htp"]), "did you mean 'http'"),
    (so("say", topics=["a b"]), "allowed are"),
    (so("say", on_failure="opne"), "did you mean 'open'"),
    (so("say", options=3), "wants keys"),
    (so("say", options={"unwilling": True}), "unwilling to start"),
    (so("old_abi"), "version 0 of the interface"),
    (so("newer"), "newer broker"),
    (so("no_symbol"), "no symbol 'bourn_hook'"),
    (so("every", fronts="websocket"), "are of http"),
    (so("every", topics="t"), "'connect' is of no topic"),
    (so("say", instructions=5), "type so has no 'instructions'"),
    ({"name": "x", "type": "lua", "path": "/absent.lua"}, "/absent.lua: No such file"),
    ({"name": "x", "type": "lua", "path": "/dev/null"}, "function for no point"),
    ({"name": "x", "type": "lua", "path": "/dev/null", "memory": "1KiB"}, "128KiB"),
    ({"name": "x", "type": "lua", "path": "/dev/null", "instructions": 0}, "from 1 to"),
]


@pytest.mark.parametrize("hook,word", REFUSED, ids=[word for _, word in REFUSED])
def test_refused_at_the_start(start, tmp_path, hook, word):
    file = config(tmp_path, hook)
    code, said = check(file)
    assert code == 1 and word in said, said
    code, said = start(running=False, config=file).refuses_to_start()
    assert code == 1 and word in said, said


def test_names_are_told_apart(tmp_path):
    code, said = check(config(tmp_path, so("say"), so("say")))
    assert code == 1 and "two hooks are called 'say'" in said


def test_check_and_show(tmp_path):
    file = config(tmp_path, so("say", points="produce", topics=["a", "b.*"], fronts="http",
                               on_failure="open", options={"a": {"b": [1, 2.5, "3"]}}))
    assert check(file) == (0, "bourn: the configuration is fine\n")
    shown = subprocess.run([str(BIN), "config", "show", str(file)], capture_output=True, text=True)
    again = tmp_path / "again.yaml"
    again.write_text(shown.stdout)
    twice = subprocess.run([str(BIN), "config", "show", str(again)], capture_output=True, text=True)
    assert twice.stdout == shown.stdout and 'options: {"a":{"b":[1,2.5,"3"]}}' in shown.stdout


# --- the page for users ------------------------------------------------------

def page_block(section, language):
    """The first block of that language in a section of docs/hooks.md."""
    text = (ROOT / "docs/hooks.md").read_text().split(f"\n## {section}\n")[1]
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL).group(1)


def test_first_hook_in_c(start, tmp_path, shards):
    (tmp_path / "stamp.c").write_text(page_block("In C", "c"))
    (tmp_path / "include").symlink_to(ROOT / "include")
    subprocess.run(page_block("In C", "sh"), shell=True, check=True, cwd=tmp_path)
    file = tmp_path / "bourn.yaml"
    file.write_text(page_block("In C", "yaml"))
    broker = start(shards=shards, config=file)
    headers = {"Event-Key": "k"}
    assert post(broker, "x", topic="orders").json()["detail"] == "an event needs a key"
    assert broker.client.post("/produce/orders", "x", None, headers).status == 201
    assert broker.client.post("/produce/orders", "ping", None, headers).json()["dropped"] == 1
    assert ["checked", "yes"] in event(broker, "orders")["headers"]
    assert broker.produce("others", "x")["offset"] == 0


def test_first_hook_in_lua(start, tmp_path, shards):
    (tmp_path / "orders.lua").write_text(page_block("In Lua", "lua"))
    file = tmp_path / "bourn.yaml"
    file.write_text(page_block("In Lua", "yaml"))
    broker = start(shards=shards, config=file)
    assert post(broker, '{"id":1,"card":"4111"}', topic="orders").status == 201
    assert post(broker, '{"test":true}', topic="orders").json()["dropped"] == 1
    assert post(broker, "{}", topic="orders").json()["detail"] == "/id is missing"
    assert post(broker, "no json", topic="orders").json()["code"] == "hook_failed"
    assert event(broker, "orders")["value"] == '{"id":1}'
    assert ["checked", "lua"] in event(broker, "orders")["headers"]


def test_first_hook_over_http(start, tmp_path, shards):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program = tmp_path / "check.py"
    program.write_text(page_block("Over HTTP", "python").replace("8099", port))
    file = tmp_path / "bourn.yaml"
    file.write_text(page_block("Over HTTP", "yaml").replace("8099", port))
    server = subprocess.Popen([sys.executable, str(program)], stderr=subprocess.DEVNULL)
    try:
        broker = start(shards=shards, config=file)
        while post(broker, '{"id":1}', topic="orders").status == 503:
            pass  # it is not there yet
        assert post(broker, '{"id":2,"test":true}', topic="orders").json()["dropped"] == 1
        assert post(broker, "{}", topic="orders").body == b"no id"
        assert json.loads(event(broker, "orders")["value"]) == {"id": 1, "checked": True}
    finally:
        server.kill()
        server.wait()


# --- bourn hook test ---------------------------------------------------------

def try_hook(hook, event, *words):
    done = subprocess.run([str(BIN), "hook", "test", str(hook), "--event", "-", *words],
                          input=event.encode(), capture_output=True)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr.decode()


def test_hook_test(tmp_path):
    redact = script(tmp_path, REDACT)["path"]
    options = ["--options", '{"fields":["card"]}', "--topic", "orders", "-H", "a: b"]
    code, said = try_hook(redact, '{"id":7,"card":"4111"}', *options)
    assert (code, said["verdict"]) == (0, "modify")
    assert said["event"]["value"] == {"id": 7, "card": "***"}
    assert said["event"]["topic"] == "orders" and said["event"]["key"] == "7"
    assert said["event"]["headers"] == [["a", "b"], ["redacted", "yes"]]
    assert try_hook(redact, '{"id":7,"test":true}', *options) == (0, {"verdict": "stop"})
    assert try_hook(redact, "{}", *options) == \
        (4, {"verdict": "refuse", "status": 422, "detail": "/id is missing"})
    code, said = try_hook(redact, "no json", *options)
    assert (code, said["verdict"]) == (1, "fail") and "not JSON at byte" in said["detail"]
    code, said = try_hook(redact, "{}")
    assert (code, said["verdict"]) == (1, "fail")
    code, said = try_hook(redact, "{}", "--point", "deliver")
    assert code == 1 and "no function 'deliver'" in said
    code, said = try_hook(tmp_path / "absent.lua", "{}")
    assert code == 1 and "No such file" in said


def test_hook_test_of_a_shared_object():
    code, said = try_hook(SHARED_OBJECTS / "say.so", "modify")
    assert (code, said["event"]["value"]) == (0, "<modify>")
    assert try_hook(SHARED_OBJECTS / "say.so", "busy") == \
        (4, {"verdict": "refuse", "status": 429, "retry_after": 7, "detail": "too fast"})
