"""Predictions of a fine-tuned model on one's own sentences.

    predict_texts(rref, ["A gripping film.", "Two hours I want back."])
    predict_texts(rref, ["It rains."], ["The sun shines."])       # a task on pairs

`stagedml predict` does the same from a shell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stagedml.errors import DataError

if TYPE_CHECKING:
    from stagedml import RRef

TASK_FILE = "task.json"


@dataclass(frozen=True)
class TaskInfo:
    """What a fine-tuned model needs to be used; `labels` is empty for a regression.

    `pair` says whether it was trained on pairs of texts; None where that was not recorded.
    """

    task: str
    labels: tuple[str, ...]
    max_seq_length: int
    lower_case: bool
    pair: bool | None = None


@dataclass(frozen=True)
class Answer:
    """A model's answer to a text: a label with the probabilities of all, or a score (a regression)."""

    label: str
    probability: float
    probabilities: dict[str, float]


def write_task_info(path: Path, info: TaskInfo) -> None:
    """Writes `task.json`."""
    path.write_text(json.dumps(asdict(info), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_task_info(path: Path) -> TaskInfo:
    """Reads `task.json`. Raises `DataError`."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return TaskInfo(**{**values, "labels": tuple(values["labels"])})
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise DataError(f"no fine-tuned model: {e}", where=str(path)) from e


def predict_texts(rref: RRef, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Answer]:
    """The answers of a realization of `bert_finetune_glue` to sentences, or to pairs of sentences.

    Raises `DataError` when the realization is no fine-tuned model, when its task wants pairs and gets none
    (or the reverse), and when the two lists differ in length.
    """
    from stagedml import mklens

    lens = mklens(rref)
    if lens.task.optval is None or lens.model.optval is None:
        raise DataError("not a fine-tuned model", where=str(rref), hint="realize bert_finetune_glue first")
    return answer_texts(Path(lens.model.syspath), read_task_info(Path(lens.task.syspath)), texts, pairs)


def answer_texts(
    model_folder: Path, info: TaskInfo, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[Answer]:
    """The same for a model folder and what is known of its task."""
    import numpy as np

    from stagedml.stages.bert.checkpoint import load_tasks

    from .analysis import Predictions
    from .features import NO_LABEL, Encoded, encode_texts, load_tokenizer
    from .scorer import Scorer

    if pairs is not None and len(pairs) != len(texts):
        raise DataError(f"{len(texts)} first texts and {len(pairs)} second ones", where=info.task)
    if not texts:
        return []
    if info.pair is not None and info.pair != (pairs is not None):
        raise DataError(
            f"{info.task} is about {'pairs of texts' if info.pair else 'single texts'}",
            where="predict",
            hint="write both texts, a tab between them" if info.pair else "write one text, without a tab",
        )
    tokenizer = load_tokenizer(model_folder / "vocab.txt", lower_case=info.lower_case)
    ids, types, offsets = encode_texts(texts, pairs, tokenizer, max_seq_length=info.max_seq_length)
    data = Encoded(ids, types, offsets, np.full(len(texts), NO_LABEL, np.int32))
    outputs = Scorer(load_tasks(model_folder), info.max_seq_length).outputs(data)
    p = Predictions(outputs, None, info.labels)
    if p.regression:
        return [Answer(p.shown(x), 1.0, {}) for x in p.answers]
    return [
        Answer(
            info.labels[int(best)],
            float(row[best]),
            {name: float(x) for name, x in zip(info.labels, row, strict=True)},
        )
        for best, row in zip(p.answers, p.probabilities, strict=True)
    ]
