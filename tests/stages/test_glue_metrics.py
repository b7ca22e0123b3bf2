"""Metrics over a whole set, held to scikit-learn and SciPy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedml.errors import DataError
from stagedml.stages.glue import metrics as ours
from stagedml.stages.glue.tasks import find_task

classes = st.integers(2, 5)


@st.composite
def predictions(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of classes, labels and predictions; often with classes that never occur."""
    count, size = draw(classes), draw(st.integers(1, 40))
    ids = st.lists(st.integers(0, draw(st.integers(0, count - 1))), min_size=size, max_size=size)
    return count, np.asarray(draw(ids)), np.asarray(draw(ids))


@given(predictions())
@settings(max_examples=200, deadline=None)
def test_class_metrics_equal_scikit_learns(case: tuple[int, np.ndarray, np.ndarray]) -> None:
    """Accuracy, F1 and Matthews agree on random sets and on those of one class only."""
    from sklearn import metrics as theirs

    count, y, p = case
    c = ours.confusion_matrix(y, p, count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(c, theirs.confusion_matrix(y, p, labels=range(count)))
        assert ours.accuracy(c) == pytest.approx(theirs.accuracy_score(y, p))
        assert ours.f1_score(c) == pytest.approx(
            theirs.f1_score(y, p, labels=[1], average="macro", zero_division=0)
        )
        assert ours.f1_score(c, positive=None) == pytest.approx(theirs.f1_score(y, p, average="macro"))
        assert ours.matthews_corr(c) == pytest.approx(theirs.matthews_corrcoef(y, p), abs=1e-12)


numbers = st.floats(-100, 100, width=32) | st.integers(-3, 3).map(float)


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=50))
@settings(max_examples=200, deadline=None)
def test_correlations_equal_scipys(pairs: list[tuple[float, float]]) -> None:
    """Pearson and Spearman agree, with ties and for constants, where both are NaN."""
    from scipy import stats

    x, y = np.asarray(pairs, np.float64).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected_p, expected_s = stats.pearsonr(x, y).statistic, stats.spearmanr(x, y).statistic
    near_constant = any(0 < np.ptp(v) < 1e-9 * (1 + np.abs(v).max()) for v in (x, y))
    if not near_constant:  # there SciPy itself warns that its figure means nothing
        np.testing.assert_allclose(ours.pearson(x, y), expected_p, atol=1e-9, equal_nan=True)
    np.testing.assert_allclose(ours.spearman(x, y), expected_s, atol=1e-9, equal_nan=True)


def test_a_score_is_not_an_average_over_batches() -> None:
    """F1 of the whole differs from the mean F1 of its halves, and the whole is what is reported."""
    y, p = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.array([1, 1, 0, 0, 1, 0, 0, 0])
    whole = ours.score(find_task("MRPC"), y, p)
    halves = [ours.score(find_task("MRPC"), y[i : i + 4], p[i : i + 4])["f1_score"] for i in (0, 4)]
    assert whole["f1_score"] == pytest.approx(4 / 7)
    assert np.mean(halves) != pytest.approx(4 / 7)
    assert whole["glue_score"] == pytest.approx((4 / 7 + 5 / 8) / 2)


def test_each_task_reports_its_official_metrics() -> None:
    """The score of a task has the keys it names as official; a regression's accuracy is not a number."""
    labels, hits = np.array([0, 1, 2, 0]), np.array([0, 1, 2, 1])
    assert ours.score(find_task("MNLI-m"), labels, hits)["glue_score"] == 0.75
    cola = ours.score(find_task("CoLA"), np.array([0, 1, 1]), np.array([0, 1, 0]))
    assert cola["glue_score"] == cola["matthews_corr"] == pytest.approx(0.5)
    stsb = ours.score(find_task("STS-B"), np.array([0.0, 2.5, 5.0]), np.array([0.0, 2.6, 4.0]))
    assert stsb["spearman"] == pytest.approx(1.0)
    assert np.isnan(stsb["eval_accuracy"])
    assert {k for k, v in stsb.items() if not np.isnan(v)} | {"eval_loss"} == {
        *ours.metric_names(find_task("STS-B"))
    }
    assert {*cola, "eval_loss"} == {*ours.metric_names(find_task("CoLA"))}


@pytest.mark.parametrize(
    ("task", "labels", "found", "message"),
    [
        ("MRPC", [], [], "no examples to score"),
        ("STS-B", [], [], "no examples to score"),
        ("STS-B", [1.0], [1.0], "two examples"),
        ("MRPC", [0, 1], [0, 1, 1], "one length"),
        ("MRPC", [0, 2], [0, 1], r"0\.\.2 do not fit 2 classes"),
        ("MRPC", [-1, 0], [0, 1], r"-1\.\.1 do not fit"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    task: str, labels: list[float], found: list[float], message: str
) -> None:
    """An empty set, a length that differs and ids that are no classes are clear errors."""
    with pytest.raises(DataError, match=message):
        ours.score(find_task(task), np.asarray(labels), np.asarray(found))
