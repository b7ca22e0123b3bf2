"""The one training loop: pre-training and every fine-tuning call `train` here.

How to use it (this is the whole interface):

    config = BertConfig.from_dict(...)                  # stages/bert/config.py
    model = BertTasks(config, {"label": Head(units=2)}, precision="float32")   # stages/bert/model.py
    initialize(model, seed); load_encoder(model, folder)                       # model.py, checkpoint.py
    data = shuffled_batches(arrays, batch_size=32, seed=7)                     # stages/bert/batches.py
    result = train(
        model,
        classification_objective("label"),              # stages/bert/objectives.py
        data,
        spec=TrainSpec(steps=345, seed=7, optimizer=OptimizerSpec(lr=2e-5, warmup_steps=34)),
        runtime=Runtime(logs=Path("logs"), scratch=b.scratch, progress=progress, on_resume=b.resumed),
        evaluate=lambda step: {"valid": evaluate(model, objective, lambda: eval_batches)},
        eval_every=115,
    )
    metrics = evaluate(model, objective, eval_batches)  # {"loss": ..., "accuracy": ...}, exact over the set
    outputs = predict(model, eval_batches)              # {"label": array [examples, units], ...}

- A *batch* is a dict of arrays with a common leading dimension: `input_ids`, `input_mask`, `segment_ids`
  (all [B, S], int32), and whatever the objective needs (`label_ids` [B], ...). `example_weights` [B]
  (0 for padding rows) is understood by the ready-made objectives.
- *data* is a function `data(start) -> iterable of batches`: the endless, deterministic stream from step
  `start` on (0 based). This is what makes a resumed run see exactly the batches it had not seen.
- An *objective* (`Objective`) says what is minimised and measured: `sums(outputs, batch)` and
  `counts(batch)`, dicts of scalars with the same keys; a reported value is the sum over the count, over as
  many batches, replicas and micro-batches as there are, and so exact; the sum of the ratios named in
  `minimise` is the loss. Counts depend on the data only.
- *evaluate* returns `{folder: {tag: value}}`; each goes to TensorBoard below `logs/<folder>` and to
  `result.evals`. It is called after every `eval_every` steps (0: never) and at the end.
- `scratch` holds the checkpoints of the running job (weights, optimizer, step, history), of which the last
  few are kept. A second call with the same scratch continues, and on a CPU ends bit for bit where an
  undisturbed run ends. SIGTERM and Ctrl-C write a checkpoint first.
- Learning rates of layers: `OptimizerSpec(layer_decay=0.9)`; frozen layers:
  `OptimizerSpec(layer_multipliers={"encoder.embeddings": 0})`.

`TrainSpec` and the data change the result; `Runtime` only says where and how to run.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stagedml.errors import ConfigError, DataError
from stagedml.stages.bert.batches import Batch, BatchSource
from stagedml.stages.bert.evaluation import evaluate, evaluator, predict, window_means
from stagedml.stages.bert.interrupts import Stopped, Stopping
from stagedml.stages.bert.objectives import Objective
from stagedml.stages.bert.optimizer import OptimizerSpec
from stagedml.stages.bert.spec import Runtime, TrainingError, TrainResult, TrainSpec
from stagedml.stages.bert.state import Progressed, load_state, save_state, states
from stagedml.stages.bert.step import Step, array_of, make_step
from stagedml.stages.bert.tblog import Meter, TensorBoard

__all__ = [
    "Evaluate",
    "OptimizerSpec",
    "Runtime",
    "TrainResult",
    "TrainSpec",
    "TrainingError",
    "evaluate",
    "evaluator",
    "predict",
    "train",
]

Evaluate = Callable[[int], Mapping[str, Mapping[str, float]]]
CHECKPOINT_SHARE = 0.03  # of the time may go into checkpoints
CHECKPOINT_PAUSE_S = 10.0  # between two of them at least
SYNC_EVERY = 16  # steps whose results may be pending, so that a stop or a NaN is noticed soon


def train(
    model: keras.Model,
    objective: Objective,
    data: BatchSource,
    *,
    spec: TrainSpec,
    runtime: Runtime | None = None,
    evaluate: Evaluate | None = None,
    eval_every: int = 0,
) -> TrainResult:
    """Trains `model` in place up to `spec.steps`. The interface is described at the top of this file.

    Raises `TrainingError` when the loss is not finite any more (the last good state and the batch stay in
    `scratch`) or memory is exhausted, `DataError` when the data end too soon, `ConfigError` when a state
    to go on from belongs to another training.
    """
    runtime = runtime or Runtime()
    with runtime.strategy.scope() if runtime.strategy is not None else nullcontext():
        run = _Run(model, objective, data, spec, runtime, evaluate, eval_every)
    return run.go()


class _Run:
    """One call of `train`."""

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        data: BatchSource,
        spec: TrainSpec,
        runtime: Runtime,
        evaluate: Evaluate | None,
        eval_every: int,
    ) -> None:
        self.model, self.data, self.spec, self.runtime = model, data, spec, runtime
        self.evaluate, self.eval_every = evaluate, eval_every
        self.step_fn: Step = make_step(
            model,
            objective,
            spec.optimizer,
            accumulate=spec.accumulate,
            xla=runtime.xla,
            strategy=runtime.strategy,
        )
        self.minimise = objective.minimise
        self.at = Progressed(spec=spec.identity())
        self.board = TensorBoard(runtime.logs)
        self.pending: list[dict[str, Any]] = []  # results of steps, maybe still being computed
        self.stop_signal: int | None = None
        self.last_save = time.perf_counter()
        self.save_cost = 0.0
        self.meter = Meter(model)

    # -- the loop

    def go(self) -> TrainResult:
        start = time.perf_counter()
        resumed_at = self._resume()
        self.runtime.progress.update(resumed_at or 0)
        with Stopping(self._on_signal):
            try:
                self._loop()
                self._finish()
            except TrainingError:
                raise
            except Exception as e:
                self._explain(e)
                raise
            finally:
                self.board.close()
        return TrainResult(
            self.at.step, self.at.scalars, self.at.evals, time.perf_counter() - start, resumed_at
        )

    def _loop(self) -> None:
        batches = iter(self.data(self.at.step)) if self.at.step < self.spec.steps else iter(())
        self.meter.start()
        while self.at.step < self.spec.steps:
            batch = self._next(batches)
            step = self.at.step
            scalars = self.spec.optimizer.scalars(step, self.spec.horizon)
            seed = np.array([self.spec.seed & 0x7FFFFFFF, step], np.int32)
            values = self.step_fn(batch, scalars, seed)
            self.pending.append(values)
            self.at.step = step + 1
            self._log()
            if self._eval_due():
                self._run_evaluation()
            if self.stop_signal is not None:
                self._stopped()
            if self._save_due():
                self._save()
            self.runtime.progress.update(1)
        self._collect()

    def _finish(self) -> None:
        """Leaves the state as a longer run would have it here, then logs and evaluates what is not yet."""
        self.step_fn.sync()
        if self.runtime.save_final is not None:
            save_state(self.runtime.save_final, self.at, self._arrays(), keep=1)
        if self.at.window:
            self._log_window()
        if self.evaluate is not None and (not self.at.evals or self.at.evals[-1][0] != self.at.step):
            self._run_evaluation()

    def _next(self, batches: Iterator[Batch]) -> Batch:
        try:
            batch = next(batches)
        except StopIteration:
            raise DataError(
                f"the data ended at step {self.at.step} of {self.spec.steps}",
                where="training data",
                hint="a batch source must be endless: repeat the epochs",
            ) from None
        self.meter.count(batch)
        return batch

    # -- measuring

    def _collect(self) -> None:
        """Waits for pending steps and takes their values over; stops when one is not finite."""
        first = self.at.step - len(self.pending)
        for i, values in enumerate(self.pending):
            numbers = {k: float(v) for k, v in values.items()}
            scaled = "loss_scale" in self.step_fn.slots  # float16 skips steps that overflow
            if not math.isfinite(numbers["loss"]) or not (scaled or math.isfinite(numbers["grad_norm"])):
                self.pending.clear()
                self._not_finite(first + i, numbers)
            self.at.window.append(numbers)
        self.pending.clear()

    def _log(self) -> None:
        if len(self.pending) >= SYNC_EVERY:
            self._collect()
        if self.at.step % self.spec.log_every == 0:
            self._collect()
            self._log_window()
            self.board.add("train", self.at.step, self.meter.rates())

    def _log_window(self) -> None:
        values = window_means(self.at.window, self.minimise)
        values["lr"] = self.spec.optimizer.learning_rate(self.at.step - 1, self.spec.horizon)
        self.at.window.clear()
        self._record("train", values)
        self.runtime.progress.note(loss=values["loss"])

    def _record(self, folder: str, values: Mapping[str, float]) -> None:
        self.at.scalars.extend((self.at.step, folder, tag, float(v)) for tag, v in values.items())
        self.board.add(folder, self.at.step, values)

    def _eval_due(self) -> bool:
        return self.evaluate is not None and self.eval_every > 0 and self.at.step % self.eval_every == 0

    def _run_evaluation(self) -> None:
        self._collect()
        self.step_fn.sync()
        assert self.evaluate is not None
        began = time.perf_counter()
        results = {
            f: {t: float(v) for t, v in tags.items()} for f, tags in self.evaluate(self.at.step).items()
        }
        for folder, values in results.items():
            self._record(folder, values)
        self.at.evals.append((self.at.step, results))
        self.meter.pause(time.perf_counter() - began)

    # -- keeping

    def _arrays(self) -> dict[str, np.ndarray]:
        self.step_fn.sync()
        arrays = {f"w.{w.name}": w for w in self.model.trainable_variables} | self.step_fn.slots
        return {name: array_of(v) for name, v in arrays.items()}

    def _save_due(self) -> bool:
        if self.runtime.scratch is None:
            return False
        if self.runtime.checkpoint_every is not None:
            return self.at.step % self.runtime.checkpoint_every == 0
        idle = time.perf_counter() - self.last_save
        return idle > max(CHECKPOINT_PAUSE_S, self.save_cost / CHECKPOINT_SHARE)

    def _save(self) -> Path | None:
        if self.runtime.scratch is None:
            return None
        self._collect()
        began = time.perf_counter()
        path = save_state(self.runtime.scratch / "train", self.at, self._arrays(), keep=self.runtime.keep)
        self.last_save = time.perf_counter()
        self.save_cost = self.last_save - began
        return path

    def _resume(self) -> int | None:
        """Takes over the newest state: of this job, or of the training it extends."""
        found = states(self.runtime.scratch / "train") if self.runtime.scratch is not None else []
        own = bool(found)
        if not found and self.runtime.initial is not None:
            found = states(self.runtime.initial)
            if not found:
                raise DataError("no training state to extend", where=str(self.runtime.initial))
        if not found:
            return None
        at, arrays = load_state(found[-1])
        self._check_same(at, found[-1])
        targets = {f"w.{w.name}": w for w in self.model.trainable_variables} | self.step_fn.slots
        if set(targets) != set(arrays):
            odd = sorted(set(targets) ^ set(arrays))
            raise ConfigError(f"the state is of another model: {odd[:5]}", where=str(found[-1]))
        for name, variable in targets.items():
            variable.assign(arrays[name])
        self.step_fn.load()
        self.at = at
        for step, folder, tag, value in at.scalars:
            self.board.add(folder, step, {tag: value})
        self.runtime.on_resume(f"step {at.step}" if own else f"step {at.step} of {self.runtime.initial}")
        return at.step

    def _check_same(self, at: Progressed, path: Path) -> None:
        mine = json.loads(json.dumps(self.at.spec))
        differing = [k for k in mine if mine[k] != at.spec.get(k)]
        if differing or at.step > self.spec.steps:
            what = ", ".join(f"{k} was {at.spec.get(k)!r}, is {mine[k]!r}" for k in differing)
            raise ConfigError(
                what or f"it is at step {at.step}, beyond the {self.spec.steps} asked for",
                where=str(path),
                hint="only a training that differs in its length alone can be continued; "
                "state the schedule's horizon to be able to extend it",
            )

    # -- ending early

    def _on_signal(self, number: int) -> None:
        self.stop_signal = number  # looked at after each step

    def _stopped(self) -> None:
        """Saves, then lets the signal do what it did before training began."""
        self._save()
        raise Stopped(self.stop_signal or signal.SIGTERM)

    def _not_finite(self, step: int, numbers: Mapping[str, float]) -> None:
        kept, batch_file = "nowhere: no scratch folder was given", ""
        if self.runtime.scratch is not None:
            batch_path = self.runtime.scratch / f"bad-batch-{step:08d}.npz"
            batch = next(iter(self.data(step)))
            arrays: dict[str, Any] = {k: np.asarray(v) for k, v in batch.items()}
            np.savez(batch_path, **arrays)
            found = states(self.runtime.scratch / "train")
            kept, batch_file = str(found[-1]) if found else "not written yet", f"; its batch: {batch_path}"
        raise TrainingError(
            f"loss {numbers['loss']}, gradient norm {numbers['grad_norm']}",
            where=f"training step {step}",
            hint=f"last good state: {kept}{batch_file}; try a smaller lr, more warmup_steps, clip_norm",
        )

    def _explain(self, error: Exception) -> None:
        """Turns exhausted memory into advice; anything else goes on as it is."""
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError) or "ResourceExhausted" in text or "RESOURCE_EXHAUSTED" in text:
            raise TrainingError(
                f"out of memory: {str(error).splitlines()[0] if str(error) else 'no detail'}",
                where=f"training step {self.at.step}",
                hint=f"batches of {self.meter.batch_rows} sequences; try smaller ones, or parts of them with "
                f"accumulate={2 * self.spec.accumulate}, shorter sequences, or precision bfloat16",
            ) from error
