"""The stages from a dump to records, through the engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wiki_tools import HEAD, all_records, all_stat, all_text, page

from stagedml import DRef, Manager, Store, instantiate, mklens, realize
from stagedml.errors import ConfigError
from stagedml.stages.bert.records import PretrainReader
from stagedml.stages.text.vocab import wordpiece_vocab
from stagedml.stages.wiki.stages import pretrain_tfrecords
from stagedml.testing import check_stage


@pytest.fixture
def dump(tmp_path: Path) -> str:
    """A small dump: articles, and pages to skip."""
    sentences = "The lower the river, the slower the rower. Nobody rows '''lower''' than the [[tower]]. "
    pages = [page(i, sentences * (3 + i % 5)) for i in range(40)] + [page(99, ns=4)]
    path = tmp_path / "x.xml"
    path.write_text(HEAD + "".join(pages) + "</mediawiki>\n")
    return str(path)


def test_statistics(store: Store, dump: str) -> None:
    """Documents, words, characters, bytes, and pages skipped by reason."""
    stat = json.loads(Path(mklens(realize(instantiate(all_stat, dump))).wikistat.syspath).read_text())
    assert stat["num_documents"] == 40
    assert stat["num_words"] == 14 * sum(3 + i % 5 for i in range(40))
    assert stat["skipped"] == {"namespace": 1}
    assert stat["num_chars"] == stat["num_bytes"]


@pytest.mark.parametrize("form", ["examples", "tokens", "packed"])
def test_records_are_readable(store: Store, dump: str, form: str) -> None:
    """From the dump to a batch, in each form; the config tells vocabulary, case and the way back."""
    rref = realize(instantiate(all_records, dump, form=form))
    lens = mklens(rref)
    assert lens.cased.val is False
    assert lens.max_seq_length.val == 32
    assert lens.wikiref.wikiref.filename.val == "x.xml"
    reader = PretrainReader(Path(lens.tfrecords.syspath), batch_size=8, vocab=Path(lens.bert_vocab.syspath))
    batch = reader.batch(0)
    assert batch["input_ids"].shape == (8, 32)
    assert (batch["input_ids"][:, 0] == 2).all()  # [CLS]


def test_what_every_stage_owes(dump: str) -> None:
    """Identity, laziness, promises, reuse and determinism of the whole chain."""
    check_stage(all_records, dump=dump)
    check_stage(all_stat, dump=dump)


def test_instances_have_seeds_of_their_own(store: Store, dump: str) -> None:
    """Another seed, and another instance of the same config, give other records."""
    first = realize(instantiate(all_records, dump))
    other = realize(instantiate(all_records, dump, seed=7))
    names = [Path(mklens(r).tfrecords.syspath) / "examples-000000.tfrecord" for r in (first, other)]
    assert names[0].read_bytes() != names[1].read_bytes()


def test_case_cannot_be_contradicted(store: Store, dump: str) -> None:
    """`cased` follows from `lower_case`; an override that breaks that fails with a reason."""

    def wrong(m: Manager) -> DRef:
        text = all_text(m, dump)
        vocab = mklens(wordpiece_vocab(m, text=text, vocab_size=80)).bert_vocab.refpath
        return pretrain_tfrecords(m, wikiref=text, bert_vocab=vocab, lower_case=True, cased=True)

    with pytest.raises(ConfigError, match="cased is the opposite of lower_case"):
        realize(instantiate(wrong))
