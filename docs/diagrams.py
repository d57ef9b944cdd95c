"""Draws the diagrams of the pages as SVG: boxes and arrows, without a library and without network.

`python docs/generate.py` writes them into docs/images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from assembler_runner.spaces.transitions import TRANSITIONS

STYLE = """
  .ground { fill: #ffffff } .box { fill: #eef2ff; stroke: #4f46e5 } .outside { fill: #f3f4f6; stroke: #6b7280 }
  .line { stroke: #374151; stroke-width: 1.5; fill: none } .tip { fill: #374151 }
  text { font: 14px system-ui, sans-serif; fill: #111827; text-anchor: middle } .note { font-size: 12px; fill: #4b5563 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #131416 } .box { fill: #1e1b4b; stroke: #818cf8 } .outside { fill: #1f2937; stroke: #9ca3af }
    .line { stroke: #d1d5db } .tip { fill: #d1d5db } text { fill: #f3f4f6 } .note { fill: #d1d5db }
  }"""


@dataclass(frozen=True)
class Box:
    """A box around a text; x and y are its middle, in pixels."""

    x: float
    y: float
    text: str
    note: str = ""
    width: float = 120
    height: float = 44
    outside: bool = False


@dataclass(frozen=True)
class Arrow:
    """An arrow from one box to another, by their names."""

    source: str
    target: str


def drawing(title: str, boxes: Mapping[str, Box], arrows: Iterable[Arrow], width: int, height: int) -> str:
    """Returns an SVG.

    Args:
        title: what it shows, for those who cannot see it.
        boxes: the boxes by name.
        arrows: the arrows; a pair in both directions is drawn side by side.
        width: width in pixels.
        height: height in pixels.
    """
    drawn = list(arrows)
    pairs = {(arrow.source, arrow.target) for arrow in drawn}
    lines = [_arrow(boxes, arrow, (arrow.target, arrow.source) in pairs) for arrow in drawn]
    shapes = [_box(box) for box in boxes.values()]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">\n<title>{escape(title)}</title>\n<style>{STYLE}\n</style>\n'
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="tip" d="M0 0 10 5 0 10z"/></marker></defs>\n'
        f'<rect class="ground" width="{width}" height="{height}" rx="8"/>\n'
    )
    return head + "\n".join([*lines, *shapes]) + "\n</svg>\n"


def _box(box: Box) -> str:
    x, y = box.x - box.width / 2, box.y - box.height / 2
    kind = "outside" if box.outside else "box"
    shape = f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{box.width:g}" height="{box.height:g}" rx="6"/>'
    if not box.note:
        return f'{shape}<text x="{box.x:g}" y="{box.y + 5:g}">{escape(box.text)}</text>'
    first = f'<text x="{box.x:g}" y="{box.y - 3:g}">{escape(box.text)}</text>'
    return f'{shape}{first}<text class="note" x="{box.x:g}" y="{box.y + 14:g}">{escape(box.note)}</text>'


def _arrow(boxes: Mapping[str, Box], arrow: Arrow, both: bool) -> str:
    source, target = boxes[arrow.source], boxes[arrow.target]
    named = f'data-from="{arrow.source}" data-to="{arrow.target}"'
    if source == target:
        x, y = source.x, source.y - source.height / 2
        path = f"M{x - 18:g} {y:g}C{x - 30:g} {y - 42:g} {x + 30:g} {y - 42:g} {x + 18:g} {y:g}"
        return f'<path class="line" {named} marker-end="url(#tip)" d="{path}"/>'
    length = math.hypot(target.x - source.x, target.y - source.y)
    across, along = (target.x - source.x) / length, (target.y - source.y) / length
    # Beside the arrow in the other direction.
    aside = 9 if both else 0
    shift_x, shift_y = -along * aside, across * aside
    x1, y1 = _edge(source, across, along, shift_x, shift_y)
    x2, y2 = _edge(target, -across, -along, shift_x, shift_y)
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line class="line" {named} marker-end="url(#tip)" {ends}/>'


def _edge(box: Box, across: float, along: float, shift_x: float, shift_y: float) -> tuple[float, float]:
    """Where a line from beside the middle of a box in a direction leaves the box."""
    scales = [(box.width / 2 - math.copysign(shift_x, shift_x * across)) / abs(across)] if across else []
    scales += [(box.height / 2 - math.copysign(shift_y, shift_y * along)) / abs(along)] if along else []
    scale = min(scales)
    return box.x + shift_x + across * scale, box.y + shift_y + along * scale


STATES = {
    "queued": Box(90, 150, "queued"),
    "running": Box(340, 70, "running"),
    "succeeded": Box(590, 70, "succeeded"),
    "failed": Box(590, 150, "failed"),
    "cancelled": Box(340, 230, "cancelled"),
}
PARTS = {
    "caller": Box(90, 80, "callers", "browser, CLI, REST, MCP", 160, outside=True),
    "api": Box(320, 80, "API and pages", "check, assemble, store", 170),
    "database": Box(320, 200, "database, file store", "the truth", 170, outside=True),
    "broker": Box(540, 80, "broker", "a wake-up only", 130, outside=True),
    "worker": Box(540, 200, "workers", "publish, watch, notify", 170),
    "hub": Box(540, 310, "Hub, or local git", "the published Spaces", 170, outside=True),
    "receiver": Box(320, 310, "webhooks", "your programs", 150, outside=True),
}
FLOWS = [
    Arrow("caller", "api"),
    Arrow("api", "database"),
    Arrow("api", "broker"),
    Arrow("broker", "worker"),
    Arrow("worker", "database"),
    Arrow("worker", "hub"),
    Arrow("worker", "receiver"),
]


def diagrams() -> dict[str, str]:
    """Returns all diagrams: file name → SVG."""
    moves = [Arrow(source, target) for source in STATES for target in sorted(TRANSITIONS[source])]
    return {
        "states.svg": drawing("The status of a request, and how it changes", STATES, moves, 680, 270),
        "parts.svg": drawing("The processes of the service, and what passes between them", PARTS, FLOWS, 660, 350),
    }
