"""The load generator: it measures this broker, and finds what a bad one does."""

import asyncio
import json
import os
import re
import subprocess

import pytest
import websockets

from harness.broker import BIN, ROOT

GENERATOR = BIN.with_name("bourn-bench")
DRIVER = BIN.with_name("bourn-bench-store")
SHORT = ("--seconds", "0.2", "--warm-up", "0.05", "--json")


def run(*words):
    return subprocess.run([str(GENERATOR), *map(str, words)], capture_output=True, text=True, timeout=60)


def measured(*words):
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fanout(port, *words, target="bourn"):
    return "fanout", "--target", target, "--port", port, *SHORT, *words


# --- against this broker ---------------------------------------------------------------


@pytest.mark.parametrize("form", ["ws", "sse"])
def test_throughput(broker, form):
    result = measured(*fanout(broker.port, "--form", form, "--subscribers", 50, "--window", 16,
                              "--pid", broker.process.pid))
    assert result["verified"] >= result["deliveries"] > 0
    assert result["verified"] % 50 == 0  # everybody got everything
    assert result["rss_kib"] > 0


@pytest.mark.parametrize("form", ["ws", "sse"])
def test_latency_at_a_rate(broker, form):
    result = measured(*fanout(broker.port, "--form", form, "--subscribers", 50, "--rate", 500))
    assert result["latency_us"]["count"] == 50 * 500 * 0.2
    assert 0 < result["latency_us"]["p50"] <= result["latency_us"]["p99_9"] <= result["latency_us"]["max"]


def test_large_events(broker):
    result = measured(*fanout(broker.port, "--subscribers", 3, "--bytes", 65536, "--window", 8))
    assert result["verified"] % 3 == 0


def test_posts_at_a_rate(broker):
    result = measured("http", "--port", broker.port, "--rate", 500, "--connections", 8, *SHORT)
    assert result["latency_us"]["count"] == 500 * 0.2


def test_posts_one_by_one(broker):
    result = measured("http", "--port", broker.port, "--rate", 0, "--connections", 8, *SHORT)
    assert result["answers_in_all"] > result["answers"] > 0


# --- the store itself ------------------------------------------------------------------


def drive(*words, status=0):
    done = subprocess.run([str(DRIVER), *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.mark.parametrize("durability", ["commit", "os"])
def test_appends_against_a_bare_loop(tmp_path, durability):
    result = drive("append", "--dir", tmp_path, "--class", durability, "--mib", 2, "--rounds", 2)
    assert len(result["copies"]) == len(result["ours"])
    for side in result.keys() & {"bare", "copies", "ours"}:
        assert [r["bytes"] > 2_000_000 and r["seconds"] > 0 for r in result[side]] == [True, True]
    assert (result["bare"][0]["flushes"] > 0) == (durability == "commit")


def test_what_is_filled_in_is_read(tmp_path, start):
    data = tmp_path / "data"
    events = drive("fill", "--dir", data, "--mib", 3)["events"]
    for words in (), ("--cold",):
        result = drive("catchup", "--dir", data, "--mib", 3, "--rounds", 1, *words)
        assert result["ours"][0]["bytes"] == result["bare"][0]["bytes"] > 1024 * events
    drive("check", "--dir", data, "--mib", 3)
    broker = start(data, storage="log")
    for words in (), ("--ws",):
        result = drive("stream", "--port", broker.port, "--pid", broker.process.pid, "--mib", 3, *words)
        assert result["bytes"] == 1024 * events


def test_a_bare_server_answers_posts(tmp_path):
    with subprocess.Popen([DRIVER, "serve", "--dir", tmp_path], stdout=subprocess.PIPE, text=True) as server:
        port = server.stdout.readline().rsplit(":", 1)[1].strip()
        result = measured("http", "--target", "http", "--port", port, "--bytes", 1024, "--rate", 0,
                          "--connections", 8, *SHORT)
        server.kill()
    assert result["answers_in_all"] > result["answers"] > 0


def test_a_kill_keeps_what_was_filled_in(tmp_path):
    drive("fill", "--dir", tmp_path / "data", "--mib", 1, "--kill", status=-9)
    drive("check", "--dir", tmp_path / "data", "--mib", 1)


def test_what_is_not_there_makes_it_void(tmp_path):
    drive("fill", "--dir", tmp_path / "data", "--mib", 1)
    assert "events of" in drive("check", "--dir", tmp_path / "data", "--mib", 2, status=1)


# --- against a broker that does wrong --------------------------------------------------


# What each makes of the sixth event: a list of what subscribers get. `before` is the one before it.


def lose(event, before):
    return []


def repeat(event, before):
    return [event, event]


def change(event, before):
    return [event[:-1] + "!"]


def step_back(event, before):
    return [before, event]


class BadBroker:
    """Passes every event to all subscribers, but for the sixth."""

    def __init__(self, wrong):
        self.wrong = wrong
        self.subscribers = []

    async def serve(self, socket, path):
        if path.startswith("/subscribe/"):
            self.subscribers.append(socket)
            await socket.wait_closed()
            return
        before = None
        async for event in socket:
            sixth = event.startswith("E") and int(event[9:17], 16) == 5
            for passed in self.wrong(event, before) if sixth else [event]:
                websockets.broadcast(self.subscribers, passed)
            before = event


@pytest.mark.parametrize("wrong, says", [
    (lose, "missing or out of order"), (repeat, "again or out of order"),
    (step_back, "again or out of order"), (change, "not what was published")])
def test_what_is_wrong_is_found(wrong, says):
    async def play():
        async with websockets.serve(BadBroker(wrong).serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(run, *fanout(port, "--subscribers", 3, "--rate", 200))

    done = asyncio.run(play())
    assert done.returncode == 1
    assert "void" in done.stderr
    assert says in done.stderr
    assert done.stdout == ""


def test_a_broker_that_dies_makes_the_run_void(start):
    broker = start()
    running = subprocess.Popen([str(GENERATOR), *map(str, fanout(broker.port, "--seconds", 60))],
                               stderr=subprocess.PIPE, text=True)
    while broker.metric("bourn_connections") < 1000:
        pass
    broker.kill()
    _, said = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "void" in said


def test_what_hooks_cost():
    """The bench itself: each of its hooks runs and is measured."""
    done = subprocess.run([str(ROOT / "bench/hooks.sh"), "200"], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "BOURN_BIN": str(BIN)})
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\S+) +\d+ ns \(\d+ to \d+\)$", done.stdout, re.M) == \
        ["empty.so", "empty.lua", "look.lua", "json.lua"]


def test_nobody_there():
    done = run(*fanout(1))
    assert (done.returncode, "refused" in done.stderr) == (1, True)


@pytest.mark.parametrize("words", [
    (), ("nonsense",), ("fanout",), ("fanout", "--target", "bourn"),
    ("fanout", "--target", "redis", "--port", "1"),
    ("fanout", "--target", "nats", "--port", "1", "--form", "sse"),
    ("fanout", "--target", "bourn", "--port", "70000"), ("http", "--port", "1", "--rate", "fast")])
def test_wrong_usage(words):
    assert run(*words).returncode == 2
