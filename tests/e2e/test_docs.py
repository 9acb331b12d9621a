"""The pages of docs/ against the program: what it knows stands there, and nothing else."""

import os
import re
import subprocess

import pytest

from harness.broker import BIN, ROOT

HTTP = (ROOT / "docs/http.md").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()

# They end a start, or are the command line's own: no client of the broker can meet them.
NEVER_ANSWERED = {"directory_locked", "directory_newer", "directory_foreign", "unreachable",
                  "listen", "config", "input"}


def test_every_error_has_its_status_and_a_remedy():
    header = (ROOT / "src/base/err.h").read_text()
    known = {code: status for code, status in re.findall(
        r'X\(ERR_\w+,[\s\\]*"(\w+)",[\s\\]*"[^"]*",[\s\\]*(\d+),', header)}
    assert len(known) == header.count("X(ERR_"), "a row of the table was not understood"
    told = dict(re.findall(r"^\| `(\w+)` \| (\d+) \| .+ \|$", HTTP, re.M))
    assert told == {code: status for code, status in known.items() if code not in NEVER_ANSWERED}


def test_every_route_is_told():
    routes = re.findall(r'\{(GET|POST|PUT|PATCH|DELETE), "([^"]+)"',
                        (ROOT / "src/front/http/router.c").read_text())
    assert routes
    told = {(method, path) for methods, path in re.findall(r"`([A-Z ]+) (/[^` ]*)`", HTTP)
            for method in methods.split()}
    assert set(routes) - told == set()


def settings():
    """{name: default}, as the program has them"""
    shown = subprocess.run([BIN, "config", "show", "--defaults"], capture_output=True, text=True,
                           check=True).stdout
    section, found = "", {}
    for line in shown.splitlines():
        if head := re.fullmatch(r"(\w+):", line):
            section = head[1]
        elif row := re.match(r'  (\w+): "?([^"#]*?)"? *(#|$)', line):
            found[f"{section}.{row[1]}"] = row[2]
    return found


def rows():
    """[(name, default, range, environment name, flag)] of the page's table"""
    found = re.findall(r"^\| `(\w+\.\w+)` \| `(\S+)` \| (.*?) \| `(\w+)` \| (.*?) ?\|$",
                       CONFIGURATION, re.M)
    assert found
    return found


def test_every_setting_is_told():
    assert {name: default for name, default, *_ in rows()} == settings()
    for name, _default, _range, environment, _flag in rows():
        assert environment == "BOURN_" + name.upper().replace(".", "_")


def test_the_flags_are_those_of_serve():
    told = {flag.strip("`").removeprefix("--") for *_, flag in rows() if flag}
    help_text = subprocess.run([BIN, "serve", "--help"], capture_output=True, text=True).stdout
    assert told == set(re.findall(r"--([a-z-]+)=", help_text)) - {"config", "set"}


def accepts(environment, value):
    return subprocess.run([BIN, "config", "show"], capture_output=True, cwd="/",
                          env={**os.environ, environment: value}).returncode == 0


def scaled(text, by):
    """10s, by -1: 9s"""
    number, unit = re.fullmatch(r"(\d+)(\w*)", text).groups()
    return f"{int(number) + by}{unit}"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_range_is_the_one_that_is_kept(row):
    _name, _default, allowed, environment, _flag = row
    if bounds := re.match(r"(\d+\w*) to (\d+\w*)", allowed):
        least, most = bounds.groups()
        assert accepts(environment, least) and accepts(environment, most)
        assert not accepts(environment, scaled(least, -1))
        assert not accepts(environment, scaled(most, 1))
    elif re.fullmatch(r"\w+(, \w+)+", allowed):
        assert all(accepts(environment, word) for word in allowed.split(", "))
        assert not accepts(environment, "something-else")
