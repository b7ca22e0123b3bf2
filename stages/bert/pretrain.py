"""Pre-training from records to a folder that Hugging Face opens: plain functions, no store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras

from stagedml.errors import DataError
from stagedml.stages.bert.batches import Batch, BatchSource
from stagedml.stages.bert.checkpoint import read_vocab
from stagedml.stages.bert.config import model_config
from stagedml.stages.bert.model import BertPretraining, Precision, initialize
from stagedml.stages.bert.objectives import Objective, pretraining_objective
from stagedml.stages.bert.records import PretrainReader
from stagedml.stages.bert.train import Evaluate, Runtime, TrainResult, TrainSpec, evaluator, train

NSP = "next_sentence_labels"


@dataclass(frozen=True)
class PretrainPlan:
    """What is pre-trained, on what."""

    records: Path
    vocab: Path
    template: Mapping[str, Any]
    batch_size: int
    spec: TrainSpec
    precision: Precision = "float32"
    init: Literal["google", "hf"] = "google"
    nsp: bool = True
    heldout: Path | None = None
    eval_every: int = 0
    eval_batches: int = 0  # of the held-out records; 0: all of them


@dataclass
class Pretrained:
    """The model with what was measured."""

    model: BertPretraining
    result: TrainResult
    heldout: dict[str, float] = field(default_factory=dict)


def open_records(folder: Path, vocab: Path, *, batch_size: int, seed: int) -> PretrainReader:
    """A reader of records that fit the vocabulary. Raises `DataError` when they do not."""
    reader = PretrainReader(folder, batch_size=batch_size, seed=seed, vocab=vocab)
    words = len(read_vocab(vocab))
    if reader.index["vocab_size"] != words:
        raise DataError(
            f"the records were made with {reader.index['vocab_size']} words, the vocabulary has {words}",
            where=str(vocab),
            hint=f"give the vocabulary that {folder} was built with",
        )
    return reader


def stream(reader: PretrainReader, *, distributed: bool = False) -> BatchSource:
    """The reader's batches, made ahead of their use in threads."""
    if keras.backend.backend() != "tensorflow" or distributed:
        return reader.batches

    def batches(start: int) -> Iterator[Batch]:
        return iter(reader.dataset(start))

    return batches


def pretrain(
    plan: PretrainPlan, runtime: Runtime | None = None, *, model: BertPretraining | None = None
) -> Pretrained:
    """Trains to `plan.spec.steps`; evaluates on held-out records every `eval_every` steps and at the end.

    `model` continues from given weights in place of random ones. See `train` for what is raised.
    """
    runtime = runtime or Runtime()
    reader = open_records(plan.records, plan.vocab, batch_size=plan.batch_size, seed=plan.spec.seed)
    names = {f.name for f in reader.schema.features}
    nsp = plan.nsp and NSP in names
    config = model_config(plan.template, reader.index["vocab_size"], reader.index["max_seq_length"])
    if model is None:
        with runtime.strategy.scope() if runtime.strategy is not None else nullcontext():
            model = BertPretraining(config, precision=plan.precision, nsp=nsp)
        initialize(model, plan.spec.seed, init=plan.init)
    objective = pretraining_objective(nsp=nsp)
    check = _heldout(plan, model, objective)
    result = train(
        model,
        objective,
        stream(reader, distributed=runtime.strategy is not None),
        spec=plan.spec,
        runtime=runtime,
        evaluate=check,
        eval_every=plan.eval_every,
    )
    heldout = result.evals[-1][1]["valid"] if result.evals else {}
    return Pretrained(model, result, dict(heldout))


def _heldout(plan: PretrainPlan, model: keras.Model, objective: Objective) -> Evaluate | None:
    """Evaluation on held-out records: the objective's values and `perplexity`, exp of the masked-LM loss."""
    if plan.heldout is None:
        return None
    reader = open_records(plan.heldout, plan.vocab, batch_size=plan.batch_size, seed=0)
    count = reader.steps_per_epoch
    if plan.eval_batches:
        count = min(count, plan.eval_batches)
    check: Callable[[Iterable[Batch]], dict[str, float]] = evaluator(model, objective)

    def run(step: int) -> dict[str, dict[str, float]]:
        values = check(reader.batch(i) for i in range(count))
        return {"valid": {**values, "perplexity": math.exp(min(values["mlm_loss"], 700.0))}}

    return run
