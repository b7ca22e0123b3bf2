"""Training a vocabulary."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stagedml.errors import DataError
from stagedml.stages.text.vocab import SPECIAL, train_vocab
from stagedml.stages.text.wordpiece import WordPieceTokenizer

TEXT = [
    "The lower the river, the slower the rower. Nowhere lower!",
    "Newer rivers were never lower; the widest widens.",
] * 9
PROGRAM = f"from stagedml.stages.text.vocab import train_vocab; print(train_vocab({TEXT!r}, vocab_size=90))"


def test_special_tokens_come_first_and_nothing_twice() -> None:
    """Ids 0 to 4 are the special tokens; no piece appears twice; the size is kept."""
    pieces = train_vocab(TEXT, vocab_size=60)
    assert pieces[:5] == list(SPECIAL)
    assert len(pieces) == len(set(pieces)) == 60


def test_frequent_words_become_pieces() -> None:
    """What is frequent is one piece, and any text of known letters can be written."""
    tokenizer = WordPieceTokenizer(train_vocab(TEXT, vocab_size=90), lower_case=True)
    assert tokenizer.tokens("THE lower") == ["the", "lower"]
    assert "[UNK]" not in tokenizer.tokens("wherever the rider resides")


def test_cased_pieces_keep_capitals() -> None:
    """Without lower-casing, capitals are letters of their own."""
    assert "T" in train_vocab(TEXT, vocab_size=90, lower_case=False)
    assert "T" not in train_vocab(TEXT, vocab_size=90)


def test_the_rarest_letters_fall_out_in_a_fixed_order() -> None:
    """A limited alphabet keeps the most frequent letters, and of equally frequent ones the first."""
    pieces = train_vocab(["aaa bb dd cc"], vocab_size=50, limit_alphabet=2, min_frequency=1)
    assert {p for p in pieces if len(p) == 1} == {"a", "b"}


def test_every_process_trains_the_same() -> None:
    """Two processes with other hash seeds give the same vocabulary."""
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True)
        for _ in "ab"
    ]
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stdout.strip() == str(train_vocab(TEXT, vocab_size=90))


def test_no_word_is_an_error() -> None:
    """Text without a word cannot be trained on."""
    with pytest.raises(DataError, match="no word"):
        train_vocab(["", " "])
