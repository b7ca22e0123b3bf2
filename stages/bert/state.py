"""The state of a running training on disk: whole or absent, the last few kept.

    <folder>/step-00000120/state.safetensors    weights, moments, loss scale
    <folder>/step-00000120/state.json           step, spec, history, window

A folder is written under another name, flushed, then renamed: a kill at any instant leaves whole ones.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stagedml.disk import sync
from stagedml.errors import DataError


@dataclass
class Progressed:
    """Where a training is, and what it has measured so far; all of it deterministic."""

    step: int = 0
    spec: dict[str, Any] = field(default_factory=dict)
    scalars: list[tuple[int, str, str, float]] = field(default_factory=list)  # step, folder, tag, value
    window: list[dict[str, float]] = field(default_factory=list)  # steps not yet averaged into a log line
    evals: list[tuple[int, dict[str, dict[str, float]]]] = field(default_factory=list)


def save_state(
    folder: Path, progressed: Progressed, arrays: Mapping[str, np.ndarray], *, keep: int = 2
) -> Path:
    """Writes one state and drops all but the last `keep`."""
    from safetensors.numpy import save_file

    final = folder / f"step-{progressed.step:08d}"
    partial = folder / f".{final.name}.{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(dict(arrays), partial / "state.safetensors")
    (partial / "state.json").write_text(json.dumps(progressed.__dict__), encoding="utf-8")
    for path in (partial / "state.safetensors", partial / "state.json", partial):
        sync(str(path))
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    sync(str(folder))
    for old in states(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def states(folder: Path) -> list[Path]:
    """The whole states in a folder, oldest first."""
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def load_state(path: Path) -> tuple[Progressed, dict[str, np.ndarray]]:
    """Reads one state folder. Raises `DataError` when it is not one."""
    from safetensors.numpy import load_file

    try:
        values = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise DataError(f"not a training state: {e}", where=str(path)) from e
    values["scalars"] = [tuple(x) for x in values["scalars"]]
    values["evals"] = [tuple(x) for x in values["evals"]]
    return Progressed(**values), load_file(path / "state.safetensors")
