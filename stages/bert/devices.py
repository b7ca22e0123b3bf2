"""Spreading a training over devices: `tf.distribute`, or `keras.distribution` on JAX.

Part of how to run, never of a config: the result is that of one device, within float32 rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from stagedml.errors import ConfigError


def strategy_of(devices: str) -> Any:
    """What spreads a training, by name; its `scope()` is where the model is to be made.

    "" nothing, "mirrored" all GPUs of the machine, "mirrored:4" four of them, "workers" as TF_CONFIG says
    (TensorFlow only). Raises `ConfigError` for another name, and where there are not so many devices.
    """
    if not devices:
        return None
    kind, _, number = devices.partition(":")
    if kind not in ("mirrored", "workers") or (number and not number.isdecimal()):
        raise ConfigError(f"unknown devices {devices!r}", hint='"", "mirrored", "mirrored:<n>" or "workers"')
    if keras.backend.backend() == "jax":
        return _on_jax(kind, number, devices)
    import tensorflow as tf

    if kind == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if not number:
        return tf.distribute.MirroredStrategy()
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([d.name for d in _first(found, number, devices)])


def _on_jax(kind: str, number: str, devices: str) -> Any:
    import jax

    if kind == "workers":
        raise ConfigError(
            f"devices {devices!r} on JAX", hint="several hosts need TensorFlow: unset KERAS_BACKEND"
        )
    found = jax.local_devices()
    chosen = _first(found, number, devices) if number else found
    return keras.distribution.DataParallel(devices=[f"{d.platform}:{d.id}" for d in chosen])


def _first(found: list[Any], number: str, devices: str) -> list[Any]:
    if len(found) < int(number):
        raise ConfigError(f"{number} devices wanted, {len(found)} there", where=f"devices {devices!r}")
    return found[: int(number)]


def check_rows(rows: int, replicas: int) -> None:
    """Raises `ConfigError` when a batch cannot be shared evenly."""
    if rows % replicas:
        raise ConfigError(
            f"a batch of {rows} cannot be shared by {replicas} replicas",
            where="training",
            hint="choose a train_batch_size that is a multiple of the number of devices",
        )


def spread(strategy: Any, batch: Mapping[str, Any]) -> Any:
    """Each replica's rows of a global batch, which every process has whole: r of R takes r, r + R, ..."""
    replicas = strategy.num_replicas_in_sync
    check_rows(len(next(iter(batch.values()))), replicas)
    arrays = {k: np.asarray(v) for k, v in batch.items()}

    def part(context: Any) -> dict[str, Any]:
        import tensorflow as tf

        first = context.replica_id_in_sync_group
        return {k: tf.constant(v[first::replicas]) for k, v in arrays.items()}

    return strategy.experimental_distribute_values_from_function(part)
