"""A small BERT with random weights and the vocabulary of the made-up data: for trying, not for results."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

from stagedml import Build, DRef, Manager, promise, stage

TEMPLATE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,  # with 0.02 so small a model hardly learns at all
}


def toy_words() -> list[str]:
    """Special tokens, letters as pieces, and every word of the made-up sentences, lower case."""
    from . import toy

    texts = [*toy.PEOPLE, *toy.VERBS, *toy.VERBS.values(), *toy.THINGS, *toy.PLACES]
    texts += [*toy.GOOD, *toy.BAD, *toy.FILMS, *toy.SYNONYMS, *toy.SYNONYMS.values(), 'is and . , "']
    words = sorted({w.strip('"') for text in texts for w in text.lower().split()})
    letters = string.ascii_lowercase + string.digits
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [f"##{letter}" for letter in letters]
    return list(dict.fromkeys(w for w in [*special, *string.punctuation, *letters, *pieces, *words] if w))


@stage(name="toy-bert")
def toy_bert_stage(
    b: Build,
    bert_config_template: dict[str, Any],
    seed: int = 1,
    cased: bool = False,
    model: Path = promise("model"),
    bert_vocab: Path = promise("vocab.txt"),
) -> None:
    """The realizer of `all_toybert`."""
    from stagedml.stages.bert.checkpoint import save_model
    from stagedml.stages.bert.config import BertConfig
    from stagedml.stages.bert.model import BertPretraining, initialize

    words = toy_words()
    bert_vocab.write_text("\n".join(words) + "\n", encoding="utf-8")
    config = BertConfig.from_dict({**bert_config_template, "vocab_size": len(words)})
    net = BertPretraining(config)
    initialize(net, seed)
    save_model(net, model, vocab=bert_vocab, lower_case=not cased)


def all_toybert(m: Manager, **template: Any) -> DRef:
    """A random BERT in the form of a refbert; keywords change sizes, such as `num_hidden_layers=3`."""
    return toy_bert_stage(m, bert_config_template={**TEMPLATE, **template})
