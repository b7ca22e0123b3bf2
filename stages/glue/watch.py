"""Evaluations during training: what they measure, which was the best, and when it is time to stop."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from stagedml.errors import ConfigError

from .features import Encoded
from .metrics import metric_names
from .scorer import Scorer, evaluation
from .tasks import Task

Metrics = dict[str, float]


class EarlyStop(Exception):
    """Ends a training whose metric has stopped to improve."""


class Watch:
    """The `evaluate` of a training: scores a set, keeps the best weights in scratch, raises `EarlyStop`.

    Its state is on disk, so that a resumed training remembers which step was best.
    """

    def __init__(
        self,
        model: keras.Model,
        scorer: Scorer,
        data: Encoded,
        task: Task,
        *,
        best_by: str = "",
        patience: int = 0,
        scratch: Path | None = None,
    ) -> None:
        if best_by and best_by not in metric_names(task):
            hint = f"there is: {', '.join(metric_names(task))}"
            raise ConfigError(f"no metric {best_by!r} to choose by", where=task.name, hint=hint)
        self.model, self.scorer, self.data, self.task = model, scorer, data, task
        self.best_by, self.patience = best_by, patience
        self.folder = scratch / "watch" if scratch is not None else None
        self.curve: list[tuple[int, Metrics]] = []
        self.best: tuple[int, float] = (0, -math.inf)
        self.weights: dict[str, np.ndarray] = {}
        if self.folder is not None and (self.folder / "state.json").exists():
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
            self.curve = [(int(step), metrics) for step, metrics in state["curve"]]
            self.best = (int(state["best"][0]), float(state["best"][1]))

    def __call__(self, step: int) -> Mapping[str, Mapping[str, float]]:
        """Scores the model as it is at `step`."""
        self.curve = [(s, m) for s, m in self.curve if s < step]
        metrics = evaluation(self.task, self.scorer.predictions(self.data, self.task))
        self.curve.append((step, metrics))
        if self.best_by:
            self._compare(step, metrics)
        self._save()
        shown = {k.removeprefix("eval_"): v for k, v in metrics.items() if math.isfinite(v)}
        if self.best_by and self.patience:
            since = sum(1 for s, _ in self.curve if s > self.best[0])
            if since >= self.patience:
                raise EarlyStop(
                    f"{since} evaluations without a better {self.best_by} than {self.best[1]:.4f}"
                )
        return {"valid": shown}

    def _compare(self, step: int, metrics: Metrics) -> None:
        value = metrics[self.best_by]
        if self.best_by == "eval_loss":
            value = -value
        value = -math.inf if math.isnan(value) else value
        if value > self.best[1] or not self.best[0]:
            self.best = (step, value)
            self.weights = {
                w.name: np.array(keras.ops.convert_to_numpy(w.value)) for w in self.model.trainable_variables
            }
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                with (self.folder / "new.npz").open("wb") as f:
                    np.savez(f, **self.weights)  # type: ignore[arg-type]
                os.replace(self.folder / "new.npz", self.folder / f"best-{step}.npz")

    def _save(self) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {"curve": self.curve, "best": self.best}
        (self.folder / "new.json").write_text(json.dumps(state), encoding="utf-8")
        os.replace(self.folder / "new.json", self.folder / "state.json")
        for old in self.folder.glob("best-*.npz"):
            if old.name != f"best-{self.best[0]}.npz":
                old.unlink()

    def restore(self) -> int:
        """Puts the best weights into the model and returns their step; without `best_by`, the last step."""
        if not self.best_by or not self.best[0]:
            return self.curve[-1][0]
        if not self.weights and self.folder is not None:
            with np.load(self.folder / f"best-{self.best[0]}.npz") as arrays:
                self.weights = {name: arrays[name] for name in arrays.files}
        for w in self.model.trainable_variables:
            w.assign(self.weights[w.name])
        return self.best[0]
