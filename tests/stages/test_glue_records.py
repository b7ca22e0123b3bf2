"""GLUE records: what is written is read back, by us and by TensorFlow, and damage is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stagedml.errors import DataError
from stagedml.stages.glue.features import NO_LABEL, Encoded
from stagedml.stages.glue.records import read_meta, read_records, record_schema, write_records


def random_data(rows: int, *, longest: int = 12, regression: bool = False, labelled: bool = True) -> Encoded:
    """Random sequences of 3 to `longest` tokens."""
    rng = np.random.default_rng(rows)
    lengths = rng.integers(3, longest + 1, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = rng.integers(1, 30000, offsets[-1]).astype(np.int32)
    labels = rng.random(rows).astype(np.float32) if regression else rng.integers(0, 3, rows).astype(np.int32)
    if not labelled:
        labels = np.full_like(labels, NO_LABEL)
    return Encoded(ids, rng.integers(0, 2, offsets[-1]).astype(np.int32), offsets, labels)


def equal(a: Encoded, b: Encoded) -> bool:
    """Whether two sets hold the same."""
    return all(
        np.array_equal(getattr(a, f), getattr(b, f))
        for f in ("input_ids", "segment_ids", "offsets", "labels")
    )


@pytest.mark.parametrize("regression", [False, True])
def test_records_come_back_as_they_were(regression: bool, tmp_path: Path) -> None:
    """Ids, segments, lengths and labels survive, across blocks, and a test set stays without labels."""
    splits = {
        "train": random_data(5000, regression=regression),
        "test": random_data(3, regression=regression, labelled=False),
    }
    labels = () if regression else ("a", "b", "c")
    write_records(tmp_path, splits, task="T", labels=labels, max_seq_length=12)
    for split, data in splits.items():
        assert equal(read_records(tmp_path, split), data)
    assert read_meta(tmp_path).labelled == {"train": True, "test": False}


@pytest.mark.slow
def test_tensorflow_reads_them_under_the_names_of_tf_models(tmp_path: Path) -> None:
    """TensorFlow's own parser finds the six features, padded to the maximum."""
    import tensorflow as tf

    data = random_data(7)
    write_records(tmp_path, {"dev": data}, task="T", labels=("a", "b", "c"), max_seq_length=12)
    spec = record_schema(12, regression=False).spec()
    raw = list(tf.data.TFRecordDataset(str(tmp_path / "dev.tfrecord")).as_numpy_iterator())
    parsed = tf.io.parse_example(raw, spec)
    wanted = data.padded(np.arange(7), 12)
    for name in ("input_ids", "input_mask", "segment_ids", "label_ids"):
        np.testing.assert_array_equal(parsed[name].numpy(), wanted[name])
    assert parsed["example_id"].numpy().tolist() == list(range(7))
    assert parsed["is_real_example"].numpy().sum() == 7


def test_damage_and_absence_are_named(tmp_path: Path) -> None:
    """A flipped byte, a cut file, a missing split and a folder of something else are clear errors."""
    with pytest.raises(DataError, match="not a folder of GLUE records"):
        read_records(tmp_path, "dev")
    write_records(tmp_path, {"dev": random_data(9)}, task="T", labels=("a", "b", "c"), max_seq_length=12)
    with pytest.raises(DataError, match=r"no train set of T\n.*there is: dev"):
        read_records(tmp_path, "train")
    path = tmp_path / "dev.tfrecord"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 9 * 4 + 60] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="record 4 is damaged"):
        read_records(tmp_path, "dev")
    path.write_bytes(raw[:-5])
    with pytest.raises(DataError, match="record 8 is cut"):
        read_records(tmp_path, "dev")


def test_making_records_needs_no_tensorflow() -> None:
    """What the stages of records import takes a moment, not the seconds of TensorFlow and Keras."""
    code = (
        "import sys; import stagedml.stages.glue.prepare, stagedml.stages.glue.own;"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
