"""Do smaller batches train better? Batch sizes and learning rates on one task, several runs of each.

    python -m benchmarks.finetune.batches --rows 1000 --epochs 3 --runs 3 --parallel 2 --model MiniLM_FOLDER

All runs go through the stages and `realize_study`, so that what is in the store already is not run again.
"""

from __future__ import annotations

import argparse
import shutil
from functools import partial
from pathlib import Path

from benchmarks.finetune.__main__ import MINILM, OFFICIAL, TOP
from stagedml import Build, DRef, Lens, Manager, promise, stage
from stagedml.core import MetricSummary, markdown_table, metric_summary, protocol_rref_metric
from stagedml.fetch import fetchlocal
from stagedml.stages.bert.stages import bert_import
from stagedml.stages.glue.fetch import find_local
from stagedml.stages.glue.menu import finetune_refbert
from stagedml.stages.glue.study import realize_study


@stage(name="first-rows")
def first_rows(b: Build, source: Lens, rows: int, out: Path = promise("files")) -> None:
    """A task with the first `rows` lines of its training set, and with the whole of its dev set."""
    out.mkdir()
    folder = Path(source.out.syspath)
    with (folder / "train.tsv").open("rb") as full, (out / "train.tsv").open("wb") as cut:
        cut.writelines(line for _, line in zip(range(rows + 1), full, strict=False))
    shutil.copy(folder / "dev.tsv", out)


def finetuned(m: Manager, *, data: Path, model: Path, task: str, rows: int, **fields: float) -> DRef:
    """One setting of the study."""
    bert = bert_import(m, archive=fetchlocal(m, model, name="fetch-bert"), url=model.name, cased=False)
    few = first_rows(m, source=fetchlocal(m, data, name=f"fetch-{task}"), rows=rows)
    return finetune_refbert(m, bert, task, refdataset=few, evals_per_epoch=0, **fields)


def shown(score: MetricSummary, right: MetricSummary) -> str:
    """Mean and deviation of a score, and the mean accuracy."""
    spread = "" if score.deviation is None else f" ± {100 * score.deviation:.1f}"
    return f"{100 * score.mean:.1f}{spread} ({100 * right.mean:.1f})"


def main() -> None:
    """Realizes the grid and prints it."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", default="MRPC")
    p.add_argument("--rows", type=int, default=1000, help="training examples: the first of the file")
    p.add_argument("--epochs", type=float, default=3)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 32, 128])
    p.add_argument("--lrs", type=float, nargs="+", default=[2e-5, 8e-5, 3.2e-4])
    p.add_argument("--data", type=Path, default=TOP.parent / "shared" / "data" / "glue")
    p.add_argument("--model", type=Path, default=TOP / MINILM)
    p.add_argument("--parallel", type=int, default=1)
    a = p.parse_args()
    data = find_local(a.data, a.task)
    if data is None or not data.is_dir():
        raise SystemExit(f"no folder of {a.task} in {a.data}")
    finetune = partial(finetuned, data=data, model=a.model, task=a.task, rows=a.rows, train_epoches=a.epochs)
    runs = {
        (batch, lr): partial(finetune, train_batch_size=batch, lr=lr)
        for batch in a.batch_sizes
        for lr in a.lrs
    }
    results = realize_study(runs, num_instances=a.runs, jobs=a.parallel)
    metric = OFFICIAL.get(a.task, "eval_accuracy")
    print(f"{a.task}, first {a.rows:,} examples, {a.epochs:g} epochs, {a.runs} runs: {metric} (accuracy), %")
    rows = []
    for batch in a.batch_sizes:
        steps = int(protocol_rref_metric(results[batch, a.lrs[0]][0], "train", "steps"))
        cells = []
        for lr in a.lrs:
            values = [metric_summary(results[batch, lr], "evaluate", k) for k in (metric, "eval_accuracy")]
            cells.append(shown(*values))
        rows.append([batch, steps, *cells])
    print(markdown_table(["batch", "steps", *(f"rate {lr:g}" for lr in a.lrs)], rows))


if __name__ == "__main__":
    main()
