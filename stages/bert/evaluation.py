"""Values of an objective over a whole set, and predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from stagedml.errors import DataError
from stagedml.stages.bert.batches import Batch
from stagedml.stages.bert.objectives import Objective
from stagedml.stages.bert.step import compiled


def window_means(window: Iterable[Mapping[str, float]], minimise: Iterable[str]) -> dict[str, float]:
    """Exact means over some steps: sums over counts; the loss is that of the ratios in `minimise`."""
    totals: dict[str, float] = {}
    norms, n = 0.0, 0
    for values in window:
        n += 1
        norms += values["grad_norm"]
        for key, value in values.items():
            if "/" in key:
                totals[key] = totals.get(key, 0.0) + value
    means = {
        key[4:]: value / max(totals[f"count/{key[4:]}"], 1e-6)
        for key, value in totals.items()
        if key.startswith("sum/")
    }
    return {"loss": sum(means[k] for k in minimise), **means, "grad_norm": norms / max(n, 1)}


def evaluator(model: keras.Model, objective: Objective) -> Callable[[Iterable[Batch]], dict[str, float]]:
    """A compiled evaluation: `check(batches)` gives every value of the objective, and `loss`."""

    def both(outputs: Any, batch: Batch) -> Any:
        return objective.sums(outputs, batch), objective.counts(batch)

    run = compiled(both, model)

    def check(batches: Iterable[Batch]) -> dict[str, float]:
        window = []
        for batch in batches:
            sums, counts = run(batch)
            window.append(
                {f"sum/{k}": float(v) for k, v in sums.items()}
                | {f"count/{k}": float(v) for k, v in counts.items()}
                | {"grad_norm": 0.0}
            )
        if not window:
            raise DataError("nothing to evaluate on", where="evaluation data")
        means = window_means(window, objective.minimise)
        del means["grad_norm"]
        return means

    return check


def evaluate(model: keras.Model, objective: Objective, batches: Iterable[Batch]) -> dict[str, float]:
    """The objective's values over `batches`, exact; use `evaluator` to evaluate more than once."""
    return evaluator(model, objective)(batches)


def _outputs(outputs: Any, batch: Batch) -> Any:
    return outputs


def predict(model: keras.Model, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
    """The model's outputs over `batches`, in order; rows of `example_weights` 0 (padding) are dropped."""
    run = compiled(_outputs, model)
    parts: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        real = np.asarray(batch["example_weights"]) > 0 if "example_weights" in batch else slice(None)
        for name, value in run(batch).items():
            parts.setdefault(name, []).append(np.asarray(keras.ops.convert_to_numpy(value))[real])
    return {name: np.concatenate(values) for name, values in parts.items()}
