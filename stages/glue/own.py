"""A classification or regression task from one's own table, in a stage of ten lines:

def my_reviews(m):
    table = fetchlocal(m, "reviews.csv", mode="asis")
    bert = all_fetchminibert(m)
    records = table_tfrecords(
        m, table=mklens(table).out.refpath, text="review", label="mood",
        bert_vocab=mklens(bert).bert_vocab.refpath, lower_case=True,
    )
    return bert_finetune_glue(m, bert, records, train_epoches=4)
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from stagedml import Build, promise, stage
from stagedml.errors import DataError

from .readers import Example, check_label
from .tables import BOM, decode_line, find_column, shown
from .tasks import Task


@stage(name="table-tfrecords")
def table_tfrecords(
    b: Build,
    table: Path,
    text: str,
    label: str,
    bert_vocab: Path,
    lower_case: bool,
    text_b: str = "",
    dev_table: Path | None = None,
    dev_share: float = 0.1,
    regression: bool = False,
    labels: list | None = None,
    seed: int = 1,
    max_seq_length: int = 128,
    task_name: str = "own",
    tfrecords: Path = promise("tfrecords"),
    examples: Path = promise("examples"),
) -> None:
    """Records of one's own table, a CSV or TSV file with a header, in the form of `glue_tfrecords`.

    `text`, `text_b` (for pairs) and `label` name columns. The dev set is `dev_table`, or `dev_share` of the
    rows, drawn by `seed`. `labels` fixes the classes and their order; without it they are those that occur,
    sorted. `.tsv` and `.txt` are split at tabs and quotes are text, as in GLUE; other files are CSV.

    Raises `DataError` naming file and line: no such column, a short row, an unknown label, no rows.
    """
    from .features import encode, load_tokenizer
    from .records import write_records
    from .texts import write_examples

    columns = [text, *([text_b] if text_b else []), label]
    train = list(read_table(table, columns))
    dev = list(read_table(dev_table, columns)) if dev_table else []
    if not dev:
        train, dev = split_rows(train, dev_share, seed=seed, where=shown(table))
    classes = () if regression else tuple(labels or sorted({row[-1] for _, row in train}))
    task = own_task(task_name, classes, pair=bool(text_b))
    tokenizer = load_tokenizer(bert_vocab, lower_case=lower_case)
    splits = {
        "train": make_examples(train, task, where=shown(table)),
        "dev": make_examples(dev, task, where=shown(dev_table or table)),
    }
    encoded = {
        name: encode(rows, task, tokenizer=tokenizer, max_seq_length=max_seq_length)
        for name, rows in splits.items()
    }
    write_records(tfrecords, encoded, task=task_name, labels=classes, max_seq_length=max_seq_length)
    examples.mkdir()
    write_examples(examples / "dev.jsonl", splits["dev"])
    print(
        f"{task_name}: {len(train):,} train, {len(dev):,} dev, labels {', '.join(classes) or 'are numbers'}"
    )


def own_task(name: str, labels: tuple[str, ...], *, pair: bool = False) -> Task:
    """A plain classification (accuracy) or, without labels, a regression (correlations)."""
    text = (("text",), ("text_b",)) if pair else (("text",),)
    official = ("eval_accuracy",) if labels else ("pearson", "spearman")
    return Task(name, name, labels, text, ("label",), official, {}, f"{name}.tsv")


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields line number and the fields of `columns`, in their order. Raises `DataError`."""
    where = shown(path)
    content = "\n".join(decode_line(line) for line in path.read_bytes().removeprefix(BOM).split(b"\n"))
    plain = path.suffix.lower() in (".tsv", ".tab", ".txt")
    lines = io.StringIO(content, newline="")
    reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if plain else csv.reader(lines)
    header = next(reader, None)
    if header is None:
        raise DataError("the file is empty", where=f"{where}:1")
    places = [find_column(header, [name], where=where) for name in columns]
    empty = True
    for row in reader:
        if not row:
            continue
        empty = False
        if len(row) <= max(places):
            raise DataError(f"{len(row)} columns, not {len(header)}", where=f"{where}:{reader.line_num}")
        yield reader.line_num, [row[i].strip() for i in places]
    if empty:
        raise DataError("no rows below the header", where=f"{where}:1")


Lines = list[tuple[int, list[str]]]


def split_rows(rows: Lines, share: float, *, seed: int, where: str) -> tuple[Lines, Lines]:
    """(train, dev) in the order of the file; which rows are dev is drawn by `seed`."""
    count = round(len(rows) * share)
    if not 0 < count < len(rows):
        raise DataError(
            f"dev_share {share} of {len(rows)} rows leaves an empty set",
            where=where,
            hint="give a dev_table, or another dev_share",
        )
    chosen = set(random.Random(seed).sample(range(len(rows)), count))
    return [r for i, r in enumerate(rows) if i not in chosen], [r for i, r in enumerate(rows) if i in chosen]


def make_examples(rows: Lines, task: Task, *, where: str) -> list[Example]:
    """Examples of rows; the label is the last field. Raises `DataError` for a label that is none."""
    out: list[Example] = []
    for line, fields in rows:
        check_label(task.labels, fields[-1], where=f"{where}:{line}")
        text_b = fields[1] if task.pair else None
        out.append(Example(len(out), str(len(out)), line, fields[0], text_b, fields[-1]))
    return out
