"""From examples to token ids, as TF-Models' `classifier_data_lib` makes them, with Hugging Face's tokenizers.

`N` examples, `S` sequence. Sequences are kept at their own length, one after another in flat vectors; padding
is the business of the input pipeline (`inputs.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stagedml.errors import DataError

from .readers import Example
from .tasks import Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
NO_LABEL = -1  # of an example in a test set
CHUNK = 4096  # examples tokenized at a time: bounds the memory that the encodings take


@dataclass(frozen=True)
class Encoded:
    """`N` examples: flat `input_ids` and `segment_ids` (int32), `offsets` [N + 1], `labels` [N].

    Labels are int32 class ids or float32 scores; `NO_LABEL` where there is none. The mask is 1 over the
    length of each example.
    """

    input_ids: NDArray[np.int32]
    segment_ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example [N], the special ones included."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> Encoded:
        """The examples at `rows`, in that order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        flat = np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Encoded(self.input_ids[flat], self.segment_ids[flat], offsets, self.labels[rows])

    def padded(self, rows: NDArray[np.int64], length: int) -> dict[str, NDArray[Any]]:
        """The examples at `rows` as arrays [B, S] padded to `length`, and their labels [B]."""
        ids = np.zeros((len(rows), length), np.int32)
        mask = np.zeros_like(ids)
        types = np.zeros_like(ids)
        for i, row in enumerate(rows):
            start, end = self.offsets[row], self.offsets[row + 1]
            ids[i, : end - start] = self.input_ids[start:end]
            types[i, : end - start] = self.segment_ids[start:end]
            mask[i, : end - start] = 1
        return {"input_ids": ids, "input_mask": mask, "segment_ids": types, "label_ids": self.labels[rows]}


def load_tokenizer(vocab: Path, *, lower_case: bool) -> Tokenizer:
    """A BERT tokenizer without special tokens, whose ids equal Google's FullTokenizer.

    Raises `DataError` when the vocabulary lacks a token that BERT needs.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = vocab.read_text(encoding="utf-8").split("\n")
    words = words[:-1] if words[-1] == "" else words
    table = {word.strip(): i for i, word in enumerate(words)}
    missing = [t for t in SPECIAL if t not in table]
    if missing:
        raise DataError(
            f"the vocabulary has no {', '.join(missing)}", where=str(vocab), hint="is it a BERT vocab.txt?"
        )
    # 400 characters a word is what TF-Models allows before it writes [UNK]
    tokenizer = Tokenizer(models.WordPiece(table, unk_token="[UNK]", max_input_chars_per_word=400))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=lower_case, lowercase=lower_case
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token. Raises `DataError` when the vocabulary lacks it."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise DataError(f"the vocabulary has no {token}", hint="is it a BERT vocab.txt?")
    return int(found)


def truncated(length_a: int, length_b: int, budget: int) -> tuple[int, int]:
    """Lengths of a pair cut to `budget`, one token at a time from the longer, from b when they are equal."""
    if length_a + length_b <= budget:
        return length_a, length_b
    keep_a = min(length_a, max(budget - length_b, (budget + 1) // 2))
    return keep_a, budget - keep_a


def encode_texts(
    texts_a: Sequence[str],
    texts_b: Sequence[str | None] | None,
    tokenizer: Tokenizer,
    *,
    max_seq_length: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Token ids, segment ids (flat, int32) and offsets [N + 1] of sentences or pairs.

    `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`; a second text without tokens counts as none, as in TF-Models.
    """
    cls, sep = (token_id(tokenizer, token) for token in ("[CLS]", "[SEP]"))
    ids: list[int] = []
    types: list[int] = []
    offsets = [0]
    for start in range(0, len(texts_a), CHUNK):
        chunk_a = list(texts_a[start : start + CHUNK])
        chunk_b = [t or "" for t in texts_b[start : start + CHUNK]] if texts_b is not None else None
        a_side = tokenizer.encode_batch_fast(chunk_a, add_special_tokens=False)
        b_side = (
            tokenizer.encode_batch_fast(chunk_b, add_special_tokens=False) if chunk_b is not None else None
        )
        for i, encoding in enumerate(a_side):
            a, b = encoding.ids, b_side[i].ids if b_side is not None else []
            if b:
                keep_a, keep_b = truncated(len(a), len(b), max_seq_length - 3)
                ids += [cls, *a[:keep_a], sep, *b[:keep_b], sep]
                types += [0] * (keep_a + 2) + [1] * (keep_b + 1)
            else:
                a = a[: max_seq_length - 2]
                ids += [cls, *a, sep]
                types += [0] * (len(a) + 2)
            offsets.append(len(ids))
    return np.asarray(ids, np.int32), np.asarray(types, np.int32), np.asarray(offsets, np.int64)


def encode(examples: Sequence[Example], task: Task, *, tokenizer: Tokenizer, max_seq_length: int) -> Encoded:
    """Encodes examples of a task. Raises `DataError` when `max_seq_length` leaves no room for a token."""
    if max_seq_length < (5 if task.pair else 3):
        raise DataError(f"max_seq_length {max_seq_length} leaves no room beside the special tokens")
    texts_b = [e.text_b for e in examples] if task.pair else None
    ids, types, offsets = encode_texts(
        [e.text_a for e in examples], texts_b, tokenizer, max_seq_length=max_seq_length
    )
    return Encoded(ids, types, offsets, label_ids(examples, task))


def label_ids(examples: Sequence[Example], task: Task) -> NDArray[Any]:
    """Class ids (int32) or scores (float32) [N]; `NO_LABEL` where an example has none."""
    if task.regression:
        return np.asarray([NO_LABEL if e.label is None else float(e.label) for e in examples], np.float32)
    table = {label: i for i, label in enumerate(task.labels)}
    return np.asarray([NO_LABEL if e.label is None else table[e.label] for e in examples], np.int32)
