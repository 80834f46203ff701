"""What `compare` makes of its figures: tables in Markdown, every pass as CSV, a chart by gnuplot."""

import collections
import csv
import statistics
import textwrap

Case = collections.namedtuple("Case", "connections size pipeline")

BUSY = 98.0      # per cent of its core a server must have used to be called the limit
DISTURBED = 3.0  # per cent of the time one side waited for a core that something else had

RINGO_URING, RINGO_EPOLL = "ringo-uring", "ringo-epoll"
EPOLL_TWIN, URING_TWIN = "epoll_echo", "uring_echo"
COLORS = {RINGO_URING: "#1f6fb4", RINGO_EPOLL: "#8fc1e3", EPOLL_TWIN: "#e08a2e", URING_TWIN: "#6b6b6b"}


def title(case):
    return (f"{case.connections} connection{'s' if case.connections > 1 else ''}, "
            f"{size_text(case.size)}, {case.pipeline} outstanding")


def size_text(size):
    return f"{size // 1024} KiB" if size % 1024 == 0 else f"{size} B"


def median(passes, key):
    return statistics.median(figures[key] for figures in passes)


def ratio(rows, above, below):
    """Median over the passes of server CPU per request of one server to that of another."""
    if above not in rows or below not in rows:
        return None
    return statistics.median(a["server_ns_per_request"] / b["server_ns_per_request"]
                             for a, b in zip(rows[above], rows[below]))


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


def write_markdown(path, machine, servers, left_out, no_uring, results, skipped, same_core):
    names = [server.name for server in servers]
    ratios = [(a, b) for a, b in RATIOS if a in names and b in names]
    short = lambda case: f"{case.connections} x {size_text(case.size)} x {case.pipeline}"
    twins = ["epoll_echo is written by hand on epoll"]
    if URING_TWIN in names:
        twins.append("uring_echo on io_uring")
    out = ["# Echo servers", "", *textwrap.wrap(
        "The servers called ringo are one program, samples/servers/echo_server, on ringo's two "
        f"drivers. {', '.join(twins)}, without ringo. Each runs one thread. A case is connections "
        "x message size x messages outstanding on each connection.", 98), ""]
    out += [f"* {key}: {value}" for key, value in machine]
    for name in left_out:
        out.append(f"* **{name} is left out**: io_uring is refused here ({no_uring})")
    for case, reason in skipped:
        out.append(f"* **{title(case)}: skipped**, {reason}")
    out += ["", "## Server CPU per request, in ns", "", *textwrap.wrap(
        "A ratio below 1 means that the first of the two is cheaper. " + (
            "Server and load generator share a core, so there is no limit to name."
            if same_core else
            f"Limit: 'server' where the server used at least {BUSY:g}% of its core, 'client' where "
            "not. Where the client is the limit, a server that would be faster has nothing to do "
            "but to look for work more often, so the ratios are nearer to 1 than they could be."),
        98), ""]
    head = ["case"] + names + [f"{a} / {b}" for a, b in ratios] + ([] if same_core else ["limit"])
    body = []
    for case, rows in results.items():
        cells = [short(case)] + [f"{median(rows[n], 'server_ns_per_request'):.0f}" for n in names]
        cells += [f"{ratio(rows, a, b):.2f}" for a, b in ratios]
        body.append(cells + ([] if same_core else [limit_of_case(rows)]))
    out += table(head, body)
    out += ["", "## Throughput and latency", ""]
    head = ["case", "server", "requests/s", "p50 us", "p99 us", "p99.9 us", "CPU ns per request",
            "server core %", "client core %"] + ([] if same_core else ["limit"])
    body = []
    for case, rows in results.items():
        for name in names:
            m = lambda key: median(rows[name], key)
            cells = [short(case), name, f"{m('requests_per_second'):.0f}",
                     f"{m('p50_ns') / 1e3:.1f}", f"{m('p99_ns') / 1e3:.1f}",
                     f"{m('p999_ns') / 1e3:.1f}", f"{m('server_ns_per_request'):.0f}",
                     f"{m('server_cpu_percent'):.1f}", f"{m('client_cpu_percent'):.1f}"]
            body.append(cells + ([] if same_core else [limit_of(rows[name])]))
    out += table(head, body)
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


def write_gnuplot(path, svg, machine, servers, results):
    """A row of panels for each number of outstanding messages, and in it one panel for a single
    connection, where a request costs a sleep and a wake-up, and one for many: so no panel has bars
    of such different heights that differences of some per cent cannot be seen."""
    names = [server.name for server in servers]
    facts = dict(machine)
    quote = lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    value = lambda case, name: median(results[case][name], "server_ns_per_request")

    pipelines = list(dict.fromkeys(case.pipeline for case in results))
    grid = [[[c for c in results if c.pipeline == p and (c.connections == 1) == single]
             for single in (True, False)] for p in pipelines]
    columns = [i for i in (0, 1) if any(row[i] for row in grid)]

    # All lengths in pixels; the origin is at the lower left, as in gnuplot.
    bar, axis, right, head, above, plot, below = 32, 92, 14, 112, 44, 210, 62
    group = bar * len(names) + 26
    widest = {i: max(len(row[i]) for row in grid) for i in columns}
    width = sum(axis + group * widest[i] + right for i in columns)
    margin = max(0, 900 - width) // 2  # room for the title
    width += 2 * margin
    height = head + len(grid) * (above + plot + below)

    def at(x, y):
        return f"screen {x / width:.4f},{y / height:.4f}"

    out = [
        f"set terminal svg size {width},{height} dynamic enhanced font 'Helvetica,13' "
        "background '#ffffff'",
        f"set output {quote(svg)}",
        "set encoding utf8",
        "set style fill solid 1.0 noborder",
        f"set boxwidth {0.94 * bar / group:.4f} absolute",
        "set border 3 lc rgb '#606060'",
        "set tics nomirror",
        "set xtics scale 0",
        "set ytics format '%.0f'",
        "set grid ytics lc rgb '#dddddd' lw 1 lt 1",
        "unset key",
        "set multiplot",
        f"set label 1 {quote('Echo servers: CPU time of the server per request (less is better)')} "
        f"at {at(width / 2, height - 26)} center font ',17'",
        f"set label 2 {quote(facts['CPU'])} noenhanced at {at(width / 2, height - 50)} center "
        "font ',11' tc rgb '#606060'",
        f"set label 3 {quote(facts['Kernel'] + '; ' + facts['Compiler'])} noenhanced "
        f"at {at(width / 2, height - 66)} center font ',11' tc rgb '#606060'",
    ]
    entry = 118  # of the legend
    for i, name in enumerate(names):
        x = width / 2 + (i - len(names) / 2) * entry
        y = height - 92
        out.append(f"set object {i + 1} rectangle from {at(x, y - 6)} to {at(x + 12, y + 6)} "
                   f"fc rgb '{COLORS[name]}' fs solid noborder")
        out.append(f"set label {i + 10} {quote(name)} noenhanced at {at(x + 18, y)} left")

    for line, row in enumerate(grid):
        x = margin
        for i in columns:
            cases = row[i]
            x += axis
            if cases:
                panel = f"$panel{line}{i}"
                out.append(f"{panel} << EOD")
                out += [" ".join(f"{value(c, n):.1f}" for n in names) for c in cases]
                out.append("EOD")
                bottom = height - head - line * (above + plot + below) - above - plot
                top = max(value(c, n) for c in cases for n in names)
                tics = ", ".join(quote(f"{c.connections} × {size_text(c.size)}") + f" {k}"
                                 for k, c in enumerate(cases))
                out += [
                    f"set lmargin at {at(x, 0).split(',')[0]}",
                    f"set rmargin at {at(x + group * len(cases), 0).split(',')[0]}",
                    f"set bmargin at screen {bottom / height:.4f}",
                    f"set tmargin at screen {(bottom + plot) / height:.4f}",
                    f"set title {quote(f'{row_title(cases[0])}')} font ',13' offset 0,-0.3",
                    f"set label 50 'ns per request' at {at(x - 76, bottom + plot / 2)} center "
                    "rotate by 90",
                    "set xlabel 'connections × message size' offset 0,0.3 tc rgb '#606060'",
                    f"set xrange [-0.5:{len(cases) - 0.5}]",
                    f"set yrange [0:{top * 1.12:.0f}]",
                    f"set xtics ({tics})",
                ]
                plots = []
                for k, name in enumerate(names):
                    place = f"($0+{(k - (len(names) - 1) / 2) * bar / group:.4f})"
                    plots.append(f"{panel} using {place}:{k + 1} with boxes lc rgb '{COLORS[name]}'")
                    plots.append(f"{panel} using {place}:{k + 1}:(sprintf('%.0f', ${k + 1})) "
                                 "with labels offset 0,0.5 font ',9' tc rgb '#404040'")
                out.append("plot " + ", \\\n  ".join(plots))
                # Drawn once is enough.
                out += ["unset label", "unset object"]
            x += group * widest[i] + right
    out += ["unset multiplot", ""]
    with open(path, "w") as file:
        file.write("\n".join(out))


def row_title(case):
    connections = "one connection" if case.connections == 1 else "many connections"
    return f"{connections}, {case.pipeline} outstanding"
