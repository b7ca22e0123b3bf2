"""What is computed in one pass is what the plain formulas give, with their gradients; packed rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from bert_tools import small_config

from stagedml.stages.bert import fused, kernels
from stagedml.stages.bert.model import BertPretraining, initialize


def both(function: Callable[..., Any], *inputs: Any, into: Any) -> list[np.ndarray]:
    """The value of a function, and its gradients for an upstream one, as float32."""

    @tf.function
    def run(*xs: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(xs)
            y = function(*xs)
        return [y, *tape.gradient(y, xs, output_gradients=tf.cast(into, y.dtype))]

    return [np.asarray(tf.cast(v, tf.float32)) for v in run(*inputs)]


def normal(*shape: int, seed: int, spread: float = 1.0) -> Any:
    """Normal numbers."""
    return tf.constant(np.random.default_rng(seed).normal(0, spread, shape), tf.float32)


@pytest.mark.parametrize(("name", "tanh"), [("gelu", False), ("gelu_new", True)])
@pytest.mark.parametrize(("kind", "far"), [("float32", 2e-5), ("bfloat16", 2e-2)])
def test_gelu(name: str, tanh: bool, kind: str, far: float) -> None:
    """Both forms of GELU, far into their tails too, agree with TensorFlow's."""
    x, into = normal(64, 32, seed=1, spread=4.0), normal(64, 32, seed=2)
    rounded = tf.cast(tf.cast(x, kind), tf.float32)
    ours = both(lambda x: kernels.activation(name, x), tf.cast(x, kind), into=into)
    plain = both(lambda x: tf.nn.gelu(x, approximate=tanh), rounded, into=into)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=far, atol=far)


@pytest.mark.parametrize(("kind", "far"), [("float32", 2e-5), ("bfloat16", 5e-2)])
def test_the_norm_of_a_residual(kind: str, far: float) -> None:
    """The fused layer norm is that of the sum, its four gradients included."""
    x, y, into = normal(4, 8, 32, seed=1), normal(4, 8, 32, seed=2), normal(4, 8, 32, seed=3)
    gamma, beta = normal(32, seed=4), normal(32, seed=5)
    half = [tf.cast(v, kind) for v in (x, y)]
    wide = [tf.cast(v, tf.float32) for v in half]
    ours = both(lambda *v: kernels.residual_norm(*v, 1e-12), *half, gamma, beta, into=into)
    plain = both(lambda x, y, g, b: kernels.layer_norm(x + y, g, b, 1e-12), *wide, gamma, beta, into=into)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=far, atol=far)


@pytest.mark.parametrize(("kind", "far"), [("float32", 2e-6), ("bfloat16", 1e-2)])
def test_attention_probabilities(kind: str, far: float) -> None:
    """Softmax and dropout in one pass are softmax, then dropout; padding gets nothing."""
    scores, into = normal(2, 4, 8, 8, seed=1, spread=3.0), normal(2, 4, 8, 8, seed=2)
    bias = tf.constant([0.0] * 6 + [-1e9] * 2)[None, None, None] * tf.ones((2, 1, 1, 1))
    keep = tf.constant(np.random.default_rng(3).random((2, 4, 8, 8)) > 0.1)
    half = tf.cast(scores, kind)
    ours = both(lambda s: fused.attention(s, bias, 0.5, keep, 256 / 230), half, into=into)

    def plain(s: Any) -> Any:
        return tf.nn.softmax(s * 0.5 + bias) * tf.cast(keep, tf.float32) * (256 / 230)

    for a, b in zip(ours, both(plain, tf.cast(half, tf.float32), into=into), strict=True):
        np.testing.assert_allclose(a, b, rtol=far, atol=far)
    assert not ours[0][..., 6:].any()


def test_dropout_keeps_the_mean() -> None:
    """A tenth (26 of 256) is dropped, elsewhere in every place and step, and the mean stays."""
    x, seed = tf.ones((200, 500)), tf.constant([3, 4])
    dropped = np.asarray(kernels.dropout(x, 0.1, seed, site=1))
    assert (dropped == 0).mean() == pytest.approx(26 / 256, abs=0.005)
    assert dropped.mean() == pytest.approx(1.0, abs=0.005)
    for other in (
        kernels.dropout(x, 0.1, seed, site=2),
        kernels.dropout(x, 0.1, seed + tf.constant([0, 1]), site=1),
    ):
        both_zero = (np.asarray(other) == 0) & (dropped == 0)
        assert both_zero.mean() == pytest.approx((26 / 256) ** 2, abs=0.003)


def test_packed_documents_do_not_see_each_other() -> None:
    """Two documents in one row, with their numbers and positions, are encoded as each in a row of its own."""
    model = BertPretraining(small_config().without_dropout(), nsp=False)
    initialize(model, 1)
    words = np.random.default_rng(5).integers(5, 101, 10).astype(np.int32)
    first, second = words[:6], words[6:]
    alone = [
        model.encoder({"input_ids": ids[None], "input_mask": np.ones((1, len(ids)), np.int32)})[0][0]
        for ids in (first, second)
    ]
    packed = {
        "input_ids": np.concatenate([words, [0, 0]]).astype(np.int32)[None],
        "input_mask": np.array([[1] * 10 + [0] * 2], np.int32),
        "pack_ids": np.array([[1] * 6 + [2] * 4 + [0] * 2], np.int32),
        "position_ids": np.array([[*range(6), *range(4), 0, 0]], np.int32),
    }
    together = np.asarray(model.encoder(packed)[0][0])
    np.testing.assert_allclose(together[:10], np.concatenate([np.asarray(x) for x in alone]), atol=1e-5)
