"""Endless, resumable streams of batches from arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from stagedml.errors import DataError

Batch = Mapping[str, Any]
BatchSource = Callable[[int], Iterable[Batch]]  # data(start): the batches from step `start` on


def rows_of(arrays: Mapping[str, np.ndarray]) -> int:
    """The common number of rows. Raises `DataError` when the arrays differ, or hold nothing."""
    sizes = {name: len(a) for name, a in arrays.items()}
    if len(set(sizes.values())) != 1 or not min(sizes.values()):
        raise DataError(f"arrays must have equal, positive lengths: {sizes}", where="training data")
    return next(iter(sizes.values()))


def shuffled_batches(arrays: Mapping[str, np.ndarray], batch_size: int, *, seed: int) -> BatchSource:
    """Every row once an epoch, in an order of the epoch's own; a batch may span two epochs.

    All batches have `batch_size` rows, so the training step is compiled once. Position is a pure function
    of the step: `data(start)` is as cheap for any start.
    """
    rows = rows_of(arrays)

    def data(start: int) -> Iterator[dict[str, np.ndarray]]:
        position = start * batch_size
        while True:
            indices = []
            need = batch_size
            while need:
                epoch, offset = divmod(position, rows)
                order = _order(rows, seed, epoch)[offset : offset + need]
                indices.append(order)
                position += len(order)
                need -= len(order)
            chosen = np.concatenate(indices)
            yield {name: a[chosen] for name, a in arrays.items()}

    cache: dict[int, np.ndarray] = {}

    def _order(n: int, seed: int, epoch: int) -> np.ndarray:
        if epoch not in cache:
            cache.clear()
            cache[epoch] = np.random.default_rng([seed, epoch]).permutation(n)
        return cache[epoch]

    return data


def epoch_batches(arrays: Mapping[str, np.ndarray], batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Every row once, in order; the last batch is filled up with copies of row 0 of `example_weights` 0.

    All batches have the same shape, and `example_weights` [B] marks the real rows.
    """
    rows = rows_of(arrays)
    for first in range(0, rows, batch_size):
        chosen = np.arange(first, first + batch_size)
        weights = (chosen < rows).astype(np.float32)
        if "example_weights" in arrays:
            weights *= arrays["example_weights"][np.where(chosen < rows, chosen, 0)]
        chosen = np.where(chosen < rows, chosen, 0)
        batch = {name: a[chosen] for name, a in arrays.items()}
        batch["example_weights"] = weights
        if "masked_lm_weights" in batch:
            batch["masked_lm_weights"] = batch["masked_lm_weights"] * weights[:, None]
        if "token_weights" in batch:
            batch["token_weights"] = batch["token_weights"] * weights[:, None]
        yield batch
