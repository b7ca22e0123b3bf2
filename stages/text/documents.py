"""Tokenized documents as arrays: chosen, joined, and stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagedml.stages.text.wordpiece import Encoded


def save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """An .npz file with the same bytes for the same arrays, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as f:
        np.savez(f, allow_pickle=False, **arrays)
    part.replace(path)


def join(parts: list[Encoded]) -> Encoded:
    """Tokenized documents one after the other."""
    tokens = np.cumsum([0, *(len(p.ids) for p in parts)])
    sentences = np.cumsum([0, *(len(p.sentences) - 1 for p in parts)])
    zero = np.zeros(1, np.int64)
    return Encoded(
        np.concatenate([np.zeros(0, np.int32), *(p.ids for p in parts)]),
        np.concatenate([zero, *(p.sentences[1:] + t for p, t in zip(parts, tokens, strict=False))]),
        np.concatenate([zero, *(p.documents[1:] + s for p, s in zip(parts, sentences, strict=False))]),
    )


def _runs(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices of runs [start, start + length), one after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)


def select(text: Encoded, documents: NDArray[np.int64]) -> Encoded:
    """Some of the documents, in the order given."""
    first, count = text.documents[documents], np.diff(text.documents)[documents]
    rows = _runs(first, count)
    lengths = np.diff(text.sentences)[rows]
    zero = np.zeros(1, np.int64)
    return Encoded(
        text.ids[_runs(text.sentences[rows], lengths)],
        np.concatenate([zero, np.cumsum(lengths)]),
        np.concatenate([zero, np.cumsum(count)]),
    )
