"""What was measured, as JSON, as tables between two markers of docs/benchmarks.md, and as a chart.

The JSON holds the last run of each variant of a workload (`ws-1000`, `sse-1000`, …); the rest is made
from it, so a run of one variant leaves the others as they are."""

import html
import json
import os
import pathlib
import platform
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/benchmarks.md"
OURS = "bourn"
BUSY = 0.95  # of its core: a generator that used more was the limit itself
QUIET = 0.05  # of all cores: more than that used by others spoils absolute figures


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1))
    system = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text()).group(1)
    return (f"{os.cpu_count()} cores of {cpu.group(1) if cpu else platform.machine()}, "
            f"{memory / (1 << 20):.1f} GiB, Linux {platform.release()}, {system}")


# --- figures: how each is taken from a round, and which way is better ------------------------------


class Figure:
    def __init__(self, title, rounds, take, show, more_is_better, at_limit=None):
        self.title = title
        self.rounds = rounds  # "throughput" or "latency"
        self.take = take
        self.show = show
        self.more_is_better = more_is_better
        self.at_limit = at_limit

    def values(self, peer):
        return [self.take(result) for result in peer[self.rounds]]

    def middle(self, peer):
        """The median, marked if it is a lower bound."""
        bound = "≥ " if self.at_limit and any(map(self.at_limit, peer[self.rounds])) else ""
        return bound + self.show(median(self.values(peer)))

    def cell(self, peer):
        values = self.values(peer)
        return f"**{self.middle(peer)}** ({self.show(min(values))} – {self.show(max(values))})"

    def ratios(self, ours, theirs):
        """Per round: above 1, ours is better."""
        pairs = zip(self.values(ours), self.values(theirs))
        return [a / b if self.more_is_better else b / a for a, b in pairs]


def generator_was_the_limit(result):
    """Or may have been: it had more to do than the server."""
    return result["generator_share"] >= min(BUSY, result["server_share"])


def per_second(value):
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def milliseconds(us):
    return f"{us / 1e3:.2f}" if us < 1e5 else f"{us / 1e3:.0f}"


def latency(title, key):
    return Figure(title, "latency", lambda r: r["latency_us"][key], milliseconds, False)


FIGURES = [
    Figure("deliveries/s", "throughput", lambda r: r["deliveries_per_s"], per_second, True, generator_was_the_limit),
    Figure("CPU-seconds of the server per million deliveries", "throughput",
           lambda r: r["cpu_s_per_million"], lambda v: f"{v:.3f}", False),
    Figure("memory of the server (RSS, MiB)", "throughput", lambda r: r["rss_kib"] / 1024,
           lambda v: f"{v:.0f}", False),
    latency("latency p50, ms", "p50"),
    latency("latency p99, ms", "p99"),
    latency("latency p99.9, ms", "p99_9"),
    latency("latency max, ms", "max"),
]

# Said beside the figures, and not compared.
REMARKS = [
    Figure("share of its core the server used", "throughput", lambda r: 100 * r["server_share"],
           lambda v: f"{v:.0f} %", False),
    Figure("share of its core the generator used", "throughput", lambda r: 100 * r["generator_share"],
           lambda v: f"{v:.0f} %", False),
    Figure("events/s achieved in the latency runs", "latency", lambda r: r["events_per_s"],
           lambda v: f"{v:.1f}", True),
]


# --- the tables ------------------------------------------------------------------------------------


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def form_title(variant):
    form = {"ws": "WebSocket", "sse": "SSE"}[variant["form"]]
    return f"{variant['subscribers']:,} {form} subscribers, events of {variant['bytes']} bytes"


def times(ratio):
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}"


def verdict(ratios):
    if min(ratios) > 1:
        word = "better"
    elif max(ratios) < 1:
        word = "worse"
    else:
        word = "open"
    return f"**{times(median(ratios))}** ({times(min(ratios))} – {times(max(ratios))}) {word}"


def section(variant):
    racers = variant["peers"]
    rows = [[f.title, *(f.cell(p) for p in racers.values())] for f in FIGURES + REMARKS]
    rows.append(["window chosen, events", *(str(p["window"]) for p in racers.values())])
    text = [f"### {form_title(variant)}\n",
            f"{variant['date']}, commit `{variant['commit']}`; {variant['rounds']} rounds of "
            f"{variant['seconds']:g} s. Median (min – max) of the rounds. Latency at "
            f"{variant['rate']:.1f} events/s.\n",
            table(["", *(p["title"] for p in racers.values())], rows), ""]
    others = {name: p for name, p in racers.items() if name != OURS}
    if OURS in racers and others:
        ours = racers[OURS]
        rows = [[f.title, *(verdict(f.ratios(ours, p)) for p in others.values())] for f in FIGURES]
        text += ["How many times better bourn is, round against round: median (least – most). It counts as "
                 "better, or as worse, only if every round says so.\n",
                 table(["", *(f"against {p['title']}" for p in others.values())], rows), ""]
    others_share = variant["others_share"]
    if others_share["median"] > QUIET:
        text += ["**The machine was not quiet.** Take no figure of this run for what a broker can do.\n"]
    text += [f"Machine: {variant['machine']}. Everything else that ran on it took "
             f"{100 * others_share['median']:.1f} % of its cores (at most "
             f"{100 * others_share['max']:.1f} % during a measurement). "
             f"Void runs: {len(variant['voids'])}"
             + "".join(f"; {html.escape(void)}" for void in variant["voids"]) + ".\n"]
    return "\n".join(text)


def configurations(variants):
    """Of each peer, as last used."""
    last = {}
    for variant in variants.values():
        last.update(variant["peers"])
    return "\n".join(f"**{p['title']}** {p['version']}\n\n```\n{p['configuration']}\n```\n" for p in last.values())


def page_part(name, variants):
    parts = [f"![Deliveries a second](benchmarks/{name}.svg)\n",
             f"Every round is in [{name}.json](benchmarks/{name}.json).\n",
             *(section(variant) for variant in variants.values()),
             "### Versions and configurations\n", configurations(variants)]
    return "\n".join(parts)


def replace_part(page, name, text):
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _old, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"bench: {PAGE} has no '{begin}' … '{end}' to write between")
    return f"{before}{begin}\n{text}\n{end}{after}"


# --- the chart -------------------------------------------------------------------------------------

WIDTH, LEFT, RIGHT = 760, 130, 130
BAR, GAP, GROUP = 22, 8, 40
COLOURS = {"bourn": "#0b6e4f"}
OTHER_COLOUR = "#9aa5b1"


def bar(y, peer, name, most):
    values = FIGURES[0].values(peer)
    scale = (WIDTH - LEFT - RIGHT) / most
    low, middle, high = (LEFT + scale * v for v in (min(values), median(values), max(values)))
    centre = y + BAR / 2
    spread = f"M{low:.1f} {centre}H{high:.1f}M{low:.1f} {centre - 4}v8M{high:.1f} {centre - 4}v8"
    return (f'<text x="{LEFT - 10}" y="{centre + 4.5}" text-anchor="end">{html.escape(peer["title"])}</text>'
            f'<rect x="{LEFT}" y="{y}" width="{middle - LEFT:.1f}" height="{BAR}" rx="2" '
            f'fill="{COLOURS.get(name, OTHER_COLOUR)}"/>'
            f'<path d="{spread}" stroke="#ffffff" stroke-width="4"/>'
            f'<path d="{spread}" stroke="#1f2933" stroke-width="1.2"/>'
            f'<text x="{high + 8:.1f}" y="{centre + 4.5}" font-weight="600">{FIGURES[0].middle(peer)}/s</text>')


def chart(variants):
    shapes, y = [], 16
    for variant in variants.values():
        racers = variant["peers"]
        most = max(max(FIGURES[0].values(p)) for p in racers.values())
        shapes.append(f'<text x="16" y="{y + 14}" font-size="15" font-weight="600">'
                      f'Deliveries a second: {html.escape(form_title(variant))}</text>')
        y += 30
        for name, peer in racers.items():
            shapes.append(bar(y, peer, name, most))
            y += BAR + GAP
        y += GROUP - GAP
    note = "Median of the rounds; the line goes from the least to the most. More is better."
    shapes.append(f'<text x="16" y="{y - 8}" font-size="12" fill="#52606d">{note}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 8}" width="{WIDTH}" '
            f'height="{y + 8}" font-family="system-ui, sans-serif" font-size="13" fill="#1f2933">\n'
            f'<rect width="100%" height="100%" rx="6" fill="#ffffff"/>\n' + "\n".join(shapes) + "\n</svg>\n")


# --- all of it ---------------------------------------------------------------------------------------


def order(key):
    form, subscribers = key.split("-")
    return form != "ws", int(subscribers)


def write(name, key, variant):
    """Keep `variant` as the last run of its kind; write JSON, page and chart anew."""
    kept = PAGE.with_suffix("") / f"{name}.json"
    kept.parent.mkdir(exist_ok=True)
    variants = json.loads(kept.read_text()) if kept.exists() else {}
    variants[key] = variant
    variants = {k: variants[k] for k in sorted(variants, key=order)}
    page = replace_part(PAGE.read_text(), name, page_part(name, variants))
    kept.write_text(json.dumps(variants, indent=1, ensure_ascii=False) + "\n")
    kept.with_suffix(".svg").write_text(chart(variants))
    PAGE.write_text(page)
    print(section(variant))
    print(f"written: {PAGE.relative_to(ROOT)}, {kept.relative_to(ROOT)}, "
          f"{kept.with_suffix('.svg').relative_to(ROOT)}")
