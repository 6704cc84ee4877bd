"""The drawing for the README: plain bars, readable on light and on dark."""

from html import escape
from pathlib import Path

from tools.bench.contenders import BY_NAME, OURS
from tools.bench.report import ACCEPT, LATENCY, STORE, Row, Rows

WIDTH, LABELS, BAR, GAP = 860, 300, 18, 8
VALUES = 110

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.head { font-weight: 600 } .note { font-size: 11px; fill: #57606a }
.ours { fill: #0969da } .peer { fill: #8c959f } .limit { fill: #d0d7de }
.whisker { stroke: #57606a; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9198a1 }
  .ours { fill: #4493f8 } .peer { fill: #768390 } .limit { fill: #444c56 }
  .whisker { stroke: #9198a1 }
}
"""

PANELS = (
    ("Accepted a second, 64 connections", ACCEPT, "rate", "{:,.0f}"),
    ("Stored in both databases a second, while accepting", STORE, "stored", "{:,.0f}"),
    ("Stored a second, draining a backlog", "drain", "rate", "{:,.0f}"),
    ("Latency at 1,000 requests a second, p99 in ms (less is better)", LATENCY, "p99", "{:,.1f}"),
)


def draw(path: Path, rows: Rows, machine: dict[str, object]) -> None:
    parts: list[str] = []
    top = 24
    for title, scenario, name, form in PANELS:
        panel = [row for row in rows.values() if row.scenario == scenario and name in row.figures]
        if panel:
            parts.append(f'<text class="head" x="0" y="{top}">{escape(title)}</text>')
            parts += _bars(panel, name, form, top + 10)
            top += 10 + len(panel) * (BAR + GAP) + 34
    note = (
        f"Medians; the thin line spans all rounds. {machine['cores']} cores ({machine['cpu']}), load and all servers "
        f"on them; {str(machine['date'])[:10]}."
    )
    parts.append(f'<text class="note" x="0" y="{top}">{escape(note)}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 12}" role="img" '
        f'aria-label="Breakwater beside other ways to build it">\n<style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _bars(panel: list[Row], name: str, form: str, top: int) -> list[str]:
    most = max(row.figures[name].most for row in panel) or 1.0
    scale = (WIDTH - LABELS - VALUES) / most
    parts: list[str] = []
    for place, row in enumerate(panel):
        figure = row.figures[name]
        y = top + place * (BAR + GAP)
        middle = y + BAR / 2
        left, right = LABELS + figure.least * scale, LABELS + figure.most * scale
        parts += [
            f'<text x="{LABELS - 8}" y="{middle + 4.5}" text-anchor="end">{escape(BY_NAME[row.contender].title)}</text>',
            f'<rect class="{_kind(row)}" x="{LABELS}" y="{y}" width="{max(1.0, figure.median * scale):.1f}" height="{BAR}" rx="2"/>',
            f'<line class="whisker" x1="{left:.1f}" y1="{middle}" x2="{right:.1f}" y2="{middle}"/>',
            f'<text x="{max(right, LABELS + figure.median * scale) + 8:.1f}" y="{middle + 4.5}">{form.format(figure.median)}</text>',
        ]
    return parts


def _kind(row: Row) -> str:
    if row.contender == OURS:
        return "ours"
    return "limit" if BY_NAME[row.contender].title.startswith("limit") else "peer"
