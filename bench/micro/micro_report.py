"""What bench/run makes of the micro benches: tables in Markdown, every pass as CSV, charts by
gnuplot.

`results` is {(bench, threads): {program: [the figure of each pass, None where it failed]}}; of the
programs it has those that have the bench."""

import csv
import statistics
import textwrap

from programs import RINGO

NOTHING = "–"
COLORS = {"go": "#3a9d5d", "tokio": "#b0413e", "asio": "#8a63a8", "threads": "#6b6b6b"}


def values(figures):
    return [figure.value for figure in figures or [] if figure is not None]


def median(figures):
    return statistics.median(values(figures)) if values(figures) else None


def ratio(above, below):
    """Median over the passes that both have."""
    both = [a.value / b.value for a, b in zip(above or [], below or []) if a and b]
    return statistics.median(both) if both else None


def number(value):
    if value is None:
        return NOTHING
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ahead(cells, peers):
    """Whether ringo is ahead of every peer in the row: yes, or of whom it is not."""
    ratios = {peer: ratio(cells.get(RINGO), cells.get(peer)) for peer in peers}
    known = {peer: figure for peer, figure in ratios.items() if figure is not None}
    if not known:
        return NOTHING
    behind = [peer for peer, figure in known.items() if figure >= 1]
    return "not of " + ", ".join(behind) if behind else "yes"


def table(head, rows, left=1):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * left + "---:|" * (len(head) - left)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def unit_of(cells):
    return next((f.unit for figures in cells.values() for f in figures if f), NOTHING)


def medians_table(names, results, threads):
    peers = [name for name in names if name != RINGO]
    body = []
    for (bench, count), cells in results.items():
        if count != threads:
            continue
        to_go = ratio(cells.get(RINGO), cells.get("go"))
        body.append([bench, unit_of(cells)] + [number(median(cells.get(name))) for name in names]
                    + ([NOTHING if to_go is None else f"{to_go:.2f}"] if "go" in names else [])
                    + [ahead(cells, peers)])
    head = ["bench", "unit"] + names + (["ringo / go"] if "go" in names else [])
    return table(head + ["ringo ahead of all"], body, 2)


def spread_table(names, results, threads):
    def spread(figures):
        known = values(figures)
        return f"{number(min(known))} - {number(max(known))}" if known else NOTHING
    body = [[bench, unit_of(cells)] + [spread(cells.get(name)) for name in names]
            for (bench, count), cells in results.items() if count == threads]
    return table(["bench", "unit"] + names, body, 2)


def params_table(names, results):
    """What each program did, once for all numbers of threads."""
    said = {}
    for (bench, _), cells in results.items():
        for name, figures in cells.items():
            for figure in figures:
                if figure and figure.params:
                    said.setdefault(bench, {}).setdefault(name, figure.params)
    body = []
    for bench, each in said.items():
        usual = each.get(RINGO, "")
        others = [f"{name}: {params}" for name, params in each.items() if params != usual]
        body.append([bench, usual or NOTHING, "; ".join(others) or NOTHING])
    return table(["bench", "of what", "different in"], body, 3)


def write_markdown(path, machine, names, missing, results, failures, unrun, other_reports,
                   charts):
    out = ["# What ringo's operations cost, and those of its peers", "", *textwrap.wrap(
        "Go, tokio, Asio and threads of the operating system (std::thread) do the same work in "
        "programs of the same shape (bench/micro, bench/peers). ns: nanoseconds per operation; "
        "in timers, of CPU time. B: resident bytes for each of those that wait. Less is better, and "
        "a ratio below 1 says that ringo is cheaper; whether it is ahead of all is said of those that "
        "have a figure in the row. An empty cell: the peer is not here, has no such bench, or has "
        "failed, which is said below.", 98), ""]
    out += [f"* {key}: {value}" for key, value in machine]
    out += [f"* **{name} is left out**: {why}" for name, why in missing.items()]
    out += [f"* **failed**: {what}" for what in failures]
    if unrun:
        out.append(f"* **not run**, the time of --quick was up: {', '.join(unrun)}")
    for title, file in other_reports:
        out.append(f"* {title}: [{file}]({file})")
    for threads in sorted({count for _, count in results}):
        title = "one thread" if threads == 1 else f"{threads} threads"
        out += ["", f"## On {title}", "", "Medians of the passes.", ""]
        out += medians_table(names, results, threads)
        out += ["", "The least and the most of any pass.", ""]
        out += spread_table(names, results, threads)
        if threads in charts:
            out += ["", f"![cost relative to ringo, {title}]({charts[threads]})"]
    if results:
        out += ["", "## What was measured", "", *params_table(names, results)]
    with open(path, "w") as file:
        file.write("\n".join(out + [""]))


def write_csv(path, results):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["program", "bench", "threads", "pass", "params", "value", "unit",
                         "operations", "seconds", "extra"])
        for (bench, threads), cells in results.items():
            for name, passes in cells.items():
                for number_of_pass, figure in enumerate(passes, 1):
                    if figure is not None:
                        writer.writerow([name, bench, threads, number_of_pass, figure.params,
                                         figure.value, figure.unit, figure.operations,
                                         figure.seconds, figure.extra])


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_gnuplot(path, svg, machine, names, results, threads):
    """A line for each bench, and on it a point for each peer: how many times what ringo costs. False
    if there is nothing to compare."""
    peers = [name for name in names if name != RINGO]
    lines = []
    for (bench, count), cells in results.items():
        ratios = {peer: ratio(cells.get(peer), cells.get(RINGO)) for peer in peers}
        if count == threads and any(ratios.values()):
            lines.append((bench, ratios))
    if not lines:
        return False
    everything = [figure for _, ratios in lines for figure in ratios.values() if figure]
    low, high = min(everything + [0.5]) / 1.4, max(everything + [2]) * 1.4
    height = 150 + 26 * len(lines)
    facts = dict(machine)
    title = "one thread" if threads == 1 else f"{threads} threads"
    out = [
        f"set terminal svg size 900,{height} dynamic enhanced font 'Helvetica,13' "
        "background '#ffffff'",
        f"set output {quote(svg)}",
        "set encoding utf8",
        f"set title {quote(f'Cost of an operation relative to ringo, {title}')} font ',17' "
        "offset 0,1.1",
        f"set label 1 {quote(facts['CPU'] + '; ' + facts['Kernel'])} noenhanced at graph 0.5,1.0 "
        "center font ',11' tc rgb '#606060' offset 0,0.9",
        "set tmargin 6",
        "set logscale x 2",
        f"set xrange [{low:.3g}:{high:.3g}]",
        f"set yrange [{len(lines) - 0.5}:-0.5]",
        "set xlabel 'times what ringo needs: right of 1 ringo is ahead, left of it behind'",
        "set format x '%g'",
        "set grid x y lc rgb '#dddddd' lw 1 lt 1",
        "set border 1 lc rgb '#606060'",
        "set tics nomirror scale 0",
        "set key outside right top noenhanced samplen 1",
        f"set arrow 1 from 1,-0.5 to 1,{len(lines) - 0.5} nohead lc rgb '#1f6fb4' lw 2 back",
        "set ytics (" + ", ".join(
            f"{quote(bench.replace('_', ' '))} {i}" for i, (bench, _) in enumerate(lines)) + ")",
    ]
    plots = []
    for peer in peers:
        points = [(ratios[peer], i) for i, (_, ratios) in enumerate(lines) if ratios[peer]]
        if points:
            out += [f"${peer} << EOD"] + [f"{x:.4g} {y}" for x, y in points] + ["EOD"]
            plots.append(f"${peer} using 1:2 with points pt 7 ps 1.1 lc rgb '{COLORS[peer]}' "
                         f"title {quote(peer)}")
    out += ["plot " + ", \\\n  ".join(plots), ""]
    with open(path, "w") as file:
        file.write("\n".join(out))
    return True
