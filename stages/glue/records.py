"""GLUE as TFRecords: the features that TF-Models' `classifier_data_lib` writes, under the same names.

    train.tfrecord  dev.tfrecord  test.tfrecord  meta.json

`input_ids`, `input_mask`, `segment_ids` have `max_seq_length` values each, `label_ids`, `is_real_example` and
`example_id` one. `meta.json` holds the sizes and says which sets have labels; in the others `label_ids` is 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagedml.errors import DataError
from stagedml.progress import Progress
from stagedml.stages.text.tfrecord import Arrays, Feature, Schema, map_records

from .features import NO_LABEL, Encoded

META = "meta.json"
BLOCK = 4096  # records written or read at a time


@dataclass(frozen=True)
class Meta:
    """What a folder of records holds. `rows` and `labelled` have one entry a split."""

    task: str
    labels: tuple[str, ...]
    max_seq_length: int
    rows: Mapping[str, int]
    labelled: Mapping[str, bool]


def record_schema(max_seq_length: int, *, regression: bool, vocab_limit: int = 1 << 21) -> Schema:
    """The features of a record. `vocab_limit` bounds the token ids."""
    length = max_seq_length
    return Schema(
        (
            Feature("input_ids", length, limit=vocab_limit),
            Feature("input_mask", length, limit=2),
            Feature("segment_ids", length, limit=2),
            Feature("label_ids", 1, kind="float") if regression else Feature("label_ids", 1, limit=1 << 14),
            Feature("is_real_example", 1, limit=2),
            Feature("example_id", 1, limit=1 << 28),
        )
    )


def write_split(path: Path, data: Encoded, schema: Schema, *, progress: Progress | None = None) -> None:
    """Writes the examples of one split."""
    length = schema.features[0].size
    with path.open("wb") as out:
        for start in range(0, len(data), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(data)))
            arrays = data.padded(rows, length)
            labels = arrays["label_ids"]
            arrays["label_ids"] = np.where(labels == NO_LABEL, 0, labels)
            arrays["is_real_example"] = np.ones(len(rows), np.int32)
            arrays["example_id"] = rows
            out.write(schema.encode(arrays).tobytes())
            if progress is not None:
                progress.update(len(rows))


def write_records(
    folder: Path,
    splits: Mapping[str, Encoded],
    *,
    task: str,
    labels: tuple[str, ...],
    max_seq_length: int,
    progress: Progress | None = None,
) -> Meta:
    """Writes a folder of records and its `meta.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = record_schema(max_seq_length, regression=not labels)
    for split, data in splits.items():
        write_split(folder / f"{split}.tfrecord", data, schema, progress=progress)
    meta = Meta(
        task,
        labels,
        max_seq_length,
        {split: len(data) for split, data in splits.items()},
        {split: bool((data.labels != NO_LABEL).all()) for split, data in splits.items()},
    )
    text = json.dumps(meta.__dict__, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / META).write_text(text + "\n", encoding="utf-8")
    return meta


def read_meta(folder: Path) -> Meta:
    """What a folder of records holds. Raises `DataError` when it is none."""
    try:
        m = json.loads((folder / META).read_text(encoding="utf-8"))
        return Meta(m["task"], tuple(m["labels"]), m["max_seq_length"], m["rows"], m["labelled"])
    except (OSError, ValueError, KeyError) as e:
        raise DataError(f"not a folder of GLUE records: {e}", where=str(folder)) from e


def read_records(folder: Path, split: str) -> Encoded:
    """Reads a split back, without TensorFlow. Raises `DataError`: no such split, damaged or cut records."""
    meta = read_meta(folder)
    path = folder / f"{split}.tfrecord"
    if split not in meta.rows:
        there = ", ".join(meta.rows)
        raise DataError(f"no {split} set of {meta.task}", where=str(folder), hint=f"there is: {there}")
    schema = record_schema(meta.max_seq_length, regression=not meta.labels)
    records = map_records(path, schema)
    ids: list[NDArray[np.int32]] = []
    types: list[NDArray[np.int32]] = []
    lengths: list[NDArray[Any]] = []
    labels: list[NDArray[Any]] = []
    for start in range(0, len(records), BLOCK):
        arrays: Arrays = schema.decode(np.asarray(records[start : start + BLOCK]), where=str(path))
        real = arrays["input_mask"] == 1
        ids.append(arrays["input_ids"][real])
        types.append(arrays["segment_ids"][real])
        lengths.append(real.sum(axis=1))
        labels.append(arrays["label_ids"])
    if len(records) != meta.rows[split]:
        raise DataError(f"{len(records)} records, not {meta.rows[split]}", where=str(path))
    label_ids = np.concatenate(labels)
    if not meta.labelled[split]:
        label_ids = np.full_like(label_ids, NO_LABEL)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return Encoded(np.concatenate(ids), np.concatenate(types), offsets, label_ids)
