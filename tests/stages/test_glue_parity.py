"""Our features against those of TF-Models' `classifier_data_lib`, on the real data."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stagedml.stages.glue.features import encode, load_tokenizer
from stagedml.stages.glue.readers import read_examples
from stagedml.stages.glue.tasks import find_task

DATA = Path(os.environ.get("STAGEDML_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [
    pytest.mark.parity,
    pytest.mark.data,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not (DATA / "glue").is_dir(), reason="no real data ($STAGEDML_DATA)"),
]
VOCAB = DATA / "bert-vocab" / "bert-base-uncased-vocab.txt"
MAX = {"MRPC": 128, "CoLA": 64, "SST-2": 64, "RTE": 128}
PROCESSORS = {
    "MRPC": "MrpcProcessor",
    "CoLA": "ColaProcessor",
    "SST-2": "SstProcessor",
    "RTE": "RteProcessor",
}


def as_tfds(task: str, split: str) -> Iterator[dict[str, Any]]:
    """Rows as TensorFlow Datasets yields them: its csv reader without quoting, its names, label ids."""
    path = DATA / "glue" / task / {"train": "train.tsv", "validation": "dev.tsv"}[split]
    with path.open(encoding="utf-8-sig", newline="") as f:
        names = ["source", "label", "star", "sentence"] if task == "CoLA" else None
        for i, row in enumerate(csv.DictReader(f, names, delimiter="\t", quoting=csv.QUOTE_NONE)):
            label = row["Quality"] if task == "MRPC" else row["label"]
            out: dict[str, Any] = {"idx": i, "label": {"entailment": 0, "not_entailment": 1}.get(label)}
            if out["label"] is None:
                out["label"] = int(label)
            if task == "MRPC":
                out |= {"sentence1": row["#1 String"].encode(), "sentence2": row["#2 String"].encode()}
            elif task == "RTE":
                out |= {"sentence1": row["sentence1"].encode(), "sentence2": row["sentence2"].encode()}
            else:
                out["sentence"] = row["sentence"].encode()
            yield out


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("task", list(MAX))
def test_features_equal_tf_models(task: str, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ids, masks, types and labels for each example (SST-2's training set: every 25th)."""
    lib = pytest.importorskip("official.nlp.data.classifier_data_lib", exc_type=ImportError)
    from official.nlp.tools import tokenization

    def load(name: str, split: str, **_: Any) -> Any:
        return SimpleNamespace(as_numpy_iterator=lambda: as_tfds(task, split))

    monkeypatch.setattr(lib.tfds, "load", load)
    processor = getattr(lib, PROCESSORS[task])()
    kind = "train" if split == "train" else "dev"
    theirs = getattr(processor, f"get_{kind}_examples")(None)
    tokenizer = tokenization.FullTokenizer(str(VOCAB), do_lower_case=True)
    found = find_task(task)
    examples = read_examples(found, DATA / "glue", kind)
    assert len(theirs) == len(examples)
    step = 25 if task == "SST-2" and kind == "train" else 1
    data = encode(
        examples[::step], found, tokenizer=load_tokenizer(VOCAB, lower_case=True), max_seq_length=MAX[task]
    )
    ours = data.padded(np.arange(len(data)), MAX[task])
    for i, example in enumerate(theirs[::step]):
        f = lib.convert_single_example(10 + i, example, processor.get_labels(), MAX[task], tokenizer)
        assert ours["input_ids"][i].tolist() == f.input_ids, example.text_a
        assert ours["input_mask"][i].tolist() == f.input_mask
        assert ours["segment_ids"][i].tolist() == f.segment_ids
        assert ours["label_ids"][i] == f.label_id
