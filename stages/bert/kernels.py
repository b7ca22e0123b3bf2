"""The element-wise work of BERT: dropout, activations, layer norm, softmax."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
GOLDEN = 0x1E3779B9  # odd and large: neighbouring sites get unrelated keys


def dropout(x: Tensor, rate: float, seed: Tensor | None, *, site: int) -> Tensor:
    """Zeroes each element with probability `rate`, scales the others by 1/(1-rate).

    `seed` is int32 [2]; `site` numbers the places in the model, so that each draws its own mask.
    """
    if rate == 0.0 or seed is None:
        return x
    keep = _keep_mask(x, rate, seed + np.array([site * GOLDEN & 0x3FFFFFFF, 0], np.int32))
    return ops.where(keep, x * ops.cast(1.0 / (1.0 - rate), x.dtype), ops.zeros((), x.dtype))


def _keep_mask(x: Tensor, rate: float, seed: Tensor) -> Tensor:
    if keras.backend.backend() == "jax":
        import jax

        key = jax.random.wrap_key_data(seed.astype("uint32"))
        return jax.random.bernoulli(key, 1.0 - rate, x.shape)
    import tensorflow as tf

    return tf.random.stateless_uniform(tf.shape(x), seed) >= rate


def activation(name: str, x: Tensor) -> Tensor:
    """`gelu` is the exact (erf) form, `gelu_new` and `gelu_pytorch_tanh` the tanh form."""
    if name == "relu":
        return ops.relu(x)
    return ops.gelu(x, approximate=name != "gelu")


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Normalises the last axis in float32 and returns the type of `x`."""
    y = ops.cast(x, "float32")
    mean = ops.mean(y, axis=-1, keepdims=True)
    centred = y - mean
    var = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    y = centred * (ops.rsqrt(var + eps) * gamma) + beta
    return ops.cast(y, x.dtype)


def softmax(scores: Tensor, bias: Tensor) -> Tensor:
    """Softmax over the last axis of `scores + bias`, in float32, in the type of `scores`."""
    probs = ops.softmax(ops.cast(scores, "float32") + bias, axis=-1)
    return ops.cast(probs, scores.dtype)
