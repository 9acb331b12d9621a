"""The command: what it prints where, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from harness.broker import BIN

OK, FAILED, USAGE, UNREACHABLE, REFUSED, NOT_FOUND = range(6)
VERBS = ["serve", "produce", "consume", "subscribe", "topic", "backup", "dump", "load", "demo", "config",
         "hook", "verify", "version"]


def bourn(*words, stdin=b"", **kwargs):
    return subprocess.run([str(BIN), *words], input=stdin, capture_output=True, timeout=30, **kwargs)


# --- help and usage -----------------------------------------------------------------


def test_help_lists_every_verb():
    done = bourn("--help")
    assert done.returncode == OK
    for verb in VERBS:
        assert verb.encode() in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb):
    done = bourn(verb, "--help")
    assert done.returncode == OK, done
    assert f"bourn {verb}".encode() in done.stdout
    assert b"xample" in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.decode().splitlines())


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_is_its_help(verb):
    done = bourn("help", verb)
    assert (done.returncode, done.stdout) == (OK, bourn(verb, "--help").stdout)


def test_help_of_no_verb():
    done = bourn("help", "prodcue")
    assert done.returncode == USAGE and b"produce" in done.stderr


def test_version():
    done = bourn("version")
    assert done.returncode == OK
    assert done.stdout.startswith(b"bourn ")


@pytest.mark.parametrize("words", [
    [], ["prodcue", "t", "x"], ["produce"], ["consume"], ["produce", "t", "x", "--no-such-flag"],
    ["consume", "t", "--count", "x"], ["consume", "t", "-o", "xml"], ["topic", "frobnicate"],
    ["consume", "t", "--from", "banana"], ["subscribe", "t", "--from", "-1"], ["serve", "--port", "x"], ["serve", "--port", "70000"]])
def test_wrong_usage(words):
    done = bourn(*words)
    assert done.returncode == USAGE, done
    assert done.stdout == b""
    assert done.stderr


@pytest.mark.parametrize("url,said", [
    ("localhost:3030", "http://host[:port]"),
    ("http://localhost:99999", "http://host[:port]"),
    ("https://localhost", "TLS is not built yet"),
])
def test_a_wrong_url_is_wrong_usage(url, said):
    for done in (bourn("topic", "list", "--server", url),
                 bourn("consume", "t", env={**os.environ, "BOURN_URL": url})):
        assert done.returncode == USAGE and done.stdout == b""
        assert url in done.stderr.decode() and said in done.stderr.decode()


def test_a_mistyped_verb_is_guessed():
    assert b"produce" in bourn("prodcue", "t", "x").stderr


@pytest.mark.parametrize("verb", [["group"], ["bench"], ["dump"], ["load"]])
def test_verbs_to_come_say_so(verb):
    done = bourn(*verb)
    assert done.returncode in (FAILED, USAGE) and done.stderr


def test_unreachable(tmp_path):
    for words in (["produce", "t", "x"], ["consume", "t"], ["topic", "list"]):
        done = bourn(*words, "--server", "http://127.0.0.1:1")
        assert done.returncode == UNREACHABLE, done
        assert b"127.0.0.1:1" in done.stderr
        assert done.stdout == b""


# --- produce and consume ---------------------------------------------------------------


def test_produce_then_consume(broker):
    done = broker.cli("produce", "t", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (OK, b"", b"")
    done = broker.cli("consume", "t", "--until-end")
    assert (done.returncode, done.stdout, done.stderr) == (OK, b"hello\n", b"")


def test_produce_from_stdin_and_file(broker, tmp_path):
    assert broker.cli("produce", "t", "-", stdin=b"from\nstdin").returncode == OK
    file = tmp_path / "event.bin"
    file.write_bytes(b"\x00\xff\n")
    assert broker.cli("produce", "t", "--file", file).returncode == OK
    assert broker.client.get("/v1/topics/t/events/0").body == b"from\nstdin"
    assert broker.client.get("/v1/topics/t/events/1").body == b"\x00\xff\n"


def test_a_file_that_cannot_be_read(broker, tmp_path):
    for words in (["--file", tmp_path / "nope"], ["--file", tmp_path], ["--file", tmp_path, "--lines"]):
        done = broker.cli("produce", "t", *words)
        assert done.returncode == FAILED and done.stdout == b""
        assert str(words[1]).encode() in done.stderr and b"configuration" not in done.stderr
    assert broker.cli("topic", "list").stdout == b""


def test_produce_lines(broker):
    done = broker.cli("produce", "t", "--lines", stdin="".join(f"line {i}\n" for i in range(1000)))
    assert done.returncode == OK, done
    assert broker.values("t") == [f"line {i}" for i in range(1000)]


def test_produce_count(broker):
    assert broker.cli("produce", "t", "x", "--count", "5").returncode == OK
    assert len(broker.values("t")) == 5


def test_produce_key_and_headers(broker):
    assert broker.cli("produce", "t", "v", "--key", "k", "-H", "a:b", "-H", "c: d").returncode == OK
    event = broker.consume("t")["events"][0]
    assert event["key"] == "k"
    assert [["a", "b"], ["c", "d"]] == [h for h in event["headers"] if h[0] in "ac"]


def test_json_is_recognised(broker):
    assert broker.cli("produce", "t", '{"a":1}').returncode == OK
    assert broker.consume("t")["events"][0]["value"] == {"a": 1}


@pytest.mark.parametrize("start_at,expected", [
    ("earliest", ["0", "1", "2", "3", "4"]), ("last", ["4"]), ("3", ["3", "4"]), ("-10m", list("01234")),
    ("2001-01-01T00:00:00Z", list("01234"))])
def test_consume_from(broker, start_at, expected):
    for i in range(5):
        broker.produce("t", f"{i}")
    done = broker.cli("consume", "t", "--from", start_at, "--until-end")
    assert done.returncode == OK, done
    assert done.stdout.decode().splitlines() == expected


def test_consume_count(broker):
    for i in range(5):
        broker.produce("t", f"{i}")
    assert broker.cli("consume", "t", "--count", "2").stdout == b"0\n1\n"


def test_consume_goes_on_over_many_answers(broker):
    lines = "".join(f"{i}\n" for i in range(5000))
    assert broker.client.post("/produce/t", lines, "application/x-ndjson").status == 201
    done = broker.cli("consume", "t", "--until-end")
    assert done.stdout.decode() == lines


def test_output_forms(broker):
    broker.produce("t", b"\x00\x01", "application/octet-stream", Event_Key="k")
    raw = broker.cli("consume", "t", "-o", "raw", "--until-end")
    assert raw.stdout == b"\x00\x01"
    ndjson = broker.cli("consume", "t", "-o", "ndjson", "--until-end")
    line = json.loads(ndjson.stdout.splitlines()[0])
    assert (line["offset"], line["key"], line["encoding"]) == (0, "k", "base64")
    whole = broker.cli("consume", "t", "-o", "json", "--until-end")
    assert whole.returncode == OK and json.loads(whole.stdout)
    ack = broker.cli("produce", "t", "x", "-o", "json")
    assert json.loads(ack.stdout)["offset"] == 1


def test_refused_and_not_found(broker):
    nope = broker.cli("consume", "nope")
    assert nope.returncode == NOT_FOUND and b"'nope'" in nope.stderr
    assert broker.cli("topic", "describe", "nope").returncode == NOT_FOUND
    assert broker.cli("produce", "b d", "x").returncode in (REFUSED, USAGE)
    broker.create("t", partitions=2)
    done = broker.cli("topic", "create", "t", "--partitions", "3")
    assert done.returncode == REFUSED, done
    assert b"exists" in done.stderr and done.stdout == b""
    broker.produce("one", "x")
    assert broker.cli("consume", "one", "--from", "9").returncode == REFUSED


def test_server_flag_beats_the_environment(broker):
    done = broker.cli("produce", "t", "x", "--server", broker.url,
                      env={"BOURN_URL": "http://127.0.0.1:1"})
    assert done.returncode == OK


def test_closed_pipe_is_not_a_crash(broker):
    lines = "".join(f"{i}\n" for i in range(5000))
    broker.client.post("/produce/t", lines, "application/x-ndjson")
    done = subprocess.run(f"{BIN} consume t --until-end --server {broker.url} | head -n 1",
                          shell=True, capture_output=True, timeout=30)
    assert done.stdout == b"0\n"


# --- subscribe ---------------------------------------------------------------------------


class Subscriber:
    def __init__(self, broker, *words, verb="subscribe"):
        self.process = subprocess.Popen(
            [BIN, verb, "--server", broker.url, *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def lines(self, count):
        lines = []

        def read():
            for _ in range(count):
                lines.append(self.process.stdout.readline().decode().rstrip("\n"))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive(), lines
        assert "" not in lines, self.process.stderr.read()  # it ended
        return lines


def test_subscribe_prints_each_event_at_once(broker):
    for i in range(3):
        broker.produce("t", f"{i}")
    with Subscriber(broker, "t", "--from", "earliest") as subscriber:
        assert subscriber.lines(3) == ["Received: 0", "Received: 1", "Received: 2"]
        broker.produce("t", "3")
        assert subscriber.lines(1) == ["Received: 3"]
        subscriber.process.send_signal(signal.SIGINT)
        assert subscriber.process.wait(10) == OK


def test_subscribe_resumes_where_it_was(broker):
    broker.produce("t", "1")
    with Subscriber(broker, "t", "--from", "earliest") as subscriber:
        assert subscriber.lines(1) == ["Received: 1"]
        port = broker.port
        broker.kill()
        broker.args = ["--port", str(port)]  # the same address, as after any restart
        broker.start()
        broker.produce("t", "2")
        assert subscriber.lines(1) == ["Received: 2"]


class Script:
    """A server that answers as it is told to, to see what a client does about it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.peer = None

    def asked(self):
        """The next request's target, on the connection that is open or on a new one."""
        if self.peer is None:
            self.peer = self.listener.accept()[0]
            self.peer.settimeout(20)
        head = b""
        while b"\r\n\r\n" not in head:
            head += (more := self.peer.recv(4096))
            assert more, "the client has hung up"
        return head.split()[1].decode()

    def answer(self, status, body="", **headers):
        self._send(status, body, {"Content-Length": len(body), **headers})

    def stream(self, *lines, **headers):
        """The beginning of an answer that has no end."""
        self._send(200, "".join(line + "\n" for line in lines), headers)

    def _send(self, status, body, headers):
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.peer.sendall(f"HTTP/1.1 {status} x\r\n{fields}\r\n{body}".encode())

    def hang_up(self):
        self.peer.close()
        self.peer = None


def event(value, next_offset, **members):
    return json.dumps({**members, "offset": next_offset - 1, "partition": 0, "timestamp": 1,
                       "encoding": "text", "value": value, "next": str(next_offset)})


def problem(code, **members):
    return json.dumps({"code": code, "detail": "for a reason", **members})


def test_an_idle_subscriber_misses_nothing_while_the_broker_is_away():
    broker = Script()
    with Subscriber(broker, "t") as subscriber:
        assert broker.asked() == "/v1/subscribe?topic=t&offset=end"
        broker.stream(Event_Next="7")  # at once: now it knows where it stands
        broker.hang_up()
        assert "cursor=7" in broker.asked()
        broker.stream(event("x", 8), Event_Next="7")
        assert subscriber.lines(1) == ["Received: x"]
        broker.hang_up()
        assert "cursor=8" in broker.asked()


def test_a_subscriber_that_waits_for_its_topic_misses_nothing_either():
    broker = Script()
    with Subscriber(broker, "t"):
        assert "offset=end" in broker.asked()
        broker.stream()  # there is no place in what does not exist
        broker.hang_up()
        assert broker.asked() == "/v1/subscribe?topic=t&offset=earliest"


def test_half_an_event_is_asked_for_again():
    broker = Script()
    with Subscriber(broker, "t") as subscriber:
        assert broker.asked()
        broker.stream(event("x", 8), event("y", 9)[:-5], Event_Next="7")
        assert subscriber.lines(1) == ["Received: x"]
        broker.hang_up()
        assert "cursor=8" in broker.asked()
        broker.stream(event("y", 9), Event_Next="8")
        assert subscriber.lines(1) == ["Received: y"]


def test_loss_and_return_are_told_in_a_line_each():
    broker = Script()
    with Subscriber(broker, "t") as subscriber:
        for _ in range(2):
            assert broker.asked()
            broker.stream(Event_Next="7")
            broker.hang_up()
        assert broker.asked()
        broker.answer(503, problem("not_ready"))
        assert broker.asked()
        broker.stream(event("x", 8))
        assert subscriber.lines(1) == ["Received: x"]
        subscriber.process.send_signal(signal.SIGINT)
        said = subscriber.process.communicate(timeout=10)[1].decode().splitlines()
        assert [line.split()[1:3] for line in said] == [["connection", "to"], ["connected", "to"]] * 2


@pytest.mark.parametrize("code,status", [
    ("topic_gone", NOT_FOUND), ("corrupt", REFUSED), ("denied", REFUSED), ("too_many", REFUSED)])
@pytest.mark.parametrize("in_the_stream", [True, False])
def test_a_failure_ends_a_subscription(code, status, in_the_stream):
    broker = Script()
    with Subscriber(broker, "t") as subscriber:
        assert broker.asked()
        if in_the_stream:
            broker.stream(event("x", 8), json.dumps({"error": json.loads(problem(code))}))
        else:
            broker.answer(400, problem(code))
        out, said = subscriber.process.communicate(timeout=20)
        assert subscriber.process.returncode == status
        assert out == (b"Received: x\n" if in_the_stream else b"")
        assert b"for a reason" in said


def test_a_stopping_broker_is_waited_for():
    broker = Script()
    with Subscriber(broker, "t"):
        assert broker.asked()
        broker.stream(event("x", 8), json.dumps({"error": json.loads(problem("shutting_down"))}))
        broker.hang_up()
        assert "cursor=8" in broker.asked()
        broker.answer(503, problem("shutting_down"))
        assert "cursor=8" in broker.asked()


@pytest.mark.parametrize("in_the_stream", [True, False])
def test_a_gap_is_told_and_skipped(in_the_stream):
    broker = Script()
    gap = problem("offset_trimmed")
    with Subscriber(broker, "t") as subscriber:
        assert broker.asked()
        if in_the_stream:
            broker.stream(json.dumps({"error": json.loads(gap)}), Event_Next="7")
            broker.hang_up()
        else:
            broker.stream(Event_Next="7")
            broker.hang_up()
            assert "cursor=7" in broker.asked()
            broker.answer(410, gap)
        assert "cursor=7" in broker.asked()  # now as Server-Sent Events, which go on
        broker.stream(Event_Next="20")
        broker.hang_up()
        assert "cursor=20" in broker.asked()
        broker.stream(event("x", 21))
        assert subscriber.lines(1) == ["Received: x"]
        subscriber.process.send_signal(signal.SIGINT)
        assert b"gap" in subscriber.process.communicate(timeout=10)[1]


def restart_elsewhere_and_back(broker, meanwhile):
    """So that nobody who looks for it at its address sees it in between."""
    port = broker.port
    broker.kill()
    broker.start()
    meanwhile()
    broker.stop()
    broker.args = ["--port", str(port)]
    broker.start()


@pytest.mark.parametrize("verb", ["subscribe", "consume"])
def test_a_gap_in_one_partition_repeats_nothing_of_the_others(broker, verb):
    broker.create("t", partitions=2)
    for partition in 0, 1:
        broker.produce("t", f"{partition}", query=f"?partition={partition}")

    def lose_one_of_two():
        broker.produce("t", "lost", query="?partition=1")
        purge = '{"partition": 1}'
        assert broker.client.post("/v1/topics/t/purge", purge, "application/json").status == 200
        broker.produce("t", "found", query="?partition=1")

    with Subscriber(broker, "t", "--from", "earliest", "-o", "ndjson", verb=verb) as subscriber:
        assert sorted(json.loads(line)["value"] for line in subscriber.lines(2)) == ["0", "1"]
        restart_elsewhere_and_back(broker, lose_one_of_two)
        assert json.loads(subscriber.lines(1)[0])["value"] == "found"
        broker.produce("t", "last", query="?partition=0")
        assert json.loads(subscriber.lines(1)[0])["value"] == "last"
        subscriber.process.send_signal(signal.SIGINT)
        assert subscriber.process.communicate(timeout=10)[1].count(b"gap") == 1


def test_a_gap_in_one_topic_repeats_nothing_of_the_others(broker):
    broker.produce("t", "t")
    broker.produce("u", "u")

    def lose_one_of_two():
        broker.produce("t", "lost")
        assert broker.client.post("/v1/topics/t/purge", "").status == 200
        broker.produce("t", "found")

    with Subscriber(broker, "t", "u", "--from", "earliest") as subscriber:
        assert sorted(subscriber.lines(2)) == ["Received [t]: t", "Received [u]: u"]
        restart_elsewhere_and_back(broker, lose_one_of_two)
        assert subscriber.lines(1) == ["Received [t]: found"]
        broker.produce("u", "last")
        assert subscriber.lines(1) == ["Received [u]: last"]
        subscriber.process.send_signal(signal.SIGINT)
        assert subscriber.process.communicate(timeout=10)[1].count(b"gap") == 1


def test_a_deleted_topic_of_several_is_told():
    broker = Script()
    with Subscriber(broker, "a", "b") as subscriber:
        assert broker.asked()
        broker.stream('{"gone":{"topic":"a"}}', event("x", 8, topic="b"))
        assert subscriber.lines(1) == ["Received [b]: x"]
        subscriber.process.send_signal(signal.SIGINT)
        assert subscriber.process.communicate(timeout=10)[1] == b'bourn: topic "a" was deleted\n'


def test_an_asked_place_that_is_gone_is_refused(broker):
    for i in range(3):
        broker.produce("t", f"{i}")
    broker.cli("topic", "purge", "t")
    done = broker.cli("subscribe", "t", "--from", "1")
    assert done.returncode == REFUSED and done.stdout == b""


def test_without_a_broker_a_subscriber_ends_but_for_wait():
    listener = socket.create_server(("127.0.0.1", 0))  # a port that nobody else takes
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    done = bourn("subscribe", "t", "--server", url)
    assert (done.returncode, done.stdout) == (UNREACHABLE, b"")
    assert url.encode() in done.stderr
    with subprocess.Popen([BIN, "subscribe", "t", "--wait", "--server", url],
                          stderr=subprocess.PIPE) as waiting:
        assert url.encode() in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(10) == OK


def test_the_connection_of_a_subscriber_is_kept_alive(broker):
    """Or one whose broker vanished without a word would wait for ever."""
    broker.produce("t", "1")
    with Subscriber(broker, "t", "--from", "earliest") as subscriber:
        assert subscriber.lines(1) == ["Received: 1"]
        rows = [row.split() for name in ("tcp", "tcp6") for row in open(f"/proc/net/{name}")]
        ours = [row for row in rows if row[2].endswith(f":{broker.port:04X}") and row[3] == "01"]
        assert any(row[5].startswith("02:") for row in ours), ours  # the keep-alive timer runs


def test_two_topics_and_their_names(broker):
    broker.produce("a", "1")
    broker.produce("b", '{"n": 2}', "application/json")
    with Subscriber(broker, "a", "b", "--from", "earliest") as subscriber:
        assert sorted(subscriber.lines(2)) == ['Received [a]: 1', 'Received [b]: {"n": 2}']
        broker.produce("b", "3")
        assert subscriber.lines(1) == ["Received [b]: 3"]


def test_a_topic_that_comes_later_joins_its_pattern(broker):
    broker.produce("a.1", "old")
    with Subscriber(broker, "a.*", "-o", "ndjson", "--from", "earliest") as subscriber:
        assert json.loads(subscriber.lines(1)[0])["topic"] == "a.1"
        broker.produce("b", "not this")
        broker.produce("a.2", "first")
        line = json.loads(subscriber.lines(1)[0])
        assert (line["topic"], line["offset"], line["value"]) == ("a.2", 0, "first")


@pytest.mark.parametrize("topics", [["t"], ["t", "u"], ["*"]])
def test_a_killed_broker_costs_a_subscriber_nothing(broker, topics):
    """Each acknowledged event once and in its order, over three lives of the broker."""
    broker.produce("t", "0")
    with Subscriber(broker, *topics, "--from", "earliest", "-o", "ndjson") as subscriber:
        values = [json.loads(subscriber.lines(1)[0])["value"]]
        for life in range(3):
            for i in range(20):
                broker.produce("t", f"{life * 20 + i + 1}")
            values += [json.loads(line)["value"] for line in subscriber.lines(20)]
            broker.kill()
            broker.args = ["--port", str(broker.port)]  # the same address, as after any restart
            broker.start()
        if len(topics) == 2 or topics == ["*"]:
            broker.produce("u", "late")
            assert json.loads(subscriber.lines(1)[0])["value"] == "late"
        assert values == [str(i) for i in range(61)]
        assert subscriber.process.poll() is None


def test_a_pattern_with_a_partition_is_wrong_usage():
    for topics in (["a", "b"], ["a*"]):
        assert bourn("subscribe", *topics, "--partition", "0").returncode == USAGE


def test_a_subscriber_ends_with_its_reader(broker):
    broker.produce("t", "0")
    with Subscriber(broker, "t", "--from", "earliest") as subscriber:
        assert subscriber.lines(1) == ["Received: 0"]
        subscriber.process.stdout.close()
        broker.produce("t", "1")  # which nobody takes any more
        assert subscriber.process.wait(20) == OK
        subscriber.process.stdout = None


def test_a_stopped_subscriber_says_nothing(broker):
    broker.produce("t", "1")
    with Subscriber(broker, "t", "--from", "earliest") as subscriber:
        assert subscriber.lines(1) == ["Received: 1"]
        subscriber.process.send_signal(signal.SIGTERM)
        assert subscriber.process.communicate(timeout=10) == (b"", b"")
        assert subscriber.process.returncode == OK


def test_subscribe_count(broker):
    for i in range(3):
        broker.produce("t", f"{i}")
    done = broker.cli("subscribe", "t", "--from", "earliest", "--count", "2")
    assert done.returncode == OK
    assert done.stdout == b"Received: 0\nReceived: 1\n"


# --- topic ----------------------------------------------------------------------------------


def test_topic_verbs(broker):
    assert broker.cli("topic", "create", "t", "--partitions", "2").returncode == OK
    again = broker.cli("topic", "create", "t", "--partitions", "2")
    assert again.returncode == OK and b"was there already" in again.stderr
    assert b"t" in broker.cli("topic", "list").stdout
    listed = json.loads(broker.cli("topic", "list", "-o", "json").stdout)
    assert "t" in json.dumps(listed)
    described = broker.cli("topic", "describe", "t", "-o", "json")
    assert len(json.loads(described.stdout)["partitions"]) == 2
    broker.produce("t", "x")
    assert broker.cli("topic", "purge", "t").returncode == OK
    assert broker.cli("topic", "delete", "t").returncode == OK
    assert broker.cli("topic", "describe", "t").returncode == NOT_FOUND


def test_topic_in_text(broker):
    for words in (["create", "t", "--partitions", "2"], ["describe", "t"], ["set", "t", "--set", "durability=os"],
                  ["alter", "t", "--set", "retention.ms=90000"], ["purge", "t"]):
        done = broker.cli("topic", *words)
        said = done.stdout.decode().splitlines()
        assert done.returncode == OK, done
        assert said[0].split() == ["name", "t"]
        assert said[-3].split()[:4] == ["partition", "earliest", "end", "size"]
        assert said[-1].split() == ["1", "0", "0", "0", "B", "0", "-", "-"]
        assert sum("durability=" in line for line in said) == 1
        assert not set('{}[]"') & set(done.stdout.decode())
    assert broker.cli("topic", "delete", "t").stdout == b""


def test_topic_described_for_a_person(broker):
    broker.create("t", partitions=2, retention_ms=7 * 86400 * 1000, retention_bytes=1 << 30)
    broker.produce("t", "x" * 2000, query="?partition=1", Event_Timestamp="2024-02-29T12:00:00Z")
    broker.produce("t", "x" * 2000, query="?partition=1", Event_Timestamp="2024-02-29T12:00:01.5Z")
    said = broker.cli("topic", "describe", "t").stdout.decode()
    shown = {line[:13].strip(): line[13:] for line in said.splitlines()[:7]}
    assert shown["size"] == "4.09 KiB in 0 segments"
    assert shown["first event"] == "2024-02-29T12:00:00.000Z"
    assert shown["last event"] == "2024-02-29T12:00:01.500Z"
    assert re.search(r"retention.ms=604800000 +7 d$", said, re.M)
    assert re.search(r"retention.bytes=1073741824 +1 GiB$", said, re.M)
    assert re.search(r"retention.count=-1 +no limit$", said, re.M)
    assert said.endswith("""
partition  earliest  end      size  segments  first event               last event
        0         0    0       0 B         0  -                         -
        1         0    2  4.09 KiB         0  2024-02-29T12:00:00.000Z  2024-02-29T12:00:01.500Z
""")
    as_json = json.loads(broker.cli("topic", "describe", "t", "--json").stdout)
    assert as_json["partitions"][1]["latest_ms"] == as_json["latest_ms"]


def test_topic_list_has_all_pages(broker):
    names = [f"t{i:04}" for i in range(1, 1202)]
    for name in names:
        assert broker.client.put_json(f"/v1/topics/{name}", {}).status == 201
    assert broker.cli("topic", "list").stdout.decode().split() == names
    listed = json.loads(broker.cli("topic", "list", "-o", "json").stdout)
    assert [topic["name"] for topic in listed["topics"]] == names
    lines = broker.cli("topic", "list", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == names


# --- config ------------------------------------------------------------------------------------


def check(tmp_path, text):
    file = tmp_path / "bourn.yaml"
    file.write_text(text)
    return bourn("config", "check", str(file))


def test_config_defaults_are_a_valid_config(tmp_path):
    shown = bourn("config", "show", "--defaults")
    assert shown.returncode == OK
    done = check(tmp_path, shown.stdout.decode())
    assert done.returncode == OK, done


def test_the_example_of_the_documentation(tmp_path):
    done = check(tmp_path, """
server:  {host: localhost, port: 3030, shards: auto, allowed_hosts: [], allowed_origins: []}
log:     {level: info}
broker:  {default_topic_partitions: 1, auto_create_topics: true}
storage: {type: memory, path: ./data, durability: commit}
hooks:   []
""")
    assert done.returncode == OK, done


def test_aliases(tmp_path):
    done = check(tmp_path, "storage: {storage_type: in_memory}\nbroker: {replication_factor: 3}\n")
    assert done.returncode == OK, done
    assert b"replication_factor" in done.stderr


@pytest.mark.parametrize("text,place,hint", [
    ("server:\n  prot: 3030\n", ":2:3", "port"),
    ("servre: {port: 1}\n", ":1:1", "server"),
    ("server:\n  port: many\n", ":2:9", "number"),
    ("server:\n  port: 70000\n", ":2:9", "65535"),
    ("broker:\n  auto_create_topics: yess\n", ":2:23", "true"),
    ("storage:\n  durability: comit\n", ":2:15", "commit"),
    ("storage:\n  flush: 5parsecs\n", ":2:10", "ms"),
    ("storage:\n  flush: 2m\n", ":2:10", "1ms to 60s"),
    ("storage:\n  memory: 12\n", ":2:11", "1MiB to 1024GiB"),
    ("storage:\n  snapshot_age: 2d\n", ":2:17", "100ms to 1d"),
    ("hooks:\n  - {name: a, file: a.lua}\n", ":2:15", "there are name, type, path"),
    ("hooks:\n  - {name: a, type: python}\n", ":2:21", "there are so, lua, http"),
    ("server: {port: 1\n", ":", ""),
    ("server: 3\n", ":1:9", ""),
    ("- a\n", ":1:1", ""),
])
def test_config_errors_name_the_place_and_the_likely_right_thing(tmp_path, text, place, hint):
    done = check(tmp_path, text)
    assert done.returncode not in (OK, USAGE) or done.returncode == USAGE, done
    assert done.returncode != OK
    said = done.stderr.decode()
    assert "bourn.yaml" + place in said, said
    assert hint in said, said


@pytest.mark.parametrize("words", [["config", "check", "bourn.yaml"], ["serve", "--port", "0"]])
def test_an_unknown_engine_is_told_of_those_there_are(tmp_path, words):
    (tmp_path / "bourn.yaml").write_text("storage: {type: rock}\n")
    done = bourn(*words, cwd=tmp_path)
    assert done.returncode == FAILED
    assert b"there is no engine 'rock'; there are memory, log, rocksdb" in done.stderr


def test_the_help_of_settings_stands_in_one_column():
    shown = bourn("config", "show", "--defaults").stdout.decode()
    columns = {line.index(" # ") for line in shown.splitlines() if " # " in line}
    assert len(columns) == 1, shown


def test_more_partitions_than_a_cursor_holds_are_not_read_in_a_circle(broker):
    broker.create("wide", partitions=65)
    broker.produce("wide", b"once", query="?partition=64")
    done = broker.cli("consume", "wide", "--until-end")
    assert done.returncode == REFUSED and done.stdout == b""
    assert b"--partition" in done.stderr
    done = broker.cli("consume", "wide", "--partition", "64", "--until-end")
    assert done.returncode == OK and done.stdout == b"once\n"


def test_a_file_named_dash_is_standard_input(broker):
    assert broker.cli("produce", "t", "--file", "-", stdin="typed").returncode == OK
    assert broker.values("t") == ["typed"]
