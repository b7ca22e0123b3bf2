"""Examples assembled and masked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stagedml.stages.text.masking import Ids, Masking, assemble, examples, pretrain_schema, replace_tokens
from stagedml.stages.text.packing import best_fit, cut_pieces, pack_examples, packed_schema
from stagedml.stages.text.pairs import Draws, make_pairs
from stagedml.stages.text.tfrecord import Arrays
from stagedml.stages.text.wordpiece import SPECIAL, Encoded

PIECES = [*SPECIAL, *(f"w{i}" for i in range(495)), *(f"##c{i}" for i in range(500))]
IDS = Ids(PIECES)
HOW = Masking(max_seq_length=64, max_predictions_per_seq=10)


def some_text(documents: int = 60, seed: int = 0) -> Encoded:
    """Random documents of random sentences; no special token in them."""
    rng = np.random.default_rng(seed)
    sentences = [rng.integers(1, 30, rng.integers(1, 25)) for _ in range(documents)]
    lengths = np.concatenate(sentences)
    return Encoded(
        rng.integers(len(SPECIAL), len(PIECES), lengths.sum()).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([[0], np.cumsum([len(s) for s in sentences])]),
    )


TEXT = some_text()


def make(how: Masking, seed: int = 0, text: Encoded = TEXT) -> tuple[Arrays, Arrays]:
    """The examples of a text: masked, and as they were before."""
    pairs = make_pairs(text, Draws(seed, 1), max_tokens=how.max_tokens, short_seq_prob=how.short_seq_prob)
    plain, candidates = assemble(text, pairs, IDS, how)
    return replace_tokens(plain, candidates, IDS, how, Draws(seed, 2)), plain


@pytest.mark.parametrize("whole_word", [False, True])
def test_an_example_is_what_bert_reads(whole_word: bool) -> None:
    """[CLS] A [SEP] B [SEP] and padding; the mask covers the text, segment 1 is B and its [SEP]."""
    masked, plain = make(replace(HOW, whole_word=whole_word))
    assert len(masked["input_ids"]) > 200
    for ids, mask, segments in zip(
        plain["input_ids"], plain["input_mask"], plain["segment_ids"], strict=True
    ):
        length = mask.sum()
        assert mask.tolist() == [1] * length + [0] * (64 - length)
        separators = np.flatnonzero(ids == IDS.sep)
        assert ids[0] == IDS.cls
        assert len(separators) == 2
        assert separators[1] == length - 1
        assert (ids[length:] == IDS.pad).all()
        assert segments.tolist() == [0] * (separators[0] + 1) + [1] * (length - separators[0] - 1) + [0] * (
            64 - length
        )


@pytest.mark.parametrize("whole_word", [False, True])
def test_predictions_tell_what_was_there(whole_word: bool) -> None:
    """Labels are the tokens before masking, positions ascend, nothing else changed."""
    masked, plain = make(replace(HOW, whole_word=whole_word))
    for i in range(len(plain["input_ids"])):
        count = int(masked["masked_lm_weights"][i].sum())
        positions = masked["masked_lm_positions"][i]
        assert (np.diff(positions[:count]) > 0).all()
        assert (masked["masked_lm_weights"][i] == ([1.0] * count + [0.0] * (10 - count))).all()
        assert not positions[count:].any()
        assert not masked["masked_lm_ids"][i, count:].any()
        before = plain["input_ids"][i]
        assert (masked["masked_lm_ids"][i, :count] == before[positions[:count]]).all()
        assert not np.isin(before[positions[:count]], [IDS.cls, IDS.sep, IDS.pad]).any()
        others = np.setdiff1d(np.arange(64), positions[:count])
        assert (masked["input_ids"][i, others] == before[others]).all()


def test_how_many_are_predicted() -> None:
    """15 % of all tokens, rounded half to even as Python does, at least one and at most the maximum."""
    masked, plain = make(HOW)
    length = plain["input_mask"].sum(axis=1)
    expected = [min(10, max(1, round(int(n) * 0.15))) for n in length]
    assert masked["masked_lm_weights"].sum(axis=1).tolist() == expected


@pytest.mark.parametrize("whole_word", [False, True])
def test_replacements_are_80_10_10(whole_word: bool) -> None:
    """Of the chosen tokens 80 % become [MASK], 10 % stay, 10 % become a random piece (4 sigma)."""
    masked, _ = make(replace(HOW, whole_word=whole_word), text=some_text(600))
    hit = masked["masked_lm_weights"] > 0
    after = np.take_along_axis(masked["input_ids"], masked["masked_lm_positions"], 1)[hit]
    before = masked["masked_lm_ids"][hit]
    n = hit.sum() / (1 if not whole_word else 2)  # a word has two pieces on average, and one draw
    for share, expected in [((after == IDS.mask).mean(), 0.8), ((after == before).mean(), 0.1)]:
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n) + 0.001
    random = after[(after != IDS.mask) & (after != before)]
    assert len(np.unique(random)) > 500  # from the whole vocabulary
    assert random.mean() == pytest.approx(len(PIECES) / 2, rel=0.05)


def test_every_position_is_equally_likely() -> None:
    """Which tokens are chosen is uniform over the text of an example."""
    text = Encoded(
        np.full(62 * 4000, 9, np.int32),
        np.arange(0, 62 * 8000 + 1, 31)[: 2 * 4000 + 1],
        np.arange(0, 8001, 2),
    )
    how = replace(HOW, max_seq_length=65, short_seq_prob=0.0)
    masked, _ = make(how, text=text)
    hits = np.bincount(masked["masked_lm_positions"][masked["masked_lm_weights"] > 0], minlength=65)
    text_positions = [p for p in range(65) if hits[p]]
    assert 0 not in text_positions
    full = (masked["input_mask"].sum(axis=1) == 65).mean()
    assert full > 0.9
    rate = hits[5:25] / len(masked["input_ids"])
    assert rate.std() < 5 * np.sqrt(rate.mean() / len(masked["input_ids"]))


def test_whole_words_are_masked_whole() -> None:
    """With whole words, all pieces of a word are predicted or none, and share one kind of replacement."""
    masked, plain = make(replace(HOW, whole_word=True))
    for i in range(len(plain["input_ids"])):
        count = int(masked["masked_lm_weights"][i].sum())
        chosen = set(masked["masked_lm_positions"][i, :count].tolist())
        ids = plain["input_ids"][i]
        for p in chosen:
            continues = p + 1 < 64 and IDS.continues[ids[p + 1]]
            assert (not continues) or p + 1 in chosen
            begins = not IDS.continues[ids[p]] or ids[p - 1] in (IDS.cls, IDS.sep)
            assert begins or p - 1 in chosen
            if continues:
                first, second = (masked["input_ids"][i, q] == IDS.mask for q in (p, p + 1))
                assert first == second


def test_chunks_are_encodable() -> None:
    """What `examples` yields fits the schema, and is the same for the same draws."""
    pairs = make_pairs(TEXT, Draws(5), max_tokens=HOW.max_tokens, short_seq_prob=0.1)
    runs = [list(examples(TEXT, pairs, IDS, HOW, Draws(6))) for _ in "ab"]
    schema = pretrain_schema(64, 10, len(PIECES))
    one, other = (b"".join(schema.encode(a).tobytes() for a in run) for run in runs)
    assert one == other
    assert len(one) == len(pairs) * schema.record_bytes


def test_pieces_cover_documents() -> None:
    """Long documents are cut into full pieces and a rest; every token is in one piece."""
    pieces = cut_pieces(TEXT, 20)
    starts = TEXT.sentences[TEXT.documents]
    assert pieces[0, 0] == 0
    assert pieces[-1, 1] == len(TEXT.ids)
    assert (pieces[1:, 0] == pieces[:-1, 1]).all()
    assert (pieces[:, 1] - pieces[:, 0] <= 20).all()
    assert np.isin(starts[:-1], pieces[:, 0]).all()


def test_best_fit_fills_bins() -> None:
    """No bin overflows, and nearly all are full."""
    lengths = np.random.default_rng(0).integers(3, 65, 3000)
    bins, count = best_fit(lengths, 64)
    fill = np.bincount(bins, weights=lengths, minlength=count)
    assert fill.max() <= 64
    assert fill.sum() / (64 * count) > 0.98


def test_packed_documents_know_their_borders() -> None:
    """Each document in a sequence has its own number, and positions that start at zero."""
    count, chunks = pack_examples(TEXT, IDS, HOW, Draws(1))
    arrays = list(chunks)
    assert sum(len(a["input_ids"]) for a in arrays) == count
    a = arrays[0]
    packed_schema(64, 10, len(PIECES)).encode(a)
    assert a["pack_ids"].max() > 1
    kept = 0
    for ids, mask, pack, position, weights, at, label in zip(
        *(a[k] for k in ("input_ids", "input_mask", "pack_ids", "position_ids")),
        *(a[k] for k in ("masked_lm_weights", "masked_lm_positions", "masked_lm_ids")),
        strict=True,
    ):
        ids = ids.copy()
        ids[at[weights > 0]] = label[weights > 0]
        assert ((pack > 0) == (mask > 0)).all()
        for number in range(1, pack.max() + 1):
            here = np.flatnonzero(pack == number)
            assert (np.diff(here) == 1).all()
            assert position[here].tolist() == list(range(len(here)))
            assert ids[here[0]] == IDS.cls
            assert ids[here[-1]] == IDS.sep
            kept += len(here) - 2
    if len(arrays) == 1:
        assert kept == len(TEXT.ids)
