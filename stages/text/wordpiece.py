"""WordPiece with the ids of Google's FullTokenizer, over whole documents at a time.

FullTokenizer works character by character in Python, 1 MB/s. Hugging Face `tokenizers` is faster, but its
normaliser is of another Unicode version and lowers a final capital sigma to another letter. Here the
splitting into words is Google's, done by C-level passes over the text (`str.translate`, `lower`, `normalize`,
`split`), the pieces of a word are Hugging Face's WordPiece model, and as text repeats its words, what stands
between two spaces is looked up in a table that remembers its pieces; only what the table does not know is
worked out.

Reference: BasicTokenizer and WordpieceTokenizer of google-research/bert and of TF-Models.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers.models import WordPiece as PieceModel

from stagedml.errors import DataError
from stagedml.stages.text.sentences import can_start, ends_sentence, space_out
from stagedml.stages.text.sentences import chunks as split_chunks

MAX_CHARS = 400  # TF-Models; a longer word is [UNK]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TABLE_WORDS, TABLE_PIECES = 1_000_000, 8_000_000

_CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class _Clean(dict[int, str | int]):
    """For `str.translate`: drops controls, makes white space a space, sets CJK characters apart."""

    def __missing__(self, cp: int) -> str | int:
        char = chr(cp)
        category = unicodedata.category(char)
        out: str | int = cp
        if char in "\t\n\r" or category == "Zs":
            out = " "
        elif cp in (0, 0xFFFD) or category in ("Cc", "Cf"):
            out = ""
        elif any(low <= cp <= high for low, high in _CJK):
            out = f" {char} "
        self[cp] = out
        return out


class _Split(dict[int, str | int]):
    """For `str.translate`: sets punctuation apart; drops accents (Mn) where the text was decomposed."""

    def __init__(self, *, strip_accents: bool) -> None:
        super().__init__()
        self.strip_accents = strip_accents

    def __missing__(self, cp: int) -> str | int:
        char = chr(cp)
        category = unicodedata.category(char)
        out: str | int = cp
        ascii_punctuation = 33 <= cp <= 47 or 58 <= cp <= 64 or 91 <= cp <= 96 or 123 <= cp <= 126
        if ascii_punctuation or category.startswith("P"):
            out = f" {char} "
        elif self.strip_accents and category == "Mn":
            out = ""
        self[cp] = out
        return out


def load_vocab(path: Path) -> list[str]:
    """The pieces of a vocab.txt, one a line. Raises `DataError` when it lacks a special token."""
    pieces = path.read_text(encoding="utf-8").split("\n")
    while pieces and not pieces[-1]:
        pieces.pop()
    pieces = [p.strip() for p in pieces]
    missing = [s for s in SPECIAL if s not in pieces]
    if missing:
        raise DataError(
            f"the vocabulary lacks {', '.join(missing)}",
            where=str(path),
            hint="a BERT vocabulary has one piece a line, the special tokens among them",
        )
    return pieces


@dataclass
class Encoded:
    """Tokenized documents: pieces in one flat array, cut by sentences, and these by documents."""

    ids: NDArray[np.int32]  # [T]
    sentences: NDArray[np.int64]  # [M + 1] offsets into ids
    documents: NDArray[np.int64]  # [D + 1] offsets into sentences


class WordPieceTokenizer:
    """Text to the ids of a vocabulary, as FullTokenizer(vocab, do_lower_case=lower_case) gives them.

    Not a Hugging Face tokenizer object: `[MASK]` in a text is three words here, as it is for Google.
    """

    def __init__(self, vocab: Path | Sequence[str], *, lower_case: bool) -> None:
        self.pieces = load_vocab(vocab) if isinstance(vocab, Path) else list(vocab)
        self.vocab = {piece: i for i, piece in enumerate(self.pieces)}
        self.lower_case = lower_case
        self._model = PieceModel(self.vocab, unk_token="[UNK]", max_input_chars_per_word=MAX_CHARS)
        self._clean = _Clean()
        self._split = _Split(strip_accents=lower_case)
        self._table = _Table(self)

    def words(self, text: str) -> list[str]:
        """The words and punctuation marks of a text, before WordPiece (BasicTokenizer)."""
        text = text.translate(self._clean)
        if self.lower_case:
            # Lowering all at once equals lowering word by word: what decides a final sigma ends at a space.
            text = unicodedata.normalize("NFD", text.lower())
        return text.translate(self._split).split()

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        return [t.id for word in self.words(text) for t in self._model.tokenize(word)]

    def tokens(self, text: str) -> list[str]:
        """The pieces of a text, without special tokens."""
        return [self.pieces[i] for i in self.encode(text)]

    def encode_lines(self, documents: Iterable[Sequence[str]]) -> Encoded:
        """Documents that come as sentences; empty sentences and documents are dropped."""
        return self._table.encode(documents, whole_lines=True)

    def encode_documents(self, documents: Iterable[str]) -> Encoded:
        """Documents that come as text of paragraphs, one a line; sentences are split here."""
        return self._table.encode((space_out(d).split("\n") for d in documents), whole_lines=False)


class _Column:
    """A growing array: appended to as a list, and joined to the array when it is wanted."""

    def __init__(self, dtype: type[np.int64] | type[np.int32] | type[np.bool_]) -> None:
        self._array: NDArray[Any] = np.zeros(0, dtype)
        self.tail: list[Any] = []

    def array(self) -> NDArray[Any]:
        """All values so far."""
        if self.tail:
            self._array = np.concatenate([self._array, np.array(self.tail, self._array.dtype)])
            self.tail.clear()
        return self._array

    def __len__(self) -> int:
        return len(self._array) + len(self.tail)


class _Table(dict[str, int]):
    """What stands between two spaces, to a number; and for each number its pieces and sentence marks."""

    def __init__(self, tokenizer: WordPieceTokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._words: dict[str, list[int]] = {}
        self._reset()

    def _reset(self) -> None:
        self.clear()
        self._words.clear()
        self._flat, self._lengths = _Column(np.int32), _Column(np.int64)
        self._ends, self._starts = _Column(np.bool_), _Column(np.bool_)

    def __missing__(self, chunk: str) -> int:
        known, pieces, count = self._words, self._flat.tail, 0
        for word in self._tokenizer.words(chunk):
            ids = known.get(word)
            if ids is None:
                ids = known[word] = [t.id for t in self._tokenizer._model.tokenize(word)]
            pieces.extend(ids)
            count += len(ids)
        index = self[chunk] = len(self)
        self._lengths.tail.append(count)
        self._ends.tail.append(ends_sentence(chunk))
        self._starts.tail.append(can_start(chunk))
        return index

    def encode(self, documents: Iterable[Sequence[str]], *, whole_lines: bool) -> Encoded:
        """The documents as ids; lines are sentences, or paragraphs to be split."""
        if len(self) > TABLE_WORDS or len(self._flat) > TABLE_PIECES:
            self._reset()
        look_up = self.__getitem__
        chunks: list[int] = []
        line_ends: list[int] = []
        document_ends: list[int] = []
        for lines in documents:
            for line in lines:
                chunks.extend(map(look_up, split_chunks(line)))
                line_ends.append(len(chunks))
            document_ends.append(len(line_ends))
        word = np.array(chunks, np.int64)
        lengths = self._lengths.array()
        starts = np.concatenate([[0], np.cumsum(lengths)])
        counts = lengths[word]
        tokens_before = np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(tokens_before[-1]) - np.repeat(tokens_before[:-1], counts)
        ids = self._flat.array()[np.repeat(starts[word], counts) + within]
        lines_at = np.array([0, *line_ends], np.int64)
        breaks = np.zeros(len(word) + 1, bool)
        breaks[lines_at[1:]] = True
        if not whole_lines and len(word):
            ends, begins = self._ends.array(), self._starts.array()
            breaks[1:-1] |= ends[word[:-1]] & begins[word[1:]]
        return _cut(ids, tokens_before, breaks, lines_at[np.array(document_ends, np.int64)])


def _cut(
    ids: NDArray[np.int32],
    tokens_before: NDArray[np.int64],
    breaks: NDArray[np.bool_],
    document_words: NDArray[np.int64],
) -> Encoded:
    """Sentences from the word boundaries in `breaks`, without those that hold no token."""
    ends = tokens_before[np.flatnonzero(breaks)]
    ends = np.unique(ends[ends > 0])
    sentences = np.concatenate([[0], ends])
    documents = np.searchsorted(ends, tokens_before[document_words], side="right")
    documents = np.unique(np.concatenate([[0], documents]))
    return Encoded(ids, sentences, documents)
