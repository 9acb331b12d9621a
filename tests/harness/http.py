"""HTTP/1.1 twice: `Client` for asking, `Connection` for looking at every byte."""

import json
import socket

SECONDS = 30  # no answer after this is a failure


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # [(name in lower case, value)], in order
        self.body = body

    def header(self, name, default=None):
        """The value of a header that must not stand there twice."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) < 2, f"{name} twice: {self}"
        return values[0] if values else default

    def json(self):
        return json.loads(self.body)

    def lines(self):
        """Of an NDJSON body."""
        return [json.loads(line) for line in self.body.splitlines()]

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:600]!r}"


class Connection:
    """A socket and a strict reader of responses."""

    def __init__(self, port, host="127.0.0.1"):
        self.host = f"{host}:{port}"
        self.socket = socket.create_connection((host, port), timeout=SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def request(self, method, path, headers=(), body=b""):
        """Send a request with nothing but Host and what is given."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def _more(self):
        data = self.socket.recv(1 << 16)
        self.buffer += data
        return len(data)

    def read(self, count):
        while len(self.buffer) < count:
            assert self._more(), f"closed in the middle, after {self.buffer[:300]!r}"
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_line(self, end=b"\r\n"):
        while end not in self.buffer:
            assert self._more(), f"closed in the middle, after {self.buffer[:300]!r}"
        line, self.buffer = self.buffer.split(end, 1)
        return line

    def read_head(self):
        version, status, _reason = self.read_line().split(b" ", 2)
        assert version == b"HTTP/1.1"
        headers = []
        while line := self.read_line():
            name, value = line.decode().split(":", 1)
            headers.append((name.lower(), value.strip()))
        return Reply(int(status), headers, b"")

    def read_reply(self, head_only=False):
        """One whole response; `head_only` for the answer to HEAD."""
        reply = self.read_head()
        if head_only or reply.status in (204, 304) or reply.status < 200:
            return reply
        if reply.header("transfer-encoding"):
            assert reply.header("content-length") is None
            reply.body = b"".join(self.chunks())
        else:
            reply.body = self.read(int(reply.header("content-length")))
        return reply

    def read_chunk(self):
        """One chunk of a chunked body; b"" is the last."""
        size = int(self.read_line(), 16)
        data = self.read(size)
        assert self.read_line() == b""
        return data

    def chunks(self):
        while data := self.read_chunk():
            yield data

    def at_end(self):
        """True when the broker has closed and nothing is left to read."""
        try:
            return not self.buffer and not self._more()
        except ConnectionResetError:
            return True


class Client:
    """Requests over one kept-alive connection, opened anew when the broker closed it."""

    def __init__(self, port):
        self.port = port
        self.connection = None

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def request(self, method, path, body=None, headers=None):
        if self.connection is None:
            self.connection = Connection(self.port)
        body = body.encode() if isinstance(body, str) else body
        fields = list((headers or {}).items())
        if body is not None:
            fields.append(("Content-Length", len(body)))
        try:
            self.connection.request(method, path, fields, body or b"")
            reply = self.connection.read_reply(head_only=method == "HEAD")
        except (AssertionError, OSError):
            self.close()
            raise
        if (reply.header("connection") or "").lower() == "close":
            self.close()
        return reply

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def post(self, path, body=b"", content_type=None, headers=None):
        fields = {"Content-Type": content_type} if content_type else {}
        return self.request("POST", path, body, {**fields, **(headers or {})})

    def put_json(self, path, value):
        return self.request("PUT", path, json.dumps(value), {"Content-Type": "application/json"})

    def patch_json(self, path, value):
        return self.request("PATCH", path, json.dumps(value), {"Content-Type": "application/json"})

    def delete(self, path):
        return self.request("DELETE", path)


def is_problem(reply, status, code):
    """The one shape of every refusal (RFC 9457 with a stable code)."""
    assert reply.status == status, reply
    assert reply.header("content-type") == "application/problem+json", reply
    problem = reply.json()
    assert problem["status"] == status, reply
    assert problem["code"] == code, reply
    assert problem["title"], reply
    assert problem["request_id"], reply
    return problem
