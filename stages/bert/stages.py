"""The stages of BERT: pre-training on records, and the import of published checkpoints.

records = bert_pretrain_tfrecords(m, ...)
minibert_pretrain_wiki(m, tfrecs=records, train_steps_per_epoch=10000, train_epoches=10)
bert_import(m, archive=fetchurl(m, url=...), url=..., cased=False)

Each is a "refbert": its config has `model` (a folder in Hugging Face's layout), `bert_vocab` and `cased`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagedml import Build, DRef, Lens, Manager, hint, mklens, promise, stage
from stagedml.errors import ConfigError
from stagedml.stages.bert.config import bert_template, model_config
from stagedml.stages.bert.optimizer import OptimizerSpec
from stagedml.stages.bert.spec import TrainSpec


@dataclass(frozen=True)
class PretrainConfig:
    """The fields of `bert_pretrain`. Epochs are of `train_steps_per_epoch` steps, not of the data.

    `schedule_steps` is where the learning-rate schedule ends: a field of its own, so that a run can be
    extended later (`resume_rref`: the realization to go on from; it changes how the result is reached, not
    what it is). `heldout` are records of other text, for perplexity.
    """

    tfrecs: Any
    bert_config_template: dict[str, Any]
    bert_vocab: Any
    cased: bool
    train_batch_size: int = 128
    train_steps_per_epoch: int = 10_000
    train_epoches: int = 100
    lr: float = 1e-4
    optimizer: str = "adamw"
    schedule: str = "linear"
    schedule_steps: int = 1_000_000
    warmup_steps: int = 10_000
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    accumulate: int = 1
    precision: str = "float32"
    init: str = "google"
    nsp: bool = True
    heldout: Any = None
    eval_epoches: int = 1
    eval_batches: int = 0
    log_every: int = 100
    seed: int = 0
    model: Path = promise("model")
    checkpoint: Path = promise("checkpoint")
    protocol: Path = promise("protocol.json")
    logs: Path = promise("logs", volatile=True)
    traintime: Path = promise("traintime.txt", volatile=True)
    resume_rref: Any = hint(None)
    xla: bool = hint(False)
    devices: str = hint("")

    def spec(self, seed: int = 0) -> TrainSpec:
        """The training that the fields ask for. Raises `ConfigError` where there is none."""
        batch = self.train_batch_size
        if batch < 1 or self.accumulate < 1 or batch % self.accumulate:
            raise ConfigError(
                f"a batch of {batch} cannot be cut into {self.accumulate} equal parts",
                where="train_batch_size, accumulate",
            )
        for name, known in (("precision", PRECISIONS), ("init", INITS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"unknown {name} {getattr(self, name)!r}", where="pre-training", hint=f"one of {known}"
                )
        optimizer = OptimizerSpec(
            kind=self.optimizer,  # type: ignore[arg-type]
            lr=self.lr,
            schedule=self.schedule,  # type: ignore[arg-type]
            warmup_steps=self.warmup_steps,
            horizon=self.schedule_steps,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm or None,
        )
        steps = self.train_steps_per_epoch * self.train_epoches
        return TrainSpec(steps, seed, optimizer, self.accumulate, self.log_every)


PRECISIONS = ("float32", "bfloat16", "float16")
INITS = ("google", "hf")
TOY = {
    "train_steps_per_epoch": 2,
    "train_epoches": 1,
    "warmup_steps": 1,
    "train_batch_size": 2,
    "log_every": 1,
}


@stage(name="bert-pretrain", version=1, toy=TOY)
def bert_pretrain(b: Build, c: PretrainConfig) -> None:
    """Pre-trains a BERT with masked LM and next-sentence prediction (Devlin et al. 2018)."""
    from stagedml.protocol import append_protocol
    from stagedml.stages.bert.checkpoint import save_model
    from stagedml.stages.bert.devices import strategy_of
    from stagedml.stages.bert.pretrain import PretrainPlan, pretrain
    from stagedml.stages.bert.spec import Runtime

    spec = c.spec(b.seed)
    plan = PretrainPlan(
        records=Path(c.tfrecs.tfrecords.syspath),
        vocab=Path(c.bert_vocab),
        template=c.bert_config_template,
        batch_size=c.train_batch_size,
        spec=spec,
        precision=c.precision,  # type: ignore[arg-type]
        init=c.init,  # type: ignore[arg-type]
        nsp=c.nsp,
        heldout=Path(c.heldout.tfrecords.syspath) if c.heldout is not None else None,
        eval_every=c.eval_epoches * c.train_steps_per_epoch,
        eval_batches=c.eval_batches,
    )
    before = earlier(c.resume_rref)
    with b.progress(total=spec.steps, unit="step", desc=b.config.name) as bar:
        runtime = Runtime(
            logs=c.logs,
            scratch=b.scratch,
            progress=bar,
            on_resume=b.resumed,
            initial=before.state if before else None,
            save_final=c.checkpoint,
            xla=c.xla,
            strategy=strategy_of(c.devices),
        )
        done = pretrain(plan, runtime)
    save_model(done.model, c.model, vocab=Path(c.bert_vocab), lower_case=not c.cased)
    last = [v for v in done.result.scalars if v[1] == "train"]
    append_protocol(
        c.protocol, "train", steps=done.result.step, **{tag: v for s, _, tag, v in last if s == last[-1][0]}
    )
    if done.heldout:
        append_protocol(c.protocol, "evaluate", **done.heldout)
    seconds = done.result.seconds + (before.seconds if before else 0.0)
    c.traintime.write_text(f"{seconds:.3f}", encoding="utf-8")


@dataclass(frozen=True)
class Earlier:
    """A finished pre-training to go on from."""

    state: Path
    seconds: float


def earlier(rref: Any) -> Earlier | None:
    """The state and the wall-clock seconds of a realization of `bert_pretrain`."""
    if rref is None:
        return None
    lens = mklens(rref)
    return Earlier(
        Path(lens.checkpoint.syspath), float(Path(lens.traintime.syspath).read_text(encoding="utf-8"))
    )


def pretrain_wiki(m: Manager, tfrecs: Any, **fields: Any) -> DRef:
    """`bert_pretrain` with vocabulary and case taken from the records.

    Raises `ConfigError` for settings that no pre-training can have.
    """
    check_settings(fields)
    ref = tfrecs(m) if callable(tfrecs) else getattr(tfrecs, "dref", tfrecs)
    lens = mklens(ref)
    model_config(fields["bert_config_template"], 1, lens.max_seq_length.val)  # refuses what cannot work
    return bert_pretrain(m, tfrecs=ref, bert_vocab=lens.bert_vocab.refpath, cased=lens.cased.val, **fields)


def check_settings(given: Mapping[str, Any]) -> None:
    """Raises `ConfigError` for values that no pre-training can have, when the stage is called."""
    known = {f.name for f in dataclasses.fields(PretrainConfig)}
    needed = dict.fromkeys(("tfrecs", "bert_config_template", "bert_vocab", "cased"))
    PretrainConfig(**{**needed, **{k: v for k, v in given.items() if k in known}}).spec()


def minibert_pretrain_wiki(
    m: Manager,
    tfrecs: Any,
    train_steps_per_epoch: int = 10_000,
    train_epoches: int = 100,
    resume_rref: Any = None,
    **fields: Any,
) -> DRef:
    """A small BERT, 6 layers of 256 unless `bert_config_template` says otherwise, pre-trained on records."""
    given = {
        "bert_config_template": bert_template("mini", num_hidden_layers=6),
        "train_batch_size": 64,
        **fields,
    }
    given.setdefault("name", "minibert-pretrain-wiki")
    return pretrain_wiki(
        m,
        tfrecs,
        train_steps_per_epoch=train_steps_per_epoch,
        train_epoches=train_epoches,
        resume_rref=resume_rref,
        **given,
    )


def basebert_pretrain_wiki(
    m: Manager,
    tfrecs: Any,
    train_steps_per_epoch: int = 10_000,
    train_epoches: int = 100,
    resume_rref: Any = None,
    **fields: Any,
) -> DRef:
    """BERT-base (12 layers of 768) pre-trained on records."""
    given = {"bert_config_template": bert_template("base"), "train_batch_size": 256, **fields}
    given.setdefault("name", "basebert-pretrain-wiki")
    return pretrain_wiki(
        m,
        tfrecs,
        train_steps_per_epoch=train_steps_per_epoch,
        train_epoches=train_epoches,
        resume_rref=resume_rref,
        **given,
    )


@stage(version=1)
def bert_import(
    b: Build,
    archive: Lens,
    url: str,
    cased: bool,
    model: Path = promise("model"),
    bert_vocab: Path = promise("model", "vocab.txt"),
    protocol: Path = promise("protocol.json"),
) -> None:
    """A published BERT in our layout: Google's TF1 checkpoints, TF-Models' or a Hugging Face folder.

    Every tensor is accounted for: what a training left beside the weights is named in `protocol`.
    """
    from stagedml.errors import DataError
    from stagedml.protocol import append_protocol
    from stagedml.stages.bert.checkpoint import save_checkpoint
    from stagedml.stages.bert.readers import find_kind, read_checkpoint

    folder = Path(archive.out.syspath)
    kind, _ = find_kind(folder)
    vocabs = sorted(folder.rglob("vocab.txt"))
    if len(vocabs) != 1:
        raise DataError(f"expected one vocab.txt, found {len(vocabs)}", where=str(folder))
    found = read_checkpoint(folder)
    save_checkpoint(found, model, vocab=vocabs[0], lower_case=not cased)
    append_protocol(
        protocol,
        "import",
        kind=kind,
        tensors=len(found.tensors),
        heads=" ".join(found.parts),
        ignored=" ".join(found.ignored),
    )
