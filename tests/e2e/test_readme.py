"""The README's tour, as printed: each ```console block is typed in and its output compared.

A line that begins with `$ ` is a command, the lines after it are what it prints; … stands for
anything. All blocks share one broker, which stands for `./dev run`, and one directory.
"""

import os
import pathlib
import re
import subprocess

import pytest

from harness.broker import BIN, ROOT

README = ROOT / "README.md"


def blocks(text):
    return re.findall(r"^```console\n(.*?)^```", text, re.M | re.S)


def commands(block):
    """[(command, expected output)]"""
    parts = re.split(r"^\$ ", block, flags=re.M)[1:]
    return [part.split("\n", 1) for part in parts]


def matches(expected, actual):
    pattern = ".*?".join(re.escape(piece) for piece in expected.rstrip("\n").split("…"))
    return re.fullmatch(pattern, actual.rstrip("\n"), re.S)


def test_the_tour(start):
    broker = start()
    tour = [command for block in blocks(README.read_text()) for command in commands(block)]
    assert len(tour) >= 5
    environment = {**os.environ, "PATH": f"{BIN.parent}:{os.environ['PATH']}", "NO_COLOR": "1",
                   "BOURN_URL": broker.url}
    for command, expected in tour:
        typed = command.replace("localhost:3030", f"localhost:{broker.port}")
        done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=30,
                              env=environment, cwd=broker.data.parent)
        actual = (done.stdout + done.stderr).replace(str(broker.port), "3030")
        assert matches(expected, actual), f"$ {command}\n{actual}\nexpected:\n{expected}"


def test_links_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text()
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if not target.startswith("http"):
                assert (ROOT / target).exists(), f"{name}: {target}"


@pytest.mark.parametrize("command", ["./dev help"])
def test_dev_runs_from_any_directory(tmp_path, command):
    script = pathlib.Path(ROOT / "dev")
    done = subprocess.run([script, *command.split()[1:]], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0 and b"./dev" in done.stdout
