"""What fine-tuning adds to the loop: weighted losses, the choice of weights, analysis of errors."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stagedml.errors import ConfigError, DataError
from stagedml.stages.glue.analysis import (
    Predictions,
    confusion_table,
    mean_loss,
    read_tsv,
    worst_mistakes,
    write_analysis,
)
from stagedml.stages.glue.readers import Example
from stagedml.stages.glue.recipe import Recipe, check_flags, default_epochs
from stagedml.stages.glue.submission import submission_rows, write_submission
from stagedml.stages.glue.tasks import TASKS, find_task

NAMES = ("no", "yes")
OUTPUTS = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, -3.0], [0.1, 0.0]])


def examples(count: int) -> list[Example]:
    """Numbered texts."""
    return [Example(i, str(100 + i), i + 2, f"text\t{i}", None, None) for i in range(count)]


def test_losses_equal_their_formulas() -> None:
    """Weighted and focal cross entropy agree with numpy, and counts are those of the data."""
    from keras import ops

    from stagedml.stages.glue.objectives import weighted_objective

    labels, rows = np.array([0, 1, 1, 0]), np.array([1, 1, 1, 0], np.float32)
    batch = {"input_ids": np.zeros((4, 2), np.int32), "label_ids": labels, "example_weights": rows}
    p = np.exp(OUTPUTS) / np.exp(OUTPUTS).sum(axis=1, keepdims=True)
    right = p[np.arange(4), labels]
    for gamma in (0.0, 2.0):
        objective = weighted_objective("label", class_weights=[1.0, 3.0], focal_gamma=gamma)
        sums = objective.sums({"label": ops.convert_to_tensor(OUTPUTS.astype(np.float32))}, batch)
        counts = objective.counts(batch)
        weights = rows * np.array([1, 3, 3, 1])
        wanted = (weights * (1 - right) ** gamma * -np.log(right)).sum()
        assert float(sums["loss"]) == pytest.approx(wanted, rel=1e-4)
        assert float(counts["loss"]) == 7.0
        assert (float(sums["accuracy"]), float(counts["accuracy"])) == (2.0, 3.0)
    with pytest.raises(ConfigError, match="negative"):
        weighted_objective("label", focal_gamma=-1)


def test_balanced_weights_average_to_one() -> None:
    """Rare classes weigh more; absent ones nothing; the mean over the examples is 1."""
    from stagedml.stages.glue.objectives import balanced_weights

    labels = np.array([0] * 9 + [2] * 3)
    weights = balanced_weights(labels, 3)
    assert weights == pytest.approx([2 / 3, 0.0, 2.0])
    assert np.mean([weights[i] for i in labels]) == pytest.approx(1.0)


class _Weight:
    """What `Watch` needs of a variable."""

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value = name, np.array([value])

    def assign(self, value: Any) -> None:
        self.value = np.array(value)


class _Model:
    def __init__(self) -> None:
        self.trainable_variables = [_Weight("w", 0.0)]


class _Scores:
    """A scorer whose accuracy follows a list: so many of ten answers are right."""

    def __init__(self, right: list[int]) -> None:
        self.right = iter(right)

    def predictions(self, data: Any, task: Any) -> Predictions:
        hits = next(self.right)
        labels = np.zeros(10, np.int32)
        outputs = np.array([[1.0, 0.0]] * hits + [[0.0, 1.0]] * (10 - hits))
        return Predictions(outputs, labels, NAMES)


def watch(right: list[int], **kwargs: Any) -> Any:
    """A watch over a model whose weight is the step."""
    from stagedml.stages.glue.watch import Watch

    return Watch(_Model(), _Scores(right), None, find_task("SST-2"), **kwargs)  # type: ignore[arg-type]


def run(w: Any, steps: range) -> None:
    """Calls the watch as the loop does."""
    for step in steps:
        w.model.trainable_variables[0].assign([float(step)])
        w(step)


def test_the_best_weights_are_put_back(tmp_path: Path) -> None:
    """The weights of the best evaluation return, and so they do after a kill, from scratch."""
    w = watch([5, 9, 7], best_by="eval_accuracy", scratch=tmp_path)
    run(w, range(1, 4))
    assert w.restore() == 2
    assert w.model.trainable_variables[0].value == [2.0]
    again = watch([6], best_by="eval_accuracy", scratch=tmp_path)
    run(again, range(4, 5))
    assert again.restore() == 2
    assert again.model.trainable_variables[0].value == [2.0]
    assert [step for step, _ in again.curve] == [1, 2, 3, 4]
    assert [p.name for p in (tmp_path / "watch").glob("*.npz")] == ["best-2.npz"]


def test_training_stops_when_nothing_improves(tmp_path: Path) -> None:
    """After `patience` evaluations without a better one; without `best_by` the last weights stay."""
    from stagedml.stages.glue.watch import EarlyStop

    w = watch([5, 8, 7, 8, 9], best_by="eval_accuracy", patience=2)
    with pytest.raises(EarlyStop, match="2 evaluations without a better eval_accuracy"):
        run(w, range(1, 6))
    assert w.restore() == 2
    last = watch([9, 5])
    run(last, range(1, 3))
    assert last.restore() == 2
    with pytest.raises(ConfigError, match=r"no metric 'f2' (.|\n)*eval_accuracy"):
        watch([1], best_by="f2")  # before the first step


def test_a_loss_is_better_when_it_is_smaller() -> None:
    """`best_by="eval_loss"` keeps the smallest."""
    w = watch([5, 9, 7], best_by="eval_loss")
    run(w, range(1, 4))
    assert w.restore() == 2


def test_settings_that_cannot_be_are_named() -> None:
    """Every wrong field is in the message; unknown flags list the known."""
    with pytest.raises(ConfigError, match=r"batch_size=0, epochs=-1"):
        Recipe(batch_size=0, epochs=-1)
    with pytest.raises(ConfigError, match="accumulate=3"):
        Recipe(batch_size=32, accumulate=3)
    with pytest.raises(ConfigError, match="patience=1"):
        Recipe(patience=1)
    with pytest.raises(ConfigError, match=r"unknown flags \['\+fast'\]\n.*\+bucketing, \+f1v2"):
        check_flags(["+bucketing", "+fast"])
    assert Recipe(batch_size=32, epochs=3).steps(100) == (4, 12)
    assert default_epochs(2490) > default_epochs(67349) == 3


def test_the_worst_errors_are_those_the_model_was_sure_of() -> None:
    """Sorted by the probability of the wrong answer, with text, line, label and answer."""
    p = Predictions(OUTPUTS, np.array([1, 1, 1, 1]), NAMES)
    found = worst_mistakes(p, examples(4), count=2)
    assert [(m.line, m.label, m.prediction) for m in found] == [(4, "yes", "no"), (2, "yes", "no")]
    assert found[0].probability == pytest.approx(1 / (1 + np.exp(-6)))
    scores = Predictions(np.array([[1.0], [4.0]]), np.array([1.5, 1.0]), ())
    assert [m.index for m in worst_mistakes(scores, examples(2))] == [1, 0]


def test_the_analysis_is_on_disk_as_tables(tmp_path: Path) -> None:
    """Every prediction, the worst errors and the confusion matrix; a tab in a text does not add a column."""
    p = Predictions(OUTPUTS, np.array([0, 1, 1, 1]), NAMES)
    write_analysis(tmp_path, p, examples(4), split="dev")
    rows = read_tsv(tmp_path / "dev.tsv")
    assert [(r["index"], r["prediction"], r["label"]) for r in rows] == [
        ("100", "no", "no"), ("101", "yes", "yes"), ("102", "no", "yes"), ("103", "no", "yes"),
    ]  # fmt: skip
    assert float(rows[0]["p(no)"]) == pytest.approx(0.8808)
    worst = read_tsv(tmp_path / "dev_worst.tsv")
    assert [w["text_a"] for w in worst] == ["text 2", "text 3"]
    table = json.loads((tmp_path / "dev_confusion.json").read_text())
    assert table["confusion"] == [[1, 0], [2, 1]]
    assert table["f1"] == pytest.approx([0.5, 0.5])
    assert confusion_table(p)["recall"] == pytest.approx([1.0, 1 / 3])
    assert mean_loss(Predictions(OUTPUTS[:1], np.array([0]), NAMES)) == pytest.approx(0.1269, abs=1e-4)
    with pytest.raises(DataError, match="4 predictions for 3 examples"):
        write_analysis(tmp_path, p, examples(3), split="dev")
    with pytest.raises(DataError, match="no labels"):
        mean_loss(Predictions(OUTPUTS, None, NAMES))


def test_a_submission_has_the_servers_names_and_columns(tmp_path: Path) -> None:
    """Class names or cut scores by index; the zip is the same bytes each time; missing tasks are told."""
    rte = submission_rows(find_task("RTE"), Predictions(OUTPUTS, None, TASKS["RTE"].labels), examples(4))
    assert rte == [
        ("100", "entailment"),
        ("101", "not_entailment"),
        ("102", "entailment"),
        ("103", "entailment"),
    ]
    stsb = submission_rows(find_task("STS-B"), Predictions(np.array([[-0.2], [5.7]]), None, ()), examples(2))
    assert stsb == [("100", "0.000"), ("101", "5.000")]
    missing = write_submission(tmp_path / "a.zip", {"STS-B": stsb, "RTE": rte})
    write_submission(tmp_path / "b.zip", {"RTE": rte, "STS-B": stsb})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["STS-B.tsv", "RTE.tsv"]
        assert archive.read("STS-B.tsv").decode() == "index\tprediction\n100\t0.000\n101\t5.000\n"
    assert missing == ["CoLA", "SST-2", "MRPC", "QQP", "MNLI-m", "MNLI-mm", "QNLI", "WNLI", "AX"]
