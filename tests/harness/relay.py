"""A wire between client and broker that can be cut and joined again: same port, as a proxy has one."""

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
                    other[one].sendall(data)
        except OSError:
            pass
        finally:
            with self.lock:
                self.pairs.pop(here, None)
                self.pairs.pop(there, None)
            here.close()
            there.close()
