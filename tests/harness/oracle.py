"""The oracle of every fault test: producers that write down each acknowledgement, and a verifier
that replays the topics and compares.

A producer numbers its events and never repeats one: an answer that did not come, or an error, means
*unknown*, and such an event may be there once or not at all. Everything acknowledged must be there
once, in order, at the offset it was given; offsets are dense; nothing is invented. What a verifier
has read counts as acknowledged from then on.
"""

import json
import math
import os
import random
import re
import threading
import time
import zlib

from harness.http import Connection
from harness.murmur2 import murmur2

PARTITIONS = 4
SEGMENT_BYTES = 1 << 20  # the least that there may be: many files
ENVELOPES = "application/vnd.bourn.events+x-ndjson"
EVENT = re.compile(rb'\{"offset":(\d+),.*?"value":(\{.*\})\}')
WHO = re.compile(rb'\{"p": (\d+), "s": (\d+), ')


class Producer(threading.Thread):
    """One connection that produces until it is told to stop, or is cut off.

    How, goes by its number: one event after the other; up to 16 pipelined; lines as one batch; a
    batch of many keys that spreads over the partitions.
    """

    def __init__(self, oracle, number):
        super().__init__(daemon=True)
        self.oracle = oracle
        self.number = number
        self.topic = oracle.topics[number // 4 % len(oracle.topics)]
        self.turn = (self.one, self.pipelined, self.lines, self.spread)[number % 4]
        self.sequence = 0
        self.random = random.Random(f"{oracle.seed} {number}")
        self.stopped = threading.Event()
        self.failure = None
        self.refused = {}     # status -> count
        self.refused_s = 0.0  # the longest wait for a refusal
        self.quickest_s = math.inf  # the shortest for an acknowledgement

    def run(self):
        try:
            with Connection(self.oracle.broker.port) as self.connection:
                while not self.stopped.is_set() and self.turn():
                    pass
        except OSError:
            pass  # cut off: what was under way is unknown
        except AssertionError as error:
            if "closed in the middle" not in str(error):
                self.failure = error

    def take(self, count):
        """The next events: [(sequence, value)]."""
        events = [(self.sequence + i, self.oracle.value(self.number, self.sequence + i)) for i in range(count)]
        self.sequence += count
        self.oracle.sent(self.number, events)
        return events

    def ask(self, body, kind, key=None):
        fields = [("Content-Type", kind), ("Content-Length", len(body))]
        if key:
            fields.append(("Event-Key", key))
        self.connection.request("POST", f"/produce/{self.topic}", fields, body.encode())
        return time.monotonic()

    def answered(self, asked, acknowledge):
        """Read one answer; False when the producer shall end."""
        reply = self.connection.read_reply()
        if reply.status == 201:
            self.quickest_s = min(self.quickest_s, time.monotonic() - asked)
            acknowledge(reply.json())
            return True
        self.refused[reply.status] = self.refused.get(reply.status, 0) + 1
        self.refused_s = max(self.refused_s, time.monotonic() - asked)
        return self.oracle.goes_on(reply)

    def acked(self, events, place):
        self.oracle.acked(self, events, place["partition"], place["offset"])

    # --- the ways to produce ---------------------------------------------------

    def one(self, count=1):
        key = f"producer-{self.number}"
        asked = []
        for _ in range(count):
            events = self.take(1)
            asked.append((self.ask(events[0][1], "application/json", key), events))
        answers = [self.answered(when, lambda ack, events=events: self.acked(events, ack)) for when, events in asked]
        return all(answers)

    def pipelined(self):
        return self.one(self.random.randint(2, 16))

    def lines(self):
        events = self.take(self.random.randint(1, 16))
        asked = self.ask("\n".join(value for _, value in events), "application/x-ndjson", f"producer-{self.number}")

        def acknowledge(ack):
            assert ack["count"] == len(events), ack
            self.acked(events, ack)
        return self.answered(asked, acknowledge)

    def spread(self):
        events = self.take(self.random.randint(1, 16))
        parts = {}
        lines = []
        for sequence, value in events:
            key = f"{self.number}-{sequence % 7}"
            parts.setdefault(murmur2(key.encode()) % PARTITIONS, []).append((sequence, value))
            lines.append(f'{{"key":"{key}","value":{value}}}')
        asked = self.ask("\n".join(lines), ENVELOPES)

        def acknowledge(ack):
            results = {result["partition"]: result for result in ack["results"]}
            assert results.keys() == parts.keys(), (ack, parts)
            for partition, result in results.items():
                assert result["count"] == len(parts[partition]), ack
                self.acked(parts[partition], result)
        return self.answered(asked, acknowledge)


class Oracle:
    """`topics`: names, each that of its durability class, or {name: settings}. With a setting
    `retention_count`, at least half as many must be there (whole batches go, which are smaller), and
    what has gone must stay away."""

    def __init__(self, broker, directory, test, seed, topics, pad=120, **about):
        self.broker = broker
        self.settings = topics if isinstance(topics, dict) else {topic: {"durability": topic} for topic in topics}
        self.topics = list(self.settings)
        self.test = test
        self.seed = seed
        self.pad = "x" * pad
        self.about = about  # more of the JSON line
        self.log = os.open(directory / "acks.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.acked_count = 0
        self.lost_count = 0  # acknowledged and gone, as the class allows
        self.rss_max = 0
        self.rounds = 0
        self.bad = {"missing": 0, "duplicates": 0, "disorder": 0, "invented": 0, "holes": 0}
        self.begin(broker)

    def begin(self, broker):
        """Start over with a new, empty broker; what was counted so far stays."""
        self.broker = broker
        self.acks = {}       # (topic, partition, offset) -> (producer, sequence, crc)
        self.acked_at = {}   # the same -> when
        self.crcs = {}       # (producer, sequence) -> crc, of all that was ever sent
        self.sequences = {}  # producer -> next sequence
        self.starts = {}     # (topic, partition) -> its first offset, as last seen
        self.lost = set()    # of self.acks' values: those that must not come back
        self.lost_at = {}    # topic -> when the oldest that the last verify() found lost was acknowledged

    # --- called by producers -----------------------------------------------------

    def value(self, producer, sequence):
        return f'{{"p": {producer}, "s": {sequence}, "x": "{self.pad}"}}'

    def sent(self, producer, events):
        for sequence, value in events:
            self.crcs[producer, sequence] = zlib.crc32(value.encode())

    def acked(self, producer, events, partition, offset):
        now = time.monotonic()
        lines = []
        for i, (sequence, _value) in enumerate(events):
            crc = self.crcs[producer.number, sequence]
            place = (producer.topic, partition, offset + i)
            assert place not in self.acks, f"{place} was acknowledged twice"
            self.acks[place] = (producer.number, sequence, crc)
            self.acked_at[place] = now
            lines.append(f"{producer.number} {sequence} {crc:08x} {producer.topic}/{partition}/{offset + i}\n")
        self.acked_count += len(events)
        os.write(self.log, "".join(lines).encode())

    def goes_on(self, _reply):
        """Whether a producer goes on after a refusal; tests override it."""
        return False

    # --- called by tests ----------------------------------------------------------

    def create_topics(self):
        for topic, settings in self.settings.items():
            self.broker.create(topic, partitions=PARTITIONS, **{"segment_bytes": SEGMENT_BYTES, **settings})

    def producer(self, number):
        producer = Producer(self, number)
        producer.sequence = self.sequences.get(number, 0)
        return producer

    def start_producers(self, count):
        producers = [self.producer(number) for number in range(count)]
        for producer in producers:
            producer.start()
        return producers

    def join(self, producers, stop=False):
        for producer in producers:
            if stop:
                producer.stopped.set()
        for producer in producers:
            producer.join(60)
            assert not producer.is_alive(), "a producer hangs"
            self.sequences[producer.number] = producer.sequence
            if producer.failure:
                raise producer.failure

    def watch_memory(self):
        self.rss_max = max(self.rss_max, self.broker.rss_bytes())

    def verify(self, may_lose=None):
        """Replay every topic and count what is wrong; returns some places of what is missing.

        `may_lose`: {topic: a moment}. What was acknowledged later may be gone, with all that came
        after it in its partition: a suffix, never a hole."""
        os.fsync(self.log)
        self.rounds += 1
        found = {}
        seen = set()
        ends = {}
        for topic in self.topics:
            for row in self.broker.client.get(f"/v1/topics/{topic}").json()["partitions"]:
                ends[topic, row["partition"]] = self._replay(topic, row, found, seen)
        missing = []
        self.lost_at = {}
        for place in [place for place, ack in self.acks.items() if found.get(place) != ack]:
            topic, partition, offset = place
            if offset < self.starts[topic, partition]:
                del self.acks[place], self.acked_at[place]
            elif offset >= ends[topic, partition] and self.acked_at[place] > (may_lose or {}).get(topic, math.inf):
                self._lose(place)
            else:
                missing.append(place)
        self.bad["missing"] += len(missing)
        now = time.monotonic()
        for place in found.keys() - self.acks.keys():
            self.acks[place] = found[place]
            self.acked_at[place] = now
        return missing[:5]

    def is_right(self, topic, partition, line):
        """One event as it was served: was it sent, and if something was acknowledged there, that?"""
        event = EVENT.fullmatch(line)
        match = event and WHO.match(event[2])
        if not match:
            return False
        found = (int(match[1]), int(match[2]), zlib.crc32(event[2]))
        return self.crcs.get(found[:2]) == found[2] and \
            self.acks.get((topic, partition, int(event[1])), found) == found

    def _lose(self, place):
        self.lost_count += 1
        self.lost.add(self.acks.pop(place))
        self.lost_at[place[0]] = min(self.acked_at.pop(place), self.lost_at.get(place[0], math.inf))

    def _replay(self, topic, row, found, seen):
        """One partition, as its row of the topic describes it; returns its end."""
        last = {}
        partition, end = row["partition"], row["high_watermark"]
        expected = self._start(topic, row)
        for offset, value in self._events(topic, partition):
            self.bad["holes"] += offset != expected
            expected = offset + 1
            match = WHO.match(value)
            if not match:
                self.bad["invented"] += 1
                continue
            who = (int(match[1]), int(match[2]))
            self.bad["duplicates"] += who in seen
            seen.add(who)
            crc = zlib.crc32(value)
            self.bad["invented"] += self.crcs.get(who) != crc or (*who, crc) in self.lost
            self.bad["disorder"] += who[1] <= last.get(who[0], -1)
            last[who[0]] = who[1]
            found[topic, partition, offset] = (*who, crc)
        self.bad["holes"] += expected != end
        return end

    def _start(self, topic, row):
        place, start = (topic, row["partition"]), row["earliest"]
        limit = self.settings[topic].get("retention_count")
        self.bad["missing"] += start > (max(row["high_watermark"] - limit // 2, 0) if limit else 0)
        self.bad["invented"] += start < self.starts.get(place, 0)  # what has gone came back
        self.starts[place] = start
        return start

    def _events(self, topic, partition):
        """(offset, the value's own bytes) of all that is there."""
        query = "offset=earliest"
        while True:
            reply = self.broker.client.get(
                f"/consume/{topic}?partition={partition}&limit=10000&max_bytes=4194304&{query}",
                {"Accept": "application/x-ndjson"})
            assert reply.status == 200, reply
            lines = reply.body.splitlines()
            if not lines:
                return
            for line in lines:
                event = EVENT.fullmatch(line)
                assert event, line
                yield int(event[1]), event[2]
            query = f"cursor={reply.header('event-next')}"

    def verdict(self, **more):
        """Print the one JSON line; fail when anything is wrong."""
        good = self.acked_count > 0 and not any(self.bad.values())
        report(test=self.test, **self.about, seed=self.seed, n=self.rounds, acked=self.acked_count,
               lost_as_allowed=self.lost_count, **self.bad, **more, max_rss=self.rss_max,
               verdict="pass" if good else "fail")
        assert good, self.bad


def report(**fields):
    print(json.dumps(fields), flush=True)
