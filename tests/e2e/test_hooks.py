"""Hooks on produced events, from the configuration file to the stored bytes, on every front."""

import json
import re
import signal
import subprocess

import pytest

from harness.broker import BIN, ROOT
from harness.hooks import config, so
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

def script(tmp_path, text, name="script", **keys):
    file = tmp_path / f"{name}.lua"
    file.write_text(text)
    return {"name": name, "type": "lua", "path": str(file), **keys}


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
