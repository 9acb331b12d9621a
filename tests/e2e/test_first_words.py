"""The first words a new user types, as the README and every tutorial have them."""

import asyncio
import subprocess
import threading

import websockets

from harness.broker import BIN

EVENT = b'{"event": "Event Data"}'


def shell(broker, command):
    """Run a command as typed, but for the port."""
    done = subprocess.run(command.replace("localhost:3030", f"localhost:{broker.port}"),
                          shell=True, capture_output=True, timeout=30)
    assert done.returncode == 0, done
    return done.stdout


POST = ('curl -sS -X POST -H "Content-Type: application/json" '
        """-d '{"event": "Event Data"}' http://localhost:3030/produce/t""")


def test_curl_posts_and_gets_it_back(broker):
    assert b'"offset":0' in shell(broker, POST)
    answer = shell(broker, "curl -sS http://localhost:3030/consume/t")
    assert EVENT.replace(b": ", b":") in answer.replace(b": ", b":")


def test_websocket_receives_exactly_the_event(broker):
    async def listen():
        async with websockets.connect(f"{broker.ws_url}/subscribe/t") as socket:
            await asyncio.to_thread(shell, broker, POST)
            return await asyncio.wait_for(socket.recv(), 10)

    assert asyncio.run(listen()) == EVENT.decode()


def test_cli_subscriber_prints_received(broker):
    subscriber = subprocess.Popen([BIN, "subscribe", "--server", broker.url, "t"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        line = []
        reader = threading.Thread(target=lambda: line.append(subscriber.stdout.readline()))
        reader.start()
        # It may not be listening yet; whoever is gets the next one.
        while reader.is_alive():
            assert broker.cli("produce", "t", "hello").returncode == 0
            reader.join(0.2)
        assert line == [b"Received: hello\n"]
    finally:
        subscriber.terminate()
        subscriber.communicate(timeout=10)


def test_curl_follows_a_topic(broker):
    follower = subprocess.Popen(
        ["curl", "-sS", "-N", f"{broker.url}/subscribe/t?offset=earliest"], stdout=subprocess.PIPE)
    try:
        broker.produce("t", "one")
        assert b'"value":"one"' in follower.stdout.readline()
        broker.produce("t", "two")
        assert b'"value":"two"' in follower.stdout.readline()
    finally:
        follower.kill()
        follower.communicate()


def test_demo_shows_ten_messages(tmp_path):
    done = subprocess.run([BIN, "demo"], capture_output=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done
    received = [line for line in done.stdout.splitlines() if line.startswith(b"Received: ")]
    assert len(received) == len(set(received)) == 10
    assert done.stderr == b"", "nothing to worry about, whatever the limits of this system"
    assert list(tmp_path.iterdir()) == [], "demo left something behind"


def test_acknowledged_is_there_after_kill_9(broker):
    shell(broker, POST)
    broker.kill()
    broker.start()
    assert broker.consume("t")["events"][0]["value"] == {"event": "Event Data"}
