"""hooks/webhook.c: events are POSTed to a receiver, signed as Standard Webhooks has it. The signatures are
verified here by Python's own hmac, as https://www.standardwebhooks.com says a receiver does."""

import base64
import hashlib
import hmac
import re
import subprocess
import threading
import time

import pytest

from harness.broker import ROOT
from harness.hooks import Answer, HttpHook, config, so

SHARDS = "1"
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def is_signed(headers, body, key=KEY):
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    given = [signature.split(",", 1) for signature in headers["webhook-signature"].split(" ")]
    return abs(int(headers["webhook-timestamp"]) - time.time()) < 300 and \
        any(version == "v1" and hmac.compare_digest(wanted, sent) for version, sent in given)


@pytest.fixture
def receive():
    """receive(answer): who gets the webhooks, closed at the end."""
    receivers = []

    def one(answer):
        receivers.append(HttpHook(answer))
        return receivers[-1]
    yield one
    for receiver in receivers:
        receiver.close()


@pytest.fixture
def hooked(start, tmp_path, shards):
    def start_one(url, how=None, shards=1, **options):
        hook = so("webhook", options={"url": url, "secret": SECRET, **options}, **(how or {}))
        return start(shards=shards, config=config(tmp_path, hook))
    return start_one


def wait_for(what):
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def post(broker, body, topic="t", **headers):
    return broker.client.post(f"/produce/{topic}", body, "text/plain",
                              {name.replace("_", "-"): value for name, value in headers.items()})


def bodies(receiver):
    return [body.decode() for _, body in receiver.seen]


def test_signed(hooked, receive):
    receiver = receive(lambda *_: Answer(204))
    broker = hooked(receiver.url)
    assert post(broker, "hello", "orders", Event_Key="k").status == 201
    broker.client.post("/produce/orders", b"", None, {"Event-Tombstone": "true", "Event-Key": "k"})
    wait_for(lambda: len(receiver.seen) == 2)
    headers, body = receiver.seen[0]
    assert is_signed(headers, body) and body == b"hello"
    assert headers["webhook-id"].startswith("msg_") and headers["Content-Type"] == "text/plain"
    assert headers["Event-Topic"] == "orders" and headers["Event-Key"] == "k"
    assert not is_signed(headers, b"hullo") and not is_signed(headers, body, b"another key" * 3)
    headers, body = receiver.seen[1]
    assert is_signed(headers, body) and (body, headers["Event-Tombstone"]) == (b"", "true")
    assert headers["webhook-id"] != receiver.seen[0][0]["webhook-id"]


def test_only_its_topics(hooked, receive):
    receiver = receive(lambda *_: Answer(200))
    broker = hooked(receiver.url, {"topics": ["orders", "orders.*"]})
    for topic in ["orders", "others", "orders.eu"]:
        post(broker, topic, topic)
    wait_for(lambda: len(receiver.seen) == 2)
    assert bodies(receiver) == ["orders", "orders.eu"]


def test_tried_again_in_order(hooked, receive):
    """The first event is refused three times: the second does not overtake it."""
    answers = [Answer(500), None, Answer(404)]
    receiver = receive(lambda *_: answers.pop(0) if answers else Answer(202))
    broker = hooked(receiver.url)
    post(broker, "first")
    post(broker, "second")
    wait_for(lambda: len(receiver.seen) == 5)
    assert bodies(receiver) == ["first"] * 4 + ["second"]
    assert len({headers["webhook-id"] for headers, _ in receiver.seen[:4]}) == 1
    assert all(is_signed(headers, body) for headers, body in receiver.seen)


def test_nobody_waits_for_it(hooked, receive):
    goes_on = threading.Event()
    receiver = receive(lambda *_: goes_on.wait(60) and Answer(204))
    broker = hooked(receiver.url)
    assert [post(broker, str(i)).status for i in range(50)] == [201] * 50
    goes_on.set()
    wait_for(lambda: len(receiver.seen) == 50)
    assert bodies(receiver) == [str(i) for i in range(50)]


def calls(broker, verdict):
    text = broker.client.get("/metrics").body.decode()
    name = f'bourn_hook_calls_total{{hook="webhook",verdict="{verdict}"}} '
    return int(text.split(name)[1].split("\n")[0])


@pytest.mark.parametrize("on_failure,status", [("closed", 503), ("open", 201)])
def test_full_queue(hooked, receive, on_failure, status):
    """Nobody answers: the queue fills, then on_failure decides; what was taken comes later."""
    goes_on = threading.Event()
    receiver = receive(lambda *_: goes_on.wait(60) and Answer(204))
    broker = hooked(receiver.url, {"on_failure": on_failure}, queue_bytes=4000)
    values = [f"{i:03}" + "x" * 500 for i in range(12)]
    statuses = [post(broker, value).status for value in values]
    taken = calls(broker, "continue")
    assert 3 < taken < 12 and calls(broker, "fail") == 12 - taken
    assert statuses == [201] * taken + [status] * (12 - taken)
    goes_on.set()
    wait_for(lambda: bodies(receiver) == values[:taken])
    assert post(broker, "last").status == 201
    wait_for(lambda: bodies(receiver) == values[:taken] + ["last"])


def test_gone_is_given_up(hooked, receive):
    receiver = receive(lambda _, body: Answer(410 if body == b"gone" else 204))
    broker = hooked(receiver.url)
    post(broker, "gone")
    post(broker, "next")
    wait_for(lambda: bodies(receiver) == ["gone", "next"])
    post(broker, "tells")
    broker.wait_line("webhook: gave up on 1 events")


def test_given_up_in_time(hooked, receive):
    receiver = receive(lambda _, body: Answer(500 if body == b"never" else 204))
    broker = hooked(receiver.url, give_up_s=0)
    post(broker, "never")
    post(broker, "next")
    wait_for(lambda: bodies(receiver) == ["never", "next"])


def test_what_waits_is_sent_when_the_broker_stops(hooked, receive):
    receiver = receive(lambda *_: Answer(204))
    broker = hooked(receiver.url, shards=2, linger_ms=30000)
    for i in range(100):
        assert post(broker, str(i)).status == 201
    broker.stop()
    assert bodies(receiver) == [str(i) for i in range(100)]


def test_stops_in_time_when_nobody_answers(hooked, receive):
    waits = threading.Event()
    receiver = receive(lambda *_: waits.wait(60) and None)
    broker = hooked(receiver.url, shards=2, linger_ms=100)
    post(broker, "x")
    wait_for(lambda: receiver.seen)
    broker.stop()
    waits.set()


def test_as_the_page_has_it(start, tmp_path, receive):
    """Compiled as its head says, configured as docs/hooks.md says."""
    receiver = receive(lambda *_: Answer(204))
    compile_it = re.search(r"^ \*\t(cc .*?)( \*/)?$", (ROOT / "hooks/webhook.c").read_text(), re.M).group(1)
    for name in ["include", "hooks"]:
        (tmp_path / name).symlink_to(ROOT / name)
    subprocess.run(compile_it, shell=True, check=True, cwd=tmp_path)
    page = (ROOT / "docs/hooks.md").read_text().split("\n## Ready to be used\n")[1]
    file = tmp_path / "bourn.yaml"
    file.write_text(re.search(r"```yaml\n(.*?)```", page, re.S).group(1).replace(
        "https://shop.example/hook", receiver.url))
    broker = start(config=file)
    post(broker, "paid", "orders")
    wait_for(lambda: bodies(receiver) == ["paid"])
    assert is_signed(*receiver.seen[0])


REFUSED = [({"url": "ftp://x"}, "options.url"), ({"secret": "x"}, "options.secret"),
           ({"secret": "whsec_" + base64.b64encode(b"short").decode()}, "options.secret"),
           ({"secret": "whsec_????"}, "options.secret"), ({"give_up_s": "x"}, "numbers"),
           ({"queue_bytes": 0}, "numbers")]


@pytest.mark.parametrize("options,word", REFUSED, ids=range(len(REFUSED)))
def test_refused_at_the_start(start, tmp_path, shards, options, word):
    hook = so("webhook", options={"url": "http://x/", "secret": SECRET, **options})
    code, said = start(running=False, config=config(tmp_path, hook)).refuses_to_start()
    assert code == 1 and word in said, said
