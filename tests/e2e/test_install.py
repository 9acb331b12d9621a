"""What `cmake --install` and `cpack` leave, of the build that the broker under test is of."""

import json
import os
import re
import signal
import shutil
import subprocess

import pytest

from harness.broker import BIN, ROOT
from harness.nginx import Nginx
from harness.sse import EventSource
from harness.ws import TEXT, WebSocket

BUILD = BIN.parent
pytestmark = pytest.mark.skipif(not (BUILD / "bourn.1").exists(), reason="this build makes no manual page")


def run(*words, **kwargs):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, **kwargs)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    done = run("cmake", "--install", BUILD, "--prefix", prefix)
    assert done.returncode == 0, done
    return prefix


def verbs():
    summary = run(BIN, "help").stdout.split("\n\n")[2]
    found = [line.split()[0] for line in summary.splitlines()]
    assert {"serve", "produce", "verify"} <= set(found)
    return found


def test_the_installed_program_runs(installed):
    assert run(installed / "bin/bourn", "version").stdout == run(BIN, "version").stdout


@pytest.mark.skipif(not shutil.which("man"), reason="there is no man")
def test_the_manual_page_tells_all_that_the_help_does(installed):
    shown = run("man", "--warnings", "-l", installed / "share/man/man1/bourn.1",
                env={**os.environ, "MANWIDTH": "110", "LC_ALL": "C.UTF-8"})
    assert shown.returncode == 0 and shown.stderr == ""
    lines = {line.strip() for line in shown.stdout.splitlines()}
    for verb in verbs():
        for line in run(BIN, "help", verb).stdout.splitlines():
            assert line.strip() in lines or "--help" in line or "--usage" in line, line


def complete(installed, *words, **environment):
    """What bash would offer for the last word."""
    typed = " ".join(f"'{word}'" for word in ("bourn", *words))
    script = f"""
        . {installed}/share/bash-completion/completions/bourn || exit
        COMP_WORDS=({typed}) COMP_CWORD={len(words)}
        _bourn
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = run("bash", "-c", script,
               env={**os.environ, "PATH": f"{installed}/bin:{os.environ['PATH']}", **environment})
    assert done.returncode == 0 and done.stderr == "", done
    return set(done.stdout.split())


def test_verbs_and_options_are_completed(installed):
    assert complete(installed, "") == set(verbs())
    assert complete(installed, "help", "") == set(verbs())
    assert complete(installed, "con") == {"consume", "config"}
    assert complete(installed, "serve", "--st") == {"--storage"}
    assert complete(installed, "consume", "t", "--until") == {"--until-end"}
    assert complete(installed, "topic", "de") == {"describe", "delete"}
    assert complete(installed, "config", "") == {"check", "show"}
    assert complete(installed, "nonsense", "--x") == set()


def test_topics_are_completed(installed, broker):
    for name in ("orders", "order.lines", "alarms"):
        broker.create(name)
    url = {"BOURN_URL": broker.url}
    assert complete(installed, "consume", "ord", **url) == {"orders", "order.lines"}
    assert complete(installed, "subscribe", "alarms", "o", **url) == {"orders", "order.lines"}
    assert complete(installed, "topic", "purge", "a", **url) == {"alarms"}
    assert complete(installed, "produce", "alarms", "a", **url) == set()
    assert complete(installed, "consume", "ord", BOURN_URL="http://127.0.0.1:1") == set()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_the_unit_is_hardened(installed):
    unit = installed / "lib/systemd/system/bourn.service"
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    assert done.returncode == 0, done.stdout  # an exposure of at most 2.0 of 10
    assert "Unknown" not in done.stderr


def test_a_hook_compiles_against_what_is_installed(installed, tmp_path):
    hook = installed / "share/bourn/hooks/audit.c"
    done = run("cc", "-shared", "-fPIC", "-pthread", "-I", installed / "include", "-o", tmp_path / "a.so", hook)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("dpkg-shlibdeps"), reason="there is no dpkg-dev")
def test_the_debian_package(tmp_path):
    made = run("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", tmp_path, cwd=tmp_path)
    assert made.returncode == 0, made
    package = next(tmp_path.glob("*.deb"))
    depends = run("dpkg-deb", "--field", package, "Depends").stdout
    assert "libuv1" in depends and "librocksdb" not in depends  # loaded by who chooses it
    files = run("dpkg-deb", "--contents", package).stdout
    for path in ("usr/bin/bourn", "usr/lib/systemd/system/bourn.service", "usr/share/man/man1/bourn.1",
                 "usr/include/bourn/hook.h"):
        assert f" ./{path}\n" in files, files


@pytest.fixture
def proxied(broker, tmp_path):
    """nginx with the block that the page prints."""
    page = (ROOT / "docs/install.md").read_text()
    nginx = Nginx(tmp_path / "nginx", broker.port, re.search(r"```nginx\n(.*?)```", page, re.S)[1])
    yield nginx
    nginx.stop()


def test_behind_nginx_as_the_page_says(broker, proxied):
    origin = [("Origin", f"http://127.0.0.1:{proxied.port}")]  # as the Host that the harness sends
    with WebSocket(proxied.port, "/subscribe/t", origin) as socket, \
            EventSource(proxied, "/subscribe/t") as source:
        with WebSocket(proxied.port, "/produce/t", origin) as producer:
            producer.send(TEXT, "hello")
        assert socket.read_message().payload == b"hello"
        assert source.event().data == "hello"


def test_the_entry_point_of_a_container(installed, tmp_path):
    """As its first process: signals that it did not ask for would not reach it."""
    page = (ROOT / "docs/install.md").read_text()
    command = json.loads(re.search(r"^ENTRYPOINT (.*)", page, re.M)[1].replace("/data/", f"{tmp_path}/"))
    first = ["unshare", "--pid", "--fork", "--kill-child=KILL"]
    if run(*first, "true").returncode != 0:
        first = []  # not allowed here
    process = subprocess.Popen([*first, installed / "bin" / command[0], *command[1:], "--port", "0"],
                               stderr=subprocess.PIPE, text=True)
    said = ""
    while "listening on http://0.0.0.0:" not in said:
        said = process.stderr.readline()
        assert said, "it ended"
    pid = process.pid
    if first:
        pid = int(run("pgrep", "-P", process.pid).stdout)
    os.kill(pid, signal.SIGTERM)
    assert process.wait(30) == 0
    process.stderr.close()
