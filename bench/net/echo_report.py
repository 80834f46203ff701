"""What `compare` makes of its figures: tables in Markdown, and every pass as CSV."""

import collections
import csv
import statistics
import textwrap

from echo_servers import EPOLL_TWIN, PEERS, RINGO_EPOLL, RINGO_URING, URING_TWIN

Case = collections.namedtuple("Case", "connections size pipeline")

BUSY = 98.0      # per cent of its core a server must have used to be called the limit
DISTURBED = 3.0  # per cent of the time one side waited for a core that something else had
NOTHING = "–"    # in the place of a figure that there is not


def title(case):
    return (f"{case.connections} connection{'s' if case.connections > 1 else ''}, "
            f"{size_text(case.size)}, {case.pipeline} outstanding")


def short(case):
    return f"{case.connections} x {size_text(case.size)} x {case.pipeline}"


def size_text(size):
    return f"{size // 1024} KiB" if size % 1024 == 0 else f"{size} B"


def median(passes, key):
    return statistics.median(figures[key] for figures in passes)


def ratio(rows, above, below, key="server_ns_per_request"):
    """Median over the passes of one server's figure to another's; None without one of them."""
    if above not in rows or below not in rows:
        return None
    return statistics.median(a[key] / b[key] for a, b in zip(rows[above], rows[below]))


def text(figure, form):
    return NOTHING if figure is None else form.format(figure)


def limit_of(passes):
    """Who was the limit: 'server' if it used its core up, else 'client'."""
    busy = median(passes, "server_cpu_percent") >= BUSY
    waited = max(median(passes, "server_waiting_percent"), median(passes, "client_waiting_percent"))
    return ("server" if busy else "client") + (" (disturbed)" if waited >= DISTURBED else "")


def limit_of_case(rows):
    limits = collections.defaultdict(list)
    for name, passes in rows.items():
        limits[limit_of(passes)].append(name)
    if len(limits) == 1:
        return next(iter(limits))
    return ", ".join(f"{limit}: {' '.join(names)}" for limit, names in limits.items())


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


RATIOS = [(RINGO_URING, RINGO_EPOLL), (RINGO_URING, EPOLL_TWIN), (RINGO_URING, URING_TWIN),
          (RINGO_EPOLL, EPOLL_TWIN), (URING_TWIN, EPOLL_TWIN)]


def cost_table(names, results, same_core):
    """Server CPU per request of each server, and ringo's to that of the twins."""
    ratios = [(a, b) for a, b in RATIOS if a in names and b in names]
    head = ["case"] + names + [f"{a} / {b}" for a, b in ratios] + ([] if same_core else ["limit"])
    body = []
    for case, rows in results.items():
        cells = [short(case)]
        cells += [text(median(rows[n], "server_ns_per_request") if n in rows else None, "{:.0f}")
                  for n in names]
        cells += [text(ratio(rows, a, b), "{:.2f}") for a, b in ratios]
        body.append(cells + ([] if same_core else [limit_of_case(rows)]))
    return table(head, body)


def ahead(ratios, less_is_better):
    """Whether ringo is ahead of all: yes, or of whom it is not."""
    known = {peer: figure for peer, figure in ratios.items() if figure is not None}
    if not known:
        return NOTHING
    behind = [peer for peer, figure in known.items()
              if (figure >= 1 if less_is_better else figure <= 1)]
    if behind:
        return "not of " + ", ".join(behind)
    return "yes" if len(known) == len(ratios) else "yes, of those here"


# What is compared with the peers: the figure, its name, and whether less of it is better.
AGAINST_PEERS = [("server_ns_per_request", "CPU per request", True),
                 ("requests_per_second", "requests/s", False), ("p50_ns", "p50", True),
                 ("p99_ns", "p99", True)]


def peers_table(ringo, peers, results):
    head = ["case", "figure"] + [f"{ringo} / {peer}" for peer in peers] + ["ahead of all peers"]
    body = []
    for case, rows in results.items():
        for key, name, less_is_better in AGAINST_PEERS:
            ratios = {peer: ratio(rows, ringo, peer, key) for peer in peers}
            body.append([short(case), name] + [text(ratios[peer], "{:.2f}") for peer in peers]
                        + [ahead(ratios, less_is_better)])
    return table(head, body)


def latency_table(names, results, same_core):
    head = ["case", "server", "requests/s", "p50 us", "p99 us", "p99.9 us", "CPU ns per request",
            "least - most", "server core %", "client core %"] + ([] if same_core else ["limit"])
    body = []
    for case, rows in results.items():
        for name in names:
            if name not in rows:
                body.append([short(case), name] + [NOTHING] * (len(head) - 2))
                continue
            m = lambda key: median(rows[name], key)
            costs = [figures["server_ns_per_request"] for figures in rows[name]]
            cells = [short(case), name, f"{m('requests_per_second'):.0f}",
                     f"{m('p50_ns') / 1e3:.1f}", f"{m('p99_ns') / 1e3:.1f}",
                     f"{m('p999_ns') / 1e3:.1f}", f"{m('server_ns_per_request'):.0f}",
                     f"{min(costs):.0f} - {max(costs):.0f}", f"{m('server_cpu_percent'):.1f}",
                     f"{m('client_cpu_percent'):.1f}"]
            body.append(cells + ([] if same_core else [limit_of(rows[name])]))
    return table(head, body)


def introduction(names):
    what = []
    if EPOLL_TWIN in names:
        what.append("epoll_echo is written by hand on epoll")
    if URING_TWIN in names:
        what.append("uring_echo is written by hand on io_uring")
    peers = [name for name in PEERS if name in names]
    if peers:
        what.append(f"Those called {', '.join(peers)} are what one writes with these (bench/peers)")
    return ("The servers called ringo are one program, samples/servers/echo_server, on ringo's two "
            f"drivers. {''.join(sentence + '. ' for sentence in what)}Each runs one thread. A case "
            "is connections x message size x messages outstanding on each connection.")


def write_markdown(path, machine, names, missing, results, skipped, same_core):
    out = ["# Echo servers", "", *textwrap.wrap(introduction(names), 98), ""]
    out += [f"* {key}: {value}" for key, value in machine]
    out += [f"* **{name} is left out**: {why}" for name, why in missing.items()]
    out += [f"* **{title(case)}: skipped**, {why}" for case, why in skipped]
    out += ["", "## Server CPU per request, in ns", "", *textwrap.wrap(
        "A ratio below 1 means that the first of the two is cheaper. " + (
            "Server and load generator share a core, so there is no limit to name."
            if same_core else
            f"Limit: 'server' where the server used at least {BUSY:g}% of its core, 'client' where "
            "not. Where the client is the limit, a server that would be faster has nothing to do "
            "but to look for work more often, so the ratios are nearer to 1 than they could be."),
        98), ""]
    out += cost_table(names, results, same_core)
    peers = [name for name in PEERS if name in names]
    for ringo in (RINGO_URING, RINGO_EPOLL):
        if ringo in names and peers:
            out += ["", f"## {ringo} and the peers", "", *textwrap.wrap(
                "Ratios of the figures; less is better, but for requests/s.", 98), ""]
            out += peers_table(ringo, peers, results)
    out += ["", "## Throughput and latency", "", *textwrap.wrap(
        "Medians of the passes; of the CPU per request also the least and the most of any pass.",
        98), ""]
    out += latency_table(names, results, same_core)
    if any("disturbed" in line for line in out):
        out += ["", *textwrap.wrap(
            f"Disturbed: for at least {DISTURBED:g}% of the time something else had the core that "
            "the server or the load generator was ready to run on. Throughput and latency are worse "
            "for it, CPU per request much less.", 98)]
    out += ["", "![server CPU per request](echo.svg)", ""]
    with open(path, "w") as file:
        file.write("\n".join(out))


def write_csv(path, results):
    with open(path, "w", newline="") as file:
        writer = None
        for case, rows in results.items():
            for name, passes in rows.items():
                for number, figures in enumerate(passes, 1):
                    row = {"server": name, "pass": number, **figures}
                    if writer is None:
                        writer = csv.DictWriter(file, fieldnames=list(row))
                        writer.writeheader()
                    writer.writerow(row)
