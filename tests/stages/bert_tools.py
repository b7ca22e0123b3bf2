"""Small BERTs and batches for the tests of stages/bert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stagedml.stages.bert.config import BertConfig

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def small_config(**changes: Any) -> BertConfig:
    """Two layers of 32; dropout as BERT's."""
    sizes: dict[str, Any] = {
        "vocab_size": 101,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 24,
    }
    return BertConfig(**{**sizes, **changes})


def pretraining_arrays(
    rows: int = 64, *, length: int = 16, predictions: int = 3, vocab: int = 101, seed: int = 0
) -> dict[str, np.ndarray]:
    """Rows of words said twice, with padding; the masked word can be read from its twin."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(len(SPECIAL), vocab, (rows, length)).astype(np.int32)
    ids[:, 1::2] = ids[:, ::2]
    lengths = rng.integers(length // 2, length + 1, rows)
    mask = (np.arange(length) < lengths[:, None]).astype(np.int32)
    positions = np.stack([np.sort(rng.permutation(length // 2)[:predictions]) for _ in range(rows)])
    labels = np.take_along_axis(ids, positions, 1)
    weights = np.ones((rows, predictions), np.float32)
    weights[::3, -1] = 0  # as many masked words as Google's data have: not always all
    np.put_along_axis(ids, positions, 4, 1)
    return {
        "input_ids": ids * mask,
        "input_mask": mask,
        "segment_ids": (np.arange(length) >= length // 2).astype(np.int32) * mask,
        "masked_lm_positions": positions.astype(np.int32),
        "masked_lm_ids": labels.astype(np.int32),
        "masked_lm_weights": weights,
        "next_sentence_labels": (ids[:, 8:9] % 2).astype(np.int32),
    }


def write_vocab(path: Path, size: int = 101) -> Path:
    """A vocabulary of that many words."""
    words = SPECIAL + [f"word{i}" for i in range(size - len(SPECIAL))]
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return path


def weights_of(model: Any) -> dict[str, np.ndarray]:
    """Every weight by name."""
    from stagedml.stages.bert.step import array_of

    return {w.name: array_of(w) for w in model.trainable_variables}


def largest_difference(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """The largest absolute difference of two sets of arrays."""
    assert a.keys() == b.keys()
    return max(float(np.abs(a[k] - b[k]).max()) for k in a)
