"""A look at predictions: who was taken for whom, F1 of each class, and the errors to read first.

Dimensions: N examples, C classes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagedml.errors import DataError

from .metrics import confusion_matrix, f1_per_class
from .readers import Example

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What a model says of N examples. `outputs` [N, C] are logits, or [N, 1] scores of a regression.

    `labels` (ids or scores) is None where there are none; `names` are the classes, empty for a regression.
    """

    outputs: Floats
    labels: NDArray[Any] | None
    names: tuple[str, ...]

    @property
    def regression(self) -> bool:
        return not self.names

    @property
    def probabilities(self) -> Floats:
        """Softmax of the logits [N, C]."""
        shifted = self.outputs - self.outputs.max(axis=1, keepdims=True)
        e = np.exp(shifted)
        return e / e.sum(axis=1, keepdims=True)

    @property
    def answers(self) -> NDArray[Any]:
        """Class ids, or scores of a regression, [N]."""
        return self.outputs[:, 0] if self.regression else self.outputs.argmax(axis=1)

    def shown(self, value: float) -> str:
        """A label or answer as text."""
        return f"{value:.3f}" if self.regression else self.names[int(value)]


def mean_loss(p: Predictions) -> float:
    """Mean cross entropy, or mean squared error of a regression. Raises `DataError` without labels."""
    if p.labels is None:
        raise DataError("no labels to compute a loss with")
    if p.regression:
        return float(np.mean((p.outputs[:, 0] - p.labels) ** 2))
    right = p.probabilities[np.arange(len(p.labels)), p.labels.astype(np.int64)]
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def confusion_table(p: Predictions) -> dict[str, Any]:
    """Labels, the confusion matrix (row = label, column = answer), precision, recall and F1 of each class."""
    if p.labels is None or p.regression:
        raise DataError("a confusion matrix needs classes and labels")
    c = confusion_matrix(p.labels, p.answers, len(p.names))
    right = np.diag(c).astype(np.float64)
    zero = np.zeros_like(right)
    found, real = c.sum(axis=0), c.sum(axis=1)
    return {
        "labels": list(p.names),
        "confusion": c.tolist(),
        "precision": np.divide(right, found, out=zero.copy(), where=found > 0).tolist(),
        "recall": np.divide(right, real, out=zero.copy(), where=real > 0).tolist(),
        "f1": f1_per_class(c).tolist(),
    }


@dataclass(frozen=True)
class Mistake:
    """One error: its place in the set, its line in the file, texts, label, answer and how sure the model was.

    `probability` is that of the wrong answer; of a regression it is the size of the error.
    """

    index: int
    line: int
    text_a: str
    text_b: str
    label: str
    prediction: str
    probability: float


def worst_mistakes(p: Predictions, examples: Sequence[Example], *, count: int = 50) -> list[Mistake]:
    """The errors that the model was surest of, or the largest errors of a regression."""
    if p.labels is None:
        return []
    answers = p.answers
    if p.regression:
        weight = np.abs(answers - p.labels)
        wrong = np.arange(len(answers))
    else:
        weight = p.probabilities.max(axis=1)
        wrong = np.flatnonzero(answers != p.labels)
    order = wrong[np.argsort(-weight[wrong], kind="stable")][:count]
    out = []
    for i in order:
        e = examples[int(i)]
        label, answer = p.shown(p.labels[i]), p.shown(answers[i])
        out.append(Mistake(e.index, e.line, e.text_a, e.text_b or "", label, answer, float(weight[i])))
    return out


def write_tsv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A tab-separated file as GLUE writes them: no quoting; tabs and line ends in texts become spaces."""
    with path.open("w", encoding="utf-8", newline="") as f:
        for row in (header, *rows):
            f.write("\t".join(" ".join(str(v).split()) if isinstance(v, str) else str(v) for v in row) + "\n")


def write_analysis(
    folder: Path, p: Predictions, examples: Sequence[Example], *, split: str, worst: int = 50
) -> None:
    """Writes `<split>.tsv`; with labels also `<split>_worst.tsv` and `<split>_confusion.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(examples) != len(p.outputs):
        raise DataError(f"{len(p.outputs)} predictions for {len(examples)} examples", where=split)
    extra = [] if p.regression else [f"p({name})" for name in p.names]
    table = np.zeros((len(examples), 0)) if p.regression else p.probabilities
    answers = p.answers
    rows = (
        [e.uid, p.shown(answers[i]), "" if p.labels is None else p.shown(p.labels[i])]
        + [f"{x:.4f}" for x in table[i]]
        for i, e in enumerate(examples)
    )
    write_tsv(folder / f"{split}.tsv", ["index", "prediction", "label", *extra], rows)
    if p.labels is None:
        return
    mistakes = worst_mistakes(p, examples, count=worst)
    header = [*Mistake.__dataclass_fields__]
    write_tsv(folder / f"{split}_worst.tsv", header, [list(asdict(m).values()) for m in mistakes])
    if not p.regression:
        text = json.dumps(confusion_table(p), indent=1, ensure_ascii=False)
        (folder / f"{split}_confusion.json").write_text(text + "\n", encoding="utf-8")


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Reads a file of `write_tsv`."""
    with path.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
