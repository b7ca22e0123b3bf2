"""TFRecord files of one fixed layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedml.errors import DataError
from stagedml.stages.text.tfrecord import (
    Feature,
    Schema,
    count_records,
    crc32c,
    map_records,
    masked_crc,
    varint,
)

SCHEMA = Schema(
    (
        Feature("ids", 5, limit=30522),
        Feature("mask", 5, limit=2),
        Feature("weights", 3, "float"),
        Feature("label", 1, limit=2),
        Feature("big", 2, limit=1 << 28),
    )
)


def arrays(count: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Random arrays for every feature of `SCHEMA`."""
    rng = np.random.default_rng(seed)
    out: dict[str, np.ndarray[Any, Any]] = {}
    for f in SCHEMA.features:
        values = (
            rng.random((count, f.size)) if f.kind == "float" else rng.integers(0, f.limit, (count, f.size))
        )
        out[f.name] = values.astype(f.dtype)[:, 0] if f.size == 1 else values.astype(f.dtype)
    return out


@pytest.mark.parametrize(
    ("data", "crc"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_crc32c_is_that_of_rfc_3720(data: bytes, crc: int) -> None:
    """The checksum is CRC-32C, by the examples of RFC 3720 B.4."""
    assert crc32c(data) == crc


def test_masked_crc_of_a_length() -> None:
    """The masked checksum is what TensorFlow writes after a length of 8 zero bytes."""
    assert (
        masked_crc(bytes(8)) == ((crc32c(bytes(8)) >> 15 | crc32c(bytes(8)) << 17) + 0xA282EAD8) & 0xFFFFFFFF
    )


@pytest.mark.parametrize(
    ("value", "data"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")]
)
def test_varint(value: int, data: bytes) -> None:
    """Varints are those of protocol buffers."""
    assert varint(value) == data


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_decode_returns_what_was_encoded(count: int, seed: int) -> None:
    """Arrays survive the way into records and back, bit for bit."""
    data = arrays(count, seed)
    back = SCHEMA.decode(SCHEMA.encode(data))
    assert list(back) == list(data)
    for name, values in data.items():
        np.testing.assert_array_equal(back[name], values)
        assert back[name].dtype == values.dtype


def test_tensorflow_reads_the_records(tmp_path: Path) -> None:
    """TFRecordDataset (which checks the checksums) and parse_example give the same values."""
    tf = pytest.importorskip("tensorflow")
    data = arrays(300)
    path = tmp_path / "some.tfrecord"
    path.write_bytes(SCHEMA.encode(data).tobytes())
    (batch,) = tf.data.TFRecordDataset(str(path)).batch(1000)
    parsed = tf.io.parse_example(batch, SCHEMA.spec())
    for name, values in data.items():
        np.testing.assert_array_equal(parsed[name].numpy(), values)


def test_tensorflow_writer_agrees_on_the_framing(tmp_path: Path) -> None:
    """TensorFlow's own writer, given our payload, produces our bytes."""
    tf = pytest.importorskip("tensorflow")
    record = SCHEMA.encode(arrays(1)).tobytes()
    with tf.io.TFRecordWriter(str(tmp_path / "x")) as writer:
        writer.write(record[12:-4])
    assert (tmp_path / "x").read_bytes() == record


def test_a_value_out_of_range_is_refused() -> None:
    """A value that its feature has no room for is an error, not another value."""
    data = arrays(3)
    data["mask"][1, 1] = 2
    with pytest.raises(ValueError, match="mask"):
        SCHEMA.encode(data)


@pytest.mark.parametrize("at", [0, 9, 20, 60, -1])
def test_a_flipped_bit_is_noticed(at: int) -> None:
    """Damage anywhere in a record, frame included, names that record."""
    records = SCHEMA.encode(arrays(9))
    records[4, at] ^= 1
    with pytest.raises(DataError, match=r"record 4 is damaged") as e:
        SCHEMA.decode(records, where="some file")
    assert e.value.where == "some file"


def test_an_empty_file_names_itself(tmp_path: Path) -> None:
    """An empty file is an error that names the file."""
    path = tmp_path / "empty.tfrecord"
    path.touch()
    with pytest.raises(DataError, match="no record at all") as e:
        map_records(path, SCHEMA)
    assert str(path) in e.value.where


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_truncated_file_names_the_record(tmp_path: Path, cut: int) -> None:
    """A file that ends within a record names that record and how much of it there is."""
    path = tmp_path / "cut.tfrecord"
    path.write_bytes(SCHEMA.encode(arrays(7)).tobytes()[:-cut])
    with pytest.raises(DataError, match=rf"record 6 is cut: {SCHEMA.record_bytes - cut} of") as e:
        count_records(path, SCHEMA)
    assert str(path) in e.value.where


def test_a_file_is_mapped_not_read(tmp_path: Path) -> None:
    """Record i is found without those before it."""
    data = arrays(50)
    path = tmp_path / "some.tfrecord"
    path.write_bytes(SCHEMA.encode(data).tobytes())
    records = map_records(path, SCHEMA)
    assert len(records) == 50
    np.testing.assert_array_equal(SCHEMA.decode(np.asarray(records[31:33]))["ids"], data["ids"][31:33])
