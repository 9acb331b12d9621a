"""Fixtures of the fault tests, and what a person sees of them: each one's JSON line; with
`--progress-fd N` also a line there as each test ends, and a table of all."""

import json
import os
import re
import subprocess
import time

import pytest

from harness.broker import why_not
from harness.filesystem import FileSystem

collect_ignore = [] if os.environ.get("BOURN_LONG") else ["test_versions.py"]  # it builds an older program
ENGINES = ("memory", "log", "rocksdb")
# Checkpoints all the time, so that faults hit them too; and under `log` nearly nothing stays in memory.
BUSY = {"BOURN_STORAGE_SNAPSHOT_SIZE": "1MiB", "BOURN_STORAGE_SNAPSHOT_AGE": "300ms",
        "BOURN_STORAGE_MEMORY": "1MiB"}


@pytest.fixture(params=ENGINES)
def engine(request):
    if why_not(request.param):
        pytest.skip(f"SKIPPED LOUDLY: {why_not(request.param)}")
    return request.param


@pytest.fixture
def busy():
    """Settings of a broker, as its environment."""
    return dict(BUSY)


@pytest.fixture
def make_disk(tmp_path):
    """make_disk(kind, bytes): a mounted file system of its own; skips where that is not allowed."""
    made = []

    def make(kind, size):
        made.append(FileSystem(tmp_path, kind, size))
        try:
            made[0].make()
        except (OSError, subprocess.CalledProcessError) as error:
            why = getattr(error, "stderr", b"") or str(error).encode()
            pytest.skip(f"SKIPPED LOUDLY: cannot mount a file system here: {why.decode().strip()}")
        return made[0]

    yield make
    for disk in made:
        disk.remove()


def pytest_addoption(parser):
    parser.addoption("--progress-fd", type=int, help="where to write a line as each test ends; print a table, too")


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(config.getoption("--progress-fd", None)))


def verdicts(report):
    """The JSON lines that a test printed."""
    if report.when != "call":
        return []  # the later phases' reports have the output of the earlier ones again
    return [json.loads(line) for line in report.capstdout.splitlines() if line.startswith('{"test"')]


class Progress:
    HEAD = ("test", "engine", "class", "n", "acked", "missing", "duplicates", "disorder", "seconds", "verdict")

    def __init__(self, fd):
        self.fd = fd
        self.began = time.monotonic()
        self.rows = []

    def pytest_runtest_logreport(self, report):
        for fields in verdicts(report):
            self.rows.append({**fields, "seconds": round(report.duration)})
        if self.fd is None or report.when == "setup" and report.passed or report.when == "teardown" and report.passed:
            return
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        outcome = {"passed": "ok", "skipped": "SKIPPED"}.get(report.outcome, "FAILED")
        name = report.nodeid.split("/")[-1].removeprefix("test_")
        os.write(self.fd, f"{minutes:3}:{seconds:02}  {outcome:7} {name}\n".encode())

    def pytest_terminal_summary(self, terminalreporter):
        rows = sorted(self.rows, key=number_of)
        for fields in rows:
            terminalreporter.write_line(json.dumps(fields))
        if self.fd is not None and rows:
            terminalreporter.write_line(table([self.HEAD] + [[fields.get(name, "") for name in self.HEAD]
                                                             for fields in rows]))


def number_of(fields):
    """For sorting: F10 after F9."""
    number = re.match(r"\D*(\d*)", fields["test"])[1]
    return int(number or 0), fields["test"], fields.get("engine", ""), fields.get("class", "")


def table(rows):
    """In Markdown, as wide as it must be, numbers to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    columns = list(zip(*rows))
    right = [any(column[1:]) and all(cell.isdigit() or not cell for cell in column[1:]) for column in columns]
    widths = [max(3, *map(len, column)) for column in columns]
    rows.insert(1, ["-" * (width - 1) + ":" if to_right else "-" * width for width, to_right in zip(widths, right)])
    return "\n".join("| " + " | ".join(cell.rjust(width) if to_right else cell.ljust(width)
                                       for cell, width, to_right in zip(row, widths, right)) + " |" for row in rows)
