"""A broker process: start it on a free port, ask it, stop it, kill it, start it again."""

import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import weakref

from harness.http import Client, Connection
from harness.process import doing, stalls

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BOURN_BIN") or ROOT / "build/release/bourn").resolve()
TEST_BIN = pathlib.Path(os.environ.get("BOURN_TEST_BIN") or BIN.with_name("bourn-test")).resolve()

LISTENING = re.compile(r"listening on (http://\S+?):(\d+)")
# What a sanitizer or a failed CHECK prints: never acceptable, whatever else went well.
ABORTED = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|CHECK failed|check failed")
# Generous: sanitizers, a loaded machine. A start takes milliseconds, but flushes some twenty times, one after the
# other, and others may keep the disk for seconds each.
START_SECONDS = 60
STOP_SECONDS = 2 if "release" in str(BIN) else 10


@functools.cache
def why_not(engine):
    """What the binary lacks for that engine; None: nothing."""
    done = subprocess.run([BIN, "serve", "--storage", engine, "--data", "/nowhere/at/all", "--log-level", "off"],
                          capture_output=True, text=True)
    return done.stderr.strip() if "install " in done.stderr else None


class Broker:
    """One data directory and the process that serves it, if any."""

    all = weakref.WeakSet()

    def __init__(self, data, shards=1, storage=None, binary=None, config=None, env=None, args=()):
        self.data = pathlib.Path(data)
        self.shards = shards
        self.storage = storage
        self.binary = binary or BIN
        self.config = config
        self.env = env or {}
        self.args = list(args)
        self.lines = []
        self.process = None
        self.stalls = {}  # when it was started
        Broker.all.add(self)
        self.port = 0
        self.asked_port = 0
        self._client = None

    # --- life ----------------------------------------------------------------

    def command(self):
        words = [str(self.binary), "serve"]
        if self.config:
            words += ["--config", str(self.config)]
        words += ["--host", "localhost", "--port", str(self.asked_port), "--data", str(self.data)]
        words += ["--shards", str(self.shards)]
        if self.storage:
            words += ["--storage", self.storage]
        return words + self.args

    def spawn(self):
        """Start the process; do not wait for anything."""
        self.lines = []
        self._heard = threading.Condition()
        self._closed = False
        self._client = None
        self.stalls = stalls()
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", cwd=self.data.parent,
            env={**os.environ, "NO_COLOR": "1", **self.env})
        threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()

    def _listen(self, pipe):
        for line in pipe:
            with self._heard:
                self.lines.append(line.rstrip("\n"))
                self._heard.notify_all()
        with self._heard:
            self._closed = True
            self._heard.notify_all()

    def wait_line(self, pattern, seconds=START_SECONDS):
        """The match of the first line that `pattern` is found in."""
        deadline = time.monotonic() + seconds
        seen = 0
        with self._heard:
            while True:
                for line in self.lines[seen:]:
                    match = re.search(pattern, line)
                    if match:
                        return match
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    why = "ended" if self._closed else f"silent for {seconds} s"
                    raise AssertionError(f"no line with {pattern!r} ({why}):\n{self.log}")
                self._heard.wait(left)

    def start(self, shards=None, port=0):
        """Start, on a free port or on that of before, and wait until it is ready."""
        self.asked_port = port
        if shards:
            self.shards = shards
        self.spawn()
        self.port = int(self.wait_line(LISTENING).group(2))
        deadline = time.monotonic() + START_SECONDS
        while self.client.get("/readyz").status != 200:
            assert time.monotonic() < deadline, f"not ready:\n{self.log}"
        return self

    def stop(self):
        """SIGTERM: every acknowledged event safe, exit 0 within two seconds."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self._wait(STOP_SECONDS + 8)
        took = time.monotonic() - started
        assert code == 0, f"exit {code} after SIGTERM:\n{self.log}"
        assert took <= STOP_SECONDS, f"took {took:.1f} s to stop:\n{self.log}"

    def kill(self):
        self.process.kill()
        self._wait(10)

    def restart(self, shards=None):
        self.stop()
        return self.start(shards)

    def refuses_to_start(self):
        """Start where it must not: returns (exit code, what it said)."""
        self.spawn()
        return self._wait(START_SECONDS), self.log

    def _wait(self, seconds):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            why = self.doing()
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s:\n{why}\n{self.log}")
        with self._heard:
            self._heard.wait_for(lambda: self._closed, 5)
        assert not ABORTED.search(self.log), self.log
        return code

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def log(self):
        return "\n".join(self.lines)

    def doing(self):
        """In words, for whoever waits for it."""
        return doing(self.process.pid, self.stalls)

    def rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024

    # --- talking to it -------------------------------------------------------

    @property
    def url(self):
        return f"http://localhost:{self.port}"

    @property
    def ws_url(self):
        return f"ws://localhost:{self.port}"

    @property
    def client(self):
        """One keep-alive connection, shared by the test's own thread."""
        if self._client is None:
            self._client = Client(self.port)
        return self._client

    def new_client(self):
        return Client(self.port)

    def connect(self):
        """A socket, to speak HTTP byte by byte."""
        return Connection(self.port)

    def info(self):
        return self.client.get("/v1/info").json()

    def metric(self, name):
        """The value of one metric, summed over all shards."""
        text = self.client.get("/metrics").body.decode()
        return int(re.search(rf"^{name} (\d+)$", text, re.MULTILINE).group(1))

    def cli(self, *words, stdin=None, timeout=30, env=None, binary=None):
        """Run the command line against this broker; returns the CompletedProcess, in bytes."""
        if isinstance(stdin, str):
            stdin = stdin.encode()
        return subprocess.run(
            [str(binary or BIN), *map(str, words)], input=stdin if stdin is not None else b"",
            capture_output=True, timeout=timeout, cwd=self.data.parent,
            env={**os.environ, "BOURN_URL": self.url, "NO_COLOR": "1", **(env or {})})

    # --- words that many tests share -----------------------------------------

    def produce(self, topic, body, content_type="text/plain", query="", **headers):
        """One event; returns its acknowledgement."""
        reply = self.client.post(f"/produce/{topic}{query}", body, content_type,
                                 {k.replace("_", "-"): v for k, v in headers.items()})
        assert reply.status == 201, reply
        return reply.json()

    def consume(self, topic, query=""):
        reply = self.client.get(f"/consume/{topic}{query}")
        assert reply.status == 200, reply
        return reply.json()

    def values(self, topic, query="?limit=10000"):
        return [event["value"] for event in self.consume(topic, query)["events"]]

    def create(self, topic, partitions=1, **settings):
        body = {"partitions": partitions}
        if settings:
            body["settings"] = {name.replace("_", "."): value for name, value in settings.items()}
        reply = self.client.request("PUT", f"/v1/topics/{topic}", json.dumps(body),
                                    {"Content-Type": "application/json"})
        assert reply.status == 201, reply
        return reply.json()
