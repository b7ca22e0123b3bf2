"""Masked language-model examples from segment pairs: tokens gathered, positions drawn, 80/10/10 replaced.

All of it over [N, S] arrays. Positions are drawn without replacement by the first steps of a Fisher-Yates
shuffle, done for all rows at once.

Reference: create_masked_lm_predictions in google-research/bert and TF-Models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagedml.stages.text.pairs import Draws, Pairs
from stagedml.stages.text.tfrecord import Arrays, Feature, Schema
from stagedml.stages.text.wordpiece import Encoded

# N examples, S max_seq_length, P max_predictions_per_seq
CHUNK = 2048


@dataclass(frozen=True)
class Masking:
    """How examples are made of tokens."""

    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    whole_word: bool = False

    @property
    def max_tokens(self) -> int:
        """Tokens of text in an example, [CLS] and two [SEP] left out."""
        return self.max_seq_length - 3


class Ids:
    """The ids of a vocabulary that masking needs."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.size = len(pieces)
        self.pad, self.cls, self.sep, self.mask = (
            pieces.index(name) for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
        )
        self.continues = np.array([p.startswith("##") for p in pieces], bool)


def pretrain_schema(max_seq_length: int, max_predictions_per_seq: int, vocab_size: int) -> Schema:
    """The features of a pre-training example, by Google's names."""
    s, p = max_seq_length, max_predictions_per_seq
    return Schema(
        (
            Feature("input_ids", s, limit=vocab_size),
            Feature("input_mask", s, limit=2),
            Feature("segment_ids", s, limit=2),
            Feature("masked_lm_positions", p, limit=s),
            Feature("masked_lm_ids", p, limit=vocab_size),
            Feature("masked_lm_weights", p, "float"),
            Feature("next_sentence_labels", 1, limit=2),
        )
    )


def examples(text: Encoded, pairs: Pairs, ids: Ids, how: Masking, draws: Draws) -> Iterator[Arrays]:
    """Masked examples of all pairs, in order, in chunks of up to `CHUNK`."""
    for at in range(0, len(pairs), CHUNK):
        part = pairs.take(slice(at, at + CHUNK))
        yield mask(assemble(text, part, ids, how), part, ids, how, draws)


def assemble(text: Encoded, pairs: Pairs, ids: Ids, how: Masking) -> Arrays:
    """`[CLS] A [SEP] B [SEP]`, padded: input_ids, input_mask, segment_ids [N, S], next_sentence_labels [N]."""
    column = np.arange(how.max_seq_length, dtype=np.int32)[None]  # [1, S]
    a_len, b_len = pairs.a_len[:, None].astype(np.int32), pairs.b_len[:, None].astype(np.int32)
    total = a_len + b_len + 3
    in_b = column > a_len + 1  # [N, S]
    shift = np.where(in_b, pairs.b[:, None] - a_len - 2, pairs.a[:, None] - 1)
    source = np.clip(shift + column, 0, len(text.ids) - 1)
    tokens = text.ids[source]
    tokens[:, 0] = ids.cls
    rows = np.arange(len(pairs))
    tokens[rows, pairs.a_len + 1] = ids.sep
    tokens[rows, pairs.a_len + pairs.b_len + 2] = ids.sep
    inside = column < total
    return {
        "input_ids": np.where(inside, tokens, ids.pad),
        "input_mask": inside.astype(np.int32),
        "segment_ids": (in_b & inside).astype(np.int32),
        "next_sentence_labels": pairs.random_next.astype(np.int32),
    }


def mask(arrays: Arrays, pairs: Pairs, ids: Ids, how: Masking, draws: Draws) -> Arrays:
    """Draws positions and replaces tokens; adds masked_lm_positions, _ids and _weights [N, P]."""
    count, tokens = len(pairs), arrays["input_ids"]
    candidates = pairs.a_len + pairs.b_len
    wanted = np.rint((candidates + 3) * how.masked_lm_prob).astype(np.int64)
    wanted = np.minimum(np.clip(wanted, 1, how.max_predictions_per_seq), candidates)
    if how.whole_word:
        positions, action = _draw_words(tokens, pairs, ids, wanted, how, draws)
    else:
        positions = _draw_tokens(pairs, candidates, wanted, how, draws)
        action = draws.uniform(count, how.max_predictions_per_seq)
    valid = positions < how.max_seq_length  # [N, P]
    positions = np.where(valid, positions, 0)
    rows = np.arange(count)[:, None]
    labels = np.where(valid, tokens[rows, positions], 0)
    words = (draws.uniform(count, how.max_predictions_per_seq) * ids.size).astype(np.int32)
    replaced = np.where(action < 0.8, ids.mask, np.where(action < 0.9, labels, words))
    out = tokens.copy()
    cells = np.nonzero(valid)
    out[cells[0], positions[cells]] = replaced[cells]
    return {
        **arrays,
        "input_ids": out,
        "masked_lm_positions": positions.astype(np.int32),
        "masked_lm_ids": labels.astype(np.int32),
        "masked_lm_weights": valid.astype(np.float32),
    }


def _draw_tokens(
    pairs: Pairs, candidates: NDArray[np.int64], wanted: NDArray[np.int64], how: Masking, draws: Draws
) -> NDArray[Any]:
    """Sorted positions [N, P] of `wanted` tokens a row that are not special; S where there are fewer."""
    count, most = len(pairs), how.max_predictions_per_seq
    order = np.tile(np.arange(how.max_seq_length, dtype=np.int16), (count, 1)).ravel()
    base = np.arange(count) * how.max_seq_length
    uniform = draws.uniform(most, count)
    chosen = np.empty((count, most), np.int64)
    for p in range(int(wanted.max(initial=0))):
        left = np.maximum(candidates - p, 1)
        here = base + np.minimum(p, candidates - 1)
        there = here + (uniform[p] * left).astype(np.int64)
        picked = order[there]
        order[there] = order[here]
        order[here] = picked
        chosen[:, p] = picked
    positions = chosen + 1 + (chosen >= pairs.a_len[:, None])  # past [CLS], and past the first [SEP]
    positions[np.arange(most)[None] >= wanted[:, None]] = how.max_seq_length
    return np.sort(positions.astype(np.int16), axis=1).astype(np.int64)


def _draw_words(
    tokens: NDArray[Any], pairs: Pairs, ids: Ids, wanted: NDArray[np.int64], how: Masking, draws: Draws
) -> tuple[NDArray[Any], NDArray[Any]]:
    """As `_draw_tokens`, by whole words in random order; a word too long for what is left is passed over.

    Also returns the draw of each position's replacement [N, P], one a word.
    """
    count, width = tokens.shape
    column = np.arange(width)[None]
    a_len, total = pairs.a_len[:, None], (pairs.a_len + pairs.b_len)[:, None] + 3
    text = (column > 0) & (column < total - 1) & (column != a_len + 1)
    begins = text & (~ids.continues[tokens] | (column == 1) | (column == a_len + 2))
    word = np.cumsum(begins, axis=1) - 1  # [N, S]: which word a token is of
    flat = (np.arange(count)[:, None] * width + word)[text]
    sizes = np.bincount(flat, minlength=count * width).reshape(count, width)
    keys = draws.uniform(count, width)
    order = np.argsort(np.where(sizes > 0, keys, 2.0), axis=1, kind="stable")
    rows = np.arange(count)
    left = wanted.copy()
    taken = np.zeros((count, width), bool)
    for k in range(int((sizes > 0).sum(axis=1).max(initial=0))):
        candidate = order[:, k]
        size = sizes[rows, candidate]
        take = (size > 0) & (size <= left)
        taken[rows, candidate] = take
        left -= size * take
        if not left.any():
            break
    action = draws.uniform(count, width)
    hit = text & np.take_along_axis(taken, np.maximum(word, 0), axis=1)
    row, position = np.nonzero(hit)
    rank = np.cumsum(hit, axis=1)[row, position] - 1
    positions = np.full((count, how.max_predictions_per_seq), width, np.int64)
    positions[row, rank] = position
    actions = np.ones((count, how.max_predictions_per_seq))
    actions[row, rank] = action[row, word[row, position]]
    return positions, actions
