"""What fine-tuning and submission do when they are built: plain functions put together, outputs written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stagedml import Build, mklens
from stagedml.errors import DataError
from stagedml.protocol import append_protocol
from stagedml.stages.bert.checkpoint import load_tasks, save_model

from .analysis import Predictions, write_analysis
from .finetune import Tuned, check_vocabulary, finetune
from .own import own_task
from .predict import TaskInfo, write_task_info
from .records import Meta, read_meta, read_records
from .scorer import Scorer
from .submission import submission_rows, write_submission
from .tasks import TASKS, Task
from .texts import read_examples_of

if TYPE_CHECKING:
    from .stages import FinetuneConfig


def task_of(meta: Meta) -> Task:
    """The GLUE task of some records, or a plain classification or regression for a task of one's own."""
    known = TASKS.get(meta.task.upper())
    return known if known is not None and known.labels == meta.labels else own_task(meta.task, meta.labels)


def run_finetuning(b: Build, c: FinetuneConfig) -> None:
    """Builds `bert-finetune-glue`: checks, trains, scores, writes."""
    recipe = c.recipe()
    records, encoder = Path(c.tfrecs.tfrecords.syspath), Path(c.refbert.model.syspath)
    meta = read_meta(records)
    check_vocabulary(Path(c.tfrecs.bert_vocab.syspath), c.bert_vocab)
    if c.tfrecs.lower_case.val == c.cased:
        raise DataError(
            f"records with lower_case={c.tfrecs.lower_case.val}, checkpoint with cased={c.cased}",
            where=c.task_name,
            hint="make the records with lower_case=not mklens(refbert).cased.val",
        )
    task = task_of(meta)
    began = time.perf_counter()
    tuned = finetune(
        encoder,
        records,
        task=task,
        recipe=recipe,
        seed=b.seed,
        logs=c.logs,
        scratch=b.scratch,
        progress=lambda steps: b.progress(steps, unit="step", desc=f"{c.task_name}"),
        on_resume=b.resumed,
    )
    c.traintime.write_text(f"{time.perf_counter() - began:.3f}\n", encoding="utf-8")
    save_model(tuned.model, c.model, vocab=c.bert_vocab, lower_case=not c.cased)
    examples = read_examples_of(Path(c.tfrecs.examples.syspath) / "dev.jsonl")
    pair = any(e.text_b is not None for e in examples)
    info = TaskInfo(task.name, task.labels, meta.max_seq_length, lower_case=not c.cased, pair=pair)
    write_task_info(c.task, info)
    write_scores(c, tuned, task=task, rows=meta.rows)
    predictions = tuned.scorer.predictions(read_records(records, "dev"), task)
    write_analysis(c.predictions, predictions, examples, split="dev")


def write_scores(c: FinetuneConfig, tuned: Tuned, *, task: Task, rows: Mapping[str, int]) -> None:
    """The protocol: what was trained, and the metrics of the whole dev set."""
    metrics = dict(tuned.metrics)
    if "+f1v2" not in c.flags and not task.regression:
        metrics["f1_score"] = metrics["f1_macro"]
    append_protocol(
        c.protocol, "train", steps=tuned.steps, chosen_step=tuned.chosen_step, examples=rows["train"]
    )
    append_protocol(c.protocol, "evaluate", examples=rows["dev"], **metrics)
    shown = ", ".join(f"{k} {v:.4f}" for k, v in metrics.items() if np.isfinite(v))
    print(f"{task.name}, {rows['dev']:,} examples: {shown}")


def run_submission(b: Build, *, fields: Sequence[str], diagnostic: bool, path: Path) -> None:
    """Builds `glue-submission`."""
    lens = mklens(b)
    rows: dict[str, list[tuple[str, str]]] = {}
    with b.progress(len(fields), unit="task") as bar:
        for field in fields:
            one = lens.models[field]
            name = one.task_name.val
            model = Path(one.model.syspath)
            rows[name] = _test_rows(
                model,
                Path(one.tfrecs.tfrecords.syspath),
                Path(one.tfrecs.examples.syspath),
                TASKS[name.upper()],
            )
            if name == "MNLI-m" and diagnostic:
                d = lens.diagnostic
                rows["AX"] = _test_rows(
                    model, Path(d.tfrecords.syspath), Path(d.examples.syspath), TASKS["AX"]
                )
            bar.update()
    missing = write_submission(path, rows)
    if missing:
        print(f"incomplete, the server wants also: {', '.join(missing)}")


def _test_rows(model_folder: Path, records: Path, texts: Path, task: Task) -> list[tuple[str, str]]:
    model = load_tasks(model_folder)
    data = read_records(records, "test")
    scorer = Scorer(model, read_meta(records).max_seq_length)
    p = Predictions(scorer.outputs(data), None, task.labels)
    return submission_rows(task, p, read_examples_of(texts / "test.jsonl"))
