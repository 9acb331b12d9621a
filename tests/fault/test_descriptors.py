"""F10: a small `ulimit -n` and many more connections: accept does not spin, those inside are served,
files are opened still, and it recovers."""

import os
import socket
import time

from harness.broker import BIN
from harness.http import Connection
from harness.oracle import report

LIMIT = 256
MANY = 300  # more topics than descriptors
ROOM = LIMIT - LIMIT // 4  # what is left for connections


def cpu_seconds(process):
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_open(connection):
    """True when the broker has answered, False when it has closed."""
    try:
        connection.request("GET", "/livez")
        return connection.read_reply().status == 200
    except (AssertionError, OSError):
        return False


def test_more_connections_than_descriptors(start, engine, busy, tmp_path):
    limited = tmp_path / "bourn"
    limited.write_text(f'#!/bin/sh\nulimit -n {LIMIT} && exec {BIN} "$@"\n')
    limited.chmod(0o755)
    broker = start(storage=engine, shards=2, binary=limited, env=busy)
    for i in range(MANY):  # of which each has a segment to be opened
        broker.produce(f"before-{i}", f"{i}" * 20_000)
    broker.restart()
    crowd = []
    for _ in range(1000):
        try:
            crowd.append(Connection(broker.port))
        except ConnectionResetError:
            pass
    inside = [connection for connection in crowd if is_open(connection)]
    assert len(inside) == ROOM - 1, "and the harness's own"
    assert broker.metric("bourn_connections") == ROOM
    assert broker.metric("bourn_connections_refused_total") >= 1000 - ROOM

    before = cpu_seconds(broker.process)
    time.sleep(1)
    idle_cpu = cpu_seconds(broker.process) - before
    assert idle_cpu < 0.5, "it spins"

    for i in range(20):  # new topics and a snapshot are new files
        broker.produce(f"topic-{i}", "x" * 100_000)
    assert broker.client.post("/v1/admin/snapshot").status == 200
    for i in range(MANY):
        assert broker.values(f"before-{i}") == [f"{i}" * 20_000]
    assert broker.client.get("/v1/connections?limit=1").json()["total"] == ROOM

    for connection in crowd:
        connection.close()
    deadline = time.monotonic() + 20
    while broker.metric("bourn_connections") > 1:
        assert time.monotonic() < deadline
    with socket.create_connection(("127.0.0.1", broker.port)) as one:
        one.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert one.recv(64).startswith(b"HTTP/1.1 200")
    report(test="F10 descriptors", engine=engine, n=1000, served=len(inside), idle_cpu_s=round(idle_cpu, 2),
           max_rss=broker.rss_bytes(), verdict="pass")
