#!/usr/bin/env python3
"""The runs of run.sh as one table and one plot.

Usage: table.py RUNS TABLE.md PLOT.svg     RUNS holds one folder per run; each has metrics.jsonl
"""

import json
import os
import sys

ORDER = ["full-precision", "abrupt", "linear", "exponential", "sigmoid", "distilled", "distilled-linear",
         "distilled-relations", "sub-norms", "distilled-sub-norms", "scratch"]  # fmt: skip
COLOURS = ["#444444", "#d62728", "#ff7f0e", "#bcbd22", "#8c564b", "#1f77b4", "#17becf", "#9467bd", "#e377c2",
           "#2ca02c", "#7f7f7f"]  # fmt: skip
WIDTH, HEIGHT, LEFT, BOTTOM = 760, 420, 56, 40


def read_run(folder):
    """(points [(tokens, bits per byte, lambda)], final bits per byte) of a run that ended; None for others."""
    points, final = [], None
    with open(os.path.join(folder, "metrics.jsonl")) as f:
        for line in map(json.loads, f):
            if line["kind"] == "held_out":
                points.append((line["tokens"], line["bits_per_byte"], line.get("lambda", 1.0)))
            elif line["kind"] == "final":
                final = line["bits_per_byte"]
    return (points, final) if final is not None else None


def nearest(points, tokens):
    return min(points, key=lambda p: abs(p[0] - tokens))[1]


def table(runs, teacher):
    end = max(points[-1][0] for points, _ in runs.values())
    marks = [end // 8, end // 4, end // 2]
    head = [f"after {m / 1e6:.2f} M" for m in marks]
    lines = ["| run | " + " | ".join(head) + f" | at the end ({end / 1e6:.2f} M tokens) | behind full precision |",
             "|---|" + "---:|" * (len(marks) + 2)]  # fmt: skip
    for name, (points, final) in runs.items():
        row = [f"{nearest(points, m):.4f}" for m in marks] + [f"{final:.4f}", f"{final - teacher:+.4f}"]
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def plot(runs, teacher):
    end = max(points[-1][0] for points, _ in runs.values())
    low = min(min(p[1] for p in points) for points, _ in runs.values()) - 0.02
    # What is seen before the first eighth may be far above the rest.
    high = max(max(p[1] for p in points if p[0] >= end / 16) for points, _ in runs.values()) + 0.02
    x = lambda tokens: LEFT + tokens / end * (WIDTH - LEFT - 170)
    y = lambda bits: 12 + (high - bits) / (high - low) * (HEIGHT - BOTTOM - 12)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           f'font-size="11"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
           f'<clipPath id="c"><rect x="{LEFT}" y="12" width="{x(end) - LEFT:.1f}" height="{HEIGHT - BOTTOM - 12}"/>'
           "</clipPath>"]  # fmt: skip
    for i in range(6):
        bits, tokens = low + (high - low) * i / 5, end * i / 5
        out.append(f'<line x1="{LEFT}" x2="{x(end):.1f}" y1="{y(bits):.1f}" y2="{y(bits):.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y(bits) + 4:.1f}" text-anchor="end">{bits:.2f}</text>'
                   f'<text x="{x(tokens):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tokens / 1e6:.1f}'
                   "</text>")  # fmt: skip
    out.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">million tokens seen; held-out bits per byte; dotted where lambda is '
               "below 1</text>")  # fmt: skip
    for i, (name, (points, final)) in enumerate(runs.items()):
        colour = COLOURS[ORDER.index(name) % len(COLOURS)]
        for whole in (False, True):
            part = [p for p in points if (p[2] >= 1) == whole]
            path = " ".join(f"{x(p[0]):.1f},{y(p[1]):.1f}" for p in part)
            dash = "" if whole else ' stroke-dasharray="2 3"'
            out.append(f'<polyline clip-path="url(#c)" points="{path}" fill="none" stroke="{colour}" '
                       f'stroke-width="1.6"{dash}/>')  # fmt: skip
        at = 22 + 17 * i
        out.append(f'<line x1="{x(end) + 12:.1f}" x2="{x(end) + 32:.1f}" y1="{at}" y2="{at}" stroke="{colour}" '
                   f'stroke-width="2"/><text x="{x(end) + 38:.1f}" y="{at + 4}">{name} {final:.3f}</text>')  # fmt: skip
    return "\n".join(out) + "\n</svg>\n"


def main():
    if len(sys.argv) != 4:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder, markdown, svg = sys.argv[1:]
    found = {name: read_run(os.path.join(folder, name)) for name in ORDER
             if os.path.exists(os.path.join(folder, name, "metrics.jsonl"))}  # fmt: skip
    runs = {name: run for name, run in found.items() if run}
    if "full-precision" not in runs:
        print(f"{folder}: no finished run full-precision found, expected one to compare with", file=sys.stderr)
        return 1
    teacher = runs["full-precision"][1]
    for path, text in ((markdown, table(runs, teacher)), (svg, plot(runs, teacher))):
        with open(path, "w") as f:
            f.write(text)
    print(table(runs, teacher), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
