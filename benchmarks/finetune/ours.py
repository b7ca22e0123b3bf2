"""One fine-tuning of ours, as a whole process: data, training, evaluation. Prints one line of JSON.

python ours.py '{"task": "MRPC", "data": ..., "model": ..., "epochs": 3, ...}'
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Reads the job, fine-tunes, prints metrics and the seconds of each part."""
    began = time.perf_counter()
    job = json.loads(sys.argv[1])
    from stagedml.stages.glue.features import encode, load_tokenizer
    from stagedml.stages.glue.finetune import finetune
    from stagedml.stages.glue.readers import read_examples
    from stagedml.stages.glue.recipe import Recipe
    from stagedml.stages.glue.records import write_records
    from stagedml.stages.glue.tasks import find_task

    task, model = find_task(job["task"]), Path(job["model"])
    tokenizer = load_tokenizer(model / "vocab.txt", lower_case=True)
    splits = {}
    for split, rows in (("train", job["rows"]), ("dev", None)):
        examples = read_examples(task, Path(job["data"]), split)[:rows]
        splits[split] = encode(examples, task, tokenizer=tokenizer, max_seq_length=job["max_seq_length"])
    recipe = Recipe(
        batch_size=job["batch_size"],
        epochs=job["epochs"],
        lr=job["lr"],
        evals_per_epoch=0,
        bucketed=job.get("bucketed", True),
        precision=job.get("precision", "float32"),
    )
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder)
        length = job["max_seq_length"]
        write_records(records, splits, task=task.name, labels=task.labels, max_seq_length=length)
        ready = time.perf_counter()
        tuned = finetune(model, records, task=task, recipe=recipe, seed=job["seed"])
    out = {
        **tuned.metrics,
        "start_s": ready - began,
        "work_s": time.perf_counter() - ready,
        "steps": tuned.steps,
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
