"""The demo: from a Wikipedia dump to fine-tuned models, small enough for two cores.

Question   does pre-training help? Two tasks, each from random and from pre-trained weights
Command    make demo            (DATA=folder: the same on real data; FINETUNE_LR=5e-4: one number changed)
Cost       at most 6 minutes on 2 cores, about 60 MB in the store
Expected   on the small world of the project: pre-trained weights beat random ones and the majority class on
           both tasks, clearly; the masked-LM loss falls to less than half of the unigram entropy

`experiment.py` realizes what is here, `Report.md.in` shows it. The stages do not know whose data they work
on: they fetch what lies at an address, and a mirror file says which folder that is.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines import majority_class, part_of_articles, unigram_entropy

from stagedml import DRef, Manager, match_some, mklens, redefine
from stagedml.errors import ConfigError, DataError
from stagedml.fetch import MIRROR_VARIABLE, fetchurl
from stagedml.stages.bert.config import bert_template
from stagedml.stages.bert.stages import minibert_pretrain_wiki
from stagedml.stages.glue.fetch import gather_files
from stagedml.stages.glue.stages import bert_finetune_glue, glue_tfrecords
from stagedml.stages.text import synthetic
from stagedml.stages.text.vocab import wordpiece_vocab
from stagedml.stages.wiki.stages import bert_pretrain_tfrecords, extractwiki

HERE = Path(__file__).resolve().parent
ADDRESS = "https://data.stagedml.example/demo/"  # no such host: the mirror file leads to a folder
TASKS = ("MRPC", "SST-2")
FILES = ("train.tsv", "dev.tsv", "test.tsv")
HELD_OUT = 6  # percent of the articles
LARGE = 10_000  # rows of a training set
MODEL = bert_template(
    "tiny",
    num_attention_heads=4,
    hidden_dropout_prob=0.0,  # a short training fits too little, not too much
    attention_probs_dropout_prob=0.0,
    initializer_range=0.05,
)


@dataclass(frozen=True)
class Settings:
    """What can be set from outside, by environment variables of the same names in capitals."""

    data: Path
    pretrain_steps: int = 1400
    pretrain_lr: float = 3e-3
    finetune_lr: float = 3e-4
    finetune_epochs: int = 5  # 1 for a task of more than LARGE rows
    seeds: int = 3  # runs of each fine-tuning
    sequence: int = 40  # tokens; a longer text is cut
    vocab_size: int = 2000

    @staticmethod
    def from_environment() -> Settings:
        """Raises `ConfigError` for what is no number, and for a folder that is not there."""
        given: dict[str, Any] = {}
        for name in ("pretrain_steps", "finetune_epochs", "seeds", "sequence", "vocab_size"):
            given |= _number(name, int)
        for name in ("pretrain_lr", "finetune_lr"):
            given |= _number(name, float)
        named = os.environ.get("STAGEDML_DATA")  # which the Makefile sets, from DATA
        data = Path(named).expanduser().resolve() if named else generated_data(HERE / "data")
        if not data.is_dir():
            raise ConfigError("no such folder", where=str(data), hint="DATA names the folder with the data")
        return Settings(data=data, **given)


def _number(name: str, kind: type[int] | type[float]) -> dict[str, int | float]:
    text = os.environ.get(name.upper(), "")
    if not text:
        return {}
    try:
        value = kind(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a number", where=name.upper()) from None
    if value <= 0:
        raise ConfigError(f"{text} is not positive", where=name.upper())
    return {name: value}


def generated_data(folder: Path) -> Path:
    """The project's own small world, made on the first call and when its generator has changed."""
    sources = sorted(Path(synthetic.__file__).parent.glob("*.py"))
    stamp = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()
    made = folder / "generator.sha256"
    if not made.exists() or made.read_text(encoding="utf-8") != stamp:
        print("making the small world: an encyclopedia and two tasks", file=sys.stderr)
        synthetic.generate(folder)
        made.write_text(stamp, encoding="utf-8")
    return folder


def use_mirror(settings: Settings) -> None:
    """Leads the demo's addresses to the data folder, in a mirror file of our own."""
    file = HERE / "out" / "mirror.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({ADDRESS: str(settings.data)}, indent=1) + "\n", encoding="utf-8")
    os.environ[MIRROR_VARIABLE] = str(file)


def dump_of(data: Path) -> Path:
    """The dump of articles in a data folder. Raises `DataError` when there is none."""
    folder = data / "wikipedia"
    found = sorted(p for p in folder.glob("*pages-articles*.bz2") if "index" not in p.name)
    if not found:
        raise DataError(
            "no dump", where=str(folder), hint="a file named *pages-articles*.bz2 is looked for there"
        )
    return found[0]


class Demo:
    """The stages of the demo, for some settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def fetch(self, m: Manager, path: Path) -> DRef:
        """A file of the data folder, fetched by its address and checked."""
        try:
            with path.open("rb") as f:
                sha256 = hashlib.file_digest(f, "sha256").hexdigest()
        except OSError as e:
            raise DataError(f"cannot be read: {e.strerror}", where=str(path)) from e
        place = path.relative_to(self.settings.data)
        name = f"fetch-{place.parts[1]}-{path.stem}" if place.parts[0] == "glue" else "fetch-dump"
        return fetchurl(m, url=ADDRESS + place.as_posix(), sha256=sha256, mode="asis", name=name)

    def text(self, m: Manager, *, held_out: bool) -> DRef:
        """The articles to train on, or those that are held out."""
        wikiref = extractwiki(m, wikiref=self.fetch(m, dump_of(self.settings.data)))
        name = "held-out-articles" if held_out else "training-articles"
        return part_of_articles(m, wikiref=wikiref, held_out=held_out, percent=HELD_OUT, name=name)

    def records(self, m: Manager, *, held_out: bool) -> DRef:
        """Pre-training records of either part."""
        vocab = wordpiece_vocab(
            m, text=self.text(m, held_out=False), vocab_size=self.settings.vocab_size, lower_case=True
        )
        return bert_pretrain_tfrecords(
            m,
            self.text(m, held_out=held_out),
            mklens(vocab).bert_vocab.refpath,
            lower_case=True,
            max_seq_length=self.settings.sequence,
            max_predictions_per_seq=round(0.15 * self.settings.sequence) + 1,
            dupe_factor=2 if held_out else 5,
        )

    def bert(self, m: Manager, *, pretrained: bool = True) -> DRef:
        """The model: pre-trained, or as it was before the first step."""
        steps = self.settings.pretrain_steps
        epochs = 7
        return minibert_pretrain_wiki(
            m,
            tfrecs=self.records(m, held_out=False),
            heldout=self.records(m, held_out=True),
            bert_config_template={**MODEL, "max_position_embeddings": self.settings.sequence},
            train_batch_size=64,
            train_steps_per_epoch=-(-steps // epochs),
            train_epoches=epochs if pretrained else 0,
            schedule_steps=epochs * -(-steps // epochs),
            warmup_steps=steps // 10,
            lr=self.settings.pretrain_lr,
            log_every=20,
            name="pretrained-bert" if pretrained else "random-bert",
        )

    def task(self, m: Manager, task: str) -> DRef:
        """The records of a task."""
        folder = self.settings.data / "glue" / task
        files = {file: mklens(self.fetch(m, folder / file)).out.refpath for file in FILES}
        vocab = mklens(self.bert(m)).bert_vocab.refpath
        return glue_tfrecords(
            m,
            task,
            bert_vocab=vocab,
            lower_case=True,
            refdataset=gather_files(m, files=files, name=f"fetch-{task}"),
            max_seq_length=self.settings.sequence,
        )

    def finetuned(self, m: Manager, task: str, *, pretrained: bool) -> DRef:
        """The model fine-tuned on a task."""
        rows = _lines(self.settings.data / "glue" / task / "train.tsv") - 1
        tuned = redefine(bert_finetune_glue, new_matcher=match_some(self.settings.seeds))
        return tuned(
            m,
            self.bert(m, pretrained=pretrained),
            self.task(m, task),
            train_epoches=self.settings.finetune_epochs if rows <= LARGE else 1,
            lr=self.settings.finetune_lr,
            name=f"{task}-from-{'pretrained' if pretrained else 'random'}",
            num_instances=self.settings.seeds,
        )

    def majority(self, m: Manager, task: str) -> DRef:
        """What always giving the most frequent answer scores."""
        return majority_class(m, tfrecs=self.task(m, task), name=f"majority-{task}")

    def entropy(self, m: Manager) -> DRef:
        """The unigram entropy of the held-out records."""
        return unigram_entropy(m, tfrecs=self.records(m, held_out=True))


def _lines(path: Path) -> int:
    with path.open("rb") as f:
        return sum(1 for _ in f)
