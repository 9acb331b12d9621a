"""The hooks that are shipped, in hooks/."""

import json

import pytest

from harness.broker import ROOT
from harness.hooks import config, so

SHARDS = "1"


@pytest.fixture
def hooked(start, tmp_path, shards):
    def start_one(name, options):
        hook = {"name": name, "type": "lua", "path": str(ROOT / "hooks" / f"{name}.lua"),
                "options": options}
        return start(shards=shards, config=config(tmp_path, hook))
    return start_one


def post(broker, value, topic="t", content_type="application/json"):
    body = value if isinstance(value, (str, bytes)) else json.dumps(value)
    return broker.client.post(f"/produce/{topic}", body, content_type)


def refused(start, tmp_path, name, options, word):
    hook = {"name": "x", "type": "lua", "path": str(ROOT / "hooks" / f"{name}.lua"),
            "options": options}
    code, said = start(running=False, config=config(tmp_path, hook)).refuses_to_start()
    assert code == 1 and word in said, said


# --- redact --------------------------------------------------------------------------

def test_redact_masks(hooked):
    broker = hooked("redact", {"fields": ["/card", "/who/mail", "/list/1", "/a~1b"], "with": "***"})
    post(broker, {"card": 1, "who": {"mail": "m", "x": 1}, "list": [1, 2, 3], "a/b": 5, "rest": []})
    post(broker, {"other": 1})
    post(broker, "no json", content_type="text/plain")
    assert broker.values("t") == [
        {"card": "***", "who": {"mail": "***", "x": 1}, "list": [1, "***", 3], "a/b": "***",
         "rest": []}, {"other": 1}, "no json"]


def test_redact_removes(hooked):
    broker = hooked("redact", {"fields": ["/card", "/list/0", "/deep/er/x"]})
    post(broker, {"card": 1, "list": [1, 2], "deep": 1})
    assert broker.values("t") == [{"list": [2], "deep": 1}]


# --- key -------------------------------------------------------------------------------

def test_key(hooked):
    broker = hooked("key", {"pointer": "/customer/id"})
    post(broker, {"customer": {"id": 7}})
    post(broker, {"customer": {"id": "x"}})
    post(broker, {"customer": 3})
    keys = [event.get("key") for event in broker.consume("t")["events"]]
    assert keys == ["7", "x", None]


def test_key_required(hooked):
    broker = hooked("key", {"pointer": "/ids/0", "required": True})
    assert post(broker, {"ids": ["a"]}).status == 201
    reply = post(broker, {"ids": []})
    assert reply.status == 422 and reply.json()["detail"] == "/ids/0 is missing"


# --- rate limit ------------------------------------------------------------------------

def test_rate_limit(hooked):
    broker = hooked("rate_limit", {"per_second": 0.05, "burst": 3})
    assert [post(broker, i).status for i in range(3)] == [201] * 3
    reply = post(broker, 3)
    assert reply.status == 429 and 1 <= int(reply.header("Retry-After")) <= 20


def test_rate_limit_is_of_the_whole_broker(start, tmp_path):
    """Connections stand on several event loops; together they have what one has."""
    hook = {"name": "r", "type": "lua", "path": str(ROOT / "hooks/rate_limit.lua"),
            "options": {"per_second": 0.01, "burst": 7}}
    broker = start(shards=4, config=config(tmp_path, hook))
    clients = [broker.new_client() for _ in range(12)]
    statuses = [c.post("/produce/t", b"x").status for c in clients * 2]
    assert (statuses.count(201), statuses.count(429)) == (7, 17)


# --- schema ----------------------------------------------------------------------------

ORDER = {
    "type": "object",
    "required": ["id", "items"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "state": {"enum": ["new", "paid"]},
        "note": {"type": ["string", "null"], "maxLength": 3},
        "items": {"type": "array", "minItems": 1, "uniqueItems": True,
                  "items": {"$ref": "#/$defs/item"}},
    },
    "$defs": {"item": {"type": "object", "required": ["a/b"],
                       "properties": {"a/b": {"anyOf": [{"type": "number"}, {"const": "x"}]}}}},
}
ITEMS = [{"a/b": 1}]

BAD = [
    ([], "the event is not object"),
    ({"items": ITEMS}, "the event has no member 'id'"),
    ({"id": 1.5, "items": ITEMS}, "/id is not integer"),
    ({"id": 0, "items": ITEMS}, "/id is below 1"),
    ({"id": 1, "items": []}, "/items has less than 1 elements"),
    ({"id": 1, "items": ITEMS * 2}, "/items has an element twice"),
    ({"id": 1, "items": [{}]}, "/items/0 has no member 'a/b'"),
    ({"id": 1, "items": [{"a/b": 1}, {"a/b": "y"}]}, "/items/1/a~1b fits none of the schemas"),
    ({"id": 1, "items": ITEMS, "state": "old"}, "/state is none of those that are allowed"),
    ({"id": 1, "items": ITEMS, "note": "long"}, "/note has more than 3 characters"),
    ({"id": 1, "items": ITEMS, "more": 1}, "/more is not allowed"),
]


def test_schema(hooked):
    broker = hooked("schema", {"schemas": {"orders": ORDER}})
    for good in [{"id": 1, "items": ITEMS}, {"id": 2.0, "items": [{"a/b": "x"}], "state": "new"},
                 {"id": 3, "items": ITEMS, "note": None}, {"id": 4, "items": ITEMS, "note": "éüö"}]:
        assert post(broker, good, "orders").status == 201, good
    for bad, why in BAD:
        reply = post(broker, bad, "orders")
        assert (reply.status, reply.json()["detail"]) == (422, why)
    assert post(broker, "x", "orders", "text/plain").json()["detail"] == "it is not JSON"
    assert post(broker, [], "others").status == 201


def test_schema_that_is_not_understood(start, tmp_path, shards):
    for schema, word in [({"pattern": "a"}, "'pattern' is not known"),
                         ({"properties": {"a": {"if": {}}}}, "t/properties/a: 'if'"),
                         ({"$ref": "#/$defs/none"}, "leads nowhere"),
                         ({"$ref": "http://x"}, "not local"), ({"items": 3}, "not a schema")]:
        refused(start, tmp_path, "schema", {"schemas": {"t": schema}}, word)


@pytest.mark.parametrize("name,word", [("redact", "options.fields"), ("key", "options.pointer"),
                                       ("rate_limit", "options.per_second"),
                                       ("schema", "options.schemas")])
def test_options_that_are_missing(start, tmp_path, shards, name, word):
    refused(start, tmp_path, name, {}, f"{word} is missing")


# --- audit -----------------------------------------------------------------------------

def test_audit(start, tmp_path, shards):
    file = tmp_path / "audit.ndjson"
    broker = start(shards=2, config=config(tmp_path, so("audit", options={"file": str(file)})))
    post(broker, 1)
    post(broker, "no json", "a%22b")
    broker.client.get("/consume/none")
    with broker.connect() as c:
        c.request("GET", "/subscribe/t")
        c.read_head()
    broker.stop()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(line["peer"].startswith("127.0.0.1:") and line["time"] > 0 for line in lines)
    said = [(line["what"], line.get("method"), line.get("target"), line.get("status"),
             line.get("offset")) for line in lines]
    assert sorted(said, key=str) == sorted([
        ("request", "POST", "/produce/t", 0, 0), ("request", "POST", "/produce/a%22b", 400, None),
        ("request", "GET", "/consume/none", 404, None), ("subscribe", None, None, None, None),
        ("request", "GET", "/subscribe/t", 0, None)], key=str)


def test_audit_without_a_file(start, tmp_path, shards):
    for options, word in [({}, "options.file is missing"), ({"file": "/no/where"}, "No such file")]:
        code, said = start(running=False, config=config(tmp_path, so("audit", options=options))
                           ).refuses_to_start()
        assert code == 1 and word in said
