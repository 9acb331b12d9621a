"""The README and the pages of docs/, as printed: each ```console block is typed in and its output
compared.

A line that begins with `$ ` is a command, the lines after it are what it prints; … stands for
anything. All blocks of a page share one broker, which stands for `./dev run`, and one directory,
where a block of code that begins with the line `# name.py` (or `-- name.lua`) is a file.
"""

import os
import pathlib
import re
import subprocess

import pytest

from harness.broker import BIN, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text):
    return re.findall(r"^```console\n(.*?)^```", text, re.M | re.S)


def commands(block):
    """[(command, expected output)]"""
    parts = re.split(r"^\$ ", block, flags=re.M)[1:]
    return [part.split("\n", 1) for part in parts]


def files(text):
    """[(name, content)]"""
    return [(name, f"{mark} {name}\n{rest}") for mark, name, rest
            in re.findall(r"^```\w+\n(#|--) (\S+\.\w+)\n(.*?)^```", text, re.M | re.S)]


def matches(expected, actual):
    pattern = ".*?".join(re.escape(piece) for piece in expected.rstrip("\n").split("…"))
    return re.fullmatch(pattern, actual.rstrip("\n"), re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_says_to_type_answers_as_printed(start, tmp_path, page):
    broker = start(data=tmp_path / "data", storage="log")  # whose files pages show
    text = page.read_text()
    tour = [command for block in blocks(text) for command in commands(block)]
    # test_hooks.py and test_install.py have theirs.
    assert tour or page.stem in ("benchmarks", "formats", "hooks", "install")
    for name, content in files(text):
        (tmp_path / name).write_text(content.replace("localhost:3030", f"localhost:{broker.port}"))
    environment = {**os.environ, "PATH": f"{BIN.parent}:{os.environ['PATH']}", "NO_COLOR": "1",
                   "BOURN_URL": broker.url}
    for command, expected in tour:
        typed = command.replace("localhost:3030", f"localhost:{broker.port}")
        done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=30,
                              env=environment, cwd=broker.data.parent)
        actual = (done.stdout + done.stderr).replace(str(broker.port), "3030")
        assert matches(expected, actual), f"$ {command}\n{actual}\nexpected:\n{expected}"


def figure(row, text):
    """[the medians of a row of docs/benchmarks.md that say how many times better bourn is]"""
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} |") and "better" in line)
    return [float(median) for median in re.findall(r"\*\*([\d.]+)\*\* \([^)]*\) better", line)]


def test_the_figures_are_not_better_than_what_was_measured():
    readme = (ROOT / "README.md").read_text()
    measured = (ROOT / "docs/benchmarks.md").read_text()
    nchan, nats = figure("deliveries/s", measured)
    redis = figure("events/s", measured)[0]
    start = float(re.search(r"\| after kill -9, a GiB .*?\| \*\*([\d.]+)\*\*", measured)[1])
    claims = re.search(r"(\d+) times NATS core, (\d+) times nginx.*?([\d.]+) times Redis.*?ready in ([\d.]+) s",
                       readme, re.S).groups()
    assert float(claims[0]) <= nats and float(claims[1]) <= nchan and float(claims[2]) <= redis
    assert float(claims[3]) >= start


def test_links_lead_somewhere():
    others = [ROOT / name for name in ("CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md")]
    for page in PAGES + others:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("command", ["./dev help"])
def test_dev_runs_from_any_directory(tmp_path, command):
    script = pathlib.Path(ROOT / "dev")
    done = subprocess.run([script, *command.split()[1:]], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0 and b"./dev" in done.stdout
