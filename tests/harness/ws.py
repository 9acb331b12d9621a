"""WebSocket, frame by frame: what a well-behaved library would not send."""

import base64
import hashlib
import os
import struct

from harness.http import Connection

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Frame:
    def __init__(self, opcode, payload, fin=True):
        self.opcode = opcode
        self.payload = payload
        self.fin = fin

    @property
    def close_code(self):
        assert self.opcode == CLOSE, self
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else 1005

    @property
    def close_reason(self):
        return self.payload[2:].decode()

    def __repr__(self):
        return f"Frame({self.opcode}, {self.payload[:200]!r}, fin={self.fin})"


class WebSocket:
    def __init__(self, port, path, headers=()):
        self.connection = Connection(port)
        key = base64.b64encode(os.urandom(16))
        self.connection.request("GET", path, [
            ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", key.decode()), *headers])
        self.reply = self.connection.read_head()
        if self.reply.status == 101:
            accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest()).decode()
            assert self.reply.header("sec-websocket-accept") == accept
        else:
            self.reply.body = self.connection.read(int(self.reply.header("content-length")))

    def __enter__(self):
        assert self.reply.status == 101, self.reply
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, opcode, payload=b"", fin=True, reserved=0, masked=True):
        payload = payload.encode() if isinstance(payload, str) else payload
        first = (0x80 if fin else 0) | reserved << 4 | opcode
        mask_bit = 0x80 if masked else 0
        if len(payload) < 126:
            head = struct.pack("!BB", first, mask_bit | len(payload))
        elif len(payload) < 1 << 16:
            head = struct.pack("!BBH", first, mask_bit | 126, len(payload))
        else:
            head = struct.pack("!BBQ", first, mask_bit | 127, len(payload))
        if masked:
            key = os.urandom(4)
            stream = (key * (len(payload) // 4 + 1))[:len(payload)]
            mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
            payload = key + mixed.to_bytes(len(payload), "big")
        self.connection.send(head + payload)

    def read(self):
        """The next frame, whole; the broker's are never masked."""
        first, second = self.connection.read(2)
        assert not first & 0x70, "reserved bits set"
        assert not second & 0x80, "masked by the server"
        length = second & 0x7F
        if length == 126:
            length = struct.unpack("!H", self.connection.read(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self.connection.read(8))[0]
        return Frame(first & 0x0F, self.connection.read(length), bool(first & 0x80))

    def read_message(self):
        """The next data frame; pings are answered on the way."""
        while True:
            frame = self.read()
            if frame.opcode == PING:
                self.send(PONG, frame.payload)
            else:
                return frame

    def expect_close(self, code):
        """The broker closes with `code`, and then the connection."""
        frame = self.read_message()
        while frame.opcode in (TEXT, BINARY):
            frame = self.read_message()
        assert frame.opcode == CLOSE and frame.close_code == code, (frame, frame.close_code)
        self.send(CLOSE, frame.payload[:2])
        assert self.connection.at_end()
        return frame
