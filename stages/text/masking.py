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
        arrays, candidates = assemble(text, pairs.take(slice(at, at + CHUNK)), ids, how)
        yield replace_tokens(arrays, candidates, ids, how, draws)


def assemble(text: Encoded, pairs: Pairs, ids: Ids, how: Masking) -> tuple[Arrays, NDArray[np.bool_]]:
    """`[CLS] A [SEP] B [SEP]`, padded: input_ids, input_mask, segment_ids [N, S], next_sentence_labels [N].

    Also says which tokens are text [N, S], which are those that may be masked.
    """
    column = np.arange(how.max_seq_length)[None]  # [1, S]
    a_len, b_len = pairs.a_len[:, None], pairs.b_len[:, None]
    in_b = column > a_len + 1  # [N, S]
    source = np.where(in_b, pairs.b[:, None] - a_len - 2, pairs.a[:, None] - 1) + column
    tokens = text.ids[np.clip(source, 0, len(text.ids) - 1, out=source)]
    inside = column < a_len + b_len + 3
    tokens[~inside] = ids.pad
    candidates = inside.copy()
    rows = np.arange(len(pairs))
    for special, at in ((ids.cls, 0), (ids.sep, pairs.a_len + 1), (ids.sep, pairs.a_len + pairs.b_len + 2)):
        tokens[rows, at] = special
        candidates[rows, at] = False
    return {
        "input_ids": tokens,
        "input_mask": inside.astype(np.int32),
        "segment_ids": (in_b & inside).astype(np.int32),
        "next_sentence_labels": pairs.random_next.astype(np.int32),
    }, candidates


def replace_tokens(
    arrays: Arrays, candidates: NDArray[np.bool_], ids: Ids, how: Masking, draws: Draws
) -> Arrays:
    """Draws positions among the candidates and replaces the tokens there.

    Adds masked_lm_positions, masked_lm_ids and masked_lm_weights [N, P]; positions ascend.
    """
    tokens, most = arrays["input_ids"], how.max_predictions_per_seq
    count, width = tokens.shape
    available = candidates.sum(axis=1)
    # The reference takes its share of all tokens, special ones included.
    length = arrays["input_mask"].sum(axis=1)
    wanted = np.clip(np.rint(length * how.masked_lm_prob).astype(np.int64), 1, most)
    wanted = np.minimum(wanted, available)
    if how.whole_word:
        positions, action = _draw_words(tokens, candidates, wanted, ids, most, draws)
    else:
        positions = _draw_tokens(candidates, available, wanted, most, draws)
        action = draws.uniform(count, most)
    valid = positions < width  # [N, P]
    positions = np.where(valid, positions, 0)
    labels = np.where(valid, np.take_along_axis(tokens, positions, axis=1), 0)
    words = (draws.uniform(count, most) * ids.size).astype(np.int32)
    replaced = np.where(action < 0.8, ids.mask, np.where(action < 0.9, labels, words))
    out = tokens.copy()
    row, rank = np.nonzero(valid)
    out[row, positions[row, rank]] = replaced[row, rank]
    return {
        **arrays,
        "input_ids": out,
        "masked_lm_positions": positions.astype(np.int32),
        "masked_lm_ids": labels.astype(np.int32),
        "masked_lm_weights": valid.astype(np.float32),
    }


def _draw_tokens(
    candidates: NDArray[np.bool_],
    available: NDArray[np.int64],
    wanted: NDArray[np.int64],
    most: int,
    draws: Draws,
) -> NDArray[np.int64]:
    """Ascending positions [N, P] of `wanted` candidates a row; S where there are fewer than P."""
    count, width = candidates.shape
    order = np.nonzero(candidates)[1].astype(np.int16)  # the candidates of all rows, to be shuffled in place
    base = np.cumsum(available) - available
    uniform = draws.uniform(most, count)
    chosen = np.full((most, count), width, np.int16)
    for p in range(int(wanted.max(initial=0))):
        rows = np.flatnonzero(wanted > p)
        here = base[rows] + p
        there = here + (uniform[p, rows] * (available[rows] - p)).astype(np.int64)
        picked = order[there]
        order[there] = order[here]
        chosen[p, rows] = picked
    return np.sort(chosen.T, axis=1).astype(np.int64)


def _draw_words(
    tokens: NDArray[Any],
    candidates: NDArray[np.bool_],
    wanted: NDArray[np.int64],
    ids: Ids,
    most: int,
    draws: Draws,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """As `_draw_tokens`, by whole words in random order; a word too long for what is left is passed over.

    Also returns the draw of each position's replacement [N, P], one a word.
    """
    count, width = tokens.shape
    begins = candidates & ~ids.continues[tokens]
    begins[:, 1:] |= candidates[:, 1:] & ~candidates[:, :-1]
    word = np.maximum(np.cumsum(begins, axis=1) - 1, 0)  # [N, S]: which word a token is of
    flat = (np.arange(count)[:, None] * width + word)[candidates]
    sizes = np.bincount(flat, minlength=count * width).reshape(count, width)
    order = np.argsort(np.where(sizes > 0, draws.uniform(count, width), 2.0), axis=1, kind="stable")
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
    hit = candidates & np.take_along_axis(taken, word, axis=1)
    row, position = np.nonzero(hit)
    rank = np.cumsum(hit, axis=1)[row, position] - 1
    positions = np.full((count, most), width, np.int64)
    positions[row, rank] = position
    actions = np.ones((count, most))
    actions[row, rank] = action[row, word[row, position]]
    return positions, actions
