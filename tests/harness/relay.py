"""A wire between client and broker that can be cut and joined again: same port, as a proxy has one."""

import contextlib
import select
import socket
import threading


class Relay:
    def __init__(self, broker):
        self.broker = broker
        self.listener = None
        self.pairs = {}
        self.lock = threading.Lock()
        self.port = 0
        self.join()

    @property
    def url(self):
        return f"http://localhost:{self.port}"

    def join(self):
        """Take connections, on the port of before."""
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self):
        """Refuse new connections and break those there are."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for one in self.pairs:
                with contextlib.suppress(OSError):  # its peer was faster
                    one.shutdown(socket.SHUT_RDWR)
            self.pairs = {}

    def _accept(self, listener):
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(("127.0.0.1", self.broker.port))
            except OSError:
                here.close()
                continue
            with self.lock:
                self.pairs.update({here: there, there: here})
            threading.Thread(target=self._carry, args=(here, there), daemon=True).start()

    def _carry(self, here, there):
        other = {here: there, there: here}
        try:
            while True:
                for one in select.select([here, there], [], [])[0]:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    self._pass(other[one], data)
        except OSError:
            pass
        finally:
            with self.lock:
                self.pairs.pop(here, None)
                self.pairs.pop(there, None)
            here.close()
            there.close()

    def _pass(self, to, data):
        to.sendall(data)


class Stall(Relay):
    """Carries so many bytes, both ways together, then none until it shall go on."""

    def __init__(self, broker, count):
        self.left = count
        self.stalled = threading.Event()
        self.may = threading.Condition()
        super().__init__(broker)

    def go_on(self, count=1 << 40):
        with self.may:
            self.left = count
            self.stalled.clear()
            self.may.notify_all()

    def _pass(self, to, data):
        while data:
            with self.may:
                while self.left <= 0:
                    self.stalled.set()
                    self.may.wait()
                part, data = data[:self.left], data[self.left:]
                self.left -= len(part)
            to.sendall(part)
