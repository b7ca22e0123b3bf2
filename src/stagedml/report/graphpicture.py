"""Pictures of graphs as SVG and PNG: layout and drawing are ours, pixels vl-convert's; no system package.

The letters are Liberation Sans, which vl-convert carries and which is as wide as Arial and Helvetica.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

from stagedml.errors import ConfigError
from stagedml.report.layout import Layout, Point, layered_layout

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
TITLE_SIZE, NOTE_SIZE, LABEL_SIZE = 13.0, 10.5, 10.0
LINE = 1.35
PAD_X, PAD_Y, MARGIN = 12.0, 8.0, 18.0
MAX_PIXELS = 40e6
# advance widths of Liberation Sans (as of Arial), thousandths of the size, from the space to the tilde
_WIDTHS = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 "
    "556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 "
    "667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 "
    "556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 260 334 584"
)
_ADVANCE = {chr(32 + i): int(w) / 1000 for i, w in enumerate(_WIDTHS.split())}
_WIDE = 0.75  # any other letter, on the safe side
# fill, rim, letters of each kind of box
STYLES: Mapping[str, tuple[str, str, str]] = {
    "": ("#f6f8fa", "#8c959f", "#1f2328"),
    "source": ("#ddf4ff", "#54aeff", "#0a3069"),
    "target": ("#fff8c5", "#bf8700", "#4d2d00"),
}


@dataclass(frozen=True)
class Box:
    """A node: a `title`, smaller `notes` under it, and a `kind` (a key of `STYLES`) that gives the colour."""

    title: str
    notes: tuple[str, ...] = ()
    kind: str = ""


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of a line of text in pixels; bold is about a tenth wider."""
    return sum(_ADVANCE.get(c, _WIDE) for c in text) * size * (1.09 if bold else 1.0)


def graph_svg(
    boxes: Mapping[str, Box],
    edges: Sequence[tuple[str, str]],
    *,
    labels: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """Draws a graph, its edges pointing down, as an SVG page on white.

    `labels` writes beside the lower end of an edge. Raises `ConfigError` on a cycle or an unknown node.
    """
    labels = labels or {}
    sizes: dict[Hashable, tuple[float, float]] = {n: _box_size(box) for n, box in boxes.items()}
    for source, target in labels:
        if (source, target) not in edges:
            raise ConfigError(f"a label for {source} -> {target}, which is no edge of the graph")
    layout = layered_layout(sizes, edges)
    texts = _placed_labels(layout, {e: t for e, t in labels.items() if t})
    left = min([0.0, *(x for x, _, _ in texts)])
    right = max([layout.width, *(x + text_width(t, LABEL_SIZE) for x, _, t in texts)])
    width, height = right - left + 2 * MARGIN, layout.height + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<g transform="translate({MARGIN - left:.1f} {MARGIN:.1f})">',
    ]
    parts += [_line(points) for points in layout.routes.values()]
    parts += [_arrow_head(points[-1]) for points in layout.routes.values()]
    parts += [_label_text(x, y, t) for x, y, t in texts]
    parts += [_box(box, layout.centers[n], sizes[n]) for n, box in boxes.items()]
    return "\n".join([*parts, "</g>", "</svg>", ""])


def write_picture(svg: str, path: Path) -> None:
    """Writes an SVG as it is or as a PNG (twice the size, less for a huge one), by the name's suffix."""
    if path.suffix == ".svg":
        path.write_text(svg, encoding="utf-8")
    elif path.suffix == ".png":
        import vl_convert

        path.write_bytes(vl_convert.svg_to_png(svg, ppi=72 * _png_scale(svg)))
    else:
        raise ConfigError(f"a picture is .png or .svg, not {path.suffix!r}", where=str(path))


def _png_scale(svg: str) -> float:
    width, height = (float(svg.split(f'{side}="', 1)[1].split('"', 1)[0]) for side in ("width", "height"))
    return min(2.0, math.sqrt(MAX_PIXELS / (width * height)))


def _box_size(box: Box) -> tuple[float, float]:
    widest = max(
        text_width(box.title, TITLE_SIZE, bold=True), *(text_width(n, NOTE_SIZE) for n in box.notes), 40.0
    )
    return widest + 2 * PAD_X, LINE * (TITLE_SIZE + NOTE_SIZE * len(box.notes)) + 2 * PAD_Y


def _box(box: Box, center: Point, size: tuple[float, float]) -> str:
    (x, y), (w, h) = center, size
    fill, rim, ink = STYLES[box.kind]
    parts = [
        f'<rect x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" rx="6"'
        f' fill="{fill}" stroke="{rim}" stroke-width="1.2"/>'
    ]
    base = y - h / 2 + PAD_Y + TITLE_SIZE
    parts.append(_text(x, base, box.title, f'font-size="{TITLE_SIZE}" font-weight="bold" fill="{ink}"'))
    for note in box.notes:
        base += LINE * NOTE_SIZE
        parts.append(_text(x, base, note, f'font-size="{NOTE_SIZE}" fill="{ink}" fill-opacity="0.75"'))
    return "\n".join(parts)


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" {style}>{escape(text)}</text>'


def _line(points: Sequence[Point]) -> str:
    """A curve through the points, upright at each of them; it ends a little above, inside the arrow head."""
    points = [*points[:-1], (points[-1][0], points[-1][1] - 5)]
    path = [f"M {points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        if abs(x0 - x1) < 0.05:
            path.append(f"L {x1:.1f} {y1:.1f}")
        else:
            mid = (y0 + y1) / 2
            path.append(f"C {x0:.1f} {mid:.1f} {x1:.1f} {mid:.1f} {x1:.1f} {y1:.1f}")
    return f'<path d="{" ".join(path)}" fill="none" stroke="#57606a" stroke-width="1.3"/>'


def _arrow_head(tip: Point) -> str:
    x, y = tip
    return f'<path d="M {x:.1f} {y:.1f} l -4 -8 l 4 2 l 4 -2 z" fill="#57606a"/>'


def _placed_labels(layout: Layout, labels: Mapping[tuple[str, str], str]) -> list[tuple[float, float, str]]:
    """Left end, base line and text of each label: outside the arrows that reach the same box, the inner ones
    a line higher than the outer ones."""
    into: dict[str, list[tuple[str, str]]] = {}
    for edge in layout.routes:
        into.setdefault(str(edge[1]), []).append((str(edge[0]), str(edge[1])))
    placed = []
    for edges in into.values():
        edges.sort(key=lambda e: layout.routes[e][-1][0])
        half = len(edges) // 2
        for i, edge in enumerate(edges):
            if edge not in labels:
                continue
            x, y = layout.routes[edge][-1]
            inward = i if i < half else len(edges) - 1 - i
            start = x - 7 - text_width(labels[edge], LABEL_SIZE) if i < half else x + 7
            placed.append((start, y - 9 - inward * LINE * LABEL_SIZE, labels[edge]))
    return placed


def _label_text(x: float, y: float, text: str) -> str:
    style = f'x="{x:.1f}" y="{y:.1f}" font-size="{LABEL_SIZE}"'
    halo = f'<text {style} stroke="#ffffff" stroke-width="3" stroke-linejoin="round">{escape(text)}</text>'
    return f'{halo}\n<text {style} fill="#57606a">{escape(text)}</text>'
