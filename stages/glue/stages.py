"""The stages of GLUE: records of a task, a fine-tuned BERT, a submission.

refglue = all_fetchglue(m)
refbert = all_fetchminibert(m)
tfrecs = glue_tfrecords(m, "MRPC", bert_vocab=mklens(refbert).bert_vocab.refpath, lower_case=True,
                        refdataset=refglue)
return bert_finetune_glue(m, refbert, tfrecs, train_batch_size=16)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagedml import Build, DRef, Lens, Manager, mklens, promise, stage
from stagedml.errors import ConfigError

from .fetch import pick_set
from .recipe import FLAGS, Recipe, check_flags, default_epochs
from .tasks import TASKS, field_name, find_task

MAX_SEQ_LENGTH = 128  # of the records, as in Devlin et al. 2018


def glue_tfrecords(
    m: Manager,
    task_name: str = "MRPC",
    *,
    bert_vocab: list[str],
    lower_case: bool,
    refdataset: DRef | None = None,
    max_seq_length: int = MAX_SEQ_LENGTH,
    num_instances: int = 1,
) -> DRef:
    """The records of one task: output `tfrecords`, a folder of train, dev and test (see `records.py`).

    `bert_vocab` is a refpath of the checkpoint's vocabulary. `refdataset` is a collection of `all_fetchglue`
    or one data set of it; only the task's own data are depended on. Raises `ConfigError` for an unknown task.
    """
    task = find_task(task_name)
    data = pick_set(m, refdataset, task)
    return make_tfrecords(
        m,
        task_name=task.name,
        refdataset=data,
        bert_vocab=bert_vocab,
        lower_case=lower_case,
        max_seq_length=max_seq_length,
        num_instances=num_instances,
    )


@stage(name="glue-tfrecords")
def make_tfrecords(
    b: Build,
    task_name: str,
    refdataset: Lens,
    bert_vocab: Path,
    lower_case: bool,
    max_seq_length: int,
    tfrecords: Path = promise("tfrecords"),
    examples: Path = promise("examples"),
) -> None:
    """The realizer of `glue_tfrecords`; `examples` keeps the texts of dev and test for reports."""
    from .features import load_tokenizer
    from .prepare import build_records

    task = find_task(task_name)
    tokenizer = load_tokenizer(bert_vocab, lower_case=lower_case)
    with b.progress(unit="example") as bar:
        rows = build_records(
            task,
            Path(refdataset.out.syspath),
            tokenizer=tokenizer,
            max_seq_length=max_seq_length,
            tfrecords=tfrecords,
            texts=examples,
            progress=bar,
        )
    for split, count in rows.items():
        official = task.rows.get(split)
        note = "" if official in (None, count) else f" (the official set has {official:,})"
        print(f"{task.name} {split}: {count:,} examples{note}")


@dataclass(frozen=True)
class FinetuneConfig:
    """The fields of `bert-finetune-glue`. What the settings mean, and why these defaults: `Recipe`."""

    refbert: Lens
    tfrecs: Lens
    task_name: str
    bert_vocab: Path
    cased: bool
    train_batch_size: int = Recipe.batch_size
    train_epoches: int | float = 3
    lr: float = Recipe.lr
    warmup_share: float = Recipe.warmup_share
    schedule: str = Recipe.schedule
    weight_decay: float = Recipe.weight_decay
    clip_norm: float = Recipe.clip_norm
    layer_decay: float = Recipe.layer_decay
    reinit_layers: int = Recipe.reinit_layers
    dropout: float | None = None
    accumulate: int = Recipe.accumulate
    precision: str = Recipe.precision
    class_weights: Any = ""
    focal_gamma: float = Recipe.focal_gamma
    evals_per_epoch: int = Recipe.evals_per_epoch
    best_by: str = Recipe.best_by
    patience: int = Recipe.patience
    valid_share: float = Recipe.valid_share
    flags: list = field(default_factory=lambda: list(FLAGS))
    model: Path = promise("model")
    task: Path = promise("task.json")
    predictions: Path = promise("predictions")
    protocol: Path = promise("protocol.json")
    logs: Path = promise("logs", volatile=True)
    traintime: Path = promise("traintime.txt", volatile=True)

    def recipe(self) -> Recipe:
        """The settings of the training."""
        check_flags(self.flags)
        weights = self.class_weights
        return Recipe(
            batch_size=self.train_batch_size,
            epochs=self.train_epoches,
            lr=self.lr,
            warmup_share=self.warmup_share,
            schedule=self.schedule,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
            layer_decay=self.layer_decay,
            reinit_layers=self.reinit_layers,
            dropout=self.dropout,
            accumulate=self.accumulate,
            precision=self.precision,
            class_weights=weights if isinstance(weights, str) else tuple(weights),
            focal_gamma=self.focal_gamma,
            evals_per_epoch=self.evals_per_epoch,
            best_by=self.best_by,
            patience=self.patience,
            valid_share=self.valid_share,
            bucketed="+bucketing" in self.flags,
        )


@stage(name="bert-finetune-glue", toy={"train_epoches": 1, "train_batch_size": 8})
def finetune_stage(b: Build, c: FinetuneConfig) -> None:
    """The realizer of `bert_finetune_glue`."""
    from .pipeline import run_finetuning

    run_finetuning(b, c)


def bert_finetune_glue(
    m: Manager, refbert: DRef, tfrecs: DRef, *, num_instances: int = 1, **fields: Any
) -> DRef:
    """Fine-tunes the BERT `refbert` on the records `tfrecs` of a task, with a fresh head, and scores it.

    Further keywords are the fields of `FinetuneConfig`. Small tasks are trained for 10 epochs, the others for
    3, unless `train_epoches` says otherwise. Outputs: `model` (a folder that Hugging Face opens), `protocol`
    ('evaluate': the metrics over the whole dev set), `predictions` (answers, worst errors, confusion matrix),
    `logs` (train/, valid/, eval/), `traintime` (seconds). Each instance has a seed of its own.
    Raises `ConfigError` for settings that cannot be.
    """
    tfr, bert = mklens(tfrecs), mklens(refbert)
    check_settings(fields)
    known = TASKS.get(str(tfr.task_name.val).upper())
    fields.setdefault("name", f"bert-finetune-{str(tfr.task_name.val).lower()}")
    fields.setdefault("train_epoches", default_epochs(known.rows["train"]) if known else 3)
    return finetune_stage(
        m,
        refbert=refbert,
        tfrecs=tfrecs,
        task_name=tfr.task_name.val,
        bert_vocab=bert.bert_vocab.refpath,
        cased=bert.cased.val,
        num_instances=num_instances,
        **fields,
    )


def check_settings(given: Mapping[str, Any]) -> None:
    """Raises `ConfigError` for values that no fine-tuning can have, when the stage is called."""
    known = {f.name for f in dataclasses.fields(FinetuneConfig)}
    none: Any = None
    settings = {k: v for k, v in given.items() if k in known}
    FinetuneConfig(refbert=none, tfrecs=none, task_name="", bert_vocab=none, cased=False, **settings).recipe()


def glue_submission(m: Manager, finetuned: Sequence[DRef], *, diagnostic: DRef | None = None) -> DRef:
    """Predicts the test sets of fine-tuned models and zips them for the GLUE server: `submission`.

    `finetuned` are results of `bert_finetune_glue`, at most one a task; `diagnostic` the records of AX, which
    the MNLI-m model answers. The log names the tasks that the server would miss. Raises `ConfigError`.
    """
    models: dict[str, DRef] = {}
    for dref in finetuned:
        name = str(mklens(dref).task_name.val)
        if field_name(name) in models or name.upper() not in TASKS:
            what = "two models for" if name.upper() in TASKS else "the server has no task"
            raise ConfigError(f"{what} {name}", where="glue_submission")
        models[field_name(name)] = dref
    return submit(m, models=models, diagnostic=diagnostic)


@stage(name="glue-submission")
def submit(
    b: Build,
    models: dict[str, str],
    diagnostic: Lens | None = None,
    submission: Path = promise("submission.zip"),
) -> None:
    """The realizer of `glue_submission`."""
    from .pipeline import run_submission

    run_submission(b, fields=list(models), diagnostic=diagnostic is not None, path=submission)
