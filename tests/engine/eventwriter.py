"""Writes TensorBoard event files, with the checksums of the `tensorboard` package rather than ours."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c


def record(payload: bytes) -> bytes:
    """A TFRecord."""
    size = struct.pack("<Q", len(payload))
    sums = [struct.pack("<I", masked_crc32c(part)) for part in (size, payload)]
    return size + sums[0] + payload + sums[1]


def float_tensor(value: float) -> TensorProto:
    """A scalar tensor as `tf.summary.scalar` writes it."""
    return TensorProto(dtype=1, float_val=[value])


def event(step: int, tag: str, tensor: TensorProto, *, wall_time: float = 1.0) -> bytes:
    """An event with one tensor, as a record."""
    summary = Summary(value=[Summary.Value(tag=tag, tensor=tensor)])
    return record(Event(step=step, wall_time=wall_time, summary=summary).SerializeToString())


def write_curve(path: Path, tag: str, values: Sequence[float]) -> None:
    """An event file with one tag at the steps 0, 1, ..., after the usual version record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [record(Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())]
    records += [event(i, tag, float_tensor(v)) for i, v in enumerate(values)]
    path.write_bytes(b"".join(records))
