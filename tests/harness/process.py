"""What the kernel says of a process: memory, descriptors, time, reads."""

import os
import pathlib
import re


def _read(broker, name):
    return pathlib.Path(f"/proc/{broker.process.pid}/{name}").read_text()


def own_bytes(broker):
    """Memory that is its alone: not the program's text, not what the kernel keeps for sockets."""
    return int(re.search(r"RssAnon:\s+(\d+) kB", _read(broker, "status")).group(1)) * 1024


def peak_bytes(broker):
    """The most that was in memory at once since it was started, the program's text too."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", _read(broker, "status")).group(1)) * 1024


def descriptors(broker):
    return len(os.listdir(f"/proc/{broker.process.pid}/fd"))


def cpu_seconds(broker):
    """Of all threads that live; to the nanosecond."""
    tasks = pathlib.Path(f"/proc/{broker.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def reads(broker):
    """(bytes, calls) of reading since it began, from disk, cache or socket."""
    text = _read(broker, "io")
    return tuple(int(re.search(rf"{name}: (\d+)", text).group(1)) for name in ("rchar", "syscr"))
