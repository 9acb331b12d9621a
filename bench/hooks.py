#!/usr/bin/python3
"""What it costs an event that there could be hooks: instructions, counted by callgrind, of a broker without any
configured and of one in which the calls are compiled out (-DBOURN_WITHOUT_HOOKS).

    bench/hooks.py WITH WITHOUT     two builds of the program, with debug information, as hooks.sh makes them

Single POSTs of 100 bytes, one at a time, one shard, class `none`; then the same with somebody who follows the
topic, so that events are delivered too. Counted is what the sources in LAYERS take, where the calls are: how
often a loop turns and wakes is the machine's. The two take turns; printed are medians of the rounds, and how far
these scatter.
"""

import http.client
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

WARM_UP, EVENTS, ROUNDS = 300, 1000, 3
LAYERS = ("broker", "core", "front", "hook", "record", "wire")
BODY = b"x" * 100
START_SECONDS = 120


def is_ready(port):
    """It listens before its store is open."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/readyz")
    status = connection.getresponse().status
    connection.close()
    return status == 200


class Counted:
    """A broker under callgrind."""

    def __init__(self, program, directory):
        self.directory = pathlib.Path(directory)
        with open(self.directory / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/counts", program, "serve",
                 "--data", f"{directory}/data", "--host", "127.0.0.1", "--port", "0", "--shards", "1",
                 "--durability", "none"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.port = self._wait()
        self.dumps = 0

    def _wait(self):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            listening = re.search(r"listening on http://\S+?:(\d+)", (self.directory / "log").read_text())
            if listening and is_ready(int(listening.group(1))):
                return int(listening.group(1))
            time.sleep(0.05)
        sys.exit(f"bench: no broker:\n{(self.directory / 'log').read_text()}")

    def count(self):
        """Instructions since the last time."""
        self.dumps += 1
        subprocess.run(["callgrind_control", "-d", str(self.process.pid)], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True)
        listed = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no",
                                 f"{self.directory}/counts.{self.dumps}"],
                                capture_output=True, text=True, check=True).stdout
        return sum(int(count.replace(",", "")) for count, layer in
                   re.findall(r"^ *([\d,]+) .*?/src/(\w+)/[\w/]+\.[ch]:", listed, re.MULTILINE) if layer in LAYERS)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def post(connection, times):
    """Each in one piece, as what comes in two may take a turn more."""
    request = (b"POST /produce/t HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
               b"Content-Length: %d\r\n\r\n" % len(BODY))
    for _ in range(times):
        connection.sendall(request + BODY)
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 201 ") and answer.endswith(b"}\n"), answer


def follow(port):
    """Read what comes, to the end."""
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(b"GET /subscribe/t HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while s.recv(1 << 16):
            pass


def measure(program, followed):
    """Instructions an event."""
    with tempfile.TemporaryDirectory() as directory:
        broker = Counted(program, directory)
        if followed:
            threading.Thread(target=follow, args=(broker.port,), daemon=True).start()
        with socket.create_connection(("127.0.0.1", broker.port)) as connection:
            post(connection, WARM_UP)
            broker.count()
            post(connection, EVENTS)
            counted = broker.count()
        broker.stop()
        return counted / EVENTS


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if not shutil.which("valgrind"):
        sys.exit("bench: 'valgrind' is missing: apt-get install valgrind")
    for followed in (False, True):
        counts = {program: [] for program in sys.argv[1:]}
        for turn in range(ROUNDS):
            for program in sorted(counts, reverse=turn % 2):
                counts[program].append(measure(program, followed))
        have, lack = (statistics.median(counts[program]) for program in sys.argv[1:])
        scatter = max(max(c) - min(c) for c in counts.values())
        print(f"{'produced and delivered' if followed else 'produced':24} {have - lack:5.1f} instructions an event more"
              f" ({have:.0f} against {lack:.0f}; rounds differ by up to {scatter:.1f})")


if __name__ == "__main__":
    main()
