"""WordPiece over whole documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedml.errors import DataError
from stagedml.stages.text.sentences import split_sentences
from stagedml.stages.text.wordpiece import SPECIAL, WordPieceTokenizer, load_vocab

PIECES = [
    *SPECIAL,
    "un",
    "##aff",
    "##able",
    "hello",
    ",",
    "world",
    "!",
    "[",
    "]",
    "mask",
    "a",
    "##b",
    "σας",
    "йод",
]
PIECES += [".", "the", "##s", "b", "c", "日", "本", "?", "cafe", "-", "##c"]
UNCASED = WordPieceTokenizer(PIECES, lower_case=True)
CASED = WordPieceTokenizer(PIECES, lower_case=False)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("UNAFFABLE", ["un", "##aff", "##able"]),
        ("Hello, world!", ["hello", ",", "world", "!"]),
        ("[MASK]", ["[", "mask", "]"]),
        ("ΣΑΣ", ["σας"]),  # the last capital sigma becomes the final small one
        ("Café", ["cafe"]),
        ("日本", ["日", "本"]),
        ("a\x0bb a\x85b", ["a", "##b", "a", "##b"]),  # dropped, not taken for a space
        ("a\u2028b\u00a0c\u200b", ["a", "b", "c"]),
        ("xyz", ["[UNK]"]),
        ("a" + "b" * 400, ["[UNK]"]),
        ("", []),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    """Words are split, lowered and cut into pieces as Google's FullTokenizer does it."""
    assert UNCASED.tokens(text) == tokens


def test_cased_keeps_case_and_accents() -> None:
    """Without lower-casing, case and accents stay."""
    assert CASED.tokens("hello Hello café") == ["hello", "[UNK]", "[UNK]"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("abcAsΣ日é.,!?[] \t\n\x0b\x85\u2028\u0301-'"), max_size=40), max_size=5)
)
def test_the_table_changes_nothing(documents: list[str]) -> None:
    """Encoding documents through the table equals encoding sentence by sentence."""
    encoded = UNCASED.encode_documents(documents)
    expected = [[UNCASED.encode(s) for s in split_sentences(d)] for d in documents]
    assert encoded.ids.tolist() == [i for d in expected for s in d for i in s]
    assert encoded.sentences[0] == 0
    assert encoded.sentences[-1] == len(encoded.ids)
    assert len(encoded.documents) - 1 == sum(any(d) for d in expected)


def test_offsets_cut_sentences_and_documents() -> None:
    """Offsets say where sentences and documents end; what holds no token is left out."""
    encoded = UNCASED.encode_documents(["Hello. World!\nThe a", "", "\x00 \x01", "b"])
    texts = [
        [PIECES[i] for i in encoded.ids[a:b]]
        for a, b in zip(encoded.sentences, encoded.sentences[1:], strict=False)
    ]
    assert texts == [["hello", "."], ["world", "!"], ["the", "a"], ["b"]]
    assert encoded.documents.tolist() == [0, 3, 4]


def test_lines_are_sentences_where_they_are_given() -> None:
    """`encode_lines` takes each line as one sentence."""
    encoded = UNCASED.encode_lines([["Hello. World!", "", "a"], []])
    assert encoded.sentences.tolist() == [0, 4, 5]
    assert encoded.documents.tolist() == [0, 2]


def test_no_document_at_all() -> None:
    """Nothing in, nothing out."""
    assert len(UNCASED.encode_lines([[], []]).ids) == 0
    encoded = UNCASED.encode_documents([])
    assert (len(encoded.ids), encoded.sentences.tolist(), encoded.documents.tolist()) == (0, [0], [0])


def test_a_vocabulary_without_special_tokens_is_refused(tmp_path: Path) -> None:
    """A file that is no BERT vocabulary is named, with what it lacks."""
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nword\n")
    with pytest.raises(DataError, match=r"\[MASK\]") as e:
        load_vocab(path)
    assert str(path) in e.value.where


def test_vocab_lines_are_ids(tmp_path: Path) -> None:
    """The number of a line is the id, whatever the line ends are."""
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join([*SPECIAL, "é"]).encode() + b"\r\n")
    assert load_vocab(path) == [*SPECIAL, "é"]
