"""The training step on JAX: a pure function of the state, jitted, its inputs donated.

On several devices the weights are everywhere and the rows of a batch are shared out; the compiler divides the
work, so that sums, gradients and dropout masks are those of one device.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stagedml.stages.bert.devices import check_rows
from stagedml.stages.bert.optimizer import update
from stagedml.stages.bert.step import Batch, Plan, Tensor, Values, fold, global_norm, next_scale, report


class JaxStep:
    """See `stages/bert/step.py`."""

    def __init__(self, plan: Plan, *, distribution: Any = None) -> None:
        self.plan, self.distribution = plan, distribution
        self.slots = plan.make_slots()
        self._learning = {id(w) for w in plan.weights}
        self._weights: list[Tensor] = []
        self._frozen: list[Tensor] = []
        self._state: Values = {}
        self._run = jax.jit(self._step, donate_argnums=(0, 2))
        self.load()

    def __call__(self, batch: Batch, scalars: np.ndarray, seed: np.ndarray) -> Values:
        self._weights, self._state, values = self._run(
            self._weights, self._frozen, self._state, self._spread(batch), scalars, seed
        )
        return values

    def _spread(self, batch: Batch) -> Values:
        """The batch, each device's rows on it."""
        if self.distribution is None:
            return dict(batch)
        check_rows(len(next(iter(batch.values()))), self.distribution.device_mesh.devices.size)
        return {k: jax.device_put(v, self._rows(np.ndim(v), axis=0)) for k, v in batch.items()}

    def _rows(self, rank: int, *, axis: int) -> Any:
        """An array whose rows, counted along `axis`, are shared out."""
        mesh = self.distribution.device_mesh
        axes = [self.distribution.batch_dim_name if i == axis else None for i in range(rank)]
        return jax.sharding.NamedSharding(mesh.backend_mesh, jax.sharding.PartitionSpec(*axes))

    def _micro_batches(self, batch: Batch) -> Values:
        """[B, ...] -> [accumulate, B / accumulate, ...], each part shared out again."""
        parts = {k: jnp.reshape(v, (self.plan.accumulate, -1, *v.shape[1:])) for k, v in batch.items()}
        if self.distribution is None:
            return parts
        place = jax.lax.with_sharding_constraint
        return {k: place(v, self._rows(v.ndim, axis=1)) for k, v in parts.items()}

    def sync(self) -> None:
        """Puts the state into the model's variables and `slots` (copies: the originals will be donated)."""
        for variable, value in zip(self.plan.weights, self._weights, strict=True):
            variable.assign(jnp.copy(value))
        for name, value in self._state.items():
            self.slots[name].assign(jnp.copy(value))

    def load(self) -> None:
        """Takes the state from the model's variables and `slots`."""
        self._weights = [jnp.copy(w.value) for w in self.plan.weights]
        self._state = {k: jnp.copy(v.value) for k, v in self.slots.items()}
        self._frozen = [
            w.value for w in self.plan.model.trainable_variables if id(w) not in self._learning
        ] + [w.value for w in self.plan.model.non_trainable_variables]

    def _step(
        self,
        weights: list[Tensor],
        frozen: list[Tensor],
        state: Values,
        batch: Batch,
        scalars: Tensor,
        seed: Tensor,
    ) -> tuple[list[Tensor], Values, Values]:
        plan = self.plan
        counts = plan.objective.counts(batch)
        scale = state.get("loss_scale", jnp.float32(1.0))
        sums, grads = self._gradients(weights, frozen, batch, counts, seed, scale)
        grads = [g / scale for g in grads] if plan.scaled else grads
        norm = global_norm(grads)
        factor, finite = plan.clip_factor(norm), jnp.isfinite(norm)
        new_weights, new_state = [], {}
        for i, w in enumerate(plan.weights):
            old = (weights[i], state[f"m.{w.name}"], state[f"v.{w.name}"])
            new = update(
                plan.spec, old[0], grads[i] * factor, old[1], old[2],
                scalars=scalars, decay=plan.decays[i], mult=plan.factors[i],
            )  # fmt: skip
            if plan.scaled:
                new = tuple(jnp.where(finite, a, b) for a, b in zip(new, old, strict=True))
            new_weights.append(new[0])
            new_state[f"m.{w.name}"], new_state[f"v.{w.name}"] = new[1], new[2]
        if plan.scaled:
            new_state["loss_scale"], new_state["good_steps"] = next_scale(scale, state["good_steps"], finite)
        return new_weights, new_state, report(plan, sums, counts, norm)

    def _gradients(
        self,
        weights: list[Tensor],
        frozen: list[Tensor],
        batch: Batch,
        counts: Values,
        seed: Tensor,
        scale: Tensor,
    ) -> tuple[Values, list[Tensor]]:
        plan = self.plan

        def loss_of(weights: list[Tensor], part: Batch, seed: Tensor) -> tuple[Tensor, Values]:
            outputs, _ = plan.model.stateless_call(
                *self._arguments(weights, frozen), part, training=True, seed=seed
            )
            sums = plan.objective.sums(outputs, part)
            return plan.total(sums, counts) * scale, sums

        gradient = jax.grad(loss_of, has_aux=True)
        if plan.accumulate == 1:
            grads, sums = gradient(weights, batch, seed)
            return sums, grads
        split = self._micro_batches(batch)

        def more(carry: Any, part: Any) -> tuple[Any, None]:
            index, rows = part
            grads, sums = gradient(weights, rows, fold(seed, index))
            return jax.tree.map(jnp.add, carry, (sums, grads)), None

        grads, sums = gradient(weights, {k: v[0] for k, v in split.items()}, fold(seed, 0))
        rest = (jnp.arange(1, plan.accumulate), {k: v[1:] for k, v in split.items()})
        (sums, grads), _ = jax.lax.scan(more, (sums, grads), rest)
        return sums, grads

    def _arguments(self, weights: list[Tensor], frozen: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Weights in the order the model lists them: those that learn between those that do not."""
        learning, others = iter(weights), iter(frozen)
        ordered = [
            next(learning) if id(w) in self._learning else next(others)
            for w in self.plan.model.trainable_variables
        ]
        return ordered, list(others)
