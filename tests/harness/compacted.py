"""Compacted topics under test: made, filled, and held against what was sent."""

import json
import time

ENVELOPES = "application/vnd.bourn.events+x-ndjson"
KEYS = 20
SIZE = 2000


def snapshot(broker):
    assert broker.client.post("/v1/admin/snapshot").status == 200


def create(broker, topic="t", **settings):
    reply = broker.client.put_json(f"/v1/topics/{topic}", {"settings": {
        "cleanup.policy": "compact", "segment.bytes": 1 << 20, "min.cleanable.dirty.ratio": 0,
        **settings}})
    assert reply.status == 201, reply


class Events:
    """What was sent, in order: (key, value), value None for a tombstone."""

    def __init__(self, broker, topic="t"):
        self.broker, self.topic, self.sent = broker, topic, []

    def send(self, count):
        lines = []
        for _ in range(count):
            number = len(self.sent)
            key = f"k{number * 7 % KEYS}"
            value = None if number % 11 == 0 else f"{number} ".ljust(SIZE, "x")
            self.sent.append((key, value))
            lines.append({"key": key, "value": value,
                          **({"encoding": "none"} if value is None else {"encoding": "text"})})
        reply = self.broker.client.post(f"/produce/{self.topic}",
                                        "\n".join(map(json.dumps, lines)), ENVELOPES)
        assert reply.status == 201, reply

    def send_segments(self, count):
        for _ in range(count * 3):
            self.send(200)
            snapshot(self.broker)

    def read(self):
        """All there is: {offset: (key, value)}."""
        found, query = {}, "offset=earliest"
        while True:
            page = self.broker.consume(self.topic, f"?{query}&limit=1000&max_bytes=4MiB")
            if int(page["next"]) == len(self.sent) and not page["events"]:
                return found
            for event in page["events"]:
                assert event["offset"] not in found
                found[event["offset"]] = (event["key"], event["value"])
            query = f"cursor={page['next']}"

    def check(self, tombstones_go=False):
        found = self.read()
        assert list(found) == sorted(found)
        last = {key: offset for offset, (key, _) in enumerate(self.sent)}
        for offset, event in found.items():
            assert event == self.sent[offset]
        for key, offset in last.items():
            assert offset in found or (tombstones_go and self.sent[offset][1] is None)
        return found


def is_compacted(broker, topic="t"):
    """What is finished is one segment, beside the one that is not; where there are none, as small as that."""
    now = broker.client.get(f"/v1/topics/{topic}").json()
    return now["segments"] <= 2 and now["bytes"] < 2 << 20 and not broker.metric("bourn_compacting")


def wait_compacted(broker, seconds=20):
    until = time.monotonic() + seconds
    while not is_compacted(broker):
        assert time.monotonic() < until, broker.log
        time.sleep(0.02)
