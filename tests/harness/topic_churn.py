"""Topics that come, change, lose their events and go while the broker is killed; and what must be
there afterwards: whatever was answered."""

import json
import random
import threading

NAMES = 6
JSON = {"Content-Type": "application/json"}


class TopicChurn:
    def __init__(self, broker, seed):
        self.broker = broker
        self.random = random.Random(f"{seed} topics")
        self.count = 0    # answered
        # name -> the value of its one event, "" without any, None without a topic; not here: unknown
        self.known = {f"churn-{i}": None for i in range(NAMES)}
        self.values = dict.fromkeys(self.known, "")  # the value that may be there where it is unknown
        self.tried = 0

    def start(self):
        self.failure = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def join(self):
        self.thread.join(60)
        assert not self.thread.is_alive(), "topic operations hang"
        if self.failure:
            raise self.failure

    def _run(self):
        client = self.broker.new_client()
        try:
            while True:
                self._change(client, self.random.choice(list(self.values)))
        except OSError:
            pass  # cut off
        except AssertionError as error:
            if "closed in the middle" not in str(error):
                self.failure = error

    def _ask(self, client, name, expected, known, *request):
        reply = client.request(*request)
        assert reply.status in expected, reply
        self.known[name] = known
        self.count += 1

    def _change(self, client, name):
        """One operation; what it leaves is unknown until it is answered."""
        state = self.known.pop(name)
        path = f"/v1/topics/{name}"
        if state is None:
            self.values[name] = ""
            self._ask(client, name, (201,), "", "PUT", path, json.dumps({"partitions": 2}), JSON)
        elif state == "":
            self.tried += 1
            self.values[name] = f"{name} {self.tried}"
            self._ask(client, name, (201,), self.values[name], "POST", f"/produce/{name}?partition=1",
                      self.values[name], {"Content-Type": "text/plain"})
        elif self.random.random() < 0.3:
            self._ask(client, name, (200, 204), "", "POST", f"{path}/purge")
        elif self.random.random() < 0.3:
            settings = {"settings": {"retention.count": self.random.randint(1, 9)}}
            self._ask(client, name, (200,), state, "PATCH", path, json.dumps(settings), JSON)
        else:
            self._ask(client, name, (204,), None, "DELETE", path)

    def verify(self):
        """Compare with what a restarted broker says, which is then what is known; returns what is wrong."""
        wrong = []
        for name, last in self.values.items():
            there = self.broker.client.get(f"/v1/topics/{name}").status == 200
            found = (self.broker.values(name) + [""])[0] if there else None
            known = self.known.get(name, found)
            if found != known or found not in (None, "", last):
                wrong.append((name, known, found))
            self.known[name] = found
        return wrong
