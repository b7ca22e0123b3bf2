"""Fine-tunes a BERT on one task: data to batches, the one training loop, the choice of weights, the scores.

The loop is `stages/bert/train.py`; this file says what goes in and what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray

from stagedml.errors import DataError
from stagedml.progress import Progress
from stagedml.stages.bert.batches import BatchSource
from stagedml.stages.bert.checkpoint import load_config, load_encoder
from stagedml.stages.bert.model import BertTasks, Head, Precision, initialize
from stagedml.stages.bert.objectives import Objective, regression_objective
from stagedml.stages.bert.optimizer import OptimizerSpec
from stagedml.stages.bert.tblog import TensorBoard
from stagedml.stages.bert.train import Runtime, TrainSpec, train

from .features import Encoded
from .inputs import Batch, bucket_lengths, make_batch, train_plan
from .objectives import balanced_weights, weighted_objective
from .recipe import Recipe
from .records import read_meta, read_records
from .scorer import HEAD, MODEL_INPUTS, Scorer, evaluation
from .tasks import Task
from .watch import EarlyStop, Watch

SPLIT_SEED = 20200607  # of the part of train that is held out: the same for every instance


@dataclass(frozen=True)
class Data:
    """The sets of a fine-tuning: `valid` is watched while training, `dev` is scored at the end."""

    train: Encoded
    valid: Encoded
    dev: Encoded
    max_seq_length: int


@dataclass(frozen=True)
class Tuned:
    """The result: the model with the chosen weights, the metrics of `dev` and of `valid`, step by step."""

    model: keras.Model
    scorer: Scorer
    metrics: Mapping[str, float]
    curve: list[tuple[int, dict[str, float]]]
    steps: int
    chosen_step: int


def held_out(train: Encoded, share: float) -> tuple[Encoded, Encoded]:
    """(the rest, the held-out part) of a training set. Raises `DataError` when either would be empty."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(train))
    count = round(len(train) * share)
    if not 0 < count < len(train):
        raise DataError(
            f"valid_share {share} of {len(train)} examples leaves an empty set", where="fine-tuning"
        )
    return train.take(np.sort(order[count:])), train.take(np.sort(order[:count]))


def load_data(records: Path, recipe: Recipe) -> Data:
    """Reads the sets of a folder of records. Raises `DataError` without labelled train and dev sets."""
    meta = read_meta(records)
    for split in ("train", "dev"):
        if not meta.labelled.get(split):
            raise DataError(f"no labelled {split} set of {meta.task}", where=str(records))
    train_set, dev = read_records(records, "train"), read_records(records, "dev")
    valid = dev
    if recipe.best_by and recipe.valid_share:
        train_set, valid = held_out(train_set, recipe.valid_share)
    return Data(train_set, valid, dev, meta.max_seq_length)


def batch_source(data: Encoded, recipe: Recipe, *, max_seq_length: int, seed: int) -> BatchSource:
    """The endless stream of training batches; where a step stands is a function of seed and number only."""
    per_epoch, _ = recipe.steps(len(data))
    boundaries = bucket_lengths(max_seq_length) if recipe.bucketed else (max_seq_length,)

    def stream(start: int) -> Iterator[Batch]:
        epoch, offset = divmod(start, per_epoch)
        while True:
            plan = train_plan(
                data.lengths,
                batch_size=recipe.batch_size,
                boundaries=boundaries,
                seed=seed,
                epoch=epoch,
                bucketed=recipe.bucketed,
            )
            for slot in plan[offset:]:
                batch = make_batch(data, slot, recipe.batch_size)
                yield {k: batch[k] for k in (*MODEL_INPUTS, "label_ids", "example_weights")}
            epoch, offset = epoch + 1, 0

    return stream


def make_objective(task: Task, recipe: Recipe, labels: NDArray[Any]) -> Objective:
    """Squared error for a regression, else cross entropy with the recipe's weights."""
    if task.regression:
        return regression_objective(HEAD, labels="label_ids")
    weights: list[float] | None = None
    if recipe.class_weights == "balanced":
        weights = balanced_weights(labels, len(task.labels))
    elif recipe.class_weights:
        weights = [float(w) for w in recipe.class_weights]
        if len(weights) != len(task.labels):
            raise DataError(f"{len(weights)} class weights for {len(task.labels)} labels", where=task.name)
    return weighted_objective(HEAD, class_weights=weights, focal_gamma=recipe.focal_gamma)


def make_model(encoder: Path, task: Task, recipe: Recipe, *, seed: int) -> keras.Model:
    """The encoder of a checkpoint folder with a fresh head, and fresh top layers where the recipe says so."""
    config = load_config(encoder)
    if recipe.reinit_layers > config.num_hidden_layers:
        raise DataError(
            f"reinit_layers {recipe.reinit_layers} of {config.num_hidden_layers}", where=str(encoder)
        )
    model = BertTasks(
        config,
        {HEAD: Head(task.num_outputs, dropout=recipe.dropout)},
        precision=cast(Precision, recipe.precision),
    )
    initialize(model, seed)
    top = range(config.num_hidden_layers - recipe.reinit_layers, config.num_hidden_layers)
    again = tuple(f"encoder.layer_{i}." for i in top) + (("encoder.pooler.",) if recipe.reinit_layers else ())
    fresh = {
        w.name: keras.ops.convert_to_numpy(w.value)
        for w in model.trainable_variables
        if again and w.name.startswith(again)
    }
    load_encoder(model, encoder)
    for w in model.trainable_variables:
        if w.name in fresh:
            w.assign(fresh[w.name])
    return model


def train_spec(recipe: Recipe, examples: int, *, seed: int) -> TrainSpec:
    """The loop's settings for so many examples."""
    per_epoch, steps = recipe.steps(examples)
    optimizer = OptimizerSpec(
        lr=recipe.lr,
        schedule=recipe.schedule,  # type: ignore[arg-type]
        warmup_steps=round(steps * recipe.warmup_share),
        weight_decay=recipe.weight_decay,
        clip_norm=recipe.clip_norm or None,
        layer_decay=recipe.layer_decay,
    )
    log_every = max(1, min(50, per_epoch // 4))
    return TrainSpec(steps, seed=seed, optimizer=optimizer, accumulate=recipe.accumulate, log_every=log_every)


def finetune(
    encoder: Path,
    records: Path,
    *,
    task: Task,
    recipe: Recipe,
    seed: int = 0,
    logs: Path | None = None,
    scratch: Path | None = None,
    progress: Callable[[int], Progress] = lambda steps: Progress(),
    on_resume: Callable[[str], None] = lambda where: None,
) -> Tuned:
    """Fine-tunes the BERT in `encoder` on the records of a task and scores the whole of its dev set.

    TensorBoard's logs go to `train/`, `valid/` (tags `accuracy`, `loss` and the metrics) and `eval/`
    (`eval_accuracy`, `eval_loss`, `f1_score`, ...) below `logs`. With `scratch` a killed run goes on.
    Raises `DataError` for data that do not fit task or checkpoint, before training starts.
    """
    data = load_data(records, recipe)
    spec = train_spec(recipe, len(data.train), seed=seed)
    model = make_model(encoder, task, recipe, seed=seed)
    check_fit(data, model.config.vocab_size, model.config.max_position_embeddings, where=str(encoder))
    scorer = Scorer(model, data.max_seq_length)
    watch = Watch(
        model, scorer, data.valid, task, best_by=recipe.best_by, patience=recipe.patience, scratch=scratch
    )
    with progress(spec.steps) as bar:
        runtime = Runtime(logs=logs, scratch=scratch, progress=bar, on_resume=on_resume)
        try:
            train(
                model,
                make_objective(task, recipe, data.train.labels),
                batch_source(data.train, recipe, max_seq_length=data.max_seq_length, seed=seed),
                spec=spec,
                runtime=runtime,
                evaluate=watch,
                eval_every=eval_every(recipe, len(data.train)),
            )
        except EarlyStop as stop:
            print(f"stopped at step {watch.curve[-1][0]} of {spec.steps}: {stop}")
    step = watch.restore()
    done = watch.curve[-1][0]
    last = dict(watch.curve).get(step)
    same = data.valid is data.dev and last is not None
    metrics = last if same and last is not None else evaluation(task, scorer.predictions(data.dev, task))
    board = TensorBoard(logs)
    board.add("eval", done, {k: v for k, v in metrics.items() if np.isfinite(v)})
    board.close()
    return Tuned(model, scorer, metrics, watch.curve, done, step)


def eval_every(recipe: Recipe, examples: int) -> int:
    """Steps between evaluations; 0 when there is only the one at the end."""
    per_epoch, _ = recipe.steps(examples)
    return -(-per_epoch // recipe.evals_per_epoch) if recipe.evals_per_epoch else 0


def check_fit(data: Data, vocab_size: int, positions: int, *, where: str) -> None:
    """Raises `DataError` when ids or lengths of the data are beyond what the checkpoint has."""
    highest = max(int(part.input_ids.max()) for part in (data.train, data.dev))
    if highest >= vocab_size:
        hint = "the records were made with another vocabulary than the checkpoint's"
        raise DataError(
            f"token id {highest}, but the checkpoint has {vocab_size} tokens", where=where, hint=hint
        )
    longest = max(int(part.lengths.max()) for part in (data.train, data.dev))
    if longest > positions:
        hint = "make the records with a smaller max_seq_length"
        raise DataError(
            f"{longest} tokens, but the checkpoint has {positions} positions", where=where, hint=hint
        )


def check_vocabulary(ours: Path, theirs: Path) -> None:
    """Raises `DataError`, naming the first line that differs, for another vocabulary."""
    a, b = (p.read_text(encoding="utf-8").rstrip("\n").split("\n") for p in (ours, theirs))
    if a == b:
        return
    line = next((i for i, (x, y) in enumerate(zip(a, b, strict=False), 1) if x != y), min(len(a), len(b)) + 1)
    raise DataError(
        f"another vocabulary than the checkpoint's: {len(a)} tokens, not {len(b)}; line {line} differs",
        where=f"{ours}:{line}",
        hint="make the records with bert_vocab=mklens(refbert).bert_vocab.refpath",
    )
