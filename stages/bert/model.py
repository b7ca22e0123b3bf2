"""BERT on Keras 3: the encoder, the pre-training heads and the heads of downstream tasks.

Dimensions: B batch, S sequence, H hidden, F feed-forward, N heads, D head size, V vocabulary, P predictions.

The name of a weight is its dotted path, such as `encoder.layer_0.attention.qkv.kernel`: checkpoints, decay
exclusions and layer-wise learning rates go by it.

A batch is a dict: `input_ids`, `input_mask`, `segment_ids` [B, S] int32, and for pre-training
`masked_lm_positions` [B, P]. Rows that pack several documents say so by `pack_ids` and `position_ids` [B, S]
and leave `segment_ids` out. `model(batch, training=True, seed=seed)` returns a dict of float32 tensors.
`seed` (int32 [2]) makes dropout a pure function of its arguments: there is no random state to save.

Computation follows Devlin et al. 2018 (arXiv:1810.04805) as Google and Hugging Face wrote it: layer norm
after the residual, additive attention mask, output embeddings tied to the input's.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from stagedml.errors import ConfigError
from stagedml.stages.bert import kernels
from stagedml.stages.bert.config import BertConfig

Tensor = Any
Batch = Mapping[str, Tensor]
Precision = Literal["float32", "bfloat16", "float16"]
MASKED = -1e9  # added to the scores of padding; far below any score, and finite in bfloat16


class Part(keras.layers.Layer):
    """A layer whose weights exist at once, and that casts only where it says so.

    Keras' automatic casts would also turn loss weights and mask biases into bfloat16.
    """

    def __init__(self, *, dtype: Any, name: str) -> None:
        super().__init__(name=name, dtype=dtype, autocast=False)
        self.built = True


class Dense(Part):
    """`x @ kernel + bias` on the last axis; the matrix product in the compute type."""

    def __init__(self, inputs: int, units: int, *, dtype: Any, name: str) -> None:
        super().__init__(name=name, dtype=dtype)
        self.inputs, self.units = inputs, units
        self.kernel = self.add_weight(name=f"{name}.kernel", shape=(inputs, units), initializer="zeros")
        self.bias = self.add_weight(name=f"{name}.bias", shape=(units,), initializer="zeros")

    def call(self, x: Tensor) -> Tensor:
        kernel, bias = ops.cast(self.kernel, x.dtype), ops.cast(self.bias, x.dtype)
        flat = ops.reshape(x, (-1, self.inputs))  # two dimensions: TensorFlow then fuses the bias
        y = ops.add(ops.matmul(flat, kernel), bias)
        return ops.reshape(y, (*ops.shape(x)[:-1], self.units))


class LayerNorm(Part):
    """Layer normalisation over the last axis of x, or of x + residual; computed in float32."""

    def __init__(self, size: int, eps: float, *, dtype: Any, name: str) -> None:
        super().__init__(name=name, dtype=dtype)
        self.eps = eps
        self.gamma = self.add_weight(name=f"{name}.gamma", shape=(size,), initializer="ones")
        self.beta = self.add_weight(name=f"{name}.beta", shape=(size,))

    def call(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if residual is None:
            return kernels.layer_norm(x, self.gamma, self.beta, self.eps)
        return kernels.residual_norm(x, residual, self.gamma, self.beta, self.eps)


class Embeddings(Part):
    """Words + positions + segments, normalised: [B, S] -> [B, S, H]."""

    def __init__(self, c: BertConfig, *, dtype: Any, name: str) -> None:
        super().__init__(name=name, dtype=dtype)
        h = c.hidden_size
        self.max_positions = c.max_position_embeddings
        self.rate = c.hidden_dropout_prob
        self.word = self.add_weight(name=f"{name}.word", shape=(c.vocab_size, h), initializer="zeros")
        self.position = self.add_weight(
            name=f"{name}.position", shape=(self.max_positions, h), initializer="zeros"
        )
        self.segment = self.add_weight(
            name=f"{name}.segment", shape=(c.type_vocab_size, h), initializer="zeros"
        )
        self.norm = LayerNorm(h, c.layer_norm_eps, dtype=dtype, name=f"{name}.norm")

    def call(
        self,
        ids: Tensor,
        segments: Tensor | None,
        positions: Tensor | None = None,
        *,
        training: bool,
        seed: Tensor | None,
    ) -> Tensor:
        length = ids.shape[1]
        if length is not None and length > self.max_positions:
            raise ConfigError(
                f"sequences of {length} tokens, but the model has {self.max_positions} positions",
                where="bert model",
                hint="raise max_position_embeddings, or cut the data to a smaller max_seq_length",
            )
        x = ops.take(self.word, ids, axis=0)  # [B, S, H]
        if positions is None:
            x = x + ops.expand_dims(self.position[: ops.shape(ids)[1]], 0)  # [1, S, H]
        else:
            x = x + ops.take(self.position, positions, axis=0)  # [B, S, H]
        if segments is None:
            x = x + self.segment[0]
        else:  # a product, not a look-up: its gradient is dense
            x = x + ops.matmul(ops.one_hot(segments, self.segment.shape[0], dtype=x.dtype), self.segment)
        x = ops.cast(self.norm(x), self.compute_dtype)
        return kernels.dropout(x, self.rate, seed, site=0) if training else x


class SelfAttention(Part):
    """Multi-head self-attention with one product for queries, keys and values: [B, S, H] -> [B, S, H]."""

    def __init__(self, c: BertConfig, *, site: int, dtype: Any, name: str) -> None:
        super().__init__(name=name, dtype=dtype)
        h = c.hidden_size
        self.heads, self.head_size, self.rate, self.site = (
            c.num_attention_heads,
            c.head_size,
            c.attention_probs_dropout_prob,
            site,
        )
        self.qkv = Dense(h, 3 * h, dtype=dtype, name=f"{name}.qkv")
        self.output_dense = Dense(h, h, dtype=dtype, name=f"{name}.output")

    def call(self, x: Tensor, bias: Tensor, *, training: bool, seed: Tensor | None) -> Tensor:
        length, hidden = ops.shape(x)[1], x.shape[2]  # S may be known only at run time, H
        qkv = ops.reshape(self.qkv(x), (-1, length, 3, self.heads, self.head_size))  # [B, S, 3, N, D]
        query, key, value = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)))  # 3 x [B, N, S, D]
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # [B, N, S, S]
        probs = kernels.attention_probs(  # [B, N, S, S]
            scores,
            bias,
            self.head_size**-0.5,
            rate=self.rate if training else 0.0,
            seed=seed,
            site=self.site,
        )
        context = ops.transpose(ops.matmul(probs, value), (0, 2, 1, 3))  # [B, S, N, D]
        return self.output_dense(ops.reshape(context, (-1, length, hidden)))  # [B, S, H]


class BertLayer(Part):
    """Attention and feed-forward, each with dropout, residual and layer norm: [B, S, H] -> [B, S, H]."""

    def __init__(self, c: BertConfig, *, index: int, dtype: Any, name: str) -> None:
        super().__init__(name=name, dtype=dtype)
        h, f = c.hidden_size, c.intermediate_size
        self.rate, self.act, self.site = c.hidden_dropout_prob, c.hidden_act, 1 + 3 * index
        self.attention = SelfAttention(c, site=self.site, dtype=dtype, name=f"{name}.attention")
        self.attention_norm = LayerNorm(h, c.layer_norm_eps, dtype=dtype, name=f"{name}.attention_norm")
        self.intermediate = Dense(h, f, dtype=dtype, name=f"{name}.intermediate")
        self.output_dense = Dense(f, h, dtype=dtype, name=f"{name}.output")
        self.output_norm = LayerNorm(h, c.layer_norm_eps, dtype=dtype, name=f"{name}.output_norm")

    def call(self, x: Tensor, bias: Tensor, *, training: bool, seed: Tensor | None) -> Tensor:
        y = self.attention(x, bias, training=training, seed=seed)
        if training:
            y = kernels.dropout(y, self.rate, seed, site=self.site + 1)
        x = self.attention_norm(x, y)  # [B, S, H]
        y = kernels.activation(self.act, self.intermediate(x))  # [B, S, F]
        y = self.output_dense(y)  # [B, S, H]
        if training:
            y = kernels.dropout(y, self.rate, seed, site=self.site + 2)
        return self.output_norm(x, y)


class Encoder(Part):
    """The BERT encoder: a batch -> (sequence [B, S, H], pooled [B, H])."""

    def __init__(self, c: BertConfig, *, dtype: Any, name: str = "encoder") -> None:
        super().__init__(name=name, dtype=dtype)
        self.config = c
        self.embeddings = Embeddings(c, dtype=dtype, name=f"{name}.embeddings")
        self.blocks = [
            BertLayer(c, index=i, dtype=dtype, name=f"{name}.layer_{i}") for i in range(c.num_hidden_layers)
        ]
        self.pooler = Dense(c.hidden_size, c.hidden_size, dtype=dtype, name=f"{name}.pooler")

    def call(self, batch: Batch, *, training: bool = False, seed: Tensor | None = None) -> Tensor:
        ids, segments, positions = batch["input_ids"], batch.get("segment_ids"), batch.get("position_ids")
        bias = attention_bias(batch["input_mask"], batch.get("pack_ids"))
        x = self.embeddings(ids, segments, positions, training=training, seed=seed)  # [B, S, H]
        for block in self.blocks:
            x = block(x, bias, training=training, seed=seed)
        pooled = ops.tanh(self.pooler(x[:, 0]))  # [B, H]
        return x, pooled


def attention_bias(mask: Tensor, packs: Tensor | None) -> Tensor:
    """What is added to the scores: [B, 1, 1, S], or [B, 1, S, S] where `packs` [B, S] number documents."""
    seen = ops.expand_dims(ops.cast(mask, "float32"), 1)  # [B, 1, S]
    if packs is not None:
        same = ops.equal(ops.expand_dims(packs, 1), ops.expand_dims(packs, 2))  # [B, S, S]
        seen = seen * ops.cast(same, "float32")
    return ops.expand_dims((1.0 - seen) * MASKED, 1)


class MaskedLm(Part):
    """Logits of the masked positions only: gathering before the output layer is what makes it cheap."""

    def __init__(self, c: BertConfig, *, dtype: Any, name: str = "mlm") -> None:
        super().__init__(name=name, dtype=dtype)
        self.act = c.hidden_act
        self.transform = Dense(c.hidden_size, c.hidden_size, dtype=dtype, name=f"{name}.transform")
        self.norm = LayerNorm(c.hidden_size, c.layer_norm_eps, dtype=dtype, name=f"{name}.norm")
        self.bias = self.add_weight(name=f"{name}.bias", shape=(c.vocab_size,))

    def call(self, sequence: Tensor, positions: Tensor, words: Tensor) -> Tensor:
        x = ops.take_along_axis(sequence, ops.expand_dims(positions, -1), axis=1)  # [B, P, H]
        x = self.norm(kernels.activation(self.act, self.transform(x)))  # [B, P, H]
        logits = ops.matmul(x, ops.transpose(ops.cast(words, x.dtype)))  # [B, P, V]
        return ops.add(ops.cast(logits, "float32"), self.bias)


@dataclass(frozen=True)
class Head:
    """A linear output on the pooled vector (`level="pooled"`) or on every token (`level="tokens"`)."""

    units: int
    level: Literal["pooled", "tokens"] = "pooled"
    dropout: float | None = None  # None: the model's hidden_dropout_prob


class BertPretraining(keras.Model):
    """Masked LM and next-sentence prediction: outputs `mlm_logits` [B, P, V] and `nsp_logits` [B, 2]."""

    def __init__(self, c: BertConfig, *, precision: Precision = "float32", nsp: bool = True) -> None:
        dtype = policy(precision)
        super().__init__(name="bert", dtype=dtype, autocast=False)
        self.config = c
        self.encoder = Encoder(c, dtype=dtype)
        self.mlm = MaskedLm(c, dtype=dtype)
        self.nsp = Dense(c.hidden_size, 2, dtype=dtype, name="nsp") if nsp else None
        self.built = True

    def call(self, batch: Batch, *, training: bool = False, seed: Tensor | None = None) -> dict[str, Tensor]:
        x, pooled = self.encoder(batch, training=training, seed=seed)
        out = {"mlm_logits": self.mlm(x, batch["masked_lm_positions"], self.encoder.embeddings.word)}
        if self.nsp is not None:
            out["nsp_logits"] = ops.cast(self.nsp(pooled), "float32")
        return out


class BertTasks(keras.Model):
    """The encoder with named linear heads: outputs `{name: [B, units] or [B, S, units]}`, float32."""

    def __init__(self, c: BertConfig, heads: Mapping[str, Head], *, precision: Precision = "float32") -> None:
        dtype = policy(precision)
        super().__init__(name="bert", dtype=dtype, autocast=False)
        self.config = c
        self.heads = dict(heads)
        self.encoder = Encoder(c, dtype=dtype)
        self.head_layers = {
            name: Dense(c.hidden_size, head.units, dtype=dtype, name=f"heads.{name}")
            for name, head in self.heads.items()
        }
        self.built = True

    def call(self, batch: Batch, *, training: bool = False, seed: Tensor | None = None) -> dict[str, Tensor]:
        x, pooled = self.encoder(batch, training=training, seed=seed)
        out = {}
        for i, (name, head) in enumerate(self.heads.items()):
            y = pooled if head.level == "pooled" else x
            if training:
                rate = self.config.hidden_dropout_prob if head.dropout is None else head.dropout
                y = kernels.dropout(y, rate, seed, site=10_000 + i)
            out[name] = ops.cast(self.head_layers[name](y), "float32")
        return out


def policy(precision: Precision) -> keras.dtype_policies.DTypePolicy:
    """Weights in float32, matrix products in `precision`."""
    names = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
    if precision not in names:
        raise ConfigError(
            f"unknown precision {precision!r}", where="bert model", hint=f"one of {list(names)}"
        )
    return keras.dtype_policies.DTypePolicy(names[precision])


def initialize(model: keras.Model, seed: int, *, init: Literal["google", "hf"] = "google") -> None:
    """Random weights: N(0, initializer_range), cut at two deviations for Google's form; biases 0, norms 1.

    Each weight has a generator of its own, keyed by the seed and the weight's name, so the result depends
    neither on the backend nor on the order of creation.
    """
    std = model.config.initializer_range
    for weight in model.trainable_variables:
        kind = weight.name.rsplit(".", 1)[-1]
        if kind in ("bias", "beta"):
            value = np.zeros(weight.shape, np.float32)
        elif kind == "gamma":
            value = np.ones(weight.shape, np.float32)
        else:
            rng = np.random.default_rng([seed, zlib.crc32(weight.name.encode())])
            value = _normal(rng, weight.shape, truncated=init == "google") * np.float32(std)
        weight.assign(value)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], *, truncated: bool) -> np.ndarray:
    """Standard normal values; `truncated` draws those beyond two deviations again."""
    x = rng.standard_normal(shape, dtype=np.float32)
    while truncated:
        far = np.abs(x) > 2
        count = int(far.sum())
        if not count:
            break
        x[far] = rng.standard_normal(count, dtype=np.float32)
    return x
