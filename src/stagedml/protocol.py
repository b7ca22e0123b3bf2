"""What a stage measured: `protocol.json`, a list of operations with their metrics.

    [["train", {"steps": 230, "loss": 0.41}], ["evaluate", {"eval_accuracy": 0.81, "f1_score": 0.86}]]

It is part of the artifacts, so it holds no wall-clock times.
"""

from __future__ import annotations

import json
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
    """Adds one operation with its metrics; numbers of other libraries become plain floats."""
    entries: list[tuple[str, Mapping[str, float | int | str | None]]] = []
    if path.exists():
        entries = list(read_protocol(path))
    plain = {k: v if v is None or isinstance(v, (bool, int, str)) else float(v) for k, v in metrics.items()}
    entries.append((op, plain))
    path.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def protocol_metric(path: Path, op: str, metric: str) -> float:
    """The last value of `metric` that operation `op` recorded. Raises `MissingError` with what there is."""
    entries = read_protocol(path)
    for name, metrics in reversed(entries):
        value = metrics.get(metric)
        if name == op and isinstance(value, (int, float)):
            return float(value)
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
