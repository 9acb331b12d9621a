"""Server-sent events, read as the HTML standard says (9.2.6), so as a browser does.

`EventSource` is one request; `again()` is what a browser does when the connection breaks.
"""

import base64
import codecs
import json
import re

from harness.http import Connection

LINE_END = re.compile("\r\n|\n|\r")


class Event:
    def __init__(self, kind, data, last_id):
        self.type = kind
        self.data = data
        self.id = last_id

    def json(self):
        return json.loads(self.data)

    def bytes(self):
        """What was produced: `binary` carries it in base64."""
        return base64.b64decode(self.data, validate=True) if self.type == "binary" else self.data.encode()

    def __repr__(self):
        return f"Event({self.type}, {self.data[:200]!r}, id={self.id})"


class Parser:
    """Bytes in, events out."""

    def __init__(self):
        self.decode = codecs.getincrementaldecoder("utf-8")("strict").decode
        self.text = ""
        self.begun = False
        self.type = ""
        self.data = []
        self.id_field = ""     # of the block that is being read
        self.last_id = ""      # what a browser would send as Last-Event-ID
        self.retry_ms = None
        self.comments = 0
        self.ids = []          # every id: line, in order

    def feed(self, data):
        self.text += self.decode(data)
        if not self.begun and self.text:
            self.begun = True
            self.text = self.text.removeprefix("\ufeff")
        held = "\r" if self.text.endswith("\r") else ""  # a line feed may follow
        *lines, self.text = LINE_END.split(self.text.removesuffix(held))
        self.text += held
        for line in lines:
            event = self._line(line)
            if event:
                yield event

    def _line(self, line):
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments += 1
        elif name == "event":
            self.type = value
        elif name == "data":
            self.data.append(value)
        elif name == "id" and "\0" not in value:
            self.id_field = value
            self.ids.append(value)
        elif name == "retry" and value.isdecimal():
            self.retry_ms = int(value)
        return None

    def _dispatch(self):
        self.last_id = self.id_field
        kind, lines = self.type or "message", self.data
        self.type, self.data = "", []
        return Event(kind, "\n".join(lines), self.last_id) if lines else None


class EventSource:
    def __init__(self, broker, path, headers=()):
        self.broker = broker
        self.path = path
        self.came = []
        self._open(list(headers))

    def _open(self, headers):
        self.connection = Connection(self.broker.port)
        self.connection.request("GET", self.path, [("Accept", "text/event-stream"), *headers])
        self.reply = self.connection.read_head()
        if self.reply.status != 200:
            self.reply.body = self.connection.read(int(self.reply.header("content-length")))
        self.parser = Parser()

    def __enter__(self):
        assert self.reply.status == 200, self.reply
        return self

    def __exit__(self, *_):
        self.connection.close()

    def again(self):
        """As a browser does when the connection breaks."""
        self.connection.close()
        self._open([("Last-Event-ID", self.parser.last_id)] if self.parser.last_id else [])
        return self.__enter__()

    def _more(self):
        chunk = self.connection.read_chunk()
        self.came += self.parser.feed(chunk)
        return bool(chunk)

    def event(self):
        """The next event; None when the stream has ended."""
        while not self.came:
            if not self._more():
                return None
        return self.came.pop(0)

    def events(self, count):
        events = [self.event() for _ in range(count)]
        assert None not in events, f"the stream ended: {events}"
        return events

    def data(self, count):
        """Of events that are nothing but text."""
        events = self.events(count)
        assert all(event.type == "message" for event in events), events
        return [event.data for event in events]

    def id(self):
        """The place that the stream begins with, before any event."""
        while not self.parser.last_id:
            assert not self.came and self._more(), "no id came"
        return self.parser.last_id

    def ends(self):
        return self.event() is None
