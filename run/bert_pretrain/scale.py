"""The scales of the experiment: the same stages with other settings and other text.

    full     the English and Russian Wikipedia of 2020-03-01, Google's multilingual vocabulary
    toy      two made-up Wikipedias and made-up tasks (`toycorpus.py`), models of hidden size 64: minutes
    smoke    the same for a few steps: it shows only that everything runs

With `DATA=folder` the text is that of fragments of real dumps and the tasks are GLUE's, from that folder,
at any scale. Nothing in the stages knows of scales.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from toycorpus import DATE, HOST, write_corpus

from stagedml import DRef, Manager, mklens
from stagedml.errors import ConfigError
from stagedml.fetch import MIRROR_VARIABLE, fetchurl, mirror_from_environment
from stagedml.stages.bert.config import bert_template
from stagedml.stages.bert.stages import minibert_pretrain_wiki
from stagedml.stages.bert.wiki import all_enwiki_tfrecords, all_ruwiki_tfrecords
from stagedml.stages.glue.fetch import all_fetchglue, find_local
from stagedml.stages.glue.stages import bert_finetune_glue
from stagedml.stages.glue.toy import all_toyglue
from stagedml.stages.text.vocab import wordpiece_vocab
from stagedml.stages.wiki.fetch import fetchwiki
from stagedml.stages.wiki.stages import bert_pretrain_tfrecords, extractwiki

HERE = Path(__file__).resolve().parent
DatasetStage = Callable[[Manager], DRef]
ModelStage = Callable[..., DRef]

# What `DATA` holds of Wikipedia: where it is published, and its SHA-256.
FRAGMENTS = {
    "enwiki": (
        "https://raw.githubusercontent.com/piskvorky/gensim/37f90ec121eb7cd401448a947e80953e0c53ccdc/"
        "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
        "wikipedia/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
        "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d",
    ),
    "ruwiki": (
        "https://raw.githubusercontent.com/dbpedia/extraction-framework/"
        "e3dfe8bb8dbc3e2e58d9abc188e00e5f9dd0d928/dump/src/test/resources/minidumps/ru/wiki.xml.bz2",
        "wikipedia/dbpedia-minidump-ru.xml.bz2",
        "e29dd5de1a93af685eee5c2c218723e5146a44dc8720dd8206e7c66bd627ae94",
    ),
}
DUPES = {"enwiki": 2, "ruwiki": 10}
TOY_MODEL = bert_template(
    "mini",
    hidden_size=64,
    num_hidden_layers=6,
    num_attention_heads=4,
    intermediate_size=256,
    max_position_embeddings=128,
    # 0.02 is meant for hidden sizes of 768; in so narrow a model it would make the signal vanish, and so
    # short a training has no use for dropout
    initializer_range=0.05,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
TOY_RUN = {"bert_config_template": TOY_MODEL, "schedule_steps": 600, "warmup_steps": 20, "lr": 2e-3}


@dataclass(frozen=True)
class Scale:
    """What the experiment takes from its scale; `text` says in words where the text comes from."""

    name: str
    text: str
    dataset_en: DatasetStage
    dataset_ru: DatasetStage
    minibert: ModelStage
    fetchglue: DatasetStage
    finetune: ModelStage
    steps_per_epoch: int
    epoches: int
    epoches_between_finetunes: int
    finetune_task: str
    cost: str
    rows: int = 0  # of a made-up task
    run: Mapping[str, Any] = field(default_factory=dict)  # fields of every pre-training
    watched_epoches: int = 5  # with held-out perplexity
    compared_epoches: int = 1  # by our trainer and by TF-Models'


def scale_from_environment() -> Scale:
    """The scale that `$STAGEDML_SCALE` and `$STAGEDML_DATA` ask for. Raises `ConfigError`."""
    name = os.environ.get("STAGEDML_SCALE") or "full"
    data = os.environ.get("STAGEDML_DATA")
    known = {"full": _full, "toy": _toy, "smoke": _smoke}
    if name not in known:
        raise ConfigError(f"no scale {name!r}", hint=f"SCALE is one of {', '.join(known)}")
    scale = known[name]()
    if data:
        return _on_fragments(scale, Path(data))
    return scale if name == "full" else _made_up(scale)


def _full() -> Scale:
    return Scale(
        name="full",
        text="the Wikipedias of 2020-03-01",
        dataset_en=all_enwiki_tfrecords,
        dataset_ru=all_ruwiki_tfrecords,
        minibert=minibert_pretrain_wiki,
        fetchglue=all_fetchglue,
        finetune=bert_finetune_glue,
        steps_per_epoch=10_000,
        epoches=50,
        epoches_between_finetunes=10,
        finetune_task="MNLI-m",
        cost=(
            "downloads 22 GB (two dumps, a vocabulary, MNLI), takes about 150 GB of disk, and trains two\n"
            "models for 500,000 steps each, and both for another 50,000: about 3 days on a GPU of 2017,\n"
            "weeks on two cores.\n"
            "`make train SCALE=toy` takes minutes."
        ),
    )


def _toy() -> Scale:
    """Small models and short runs; the text is yet to be chosen."""
    return replace(
        _full(),
        name="toy",
        minibert=partial(minibert_pretrain_wiki, log_every=10, **TOY_RUN),
        run={"log_every": 10, **TOY_RUN},
        watched_epoches=4,
        compared_epoches=2,
        finetune=partial(bert_finetune_glue, train_epoches=6, lr=1e-3, train_batch_size=32),
        steps_per_epoch=50,
        epoches=6,
        epoches_between_finetunes=2,
        rows=2500,
        cost="takes some minutes on two cores and a few megabytes.",
    )


def _smoke() -> Scale:
    """A few steps of everything: that it runs, nothing else."""
    return replace(
        _toy(),
        name="smoke",
        minibert=partial(minibert_pretrain_wiki, log_every=1, **TOY_RUN),
        run={"log_every": 1, **TOY_RUN},
        watched_epoches=2,
        compared_epoches=1,
        finetune=partial(bert_finetune_glue, train_epoches=1, lr=1e-3, train_batch_size=32),
        steps_per_epoch=3,
        epoches=2,
        epoches_between_finetunes=1,
        rows=64,
        cost="takes about a minute, and shows only that everything runs.",
    )


def _made_up(scale: Scale) -> Scale:
    """The scale on made-up Wikipedias and tasks, fetched by their addresses through a mirror file."""
    digests = write_corpus(HERE / "data")
    add_mirror(HERE / "data", {f"{HOST}/": str(HERE / "data")})

    def dump(wiki: str) -> DatasetStage:
        return lambda m: fetchwiki(m, wiki, DATE, digests[wiki], host=HOST)

    return _with_text(
        scale,
        "made-up Wikipedias and tasks",
        {wiki: small_dataset(dump(wiki), dupe_factor=DUPES[wiki], max_seq_length=64) for wiki in DUPES},
        partial(all_toyglue, rows=scale.rows, dev_rows=min(scale.rows, 300)),
    )


def _on_fragments(scale: Scale, data: Path) -> Scale:
    """The scale on the fragments of real dumps in a folder, and on the GLUE tasks that are there."""
    add_mirror(HERE / "data", {url: str(data / file) for url, file, _ in FRAGMENTS.values()})

    def dump(wiki: str) -> DatasetStage:
        url, _, sha256 = FRAGMENTS[wiki]
        return lambda m: fetchurl(m, url, sha256=sha256, mode="asis", name=f"fetch-{wiki}")

    pieces = {"vocab_size": 8000, "max_seq_length": 128}
    return _with_text(
        scale,
        "fragments of real dumps",
        {wiki: small_dataset(dump(wiki), dupe_factor=DUPES[wiki], **pieces) for wiki in DUPES},
        partial(all_fetchglue, folder=str(data / "glue")),
        finetune_task="MNLI-m" if find_local(data / "glue", "MNLI") else "MRPC",
    )


def _with_text(
    scale: Scale,
    text: str,
    datasets: Mapping[str, DatasetStage],
    fetchglue: DatasetStage,
    *,
    finetune_task: str | None = None,
) -> Scale:
    return replace(
        scale,
        text=text,
        dataset_en=datasets["enwiki"],
        dataset_ru=datasets["ruwiki"],
        fetchglue=fetchglue,
        finetune_task=finetune_task or scale.finetune_task,
    )


def small_dataset(dump: DatasetStage, *, vocab_size: int = 2000, **fields: Any) -> DatasetStage:
    """Records of a small dump, with a vocabulary of its own."""

    def dataset(m: Manager) -> DRef:
        text = extractwiki(m, wikiref=dump(m))
        vocab = wordpiece_vocab(m, text=text, vocab_size=vocab_size, lower_case=False)
        return bert_pretrain_tfrecords(m, text, mklens(vocab).bert_vocab.refpath, lower_case=False, **fields)

    return dataset


def add_mirror(folder: Path, targets: Mapping[str, str]) -> None:
    """Adds mappings to those of `$STAGEDML_MIRROR`, in a file of our own below `folder`."""
    known = mirror_from_environment()
    if all(url in dict(known.mappings) for url in targets):
        return
    mappings: dict[str, object] = {}
    for prefix, target in known.mappings:
        place = target.remote or str(target.path)
        mappings[prefix] = {"folder": place, "as": target.subfolder} if target.subfolder else place
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**mappings, **targets}, indent=1) + "\n"
    file = folder / f"mirror-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"  # another run has its own
    file.write_text(text, encoding="utf-8")
    os.environ[MIRROR_VARIABLE] = str(file)
