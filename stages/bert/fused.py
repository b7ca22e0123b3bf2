"""What TensorFlow computes in one pass over memory instead of many: small functions compiled by XLA.

Each takes and returns the type of its input (bfloat16, float16 or float32) and computes in float32 between:
half precision is emulated on CPUs, and a rounding at every step would add up. The gradients are written
out; they compute again what is cheaper to compute than to keep. XLA compiles a function once a shape.

Matrix products stay outside, with oneDNN: the whole step under XLA takes twice the time on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any


def one_pass(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function as one piece."""
    return tf.function(function, jit_compile=True, reduce_retracing=True)


def with_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """The result of a function that returns it together with its gradient."""
    return tf.custom_gradient(function)


# the tanh form of GELU is x * sigmoid(x * (A + B x^2)), which takes one transcendental function
A = 2 * math.sqrt(2 / math.pi)
B = 0.044715 * A


def _wide(x: Tensor) -> Tensor:
    return tf.cast(x, tf.float32)


@one_pass
def _gelu(x: Tensor) -> Tensor:
    y = _wide(x)
    return tf.cast(y * tf.sigmoid(y * (A + B * (y * y))), x.dtype)


@one_pass
def _gelu_gradient(x: Tensor, dy: Tensor) -> Tensor:
    y = _wide(x)
    gate = tf.sigmoid(y * (A + B * (y * y)))
    slope = gate * (1.0 + y * (1.0 - gate) * (A + 3 * B * (y * y)))
    return tf.cast(_wide(dy) * slope, x.dtype)


@with_gradient
def gelu(x: Tensor) -> Any:
    """The tanh form of GELU."""
    return _gelu(x), lambda dy: _gelu_gradient(x, dy)


@one_pass
def _exact_gelu(x: Tensor) -> Tensor:
    y = _wide(x)
    return tf.cast(y * (0.5 + 0.5 * tf.math.erf(y * math.sqrt(0.5))), x.dtype)


@one_pass
def _exact_gelu_gradient(x: Tensor, dy: Tensor) -> Tensor:
    y = _wide(x)
    density = math.sqrt(0.5 / math.pi) * tf.exp(-0.5 * (y * y))
    return tf.cast(_wide(dy) * (0.5 + 0.5 * tf.math.erf(y * math.sqrt(0.5)) + y * density), x.dtype)


@with_gradient
def exact_gelu(x: Tensor) -> Any:
    """GELU by the error function."""
    return _exact_gelu(x), lambda dy: _exact_gelu_gradient(x, dy)


@one_pass
def _residual_norm(x: Tensor, y: Tensor, gamma: Tensor, beta: Tensor, eps: Tensor) -> Any:
    total = _wide(x) + _wide(y)
    mean = tf.reduce_mean(total, -1, keepdims=True)
    centred = total - mean
    scale = tf.math.rsqrt(tf.reduce_mean(centred * centred, -1, keepdims=True) + eps)
    return tf.cast(centred * scale * gamma + beta, x.dtype), mean, scale


@one_pass
def _residual_norm_gradient(
    x: Tensor, y: Tensor, mean: Tensor, scale: Tensor, gamma: Tensor, dz: Tensor
) -> tuple[Tensor, Tensor]:
    normal = (_wide(x) + _wide(y) - mean) * scale
    dz = _wide(dz)
    d = dz * gamma
    away = tf.reduce_mean(d, -1, keepdims=True) + normal * tf.reduce_mean(d * normal, -1, keepdims=True)
    return tf.cast(scale * (d - away), x.dtype), dz * normal


def residual_norm(x: Tensor, y: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Layer normalisation of x + y over the last axis: 2 x [..., H], 2 x [H] -> [..., H]."""
    # read here: a function with a gradient of its own wants tensors, not variables
    return _residual_norm_with_gradient(x, y, tf.identity(gamma), tf.identity(beta), eps)


@with_gradient
def _residual_norm_with_gradient(x: Tensor, y: Tensor, gamma: Tensor, beta: Tensor, eps: Tensor) -> Any:
    z, mean, scale = _residual_norm(x, y, gamma, beta, eps)

    def gradient(dz: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        dx, products = _residual_norm_gradient(x, y, mean, scale, gamma, dz)
        return dx, dx, _over_rows(products), _over_rows(_wide(dz)), None

    return z, gradient


def _over_rows(x: Tensor) -> Tensor:
    """[..., H] -> [H]: a kernel that reads memory in order, where a sum over the first axis jumps."""
    return tf.raw_ops.BiasAddGrad(out_backprop=x)


@one_pass
def _attention(scores: Tensor, bias: Tensor, scale: Tensor, keep: Tensor, factor: Tensor) -> Any:
    total = _wide(scores) * scale + bias
    e = tf.exp(total - tf.reduce_max(total, -1, keepdims=True))
    probs = e / tf.reduce_sum(e, -1, keepdims=True)
    return tf.cast(probs, scores.dtype), tf.cast(probs * (_wide(keep) * factor), scores.dtype)


@one_pass
def _attention_gradient(probs: Tensor, scale: Tensor, keep: Tensor, factor: Tensor, d: Tensor) -> Tensor:
    p = _wide(probs)
    d = p * (_wide(d) * (_wide(keep) * factor))
    return tf.cast((d - p * tf.reduce_sum(d, -1, keepdims=True)) * scale, probs.dtype)


@with_gradient
def attention(scores: Tensor, bias: Tensor, scale: Tensor, keep: Tensor, factor: Tensor) -> Any:
    """Softmax of scores * scale + bias with dropout: [B, N, S, S] and `keep` bool -> [B, N, S, S]."""
    probs, dropped = _attention(scores, bias, scale, keep, factor)

    def gradient(d: Tensor) -> tuple[Tensor, None, None, None, None]:
        return _attention_gradient(probs, scale, keep, factor, d), None, None, None, None

    return dropped, gradient
