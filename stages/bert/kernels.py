"""The element-wise work of BERT: dropout, activations, layer norm, softmax, cross entropy.

On a CPU, TensorFlow runs each operation as a pass over memory, and these passes cost as much as the matrix
products do; so what can be done in one pass is (`fused.py`), the cross entropy has its gradient written out,
and dropout draws bytes, not floats. Measured effects are in docs/performance.md. On JAX the compiler fuses
the plain formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
GOLDEN = 0x1E3779B9  # odd and large: neighbouring sites get unrelated keys
LEVELS = 256  # of a random byte


def _on_tensorflow() -> bool:
    return bool(keras.backend.backend() == "tensorflow")


def dropout(x: Tensor, rate: float, seed: Tensor | None, *, site: int) -> Tensor:
    """Zeroes each element with probability `rate`, scales the others so that the mean stays.

    The probability is rounded to a 256th (0.1 becomes 26/256), the scale is that of the rounded one. `seed`
    is int32 [2]; `site` numbers the places in the model, so that each draws its own mask.
    """
    dropped = _dropped(rate)
    if not dropped or seed is None:
        return x
    return x * (ops.cast(_keep(x, dropped, seed, site), x.dtype) * ops.cast(_factor(dropped), x.dtype))


def _dropped(rate: float) -> int:
    """How many of the 256 values of a byte drop an element."""
    return max(1, round(rate * LEVELS)) if rate > 0.0 else 0


def _factor(dropped: int) -> float:
    return LEVELS / (LEVELS - dropped)


def _keep(x: Tensor, dropped: int, seed: Tensor, site: int) -> Tensor:
    """True where an element stays, in the shape of `x`."""
    key = seed + np.array([site * GOLDEN & 0x3FFFFFFF, 0], np.int32)
    return _random_bytes(x, key) >= np.uint8(dropped)


def _random_bytes(x: Tensor, key: Tensor) -> Tensor:
    """Uniform uint8 in the shape of `x`."""
    if not _on_tensorflow():
        import jax

        return jax.random.bits(jax.random.wrap_key_data(key.astype("uint32")), x.shape, "uint8")
    import tensorflow as tf

    size = tf.size(x)
    words = tf.random.stateless_uniform([(size + 3) // 4], key, minval=None, maxval=None, dtype=tf.uint32)
    return tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size], tf.shape(x))


def activation(name: str, x: Tensor) -> Tensor:
    """`gelu` is the exact (erf) form, `gelu_new` and `gelu_pytorch_tanh` the tanh form."""
    if name == "relu":
        return ops.relu(x)
    if not _on_tensorflow():
        return ops.gelu(x, approximate=name != "gelu")
    from stagedml.stages.bert import fused

    return fused.exact_gelu(x) if name == "gelu" else fused.gelu(x)


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Normalises the last axis in float32 and returns the type of `x`."""
    y = ops.cast(x, "float32")
    mean = ops.mean(y, axis=-1, keepdims=True)
    centred = y - mean
    var = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    y = centred * (ops.rsqrt(var + eps) * gamma) + beta
    return ops.cast(y, x.dtype)


def residual_norm(x: Tensor, y: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """`layer_norm(x + y)`."""
    if not _on_tensorflow():
        return layer_norm(x + y, gamma, beta, eps)
    from stagedml.stages.bert import fused

    return fused.residual_norm(x, y, gamma, beta, eps)


def attention_probs(
    scores: Tensor, bias: Tensor, scale: float, *, rate: float, seed: Tensor | None, site: int
) -> Tensor:
    """Softmax over the last axis of `scores * scale + bias`, in float32, then dropout; type of `scores`."""
    dropped = _dropped(rate)
    if _on_tensorflow() and dropped and seed is not None:
        from stagedml.stages.bert import fused

        keep = _keep(scores, dropped, seed, site)
        return fused.attention(scores, bias, scale, keep, _factor(dropped))
    probs = ops.softmax(ops.cast(scores, "float32") * scale + bias, axis=-1)
    return dropout(ops.cast(probs, scores.dtype), rate, seed, site=site)


def entropy_and_hits(labels: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """-log softmax(logits)[label], and 1 if no logit is above the label's: [...], [..., C] -> 2 x [...]."""
    labels = ops.cast(labels, "int32")
    if _on_tensorflow():
        shape, classes = ops.shape(labels), logits.shape[-1]
        loss, hits = _tf_entropy()(ops.reshape(logits, (-1, classes)), ops.reshape(labels, (-1,)))
        return ops.reshape(loss, shape), ops.reshape(hits, shape)
    chosen = ops.squeeze(ops.take_along_axis(logits, ops.expand_dims(labels, -1), axis=-1), -1)
    hits = ops.cast(chosen >= ops.max(logits, axis=-1), "float32")
    return ops.logsumexp(logits, axis=-1) - chosen, hits


@cache
def _tf_entropy() -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The softmax kernel, two maxima and a scatter; the gradient is written into the probabilities.

    log(sum exp) is the largest logit less the log of its probability, which never underflows.
    """
    import tensorflow as tf

    def entropy(logits: Tensor, labels: Tensor) -> Any:  # [R, C], [R]
        probs = tf.nn.softmax(logits)
        top = tf.reduce_max(logits, -1)
        places = tf.stack([tf.range(tf.shape(logits)[0]), labels], 1)
        chosen = tf.gather_nd(logits, places)
        loss = top - tf.math.log(tf.reduce_max(probs, -1)) - chosen

        def gradient(dloss: Tensor, dhits: Tensor) -> tuple[Tensor, None]:
            return tf.tensor_scatter_nd_sub(probs * dloss[:, None], places, dloss), None

        return (loss, tf.cast(chosen >= top, tf.float32)), gradient

    return tf.custom_gradient(entropy)
