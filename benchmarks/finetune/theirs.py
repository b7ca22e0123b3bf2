"""One fine-tuning with Hugging Face's Trainer and PyTorch, as a whole process. Prints one line of JSON.

The same job as `ours.py` gets: same examples, rate, warm-up, decay, clipping, batch, epochs. `padding` is
"dynamic" (to the longest of a batch, Trainer's usual collator) or "max" (to `max_seq_length`).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time

os.environ.setdefault("TRANSFORMERS_NO_TF", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def main() -> None:
    """Reads the job, fine-tunes, prints predictions' metrics and the seconds of each part."""
    began = time.perf_counter()
    job = json.loads(sys.argv[1])
    from pathlib import Path

    import numpy as np
    from transformers import (
        AutoModelForSequenceClassification,
        BertTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from stagedml.stages.glue.metrics import score
    from stagedml.stages.glue.readers import read_examples
    from stagedml.stages.glue.tasks import find_task

    task, length = find_task(job["task"]), job["max_seq_length"]
    set_seed(job["seed"])
    tokenizer = BertTokenizer.from_pretrained(job["model"])

    def rows(split: str, limit: int | None) -> list[dict[str, object]]:
        examples = read_examples(task, Path(job["data"]), split)[:limit]
        pairs = [e.text_b for e in examples] if task.pair else None
        ids = tokenizer([e.text_a for e in examples], pairs, truncation=True, max_length=length)
        labels = [float(e.label) if task.regression else task.labels.index(e.label) for e in examples]
        return [{**{k: ids[k][i] for k in ids}, "labels": labels[i]} for i in range(len(examples))]

    train, dev = rows("train", job["rows"]), rows("dev", None)
    model = AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=task.num_outputs)
    ready = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        steps = -(-len(train) // job["batch_size"]) * job["epochs"]
        args = TrainingArguments(
            folder,
            per_device_train_batch_size=job["batch_size"],
            per_device_eval_batch_size=64,
            num_train_epochs=job["epochs"],
            learning_rate=job["lr"],
            warmup_steps=round(0.1 * steps),
            weight_decay=0.01,
            adam_epsilon=1e-6,
            max_grad_norm=1.0,
            lr_scheduler_type="linear",
            seed=job["seed"],
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            logging_strategy="no",
        )
        padding = "max_length" if job["padding"] == "max" else True
        collator = DataCollatorWithPadding(tokenizer, padding=padding, max_length=length)
        trainer = Trainer(model, args, train_dataset=train, eval_dataset=dev, data_collator=collator)
        done = trainer.train()
        outputs = trainer.predict(dev).predictions
    labels = np.array([row["labels"] for row in dev])
    answers = outputs[:, 0] if task.regression else outputs.argmax(axis=1)
    out = {**score(task, labels, answers), "start_s": ready - began, "work_s": time.perf_counter() - ready}
    print(json.dumps({**out, "steps": done.global_step}))


if __name__ == "__main__":
    main()
