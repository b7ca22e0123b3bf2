"""TensorBoard event files, read without TensorFlow.

A file is a sequence of TFRecords (length, its checksum, payload, its checksum), each payload one `Event`
message. The messages come from the `tensorboard` package (0.04 s to import; its own record reader costs
0.3 s and brings numpy along, and TensorFlow's costs seconds).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from stagedml.errors import CorruptError, DataError, MissingError

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_CASTAGNOLI = 0x82F63B78
# struct codes of the tensor types that hold a number (tensorflow/core/framework/types.proto)
_TENSOR_CODES = {1: "f", 2: "d", 3: "i", 4: "B", 5: "h", 6: "b", 9: "q", 10: "?", 19: "e", 22: "I", 23: "Q"}
_BFLOAT16 = 14


@dataclass(frozen=True)
class TensorEvent:
    """One value of one tag: `step`, `wall_time` (seconds since 1970) and the number or tensor message."""

    step: int
    wall_time: float
    tag: str
    tensor: Any


def read_events(folder: Path, tag: str) -> list[TensorEvent]:
    """The events of `tag` in the event files of `folder`, one a step, by step.

    A run that was killed and continued writes some steps twice: the later one counts. A record cut short at
    the end of a file (a killed writer) is left out. Raises `MissingError` that lists the tags there are,
    `CorruptError` on a damaged record.
    """
    by_step: dict[int, TensorEvent] = {}
    for path in event_files(folder):
        for event in _file_events(path, tag):
            known = by_step.get(event.step)
            if known is None or known.wall_time <= event.wall_time:
                by_step[event.step] = event
    if not by_step:
        tags = ", ".join(event_tags(folder)) or "none"
        raise MissingError(f"no tag {tag!r} in the event files", where=str(folder), hint=f"there is: {tags}")
    return [by_step[step] for step in sorted(by_step)]


def event_files(folder: Path) -> list[Path]:
    """The event files of `folder`, by name. Raises `MissingError` where there are none."""
    found = sorted(p for p in folder.glob("*tfevents*") if p.is_file())
    if not found:
        raise MissingError(
            "no TensorBoard event files", where=str(folder), hint="did its stage write logs at all?"
        )
    return found


def event_tags(folder: Path) -> list[str]:
    """The tags that the event files of `folder` hold, sorted."""
    event_type = _event_type()
    tags: set[str] = set()
    for path in event_files(folder):
        for payload, _ in _records(path):
            tags.update(value.tag for value in event_type.FromString(payload).summary.value)
    return sorted(tags)


def te2float(event: TensorEvent) -> float:
    """The number that an event holds. Raises `DataError` for a text or a tensor of several numbers."""
    tensor = event.tensor
    if isinstance(tensor, float):
        return tensor
    count = 1
    for dim in tensor.tensor_shape.dim:
        count *= dim.size
    if count != 1:
        raise DataError(f"tag {event.tag!r} at step {event.step} holds {count} numbers, not one")
    if tensor.dtype == _BFLOAT16:
        bits = tensor.tensor_content or struct.pack("<H", tensor.half_val[0])
        return float(struct.unpack("<f", b"\0\0" + bits)[0])
    code = _TENSOR_CODES.get(tensor.dtype)
    if code is None:
        raise DataError(f"tag {event.tag!r} at step {event.step} holds no number (type {tensor.dtype})")
    if tensor.tensor_content:
        return float(struct.unpack(f"<{code}", tensor.tensor_content)[0])
    if code == "e" and tensor.half_val:
        return float(struct.unpack("<e", struct.pack("<H", tensor.half_val[0]))[0])
    for name in ("float_val", "double_val", "int_val", "int64_val", "bool_val", "uint32_val", "uint64_val"):
        if values := getattr(tensor, name):
            return float(values[0])
    return 0.0  # a zero may be written as nothing at all


@cache
def _event_type() -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event


def _file_events(path: Path, tag: str) -> Iterator[TensorEvent]:
    event_type = _event_type()
    wanted = tag.encode()
    for payload, checksum in _records(path):
        if wanted not in payload:
            continue
        if _masked_crc(payload) != checksum:
            raise CorruptError("a record's checksum does not match its bytes", where=str(path))
        event = event_type.FromString(payload)
        for value in event.summary.value:
            if value.tag == tag:
                kind = value.WhichOneof("value")
                held = value.tensor if kind == "tensor" else float(value.simple_value)
                yield TensorEvent(int(event.step), float(event.wall_time), tag, held)


def _records(path: Path) -> Iterator[tuple[bytes, int]]:
    """Payloads with their checksums; stops before a record that is cut short."""
    with path.open("rb") as f:
        while (header := _read(f, _HEADER.size)) is not None:
            size, checksum = _HEADER.unpack(header)
            if _masked_crc(header[:8]) != checksum:
                raise CorruptError("not an event file, or damaged", where=f"{path}, byte {f.tell()}")
            payload, footer = _read(f, size), _read(f, _FOOTER.size)
            if payload is None or footer is None:
                return
            yield payload, _FOOTER.unpack(footer)[0]


def _read(f: BinaryIO, size: int) -> bytes | None:
    data = f.read(size)
    return data if len(data) == size else None


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CASTAGNOLI if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


def _masked_crc(data: bytes) -> int:
    """The CRC-32C of `data`, rotated and shifted as the TFRecord format stores it."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
