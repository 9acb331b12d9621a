"""What hooks that are slow, or gone, cost topics that have none. For machines with nothing else to do."""

import os
import statistics
import threading
import time

import pytest

from harness.hooks import HttpHook, config
from harness.oracle import report

LONG = os.environ.get("BOURN_LONG")
SHARDS = "1,2"
CHUNKS, CHUNK = (30, 1000) if LONG else (3, 200)
CONNECTIONS, PIPELINED = 40, 60  # more than 1024 requests aside
BODY = b"x" * 100
NO_DISK = {"BOURN_STORAGE_DURABILITY": "none"}


def send(connection, topic, count=1):
    for _ in range(count):
        connection.request("POST", f"/produce/{topic}", [("Content-Length", len(BODY))], BODY)


def p99s(took):
    """Of each chunk."""
    return [sorted(took[i:i + CHUNK])[CHUNK * 99 // 100] for i in range(0, len(took), CHUNK)]


def took_ms(connection):
    started = time.perf_counter()
    send(connection, "plain")
    assert connection.read_reply().status == 201
    return (time.perf_counter() - started) * 1000


@pytest.fixture
def remote():
    waits = threading.Event()
    server = HttpHook(lambda *_: waits.wait(300) and None)
    yield server
    waits.set()
    server.close()


def ask_now_and_then(broker, over):
    """A hundred times a second something is asked that a hook has to be asked about."""
    with broker.connect() as c:
        while not over.wait(0.01):
            send(c, "hooked")
            assert c.read_reply().status in (201, 503)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", ["slow", "killed"])
def test_others_do_not_feel_it(start, tmp_path, shards, remote, what):
    """Two brokers take the same, but in one of them there is a hook for the topic "hooked". Requests are sent to
    one and the other in turn, so whatever else the machine does hits both. Judged is the median of the ratios
    of each thousand."""
    hook = remote.hook(topics=["hooked"], timeout="60s" if what == "slow" else "1s", retries=0)
    brokers = {"alone": start(shards=shards, env=NO_DISK),
               "beside": start(shards=shards, env=NO_DISK, config=config(tmp_path, hook))}
    took = {name: [] for name in brokers}
    over = threading.Event()
    threads, waiting = [], []
    if what == "slow":
        for broker in brokers.values():
            waiting += [broker.connect() for _ in range(CONNECTIONS)]
            for connection in waiting[-CONNECTIONS:]:
                send(connection, "hooked", PIPELINED)
        while not remote.seen:
            time.sleep(0.01)
    else:
        remote.close()
        threads = [threading.Thread(target=ask_now_and_then, args=(broker, over))
                   for broker in brokers.values()]
        for thread in threads:
            thread.start()
    try:
        plain = {name: broker.connect() for name, broker in brokers.items()}
        for turn in range(CHUNKS * CHUNK):
            for name in ("alone", "beside") if turn % 2 else ("beside", "alone"):
                took[name].append(took_ms(plain[name]))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    alone, beside = p99s(took["alone"]), p99s(took["beside"])
    ratio = statistics.median(b / a for a, b in zip(alone, beside))
    report(test=f"p99 beside a hook over HTTP that is {what}, {shards} shards",
           alone_ms=round(statistics.median(alone), 3), beside_ms=round(statistics.median(beside), 3),
           ratio=round(ratio, 2), judged=bool(LONG), verdict="pass" if ratio <= 1.05 else "fail")
    for connection in waiting:
        connection.close()
    assert ratio <= 1.05 or not LONG, (alone, beside)
