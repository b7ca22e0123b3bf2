"""Segment pairs in lockstep."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedml.stages.text.pairs import Draws, Pairs, make_pairs, truncate
from stagedml.stages.text.wordpiece import Encoded

DOCUMENTS = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=30), min_size=1, max_size=12)


def text_of(documents: list[list[int]]) -> Encoded:
    """Documents given by the lengths of their sentences; token i is i."""
    lengths = [n for d in documents for n in d]
    return Encoded(
        np.arange(sum(lengths), dtype=np.int32),
        np.cumsum([0, *lengths]).astype(np.int64),
        np.cumsum([0, *map(len, documents)]).astype(np.int64),
    )


def test_draws_are_pinned() -> None:
    """The random numbers are the same in every version: these figures never change."""
    draws = Draws(1, 2, 3)
    assert draws.uniform(3).tolist() == [0.6704722626516632, 0.1110146366693816, 0.5115090823948739]
    assert draws.below(np.array([10, 100, 1000])).tolist() == [3, 70, 479]
    assert draws.permutation(6).tolist() == [2, 4, 3, 1, 0, 5]
    assert draws.bits(8).tolist() == [0, 0, 0, 1, 0, 1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.integers(8, 80), st.integers(0, 1000))
def test_pairs_fit_and_stay_in_their_documents(documents: list[list[int]], most: int, seed: int) -> None:
    """No pair is too long, no segment empty or across two documents, and labels tell the truth."""
    text = text_of(documents)
    pairs = make_pairs(text, Draws(seed), max_tokens=most, short_seq_prob=0.3)
    ends = text.sentences[text.documents]
    assert (pairs.a_len >= 1).all()
    assert (pairs.b_len >= 1).all()
    assert (pairs.a_len + pairs.b_len <= most).all()

    def document(token: np.ndarray) -> np.ndarray:
        return np.searchsorted(ends, token, side="right")

    for start, length in ((pairs.a, pairs.a_len), (pairs.b, pairs.b_len)):
        np.testing.assert_array_equal(document(start), document(start + length - 1))
    same = document(pairs.a) == document(pairs.b)
    assert same[~pairs.random_next].all()
    if len(documents) > 4:  # ten tries miss every other document only once in many thousand
        assert not same[pairs.random_next].all() or not pairs.random_next.any()


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, st.integers(0, 1000))
def test_every_token_is_used_when_nothing_is_cut(documents: list[list[int]], seed: int) -> None:
    """With room for whole documents, segments A and true B cover each document once, in order."""
    text = text_of(documents)
    pairs = make_pairs(text, Draws(seed), max_tokens=10_000, short_seq_prob=0)
    ranges = sorted(
        [(int(a), int(a + n)) for a, n in zip(pairs.a, pairs.a_len, strict=True)]
        + [
            (int(b), int(b + n))
            for b, n, random in zip(pairs.b, pairs.b_len, pairs.random_next, strict=True)
            if not random
        ]
    )
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(text.ids)
    assert all(left[1] == right[0] for left, right in pairwise(ranges))


def test_truncation_is_that_of_the_reference() -> None:
    """The longer segment loses tokens one by one, B on a tie, until the pair fits."""
    rng = np.random.default_rng(0)
    a_len, b_len = rng.integers(1, 200, (2, 500))
    cut = truncate(Pairs(a_len * 0, a_len, a_len * 0, b_len, a_len > 0), Draws(1), max_tokens=125)
    for a, b, a_cut, b_cut in zip(a_len, b_len, cut.a_len, cut.b_len, strict=True):
        while a + b > 125:
            a, b = (a - 1, b) if a > b else (a, b - 1)
        assert (a, b) == (a_cut, b_cut)


def test_truncation_takes_from_both_ends_alike() -> None:
    """Each token that is cut comes from either end with equal chance."""
    n = np.full(4000, 225)
    cut = truncate(Pairs(n * 0, n, n * 0, n * 0 + 1, n > 0), Draws(3), max_tokens=126)
    assert cut.a.mean() == pytest.approx(50, abs=0.4)
    assert cut.a.std() == pytest.approx(5, abs=0.3)


def test_no_document_gives_no_pair() -> None:
    """An empty text is no error here."""
    assert len(make_pairs(text_of([]), Draws(0), max_tokens=125, short_seq_prob=0.1)) == 0


def test_the_same_key_draws_the_same() -> None:
    """Pairs are a function of the text and the key; another key gives others."""
    text = text_of([[5, 9, 12, 30] * 10] * 8)
    runs = [
        make_pairs(text, Draws(*key), max_tokens=60, short_seq_prob=0.1) for key in [(1, 2), (1, 2), (1, 3)]
    ]
    np.testing.assert_array_equal(runs[0].a_len, runs[1].a_len)
    assert len(runs[0]) != len(runs[2]) or (runs[0].a_len != runs[2].a_len).any()
