"""What the demo found: figures out of realizations, the table, and one sentence on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demo import TASKS, Demo

from stagedml import RRef, Stage, instantiate, realizeMany
from stagedml.core import MetricSummary, metric_summary, protocol_rref_metric
from stagedml.reporter import Reporter

CLEARLY = 0.05  # accuracy by which one is better than another, for the sentence on it


@dataclass(frozen=True)
class TaskResult:
    """The runs of one task, and the accuracy on its dev set that is to be beaten."""

    task: str
    examples: int
    majority: float
    random: list[RRef]
    pretrained: list[RRef]

    def accuracy(self, *, pretrained: bool) -> MetricSummary:
        """Accuracy on the dev set over the runs."""
        return metric_summary(self.pretrained if pretrained else self.random, "evaluate", "eval_accuracy")

    @property
    def helps(self) -> bool:
        """Whether pre-trained weights are clearly ahead of random ones and of the majority class."""
        ours = self.accuracy(pretrained=True).mean
        return ours > CLEARLY + max(self.accuracy(pretrained=False).mean, self.majority)


@dataclass(frozen=True)
class Results:
    """Everything that the report shows."""

    bert: RRef
    entropy: float
    tasks: list[TaskResult]

    @property
    def loss(self) -> float:
        """The masked-LM loss of the pre-trained model on held-out articles, nats."""
        return protocol_rref_metric(self.bert, "evaluate", "mlm_loss")

    @property
    def rrefs(self) -> list[RRef]:
        """The realizations behind the numbers."""
        return [self.bert, *(r for t in self.tasks for r in (*t.random, *t.pretrained))]

    def rows(self) -> list[list[object]]:
        """The rows of the table: task, examples, and three accuracies."""
        return [
            [t.task, t.examples, t.majority, _shown(t, pretrained=False), _shown(t, pretrained=True)]
            for t in self.tasks
        ]

    def verdict(self) -> str:
        """What it comes to, in words."""
        helped = [t.task for t in self.tasks if t.helps]
        if len(helped) == len(self.tasks):
            tasks = f"pre-training helps clearly on {' and '.join(helped)}"
        elif helped:
            others = ", ".join(t.task for t in self.tasks if not t.helps)
            tasks = f"pre-training helps clearly on {', '.join(helped)}, and not on {others}"
        else:
            tasks = "pre-training does not help clearly on any task"
        below = "below" if self.loss < self.entropy else "not below"
        return (
            f"The masked-LM loss on held-out text is {self.loss:.2f} nats, {below} the unigram entropy of"
            f" {self.entropy:.2f}; {tasks}."
        )


HEADERS = ("task", "dev examples", "majority class", "from random weights", "from pre-trained weights")


def _shown(t: TaskResult, *, pretrained: bool) -> object:
    found = t.accuracy(pretrained=pretrained)
    return found.mean if found.n == 1 else f"{found.mean:.3f} ± {found.deviation:.3f}"


def realize_all(demo: Demo, reporter: Reporter | None = None) -> Results:
    """Builds what is missing, in the order of the report, and returns the results."""

    def realized(stage: Stage, *args: Any, **kw: Any) -> list[RRef]:
        return realizeMany(instantiate(stage, *args, **kw), reporter=reporter)

    (entropy,) = realized(demo.entropy)
    (bert,) = realized(demo.bert)
    tasks = []
    for task in TASKS:
        (majority,) = realized(demo.majority, task)
        random, pretrained = (realized(demo.finetuned, task, pretrained=p) for p in (False, True))
        tasks.append(
            TaskResult(
                task,
                int(protocol_rref_metric(majority, "evaluate", "examples")),
                protocol_rref_metric(majority, "evaluate", "eval_accuracy"),
                random,
                pretrained,
            )
        )
    return Results(bert, protocol_rref_metric(entropy, "evaluate", "entropy"), tasks)


def text_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table for a terminal."""
    texts = [list(headers), *([f"{c:.3f}" if isinstance(c, float) else str(c) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(headers))]
    lines = (
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in texts
    )
    return "\n".join(f"  {row}" for row in lines)
