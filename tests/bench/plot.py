"""Draws the medians of a benchmark document as one SVG, in two columns: a
panel of bars for each metric, of curves for each sweep. No dependencies;
light and dark by the viewer's preference.

    python3 plot.py FIGURES.json > FIGURES.svg
"""

import json
import math
import sys

import svg
import table

COLUMN = 500
COLUMNS = 2
MARGIN = 24
GAP = 36          # between columns
HEAD = 80

LABEL_END = 172   # system names end here
BAR_START = 180
BAR_MAX = 180     # leaves room for the value behind the longest bar
UNIT_END = 426
TITLE_CHAR = 7.2  # about the width of a character
NOTE_CHAR = 6
ROW = 22
BAR = 14
PANEL_HEAD = 38
PANEL_END = 14

CURVES = 200      # height of a panel's field
FIELD_LEFT = 58
FIELD_RIGHT = 400 # the names stand behind it
NAME_STEP = 14    # names of curves that end together keep so far apart


# ---- bars ----


def head(title, unit, compared):
    """The first lines of a panel."""
    lines = [svg.line(0, 0, COLUMN, 0, "rule"),
             svg.text(0, 20, title, "panel")]
    if unit:
        lines.append(svg.text(UNIT_END, 20, unit, "note", "end"))
    if compared:
        lines.append(svg.text(COLUMN, 20, "tidings is", "note", "end"))
    return lines


def row(y, name, kind, value, longest, words, ratio):
    strong = " strong" if kind == "ours" else ""
    width = BAR_MAX * value / longest
    middle = y + BAR / 2 + 4
    lines = [svg.text(LABEL_END, middle, name, "name" + strong, "end"),
             svg.bar(BAR_START, y, width, BAR, kind),
             svg.text(BAR_START + width + 8, middle, words, "value" + strong)]
    if ratio:
        lines.append(svg.text(COLUMN, middle, ratio, "ratio", "end"))
    return lines


def bars(title, unit, better, rows, compared):
    """rows: name, kind, value, ratio in words; lines and height."""
    longest = max(value for _, _, value, _ in rows)
    note = f"{unit}, {better} is better"
    room = UNIT_END - len(title) * TITLE_CHAR - len(note) * NOTE_CHAR
    lines = head(title, note if room > 0 else "", compared)
    y = PANEL_HEAD - 6
    for name, kind, value, ratio in rows:
        lines += row(y, name, kind, value, longest, svg.short(value, unit),
                     ratio)
        y += ROW
    return lines, y + PANEL_END


def metric_panel(case, metric):
    rows = [(system["system"], system["kind"], figure["median"],
             svg.times(figure["times_better"])
             if figure["times_better"] and system["kind"] != "ours" else "")
            for system, figure in table.having(case, metric)]
    compared = any(ratio for _, _, _, ratio in rows)
    return bars(table.title_of(case, metric), metric["unit"],
                metric["better"], rows, compared)


def joined_panel(case):
    """All metrics in one panel; each is compared to its system's first."""
    rows = []
    for system in case["systems"]:
        first = None
        for metric in case["metrics"]:
            figure = system["figures"].get(metric["name"])
            if not figure:
                continue
            share = f"{figure['median'] / first:.0%}" if first else ""
            first = first or figure["median"]
            rows.append((f"{system['system']}, {metric['title']}",
                         system["kind"], figure["median"], share))
    metric = case["metrics"][0]
    return bars(case["title"], metric["unit"], metric["better"], rows, False)


# ---- curves ----


def log_scale(low, high, start, end):
    """From a value to a place, and the powers of ten between."""
    low, high = math.log10(low), math.log10(high)
    ticks = [10 ** power for power in range(math.ceil(low),
                                            math.floor(high) + 1)]
    return (lambda value: start + (math.log10(value) - low)
            / (high - low or 1) * (end - start)), ticks


def apart(places, lowest):
    """The places of names, moved so that none covers another, nor what stands
    below lowest."""
    moved, below = {}, -math.inf
    for name, y in sorted(places.items(), key=lambda item: item[1]):
        below = max(y, below + NAME_STEP)
        moved[name] = below
    up = max(0, below - lowest)
    return {name: y - up for name, y in moved.items()}


def curves_panel(case):
    xs = [metric["x"] for metric in table.measured(case)]
    unit = case["metrics"][0]["unit"]
    systems = {system["system"]: [
        (metric["x"], system["figures"][metric["name"]]["median"])
        for metric in case["metrics"] if metric["name"] in system["figures"]]
        for system in case["systems"]}
    values = [value for points in systems.values() for _, value in points]
    top, bottom = PANEL_HEAD + 10, PANEL_HEAD + CURVES
    to_x, _ = log_scale(min(xs), max(xs), FIELD_LEFT, FIELD_RIGHT)
    to_y, ticks = log_scale(min(values) / 1.3, max(values) * 1.3, bottom, top)
    lines = head(case["title"], "", False)
    lines.append(svg.text(0, PANEL_HEAD - 2, unit, "note"))
    for tick in ticks:
        lines += [svg.line(FIELD_LEFT, to_y(tick), FIELD_RIGHT, to_y(tick),
                           "grid"),
                  svg.text(FIELD_LEFT - 6, to_y(tick) + 4,
                           svg.power(tick), "note", "end")]
    for metric in table.measured(case):
        lines.append(svg.text(to_x(metric["x"]), bottom + 16,
                              metric["title"], "note", "middle"))
    for number, points in enumerate(systems.values()):
        lines += svg.curve([(to_x(x), to_y(y)) for x, y in points], number)
    names = apart({name: to_y(points[-1][1])
                   for name, points in systems.items()}, bottom - 6)
    for name, y in names.items():
        lines.append(svg.text(FIELD_RIGHT + 10, y + 4, name, "name"))
    return lines, bottom + 24 + PANEL_END


# ---- the sheet ----


def panels(document):
    for case in document["cases"]:
        if case["sweep"]:
            yield curves_panel(case)
        elif case["joined"]:
            yield joined_panel(case)
        else:
            for metric in table.measured(case):
                yield metric_panel(case, metric)


def draw(document):
    machine = document["machine"]
    about = (f'{document["date"]} · {machine["cores"]} cores '
             f'{machine["model"]} · 128-byte events · medians of '
             f'{document["rounds"]} rounds, side by side')
    lines = [svg.text(MARGIN, 42, "tidings and its peers", "title"),
             svg.text(MARGIN, 62, about, "note")]
    ends = [HEAD] * COLUMNS
    for drawn, height in panels(document):
        column = ends.index(min(ends))
        lines += svg.moved(MARGIN + column * (COLUMN + GAP), ends[column],
                           drawn)
        ends[column] += height
    width = 2 * MARGIN + COLUMNS * COLUMN + (COLUMNS - 1) * GAP
    return svg.sheet(width, max(ends) + MARGIN - PANEL_END,
                     "tidings and its peers, measured side by side", lines)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        sys.stdout.write(draw(json.load(source)))
