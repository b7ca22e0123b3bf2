"""Spreading a training over devices with `tf.distribute`; part of how to run, never of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stagedml.errors import ConfigError


def strategy_of(devices: str) -> Any:
    """A strategy by name: "" none, "mirrored" all GPUs, "mirrored:4" four, "workers" as TF_CONFIG says."""
    if not devices:
        return None
    import tensorflow as tf

    kind, _, count = devices.partition(":")
    if kind == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if kind != "mirrored":
        raise ConfigError(f"unknown devices {devices!r}", hint='"", "mirrored", "mirrored:<n>" or "workers"')
    if not count:
        return tf.distribute.MirroredStrategy()
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) < int(count):
        raise ConfigError(f"{count} devices wanted, {len(found)} there", where=f"devices {devices!r}")
    return tf.distribute.MirroredStrategy([d.name for d in found[: int(count)]])


def spread(strategy: Any, batch: Mapping[str, Any]) -> Any:
    """Each replica's rows of a global batch, which every process has whole: r of R takes r, r + R, ..."""
    replicas = strategy.num_replicas_in_sync
    rows = len(next(iter(batch.values())))
    if rows % replicas:
        raise ConfigError(
            f"a batch of {rows} cannot be shared by {replicas} replicas",
            where="training",
            hint="choose a train_batch_size that is a multiple of the number of devices",
        )
    arrays = {k: np.asarray(v) for k, v in batch.items()}

    def part(context: Any) -> dict[str, Any]:
        import tensorflow as tf

        first = context.replica_id_in_sync_group
        return {k: tf.constant(v[first::replicas]) for k, v in arrays.items()}

    return strategy.experimental_distribute_values_from_function(part)
