"""Pandoc, the one that comes with `pypandoc_binary`, and its document tree."""

from __future__ import annotations

import base64
import json
import mimetypes
import os
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from stagedml.errors import ReportError

Tree = dict[str, Any]
POINTS_PER_METRE = 72 / 0.0254


def pandoc_path() -> Path:
    """The program of the installed `pypandoc_binary`: always this one, so that pages do not vary by machine.

    Raises `ReportError` when it is not there.
    """
    spec = find_spec("pypandoc")
    path = Path(spec.origin).parent / "files" / "pandoc" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ReportError("no pandoc", hint="pip install pypandoc_binary (plain pypandoc has no program)")
    return path


def run_pandoc(tree: Tree, options: Sequence[str]) -> str:
    """Writes a document tree in another format. Raises `ReportError` with what pandoc says."""
    done = subprocess.run(
        [str(pandoc_path()), "--from", "json", *options],
        input=json.dumps(tree).encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise ReportError(f"pandoc failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def nodes(value: Any, kind: str) -> Iterator[dict[str, Any]]:
    """All nodes of a kind ("Image", "Table", ...) in a tree or a part of one."""
    if isinstance(value, dict):
        if value.get("t") == kind:
            yield value
        for part in value.values():
            yield from nodes(part, kind)
    elif isinstance(value, list):
        for part in value:
            yield from nodes(part, kind)


def plain_text(value: Any) -> str:
    """The words of a part of a tree."""
    if isinstance(value, dict):
        if value.get("t") == "Str":
            return str(value["c"])
        if value.get("t") in ("Space", "SoftBreak", "LineBreak"):
            return " "
        if value.get("t") in ("Code", "Math"):
            return str(value["c"][1])
        return plain_text(value.get("c", ""))
    if isinstance(value, list):
        return "".join(plain_text(v) for v in value)
    return ""


def title_of(tree: Tree, default: str) -> str:
    """The title in the metadata, else the first heading, else `default`."""
    if title := plain_text(tree.get("meta", {}).get("title", {})).strip():
        return title
    heading = next(nodes(tree["blocks"], "Header"), None)
    return (plain_text(heading["c"][2]).strip() if heading else "") or default


def point_images(
    tree: Tree, folders: Sequence[Path], address: Callable[[Path], str], *, sized: bool = False
) -> None:
    """Gives each local picture the `address` of its file, looked for in `folders` in turn.

    `sized` also gives it the width it was drawn for, so that one of twice the pixels is not twice as large.
    Raises `ReportError` for a picture that is in none of them.
    """
    for image in nodes(tree["blocks"], "Image"):
        target = image["c"][2]
        if urlsplit(target[0]).scheme:
            continue
        name = unquote(target[0])
        found = next((f / name for f in folders if (f / name).is_file()), None)
        if found is None:
            looked = ", ".join(str(f) for f in folders)
            raise ReportError(f"no picture {name}", hint=f"looked for it in: {looked}")
        target[0] = address(found)
        attributes = image["c"][0][2]
        width = drawn_width(found) if sized else None
        if width and not any(name in ("width", "height") for name, _ in attributes):
            attributes.append(["width", str(width)])


def relative_address(page: Path) -> Callable[[Path], str]:
    """Addresses of files as seen from a page."""
    return lambda file: quote(os.path.relpath(file.resolve(), page.parent.resolve()))


def data_address(file: Path) -> str:
    """An address that holds the file itself."""
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


def drawn_width(file: Path) -> int | None:
    """The width in points of a PNG that says how many pixels a metre has (its pHYs chunk), else None."""
    data = file.read_bytes()
    at = data.find(b"pHYs", 0, 200)
    if data[:8] != b"\x89PNG\r\n\x1a\n" or at < 0:
        return None
    (pixels,) = struct.unpack(">I", data[16:20])
    (per_metre,) = struct.unpack(">I", data[at + 4 : at + 8])
    return round(pixels * POINTS_PER_METRE / per_metre) if per_metre else None


def free_table_widths(tree: Tree) -> None:
    """Lets columns take the width they need: Pandoc derives widths from the source of a long-lined table."""
    for table in nodes(tree["blocks"], "Table"):
        table["c"][2] = [[alignment, {"t": "ColWidthDefault"}] for alignment, _ in table["c"][2]]


def wrap_tables(value: Any) -> Any:
    """A copy of a tree with each table in a `table-scroll` block, which scrolls when it is too wide."""
    if isinstance(value, list):
        return [wrap_tables(v) for v in value]
    if isinstance(value, dict):
        if value.get("t") == "Table":
            return {"t": "Div", "c": [["", ["table-scroll"], []], [value]]}
        return {k: wrap_tables(v) for k, v in value.items()}
    return value
