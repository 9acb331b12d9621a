"""WebSocket clients that people use, made to look alike: each opens, sends, receives and closes.

What a client receives is a str or bytes; `ended()` is the (code, reason) it saw. `Refused` carries
the HTTP status of a handshake that was answered otherwise, or None where a client hides it.
"""

import asyncio
import base64
import json
import threading
from urllib.parse import urlsplit

import aiohttp
import websockets

SECONDS = 30
MIB = 1 << 20


class Refused(Exception):
    def __init__(self, status):
        super().__init__(f"handshake refused: {status}")
        self.status = status


class Loop:
    """An event loop that runs all the time, as an application's does: pings are answered."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(SECONDS)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


class Websockets:
    """Debian's python3-websockets."""

    def __init__(self, _repl):
        self.loop = Loop()
        self.socket = None

    def open(self, url, origin=None):
        async def connect():
            return await websockets.connect(url, origin=origin, max_size=2 * MIB, ping_interval=None)
        try:
            self.socket = self.loop.wait(connect())
        except websockets.InvalidStatusCode as error:
            raise Refused(error.status_code) from None

    def send(self, message):
        self.loop.wait(self.socket.send(message))

    def send_fragments(self, parts):
        self.loop.wait(self.socket.send(parts))

    def receive(self):
        return self.loop.wait(asyncio.wait_for(self.socket.recv(), SECONDS))

    def ping(self):
        async def ping():
            await asyncio.wait_for(await self.socket.ping(b"are you there"), SECONDS)
        self.loop.wait(ping())

    def leave(self, code, reason):
        self.loop.wait(self.socket.close(code, reason))

    def ended(self):
        self.loop.wait(self.socket.wait_closed())
        return self.socket.close_code, self.socket.close_reason

    def close(self):
        if self.socket:
            self.loop.wait(self.socket.close())
        self.loop.close()


class Aiohttp:
    """Debian's python3-aiohttp. It reads, and so answers pings, only while it is asked to."""

    def __init__(self, _repl):
        self.loop = Loop()
        self.session = None

    def open(self, url, origin=None):
        async def session():
            return aiohttp.ClientSession()
        self.session = self.loop.wait(session())
        try:
            self.socket = self.loop.wait(self.session.ws_connect(url, origin=origin, max_msg_size=2 * MIB))
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(error.status) from None

    def send(self, message):
        self.loop.wait(self.socket.send_str(message) if isinstance(message, str)
                       else self.socket.send_bytes(message))

    def receive(self):
        return self.loop.wait(self.socket.receive(SECONDS)).data

    def leave(self, code, reason):
        self.loop.wait(self.socket.close(code=code, message=reason.encode()))

    def ended(self):
        if self.socket.closed:
            return self.socket.close_code, ""
        message = self.loop.wait(self.socket.receive(SECONDS))
        assert message.type == aiohttp.WSMsgType.CLOSE, message
        return message.data, message.extra

    def close(self):
        if self.session:
            self.loop.wait(self.session.close())
        self.loop.close()


class JavaScript:
    """A `Peer` of tests/js/peer.js, in a Repl that stays for the next test."""

    def __init__(self, repl):
        self.repl = repl

    def _open(self, words):
        failure = self.repl.run(f"Peer.socket(new WebSocket({words})).then(p => (globalThis.peer = p).failure)")
        if failure:
            status = failure.rpartition(" ")[2]
            raise Refused(int(status) if status.isdigit() else None)

    def _do(self, words):
        self.repl.run(f"void peer.target.{words}")

    def send(self, message):
        self._do(f"send({literal(message)})")

    def receive(self):
        message = self.repl.run("peer.take()")[0]
        return base64.b64decode(message["base64"]) if isinstance(message, dict) else message

    def leave(self, code, reason):
        self._do(f"close({code}, {json.dumps(reason)})")

    def ended(self):
        end = self.repl.run("peer.take()")[0]
        return end["closed"], end["reason"]

    def close(self):
        self.repl.run("void globalThis.peer?.target.close()")


class Ws(JavaScript):
    """The npm package ws, in node."""

    def open(self, url, origin=None):
        self._open(f"{json.dumps(url)}, {json.dumps({'origin': origin} if origin else {})}")

    def send_fragments(self, parts):
        for part in parts:
            self._do(f"send({literal(part)}, {{fin: {json.dumps(part is parts[-1])}}})")

    def ping(self):
        assert self.repl.run("new Promise(r => {peer.target.once('pong', d => r(String(d)));"
                             "peer.target.ping('are you there')})") == "are you there"


class Chromium(JavaScript):
    """Debian's Chromium; its origin is that of the page it is on: the broker, or another port."""

    def __init__(self, page):
        super().__init__(page)

    def open(self, url, origin=None):
        self.repl.open(f"{origin or 'http://' + urlsplit(url).netloc}/v1/info")
        self._open(json.dumps(url))


def literal(message):
    """A JavaScript expression for a str or bytes."""
    if isinstance(message, str):
        return json.dumps(message)
    return f"Peer.bytes({json.dumps(base64.b64encode(message).decode())})"


CLIENTS = {"websockets": Websockets, "aiohttp": Aiohttp, "ws": Ws, "chromium": Chromium}
