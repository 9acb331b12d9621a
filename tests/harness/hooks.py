"""Brokers with hooks: a configuration file, and where the tests' own hooks are."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness.broker import BIN

SHARED_OBJECTS = BIN.parent / "hooks"


def so(name, hook=None, **keys):
    """The hook tests/hooks/<name>.c."""
    return {"name": hook or name, "type": "so", "path": str(SHARED_OBJECTS / f"{name}.so"), **keys}


def config(tmp_path, *hooks, name="bourn.yaml"):
    """A file with these hooks, in this order. JSON is YAML."""
    file = tmp_path / name
    file.write_text(json.dumps({"hooks": list(hooks)}))
    return file


def script(tmp_path, text, name="script", **keys):
    """A hook that is this script in Lua."""
    file = tmp_path / f"{name}.lua"
    file.write_text(text)
    return {"name": name, "type": "lua", "path": str(file), **keys}


class Answer:
    """What a hook over HTTP says: a status, fields, a body."""

    def __init__(self, status, body=b"", **fields):
        self.status = status
        self.body = body
        self.fields = {name.replace("_", "-"): value for name, value in fields.items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.owner.connections.append(self.connection)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server.owner
        with server.lock:
            server.seen.append((dict(self.headers), body))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            answer = server.answer(self.headers, body)
        finally:
            with server.lock:
                server.at_once -= 1
        if answer is None:  # hang up
            self.close_connection = True
            return
        if isinstance(answer, bytes):
            self.wfile.write(answer)
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.fields.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_):
        pass


class HttpHook:
    """A server that hooks ask: `answer(headers, body)` returns an Answer, bytes as they are, or None
    to hang up; it may be changed. A thread for each connection. `port` of one that was closed: it is there
    again."""

    def __init__(self, answer, port=0):
        self.answer = answer
        self.seen = []
        self.connections = []
        self.lock = threading.Lock()
        self.at_once = self.most_at_once = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self.server.daemon_threads = True
        self.server.owner = self
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/check"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def hook(self, name="remote", **keys):
        return {"name": name, "type": "http", "url": self.url, **keys}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was closed already
