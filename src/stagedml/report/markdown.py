"""Pieces of Markdown for report cells: links, tables, charts as pictures.

Pictures go to the folder `$REPOUT`, which the renderer sets, or to the current folder; the Markdown line
names them relative to that folder, and the renderer sees to it that the finished page finds them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagedml.errors import ConfigError, MissingError

if TYPE_CHECKING:
    import altair

_NUMBER = re.compile(r"[-+]?[\d,]+(\.\d+)?( ?%)?")
PPI = 144  # twice the pixels of a plain screen


def repout() -> Path:
    """The folder for a report's pictures: `$REPOUT`, or the current folder."""
    return Path(os.environ.get("REPOUT") or ".")


def readstr(path: str | os.PathLike[str]) -> str:
    """The text of a file without blanks at its ends. Raises `MissingError`."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise MissingError("no such file", where=os.fspath(path)) from None


def markdown_url(url: str, descr: str | None = None) -> str:
    """A Markdown link, safe within a table."""
    text = (url if descr is None else descr).replace("[", r"\[").replace("]", r"\]").replace("|", r"\|")
    target = url.replace(" ", "%20").replace("(", "%28").replace(")", "%29").replace("|", "%7C")
    return f"[{text}]({target})"


def markdown_image(filename: str, descr: str = "") -> str:
    """The Markdown line that shows a picture of the report's folder."""
    plain = not set(filename) & set(" ()<>")
    return f"![{descr}]({filename})" if plain else f"![{descr}](<{filename}>)"


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, digits: int = 2) -> str:
    """A Markdown table: floats with `digits` decimals, None as an empty cell, numbers (and texts
    such as "1,234" and "5 %") to the right.

    Raises `ConfigError` when a row has not one cell a header.
    """
    table = []
    for i, row in enumerate(rows):
        if len(row) != len(headers):
            raise ConfigError(f"{len(row)} cells for {len(headers)} headers", where=f"row {i + 1} of a table")
        table.append(list(row))
    texts = [[_cell(h, digits) for h in headers], *([_cell(c, digits) for c in row] for row in table)]
    widths = [max(3, *(len(row[j]) for row in texts)) for j in range(len(headers))]
    numeric = [bool(table) and all(_is_number(row[j]) for row in table) for j in range(len(headers))]
    lines = []
    for i, row_texts in enumerate(texts):
        cells = [
            t.rjust(w) if right else t.ljust(w)
            for t, w, right in zip(row_texts, widths, numeric, strict=True)
        ]
        lines.append(f"| {' | '.join(cells)} |")
        if i == 0:
            rules = [
                "-" * (w - 1) + ":" if right else "-" * w for w, right in zip(widths, numeric, strict=True)
            ]
            lines.append(f"| {' | '.join(rules)} |")
    return "\n".join(lines)


def markdown_altair(chart: altair.TopLevelMixin, filename: str) -> str:
    """Writes an Altair chart as a PNG (or, by its suffix, SVG) to the report's folder; the line to print.

    Raises `ConfigError` for another suffix.
    """
    path = repout() / filename
    if path.suffix not in (".png", ".svg"):
        raise ConfigError(f"a chart is .png or .svg, not {path.suffix!r}", where=filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        chart.save(path, ppi=PPI)
    else:
        chart.save(path)
    return markdown_image(f"./{filename}")


def altair_print(chart: altair.TopLevelMixin, filename: str) -> None:
    """Writes an Altair chart to the report's folder and prints the Markdown line that shows it."""
    print(markdown_altair(chart, filename))


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return str(value).replace("\n", " ").replace("\\|", "|").replace("|", r"\|")
