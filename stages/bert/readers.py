"""Readers of the checkpoints BERTs come in; each accounts for every tensor it finds.

What a training left beside the weights (Adam's moments, step counters) is named in `ignored`; a tensor that
no map knows is an error, as is a missing one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stagedml.errors import DataError
from stagedml.stages.bert.config import BertConfig
from stagedml.stages.bert.names import (
    Source,
    Tensors,
    bare,
    by_attribute,
    encoder_entries,
    mlm_entries,
    nsp_entries,
    tf1_map,
    tfmodels_heads_map,
    tfmodels_map,
)

Kind = Literal["tf1", "tfmodels", "huggingface"]
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
BUFFERS = ("bert.embeddings.position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors under Hugging Face's names of `BertForPreTraining`; `parts` says which heads there are."""

    config: BertConfig
    tensors: Tensors
    ignored: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Of "mlm" and "nsp", those whose weights are all here."""
        found = []
        for part, entries in (("mlm", mlm_entries()), ("nsp", nsp_entries())):
            if all(name in self.tensors for e in entries for name in e.theirs):
                found.append(part)
        return tuple(found)


def find_kind(folder: Path) -> tuple[Kind, Path]:
    """Which of the formats a folder holds, and where: by its files, nothing is tried out.

    Raises `DataError` when it holds none, or more than one.
    """
    hits: list[tuple[Kind, Path]] = [
        ("huggingface", p.parent) for p in sorted(folder.rglob("model.safetensors"))
    ]
    for index in sorted(folder.rglob("*.index")):
        prefix = index.with_suffix("")
        hits.append(("tfmodels" if _is_object_based(prefix) else "tf1", prefix))
    if len(hits) != 1:
        what = ", ".join(str(p.relative_to(folder)) for _, p in hits) or "nothing"
        raise DataError(
            f"expected one BERT checkpoint, found {what}",
            where=str(folder),
            hint="a folder with model.safetensors and config.json, or with <name>.index and <name>.data-*",
        )
    return hits[0]


def _is_object_based(prefix: Path) -> bool:
    import tensorflow as tf

    return "_CHECKPOINTABLE_OBJECT_GRAPH" in tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises `DataError` naming the file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise DataError(f"cannot read: {e}", where=str(path)) from e
    if not isinstance(values, dict):
        raise DataError("not a JSON object", where=str(path))
    return values


def read_tf1(prefix: Path, config_file: Path | None = None) -> Checkpoint:
    """A checkpoint of google-research/bert (2018-2020): variables named `bert/...` and `cls/...`.

    Its `gelu` is the tanh form, so the config says `gelu_new`.
    """
    values = read_json(config_file or prefix.parent / "bert_config.json")
    if values.get("hidden_act") == "gelu":
        values["hidden_act"] = "gelu_new"
    config = BertConfig.from_dict(values)
    found = _tf_tensors(prefix)
    moments = [n for n in found if n.rsplit("/", 1)[-1] in ("adam_m", "adam_v") or n == "global_step"]
    return _translate(config, found, tf1_map(config.num_hidden_layers), moments, prefix)


def read_tfmodels(prefix: Path, *, hidden_act: str = "gelu_new") -> Checkpoint:
    """A checkpoint of TF-Models: a `BertPretrainerV2` or its encoder, whole or by `checkpoint_items`.

    The encoder may be a `BertEncoderV2` or the functional `BertEncoder`. Sizes are those of the tensors.
    """
    found = by_attribute({k.removesuffix(SUFFIX): v for k, v in _tf_tensors(prefix).items()})
    ends = "/_position_embedding_layer/embeddings"
    encoders = [name.removesuffix(ends) for name in found if name.endswith(ends)]
    if len(encoders) != 1:
        raise DataError(
            f"expected one BertEncoderV2, found {len(encoders)}",
            where=str(prefix),
            hint=f"its tensors are {sorted(found)[:4]} ...",
        )
    encoder = encoders[0]
    layers = 1 + max(
        (
            int(n.split("/_transformer_layers/")[1].split("/")[0])
            for n in found
            if "/_transformer_layers/" in n
        ),
        default=-1,
    )
    head = encoder.removesuffix("encoder_network").removesuffix("encoder")
    mapping = tfmodels_map(layers, encoder=encoder) | tfmodels_heads_map(head)
    pooled = [n for n in found if n.endswith(("pooler_dense/kernel", "classification_heads/0/dense/kernel"))]
    beside = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter", "optimizer", "global_step")
    unused = f"{encoder}/_pooler_layer/" if pooled else None
    ignored = [n for n in found if n.split("/")[0] in beside or (unused and n.startswith(unused))]
    query = found[f"{encoder}/_transformer_layers/0/_attention_layer/_query_dense/kernel"]
    words = next(
        n
        for n in (f"{encoder}/_embedding_layer/embeddings", f"{head}masked_lm/embedding_table")
        if n in found
    )
    config = BertConfig(
        vocab_size=len(found[words]), hidden_size=query.shape[0], num_hidden_layers=layers,
        num_attention_heads=query.shape[1], hidden_act=hidden_act,
        intermediate_size=found[f"{encoder}/_transformer_layers/0/_intermediate_dense/kernel"].shape[1],
        max_position_embeddings=len(found[encoder + ends]),
        type_vocab_size=len(found[f"{encoder}/_type_embedding_layer/embeddings"]),
    )  # fmt: skip
    return _translate(config, found, mapping, ignored, prefix)


def read_huggingface(folder: Path) -> Checkpoint:
    """A folder with `config.json` and `model.safetensors`: `BertModel`, `BertForPreTraining`, ..."""
    from safetensors.numpy import load_file

    config = BertConfig.from_dict(read_json(folder / "config.json"))
    found = {k: np.asarray(v) for k, v in load_file(folder / "model.safetensors").items()}
    if any(k.startswith("embeddings.") for k in found):
        found = bare(found)
    entries = [*encoder_entries(config), *mlm_entries(), *nsp_entries()]
    mapping = {name: (name, np.asarray) for e in entries for name in e.theirs}
    extra = [n for n in found if n in BUFFERS or n.startswith(("classifier.", "heads."))]
    return _translate(config, found, mapping, extra, folder)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Whatever BERT a folder holds."""
    kind, place = find_kind(folder)
    readers: dict[Kind, Callable[[Path], Checkpoint]] = {
        "tf1": read_tf1,
        "tfmodels": read_tfmodels,
        "huggingface": read_huggingface,
    }
    return readers[kind](place)


def _tf_tensors(prefix: Path) -> Tensors:
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (ValueError, tf.errors.OpError) as e:
        raise DataError(f"not a TensorFlow checkpoint: {e}", where=str(prefix)) from e


def _translate(
    config: BertConfig,
    found: Mapping[str, Any],
    mapping: Mapping[str, Source],
    ignored: list[str],
    where: Path,
) -> Checkpoint:
    """Renames and converts; every tensor must be known or ignored, every encoder tensor there."""
    unknown = sorted(set(found) - set(mapping) - set(ignored))
    if unknown:
        raise DataError(f"{len(unknown)} unknown tensors: {unknown[:5]}", where=str(where))
    tensors: Tensors = {}
    for name, value in found.items():
        if name in mapping and name not in ignored:
            target, convert = mapping[name]
            tensors[target] = convert(np.asarray(value)).astype(np.float32)
    missing = [n for e in encoder_entries(config) for n in e.theirs if n not in tensors]
    if missing == ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]:
        missing = []  # a model without next-sentence prediction has no trained pooler
        h = config.hidden_size
        tensors |= {"bert.pooler.dense.weight": np.zeros((h, h), np.float32)}
        tensors |= {"bert.pooler.dense.bias": np.zeros((h,), np.float32)}
    if missing:
        raise DataError(f"{len(missing)} tensors are missing: {missing[:5]}", where=str(where))
    return Checkpoint(config, tensors, tuple(sorted(ignored)))
