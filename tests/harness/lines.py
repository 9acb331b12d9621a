"""A subscription as NDJSON: lines as they come."""

import json


class Lines:
    def __init__(self, broker, path, headers=()):
        self.connection = broker.connect()
        self.connection.request("GET", path, headers)
        self.reply = self.connection.read_head()
        self.rest = b""

    def __enter__(self):
        assert self.reply.status == 200, self.reply
        assert self.reply.header("content-type") == "application/x-ndjson"
        return self

    def __exit__(self, *_):
        self.connection.close()

    def line(self):
        """The next event; empty lines keep a connection alive and say nothing."""
        while True:
            while b"\n" not in self.rest:
                chunk = self.connection.read_chunk()
                assert chunk, "the stream ended"
                self.rest += chunk
            line, self.rest = self.rest.split(b"\n", 1)
            if line.strip():
                return json.loads(line)

    def lines(self, count):
        return [self.line() for _ in range(count)]

    def values(self, count):
        return [self.line()["value"] for _ in range(count)]

    def ends(self):
        return self.connection.read_chunk() == b""
