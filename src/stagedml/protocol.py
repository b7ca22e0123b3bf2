"""What a stage measured: `protocol.json`, a list of operations with their metrics.

    [["train", {"steps": 230, "loss": 0.41}], ["evaluate", {"eval_accuracy": 0.81, "f1_score": 0.86}]]

It is part of the artifacts, so it holds no wall-clock times. A metric without a value, such as the
correlation with a constant, is null: JSON knows no NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from stagedml.errors import CorruptError, MissingError

Metrics = dict[str, float | int | str | None]
PROTOCOL_FILE = "protocol.json"


def read_protocol(path: Path) -> list[tuple[str, Metrics]]:
    """The operations of a protocol file, in order. Raises `MissingError`, `CorruptError`."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [(str(op), dict(metrics)) for op, metrics in entries]
    except FileNotFoundError:
        raise MissingError("no protocol", where=str(path), hint="does its stage measure anything?") from None
    except (ValueError, TypeError) as e:
        raise CorruptError(f"not a protocol: {e}", where=str(path)) from e


def append_protocol(path: Path, op: str, /, **metrics: float | int | str | None) -> None:
    """Adds one operation with its metrics; other libraries' numbers become plain floats, NaN null."""
    entries: list[tuple[str, Mapping[str, float | int | str | None]]] = []
    if path.exists():
        entries = list(read_protocol(path))
    entries.append((op, {name: _plain(value) for name, value in metrics.items()}))
    path.write_text(json.dumps(entries, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: float | int | str | None) -> float | int | str | None:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def protocol_metric(path: Path, op: str, metric: str) -> float:
    """The last value of `metric` that operation `op` recorded; NaN for null.

    Raises `MissingError` with what there is.
    """
    entries = read_protocol(path)
    for name, metrics in reversed(entries):
        value = metrics.get(metric, "")
        if name == op and (value is None or isinstance(value, (int, float))):
            return math.nan if value is None else float(value)
    known = sorted({f"{name}.{key}" for name, metrics in entries for key in metrics})
    raise MissingError(f"no metric {op}.{metric}", where=str(path), hint=f"there is: {', '.join(known)}")


def find_metric(path: Path, metric: str) -> float:
    """The last value of `metric` in any operation. Raises `MissingError` with what there is."""
    entries = read_protocol(path)
    for _, metrics in reversed(entries):
        value = metrics.get(metric)
        if isinstance(value, (int, float)):
            return float(value)
    known = sorted({key for _, metrics in entries for key in metrics})
    raise MissingError(f"no metric {metric}", where=str(path), hint=f"there is: {', '.join(known)}")
