"""What came of the benchmarks as text, as pictures and as the page docs/performance.md."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.measuring import RESULTS, Plot, Result

DOCS = RESULTS.parent.parent / "docs"
BEGIN, END = "<!-- results: written by `invoke bench` -->", "<!-- end of results -->"
PAGES = {
    DOCS / "performance.md": (
        "publish",
        "others",
        "accept",
        "drain",
        "overhead",
        "assemble",
        "start",
        "growth",
        "pages",
        "apps",
    ),
    DOCS / "capacity.md": ("capacity",),
}

WIDTH, HEIGHT, MARGIN, LEGEND = 640, 300, 60, 190
COLOURS = ("#0b6e4f", "#c1440e", "#2e5090", "#8a6d00", "#7b3f9d", "#555555")


def as_text(result: Result) -> str:
    """Returns a result for the terminal."""
    goals = [
        f"  {'met' if goal.met else 'MISSED'}: {goal.text}: {goal.value} (goal {goal.limit})" for goal in result.goals
    ]
    more = ["", *_table(result.more)] if result.more else []
    return "\n".join([f"== {result.name}", *_table(result.rows), *more, *goals])


def write_pages(results: Path = RESULTS) -> None:
    """Writes the newest results into the pages; what stands around them is kept."""
    for page, names in PAGES.items():
        found = [json.loads(path.read_text()) for name in names if (path := results / f"{name}.json").exists()]
        _write_page(page, found)


def _write_page(page: Path, found: Sequence[Mapping[str, Any]]) -> None:
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{_results(found)}\n{END}{after}")


def _speed(machine: Mapping[str, Any]) -> str:
    seconds = machine.get("loop_seconds")
    return f"; ten million additions in Python take {seconds} s" if seconds else ""


def draw(result: Result, folder: Path) -> None:
    """Draws a result, one picture; nothing where it has no plot."""
    if result.plot:
        (folder / f"{result.name}.svg").write_text(_svg(result.plot, result.rows))


def _results(found: Sequence[Mapping[str, Any]]) -> str:
    parts = ["## Goals", "", "| Goal | Reached | Wanted | |", "|---|---|---|---|"]
    for result in found:
        for goal in result["goals"]:
            sign = "at least" if goal["at_least"] else "at most"
            met = "met" if goal["met"] else f"**missed** {goal['why']}".strip()
            parts.append(f"| {goal['text']} | {_shown(goal['value'])} | {sign} {_shown(goal['limit'])} | {met} |")
    for result in found:
        machine = result["machine"]
        parts += ["", f"## {result['name']}", "", result["what"], ""]
        parts += _table(result["rows"])
        if result["more"]:
            parts += ["", *_table(result["more"])]
        if (RESULTS / f"{result['name']}.svg").exists():
            parts += ["", f"![{result['name']}](../benchmarks/results/{result['name']}.svg)"]
        parts += [
            "",
            f"Measured {result['at'][:10]} at commit `{result['commit']}`: {machine['processor']}, "
            f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; "
            f"load {machine['load']}{_speed(machine)}.",
        ]
    return "\n".join(parts) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ["(no rows)"]
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return lines + ["| " + " | ".join(_shown(row.get(name)) for name in names) + " |" for row in rows]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _svg(plot: Plot, rows: Sequence[Mapping[str, Any]]) -> str:
    """Draws lines by hand: a picture of a few points needs no library."""
    groups = _groups(plot, rows)
    xs = [float(row[plot.x]) for row in rows]
    ys = [float(row[y]) for row in rows for y in plot.y if row.get(y)]
    x_at = _scale(xs, MARGIN, WIDTH - MARGIN, plot.log)
    y_at = _scale(ys, HEIGHT - MARGIN / 1.5, MARGIN / 2, plot.log)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + LEGEND} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/>'
    ]
    for x in sorted(set(xs)):
        parts.append(_text(x_at(x), HEIGHT - 22, f"{x:g}", "middle"))
    for y in _ticks(ys, plot.log):
        parts.append(f'<path d="M{MARGIN} {y_at(y):.1f}H{WIDTH - MARGIN}" stroke="#ddd"/>')
        parts.append(_text(MARGIN - 6, y_at(y) + 4, f"{y:g}", "end"))
    parts.append(_text((WIDTH) / 2, HEIGHT - 6, plot.x, "middle"))
    parts.append(_text(MARGIN - 6, 12, plot.unit, "end"))
    for number, (label, points) in enumerate(groups):
        colour = COLOURS[number % len(COLOURS)]
        dash = "" if number < len(COLOURS) else ' stroke-dasharray="4 3"'
        line = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts += [f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        height = 24 + 16 * number
        left = WIDTH - MARGIN + 12
        parts.append(f'<path d="M{left} {height - 4}h16" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(_text(left + 22, height, label, "start"))
    return "".join(parts) + "</svg>\n"


def _groups(plot: Plot, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[tuple[float, float]]]]:
    """One line for each drawn column and each value of the columns that say what a row is about."""
    marks = [name for name in rows[0] if (name != plot.x and isinstance(rows[0][name], str)) or name == "ms per call"]
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        about = ", ".join(f"{row[name]} ms" if name == "ms per call" else str(row[name]) for name in marks)
        for y in plot.y:
            if row.get(y):
                label = f"{y.removesuffix(' ' + plot.unit)}{', ' + about if about else ''}"
                found.setdefault(label, []).append((float(row[plot.x]), float(row[y])))
    return [(label, sorted(points)) for label, points in found.items()]


def _scale(values: Iterable[float], start: float, end: float, log: bool) -> Any:
    known = [value for value in values if value > 0 or not log]
    low, high = min(known), max(known)
    if not log:
        low = min(0.0, low)
    turn = math.log if log else float
    width = (turn(high) - turn(low)) or 1.0
    return lambda value: start + (end - start) * (turn(value) - turn(low)) / width


def _ticks(values: Sequence[float], log: bool) -> list[float]:
    low, high = min(values), max(values)
    if not log:
        step = 10 ** math.floor(math.log10(high or 1.0))
        return [step * number for number in range(math.floor(high / step) + 1)]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for power in powers for tick in (10.0**power, 3 * 10.0**power) if low <= tick <= high]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
