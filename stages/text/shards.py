"""Documents on disk: a folder of gzip-compressed JSON lines, the same bytes for the same documents.

articles-00000.jsonl.gz  articles-00001.jsonl.gz  ...     {"id": "12", "title": "Anarchism", "text": "..."}
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stagedml.errors import DataError

SUFFIX = ".jsonl.gz"
LEVEL = 3  # of gzip: three times the speed of the default, a tenth more bytes


def shard_name(stem: str, index: int) -> str:
    """The file name of a shard; sorting names sorts shards."""
    return f"{stem}-{index:06d}{SUFFIX}"


def write_shard(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes a shard whole or not at all."""
    lines = [json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in records]
    data = "".join(line + "\n" for line in lines).encode("utf-8", "replace")
    write_whole(path, gzip.compress(data, LEVEL, mtime=0))


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file under another name first, so that a file with this name is complete."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as f:
        f.write(data)
    os.replace(part, path)


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a folder, in order. Raises `DataError` when there are none."""
    paths = sorted(p for p in folder.iterdir() if p.name.endswith(SUFFIX) and not p.name.startswith("."))
    if not paths:
        raise DataError("no shard of documents", where=str(folder), hint=f"expected files *{SUFFIX}")
    return paths


def read_shard(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of a shard. Raises `DataError` for a damaged one, naming file and line."""
    read = 0
    try:
        with gzip.open(path, "rb") as f:
            for line in f:
                yield json.loads(line)
                read += 1
    except (EOFError, OSError, zlib.error, ValueError) as e:
        raise DataError(
            f"damaged shard: {e}",
            where=f"{path}:{read + 1}",
            hint="build the stage that wrote it again",
        ) from e


def read_texts(path: Path) -> Iterator[str]:
    """The texts of a shard."""
    for record in read_shard(path):
        yield record["text"]
