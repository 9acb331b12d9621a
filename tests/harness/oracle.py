"""The oracle of every fault test: producers that write down each acknowledgement, and a verifier
that replays the topics and compares.

A producer numbers its events and never repeats one: an answer that did not come, or an error, means
*unknown*, and such an event may be there once or not at all. Everything acknowledged must be there
once, in order, at the offset it was given; offsets are dense; nothing is invented.
"""

import json
import os
import threading
import zlib

from harness.http import Client

PARTITIONS = 4


class Producer(threading.Thread):
    """One connection that produces, one request after the other, until told to stop or cut off."""

    def __init__(self, oracle, number):
        super().__init__(daemon=True)
        self.oracle = oracle
        self.number = number
        self.topic = oracle.topics[number % len(oracle.topics)]
        self.sequence = 0
        self.stopped = threading.Event()
        self.refused = {}  # status -> count

    def run(self):
        client = Client(self.oracle.broker.port)
        while not self.stopped.is_set():
            count = 8 if self.sequence % 5 == 0 else 1
            values = [self.oracle.value(self, i) for i in range(count)]
            self.oracle.sent(self, values)
            kind = "application/x-ndjson" if count > 1 else "application/json"
            try:
                reply = client.post(f"/produce/{self.topic}", "\n".join(values), kind,
                                    {"Event-Key": f"producer-{self.number}"})
            except (OSError, AssertionError):
                break  # killed: what was under way is unknown
            finally:
                first, self.sequence = self.sequence, self.sequence + count
            if reply.status == 201:
                ack = reply.json()
                self.oracle.acked(self, first, values, ack["partition"], ack["offset"])
            else:
                self.refused[reply.status] = self.refused.get(reply.status, 0) + 1
                if not self.oracle.goes_on(reply):
                    break
        client.close()


class Oracle:
    def __init__(self, broker, directory, test, seed, topics, pad=120):
        self.broker = broker
        self.topics = topics
        self.test = test
        self.seed = seed
        self.pad = pad
        self.lock = threading.Lock()
        self.log = os.open(directory / "acks.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.acks = {}     # (topic, partition, offset) -> (producer, sequence, crc)
        self.crcs = {}     # (producer, sequence) -> crc, of all that was ever sent
        self.sequences = {}  # producer -> next sequence
        self.rss_max = 0
        self.rounds = 0
        self.bad = {"missing": 0, "duplicates": 0, "disorder": 0, "invented": 0, "holes": 0}

    # --- called by producers -----------------------------------------------------

    def value(self, producer, i):
        return json.dumps({"p": producer.number, "s": producer.sequence + i, "x": "x" * self.pad})

    def sent(self, producer, values):
        for i, value in enumerate(values):
            self.crcs[producer.number, producer.sequence + i] = zlib.crc32(value.encode())

    def acked(self, producer, first, values, partition, offset):
        lines = []
        for i, value in enumerate(values):
            crc = zlib.crc32(value.encode())
            self.acks[producer.topic, partition, offset + i] = (producer.number, first + i, crc)
            lines.append(f"{producer.number} {first + i} {crc:08x} {producer.topic}/{partition}/{offset + i}\n")
        os.write(self.log, "".join(lines).encode())

    def goes_on(self, _reply):
        """Whether a producer goes on after a refusal; tests override it."""
        return False

    # --- called by tests ----------------------------------------------------------

    def start_producers(self, count):
        producers = [Producer(self, number) for number in range(count)]
        for producer in producers:
            producer.sequence = self.sequences.get(producer.number, 0)
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

    def watch_memory(self):
        self.rss_max = max(self.rss_max, self.broker.rss_bytes())

    def verify(self):
        """Replay every topic and count what is wrong."""
        os.fsync(self.log)
        self.rounds += 1
        found = {}
        seen = set()
        for topic in self.topics:
            for partition in range(PARTITIONS):
                self._replay(topic, partition, found, seen)
        missing = [place for place, ack in self.acks.items() if found.get(place) != ack]
        self.bad["missing"] += len(missing)
        return missing[:5]

    def _replay(self, topic, partition, found, seen):
        last = {}
        expected = 0
        for line in self._lines(topic, partition):
            value = json.dumps(line["value"])
            who = (line["value"]["p"], line["value"]["s"])
            crc = zlib.crc32(value.encode())
            self.bad["holes"] += line["offset"] != expected
            expected = line["offset"] + 1
            self.bad["duplicates"] += who in seen
            seen.add(who)
            self.bad["invented"] += self.crcs.get(who) != crc
            self.bad["disorder"] += who[1] <= last.get(who[0], -1)
            last[who[0]] = who[1]
            found[topic, partition, line["offset"]] = (*who, crc)

    def _lines(self, topic, partition):
        query = "offset=earliest"
        while True:
            reply = self.broker.client.get(
                f"/consume/{topic}?partition={partition}&limit=10000&max_bytes=4194304&{query}",
                {"Accept": "application/x-ndjson"})
            assert reply.status == 200, reply
            lines = reply.lines()
            if not lines:
                return
            yield from lines
            query = f"cursor={reply.header('event-next')}"

    def verdict(self):
        """Print the one JSON line; fail when anything is wrong."""
        good = len(self.acks) > 0 and not any(self.bad.values())
        print(json.dumps({"test": self.test, "seed": self.seed, "n": self.rounds, "acked": len(self.acks),
                          **self.bad, "max_rss": self.rss_max, "verdict": "pass" if good else "fail"}),
              flush=True)
        assert good, self.bad
