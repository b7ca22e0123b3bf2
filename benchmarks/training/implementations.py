"""One pre-training step of each implementation, on equal settings: `make(name, setting)` gives `step(batch)`.

All compute masked LM over gathered positions, next-sentence prediction, dropout 0.1, AdamW with decay 0.01
and clipping at norm 1, and return the loss as a float (which waits for the result).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Batch = dict[str, np.ndarray]
StepFunction = Callable[[Batch], float]
LR, DECAY, CLIP = 1e-4, 0.01, 1.0


@dataclass(frozen=True)
class Setting:
    """A model size, a batch and a precision."""

    layers: int = 6
    hidden: int = 256
    vocab: int = 30522
    batch: int = 32
    length: int = 128
    predictions: int = 20
    precision: str = "float32"

    @property
    def sizes(self) -> dict[str, int]:
        """As Hugging Face's config names them."""
        return {
            "vocab_size": self.vocab,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.hidden // 64,
            "intermediate_size": 4 * self.hidden,
        }


def ours(s: Setting, *, xla: bool = False) -> StepFunction:
    """stages/bert, on the backend of KERAS_BACKEND."""
    from stagedml.stages.bert.config import BertConfig
    from stagedml.stages.bert.model import BertPretraining, initialize
    from stagedml.stages.bert.objectives import pretraining_objective
    from stagedml.stages.bert.optimizer import OptimizerSpec
    from stagedml.stages.bert.step import make_step

    model = BertPretraining(BertConfig(**s.sizes), precision=s.precision)  # type: ignore[arg-type]
    initialize(model, 1)
    spec = OptimizerSpec(lr=LR, weight_decay=DECAY, clip_norm=CLIP, schedule="constant")
    step = make_step(model, pretraining_objective(), spec, xla=xla)
    count = iter(range(10**9))

    def run(batch: Batch) -> float:
        i = next(count)
        return float(step(batch, spec.scalars(i, 10**9), np.array([1, i], np.int32))["loss"])

    return run


def tfmodels(s: Setting) -> StepFunction:
    """tf-models-official's `BertPretrainerV2` with its own AdamW, as its trainer runs it."""
    import tensorflow as tf
    import tf_keras
    from official.modeling import tf_utils
    from official.nlp.modeling import layers, models, networks
    from official.nlp.optimization import AdamWeightDecay

    if s.precision != "float32":
        tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    encoder = networks.BertEncoderV2(
        vocab_size=s.vocab,
        hidden_size=s.hidden,
        num_layers=s.layers,
        num_attention_heads=s.hidden // 64,
        inner_dim=4 * s.hidden,
        max_sequence_length=512,
        type_vocab_size=2,
    )
    head = layers.ClassificationHead(inner_dim=s.hidden, num_classes=2, name="next_sentence")
    model = models.BertPretrainerV2(
        encoder_network=encoder, classification_heads=[head], mlm_activation=tf_utils.get_activation("gelu")
    )
    optimizer = AdamWeightDecay(
        learning_rate=LR,
        weight_decay_rate=DECAY,
        gradient_clip_norm=CLIP,
        exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"],
    )
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits

    @tf.function
    def run(b: Any) -> Any:
        with tf.GradientTape() as tape:
            inputs = {
                "input_word_ids": b["input_ids"],
                "input_mask": b["input_mask"],
                "input_type_ids": b["segment_ids"],
                "masked_lm_positions": b["masked_lm_positions"],
            }
            out = model(inputs, training=True)
            weights = b["masked_lm_weights"]
            words = entropy(b["masked_lm_ids"], tf.cast(out["mlm_logits"], tf.float32))
            pairs = entropy(b["next_sentence_labels"][:, 0], tf.cast(out["next_sentence"], tf.float32))
            loss = tf.reduce_sum(words * weights) / tf.reduce_sum(weights) + tf.reduce_mean(pairs)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return lambda batch: float(run(batch))


def huggingface(s: Setting, *, compiled: bool = False, gathered: bool = True) -> StepFunction:
    """Hugging Face's `BertForPreTraining` on PyTorch, its output layer over the masked positions only."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - its usual name
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = transformers.BertConfig(**s.sizes, hidden_act="gelu_new")
    model = transformers.BertForPreTraining(config).to(device).train()
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1]
    plain = [p for n, p in model.named_parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, fused=True)
    half = s.precision != "float32"

    def loss_of(ids: Any, mask: Any, kinds: Any, places: Any, words: Any, weights: Any, pairs: Any) -> Any:
        x, pooled = model.bert(input_ids=ids, attention_mask=mask, token_type_ids=kinds)[:2]
        if gathered:
            x = torch.gather(x, 1, places[..., None].expand(-1, -1, x.shape[-1]))
        logits, nsp = model.cls(x, pooled)
        if not gathered:
            logits = torch.gather(logits, 1, places[..., None].expand(-1, -1, logits.shape[-1]))
        per_word = F.cross_entropy(logits.flatten(0, 1).float(), words.flatten(), reduction="none")
        weights = weights.flatten()
        return (per_word * weights).sum() / weights.sum() + F.cross_entropy(nsp.float(), pairs)

    forward = torch.compile(loss_of) if compiled else loss_of

    def run(b: Batch) -> float:
        t = {k: torch.from_numpy(np.asarray(v)).to(device) for k, v in b.items()}
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            loss = forward(
                t["input_ids"].long(),
                t["input_mask"],
                t["segment_ids"].long(),
                t["masked_lm_positions"].long(),
                t["masked_lm_ids"].long(),
                t["masked_lm_weights"],
                t["next_sentence_labels"][:, 0].long(),
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return run


PRODUCTS = "matmul"  # the worker that only multiplies matrices: what the machine can do at most


def products(s: Setting) -> StepFunction:
    """Square matrix products, on the backend of KERAS_BACKEND: `product_flops` operations a step."""
    from keras import ops

    size, times = product_size()
    a = ops.ones((size, size), s.precision)

    def run(batch: Batch) -> float:
        b = a
        for _ in range(times):
            b = ops.matmul(a, b)
        return float(ops.cast(b[0, 0], "float32"))

    return run


def product_size() -> tuple[int, int]:
    """Rows of the matrices, and how many products make a step: enough to fill an accelerator."""
    return (8192, 20) if accelerator() else (2048, 4)


def product_flops() -> float:
    """The operations of a step of `products`."""
    size, times = product_size()
    return 2.0 * size**3 * times


def accelerator() -> str:
    """The name of the accelerator that a backend would use, or nothing."""
    if os.environ.get("KERAS_BACKEND") == "jax":
        import jax

        device = jax.local_devices()[0]
        return "" if device.platform == "cpu" else str(device.device_kind)
    import tensorflow as tf

    return "GPU" if tf.config.list_physical_devices("GPU") else ""


MAKERS: dict[str, Callable[[Setting], StepFunction]] = {
    "ours": ours,
    "ours-xla": lambda s: ours(s, xla=True),
    "tfmodels": tfmodels,
    PRODUCTS: products,
    "huggingface": huggingface,
    "huggingface-compiled": lambda s: huggingface(s, compiled=True),
    "huggingface-ungathered": lambda s: huggingface(s, gathered=False),
}
