"""Pre-training on Wikipedia as the reference report does it: English and Russian, Google's vocabulary."""

from __future__ import annotations

from typing import Any

from stagedml import DRef, Manager, mklens
from stagedml.stages.bert.fetch import all_fetch_multibert
from stagedml.stages.bert.stages import basebert_pretrain_wiki, minibert_pretrain_wiki
from stagedml.stages.wiki.stages import all_extractenwiki, all_extractruwiki, bert_pretrain_tfrecords


def _tfrecords(m: Manager, wikiref: DRef, dupe_factor: int) -> DRef:
    vocab = mklens(all_fetch_multibert(m)).bert_vocab.refpath
    return bert_pretrain_tfrecords(m, wikiref, vocab, lower_case=False, dupe_factor=dupe_factor)


def all_enwiki_tfrecords(m: Manager) -> DRef:
    """Records of the English Wikipedia of 2020-03-01, each text twice."""
    return _tfrecords(m, all_extractenwiki(m), 2)


def all_ruwiki_tfrecords(m: Manager) -> DRef:
    """Records of the Russian Wikipedia of 2020-03-01, each text ten times."""
    return _tfrecords(m, all_extractruwiki(m), 10)


def all_minibert_pretrain(m: Manager, **fields: Any) -> DRef:
    """A 6-layer BERT pre-trained on the English Wikipedia for a million steps."""
    return minibert_pretrain_wiki(m, tfrecs=all_enwiki_tfrecords(m), **fields)


def all_basebert_pretrain(m: Manager, **fields: Any) -> DRef:
    """BERT-base pre-trained on the English Wikipedia for a million steps."""
    return basebert_pretrain_wiki(m, tfrecs=all_enwiki_tfrecords(m), **fields)
