"""JavaScript clients: node, or a page in Debian's Chromium, one expression at a time."""

import json
import pathlib
import queue
import shutil
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHROMIUM = pathlib.Path("/usr/bin/chromium")
SECONDS = 60


def absent(browser=False):
    """Why there can be no such client here; None when there can."""
    if not shutil.which("node"):
        return "SKIPPED LOUDLY: there is no node: ./dev deps test"
    if not (ROOT / "build/js/node_modules/.package-lock.json").exists():
        return "SKIPPED LOUDLY: there is no build/js/node_modules: ./dev deps test"
    if browser and not CHROMIUM.exists():
        return f"SKIPPED LOUDLY: there is no {CHROMIUM}: ./dev deps test"
    return None


class Repl:
    """tests/js/repl.mjs: see there."""

    def __init__(self, browser=False):
        words = ["node", str(ROOT / "tests/js/repl.mjs")] + ([str(CHROMIUM)] if browser else [])
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answers = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(None)

    def _ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.answers.get(timeout=SECONDS)
        assert line, "the script ended"
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def open(self, url):
        """A new page, in place of the one before."""
        self._ask(open=url)

    def run(self, expression):
        """The value of an expression; a promise is waited for."""
        return self._ask(run=expression)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
