"""Fixtures of all suites: brokers that are stopped, and looked over, when the test ends."""

import os
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness.broker import BIN, Broker, why_not  # noqa: E402
from harness.node import Repl, absent  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--shards", default="1,2", help="shard counts to run each suite with")


def pytest_configure(config):
    seed_of_run()  # before there are workers (-n), which inherit it


def pytest_sessionstart(session):
    if not BIN.exists():
        pytest.exit(f"there is no {BIN}: ./dev build", 2)


def pytest_generate_tests(metafunc):
    if "shards" in metafunc.fixturenames:
        asked = getattr(metafunc.module, "SHARDS", None) or metafunc.config.getoption("--shards")
        counts = [int(n) for n in asked.split(",")]
        metafunc.parametrize("shards", counts, ids=lambda n: f"{n}sh", scope="session")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Of a test that failed: what its brokers do, for a slow machine looks like one that hangs."""
    report = (yield).get_result()
    if report.failed and report.when != "teardown":
        report.sections += [(f"Broker {broker.process.pid}", broker.doing())
                            for broker in Broker.all if broker.running]


def pytest_report_header(config):
    return f"broker: {BIN}, seed: {seed_of_run()}"


def seed_of_run():
    """BOURN_SEED, or one drawn for this run; printed, so that a run can be repeated."""
    if "BOURN_SEED" not in os.environ:
        os.environ["BOURN_SEED"] = str(int.from_bytes(os.urandom(4), "big"))
    return int(os.environ["BOURN_SEED"])


@pytest.fixture(scope="session")
def seed():
    return seed_of_run()


def _finish(brokers):
    for broker in brokers:
        if broker.running:
            broker.stop()


@pytest.fixture
def start(tmp_path):
    """start(**Broker's arguments): a running broker on its own (or the given) data directory."""
    brokers = []

    def start_one(data=None, running=True, **arguments):
        if arguments.get("storage") and why_not(arguments["storage"]):
            pytest.skip(f"SKIPPED LOUDLY: {why_not(arguments['storage'])}")
        broker = Broker(data or tmp_path / f"data{len(brokers)}", **arguments)
        brokers.append(broker)
        return broker.start() if running else broker

    yield start_one
    _finish(brokers)


@pytest.fixture
def broker(start, shards):
    """A new, empty broker; stopped by SIGTERM at the end, which must go well."""
    return start(shards=shards)


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory, shards):
    """One for a whole module: for tests that only add topics of their own."""
    broker = Broker(tmp_path_factory.mktemp("shared") / "data", shards=shards).start()
    yield broker
    _finish([broker])


@pytest.fixture
def topic(request):
    """A name that no other test on the same broker has."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name)


def _repl(browser):
    why = absent(browser)
    if why:
        pytest.skip(why)
    repl = Repl(browser)
    yield repl
    repl.close()


@pytest.fixture(scope="session")
def node():
    """A node with the package ws."""
    yield from _repl(browser=False)


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium; `open` gives each test a page of its own."""
    yield from _repl(browser=True)
