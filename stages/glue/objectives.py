"""What fine-tuning minimises besides plain cross entropy: class weights and focal loss.

Dimensions: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from stagedml.errors import ConfigError
from stagedml.stages.bert.objectives import Objective, cross_entropy, example_weights

Tensor = Any
Batch = Mapping[str, Tensor]


def balanced_weights(labels: NDArray[np.int32], num_classes: int) -> list[float]:
    """Weights [C] inverse to how often a class occurs, 1 on average over examples; 0 for an absent one."""
    counts = np.bincount(labels, minlength=num_classes).astype(np.float64)
    present = (counts > 0).sum()
    with np.errstate(divide="ignore"):
        weights = np.where(counts > 0, counts.sum() / (present * counts), 0.0)
    return [float(w) for w in weights]


def weighted_objective(
    head: str, *, class_weights: Sequence[float] | None = None, focal_gamma: float = 0.0
) -> Objective:
    """Cross entropy of a pooled head with a weight a class, focal where `focal_gamma` is above 0.

    Focal loss (Lin et al. 2017, arXiv:1708.02002) scales the loss of an example by (1 - p)^gamma, p being the
    probability of its label. Reports `loss`, a mean over the weights, and the plain `accuracy`.
    """
    if focal_gamma < 0:
        raise ConfigError(f"focal_gamma {focal_gamma} is negative", where="fine-tuning")
    table = None if class_weights is None else np.asarray(class_weights, np.float32)

    def wanted(batch: Batch) -> Tensor:
        return ops.cast(ops.reshape(batch["label_ids"], (-1,)), "int32")

    def weights(batch: Batch) -> Tensor:
        rows = example_weights(batch)
        return rows if table is None else rows * ops.take(ops.convert_to_tensor(table), wanted(batch), axis=0)

    def counts(batch: Batch) -> dict[str, Tensor]:
        return {"loss": ops.sum(weights(batch)), "accuracy": ops.sum(example_weights(batch))}

    def sums(outputs: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        logits, labels = outputs[head], wanted(batch)  # [B, C], [B]
        loss = cross_entropy(labels, logits)  # [B]
        if focal_gamma:
            loss = loss * ops.power(ops.maximum(1.0 - ops.exp(-loss), 1e-6), focal_gamma)
        hits = ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels), "float32")
        return {
            "loss": ops.sum(weights(batch) * loss),
            "accuracy": ops.sum(example_weights(batch) * hits),
        }

    return Objective(sums, counts)
