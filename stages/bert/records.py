"""Pre-training records as batches: a pure function of the step, so that any position is found at once.

    reader = PretrainReader(folder, batch_size=32, seed=7)
    data = reader.batches                # data(start): endless numpy batches from step `start` on, for
    `train` dataset = reader.dataset(start=0)    # the same batches as a tf.data.Dataset, decoded ahead in
    threads

Position needs no iterator state: a checkpoint stores the step. Every epoch has an order of its own, drawn
from `seed` and the number of the epoch: blocks of neighbouring records in random order, and records in random
order within groups of blocks. (The records were shuffled across the whole corpus when they were written.)
Workers share a global batch: worker w of W takes rows w, w + W, ... of it.

The schema is `stagedml.stages.text.masking.pretrain_schema`, from which the writer derives too. Any other
reader of TFRecords works as well: `tf.io.parse_example(records, reader.schema.spec())`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stagedml.errors import ConfigError, DataError
from stagedml.stages.text.masking import Ids, Masking, assemble, replace_tokens
from stagedml.stages.text.pairs import Draws, Pairs, make_pairs
from stagedml.stages.text.pretraining import read_index, schema_of
from stagedml.stages.text.tfrecord import Arrays, map_records
from stagedml.stages.text.wordpiece import Encoded, load_vocab

if TYPE_CHECKING:
    import tensorflow as tf

BLOCK, GROUP = 64, 64  # records that stay neighbours; blocks shuffled together
ORDER, PAIRS, MASKS = 11, 12, 13  # random streams

# B rows of this worker's batch, S max_seq_length, P max_predictions_per_seq


class _Stored:
    """Examples that were written whole (forms `examples` and `packed`)."""

    def __init__(self, folder: Path, index: dict[str, Any], seed: int) -> None:
        self.schema = schema_of(index)
        self.paths = [folder / s["name"] for s in index["shards"]]
        self.records = [map_records(p, self.schema) for p in self.paths]
        counts = [len(r) for r in self.records]
        for path, count, shard in zip(self.paths, counts, index["shards"], strict=True):
            if count != shard["examples"]:
                raise DataError(
                    f"record {count} is missing: {count} records where the index says {shard['examples']}",
                    where=str(path),
                    hint="the file was truncated; build the stage that wrote it again",
                )
        self.starts = np.cumsum([0, *counts])
        self.size = int(self.starts[-1])
        self.seed = seed
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def _order(self, epoch: int) -> tuple[int, NDArray[np.int64]]:
        """The epoch's rotation of the records, and the order of its blocks (a short one last)."""
        if epoch not in self._orders:
            draws = Draws(self.seed, ORDER, epoch)
            rotation = int(draws.below(np.array([self.size]))[0])
            full = self.size // BLOCK
            blocks = draws.permutation(full)
            if self.size % BLOCK:
                blocks = np.append(blocks, full)
            self._orders = {epoch: (rotation, blocks)}
        return self._orders[epoch]

    def numbers(self, epoch: int, first: int, last: int) -> NDArray[np.int64]:
        """The numbers of the records at positions [first, last) of an epoch."""
        rotation, blocks = self._order(epoch)
        parts = []
        span = BLOCK * GROUP
        for group in range(first // span, -(-last // span)):
            chosen = blocks[group * GROUP : (group + 1) * GROUP]
            rows = (chosen[:, None] * BLOCK + np.arange(BLOCK)[None]).ravel()
            rows = rows[rows < self.size]
            rows = rows[Draws(self.seed, ORDER, epoch, group).permutation(len(rows))]
            parts.append(rows[max(first - group * span, 0) : last - group * span])
        return (np.concatenate(parts) + rotation) % self.size

    def rows(self, epoch: int, first: int, last: int, every: slice) -> Arrays:
        """The examples at some positions of an epoch, checked."""
        numbers = self.numbers(epoch, first, last)[every]
        shard = np.searchsorted(self.starts, numbers, side="right") - 1
        out = np.empty((len(numbers), self.schema.record_bytes), np.uint8)
        for s in np.unique(shard):
            mine = np.flatnonzero(shard == s)
            out[mine] = self.records[s][numbers[mine] - self.starts[s]]
        try:
            return self.schema.decode(out)
        except DataError:
            self._blame(numbers, shard)
            raise

    def _blame(self, numbers: NDArray[np.int64], shard: NDArray[np.int64]) -> None:
        """Raises `DataError` with the file and the record that a batch failed at."""
        for number, s in zip(numbers.tolist(), shard.tolist(), strict=True):
            at = number - int(self.starts[s])
            self.schema.check(np.asarray(self.records[s][at : at + 1]), where=str(self.paths[s]), first=at)


class _Drawn:
    """Examples drawn afresh in every epoch from stored tokens (form `tokens`).

    How many pairs a bucket gives varies a little with the draw; an epoch takes the number in the index, so
    that positions are known beforehand: a draw that gives more leaves some out, one that gives fewer repeats
    some.
    """

    def __init__(self, folder: Path, index: dict[str, Any], seed: int, vocab: Path) -> None:
        self.schema = schema_of(index)
        names = Masking.__dataclass_fields__
        self.how = Masking(**{name: index[name] for name in names})
        self.ids = Ids(load_vocab(vocab))
        if self.ids.size != index["vocab_size"]:
            raise DataError(
                f"{self.ids.size} pieces, where the tokens are of a vocabulary of {index['vocab_size']}",
                where=str(vocab),
                hint="give the vocabulary that the records were built with",
            )
        self.paths = [folder / b["name"] for b in index["buckets"]]
        self.counts = np.array([b["examples"] for b in index["buckets"]], np.int64)
        self.size = int(self.counts.sum())
        self.seed = seed
        self._lock = threading.Lock()
        self._loaded: dict[tuple[int, int], tuple[Encoded, Pairs]] = {}

    def _bucket(self, epoch: int, bucket: int) -> tuple[Encoded, Pairs]:
        with self._lock:
            if (epoch, bucket) not in self._loaded:
                path = self.paths[bucket]
                try:
                    with np.load(path) as a:
                        text = Encoded(a["ids"].astype(np.int32), a["sentences"], a["documents"])
                except (OSError, ValueError, KeyError) as e:
                    raise DataError(
                        f"damaged tokens: {e}", where=str(path), hint="build the stage that wrote it again"
                    ) from e
                draws = Draws(self.seed, PAIRS, epoch, bucket)
                pairs = make_pairs(
                    text, draws, max_tokens=self.how.max_tokens, short_seq_prob=self.how.short_seq_prob
                )
                order = draws.permutation(len(pairs))
                kept = list(self._loaded.items())[-1:]  # a batch may span two buckets
                self._loaded = dict(kept) | {(epoch, bucket): (text, pairs.take(order))}
            return self._loaded[epoch, bucket]

    def rows(self, epoch: int, first: int, last: int, every: slice) -> Arrays:
        """The examples at some positions of an epoch; those of other workers are drawn alike."""
        order = Draws(self.seed, ORDER, epoch).permutation(len(self.paths))
        ends = np.cumsum(self.counts[order])
        positions = np.arange(first, last)
        slot = np.searchsorted(ends, positions, side="right")
        draws = Draws(self.seed, MASKS, epoch, first)
        parts = []
        for s in np.unique(slot):
            bucket = int(order[s])
            text, pairs = self._bucket(epoch, bucket)
            mine = positions[slot == s] - (ends[s] - self.counts[bucket])
            arrays, candidates = assemble(text, pairs.take(mine % len(pairs)), self.ids, self.how)
            parts.append(replace_tokens(arrays, candidates, self.ids, self.how, draws))
        return {name: values[every] for name, values in _concatenate(parts).items()}


def _concatenate(parts: list[Arrays]) -> Arrays:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


class PretrainReader:
    """Batches of a folder of pre-training records, in any of its forms.

    `batch_size` is that of all workers together; `vocab` is needed for the form `tokens` only.
    Raises `DataError` for records that are empty, cut or damaged, with the file and the record.
    """

    def __init__(
        self,
        folder: Path,
        *,
        batch_size: int,
        seed: int = 0,
        worker: int = 0,
        workers: int = 1,
        vocab: Path | None = None,
    ) -> None:
        if batch_size % workers or not 0 <= worker < workers:
            raise ConfigError(f"a batch of {batch_size} cannot be shared by {workers} workers ({worker})")
        self.index = read_index(folder)
        self.batch_size = batch_size
        self._every = slice(worker, None, workers)
        self._workers = workers
        if self.index["form"] == "tokens":
            if vocab is None:
                raise ConfigError(
                    "records of the form 'tokens' are read with their vocabulary", where=str(folder)
                )
            self._source: _Stored | _Drawn = _Drawn(folder, self.index, seed, vocab)
        else:
            self._source = _Stored(folder, self.index, seed)
        self.schema = self._source.schema
        self.num_examples = self._source.size  # in an epoch, of all workers

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch, at least one."""
        return max(1, self.num_examples // self.batch_size)

    def batch(self, step: int) -> Arrays:
        """This worker's rows of a batch: int32 [B, S] and [B, P], float32 weights [B, P], labels [B].

        A batch may span two epochs, so that all have the same size.
        """
        at, stop = step * self.batch_size, (step + 1) * self.batch_size
        size, parts, offset = self.num_examples, [], self._every.start
        while at < stop:
            epoch, first = divmod(at, size)
            last = min(size, first + stop - at)
            every = slice(offset, None, self._workers)
            if offset < last - first:
                parts.append(self._source.rows(epoch, first, last, every))
            offset = (offset - (last - first)) % self._workers
            at += last - first
        return _concatenate(parts)

    def batches(self, start: int = 0) -> Iterator[Arrays]:
        """The endless stream of batches from step `start` on."""
        while True:
            yield self.batch(start)
            start += 1

    def dataset(self, start: int = 0, *, stop: int | None = None, parallel: int = 2) -> tf.data.Dataset:
        """The batches of steps [start, stop) in order, `parallel` of them made at a time."""
        import tensorflow as tf

        names = [f.name for f in self.schema.features]
        kinds = [tf.float32 if f.kind == "float" else tf.int32 for f in self.schema.features]
        rows = self.batch_size // self._workers

        def arrays(step: NDArray[np.int64]) -> list[NDArray[Any]]:
            batch = self.batch(int(step))
            return [batch[name] for name in names]

        def tensors(step: tf.Tensor) -> dict[str, tf.Tensor]:
            out = tf.numpy_function(arrays, [step], kinds)
            for tensor, f in zip(out, self.schema.features, strict=True):
                tensor.set_shape([rows] if f.size == 1 else [rows, f.size])
            return dict(zip(names, out, strict=True))

        steps = tf.data.Dataset.range(start, np.iinfo(np.int64).max if stop is None else stop)
        return steps.map(tensors, num_parallel_calls=parallel, deterministic=True).prefetch(2 * parallel)


BatchSource = Callable[[int], Iterator[Arrays]]
