"""F6: the n-th write or flush fails with EIO, n = 1 … 50: never acknowledged, fenced, intact after.

Needs the test binary, which takes BOURN_TEST_FAULT=CALL:N:ERRNO; the failure stays.
"""

import os

import pytest

from harness.broker import TEST_BIN
from harness.http import Client
from harness.oracle import PARTITIONS, Oracle

STEP = 1 if os.environ.get("BOURN_LONG") else 3


class Stubborn(Oracle):
    """Its producers go on whatever they are told, for a while."""

    def goes_on(self, reply):
        assert reply.status in (500, 503), reply
        return True


def produce_some(oracle, rounds=40):
    """One producer, by hand, so that the n-th call comes where it comes."""
    from harness.oracle import Producer
    producer = Producer(oracle, 0)
    producer.sequence = oracle.sequences.get(0, 0)
    client = Client(oracle.broker.port)
    refused = 0
    for _ in range(rounds):
        values = [oracle.value(producer, 0)]
        oracle.sent(producer, values)
        reply = client.post(f"/produce/{producer.topic}", values[0], "application/json", {"Event-Key": "k"})
        if reply.status == 201:
            assert refused == 0, "acknowledged after a failed write"
            ack = reply.json()
            oracle.acked(producer, producer.sequence, values, ack["partition"], ack["offset"])
        else:
            oracle.goes_on(reply)
            refused += 1
        producer.sequence += 1
    oracle.sequences[0] = producer.sequence
    return refused


@pytest.mark.skipif(not TEST_BIN.exists(), reason=f"SKIPPED LOUDLY: there is no {TEST_BIN}")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", ["pwritev", "sync"])
def test_io_errors(start, seed, tmp_path, call):
    hit = 0
    acked = 0
    for n in range(1, 51, STEP):
        directory = tmp_path / f"{call}{n}"
        directory.mkdir()
        broker = start(running=False, data=directory / "data", binary=TEST_BIN)
        broker.start()
        broker.create("t", partitions=PARTITIONS)
        oracle = Stubborn(broker, directory, f"F6 EIO on {call} {n}", seed, ["t"])
        produce_some(oracle, 3)
        broker.stop()

        broker.env = {"BOURN_TEST_FAULT": f"{call}:{n}:EIO"}
        broker.spawn()
        try:
            broker.port = int(broker.wait_line(r"listening on http://\S+?:(\d+)").group(1))
            hit += produce_some(oracle) > 0
            assert not oracle.verify(), "what was acknowledged is still served"
            oracle.watch_memory()
        except AssertionError:
            if broker.running:
                raise  # else it refused to start: that is an answer too
            hit += 1
        if broker.running:
            broker.kill()
        broker.env = {}
        broker.start()
        assert not oracle.verify(), (n, broker.log)
        assert produce_some(oracle, 3) == 0, "takes writes again after a restart"
        acked += len(oracle.acks)
        assert not any(oracle.bad.values()), (n, oracle.bad)
        broker.stop()
    oracle.test = f"F6 EIO on the n-th {call}, {acked} acked in all"
    oracle.rounds = len(range(1, 51, STEP))
    oracle.verdict()
    assert hit > 0, "no fault was ever hit: the test tests nothing"
