"""Many requests over one connection without waiting for each answer."""

import re
import socket

WINDOW = 64
ANSWER = re.compile(rb"HTTP/1\.1 (\d+) .*?\r\n\r\n", re.DOTALL)
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def request(method, path, body=b"", content_type="text/plain"):
    return (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def _take(buffer):
    """The first whole answer's status and body, and what follows; None when there is none yet."""
    head = ANSWER.match(buffer)
    if not head:
        return None
    end = head.end() + int(LENGTH.search(head.group()).group(1))
    if len(buffer) < end:
        return None
    return int(head.group(1)), buffer[head.end():end], buffer[end:]


def send_all(broker, requests, status, each=None, window=WINDOW):
    """Send them; every answer must be `status`. each(count of answers so far, body) hears of them."""
    waiting = iter(requests)
    with socket.create_connection(("localhost", broker.port), timeout=600) as s:
        under_way = count = 0
        buffer = b""
        more = True
        while more or under_way:
            while more and under_way < window:
                one = next(waiting, None)
                more = one is not None
                if more:
                    s.sendall(one)
                    under_way += 1
            while (answer := _take(buffer)) is None and under_way:
                got = s.recv(1 << 18)
                assert got, buffer[:500]
                buffer += got
            if answer:
                code, body, buffer = answer
                assert code == status, (code, body[:500])
                under_way -= 1
                count += 1
                if each:
                    each(count, body)
    return count
