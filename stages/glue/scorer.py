"""A fine-tuned model at work: outputs for a set, and metrics on the whole of it.

Dimensions: B batch, S sequence, N examples, C outputs.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from stagedml.stages.bert.step import compiled

from .analysis import Predictions, mean_loss
from .features import Encoded
from .inputs import bucket_lengths, eval_plan, make_batch
from .metrics import score
from .tasks import Task

HEAD = "label"
MODEL_INPUTS = ("input_ids", "input_mask", "segment_ids")
CPU_TOKENS, GPU_TOKENS = 4096, 131072  # a batch of evaluation: what fills the device; halved when memory ends


class Scorer:
    """Applies a model to whole sets; compiled once, so keep it for all evaluations of a training."""

    def __init__(self, model: keras.Model, max_seq_length: int, *, tokens: int | None = None) -> None:
        self.boundaries = bucket_lengths(max_seq_length)
        self.tokens = tokens if tokens is not None else (GPU_TOKENS if on_accelerator() else CPU_TOKENS)
        self.run = compiled(_head_outputs, model)

    def outputs(self, data: Encoded) -> NDArray[np.float64]:
        """The head's outputs [N, C] in the order of the data, at the largest batch that fits in memory."""
        while True:
            try:
                return self._outputs(data)
            except Exception as e:
                exhausted = isinstance(e, MemoryError) or "EXHAUSTED" in f"{type(e).__name__}{e}".upper()
                if not exhausted or self.tokens <= self.boundaries[-1]:
                    raise
                self.tokens //= 2

    def _outputs(self, data: Encoded) -> NDArray[np.float64]:
        parts: dict[int, Any] = {}
        for length in self.boundaries:
            low = max((b for b in self.boundaries if b < length), default=0)
            rows = np.flatnonzero((data.lengths > low) & (data.lengths <= length))
            if not len(rows):
                continue
            size = max(1, self.tokens // length)
            size = min(size, 1 << (len(rows) - 1).bit_length())  # a small set does not fill a batch
            for slot in eval_plan(data.lengths[rows], batch_size=size, boundaries=(length,)):
                batch = make_batch(data, type(slot)(rows[slot.rows], length), size)
                found = self.run({k: batch[k] for k in MODEL_INPUTS})
                values = np.asarray(keras.ops.convert_to_numpy(found), np.float64)
                for row, value in zip(rows[slot.rows], values, strict=False):
                    parts[int(row)] = value
        return np.stack([parts[i] for i in range(len(data))])

    def predictions(self, data: Encoded, task: Task, *, labelled: bool = True) -> Predictions:
        """What the model says of a set."""
        return Predictions(self.outputs(data), data.labels if labelled else None, task.labels)


def _head_outputs(outputs: Any, batch: Any) -> Any:
    return outputs[HEAD]


def on_accelerator() -> bool:
    """Whether the backend in use has a GPU or TPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def evaluation(task: Task, p: Predictions) -> dict[str, float]:
    """Every metric of a labelled set, and `eval_loss`."""
    loss = mean_loss(p)  # first: it is what complains of missing labels
    return {**score(task, np.asarray(p.labels), p.answers), "eval_loss": loss}
