"""The GLUE table: one row a model, all tasks, averages with and without WNLI, perplexity.

    print(glue_table({"ours": {"MRPC": rrefs, "RTE": rrefs, ...}}).markdown())

A cell is the best of the runs given for it, by the task's score (the mean of its official metrics), and the
last column says of how many. Averages are over the scores of the tasks, MNLI counting once, as in the tables
of BERT (arXiv:1810.04805) and of Hugging Face's `run_glue`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stagedml import RRef
from stagedml.errors import ConfigError
from stagedml.report.markdown import markdown_table
from stagedml.report.metrics import protocol_rref_metric

from .tasks import find_task

Scores = Mapping[str, float]
# column, what it shows, the tasks in it with their metrics
COLUMNS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("cola", "Matthews corr.", (("CoLA", "matthews_corr"),)),
    ("mnli", "Matched acc./Mismatched acc.", (("MNLI-m", "eval_accuracy"), ("MNLI-mm", "eval_accuracy"))),
    ("mrpc", "F1/Accuracy", (("MRPC", "f1_score"), ("MRPC", "eval_accuracy"))),
    ("qnli", "Accuracy", (("QNLI", "eval_accuracy"),)),
    ("qqp", "Accuracy/F1", (("QQP", "eval_accuracy"), ("QQP", "f1_score"))),
    ("rte", "Accuracy", (("RTE", "eval_accuracy"),)),
    ("sst2", "Accuracy", (("SST-2", "eval_accuracy"),)),
    ("stsb", "Pearson/Spearman corr.", (("STS-B", "pearson"), ("STS-B", "spearman"))),
    ("wnli", "Accuracy", (("WNLI", "eval_accuracy"),)),
)


@dataclass(frozen=True)
class Row:
    """A model's line. `cells` holds the values of each column, in percent; `runs` the size of each sample."""

    name: str
    cells: Mapping[str, tuple[float, ...]]
    runs: Mapping[str, int]
    eval_loss: float | None = None

    def score(self, column: str) -> float | None:
        """The score of a column: the mean of its values; None where a value is missing."""
        values = self.cells.get(column)
        return None if not values or any(math.isnan(v) for v in values) else sum(values) / len(values)

    def average(self, *, wnli: bool) -> float | None:
        """The mean score over the columns; None unless all are there."""
        columns = [c for c, _, _ in COLUMNS if wnli or c != "wnli"]
        scores = [self.score(c) for c in columns]
        known = [s for s in scores if s is not None]
        return sum(known) / len(known) if len(known) == len(scores) else None

    @property
    def perplexity(self) -> float | None:
        """exp of the masked-LM loss."""
        return None if self.eval_loss is None else math.exp(self.eval_loss)


@dataclass(frozen=True)
class GlueTable:
    """The rows; `markdown()` prints them, with rows of others (published figures) where given."""

    rows: list[Row]
    published: list[Row] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown."""
        names = [column for column, _, _ in COLUMNS]
        shown = [what for _, what, _ in COLUMNS]
        header = ["model", "average_bert", "average_glue", *names, "perplexity", "eval loss", "runs"]
        second: list[object] = ["shown", "w/o WNLI", "all tasks", *shown, "", "masked LM", ""]
        body = [second]
        for row in [*self.published, *self.rows]:
            cells = ["/".join(_number(v) for v in row.cells.get(c, ())) for c, _, _ in COLUMNS]
            averages = [_number(row.average(wnli=w)) for w in (False, True)]
            runs = sorted(set(row.runs.values()))
            said = "" if not runs else f"best of {runs[0]}" + (f" to {runs[-1]}" if len(runs) > 1 else "")
            loss = [_number(row.perplexity), "" if row.eval_loss is None else f"{row.eval_loss:.3f}"]
            body.append([row.name, *averages, *cells, *loss, said])
        return markdown_table(header, body)


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def best_run(task_name: str, rrefs: Sequence[RRef]) -> RRef:
    """The run with the best score of its task. Raises `ConfigError` for no runs."""
    if not rrefs:
        raise ConfigError(f"no runs of {task_name}", where="glue_table")

    def key(rref: RRef) -> float:
        score = protocol_rref_metric(rref, "evaluate", "glue_score")
        return -math.inf if math.isnan(score) else score

    return max(rrefs, key=key)


def glue_row(
    name: str,
    results: Mapping[str, Sequence[RRef]],
    *,
    best_of: int | None = None,
    eval_loss: float | None = None,
) -> Row:
    """One model's row from its realizations, task by task. `best_of` limits the runs that are looked at."""
    best: dict[str, RRef] = {}
    runs: dict[str, int] = {}
    for task_name, rrefs in results.items():
        task = find_task(task_name).name
        sample = list(rrefs)[:best_of]
        best[task], runs[task] = best_run(task, sample), len(sample)
    cells: dict[str, tuple[float, ...]] = {}
    for column, _, parts in COLUMNS:
        present = [(task, metric) for task, metric in parts if task in best]
        if present:
            cells[column] = tuple(
                100 * protocol_rref_metric(best[t], "evaluate", metric) for t, metric in present
            )
    return Row(name, cells, runs, eval_loss)


def glue_table(
    models: Mapping[str, Mapping[str, Sequence[RRef]]],
    *,
    best_of: int | None = None,
    pretrained: Mapping[str, RRef | float] | None = None,
    published: Sequence[Row] = (),
) -> GlueTable:
    """The table of several models: `{name: {task name: realizations of bert_finetune_glue}}`.

    `pretrained` gives, by model, the realization of its pre-training (its last `mlm_loss`) or the loss
    itself, from which the perplexity follows. `published` are rows of others, such as `REFERENCE`.
    Raises `ConfigError` for unknown tasks and tasks without runs.
    """
    rows = []
    for name, results in models.items():
        given = (pretrained or {}).get(name)
        loss = protocol_rref_metric(given, "evaluate", "mlm_loss") if isinstance(given, RRef) else given
        rows.append(glue_row(name, results, best_of=best_of, eval_loss=loss))
    return GlueTable(rows, list(published))


def _published(name: str, values: Sequence[tuple[float, ...]], eval_loss: float | None = None) -> Row:
    return Row(name, {c: v for (c, _, _), v in zip(COLUMNS, values, strict=True)}, {}, eval_loss)


# BERT-base of Hugging Face's run_glue, and of a pre-training of a million steps (best of several runs)
_HF = ((56.53,), (83.91, 84.10), (88.85, 84.07), (90.66,), (90.71, 87.49), (65.70,), (92.32,), (88.64, 88.48))
_1MI = (
    (45.81,),
    (84.27, 84.63),
    (88.26, 83.82),
    (91.21,),
    (90.54, 87.20),
    (65.34,),
    (91.86,),
    (87.41, 87.43),
)
REFERENCE: tuple[Row, ...] = (
    _published("bert_HF (published)", [*_HF, (56.34,)]),
    _published("bert_1mi (published)", [*_1MI, (53.52,)], 1.612),
)
