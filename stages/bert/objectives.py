"""What a training minimises and measures, as sums and counts that add up over batches and devices.

Dimensions: B batch, S sequence, P predictions, V vocabulary, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keras import ops

from stagedml.stages.bert.kernels import entropy_and_hits

Tensor = Any
Batch = Mapping[str, Tensor]
Scalars = dict[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """`sums(outputs, batch)` over `counts(batch)` are the reported values; see stages/bert/train.py."""

    sums: Callable[[Mapping[str, Tensor], Batch], Scalars]
    counts: Callable[[Batch], Scalars]
    minimise: tuple[str, ...] = ("loss",)


def cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """-log softmax(logits)[label] over the last axis: [...], [..., C] -> [...]."""
    return entropy_and_hits(labels, logits)[0]


def example_weights(batch: Batch) -> Tensor:
    """[B] float32: the batch's `example_weights`, or ones."""
    if "example_weights" in batch:
        return ops.cast(batch["example_weights"], "float32")
    return ops.ones((ops.shape(batch["input_ids"])[0],), "float32")


def pretraining_objective(*, nsp: bool = True) -> Objective:
    """Masked LM and, with `nsp`, next-sentence prediction: Google's loss, the sum of both means."""

    def counts(batch: Batch) -> Scalars:
        masked = ops.sum(ops.cast(batch["masked_lm_weights"], "float32"))
        out = {"mlm_loss": masked, "mlm_accuracy": masked}
        if nsp:
            pairs = ops.sum(example_weights(batch))
            out |= {"nsp_loss": pairs, "nsp_accuracy": pairs}
        return out

    def sums(outputs: Mapping[str, Tensor], batch: Batch) -> Scalars:
        weights = ops.cast(batch["masked_lm_weights"], "float32")  # [B, P]
        losses, hits = entropy_and_hits(batch["masked_lm_ids"], outputs["mlm_logits"])  # [B, P]
        out = {"mlm_loss": ops.sum(weights * losses), "mlm_accuracy": ops.sum(weights * hits)}
        if nsp:
            labels, rows = ops.reshape(batch["next_sentence_labels"], (-1,)), example_weights(batch)  # [B]
            losses, hits = entropy_and_hits(labels, outputs["nsp_logits"])
            out["nsp_loss"], out["nsp_accuracy"] = ops.sum(rows * losses), ops.sum(rows * hits)
        return out

    return Objective(sums, counts, ("mlm_loss", "nsp_loss") if nsp else ("mlm_loss",))


def classification_objective(head: str, *, labels: str = "label_ids") -> Objective:
    """Cross entropy of one pooled head: reports `loss` and `accuracy`."""

    def counts(batch: Batch) -> Scalars:
        rows = ops.sum(example_weights(batch))
        return {"loss": rows, "accuracy": rows}

    def sums(outputs: Mapping[str, Tensor], batch: Batch) -> Scalars:
        rows, logits = example_weights(batch), outputs[head]  # [B], [B, C]
        losses, hits = entropy_and_hits(ops.reshape(batch[labels], (-1,)), logits)
        return {"loss": ops.sum(rows * losses), "accuracy": ops.sum(rows * hits)}

    return Objective(sums, counts)


def regression_objective(head: str, *, labels: str = "label_values") -> Objective:
    """Mean squared error of a head with one unit: reports `loss` and `mae`."""

    def counts(batch: Batch) -> Scalars:
        rows = ops.sum(example_weights(batch))
        return {"loss": rows, "mae": rows}

    def sums(outputs: Mapping[str, Tensor], batch: Batch) -> Scalars:
        error = outputs[head][:, 0] - ops.cast(ops.reshape(batch[labels], (-1,)), "float32")  # [B]
        rows = example_weights(batch)
        return {"loss": ops.sum(rows * ops.square(error)), "mae": ops.sum(rows * ops.abs(error))}

    return Objective(sums, counts)


def token_objective(head: str, *, labels: str = "token_labels", weights: str = "token_weights") -> Objective:
    """Cross entropy of a token head over the tokens that `weights` [B, S] selects: `loss`, `accuracy`."""

    def counts(batch: Batch) -> Scalars:
        tokens = ops.sum(ops.cast(batch[weights], "float32"))
        return {"loss": tokens, "accuracy": tokens}

    def sums(outputs: Mapping[str, Tensor], batch: Batch) -> Scalars:
        chosen = ops.cast(batch[weights], "float32")  # [B, S]
        losses, hits = entropy_and_hits(batch[labels], outputs[head])
        return {"loss": ops.sum(chosen * losses), "accuracy": ops.sum(chosen * hits)}

    return Objective(sums, counts)


def combined_objective(**parts: Objective) -> Objective:
    """Several objectives at once, such as intent and slots; reported as `<part>_<value>`."""

    def counts(batch: Batch) -> Scalars:
        return {f"{p}_{k}": v for p, o in parts.items() for k, v in o.counts(batch).items()}

    def sums(outputs: Mapping[str, Tensor], batch: Batch) -> Scalars:
        return {f"{p}_{k}": v for p, o in parts.items() for k, v in o.sums(outputs, batch).items()}

    return Objective(sums, counts, tuple(f"{p}_{k}" for p, o in parts.items() for k in o.minimise))
