"""Small pieces of SVG: text, lines, the sheet, and figures in words."""

from xml.sax.saxutils import escape

STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  .title { font-size: 20px; font-weight: 600; fill: #1f2328; }
  .panel { font-size: 13px; font-weight: 600; fill: #1f2328; }
  .name, .value, .ratio { font-size: 12px; fill: #1f2328; }
  .note { font-size: 11px; fill: #59636e; }
  .strong { font-weight: 600; }
  .rule { stroke: #d0d7de; }
  .grid { stroke: #d0d7de; stroke-dasharray: 2 3; }
  .ours { fill: #0969da; }
  .peer { fill: #afb8c1; }
  .reference { fill: #eaeef2; stroke: #8c959f; stroke-dasharray: 3 2; }
  .curve { fill: none; stroke-width: 2; }
  .curve0 { stroke: #0969da; } .dot0 { fill: #0969da; }
  .curve1 { stroke: #8c6d1f; } .dot1 { fill: #8c6d1f; }
  .curve2 { stroke: #818b98; } .dot2 { fill: #818b98; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d; }
    .title, .panel, .name, .value, .ratio { fill: #f0f6fc; }
    .note { fill: #9198a1; }
    .rule, .grid { stroke: #3d444d; }
    .ours { fill: #4493f8; }
    .peer { fill: #656c76; }
    .reference { fill: #212830; stroke: #656c76; }
    .curve0 { stroke: #4493f8; } .dot0 { fill: #4493f8; }
    .curve1 { stroke: #d29922; } .dot1 { fill: #d29922; }
    .curve2 { stroke: #9198a1; } .dot2 { fill: #9198a1; }
  }
"""


def text(x, y, words, kind, anchor="start"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" '
            f'text-anchor="{anchor}">{escape(words)}</text>')


def line(x1, y1, x2, y2, kind):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'class="{kind}"/>')


def bar(x, y, width, height, kind):
    return (f'<rect x="{x}" y="{y}" width="{max(2, width):.1f}" '
            f'height="{height}" rx="2" class="{kind}"/>')


def curve(points, number):
    """A line through the points, with a dot at each."""
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return [f'<polyline points="{way}" class="curve curve{number}"/>',
            *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="dot{number}"/>'
              for x, y in points)]


def moved(x, y, lines):
    return [f'<g transform="translate({x} {y})">', *lines, "</g>"]


def sheet(width, height, title, lines):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="-apple-system, Segoe UI, Noto Sans, Helvetica, Arial, '
        'sans-serif" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" '
        'rx="6" class="card"/>',
        *lines, "</svg>", ""])


def short(value, unit):
    """A figure as a person would say it."""
    if unit == "events/s":
        if value >= 1e6:
            return f"{value / 1e6:.2f} M/s"
        return f"{value / 1e3:.0f} k/s" if value >= 1e4 else \
            f"{value / 1e3:.1f} k/s"
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def times(ratio):
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×" \
        if ratio >= 1 else f"{ratio:.2f}×"


def power(value):
    """A power of ten: 100, 10 k, 1 M."""
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"
