"""The endless NDJSON stream: what `curl -N` gets from /subscribe."""

import threading

from harness.http import is_problem
from harness.lines import Lines


def test_begins_at_the_end(broker):
    broker.produce("t", "before")
    with Lines(broker, "/subscribe/t") as stream:
        broker.produce("t", "after")
        assert stream.values(1) == ["after"]


def test_replays_then_goes_on_live(broker):
    for i in range(3):
        broker.produce("t", f"{i}")
    with Lines(broker, "/subscribe/t?offset=1") as stream:
        assert stream.values(2) == ["1", "2"]
        broker.produce("t", "3")
        assert stream.values(1) == ["3"]


def test_waits_for_a_topic_that_is_not_there_yet(broker):
    with Lines(broker, "/subscribe/later") as stream:
        broker.produce("later", "first")
        assert stream.values(1) == ["first"]


def test_replay_turns_into_live_without_loss_or_repeat(broker):
    total = 3000
    for first in range(0, 1000, 100):
        lines = "".join(f"{i}\n" for i in range(first, first + 100))
        assert broker.client.post("/produce/t", lines, "application/x-ndjson").status == 201

    def produce():
        client = broker.new_client()
        for i in range(1000, total):
            client.post("/produce/t", f"{i}", "application/json")

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        with Lines(broker, "/subscribe/t?offset=earliest") as early:
            assert early.values(total) == list(range(total))
    finally:
        producer.join()


def test_every_subscriber_gets_every_event(broker):
    streams = [Lines(broker, "/subscribe/t") for _ in range(30)]
    for i in range(50):
        broker.produce("t", f"{i}")
    for stream in streams:
        with stream:
            assert stream.values(50) == [f"{i}" for i in range(50)]


def test_a_reader_that_does_not_read_slows_nobody(broker):
    with Lines(broker, "/subscribe/t") as stuck, Lines(broker, "/subscribe/t") as quick:
        body = "x" * 100_000
        for i in range(200):  # 20 MB: more than sockets and output limits hold
            broker.produce("t", body)
            assert len(quick.values(1)[0]) == 100_000
        assert sum(len(value) for value in stuck.values(200)) == 20_000_000


def test_several_partitions_in_one_stream(broker):
    broker.create("p", partitions=3)
    with Lines(broker, "/subscribe/p") as stream:
        for i in range(30):
            broker.produce("p", f"{i}", query=f"?partition={i % 3}")
        seen = [stream.line() for _ in range(30)]
    for partition in range(3):
        mine = [event["offset"] for event in seen if event["partition"] == partition]
        assert mine == list(range(10))


def test_resumes_at_a_cursor(broker):
    for i in range(4):
        broker.produce("t", f"{i}")
    cursor = broker.consume("t", "?limit=2")["next"]
    with Lines(broker, f"/subscribe/t?cursor={cursor}") as stream:
        assert stream.values(2) == ["2", "3"]
    with Lines(broker, "/subscribe/t?offset=0", [("Last-Event-ID", "3")]) as stream:
        assert stream.values(1) == ["3"]
    with Lines(broker, "/subscribe/t?last_event_id=2&cursor=0") as stream:
        assert stream.values(2) == ["2", "3"]


def test_deleting_the_topic_ends_the_stream(broker):
    broker.produce("t", "1")
    with Lines(broker, "/subscribe/t") as stream:
        assert broker.client.delete("/v1/topics/t").status == 204
        while stream.connection.read_chunk():
            pass


def test_refusals(broker):
    broker.produce("t", "1")
    is_problem(broker.client.get("/subscribe/t?offset=9"), 416, "offset_out_of_range")
    is_problem(broker.client.get("/subscribe/t?offset=x"), 400, "bad_parameter")
    is_problem(broker.client.get("/subscribe/b%20d"), 400, "bad_topic_name")


def test_a_subscriber_that_leaves_is_forgotten(broker):
    for _ in range(20):
        with Lines(broker, "/subscribe/t"):
            pass
    broker.produce("t", "1")
    for _ in range(200):
        metrics = broker.client.get("/metrics").body.decode()
        if "bourn_subscribers 0" in metrics.splitlines():
            return
    raise AssertionError(metrics)
