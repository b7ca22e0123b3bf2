"""The names of BERT's tensors: ours, Hugging Face's, Google's (TF1) and TF-Models', each map written once.

Hugging Face's names (of `BertForPreTraining`) are the common tongue: readers translate into it, models are
filled from it. H hidden, N heads, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from stagedml.stages.bert.config import BertConfig

Array = np.ndarray
Tensors = dict[str, Array]


@dataclass(frozen=True)
class Entry:
    """One of our weights and the Hugging Face tensors it is made of, each transposed or not, side by side."""

    ours: str
    theirs: tuple[str, ...]
    transposed: bool = False

    def join(self, tensors: Mapping[str, Array]) -> Array:
        """Our weight out of theirs."""
        parts = [tensors[name].T if self.transposed else tensors[name] for name in self.theirs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def split(self, value: Array) -> Tensors:
        """Their tensors out of our weight."""
        parts = np.split(value, len(self.theirs), axis=-1)
        return {
            name: np.ascontiguousarray(p.T if self.transposed else p)
            for name, p in zip(self.theirs, parts, strict=True)
        }


def _dense(ours: str, *theirs: str) -> list[Entry]:
    return [
        Entry(f"{ours}.kernel", tuple(f"{t}.weight" for t in theirs), transposed=True),
        Entry(f"{ours}.bias", tuple(f"{t}.bias" for t in theirs)),
    ]


def _norm(ours: str, theirs: str) -> list[Entry]:
    return [Entry(f"{ours}.gamma", (f"{theirs}.weight",)), Entry(f"{ours}.beta", (f"{theirs}.bias",))]


def encoder_entries(config: BertConfig) -> list[Entry]:
    """Every weight of the encoder."""
    e = "bert.embeddings"
    out = [
        Entry("encoder.embeddings.word", (f"{e}.word_embeddings.weight",)),
        Entry("encoder.embeddings.position", (f"{e}.position_embeddings.weight",)),
        Entry("encoder.embeddings.segment", (f"{e}.token_type_embeddings.weight",)),
        *_norm("encoder.embeddings.norm", f"{e}.LayerNorm"),
    ]
    for i in range(config.num_hidden_layers):
        a, b = f"encoder.layer_{i}", f"bert.encoder.layer.{i}"
        heads = (f"{b}.attention.self.{x}" for x in ("query", "key", "value"))
        out += _dense(f"{a}.attention.qkv", *heads)
        out += _dense(f"{a}.attention.output", f"{b}.attention.output.dense")
        out += _norm(f"{a}.attention_norm", f"{b}.attention.output.LayerNorm")
        out += _dense(f"{a}.intermediate", f"{b}.intermediate.dense")
        out += _dense(f"{a}.output", f"{b}.output.dense")
        out += _norm(f"{a}.output_norm", f"{b}.output.LayerNorm")
    return out + _dense("encoder.pooler", "bert.pooler.dense")


def mlm_entries() -> list[Entry]:
    """The masked-LM head; its output matrix is the word embedding."""
    return [
        Entry("mlm.bias", ("cls.predictions.bias",)),
        *_dense("mlm.transform", "cls.predictions.transform.dense"),
        *_norm("mlm.norm", "cls.predictions.transform.LayerNorm"),
    ]


def nsp_entries() -> list[Entry]:
    """The next-sentence head."""
    return _dense("nsp", "cls.seq_relationship")


def head_entries(names: list[str]) -> list[Entry]:
    """Task heads: a single one is Hugging Face's `classifier`, several are `heads.<name>`."""
    if len(names) == 1:
        return _dense(f"heads.{names[0]}", "classifier")
    return [e for name in names for e in _dense(f"heads.{name}", f"heads.{name}")]


def bare(tensors: Mapping[str, Array]) -> Tensors:
    """Tensors of a plain `BertModel` under the names they have inside a `BertForPreTraining`."""
    return {f"bert.{name}": value for name, value in tensors.items()}


# -- Google, TF1: kernels are [in, out], theirs the transposed

Source = tuple[str, Callable[[Array], Array]]


def _same(x: Array) -> Array:
    return x


def _turned(x: Array) -> Array:
    return np.ascontiguousarray(x.T)


def tf1_map(layers: int) -> dict[str, Source]:
    """Variables of google-research/bert's checkpoints: name there -> (Hugging Face's name, conversion)."""
    out: dict[str, Source] = {}

    def dense(there: str, here: str) -> None:
        out[f"{there}/kernel"] = (f"{here}.weight", _turned)
        out[f"{there}/bias"] = (f"{here}.bias", _same)

    def norm(there: str, here: str) -> None:
        out[f"{there}/LayerNorm/gamma"] = (f"{here}.LayerNorm.weight", _same)
        out[f"{there}/LayerNorm/beta"] = (f"{here}.LayerNorm.bias", _same)

    for kind in ("word", "position", "token_type"):
        out[f"bert/embeddings/{kind}_embeddings"] = (f"bert.embeddings.{kind}_embeddings.weight", _same)
    norm("bert/embeddings", "bert.embeddings")
    for i in range(layers):
        a, b = f"bert/encoder/layer_{i}", f"bert.encoder.layer.{i}"
        for x in ("query", "key", "value"):
            dense(f"{a}/attention/self/{x}", f"{b}.attention.self.{x}")
        dense(f"{a}/attention/output/dense", f"{b}.attention.output.dense")
        norm(f"{a}/attention/output", f"{b}.attention.output")
        dense(f"{a}/intermediate/dense", f"{b}.intermediate.dense")
        dense(f"{a}/output/dense", f"{b}.output.dense")
        norm(f"{a}/output", f"{b}.output")
    dense("bert/pooler/dense", "bert.pooler.dense")
    out["cls/predictions/output_bias"] = ("cls.predictions.bias", _same)
    dense("cls/predictions/transform/dense", "cls.predictions.transform.dense")
    norm("cls/predictions/transform", "cls.predictions.transform")
    out["cls/seq_relationship/output_weights"] = ("cls.seq_relationship.weight", _same)
    out["cls/seq_relationship/output_bias"] = ("cls.seq_relationship.bias", _same)
    return out


# -- TF-Models: object paths; attention kernels are [H, N, D], the output's [N, D, H]


def _heads_in(x: Array) -> Array:
    return np.ascontiguousarray(x.reshape(x.shape[0], -1).T)


def _heads_out(x: Array) -> Array:
    return np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T)


def _flat(x: Array) -> Array:
    return x.reshape(-1)


def tfmodels_map(layers: int, *, encoder: str) -> dict[str, Source]:
    """Objects of a `BertEncoderV2` found under the path `encoder`, without `/.ATTRIBUTES/...`."""
    p, e = encoder, "bert.embeddings"
    out: dict[str, Source] = {
        f"{p}/_embedding_layer/embeddings": (f"{e}.word_embeddings.weight", _same),
        f"{p}/_position_embedding_layer/embeddings": (f"{e}.position_embeddings.weight", _same),
        f"{p}/_type_embedding_layer/embeddings": (f"{e}.token_type_embeddings.weight", _same),
    }

    def dense(there: str, here: str, kernel: Callable[[Array], Array] = _turned) -> None:
        out[f"{there}/kernel"] = (f"{here}.weight", kernel)
        out[f"{there}/bias"] = (f"{here}.bias", _flat)

    def norm(there: str, here: str) -> None:
        out[f"{there}/gamma"] = (f"{here}.LayerNorm.weight", _same)
        out[f"{there}/beta"] = (f"{here}.LayerNorm.bias", _same)

    norm(f"{p}/_embedding_norm_layer", e)
    for i in range(layers):
        a, b = f"{p}/_transformer_layers/{i}", f"bert.encoder.layer.{i}"
        for x in ("query", "key", "value"):
            dense(f"{a}/_attention_layer/_{x}_dense", f"{b}.attention.self.{x}", _heads_in)
        dense(f"{a}/_attention_layer/_output_dense", f"{b}.attention.output.dense", _heads_out)
        norm(f"{a}/_attention_layer_norm", f"{b}.attention.output")
        dense(f"{a}/_intermediate_dense", f"{b}.intermediate.dense")
        dense(f"{a}/_output_dense", f"{b}.output.dense")
        norm(f"{a}/_output_layer_norm", f"{b}.output")
    dense(f"{p}/_pooler_layer", "bert.pooler.dense")
    return out


def by_attribute(found: Mapping[str, Array]) -> Tensors:
    """The functional `BertEncoder` numbers its layers; here they get the names of `BertEncoderV2`."""
    mark, ends = "/layer_with_weights-", "3/gamma"  # the fourth is the norm of the embeddings
    roots = [name.removesuffix(mark + ends) for name in found if name.endswith(mark + ends)]
    if len(roots) != 1:
        return dict(found)
    start = roots[0] + mark
    split = {n: n.removeprefix(start).split("/", 1) for n in found if n.startswith(start)}
    last = max(int(number) for number, _ in split.values())
    fixed = (
        "_embedding_layer",
        "_position_embedding_layer",
        "_type_embedding_layer",
        "_embedding_norm_layer",
    )

    def layer(number: int) -> str:
        if number < len(fixed):
            return fixed[number]
        return "_pooler_layer" if number == last else f"_transformer_layers/{number - len(fixed)}"

    names = {n: f"{roots[0]}/{layer(int(number))}/{rest}" for n, (number, rest) in split.items()}
    return {names.get(n, n): value for n, value in found.items()}


def tfmodels_heads_map(prefix: str) -> dict[str, Source]:
    """The rest of a `BertPretrainerV2` below `prefix` ("model/" or "").

    Its next-sentence head has a pooler of its own, the one that was trained; it stands for the encoder's.
    """
    p, h, c = prefix, "classification_heads/0", "cls.predictions"
    return {
        f"{p}masked_lm/embedding_table": ("bert.embeddings.word_embeddings.weight", _same),
        f"{p}masked_lm/dense/kernel": (f"{c}.transform.dense.weight", _turned),
        f"{p}masked_lm/dense/bias": (f"{c}.transform.dense.bias", _same),
        f"{p}masked_lm/layer_norm/gamma": (f"{c}.transform.LayerNorm.weight", _same),
        f"{p}masked_lm/layer_norm/beta": (f"{c}.transform.LayerNorm.bias", _same),
        f"{p}masked_lm/output_bias.Sbias": (f"{c}.bias", _same),
        f"{p}{h}/dense/kernel": ("bert.pooler.dense.weight", _turned),
        f"{p}{h}/dense/bias": ("bert.pooler.dense.bias", _same),
        f"{p}{h}/out_proj/kernel": ("cls.seq_relationship.weight", _turned),
        f"{p}{h}/out_proj/bias": ("cls.seq_relationship.bias", _same),
        f"{p}next_sentence..pooler_dense/kernel": ("bert.pooler.dense.weight", _turned),
        f"{p}next_sentence..pooler_dense/bias": ("bert.pooler.dense.bias", _same),
    }
