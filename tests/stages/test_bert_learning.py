"""Pre-training on real English text learns what carries over to text it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagedml import Build, DRef, Lens, Manager, Store, instantiate, mklens, promise, realize, stage
from stagedml.fetch import fetchlocal
from stagedml.stages.bert.stages import minibert_pretrain_wiki
from stagedml.stages.text.vocab import wordpiece_vocab
from stagedml.stages.wiki.stages import bert_pretrain_tfrecords, extractwiki

pytestmark = [pytest.mark.data, pytest.mark.slow]
DUMP = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"


@stage(version=1)
def every_fifth(b: Build, wikiref: Lens, kept: bool, articles: Path = promise("articles")) -> None:
    """Every fifth article, or all the others; at most 4000 characters of each."""
    from stagedml.stages.text.shards import read_texts, shard_name, shard_paths, write_shard

    texts = [t for p in shard_paths(Path(wikiref.articles.syspath)) for t in read_texts(p)]
    chosen = [t[:4000] for i, t in enumerate(texts[:400]) if (i % 5 == 0) == kept]
    articles.mkdir()
    write_shard(articles / shard_name("articles", 0), ({"text": t} for t in chosen))


def trained(m: Manager, dump: Path, layers: int, hidden: int) -> DRef:
    """A small BERT after 120 steps of 32 sequences of 64 tokens."""
    text = extractwiki(m, wikiref=fetchlocal(m, path=str(dump), mode="asis"))
    train = every_fifth(m, wikiref=text, kept=False)
    vocab = mklens(wordpiece_vocab(m, text=train, vocab_size=1000, lower_case=True)).bert_vocab.refpath
    how: dict[str, Any] = {"max_seq_length": 64, "max_predictions_per_seq": 10, "dupe_factor": 3}
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 32,
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": 64,
    }
    return minibert_pretrain_wiki(
        m,
        tfrecs=bert_pretrain_tfrecords(m, train, vocab, lower_case=True, **how),
        heldout=bert_pretrain_tfrecords(
            m, every_fifth(m, wikiref=text, kept=True), vocab, lower_case=True, **how
        ),
        bert_config_template=sizes,
        train_batch_size=32,
        train_steps_per_epoch=30,
        train_epoches=4,
        eval_batches=8,
        lr=2e-3,
        warmup_steps=20,
        schedule_steps=300,
        log_every=10,
    )


def perplexities(rref: str) -> list[tuple[int, float]]:
    """(step, held-out perplexity) from the logs."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(Path(mklens(rref).logs.syspath) / "valid")).Reload()
    return [(e.step, e.tensor_proto.float_val[0]) for e in events.Tensors("perplexity")]


def test_perplexity_falls_and_the_larger_model_gets_there_first(store: Store, real_data: Path) -> None:
    """Held-out perplexity falls at every look, and the larger model is below the smaller one at the end."""
    dump = real_data / "wikipedia" / DUMP
    small = perplexities(realize(instantiate(trained, dump, 1, 32)))
    large = perplexities(realize(instantiate(trained, dump, 2, 128)))
    for curve in (small, large):
        values = [value for _, value in curve]
        assert [step for step, _ in curve] == [30, 60, 90, 120]
        assert values == sorted(values, reverse=True)
        assert values[0] < 1000
    reached = next(step for step, value in large if value <= small[-1][1])
    assert reached < small[-1][0]
