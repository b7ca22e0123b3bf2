"""Tab-separated files as GLUE publishes them: no quoting, and every complaint names its line.

The `csv` module is of no use here: quotes are text in GLUE, and some texts hold U+0085, at which
`str.splitlines` would break a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from stagedml.errors import DataError

BOM = b"\xef\xbb\xbf"


class Source(Protocol):
    """A file or folder on disk, or inside an archive (`zipfile.Path`)."""

    def exists(self) -> bool: ...

    def is_dir(self) -> bool: ...

    def read_bytes(self) -> bytes: ...


def decode_line(line: bytes) -> str:
    """UTF-8, and Latin-1 for the odd line that is not (some copies of the sets mix both)."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def read_rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yields line number (from 1) and fields. Blank lines are passed over; a byte-order mark is dropped."""
    for number, line in enumerate(data.removeprefix(BOM).split(b"\n"), start=1):
        line = line.removesuffix(b"\r")
        if line.strip():
            yield number, decode_line(line).split("\t")


def find_column(header: Sequence[str], names: Sequence[str], *, where: str) -> int:
    """The place of the first of `names` in the header. Raises `DataError` with the columns there are."""
    for name in names:
        if name in header:
            return header.index(name)
    raise DataError(
        f"no column {' or '.join(map(repr, names))}",
        where=f"{where}:1",
        hint=f"the columns are: {', '.join(map(repr, header))}",
    )


def shown(path: Source | Path) -> str:
    """How a path is named in a message: the last two parts say enough, and hold for archives too.

    The store's own folder `out` says nothing, so it is left out.
    """
    return "/".join(str(path).rstrip("/").split("/")[-2:]).removeprefix("out/")
