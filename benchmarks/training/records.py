"""Real TFRecords for the benchmark: random words without padding, the worst case, and the same for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.training.implementations import Batch, Setting
from stagedml.stages.bert.records import PretrainReader
from stagedml.stages.text.masking import pretrain_schema
from stagedml.stages.text.pretraining import INDEX

BATCHES = 16  # in the records; then they come again, in another order


def examples(s: Setting, rows: int, *, seed: int = 0) -> Batch:
    """So many examples."""
    rng = np.random.default_rng(seed)
    shape = (rows, s.length)
    places = np.stack([np.sort(rng.permutation(s.length)[: s.predictions]) for _ in range(rows)])
    return {
        "input_ids": rng.integers(5, s.vocab, shape, dtype=np.int32),
        "input_mask": np.ones(shape, np.int32),
        "segment_ids": np.zeros(shape, np.int32),
        "masked_lm_positions": places.astype(np.int32),
        "masked_lm_ids": rng.integers(5, s.vocab, (rows, s.predictions), dtype=np.int32),
        "masked_lm_weights": np.ones((rows, s.predictions), np.float32),
        "next_sentence_labels": rng.integers(0, 2, rows, dtype=np.int32),
    }


def write_examples(folder: Path, s: Setting) -> None:
    """A folder of pre-training records, as the stage writes them."""
    rows = BATCHES * s.batch
    schema = pretrain_schema(s.length, s.predictions, s.vocab)
    (folder / "examples.tfrecord").write_bytes(schema.encode(examples(s, rows)).tobytes())
    index = {
        "form": "examples",
        "vocab_size": s.vocab,
        "max_seq_length": s.length,
        "max_predictions_per_seq": s.predictions,
        "shards": [{"name": "examples.tfrecord", "examples": rows}],
    }
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def batches(folder: Path, s: Setting) -> Iterator[Batch]:
    """Endless batches, read and checked as in a training."""
    for batch in PretrainReader(folder, batch_size=s.batch, seed=1).batches():
        yield {**batch, "next_sentence_labels": batch["next_sentence_labels"].reshape(-1, 1)}
