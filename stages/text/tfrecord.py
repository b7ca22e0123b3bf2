"""TFRecord files of one fixed layout, written and read a block at a time without TensorFlow.

A record is `tf.train.Example`; every reader of TFRecords understands it. What is special is its layout: all
records of a schema have the same features, the same number of values, and so the same number of bytes. That
needs one liberty the protocol buffer format grants: a varint may be longer than it has to be, so each integer
feature has a width of its own, wide enough for its largest value. In return a block of N examples is one
[N, record] matrix of bytes, filled and read column-wise by numpy, and record i of a file is found without
reading those before it.

    length: u64 | masked crc32c of length: u32 | Example | masked crc32c of Example: u32

Rejected: `tf.train.Example(...).SerializeToString()`, 20 times slower and in need of TensorFlow in every
worker; shortest varints, which save a seventh of the disk and cost the random access.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from stagedml.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

Bytes2D = NDArray[np.uint8]  # [N, record]
Arrays = dict[str, NDArray[Any]]

LENGTH_BYTES = 12  # length and its checksum
CRC_BYTES = 4
CHUNK = 2048  # records handled at once, so that the intermediate arrays stay in the cache


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of `data`."""
    return int(google_crc32c.value(data))


def masked_crc(data: bytes) -> int:
    """The checksum as TFRecord stores it: rotated and offset, because a crc of a crc is weak."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    """The shortest protocol buffer varint of a non-negative integer."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited protocol buffer field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


@dataclass(frozen=True)
class Feature:
    """One feature of a schema: `size` values, integers from 0 to `limit` - 1 or float32."""

    name: str
    size: int
    kind: Literal["int", "float"] = "int"
    limit: int = 1 << 21

    @property
    def width(self) -> int:
        """Bytes that a value takes."""
        return 4 if self.kind == "float" else max(1, -(-(self.limit - 1).bit_length() // 7))

    @property
    def dtype(self) -> type[np.float32] | type[np.int32]:
        return np.float32 if self.kind == "float" else np.int32


@dataclass(frozen=True)
class Schema:
    """The features of a kind of example. Writer and readers derive from it; nothing else says the layout."""

    features: tuple[Feature, ...]

    @cached_property
    def _layout(self) -> tuple[bytes, dict[str, int]]:
        """A framed record of zeros, and where in it the values of each feature begin."""
        entries, starts = [], []
        for f in self.features:
            payload = bytes(f.size * f.width)
            values = field(2 if f.kind == "float" else 3, field(1, payload))
            entry = field(1, field(1, f.name.encode()) + field(2, values))
            entries.append(entry)
            starts.append(len(entry) - len(payload))
        body = b"".join(entries)
        example = field(1, body)
        at = LENGTH_BYTES + len(example) - len(body)
        offsets = {}
        for f, entry, start in zip(self.features, entries, starts, strict=True):
            offsets[f.name] = at + start
            at += len(entry)
        length = len(example).to_bytes(8, "little")
        return length + masked_crc(length).to_bytes(4, "little") + example + bytes(CRC_BYTES), offsets

    @property
    def record_bytes(self) -> int:
        """Bytes of a framed record."""
        return len(self._layout[0])

    @cached_property
    def _constant(self) -> NDArray[np.intp]:
        """The columns that are the same in every record: all but values and the closing checksum."""
        template, offsets = self._layout
        free = np.zeros(len(template), bool)
        free[-CRC_BYTES:] = True
        for f in self.features:
            free[offsets[f.name] : offsets[f.name] + f.size * f.width] = True
        return np.flatnonzero(~free)

    def encode(self, arrays: Mapping[str, NDArray[Any]]) -> Bytes2D:
        """Framed records [N, record] of arrays [N, size] (or [N] for a size of 1).

        Raises `ValueError` for a value outside its feature's range or an array of another shape.
        """
        template, offsets = self._layout
        count = len(arrays[self.features[0].name])
        out = np.empty((count, len(template)), np.uint8)
        out[:] = np.frombuffer(template, np.uint8)
        for f in self.features:
            values = np.asarray(arrays[f.name]).reshape(count, f.size)
            if f.kind == "int" and count and (int(values.min()) < 0 or int(values.max()) >= f.limit):
                raise ValueError(f"{f.name}: values {values.min()}..{values.max()} outside 0..{f.limit - 1}")
            for at in range(0, count, CHUNK):
                self._fill(f, values[at : at + CHUNK], out[at : at + CHUNK], offsets[f.name])
        self._sign(out)
        return out

    @staticmethod
    def _fill(f: Feature, values: NDArray[Any], out: Bytes2D, at: int) -> None:
        end = at + f.size * f.width
        if f.kind == "float":
            out[:, at:end] = np.ascontiguousarray(values, "<f4").view(np.uint8)
            return
        left: NDArray[Any] = values.astype(np.uint32 if f.width > 2 else np.uint16)
        for i in range(f.width - 1):
            out[:, at + i : end : f.width] = (left & 127 | 128).astype(np.uint8)
            left >>= 7
        out[:, at + f.width - 1 : end : f.width] = left.astype(np.uint8)

    @staticmethod
    def _sign(out: Bytes2D) -> None:
        """Fills in the checksums at the end of each record."""
        size, crc = out.shape[1], google_crc32c.value
        for at in range(0, len(out), CHUNK):
            block = out[at : at + CHUNK]
            data = block.tobytes()
            sums = np.array(
                [
                    crc(data[i : i + size - LENGTH_BYTES - CRC_BYTES])
                    for i in range(LENGTH_BYTES, len(data), size)
                ],
                np.uint32,
            )
            masked = (sums >> np.uint32(15) | sums << np.uint32(17)) + np.uint32(0xA282EAD8)
            block[:, -CRC_BYTES:] = masked.astype("<u4").view(np.uint8).reshape(-1, CRC_BYTES)

    def decode(self, records: Bytes2D, *, check: bool = True, where: str = "") -> Arrays:
        """The arrays of framed records: int32 or float32 [N, size], [N] for features of size 1.

        `check` compares layout and checksums. Raises `DataError`, naming `where` and the record.
        """
        if check:
            self.check(records, where=where)
        offsets = self._layout[1]
        out: Arrays = {}
        for f in self.features:
            raw = records[:, offsets[f.name] : offsets[f.name] + f.size * f.width]
            if f.kind == "float":
                values: NDArray[Any] = np.ascontiguousarray(raw).view("<f4")
            else:
                values = raw[:, f.width - 1 :: f.width].astype(np.int32)
                for i in range(f.width - 2, -1, -1):
                    values = values << 7 | (raw[:, i :: f.width] & 127)
            out[f.name] = values[:, 0] if f.size == 1 else values
        return out

    def check(self, records: Bytes2D, *, where: str = "", first: int = 0) -> None:
        """Raises `DataError` for the first record whose layout or checksum is not right."""
        template = np.frombuffer(self._layout[0], np.uint8)
        bad = (records[:, self._constant] != template[self._constant]).any(axis=1)
        signed = records.copy()
        self._sign(signed)
        bad |= (signed[:, -CRC_BYTES:] != records[:, -CRC_BYTES:]).any(axis=1)
        if bad.any():
            raise DataError(
                f"record {first + int(np.argmax(bad))} is damaged or of another layout",
                where=where,
                hint="build the stage that wrote it again",
            )

    def spec(self) -> dict[str, tf.io.FixedLenFeature]:
        """What `tf.io.parse_example` needs; integers arrive as int64, as TensorFlow stores them."""
        import tensorflow as tf

        return {
            f.name: tf.io.FixedLenFeature(
                [] if f.size == 1 else [f.size], tf.float32 if f.kind == "float" else tf.int64
            )
            for f in self.features
        }


def count_records(path: Path, schema: Schema) -> int:
    """How many records a file holds. Raises `DataError` for an empty file and for a truncated one."""
    size = path.stat().st_size
    count, rest = divmod(size, schema.record_bytes)
    if rest:
        raise DataError(
            f"record {count} is cut: {rest} of {schema.record_bytes} bytes, after {count} whole records",
            where=str(path),
            hint="the file was truncated or has another layout; build the stage that wrote it again",
        )
    if count == 0:
        raise DataError("no record at all", where=str(path), hint="build the stage that wrote it again")
    return count


def map_records(path: Path, schema: Schema) -> Bytes2D:
    """A file as a read-only matrix [N, record] on disk. Raises `DataError` as `count_records` does."""
    count = count_records(path, schema)
    return np.memmap(path, np.uint8, mode="r", shape=(count, schema.record_bytes))
