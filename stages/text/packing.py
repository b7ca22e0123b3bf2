"""Packing: several short documents in one sequence, kept apart by a mask that knows where each begins.

    [CLS] a a a [SEP] [CLS] b b [SEP] [PAD]     input_ids
      1   1 1 1   1     2   2 2   2     0       pack_ids
      0   1 2 3   4     0   1 2   3     0       position_ids

A token may attend to those with the same non-zero `pack_ids`. There is no next-sentence label. Documents
longer than a sequence are cut. Pieces are placed by best fit, longest first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stagedml.stages.text.masking import CHUNK, Ids, Masking, replace_tokens
from stagedml.stages.text.pairs import Draws
from stagedml.stages.text.tfrecord import Arrays, Feature, Schema
from stagedml.stages.text.wordpiece import Encoded


def packed_schema(max_seq_length: int, max_predictions_per_seq: int, vocab_size: int) -> Schema:
    """The features of a packed example."""
    s, p = max_seq_length, max_predictions_per_seq
    return Schema(
        (
            Feature("input_ids", s, limit=vocab_size),
            Feature("input_mask", s, limit=2),
            Feature("pack_ids", s, limit=s),
            Feature("position_ids", s, limit=s),
            Feature("masked_lm_positions", p, limit=s),
            Feature("masked_lm_ids", p, limit=vocab_size),
            Feature("masked_lm_weights", p, "float"),
        )
    )


def cut_pieces(text: Encoded, most: int) -> NDArray[np.int64]:
    """Token ranges [K, 2] of at most `most` tokens that cover each document."""
    first, last = text.sentences[text.documents[:-1]], text.sentences[text.documents[1:]]
    count = -(-(last - first) // most)
    number = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    start = np.repeat(first, count) + number * most
    return np.stack([start, np.minimum(start + most, np.repeat(last, count))], axis=1)


def best_fit(lengths: NDArray[np.int64], capacity: int) -> tuple[NDArray[np.int64], int]:
    """The bin of each item, and how many bins: longest first, each into the fullest bin with room."""
    bins = np.zeros(len(lengths), np.int64)
    room: list[list[int]] = [[] for _ in range(capacity + 1)]  # bins by the room left
    open_rooms = 0  # bit r is set when some bin has room r
    count = 0
    for item in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[item])
        fitting = open_rooms >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            chosen = room[left].pop()
            if not room[left]:
                open_rooms &= ~(1 << left)
        else:
            chosen, left = count, capacity
            count += 1
        bins[item] = chosen
        room[left - length].append(chosen)
        open_rooms |= 1 << (left - length)
    return bins, count


def pack_examples(text: Encoded, ids: Ids, how: Masking, draws: Draws) -> tuple[int, Iterator[Arrays]]:
    """How many sequences the documents fill, and their masked examples in random order."""
    pieces = cut_pieces(text, how.max_seq_length - 2)
    pieces = pieces[draws.permutation(len(pieces))]
    bins, count = best_fit(pieces[:, 1] - pieces[:, 0] + 2, how.max_seq_length)
    bins = draws.permutation(count)[bins]
    order = np.argsort(bins, kind="stable")
    return count, _chunks(text, pieces[order], bins[order], count, ids, how, draws)


def _chunks(
    text: Encoded,
    pieces: NDArray[np.int64],
    bins: NDArray[np.int64],
    count: int,
    ids: Ids,
    how: Masking,
    draws: Draws,
) -> Iterator[Arrays]:
    for at in range(0, count, CHUNK):
        end = min(at + CHUNK, count)
        rows = slice(*np.searchsorted(bins, [at, end]))
        arrays, candidates = lay_out(text, pieces[rows], bins[rows] - at, end - at, ids, how)
        yield replace_tokens(arrays, candidates, ids, how, draws)


def lay_out(
    text: Encoded, pieces: NDArray[np.int64], bins: NDArray[np.int64], count: int, ids: Ids, how: Masking
) -> tuple[Arrays, NDArray[np.bool_]]:
    """Sequences of pieces sorted by bin: arrays [N, S], and which tokens are text."""
    size = how.max_seq_length
    lengths = pieces[:, 1] - pieces[:, 0] + 2
    before = np.cumsum(lengths) - lengths
    first = np.searchsorted(bins, np.arange(count))  # the first piece of each bin
    start = before - before[first[bins]]
    number = np.arange(len(bins)) - first[bins] + 1
    within = np.arange(int(lengths.sum())) - np.repeat(before, lengths)
    cell = np.repeat(bins * size + start, lengths) + within
    source = np.repeat(pieces[:, 0] - 1, lengths) + within
    is_last = within == np.repeat(lengths - 1, lengths)
    tokens = text.ids[np.clip(source, 0, len(text.ids) - 1)]
    tokens = np.where(within == 0, ids.cls, np.where(is_last, ids.sep, tokens))

    def spread(values: NDArray[np.int64], blank: int = 0) -> NDArray[np.int32]:
        out = np.full(count * size, blank, np.int32)
        out[cell] = values
        return out.reshape(count, size)

    candidates = spread((within > 0) & ~is_last).astype(bool)
    return {
        "input_ids": spread(tokens, ids.pad),
        "input_mask": spread(np.ones_like(cell)),
        "pack_ids": spread(np.repeat(number, lengths)),
        "position_ids": spread(within),
    }, candidates
