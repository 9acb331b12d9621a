"""What the kernel says of a process: memory, descriptors, time, reads."""

import os
import pathlib
import re
import time


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


# --- why it does not answer ------------------------------------------------------------------------------


def _pressure(what, who):
    text = pathlib.Path(f"/proc/pressure/{what}").read_text()
    return int(re.search(rf"^{who} .*total=(\d+)", text, re.MULTILINE).group(1)) / 1e6


def stalls():
    """Seconds since the boot, and how many of them what kept all or some from going on; empty where the kernel
    does not tell."""
    try:
        stolen = int(pathlib.Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")
        return {"passed": time.monotonic(), "all waited for disks": _pressure("io", "full"),
                "some waited for a processor": _pressure("cpu", "some"), "the machine itself stood": stolen}
    except OSError:
        return {}


def _thread(task):
    ran, waited, _ = (task / "schedstat").read_text().split()
    name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
    where = (task / "wchan").read_text()
    return (f"  {name} {rest.split()[0]} {where}: ran {int(ran) / 1e9:.3f} s, "
            f"waited {int(waited) / 1e9:.3f} s for a processor")


def doing(pid, before):
    """In words: what each of its threads does, and what kept the machine busy since stalls() gave `before`."""
    now = stalls()
    lines = [", ".join(f"{now[what] - before[what]:.1f} s {what}" for what in now if what in before)]
    try:
        lines += [_thread(task) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    except OSError as error:
        lines.append(str(error))
    return "\n".join(lines)
