"""Draws the medians of a benchmark document as one SVG: a panel for each
metric, a bar for each system. No dependencies; light and dark by the viewer's
preference.

    python3 plot.py FIGURES.json > FIGURES.svg
"""

import json
import sys
from xml.sax.saxutils import escape

WIDTH = 840
MARGIN = 28
LABEL_END = 226   # system names end here
BAR_START = 238
BAR_MAX = 408     # leaves room for the value behind the longest bar
UNIT_END = BAR_START + BAR_MAX
RATIO_END = WIDTH - MARGIN
ROW = 26
BAR = 16
PANEL_HEAD = 40
PANEL_GAP = 22
HEAD = 84

STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  .title { font-size: 20px; font-weight: 600; fill: #1f2328; }
  .panel { font-size: 14px; font-weight: 600; fill: #1f2328; }
  .name, .value, .ratio { font-size: 13px; fill: #1f2328; }
  .note { font-size: 12px; fill: #59636e; }
  .strong { font-weight: 600; }
  .rule { stroke: #d0d7de; }
  .ours { fill: #0969da; }
  .peer { fill: #afb8c1; }
  .reference { fill: #eaeef2; stroke: #8c959f; stroke-dasharray: 3 2; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d; }
    .title, .panel, .name, .value, .ratio { fill: #f0f6fc; }
    .note { fill: #9198a1; }
    .rule { stroke: #3d444d; }
    .ours { fill: #4493f8; }
    .peer { fill: #656c76; }
    .reference { fill: #212830; stroke: #656c76; }
  }
"""


def text(x, y, words, kind, anchor="start"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" '
            f'text-anchor="{anchor}">{escape(words)}</text>')


def short(value, unit):
    """A figure as a person would say it."""
    if unit == "events/s":
        if value >= 1e6:
            return f"{value / 1e6:.2f} M/s"
        return f"{value / 1e3:.0f} k/s"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def times(ratio):
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×" \
        if ratio >= 1 else f"{ratio:.2f}×"


def panel_lines(case, metric, y):
    """One panel, from y down; its lines."""
    title = case["title"]
    if metric["title"]:
        title += ": " + metric["title"]
    figures = [(system, system["figures"][metric["name"]])
               for system in case["systems"]]
    longest = max(figure["median"] for _, figure in figures)
    compared = any(figure["times_better"] for _, figure in figures)
    lines = [f'<line x1="{MARGIN}" x2="{RATIO_END}" y1="{y}" y2="{y}" '
             'class="rule"/>',
             text(MARGIN, y + 24, title, "panel")]
    unit = f'{metric["unit"]}, {metric["better"]} is better'
    lines.append(text(UNIT_END, y + 24, unit, "note", "end"))
    if compared:
        lines.append(text(RATIO_END, y + 24, "tidings is", "note", "end"))
    y += PANEL_HEAD
    for system, figure in figures:
        lines += row_lines(system, figure, metric["unit"], longest, y)
        y += ROW
    return lines


def row_lines(system, figure, unit, longest, y):
    strong = " strong" if system["kind"] == "ours" else ""
    width = max(2, BAR_MAX * figure["median"] / longest)
    middle = y + BAR / 2 + 4.5
    lines = [
        text(LABEL_END, middle, system["system"], "name" + strong, "end"),
        f'<rect x="{BAR_START}" y="{y}" width="{width:.1f}" height="{BAR}" '
        f'rx="2" class="{system["kind"]}"/>',
        text(BAR_START + width + 8, middle, short(figure["median"], unit),
             "value" + strong),
    ]
    if figure["times_better"] and system["kind"] != "ours":
        lines.append(text(RATIO_END, middle, times(figure["times_better"]),
                          "ratio", "end"))
    return lines


def draw(document):
    machine = document["machine"]
    about = (f'{document["date"]} · {machine["cores"]} cores '
             f'{machine["model"]} · 128-byte events · medians of '
             f'{document["rounds"]} rounds, side by side')
    lines = [text(MARGIN, 44, "tidings and its peers", "title"),
             text(MARGIN, 66, about, "note")]
    y = HEAD
    for case in document["cases"]:
        for metric in case["metrics"]:
            lines += panel_lines(case, metric, y)
            y += PANEL_HEAD + ROW * len(case["systems"]) + PANEL_GAP - 10
    height = y + MARGIN - PANEL_GAP + 10
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
        f'height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="-apple-system, Segoe UI, Noto Sans, Helvetica, Arial, '
        'sans-serif" role="img">',
        "<title>tidings and its peers, measured side by side</title>",
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" '
        'rx="6" class="card"/>',
        *lines, "</svg>", ""])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        sys.stdout.write(draw(json.load(source)))
