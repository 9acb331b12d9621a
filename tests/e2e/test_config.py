"""serve and its four sources of settings: flag > environment > file > default."""

import pytest

from harness.broker import BIN


def shown(broker):
    return broker.info()


def write(tmp_path, text):
    file = tmp_path / "bourn.yaml"
    file.write_text(text)
    return file


def test_file_environment_flag(start, tmp_path):
    """Durability of a new topic shows which source won."""
    file = write(tmp_path, "storage: {durability: os}\n")
    by_file = start(config=file)
    assert by_file.produce("t", "x")["durability"] == "os"
    by_environment = start(config=file, env={"BOURN_STORAGE_DURABILITY": "interval"})
    assert by_environment.produce("t", "x")["durability"] == "interval"
    by_flag = start(config=file, env={"BOURN_STORAGE_DURABILITY": "interval"},
                    args=["--durability", "none"])
    assert by_flag.produce("t", "x")["durability"] == "none"


def test_file_in_the_working_directory_is_found(start, tmp_path):
    write(tmp_path, "storage: {durability: os}\n")  # a broker runs where its data directory is
    assert start().produce("t", "x")["durability"] == "os"


def test_default_partitions(start):
    broker = start(env={"BOURN_BROKER_DEFAULT_TOPIC_PARTITIONS": "4"})
    broker.produce("t", "x")
    assert len(broker.client.get("/v1/topics/t").json()["partitions"]) == 4


@pytest.mark.parametrize("env,word", [
    ({"BOURN_SERVER_PORT": "x"}, "BOURN_SERVER_PORT"),
    ({"BOURN_SERVER_PROT": "1"}, "BOURN_SERVER_PORT"),
    ({"BOURN_STORAGE_TYPE": "cassette"}, "memory"),
])
def test_bad_environment_is_refused(start, env, word):
    code, said = start(running=False, env=env).refuses_to_start()
    assert code in (1, 2) and word in said, said


def test_missing_config_file(start, tmp_path):
    code, said = start(running=False, config=tmp_path / "no.yaml").refuses_to_start()
    assert code in (1, 2) and "no.yaml: No such file or directory" in said


def test_engines_to_come_are_refused(start):
    code, said = start(running=False, storage="kafka").refuses_to_start()
    assert code in (1, 2) and "kafka" in said and "memory" in said


def test_port_in_use(start):
    first = start()
    second = start(running=False, args=["--port", str(first.port)])
    code, said = second.refuses_to_start()
    assert code == 1 and str(first.port) in said


def test_log_as_json(start):
    import json
    broker = start(env={"BOURN_LOG_FORMAT": "json"})
    broker.stop()
    lines = [json.loads(line) for line in broker.lines if line.startswith("{")]
    assert lines and {"time", "level", "area", "message"} <= set(lines[0])


def test_one_port_for_both_loopbacks(start):
    import socket
    broker = start()
    socket.create_connection(("127.0.0.1", broker.port)).close()
    if socket.has_ipv6:
        try:
            socket.create_connection(("::1", broker.port)).close()
        except OSError as error:
            pytest.skip(f"no IPv6 loopback here: {error}")


def test_runs_from_anywhere(tmp_path):
    assert BIN.is_absolute()
