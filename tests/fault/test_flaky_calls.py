"""F7: short reads and writes, EINTR and EAGAIN, each with probability 0.1, 0.3 together: the functional
suite stays green."""

import os
import re
import subprocess
import sys

import pytest

from harness.broker import BIN, ROOT
from harness.oracle import report

LONG = bool(os.environ.get("BOURN_LONG"))
FLAKY = BIN.with_name("flaky_calls.so")
SUITES = ROOT / "tests/e2e"
# What speaks to the broker as its users do; not what starts other programs, or looks at the command, which
# would be flaky too, nor what looks for files beside the program, or for a long path in a message.
OTHERS = {"test_bench.py", "test_browser.py", "test_interop.py", "test_readme.py", "test_docs.py", "test_moving.py",
          "test_install.py",
          "test_cli.py", "test_config.py", "test_backup.py", "test_formats.py", "test_hooks.py",
          "test_hook_table.py", "test_http_hooks.py", "test_shipped_hooks.py", "test_webhook.py"}
SOME = {"test_bytes.py", "test_consume.py", "test_model.py", "test_produce.py", "test_subscribe_many.py",
        "test_subscribe_ndjson.py", "test_topics.py", "test_websocket.py"}
# Its file calls are RocksDB's own and not touched; what is left is about connections, as with the others.
FEW = {"test_consume.py", "test_model.py", "test_produce.py"}

# Of one test: on a machine whose disk is busy with other things a flush was seen to take ten seconds, and
# nearly a third of the calls are made again here. What hangs hangs longer.
SECONDS = 600

pytestmark = pytest.mark.skipif(not FLAKY.exists(), reason=f"SKIPPED LOUDLY: there is no {FLAKY}")


def preloaded(directory, **settings):
    """The broker's program with the library in front of the system's."""
    script = directory / "bourn"
    words = " ".join(f"{name}={value}" for name, value in settings.items())
    script.write_text(f'#!/bin/sh\nLD_PRELOAD={FLAKY} {words} exec {BIN} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.mark.timeout(3600)
def test_functional_suite(engine, seed, tmp_path):
    suites = sorted(path for path in SUITES.glob("test_*.py")
                    if path.name not in OTHERS and (LONG or path.name in (FEW if engine == "rocksdb" else SOME)))
    environment = {**os.environ, "BOURN_BIN": str(preloaded(tmp_path, BOURN_FLAKY_PERCENT=f"30:{seed}")),
                   "BOURN_STORAGE_TYPE": engine}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2",
                           f"--timeout={SECONDS}", "--basetemp", tmp_path / "suites", "--shards", "2", *suites],
                          env=environment, capture_output=True, text=True)
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-20000:]
    report(test="F7 short calls, EINTR, EAGAIN", engine=engine, seed=seed, n=int(passed[1]), verdict="pass")
