"""One optimizer step, compiled: a `tf.function` on TensorFlow, a jitted pure function on JAX.

Both do the same: sums and counts of every micro-batch and replica are added up before anything is divided,
so the gradient is that of the whole global batch however it was split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from stagedml.errors import ConfigError
from stagedml.stages.bert.objectives import Objective
from stagedml.stages.bert.optimizer import OptimizerSpec

Tensor = Any
Batch = Mapping[str, Any]
Values = dict[str, Any]  # "sum/<name>", "count/<name>", "grad_norm", "loss", "finite"
SCALE_UP_AFTER = 2000  # float16: steps without overflow after which the loss scale doubles


def array_of(variable: Any) -> np.ndarray:
    """A copy of a Keras variable's value on the host, on any backend, mirrored or not."""
    value = variable.value
    return np.array(value.numpy() if hasattr(value, "numpy") else value)


class Step(Protocol):
    """A compiled training step over the weights that learn."""

    slots: dict[str, Any]  # optimizer state by name, keras variables

    def __call__(self, batch: Batch, scalars: np.ndarray, seed: np.ndarray) -> Values: ...

    def sync(self) -> None:
        """Brings the model's variables and `slots` up to date."""

    def load(self) -> None:
        """Takes the model's variables and `slots` as the state to go on from."""


class Plan:
    """What a step needs to know about the weights: which learn, how fast, with what decay."""

    def __init__(
        self, model: keras.Model, objective: Objective, spec: OptimizerSpec, accumulate: int
    ) -> None:
        weights = list(model.trainable_variables)
        factors = spec.multipliers([w.name for w in weights], model.config.num_hidden_layers)
        self.model, self.objective, self.spec, self.accumulate = model, objective, spec, accumulate
        self.weights = [w for w, f in zip(weights, factors, strict=True) if f]
        self.factors = [f for f in factors if f]
        self.decays = [spec.decay_of(w.name) for w in self.weights]
        self.scaled = model.compute_dtype == "float16"
        if not self.weights:
            raise ConfigError("every weight is frozen", where="training", hint="see layer_multipliers")

    def make_slots(self) -> dict[str, Any]:
        """Zeroed moments of each learning weight, and the loss scale for float16."""
        slots = {
            f"{kind}.{w.name}": keras.Variable(
                np.zeros(w.shape, np.float32), trainable=False, dtype="float32", name=f"{kind}.{w.name}"
            )
            for kind in ("m", "v")
            for w in self.weights
        }
        if self.scaled:
            for name, value in (("loss_scale", 2.0**15), ("good_steps", 0.0)):
                slots[name] = keras.Variable(value, trainable=False, dtype="float32", name=name)
        return slots

    def total(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> Tensor:
        """The loss: the sum of the minimised ratios."""
        parts = [sums[k] / ops.maximum(counts[k], 1e-6) for k in self.objective.minimise]
        return sum(parts[1:], parts[0])

    def clip_factor(self, norm: Tensor) -> Tensor:
        """What to multiply gradients with so that their global norm is at most `clip_norm`."""
        if self.spec.clip_norm is None:
            return ops.ones_like(norm)
        return self.spec.clip_norm / ops.maximum(norm, self.spec.clip_norm)


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of all gradients taken as one vector."""
    squares = [ops.sum(ops.square(g)) for g in gradients]
    return ops.sqrt(sum(squares[1:], squares[0]))


def report(plan: Plan, sums: Values, counts: Values, norm: Tensor) -> Values:
    """The values a step returns."""
    values = {f"sum/{k}": v for k, v in sums.items()} | {f"count/{k}": v for k, v in counts.items()}
    return values | {"grad_norm": norm, "loss": plan.total(sums, counts)}


def fold(seed: Tensor, number: Tensor) -> Tensor:
    """Another seed, for micro-batch or replica `number`."""
    return seed + ops.stack([ops.cast(number, "int32") * 0x3C6EF35F, ops.zeros((), "int32")])


def next_scale(scale: Tensor, good: Tensor, finite: Tensor) -> tuple[Tensor, Tensor]:
    """Dynamic loss scale (Micikevicius et al., arXiv:1710.03740): halve on overflow, double after a while."""
    grown = good + 1 >= SCALE_UP_AFTER
    new = ops.where(finite, ops.where(grown, scale * 2, scale), ops.maximum(scale / 2, 1.0))
    return new, ops.where(ops.logical_and(finite, ops.logical_not(grown)), good + 1, 0.0)


def make_step(
    model: keras.Model,
    objective: Objective,
    spec: OptimizerSpec,
    *,
    accumulate: int = 1,
    xla: bool = False,
    strategy: Any = None,
) -> Step:
    """The step of the backend in use; `strategy` spreads it over devices, see `stages/bert/devices.py`."""
    plan = Plan(model, objective, spec, accumulate)
    if keras.backend.backend() == "jax":
        from stagedml.stages.bert.step_jax import JaxStep

        return JaxStep(plan, distribution=strategy)
    from stagedml.stages.bert.step_tf import TfStep

    return TfStep(plan, xla=xla, strategy=strategy)


def compiled(
    function: Callable[[Mapping[str, Any], Batch], Any], model: keras.Model, *, xla: bool = False
) -> Callable[[Batch], Any]:
    """`function(outputs, batch)` of a forward pass without dropout, compiled for the backend in use."""
    if keras.backend.backend() == "jax":
        import jax

        def run_jax(weights: Any, others: Any, batch: Batch) -> Any:
            outputs, _ = model.stateless_call(weights, others, batch)
            return function(outputs, batch)

        jitted = jax.jit(run_jax)
        return lambda batch: jitted(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            dict(batch),
        )
    import tensorflow as tf

    run = tf.function(
        lambda batch: function(model(batch), batch), jit_compile=xla or None, reduce_retracing=not xla
    )
    return lambda batch: run(dict(batch))
