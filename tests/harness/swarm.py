"""Thousands of subscribers in one process: each receives a stream that is known byte for byte, and
what it receives is compared with it, so that any loss, repeat or disorder is seen at once.
"""

import base64
import os
import resource
import select
import socket
import struct
import time

from harness.ws import TEXT

READ_BYTES = 1 << 18


def allow_files(count):
    """Why so many sockets cannot be had; None when they can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        return f"SKIPPED LOUDLY: {count} sockets are needed, and `ulimit -Hn` is {hard}"
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return None


def frame(payload, opcode=TEXT):
    """As the broker sends it."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


class Subscriber:
    def __init__(self, broker, path, headers, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:  # before connecting: it is what the window is made of
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", broker.port))
        version = b"1.1" if b"Upgrade" in headers else b"1.0"  # without chunks: the stream, bare
        self.socket.sendall(b"GET %s HTTP/%s\r\nHost: localhost\r\n%s\r\n" % (path.encode(), version, headers))
        self.rest = b""
        self.place = 0

    def read_through(self, end):
        """What comes up to `end` and with it."""
        while end not in self.rest:
            data = self.socket.recv(READ_BYTES)
            assert data, f"closed after {self.rest!r}"
            self.rest += data
        found, self.rest = self.rest.split(end, 1)
        return found + end


def websocket(broker, path, **options):
    key = base64.b64encode(os.urandom(16))
    one = Subscriber(broker, path, b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     b"Sec-WebSocket-Key: %s\r\n" % key, **options)
    head = one.read_through(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return one


def event_source(broker, path, **options):
    one = Subscriber(broker, path, b"Accept: text/event-stream\r\n", **options)
    head = one.read_through(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0], head
    while b"id: " not in one.read_through(b"\n\n"):
        pass  # it begins with the time to retry, and its place
    return one


class Swarm:
    """Subscribers of one kind: `expected` is what each of them receives."""

    def __init__(self):
        self.poll = select.epoll()
        self.waiting = {}

    def add(self, subscriber, expected):
        subscriber.expected = expected
        subscriber.socket.setblocking(False)
        self.waiting[subscriber.socket.fileno()] = subscriber
        self.poll.register(subscriber.socket, select.EPOLLIN)
        self._compare(subscriber, b"")

    def expect_more(self, subscribers, expected):
        """A further stream, after the one that all have received."""
        for subscriber in subscribers:
            subscriber.place = 0
            self.add(subscriber, expected)

    def receive(self, seconds):
        """Until each has received all; nothing may come after it."""
        deadline = time.monotonic() + seconds
        while self.waiting:
            left = deadline - time.monotonic()
            assert left > 0, f"{len(self.waiting)} wait after {seconds} s, the first at {self._least()}"
            for fd, _events in self.poll.poll(left):
                subscriber = self.waiting[fd]
                data = subscriber.socket.recv(READ_BYTES)
                assert data, f"closed at {subscriber.place} of {len(subscriber.expected)}"
                self._compare(subscriber, data)

    def _least(self):
        return min(subscriber.place for subscriber in self.waiting.values())

    def _compare(self, subscriber, data):
        data = subscriber.rest + data
        subscriber.rest = b""
        place = subscriber.place
        wanted = subscriber.expected[place:place + len(data)]
        while data != wanted:
            data = self._without_comment(subscriber, data, wanted)
            wanted = subscriber.expected[place:place + len(data)]
        subscriber.place += len(data)
        if subscriber.place == len(subscriber.expected) and not subscriber.rest:
            fd = subscriber.socket.fileno()
            self.poll.unregister(fd)
            del self.waiting[fd]

    def _without_comment(self, subscriber, data, wanted):
        """Where a stream differs there may be a comment, which means nothing; else it is wrong."""
        same = len(os.path.commonprefix([data, wanted]))
        if data[same:same + 1] == b":":
            end = data.find(b"\n\n", same)
            if end >= 0:
                return data[:same] + data[end + 2:]
            subscriber.rest = data[same:]
            return data[:same]
        begin = max(0, same - 150)
        raise AssertionError(f"at {subscriber.place + same}: got {data[begin:same + 150]!r}, "
                             f"wanted {wanted[begin:same + 150]!r}")
