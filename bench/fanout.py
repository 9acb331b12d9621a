#!/usr/bin/python3
"""Workload W8: one publisher, many subscribers. bourn, nchan and NATS core, in one run.

Each measurement starts its server anew, on one core, with the generator (bourn-bench) on another.
The peers take turns (A-B-C, C-B-A, …), so that what the machine does meanwhile hits all alike.

  warm-up       each peer with several windows; the one it is fastest with is kept
  throughput    closed loop with that window
  latency       open loop, all at one rate: half of what the slowest peer can do

Writes docs/benchmarks/fanout.json, and from it the tables of docs/benchmarks.md and the chart. A run
with anything lost, repeated, out of order or changed is void: it is counted, and made again once.
"""

import argparse
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import peers
import report

WINDOWS = (16, 64, 256, 1024, 4096)
WINDOW_SECONDS = 8
TRIES = 2


def options():
    p = argparse.ArgumentParser(
        prog="./dev bench fanout", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--subscribers", type=int, default=1000, metavar="N", help="default: 1000")
    p.add_argument("--form", choices=("ws", "sse"), default="ws",
                   help="how they subscribe; NATS, which has no SSE, is left out then")
    p.add_argument("--bytes", type=int, default=100, metavar="N", help="size of an event; default: 100")
    p.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    p.add_argument("--seconds", type=float, default=3, metavar="S", help="of each measurement; default: 3")
    p.add_argument("--windows", default=",".join(map(str, WINDOWS)), metavar="N,…",
                   help="events ahead of the slowest subscriber, to choose from; default: %(default)s")
    p.add_argument("--peers", default="bourn,nchan,nats", metavar="NAME,…", help="default: %(default)s")
    p.add_argument("--cores", default="0,1", metavar="A,B", help="of the server and the generator; default: 0,1")
    p.add_argument("--bourn", default=os.environ.get("BOURN_BIN", "build/bench/bourn"), metavar="FILE",
                   help="default: %(default)s")
    p.add_argument("--generator", default="build/bench/bourn-bench", metavar="FILE", help="default: %(default)s")
    p.add_argument("--dry", action="store_true", help="print the tables; leave docs/ alone")
    o = p.parse_args()
    if o.rounds < 1 or o.subscribers < 1:
        p.error("--rounds and --subscribers begin at 1")
    o.windows = sorted(int(word) for word in o.windows.split(","))
    o.server_core, o.generator_core = o.cores.split(",")
    return o


def busy_seconds():
    """CPU time that anybody has used (and what the hypervisor took), of all cores, since boot."""
    words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(w) for w in words[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds(pids):
    used = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        used += int(fields[11]) + int(fields[12])
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used / os.sysconf("SC_CLK_TCK") + children.ru_utime + children.ru_stime


class Void(Exception):
    """Something was lost, repeated, out of order or changed; or the broker broke off."""


class Race:
    def __init__(self, o):
        self.o = o
        self.voids = []
        self.others = []  # per measurement: share of all cores that neither server nor generator used
        self.racers = []
        for name in o.peers.split(","):
            kind = {"bourn": peers.Bourn, "nchan": peers.Nchan, "nats": peers.Nats}.get(name)
            if not kind:
                raise peers.BenchError(f"there is no peer '{name}': bourn, nchan, nats")
            if o.form in kind.forms:
                self.racers.append(kind(o.bourn) if name == "bourn" else kind())
        self.windows = {}

    def measure(self, peer, seconds, *words):
        """One run of the generator against a new server; what it printed."""
        o = self.o
        with peer.start(o.server_core) as server:
            command = ["taskset", "-c", o.generator_core, o.generator, "fanout", "--json",
                       "--target", peer.name, "--port", server.port, "--form", o.form,
                       "--subscribers", o.subscribers, "--bytes", o.bytes, "--seconds", seconds, *words]
            for pid in server.pids:
                command += ["--pid", pid]
            before, own, began = busy_seconds(), own_seconds(server.pids), time.monotonic()
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
            took = time.monotonic() - began
            others = busy_seconds() - before - (own_seconds(server.pids) - own)
        if done.returncode == 2:
            raise peers.BenchError(done.stderr)
        if done.returncode:
            raise Void(f"{peer.title}, {' '.join(map(str, words))}: {done.stderr.strip()}")
        self.others.append(max(0, others) / took / os.cpu_count())
        return json.loads(done.stdout)

    def measure_again_if_void(self, peer, *words):
        for _ in range(TRIES):
            try:
                return self.measure(peer, self.o.seconds, *words)
            except Void as void:
                self.voids.append(str(void))
                say(f"void: {void}")
        raise peers.BenchError(f"{peer.title}: {TRIES} runs were void; there is nothing to compare")

    def choose_window(self, peer):
        """By short runs; a window with which the broker loses events or cuts somebody off is none, and
        neither is one that holds more than WINDOW_SECONDS of deliveries."""
        found = {}
        for window in self.o.windows:
            if found and window * self.o.subscribers > WINDOW_SECONDS * max(found.values()):
                break
            try:
                found[window] = self.measure(peer, 1, "--window", window)["deliveries_per_s"]
                say(f"{peer.title}, window {window}: {found[window]:,.0f}/s")
            except Void as void:
                self.voids.append(str(void))
                say(f"void: {void}")
        if not found:
            raise peers.BenchError(f"{peer.title}: void with every window")
        self.windows[peer.name] = max(found, key=found.get)

    def rounds(self, title, unit, words_of):
        """Each peer once a round, every other round in reverse; by name, what was measured."""
        results = {peer.name: [] for peer in self.racers}
        for number in range(self.o.rounds):
            for peer in self.racers if number % 2 == 0 else reversed(self.racers):
                result = self.measure_again_if_void(peer, *words_of(peer))
                results[peer.name].append(result)
                say(f"{title} {number + 1}/{self.o.rounds}, {peer.title}: {unit(result)}")
        return results

    def run(self):
        for peer in self.racers:
            self.choose_window(peer)
        throughput = self.rounds(
            "throughput", lambda r: f"{r['deliveries_per_s']:,.0f} deliveries/s, {r['cpu_s_per_million']:.2f} CPU-s/M",
            lambda peer: ("--window", self.windows[peer.name]))
        rate = min(report.median([r["events_per_s"] for r in rounds]) for rounds in throughput.values()) / 2
        latency = self.rounds(
            f"latency at {rate:.1f} events/s", lambda r: f"p50 {r['latency_us']['p50']:,.0f} µs, "
            f"p99 {r['latency_us']['p99']:,.0f} µs", lambda peer: ("--rate", f"{rate:.3f}"))
        return {
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "commit": commit(),
            "machine": report.machine(),
            "form": self.o.form, "subscribers": self.o.subscribers, "bytes": self.o.bytes,
            "rounds": self.o.rounds, "seconds": self.o.seconds, "rate": rate,
            "others_share": {"median": report.median(self.others), "max": max(self.others)},
            "voids": self.voids,
            "peers": {peer.name: {"title": peer.title, "version": peer.version(),
                                  "configuration": peer.configuration(),
                                  "window": self.windows[peer.name],
                                  "throughput": throughput[peer.name], "latency": latency[peer.name]}
                      for peer in self.racers},
        }


def commit():
    """The one that was built, and whether what it is built of has been changed since."""
    def git(*words):
        return subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "bench", "cmake", "CMakeLists.txt")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" and changes" if changed else "")


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def ended(_signal, _frame):
    raise KeyboardInterrupt


def main():
    o = options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ended)
    if not {int(o.server_core), int(o.generator_core)} <= os.sched_getaffinity(0):
        raise peers.BenchError(f"cores {o.cores} are not there: --cores A,B names two")
    variant = Race(o).run()
    if o.dry:
        print(report.section(variant))
    else:
        report.write("fanout", f"{o.form}-{o.subscribers}", variant)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench: stopped; every server is ended")
    except peers.BenchError as error:
        sys.exit(f"bench: {error}")
