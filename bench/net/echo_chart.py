"""The chart of `compare`, by gnuplot."""

from echo_report import median, size_text
from echo_servers import EPOLL_TWIN, RINGO_EPOLL, RINGO_URING, URING_TWIN

COLORS = {RINGO_URING: "#1f6fb4", RINGO_EPOLL: "#8fc1e3", EPOLL_TWIN: "#e08a2e",
          URING_TWIN: "#6b6b6b", "go": "#3a9d5d", "tokio": "#b0413e", "asio": "#8a63a8"}
LARGE = 16 << 10  # bytes from which on copying them is what a message costs

# The panels beside each other, in none of which bars are of such different heights that differences
# of some per cent cannot be seen.
PANELS = [("one connection", lambda case: case.connections == 1),
          ("many connections", lambda case: case.connections > 1 and case.size < LARGE),
          ("large messages", lambda case: case.connections > 1 and case.size >= LARGE)]


def write_gnuplot(path, svg, machine, names, results):
    """A row of panels for each number of outstanding messages."""
    facts = dict(machine)
    quote = lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    value = lambda case, name: median(results[case][name], "server_ns_per_request")

    pipelines = list(dict.fromkeys(case.pipeline for case in results))
    grid = [[[c for c in results if c.pipeline == p and belongs(c)] for _, belongs in PANELS]
            for p in pipelines]
    columns = [i for i in range(len(PANELS)) if any(row[i] for row in grid)]

    # All lengths in pixels; the origin is at the lower left, as in gnuplot.
    bar, axis, right, head, above, plot, below = 36, 92, 14, 112, 44, 210, 62
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
                heading = f"{PANELS[i][0]}, {cases[0].pipeline} outstanding"
                tics = ", ".join(quote(f"{c.connections} × {size_text(c.size)}") + f" {k}"
                                 for k, c in enumerate(cases))
                out += [
                    f"set lmargin at {at(x, 0).split(',')[0]}",
                    f"set rmargin at {at(x + group * len(cases), 0).split(',')[0]}",
                    f"set bmargin at screen {bottom / height:.4f}",
                    f"set tmargin at screen {(bottom + plot) / height:.4f}",
                    f"set title {quote(heading)} font ',13' offset 0,-0.3",
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
                    plots.append(f"{panel} using {place}:{k + 1} with boxes "
                                 f"lc rgb '{COLORS[name]}'")
                    plots.append(f"{panel} using {place}:{k + 1}:(sprintf('%.0f', ${k + 1})) "
                                 "with labels offset 0,0.5 font ',9' tc rgb '#404040'")
                out.append("plot " + ", \\\n  ".join(plots))
                # Drawn once is enough.
                out += ["unset label", "unset object"]
            x += group * widest[i] + right
    out += ["unset multiplot", ""]
    with open(path, "w") as file:
        file.write("\n".join(out))
