"""The official metrics, over a whole set at once (an average of batch-wise F1 or correlation is not one).

`C` classes, `N` examples. They equal scikit-learn's and SciPy's, degenerate inputs included: a metric that
divides by zero is 0 for classes (as in scikit-learn) and NaN for correlations of a constant (as in SciPy).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stagedml.errors import DataError

from .tasks import Task

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def _checked(labels: ArrayLike, predictions: ArrayLike) -> tuple[NDArray, NDArray]:
    a, b = np.asarray(labels), np.asarray(predictions)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"labels {a.shape} and predictions {b.shape} must be vectors of one length")
    if a.size == 0:
        raise DataError(
            "no examples to score", hint="the evaluation set is empty, or all of it was filtered out"
        )
    return a, b


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> Ints:
    """Counts [C, C]: row = label, column = prediction. Raises `DataError` for ids outside 0..C-1."""
    y, p = _checked(labels, predictions)
    y, p = y.astype(np.int64), p.astype(np.int64)
    low, high = min(y.min(), p.min()), max(y.max(), p.max())
    if low < 0 or high >= num_classes:
        raise DataError(f"class ids {low}..{high} do not fit {num_classes} classes")
    return np.bincount(y * num_classes + p, minlength=num_classes**2).reshape(num_classes, num_classes)


def accuracy(confusion: Ints) -> float:
    """The share of right predictions, of a confusion matrix [C, C]."""
    return float(np.trace(confusion) / confusion.sum())


def f1_per_class(confusion: Ints) -> Floats:
    """F1 of each class [C]; 0 for a class that occurs neither as label nor as prediction."""
    right = np.diag(confusion).astype(np.float64)
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    return np.divide(2 * right, total, out=np.zeros_like(right), where=total > 0)


def f1_score(confusion: Ints, *, positive: int | None = 1) -> float:
    """F1 of the class `positive`; None takes the mean over the classes that occur (macro)."""
    per_class = f1_per_class(confusion)
    if positive is not None:
        return float(per_class[positive])
    occur = (confusion.sum(axis=0) + confusion.sum(axis=1)) > 0
    return float(per_class[occur].mean())


def matthews_corr(confusion: Ints) -> float:
    """The correlation of Matthews for C classes (Gorodkin 2004); 0 when a side is constant."""
    c = confusion.astype(np.float64)
    t, p, n = c.sum(axis=1), c.sum(axis=0), c.sum()
    cov_tp = np.trace(c) * n - t @ p
    cov_tt, cov_pp = n * n - t @ t, n * n - p @ p
    denominator = np.sqrt(cov_tt * cov_pp)
    return float(cov_tp / denominator) if denominator > 0 else 0.0


def pearson(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Linear correlation of two vectors; NaN when one is constant. Raises `DataError` below two examples."""
    a, b = _checked(labels, predictions)
    if a.size < 2:
        raise DataError("a correlation needs two examples or more")
    x, y = a.astype(np.float64), b.astype(np.float64)
    if (x == x[0]).all() or (y == y[0]).all():
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return float(np.clip(x @ y, -1.0, 1.0))


def average_ranks(values: ArrayLike) -> Floats:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2.0)[inverse.ravel()]


def spearman(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Correlation of the ranks; NaN when one vector is constant. Raises `DataError` as `pearson` does."""
    a, b = _checked(labels, predictions)
    return pearson(average_ranks(a), average_ranks(b))


def metric_names(task: Task) -> list[str]:
    """The metrics of a task, as `score` and the loss have them."""
    classes = ["eval_accuracy", "f1_score", "f1_macro", "matthews_corr"]
    return [*(["pearson", "spearman"] if task.regression else classes), "glue_score", "eval_loss"]


def score(task: Task, labels: ArrayLike, predictions: ArrayLike) -> dict[str, float]:
    """All metrics of a task: the official ones, and those that the reports show for every task.

    `predictions` are class ids, or scores for a regression. `f1_score` is that of class 1 where the labels
    are "0" and "1", else the macro average. `glue_score` is the mean of the official metrics. Accuracy and F1
    of a regression are NaN: they do not exist, and the reports' tables ask for them.
    """
    if task.regression:
        out = {
            "pearson": pearson(labels, predictions),
            "spearman": spearman(labels, predictions),
            "eval_accuracy": float("nan"),
            "f1_score": float("nan"),
        }
    else:
        c = confusion_matrix(labels, predictions, len(task.labels))
        out = {
            "eval_accuracy": accuracy(c),
            "f1_score": f1_score(c, positive=1 if task.labels == ("0", "1") else None),
            "f1_macro": f1_score(c, positive=None),
            "matthews_corr": matthews_corr(c),
        }
    out["glue_score"] = float(np.mean([out[name] for name in task.official]))
    return out
