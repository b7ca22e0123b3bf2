"""Features and batches: truncation, padding, buckets, and that an epoch holds each example once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedml.errors import ConfigError, DataError
from stagedml.stages.glue.features import NO_LABEL, Encoded, encode, load_tokenizer, truncated
from stagedml.stages.glue.inputs import (
    batches,
    bucket_lengths,
    eval_plan,
    make_batch,
    padded_length,
    padding_share,
    train_plan,
)
from stagedml.stages.glue.readers import Example
from stagedml.stages.glue.tasks import find_task

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", ".", "\u00e9"]


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    """A tiny BERT vocabulary."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return path


def example(text_a: str, text_b: str | None = None, label: str | None = None) -> Example:
    """An example that came from nowhere."""
    return Example(0, "0", 1, text_a, text_b, label)


def encoded(lengths: list[int]) -> Encoded:
    """Sequences of the given lengths whose ids say where they come from."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32) + 1
    return Encoded(ids, np.zeros_like(ids), offsets, np.arange(len(lengths), dtype=np.int32))


def test_a_sentence_and_a_pair_are_laid_out_as_bert_expects(vocab: Path) -> None:
    """`[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`, with segment 1 for the second text and its end."""
    tokenizer = load_tokenizer(vocab, lower_case=True)
    single = encode(
        [example("The cats sat.", label="1")], find_task("SST-2"), tokenizer=tokenizer, max_seq_length=16
    )
    assert single.input_ids.tolist() == [2, 5, 6, 7, 8, 9, 3]
    assert single.segment_ids.sum() == 0
    assert single.labels.tolist() == [1]
    pair = encode([example("the cat", "dog", "0")], find_task("MRPC"), tokenizer=tokenizer, max_seq_length=16)
    assert pair.input_ids.tolist() == [2, 5, 6, 3, 1, 3]
    assert pair.segment_ids.tolist() == [0, 0, 0, 0, 1, 1]


def test_case_and_accents_follow_the_vocabulary(vocab: Path) -> None:
    """A cased tokenizer keeps capitals and accents, an uncased one drops both."""
    cased, uncased = load_tokenizer(vocab, lower_case=False), load_tokenizer(vocab, lower_case=True)
    assert cased.encode("The é", add_special_tokens=False).ids == [1, 10]
    assert uncased.encode("The é", add_special_tokens=False).ids == [5, 1]


def test_labels_of_test_sets_and_regressions(vocab: Path) -> None:
    """An example without label gets the mark; a regression's labels are float32."""
    tokenizer = load_tokenizer(vocab, lower_case=True)
    pair = [example("cat", "sat", None), example("cat", "sat", None)]
    assert (
        encode(pair, find_task("RTE"), tokenizer=tokenizer, max_seq_length=8).labels.tolist()
        == [NO_LABEL] * 2
    )
    stsb = encode([example("cat", "sat", "3.25")], find_task("STS-B"), tokenizer=tokenizer, max_seq_length=8)
    assert stsb.labels.dtype == np.float32
    assert stsb.labels.tolist() == [3.25]


def test_a_second_text_without_tokens_counts_as_none(vocab: Path) -> None:
    """TF-Models writes such a pair like a single sentence, and so do we."""
    tokenizer = load_tokenizer(vocab, lower_case=True)
    out = encode([example("cat", " ", "0")], find_task("MRPC"), tokenizer=tokenizer, max_seq_length=8)
    assert out.input_ids.tolist() == [2, 6, 3]


def test_a_vocabulary_that_is_not_berts_is_refused(tmp_path: Path) -> None:
    """The tokens that are missing are named, and so is a length without room for words."""
    path = tmp_path / "vocab.txt"
    path.write_text("a\n[PAD]\n[UNK]\n")
    with pytest.raises(DataError, match=r"no \[CLS\], \[SEP\]"):
        load_tokenizer(path, lower_case=True)
    path.write_text("\n".join(WORDS))
    with pytest.raises(DataError, match="leaves no room"):
        encode(
            [example("a", "b")],
            find_task("RTE"),
            tokenizer=load_tokenizer(path, lower_case=True),
            max_seq_length=4,
        )


@given(st.integers(0, 40), st.integers(0, 40), st.integers(2, 50))
def test_truncation_equals_taking_tokens_one_by_one(a: int, b: int, budget: int) -> None:
    """The closed form gives what the loop of TF-Models gives."""
    slow_a, slow_b = a, b
    while slow_a + slow_b > budget:
        if slow_a > slow_b:
            slow_a -= 1
        else:
            slow_b -= 1
    assert truncated(a, b, budget) == (slow_a, slow_b)


lengths_lists = st.lists(st.integers(3, 64), min_size=1, max_size=200)


@given(lengths_lists, st.integers(1, 9), st.integers(0, 5), st.integers(0, 3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_an_epoch_holds_each_example_once(
    lengths: list[int], batch_size: int, seed: int, epoch: int, bucketed: bool
) -> None:
    """Whatever the order, nothing is lost, repeated or cut, and every batch has a bucket's length."""
    data, boundaries = encoded(lengths), bucket_lengths(64)
    plan = train_plan(
        data.lengths, batch_size=batch_size, boundaries=boundaries, seed=seed, epoch=epoch, bucketed=bucketed
    )
    again = train_plan(
        data.lengths, batch_size=batch_size, boundaries=boundaries, seed=seed, epoch=epoch, bucketed=bucketed
    )
    seen: list[int] = []
    for slot, batch in zip(again, batches(data, plan, batch_size), strict=True):
        kept = batch["example_weights"] == 1
        assert batch["input_ids"].shape == (batch_size, slot.length)
        assert slot.length in boundaries
        ids = batch["label_ids"][kept]
        assert batch["input_mask"][kept].sum(axis=1).tolist() == [lengths[i] for i in ids]
        assert (batch["input_ids"][kept].max(axis=1) == ids + 1).all()
        seen += ids.tolist()
    assert sorted(seen) == list(range(len(lengths)))


def test_epochs_differ_and_seeds_differ() -> None:
    """Another epoch or seed is another order."""
    lengths = np.arange(100) % 17 + 3
    orders = {
        tuple(
            np.concatenate(
                [s.rows for s in train_plan(lengths, batch_size=8, boundaries=(32,), seed=s, epoch=e)]
            )
        )
        for s in (0, 1)
        for e in (0, 1)
    }
    assert len(orders) == 4


def test_buckets_spare_padding() -> None:
    """On lengths as in CoLA, buckets leave less than half of the padding of random batches."""
    lengths = np.random.default_rng(0).poisson(9, 2000) + 3
    kwargs = {"batch_size": 16, "boundaries": bucket_lengths(128), "seed": 0, "epoch": 0}
    bucketed = padding_share(lengths, train_plan(lengths, **kwargs))
    random = padding_share(lengths, train_plan(lengths, bucketed=False, **kwargs))
    assert bucketed < 0.6 * random
    assert (
        padding_share(lengths, eval_plan(lengths, batch_size=16, boundaries=bucket_lengths(128))) <= bucketed
    )


def test_bucket_boundaries_are_few_and_end_at_the_maximum() -> None:
    """At most 20 shapes up to 512, and the last one is the maximum whatever it is."""
    assert bucket_lengths(128) == (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128)
    assert len(bucket_lengths(512)) == 20
    for top in (1, 7, 8, 65, 100, 511):
        assert bucket_lengths(top)[-1] == top
        assert list(bucket_lengths(top)) == sorted(set(bucket_lengths(top)))
    with pytest.raises(ConfigError, match="no buckets"):
        bucket_lengths(0)
    with pytest.raises(ConfigError, match="70 tokens does not fit"):
        padded_length(70, bucket_lengths(64))


def test_examples_can_be_taken_in_any_order() -> None:
    """`take` keeps tokens, labels and order of the rows asked for."""
    data = encoded([2, 3, 1, 4]).take(np.array([3, 0, 2]))
    assert data.input_ids.tolist() == [4, 4, 4, 4, 1, 1, 3]
    assert data.labels.tolist() == [3, 0, 2]
    plan = eval_plan(data.lengths, batch_size=2, boundaries=(4,))
    assert make_batch(data, plan[1], 2)["example_weights"].tolist() == [1, 0]
