"""The training step on TensorFlow, on one device or under a `tf.distribute` strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from stagedml.stages.bert.optimizer import update
from stagedml.stages.bert.step import Batch, Plan, Tensor, Values, fold, next_scale, report


class TfStep:
    """See `stages/bert/step.py`."""

    def __init__(self, plan: Plan, *, xla: bool, strategy: Any) -> None:
        self.plan, self.strategy = plan, strategy
        self.slots = plan.make_slots()
        body = self._replicated if strategy is not None else self._step
        self._run = tf.function(body, jit_compile=xla or None, reduce_retracing=not xla)

    def __call__(self, batch: Batch, scalars: np.ndarray, seed: np.ndarray) -> Values:
        values: Values = self._run(self._spread(batch), tf.constant(scalars), tf.constant(seed))
        return values

    def sync(self) -> None:
        """Nothing to do: the variables are the state."""

    def load(self) -> None:
        """Nothing to do: the variables are the state."""

    # -- one replica

    def _step(self, batch: Batch, scalars: Tensor, seed: Tensor) -> Values:
        counts = self._all_reduce(self.plan.objective.counts(batch))
        sums, grads = self._gradients(batch, counts, seed)
        sums, grads = self._all_reduce(sums), self._all_reduce(grads)
        if self.plan.scaled:
            grads = [g / self.slots["loss_scale"].value for g in grads]
        norm = tf.sqrt(2.0 * tf.add_n([tf.nn.l2_loss(g) for g in grads]))  # one pass each, no squares kept
        factor = self.plan.clip_factor(norm)
        self._apply([g * factor for g in grads], scalars, tf.math.is_finite(norm))
        return report(self.plan, sums, counts, norm)

    def _gradients(self, batch: Batch, counts: Values, seed: Tensor) -> tuple[Values, list[Tensor]]:
        """Sums and gradients of this replica's rows, in `accumulate` parts of equal size."""
        parts = self.plan.accumulate
        if parts == 1:
            return self._part(batch, counts, seed)
        split = {k: tf.reshape(v, tf.concat([[parts, -1], tf.shape(v)[1:]], 0)) for k, v in batch.items()}
        sums, grads = self._part({k: v[0] for k, v in split.items()}, counts, fold(seed, 0))

        def more(i: Tensor, sums: Values, grads: list[Tensor]) -> tuple[Tensor, Values, list[Tensor]]:
            s, g = self._part({k: v[i] for k, v in split.items()}, counts, fold(seed, i))
            return i + 1, {k: sums[k] + s[k] for k in sums}, [a + b for a, b in zip(grads, g, strict=True)]

        _, sums, grads = tf.while_loop(
            lambda i, *_: i < parts, more, [tf.constant(1), sums, grads], parallel_iterations=1
        )
        return sums, grads

    def _part(self, batch: Batch, counts: Values, seed: Tensor) -> tuple[Values, list[Tensor]]:
        plan = self.plan
        variables = [w.value for w in plan.weights]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            outputs = plan.model(batch, training=True, seed=seed)
            sums = plan.objective.sums(outputs, batch)
            loss = plan.total(sums, counts)
            if plan.scaled:
                loss = loss * self.slots["loss_scale"].value
        grads = tape.gradient(loss, variables)
        dense = [
            tf.zeros(v.shape) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(grads, variables, strict=True)
        ]
        return sums, dense

    def _apply(self, grads: list[Tensor], scalars: Tensor, finite: Tensor) -> None:
        plan = self.plan
        for w, g, mult, decay in zip(plan.weights, grads, plan.factors, plan.decays, strict=True):
            m, v = self.slots[f"m.{w.name}"].value, self.slots[f"v.{w.name}"].value

            def assign(
                w: Any, m: Any, v: Any, g: Tensor, scalars: Tensor, finite: Tensor,
                mult: float = mult, decay: float = decay,
            ) -> None:  # fmt: skip
                if plan.spec.kind == "adamw" and not plan.scaled:
                    _fused_adamw(plan, w, g, m, v, scalars, decay=decay, mult=mult)
                    return
                new = update(
                    plan.spec, tf.identity(w), g, tf.identity(m), tf.identity(v),
                    scalars=scalars, decay=decay, mult=mult,
                )  # fmt: skip
                for variable, value in zip((w, m, v), new, strict=True):
                    variable.assign(tf.where(finite, value, variable) if plan.scaled else value)

            self._on_replicas(assign, w.value, (m, v, g, scalars, finite))
        if plan.scaled:
            scale, good = self.slots["loss_scale"].value, self.slots["good_steps"].value

            def rescale(scale: Any, good: Any, finite: Tensor) -> None:
                new = next_scale(tf.identity(scale), tf.identity(good), finite)
                scale.assign(new[0])
                good.assign(new[1])

            self._on_replicas(rescale, scale, (good, finite))

    # -- several replicas

    def _replicated(self, batch: Batch, scalars: Tensor, seed: Tensor) -> Values:
        def one(batch: Batch, scalars: Tensor, seed: Tensor) -> Values:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return self._step(batch, scalars, fold(seed, replica))

        values = self.strategy.run(one, args=(batch, scalars, seed))
        return {k: self.strategy.experimental_local_results(v)[0] for k, v in values.items()}

    def _all_reduce(self, tensors: Any) -> Any:
        if self.strategy is None:
            return tensors
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)

    def _on_replicas(self, assign: Any, variable: Any, args: tuple[Any, ...]) -> None:
        if self.strategy is None:
            assign(variable, *args)
            return

        def merged(strategy: Any, *args: Any) -> None:
            strategy.extended.update(variable, assign, args=args, group=False)

        tf.distribute.get_replica_context().merge_call(merged, args=args)

    def _spread(self, batch: Batch) -> Mapping[str, Any]:
        """This process's replicas' rows of a global batch."""
        if self.strategy is None:
            return dict(batch)
        from stagedml.stages.bert.devices import spread

        return spread(self.strategy, batch)


def _fused_adamw(
    plan: Plan, w: Any, g: Tensor, m: Any, v: Any, scalars: Tensor, *, decay: float, mult: float
) -> None:
    """The same numbers as `update`, in one pass over the memory.

    The kernel's epsilon is added to the uncorrected root, hence the factor; its own corrections come from
    the beta powers.
    """
    spec = plan.spec
    lr, c1, c2 = scalars[0] * mult, scalars[1], scalars[2]
    if decay:
        w.assign(w * (1.0 - lr * decay))
    tf.raw_ops.ResourceApplyAdam(
        var=w.handle, m=m.handle, v=v.handle, beta1_power=1.0 - c1, beta2_power=1.0 - c2, lr=lr,
        beta1=spec.beta_1, beta2=spec.beta_2, epsilon=spec.epsilon * tf.sqrt(c2), grad=g,
    )  # fmt: skip
