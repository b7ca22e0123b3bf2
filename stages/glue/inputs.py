"""Batches for fine-tuning: padded to the longest of a bucket instead of to the longest of all.

The sequences of a GLUE task have a median of 9 to 50 tokens, and attention over padding costs as much as over
words. So an epoch is shuffled, then cut into pools of some batches; inside a pool examples are sorted by
length and cut into batches, and the batches are shuffled again. A batch is padded to the next bucket
boundary: few distinct shapes, hence few compilations.

`B` batch, `S` sequence, `N` examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagedml.errors import ConfigError

from .features import Encoded

Batch = dict[str, NDArray[Any]]
POOL = 32  # batches that are sorted together: long enough to pack well, short enough to stay random


@dataclass(frozen=True)
class Slot:
    """One batch to be: which examples, and the length that they are padded to."""

    rows: NDArray[np.int64]
    length: int


def bucket_lengths(max_seq_length: int) -> tuple[int, ...]:
    """Boundaries up to `max_seq_length`, finer where sentences are short: by 8 tokens to 64, then by 16.

    The step doubles whenever the length does: 20 shapes at most for 512.
    """
    if max_seq_length < 1:
        raise ConfigError(f"no buckets for max_seq_length {max_seq_length}")
    lengths, length, step = [], 0, 8
    while length < max_seq_length:
        length += step
        lengths.append(min(length, max_seq_length))
        if length >= 8 * step:
            step *= 2
    return tuple(lengths)


def padded_length(length: int, boundaries: Sequence[int]) -> int:
    """The smallest boundary that holds `length`. Raises `ConfigError` when none does."""
    place = int(np.searchsorted(np.asarray(boundaries), length))
    if place == len(boundaries):
        raise ConfigError(f"a sequence of {length} tokens does not fit the buckets {tuple(boundaries)}")
    return boundaries[place]


def _slots(
    lengths: NDArray[np.int64], groups: Sequence[NDArray[np.int64]], boundaries: Sequence[int]
) -> list[Slot]:
    return [Slot(rows, padded_length(int(lengths[rows].max()), boundaries)) for rows in groups]


def train_plan(
    lengths: NDArray[np.int64],
    *,
    batch_size: int,
    boundaries: Sequence[int],
    seed: int,
    epoch: int,
    bucketed: bool = True,
) -> list[Slot]:
    """The batches of one epoch: every example once, a function of seed and epoch only (so a run can resume).

    `lengths` [N]. With `bucketed=False` batches are drawn at random and padded to their longest.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    if not bucketed:
        return _slots(
            lengths, [order[i : i + batch_size] for i in range(0, len(order), batch_size)], boundaries
        )
    groups: list[NDArray[np.int64]] = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        groups += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    slots = _slots(lengths, groups, boundaries)
    return [slots[i] for i in rng.permutation(len(slots))]


def eval_plan(lengths: NDArray[np.int64], *, batch_size: int, boundaries: Sequence[int]) -> list[Slot]:
    """Every example once, sorted by length: the least padding. The caller puts the results back in order."""
    order = np.argsort(lengths, kind="stable")
    return _slots(lengths, [order[i : i + batch_size] for i in range(0, len(order), batch_size)], boundaries)


def make_batch(data: Encoded, slot: Slot, batch_size: int) -> Batch:
    """The arrays of a slot, filled up to `batch_size` with rows of weight 0, so that shapes repeat.

    Keys: `input_ids`, `input_mask`, `segment_ids` [B, S] int32, `label_ids` [B], and `example_weights`
    [B] float32 (1 for an example, 0 for filling).
    """
    rows = slot.rows
    batch = data.padded(rows, slot.length)
    missing = batch_size - len(rows)
    weights = np.ones(len(rows), np.float32)
    if missing > 0:
        batch = {k: np.concatenate([v, np.repeat(v[:1], missing, axis=0)]) for k, v in batch.items()}
        weights = np.concatenate([weights, np.zeros(missing, np.float32)])
    return {**batch, "example_weights": weights}


def batches(data: Encoded, plan: Sequence[Slot], batch_size: int) -> Iterator[Batch]:
    """The batches of a plan, in its order."""
    for slot in plan:
        yield make_batch(data, slot, batch_size)


def padding_share(lengths: NDArray[np.int64], plan: Sequence[Slot]) -> float:
    """The share of positions in a plan's batches that hold no token."""
    places = sum(slot.length * len(slot.rows) for slot in plan)
    return 1.0 - float(lengths.sum()) / places if places else 0.0
