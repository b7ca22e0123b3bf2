"""From the files of a task to its folder of records. Needs no TensorFlow, which takes seconds to import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stagedml.progress import Progress

from .features import Encoded, encode
from .readers import has_split, read_examples
from .records import write_records
from .tasks import SPLITS, Task
from .texts import write_examples

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def build_records(
    task: Task,
    root: Path,
    *,
    tokenizer: Tokenizer,
    max_seq_length: int,
    tfrecords: Path,
    texts: Path,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Records of every split that `root` holds, and the texts of all but train. Returns the sizes."""
    texts.mkdir(parents=True, exist_ok=True)
    encoded: dict[str, Encoded] = {}
    for split in SPLITS:
        if split == "test" and not has_split(task, root, split):
            continue
        if split not in task.files or (not task.rows.get(split) and split != "test"):
            continue
        examples = read_examples(task, root, split)
        encoded[split] = encode(examples, task, tokenizer=tokenizer, max_seq_length=max_seq_length)
        if split != "train":
            write_examples(texts / f"{split}.jsonl", examples)
    write_records(
        tfrecords,
        encoded,
        task=task.name,
        labels=task.labels,
        max_seq_length=max_seq_length,
        progress=progress,
    )
    return {split: len(data) for split, data in encoded.items()}
