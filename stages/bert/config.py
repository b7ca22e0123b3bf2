"""The hyper-parameters of a BERT, in the spelling of its `config.json`; nothing here imports a framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from stagedml.errors import ConfigError

# Google calls the tanh form "gelu", Hugging Face the exact one: we use Hugging Face's words throughout.
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")


@dataclass(frozen=True)
class BertConfig:
    """Sizes and rates of one BERT, with the names of `config.json` (Devlin et al. 2018, arXiv:1810.04805)."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}",
                where="bert config",
                hint="each head gets hidden_size / num_attention_heads dimensions",
            )
        if self.hidden_act not in ACTIVATIONS:
            raise ConfigError(
                f"unknown hidden_act {self.hidden_act!r}", where="bert config", hint=f"one of {ACTIVATIONS}"
            )
        for name in ("vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", where="bert config")

    @property
    def head_size(self) -> int:
        """Dimensions of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BertConfig:
        """The fields that a BERT has, out of a `config.json`, `bert_config.json` or template.

        Keys that do not change the computation (such as `architectures`) are passed over; a position
        encoding or a model type that this encoder does not compute is refused with `ConfigError`.
        """
        if values.get("position_embedding_type", "absolute") != "absolute":
            raise ConfigError(
                f"position_embedding_type {values['position_embedding_type']!r} is not supported",
                where="bert config",
            )
        if values.get("model_type", "bert") != "bert":
            raise ConfigError(f"model_type {values['model_type']!r} is not a BERT", where="bert config")
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known})

    def to_dict(self) -> dict[str, Any]:
        """A plain dict, ready for JSON."""
        return asdict(self)

    def without_dropout(self) -> BertConfig:
        """The same model with both dropout rates at zero."""
        return replace(self, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)

    def parameters(self, *, heads: bool = True) -> int:
        """Number of weights; with `heads`, those of masked LM and next-sentence prediction too."""
        h, f, v = self.hidden_size, self.intermediate_size, self.vocab_size
        embeddings = (v + self.max_position_embeddings + self.type_vocab_size) * h + 2 * h
        layer = 4 * (h * h + h) + 2 * h * f + h + f + 4 * h
        total = embeddings + self.num_hidden_layers * layer + h * h + h
        return total + ((h * h + h) + 2 * h + v + 2 * h + 2 if heads else 0)

    def train_flops(self, seq_length: int, predictions: int) -> float:
        """Floating-point operations of one sequence, forward and backward (three times the forward).

        Counts the matrix multiplications only, the output layer over `predictions` positions.
        """
        h, f, s = self.hidden_size, self.intermediate_size, seq_length
        layer = 2 * s * (4 * h * h + 2 * h * f) + 4 * s * s * h
        head = 2 * predictions * (h * h + h * self.vocab_size)
        return 3.0 * (self.num_hidden_layers * layer + head + 2 * h * h)


def model_config(template: Mapping[str, Any], vocab_size: int, length: int) -> BertConfig:
    """The model for a vocabulary. Raises `ConfigError` when its sizes do not fit the data."""
    config = BertConfig.from_dict({"vocab_size": vocab_size, **template})
    if config.vocab_size < vocab_size:
        raise ConfigError(
            f"vocab_size {config.vocab_size} is less than the vocabulary's {vocab_size}",
            where="bert_config_template",
            hint="leave vocab_size out: the vocabulary decides",
        )
    if length > config.max_position_embeddings:
        raise ConfigError(
            f"sequences of {length} tokens, but {config.max_position_embeddings} positions",
            where="bert_config_template.max_position_embeddings",
            hint="raise it, or build records with a smaller max_seq_length",
        )
    return config


def _size(layers: int, hidden: int) -> dict[str, int]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
    }


# Turc et al. 2019 (arXiv:1908.08962) for the small ones, Devlin et al. for base and large.
PRESETS: dict[str, dict[str, int]] = {
    "tiny": _size(2, 128),
    "mini": _size(4, 256),
    "small": _size(4, 512),
    "medium": _size(8, 512),
    "base": _size(12, 768),
    "large": _size(24, 1024),
}


def bert_template(preset: str, **changes: Any) -> dict[str, Any]:
    """The `bert_config_template` of a named size, without `vocab_size`, which the vocabulary decides."""
    if preset not in PRESETS:
        raise ConfigError(f"no BERT size {preset!r}", where="bert_template", hint=f"one of {list(PRESETS)}")
    values = BertConfig(**{**PRESETS[preset], **changes}).to_dict()
    if "vocab_size" not in changes:
        del values["vocab_size"]
    return values
