"""What `./dev bench store` measured, as JSON and as tables in docs/benchmarks.md."""

import json

import report

NAME = "store"
MB = 1e6
GIB = 1 << 30
QUIET = 0.15  # of all cores: more used by others than this, which the kernel needs to write, spoils figures

GOALS = {"commit": 0.8, "commit-two": 0.8, "commit-late": 0.8, "os": 0.7, "os-burst": 0.7, "warm": 0.8, "cold": 0.8}
TITLES = {
    "commit": "append, class `commit`",
    "commit-two": "append, class `commit`, two partitions",
    "commit-late": "append, class `commit`, two partitions, snapshot afterwards",
    "os": "append, class `os`",
    "os-burst": "append, class `os`, 48 MiB at once",
    "warm": "catch-up, from the page cache", "cold": "catch-up, from the disk",
}


def rate(side):
    return side["bytes"] / side["seconds"] / MB


def median_rate(rounds):
    return report.median([rate(r) for r in rounds])


def ratios(result):
    return [rate(ours) / rate(bare) for ours, bare in zip(result["ours"], result["bare"])]


def spread(values, show):
    return f"**{show(report.median(values))}** ({show(min(values))} – {show(max(values))})"


def percent(value):
    return f"{100 * value:.0f} %"


def ratio_text(result):
    return spread(ratios(result), percent).replace("*", "")


def cpu_per_gib(rounds):
    return spread([r["cpu_s"] / r["bytes"] * GIB for r in rounds], lambda v: f"{v:.2f}")


def verdict(met):
    return "met" if met else "missed"


def race_rows(results):
    for name, title in TITLES.items():
        if name not in results:
            continue
        result = results[name]
        yield [title, spread([rate(r) for r in result["bare"]], lambda v: f"{v:,.0f}"),
               spread([rate(r) for r in result["ours"]], lambda v: f"{v:,.0f}"), spread(ratios(result), percent),
               f"≥ {percent(GOALS[name])}: {verdict(report.median(ratios(result)) >= GOALS[name])}",
               cpu_per_gib(result["bare"]), cpu_per_gib(result["ours"])]


def copies_text(name, result):
    """Of three sides: bare, the copies and writes without a broker, ours."""
    of_bare = ratios({"bare": result["bare"], "ours": result["copies"]})
    of_copies = ratios({"bare": result["copies"], "ours": result["ours"]})
    return (f"{TITLES[name]}: the same copies and writes without a broker reach "
            f"{spread([rate(r) for r in result['copies']], lambda v: f'{v:,.0f}')} MB/s on this machine, "
            f"{spread(of_bare, percent)} of the bare loop, with {cpu_per_gib(result['copies'])} CPU-s a GiB; bourn "
            f"reaches {spread(of_copies, percent)} of that.")


def race_section(results):
    rows = list(race_rows(results))
    text = [report.table(["", "bare, MB/s", "bourn, MB/s", "bourn ÷ bare", "goal", "bare, CPU-s a GiB",
                          "bourn, CPU-s a GiB"], rows), ""]
    for name in ("commit", "commit-two", "commit-late", "os", "os-burst"):
        if name in results:
            ours = results[name]["ours"]
            groups = report.median([r["bytes"] / max(1, r["groups"]) / 1024 for r in ours])
            text.append(f"{TITLES[name]}: {results[name]['partitions']} partitions with {results[name]['in_flight']} "
                        f"batch under way in each; the WAL's groups held {groups:.0f} KiB on average, and there were "
                        f"{report.median([r['flushes'] for r in ours]):.0f} flushes to "
                        f"{ours[0]['bytes'] / (1 << 20):.0f} MiB.")
        if "copies" in results.get(name, {}):
            text.append(copies_text(name, results[name]))
    for name in ("warm", "cold"):
        if name in results:
            share = results[name]["range_bytes"] / results[name]["ours"][0]["bytes"]
            text.append(f"{TITLES[name]}: {percent(share)} of the bytes left as ranges of files.")
    return text


def stream_section(results):
    rows = [[{"sse": "SSE", "ws": "WebSocket"}[form],
             spread([rate(r) for r in results[form]], lambda v: f"{v:,.0f}"),
             spread([r["bytes"] / 1024 / r["seconds"] / 1e3 for r in results[form]], lambda v: f"{v:,.0f} k"),
             cpu_per_gib(results[form])] for form in ("sse", "ws")]
    return ["\nThe same events from a running broker, one subscriber from the first event on:\n",
            report.table(["", "MB/s", "events/s", "CPU-s of the broker a GiB"], rows)]


SMALL = [
    report.Figure("events/s", "throughput", lambda r: r["answers_per_s"], lambda v: f"{v:,.0f}", True),
    report.Figure("CPU-seconds of the server per million events", "throughput",
                  lambda r: r["cpu_s_per_million"], lambda v: f"{v:.1f}", False),
    *(report.latency(f"latency {title}, ms", key) for title, key in
      (("p50", "p50"), ("p99", "p99"), ("p99.9", "p99_9"), ("max", "max"))),
]


def share(title, key):
    return report.Figure(title, "throughput", lambda r: r[key], percent, False)


SHARES = [share("of its core the server used", "server_share"), share("of its core the generator used", "generator_share")]


def small_section(small):
    ours, theirs = small["peers"]["bourn"], small["peers"]["redis"]
    server, bare = small["peers"].get("bare-server"), small.get("bare")
    rows = [[f.title, f.cell(ours), f.cell(theirs), report.verdict(f.ratios(ours, theirs)),
             f.cell(server) if server else "", report.verdict(f.ratios(server, theirs)) if server else "",
             f.cell(bare) if bare else ""] for f in SMALL]
    rows += [[f.title, f.cell(ours), f.cell(theirs), "", f.cell(server) if server else "", "", ""] for f in SHARES]
    faster = report.median(SMALL[0].ratios(ours, theirs))
    sooner = report.median(SMALL[4].ratios(ours, theirs))
    warm = " after {:.0f} s of the same, for latency {:.0f} s".format(*small["warm_up"]) if "warm_up" in small else ""
    reached = (f" bourn answers {percent(report.median(SMALL[0].ratios(ours, server)))} of what the bare server does."
               if server else "")
    return [f"\n### Small durable events\n\n{small['connections']} connections, one event of 1 KiB under way on each, "
            f"flushed before it is acknowledged; {small['seconds']:g} s a measurement{warm}, latency at "
            f"{small['rate']:,.0f} events/s.\n",
            report.table(["", "bourn", "Redis", "how many times better bourn is", "bare server",
                          "how many times better that is", "bare loop"], rows),
            f"\nGoals: twice the throughput ({verdict(faster >= 2)}), half the p99.9 ({verdict(sooner >= 2)}).{reached}\n",
            *(f"**{p['title']}** {p['version']}\n\n```\n{p['configuration']}\n```\n" for p in (ours, theirs))]


ROCKSDB = {
    "os": "batches of 100 events, class `os`", "commit": "batches of 100 events, class `commit`",
    "os-blobs": "batches of 100 events, class `os`, blob files",
    "os-small": "batches of one event, class `os`", "commit-small": "batches of one event, class `commit`",
}


def rocksdb_rows(results, bare, ours, goal):
    for name, title in ROCKSDB.items():
        sides = {"bare": results[name][bare], "ours": results[name][ours]}
        yield [title, spread([rate(r) for r in sides["bare"]], lambda v: f"{v:,.0f}"),
               spread([rate(r) for r in sides["ours"]], lambda v: f"{v:,.0f}"), spread(ratios(sides), percent),
               f"≥ {percent(goal)}: {verdict(report.median(ratios(sides)) >= goal)}",
               cpu_per_gib(sides["bare"]), cpu_per_gib(sides["ours"])]


def rocksdb_section(results):
    head = ["", "bare, MB/s", "bourn, MB/s", "bourn ÷ bare", "goal", "bare, CPU-s a GiB", "bourn, CPU-s a GiB"]
    return ["\n### The engine rocksdb\n\nAppends:\n", report.table(head, rocksdb_rows(results, "bare", "ours", 0.8)),
            "\nAll of it read again, through an iterator:\n",
            report.table(head, rocksdb_rows(results, "bare_reads", "our_reads", 0.7))]


def start_section(start):
    after_kill = [r["seconds"] / r["bytes"] * GIB for r in start["recover"]]
    clean = [r["seconds"] for r in start["clean"]]
    return ["\n### Starts\n\nUntil `/readyz` says yes, with nothing of the data directory in the page cache.\n",
            report.table(["", "seconds", "goal", "CPU-seconds"], [
                [f"after kill -9, a GiB of write-ahead log ({start['recover'][0]['bytes'] / GIB:.1f} GiB were there)",
                 spread(after_kill, lambda v: f"{v:.2f}"),
                 f"≤ 1.3: {verdict(report.median(after_kill) <= 1.3)}", cpu_per_gib(start["recover"])],
                [f"after a clean stop, {start['clean'][0]['bytes'] / GIB:.1f} GiB on disk",
                 spread(clean, lambda v: f"{v:.3f}"), f"≤ 0.2: {verdict(report.median(clean) <= 0.2)}",
                 spread([r["cpu_s"] for r in start["clean"]], lambda v: f"{v:.2f}")]])]


def section(results):
    text, races = [], {}
    for part in ("append", "catchup"):
        races.update({k: v for k, v in results.get(part, {}).items() if k in TITLES})
    for part, result in results.items():
        of = result["of"]
        text.append(f"{part}: {of['date']}, {of['version']}, commit `{of['commit']}`, {of['rounds']} rounds, "
                    f"{of['file_system']}, {of['machine']}; everything else, the kernel's own threads too, took "
                    f"{percent(of['others_share'])} of its cores.  ")
    if any(result["of"]["others_share"] > QUIET for result in results.values()):
        text.append("\n**The machine was not quiet.** Take no figure of this run for what a disk can do.")
    text.append("")
    if races:
        text += race_section(races)
    if "catchup" in results:
        text += stream_section(results["catchup"])
    if "small" in results:
        text += small_section(results["small"])
    if "start" in results:
        text += start_section(results["start"])
    if "rocksdb" in results:
        text += rocksdb_section(results["rocksdb"])
    return "\n".join(text) + "\n"


def write(results):
    """Keep what was measured now, and of the other parts what was last."""
    kept = report.PAGE.with_suffix("") / f"{NAME}.json"
    kept.parent.mkdir(exist_ok=True)
    everything = json.loads(kept.read_text()) if kept.exists() else {}
    everything.update(results)
    page = report.replace_part(report.PAGE.read_text(), NAME,
                               f"Every round is in [{NAME}.json](benchmarks/{NAME}.json).\n\n{section(everything)}")
    kept.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
    report.PAGE.write_text(page)
    print(section(results))
    print(f"written: {report.PAGE.relative_to(report.ROOT)}, {kept.relative_to(report.ROOT)}")
