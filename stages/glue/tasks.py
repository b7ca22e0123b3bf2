"""What each GLUE task is: its files, columns, labels, official metrics and the size of its sets.

Sources: Wang et al. 2018 (https://arxiv.org/abs/1804.07461), the official files, and for the order of the
labels TF-Models' `classifier_data_lib`, to which the features are held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stagedml.errors import ConfigError

SPLITS = ("train", "dev", "test")
NLI_LABELS = ("contradiction", "entailment", "neutral")


@dataclass(frozen=True)
class Task:
    """One task, in the layout in which GLUE publishes it.

    `labels` in the order of their ids; empty for regression. `text` and `label` name columns, with the
    alternatives that occur in the wild. `files` gives the candidates for each split. `rows` are the official
    sizes. `official` are the metrics that GLUE averages into the score of the task.
    """

    name: str
    folder: str
    labels: tuple[str, ...]
    text: tuple[tuple[str, ...], ...]
    label: tuple[str, ...]
    official: tuple[str, ...]
    rows: Mapping[str, int]
    submission: str
    files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {s: (f"{s}.tsv",) for s in SPLITS})
    headless: tuple[str, ...] = ()  # columns of train and dev where they have no header
    label_is_last: bool = False  # rows may be longer than the header, and the label is their last field
    skip_short_rows: bool = False  # rows cut by a line break in a text are dropped, as officially
    no_gold: str = ""  # this label means that annotators did not agree: the row is dropped
    share: str = ""  # the task whose archive this one reads
    bounds: tuple[float, float] | None = None  # of a regression's labels

    @property
    def regression(self) -> bool:
        return not self.labels

    @property
    def num_outputs(self) -> int:
        """Outputs of the head: one a class, or one for a regression."""
        return len(self.labels) or 1

    @property
    def pair(self) -> bool:
        return len(self.text) == 2

    @property
    def archive(self) -> str:
        """The field of the fetched collection that holds the data of this task."""
        return field_name(self.share or self.name)


def field_name(name: str) -> str:
    """A task's name as a config field: `MNLI-mm` is `mnli_mm`."""
    return name.lower().replace("-", "_")


_S1S2 = (("sentence1", "Premise"), ("sentence2", "Hypothesis"))
_MNLI_TRAIN = {"train": ("train.tsv",)}


def _mnli(suffix: str, part: str, dev_rows: int) -> Task:
    return Task(
        f"MNLI-{suffix}", "MNLI", NLI_LABELS, _S1S2, ("gold_label",), ("eval_accuracy",),
        {"train": 392702, "dev": dev_rows}, f"MNLI-{suffix}.tsv",
        files={**_MNLI_TRAIN, "dev": (f"dev_{part}.tsv",), "test": (f"test_{part}.tsv",)},
        label_is_last=True, share="MNLI",
    )  # fmt: skip


TASKS: Mapping[str, Task] = {
    task.name.upper(): task
    for task in (
        Task(
            "CoLA", "CoLA", ("0", "1"), (("sentence",),), ("label",), ("matthews_corr",),
            {"train": 8551, "dev": 1043}, "CoLA.tsv", headless=("source", "label", "star", "sentence"),
        ),
        Task(
            "SST-2", "SST-2", ("0", "1"), (("sentence",),), ("label",), ("eval_accuracy",),
            {"train": 67349, "dev": 872}, "SST-2.tsv",
        ),
        Task(
            "MRPC", "MRPC", ("0", "1"), (("#1 String",), ("#2 String",)), ("Quality",),
            ("f1_score", "eval_accuracy"), {"train": 3668, "dev": 408}, "MRPC.tsv",
        ),
        Task(
            "STS-B", "STS-B", (), (("sentence1",), ("sentence2",)), ("score",), ("pearson", "spearman"),
            {"train": 5749, "dev": 1500}, "STS-B.tsv", bounds=(0.0, 5.0),
        ),
        Task(
            "QQP", "QQP", ("0", "1"), (("question1",), ("question2",)), ("is_duplicate",),
            ("f1_score", "eval_accuracy"), {"train": 363846, "dev": 40430}, "QQP.tsv", skip_short_rows=True,
        ),
        _mnli("m", "matched", 9815),
        _mnli("mm", "mismatched", 9832),
        Task(
            "SNLI", "SNLI", NLI_LABELS, _S1S2, ("gold_label",), ("eval_accuracy",),
            {"train": 549367, "dev": 9842, "test": 9824}, "SNLI.tsv",
            files={s: (f"{s}.tsv", f"snli_1.0_{s}.txt") for s in SPLITS}, label_is_last=True, no_gold="-",
        ),
        Task(
            "QNLI", "QNLI", ("entailment", "not_entailment"), (("question",), ("sentence",)), ("label",),
            ("eval_accuracy",), {"train": 104743, "dev": 5463}, "QNLI.tsv",
        ),
        Task(
            "RTE", "RTE", ("entailment", "not_entailment"), _S1S2, ("label",), ("eval_accuracy",),
            {"train": 2490, "dev": 277}, "RTE.tsv",
        ),
        Task(
            "WNLI", "WNLI", ("0", "1"), _S1S2, ("label",), ("eval_accuracy",),
            {"train": 635, "dev": 71}, "WNLI.tsv",
        ),
        Task(
            "AX", "AX", NLI_LABELS, _S1S2, ("gold_label", "Label"), ("matthews_corr",),
            {"test": 1104}, "AX.tsv",
            files={"test": ("AX.tsv", "diagnostic.tsv", "diagnostic-full.tsv")},
        ),
    )
}  # fmt: skip


def glue_tasks() -> list[str]:
    """The names of the tasks that can be trained, in the order of the tables. (`AX` has no training set.)"""
    return [task.name for task in TASKS.values() if "train" in task.rows]


def find_task(name: str) -> Task:
    """The task of that name, in whatever case. Raises `ConfigError`, which lists the known ones."""
    task = TASKS.get(name.upper())
    if task is None:
        known = ", ".join(t.name for t in TASKS.values())
        raise ConfigError(f"no GLUE task {name!r}", hint=f"the tasks are: {known}")
    return task
