"""Segment pairs with next-sentence labels, the algorithm of BERT's `create_pretraining_data`, in lockstep.

A document is cut greedily into chunks of sentences; a chunk is cut into segments A and B, and half of the
time B is replaced by sentences of another document and the unused ones go back. That is sequential within a
document, so all documents take one step together: each round makes one pair of every document that has
sentences left, by array operations on offsets. No token is copied until `masking.assemble` gathers them.

Reference: create_instances_from_document and truncate_seq_pair in google-research/bert and TF-Models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stagedml.stages.text.wordpiece import Encoded

Ints = NDArray[np.int64]
RETRIES = 10  # as in the reference: tries to find another document than the own one


class Draws:
    """Random numbers that stay the same in every version of numpy.

    Built on the raw 64-bit stream of PCG64, which numpy guarantees; `Generator.integers` and `shuffle` are
    not guaranteed.
    """

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(list(key)))

    def uniform(self, *shape: int) -> NDArray[np.float64]:
        """Uniform in [0, 1)."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        values: NDArray[np.float64] = (raw >> np.uint64(11)).astype(np.float64) * (1.0 / (1 << 53))
        return values.reshape(shape)

    def below(self, limits: Ints) -> Ints:
        """Integers from 0 to limit - 1, one for each limit."""
        return (self.uniform(len(limits)) * limits).astype(np.int64)

    def permutation(self, count: int) -> Ints:
        """A random order of 0 to count - 1."""
        return np.argsort(self._bits.random_raw(count), kind="stable")

    def bits(self, count: int) -> NDArray[np.uint8]:
        """Fair coins, 0 or 1."""
        raw = self._bits.random_raw(-(-count // 64)).astype("<u8")
        return np.unpackbits(raw.view(np.uint8))[:count]


@dataclass
class Pairs:
    """Segment pairs as ranges of tokens: A is [a, a + a_len) and B is [b, b + b_len), all of shape [N]."""

    a: Ints
    a_len: Ints
    b: Ints
    b_len: Ints
    random_next: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.a)

    def take(self, rows: Ints | slice) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.a[rows], self.a_len[rows], self.b[rows], self.b_len[rows], self.random_next[rows])


def make_pairs(text: Encoded, draws: Draws, *, max_tokens: int, short_seq_prob: float) -> Pairs:
    """The pairs of all documents of a text; `max_tokens` is max_seq_length less [CLS] and two [SEP]."""
    token, first, last = text.sentences, text.documents[:-1], text.documents[1:]
    count = len(first)
    target = np.full(count, max_tokens, np.int64)
    short = draws.uniform(count) < short_seq_prob
    target[short] = 2 + draws.below(np.full(int(short.sum()), max_tokens - 1, np.int64))
    at = first.copy()
    alive = np.arange(count)
    rounds: list[Pairs] = []
    while len(alive):
        begin, want = at[alive], target[alive]
        end = np.minimum(np.searchsorted(token, token[begin] + want), last[alive])
        sentences = end - begin
        middle = begin + 1 + draws.below(np.maximum(sentences - 1, 1))
        random_next = (draws.uniform(len(alive)) < 0.5) | (sentences == 1)
        b, b_end = middle.copy(), end.copy()
        rows = np.flatnonzero(random_next)
        b[rows], b_end[rows] = _elsewhere(
            text, draws, alive[rows], want[rows] - (token[middle[rows]] - token[begin[rows]])
        )
        rounds.append(
            Pairs(token[begin], token[middle] - token[begin], token[b], token[b_end] - token[b], random_next)
        )
        at[alive] = np.where(random_next, middle, end)
        alive = alive[at[alive] < last[alive]]
    if not rounds:
        none = np.zeros(0, np.int64)
        return Pairs(none, none, none, none, none.astype(bool))
    pairs = Pairs(
        *(
            np.concatenate([getattr(r, name) for r in rounds])
            for name in ("a", "a_len", "b", "b_len", "random_next")
        )
    )
    return truncate(pairs, draws, max_tokens=max_tokens)


def _elsewhere(text: Encoded, draws: Draws, own: Ints, want: Ints) -> tuple[Ints, Ints]:
    """For each row sentences [b, b_end) of a random other document that hold about `want` tokens."""
    token, first, last = text.sentences, text.documents[:-1], text.documents[1:]
    other = draws.below(np.full(len(own), len(first)))
    for _ in range(RETRIES - 1):
        same = np.flatnonzero(other == own)
        if len(same) == 0:
            break
        other[same] = draws.below(np.full(len(same), len(first)))
    b = first[other] + draws.below(last[other] - first[other])
    b_end = np.maximum(np.searchsorted(token, token[b] + want), b + 1)
    return b, np.minimum(b_end, last[other])


def truncate(pairs: Pairs, draws: Draws, *, max_tokens: int) -> Pairs:
    """Shortens the longer segment token by token, each time at a random end, until the pair fits."""
    excess = np.maximum(pairs.a_len + pairs.b_len - max_tokens, 0)
    ahead = pairs.a_len - pairs.b_len
    cut_a = np.minimum(excess, np.maximum(ahead, 0))  # until the two are equal
    cut_b = np.minimum(excess, np.maximum(-ahead, 0))
    rest = excess - cut_a - cut_b  # from then on in turns, B first
    cut_a, cut_b = cut_a + rest // 2, cut_b + (rest + 1) // 2
    return Pairs(
        pairs.a + _heads(cut_a, draws),
        pairs.a_len - cut_a,
        pairs.b + _heads(cut_b, draws),
        pairs.b_len - cut_b,
        pairs.random_next,
    )


def _heads(cuts: Ints, draws: Draws) -> Ints:
    """How many of each number of coins fall on heads."""
    sums = np.concatenate([[0], np.cumsum(draws.bits(int(cuts.sum())), dtype=np.int64)])
    ends = np.cumsum(cuts)
    return sums[ends] - sums[ends - cuts]
