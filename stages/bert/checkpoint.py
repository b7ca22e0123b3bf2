"""A BERT on disk: a folder that Hugging Face Transformers opens as it is.

config.json  bert_config.json  model.safetensors  vocab.txt  tokenizer_config.json  tokenizer.json
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stagedml.errors import DataError
from stagedml.stages.bert.config import BertConfig
from stagedml.stages.bert.model import BertPretraining, BertTasks, Head, Precision
from stagedml.stages.bert.names import Entry, Tensors, encoder_entries, head_entries, mlm_entries, nsp_entries
from stagedml.stages.bert.readers import Checkpoint, read_huggingface, read_json
from stagedml.stages.bert.step import array_of

HEADS_KEY = "stagedml_heads"  # in config.json: our heads, which Transformers passes over


def entries_of(model: keras.Model) -> list[Entry]:
    """The name map of a whole model."""
    out = encoder_entries(model.config)
    if isinstance(model, BertPretraining):
        return out + mlm_entries() + (nsp_entries() if model.nsp is not None else [])
    return out + head_entries(list(model.heads))


def tensors_of(model: keras.Model) -> Tensors:
    """Every weight of a model under Hugging Face's names."""
    weights = {w.name: w for w in model.trainable_variables}
    out: Tensors = {}
    for entry in entries_of(model):
        out |= entry.split(array_of(weights[entry.ours]))
    return out


def fill(model: keras.Model, entries: Iterable[Entry], tensors: Mapping[str, np.ndarray], where: str) -> None:
    """Assigns weights from tensors. Raises `DataError` naming one that is missing or of another shape."""
    weights = {w.name: w for w in model.trainable_variables}
    for entry in entries:
        missing = [name for name in entry.theirs if name not in tensors]
        if missing:
            raise DataError(
                f"no tensor {missing[0]}", where=where, hint=f"the model needs it for {entry.ours}"
            )
        value, weight = entry.join(tensors), weights[entry.ours]
        if tuple(value.shape) != tuple(weight.shape):
            raise DataError(
                f"{entry.theirs[0]} makes {tuple(value.shape)}, the model has {tuple(weight.shape)}",
                where=where,
                hint="the checkpoint is of another size",
            )
        weight.assign(value)


def save_model(model: keras.Model, folder: Path, *, vocab: Path, lower_case: bool) -> None:
    """Writes a model in Hugging Face's layout."""
    extra: dict[str, Any] = {"architectures": ["BertForPreTraining"]}
    if isinstance(model, BertTasks):
        heads = {
            n: {"units": h.units, "level": h.level, "dropout": h.dropout} for n, h in model.heads.items()
        }
        extra = {"architectures": _architectures(model), HEADS_KEY: heads}
        if len(model.heads) == 1:
            head = next(iter(model.heads.values()))
            extra["id2label"] = {str(i): f"LABEL_{i}" for i in range(head.units)}
            extra["label2id"] = {v: int(k) for k, v in extra["id2label"].items()}
            if head.units == 1:
                extra["problem_type"] = "regression"
            if head.dropout is not None:
                extra["classifier_dropout"] = head.dropout
    elif model.nsp is None:
        extra = {"architectures": ["BertForMaskedLM"]}
    write_folder(folder, model.config, tensors_of(model), extra, vocab=vocab, lower_case=lower_case)


def _architectures(model: BertTasks) -> list[str]:
    if len(model.heads) != 1:
        return ["BertModel"]
    tokens = next(iter(model.heads.values())).level == "tokens"
    return ["BertForTokenClassification" if tokens else "BertForSequenceClassification"]


def save_checkpoint(checkpoint: Checkpoint, folder: Path, *, vocab: Path, lower_case: bool) -> None:
    """Writes what a reader found in Hugging Face's layout."""
    known = {("mlm", "nsp"): "BertForPreTraining", ("mlm",): "BertForMaskedLM"}
    architecture = known.get(checkpoint.parts, "BertModel")
    extra = {"architectures": [architecture]}
    write_folder(folder, checkpoint.config, checkpoint.tensors, extra, vocab=vocab, lower_case=lower_case)


def write_folder(
    folder: Path,
    config: BertConfig,
    tensors: Tensors,
    extra: Mapping[str, Any],
    *,
    vocab: Path,
    lower_case: bool,
) -> None:
    """Writes the folder's files. Raises `DataError` when the vocabulary is larger than the embeddings."""
    from safetensors.numpy import save_file

    words = read_vocab(vocab)
    if len(words) > config.vocab_size:
        raise DataError(
            f"{len(words)} words, but the model has embeddings for {config.vocab_size}",
            where=str(vocab),
            hint="use the vocabulary that the model was trained with",
        )
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "bert_config.json", config.to_dict())
    _write_json(folder / "config.json", {**config.to_dict(), "model_type": "bert", **extra})
    if vocab.resolve() != (folder / "vocab.txt").resolve():
        shutil.copyfile(vocab, folder / "vocab.txt")
    write_tokenizer(folder, words, lower_case=lower_case, max_length=config.max_position_embeddings)


def write_tokenizer(folder: Path, words: list[str], *, lower_case: bool, max_length: int) -> None:
    """`tokenizer.json` and `tokenizer_config.json`: Google's basic and WordPiece tokenization."""
    from tokenizers import BertWordPieceTokenizer

    table = {word: i for i, word in enumerate(words)}
    if all(special in table for special in ("[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]")):
        tokenizer = BertWordPieceTokenizer(vocab=table, lowercase=lower_case)
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    values = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lower_case,
        "model_max_length": max_length,
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
        "pad_token": "[PAD]",
        "mask_token": "[MASK]",
    }
    _write_json(folder / "tokenizer_config.json", values)


def read_vocab(path: Path) -> list[str]:
    """The words of a `vocab.txt`, one a line. Raises `DataError` when it is empty or repeats a word."""
    try:
        words = path.read_text(encoding="utf-8").split("\n")
    except OSError as e:
        raise DataError(f"no vocabulary: {e}", where=str(path)) from e
    if words and not words[-1]:
        words.pop()
    words = [word.rstrip("\r") for word in words]
    if not words or len(set(words)) != len(words):
        raise DataError("an empty vocabulary, or a word twice", where=str(path))
    return words


def load_config(folder: Path) -> BertConfig:
    """The sizes of the model in a folder."""
    return BertConfig.from_dict(read_json(folder / "config.json"))


def load_encoder(model: keras.Model, folder: Path) -> None:
    """Fills the encoder of any model from a folder; heads stay as they are."""
    fill(model, encoder_entries(model.config), read_huggingface(folder).tensors, str(folder))


def load_pretraining(folder: Path, *, precision: Precision = "float32") -> BertPretraining:
    """The pre-training model of a folder, with the heads it has (masked LM at least)."""
    checkpoint = read_huggingface(folder)
    model = BertPretraining(checkpoint.config, precision=precision, nsp="nsp" in checkpoint.parts)
    fill(model, entries_of(model), checkpoint.tensors, str(folder))
    return model


def load_tasks(folder: Path, *, precision: Precision = "float32") -> BertTasks:
    """A fine-tuned model of ours, heads and all."""
    from safetensors.numpy import load_file

    values = read_json(folder / "config.json")
    if HEADS_KEY not in values:
        raise DataError("no heads here", where=str(folder / "config.json"), hint="use load_encoder")
    heads = {name: Head(**h) for name, h in values[HEADS_KEY].items()}
    model = BertTasks(BertConfig.from_dict(values), heads, precision=precision)
    fill(model, entries_of(model), load_file(folder / "model.safetensors"), str(folder))
    return model


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
