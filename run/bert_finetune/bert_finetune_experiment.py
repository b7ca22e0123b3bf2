"""Fine-tuning BERT on GLUE: all tasks, and what the batch size does.

Paper      Devlin et al. 2018 (arXiv:1810.04805); the small BERTs: Turc et al. 2019 (arXiv:1908.08962)
Command    make train && make report     (SCALE=toy: minutes; DATA=folder: on data of one's own)
Cost       printed by experiment.py before anything starts
Expected   BERT-mini on dev: SST-2 86, MRPC 72-76, QQP 87, MNLI 73, QNLI 84, RTE 58-63 (accuracy, percent)

Report.md.in imports everything from here. What depends on the scale is in `scale.py`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from os import environ  # noqa: F401 - for cells
from os.path import join  # noqa: F401 - for cells
from pathlib import Path
from typing import Any, Dict, List  # noqa: F401, UP035 - cells may annotate with these

import pandas as pd
from beautifultable import BeautifulTable  # noqa: F401 - for cells
from pandas import DataFrame
from scale import scale_from_environment

from stagedml.core import *  # noqa: F403 - for cells
from stagedml.core import (
    RRef,
    instantiate,
    linkrref,
    match_some,
    mkconfig,
    mklens,
    protocol_rref_metric,
    realizeMany,
    redefine,
    te2float,
    tensorboard_tensor_events,
)
from stagedml.stages.glue.analysis import read_tsv
from stagedml.stages.glue.study import realize_study
from stagedml.stages.glue.table import REFERENCE, glue_table  # noqa: F401 - for cells
from stagedml.stages.glue.tasks import find_task

SCALE = scale_from_environment()
all_minibert_finetune_glue = SCALE.finetune
WORKERS = int(os.environ.get("STAGEDML_PARALLEL", "1"))  # fine-tunings at once

# What the reference report found with BERT-mini on one GPU: accuracy, F1 (averaged over batches, hence not
# comparable), minutes.
REFERENCE_MINI = {
    "SST-2": (86.227, 55.0, 13.3), "MRPC": (76.0, 75.784, 0.9), "QQP": (87.572, 43.775, 70.0),
    "MNLI-m": (72.349, 43.673, 34.8), "MNLI-mm": (73.585, 44.235, 34.8), "SNLI": (84.858, 40.232, 48.3),
    "QNLI": (84.238, 53.395, 20.3), "RTE": (63.235, 38.915, 0.7), "WNLI": (40.625, 33.696, 0.4),
}  # fmt: skip
LARGE = ("MNLI-m", "MNLI-mm", "SNLI")


def glue_tasks() -> list[str]:
    """The tasks of this scale."""
    return list(SCALE.tasks)


def settings(batch_size: int, epochs: int, exclude: Sequence[str] = ()) -> Callable[[dict[str, Any]], Any]:
    """An edit of a fine-tuning's config."""

    def new_config(cfg: dict[str, Any]) -> Any:
        cfg["train_batch_size"] = batch_size
        cfg["train_epoches"] = epochs
        cfg["flags"] = [f for f in cfg["flags"] if f not in exclude]
        return mkconfig(cfg)

    return new_config


def keep(rrefs: Iterable[RRef], *name: str) -> list[RRef]:
    """Links realizations below `links/`, which keeps them as long as the report stands."""
    kept = list(rrefs)
    for i, rref in enumerate(kept):
        linkrref(rref, ["links", *name, str(i)])
    return kept


def experiment_allglue(n: int = 1) -> dict[str, list[RRef]]:
    """Fine-tunes on every task, `n` runs each: batch 64 for the three largest, 8 for the others."""
    result: dict[str, list[RRef]] = {}
    for task_name in glue_tasks():
        print(f"Fine-tuning {task_name}", flush=True)
        batch_size = 64 if task_name in LARGE else 8
        stage = redefine(
            all_minibert_finetune_glue,
            new_config=settings(batch_size, SCALE.epochs),
            new_matcher=match_some(n),
        )
        result[task_name] = keep(
            realizeMany(instantiate(stage, task_name=task_name, num_instances=n)), "allglue", task_name
        )
    return result


def experiment_bs(n: int = 1, exclude: Sequence[str] = ()) -> dict[int, list[RRef]]:
    """Fine-tunes on MRPC with several batch sizes, the same epochs, the same learning rate."""
    runs = {
        bs: redefine(all_minibert_finetune_glue, new_config=settings(bs, SCALE.study_epochs, exclude))
        for bs in SCALE.batch_sizes
    }
    results = realize_study(runs, num_instances=n, jobs=WORKERS)
    return {bs: keep(rrefs, "bs", str(bs)) for bs, rrefs in results.items()}


def experiment_why(n: int = 1) -> dict[str, list[RRef]]:
    """The smallest and the largest batch, and the largest with as many steps, a larger rate, no dropout."""
    small, large = SCALE.batch_sizes[1], SCALE.batch_sizes[-1]
    times = large // small
    rate = mklens(instantiate(all_minibert_finetune_glue).dref).lr.val
    finetune = partial(all_minibert_finetune_glue, train_epoches=SCALE.study_epochs)
    runs = {
        f"batch {small}": partial(finetune, train_batch_size=small),
        f"batch {small}, no dropout in the head": partial(finetune, train_batch_size=small, dropout=0.0),
        f"batch {large}": partial(finetune, train_batch_size=large),
        f"batch {large}, no dropout in the head": partial(finetune, train_batch_size=large, dropout=0.0),
        f"batch {large}, rate x {times}": partial(finetune, train_batch_size=large, lr=rate * times),
        f"batch {large}, {times} x the epochs": partial(
            finetune, train_batch_size=large, train_epoches=SCALE.study_epochs * times
        ),
    }
    results = realize_study(runs, num_instances=n, jobs=WORKERS)
    return {name: keep(rrefs, "why", name.replace(" ", "_")) for name, rrefs in results.items()}


def validation_curves(results: dict[int, list[RRef]]) -> pd.DataFrame:
    """Columns `steps` (sequences seen), `valid_accuracy`, `valid_loss`, `batch_size`, `iid` (the run)."""
    frames = []
    for bs, rrefs in results.items():
        for iid, rref in enumerate(rrefs):
            accuracy = tensorboard_tensor_events(rref, "valid", "accuracy")
            loss = tensorboard_tensor_events(rref, "valid", "loss")
            frames.append(
                DataFrame(
                    {
                        "steps": [e.step * bs for e in accuracy],
                        "valid_accuracy": [te2float(e) for e in accuracy],
                        "valid_loss": [te2float(e) for e in loss],
                        "batch_size": bs,
                        "iid": iid,
                    }
                )
            )
    return pd.concat(frames)


def official(rref: RRef) -> dict[str, float]:
    """The official metrics of a fine-tuning's task, in percent."""
    task = find_task(mklens(rref).task_name.val)
    return {name: 100 * protocol_rref_metric(rref, "evaluate", name) for name in task.official}


def percent(value: float | None) -> float | None:
    """A hundred times a number; None for none, which is how a table leaves a cell empty."""
    return None if value is None or math.isnan(value) else 100 * value


def measured(rref: RRef, metric: str) -> float | None:
    """A metric of the dev set in percent; None where the task has no such metric."""
    return percent(protocol_rref_metric(rref, "evaluate", metric))


def worst_errors(rref: RRef, count: int = 5) -> list[list[str]]:
    """Line, texts, label, answer and certainty of the errors of the dev set that the model was surest of."""
    rows = read_tsv(Path(mklens(rref).predictions.syspath) / "dev_worst.tsv")[:count]
    keys = ("line", "text_a", "text_b", "label", "prediction")
    return [[*(row[k] for k in keys), f"{float(row['probability']):.3f}"] for row in rows]
