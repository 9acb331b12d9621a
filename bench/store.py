#!/usr/bin/python3
"""Storage: what the engine `log` makes of a disk, against bare loops of system calls and against Redis.

  append     batches of 100 events of 1 KiB through the store, against pwritev (and fdatasync) of the
             same bytes into pre-written files
  catch-up   sealed segments through the store into a socket, against sendfile of the same files; and
             the same events from a running broker, by SSE and WebSocket
  small      64 connections, each with one event of 1 KiB under way, all flushed before they are
             acknowledged: bourn by HTTP, Redis by XADD; and the same events from a bare loop of pwrite
             and fdatasync, with no network, for what the disk itself does meanwhile
  rocksdb    the engine rocksdb, against bare loops over RocksDB with the same options: the same rows
             written, and all of them read through an iterator
  start      after kill -9 with the write-ahead log full, and after a clean stop with much on disk

Sides take turns (A-B, B-A, …) in one run; what was written or read is compared whole each time. Writes
docs/benchmarks/store.json, and from it the tables of docs/benchmarks.md.
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import fanout
import peers
import report
import store_report

MIB = 1 << 20
PARTS = ("append", "catchup", "small", "start", "rocksdb")
BODY_BYTES = 1024
CONNECTIONS = 64
# Before a small measurement: by then bourn's memory (256 MiB) has been full once, so that it frees and
# uses it again, and writes segments, as it does from then on.
WARM_UP_SECONDS = 4
WARM_UP_EVENTS = 300_000


def options():
    p = argparse.ArgumentParser(
        prog="./dev bench store", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--within", default="build/bench-data", metavar="DIR",
                   help="where data directories are made, and removed; on the disk that is meant; default: %(default)s")
    p.add_argument("--parts", default=",".join(PARTS), metavar="NAME,…", help="default: %(default)s")
    p.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    p.add_argument("--mib", type=int, default=512, metavar="N", help="of one append measurement; default: 512")
    p.add_argument("--catchup-mib", type=int, default=1024, metavar="N", help="default: 1024")
    p.add_argument("--recover-mib", type=int, default=1024, metavar="N",
                   help="in the write-ahead log at kill -9; default: 1024")
    p.add_argument("--start-mib", type=int, default=8192, metavar="N", help="on disk at the clean stop; default: 8192")
    p.add_argument("--seconds", type=float, default=3, metavar="S", help="of each small measurement; default: 3")
    p.add_argument("--cores", default="0,1", metavar="A,B", help="of the server and the generator; default: 0,1")
    p.add_argument("--bourn", default=os.environ.get("BOURN_BIN", "build/bench/bourn"), metavar="FILE",
                   help="default: %(default)s")
    p.add_argument("--dry", action="store_true", help="print the tables; leave docs/ alone")
    o = p.parse_args()
    o.parts = o.parts.split(",")
    if not set(o.parts) <= set(PARTS):
        p.error(f"--parts: there are {', '.join(PARTS)}")
    if o.rounds < 1:
        p.error("--rounds begins at 1")
    o.server_core, o.generator_core = o.cores.split(",")
    built = pathlib.Path(o.bourn).resolve().parent
    o.generator, o.driver = built / "bourn-bench", built / "bourn-bench-store"
    return o


say = fanout.say


def run(*words):
    """A measurement: what it printed, as JSON."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        raise peers.BenchError(done.stderr.strip())
    return json.loads(done.stdout) if done.stdout else None


class Directory:
    """A new one; removed with its `with`."""

    def __init__(self, o):
        self.path = tempfile.mkdtemp(prefix="store-", dir=o.within)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Broker:
    """bourn on a data directory that is there already; `seconds`: until /readyz said yes."""

    def __init__(self, o, directory, *words):
        began = time.monotonic()
        self.process = subprocess.Popen(
            [o.bourn, "serve", "--data", directory, *peers.BournLog.words, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = ""
        while "listening on" not in line:
            line = self.process.stderr.readline()
            if not line:
                raise peers.BenchError(f"bourn does not start on {directory}")
        self.port = int(line.rsplit(":", 1)[1].split()[0].rstrip("/"))
        while not self.is_ready():
            time.sleep(0.002)
        self.seconds = time.monotonic() - began

    def is_ready(self):
        return self.get("/readyz").status == 200

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.process.stderr.close()


def forget_pages(directory):
    """Of every file in it, what the kernel holds in memory."""
    os.sync()
    for path in pathlib.Path(directory).rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


# --- append, catch-up: the driver does it all -----------------------------------------------------


def append(o):
    results = {}
    two = ("--class", "commit", "--mib", o.mib // 2, "--partitions", 2)
    for name, words in {"commit": ("--class", "commit", "--mib", o.mib),
                        "commit-two": two,
                        "commit-late": (*two, "--memory", 4 * o.mib, "--checkpoint", 4 * o.mib),
                        "os": ("--class", "os", "--mib", o.mib),
                        "os-burst": ("--class", "os", "--mib", min(o.mib, 48))}.items():
        with Directory(o) as directory:
            results[name] = run(o.driver, "append", "--dir", directory, "--rounds", o.rounds, *words)
        say(f"append {name}: {store_report.ratio_text(results[name])} of bare")
    return results


def catchup(o):
    results = {}
    with Directory(o) as directory:
        data = f"{directory}/data"
        run(o.driver, "fill", "--dir", data, "--class", "os", "--mib", o.catchup_mib)
        for name, words in {"warm": (), "cold": ("--cold",)}.items():
            results[name] = run(o.driver, "catchup", "--dir", data, "--mib", o.catchup_mib, "--rounds", o.rounds, *words)
            say(f"catch-up {name}: {store_report.ratio_text(results[name])} of bare")
        with Broker(o, data) as broker:
            for form, words in {"sse": (), "ws": ("--ws",)}.items():
                results[form] = [run(o.driver, "stream", "--port", broker.port, "--pid", broker.process.pid,
                                     "--mib", o.catchup_mib, *words) for _ in range(o.rounds)]
                say(f"catch-up {form}: {store_report.median_rate(results[form]):,.0f} MB/s")
    return results


def rocksdb(o):
    results = {}
    small = ("--events", 1, "--in-flight", 64, "--partitions", 8)
    for name, words in {"os": ("--class", "os", "--mib", o.mib), "commit": ("--class", "commit", "--mib", o.mib // 2),
                        "os-blobs": ("--class", "os", "--mib", o.mib, "--blobs"),
                        "os-small": ("--class", "os", "--mib", o.mib // 2, *small),
                        "commit-small": ("--class", "commit", "--mib", o.mib // 4, *small)}.items():
        with Directory(o) as directory:
            results[name] = run(o.driver, "rocksdb", "--dir", directory, "--rounds", o.rounds, *words)
        say(f"rocksdb {name}: {store_report.ratio_text(results[name])} of bare")
    return results


# --- small: two servers, one generator ------------------------------------------------------------


def redis_entries(port, body):
    """How many entries there are, and how many hold `body`."""
    out = subprocess.run(["redis-cli", "-p", str(port), "XRANGE", "/produce/bench", "-", "+"], capture_output=True)
    return out.stdout.count(b"\nv\n"), out.stdout.count(body)


def bourn_entries(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    events = same = 0
    cursor = "0"
    while True:
        connection.request("GET", f"/consume/bench?limit=10000&max_bytes=16MiB&cursor={cursor}",
                           headers={"Accept": "application/x-ndjson"})
        answer = connection.getresponse()
        lines = answer.read()
        if answer.status != 200:
            raise peers.BenchError(f"consume: {answer.status} {lines[:200]}")
        if not lines:
            connection.close()
            return events, same
        events, same = events + lines.count(b"\n"), same + lines.count(body)
        cursor = answer.getheader("Event-Next")


class Small:
    def __init__(self, o):
        self.o = o
        self.racers = {"bourn": (peers.BournLog(o.bourn), "http", bourn_entries),
                       "redis": (peers.Redis(), "redis", redis_entries),
                       "bare-server": (peers.BareServer(o.driver), "http", None)}

    def warm_up(self, rate):
        return max(WARM_UP_SECONDS, WARM_UP_EVENTS / rate if rate else 0)

    def measure(self, name, rate):
        o = self.o
        peer, target, entries = self.racers[name]
        body = b'{"text":"' + b"x" * (BODY_BYTES - 11) + b'"}'
        with peer.start(o.server_core, o.within) as server:
            command = ["taskset", "-c", o.generator_core, o.generator, "http", "--json", "--target", target,
                       "--port", server.port, "--connections", CONNECTIONS, "--bytes", BODY_BYTES,
                       "--seconds", o.seconds, "--warm-up", f"{self.warm_up(rate):.1f}", "--rate", f"{rate:.3f}"]
            for pid in server.pids:
                command += ["--pid", pid]
            result = run(*command)
            found = entries and entries(server.port, body)
        if entries and found != (result["answers_in_all"], result["answers_in_all"]):
            raise peers.BenchError(f"{peer.title}: void: {result['answers_in_all']} were acknowledged, "
                                   f"{found[0]} are there, {found[1]} are right")
        return result

    def bare(self, rate):
        with Directory(self.o) as directory:
            return run("taskset", "-c", self.o.server_core, self.o.driver, "pace", "--dir", directory,
                       "--at-once", CONNECTIONS, "--seconds", max(1, round(self.o.seconds)),
                       *(("--rate", round(rate)) if rate else ()))

    def rounds(self, title, unit, rate):
        results = {name: [] for name in (*self.racers, "bare")}
        for number in range(self.o.rounds):
            for name in results if number % 2 == 0 else reversed(results):
                results[name].append(self.bare(rate) if name == "bare" else
                                     self.measure(name, rate))
                say(f"{title} {number + 1}/{self.o.rounds}, {name}: {unit(results[name][-1])}")
        return results

    def run(self):
        throughput = self.rounds("small events", lambda r: f"{r['answers_per_s']:,.0f}/s", 0)
        rate = min(report.median([r["answers_per_s"] for r in throughput[name]]) for name in ("bourn", "redis")) / 2
        latency = self.rounds(f"latency at {rate:.0f}/s", lambda r: f"p99.9 {r['latency_us']['p99_9']:,.0f} µs", rate)
        return {"rate": rate, "connections": CONNECTIONS, "seconds": self.o.seconds,
                "warm_up": [self.warm_up(0), self.warm_up(rate)],
                "bare": {"throughput": throughput["bare"], "latency": latency["bare"]},
                "peers": {name: {"title": peer.title, "version": peer.version(), "configuration": peer.configuration(),
                                 "throughput": throughput[name], "latency": latency[name]}
                          for name, (peer, _target, _entries) in self.racers.items()}}


# --- start ----------------------------------------------------------------------------------------


def recover(o, number):
    """One start on a write-ahead log that was left behind, everything in it checked afterwards."""
    room = ("--memory", 4 * o.recover_mib, "--checkpoint", 4 * o.recover_mib)
    with Directory(o) as directory:
        data = f"{directory}/data"
        fill = subprocess.run([str(word) for word in (
            o.driver, "fill", "--kill", "--dir", data, "--mib", o.recover_mib, *room)], capture_output=True, text=True)
        if fill.returncode != -signal.SIGKILL:
            raise peers.BenchError(fill.stderr.strip())
        forget_pages(data)
        with Broker(o, data, "--set", f"storage.memory={4 * o.recover_mib}MiB",
                    "--set", f"storage.snapshot_size={4 * o.recover_mib}MiB") as broker:
            result = {"seconds": broker.seconds, "cpu_s": broker.cpu_seconds(), "bytes": json.loads(fill.stdout)["bytes"]}
        run(o.driver, "check", "--dir", data, "--mib", o.recover_mib)
    say(f"start after kill -9 {number + 1}: {result['seconds'] / result['bytes'] * (1 << 30):.2f} s a GiB")
    return result


def clean_starts(o):
    results = []
    with Directory(o) as directory:
        data = f"{directory}/data"
        filled = run(o.driver, "fill", "--dir", data, "--class", "os", "--mib", o.start_mib)
        for number in range(o.rounds):
            forget_pages(data)
            with Broker(o, data) as broker:
                results.append({"seconds": broker.seconds, "cpu_s": broker.cpu_seconds(), "bytes": filled["bytes"]})
            say(f"start after a clean stop {number + 1}: {results[-1]['seconds'] * 1e3:.0f} ms")
        run(o.driver, "check", "--dir", data, "--mib", o.start_mib)
    return results


def start(o):
    return {"recover": [recover(o, number) for number in range(o.rounds)], "clean": clean_starts(o)}


# --- all of it ------------------------------------------------------------------------------------


def file_system(directory):
    return subprocess.run(["df", "--output=fstype", directory], capture_output=True, text=True).stdout.split()[-1]


def main():
    o = options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, fanout.ended)
    pathlib.Path(o.within).mkdir(parents=True, exist_ok=True)
    o.within = str(pathlib.Path(o.within).resolve())
    began = time.monotonic()
    doers = {"append": append, "catchup": catchup, "small": lambda o: Small(o).run(), "start": start,
             "rocksdb": rocksdb}
    results = {}
    for part in o.parts:
        since, busy, own = time.monotonic(), fanout.busy_seconds(), fanout.own_seconds([])
        results[part] = doers[part](o)
        others = fanout.busy_seconds() - busy - (fanout.own_seconds([]) - own)
        results[part]["of"] = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "commit": fanout.commit(),
                               "machine": report.machine(), "file_system": file_system(o.within),
                               "rounds": o.rounds, "version": peers.BournLog(o.bourn).version(),
                               "others_share": max(0, others) / (time.monotonic() - since) / os.cpu_count()}
    say(f"{time.monotonic() - began:.0f} s in all")
    if o.dry:
        print(store_report.section(results))
    else:
        store_report.write(results)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench: stopped; every server is ended")
    except peers.BenchError as error:
        sys.exit(f"bench: {error}")
