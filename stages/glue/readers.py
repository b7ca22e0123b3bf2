"""Reads a GLUE task from its official archive or from loose files into examples.

Quirks that are dealt with: quotes are text; byte-order marks; CoLA without header; SNLI rows longer than the
header, and rows without a gold label; QQP rows cut in two; MRPC from its raw files and the list of dev ids;
single lines in Latin-1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stagedml.errors import DataError

from .tables import Source, find_column, read_rows, shown
from .tasks import SPLITS, Task

MRPC_RAW = {
    "train": "msr_paraphrase_train.txt",
    "dev": "msr_paraphrase_train.txt",
    "test": "msr_paraphrase_test.txt",
}
OTHER_FOLDERS = {"SNLI": ("snli_1.0",), "AX": ("diagnostic",), "QNLI": ("QNLIv2",)}
MRPC_DEV_IDS = ("dev_ids.tsv", "mrpc_dev_ids.tsv")


@dataclass(frozen=True)
class Example:
    """A sentence or a pair, its label (None in test sets) and where it stands in its file.

    `index` counts the examples that were kept, from 0; `uid` is what a submission names the row by.
    """

    index: int
    uid: str
    line: int
    text_a: str
    text_b: str | None
    label: str | None


@dataclass(frozen=True)
class _Layout:
    """Which field holds what, for one file."""

    text: tuple[int, ...]
    label: int | None
    uid: int | None
    width: int


def open_source(path: Path) -> Source:
    """A folder as it is, a zip archive as a folder. Raises `DataError` when it is neither."""
    if path.is_dir():
        return path
    if not path.exists():
        raise DataError(
            "no such file or folder", where=str(path), hint="give a GLUE folder or an official zip"
        )
    import zipfile  # not at the top: the menu imports this module

    if not zipfile.is_zipfile(path):
        raise DataError("neither a folder nor a zip archive", where=str(path))
    return zipfile.Path(path)


def _join(folder: Source, name: str) -> Source:
    return folder / name  # type: ignore[operator]


def _folders(root: Path, task: Task) -> list[Source]:
    """Where the files may lie: in the folder itself or in the folder that the archive is packed in."""
    top = open_source(root)
    inner = dict.fromkeys([task.folder, task.name, *OTHER_FOLDERS.get(task.name, ())])
    slash = "" if isinstance(top, Path) else "/"  # a folder inside an archive is named with it
    return [top, *(f for name in inner if (f := _join(top, name + slash)).is_dir())]


def _find(folders: list[Source], names: tuple[str, ...]) -> Source | None:
    for folder in folders:
        for name in names:
            path = _join(folder, name)
            if path.exists() and not path.is_dir():
                return path
    return None


def read_examples(task: Task, root: Path, split: str) -> list[Example]:
    """Reads `split` ("train", "dev" or "test") of a task from a folder or an official zip.

    Raises `DataError` naming file and line: no such file, a missing column, an unknown label, a short row, no
    rows at all.
    """
    if split not in SPLITS:
        raise DataError(f"no split {split!r}", where=task.name, hint=f"the splits are: {', '.join(SPLITS)}")
    folders = _folders(root, task)
    names = task.files.get(split, ())
    path = _find(folders, names)
    if path is not None:
        return parse_examples(task, path.read_bytes(), split=split, where=shown(path))
    if task.name == "MRPC":
        raw = _read_mrpc_raw(task, folders, split)
        if raw is not None:
            return raw
    raise DataError(
        f"no {split} set of {task.name}",
        where=str(root),
        hint=f"looked for {' or '.join(names) or 'nothing: the task has none'}"
        + (f" and for {MRPC_RAW[split]} with {MRPC_DEV_IDS[0]}" if task.name == "MRPC" else ""),
    )


def has_split(task: Task, root: Path, split: str) -> bool:
    """Whether a folder or zip holds that split of a task."""
    folders = _folders(root, task)
    if _find(folders, task.files.get(split, ())) is not None:
        return True
    return task.name == "MRPC" and _find(folders, (MRPC_RAW[split],)) is not None


def _read_mrpc_raw(task: Task, folders: list[Source], split: str) -> list[Example] | None:
    """MRPC by the official rule: raw order; the pairs of ids in the list are dev, the rest is train."""
    raw = _find(folders, (MRPC_RAW[split],))
    if raw is None:
        return None
    keep: Callable[[list[str]], bool] | None = None
    if split != "test":
        ids_path = _find(folders, MRPC_DEV_IDS)
        if ids_path is None:
            raise DataError(
                "the list of dev ids is missing", where=shown(raw), hint=f"put {MRPC_DEV_IDS[0]} beside it"
            )
        ids = {tuple(row[:2]) for _, row in read_rows(ids_path.read_bytes())}
        keep = lambda row: (tuple(row[1:3]) in ids) == (split == "dev")  # noqa: E731
    return parse_examples(task, raw.read_bytes(), split=split, where=shown(raw), keep=keep)


def _layout(task: Task, first: list[str], *, split: str, where: str) -> tuple[_Layout, bool]:
    """The layout of a file from its first row, and whether that row is a header."""
    if task.headless and split != "test":
        header, is_header = list(task.headless), False
        if len(first) != len(header):
            raise DataError(
                f"{len(first)} columns, not {len(header)}",
                where=f"{where}:1",
                hint=f"without header the columns are: {', '.join(header)}",
            )
    else:
        header, is_header = first, True
    text = tuple(find_column(header, names, where=where) for names in task.text)
    label: int | None = None
    if split != "test" or any(name in header for name in task.label):
        label = find_column(header, task.label, where=where)
        if task.label_is_last and label == len(header) - 1:
            label = -1
    uid = next((header.index(n) for n in ("index", "id", "pairID") if n in header), None)
    return _Layout(text, label, uid, len(header)), is_header


def parse_examples(
    task: Task, data: bytes, *, split: str, where: str, keep: Callable[[list[str]], bool] | None = None
) -> list[Example]:
    """Parses the bytes of one file. `keep` chooses rows before they are looked at. Raises `DataError`."""
    rows = read_rows(data)
    first = next(rows, None)
    if first is None:
        raise DataError("the file is empty", where=f"{where}:1", hint="is the download complete?")
    layout, is_header = _layout(task, first[1], split=split, where=where)
    needed = max(*layout.text, -1 if layout.label is None else layout.label) + 1
    if layout.label == -1 or task.skip_short_rows:
        needed = layout.width
    examples: list[Example] = []
    body = rows if is_header else (row for part in ([first], rows) for row in part)
    for line, row in body:
        if keep is not None and not keep(row):
            continue
        if len(row) < needed:
            if task.skip_short_rows:
                continue
            raise DataError(f"{len(row)} columns, at least {needed} are needed", where=f"{where}:{line}")
        label = None
        # GLUE hides the labels of its test sets; where a raw file has them, they are left unread
        if layout.label is not None and (split != "test" or task.name in ("SNLI", "AX")):
            label = row[layout.label].strip()
            if task.no_gold and label == task.no_gold:
                continue
            check_label(task.labels, label, where=f"{where}:{line}", bounds=task.bounds)
        texts = [row[i] for i in layout.text]
        index = len(examples)
        uid = row[layout.uid] if layout.uid is not None and split == "test" else str(index)
        examples.append(Example(index, uid, line, texts[0], texts[1] if task.pair else None, label))
    if not examples:
        raise DataError("no rows", where=f"{where}:{first[0]}", hint="is the download complete?")
    return examples


def check_label(
    labels: tuple[str, ...], label: str, *, where: str, bounds: tuple[float, float] | None = None
) -> None:
    """Raises `DataError` for a label that is not one of `labels`, or is no number where there are none."""
    if labels:
        if label not in labels:
            raise DataError(
                f"unknown label {label!r}", where=where, hint=f"the labels are: {', '.join(labels)}"
            )
        return
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"the score {label!r} is not a number", where=where)
    if bounds and not bounds[0] <= value <= bounds[1]:
        raise DataError(f"the score {label} is outside {bounds[0]:g} to {bounds[1]:g}", where=where)
