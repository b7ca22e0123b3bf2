"""The texts beside the records: what a report shows of an error, and what a submission names a row by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from stagedml.errors import DataError

from .readers import Example


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """One JSON list a line: index, uid, line, text_a, text_b, label."""
    with path.open("w", encoding="utf-8") as f:
        for example in examples:
            f.write(json.dumps(astuple(example), ensure_ascii=False) + "\n")


def read_examples_of(path: Path) -> list[Example]:
    """Reads what `write_examples` wrote. Raises `DataError`."""
    try:
        with path.open(encoding="utf-8") as f:
            return [Example(*json.loads(line)) for line in f]
    except (OSError, ValueError, TypeError) as e:
        raise DataError(f"no examples: {e}", where=str(path)) from e
