"""TensorBoard scalars in TensorFlow 2's form, written without TensorFlow; and what the hardware is doing."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

# Dense matrix peaks, FLOP/s, from the vendors' data sheets: bfloat16/float16, float32 (TF32 off).
GPU_PEAKS = {
    "H200": (989e12, 67e12),
    "H100": (989e12, 67e12),
    "A100": (312e12, 19.5e12),
    "V100": (125e12, 15.7e12),
    "L4": (121e12, 30e12),
    "T4": (65e12, 8.1e12),
}


class TensorBoard:
    """Writes `logs/<folder>/events...`; with `logs=None` it writes nothing."""

    def __init__(self, logs: Path | None) -> None:
        self._logs = logs
        self._writers: dict[str, Any] = {}

    def add(self, folder: str, step: int, values: Mapping[str, float]) -> None:
        """One point of each value at `step`."""
        if self._logs is None:
            return
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if folder not in self._writers:
            self._writers[folder] = EventFileWriter(str(self._logs / folder))
        for tag, value in values.items():
            event = Event(step=step, wall_time=time.time(), summary=scalar_pb(tag, float(value)))
            self._writers[folder].add_event(event)

    def close(self) -> None:
        """Flushes and closes every file."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


class Meter:
    """Rates of a training since they were last asked for, and memory.

    Sequences, tokens and steps a second, and the share of the device's peak that the model's arithmetic
    makes up (`mfu`, as in PaLM, arXiv:2204.02311).
    """

    def __init__(self, model: keras.Model) -> None:
        self._config, self._dtype = model.config, model.compute_dtype
        self._peak: float | None = None
        self.batch_rows = 0
        self.start()

    def start(self) -> None:
        """Counts from here on."""
        self._since = time.perf_counter()
        self._steps = self._rows = self._tokens = 0
        self._flops = 0.0

    def count(self, batch: Mapping[str, Any]) -> None:
        """One more step, on this batch."""
        rows, length = batch["input_ids"].shape
        predictions = batch["masked_lm_positions"].shape[1] if "masked_lm_positions" in batch else 0
        self.batch_rows = rows
        self._steps += 1
        self._rows += rows
        self._tokens += rows * length
        self._flops += rows * self._config.train_flops(length, predictions)

    def pause(self, seconds: float) -> None:
        """Leaves out some seconds: they went into something else."""
        self._since += seconds

    def rates(self) -> dict[str, float]:
        """The values for TensorBoard, after which counting starts anew."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        if self._peak is None:
            self._peak = device_peak(self._dtype)
        values = {
            "steps_per_s": self._steps / seconds,
            "sequences_per_s": self._rows / seconds,
            "tokens_per_s": self._tokens / seconds,
            "mfu": self._flops / seconds / self._peak,
            "host_memory_mb": host_memory_mb(),
        }
        device = device_memory_mb()
        if device is not None:
            values["device_memory_mb"] = device
        self.start()
        return values


def host_memory_mb() -> float:
    """The largest resident size this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def device_memory_mb() -> float | None:
    """The largest use of the first accelerator's memory; None without one."""
    if keras.backend.backend() == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats()
        return stats["peak_bytes_in_use"] / 2**20 if stats else None
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return None
    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 2**20


def device_peak(compute_dtype: str) -> float:
    """FLOP/s the device can do at most: from the data sheet for a known GPU, measured on anything else."""
    half = compute_dtype != "float32"
    name = _device_name()
    for known, peaks in GPU_PEAKS.items():
        if known in name:
            return peaks[0 if half else 1]
    return _measured_peak(compute_dtype)


def _device_name() -> str:
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.local_devices()[0].device_kind)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "")) if gpus else ""


def _measured_peak(dtype: str, *, n: int = 1024, rounds: int = 8) -> float:
    """The best of some square matrix products."""
    from keras import ops

    a = ops.ones((n, n), dtype)
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        float(ops.cast(ops.matmul(a, a)[0, 0], "float32"))
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best
