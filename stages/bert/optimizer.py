"""AdamW and LAMB with BERT's usual exclusions, and learning-rate schedules.

What varies from step to step (learning rate, bias corrections) is computed on the host in double precision
and handed to the compiled step as three numbers, so schedules are plain Python, equal on every backend.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from stagedml.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

Tensor = Any
NO_DECAY = ("bias", "gamma", "beta")  # Devlin et al.: neither biases nor layer norms decay


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer with its schedule.

    AdamW (Loshchilov & Hutter, arXiv:1711.05101) with bias correction, or LAMB (You et al.,
    arXiv:1904.00962). `horizon` is the step at which the schedule ends (None: the training's last step);
    a run that is to be extended later states it.
    """

    kind: Literal["adamw", "lamb"] = "adamw"
    lr: float = 1e-4
    schedule: Literal["linear", "constant", "cosine", "one_cycle"] = "linear"
    warmup_steps: int = 0
    horizon: int | None = None
    weight_decay: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-6
    clip_norm: float | None = 1.0
    layer_decay: float = 1.0  # each layer below the top learns this factor slower
    layer_multipliers: Mapping[str, float] = field(default_factory=dict)  # by prefix of the weight's name

    def __post_init__(self) -> None:
        if self.kind not in ("adamw", "lamb"):
            raise ConfigError(f"unknown optimizer {self.kind!r}", where="optimizer", hint="adamw or lamb")
        if self.schedule not in ("linear", "constant", "cosine", "one_cycle"):
            raise ConfigError(
                f"unknown schedule {self.schedule!r}",
                where="optimizer",
                hint="linear, constant, cosine or one_cycle",
            )
        if self.warmup_steps < 0:
            raise ConfigError(f"warmup_steps is {self.warmup_steps}, must not be negative", where="optimizer")
        if not self.lr > 0:
            raise ConfigError(f"lr is {self.lr}, must be positive", where="optimizer")

    def learning_rate(self, step: int, steps: int) -> float:
        """The rate of step `step` (0 based) in a training whose schedule ends after `steps`."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        span = max(1, steps - self.warmup_steps)
        done = min(1.0, (step - self.warmup_steps) / span)
        if self.schedule == "constant":
            return self.lr
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "one_cycle":
            return self._one_cycle(step, steps)
        return self.lr * (1 - done)

    def _one_cycle(self, step: int, steps: int) -> float:
        """Smith & Topin, arXiv:1708.07120: up from lr/25 over 30% of the run, down to lr/10000."""
        peak = max(1, int(0.3 * steps))
        low, high, t = (
            (self.lr / 25, self.lr, step / peak)
            if step < peak
            else (self.lr * 1e-4, self.lr, 1 - min(1.0, (step - peak) / max(1, steps - peak)))
        )
        return low + (high - low) * 0.5 * (1 - math.cos(math.pi * t))

    def scalars(self, step: int, steps: int) -> np.ndarray:
        """Learning rate and the two bias corrections of step `step`, float32 [3]."""
        import numpy as np

        t = step + 1
        values = [self.learning_rate(step, steps), 1 - self.beta_1**t, 1 - self.beta_2**t]
        return np.asarray(values, np.float32)

    def multipliers(self, names: Sequence[str], layers: int) -> list[float]:
        """The learning-rate factor of each weight; 0 freezes it."""
        return [self._multiplier(name, layers) for name in names]

    def _multiplier(self, name: str, layers: int) -> float:
        matching = [p for p in self.layer_multipliers if name == p or name.startswith(p + ".")]
        if matching:
            return float(self.layer_multipliers[max(matching, key=len)])
        if self.layer_decay == 1.0 or not name.startswith("encoder.") or ".pooler." in name:
            return 1.0
        part = name.split(".")[1]
        depth = 0 if part == "embeddings" else int(part.removeprefix("layer_")) + 1
        return float(self.layer_decay ** (layers + 1 - depth))

    def decay_of(self, name: str) -> float:
        """The weight decay of one weight."""
        return 0.0 if name.rsplit(".", 1)[-1] in NO_DECAY else self.weight_decay


def update(
    spec: OptimizerSpec,
    w: Tensor,
    g: Tensor,
    m: Tensor,
    v: Tensor,
    *,
    scalars: Tensor,
    decay: float,
    mult: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """One weight's new value and moments; runs on every backend. `scalars` as `OptimizerSpec.scalars`."""
    from keras import ops

    lr, c1, c2 = scalars[0] * mult, scalars[1], scalars[2]
    m = spec.beta_1 * m + (1 - spec.beta_1) * g
    v = spec.beta_2 * v + (1 - spec.beta_2) * ops.square(g)
    step = (m / c1) / (ops.sqrt(v / c2) + spec.epsilon)
    if decay:
        step = step + decay * w
    if spec.kind == "lamb":
        w_norm, s_norm = ops.sqrt(ops.sum(ops.square(w))), ops.sqrt(ops.sum(ops.square(step)))
        usable = ops.logical_and(w_norm > 0, s_norm > 0)
        ratio = ops.where(usable, w_norm / ops.where(usable, s_norm, 1.0), 1.0)
        step = step * ratio
    return w - lr * step, m, v
