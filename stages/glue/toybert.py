"""Small BERTs for the made-up tasks: one with random weights, and one that has read about the island.

For trying a pipeline, not for results.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

from stagedml import Build, DRef, Manager, mklens, promise, stage
from stagedml.stages.bert.config import bert_template
from stagedml.stages.bert.stages import minibert_pretrain_wiki
from stagedml.stages.text.vocab import wordpiece_vocab
from stagedml.stages.wiki.stages import bert_pretrain_tfrecords, extractwiki

TOKENS = 40  # of a pair of made-up texts at most

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
    from stagedml.stages.text.synthetic import Scale, words
    from stagedml.stages.text.synthetic.world import SENTENCES

    lexicon = words.make_lexicon(Scale.seed)
    texts = [text for patterns in SENTENCES.values() for text in patterns]
    texts += [
        *words.PRAISE,
        *words.BLAME,
        *words.WORKS,
        *words.ASPECTS,
        "she he her him its the and with is was again",
    ]
    texts += [" ".join([*c.names, *c.company]) for c in lexicon.concepts]
    known = sorted({w for text in texts for w in text.split() if w.isalpha()})
    letters = string.ascii_lowercase + string.digits
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [f"##{letter}" for letter in letters]
    return list(dict.fromkeys([*special, *string.punctuation, *letters, *pieces, *known]))


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


@stage(name="toy-wiki")
def toy_wiki(b: Build, works: int, villages: int, out: Path = promise("articles.xml.bz2")) -> None:
    """The encyclopedia of the made-up island, as a dump."""
    from stagedml.stages.text.synthetic import Scale
    from stagedml.stages.text.synthetic.dump import write_dump
    from stagedml.stages.text.synthetic.words import make_lexicon
    from stagedml.stages.text.synthetic.world import Island

    pages = Island(make_lexicon(Scale.seed, villages=villages), Scale.seed + 1).pages(works)
    dump, *_ = write_dump(b.scratch, pages, dbname="islewiki", date="20260101", sitename="Wikisle")
    dump.replace(out)


def toy_pretrained(m: Manager, *, steps: int = 1400, works: int = 1000, villages: int = 12) -> DRef:
    """A BERT of two layers that has read the island's encyclopedia: a minute or two, and it knows the words.

    The settings are those of the demo, which also shows what they are good for.
    """
    text = extractwiki(m, wikiref=toy_wiki(m, works=works, villages=villages))
    vocab = wordpiece_vocab(m, text=text, vocab_size=2000, lower_case=True)
    records = bert_pretrain_tfrecords(
        m,
        text,
        mklens(vocab).bert_vocab.refpath,
        lower_case=True,
        max_seq_length=TOKENS,
        max_predictions_per_seq=7,
        dupe_factor=5,
    )
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.05}
    return minibert_pretrain_wiki(
        m,
        tfrecs=records,
        bert_config_template=bert_template(
            "tiny", num_attention_heads=4, max_position_embeddings=TOKENS, **still
        ),
        train_batch_size=64,
        train_steps_per_epoch=steps,
        train_epoches=1,
        schedule_steps=steps,
        warmup_steps=steps // 10,
        lr=3e-3,
        log_every=20,
        name="toy-pretrained-bert",
    )
